"""AI-GenBench: degradation, its cache, probing on stored features, and metrics.

The chain's baseline is the plain implementation in the tests: torchvision's transforms on PIL images, with every global
generator seeded for every image. Both sides decode a JPEG of about one megapixel and end with the model's 224² crop.
"""

import importlib
import io
import time
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import timm
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

import lightning_main
from bench.parts.table import Row, rate
from bench.parts.timing import interleaved, pick
from benchmarks.ai_genbench.benchmark import AiGenBench
from benchmarks.ai_genbench.images.chain import AiGenBenchChain
from benchmarks.ai_genbench.images.crop_cache import CropCache
from benchmarks.ai_genbench.metrics import Evaluated, headline, stage_metrics
from benchmarks.ai_genbench.protocol.generators import names_by_id, sliding_windows
from contracts.view import Encoded, Sample
from datamodules.loading.decode import decode
from tests.drawn_ai_genbench import miniature, photographs

plain_chain = importlib.import_module("tests.benchmarks.ai_genbench.plain_chain").plain_chain  # untyped, as a test

SIDE = 224
IMAGES = 72_000
PROBE = (
    "datamodule=ai_genbench datamodule.path=mini datamodule.batch_size=32 benchmark=ai_genbench "
    "benchmark.protocol=fixed benchmark.stochastic=false benchmark.global_batch=32 benchmark.monitor_images=8 "
    "detector=classifier detector.backbone=timm/resnet18 detector.mode=probe detector.weights=backbone.pth "
    "detector.image_size=224 trainer=cpu trainer.max_epochs=1 trainer.enable_progress_bar=false"
)


def measure() -> list[Row]:
    """Images/s of chain and cache on one core; seconds of the metrics and of nine windows of probing."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    rows = [*_chain(pick(8, 24)), _metrics(pick(7_200, IMAGES))]
    return rows if pick(True, False) else [*rows, *_probe()]


def _mosaics(count: int) -> list[bytes]:
    """JPEGs of 1024x1024, each made of sixteen photographs."""
    encoded = []
    for index in range(count):
        tiles = [photographs()[(16 * index + k) % len(photographs())] for k in range(16)]
        pixels = np.concatenate([np.concatenate(tiles[4 * r : 4 * r + 4], axis=1) for r in range(4)])
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
        encoded.append(buffer.getvalue())
    return encoded


def _chain(count: int) -> list[Row]:
    encoded = _mosaics(count)
    options = AiGenBench(0).options
    ids = np.array([f"image {k}" for k in range(count)], dtype=object)
    chain = AiGenBenchChain(options, ids, np.arange(count))
    rng = np.random.default_rng(0)

    def ours(chain: AiGenBenchChain) -> list[torch.Tensor]:
        samples = [Sample(k, 0, partial(encoded.__getitem__, k), _decoded, "torchvision") for k in range(count)]
        return [chain.evaluate(sample, rng)[0] for sample in samples]

    def plain() -> list[torch.Tensor]:
        made = []
        for position, data in enumerate(encoded):
            image = plain_chain(Image.open(io.BytesIO(data)).convert("RGB"), position)
            image = F.resize(image, [SIDE, SIDE], antialias=True)
            made.append(
                image if isinstance(image, torch.Tensor) else F.to_dtype(F.to_image(image), torch.float32, True)
            )
        return made

    def values(image: torch.Tensor) -> torch.Tensor:
        return image.float() / 255 if image.dtype == torch.uint8 else image

    largest = max(float((values(a) - values(b)).abs().max()) for a, b in zip(ours(chain), plain(), strict=True))
    with TemporaryDirectory() as folder:
        kept = AiGenBenchChain(options, ids, np.arange(count), CropCache(Path(folder), {}, count, 1, SIDE))
        timings = interleaved({"plain": plain, "chain": lambda: ours(chain), "cache": lambda: ours(kept)})
    same = f"largest difference {largest:.1e} of 1.0"
    return [
        rate(
            "degradation",
            "1024² JPEG → 224²",
            timings["plain"],
            timings["chain"],
            count,
            1.5,
            f"baseline plain; {same}",
        ),
        rate("degradation", "from the cache", timings["chain"], timings["cache"], count, 20, "baseline our own chain"),
    ]


def _decoded(data: Encoded) -> torch.Tensor:
    return decode(bytes(data))


def _metrics(count: int) -> Row:
    """Metrics of nine stages (periods, recalls, windows) and the means over time."""
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
    """Nine windows of probing by the real command: without stored features, while storing them, and with them."""
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
