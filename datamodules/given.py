"""Images that a program holds: paths, folders, bytes of files, arrays or PIL images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.errors import ConfigError, DataError
from contracts.names import as_text
from datamodules.folders.walk import SUFFIXES, below
from datamodules.image_datamodule import ImageDataModule
from datamodules.loading.options import Loading
from datamodules.tables.manifest import Manifest


class GivenImages(ImageDataModule):
    """Test images of unknown label, in the order given; their ids are paths, or ``image 0`` and so on.

    Args:
        images: each a path (of a folder: all images below it), the bytes of a file, an array [H, W, 3] or [H, W] uint8,
            or a PIL image.
        **loading: as `ImageDataModule`.
    """

    def __init__(self, images: Sequence[Any], **loading: Unpack[Loading]) -> None:
        super().__init__(".", **loading)
        self._given: list[tuple[str, Any]] = []
        for number, image in enumerate(images):
            if isinstance(image, str | Path):
                path = Path(image)
                files = below(path, SUFFIXES, self.ignored) if path.is_dir() else [path]
                self._given += [(as_text(file), file) for file in files]
            else:
                self._given.append((f"image {number}", image))

    def build_manifest(self) -> Manifest:
        """A row for each image; an image given twice is numbered.

        Raises:
            DataError: no image is given, or the folders hold none.
        """
        if not self._given:
            skipped = f"; {self.ignored} skipped" if self.ignored else ""
            raise DataError(f"no image to score{skipped}", f"Images end in {', '.join(sorted(SUFFIXES))}.")
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
        images: see `GivenImages`, without folders.
    """

    def __init__(self, images: Sequence[Any]) -> None:
        self._images = images

    def read(self, row: int) -> bytes | NDArray[np.uint8]:
        """Bytes of a file, or pixels [H, W, 3] uint8.

        Raises:
            DataError: the file cannot be read.
            ConfigError: it is no image of a known kind.
        """
        image = self._images[row]
        if isinstance(image, Path):
            try:
                return image.read_bytes()
            except OSError as error:
                raise DataError(f"cannot be read: {error.strerror}") from error
        if isinstance(image, bytes | bytearray | memoryview):
            return bytes(image)
        pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, 2)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ConfigError(
                f"image {row} is {type(image).__name__} {pixels.dtype} {list(pixels.shape)}",
                "Give a path, bytes, a PIL image, or an array [H, W, 3] of uint8.",
            )
        return np.require(pixels, requirements=("C", "W"))
