"""Images that a program holds: paths, folders, bytes of files, arrays or PIL images."""

from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from shlex import quote
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.errors import ConfigError, DataError
from contracts.names import as_text
from datamodules.folders.walk import SUFFIXES, below
from datamodules.image_datamodule import ImageDataModule
from datamodules.loading.decode import pixels_of
from datamodules.loading.options import Loading
from datamodules.tables.manifest import Manifest

Stored = Path | bytes | Image.Image | NDArray[np.uint8] | str
"""An image as it is held until it is read; a string is an address, whose image is not fetched."""


class GivenImages(ImageDataModule):
    """Test images of unknown label, in the order given; their ids are paths, or ``image 0`` and so on.

    Args:
        images: see `listed` and `held`; a folder stands for all images below it.
        **loading: as `ImageDataModule`.

    Raises:
        ConfigError: one is not an image of a known kind.
    """

    def __init__(self, images: Any, **loading: Unpack[Loading]) -> None:
        super().__init__(".", **loading)
        self._given: list[tuple[str, Stored]] = []
        for number, image in enumerate(listed(images)):
            one = held(image, number)
            if isinstance(one, Path):
                files = below(one, SUFFIXES, self.ignored) if one.is_dir() else [one]
                if not files:  # a row that cannot be read, so that it is not overlooked beside others
                    files = [one]
                self._given += [(as_text(file), file) for file in files]
            else:
                self._given.append((one if isinstance(one, str) else f"image {number}", one))

    def build_manifest(self) -> Manifest:
        """A row for each image; an image given twice is numbered.

        Raises:
            DataError: no image is given.
        """
        if not self._given:
            raise DataError("no image to score", "Give at least one image.")
        names = [name for name, _ in self._given]
        seen: dict[str, int] = {}
        ids = []
        for name in names:
            seen[name] = seen.get(name, 0) + 1
            ids.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
        return Manifest.from_columns(
            {"id": ids, "label": [-1] * len(ids), "split": ["test"] * len(ids), "where": names}
        )

    def build_store(self, manifest: Manifest) -> "Held":  # noqa: ARG002 - rows are positions
        """The images themselves."""
        return Held([image for _, image in self._given])


class Held:
    """Reads images that a program holds.

    Args:
        images: as `held` gives them.
    """

    def __init__(self, images: Sequence[Stored]) -> None:
        self._images = images

    def read(self, row: int) -> bytes | NDArray[np.uint8]:
        """Bytes of a file, or pixels [H, W, 3] uint8.

        Raises:
            DataError: the file or the PIL image cannot be read.
        """
        image = self._images[row]
        if isinstance(image, str):
            raise DataError(
                f"cannot be read: it is an address, not a file; download it first, for example: curl -LO {quote(image)}"
            )
        if isinstance(image, Path):
            if image.is_dir():
                known = ", ".join(sorted(SUFFIXES))
                raise DataError(f"cannot be read: a folder without images, whose names end in {known}")
            try:
                return image.read_bytes()
            except OSError as error:
                raise DataError(f"cannot be read: {error.strerror}") from error
        if isinstance(image, bytes):
            return image
        return pixels_of(image) if isinstance(image, Image.Image) else np.require(image, requirements=("C", "W"))


def listed(images: Any) -> list[Any]:
    """One image or several as a list.

    An array of 2 or 3 dimensions is an image, one of 4 dimensions is several; any other iterable is a list of images.
    """
    one = (str, bytes, bytearray, memoryview, PathLike, Image.Image)
    if isinstance(images, one) or hasattr(images, "read") or getattr(images, "ndim", 1) in (2, 3):
        return [images]
    return list(images) if isinstance(images, Iterable) else [images]


def held(image: Any, number: int = 0) -> Stored:
    """An image as `Held` reads it.

    Args:
        image: a path; the bytes of a file, or an open file; a PIL image; an array [H, W, 3] or [H, W] uint8, 0 to 255.
        number: the image's position, for the message.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(image, str) and "://" in image and not Path(image).exists():
        return image
    if isinstance(image, str | PathLike):
        return Path(fspath(image))
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if hasattr(image, "read"):
        return bytes(image.read())
    if isinstance(image, Image.Image):
        return image
    pixels: NDArray[Any] = np.asarray(image)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, 2)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        shown = f"{type(image).__name__} {pixels.dtype} {list(pixels.shape)}"
        raise ConfigError(f"image {number} is {shown}", _step(pixels))
    return pixels


def _step(pixels: NDArray[Any]) -> str:
    """How an array of another kind becomes one of ours."""
    if pixels.dtype.kind == "f":
        return "If the values are from 0 to 1, give (image * 255).round().astype('uint8')."
    if pixels.dtype == np.uint16:
        return "Give (image >> 8).astype('uint8'), which keeps the high byte, as is done for files of 16 bits."
    if pixels.ndim == 3 and pixels.shape[0] == 3:
        return "The channels are the last axis: give np.moveaxis(image, 0, 2)."
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return "Give PIL.Image.fromarray(image), whose alpha is composited on white."
    return "Give a path, bytes, a PIL image, or an array [H, W, 3] of uint8."
