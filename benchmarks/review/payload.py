"""The data of the page's script: columns as base64, names as dictionaries."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.predictions import Predictions
from benchmarks.review.gallery import Gallery
from benchmarks.review.join import Joined
from benchmarks.review.maps import collect_maps
from benchmarks.review.slices import Column


def payload(
    joined: Joined, gallery: Gallery, people: Sequence[dict[str, Any]] = (), slices: Sequence[Column] = ()
) -> str:
    """JSON that is safe inside a script element of a page; ``people`` are points of the curves."""
    generators, generator = _dictionary(joined.column("generators"))
    sources, source = _dictionary(joined.column("source"))
    places, place = _dictionary(joined.column("where"))
    groups, group = _dictionary(joined.column("group"))
    content = {
        "negative": negative(joined.dumps),
        "hash": _hash(joined),
        "ids": joined.ids.tolist(),
        "label": _base64(joined.column("fused_labels"), "i1"),
        "generators": generators,
        "generator": generator,
        "sources": sources,
        "source": source,
        "groups": groups,
        "group": group,
        "places": places,
        "place": place,
        "row": _base64(joined.column("row"), "<i4"),
        "dumps": [_dump(joined, d) for d in range(len(joined.dumps))],
        "images": {str(position): asdict(shown) for position, shown in gallery.shown.items()},
        "maps": {str(position): shown for position, shown in collect_maps(joined, gallery.shown).items()},
        "people": list(people),
        "slices": [column.as_json() for column in slices],
    }
    # "<" would end the script element that holds it, or open a comment
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(joined: Joined) -> str:
    """Of the ids and scores: what a reader notes on images belongs to pages with the same ones."""
    digest = hashlib.sha256("\n".join(joined.ids.tolist()).encode())
    for d in range(len(joined.dumps)):
        digest.update(joined.measured(d, "fused_scores").astype("<f4").tobytes())
    return digest.hexdigest()[:16]


def negative(dumps: Sequence[Predictions]) -> str:
    """The name of label 0: a tracer's images are by one of its generators or by none of them, real or not."""
    return "outlier" if all(dump.class_names is not None for dump in dumps) else "real"


def _dump(joined: Joined, d: int) -> dict[str, Any]:
    dump = joined.dumps[d]
    chosen = dump.about.get("threshold")
    held = joined.place[d] >= 0
    extra = {}
    for name, column in dump.extra.items():
        values: list[Any] = [None] * joined.ids.size
        for k, value in zip(np.flatnonzero(held).tolist(), column[joined.place[d, held]].tolist(), strict=True):
            values[k] = value if not isinstance(value, float) or isfinite(value) else None
        extra[name] = values
    crops = {}
    if len(dump.crop_scores) > len(dump):
        order = np.argsort(dump.crop_to_image_index, kind="stable")
        counts = np.bincount(dump.crop_to_image_index, minlength=len(dump))
        starts = np.cumsum(counts) - counts
        crops = {
            str(k): [round(float(s), 6) for s in dump.crop_scores[order[starts[p] : starts[p] + counts[p]]]]
            for k, p in enumerate(joined.place[d].tolist())
            if p >= 0 and counts[p] > 1
        }
    return {
        "name": joined.names[d],
        "chosen": None if chosen is None else float(chosen),
        "score": _base64(joined.measured(d, "fused_scores"), "<f4"),
        "logit": _base64(joined.measured(d, "fused_logits"), "<f4"),
        "extra": extra,
        "crops": crops,
    }


def _dictionary(values: NDArray[np.str_]) -> tuple[list[str], str]:
    """Distinct strings and, as base64 of uint32, which of them each value is."""
    names, index = np.unique(values, return_inverse=True)
    return names.tolist(), _base64(index, "<u4")


def _base64(values: NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()
