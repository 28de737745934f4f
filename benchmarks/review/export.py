"""The joined dumps as tidy files: one row per image and dump."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.review.join import Joined


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
        correct = pa.array(called == dump.fused_labels, mask=dump.fused_labels < 0)
        parts.append(pa.table({**columns, "correct": correct}))
    return pa.concat_tables(parts, promote_options="permissive")


def export(joined: Joined, out: Path) -> list[Path]:
    """Writes ``predictions.csv`` and ``predictions.parquet``."""
    table = tidy(joined)
    paths = [out / "predictions.csv", out / "predictions.parquet"]
    pa.csv.write_csv(table, paths[0])
    pq.write_table(table, paths[1])
    return paths
