"""The joined dumps as tidy files: one row per image and dump."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.review.join import Joined
from benchmarks.review.packing import FEW


def tidy(joined: Joined) -> pa.Table:
    """One row per image and dump; ``called`` is 1 where the score is above the dump's ``threshold``."""
    parts = []
    for name, dump, threshold in zip(joined.names, joined.dumps, joined.thresholds, strict=True):
        called = (dump.fused_scores.astype(np.float64) > threshold).astype(np.int8)
        columns = {
            "dump": np.full(len(dump), name),
            "id": dump.fused_ids,
            "label": dump.fused_labels.astype(np.int8),
            "generator": dump.generators,
            "source": dump.source,
            "group": dump.group,
            "score": dump.fused_scores,
            "logit": dump.fused_logits,
            "loss": dump.fused_losses,
            "threshold": np.full(len(dump), threshold),
            "called": called,
            "where": dump.where,
            "row": dump.row,
            **{f"extra_{name}": column for name, column in dump.extra.items()},
        }
        correct = _flags(called == dump.fused_labels, known=dump.fused_labels >= 0)
        parts.append(pa.table({key: _column(values) for key, values in columns.items()} | {"correct": correct}))
    return pa.concat_tables(parts, promote_options="permissive")


def export(joined: Joined, out: Path) -> list[Path]:
    """Writes ``predictions.csv`` and ``predictions.parquet``."""
    table = tidy(joined)
    paths = [out / "predictions.csv", out / "predictions.parquet"]
    pa.csv.write_csv(table, paths[0])
    pq.write_table(table, paths[1])
    return paths


def _column(values: NDArray[Any]) -> pa.Array | pa.ChunkedArray:
    """`pyarrow.array`, without importing pandas for few values (`FEW`)."""
    if values.dtype.kind in "iuf":
        kind = pa.from_numpy_dtype(values.dtype)
        return pa.Array.from_buffers(kind, values.size, [None, pa.py_buffer(np.ascontiguousarray(values))])
    if values.dtype.kind == "U" and values.size < FEW:
        texts = [text.encode() for text in values.tolist()]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        return pa.Array.from_buffers(
            pa.string(), values.size, [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
        )
    return pa.array(values)


def _flags(values: NDArray[np.bool_], known: NDArray[np.bool_]) -> pa.Array:
    """Booleans [N], null where not known."""
    buffers = [pa.py_buffer(np.packbits(bits, bitorder="little")) for bits in (known, values)]
    return pa.Array.from_buffers(pa.bool_(), values.size, buffers)
