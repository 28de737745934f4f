"""Per-image augmentations for a view's ``augment`` list: one image and its own random generator in, one image out."""

import numpy as np
from torch import Tensor


def quarter_turn(image: Tensor, rng: np.random.Generator) -> Tensor:
    """The image turned by 0, 90, 180 or 270 degrees, evenly drawn; no pixel changes its value.

    Up-sampling traces lie along both axes alike, so a turned image is as good an example as the upright one.

    Args:
        image: [C, H, W].
        rng: the image's own generator.
    """
    return image.rot90(int(rng.integers(4)), (-2, -1))
