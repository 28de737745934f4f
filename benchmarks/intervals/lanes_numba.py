"""Additions to rows of `LANES` numbers in vector instructions written by hand.

A compiler's own vector code for loops this short checks at each of them whether the rows overlap. No bounds are checked
here. Arrays are contiguous: weights are whole numbers without sign, [K, `LANES`], counts uint32 and all others float64,
each [·, `LANES`].
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 64
"""Numbers in a row."""
VECTOR = 8
"""Numbers handled at once; LLVM translates these vectors for any processor."""

_INDEX = ir.IntType(64)
_FLOATS = ir.VectorType(ir.DoubleType(), VECTOR)
_TINY = ir.Constant(_FLOATS, [1e-300] * VECTOR)


def _add(_typing: Any, rows: Any, _at: Any, weights: Any, _photo: Any, _factor: Any) -> tuple[Any, Callable[..., Any]]:
    """The signature, and the function that writes the instructions, as `numba.extending.intrinsic` requires."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, given = (_row(context, builder, signature, arguments, k) for k in (0, 2))
        factor = _spread(builder, arguments[4])
        for start in range(0, LANES, VECTOR):
            place = _place(builder, to, start, _FLOATS)
            more = builder.fmul(_weights(builder, given, start), factor)
            builder.store(builder.fadd(builder.load(place, align=8), more), place, align=8)
        return context.get_dummy_value()

    return types.void(rows, types.int64, weights, types.int64, types.float64), generate


def _count(_typing: Any, rows: Any, _at: Any, weights: Any, _photo: Any) -> tuple[Any, Callable[..., Any]]:
    """As `_add`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, given = (_row(context, builder, signature, arguments, k) for k in (0, 2))
        kind = ir.VectorType(ir.IntType(32), LANES)
        bytes_ = ir.VectorType(given.type.pointee, LANES)
        place = _place(builder, to, 0, kind)
        more = builder.zext(builder.load(_place(builder, given, 0, bytes_), align=1), kind)
        builder.store(builder.add(builder.load(place, align=4), more), place, align=4)
        return context.get_dummy_value()

    return types.void(rows, types.int64, weights, types.int64), generate


def _overtake(
    _typing: Any, rows: Any, _at: Any, above: Any, _a: Any, tied: Any, _b: Any, weights: Any, _photo: Any
) -> tuple[Any, Callable[..., Any]]:
    """As `_add`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, fp, half, given = (_row(context, builder, signature, arguments, k) for k in (0, 2, 4, 6))
        for start in range(0, LANES, VECTOR):
            place, less, ties = (_place(builder, row, start, _FLOATS) for row in (to, fp, half))
            times = builder.fsub(builder.load(less, align=8), builder.load(ties, align=8))
            more = builder.fmul(_weights(builder, given, start), times)
            builder.store(builder.fadd(builder.load(place, align=8), more), place, align=8)
        return context.get_dummy_value()

    index = types.int64
    return types.void(rows, index, above, index, tied, index, weights, index), generate


def _credit(
    _typing: Any, rows: Any, _at: Any, found: Any, _own: Any, above: Any, _a: Any, weights: Any, _photo: Any, _grow: Any
) -> tuple[Any, Callable[..., Any]]:
    """As `_add`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, own, fp, given = (_row(context, builder, signature, arguments, k) for k in (0, 2, 4, 6))
        grow = _spread(builder, arguments[8])
        for start in range(0, LANES, VECTOR):
            place, tp, less = (_place(builder, row, start, _FLOATS) for row in (to, own, fp))
            weight = _weights(builder, given, start)
            hits = builder.fadd(builder.load(tp, align=8), builder.fmul(weight, grow))
            builder.store(hits, tp, align=8)
            share = builder.fdiv(hits, builder.fadd(builder.fadd(hits, builder.load(less, align=8)), _TINY))
            more = builder.fmul(weight, share)
            builder.store(builder.fadd(builder.load(place, align=8), more), place, align=8)
        return context.get_dummy_value()

    index = types.int64
    return types.void(rows, index, found, index, above, index, weights, index, types.float64), generate


def _prefetch(_typing: Any, weights: Any, _photo: Any) -> tuple[Any, Callable[..., Any]]:
    """As `_add`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        row = builder.bitcast(_row(context, builder, signature, arguments, 0), byte)
        builder.call(function, [row, *(ir.Constant(word, value) for value in (0, 3, 1))])  # data to read, and to keep
        return context.get_dummy_value()

    return types.void(weights, types.int64), generate


add: Callable[..., None] = intrinsic(_add)
"""``(rows, at, weights, photo, factor)``: ``rows[at] += factor * weights[photo]``."""
count: Callable[..., None] = intrinsic(_count)
"""``(rows, at, weights, photo)``: ``rows[at] += weights[photo]``, in uint32."""
overtake: Callable[..., None] = intrinsic(_overtake)
"""``(rows, at, above, own, tied, own, weights, photo)``: ``rows[at] += weights[photo] * (above[own] - tied[own])``."""
credit: Callable[..., None] = intrinsic(_credit)
"""``(rows, at, found, at, above, own, weights, photo, grow)``: precision at one generated image.

With w = ``weights[photo]``: ``found[at] += grow * w``, then ``rows[at] += w * found[at] / (found[at] + above[own])``,
where 0 / 0 is 0.
"""
prefetch: Callable[..., None] = intrinsic(_prefetch)
"""``(weights, photo)``: asks the memory for ``weights[photo]``, whose photographs follow in no order.

Of uint8 weights it is the whole row. Images ahead by `AHEAD` are asked for.
"""
AHEAD = 16


def _row(context: Any, builder: Any, signature: Any, arguments: Any, array: int) -> Any:
    """Pointer to the row of an argument that the next one names."""
    made = context.make_array(signature.args[array])(context, builder, arguments[array])
    return builder.gep(made.data, [builder.mul(arguments[array + 1], ir.Constant(_INDEX, LANES))])


def _place(builder: Any, row: Any, start: int, kind: Any) -> Any:
    return builder.bitcast(builder.gep(row, [ir.Constant(_INDEX, start)]), kind.as_pointer())


def _weights(builder: Any, row: Any, start: int) -> Any:
    kind = ir.VectorType(row.type.pointee, VECTOR)
    return builder.uitofp(builder.load(_place(builder, row, start, kind), align=1), _FLOATS)


def _spread(builder: Any, value: Any) -> Any:
    """A vector whose lanes all hold one number."""
    lane = ir.IntType(32)
    one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(lane, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(lane, VECTOR), [0] * VECTOR))
