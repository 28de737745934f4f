"""The settings of a preparation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contracts.errors import ConfigError
from datamodules.loading.decode import MAX_PIXELS, Backend

Storage = Literal["encoded", "pixels"]
Verification = Literal["pixels", "header"]


@dataclass(frozen=True)
class Plan:
    """What to write, and how.

    Raises:
        ConfigError: a value is out of range, or storage and size are inconsistent.
    """

    path: Path  # file to write
    storage: Storage = "encoded"
    """"encoded" copies each file's bytes as they are; "pixels" stores uint8 RGB of one size."""
    size: int | None = None
    """Side in pixels, for "pixels": bicubic with antialiasing to a square, whatever the shape of the image, as in the
    aiornot notebook. Values are within one level of Pillow's, or within two for a few in a million."""
    limit: int | None = None  # maximum number of images, or None (see `prepared_rows`)
    workers: int | None = None  # processes, or None for one per core
    max_failures: float = 0.01  # maximum fraction of unreadable images tolerated
    decoder: Backend = "torchvision"  # backend of `datamodules.loading.decode`
    max_pixels: int = MAX_PIXELS  # pixels of the largest image that is decoded
    verify: Verification = "pixels"
    """What must be readable of an image whose bytes are stored: all its pixels, or its header alone, which takes a
    fraction of the time and lets images in that cannot be decoded."""

    def __post_init__(self) -> None:
        if self.storage == "pixels" and self.size is None:
            raise ConfigError("prepare.storage=pixels needs a size for all images", "Give prepare.size=512.")
        if self.storage == "encoded" and self.size is not None:
            raise ConfigError(
                f"prepare.size={self.size} conflicts with prepare.storage=encoded, which keeps every file unchanged",
                "Give prepare.storage=pixels, or remove prepare.size.",
            )
        if self.storage == "pixels" and self.verify == "header":
            raise ConfigError(
                "prepare.verify=header conflicts with prepare.storage=pixels, which decodes every image",
                "Give prepare.storage=encoded, or remove prepare.verify.",
            )
        for name, value in (("size", self.size), ("workers", self.workers), ("limit", self.limit)):
            if value is not None and value < 1:
                raise ConfigError(f"prepare.{name}={value}", "Give 1 or more, or null.")
        if not 0 <= self.max_failures <= 1:
            raise ConfigError(f"prepare.max_failures={self.max_failures}", "Give a fraction from 0 to 1.")

    @property
    def part(self) -> Path:
        """The file while it is being written."""
        return self.path.with_name(self.path.name + ".part")
