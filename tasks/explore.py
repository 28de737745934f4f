"""``task=explore``: a page that shows a data set before anything is trained on it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.exploring.explore import explore as look_at
from benchmarks.exploring.files import write_files
from benchmarks.exploring.page import render
from contracts.errors import ConfigError
from contracts.files import write_atomically
from contracts.words import counted
from datamodules.loading.dataset import Failure
from datamodules.loading.pixels import pixels_of
from detectors.npr.residual import even_size, npr_residual
from tasks.experiment.run import Run
from tasks.scoring.failures import write_failures

CENTRE = 512
"""Side of the central square whose residual is measured: enough for a mean."""


def explore(run: Run) -> None:
    """Shows a data set: counts, sizes, formats, samples, near copies, spectra, and what metadata alone predicts.

    The page ``index.html`` needs no network; the files beside it hold its figures. It reads the headers of all images
    and the pixels of a sample of ``explore.images``.

    Raises:
        ConfigError: an option is out of range.
        DataError: the data set cannot be read.
    """
    options = run.config.explore
    if options.images < 1:
        raise ConfigError(f"explore.images={options.images}", "Give 1 or more.")
    datamodule = run.datamodule()
    manifest, store = datamodule.manifest(), datamodule.store()
    out: Path = run.out(options.out, "explore")
    look = look_at(manifest, store, mean_residual, options.images, options.seed, datamodule.max_pixels)

    def pixels(row: int) -> Any:
        return pixels_of(store.read(row), datamodule.max_pixels)

    page = render(look, pixels, datamodule.path, type(datamodule).__name__)
    out.mkdir(parents=True, exist_ok=True)
    failures = [Failure(manifest.image_id(k), manifest.place(k), reason) for k, reason in sorted(look.failed.items())]
    write_failures(out / "failures.csv", failures)
    files = write_files(look, out)
    write_atomically(out / "index.html", page.encode())
    for rule in [rule for rule in look.rules if rule.separates][:1]:
        print(f"Metadata alone ({rule.features}) separates the classes, AUROC {rule.auroc:.2f}: {rule.words[0]}")
    print(f"{counted(len(manifest), 'image')}, pixels of {look.sampled:,}: {len(files)} CSV files beside the page")
    print(f"Page: {(out / 'index.html').resolve()}")


def mean_residual(pixels: NDArray[np.uint8]) -> float:
    """Mean absolute NPR residual of the centre of an image [H, W, 3], in grey levels; NaN below 2 × 2 pixels."""
    height, width = pixels.shape[:2]
    if min(height, width) < 2:
        return float("nan")
    top, left = max(height - CENTRE, 0) // 4 * 2, max(width - CENTRE, 0) // 4 * 2  # even: blocks stay whole
    centre = torch.from_numpy(pixels[top : top + CENTRE, left : left + CENTRE].copy()).permute(2, 0, 1)[None]
    return float(npr_residual(even_size(centre.float())).abs().mean(dtype=torch.float64))
