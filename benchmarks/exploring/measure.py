"""Measurements on the pixels of a sample of images: hashes, spectra, and a residual."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.exploring.spectrum import azimuthal_mean, log_power
from contracts.errors import DataError
from contracts.stage import Rows
from datamodules.arrow.fed_store import dealt
from datamodules.arrow.pieces import read_cells
from datamodules.auditing.perceptual import difference_hash
from datamodules.loading.parallel import parallel
from datamodules.loading.pixels import pixels_of
from datamodules.loading.stores import ImageStore

Residual = Callable[[NDArray[np.uint8]], float]
"""A number for the pixels [H, W, 3] of one image; NaN where it has none."""

UNIT = 2.0**20
"""Spectra are summed in whole multiples of 1 / UNIT, so that sums do not depend on the order of the images."""


@dataclass(frozen=True)
class Measured:
    """Measures of the n sampled images that could be decoded, in the order of the manifest."""

    rows: NDArray[np.int64]  # [n] rows of the manifest
    hashes: NDArray[np.uint64]  # [n] 64-bit difference hashes of the pixels
    residual: NDArray[np.float64]  # [n] mean absolute residual, NaN where an image has none
    curves: NDArray[np.float64]
    """[n, side / 2] mean log power by frequency, NaN where an image is smaller than ``side``."""
    spectra: NDArray[np.float64]  # [groups, side, side] mean log power of each group, NaN without images
    failed: dict[int, str]  # row to the reason of each image that could not be decoded


class _Work:
    """Measures images piece by piece, and keeps the sums of spectra until the end."""

    def __init__(
        self, store: ImageStore, runs: list[Rows], groups: NDArray[np.int64], count: int, side: int, residual: Residual,
        max_pixels: int,
    ) -> None:  # fmt: skip
        self.store, self.runs, self.groups, self.count, self.side = store, runs, groups, count, side
        self.residual, self.max_pixels = residual, max_pixels
        self.sums: dict[int, NDArray[np.int64]] = {}

    def __call__(self, number: int) -> Iterator[Any]:
        """(row, hash, residual, curve) of each image, or (row, reason)."""
        for row, cell in read_cells(self.store, self.runs[number]):
            try:
                if isinstance(cell, DataError):
                    raise cell
                pixels = pixels_of(cell, self.max_pixels)
            except DataError as error:
                yield row, error.what
                continue
            spectrum = log_power(pixels, self.side)
            curve = None
            if spectrum is not None:
                curve = azimuthal_mean(spectrum)
                group = int(self.groups[row])
                whole = np.rint(spectrum * UNIT).astype(np.int64)
                self.sums[group] = self.sums[group] + whole if group in self.sums else whole
            yield row, difference_hash(Image.fromarray(pixels)), self.residual(pixels), curve

    def rest(self) -> Iterator[Any]:
        """Group and sum of spectra."""
        yield from self.sums.items()


def measure(
    store: ImageStore,
    rows: Rows,
    groups: NDArray[np.int64],
    count: int,
    side: int,
    residual: Residual,
    max_pixels: int,
    workers: int,
) -> Measured:
    """Decodes and measures images in several processes; the result depends neither on their number nor on timing.

    Args:
        store: store of the manifest.
        rows: rows to decode.
        groups: [N] group of every row of the manifest.
        count: number of groups.
        side: side of the square whose spectrum is computed.
        residual: picklable.
        max_pixels: pixels of the largest image that is decoded.
        workers: number of processes.
    """
    known: dict[int, tuple[int, float, NDArray[np.float64] | None]] = {}
    failed: dict[int, str] = {}
    sums = np.zeros((count, side, side), np.int64)
    with (
        tqdm(total=len(rows), desc="explore: pixels", unit=" images", smoothing=0.05) as bar,
        dealt(store, np.sort(rows), workers) as (shared, runs),
    ):
        work = _Work(shared, runs, groups, count, side, residual, max_pixels)
        for found in parallel(work, len(runs), workers, work.rest):
            if isinstance(found[1], np.ndarray):
                sums[found[0]] += found[1]
                continue
            if isinstance(found[1], str):
                failed[found[0]] = found[1]
            else:
                known[found[0]] = found[1:]
            bar.update()
    done = np.array(sorted(known), dtype=np.int64)
    missing = np.full(side // 2, np.nan)
    curves = np.array([missing if (c := known[row][2]) is None else c for row in done.tolist()]).reshape(-1, side // 2)
    images = np.bincount(groups[done][~np.isnan(curves[:, 0])], minlength=count)
    with np.errstate(invalid="ignore"):
        spectra = sums / UNIT / images[:, None, None]
    return Measured(
        done,
        np.array([known[row][0] for row in done.tolist()], dtype=np.uint64),
        np.array([known[row][1] for row in done.tolist()], dtype=np.float64),
        curves,
        spectra,
        dict(sorted(failed.items())),
    )
