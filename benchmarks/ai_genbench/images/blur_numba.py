"""SciPy's `gaussian_filter` on uint8 images, with the same bytes, for all channels in one pass over the image.

SciPy sums in float64: the middle, then the two neighbours at each distance, the farthest first. This code adds in the
same order, without fused operations, for a piece of a row at a time.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_PIECE = 768  # Values of a row summed at a time, few enough for the processor's nearest cache
_BLACK, _WHITE = np.float32(0), np.float32(255)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _reflected(place: int, size: int) -> int:
    """Index of the pixel at a place beyond the edges, where the image is mirrored and the edge pixel repeated."""
    place %= 2 * size
    return place if place < size else 2 * size - 1 - place


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sum_rows(rows: NDArray[np.uint8], taps: NDArray[np.int64], weights: Doubles, place: int, total: Doubles) -> None:
    """Fill [N] with the weighted sum of the rows ``taps`` [2 R + 1] of uint8 [H, W], from column ``place`` on."""
    radius, end = weights.size - 1, place + total.size
    middle, weight = rows[taps[radius]][place:end], weights[0]
    for i in range(total.size):
        total[i] = np.float64(middle[i]) * weight
    distance = radius
    while distance >= 2:  # two distances at a time halve the passes over the sums
        above, below = rows[taps[radius - distance]][place:end], rows[taps[radius + distance]][place:end]
        above2, below2 = rows[taps[radius - distance + 1]][place:end], rows[taps[radius + distance - 1]][place:end]
        weight, weight2 = weights[distance], weights[distance - 1]
        for i in range(total.size):
            far = np.float64(np.int32(above[i]) + np.int32(below[i])) * weight
            near = np.float64(np.int32(above2[i]) + np.int32(below2[i])) * weight2
            total[i] = (total[i] + far) + near
        distance -= 2
    if distance:
        above, below = rows[taps[radius - 1]][place:end], rows[taps[radius + 1]][place:end]
        weight = weights[1]
        for i in range(total.size):
            total[i] += np.float64(np.int32(above[i]) + np.int32(below[i])) * weight


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sum_columns(row: Doubles, weights: Doubles, place: int, total: Doubles) -> None:
    """Fill [N] with the weighted sums along a row [3 (W + 2 R)] of pixels, from value ``place`` of the W on."""
    radius, size = weights.size - 1, total.size
    start, weight = place + 3 * radius, weights[0]
    middle = row[start : start + size]
    for i in range(size):
        total[i] = middle[i] * weight
    distance = radius
    while distance >= 2:
        left, right = start - 3 * distance, start + 3 * distance
        before, after = row[left : left + size], row[right : right + size]
        before2, after2 = row[left + 3 : left + 3 + size], row[right - 3 : right - 3 + size]
        weight, weight2 = weights[distance], weights[distance - 1]
        for i in range(size):
            far = (before[i] + after[i]) * weight
            near = (before2[i] + after2[i]) * weight2
            total[i] = (total[i] + far) + near
        distance -= 2
    if distance:
        weight = weights[1]
        before, after = row[start - 3 : start - 3 + size], row[start + 3 : start + 3 + size]
        for i in range(size):
            total[i] += (before[i] + after[i]) * weight


@numba.njit(
    numba.void(
        numba.types.Array(numba.uint8, 2, "C", readonly=True), numba.float64[::1], numba.boolean, numba.uint8[:, ::1]
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def gaussian_rows(rows: NDArray[np.uint8], weights: Doubles, truncate: bool, out: NDArray[np.uint8]) -> None:
    """Blur an image, first down, then along its rows.

    Args:
        rows: uint8 RGB [H, 3 W].
        weights: [R + 1] at the distances 0..R.
        truncate: whether both passes are truncated to uint8; otherwise they are rounded to float32, and the result to
            the nearest level.
        out: [H, 3 W], filled.
    """
    height, size = rows.shape
    radius, width = weights.size - 1, size // 3
    total, padded = np.empty(_PIECE), np.empty(size + 6 * radius)
    taps = np.empty(2 * radius + 1, np.int64)
    inner = padded[3 * radius : 3 * radius + size]
    for y in range(height):
        for tap in range(taps.size):
            taps[tap] = _reflected(y - radius + tap, height)
        for place in range(0, size, _PIECE):
            piece, filled = total[: min(_PIECE, size - place)], inner[place : min(place + _PIECE, size)]
            _sum_rows(rows, taps, weights, place, piece)
            if truncate:
                for i in range(piece.size):
                    filled[i] = np.float64(np.int32(piece[i]))
            else:
                for i in range(piece.size):
                    filled[i] = np.float64(np.float32(piece[i]))
        for x in range(1, radius + 1):
            left, right = 3 * _reflected(-x, width), 3 * _reflected(width - 1 + x, width)
            for channel in range(3):
                padded[3 * (radius - x) + channel] = inner[left + channel]
                padded[3 * (radius + width - 1 + x) + channel] = inner[right + channel]
        for place in range(0, size, _PIECE):
            piece, line = total[: min(_PIECE, size - place)], out[y][place : min(place + _PIECE, size)]
            _sum_columns(padded, weights, place, piece)
            if truncate:
                for i in range(piece.size):
                    line[i] = np.uint8(np.int32(piece[i]))
            else:
                for i in range(piece.size):
                    line[i] = np.uint8(np.int32(min(max(np.rint(np.float32(piece[i])), _BLACK), _WHITE)))
