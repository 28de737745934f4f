"""Degraded evaluation crops on disk: computed once, read by every later window, model and run.

A folder has one sub-folder for each data set and way of making crops (protocol, cropping, size, seed, decoder). In it
``crops.u8`` has a slot of uint8 pixels for every image and ``index.bin`` a record: the number of crops in the slot, a
digest of their source (the encoded bytes and the image's seeds) and a checksum of the pixels. A slot is used only if
both agree, so the crops of an image that changed, or of an interrupted write, are computed again. Processes and ranks
share the files.
"""

import os
import zlib
from collections.abc import Mapping
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.versioned_folder import grown, versioned_folder
from contracts.view import Encoded

LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "torch", "torchvision")
"""Libraries on whose versions the pixels depend."""

RECORD = np.dtype([("crops", "<u4"), ("checksum", "<u4"), ("digest", "S24")])
_VERSION = b"ai-genbench crops 1"


class CropCache:
    """Crops of the images of one manifest.

    Rounding values between levels to uint8 changes a pixel by at most half a level.

    Args:
        folder: Root of the cache.
        settings: How crops are made, in plain containers; different settings have different sub-folders.
        rows: Rows of the manifest, one slot each.
        crops: Largest number of crops of an image.
        size: Side of a crop.

    Raises:
        DataError: The sub-folder was written with other versions of the libraries.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], rows: int, crops: int, size: int) -> None:
        about = {**settings, "rows": rows, "crops": crops, "size": size}
        self.folder = versioned_folder(folder, about, LIBRARIES, "benchmark.cache")
        self._crops, self._size = crops, size
        self._slot = crops * size * size * 3
        self._process, self._files = -1, (-1, -1)
        grown(self.folder / "crops.u8", rows * self._slot)
        grown(self.folder / "index.bin", rows * RECORD.itemsize)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_process": -1, "_files": (-1, -1)}

    def _open(self) -> tuple[int, int]:
        if self._process != os.getpid():
            paths = (self.folder / "crops.u8", self.folder / "index.bin")
            self._files = (os.open(paths[0], os.O_RDWR), os.open(paths[1], os.O_RDWR))
            self._process = os.getpid()
        return self._files

    def get(self, row: int, encoded: Encoded, about: str) -> NDArray[np.uint8] | None:
        """The crops of an image, uint8 [crops, size, size, 3]; None if they are missing, damaged or outdated.

        Args:
            row: The image's row in the manifest.
            encoded: The image as stored.
            about: Everything else that its crops depend on (seeds, decoder).
        """
        crops, index = self._open()
        record = np.frombuffer(os.pread(index, RECORD.itemsize, row * RECORD.itemsize), RECORD)[0]
        count = int(record["crops"])
        if not 1 <= count <= self._crops or record["digest"] != _digest(encoded, about):
            return None
        pixels = np.empty((count, self._size, self._size, 3), np.uint8)
        whole = os.preadv(crops, [pixels.data], row * self._slot) == pixels.nbytes
        return pixels if whole and zlib.crc32(pixels.data) == record["checksum"] else None

    def put(self, row: int, encoded: Encoded, about: str, pixels: NDArray[np.uint8]) -> None:
        """Store the crops of an image, uint8 [crops, size, size, 3]; `get` takes the same arguments."""
        crops, index = self._open()
        pixels = np.ascontiguousarray(pixels)
        os.pwrite(crops, pixels.data, row * self._slot)  # before the record, which must never name a partial slot
        record = np.array([(len(pixels), zlib.crc32(pixels.data), _digest(encoded, about))], RECORD)
        os.pwrite(index, record.tobytes(), row * RECORD.itemsize)


def _digest(encoded: Encoded, about: str) -> bytes:
    """24 bytes; SHA-1, for which processors have instructions, is enough against accidents."""
    hashed = sha1(_VERSION, usedforsecurity=False)
    hashed.update(about.encode())
    if isinstance(encoded, np.ndarray):
        hashed.update(str(encoded.shape).encode())
        hashed.update(np.ascontiguousarray(encoded).data)
    else:
        hashed.update(encoded)
    return hashed.digest() + b"crop"
