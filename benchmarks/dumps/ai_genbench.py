"""AI-GenBench's own dumps, completed to our columns."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError

THEIRS = {
    "fused_scores", "fused_labels", "fused_generator_ids", "fused_identifiers", "fused_losses", "crop_scores",
    "crop_labels", "crop_generator_ids", "crop_identifiers", "crop_losses", "crop_to_image_index", "pairing",
    "generator_id_to_name",
}  # fmt: skip


def from_ai_genbench(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Their columns completed to ours; images that padding of ranks scored twice are kept once (the first)."""
    identifiers, crop_identifiers = arrays["fused_identifiers"], arrays["crop_identifiers"]
    unique, first, counts = np.unique(identifiers, return_index=True, return_counts=True)
    keep = np.sort(first)
    position = np.searchsorted(unique, crop_identifiers)
    if not np.array_equal(unique[np.minimum(position, unique.size - 1)], crop_identifiers):
        raise DataError("crop_identifiers names images that fused_identifiers lacks", "Write the dump again.")
    image = np.searchsorted(keep, first)[position]
    order = np.argsort(image, kind="stable")
    crops = np.bincount(image, minlength=keep.size)
    rank = np.arange(order.size) - np.repeat(np.cumsum(crops) - crops, crops)
    copies = counts[np.argsort(first)]
    order = order[rank < np.repeat(crops // copies, crops)]
    result = dict(arrays)
    lengths = {len(arrays[name]) for name in THEIRS if name.startswith("fused_") or name == "pairing"}
    if len(lengths) > 1 or len({len(arrays[name]) for name in THEIRS if name.startswith("crop_")}) > 1:
        raise DataError(f"columns differ in length: { {name: len(arrays[name]) for name in sorted(THEIRS)} }")
    for name in ("fused_multiclass_predictions", "crop_multiclass_predictions"):
        if name in result:
            result[name.replace("multiclass_predictions", "multi_logits")] = result.pop(name)
            result["class_names"] = result["generator_id_to_name"]
    for name, column in list(result.items()):
        if name.startswith("fused_") or name == "pairing":
            result[name] = column[keep]
        elif name.startswith("crop_"):
            result[name] = column[order]
    result["crop_to_image_index"] = image[order]
    result["fused_ids"] = result["fused_identifiers"].astype(np.str_)
    for level in ("fused", "crop"):
        scores = result[f"{level}_scores"].astype(np.float64)
        with np.errstate(divide="ignore"):
            result[f"{level}_logits"] = (np.log(scores) - np.log1p(-scores)).astype(np.float32)
    for name in ("source", "group", "where"):
        result[name] = np.full(keep.size, "", dtype="U1")
    result["row"] = np.full(keep.size, -1, dtype=np.int64)
    result.setdefault("windows_timeline", np.zeros((0, 0), dtype="U1"))
    facts = {"format": "AI-GenBench", "duplicates_dropped": int(identifiers.size - keep.size)}
    result["provenance"] = np.asarray(json.dumps(facts))
    return result
