"""Scores of several detectors, or columns of their dumps, as one score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.calibration.forms import Affine
from benchmarks.calibration.methods import fit
from benchmarks.predictions import Predictions, from_crops
from benchmarks.real_stats.independence import cliques, cramers_v, selected
from benchmarks.real_stats.p_values import BinnedReference, combined, exact_p_values
from contracts.errors import ConfigError, DataError, nearest

RULES = ("mean", "calibrated_mean", "rank_mean", "weighted", "stouffer", "minimum")
P_VALUES = RULES[-2:]
LOGIT = "logit"
UNIFORM_LEVEL = 0.05  # Of the test whether combined p-values of real images are uniform
PUBLISHED_LEVEL, PUBLISHED_SEED = 0.4, 38  # Of the command line of RealStats
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Scores of the images that all dumps hold."""

    names: list[str]  # [k] of the columns
    values: Matrix  # [n, k] float64
    images: Predictions  # the first dump, of these images alone, in its order
    origins: Sequence[tuple[str, str]] = ()  # [k] dump and column that each came from


@dataclass(frozen=True)
class Combination:
    """A score combined from several."""

    logits: Matrix  # [n] float64, higher means more likely generated
    extra: dict[str, Matrix] = field(default_factory=dict)  # further columns [n] by name
    about: dict[str, Any] = field(default_factory=dict)  # what was fitted, in plain containers, for a reader
    fitted: dict[str, Any] = field(default_factory=dict)
    """What a checkpoint must keep: ``weights`` [k] and ``bias``, or the ``reference`` [n, k] of ranks or of p-values.
    """
    rule: str = "linear"  # name of the rule in a checkpoint (`detectors.ensemble.detector.Rule`)
    columns: tuple[str, ...] = ()  # [k] names of the columns that went into it; empty for all


def columns_of(dumps: Mapping[str, Predictions], wanted: Sequence[str] = ()) -> Columns:
    """The columns of several dumps, joined by image id.

    Args:
        dumps: dumps by name.
        wanted: columns to take of each dump; none for its logit.

    Raises:
        DataError: a dump lacks a column or holds a value that is not a number, no image is in all, or labels disagree.
    """
    (first_name, first), *others = dumps.items()
    shared = set(first.fused_ids.tolist()).intersection(*(other.fused_ids.tolist() for _, other in others))
    if not shared:
        raise DataError(f"no image is in all of {', '.join(dumps)}", "Combine dumps of the same images.")
    images = first.select(np.isin(first.fused_ids, sorted(shared)))
    names, values, origins = [], [], []
    for name, dump in dumps.items():
        place = {image: k for k, image in enumerate(dump.fused_ids.tolist())}
        own = dump.select(np.array([place[image] for image in images.fused_ids.tolist()]))
        if not np.array_equal(own.fused_labels, images.fused_labels):
            raise DataError(f"{name} and {first_name} disagree about labels", "Combine dumps of one data set.")
        for column in wanted or (LOGIT,):
            found = own.fused_logits if column == LOGIT else own.extra.get(column)
            if found is None or found.dtype.kind not in "fiu" or found.ndim > 1:
                raise DataError(f"{name} has no column {column!r} of numbers", nearest(column, [LOGIT, *own.extra]))
            if not np.isfinite(found).all():
                raise DataError(f"{name}: column {column!r} is not finite for every image", "Leave this column out.")
            names.append(name if not wanted else column if len(dumps) == 1 else f"{name}.{column}")
            origins.append((name, column))
            values.append(found.astype(np.float64))
    if len(values) < 2:
        raise DataError("there is one column, so nothing to combine", "Give more dumps or columns.")
    return Columns(names, np.stack(values, 1), images, origins)


def combine(
    columns: Columns,
    rule: str,
    reference: Columns | None = None,
    independence: float = 0.05,
    published: bool = False,
) -> Combination:
    """Combines several columns into one score.

    Args:
        columns: scores of the images to score.
        rule: ``mean`` of the columns; ``calibrated_mean``: of each after Platt's calibration on the reference (made for
            logits); ``rank_mean``: of their ranks among the reference; ``weighted``: logistic
            regression on the reference; ``stouffer`` or ``minimum`` of two-sided p-values among the real images of the
            reference, of the largest set of columns that are independent there.
        reference: scores of other images, needed by all rules but ``mean``.
        independence: Cramér's V from which two columns count as dependent.
        published: for p-values, everything as RealStats' code does it by default: a histogram of 1000 bins, dependence
            of two-sided p-values, and a test of uniformity on 1000 real images that rejects too good a fit
            (|p - 1/2| > 0.4).

    Raises:
        ConfigError: an unknown rule, one that needs a reference, or ``published`` with a rule without p-values.
        DataError: the reference has other columns or lacks a class, or no columns are independent.
    """
    if rule not in RULES:
        raise ConfigError(f"combine.rule={rule!r} is unknown", nearest(rule, RULES))
    if published and rule not in P_VALUES:
        raise ConfigError(
            f"combine.published=true with combine.rule={rule}, which uses no p-values",
            f"Remove combine.published, or choose combine.rule={' or '.join(P_VALUES)}.",
        )
    if rule == "mean":
        count = len(columns.names)
        return Combination(columns.values.mean(1), fitted={"weights": np.full(count, 1 / count), "bias": 0.0})
    if reference is None:
        raise ConfigError(
            f"combine.rule={rule} has to be fitted on other images", "Give combine.reference, or combine.rule=mean."
        )
    if reference.names != columns.names:
        raise DataError(
            f"the reference has columns {reference.names}, the inputs {columns.names}",
            "Give a combine.reference with the same columns as combine.inputs.",
        )
    if rule == "rank_mean":
        ranks = _ranks(reference.values, columns.values).mean(1)
        return Combination(_logit(ranks), fitted={"reference": reference.values}, rule="rank_mean")
    labels = reference.images.fused_labels
    if rule in ("weighted", "calibrated_mean"):
        known = labels >= 0
        if set(labels[known].tolist()) != {0, 1}:
            raise DataError("the reference does not hold both classes", f"combine.rule={rule} needs both.")
        make = _weighted if rule == "weighted" else _calibrated_mean
        return make(columns, reference.values[known], labels[known])
    real = reference.values[labels == 0]
    if not len(real):
        raise DataError("the reference holds no real image", "Give a reference with images of label 0.")
    p_value = _published_p_values if published else exact_p_values
    p_real, p = (
        np.stack([p_value(real[:, k], values[:, k]) for k in range(real.shape[1])], 1)
        for values in (real, columns.values)
    )
    judged = cramers_v(p_real, published=True) if published else cramers_v(_ranks(real, real))
    level, seed = (PUBLISHED_LEVEL, PUBLISHED_SEED) if published else (UNIFORM_LEVEL, None)
    chosen = list(selected(p_real, cliques(judged, independence), rule, level, published_seed=seed))
    total = combined(p[:, chosen], rule)[1]
    names = tuple(columns.names[k] for k in chosen)
    about = {"columns": list(names), "real_images": len(real), "published": published}
    return Combination(_logit(1 - total), {"p_value": total}, about, {"reference": real[:, chosen]}, rule, names)


def _published_p_values(reference: Matrix, values: Matrix) -> Matrix:
    return BinnedReference.of(reference).both(values)


def _ranks(reference: Matrix, values: Matrix) -> Matrix:
    """Share of the reference below each value, ties counted half, kept inside (0, 1): [m, k] of [n, k] and [m, k]."""
    ordered = np.sort(reference, axis=0)
    each = [
        (np.searchsorted(o, v, side="left") + np.searchsorted(o, v, side="right") + 1) / (2 * len(o) + 2)
        for o, v in zip(ordered.T, values.T, strict=True)
    ]
    return np.stack(each, 1)


def _weighted(columns: Columns, reference: Matrix, labels: NDArray[np.int64]) -> Combination:
    centre, scale = reference.mean(0), reference.std(0)
    scale[scale == 0] = 1.0
    fitted = LogisticRegression().fit((reference - centre) / scale, labels)
    weights = fitted.coef_[0] / scale
    return _linear(columns, weights, float(fitted.intercept_[0] - (centre * weights).sum()))


def _calibrated_mean(columns: Columns, reference: Matrix, labels: NDArray[np.int64]) -> Combination:
    fitted: list[Affine] = []
    for name, values in zip(columns.names, reference.T, strict=True):
        try:
            fitted.append(cast("Affine", fit("platt", values, labels)))
        except DataError as error:
            raise DataError(
                f"{name} cannot be calibrated: its scores of the reference separate the classes without an error, or "
                "do not rise with the share of generated images",
                "Give a larger combine.reference, or combine.rule=weighted or rank_mean.",
            ) from error
    count = len(fitted)
    return _linear(columns, np.array([one.slope for one in fitted]) / count, sum(one.offset for one in fitted) / count)


def _linear(columns: Columns, weights: Matrix, bias: float) -> Combination:
    # not as a product of matrices, which sums the last rows in another order: equal images get equal scores
    logits = (columns.values * weights).sum(1) + bias
    about = {"weights": dict(zip(columns.names, weights.tolist(), strict=True)), "bias": bias}
    return Combination(logits, about=about, fitted={"weights": weights, "bias": bias})


def _logit(share: Matrix) -> Matrix:
    kept = np.clip(share, 1e-12, 1 - 1e-12)
    return np.log(kept) - np.log1p(-kept)


def dump(columns: Columns, found: Combination, provenance: Mapping[str, Any]) -> Predictions:
    """A dump of the combined score, with every column that went into it."""
    images = columns.images
    extra = {f"vote_{name}": columns.values[:, k] for k, name in enumerate(columns.names)}
    return from_crops(
        found.logits,
        np.arange(len(images)),
        images.fused_labels,
        images.fused_generator_ids,
        images.fused_ids,
        generator_id_to_name=images.generator_id_to_name,
        identifiers=images.fused_identifiers,
        source=images.source,
        group=images.group,
        where=images.where,
        row=images.row,
        extra={**images.extra, **extra, **found.extra},
        provenance=provenance,
    )
