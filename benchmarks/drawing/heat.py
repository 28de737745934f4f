"""A map of numbers as an image: one pixel per value, and a colour bar."""

import io

import numpy as np
from numpy.typing import NDArray

DPI = 100
BAR = 90  # Pixels the colour bar takes on the right
HEAD = 22  # Pixels the title takes above
LEAST = 64  # Minimum height of the panel, which keeps the colour bar legible


def limits(values: NDArray[np.floating], robust: float = 1.0) -> tuple[float, float]:
    """Ends of the colour scale, symmetric around 0 if there are negative values.

    Args:
        values: [H, W].
        robust: share of the values within the ends; the rest saturates.
    """
    found = values[np.isfinite(values)]
    if not found.size:
        return 0.0, 1.0
    low, high = np.quantile(found, [(1 - robust) / 2, (1 + robust) / 2]) if robust < 1 else (found.min(), found.max())
    if low < 0:
        high = max(-low, high)
        low = -high
    return float(low), float(high if high > low else low + 1e-6)


def draw(values: NDArray[np.floating], title: str, robust: float = 1.0) -> bytes:
    """PNG of a map [H, W]: one pixel per value without interpolation, red above 0 and blue below if any is negative.

    The title names quantity and unit; `limits` explains ``robust``.
    """
    from matplotlib import colormaps  # slow to import, needed for drawing only
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from PIL import Image

    low, high = limits(values, robust)
    scale = ScalarMappable(Normalize(low, high), colormaps["RdBu_r" if low < 0 else "viridis"])
    pixels = scale.to_rgba(values, bytes=True)[..., :3]
    height, width = values.shape
    tall = max(height, LEAST)
    figure = Figure(figsize=((width + BAR) / DPI, (tall + HEAD) / DPI), dpi=DPI)
    whole = figure.get_size_inches() * DPI
    axes = figure.add_axes((1 - (BAR - 10) / whole[0], 0.04, 12 / whole[0], (tall - 8) / whole[1] - 0.04))
    figure.colorbar(scale, cax=axes).ax.tick_params(labelsize=7)
    figure.text(2 / whole[0], 1 - 15 / whole[1], title, fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    # the map is pasted in afterwards: matplotlib would resample it by fractions of a pixel
    page = Image.open(file).convert("RGB")
    page.paste(Image.fromarray(np.ascontiguousarray(pixels)), (0, HEAD))
    file = io.BytesIO()
    page.save(file, "PNG", optimize=True)
    return file.getvalue()
