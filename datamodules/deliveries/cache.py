"""Delivered images on disk: made once, read by every later detector and run.

Each is a PNG file named after a digest of the image's pixels and its random key, in a folder for the delivery and the
versions of the libraries. PNG has checksums: a damaged file is made again.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from contracts.keys import generator, random_key
from contracts.versioned_folder import versioned_folder
from contracts.view import SampleFunction, Sizing
from datamodules.deliveries.steps import Rng

LIBRARIES = ("numpy", "opencv-python-headless", "pillow")  # Libraries on whose versions the pixels depend


@dataclass(frozen=True)
class Delivered:
    """A delivery with its own random numbers for each image, and a cache."""

    name: str  # of the delivery, part of every random key
    make: SampleFunction  # the delivery
    folder: Path | None = None  # where images are kept, or None

    def size(self, height: int, width: int) -> tuple[int, int] | None:
        """See `contracts.view.Sizing.size`."""
        return self.make.size(height, width) if isinstance(self.make, Sizing) else None

    def unchanged(self, height: int, width: int) -> bool:
        """See `contracts.view.Sizing.unchanged`."""
        return isinstance(self.make, Sizing) and self.make.unchanged(height, width)

    def __str__(self) -> str:
        """What the pixels depend on beside the image; equal in every process."""
        return f"{self.name}: {_described(self.make)}"

    def __call__(self, image: Tensor, rng: Rng) -> Tensor:
        """Image [3, H, W] uint8 → [3, h, w] uint8; the same with and without a cache."""
        key = random_key(int(rng.integers(2**62)), "delivery", self.name)
        if self.folder is None:
            return self.make(image, generator(key))
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        digest = blake2b(f"{pixels.shape} {key}".encode() + pixels.tobytes(), digest_size=16).hexdigest()
        file = self.folder / digest[:2] / f"{digest}.png"
        found = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR_RGB) if file.is_file() else None
        if found is None:
            found = np.ascontiguousarray(self.make(image, generator(key)).permute(1, 2, 0).numpy())
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
            cv2.imencode(".png", found[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tofile(temporary)
            temporary.replace(file)  # not synced: what a crash loses is made again
        return torch.from_numpy(found).permute(2, 0, 1)


def delivered(make: Mapping[str, SampleFunction], root: Path | None) -> dict[str, SampleFunction]:
    """The deliveries with random numbers of their own and, with a root, a cache in a subfolder for each.

    Raises:
        DataError: a subfolder was written with other versions of the libraries.
    """
    folders = {
        name: None if root is None else versioned_folder(root, {name: _described(one)}, LIBRARIES, "benchmark.cache")
        for name, one in make.items()
    }
    return {name: Delivered(name, one, folders[name]) for name, one in make.items()}


def _described(function: Any) -> str:
    """What a delivery's pixels depend on; equal in every process."""
    if isinstance(function, partial):
        return f"{_described(function.func)} {function.args} {sorted(function.keywords.items())}"
    return f"{function.__module__}.{function.__qualname__}" if hasattr(function, "__qualname__") else repr(function)
