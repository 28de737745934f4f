"""AI-GenBench as a benchmark: each window is a stage."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
from rich.text import Text

from benchmarks.ai_genbench.images.chain import AiGenBenchChain, ChainOptions, TrainPipeline
from benchmarks.ai_genbench.images.crop_cache import CropCache
from benchmarks.ai_genbench.images.cropping import CROP_SIZE, EvaluationCropping, TrainCropping
from benchmarks.ai_genbench.images.degrade import MAXIMUM_SIZE
from benchmarks.ai_genbench.protocol.generators import DEFAULT_WINDOW_SIZE
from benchmarks.ai_genbench.protocol.replay import Replay
from benchmarks.ai_genbench.protocol.rules import Rules
from benchmarks.ai_genbench.protocol.seeds import BASE_SEED, Protocol
from benchmarks.ai_genbench.protocol.selection import Pairing, Selection
from benchmarks.ai_genbench.protocol.windows import Mode, Rows
from benchmarks.ai_genbench.report import DUMPS, reported
from benchmarks.fusion import as_fusion
from benchmarks.plain import Plain
from benchmarks.predictions import Predictions
from contracts.errors import ConfigError, check_known
from contracts.stage import Stage
from datamodules.tables.manifest import Manifest

COPIES_ALLOWED = 4  # Largest augmentation factor of the leaderboard's rules


class AiGenBench(Plain):
    """The sliding-window benchmark (arXiv 2504.20865): stage k trains up to window k, and is tested up to k + 1.

    Args:
        seed: random seed of the images held out, which the original does not define.
        protocol: `v1` is the published one, bit for bit; `fixed` corrects its mistakes and seeds by image id.
        mode: `cumulative` (official), `continual`, or `full` (one stage on everything).
        window_size: generators in a window.
        window_step: generators between starts of windows; None for `window_size`.
        generators: names of the generators used (not comparable with the leaderboard); None for all 36.
        replay: replay of earlier windows in `continual` mode: `none`, `uniform`, or `harmonic` in time.
        replay_memory: images replayed; None for as many as the window has itself.
        train_pipeline: `baseline` (the benchmark's default), `soft` (the evaluation's degradation), or `none`.
        augmentation_factor: fixed variants of each training image; an epoch shows them all.
        stochastic: also rotate training images by quarter turns and mirror them, at random each time they are shown.
        train_cropping: `resize`, `random_crop`, `center_crop`, or `as_is` (left to the detector's view).
        eval_cropping: `resize`, `crop`, `multicrop` (five), or `as_is`.
        crop_size: side of the crops in pixels.
        fusion: how the scores of several crops become one, see `benchmarks.fusion`.
        global_batch: images of an optimiser step over all devices; None leaves accumulation to the trainer.
        test_images: `needed` tests stage k on windows 0..k+1, which Past, Next and Whole require; `all` on all windows.
        pairing: which of the original's stages pairs real images with generators, `validate` or `test`.
        holdout: fraction of a stage's training images held out for validation, which chooses checkpoint and threshold.
            The official lists hold out none; the stage is then validated on some of its training images, which matters
            little after one epoch. If the data set has both ``valid`` and ``test``, ``valid`` is used instead.
        monitor_images: largest number of validation images.
        base_seed: seed of degradation and augmentation.
        maximum_size: longest side in pixels to which images are cropped first.
        features: folder for the features of a probe's frozen backbone, computed once for each copy of an image; None
            runs the backbone each time. Requires ``stochastic=false``. Under `v1` the copies of a training image change
            from window to window, so training is only faster under `fixed`; evaluation is faster under both.
        cache: folder for degraded evaluation crops, shared by all windows, models and runs; None stores none.

    Raises:
        ConfigError: an unknown name or a number out of range.
    """

    dumps = MappingProxyType({"validate": ("selection",), "test": ("test", "validate")})
    """The original calls its test images validation images, and its scripts look for a dump of that name. Here a
    checkpoint is chosen on other images, whose dump is called ``selection``."""

    def __init__(
        self,
        seed: int,
        protocol: Protocol = "v1",
        mode: Mode = "cumulative",
        window_size: int = DEFAULT_WINDOW_SIZE,
        window_step: int | None = None,
        generators: Sequence[str] | None = None,
        replay: Replay = "none",
        replay_memory: int | None = None,
        train_pipeline: TrainPipeline = "baseline",
        augmentation_factor: int = 4,
        stochastic: bool = True,
        train_cropping: TrainCropping = "resize",
        eval_cropping: EvaluationCropping = "resize",
        crop_size: int = CROP_SIZE,
        fusion: str = "mean_probability",
        global_batch: int | None = 512,
        test_images: str = "needed",
        pairing: Pairing = "validate",
        holdout: float = 0.0,
        monitor_images: int = 2000,
        base_seed: int = BASE_SEED,
        maximum_size: int = MAXIMUM_SIZE,
        features: str | Path | None = None,
        cache: str | Path | None = None,
    ) -> None:
        super().__init__(seed)
        check_known("benchmark.mode", mode, get_args(Mode))
        check_known("benchmark.replay", replay, get_args(Replay))
        check_known("benchmark.test_images", test_images, ("needed", "all"))
        check_known("benchmark.pairing", pairing, get_args(Pairing))
        for name, number in (("augmentation_factor", augmentation_factor), ("monitor_images", monitor_images)):
            if number < 1:
                raise ConfigError(f"benchmark.{name}={number}", "Give 1 or more.")
        if not 0 <= holdout < 1:
            raise ConfigError(f"benchmark.holdout={holdout}", "Give a fraction from 0 to below 1.")
        if replay != "none" and mode != "continual":
            raise ConfigError(
                f"benchmark.replay={replay} with benchmark.mode={mode}",
                "Set benchmark.mode=continual or benchmark.replay=none.",
            )
        if cache is not None and eval_cropping == "as_is":
            raise ConfigError(
                "benchmark.cache with benchmark.eval_cropping=as_is, whose crops differ in size",
                "Choose another cropping, or leave out the cache.",
            )
        as_fusion(fusion)
        self.options = ChainOptions(
            protocol, base_seed, maximum_size, train_pipeline, stochastic, train_cropping, eval_cropping, crop_size
        )
        self.mode: Mode = mode
        self.window_size, self.window_step = window_size, window_step
        self.generators = generators
        self.replay: Replay = replay
        self.replay_memory = replay_memory
        self.copies = augmentation_factor
        self.fusion = fusion
        self.global_batch = global_batch
        self.test_images = test_images
        self.pairing: Pairing = pairing
        self.holdout = holdout
        self.monitor_images = monitor_images
        self.features = Path(features).expanduser() if features else None
        self.cache = Path(cache).expanduser() if cache else None
        self._selection: Selection | None = None

    def rules(self) -> Rules:
        """The protocol, and the settings by which these results deviate from the leaderboard's rules."""
        options = self.options
        checks = {
            f"protocol={options.protocol}": options.protocol != "v1",
            f"mode={self.mode}": self.mode != "cumulative",
            f"windows of {self.window_size}, step {self.window_step}": self.window_size != DEFAULT_WINDOW_SIZE
            or self.window_step not in (None, self.window_size),
            "a subset of the generators": self.generators is not None,
            f"augmentation_factor={self.copies} > {COPIES_ALLOWED}": self.copies > COPIES_ALLOWED,
            f"holdout={self.holdout}": self.holdout > 0,
            f"base_seed={options.base_seed}": options.base_seed != BASE_SEED,
            f"maximum_size={options.maximum_size}": options.maximum_size != MAXIMUM_SIZE,
        }
        return Rules(options.protocol, tuple(text for text, off in checks.items() if off))

    def stages(self, manifest: Manifest) -> list[Stage]:
        """One stage per window, or a single one in mode `full`; test rows are not read."""
        selection = self.select(manifest)
        count = 1 if self.mode == "full" else len(selection.windows)
        return [self._stage(selection, index) for index in range(count)]

    def _stage(self, selection: Selection, index: int) -> Stage:
        train = selection.training_rows(self.mode, index, self.replay, self.replay_memory)
        validate = selection.validation_rows(train)
        if self.holdout:
            out = selection.held_out(train, self.holdout)
            train, validate = train[~out], np.sort(train[out])
        elif not len(validate):
            validate = train
        validate = selection.balanced(validate, self.monitor_images)
        if not len(validate):
            raise ConfigError(
                f"benchmark.holdout={self.holdout} leaves no validation images of one of the classes",
                "Raise it, or set it to 0 to validate on training images.",
            )
        name = "all" if self.mode == "full" else f"window {index}"
        return Stage(index, name, train, validate, self.copies)

    def test_rows(self, manifest: Manifest) -> Rows:
        """All test rows, in evaluation order."""
        return self.select(manifest).test_order

    def stage_test_rows(self, manifest: Manifest, index: int) -> Rows:
        """Test rows of windows 0 to ``index + 1``; of all if ``test_images`` is ``all`` or ``mode`` ``full``."""
        selection = self.select(manifest)
        everything = self.test_images == "all" or self.mode == "full"
        return selection.test_rows(len(selection.windows) if everything else index + 2)

    def annotated(self, predictions: Predictions, manifest: Manifest, index: int) -> Predictions:
        """The predictions with the pairing of real images, the windows and the settings."""
        selection = self.select(manifest)
        names = {name: number for number, name in enumerate(manifest.generator_names)}
        place = {generator.id: names[generator.name] for generator in selection.generators} | {-1: -1}
        pairing = [place[one] for one in selection.paired[predictions.fused_identifiers].tolist()]
        widest = max(map(len, selection.windows))
        timeline = [[g.name for g in window] + [""] * (widest - len(window)) for window in selection.windows]
        rules = self.rules()
        about = predictions.about | {
            "benchmark": {
                "name": "ai_genbench",
                "window": len(selection.windows) - 1 if self.mode == "full" else index,
                "protocol": rules.protocol,
                "deviations": list(rules.deviations),
                "eval_cropping": self.options.eval_cropping,
                "crop_size": self.options.size,
                "fusion": self.fusion,
                "cached": self.cache is not None,
            }
        }
        return replace(
            predictions,
            pairing=np.asarray(pairing, dtype=np.int64),
            windows_timeline=np.asarray(timeline, dtype=np.str_),
            provenance=json.dumps(about, sort_keys=True),
        )

    def summarise(self, experiment: Path) -> list[Any]:
        """The tables of all windows tested; they are also written to the experiment's folder."""
        text = reported(sorted(experiment.glob(DUMPS.format(stage="test"))), experiment)
        return [Text(text, no_wrap=True, overflow="ignore")] if text else []

    def select(self, manifest: Manifest) -> Selection:
        """The rows of this data set; sets ``degrade`` to the chain of its images."""
        if self._selection is None or self._selection.manifest is not manifest:
            self._selection = Selection(
                manifest, self.generators, self.window_size, self.window_step, self.pairing, self.seed
            )
            chain = AiGenBenchChain(self.options, manifest.column("id"), self._selection.positions)
            if self.cache is not None:
                chain.cache = self._cache(self.cache, manifest, chain.crops_per_image)
            self.degrade = chain
        return self._selection

    def _cache(self, folder: Path, manifest: Manifest, crops: int) -> CropCache:
        options = self.options
        settings = {
            "protocol": options.protocol,
            "cropping": options.eval_cropping,
            "base_seed": options.base_seed,
            "maximum_size": options.maximum_size,
            "manifest": manifest.fingerprint(),
        }
        return CropCache(folder, settings, len(manifest), crops, options.size)
