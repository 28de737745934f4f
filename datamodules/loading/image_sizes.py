"""Image sizes, for batches of equal size."""

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.stage import Rows
from contracts.view import Sizing
from datamodules.loading.decode import read_header
from datamodules.loading.stores import ImageStore
from datamodules.tables.manifest import Manifest


def image_sizes(manifest: Manifest, store: ImageStore, rows: Rows, max_pixels: int) -> NDArray[np.int64]:
    """Height and width of the images of some rows, from their headers where the manifest has no sizes.

    Returns:
        [len(rows), 2]; zeros for an image that cannot be read: it fails again when its batch is loaded, and is recorded
        then with the reason.
    """
    sizes = np.stack([manifest.column(name)[rows] for name in ("height", "width")], axis=1).astype(np.int64)
    for position in np.flatnonzero((sizes == 0).any(axis=1)):
        try:
            data = store.read(int(rows[position]))
            if isinstance(data, np.ndarray):
                sizes[position] = data.shape[:2]
            else:
                header = read_header(data, max_pixels)
                sizes[position] = header.height, header.width
        except DataError:
            sizes[position] = 0
    return sizes


def sizes_after(degrade: Sizing | None, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """[n, 2] sizes of images after a degradation; each unknown size is a different negative number."""
    if degrade is None:
        return sizes
    found = {size: degrade.size(*size) for size in {(int(height), int(width)) for height, width in sizes}}
    unknown = ((-1 - number, 1) for number in range(len(sizes)))
    after = [found[int(height), int(width)] or alone for (height, width), alone in zip(sizes, unknown, strict=True)]
    return np.array(after, dtype=np.int64).reshape(-1, 2)
