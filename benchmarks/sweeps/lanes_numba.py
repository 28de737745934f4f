"""Additions to rows of `LANES` numbers in vector instructions written by hand.

A compiler's own vector code for loops this short checks at each of them whether the rows overlap. No bounds are checked
here. Arrays are contiguous: weights are whole numbers without sign, [K, `LANES`], all others float64 [·, `LANES`].
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 32
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


def _credit(
    _typing: Any, sums: Any, _at: Any, opponents: Any, _own: Any, weights: Any, _photo: Any, _square: Any
) -> tuple[Any, Callable[..., Any]]:
    """As `_add`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found, *rest = _rows(context, builder, signature, arguments, 0, 4)
        above, half = _rows(context, builder, signature, arguments, 2, 2)
        given = _row(context, builder, signature, arguments, 4)
        square = _spread(builder, arguments[6])
        for start in range(0, LANES, VECTOR):
            tp, fp, tied = (builder.load(_place(builder, row, start, _FLOATS), align=8) for row in (found, above, half))
            weight = _weights(builder, given, start)
            share = builder.fdiv(tp, builder.fadd(builder.fadd(tp, fp), _TINY))
            for row, times in zip(rest, (builder.fsub(fp, tied), share, square), strict=True):
                place = _place(builder, row, start, _FLOATS)
                more = builder.fadd(builder.load(place, align=8), builder.fmul(weight, times))
                builder.store(more, place, align=8)
        return context.get_dummy_value()

    index = types.int64
    return types.void(sums, index, opponents, index, weights, index, types.float64), generate


def _collect(
    _typing: Any, found: Any, passed: Any, weights: Any, _photo: Any, numbers: Any, _most: Any
) -> tuple[Any, Callable[..., Any]]:
    """As `_add`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, gone = (context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in (0, 1))
        given = _row(context, builder, signature, arguments, 2)
        table = context.make_array(signature.args[4])(context, builder, arguments[4]).data
        with cgutils.for_range(builder, arguments[5]) as loop:
            copy = _spread(builder, builder.sitofp(loop.index, ir.DoubleType()))
            for start in range(0, LANES, VECTOR):
                weight = _weights(builder, given, start)
                mask = builder.fcmp_ordered(">", weight, copy)
                places = builder.fadd(builder.load(_place(builder, gone, start, _FLOATS), align=8), copy)
                places = builder.fptosi(places, ir.VectorType(_INDEX, VECTOR))
                values = ir.Constant(_FLOATS, ir.Undefined)
                for lane in (ir.Constant(ir.IntType(32), k) for k in range(VECTOR)):
                    number = builder.load(builder.gep(table, [builder.extract_element(places, lane)]))
                    values = builder.insert_element(values, number, lane)
                values = builder.select(mask, values, ir.Constant(_FLOATS, [0.0] * VECTOR))
                place = _place(builder, to, start, _FLOATS)
                builder.store(builder.fadd(builder.load(place, align=8), values), place, align=8)
        return context.get_dummy_value()

    return types.void(found, passed, weights, types.int64, numbers, types.int64), generate


add: Callable[..., None] = intrinsic(_add)
"""``(rows, at, weights, photo, factor)``: ``rows[at] += factor * weights[photo]``."""
credit: Callable[..., None] = intrinsic(_credit)
"""``(sums, at, opponents, own, weights, photo, square)``: one generated image; ``sums`` is [4, ·, `LANES`].

With w = ``weights[photo]``, found = ``sums[0, at]``, and above, half = ``opponents[:, own]``: ``sums[1:, at]`` grow by
w times above - half, found / (found + above + 1e-300), and square.
"""
collect: Callable[..., None] = intrinsic(_collect)
"""``(found, passed, weights, photo, numbers, most)``: ``found[0, lane] += numbers[passed[0, lane] + k]``.

This is for all ``k < weights[photo, lane]``, which is at most ``most``; ``numbers`` are read up to there.
"""


def _row(context: Any, builder: Any, signature: Any, arguments: Any, array: int) -> Any:
    """Pointer to the row of an argument that the next one names."""
    return _rows(context, builder, signature, arguments, array, 1)[0]


def _rows(context: Any, builder: Any, signature: Any, arguments: Any, array: int, count: int) -> list[Any]:
    """Pointers to the row that the next argument names, in each of ``count`` tables of an argument."""
    made = context.make_array(signature.args[array])(context, builder, arguments[array])
    lanes = ir.Constant(_INDEX, LANES)
    table = builder.mul(builder.extract_value(made.shape, 1), lanes) if count > 1 else lanes
    row = builder.mul(arguments[array + 1], lanes)
    at = [builder.add(row, builder.mul(table, ir.Constant(_INDEX, k))) for k in range(count)]
    return [builder.gep(made.data, [place]) for place in at]


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
