"""From a degraded picture to the crops a model sees, and their normalisation."""

from typing import Literal, get_args

import torch
from torch import Tensor

from benchmarks.ai_genbench.images.arrays import Picture
from benchmarks.ai_genbench.images.resized_crop import resize_levels, resize_values
from contracts.errors import ConfigError, nearest
from contracts.normalisations import NORMALISATIONS

TrainCropping = Literal["resize", "random_crop", "center_crop", "as_is"]
EvaluationCropping = Literal["resize", "crop", "multicrop", "as_is"]

CROP_SIZE = 224
"""Side of every crop in the benchmark's configurations."""


def evaluation_crops(picture: Picture, cropping: EvaluationCropping, size: int = CROP_SIZE) -> list[Picture]:
    """The crops on which a picture is scored.

    Args:
        picture: A degraded picture.
        cropping: `resize` squashes to `size` × `size` (bilinear, antialiased); `crop` takes the centre, black where
            the picture is smaller; `multicrop` the four corners and the centre, or the centre alone where a side is
            at most `size`; `as_is` the whole picture.
        size: Side of a crop.

    Raises:
        ConfigError: Unknown cropping.
    """
    if cropping == "resize":
        return [resize(picture, size)]
    if cropping == "crop":
        return [center_crop(picture, size)]
    if cropping == "multicrop":
        return five_crops(picture, size) if min(picture.height, picture.width) > size else [center_crop(picture, size)]
    if cropping == "as_is":
        return [picture]
    raise ConfigError(f"evaluation cropping {cropping!r} is unknown", nearest(cropping, get_args(EvaluationCropping)))


def train_crop(picture: Picture, cropping: TrainCropping, generator: torch.Generator, size: int = CROP_SIZE) -> Picture:
    """The crop on which a picture is trained.

    Args:
        picture: An augmented picture.
        cropping: `resize`, `center_crop` and `as_is` as in evaluation; `random_crop` takes a random place, black
            where the picture is smaller.
        generator: Source of the random place; drawn from by `random_crop` alone.
        size: Side of the crop.

    Raises:
        ConfigError: Unknown cropping.
    """
    if cropping == "resize":
        return resize(picture, size)
    if cropping == "random_crop":
        return random_crop(picture, generator, size)
    if cropping == "center_crop":
        return center_crop(picture, size)
    if cropping == "as_is":
        return picture
    raise ConfigError(f"training cropping {cropping!r} is unknown", nearest(cropping, get_args(TrainCropping)))


def resize(picture: Picture, size: int) -> Picture:
    """Squash to a square: in integers where the original holds a PIL image, else in floats."""
    if picture.pil:
        return resize_levels(picture, size, size)
    if (picture.height, picture.width) == (size, size):
        return picture
    return Picture(resize_values(picture.values(), size, size))


def center_crop(picture: Picture, size: int) -> Picture:
    """The central square, black where the picture is smaller (torchvision's `center_crop`)."""
    missing_y, missing_x = max(0, size - picture.height), max(0, size - picture.width)
    if missing_y or missing_x:
        picture = picture.pad(missing_y // 2, (missing_y + 1) // 2, missing_x // 2, (missing_x + 1) // 2)
    # Python rounds halves to even here, as torchvision does
    return picture.crop(round((picture.height - size) / 2), round((picture.width - size) / 2), size, size)


def five_crops(picture: Picture, size: int) -> list[Picture]:
    """Top left, top right, bottom left, bottom right and centre; the picture must be at least `size` a side."""
    bottom, right = picture.height - size, picture.width - size
    corners = [picture.crop(top, left, size, size) for top in (0, bottom) for left in (0, right)]
    return [*corners, center_crop(picture, size)]


def random_crop(picture: Picture, generator: torch.Generator, size: int) -> Picture:
    """A square at a random place; a side that is too short first gets its whole lack as a black border on both ends.

    Draw by draw torchvision's `RandomCrop(pad_if_needed=True)`: top before left, only along a side with slack.
    """
    lack_y, lack_x = max(0, size - picture.height), max(0, size - picture.width)
    if lack_y or lack_x:
        picture = picture.pad(lack_y, lack_y, lack_x, lack_x)
    slack_y, slack_x = picture.height - size, picture.width - size
    top = int(torch.randint(0, slack_y + 1, (), generator=generator)) if slack_y else 0
    left = int(torch.randint(0, slack_x + 1, (), generator=generator)) if slack_x else 0
    return picture.crop(top, left, size, size)


def normalise(values: Tensor, name: str = "clip") -> Tensor:
    """Subtract the mean and divide by the standard deviation of each channel.

    Args:
        values: Float values, about [0, 1], shape (…, 3, H, W).
        name: A key of `NORMALISATIONS`.

    Raises:
        ConfigError: Unknown name.
    """
    if name not in NORMALISATIONS:
        raise ConfigError(f"normalisation {name!r} is unknown", nearest(name, NORMALISATIONS))
    mean, std = (torch.tensor(channel, dtype=values.dtype).view(3, 1, 1) for channel in NORMALISATIONS[name])
    return values.sub(mean).div_(std)
