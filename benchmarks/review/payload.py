"""The data of the page's script: small things as JSON, columns packed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.attribution.measures import Attribution
from benchmarks.predictions import Predictions
from benchmarks.review.deliveries import collect_deliveries
from benchmarks.review.gallery import Gallery
from benchmarks.review.join import Joined
from benchmarks.review.maps import collect_maps
from benchmarks.review.packing import Packer
from benchmarks.review.slices import Column


@dataclass(frozen=True)
class Payload:
    """What the page's script reads."""

    data: str  # JSON that is safe inside a script element
    columns: str  # the columns that it refers to, as base64


def payload(
    joined: Joined, gallery: Gallery, people: Sequence[dict[str, Any]] = (), slices: Sequence[Column] = ()
) -> Payload:
    """The data of a page; ``people`` are points of the curves."""
    packer = Packer()
    content = {
        "negative": negative(joined.dumps),
        "hash": _hash(joined),
        "ids": packer.texts(joined.ids.tolist()),
        "label": packer.numbers(joined.column("fused_labels"), "i1"),
        "generator": packer.dictionary(joined.column("generators")),
        "source": packer.dictionary(joined.column("source")),
        "group": packer.dictionary(joined.column("group")),
        "place": packer.dictionary(joined.column("where")),
        "row": packer.numbers(joined.column("row"), "i4"),
        "dumps": [_dump(joined, d, packer) for d in range(len(joined.dumps))],
        "images": {str(position): asdict(shown) for position, shown in gallery.shown.items()},
        "maps": {str(position): shown for position, shown in collect_maps(joined, gallery.shown).items()},
        "facts": {str(position): facts for position, facts in gallery.facts.items()},
        "deliveries": collect_deliveries(joined, gallery.shown),
        "people": list(people),
        "windows": _windows(joined),
        "slices": [_slice(column, packer) for column in slices],
    }
    # "<" would end the script element that holds it, or open a comment
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Payload(data, packer.base64())


def _hash(joined: Joined) -> str:
    """Hash of ids and scores; a reader's marks belong to all pages with the same hash."""
    digest = hashlib.sha256("\n".join(joined.ids.tolist()).encode())
    for d in range(len(joined.dumps)):
        digest.update(joined.measured(d, "fused_scores").astype("<f4").tobytes())
    return digest.hexdigest()[:16]


def negative(dumps: Sequence[Predictions]) -> str:
    """The name of label 0: "real", or for a tracer "outlier", which includes images of generators it does not know."""
    return "outlier" if all(dump.class_names is not None for dump in dumps) else "real"


def aligned(dump: Predictions) -> str | None:
    """How its generated images were aligned with real ones before they were scored (``datamodule.align``)."""
    protocol = dump.about.get("protocol")
    return protocol.get("align") if isinstance(protocol, Mapping) else None


def _windows(joined: Joined) -> dict[str, int]:
    """AI-GenBench's window of each generator, from 1 on."""
    timeline = next((dump.windows_timeline for dump in joined.dumps if dump.windows_timeline.size), ())
    return {str(name): k for k, window in enumerate(timeline, 1) for name in window if name}


def _slice(column: Column, packer: Packer) -> dict[str, Any]:
    """What the page filters by."""
    codes = packer.numbers(column.codes, "u1")
    shown = {"name": column.name, "values": column.values, "against": column.against, "answers": column.answers}
    return shown | {"codes": codes}


def _dump(joined: Joined, d: int, packer: Packer) -> dict[str, Any]:
    dump, held, place = joined.dumps[d], joined.place[d] >= 0, joined.place[d]
    chosen = dump.about.get("threshold")
    crops = None
    if len(dump.crop_scores) > len(dump):
        counts = np.bincount(dump.crop_to_image_index, minlength=len(dump))
        order = np.argsort(dump.crop_to_image_index, kind="stable")
        crops = {
            "start": packer.spread(np.cumsum(counts) - counts, held, place),
            "count": packer.spread(counts, held, place),
            "scores": packer.numbers(dump.crop_scores[order], "f4"),
        }
    return {
        "name": joined.names[d],
        "aligned": aligned(dump),
        "seen": list(dump.about.get("seen_generators") or ()),
        "chosen": None if chosen is None else float(chosen),
        "score": packer.numbers(joined.measured(d, "fused_scores"), "f4"),
        "logit": packer.numbers(joined.measured(d, "fused_logits"), "f4"),
        "extra": {name: packer.spread(column, held, place) for name, column in dump.extra.items()},
        "crops": crops,
        "traced": _traced(joined, d, packer),
    }


def _traced(joined: Joined, d: int, packer: Packer) -> dict[str, Any] | None:
    """The classes of a tracer's dump, and the true and the likeliest one of each labelled image."""
    dump = joined.dumps[d]
    if dump.class_names is None or dump.fused_multi_logits is None:
        return None
    answers = Attribution.of(dump)
    known = np.zeros(joined.ids.size, bool)
    held = joined.place[d] >= 0
    known[held] = dump.fused_labels[joined.place[d, held]] >= 0
    place = np.cumsum(dump.fused_labels >= 0) - 1
    own = np.where(known, place[joined.place[d]], -1)
    columns = {"truth": answers.truth, "answer": answers.answer}
    return {"classes": answers.classes, **{name: packer.spread(v, known, own) for name, v in columns.items()}}
