"""Pillow's colour adjustments in one pass over the pixels, with the same bytes.

The arithmetic is that of Pillow's `Image.blend`, `convert("L")`, `convert("HSV")` and back, down to the type of each
intermediate result: float32 or float64, then truncated. Blocks of pixels are small enough for the processor's nearest
cache, and their loops contain neither branch nor call, so that they vectorise.
"""

import numba
import numpy as np
from numpy.typing import NDArray

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Steps, numbered as torchvision's `ColorJitter` numbers them."""

Floats = NDArray[np.float32]
Whole = NDArray[np.int32]

_BLOCK = 1024
_ZERO, _ONE, _TWO, _FOUR = np.float32(0), np.float32(1), np.float32(2), np.float32(4)
_WHITE, _HALF_WHITE = np.float32(255), np.float32(127)
_SQUARE, _HALF_SQUARE = np.float32(65025), np.float32(32512)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _luma(red: Floats, green: Floats, blue: Floats, luma: Floats) -> float:
    """Fill [B] with the luma (ITU-R 601) in 16-bit fixed point; returns its sum."""
    total = np.int32(0)
    for i in range(red.size):
        scaled = np.int32(red[i]) * np.int32(19595) + np.int32(green[i]) * np.int32(38470)
        grey = (scaled + np.int32(blue[i]) * np.int32(7471) + np.int32(0x8000)) >> np.int32(16)
        luma[i] = np.float32(grey)
        total += grey
    return float(total)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _blend(levels: Floats, grey: Floats, factor: np.float32) -> None:
    """Move levels [B] away from (factor > 1) or towards the grey levels [B]."""
    for i in range(levels.size):
        blended = grey[i] + factor * (levels[i] - grey[i])
        levels[i] = np.float32(np.int32(min(max(blended, _ZERO), _WHITE)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _to_hsv(red: Floats, green: Floats, blue: Floats, hue: Whole, saturation: Floats, value: Floats) -> None:
    """Hue, saturation and value, each 0..255 [B]; a grey pixel's hue is arbitrary, since its saturation is 0."""
    for i in range(red.size):
        r, g, b = red[i], green[i], blue[i]
        high = max(r, max(g, b))
        range_ = high - min(r, min(g, b))
        span = max(range_, _ONE)
        is_red, is_green = r == high, g == high
        less = high - (g if is_red else (b if is_green else r))
        more = high - (b if is_red else (r if is_green else g))
        base = _ZERO if is_red else (_TWO if is_green else _FOUR)
        # one of both is the whole range, the other gives the place in the sixth of the circle
        place = (less if more == span else more) / span
        sixths = (base + _ONE) - place if more == span else (base - _ONE) + place
        turns = np.float64(sixths) / 6.0 + 1.0
        turns = turns - 1.0 if turns >= 1.0 else turns
        hue[i] = np.int32(np.float64(np.float32(turns)) * 255.0)
        saturation[i] = np.float32(np.int32(_WHITE * range_ / max(high, _ONE)))
        value[i] = high


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _from_hsv(hue: Whole, saturation: Floats, value: Floats, red: Floats, green: Floats, blue: Floats) -> None:
    """The colours [B] of hue, saturation and value, each 0..255.

    Pillow rounds float64 results, which are never half-way between two levels: quotients of whole numbers below 2^24,
    exact in float32, give the same.
    """
    for i in range(red.size):
        sixths = np.float32(hue[i] * np.int32(6))
        sector = np.int32(sixths / _WHITE)
        beyond = sixths - np.float32(sector) * _WHITE
        s, v = saturation[i], value[i]
        lowest = np.float32(np.int32((v * (_WHITE - s) + _HALF_WHITE) / _WHITE))
        falling = np.float32(np.int32((v * (_SQUARE - s * beyond) + _HALF_SQUARE) / _SQUARE))
        rising = np.float32(np.int32((v * (_SQUARE - s * (_WHITE - beyond)) + _HALF_SQUARE) / _SQUARE))
        k = np.int32(0) if sector == 6 else sector
        red[i] = v if (k == 0) | (k == 5) else (falling if k == 1 else (rising if k == 4 else lowest))
        green[i] = v if (k == 1) | (k == 2) else (rising if k == 0 else (falling if k == 3 else lowest))
        blue[i] = v if (k == 3) | (k == 4) else (rising if k == 2 else (falling if k == 5 else lowest))


@numba.njit(
    numba.float64(
        numba.types.Array(numba.uint8, 1, "C", readonly=True), numba.uint8[::1], numba.int32[::1], numba.float32[::1],
        numba.int64, numba.float64,
    ),
    cache=True, nogil=True, error_model="numpy",
)  # fmt: skip
def adjust(
    pixels: NDArray[np.uint8], out: NDArray[np.uint8], steps: Whole, factors: Floats, shift: int, mean: float
) -> float:
    """Apply steps to pixels, one after another.

    Args:
        pixels: uint8 RGB [3 N], pixel by pixel.
        out: [3 N], filled; may be ``pixels`` itself.
        steps: numbers of the steps, in their order.
        factors: [4] blending factor of each step; the one of `HUE` is not used.
        shift: amount that `HUE` adds to the hue, modulo 256.
        mean: grey level towards or away from which `CONTRAST` blends.

    Returns:
        The sum of the result's luma.
    """
    reds, greens = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    blues, luma = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    hues, saturations = np.empty(_BLOCK, np.int32), np.empty(_BLOCK, np.float32)
    total, turned = 0.0, np.int32(shift)
    for start in range(0, pixels.size // 3, _BLOCK):
        count = min(_BLOCK, pixels.size // 3 - start)
        source, target = pixels[3 * start : 3 * (start + count)], out[3 * start : 3 * (start + count)]
        red, green, blue, grey = reds[:count], greens[:count], blues[:count], luma[:count]
        hue, saturation = hues[:count], saturations[:count]
        for i in range(count):
            red[i], green[i], blue[i] = source[3 * i], source[3 * i + 1], source[3 * i + 2]
        for step in steps:
            if step == HUE:
                _to_hsv(red, green, blue, hue, saturation, grey)
                for i in range(count):
                    hue[i] = (hue[i] + turned) & np.int32(255)
                _from_hsv(hue, saturation, grey, red, green, blue)
                continue
            if step == SATURATION:
                _luma(red, green, blue, grey)
            else:
                grey[:] = np.float32(mean) if step == CONTRAST else _ZERO
            _blend(red, grey, factors[step])
            _blend(green, grey, factors[step])
            _blend(blue, grey, factors[step])
        total += _luma(red, green, blue, grey)
        for i in range(count):
            target[3 * i] = np.uint8(np.int32(red[i]))
            target[3 * i + 1] = np.uint8(np.int32(green[i]))
            target[3 * i + 2] = np.uint8(np.int32(blue[i]))
    return total
