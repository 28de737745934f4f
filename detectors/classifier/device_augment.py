"""Augmentation of a whole batch on its device, with separate random numbers for each image.

An image's random numbers depend only on its key, so the result depends neither on the other images of the batch nor on
the device. Operations are those of torchvision's RandomResizedCrop, RandomRotation, flips, ColorJitter and
RandomAdjustSharpness in this order; crop and rotation are combined into one bilinear sampling.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from contracts.errors import ConfigError

CROP_AREA = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
CROP_TRIES = 10
SHARPNESS = 1.5


def uniform(key: Tensor, stream: int) -> Tensor:
    """Random numbers [B] of int64 keys: SplitMix64 (Steele et al., OOPSLA 2014) in wrapping 64-bit integers.

    They are float32 in [0, 1), equal on every device; the streams of a key are independent.
    """
    # SplitMix64's constants: the golden-ratio increment, and two multipliers as signed integers
    increment = (stream + 1) * 0x9E3779B97F4A7C15 % 2**64
    z = key + (increment - 2**64 if increment >= 2**63 else increment)
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        z = (z ^ _shift_right(z, shift)) * factor
    return _shift_right(z ^ _shift_right(z, 31), 40).float() * 2.0**-24


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift: zeros come in from the left."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


@dataclass(frozen=True)
class DeviceAugment:
    """The augmentations of the aiornot notebook.

    Args:
        max_rotation: largest angle in degrees in either direction; corners are filled with black.
        max_brightness: b; brightness is multiplied by a factor from 1 - b to 1 + b.
        max_contrast: c; contrast is multiplied by a factor from 1 - c to 1 + c.
        sharpness_p: probability of sharpening by a factor of 1.5.
        flip_p: probability of a horizontal flip, and independently of a vertical one.
        use_crop: crop a random part (8 % to 100 % of the area, ratio 3:4 to 4:3) and enlarge it to the original size.

    Raises:
        ConfigError: a value is out of range or of the wrong type.
    """

    max_rotation: float = 0.0
    max_brightness: float = 0.0
    max_contrast: float = 0.0
    sharpness_p: float = 0.0
    flip_p: float = 0.0
    use_crop: bool = False

    def __post_init__(self) -> None:
        for name in ("max_rotation", "max_brightness", "max_contrast", "sharpness_p", "flip_p"):
            value, top = getattr(self, name), 180.0 if name == "max_rotation" else 1.0
            if isinstance(value, bool | str) or not 0 <= value <= top:
                raise ConfigError(f"detector.augment.{name}={value!r}", f"Give a number from 0 to {top:g}.")
        if not isinstance(self.use_crop, bool):
            raise ConfigError(f"detector.augment.use_crop={self.use_crop!r} is text", "Write true or false, unquoted.")

    @torch.no_grad()
    def __call__(self, images: Tensor, key: Tensor) -> Tensor:
        """Augment a batch.

        Args:
            images: [B, 3, H, W] float32, 1.0 = white.
            key: [B] int64, one per image.

        Returns:
            [B, 3, H, W] float32, within [0, 1] if brightness, contrast or sharpness change.
        """
        if self.use_crop or self.max_rotation > 0:
            images = self._resample(images, key)
        if self.flip_p > 0:
            for stream, axis in ((0, -1), (1, -2)):
                images = torch.where(_per_image(uniform(key, stream) < self.flip_p), images.flip(axis), images)
        if self.max_brightness > 0 or self.max_contrast > 0:
            images = self._jitter(images, key)
        if self.sharpness_p > 0:
            images = torch.where(_per_image(uniform(key, 5) < self.sharpness_p), sharpen(images, SHARPNESS), images)
        return images

    def _resample(self, images: Tensor, key: Tensor) -> Tensor:
        b, _, h, w = images.shape
        angle = torch.deg2rad((2 * uniform(key, 6) - 1) * self.max_rotation)
        if self.use_crop:
            box = random_crops(key, h, w)
        else:
            box = torch.tensor([0, 0, h, w], device=images.device).expand(b, 4)
        return sample_boxes(images, box, angle)

    def _jitter(self, images: Tensor, key: Tensor) -> Tensor:
        """Change brightness and contrast, in random order for each image."""
        bright = _per_image(1 + (2 * uniform(key, 2) - 1) * self.max_brightness)
        contrast = _per_image(1 + (2 * uniform(key, 3) - 1) * self.max_contrast)
        one = adjust_contrast((images * bright).clamp(0, 1), contrast)
        other = (adjust_contrast(images, contrast) * bright).clamp(0, 1)
        return torch.where(_per_image(uniform(key, 4) < 0.5), one, other)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def random_crops(key: Tensor, h: int, w: int) -> Tensor:
    """Boxes of RandomResizedCrop: up to ten attempts at a random area and ratio, then the largest central box.

    They are [B, 4] int64 (top, left, height, width), for keys [B] int64 and images of h x w pixels.
    """
    low, high = (math.log(ratio) for ratio in CROP_RATIO)
    ratio = min(max(w / h, CROP_RATIO[0]), CROP_RATIO[1])
    whole_w, whole_h = (w, round(w / ratio)) if w / h < ratio else (round(h * ratio), h)
    height = torch.full_like(key, whole_h)
    width = torch.full_like(key, whole_w)
    top, left = (h - height) // 2, (w - width) // 2
    found = torch.zeros_like(key, dtype=torch.bool)
    for attempt in range(CROP_TRIES):
        first = 10 + 4 * attempt
        area = h * w * (CROP_AREA[0] + uniform(key, first) * (CROP_AREA[1] - CROP_AREA[0]))
        aspect = torch.exp(low + uniform(key, first + 1) * (high - low))
        tall, wide = (area / aspect).sqrt().round().long(), (area * aspect).sqrt().round().long()
        take = ~found & (tall > 0) & (tall <= h) & (wide > 0) & (wide <= w)
        top = torch.where(take, (uniform(key, first + 2) * (h - tall + 1)).long(), top)
        left = torch.where(take, (uniform(key, first + 3) * (w - wide + 1)).long(), left)
        height, width = torch.where(take, tall, height), torch.where(take, wide, width)
        found |= take
    return torch.stack([top, left, height, width], dim=1)


def sample_boxes(images: Tensor, box: Tensor, angle: Tensor) -> Tensor:
    """Enlarge each image's box to the image size and rotate it counter-clockwise; outside the box is black.

    Args:
        images: [B, 3, H, W].
        box: [B, 4] top, left, height, width in pixels.
        angle: [B] in radians.

    Returns:
        [B, 3, H, W], bilinear.
    """
    h, w = images.shape[-2:]
    y = torch.arange(h, device=images.device) + 0.5 - h / 2
    x = torch.arange(w, device=images.device) + 0.5 - w / 2
    cos, sin = (f(angle).view(-1, 1, 1) for f in (torch.cos, torch.sin))
    y, x = y.view(1, -1, 1), x.view(1, 1, -1)
    # position in the enlarged box, in -1..1, of each output pixel
    u, v = (cos * x - sin * y) * 2 / w, (sin * x + cos * y) * 2 / h
    top, left, tall, wide = (box[:, i].view(-1, 1, 1).float() for i in range(4))
    grid = torch.stack([(2 * left + (1 + u) * wide) / w - 1, (2 * top + (1 + v) * tall) / h - 1], dim=-1)
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled * ((u.abs() <= 1) & (v.abs() <= 1)).unsqueeze(1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean grey (ITU-R 601 luma) of each image; factor 1 changes nothing, 0 gives uniform grey."""
    luma = images.new_tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)
    grey = (images * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    return (grey + (images - grey) * factor).clamp(0, 1)


def sharpen(images: Tensor, factor: float) -> Tensor:
    """Blend with a 3x3 smoothing (weights 1, centre 5) of the interior; a factor above 1 sharpens."""
    kernel = images.new_ones(3, 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = F.conv2d(images, kernel / 13, groups=3)
    return (smooth + (images - smooth) * factor).clamp(0, 1)
