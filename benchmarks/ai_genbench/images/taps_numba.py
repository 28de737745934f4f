"""Weighted sums of rows of `LANES` float32 numbers in vector instructions written by hand.

A compiler's own vector code for loops this short checks at each of them whether the rows overlap. No bounds are checked
here. Arrays are contiguous float32 [·, `LANES`].
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 48
"""Numbers in a row."""
_VECTOR = 16  # Numbers handled at once; LLVM translates these vectors for any processor

_INDEX = ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), _VECTOR)


def _begin(_typing: Any, rows: Any, _at: Any, values: Any, _from: Any, _weight: Any) -> tuple[Any, Callable[..., Any]]:
    """The signature, and the function that writes the instructions, as `numba.extending.intrinsic` requires."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, row = (_row(context, builder, signature, arguments, k) for k in (0, 2))
        weight = _spread(builder, arguments[4])
        for start in range(0, LANES, _VECTOR):
            product = builder.fmul(_load(builder, row, start), weight)
            builder.store(product, _place(builder, total, start), align=4)
        return context.get_dummy_value()

    return types.void(rows, types.int64, values, types.int64, types.float32), generate


def _add_four(
    _typing: Any, rows: Any, _at: Any, values: Any, _from: Any, _w1: Any, _w2: Any, _w3: Any, _w4: Any
) -> tuple[Any, Callable[..., Any]]:
    """As `_begin`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, row = (_row(context, builder, signature, arguments, k) for k in (0, 2))
        weights = [_spread(builder, weight) for weight in arguments[4:]]
        for start in range(0, LANES, _VECTOR):
            sums = _load(builder, total, start)
            for tap, weight in enumerate(weights):
                sums = builder.fadd(sums, builder.fmul(_load(builder, row, tap * LANES + start), weight))
            builder.store(sums, _place(builder, total, start), align=4)
        return context.get_dummy_value()

    return types.void(rows, types.int64, values, types.int64, *[types.float32] * 4), generate


def _add_fused(
    _typing: Any, rows: Any, _at: Any, values: Any, _from: Any, _weight: Any
) -> tuple[Any, Callable[..., Any]]:
    """As `_begin`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, row = (_row(context, builder, signature, arguments, k) for k in (0, 2))
        weight = _spread(builder, arguments[4])
        for start in range(0, LANES, _VECTOR):
            product = builder.fmul(_load(builder, row, start), weight, flags=["contract"])
            sums = builder.fadd(_load(builder, total, start), product, flags=["contract"])
            builder.store(sums, _place(builder, total, start), align=4)
        return context.get_dummy_value()

    return types.void(rows, types.int64, values, types.int64, types.float32), generate


begin: Callable[..., None] = intrinsic(_begin)
"""``(rows, at, values, place, w)``: ``rows[at] = values[place] * w``."""
add_four: Callable[..., None] = intrinsic(_add_four)
"""``(rows, at, values, place, w1, w2, w3, w4)``: adds the next four rows of values to ``rows[at]``, each rounded twice.
"""
add_fused: Callable[..., None] = intrinsic(_add_fused)
"""``(rows, at, values, place, w)``: adds ``values[place] * w`` to ``rows[at]``, rounded once if the processor can."""


def _row(context: Any, builder: Any, signature: Any, arguments: Any, array: int) -> Any:
    """Pointer to the row of an argument that the next one names."""
    made = context.make_array(signature.args[array])(context, builder, arguments[array])
    return builder.gep(made.data, [builder.mul(arguments[array + 1], ir.Constant(_INDEX, LANES))])


def _place(builder: Any, row: Any, start: int) -> Any:
    return builder.bitcast(builder.gep(row, [ir.Constant(_INDEX, start)]), _FLOATS.as_pointer())


def _load(builder: Any, row: Any, start: int) -> Any:
    return builder.load(_place(builder, row, start), align=4)


def _spread(builder: Any, value: Any) -> Any:
    """A vector whose lanes all hold one number."""
    lane = ir.IntType(32)
    one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(lane, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(lane, _VECTOR), [0] * _VECTOR))
