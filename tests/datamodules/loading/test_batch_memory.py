"""Batches of prepared pixels: what was read to its place, moved there, or made anew, with and without workers."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from contracts.batch import Batch
from contracts.stage import Stage
from contracts.view import View
from datamodules.hdf5 import Hdf5DataModule
from datamodules.loading import batch_memory
from datamodules.loading.batch_memory import BatchMemory
from datamodules.loading.dataset import ImageDataset
from datamodules.loading.stores import Hdf5Store

COUNT, HEIGHT, WIDTH = 21, 6, 7


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "data.h5", "w") as opened:
        opened["train/image"], opened["train/target"] = pixels, np.arange(COUNT) % 2
    return tmp_path / "data.h5"


def turned(image: Tensor, _: np.random.Generator) -> Tensor:
    """Upside down, as a view of the same memory that overlaps itself."""
    return image.permute(1, 2, 0).flatten()[: 3 * 16].view(4, 4, 3).permute(2, 1, 0)


def halved(image: Tensor, _: np.random.Generator) -> Tensor:
    return image.div_(2, rounding_mode="floor")


def brighter(image: Tensor, rng: np.random.Generator) -> Tensor:
    return image.float() / 255 + (1 if rng.random() < 0.5 else 0)


VIEWS = {
    "whole": View(),
    "flip": View(flip=0.5),
    "crop": View(crop=5, flip=0.5),
    "resize": View(resize=5),
    "overlap": View(augment=[turned]),
    "in place": View(augment=[halved]),
    "float": View(augment=[brighter]),
}


def batches(file: Path, view: View, workers: int = 0, **options: Any) -> list[Batch]:
    module = Hdf5DataModule(file, batch_size=4, num_workers=workers, **options)
    module.use(view, view)
    module.enter(Stage(0, "all", np.arange(COUNT), np.arange(0)))
    try:
        return [batch for _ in range(2) for batch in module.train_dataloader() if batch is not None]
    finally:
        module.teardown("fit")


def expected(file: Path, view: View, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Without any place to fill."""
    with monkeypatch.context() as patch:
        patch.setattr(Hdf5Store, "shape", lambda _, __: None)
        return batches(file, view)


def assert_same(found: list[Batch], wanted: list[Batch]) -> None:
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert one.images.stride() == other.images.stride()
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.parametrize("name", VIEWS)
def test_views_of_images_read_to_their_place(file: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(batches(file, VIEWS[name]), expected(file, VIEWS[name], monkeypatch))


@pytest.mark.parametrize("name", ["whole", "float", "crop", "resize", "overlap"])
def test_batches_that_are_kept_stay_as_they_are(file: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_memory, "MOST", 2)
    assert_same(batches(file, VIEWS[name], workers=2), expected(file, VIEWS[name], monkeypatch))


@pytest.mark.parametrize("workers", [0, 1])
def test_images_after_an_unreadable_one_move_up(file: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Hdf5Store.read

    def broken(store: Hdf5Store, row: int, into: Any = None) -> Any:
        stored = read(store, row, into)
        return stored if row % 5 else b"no image"

    monkeypatch.setattr(Hdf5Store, "read", broken)
    found = batches(file, View(), workers, max_failures=0.5)
    pixels = h5py.File(file)["train/image"][:]
    assert sum(len(batch.row) for batch in found) > COUNT
    for batch in found:
        assert np.array_equal(batch.images.permute(0, 2, 3, 1).numpy(), pixels[batch.row.numpy()])


@pytest.fixture
def square(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Square images for training and larger ones for validation, and the square ones."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (COUNT, 5, 5, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "square.h5", "w") as opened:
        opened["train/image"], opened["train/target"] = pixels, np.arange(COUNT) % 2
        opened["valid/image"] = rng.integers(0, 256, (2, 9, 8, 3), dtype=np.uint8)
        opened["valid/target"] = np.arange(2)
    return tmp_path / "square.h5", pixels


def loaded(file: Path, view: View, rows: Sequence[int]) -> np.ndarray:
    """Images [B, H, W, 3] of a batch of evaluation."""
    module = Hdf5DataModule(file)
    dataset = ImageDataset(module.manifest(), module.store(), view, False, 0, "torchvision", 10**6)
    batch = dataset.__getitems__([(row, 0) for row in rows]).batch
    assert batch is not None
    return batch.images.permute(0, 2, 3, 1).numpy()


def test_crops_of_an_image_leave_the_next_ones_as_they_are(
    square: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five crops of an image of the crop's own size, in a batch with so many failures that they fit its memory."""
    read, good = Hdf5Store.read, (0, 1, 20)
    monkeypatch.setattr(Hdf5Store, "read", lambda *given: read(*given) if given[1] in good else b"no image")
    found = loaded(square[0], View(crop=5, crops="five"), range(COUNT))
    assert np.array_equal(found, np.repeat(square[1][list(good)], 5, axis=0))


def test_a_transposed_view_of_an_images_own_memory(square: tuple[Path, np.ndarray]) -> None:
    view = View(augment=[lambda image, _: image.transpose(1, 2)])
    assert np.array_equal(loaded(square[0], view, range(9)), square[1][:9].transpose(0, 2, 1, 3))


def test_images_of_another_size_do_not_fill_a_place(square: tuple[Path, np.ndarray]) -> None:
    rows = [0, COUNT, 1, COUNT + 1]
    alone = [loaded(square[0], View(crop=5), [row])[0] for row in rows]
    assert np.array_equal(loaded(square[0], View(crop=5), rows), np.stack(alone))
    assert np.array_equal(alone[0], square[1][0])


def passed(sender: BatchMemory, images: Tensor) -> Batch:
    numbers = torch.arange(len(images))
    make, parts = sender.sent(Batch(images, numbers, numbers, numbers, numbers, numbers)).__reduce__()
    received: Batch = make(*parts)
    return received


def test_memory_is_taken_again_only_when_no_view_of_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_memory, "get_worker_info", lambda: SimpleNamespace(id=0))
    worker = BatchMemory()
    first = worker.take((2, 5, 3, 3), torch.uint8).fill_(7)
    start, batch = first.data_ptr(), passed(worker, first)
    second = worker.take((2, 5, 3, 3), torch.uint8)
    assert second.data_ptr() != start  # used by the batch
    assert passed(worker, second).images.shape == (2, 5, 3, 3)  # and dropped at once
    kept = batch.images[1, 2:].numpy()
    del batch
    for _ in range(4):
        other = worker.take((2, 5, 3, 3), torch.uint8).fill_(9)
        assert other.data_ptr() != start
        passed(worker, other)
    assert (kept == 7).all()
    del kept
    taken = {worker.take((1, 5, 3, 3), torch.float32 if k % 2 else torch.uint8).data_ptr() for k in range(4)}
    assert start in taken
    assert len(taken) <= 3


def test_memory_that_was_not_sent_is_not_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_memory, "get_worker_info", lambda: SimpleNamespace(id=0))
    worker = BatchMemory()
    assert len({worker.take((2, 3), torch.uint8).data_ptr() for _ in range(2)}) == 2


def test_a_forked_process_gives_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_memory, "get_worker_info", lambda: SimpleNamespace(id=0))
    worker = BatchMemory()
    images = worker.take((1, 4, 4, 3), torch.uint8)
    batch = passed(worker, images)
    monkeypatch.setattr(batch_memory.os, "getpid", lambda: -1)
    del batch
    worker.take((1, 4, 4, 3), torch.uint8)
    assert worker.take((1, 4, 4, 3), torch.uint8).data_ptr() != images.data_ptr()


def test_a_process_without_workers_sends_batches_as_they_are() -> None:
    images = BatchMemory().take((1, 4, 4, 3), torch.uint8)
    batch = Batch(images, *[torch.arange(1)] * 5)
    assert BatchMemory().sent(batch) is batch
