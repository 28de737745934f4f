"""The npz dump: a detector's scores of every image. One writer, one reader, no pickle.

Arrays have AI-GenBench's names and meanings (training_metrics/predictions_dump.py of MI-BioLab/AI-GenBench), so its
own evaluation scripts read our dumps and we read theirs; ours add string ids, logits, origins and provenance.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dumps.ai_genbench import THEIRS, from_ai_genbench
from benchmarks.dumps.columns import CROP_COLUMNS, IMAGE_COLUMNS, Floats, Ints, Predictions, Strings
from benchmarks.fusion import Fusion, fuse
from contracts.errors import DataError
from contracts.files import write_npz

__all__ = [
    "Floats", "Ints", "Predictions", "Strings", "binary_cross_entropy", "from_crops", "merge", "read_predictions",
    "sigmoid", "write_predictions",
]  # fmt: skip

OPTIONAL = ("fused_multi_logits", "crop_multi_logits", "class_names")


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """P(generated) as float32, rounded once from float64."""
    x = np.asarray(logits, dtype=np.float64)
    return np.exp(-np.logaddexp(0, -x)).astype(np.float32)


def binary_cross_entropy(logits: NDArray[np.floating], labels: Ints) -> Floats:
    """Loss of each logit, float32; NaN where the label is unknown (-1)."""
    x = np.asarray(logits, dtype=np.float64)
    return np.where(labels < 0, np.nan, np.logaddexp(0, np.where(labels == 1, -x, x))).astype(np.float32)


def image_columns(manifest: Any, rows: NDArray[np.integer]) -> dict[str, Any]:
    """Arguments of :func:`from_crops` that describe the images of manifest rows [N]."""
    columns = {name: manifest.column(name)[rows] for name in ("source", "group", "where", "row")}
    return columns | {
        "labels": manifest.labels[rows],
        "generators": manifest.generator_index[rows],
        "ids": manifest.column("id")[rows],
        "generator_id_to_name": manifest.generator_names,
        "identifiers": rows,
    }


def from_crops(
    crop_logits: NDArray[np.floating],
    crop_to_image: NDArray[np.integer],
    labels: NDArray[np.integer],
    generators: NDArray[np.integer],
    ids: Sequence[str] | Strings,
    *,
    generator_id_to_name: Sequence[str] | Strings,
    identifiers: NDArray[np.integer] | None = None,
    source: Sequence[str] | Strings | None = None,
    group: Sequence[str] | Strings | None = None,
    where: Sequence[str] | Strings | None = None,
    row: NDArray[np.integer] | None = None,
    pairing: NDArray[np.integer] | None = None,
    windows_timeline: Sequence[Sequence[str]] | Strings = (),
    fused_multi_logits: Floats | None = None,
    crop_multi_logits: Floats | None = None,
    class_names: Sequence[str] | Strings | None = None,
    extra: Mapping[str, NDArray[Any]] | None = None,
    provenance: Mapping[str, Any] | None = None,
    fusion: str | Fusion = "mean_probability",
) -> Predictions:
    """Predictions from the logits of crops; with one crop per image, ``crop_to_image`` is ``arange(N)``.

    ``crop_to_image`` [M] holds positions 0..N-1, ``labels`` [N] 0, 1 or -1, ``generators`` [N] indices into
    ``generator_id_to_name``. All others mean what the column of that name in `Predictions` means; those not given
    are 0..N-1 (identifiers), "" (strings) or -1 (row, pairing). ``windows_timeline`` is a list of generator names for
    each window, ``provenance`` anything that JSON can hold, and ``fusion`` a fusion of `benchmarks.fusion`.

    Raises:
        DataError: columns differ in length or hold impossible values.
        ValueError: an image has no crop.
    """
    n = len(ids)
    label_ids = np.asarray(labels, dtype=np.int64)
    image = np.asarray(crop_to_image, dtype=np.int64)
    generator_ids = np.asarray(generators, dtype=np.int64)
    rows = np.arange(n) if identifiers is None else np.asarray(identifiers, dtype=np.int64)
    order = np.argsort(image, kind="stable")
    image, logits_of_crops = image[order], np.asarray(crop_logits, dtype=np.float32)[order]
    logits = fuse(logits_of_crops, image, n, fusion)
    crop_losses = binary_cross_entropy(logits_of_crops, label_ids[image])
    blank = np.full(n, "", dtype="U1")
    nowhere = np.full(n, -1, dtype=np.int64)
    return Predictions(
        fused_ids=_strings(ids),
        fused_scores=sigmoid(logits),
        fused_logits=logits.astype(np.float32),
        fused_labels=label_ids,
        fused_generator_ids=generator_ids,
        fused_identifiers=rows,
        fused_losses=(np.bincount(image, crop_losses, n) / np.bincount(image, minlength=n)).astype(np.float32),
        pairing=nowhere if pairing is None else np.asarray(pairing, dtype=np.int64),
        source=blank if source is None else _strings(source),
        group=blank if group is None else _strings(group),
        where=blank if where is None else _strings(where),
        row=nowhere if row is None else np.asarray(row, dtype=np.int64),
        crop_scores=sigmoid(logits_of_crops),
        crop_logits=logits_of_crops,
        crop_labels=label_ids[image],
        crop_generator_ids=generator_ids[image],
        crop_identifiers=rows[image],
        crop_losses=crop_losses,
        crop_to_image_index=image,
        generator_id_to_name=_strings(generator_id_to_name),
        windows_timeline=_strings(windows_timeline) if len(windows_timeline) else np.zeros((0, 0), dtype="U1"),
        fused_multi_logits=fused_multi_logits,
        crop_multi_logits=None if crop_multi_logits is None else crop_multi_logits[order],
        class_names=None if class_names is None else _strings(class_names),
        extra=dict(extra or {}),
        provenance=json.dumps(dict(provenance or {}), sort_keys=True),
    )


def merge(parts: Sequence[Predictions], expected_ids: Sequence[str] | Strings) -> Predictions:
    """The parts that ranks scored, put together in the manifest's order, each image exactly once.

    Args:
        parts: predictions of disjoint sets of images; generator names, windows and provenance are the first part's.
        expected_ids: ids of every image that had to be scored, in the order wanted.

    Raises:
        DataError: an image was scored twice, not at all, or was not expected; parts name generators differently.
    """
    first = parts[0]
    for other in parts[1:]:
        if not np.array_equal(other.generator_id_to_name, first.generator_id_to_name):
            raise DataError("Parts to merge name their generators differently", "Merge parts of one run only.")
        if set(other.extra) != set(first.extra):
            raise DataError(
                f"Parts to merge differ in extra columns: {', '.join(sorted(set(other.extra) ^ set(first.extra)))}",
                "Merge parts of one run only.",
            )
    ids = np.concatenate([part.fused_ids for part in parts])
    order = np.argsort(ids, kind="stable")
    names, expected = ids[order], _strings(expected_ids)
    found = np.searchsorted(names, expected)
    missing = np.append(names, "")[found] != expected
    times = np.bincount(found[~missing], minlength=names.size)
    repeated = np.append(False, names[1:] == names[:-1])[: names.size]
    for what, wrong in (
        ("scored more than once", names[repeated]),
        ("not scored", expected[missing]),
        ("scored but not expected", names[times == 0]),
    ):
        if wrong.size:
            wrong = np.unique(wrong)
            shown = ", ".join(map(repr, wrong[:5].tolist()))
            raise DataError(f"{wrong.size} of {expected.size} images {what}: {shown}{' …' if wrong.size > 5 else ''}")
    if (times > 1).any():
        raise DataError(f"expected_ids holds {expected.size - names.size} ids twice")
    offsets = np.cumsum([0] + [len(part) for part in parts[:-1]])
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in (*IMAGE_COLUMNS, *CROP_COLUMNS)
        if name != "crop_to_image_index"
    }
    for name in ("fused_multi_logits", "crop_multi_logits"):
        if getattr(first, name) is not None:
            columns[name] = np.concatenate([getattr(part, name) for part in parts])
    columns["crop_to_image_index"] = np.concatenate(
        [part.crop_to_image_index + offset for part, offset in zip(parts, offsets, strict=True)]
    )
    extra = {name: np.concatenate([part.extra[name] for part in parts]) for name in first.extra}
    return replace(first, **columns, extra=extra).select(order[found])


def write_predictions(path: Path | str, predictions: Predictions) -> None:
    """Writes the dump whole or not at all: a temporary file beside it, fsync, rename."""
    path = Path(path)
    arrays: dict[str, NDArray[Any]] = {
        column.name: np.asarray(getattr(predictions, column.name))
        for column in fields(predictions)
        if column.name != "extra" and getattr(predictions, column.name) is not None
    }
    arrays["identifier"] = predictions.fused_identifiers
    arrays |= {f"extra_{name}": np.asarray(column) for name, column in predictions.extra.items()}
    write_npz(path, arrays, compressed=True)


def read_predictions(path: Path | str) -> Predictions:
    """Reads our dumps and AI-GenBench's own.

    Raises:
        DataError: the file is absent, incomplete, holds pickled objects, lacks an array, or has columns of
            different lengths or impossible values.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file", "Give the path of a predictions_<stage>_all.npz.")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: not a complete npz file", "Give a dump of predictions (.npz), or copy it again.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise DataError(f"{path}: not a complete npz file ({error})", "Copy or write it again.") from error
    except ValueError as error:
        raise DataError(
            f"{path}: {error}",
            "Dumps hold numbers and fixed-width strings only; convert object arrays with .astype(str).",
        ) from error
    missing = sorted(THEIRS - arrays.keys())
    if missing:
        raise DataError(
            f"{path}: lacks {', '.join(missing)}",
            "Give a dump of predictions; another program or an older version may have written this file.",
        )
    try:
        if "fused_ids" not in arrays:
            arrays = from_ai_genbench(arrays)
        names = {column.name for column in fields(Predictions)} - {"extra", "provenance"}
        lacking = sorted(names - arrays.keys() - set(OPTIONAL))
        if lacking:
            raise DataError(f"lacks {', '.join(lacking)}")
        extra = {name.removeprefix("extra_"): a for name, a in arrays.items() if name.startswith("extra_")}
        text = str(arrays["provenance"]) if "provenance" in arrays else "{}"
        return Predictions(**{name: arrays.get(name) for name in names}, extra=extra, provenance=text)  # type: ignore[arg-type]
    except DataError as error:
        raise DataError(f"{path}: {error.what}", error.step) from error


def _strings(values: Sequence[Any] | Strings) -> Strings:
    array = np.asarray(values)
    return array.astype("U1") if array.size == 0 else array.astype(np.str_)
