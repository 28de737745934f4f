"""Front ends by name: fixed transforms of an image that give the input of a small network."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contracts.errors import ConfigError, nearest
from detectors.npr.residual import even_size, npr_residual
from detectors.parts.named import made_by_name
from detectors.parts.srm_filters import srm_filters
from detectors.residual.frequencies import high_pass
from detectors.residual.haar_detail import detail_at_image_size
from detectors.residual.neighbourhood import STATISTICS, neighbourhood

GRADIENTS = {
    "x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "y": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "left_diagonal": [[0, 1, 2], [-1, 0, 1], [-2, -1, 0]],
    "right_diagonal": [[-2, -1, 0], [-1, 0, 1], [0, 1, 2]],
}
"""Filters of LaDeDa (Cavia et al. 2024, arXiv 2406.09398)."""


class FrontEnd(nn.Module):
    """Images [B, 3, H, W] float32 → [B, channels, H', W'] float32, without weights."""

    channels: int = 3  # of the result
    needs_unit: bool = False  # whether it needs images on the unit range


class Raw(FrontEnd):
    """The image itself."""

    def forward(self, images: Tensor) -> Tensor:
        """The same tensor."""
        return images


class Npr(FrontEnd):
    """Every 2x2 block minus its top-left pixel (Tan et al. 2024); odd sizes lose their last row or column."""

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, 3, H', W'], both even."""
        return npr_residual(even_size(images))


class DwtHh(FrontEnd):
    """SAFE's diagonal wavelet detail; see `haar_detail`."""

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → the same."""
        return detail_at_image_size(images)


class Median(FrontEnd):
    """Each pixel minus the median, or another statistic, of its neighbours; see `neighbourhood`.

    Args:
        statistic: ``excluded`` (the median of the neighbours), ``zeroed`` (as in FerretNet's released weights),
            ``whole``, ``mean``, ``min``, ``max`` or ``none``.
        window: odd side in pixels.

    Raises:
        ConfigError: an unknown statistic, or a window that is even or smaller than 3.
    """

    def __init__(self, statistic: str = "excluded", window: int = 3) -> None:
        super().__init__()
        if statistic not in STATISTICS:
            raise ConfigError(
                f"detector.front_end_options.statistic={statistic!r} is unknown", nearest(statistic, STATISTICS)
            )
        if window < 3 or window % 2 == 0:
            raise ConfigError(f"detector.front_end_options.window={window}", "Give an odd side of 3 pixels or more.")
        self.statistic, self.window = statistic, window

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → the same."""
        return images - neighbourhood(images, self.statistic, self.window)


class Gradient(FrontEnd):
    """A 3x3 gradient of each channel, with zeros around the image.

    Args:
        direction: ``x``, ``y``, ``left_diagonal`` or ``right_diagonal``.

    Raises:
        ConfigError: an unknown direction.
    """

    filters: Tensor

    def __init__(self, direction: str = "x") -> None:
        super().__init__()
        if direction not in GRADIENTS:
            raise ConfigError(
                f"detector.front_end_options.direction={direction!r} is unknown", nearest(direction, GRADIENTS)
            )
        taps = torch.tensor(GRADIENTS[direction], dtype=torch.float32)
        self.register_buffer("filters", taps.expand(3, 1, 3, 3), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → the same."""
        return F.conv2d(images, self.filters, padding=1, groups=3)


class Srm(FrontEnd):
    """The 30 filters of the spatial rich model on each channel; those of red first."""

    channels = 90
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", srm_filters()[:, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, 90, H, W]."""
        return F.conv2d(images, self.filters.repeat(3, 1, 1, 1), padding=2, groups=3)


class FftHighPass(FrontEnd):
    """FreqNet's rectangular high pass and ReLU; see `frequencies`.

    Args:
        symmetric: remove both edges of the block; false as published.
    """

    def __init__(self, symmetric: bool = True) -> None:
        super().__init__()
        self.symmetric = symmetric

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → the same, not negative."""
        return high_pass(images, self.symmetric)


class BitPlanes(FrontEnd):
    """The lowest bits of every 8-bit value, each as a channel of 0 and 1; all of red first, the lowest bit first.

    Args:
        planes: number of bits, 1 to 8.

    Raises:
        ConfigError: another number.
    """

    needs_unit = True

    def __init__(self, planes: int = 3) -> None:
        super().__init__()
        if not 1 <= planes <= 8:
            raise ConfigError(f"detector.front_end_options.planes={planes}", "Give a number from 1 to 8.")
        self.planes, self.channels = planes, 3 * planes

    def forward(self, images: Tensor) -> Tensor:
        """Unit-range images [B, 3, H, W], rounded to 8 bits → [B, 3 · planes, H, W]."""
        values = (images * 255).round().clamp(0, 255)
        # in floats, which hold them exactly: ONNX has no shift of signed bytes
        bits = [(values / 2**plane).floor() % 2 for plane in range(self.planes)]
        return torch.stack(bits, dim=2).flatten(1, 2).float()


FRONT_ENDS: dict[str, type[FrontEnd]] = {
    "raw": Raw, "npr": Npr, "dwt_hh": DwtHh, "median": Median, "gradient": Gradient, "srm": Srm,
    "fft_high_pass": FftHighPass, "bit_planes": BitPlanes,
}  # fmt: skip


def make_front_end(name: str, options: Mapping[str, Any] | None = None) -> FrontEnd:
    """A front end by its name.

    Raises:
        ConfigError: an unknown name or option.
    """
    return made_by_name(FRONT_ENDS, name, options, "detector.front_end")
