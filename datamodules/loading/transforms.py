"""Applies a detector's view to an image: resize, crop, flip, augment.

Images stay uint8 as long as the view's functions keep them so. All random numbers come from the image's key, so they
depend on neither worker, rank nor batch, nor on other random numbers.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from contracts.errors import ConfigError, DataError
from contracts.keys import generator
from contracts.view import SampleFunction, View


def training_views(image: Tensor, view: View, key: int) -> list[Tensor]:
    """One random view of an image.

    Args:
        image: [3, H, W] uint8, or float32 with 1.0 = white.
        view: the detector's view.
        key: the image's key in this epoch (`contracts.keys.sample_key`).

    Returns:
        One [3, h, w]; h = w = ``view.square`` if that is set.

    Raises:
        DataError: the image is smaller than the crop and the view refuses such images, or smaller than its least side.
    """
    # always the same three numbers, so that a detector with flips sees the same crops as one without
    random = view.flip > 0 or (view.crop is not None and view.crop_at != "centre")
    down, right, mirror = generator(key, "view").random(3) if random else (0.0, 0.0, 0.0)
    image = _resized(_shortened(_large_enough(image, view), view, key), view)
    image = _filled(_changed(image, view.before_crop, key, "before_crop"), view)
    if view.crop is not None and view.crop_at == "centre":
        image = _crop(image, *_centre(image, view.crop), view.crop)
    elif view.crop is not None:
        height, width = image.shape[-2:]
        step = view.crop_step
        rows, columns = ((side - view.crop) // step + 1 for side in (height, width))
        image = _crop(image, int(down * rows) * step, int(right * columns) * step, view.crop)
    if mirror < view.flip:
        image = image.flip(-1)
    return [_augmented(image, view, key)]


def evaluation_views(image: Tensor, view: View, key: int) -> list[Tensor]:
    """The central view of an image, or five (top left, top right, bottom left, bottom right, centre), or ten.

    Ten are those five, and the same of the mirror image.

    Augmentations of an evaluation view are part of what is evaluated (a user's
    pre-processing); they use the image's key of epoch 0, with separate random numbers for each crop.

    Args:
        image: [3, H, W] uint8, or float32 with 1.0 = white.
        view: the detector's view.
        key: the image's key in epoch 0.

    Returns:
        One, five or ten [3, h, w].

    Raises:
        DataError: as `training_views`.
    """
    image = _filled(_resized(_large_enough(image, view), view), view)
    if view.crop is None:
        return [_augmented(image, view, key)]
    side = view.crop
    down, right = image.shape[-2] - side, image.shape[-1] - side
    places = [_centre(image, side)]
    if view.crops != "one":
        places = [(0, 0), (0, right), (down, 0), (down, right), *places]
    whole = [image] if view.crops != "ten" else [image, image.flip(-1)]  # in torchvision's order
    crops = [_crop(each, top, left, side) for each in whole for top, left in places]
    return [_augmented(crop, view, key, number) for number, crop in enumerate(crops)]


def _large_enough(image: Tensor, view: View) -> Tensor:
    height, width = image.shape[-2:]
    if min(height, width) < view.least:
        raise DataError(
            f"{width}x{height} is too small: the detector needs {view.least} pixels per side", "Leave the image out."
        )
    return image


def _shortened(image: Tensor, view: View, key: int) -> Tensor:
    """The image with its shorter side at a random length from a separate stream, aspect ratio kept."""
    if view.short_side is None:
        return image
    low, high = view.short_side
    length = int(generator(key, "short side").integers(low, high + 1))
    height, width = image.shape[-2:]
    shorter = min(height, width)
    if shorter <= length:
        return image
    size = [max(1, round(side * length / shorter)) for side in (height, width)]
    return _resize(image, size)


def _resized(image: Tensor, view: View) -> Tensor:
    if view.resize is None or image.shape[-2:] == (view.resize, view.resize):
        return image
    if view.interpolation == "bicubic" and image.dtype == torch.uint8:  # torchvision's rounds a few values otherwise
        pixels = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        made = np.array(pixels.resize((view.resize, view.resize), Image.Resampling.BICUBIC))
        return torch.from_numpy(made).permute(2, 0, 1)
    return _resize(image, [view.resize] * 2, view.interpolation)


def _resize(image: Tensor, size: list[int], interpolation: str = "bilinear") -> Tensor:
    from torchvision.transforms.v2.functional import InterpolationMode, resize_image  # slow

    resized: Tensor = resize_image(image, size, InterpolationMode(interpolation), antialias=True)
    return resized


def _filled(image: Tensor, view: View) -> Tensor:
    height, width = image.shape[-2:]
    if view.crop is None or min(height, width) >= view.crop:
        return image
    if view.fill == "error":
        raise DataError(f"{width}x{height} is smaller than the crop of {view.crop}", "Choose view.fill=tile or zero.")
    if view.fill == "tile":
        return image.repeat(1, ceil(view.crop / height), ceil(view.crop / width))
    down, right = max(view.crop - height, 0), max(view.crop - width, 0)
    return pad(image, (right // 2, right - right // 2, down // 2, down - down // 2))


def _crop(image: Tensor, top: int, left: int, side: int) -> Tensor:
    return image[..., top : top + side, left : left + side]


def _centre(image: Tensor, side: int) -> tuple[int, int]:
    """Top and left of the central crop, to the even pixel as torchvision's CenterCrop."""
    return round((image.shape[-2] - side) / 2), round((image.shape[-1] - side) / 2)


def _augmented(image: Tensor, view: View, key: int, crop: int = 0) -> Tensor:
    return _changed(image, view.augment, key, "augment", crop)


def _changed(image: Tensor, functions: Sequence[SampleFunction], key: int, name: str, crop: int = 0) -> Tensor:
    for position, function in enumerate(functions):
        image = function(image, generator(key, f"{name}{position}/{crop}"))
        _check_image(image, f"view.{name}[{position}]")
    return image


def degraded(image: Tensor, degrade: SampleFunction | None, key: int) -> Tensor:
    """The benchmark's mandatory degradation, before the detector's view."""
    if degrade is None:
        return image
    image = degrade(image, generator(key, "degrade"))
    _check_image(image, "the benchmark's degradation")
    return image


def _check_image(image: Tensor, whose: str) -> None:
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel() or image.dtype not in (torch.uint8, torch.float32):
        raise ConfigError(
            f"{whose} returned {image.dtype} {list(image.shape)}",
            "It must return [3, H, W] uint8, or float32 with 1.0 = white.",
        )
