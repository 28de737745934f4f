"""From (row, look) to a batch: read, decode, degrade, apply the view, stack. A look is one use of a training image."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from contracts.batch import Batch, as_unit_float
from contracts.errors import ConfigError, DataError, PixelProofError
from contracts.keys import generator, sample_key
from contracts.pairs import Pairs
from contracts.process.memory import return_freed_memory
from contracts.process.stop import ignore_in_worker
from contracts.view import Chain, Encoded, Sample, SampleFunction, Sides, View
from datamodules.loading.batch_memory import BatchMemory
from datamodules.loading.decode import Backend, decode_noted
from datamodules.loading.decoded_cache import DecodedCache, Noted
from datamodules.loading.samplers import EvaluationBatches, Item, ItemBatches, TrainingBatches
from datamodules.loading.stores import Hdf5Store, ImageStore, Pixels
from datamodules.loading.transforms import degraded, evaluation_views, training_views
from datamodules.tables.manifest import Manifest


class Failure(NamedTuple):
    """An image that could not be used: a row of ``failures.csv``."""

    id: str
    where: str
    reason: str


class Loaded(NamedTuple):
    """A worker's result: the images that could be used, and those that could not."""

    batch: Batch | None
    failures: list[Failure]
    notes: dict[str, str] = {}  # noqa: RUF012 - never changed
    """Damaged metadata ignored in an image's file, by id."""


class Use(NamedTuple):
    """One look at an image."""

    row: int  # of the manifest
    look: int  # counted over epochs and copies
    key: int  # of the image's random numbers
    into: Pixels | None  # its place in the batch, which a store of pixels may fill


Prepared = tuple[list[Tensor], tuple[str, ...]]  # Its views, and the notes
AHEAD = 4  # Images that are read while one is decoded, times the threads: the slowest must not keep others waiting


class ImageDataset(Dataset[Loaded]):
    """A manifest and its store, seen through one view. Whole batches are requested at once.

    Args:
        manifest: the images.
        store: reads their bytes or pixels.
        view: the detector's view.
        training: whether views are random.
        seed: first part of every image's key.
        decoder: backend of `datamodules.loading.decode`.
        max_pixels: pixels of the largest image that is decoded.
        degrade: the benchmark's degradation, before the view.
        sides: image sizes that the detector accepts.
        pair: makes several labelled images of a real one in training, or None.
        cache: keeps decoded images for the next evaluation of the same rows, or None.
    """

    def __init__(
        self,
        manifest: Manifest,
        store: ImageStore,
        view: View,
        training: bool,
        seed: int,
        decoder: Backend,
        max_pixels: int,
        degrade: SampleFunction | Chain | None = None,
        sides: Sides | None = None,
        pair: Pairs | None = None,
        cache: DecodedCache | None = None,
    ) -> None:
        self._training = training
        self._cache = cache
        self._pair = pair if training else None
        self._manifest = manifest
        self._store = store
        self._views = partial(training_views if training else evaluation_views, view=view)
        self._seed = seed
        self._decode = partial(decode_noted, backend=decoder, max_pixels=max_pixels)
        self._decoder = decoder
        self._degrade = degrade
        self._sides = sides or Sides()
        self._found: list[str] = []
        self._memory = BatchMemory()
        self._square = view.square
        # needed by every item, so read from the table once, before the workers start
        self._labels = torch.from_numpy(manifest.labels.astype(np.int64))
        self._generators = torch.from_numpy(manifest.generator_index)

    def __getitem__(self, item: Item) -> Loaded:
        return self.__getitems__([item])

    def __getitems__(self, items: Sequence[Item]) -> Loaded:
        """Load a batch; PyTorch's loader calls this with the whole list of a batch sampler."""
        views: list[list[Tensor]] = []
        rows: list[int] = []
        keys: list[int] = []
        labels: list[int] = []
        failures: list[Failure] = []
        notes: dict[str, str] = {}
        memory = self._fillable(items)
        uses = [
            Use(
                row,
                look,
                sample_key(self._seed, look, self._manifest.image_id(row)),
                None if memory is None else memory[place].numpy(),
            )
            for place, (row, look) in enumerate(items)
        ]
        for use, prepared in zip(uses, self._prepared(uses), strict=True):
            row, key = use.row, use.key
            self._found = []
            try:
                made = self._labelled(use, prepared)
                for _, seen in made:
                    for image in seen:
                        self._sides.check(*image.shape[-2:])
            except DataError as error:
                reason = str(error.what)
                failures.append(Failure(self._manifest.image_id(row), self._manifest.place(row), reason))
            else:
                labels += [label for label, _ in made]
                views += [seen for _, seen in made]
                rows += [row] * len(made)
                keys += [key] * len(made)
                if self._found:
                    notes[self._manifest.image_id(row)] = "; ".join(dict.fromkeys(self._found))
        if not rows:
            return Loaded(None, failures)
        row_index = torch.tensor(rows)
        batch = Batch(
            images=self._together(views, rows, memory),
            label=torch.tensor(labels),
            generator=self._generators[row_index],
            row=row_index,
            crop_to_image=torch.arange(len(rows)).repeat_interleave(torch.tensor([len(crops) for crops in views])),
            key=torch.tensor(keys),
        )
        return Loaded(self._memory.sent(batch), failures, notes)

    def _fillable(self, items: Sequence[Item]) -> Tensor | None:
        """The batch's memory, where the store has pixels as the view leaves them, so that it can fill it."""
        fills = isinstance(self._store, Hdf5Store) and not isinstance(self._degrade, Chain) and self._pair is None
        if not items or not fills:  # a rank may have no image
            return None
        try:
            shape = cast(Hdf5Store, self._store).shape(items[0][0])
        except DataError:  # reported when the image is read
            return None
        if shape is None or self._square not in (None, *shape[:2]):
            return None
        return self._memory.take((len(items), *shape), torch.uint8)

    def _prepared(self, uses: Sequence[Use]) -> Iterator[Future[Prepared] | None]:
        """Views of evaluated images, made by as many threads as torch uses; None where `_labelled` makes them.

        The store is read by this thread alone, and as few images are decoded at a time as there are threads.
        """
        threads = min(torch.get_num_threads(), len(uses))
        if threads <= 1 or self._training or isinstance(self._degrade, Chain):  # 0: a rank may have no image
            yield from [None] * len(uses)
            return
        waiting: deque[Future[Prepared]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for use in uses:
                waiting.append(pool.submit(self._prepare, self._read(use), use))
                if len(waiting) > AHEAD * threads:
                    yield waiting.popleft()
            yield from waiting

    def _read(self, use: Use) -> Encoded | DataError:
        try:
            return self._stored(use)
        except DataError as error:
            return error  # to be reported when it is this image's turn

    def _stored(self, use: Use) -> Encoded:
        if isinstance(self._store, Hdf5Store):
            return self._store.read(use.row, use.into)
        return self._store.read(use.row)

    def _prepare(self, stored: Encoded | DataError, use: Use) -> Prepared:
        if isinstance(stored, DataError):
            raise stored
        decode = partial(self._decoded, stored)
        cache = None if isinstance(stored, np.ndarray) else self._cache  # pixels need no decoding
        image, notes = decode() if cache is None else cache.decoded(use.row, decode)
        return [_alone(view) for view in self._views(self._delivered(image, use.key), key=use.key)], notes

    def _delivered(self, image: Tensor, key: int) -> Tensor:
        return degraded(image, None if isinstance(self._degrade, Chain) else self._degrade, key)

    def _labelled(self, use: Use, prepared: Future[Prepared] | None) -> list[tuple[int, list[Tensor]]]:
        """Label and views of an image, or of all images of its pair, which share their random numbers."""
        if self._pair is None:
            return [(int(self._labels[use.row]), self._seen(use, prepared))]
        stored = self._store.read(use.row)
        made = self._pair.made(stored, self._image(stored), generator(use.key, "pair"))
        return [(label, self._views(self._delivered(image, use.key), key=use.key)) for label, image in made]

    def _seen(self, use: Use, prepared: Future[Prepared] | None) -> list[Tensor]:
        """Views of the image as the benchmark passes it on: unchanged, degraded, or in the benchmark's crops."""
        if not isinstance(self._degrade, Chain):
            views, notes = self._prepare(self._stored(use), use) if prepared is None else prepared.result()
            self._found += notes
            return views
        sample = Sample(use.row, use.look, partial(self._store.read, use.row), self._image, self._decoder)
        make = self._degrade.train if self._training else self._degrade.evaluate
        random = generator(use.key, "degrade")
        return [view for image in make(sample, random) for view in self._views(image, key=use.key)]

    def _image(self, data: Encoded) -> Tensor:
        image, notes = self._decoded(data)
        self._found += notes
        return image

    def _decoded(self, data: Encoded) -> Noted:
        return (torch.from_numpy(data).permute(2, 0, 1), ()) if isinstance(data, np.ndarray) else self._decode(data)

    def _together(self, views: list[list[Tensor]], rows: list[int], memory: Tensor | None) -> Tensor:
        first = views[0][0]
        for row, crops in zip(rows, views, strict=True):
            if crops[0].shape != first.shape:
                raise ConfigError(
                    f"image {self._manifest.image_id(rows[0])!r} became {_size(first)} pixels, "
                    f"{self._manifest.image_id(row)!r} {_size(crops[0])}: images "
                    "of different sizes cannot share a batch",
                    "Set resize or crop in the detector's view, or batch size 1; "
                    "or correct width and height in the manifest.",
                )
        crops = [crop for image in views for crop in image]
        if any(crop.dtype != torch.uint8 for crop in crops):
            crops = [as_unit_float(crop) for crop in crops]
        # channels last, as decoders write and convolutions read, so that each image is one plain copy
        _, height, width = first.shape
        shape, dtype = (height, width, 3), crops[0].dtype
        # images move up over failed ones; several crops of an image would overwrite those of the next
        if memory is None or memory.shape[1:] != shape or memory.dtype != dtype or len(crops) != len(views):
            memory = self._memory.take((len(crops), *shape), dtype)
        images = memory[: len(crops)].permute(0, 3, 1, 2)
        begin, end = images.data_ptr(), images.data_ptr() + memory.nbytes
        for target, crop in zip(images, crops, strict=True):
            if crop.data_ptr() != target.data_ptr() or crop.stride() != target.stride():  # otherwise read to its place
                target.copy_(crop.clone() if begin <= crop.data_ptr() < end else crop)
        return images


def _alone(view: Tensor) -> Tensor:
    """The view, without the rest of the image that it was cropped from."""
    if view.untyped_storage().nbytes() < 2 * view.nbytes:
        return view
    return view.permute(1, 2, 0).clone(memory_format=torch.contiguous_format).permute(2, 0, 1)


def _size(image: Tensor) -> str:
    return f"{image.shape[2]}x{image.shape[1]}"


class BatchLoader:
    """The length of a loader, and the empty state that Lightning requests."""

    batches: TrainingBatches | EvaluationBatches | ItemBatches

    def __len__(self) -> int:
        return len(self.batches)

    def state_dict(self) -> dict[str, int]:
        """Empty: Lightning's counters hold the position in the epoch, and the method's existence tells Lightning so."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """See `state_dict`."""


@dataclass(eq=False)
class ImageLoader(BatchLoader):
    """Batches for Lightning; failures go to a callback in the main process.

    Deliberately not a ``DataLoader``: Lightning rebuilds those with its own samplers, while the batches here already
    belong to their rank. Iteration is lazy up to the first batch: Lightning opens the iterator before its counters are
    restored.
    """

    dataset: ImageDataset  # the data set to load from
    batches: TrainingBatches | EvaluationBatches | ItemBatches  # rows of each batch
    report: Callable[[list[Failure], bool], None]
    """Called with the failures of a batch and whether any image of it is left; may raise."""
    num_workers: int = 0  # worker processes; 0 loads in the main process
    prefetch: int = 2  # batches that each worker prepares in advance
    pin_memory: bool = False  # copy batches to page-locked memory
    start_method: str | None = None  # how workers start: "fork", "spawn", "forkserver", or None for Python's default
    note: Callable[[dict[str, str]], None] | None = None  # called with the notes of a batch
    keep_empty: bool = False  # yield None if no image of a batch is left, so that ranks stay in step in evaluation

    def __post_init__(self) -> None:
        # PyTorch gives every worker one thread. Its base seed comes from a generator of ours, because the global one
        # belongs to training, whose random numbers must not depend on how often a loader was started
        self._loader: DataLoader[Loaded] = DataLoader(
            self.dataset,
            batch_sampler=self.batches,
            num_workers=self.num_workers,
            collate_fn=_as_is,
            pin_memory=self.pin_memory,
            persistent_workers=self.num_workers > 0,
            prefetch_factor=self.prefetch if self.num_workers else None,
            multiprocessing_context=self.start_method if self.num_workers else None,
            generator=torch.Generator(),
            worker_init_fn=ignore_in_worker,
        )

    def close(self) -> None:
        """End the worker processes; iterating again starts new ones."""
        iterator, self._loader._iterator = self._loader._iterator, None
        if isinstance(iterator, _MultiProcessingDataLoaderIter):
            iterator._shutdown_workers()

    def __iter__(self) -> Iterator[Batch | None]:
        if self.num_workers and self._loader._iterator is None:
            return_freed_memory()
        try:
            for loaded in self._loader:
                if loaded.failures:
                    self.report(loaded.failures, loaded.batch is not None)
                if loaded.notes and self.note is not None:
                    self.note(loaded.notes)
                if loaded.batch is not None or self.keep_empty:
                    yield loaded.batch
        except PixelProofError:
            self.close()  # Lightning tears nothing down after an error
            raise


def _as_is(loaded: Any) -> Any:
    """No collation: whole batches are loaded at once."""
    return loaded
