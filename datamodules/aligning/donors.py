"""Which real image each generated one is aligned with, and a check that aligning a data set makes sense."""

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError, DataError
from contracts.keys import random_key
from datamodules.loading.decode import read_header
from datamodules.loading.stores import ImageStore
from datamodules.tables.manifest import ALIGNED, Manifest


def donors_of(manifest: Manifest, mode: str) -> NDArray[np.int64]:
    """[N] row of the real image of the same split that a generated one is aligned with, -1 for all other images.

    The choice is random, keyed by the generated image's id. It depends on no seed: a test set is the same for all runs.

    Raises:
        ConfigError: a split has generated images and no real ones, or there are no generated ones at all.
    """
    labels, split, ids = manifest.labels, manifest.column("split"), manifest.column("id").astype(str)
    donors = np.full(len(manifest), -1, np.int64)
    if not (labels == 1).any():
        raise ConfigError(
            f"datamodule.align={mode} gives generated images properties of real ones, and none is labelled generated",
            "Remove datamodule.align, or choose a data set with labels.",
        )
    for name in sorted(set(split[labels == 1])):
        real = np.flatnonzero((split == name) & (labels == 0))
        if not len(real):
            raise ConfigError(
                f"datamodule.align={mode}: split {name!r} has generated images, and no real ones to align them with",
                "Remove datamodule.align, or add real images to that split.",
            )
        real = real[np.argsort(ids[real], kind="stable")]  # whatever the order of the manifest
        rows = np.flatnonzero((split == name) & (labels == 1))
        donors[rows] = [real[random_key("align", ids[row]) % len(real)] for row in rows]
    return donors


def aligned_manifest(manifest: Manifest, donors: NDArray[np.int64], mode: str) -> Manifest:
    """The manifest with the sizes that generated images will have, 0 where unknown, and a column `ALIGNED`."""
    rows = np.flatnonzero(donors >= 0)
    ids, columns = manifest.column("id"), {}
    for name in ("width", "height") if mode != "jpeg" else ():
        columns[name] = manifest.column(name).copy()
        columns[name][rows] = columns[name][donors[rows]]
    format_ = manifest.column("format").copy()
    format_[rows] = ""
    like = np.full(len(manifest), "", object)
    like[rows] = [f"{mode} as {ids[donor]}" for donor in donors[rows]]
    return manifest.replaced(**columns, format=format_).with_column(ALIGNED, like)


def check_meaning(manifest: Manifest, store: ImageStore, donors: NDArray[np.int64], mode: str, max_pixels: int) -> None:
    """Rejects an alignment that could not change anything, or that cannot be known.

    Real images that cannot be read are skipped here: they are reported where they are used.

    Raises:
        ConfigError: the store holds pixels without files, no real image is a JPEG, or all images have one size.
    """
    if mode != "jpeg":
        sizes = np.stack([manifest.column(name) for name in ("width", "height")], 1)
        if sizes.all() and len(np.unique(sizes, axis=0)) == 1:
            raise ConfigError(
                f"datamodule.align={mode}: all images have {sizes[0, 0]}x{sizes[0, 1]} pixels already",
                "Use datamodule.align=jpeg or remove it.",
            )
    for row in np.unique(donors[donors >= 0]) if mode != "size" else ():
        try:
            data = store.read(int(row))
            if isinstance(data, np.ndarray):
                raise ConfigError(
                    f"datamodule.align={mode}: the data set holds pixels, whose JPEG quality is not known",
                    "Use datamodule.align=size, or prepare the data with prepare.storage=encoded.",
                )
            if read_header(data, max_pixels).format == "JPEG":
                return
        except DataError:
            continue
    if mode != "size":
        raise ConfigError(
            f"datamodule.align={mode}: none of the real images is a JPEG",
            "Use datamodule.align=size, or remove it.",
        )
