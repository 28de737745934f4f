"""From a stored image to a detector's crops: augmentation in training, degradation in evaluation, cropping."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.ai_genbench.images.arrays import Levels, RgbImage
from benchmarks.ai_genbench.images.crop_cache import CropCache
from benchmarks.ai_genbench.images.cropping import EvaluationCropping, TrainCropping, evaluation_crops, train_crop
from benchmarks.ai_genbench.images.degrade import check_protocol, degrade
from benchmarks.ai_genbench.images.train_augmentations import Pipeline, augment, vary
from benchmarks.ai_genbench.protocol.seeds import ItemSeeds, Protocol, fixed_seeds, v1_seeds
from benchmarks.ai_genbench.protocol.windows import Rows
from contracts.errors import ConfigError, check_known
from contracts.stage import Stage
from contracts.view import Chain, Encoded, Sample

TrainPipeline = Literal["baseline", "soft", "none"]


@dataclass(frozen=True)
class ChainOptions:
    """How images are changed."""

    protocol: Protocol  # `v1` or `fixed`
    base_seed: int  # Seed of degradation and augmentation
    maximum_size: int  # Longest side kept
    pipeline: TrainPipeline  # Deterministic part of the training augmentations; `none` has neither part
    stochastic: bool  # Whether random quarter turns and mirroring follow
    train_cropping: TrainCropping  # See `cropping.train_crop`
    eval_cropping: EvaluationCropping  # See `cropping.evaluation_crops`
    size: int  # Side of a crop

    def __post_init__(self) -> None:
        check_protocol(self.protocol)
        check_known("benchmark.train_pipeline", self.pipeline, get_args(TrainPipeline))
        check_known("benchmark.train_cropping", self.train_cropping, get_args(TrainCropping))
        check_known("benchmark.eval_cropping", self.eval_cropping, get_args(EvaluationCropping))
        for name, number in (("crop_size", self.size), ("maximum_size", self.maximum_size)):
            if number < 1:
                raise ConfigError(f"benchmark.{name}={number}", "Give a size in pixels, 1 or more.")


@dataclass
class AiGenBenchChain(Chain):
    """The benchmark's images, each with its own seeds."""

    options: ChainOptions  # How they are changed
    ids: NDArray[np.object_]  # Id of every row of the manifest
    positions: Rows  # Position of every row in the order of evaluation, which seeds its degradation under `v1`
    cache: CropCache | None = None  # Degraded crops on disk, or None
    _copies: int = field(default=1, init=False)
    _train_positions: Rows = field(default_factory=lambda: np.zeros(0, np.int64), init=False)

    def __post_init__(self) -> None:
        crops = self.options
        self.side = {
            True: None if crops.train_cropping == "as_is" else crops.size,
            False: None if crops.eval_cropping == "as_is" else crops.size,
        }
        random = crops.train_cropping == "random_crop" or (crops.stochastic and crops.pipeline != "none")
        self.bounded = not random
        self.crops_per_image = 5 if crops.eval_cropping == "multicrop" else 1

    def enter(self, stage: Stage) -> None:
        """Note the positions of the stage's training images, which seed their copies under `v1`."""
        self._copies = stage.copies
        self._train_positions = np.full(len(self.ids), -1, dtype=np.int64)
        self._train_positions[stage.train] = np.arange(len(stage.train))

    def look_keys(self, rows: Rows, train: bool) -> Rows:
        """Under `v1` the positions in the stage's list or in the order of evaluation; under `fixed` zeros."""
        if self.options.protocol == "fixed":
            return np.zeros(len(rows), dtype=np.int64)
        return (self._train_positions if train else self.positions)[rows]

    def settings(self) -> dict[str, Any]:
        """The options; a cache of crops rounds them to uint8."""
        return asdict(self.options) | {"rounded": self.cache is not None}

    def seeds(self, row: int, copy: int = 0, train: bool = False) -> ItemSeeds:
        """Seeds of one image, and of one of its copies in training."""
        if self.options.protocol == "fixed":
            return fixed_seeds(str(self.ids[row]), copy, self.options.base_seed)
        positions = self._train_positions if train else self.positions
        return v1_seeds(int(positions[row]), copy, self.options.base_seed)

    def train(self, sample: Sample, rng: np.random.Generator) -> list[Tensor]:
        """The image's augmented copy, rotated, mirrored and cropped at random."""
        options = self.options
        image = RgbImage(_levels(sample.decode(sample.read())))
        if options.pipeline != "none":
            seeds = self.seeds(sample.row, sample.look % self._copies, train=True)
            pipeline: Pipeline = options.pipeline
            image = augment(image.levels(), seeds, pipeline, options.protocol, options.maximum_size)
        seed = int(rng.integers(2**62))
        if options.stochastic and options.pipeline != "none":
            image = vary(image, seed, options.train_cropping, options.size)
        else:
            draws = torch.Generator().manual_seed(seed)
            image = train_crop(image, options.train_cropping, draws, options.size)
        return [as_image(image)]

    def evaluate(self, sample: Sample, rng: np.random.Generator) -> list[Tensor]:  # noqa: ARG002 - draws have seeds
        """The image's degraded crops, from the cache if it has them."""
        encoded = sample.read()
        if self.cache is None:
            return [as_image(crop) for crop in self._degraded(sample, encoded)]
        about = f"{self.seeds(sample.row)} {sample.decoder}"
        found = self.cache.get(sample.row, encoded, about)
        if found is None:
            found = np.stack([crop.levels() for crop in self._degraded(sample, encoded)])
            self.cache.put(sample.row, encoded, about, found)
        return [torch.from_numpy(crop).permute(2, 0, 1) for crop in found]

    def _degraded(self, sample: Sample, encoded: Encoded) -> list[RgbImage]:
        options = self.options
        levels = _levels(sample.decode(encoded))
        image = degrade(levels, self.seeds(sample.row), options.protocol, options.maximum_size)
        return evaluation_crops(image, options.eval_cropping, options.size)


def as_image(image: RgbImage) -> Tensor:
    """[3, H, W]: uint8 levels, or the float32 values between levels that some steps give."""
    if isinstance(image.pixels, Tensor):
        return image.pixels
    return torch.from_numpy(np.require(image.pixels, requirements=("C", "W"))).permute(2, 0, 1)


def _levels(image: Tensor) -> Levels:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
