"""Routes from evidence to a class: each fits on labelled images and gives log-probabilities of all classes.

All are fitted as if classes were equally frequent; :func:`with_frequencies` puts other frequencies in.
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
IMPOSSIBLE = -30.0
"""Log-probability of what a hard rule excludes."""


class Decision(Protocol):
    """A fitted route."""

    def log_proba(self, evidence: Evidence) -> Floats:
        """[N, K + 1] of the variants in order, then ``outlier``."""
        ...

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """All that was learnt, by name, as plain arrays."""
        ...


class Variants:
    """Within each family, a multinomial logistic regression on the features of all its variants."""

    def __init__(self, classifiers: Mapping[str, LinearClassifier | None]) -> None:
        self.classifiers = dict(classifiers)

    @classmethod
    def fit(cls, evidence: Evidence, truth: Names) -> "Variants":
        """On the images of each family's variants; a family of one variant needs no classifier."""
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

    Hard: what the rule excludes gets log-probability :data:`IMPOSSIBLE`.
    """

    def __init__(self, thresholds: Mapping[str, float], variants: Variants) -> None:
        self.thresholds = dict(thresholds)
        self.variants = variants

    @classmethod
    def fit(cls, evidence: Evidence, truth: Names, how: Thresholding) -> "Rule":
        """Thresholds by the chosen strategy; only ``supervised`` looks at images of others."""
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
        """Needs outliers among the images."""
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
        """Needs outliers among the images."""
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
    """Every class a route needs has images to fit on.

    Raises:
        DataError: naming the class and the routes.
    """
    found = set(truth.tolist())
    if absent := [name for name in evidence.families if name not in found]:
        raise DataError(
            f"no image by {', '.join(absent)} to fit on", "Give some, or leave them out: detector.variants=[…]."
        )
    needing = [route for route in routes if route in ("calibrated", "flat", "prada_single")]
    if OUTLIER not in found and needing:
        raise DataError(
            f"no outlier to fit on, which route(s) {', '.join(needing)} need",
            "Add a split that has some (trace.fit_on=[train,valid]), or choose detector.routes=[rule] or [prada].",
        )


def with_frequencies(log_proba: Floats, prior: Mapping[str, float]) -> Floats:
    """Log-posterior [N, K + 1] of balanced log-probabilities when classes have these frequencies (in order)."""
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
        # per class, so that a family of four is not taken for as frequent as one outlier class
        share = np.log(len(own))
        columns.append(part[:, names.index(family)] + share + variants[family][:, own.index(variant)])
    columns.append(part[:, names.index(OUTLIER)])
    return np.stack(columns, 1)
