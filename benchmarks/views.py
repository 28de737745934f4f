"""Predictions of images seen through several views: real images that tables of different input sizes share.

A generated image is only ever compared with real images seen through the same view; otherwise the size alone would
tell them apart. Each image is once in a dump, with its scores through the first view. The extra column ``view`` names
that view, and ``score@NAME`` and ``logit@NAME`` hold the scores of further views, NaN where there are none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.predictions import Predictions, Strings, binary_cross_entropy, merge

VIEW = "view"


@dataclass(frozen=True, eq=False)
class Part:
    """The images seen through one view."""

    view: str  # its name, "" where a dump has only one
    images: NDArray[np.int64]  # [K] positions in the whole dump, ascending
    predictions: Predictions  # of those images, through this view


def views_of(predictions: Predictions) -> list[str]:
    """Names of the views of a dump; [""] if it has only one."""
    if VIEW not in predictions.extra:
        return [""]
    further = [name.partition("@")[2] for name in predictions.extra if name.startswith("logit@")]
    return list(dict.fromkeys([*predictions.extra[VIEW].tolist(), *further]))


def by_view(predictions: Predictions) -> list[Part]:
    """The parts of a dump by view; an image that was seen through several is in the part of each."""
    names = views_of(predictions)
    if names == [""]:
        return [Part("", np.arange(len(predictions)), predictions)]
    own = {k: v for k, v in predictions.extra.items() if k != VIEW and not k.startswith(("score@", "logit@"))}
    parts = []
    for name in names:
        first = predictions.extra[VIEW] == name
        none = np.full(len(predictions), np.nan, np.float32)
        scores = np.where(first, predictions.fused_scores, predictions.extra.get(f"score@{name}", none))
        logits = np.where(first, predictions.fused_logits, predictions.extra.get(f"logit@{name}", none))
        images = np.flatnonzero(~np.isnan(scores))
        part = replace(predictions, extra=own).select(images)
        loss = binary_cross_entropy(logits[images], part.fused_labels)
        other, of = ~first[images], part.crop_to_image_index
        seen: dict[str, Any] = {
            f"{level}_{column}": np.where(where, values.astype(np.float32), getattr(part, f"{level}_{column}"))
            for level, where, index in (("fused", other, np.arange(images.size)), ("crop", other[of], of))
            for column, values in (
                ("scores", scores[images][index]), ("logits", logits[images][index]), ("losses", loss[index]),
            )
        }  # fmt: skip
        parts.append(Part(name, images, replace(part, **seen)))
    return parts


def joined(parts: Sequence[tuple[str, Predictions]], ids: Sequence[str] | Strings) -> Predictions:
    """The parts of several views, in the order of the ids, as one dump.

    Args:
        parts: name of each view and the predictions through it.
        ids: ids of all images.
    """
    if len(parts) == 1:
        return parts[0][1]
    seen: set[str] = set()
    first, further = [], []
    for name, part in parts:
        known = np.array([one in seen for one in part.fused_ids.tolist()], dtype=bool)
        seen |= set(part.fused_ids.tolist())
        fresh = part.select(~known)
        first.append(replace(fresh, extra={**fresh.extra, VIEW: np.full(len(fresh), name)}))
        if known.any():
            further.append((name, part.select(known)))
    whole = merge([part for part in first if len(part)], ids)
    place = {one: k for k, one in enumerate(whole.fused_ids.tolist())}
    extra: dict[str, NDArray[Any]] = dict(whole.extra)
    for name, part in further:
        where = [place[one] for one in part.fused_ids.tolist()]
        for column, values in (("score", part.fused_scores), ("logit", part.fused_logits)):
            extra[f"{column}@{name}"] = np.full(len(whole), np.nan, np.float32)
            extra[f"{column}@{name}"][where] = values
    return replace(whole, extra=extra)
