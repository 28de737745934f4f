"""torch's antialiased bilinear resize of an image given in levels, without making float planes of it first.

torch multiplies and adds in float32, along the rows first. As compiled for x86, it rounds each product of the first tap
and of every whole four taps after it; the one to three taps that are left use fused multiply-add. Sixteen rows are
resized at a time, side by side in memory.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.int64]

_ROWS = 16
_LANES = 3 * _ROWS
_WHITE = np.float32(255)


@numba.njit(fastmath={"contract"}, cache=True, nogil=True, error_model="numpy")
def _add_fused(total: Floats, values: Floats, weight: np.float32) -> None:
    for i in range(total.size):
        total[i] = values[i] * weight + total[i]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add(total: Floats, values: Floats, weight: np.float32) -> None:
    for i in range(total.size):
        total[i] += values[i] * weight


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _weigh(values: Floats, first: int, step: int, weights: Floats, total: Floats) -> None:
    """Fill [N] with the weighted sum of pieces [N] of ``values``, which begin at ``first`` and every ``step``."""
    rounded = 1 + (weights.size - 1) // 4 * 4
    size = total.size
    total[:] = 0
    for tap in range(rounded):
        _add(total, values[first : first + size], weights[tap])
        first += step
    for tap in range(rounded, weights.size):
        _add_fused(total, values[first : first + size], weights[tap])
        first += step


@numba.njit(
    numba.void(
        numba.types.Array(numba.uint8, 3, "A", readonly=True),
        *(numba.int64[::1], numba.int64[::1], numba.float32[:, ::1]) * 2,
        numba.float32[:, :, ::1],
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def squash(
    levels: NDArray[np.uint8], left: Places, across: Places, row_weights: Floats, top: Places, down: Places,
    column_weights: Floats, out: Floats,
) -> None:  # fmt: skip
    """Resize an image.

    Args:
        levels: uint8 RGB [H, W, 3], with any strides.
        left: [w] first pixel in a row of each column of the result.
        across: [w] number of pixels.
        row_weights: [w, most] their weights.
        top: [h] likewise for each row of the result, in a column.
        down: [h].
        column_weights: [h, most].
        out: [3, h, w] of values, 1.0 = white, filled.
    """
    height, width, _ = levels.shape
    columns = left.size
    lanes = np.zeros(width * _LANES, np.float32)
    total = np.empty(_LANES, np.float32)
    rows = np.empty((3, height * columns), np.float32)
    for start in range(0, height, _ROWS):
        count = min(_ROWS, height - start)
        for x in range(width):
            for y in range(count):
                place = x * _LANES + y
                lanes[place] = levels[start + y, x, 0]
                lanes[place + _ROWS] = levels[start + y, x, 1]
                lanes[place + 2 * _ROWS] = levels[start + y, x, 2]
        for i in range(lanes.size):
            lanes[i] /= _WHITE
        for column in range(columns):
            _weigh(lanes, left[column] * _LANES, _LANES, row_weights[column, : across[column]], total)
            for channel in range(3):
                for y in range(count):
                    rows[channel, (start + y) * columns + column] = total[channel * _ROWS + y]
    for channel in range(3):
        for row in range(top.size):
            weights = column_weights[row, : down[row]]
            _weigh(rows[channel], top[row] * columns, columns, weights, out[channel, row])
