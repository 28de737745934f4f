"""Image sizes, for batches of equal size."""

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.stage import Rows
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
