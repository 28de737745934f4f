"""Work on 10³ to 10⁷ scores: merging eight shards, reading and writing the dump, all metrics, and their intervals.

Half of the images are real, the others come from 36 generators; each image belongs to a photograph of four. A shard has
every eighth image. Metrics are those of all subsets at two thresholds. Intervals, from 100 draws of photographs, end at
10⁶ scores.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.parts.large_dump import predictions
from bench.parts.table import Row
from bench.parts.timing import interleaved, pick
from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import merge, read_predictions, write_predictions

COUNTS = [10**k for k in range(3, 8)]
SHARDS, DRAWS = 8, 100
DRAWN = 10**6  # scores of the largest dump whose intervals are computed


def measure() -> list[Row]:
    """Measures CPU seconds per million scores for each number of scores."""
    with TemporaryDirectory() as folder:
        return [_measured(count, Path(folder) / "dump.npz") for count in pick([1000], COUNTS[:4], COUNTS)]


def _measured(count: int, file: Path) -> Row:
    dump = predictions(count)
    parts = [dump.select(np.arange(k, count, SHARDS)) for k in range(SHARDS)]
    ways: dict[str, Callable[[], object]] = {
        "merge": partial(merge, parts, dump.fused_ids),
        "write": partial(write_predictions, file, dump),
        "read": partial(read_predictions, file),
        "metrics": partial(evaluate, dump),
    }
    if count <= DRAWN:
        ways["intervals"] = partial(Bootstrap(DRAWS), dump, evaluate(dump))
    seconds = {name: timing.best_cpu / count * 1e6 for name, timing in interleaved(ways, 1).items()}
    note = ", ".join(f"{name} {own:.2f}" for name, own in seconds.items())
    return Row("growth", f"{count:,} scores", None, sum(seconds.values()), "CPU s / 10⁶ scores", None, None, note)
