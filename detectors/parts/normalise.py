"""Per-channel normalisation of uint8 (or unit-range float) images, on the device they are on."""

from collections.abc import Sequence

from torch import Tensor

from contracts.batch import as_unit_float

Channels = Sequence[float]

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)


def normalise(images: Tensor, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD) -> Tensor:
    """Normalise images in torchvision's order of operations: /255, - mean, / std.

    Args:
        images: [B, 3, H, W] RGB, uint8 0..255 or float with 1.0 = white.
        mean: mean of each channel on the unit range.
        std: standard deviation of each channel on the unit range.

    Returns:
        [B, 3, H, W] float32, a new tensor in the memory format of ``images``.
    """
    unit = as_unit_float(images)
    centre, scale = unit.new_tensor(mean).view(3, 1, 1), unit.new_tensor(std).view(3, 1, 1)
    centred = unit - centre if unit is images else unit.sub_(centre)  # in place: allocating a large batch is slow
    return centred.div_(scale)
