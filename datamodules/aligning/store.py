"""Aligned images: cropped to a real image's size and compressed with its JPEG tables, made once if there is a cache."""

import io
import os
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.errors import DataError
from contracts.versioned_folder import versioned_folder
from datamodules.aligning.donors import aligned_manifest, check_meaning, donors_of
from datamodules.auditing.metadata import is_lossless_webp
from datamodules.loading.decode import Backend, decode, open_image, read_header
from datamodules.loading.stores import ImageStore
from datamodules.tables.manifest import Manifest

Pixels = NDArray[np.uint8]
LIBRARIES = ("numpy", "pillow", "torchvision")  # Libraries on whose versions aligned images depend
LOSSLESS = ("PNG", "GIF", "BMP", "TIFF")
SAMPLING = {((1, 1), (1, 1)): 0, ((2, 1), (1, 1)): 1, ((2, 2), (1, 1)): 2}
"""Sampling factors of luminance and chrominance, and Pillow's number for them; others count as 4:2:0."""


class Target(NamedTuple):
    """Properties that an aligned image gets."""

    size: tuple[int, int] | None  # height and width, or None to keep its own
    tables: tuple[tuple[int, ...], ...]
    """Quantisation tables of luminance and chrominance for a JPEG; none for lossless storage."""
    sampling: int  # Pillow's number of the chroma sampling


class AlignedStore:
    """Reads real images as they are, and generated ones aligned with their donors.

    A generated image that is at least as large as its donor keeps its scale, and its centre is cropped; a smaller one
    is enlarged (bicubic) by the least factor that lets it cover the donor. With ``jpeg`` it is compressed with the
    donor's own tables and chroma sampling, or stored without loss if the donor is. An image that already has these
    properties stays as it is.

    Args:
        store: reads the data set's images.
        donors: [N] see `datamodules.aligning.donors.donors_of`.
        mode: ``jpeg``, ``size`` or ``both``.
        decoder: the data module's decoder.
        max_pixels: the data module's limit.
        cache: folder for aligned images, or None.

    Raises:
        DataError: the cache was written with other versions of the libraries.
    """

    def __init__(
        self, store: ImageStore, donors: NDArray[np.int64], mode: str, decoder: Backend, max_pixels: int,
        cache: Path | None = None,
    ) -> None:  # fmt: skip
        self.store, self.donors, self.mode = store, donors, mode
        self.decoder, self.max_pixels = decoder, max_pixels
        settings = {"align": mode, "decoder": decoder}
        self.folder = cache and versioned_folder(cache, settings, LIBRARIES, "datamodule.align_cache")

    def read(self, row: int) -> bytes | Pixels:
        """As the data set's store; an aligned image is a JPEG or PNG file, or pixels where the data set holds pixels.

        Raises:
            DataError: the image or its donor cannot be read, or the donor is a lossy file other than JPEG.
        """
        stored, donor = self.store.read(row), int(self.donors[row])
        if donor < 0:
            return stored
        target = self._target(self.store.read(donor))
        if isinstance(stored, np.ndarray):
            return self._sized(stored, target)
        if self.folder is None:
            return self._aligned(stored, target)
        digest = blake2b(f"{target}".encode() + stored, digest_size=16).hexdigest()
        file = self.folder / digest[:2] / digest
        if file.is_file():
            return file.read_bytes()
        made = self._aligned(stored, target)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        temporary.write_bytes(made)
        temporary.replace(file)  # not synced: what a crash loses is made again
        return made

    def _target(self, donor: bytes | Pixels) -> Target:
        if isinstance(donor, np.ndarray):
            return Target(donor.shape[:2], (), 0)
        header = read_header(donor, self.max_pixels)
        size = None if self.mode == "jpeg" else (header.height, header.width)
        lossless = header.format in LOSSLESS or (header.format == "WEBP" and is_lossless_webp(donor))
        if self.mode == "size" or lossless:
            return Target(size, (), 0)
        if header.format != "JPEG":
            raise DataError(
                f"cannot be aligned with a real image in lossy {header.format}: datamodule.align supports only JPEG",
                "Convert such real images, use datamodule.align=size, or tolerate failures (datamodule.max_failures).",
            )
        return Target(size, *_compression(donor, self.max_pixels))

    def _aligned(self, stored: bytes, target: Target) -> bytes:
        header = read_header(stored, self.max_pixels)
        sized = target.size in (None, (header.height, header.width))
        if sized and self.mode == "size":
            return stored
        alike = sized and header.format == "JPEG" and header.orientation == 1
        if alike and _compression(stored, self.max_pixels) == (target.tables, target.sampling):
            return stored  # a second compression would leave traces that the real image does not have
        pixels = decode(stored, self.decoder, self.max_pixels).permute(1, 2, 0).numpy()
        image, file = Image.fromarray(np.ascontiguousarray(self._sized(pixels, target))), io.BytesIO()
        if target.tables:
            image.save(file, "JPEG", qtables=list(map(list, target.tables)), subsampling=target.sampling)
        else:
            image.save(file, "PNG", compress_level=1)
        return file.getvalue()

    def _sized(self, pixels: Pixels, target: Target) -> Pixels:
        """The centre of the donor's size, from the image enlarged as little as possible."""
        if target.size is None:
            return pixels
        height, width = target.size
        factor = max(1.0, height / pixels.shape[0], width / pixels.shape[1])
        if factor > 1:
            size = max(width, round(pixels.shape[1] * factor)), max(height, round(pixels.shape[0] * factor))
            pixels = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def aligned(
    manifest: Manifest, store: ImageStore, mode: str, decoder: Backend, max_pixels: int, cache: Path | None
) -> tuple[Manifest, AlignedStore]:
    """A data set with aligned generated images: its manifest and store. Arguments are those of `AlignedStore`.

    Raises:
        ConfigError: the alignment has no meaning for this data set.
    """
    donors = donors_of(manifest, mode)
    check_meaning(manifest, store, donors, mode, max_pixels)
    return aligned_manifest(manifest, donors, mode), AlignedStore(store, donors, mode, decoder, max_pixels, cache)


def _compression(data: bytes, max_pixels: int) -> tuple[tuple[tuple[int, ...], ...], int]:
    """Tables of luminance and chrominance of a JPEG, and Pillow's number of its chroma sampling.

    A gray JPEG has one table, which is taken for both; it counts as 4:4:4.
    """
    image = open_image(data, max_pixels)
    layers = image.layer  # type: ignore[attr-defined]  # of Pillow's JPEG plugin
    tables = image.quantization  # type: ignore[attr-defined]
    luminance, chrominance = layers[0], layers[min(1, len(layers) - 1)]
    sampling = SAMPLING.get((tuple(luminance[1:3]), tuple(chrominance[1:3])), 2) if len(layers) > 1 else 0
    return tuple(tuple(tables[layer[3]]) for layer in (luminance, chrominance)), sampling
