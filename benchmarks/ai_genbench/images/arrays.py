"""An image between two degradations: uint8 levels for as long as possible, float values only where they differ.

The original converts between PIL images, uint8 and float tensors at nearly every step. These conversions do not change
levels, so one array is enough until a bilinear or bicubic resize of the float tensor gives values between levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Levels = NDArray[np.uint8]  # uint8 RGB, shape (H, W, 3)


@dataclass(frozen=True)
class RgbImage:
    """An RGB image, held either as levels or as values."""

    pixels: Levels | Tensor
    """Uint8 of shape (H, W, 3), or a float32 tensor of shape (3, H, W), about [0, 1] (a bicubic resize may leave that
    range)."""
    pil: bool = False  # Whether the original has a PIL image at this point, which is resized in integers, not in floats

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[-2 if isinstance(self.pixels, Tensor) else 0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[-1 if isinstance(self.pixels, Tensor) else 1])

    def crop(self, top: int, left: int, height: int, width: int) -> RgbImage:
        """The given box, a view of this image's memory."""
        box = slice(top, top + height), slice(left, left + width)
        pixels = self.pixels[:, *box] if isinstance(self.pixels, Tensor) else self.pixels[box]
        return RgbImage(pixels, self.pil)

    def pad(self, top: int, bottom: int, left: int, right: int) -> RgbImage:
        """This image with black borders of these widths."""
        if isinstance(self.pixels, Tensor):
            return RgbImage(torch.nn.functional.pad(self.pixels, (left, right, top, bottom)), self.pil)
        return RgbImage(np.pad(self.pixels, ((top, bottom), (left, right), (0, 0))), self.pil)

    def rotate(self, quarter_turns: int) -> RgbImage:
        """This image rotated counter-clockwise by 90° per turn."""
        if isinstance(self.pixels, Tensor):
            return RgbImage(torch.rot90(self.pixels, quarter_turns, (-2, -1)), self.pil)
        return RgbImage(np.rot90(self.pixels, quarter_turns), self.pil)

    def flip(self) -> RgbImage:
        """This image mirrored left to right."""
        return RgbImage(self.pixels.flip(-1) if isinstance(self.pixels, Tensor) else self.pixels[:, ::-1], self.pil)

    def values(self) -> Tensor:
        """float32 tensor of shape (3, H, W); levels become level / 255.

        The original multiplies a PIL image by 1/255 (torchvision's `to_dtype`) instead of dividing it by 255
        (`to_tensor`), which differs in the last bit.
        """
        if isinstance(self.pixels, Tensor):
            return self.pixels
        planes = torch.empty((3, self.height, self.width), dtype=torch.float32)
        for plane, channel in zip(planes.numpy(), cv2.split(self.pixels), strict=True):
            plane[:] = channel
        return planes.mul_(1 / 255) if self.pil else planes.div_(255)

    def levels(self, wrap: bool = False) -> Levels:
        """uint8 array of shape (H, W, 3).

        Args:
            wrap: Truncate values and reduce them modulo 256, as the original's cast does on x86, instead of rounding
                and clamping. Levels are returned unchanged.
        """
        if not isinstance(self.pixels, Tensor):
            return self.pixels
        scaled = self.pixels * 255
        whole = scaled.to(torch.int32).bitwise_and_(255) if wrap else scaled.round_().clamp_(0, 255)
        return np.ascontiguousarray(whole.to(torch.uint8).permute(1, 2, 0).numpy())
