"""torch's antialiased resize of an image given in levels, without making float planes of it first.

torch multiplies and adds in float32, along the rows first. As compiled for x86, it rounds each product of the first tap
and of every whole four taps after it; the one to three taps that are left use fused multiply-add. Sixteen rows are
resized at a time, side by side in memory.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.ai_genbench.images.taps_numba import LANES, add_four, add_fused, begin

Floats = NDArray[np.float32]
Places = NDArray[np.int64]

_ROWS = LANES // 3
_WHITE = np.float32(255)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _load(columns: NDArray[np.uint8], start: int, mirrored: bool, lanes: Floats) -> None:
    """Set the values of the rows from ``start`` / 3 on side by side: those of each pixel [W] in a row of ``lanes``."""
    width = len(columns)
    for x in range(width):
        levels = columns[x][start : start + LANES]
        values = lanes[width - 1 - x if mirrored else x][: levels.size]
        for i in range(levels.size):
            values[i] = np.float32(levels[i]) / _WHITE


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _along(lanes: Floats, place: int, weights: Floats, taps: int, totals: Floats, column: int) -> None:
    """Fill a row of ``totals`` with the weighted sum of ``taps`` rows of ``lanes``, from ``place`` on."""
    begin(totals, column, lanes, place, weights[0])
    tap = 1
    while tap + 4 <= taps:
        add_four(totals, column, lanes, place + tap, weights[tap], weights[tap + 1], weights[tap + 2], weights[tap + 3])
        tap += 4
    while tap < taps:
        add_fused(totals, column, lanes, place + tap, weights[tap])
        tap += 1


@numba.njit(fastmath={"contract"}, cache=True, nogil=True, error_model="numpy")
def _add_fused(total: Floats, values: Floats, weight: np.float32) -> None:
    for i in range(total.size):
        total[i] = values[i] * weight + total[i]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _down(values: Floats, place: int, step: int, weights: Floats, taps: int, total: Floats) -> None:
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
        numba.types.Array(numba.uint8, 2, "C", readonly=True), numba.boolean, numba.boolean,
        *(numba.int64[::1], numba.int64[::1], numba.float32[:, ::1]) * 2,
        numba.float32[:, :, ::1],
    ),
    cache=True, nogil=True, error_model="numpy",
)  # fmt: skip
def squash(
    columns: NDArray[np.uint8], upside_down: bool, mirrored: bool, left: Places, across: Places, row_weights: Floats,
    top: Places, down: Places, column_weights: Floats, out: Floats,
) -> None:  # fmt: skip
    """Resize an image.

    Args:
        columns: uint8 RGB [W, 3 H], column by column.
        upside_down: whether the columns are stored from their lower end.
        mirrored: whether the last column is stored first.
        left: [w] first pixel in a row of each column of the result.
        across: [w] number of pixels.
        row_weights: [w, most] their weights.
        top: [h] first pixel in a column of each row of the result.
        down: [h] number of pixels.
        column_weights: [h, most] their weights.
        out: [3, h, w] of values, 1.0 = white, filled.
    """
    width, height, size = len(columns), columns.shape[1] // 3, left.size
    lanes, totals = np.zeros((width, LANES), np.float32), np.empty((size, LANES), np.float32)
    planes = np.empty((3, height * size), np.float32)
    for start in range(0, height, _ROWS):
        _load(columns, 3 * start, mirrored, lanes)
        for column in range(size):
            _along(lanes, left[column], row_weights[column], across[column], totals, column)
        for y in range(min(_ROWS, height - start)):
            row = height - 1 - start - y if upside_down else start + y
            for channel in range(3):
                line = planes[channel][row * size : (row + 1) * size]
                for column in range(size):
                    line[column] = totals[column, 3 * y + channel]
    for row in range(top.size):
        place, taps, weights = top[row] * size, down[row], column_weights[row]
        for channel in range(3):
            _down(planes[channel], place, size, weights, taps, out[channel, row])
