"""Routes from evidence to a class: each is fitted on labelled images and gives log-probabilities of all classes.

All are fitted as if classes were equally frequent; :func:`with_frequencies` applies other frequencies.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from contracts.errors import DataError
from detectors.tracer.deciding.evidence import Evidence, Floats
from detectors.tracer.deciding.linear_classifier import LinearClassifier, fit_linear_classifier
from detectors.tracer.deciding.thresholds import (
    Thresholding,
    gaussian_threshold,
    percentile_threshold,
    supervised_threshold,
    threshold_rule,
)
from detectors.tracer.models.sizes import OUTLIER

Names = npt.NDArray[np.str_]
IMPOSSIBLE = -30.0  # Log-probability of a class that a hard rule excludes


class Decision(Protocol):
    """A fitted route."""

    def log_proba(self, evidence: Evidence) -> Floats:
        """[N, K + 1] of the variants in order, then ``outlier``."""
        ...

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """All learnt parameters by name, as plain arrays."""
        ...


class Variants:
    """One multinomial logistic regression per family on the features of all its variants."""

    def __init__(self, classifiers: Mapping[str, LinearClassifier | None]) -> None:
        self.classifiers = dict(classifiers)

    @classmethod
    def fit(cls, evidence: Evidence, truth: Names) -> "Variants":
        """Fit on the images of each family's variants; a family of one variant needs no classifier."""
        classifiers: dict[str, LinearClassifier | None] = {}
        for family in dict.fromkeys(evidence.families.values()):
            own = tuple(name for name, of in evidence.families.items() if of == family)
            rows = np.flatnonzero(np.isin(truth, own))
            x, names = evidence.take(rows).variant_matrix(family)
            classifiers[family] = fit_linear_classifier(x, truth[rows], names, classes=own) if len(own) > 1 else None
        return cls(classifiers)

    def log_proba(self, evidence: Evidence) -> dict[str, Floats]:
        """Family → [N, its variants]."""
        found = {}
        for family, classifier in self.classifiers.items():
            if classifier is None:
                found[family] = np.zeros((len(evidence), 1))
            else:
                found[family] = classifier.log_proba(evidence.variant_matrix(family)[0])
        return found

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """See :class:`Decision`."""
        return {
            f"variants/{family}/{key}": value
            for family, classifier in self.classifiers.items()
            if classifier is not None
            for key, value in vars(classifier).items()
        }


class Rule:
    """The published two steps: thresholds on provenance scores, ties to the lower QuantLoss, then the variant.

    The rule is hard: excluded classes get log-probability :data:`IMPOSSIBLE`.
    """

    def __init__(self, thresholds: Mapping[str, float], variants: Variants) -> None:
        self.thresholds = dict(thresholds)
        self.variants = variants

    @classmethod
    def fit(cls, evidence: Evidence, truth: Names, how: Thresholding) -> "Rule":
        """Fit thresholds by the chosen strategy; only ``supervised`` uses images of other sources."""
        thresholds = {}
        for family, scores in evidence.scores.items():
            own = np.isin(truth, [name for name, of in evidence.families.items() if of == family])
            if how.strategy == "percentile":
                thresholds[family] = percentile_threshold(scores[own], how.share)
            elif how.strategy == "gaussian":
                thresholds[family] = gaussian_threshold(scores[own], how.k)
            else:
                thresholds[family] = supervised_threshold(scores[own], scores[~own], how.criterion)  # type: ignore[arg-type]  # checked there
        return cls(thresholds, Variants.fit(evidence, truth))

    def log_proba(self, evidence: Evidence) -> Floats:
        """See :class:`Decision`."""
        chosen = threshold_rule(evidence.scores, self.thresholds, evidence.quant_loss, OUTLIER)
        families = [*evidence.quant_loss, OUTLIER]
        hard = np.where(chosen[:, None] == np.array(families), 0.0, IMPOSSIBLE)
        return _combined(hard, families, self.variants.log_proba(evidence), evidence)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """See :class:`Decision`."""
        return {f"threshold/{k}": np.array(v) for k, v in self.thresholds.items()} | self.variants.arrays()


class Calibrated:
    """Two steps with probabilities: family or outlier from all four log-losses, times the variant within the family."""

    def __init__(self, family: LinearClassifier, variants: Variants) -> None:
        self.family = family
        self.variants = variants

    @classmethod
    def fit(cls, evidence: Evidence, truth: Names) -> "Calibrated":
        """Fit on images that include outliers."""
        x, names = evidence.family_matrix()
        y = np.array([evidence.families.get(str(name), OUTLIER) for name in truth])
        classes = (*evidence.quant_loss, OUTLIER)
        return cls(fit_linear_classifier(x, y, names, classes=classes), Variants.fit(evidence, truth))

    def log_proba(self, evidence: Evidence) -> Floats:
        """See :class:`Decision`."""
        part = self.family.log_proba(evidence.family_matrix()[0])
        return _combined(part, self.family.classes.tolist(), self.variants.log_proba(evidence), evidence)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """See :class:`Decision`."""
        return {f"family/{key}": value for key, value in vars(self.family).items()} | self.variants.arrays()


class Flat:
    """One classifier of all classes on all losses and all features."""

    def __init__(self, classifier: LinearClassifier) -> None:
        self.classifier = classifier

    @classmethod
    def fit(cls, evidence: Evidence, truth: Names) -> "Flat":
        """Fit on images that include outliers."""
        x, names = cls._matrix(evidence)
        return cls(fit_linear_classifier(x, truth, names, classes=(*evidence.families, OUTLIER), C=0.1))

    def log_proba(self, evidence: Evidence) -> Floats:
        """See :class:`Decision`."""
        return self.classifier.log_proba(self._matrix(evidence)[0])

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """See :class:`Decision`."""
        return {f"flat/{key}": value for key, value in vars(self.classifier).items()}

    @staticmethod
    def _matrix(evidence: Evidence) -> tuple[Floats, list[str]]:
        (a, names), (b, more) = evidence.family_matrix(), evidence.variant_matrix()
        return np.concatenate([a, b], 1), names + more


def check_truth(truth: Names, evidence: Evidence, routes: tuple[str, ...]) -> None:
    """Check that there are images of every class that the routes need.

    Raises:
        DataError: if a class has none; the message names it and the routes.
    """
    found = set(truth.tolist())
    if absent := [name for name in evidence.families if name not in found]:
        raise DataError(
            f"there is no image by {', '.join(absent)} to fit on",
            "Add some, or leave these out: detector.variants=[…].",
        )
    needing = [route for route in routes if route in ("calibrated", "flat", "prada_single")]
    if OUTLIER not in found and needing:
        raise DataError(
            f"there is no outlier to fit on, but detector.routes={', '.join(needing)} needs some",
            "Add a split with outliers (trace.fit_on=[train,valid]), or choose detector.routes=[rule] or [prada].",
        )


def with_frequencies(log_proba: Floats, prior: Mapping[str, float]) -> Floats:
    """Log-posterior [N, K + 1] from balanced log-probabilities and class frequencies in the order of the classes."""
    posterior = log_proba + np.log(np.array(list(prior.values())))
    posterior = posterior - posterior.max(1, keepdims=True)
    result: Floats = posterior - np.log(np.exp(posterior).sum(1, keepdims=True))
    return result


def known_logit(log_posterior: Floats) -> Floats:
    """Log-odds [N] of "one of the generators" against ``outlier``, the last of the classes [N, K + 1]."""
    known: Floats = np.logaddexp.reduce(log_posterior[:, :-1], axis=1) - log_posterior[:, -1]
    return known


def _combined(part: Floats, names: list[str], variants: Mapping[str, Floats], evidence: Evidence) -> Floats:
    """Log p(family) + log p(variant | family), and log p(outlier)."""
    columns = []
    for variant, family in evidence.families.items():
        own = [name for name, of in evidence.families.items() if of == family]
        # per class; otherwise a family of four would count as equally frequent as the one outlier class
        share = np.log(len(own))
        columns.append(part[:, names.index(family)] + share + variants[family][:, own.index(variant)])
    columns.append(part[:, names.index(OUTLIER)])
    return np.stack(columns, 1)
