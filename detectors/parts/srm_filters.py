"""The 30 high-pass filters of the spatial rich model (Fridrich and Kodovský 2012), as PatchCraft arranges them."""

from collections.abc import Mapping

import torch
from torch import Tensor

STEPS = {
    "NW": (-1, -1),
    "N": (-1, 0),
    "NE": (-1, 1),
    "W": (0, -1),
    "E": (0, 1),
    "SW": (1, -1),
    "S": (1, 0),
    "SE": (1, 1),
}
"""Rows down and columns right of each neighbour, in the order of the first-order filters."""
ROUND = ("NW", "N", "NE", "E", "SE", "S", "SW", "W")  # Directions in the order of the third-order filters
SQUARE_3 = [[-1, 2, -1], [2, -4, 2], [-1, 2, -1]]
SQUARE_5 = [[-1, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]]
HALVES = (
    (slice(0, 3), slice(None)),
    (slice(None), slice(2, 5)),
    (slice(2, 5), slice(None)),
    (slice(None), slice(0, 3)),
)
"""Upper rows, right columns, lower rows and left columns of a 5x5 filter, each with the central line."""


def srm_filters() -> Tensor:
    """The filters [30, 5, 5] float32.

    In order: 8 of first order, 4 of second order (/ 2), 8 of third order (/ 3), 4 edges of 3x3 (/ 4), 4 edges of 5x5
    (/ 12), the 3x3 square (/ 4) and the 5x5 square (/ 12). The sum of each is 0, apart from the edges.
    """
    squares = [(_square(SQUARE_3), 4), (_square(SQUARE_5), 12)]
    filters = [_taps({(0, 0): -1, step: 1}) for step in STEPS.values()]
    for name in ("NW", "N", "NE", "W"):
        (down, right) = STEPS[name]
        filters.append(_taps({(0, 0): -2, (down, right): 1, (-down, -right): 1}) / 2)
    for name in ROUND:
        (down, right) = STEPS[name]
        taps = {(0, 0): -3, (down, right): 3, (-down, -right): 1, (2 * down, 2 * right): -1}
        filters.append(_taps(taps) / 3)
    for square, divisor in squares:
        for half in HALVES:
            edge = torch.zeros(5, 5)
            edge[half] = square[half]
            filters.append(edge / divisor)
    return torch.stack([*filters, *(square / divisor for square, divisor in squares)])


def _taps(taps: Mapping[tuple[int, int], float]) -> Tensor:
    """A 5x5 filter of values by their place relative to the centre."""
    made = torch.zeros(5, 5)
    for (down, right), value in taps.items():
        made[2 + down, 2 + right] = value
    return made


def _square(rows: list[list[int]]) -> Tensor:
    made, margin = torch.zeros(5, 5), (5 - len(rows)) // 2
    made[margin : 5 - margin, margin : 5 - margin] = torch.tensor(rows, dtype=torch.float32)
    return made
