"""The base of all data modules: it turns a manifest and a store into batches."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.errors import ConfigError, DataError, check_known
from contracts.names import as_text, given_path
from contracts.pairs import Pairs
from contracts.process.lightning import LightningDataModule
from contracts.stage import Rows, Stage
from contracts.view import CROPS, Chain, Encoded, SampleFunction, Sides, Sizing, View
from datamodules.folders.walk import PassedOver
from datamodules.loading.dataset import Failure, ImageDataset, ImageLoader
from datamodules.loading.decode import MAX_PIXELS, Backend, check_backend, check_max_pixels, decode_noted
from datamodules.loading.decoded_cache import DecodedCache
from datamodules.loading.features import FeatureLoader, Features, fill
from datamodules.loading.image_sizes import image_sizes, sizes_after
from datamodules.loading.options import Align, StartMethod
from datamodules.loading.samplers import EvaluationBatches, ItemBatches, TrainingBatches
from datamodules.loading.stores import FileStore, ImageStore
from datamodules.tables.groups import warn
from datamodules.tables.manifest import Manifest

Report = Callable[[list[Failure], bool], None]


class ImageDataModule(LightningDataModule):
    """Batches of images for any layout on disk.

    A subclass lists the images (`build_manifest`) and, unless each is a file, says how to read them (`build_store`).
    The task then calls `use`, and `enter` (training, validation) or `evaluate` (test, predict) before it passes the
    module to a trainer.

    Args:
        path: file or folder of the data set.
        batch_size: images in a training batch on each device.
        eval_batch_size: images in an evaluation batch; None for ``batch_size``.
        num_workers: loader processes, for each of training and evaluation; 0 loads in the main process.
        seed: random seed of order and augmentation.
        decoder: image decoder: "torchvision", or "pillow" as the reference.
        max_pixels: pixels of the largest image that is decoded.
        max_failures: maximum fraction of unreadable training images tolerated before training stops.
        prefetch: batches that each worker prepares in advance.
        start_method: how workers start; None for Python's default.
        pair: trains on real images and on others made from them (`datamodules.pairing.pair.Pair`); None trains on the
            images as they are.
        align: gives each generated image the JPEG tables ("jpeg"), the size ("size") or both of a real image of its
            split, which is chosen by the generated image's id, in training and evaluation; None leaves images as they
            are.
        align_cache: folder in which aligned images are kept for later runs; None keeps none.

    Attributes:
        failures: images that could not be used so far, each once; evaluation skips them.
        notes: damaged metadata ignored in images that could be used, by id; collected as ``failures`` are.
        ignored: files and folders that were skipped; known once the manifest is built.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        path: str | Path,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        decoder: Backend = "torchvision",
        max_pixels: int = MAX_PIXELS,
        max_failures: float = 0.0,
        prefetch: int = 2,
        start_method: StartMethod | None = None,
        pair: Pairs | None = None,
        align: Align | None = None,
        align_cache: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_backend(decoder)
        check_max_pixels(max_pixels)
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("eval_batch_size", eval_batch_size, 1),
            ("num_workers", num_workers, 0),
            ("prefetch", prefetch, 1),
        ):
            if value is not None and value < least:
                raise ConfigError(f"datamodule.{name}={value}", f"Give {least} or more.")
        if not 0 <= max_failures < 1:
            raise ConfigError(f"datamodule.max_failures={max_failures}", "Give a fraction from 0 to below 1.")
        self.path = given_path(path)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.decoder: Backend = decoder
        self.max_pixels = max_pixels
        self.max_failures = max_failures
        self.prefetch = prefetch
        self.start_method = start_method
        self.pair = pair
        if align is not None:
            check_known("datamodule.align", align, get_args(Align))
            if pair is not None:
                raise ConfigError(
                    f"datamodule.align={align} with datamodule.pair, which makes generated images of real ones itself",
                    "Remove one of the two.",
                )
        self.align = align
        self.align_cache = None if align_cache is None else given_path(align_cache)
        self.failures: list[Failure] = []
        self.notes: dict[str, str] = {}
        self.ignored = PassedOver()
        self._aligned: ImageStore | None = None
        self._failed: set[str] = set()
        self._views: tuple[View, View] | None = None
        self._degrade: SampleFunction | Chain | None = None
        self._features: Features | None = None
        self._sides = Sides()
        self._stage: Stage | None = None
        self._rows: Rows | None = None
        self.folded = False  # whether the manifest's splits are folds, made as the data set names none
        self._loaders: list[ImageLoader] = []
        self._cache: DecodedCache | None = None

    @abstractmethod
    def build_manifest(self) -> Manifest:
        """List and describe the images; called once."""

    def build_store(self, manifest: Manifest) -> ImageStore:
        """Build the store of the manifest's rows, which by default reads a file per image; called once."""
        return FileStore(manifest)

    def manifest(self) -> Manifest:
        """Return the manifest of all images."""
        return self._manifest

    def store(self) -> ImageStore:
        """Return the store of their bytes or pixels."""
        return self._store

    @cached_property
    def _manifest(self) -> Manifest:
        self.ignored = PassedOver()
        manifest = self.build_manifest()
        self.ignored.sort()
        if self.ignored:
            warn(f"{as_text(self.path)}: {self.ignored} skipped")
        if self.align is None:
            return manifest
        from datamodules.aligning.store import aligned  # only needed here

        manifest, self._aligned = aligned(
            manifest, self.build_store(manifest), self.align, self.decoder, self.max_pixels, self.align_cache
        )
        return manifest

    @cached_property
    def _store(self) -> ImageStore:
        manifest = self.manifest()
        return self.build_store(manifest) if self._aligned is None else self._aligned

    def use(
        self,
        train_view: View,
        eval_view: View,
        degrade: SampleFunction | Chain | None = None,
        sides: Callable[[], Sides] = Sides,
    ) -> None:
        """Set the detector's views and the degradation that the benchmark applies before them.

        Args:
            train_view: view of training images.
            eval_view: view of evaluated images.
            degrade: the benchmark's degradation.
            sides: returns the sizes that the detector accepts (`Detector.sides`); other images count as failures.

        Raises:
            ConfigError: the benchmark gives crops that the detector would resize or crop again.
        """
        if isinstance(degrade, Chain):
            for name, view, side in (
                ("train", train_view, degrade.side[True]),
                ("eval", eval_view, degrade.side[False]),
            ):
                if side is not None and {view.resize, view.crop} - {None, side}:
                    raise ConfigError(
                        f"the benchmark gives crops of {side} pixels, the detector's {name}_view takes {view.square}",
                        f"Make both agree (benchmark.crop_size, detector.image_size or detector.{name}_view), or set "
                        f"benchmark.{name}_cropping=as_is.",
                    )
            if self.pair is not None:
                raise ConfigError(
                    "datamodule.pair with a benchmark that makes its own training crops", "Choose benchmark=plain."
                )
        self._views = train_view, eval_view
        # only asked for where sizes differ, because some detectors find them by trial
        self._sides = sides() if None in (train_view.square, eval_view.square) else Sides()
        self._degrade = degrade

    def precompute(self, features: Features | None) -> None:
        """Serve a frozen backbone's features, computed where they are missing; None to serve images again."""
        self._features = features

    def enter(self, stage: Stage) -> None:
        """Train and validate on the rows of a stage, which index `manifest`."""
        for rows in (stage.train, stage.validate):
            self._check_rows(rows)
        self._stage = stage
        if isinstance(self._degrade, Chain):
            self._degrade.enter(stage)

    @contextmanager
    def decoding_once(self) -> Iterator[None]:
        """Within this context, images that are evaluated several times are decoded once, as many as memory holds.

        Worker processes keep none, since each evaluation starts new ones.
        """
        self._cache = None if self.num_workers else DecodedCache()
        try:
            yield
        finally:
            self._cache = None

    def evaluate(self, rows: Rows) -> None:
        """Test or predict these rows of `manifest`, each once; failures are counted from zero."""
        self._check_rows(rows)
        self.failures.clear()
        self.notes.clear()
        self._failed.clear()
        self._rows = np.asarray(rows, dtype=np.int64)

    def train_dataloader(self) -> ImageLoader | FeatureLoader:
        """Shuffled batches of the stage, starting at the trainer's current batch."""
        stage, view = self._current_stage(), self._current_views()[0]
        rank, world = self._place()
        self._make_pairs(stage.train[rank::world])
        batches = TrainingBatches(stage.train, self.batch_size, self.seed, self._position, rank, world, stage.copies)
        failed: set[str] = set()

        def report(failures: Sequence[Failure], left: bool) -> None:
            self._note(failures)
            failed.update(failure.id for failure in failures)
            if not left or len(failed) > self.max_failures * len(stage.train):
                first = failures[0]
                raise DataError(
                    f"image {first.id!r} ({first.where}) cannot be trained on: {first.reason}\n  {len(failed)} of "
                    f"{len(stage.train)} images failed so far, datamodule.max_failures={self.max_failures}",
                    "Repair or remove it, or tolerate a fraction of failures with datamodule.max_failures.",
                )

        return self._loader(view, batches, report)

    def paired(self, stage: Stage) -> Stage:
        """The stage that is trained: with ``pair``, without generated training images.

        Raises:
            DataError: no real image is left.
        """
        if self.pair is None:
            return stage
        real = stage.train[self.manifest().labels[stage.train] == 0]
        if not len(real):
            raise DataError(f"stage {stage.name!r} has no real training image to pair", "Give datamodule.pair=null.")
        return replace(stage, train=real)

    def _make_pairs(self, rows: Rows) -> None:
        """Make what pairs keep; each rank makes its share."""
        if self.pair is None:
            return
        store = self.store()

        def image(number: int) -> tuple[Encoded, torch.Tensor]:
            stored = store.read(rows[number])
            if isinstance(stored, np.ndarray):
                return stored, torch.from_numpy(stored).permute(2, 0, 1)
            return stored, decode_noted(stored, backend=self.decoder, max_pixels=self.max_pixels)[0]

        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        self.pair.prepare(image, len(rows), device)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()

    def val_dataloader(self) -> ImageLoader | FeatureLoader:
        """The stage's validation rows, each once across all ranks."""
        return self._evaluation_loader(self._current_stage().validate)

    def test_dataloader(self) -> ImageLoader | FeatureLoader:
        """The rows given to `evaluate`, each once across all ranks."""
        if self._rows is None:
            raise ConfigError("nothing to evaluate", "Call evaluate(rows) before testing or predicting.")
        return self._evaluation_loader(self._rows)

    def predict_dataloader(self) -> ImageLoader | FeatureLoader:
        """Same as `test_dataloader`."""
        return self.test_dataloader()

    def _evaluation_loader(self, rows: Rows) -> ImageLoader | FeatureLoader:
        view = self._current_views()[1]
        batch_size = self.eval_batch_size or self.batch_size
        sizes = None
        crops = self._degrade.side[False] if isinstance(self._degrade, Chain) else None
        if view.square is None and crops is None and not view.equal_sizes:
            if view.augment or not (self._degrade is None or isinstance(self._degrade, Sizing)):
                batch_size = 1  # their output sizes are unknown
            else:
                sizes = sizes_after(self._degrade, self._sizes(rows))
        batches = EvaluationBatches(rows, batch_size, sizes, *self._place())
        return self._loader(view, batches, lambda failures, left: self._note(failures))  # noqa: ARG005

    def unchanged(self, rows: Rows, degrade: SampleFunction) -> NDArray[np.bool_]:
        """[n] whether a degradation leaves an image as it is, known by its size."""
        if not isinstance(degrade, Sizing):
            return np.zeros(len(rows), dtype=np.bool_)
        return np.array([degrade.unchanged(*size) for size in self._sizes(rows).tolist()], dtype=np.bool_)

    def _sizes(self, rows: Rows) -> NDArray[np.int64]:
        return image_sizes(self.manifest(), self.store(), rows, self.max_pixels)

    def _loader(
        self, view: View, batches: TrainingBatches | EvaluationBatches, report: Report
    ) -> ImageLoader | FeatureLoader:
        keep_empty = isinstance(batches, EvaluationBatches) and self._place()[1] > 1
        if self._features is None:
            return self._image_loader(view, batches, report, isinstance(batches, TrainingBatches), keep_empty)
        self._fill(self._features, view, batches, report)
        manifest = self.manifest()
        labels, generators = torch.from_numpy(manifest.labels.astype(np.int64)), manifest.generator_index
        return FeatureLoader(self._features, batches, labels, torch.from_numpy(generators), keep_empty)

    def _fill(
        self, features: Features, view: View, batches: TrainingBatches | EvaluationBatches, report: Report
    ) -> None:
        """Compute the features that the batches need; each rank computes its share of the training images."""
        training = isinstance(batches, TrainingBatches)
        if isinstance(batches, TrainingBatches):
            rank, world = self._place()
            rows, places = self._current_stage().train[rank::world], list(range(features.copies))
        else:
            rows, places = batches.rows, [features.copies]
        keys = self._degrade.look_keys(rows, training) if isinstance(self._degrade, Chain) else np.zeros_like(rows)

        def load(items: ItemBatches) -> ImageLoader:
            return self._image_loader(view, items, report, training)

        fill(features, rows, places, keys, load, self.eval_batch_size or self.batch_size)
        if training and torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()

    def _image_loader(
        self,
        view: View,
        batches: TrainingBatches | EvaluationBatches | ItemBatches,
        report: Report,
        training: bool,
        keep_empty: bool = False,
    ) -> ImageLoader:
        dataset = ImageDataset(
            self.manifest(),
            self.store(),
            view,
            training=training,
            seed=self.seed,
            decoder=self.decoder,
            max_pixels=self.max_pixels,
            degrade=self._degrade,
            sides=self._sides,
            pair=self.pair,
            cache=None if training else self._cache,
        )
        pin_memory = torch.cuda.is_available()
        loader = ImageLoader(
            dataset,
            batches,
            report,
            self.num_workers,
            self.prefetch,
            pin_memory,
            self.start_method,
            self.notes.update,
            keep_empty=keep_empty,
        )
        self._loaders.append(loader)
        return loader

    def teardown(self, stage: str) -> None:  # noqa: ARG002 - Lightning's signature
        """End all worker processes; Lightning calls this at the end of each fit, test, etc."""
        for loader in self._loaders:
            loader.close()
        self._loaders.clear()

    def _note(self, failures: Sequence[Failure]) -> None:
        for failure in failures:
            if failure.id not in self._failed:
                self._failed.add(failure.id)
                self.failures.append(failure)

    @property
    def crops_per_image(self) -> int:
        """Maximum number of crops per image in evaluation."""
        chain = self._degrade.crops_per_image if isinstance(self._degrade, Chain) else 1
        return chain * CROPS[self._current_views()[1].crops]

    def _position(self) -> tuple[int, int]:
        """Epoch and number of its batches that Lightning counts as done: not zero after a resume within an epoch."""
        if self.trainer is None:
            return 0, 0
        return self.trainer.current_epoch, self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def _place(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _check_rows(self, rows: Rows) -> None:
        count = len(self.manifest())
        outside = rows[(rows < 0) | (rows >= count)]
        if len(outside):
            raise DataError(f"row {outside[0]} is not among the manifest's {count} rows", "Give rows of manifest().")
        if len(np.unique(rows)) < len(rows):
            raise DataError("a row occurs twice in the rows of one stage", "Give each row once.")

    def _current_stage(self) -> Stage:
        if self._stage is None:
            raise ConfigError("no stage to train on", "Call enter(stage) before fitting or validating.")
        return self._stage

    def _current_views(self) -> tuple[View, View]:
        if self._views is None:
            raise ConfigError("no view of the images is set", "Call use(train_view, eval_view) first.")
        return self._views
