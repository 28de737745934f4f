"""e^x of many numbers at once, for kernels on a CPU: loops without calls, which compilers turn into vector code.

x = n ln 2 + r with |r| <= ln 2 / 2; 2^n is assembled from bits, e^r is a polynomial. Arguments beyond the type's range
are clipped, so a result is never 0 or infinite; the caller must not pass NaN. The float32 polynomial has the
coefficients of Moshier's Cephes library (``expf``), the float64 one those of the Taylor series.
"""

from math import factorial, log

import numba
import numpy as np
from numpy.typing import NDArray

_FAST = {"contract", "nsz", "arcp"}  # No "reassoc": it would undo the subtraction in two steps
_ONE, _HALF = np.float32(1), np.float32(0.5)
_LOG2E = np.float32(1 / log(2))
_MOST = np.float32(87)
# ln 2 in two parts, of which n times the first is exact
_HI, _LO = np.float32(0.693359375), np.float32(log(2) - 0.693359375)
_P0, _P1, _P2, _P3, _P4, _P5 = map(
    np.float32, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)
_BIAS, _SHIFT = np.int32(127), np.int32(23)

_MOST64 = 700.0
_HI64 = 0.693145751953125
_LO64 = 1.42860682030941723e-6  # with _HI64, ln 2 to more digits than one float64 holds
_T2, _T3, _T4, _T5, _T6, _T7, _T8, _T9, _T10, _T11, _T12 = (1 / factorial(n) for n in range(2, 13))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def exp32(x: NDArray[np.float32], out: NDArray[np.float32], bits: NDArray[np.int32]) -> None:
    """``out = e^x`` within 4e-7 of its value, x clipped to [-87, 87]; ``bits`` is scratch of the same size."""
    powers = bits.view(np.float32)
    for j in range(x.size):
        clipped = min(max(x[j], -_MOST), _MOST)
        n = np.floor(clipped * _LOG2E + _HALF)
        r = clipped - n * _HI - n * _LO
        bits[j] = (np.int32(n) + _BIAS) << _SHIFT
        out[j] = (((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5) * r * r + r + _ONE
    for j in range(x.size):
        out[j] *= powers[j]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def exp64(x: NDArray[np.float64], out: NDArray[np.float64], bits: NDArray[np.int64]) -> None:
    """``out = e^x`` within 5e-15 of its value, x clipped to [-700, 700]; ``bits`` is scratch of the same size."""
    powers = bits.view(np.float64)
    for j in range(x.size):
        clipped = min(max(x[j], -_MOST64), _MOST64)
        n = np.floor(clipped * 1.4426950408889634 + 0.5)
        r = clipped - n * _HI64 - n * _LO64
        bits[j] = (np.int64(n) + 1023) << 52
        high = ((((_T12 * r + _T11) * r + _T10) * r + _T9) * r + _T8) * r + _T7
        out[j] = (((((high * r + _T6) * r + _T5) * r + _T4) * r + _T3) * r + _T2) * r * r + r + 1.0
    for j in range(x.size):
        out[j] *= powers[j]
