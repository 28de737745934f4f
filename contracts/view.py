"""The form in which a detector receives images: declared by the detector, applied by the data module."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from contracts.errors import ConfigError, DataError, nearest
from contracts.stage import Rows, Stage

SampleFunction = Callable[[Tensor, np.random.Generator], Tensor]
"""Function of an image [3, H, W] uint8 (or float32, 1.0 = white) and its random generator that returns an image."""


@runtime_checkable
class Sizing(Protocol):
    """A `SampleFunction` that can tell the size of its result, so that images of equal size can share a batch."""

    def __call__(self, image: Tensor, rng: np.random.Generator, /) -> Tensor:
        """See `SampleFunction`."""

    def size(self, height: int, width: int) -> tuple[int, int] | None:
        """Height and width of its result for an image of this size; None if they are not known beforehand."""

    def unchanged(self, height: int, width: int) -> bool:
        """Whether it returns every image of this size unchanged."""


Encoded = bytes | NDArray[np.uint8]  # An image as a store returns it: the bytes of a file, or pixels [H, W, 3]


class Sample(NamedTuple):
    """One use of an image in training or evaluation, before it is read."""

    row: int  # row of the manifest
    look: int  # number of this use: epoch · copies + copy in training (see `Stage.copies`), 0 in evaluation
    read: Callable[[], Encoded]  # returns the image as stored
    decode: Callable[[Encoded], Tensor]  # converts it to [3, H, W] uint8
    decoder: str  # name of the decoder


class Chain(ABC):
    """A benchmark's processing of an image before the detector's view, which may depend on the image's row.

    A `SampleFunction` receives only an image's pixels and random generator; a chain also knows its row, may process
    training and evaluation images differently, and may return several crops of an image.
    """

    side: dict[bool, int | None]
    """Side of the square crops, in evaluation (False) and training (True); None if sizes differ."""
    crops_per_image: int = 1  # maximum number of crops of an image in evaluation
    bounded: bool = False
    """Whether each copy of a training image is always the same, so that features of a frozen network can be cached."""

    def look_keys(self, rows: Rows, train: bool) -> Rows:  # noqa: ARG002 - most chains depend on no more
        """A number for each row that images depend on in addition to row, copy and `settings`."""
        return np.zeros(len(rows), dtype=np.int64)

    def settings(self) -> dict[str, Any]:
        """Settings that images depend on, in plain containers; part of the key of cached features."""
        return {}

    def enter(self, stage: Stage) -> None:  # noqa: B027 - most chains treat all stages alike
        """Called when training enters a stage."""

    @abstractmethod
    def train(self, sample: Sample, rng: np.random.Generator) -> list[Tensor]:
        """The crop [3, H, W] of a training image, uint8 or float32 (1.0 = white), in a list."""

    @abstractmethod
    def evaluate(self, sample: Sample, rng: np.random.Generator) -> list[Tensor]:
        """The crops of an evaluated image."""


@dataclass(frozen=True)
class Sides:
    """Sides in pixels of the images, after the view, that a detector accepts."""

    least: int = 1  # minimum of the shorter side
    exact: int | None = None  # length of both sides, or None if other sizes are accepted
    reason: str = ""  # reason for an exact size, shown in the error

    def check(self, height: int, width: int) -> None:
        """Checks the size of an image.

        Raises:
            DataError: the detector does not accept it.
        """
        if self.exact is not None and (height, width) != (self.exact, self.exact):
            why = f": {self.reason}" if self.reason else ""
            raise DataError(f"{width}x{height} pixels, but the detector only accepts {self.exact}x{self.exact}{why}")
        if min(height, width) < self.least:
            raise DataError(f"{width}x{height} is too small: the detector needs {self.least} pixels a side")


FILLS = ("tile", "zero", "error")
CROPS = {"one": 1, "five": 5, "ten": 10}  # Number of crops of an evaluated image, by name
PLACES = ("random", "centre")
INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class View:
    """Size policy and augmentation, in this order: short side, resize, before_crop, crop, flip, augment.

    Attributes:
        resize: side of the square every image is resized to (antialiased), or None for native size.
        crop: side of the crop, or None for the whole image; central in evaluation.
        crop_at: position of training crops, "random" or "centre".
        crop_step: positions of training crops are multiples of it. With the factor of an up-sampling network, its pixel
            grid has the same phase in training crops as in whole images in evaluation.
        fill: treatment of images smaller than the crop: repeat ("tile", the NPR authors' translate-and-duplicate), pad
            with zeros ("zero"), or reject ("error").
        flip: probability of a horizontal flip.
        crops: "one", "five" (four corners and the centre) or "ten" (those and their mirror images), whose scores are
            fused.
        before_crop: functions (image, rng) -> image applied before a training crop.
        augment: further functions (image, rng) -> image.
        short_side: range from which the length of the shorter side is sampled uniformly in training (the aspect ratio
            is kept, an image is never enlarged), or None.
        least: smallest accepted length of the shorter side; smaller images are rejected.
        equal_sizes: whether the augmentations give images of one size, so that native sizes share a batch.
        interpolation: method of ``resize``: "bilinear", or "bicubic" as in Pillow.
    """

    resize: int | None = None
    crop: int | None = None
    crop_step: int = 1
    fill: Literal["tile", "zero", "error"] = "tile"
    flip: float = 0.0
    crops: Literal["one", "five", "ten"] = "one"
    augment: Sequence[SampleFunction] = ()
    short_side: Sequence[int] | None = None
    least: int = 1
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    crop_at: Literal["random", "centre"] = "random"
    before_crop: Sequence[SampleFunction] = ()
    equal_sizes: bool = False

    def __post_init__(self) -> None:
        for name, value in (("resize", self.resize), ("crop", self.crop)):
            if value is not None and value < 1:
                raise ConfigError(f"view.{name}={value}", "Give a side in pixels, or null for the native size.")
        if self.crop_step < 1:
            raise ConfigError(f"view.crop_step={self.crop_step}", "Give 1, for any position, or more.")
        if self.short_side is not None and (
            len(self.short_side) != 2 or not 1 <= self.short_side[0] <= self.short_side[1]
        ):
            raise ConfigError(
                f"view.short_side={list(self.short_side)}", "Give two lengths in pixels, the smaller first."
            )
        for name, text, known in (
            ("fill", self.fill, FILLS),
            ("crops", self.crops, CROPS),
            ("crop_at", self.crop_at, PLACES),
            ("interpolation", self.interpolation, INTERPOLATIONS),
        ):
            if text not in known:
                raise ConfigError(f"view.{name}={text!r} is unknown", nearest(text, known))
        if not 0 <= self.flip <= 1:
            raise ConfigError(f"view.flip={self.flip} is not a probability", "Give a number from 0 to 1.")
        if self.crops != "one" and self.crop is None:
            raise ConfigError(
                f"view.crops={self.crops} without view.crop", f"Give the side of the {self.crops} crops, e.g. crop=224."
            )

    @property
    def name(self) -> str:
        """Short name of the size policy, such as "resize256", "crop224" or "native"."""
        sides = [f"{kind}{side}" for kind, side in (("resize", self.resize), ("crop", self.crop)) if side is not None]
        return "-".join([*sides, *([self.crops] if self.crops != "one" else [])]) or "native"

    @property
    def square(self) -> int | None:
        """Side of every resulting image, or None if sizes differ."""
        return self.crop or self.resize
