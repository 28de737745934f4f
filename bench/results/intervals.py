"""Metrics and their intervals: 1,000,000 predictions, 36 generators, 1,000 draws of photographs.

Half of the images are real. Each of 250,000 photographs has two real and two generated images; half of the generators
count as seen. All metrics of all subsets are computed at two thresholds. The baseline resamples with numpy alone.
"""

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.parts.large_dump import GENERATORS, predictions, whole
from bench.parts.memory import peak_memory
from bench.parts.table import Row, rate
from bench.parts.timing import interleaved, pick
from benchmarks.evaluation import evaluate
from benchmarks.intervals import bootstrap
from benchmarks.intervals.bootstrap import Bootstrap

DRAWS = 64


def measure() -> list[Row]:
    """Measures CPU seconds and peak memory of everything, and resamples per second against the plain way."""
    images = pick(20_000, 1_000_000)
    dump = predictions(images)
    everything = interleaved({"all": partial(whole, dump)}, 2)["all"]
    results = evaluate(dump)

    def drawn(compiled: bool) -> None:
        before, bootstrap.COMPILED = bootstrap.COMPILED, 0 if compiled else sys.maxsize
        try:
            Bootstrap(DRAWS).draw(dump, results)
        finally:
            bootstrap.COMPILED = before

    timings = interleaved({"plain": partial(drawn, False), "compiled": partial(drawn, True)}, 2)
    with TemporaryDirectory() as folder:
        root = str(Path(__file__).resolve().parents[2])
        path = f"import sys; sys.path.insert(0, {root!r})"
        code = f"{path}; from bench.parts.large_dump import *; whole(predictions({images}))"
        peak, _ = peak_memory([sys.executable, "-c", code], Path(folder))
    way = f"{images:,} predictions, {len(GENERATORS)} generators"
    thousand = f"{way}, 1,000 draws of {images // 4:,} photographs"
    wall = f"metrics included; wall {everything.best:.1f} s"
    return [
        Row("intervals", thousand, None, everything.best_cpu, "CPU s", None, pick(None, 10.0), wall),
        Row("intervals, peak memory", thousand, None, peak, "GB", None, 1.0, "the dump included"),
        rate(
            "intervals", f"{way}, {DRAWS} draws", timings["plain"], timings["compiled"], DRAWS,
            note="baseline numpy; sorting included", unit="draws/s",
        ),
    ]  # fmt: skip
