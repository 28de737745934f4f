"""From a degraded image to the crops a model sees."""

from typing import Literal, get_args

import torch

from benchmarks.ai_genbench.images.arrays import RgbImage
from benchmarks.ai_genbench.images.resized_crop import resize_levels, resize_values
from benchmarks.ai_genbench.images.squash import squash_levels
from contracts.errors import ConfigError, nearest

TrainCropping = Literal["resize", "random_crop", "center_crop", "as_is"]
EvaluationCropping = Literal["resize", "crop", "multicrop", "as_is"]

CROP_SIZE = 224  # Side of every crop in the benchmark's configurations


def evaluation_crops(image: RgbImage, cropping: EvaluationCropping, size: int = CROP_SIZE) -> list[RgbImage]:
    """The crops on which an image is scored.

    Args:
        image: A degraded image.
        cropping: `resize` squashes to `size` × `size` (bilinear, antialiased); `crop` takes the centre, black where
            the image is smaller; `multicrop` the four corners and the centre, or only the centre if a side is at most
            `size`; `as_is` the whole image.
        size: Side of a crop.

    Raises:
        ConfigError: Unknown cropping.
    """
    if cropping == "resize":
        return [resize(image, size)]
    if cropping == "crop":
        return [center_crop(image, size)]
    if cropping == "multicrop":
        return five_crops(image, size) if min(image.height, image.width) > size else [center_crop(image, size)]
    if cropping == "as_is":
        return [image]
    raise ConfigError(f"evaluation cropping {cropping!r} is unknown", nearest(cropping, get_args(EvaluationCropping)))


def train_crop(image: RgbImage, cropping: TrainCropping, generator: torch.Generator, size: int = CROP_SIZE) -> RgbImage:
    """The crop on which an image is trained.

    Args:
        image: An augmented image.
        cropping: `resize` and `as_is` as in evaluation; `center_crop` takes the centre and `random_crop` a random
            place, black where the image is smaller.
        generator: Source of the random place; only `random_crop` uses it.
        size: Side of the crop.

    Raises:
        ConfigError: Unknown cropping.
    """
    if cropping == "resize":
        return resize(image, size)
    if cropping == "random_crop":
        return random_crop(image, generator, size)
    if cropping == "center_crop":
        return center_crop(image, size)
    if cropping == "as_is":
        return image
    raise ConfigError(f"training cropping {cropping!r} is unknown", nearest(cropping, get_args(TrainCropping)))


def resize(image: RgbImage, size: int) -> RgbImage:
    """Squash to a square: in integers if the original has a PIL image, otherwise in floats."""
    if image.pil:
        return resize_levels(image, size, size)
    if (image.height, image.width) == (size, size):
        return image
    if isinstance(image.pixels, torch.Tensor):
        return RgbImage(resize_values(image.pixels, size, size))
    return RgbImage(squash_levels(image.pixels, size, size))


def center_crop(image: RgbImage, size: int) -> RgbImage:
    """The central square, black where the image is smaller (torchvision's `center_crop`)."""
    missing_y, missing_x = max(0, size - image.height), max(0, size - image.width)
    if missing_y or missing_x:
        image = image.pad(missing_y // 2, (missing_y + 1) // 2, missing_x // 2, (missing_x + 1) // 2)
    # Python rounds halves to even here, as torchvision does
    return image.crop(round((image.height - size) / 2), round((image.width - size) / 2), size, size)


def five_crops(image: RgbImage, size: int) -> list[RgbImage]:
    """Top left, top right, bottom left, bottom right and centre; the image must be at least `size` a side."""
    bottom, right = image.height - size, image.width - size
    corners = [image.crop(top, left, size, size) for top in (0, bottom) for left in (0, right)]
    return [*corners, center_crop(image, size)]


def random_crop(image: RgbImage, generator: torch.Generator, size: int) -> RgbImage:
    """A square at a random place; a side that is too short first gets a black border as wide as its lack on both ends.

    The random numbers are those of torchvision's `RandomCrop(pad_if_needed=True)`: top before left, and only along
    sides longer than the square.
    """
    lack_y, lack_x = max(0, size - image.height), max(0, size - image.width)
    if lack_y or lack_x:
        image = image.pad(lack_y, lack_y, lack_x, lack_x)
    slack_y, slack_x = image.height - size, image.width - size
    top = int(torch.randint(0, slack_y + 1, (), generator=generator)) if slack_y else 0
    left = int(torch.randint(0, slack_x + 1, (), generator=generator)) if slack_x else 0
    return image.crop(top, left, size, size)
