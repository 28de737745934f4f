"""AI-GenBench's images on one core: degradation, its cache, and training augmentations.

The baseline is the plain implementation in the tests: torchvision's transforms on PIL images and SciPy's Gaussian, with
every global generator seeded for every image. Both sides decode a JPEG of about one megapixel and end with the model's
224² crop. Images of `fixed` differ from the original's, so they are compared with those of `v1`.
"""

import importlib
import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

from bench.parts.table import Row, rate
from bench.parts.timing import interleaved, pick
from benchmarks.ai_genbench.benchmark import AiGenBench
from benchmarks.ai_genbench.images.chain import AiGenBenchChain
from benchmarks.ai_genbench.images.crop_cache import CropCache
from contracts.stage import Stage
from contracts.view import Encoded, Sample
from datamodules.loading.decode import decode
from tests.synthetic_ai_genbench import photographs

_plain = importlib.import_module("tests.benchmarks.ai_genbench.plain_chain")  # untyped, as a test

SIDE = 224
WAY = "1024² JPEG → 224²"
TARGETS = {"baseline v1": 4.0, "baseline fixed": 6.0, "soft v1": 2.5}


def measure() -> list[Row]:
    """Measures images/s of the chains and of the cache."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    count = pick(8, 48)
    encoded = _mosaics(count)
    return [*_evaluation(encoded), *_training(encoded)]


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


def _chain(count: int, **changes: Any) -> AiGenBenchChain:
    options = replace(AiGenBench(0).options, **changes)
    chain = AiGenBenchChain(options, np.array([f"image {k}" for k in range(count)], dtype=object), np.arange(count))
    chain.enter(Stage(0, "images", np.arange(count), np.arange(0)))
    return chain


def _samples(encoded: list[bytes]) -> list[Sample]:
    return [Sample(k, 0, partial(encoded.__getitem__, k), _decoded, "torchvision") for k in range(len(encoded))]


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _largest(ours: list[torch.Tensor], plain: list[torch.Tensor]) -> str:
    """Text with the largest difference of any value, for a row's note."""
    values = [image.float() / 255 if image.dtype == torch.uint8 else image for image in ours]
    largest = max(float((a - b).abs().max()) for a, b in zip(values, plain, strict=True))
    return f"baseline plain; largest difference {largest:.1e} of 1.0"


def _evaluation(encoded: list[bytes]) -> list[Row]:
    count, chain, samples = len(encoded), _chain(len(encoded)), _samples(encoded)
    rng = np.random.default_rng(0)  # not used: evaluation has seeds of its own

    def ours(chain: AiGenBenchChain) -> list[torch.Tensor]:
        return [chain.evaluate(sample, rng)[0] for sample in samples]

    def plain() -> list[torch.Tensor]:
        made = []
        for position, data in enumerate(encoded):
            image = F.resize(_plain.plain_chain(_opened(data), position), [SIDE, SIDE], antialias=True)
            made.append(F.to_dtype(F.to_image(image), torch.float32, scale=True))
        return made

    note = _largest(ours(chain), plain())
    with TemporaryDirectory() as folder:
        kept = replace(chain, cache=CropCache(Path(folder), {}, count, 1, SIDE))
        timings = interleaved({"plain": plain, "chain": lambda: ours(chain), "cache": lambda: ours(kept)})
    return [
        rate("evaluation chain", WAY, timings["plain"], timings["chain"], count, 2.2, note),
        rate(
            "evaluation chain",
            "from the cache",
            timings["chain"],
            timings["cache"],
            count,
            20,
            "baseline our own chain",
        ),
    ]


def _training(encoded: list[bytes]) -> list[Row]:
    count, samples = len(encoded), _samples(encoded)
    seeds = [int(np.random.default_rng(k).integers(2**62)) for k in range(count)]  # as the chain derives them

    def ours(chain: AiGenBenchChain) -> list[torch.Tensor]:
        return [chain.train(sample, np.random.default_rng(sample.row))[0] for sample in samples]

    def plain(pipeline: str) -> list[torch.Tensor]:
        return [
            _plain.plain_training(_opened(data), row, pipeline, seeds[row], SIDE) for row, data in enumerate(encoded)
        ]

    ways: dict[str, Callable[[], list[torch.Tensor]]] = {
        "baseline": partial(plain, "baseline"),
        "soft": partial(plain, "soft"),
    }
    for name in TARGETS:
        pipeline, protocol = name.split()
        ways[name] = partial(ours, _chain(count, pipeline=pipeline, protocol=protocol))
    timings = interleaved(ways, pick(2, 4))
    rows = []
    for name, target in TARGETS.items():
        pipeline, protocol = name.split()
        note = _largest(ways[name](), ways[pipeline]()) if protocol == "v1" else "baseline plain, whose images are v1's"
        rows.append(rate(f"training chain, {name}", WAY, timings[pipeline], timings[name], count, target, note))
    return rows


def _decoded(data: Encoded) -> torch.Tensor:
    return decode(bytes(data))
