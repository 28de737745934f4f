"""A logistic's cumulative function at many edges, in vector instructions written by hand.

Loops over a few dozen edges gain little from a compiler's own vector code, whose main loop takes 64 at a time and the
rest one by one. LLVM translates these vectors of 16 for any processor.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
STRIDE = 2 * LANES  # Edges handled together

_FAST = ("contract", "reassoc", "nsz", "arcp")
_INDEX = ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_ONES = ir.Constant(_VECTOR, [1.0] * LANES)


def _add_logistic(
    _typing: Any, cdf: Any, _start: Any, _strides: Any, _weight: Any, _first: Any, _factor: Any
) -> tuple[Any, Callable[..., Any]]:
    """The signature, and the function that writes the instructions, as `numba.extending.intrinsic` requires."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        start, strides, weight, first, power = arguments[1:]
        t = _spread(builder, first)
        for bit in (1, 2, 4, 8):
            odd = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [bool(lane & bit) for lane in range(LANES)])
            t = builder.fmul(t, builder.select(odd, _narrowed(builder, power), _ONES), flags=_FAST)
            power = builder.fmul(power, power)
        stride = builder.fmul(power, power)
        weights = _spread(builder, weight)
        shrunk = cgutils.alloca_once_value(builder, ir.Constant(ir.DoubleType(), 1.0))  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, strides) as loop:
            now = builder.load(shrunk)
            a, b = (
                builder.fadd(_ONES, builder.fmul(t, _narrowed(builder, by), flags=_FAST), flags=_FAST)
                for by in (now, builder.fmul(now, power))
            )
            share = builder.fdiv(weights, builder.fmul(a, b, flags=_FAST), flags=_FAST)
            at = builder.add(start, builder.mul(loop.index, ir.Constant(_INDEX, STRIDE)))
            for shift, other in ((0, b), (LANES, a)):
                element = builder.gep(array.data, [builder.add(at, ir.Constant(_INDEX, shift))])
                place = builder.bitcast(element, _VECTOR.as_pointer())
                more = builder.fadd(builder.load(place, align=4), builder.fmul(share, other, flags=_FAST), flags=_FAST)
                builder.store(more, place, align=4)
            builder.store(builder.fmul(now, stride), shrunk)
        return context.get_dummy_value()

    return types.void(cdf, types.int64, types.int64, types.float32, types.float32, types.float64), generate


add_logistic: Callable[..., None] = intrinsic(_add_logistic)
"""``(cdf, start, strides, weight, first, factor)``: ``cdf[start + j] += weight / (1 + first * factor**j)``.

This holds for all ``j < strides * STRIDE``; no bounds are checked. Two vectors share a division: with a = 1 + t[j] and
b = 1 + t[j + 16], w / a = (w / ab) b, so the square of ``first`` must be well within float32, as e^36 is. ``cdf`` is a
contiguous float32 array, ``weight`` and ``first`` are float32; ``factor``, below 1, and its powers are float64.
"""


def _spread(builder: Any, value: Any) -> Any:
    """A vector whose lanes all hold one number."""
    lane = ir.IntType(32)
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(lane, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(lane, LANES), [0] * LANES))


def _narrowed(builder: Any, value: Any) -> Any:
    return _spread(builder, builder.fptrunc(value, ir.FloatType()))
