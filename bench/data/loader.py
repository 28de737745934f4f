"""The training loader on prepared pixels, against the aiornot notebook's.

The notebook reads one image at a time from an open HDF5 file, converts it to a float tensor and normalises it in the
worker; PyTorch collates. Ours delivers uint8 batches in shared memory, which the detector normalises on its device;
here that is the CPU, and the normalisation is included. A second row leaves it out.
"""

import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Normalize, ToTensor

from bench.parts.allocator import plainly
from bench.parts.images import jpegs, parquet
from bench.parts.table import Row, rate
from bench.parts.timing import interleaved, pick
from contracts.stage import Stage
from contracts.view import View
from datamodules.hdf5 import Hdf5DataModule
from datamodules.loading.parallel import cores
from datamodules.parquet import ParquetDataModule
from datamodules.preparing.hdf5_writer import Hdf5Writer
from detectors.parts.normalise import IMAGENET_MEAN, IMAGENET_STD, normalise

SIDE = 512
BATCH = 32
TARGET = 4.0


def measure() -> list[Row]:
    """Measures images/s delivered without workers and with two."""
    torch.set_num_threads(cores())
    count = pick(256, 1280)  # 28 batches per epoch: the start of workers is included, as in training
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = ParquetDataModule(parquet(folder / "images.parquet", jpegs(SIDE), count))
        file = folder / "data.h5"
        Hdf5Writer(file, "pixels", SIDE).write(source.manifest(), source.store())
        rows = []
        for workers in pick((0,), (0, 2)):
            rows += _compared(file, workers)
        return rows


def _compared(file: Path, workers: int) -> list[Row]:
    with h5py.File(file, "r") as opened:
        count = len(opened["train"]["target"]) // BATCH * BATCH
    timings = interleaved(
        {
            "notebook": plainly(lambda: _drain_notebook(file, workers)),
            "delivered": lambda: _drain_ours(file, workers, normalised=False),
            "normalised": lambda: _drain_ours(file, workers, normalised=True),
        }
    )
    way = f"{SIDE}², batch {BATCH}, {workers} workers"
    return [
        rate("loader", way, timings["notebook"], timings["normalised"], count, TARGET, "normalisation included"),
        rate("loader", way, timings["notebook"], timings["delivered"], count, None, "uint8 batches delivered"),
    ]


class NotebookDataset(Dataset[tuple[Tensor, Tensor]]):
    """One image at a time from an open, prepared file, converted and normalised in the worker."""

    def __init__(self, file: Path) -> None:
        self._group: Any = h5py.File(file, "r")["train"]
        self._transform = Compose([ToTensor(), Normalize(IMAGENET_MEAN, IMAGENET_STD)])

    def __len__(self) -> int:
        return len(self._group["target"])

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        image: Tensor = self._transform(np.asarray(self._group["image"][row]))
        return image, torch.tensor([self._group["target"][row]], dtype=torch.float32)


def _drain_notebook(file: Path, workers: int) -> None:
    loader = DataLoader(NotebookDataset(file), BATCH, shuffle=True, drop_last=True, num_workers=workers)
    for images, _ in loader:
        images.shape  # noqa: B018 - the batch is there


def _drain_ours(file: Path, workers: int, normalised: bool) -> None:
    module = Hdf5DataModule(file, batch_size=BATCH, num_workers=workers)
    view = View()
    module.use(view, view)
    manifest = module.manifest()
    rows = np.flatnonzero(manifest.column("split") == "train")
    module.enter(Stage(0, "train", rows, rows[:0]))
    try:
        for batch in module.train_dataloader():
            if normalised and batch is not None:
                normalise(batch.images)
    finally:
        module.teardown("fit")
