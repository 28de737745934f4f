"""What a detector relies on: AUROC when both classes are delivered alike, compared with only one of them.

A detector that is not robust loses AUROC when every image is re-encoded. One that is biased loses or gains it when only
one class is: it takes the traces of re-encoding for a sign of a class. Both follow from two passes over the images, one
of them delivered, because AUROC with one class delivered mixes the scores of both passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import Subset, measured
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.ends import interval_of
from benchmarks.metrics import choose
from benchmarks.predictions import Predictions
from contracts.errors import DataError

CONDITIONS: dict[str, tuple[int, ...]] = {"neither": (), "both": (0, 1), "generated": (1,), "real": (0,)}
"""Labels of the images that are delivered."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A number with its 95 % interval, NaN where there is none."""

    value: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class DeliveryBias:
    """One delivery."""

    name: str  # name of the delivery
    real: int  # real images that could be scored in both passes
    generated: int  # generated images that could be scored in both
    aurocs: Mapping[str, Figure]  # by condition of `CONDITIONS`
    robustness: Figure  # AUROC with both classes delivered, minus that with neither
    bias: Figure
    """AUROC with only generated images delivered, minus that with only real ones. Above 0, delivered images look more
    generated to the detector, below 0 more real."""
    shift_real: Figure  # mean change of a real image's logit
    shift_generated: Figure  # mean change of a generated image's logit


def delivery_biases(
    clean: Predictions, delivered: Mapping[str, Predictions], bootstrap: Bootstrap | None = None
) -> list[DeliveryBias]:
    """Every delivery, that with the greatest bias first; all share the resamples of photographs.

    Args:
        clean: labelled images as they are.
        delivered: the same images after each delivery; images that could not be scored are left out.
        bootstrap: how intervals are made.

    Raises:
        DataError: a class has no image that was scored in both passes.
    """
    bootstrap = bootstrap or Bootstrap()
    found = [_bias(name, *_common(name, clean, one), bootstrap) for name, one in delivered.items()]
    return sorted(found, key=lambda one: -abs(one.bias.value))


def _common(name: str, clean: Predictions, delivered: Predictions) -> tuple[Predictions, Predictions]:
    """Labelled images of both, in one order."""
    known = clean.fused_ids[clean.fused_labels >= 0]
    _, first, second = np.intersect1d(clean.fused_ids, delivered.fused_ids, assume_unique=True, return_indices=True)
    keep = np.isin(clean.fused_ids[first], known)
    pair = clean.select(first[keep]), delivered.select(second[keep])
    missing = {0, 1} - set(pair[0].fused_labels.tolist())
    if missing:
        kind = ("real", "generated")[min(missing)]
        raise DataError(
            f"no {kind} image was scored as it is and after {name}", "Give a data set whose labels are 0 and 1."
        )
    return pair


def mixed(clean: Predictions, delivered: Predictions, labels: Sequence[int]) -> Predictions:
    """The dump in which only images with these labels were delivered."""
    chosen = np.isin(clean.fused_labels, labels)
    return replace(
        clean,
        fused_logits=np.where(chosen, delivered.fused_logits, clean.fused_logits),
        fused_scores=np.where(chosen, delivered.fused_scores, clean.fused_scores),
    )


def _bias(name: str, clean: Predictions, delivered: Predictions, bootstrap: Bootstrap) -> DeliveryBias:
    values: dict[str, float] = {}
    draws: dict[str, Floats] = {}
    every, specs = [Subset("pooled", "", np.arange(len(clean)))], choose(("auroc",))
    for condition, labels in CONDITIONS.items():
        dump = mixed(clean, delivered, labels)
        results = measured(dump, every, {}, specs)
        values[condition] = results[0].value
        draws[condition] = bootstrap.draw(dump, results, sets=every, specs=specs)[results[0].key]

    def figure(value: float, drawn: Floats) -> Figure:
        return Figure(value, *interval_of(drawn, bootstrap.level))

    def difference(one: str, other: str) -> Figure:
        return figure(values[one] - values[other], draws[one] - draws[other])

    shift = delivered.fused_logits.astype(np.float64) - clean.fused_logits
    classes = np.stack([clean.fused_labels == label for label in (0, 1)])
    # a class is never absent from a draw: clusters are drawn within strata of classes
    means = np.array([(classes * row) @ shift / (classes @ row) for row in bootstrap.weights(clean)]).reshape(-1, 2)
    shifts = [figure(float(shift[own].mean()), drawn) for own, drawn in zip(classes, means.T, strict=True)]
    return DeliveryBias(
        name, int((clean.fused_labels == 0).sum()), int((clean.fused_labels == 1).sum()),
        {condition: figure(values[condition], draws[condition]) for condition in CONDITIONS},
        difference("both", "neither"), difference("generated", "real"), *shifts,
    )  # fmt: skip
