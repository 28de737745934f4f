"""AI-GenBench: linear probes on stored features, and metrics."""

import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import timm
import torch

import lightning_main
from bench.parts.table import Row
from bench.parts.timing import interleaved, pick
from benchmarks.ai_genbench.metrics import Evaluated, headline, stage_metrics
from benchmarks.ai_genbench.protocol.generators import names_by_id, sliding_windows
from tests.synthetic_ai_genbench import miniature

IMAGES = 72_000
PROBE = (
    "datamodule=ai_genbench datamodule.path=mini datamodule.batch_size=32 benchmark=ai_genbench "
    "benchmark.protocol=fixed benchmark.stochastic=false benchmark.global_batch=32 benchmark.monitor_images=8 "
    "detector=classifier detector.backbone=timm/resnet18 detector.mode=probe detector.weights=backbone.pth "
    "detector.image_size=224 trainer=cpu trainer.max_epochs=1 trainer.enable_progress_bar=false"
)


def measure() -> list[Row]:
    """Measures seconds of the metrics and of nine windows of linear probes."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    rows = [_metrics(pick(7_200, IMAGES))]
    return rows if pick(True, False) else [*rows, *_probe()]


def _metrics(count: int) -> Row:
    """Measures the metrics of nine stages (periods, recalls, windows) and the means over time."""
    rng = np.random.default_rng(0)
    half = count // 2
    ids = rng.permutation(np.repeat(np.arange(1, len(names_by_id())), half // 36))
    zeros = np.zeros_like(ids)
    labels = np.repeat([1, 0], half).astype(np.int64)
    windows = [[generator.id for generator in window] for window in sliding_windows()]
    dumps = [
        Evaluated(
            rng.random(count, dtype=np.float32) * 0.7 + 0.3 * labels.astype(np.float32),
            labels,
            np.concatenate([ids, zeros]),
            np.concatenate([zeros - 1, rng.permutation(ids)]),
        )
        for _ in windows
    ]

    def all_stages() -> object:
        return headline([stage_metrics(dump, stage, windows) for stage, dump in enumerate(dumps)])

    timing = interleaved({"metrics": all_stages})["metrics"]
    note = (
        f"wall {timing.best:.2f} s; the original takes about 103 CPU seconds a window (measured by others on 2 cores)"
    )
    way = f"{count:,} predictions, 36 generators, 9 windows"
    return Row("metrics", way, None, timing.best_cpu, "CPU s", None, 1.0, note)


def _probe() -> list[Row]:
    """Measures nine windows by the real command: without stored features, while storing them, and with them."""
    with TemporaryDirectory() as folder, chdir(folder):
        miniature(Path("mini"), train=2, validation=1, size=128)
        torch.manual_seed(0)
        torch.save(timm.create_model("resnet18", num_classes=0).state_dict(), "backbone.pth")
        words = PROBE.split()

        def run(name: str, *more: str) -> Callable[[], None]:
            def fit() -> None:
                if lightning_main.main([*words, f"experiment_id={name}", *more]):
                    raise RuntimeError(f"the run {name} failed")

            return fit

        live = _timed(run("live"))
        filling = _timed(run("filling", "benchmark.features=kept"))
        filled = _timed(run("filled", "benchmark.features=kept"))
    way = "9 windows, resnet18 at 224², 4 copies of 144 images"

    def row(name: str, ours: tuple[float, float], target: float | None) -> Row:
        note = f"baseline: backbone live; one run each; CPU seconds {live[1] / ours[1]:.1f}×"
        return Row("probe", f"{way}, {name}", live[0], ours[0], "s", live[0] / ours[0], target, note)

    return [row("first run (fills)", filling, None), row("later runs", filled, 15.0)]


def _timed(fit: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    began, cpu = time.perf_counter(), time.process_time()
    fit()
    return time.perf_counter() - began, time.process_time() - cpu
