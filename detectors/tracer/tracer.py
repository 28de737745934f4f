"""The tracer: its settings, and a fitted tracer as a detector."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from contracts.batch import Batch, as_unit_float
from contracts.errors import CheckpointError, ConfigError, check_known, nearest
from contracts.view import Sides, View
from detectors.base import Detector, Scores
from detectors.tracer.deciding.decisions import Decision, known_logit, with_frequencies
from detectors.tracer.deciding.thresholds import STRATEGIES, Thresholding
from detectors.tracer.fitted import decision_in, fingerprint
from detectors.tracer.measuring.class_labels import POLICIES, LabelPolicy
from detectors.tracer.measuring.evidence_pass import EvidencePass
from detectors.tracer.measuring.membership import Spread
from detectors.tracer.measuring.zoo import Zoo
from detectors.tracer.models.quantise import Method
from detectors.tracer.models.sizes import OUTLIER
from detectors.tracer.models.tokenizer import NO_RESAMPLING

ROUTES = ("rule", "calibrated", "flat", "prada", "prada_single")


class Tracer(Detector):
    """Attribution of images to the generators whose weights are in a folder, or to ``outlier``.

    ``task=trace`` fits its decisions and writes the first route's decision as a checkpoint. With it the tracer scores
    images like any detector: the logit is the log-odds of "one of the generators" against ``outlier``.

    Args:
        weights: folder of weight files (:class:`detectors.tracer.measuring.zoo.Zoo`).
        variants: names of the variants to trace; all in the folder by default.
        inverse: family → file of its inverse decoder; without one the tokenizer's own encoder is used.
        quantiser: ``greedy``, ``soft`` (Algorithm 3) or ``icm``, for VAR.
        soft_steps: updates per stage of ``soft``.
        labels: class label policy, one of ``given classifier generator marginal null``.
        candidates: labels tried per image (policies ``classifier``, ``generator``, ``marginal``).
        classifier: timm name of an ImageNet classifier (policies ``classifier`` and ``marginal``).
        classifier_weights: weights file of the classifier; timm downloads it by default.
        routes: decisions to fit, of ``rule`` (thresholds, then variant), ``calibrated`` (family classifier, then
            variant), ``flat`` (one classifier), ``prada`` (joint), ``prada_single`` (as published); the first
            one decides.
        threshold: settings of :class:`detectors.tracer.deciding.thresholds.Thresholding`, for ``rule``.
        prior: class → expected frequency; the other classes share the rest equally. Balanced by default.
        spread: see :meth:`detectors.tracer.measuring.membership.TokenStatistics.surprise`.
        prada_epochs: updates of ``prada``; ``prada_single`` takes ten times as many.
        folds: number of folds of cross-fitting.
        seed: random seed of folds and of PRADA.

    Raises:
        ConfigError: a name is unknown, or settings do not go together.
        CheckpointError: there are no weights.
    """

    serves = ("trace", "validate", "test", "predict")

    def __init__(
        self,
        weights: str | Path,
        variants: Sequence[str] | None = None,
        inverse: Mapping[str, str | None] | None = None,
        quantiser: Method = "greedy",
        soft_steps: int = 200,
        labels: LabelPolicy = "generator",
        candidates: int = 5,
        classifier: str | None = None,
        classifier_weights: str | None = None,
        routes: Sequence[str] = ("calibrated",),
        threshold: Mapping[str, Any] | None = None,
        prior: Mapping[str, float] | None = None,
        spread: Spread = "variance",
        prada_epochs: int = 300,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__(View(), View(), channels_last=False)
        for key, value, known in (
            ("quantiser", quantiser, get_args(Method)),
            ("labels", labels, POLICIES),
            ("spread", spread, get_args(Spread)),
            *(("routes", route, ROUTES) for route in routes),
        ):
            if value not in known:
                raise ConfigError(f"detector.{key}: {value!r} is unknown", nearest(str(value), known))
        for key, number, least in (
            ("candidates", candidates, 1), ("soft_steps", soft_steps, 1), ("folds", folds, 2),
            ("prada_epochs", prada_epochs, 1),
        ):  # fmt: skip
            if number < least:
                raise ConfigError(f"detector.{key}={number} is too small", f"Set {least} or more.")
        if not routes:
            raise ConfigError("detector.routes is empty", f"Name some of {', '.join(ROUTES)}.")
        if labels in ("classifier", "marginal") and classifier is None:
            raise ConfigError(f"detector.labels={labels} without a classifier", "Set detector.classifier=TIMM_NAME.")
        zoo = Zoo.of(Path(weights).expanduser())
        self.zoo = zoo if variants is None else zoo.only(list(variants))
        self.sources = {**self.families, OUTLIER: ""}
        self.inverse = self._inverse(inverse or {})
        self.quantiser = quantiser
        self.soft_steps = soft_steps
        self.labels = labels
        self.candidates = candidates
        self.classifier = classifier
        self.classifier_weights = None if classifier_weights is None else Path(classifier_weights).expanduser()
        self.routes = tuple(dict.fromkeys(routes))
        self.threshold = self._thresholding(threshold or {})
        self.prior = self._prior(prior or {})
        self.spread = spread
        self.prada_epochs = prada_epochs
        self.folds = folds
        self.seed = seed
        self.net = nn.Module()  # empty: a checkpoint holds only the decision, and the models are in the folder
        self._about: Mapping[str, Any] = {}
        self._decision: Decision | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The variants, then ``outlier``."""
        return (*self.zoo.names, OUTLIER)

    @property
    def families(self) -> dict[str, str]:
        """Variant → family."""
        return {variant.name: variant.family for variant in self.zoo.variants}

    def label_classifier(self) -> nn.Module:
        """The classifier of the policies ``classifier`` and ``marginal``, on the CPU."""
        from detectors.tracer.measuring.label_candidates import LabelClassifier  # timm is slow to import

        classes = self.zoo.model(self.zoo.variants[0]).size.classes
        return LabelClassifier(str(self.classifier), classes, self.classifier_weights, self.candidates)

    def loss(self, batch: Batch) -> Tensor:  # noqa: ARG002 - the contract's signature
        """A tracer has no loss: task=trace fits the decisions."""
        raise ConfigError("a tracer is not trained with task=fit", "Fit its decisions with task=trace.")

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Check that its decision was fitted on the present models."""
        self._about = fingerprint(self.zoo, self.inverse).check(checkpoint)

    def on_load_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Build the decision from all entries; none are left for the network."""
        self._decision = decision_in(state, self._about, self.families)
        return {}

    @cached_property
    def _evidence(self) -> EvidencePass:
        return EvidencePass(
            self.zoo, self.inverse, quantiser=self.quantiser, soft_steps=self.soft_steps, labels=self.labels,
            candidates=self.candidates, classifier=self.label_classifier, spread=self.spread,
        )  # fmt: skip

    def sides(self) -> Sides:
        """The size of the generators' images."""
        family = next(iter(self.zoo.tokenizers))
        return Sides(exact=self.zoo.tokenizer(family).image_size, reason=NO_RESAMPLING)

    @torch.inference_mode(False)  # Algorithm 3 takes gradients
    def score(self, batch: Batch) -> Scores:
        """Log-posterior of every class, and as extras their probabilities ``p_<class>``."""
        if self._decision is None:
            raise CheckpointError(
                "this tracer has no fitted decision", "Set ckpt=tracer.ckpt, which task=trace writes."
            )
        evidence = self._evidence(as_unit_float(batch.images.clone()))
        posterior = with_frequencies(self._decision.log_proba(evidence), self.prior)
        classes = torch.from_numpy(posterior).float()
        probabilities = {f"p_{name}": column for name, column in zip(self.classes, classes.exp().T, strict=True)}
        return Scores(torch.from_numpy(known_logit(posterior)).float(), probabilities, classes)

    def _inverse(self, given: Mapping[str, str | None]) -> dict[str, Path]:
        found = {}
        for family, name in given.items():
            if family not in ("var", "rar"):
                raise ConfigError(f"detector.inverse.{family} is unknown", "Choose var or rar.")
            if name is not None and family in self.zoo.tokenizers:
                found[family] = Path(name).expanduser()
                if not found[family].is_file():
                    raise CheckpointError(f"detector.inverse.{family}={name}: no such file", "Check the path.")
        return found

    def _thresholding(self, node: Mapping[str, Any]) -> Thresholding:
        for key in node:
            if key not in Thresholding.__dataclass_fields__:
                raise ConfigError(
                    f"detector.threshold.{key} is unknown", nearest(key, Thresholding.__dataclass_fields__)
                )
        chosen = Thresholding(**node)
        check_known("detector.threshold.strategy", chosen.strategy, STRATEGIES)
        return chosen

    def _prior(self, given: Mapping[str, float]) -> dict[str, float]:
        """Frequencies of all classes, summing to 1."""
        for name, share in given.items():
            if name not in self.classes:
                raise ConfigError(f"detector.prior.{name} is not a class", nearest(name, self.classes))
            if not 0 < share < 1:
                raise ConfigError(f"detector.prior.{name}={share}", "Set a frequency between 0 and 1.")
        rest = [name for name in self.classes if name not in given]
        left = 1 - sum(given.values())
        if (rest and left <= 0) or (not rest and abs(left) > 1e-6):
            raise ConfigError(
                f"detector.prior sums to {1 - left:.4g}", "The frequencies of all classes must sum to 1, each above 0."
            )
        return {name: given[name] if name in given else left / len(rest) for name in self.classes}
