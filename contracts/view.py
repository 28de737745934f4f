"""What a detector wants to see of an image: declared by the detector, carried out by the data module."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from contracts.errors import ConfigError, DataError, nearest
from contracts.stage import Rows, Stage

SampleFunction = Callable[[Tensor, np.random.Generator], Tensor]
"""One image in, one image out: [3, H, W] uint8 (or float32, 1.0 = white) and the image's own random generator."""

Encoded = bytes | NDArray[np.uint8]
"""An image as a store keeps it: the bytes of a file, or pixels [H, W, 3]."""


class Sample(NamedTuple):
    """One look at one image, not read yet.

    Attributes:
        row: row of the manifest.
        look: which look at the image this is: epoch · copies + copy in training (see `Stage.copies`), 0 in evaluation.
        read: gives it as it is stored.
        decode: from that to [3, H, W] uint8.
        decoder: name of what decodes.
    """

    row: int
    look: int
    read: Callable[[], Encoded]
    decode: Callable[[Encoded], Tensor]
    decoder: str


class Chain(ABC):
    """A benchmark's own way from an image to what a detector's view gets, where it depends on which image it is.

    A `SampleFunction` knows an image's pixels and its random generator alone; a chain knows its row, may look at
    training and evaluation images differently, and may give several crops of one.

    Attributes:
        side: of the square crops it gives, by whether they are for training; None where sizes differ.
        crops_per_image: most crops it gives of one image in evaluation.
        bounded: whether each copy of a training image looks the same whenever it is shown, so that what a frozen
            network makes of it can be kept.
    """

    side: dict[bool, int | None]
    crops_per_image: int = 1
    bounded: bool = False

    def look_keys(self, rows: Rows, train: bool) -> Rows:  # noqa: ARG002 - most chains depend on no more
        """What looks depend on beside row, copy and `settings`: a number for each row."""
        return np.zeros(len(rows), dtype=np.int64)

    def settings(self) -> dict[str, Any]:
        """How images are made, in plain containers; what is kept of them is kept under these."""
        return {}

    def enter(self, stage: Stage) -> None:  # noqa: B027 - most chains treat all stages alike
        """Training goes on with this stage."""

    @abstractmethod
    def train(self, sample: Sample, rng: np.random.Generator) -> list[Tensor]:
        """A training image: one [3, H, W], uint8 or float32 (1.0 = white)."""

    @abstractmethod
    def evaluate(self, sample: Sample, rng: np.random.Generator) -> list[Tensor]:
        """The crops of an evaluated image."""


@dataclass(frozen=True)
class Sides:
    """Images that a detector can take, by their sides in pixels, after the view.

    Attributes:
        least: of the shorter side.
        exact: of both sides, or None where sizes may differ.
        reason: why no other size will do, behind a colon.
    """

    least: int = 1
    exact: int | None = None
    reason: str = ""

    def check(self, height: int, width: int) -> None:
        """Refuse an image of another size.

        Raises:
            DataError: says which sizes are taken.
        """
        if self.exact is not None and (height, width) != (self.exact, self.exact):
            why = f": {self.reason}" if self.reason else ""
            raise DataError(f"{width}x{height} pixels, and the detector takes {self.exact}x{self.exact} alone{why}")
        if min(height, width) < self.least:
            raise DataError(f"{width}x{height} is too small: the detector needs {self.least} pixels a side")


FILLS = ("tile", "zero", "error")
CROPS = {"one": 1, "five": 5, "ten": 10}
"""How many crops an evaluated image gives, by word."""
PLACES = ("random", "centre")
INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class View:
    """Size policy and augmentation, in this order: short side, resize, before_crop, crop, flip, augment.

    Attributes:
        resize: side of the square every image is resized to (antialiased), or None for native size.
        crop: side of the crop, or None for the whole image. Central in evaluation.
        crop_at: where training crops lie: "random" or "centre".
        crop_step: a training crop begins at multiples of it. Where whole images are evaluated, a step as wide as an
            up-sampling network's leaves its grid in training where evaluation will find it.
        fill: where an image is smaller than the crop: repeat it ("tile", the NPR authors' translate-and-duplicate),
            pad with zeros ("zero"), or refuse it ("error").
        flip: probability of a horizontal flip.
        crops: "one", or "five" (four corners and the centre) or "ten" (those and their mirror images), which are fused
            into one score.
        before_crop: functions (image, rng) -> image that come before a training crop.
        augment: further functions (image, rng) -> image.
        short_side: two lengths between which that of the shorter side is drawn in training (uniformly, the aspect is
            kept, an image is never enlarged), or None.
        least: images with a shorter side than this are refused.
        equal_sizes: whether the augmentations give images of one size, so that native sizes share a batch.
        interpolation: of ``resize``: "bilinear", or "bicubic" as Pillow does it.
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
            raise ConfigError(f"view.crop_step={self.crop_step}", "Give 1, for any place, or more.")
        if self.short_side is not None and (
            len(self.short_side) != 2 or not 1 <= self.short_side[0] <= self.short_side[1]
        ):
            raise ConfigError(
                f"view.short_side={list(self.short_side)}", "Give two lengths in pixels, the lesser first."
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
            raise ConfigError(f"view.flip={self.flip} is no probability", "Give a number from 0 to 1.")
        if self.crops != "one" and self.crop is None:
            raise ConfigError(
                f"view.crops={self.crops} without view.crop", f"Give the side of the {self.crops} crops, e.g. crop=224."
            )

    @property
    def name(self) -> str:
        """In brief what sizes it gives, such as "resize256", "crop224" or "native"."""
        sides = [f"{kind}{side}" for kind, side in (("resize", self.resize), ("crop", self.crop)) if side is not None]
        return "-".join([*sides, *([self.crops] if self.crops != "one" else [])]) or "native"

    @property
    def square(self) -> int | None:
        """Side of every resulting image, or None where sizes differ."""
        return self.crop or self.resize
