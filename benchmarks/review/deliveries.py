"""Scores of a page's images after re-delivery, from the dumps that ``benchmark=robustness`` leaves beside a dump."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.predictions import Predictions, read_predictions
from benchmarks.review.join import Joined

PATTERN = "deliveries/predictions_*_all.npz"
SAME = ("checkpoint_sha256", "experiment")
"""Keys of the provenance that a delivery's dump shares with the dump beside it."""


def collect_deliveries(joined: Joined, positions: Iterable[int]) -> list[dict[str, Any]]:
    """For each dump a mapping with ``names`` of its deliveries, ``left`` and ``images``.

    ``images`` holds, by position, the score and logit after every delivery (None where the image was not scored);
    ``left`` counts dumps of deliveries that are of another checkpoint or were scored through several views.

    Args:
        joined: the dumps.
        positions: positions of the joined images to look up.

    Raises:
        DataError: a dump of a delivery cannot be read.
    """
    kept = list(positions)
    return [_of(joined, d, path, kept) for d, path in enumerate(joined.paths)]


def _of(joined: Joined, d: int, path: Path, positions: list[int]) -> dict[str, Any]:
    whole = joined.dumps[d]
    found: dict[str, Predictions] = {}
    left = 0
    for file in sorted(path.parent.glob(PATTERN)) if positions else ():
        dump = read_predictions(file)
        if any(dump.about.get(key) != whole.about.get(key) for key in SAME) or "view" in dump.extra:
            left += 1
            continue
        found[str(dump.about.get("delivery") or file.name[len("predictions_") : -len("_all.npz")])] = dump
    ids = joined.ids[positions]
    columns = [_scores(dump, ids) for dump in found.values()]
    held = joined.place[d, positions] >= 0
    images = {
        str(position): [column[k] for column in columns]
        for k, position in enumerate(positions)
        if held[k] and any(column[k] is not None for column in columns)
    }
    return {"names": list(found), "left": left, "images": images}


def _scores(dump: Predictions, ids: np.ndarray) -> list[list[float] | None]:
    """Score, to the nine digits that keep a float32, and logit of each id."""
    place = {one: k for k, one in enumerate(dump.fused_ids.tolist())}
    return [
        [float(f"{dump.fused_scores[place[one]]:.9g}"), round(float(dump.fused_logits[place[one]]), 4)]
        if one in place
        else None
        for one in ids.tolist()
    ]
