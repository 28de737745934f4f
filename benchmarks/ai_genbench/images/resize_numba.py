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
_TILE = 64  # Pixels of sixteen rows that are set side by side at a time, few enough for the nearest cache
_VALUES = np.arange(256, dtype=np.float32) / np.float32(255)


@numba.njit(fastmath={"contract"}, cache=True, nogil=True, error_model="numpy")
def _add_fused(total: Floats, values: Floats, weight: np.float32) -> None:
    for i in range(total.size):
        total[i] = values[i] * weight + total[i]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _weigh(values: Floats, place: int, step: int, weights: Floats, taps: int, total: Floats) -> None:
    """Fill [N] with the weighted sum of pieces [N] of ``values``, which begin at ``place`` and every ``step``."""
    size = total.size  # slices, since an index that may be negative keeps a loop from being vectorised
    first, weight = values[place : place + size], weights[0]
    for i in range(size):
        total[i] = first[i] * weight
    place += step
    tap = 1
    while tap + 4 <= taps:
        w1, w2, w3, w4 = weights[tap], weights[tap + 1], weights[tap + 2], weights[tap + 3]
        one, two = values[place : place + size], values[place + step : place + step + size]
        place += 2 * step
        three, four = values[place : place + size], values[place + step : place + step + size]
        place += 2 * step
        for i in range(size):
            total[i] = (((total[i] + one[i] * w1) + two[i] * w2) + three[i] * w3) + four[i] * w4
        tap += 4
    while tap < taps:
        _add_fused(total, values[place : place + size], weights[tap])
        place += step
        tap += 1


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
    reds, greens = np.empty(height * columns, np.float32), np.empty(height * columns, np.float32)
    blues = np.empty(height * columns, np.float32)
    for start in range(0, height, _ROWS):
        count = min(_ROWS, height - start)
        for tile in range(0, width, _TILE):
            for y in range(count):
                for x in range(tile, min(tile + _TILE, width)):
                    place = x * _LANES + y
                    lanes[place] = _VALUES[levels[start + y, x, 0]]
                    lanes[place + _ROWS] = _VALUES[levels[start + y, x, 1]]
                    lanes[place + 2 * _ROWS] = _VALUES[levels[start + y, x, 2]]
        for column in range(columns):
            _weigh(lanes, left[column] * _LANES, _LANES, row_weights[column], across[column], total)
            for y in range(count):
                place = (start + y) * columns + column
                reds[place], greens[place], blues[place] = total[y], total[_ROWS + y], total[2 * _ROWS + y]
    for row in range(top.size):
        place, taps, weights = top[row] * columns, down[row], column_weights[row]
        _weigh(reds, place, columns, weights, taps, out[0, row])
        _weigh(greens, place, columns, weights, taps, out[1, row])
        _weigh(blues, place, columns, weights, taps, out[2, row])
