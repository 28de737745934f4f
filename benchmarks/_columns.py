"""The columns of a dump: one record of arrays with matching lengths."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Strings = NDArray[np.str_]

IMAGE_COLUMNS = {
    "fused_ids": "U", "fused_scores": "f4", "fused_logits": "f4", "fused_labels": "i8", "fused_generator_ids": "i8",
    "fused_identifiers": "i8", "fused_losses": "f4", "pairing": "i8", "source": "U", "group": "U", "where": "U",
    "row": "i8",
}  # fmt: skip
CROP_COLUMNS = {
    "crop_scores": "f4", "crop_logits": "f4", "crop_labels": "i8", "crop_generator_ids": "i8",
    "crop_identifiers": "i8", "crop_losses": "f4", "crop_to_image_index": "i8",
}  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """Scores of N images seen in M crops (M = N unless several crops are fused); higher means more likely generated."""

    fused_ids: Strings  # [N] the manifest's ids, unique
    fused_scores: Floats  # [N] float32, P(generated) in [0, 1]
    fused_logits: Floats  # [N] float32; infinite where only a saturated score is known (dumps of other programs)
    fused_labels: Ints  # [N] 0 real, 1 generated, -1 unknown
    fused_generator_ids: Ints  # [N] index into ``generator_id_to_name``; 0 for real images
    fused_identifiers: Ints  # [N] row in the manifest, unique
    fused_losses: Floats  # [N] binary cross-entropy, mean over the image's crops; NaN where the label is unknown
    pairing: Ints
    """[N] for a real image the generator id it is paired with, else -1 (AI-GenBench pairs reals and fakes)."""
    source: Strings  # [N] where the image comes from (a data set, a package); "" where unknown
    group: Strings  # [N] the photograph or prompt the image was made from; "" where it shares one with no other image
    where: Strings  # [N] file or container the image is in; "" where unknown
    row: Ints  # [N] row in that container, -1 for a file
    crop_scores: Floats  # [M] as ``fused_scores``, of each crop; the other ``crop_`` columns follow the same rule
    crop_logits: Floats
    crop_labels: Ints
    crop_generator_ids: Ints
    crop_identifiers: Ints
    crop_losses: Floats
    crop_to_image_index: Ints
    """[M] position 0..N-1 of the crop's image in the fused columns. (AI-GenBench's own dumps count within a batch; the
    reader recovers the position from ``crop_identifiers``.)"""
    generator_id_to_name: Strings  # [G] names; index 0 is ""
    windows_timeline: Strings  # [W, G/W] generator names of each window; [0, 0] without windows
    fused_multi_logits: Floats | None = None  # [N, K] logits of a tracer, one per class
    crop_multi_logits: Floats | None = None  # [M, K]
    class_names: Strings | None = None  # [K]
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # further columns, [N] each, numbers or strings
    provenance: str = "{}"
    """JSON: config hash, checkpoint hash, versions, decoder, stage, threshold, seeds, seen_generators, images (where
    the pixels are)."""

    def __post_init__(self) -> None:
        _check_columns(self)
        _check_values(self)

    def __len__(self) -> int:
        return len(self.fused_ids)

    @property
    def generators(self) -> Strings:
        """[N] generator name of every image, "" for real ones."""
        return np.asarray(self.generator_id_to_name[self.fused_generator_ids])

    @property
    def about(self) -> dict[str, Any]:
        """Provenance, parsed."""
        return dict(json.loads(self.provenance))

    def with_provenance(self, **facts: Any) -> "Predictions":
        """The same predictions with facts added to (or replaced in) the provenance."""
        return replace(self, provenance=json.dumps({**self.about, **facts}, sort_keys=True))

    def select(self, images: NDArray[np.int64] | NDArray[np.bool_]) -> "Predictions":
        """A subset or reordering: positions, or a mask, of the images wanted; their crops follow."""
        chosen = np.arange(len(self))[images]
        order = np.argsort(self.crop_to_image_index, kind="stable")
        counts = np.bincount(self.crop_to_image_index, minlength=len(self))
        starts = np.cumsum(counts) - counts
        within = np.arange(int(counts[chosen].sum())) - np.repeat(
            np.cumsum(counts[chosen]) - counts[chosen], counts[chosen]
        )
        crops = order[np.repeat(starts[chosen], counts[chosen]) + within]
        return replace(
            self,
            **{name: getattr(self, name)[chosen] for name in IMAGE_COLUMNS},
            **{name: getattr(self, name)[crops] for name in CROP_COLUMNS if name != "crop_to_image_index"},
            crop_to_image_index=np.repeat(np.arange(chosen.size), counts[chosen]),
            fused_multi_logits=None if self.fused_multi_logits is None else self.fused_multi_logits[chosen],
            crop_multi_logits=None if self.crop_multi_logits is None else self.crop_multi_logits[crops],
            extra={name: column[chosen] for name, column in self.extra.items()},
        )


def _check_columns(p: Predictions) -> None:
    for columns, count in ((IMAGE_COLUMNS, len(p.fused_ids)), (CROP_COLUMNS, len(p.crop_scores))):
        for name, kind in columns.items():
            column = getattr(p, name)
            if column.shape != (count,):
                raise DataError(f"{name} has shape {list(column.shape)}, expected [{count}]: columns differ in length")
            if (column.dtype.kind if kind == "U" else column.dtype.str[1:]) != kind:
                raise DataError(f"{name} is {column.dtype}, expected {'strings' if kind == 'U' else np.dtype(kind)}")
    for name, column in p.extra.items():
        if column.shape != (len(p),) or column.dtype.kind not in "iufbU":
            raise DataError(
                f"extra_{name} is {column.dtype} {list(column.shape)}, expected numbers or strings [{len(p)}]"
            )
    for name, count in (("fused_multi_logits", len(p)), ("crop_multi_logits", len(p.crop_scores))):
        logits = getattr(p, name)
        if logits is not None and (p.class_names is None or logits.shape != (count, len(p.class_names))):
            raise DataError(f"{name} has shape {list(logits.shape)}, expected [{count}, K] with K class_names")


def _check_values(p: Predictions) -> None:
    scores = np.concatenate([p.fused_scores, p.crop_scores])
    if not ((scores >= 0) & (scores <= 1)).all():
        bad = scores[~((scores >= 0) & (scores <= 1))][0]
        raise DataError(f"a score is {bad}, not a probability", "Scores are sigmoids; look for NaN in training.")
    if not np.isin(p.fused_labels, (-1, 0, 1)).all():
        raise DataError(
            f"labels {np.setdiff1d(p.fused_labels, (-1, 0, 1))[:5].tolist()} are unknown", "0 real, 1 generated."
        )
    ids = p.fused_generator_ids
    if ids.size and not (ids.min() >= 0 and ids.max() < len(p.generator_id_to_name)):
        raise DataError(f"generator id {ids.max()} has no name among {len(p.generator_id_to_name)}")
    for name in ("fused_ids", "fused_identifiers"):
        values, counts = np.unique(getattr(p, name), return_counts=True)
        if values.size < len(p):
            raise DataError(f"{name} holds {values[counts > 1][0]!r} {counts.max()} times", "Each image counts once.")
    place = p.crop_to_image_index
    if place.size and not (place.min() >= 0 and place.max() < len(p)):
        raise DataError(f"crop_to_image_index goes from {place.min()} to {place.max()}, but there are {len(p)} images")
    if not np.array_equal(p.fused_identifiers[place], p.crop_identifiers):
        raise DataError("crop_to_image_index and crop_identifiers disagree on which image a crop belongs to")
    try:
        json.loads(p.provenance)
    except json.JSONDecodeError as error:
        raise DataError(f"provenance is not valid JSON: {error}") from error
