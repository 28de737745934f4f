"""Features of a frozen backbone in place of images: computed once and kept in a memory-mapped file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts.batch import Batch
from contracts.stage import Rows
from contracts.versioned_folder import grown
from datamodules.loading.dataset import BatchLoader, ImageLoader
from datamodules.loading.samplers import EvaluationBatches, ItemBatches, TrainingBatches

Extract = Callable[[Tensor], Tensor]  # Images [B, 3, H, W] as a batch holds them → features [B, D] float32, on the CPU

RECORD = np.dtype([("key", "<i8"), ("crops", "<i4")])


class Features:
    """One slot for the evaluation of every image and for each of its fixed copies in training.

    Args:
        folder: folder of exactly these settings (`versioned_folder`).
        extract: the backbone.
        rows: number of rows in the manifest.
        copies: looks at a training image that repeat from epoch to epoch.
        crops: maximum number of crops of an evaluated image.
        dim: length of a feature vector.
    """

    def __init__(self, folder: Path, extract: Extract, rows: int, copies: int, crops: int, dim: int) -> None:
        self.extract = extract
        self.copies = copies
        shape = (rows, copies + 1)
        size = rows * (copies + 1)
        self._vectors = np.memmap(
            grown(folder / "features.f32", size * crops * dim * 4), np.float32, "r+", shape=(*shape, crops, dim)
        )
        self._index = np.memmap(grown(folder / "index.bin", size * RECORD.itemsize), RECORD, "r+", shape=shape)

    def missing(self, rows: Rows, place: int, keys: Rows) -> Rows:
        """Rows whose slot is empty or was computed with another key.

        Args:
            rows: number of rows in the manifest.
            place: copy in training, or ``copies`` for evaluation.
            keys: [len(rows)] keys of all that a look depends on besides row and place.
        """
        found = self._index[rows, place]
        return np.asarray(rows[(found["crops"] < 1) | (found["key"] != keys)], dtype=np.int64)

    def put(self, batch: Batch, place: int, keys: dict[int, int]) -> None:
        """Compute and store the features of a batch; the record is written after the vectors."""
        vectors = self.extract(batch.images).numpy()
        for position, row in enumerate(batch.row.tolist()):
            mine = vectors[batch.crop_to_image.numpy() == position]
            self._vectors[row, place, : len(mine)] = mine
            self._index[row, place] = (keys[row], len(mine))

    def get(self, rows: NDArray[np.int64], places: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int64]]:
        """Vectors [total crops, D] and the number of crops of each image; 0 if an image could not be read."""
        counts = self._index[rows, places]["crops"].astype(np.int64)
        if counts.max(initial=0) == 1 and counts.min(initial=1) == 1:
            return torch.from_numpy(self._vectors[rows, places, 0]), counts
        parts = [self._vectors[r, p, :n] for r, p, n in zip(rows, places, counts, strict=True)]
        return torch.from_numpy(np.concatenate(parts)), counts


@dataclass(eq=False)
class FeatureLoader(BatchLoader):
    """Batches whose images are features; same interface as `datamodules.loading.dataset.ImageLoader`."""

    features: Features  # filled for everything in the batches except unreadable images
    batches: TrainingBatches | EvaluationBatches  # rows and looks of each batch
    labels: Tensor  # [N] label of every row of the manifest
    generators: Tensor  # [N] generator index of every row of the manifest
    keep_empty: bool = False  # yield None if no image of a batch is left, so that ranks stay in step in evaluation

    def __post_init__(self) -> None:
        self._training = isinstance(self.batches, TrainingBatches)

    def close(self) -> None:
        """Do nothing: no resource is open."""

    def __iter__(self) -> Iterator[Batch | None]:
        copies = self.features.copies
        for items in self.batches:
            rows, looks = np.array(items, dtype=np.int64).reshape(-1, 2).T
            vectors, counts = self.features.get(rows, looks % copies if self._training else looks + copies)
            row = torch.from_numpy(rows[counts > 0])
            if not len(row):
                if self.keep_empty:
                    yield None
                continue
            kept = torch.from_numpy(counts[counts > 0])
            yield Batch(
                images=vectors,
                label=self.labels[row],
                generator=self.generators[row],
                row=row,
                crop_to_image=torch.arange(len(row)).repeat_interleave(kept),
                key=torch.zeros(len(row), dtype=torch.int64),
            )


def fill(
    features: Features,
    rows: Rows,
    places: Sequence[int],
    keys: Rows,
    load: Callable[[ItemBatches], ImageLoader],
    batch_size: int,
) -> None:
    """Compute missing features; slots of unreadable images, which the loader reports, stay empty.

    Args:
        features: the features to fill.
        rows: number of rows in the manifest.
        places: training copies, or the place of evaluation.
        keys: [len(rows)] key of each row's looks.
        load: makes a loader of items.
        batch_size: images in a batch.
    """
    by_row = dict(zip(rows.tolist(), keys.tolist(), strict=True))
    for place in places:
        look = place if place < features.copies else 0
        missing = features.missing(rows, place, keys)
        if not len(missing):
            continue
        loader = load(ItemBatches([(row, look) for row in missing.tolist()], batch_size))
        for batch in loader:
            if batch is not None:
                features.put(batch, place, by_row)
        loader.close()
