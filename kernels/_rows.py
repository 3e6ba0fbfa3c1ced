"""Sums and extremes of a contiguous row, in vectors: what a reduction in plain loops leaves to one scalar chain.

    total(x)      the sum, in float64
    dot(x, y)     the sum of products, in float64
    highest(x)    the largest entry; NaN if there is one; -inf of none
    lowest(x)     the smallest, likewise

A few vectors of accumulators take the vectors of the row in turn, the first one what is left over, and their lanes are
combined in halves: an order that depends on the length alone.  A rest is loaded under a mask, so a short row costs a
load and the halving, ten instructions or so.  Nothing is checked; arrays are 1-D and C-contiguous.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._simd import BYTES

INDEX, I32 = ir.IntType(64), ir.IntType(32)
State = tuple[Any, ...]  # the values that accumulate
Step = Callable[[Any, State, list[Any]], State]  # (builder, state, a vector of each array) -> state


class _Row:
    """Writes the loops over a row, or over several of one length."""

    def __init__(
        self, context: Any, builder: Any, kinds: tuple[Any, ...], arrays: tuple[Any, ...], other: float, lanes: int = 0
    ):
        assert all((kind.layout, kind.ndim) == ("C", 1) for kind in kinds), f"flat, contiguous arrays, not {kinds}"
        dtype = kinds[0].dtype
        self.b, self.size = builder, dtype.bitwidth // 8
        self.length = lanes or BYTES // self.size
        self.scalar = ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()
        self.vector = ir.VectorType(self.scalar, self.length)
        made = [context.make_array(kind)(context, builder, array) for kind, array in zip(kinds, arrays)]
        self.data = [array.data for array in made]
        self.count = cgutils.unpack_tuple(builder, made[0].shape)[0]
        self.other = ir.Constant(self.vector, [other] * self.length)  # what lanes past the end hold

    def pointer(self, data: Any, at: Any) -> Any:
        return self.b.bitcast(self.b.gep(data, [at]), self.vector.as_pointer())

    def each(self, starts: list[State], step: Step) -> list[State]:
        """The states after all of the row: as many vectors at a time as there are states, then one, then the rest."""
        b, several, one = self.b, INDEX(len(starts) * self.length), INDEX(self.length)
        slots = [[cgutils.alloca_once_value(b, value) for value in state] for state in starts]
        at = cgutils.alloca_once_value(b, INDEX(0))

        def read(slot: list[Any]) -> State:
            return tuple(b.load(place) for place in slot)

        def fold(into: list[list[Any]], loads: list[list[Any]], by: Any) -> None:
            for slot, vectors in zip(into, loads):
                for place, value in zip(slot, step(b, read(slot), vectors)):
                    b.store(value, place)
            b.store(b.add(b.load(at), by), at)

        def whole(offset: int) -> list[Any]:
            start = b.add(b.load(at), INDEX(offset * self.length))
            return [b.load(self.pointer(data, start), align=self.size) for data in self.data]

        def room(by: Any) -> Any:
            return b.icmp_signed("<=", b.add(b.load(at), by), self.count)

        for into, by in ((slots, several), (slots[:1], one)):
            head, body, after = (b.append_basic_block(name) for name in ("head", "body", "after"))
            b.branch(head)
            b.position_at_end(head)
            b.cbranch(room(by), body, after)
            b.position_at_end(body)
            fold(into, [whole(i) for i in range(len(into))], by)
            b.branch(head)
            b.position_at_end(after)
        with b.if_then(b.icmp_signed("<", b.load(at), self.count)):
            mask = self.below(b.sub(self.count, b.load(at)))
            fold(slots[:1], [[self.masked(self.pointer(data, b.load(at)), mask) for data in self.data]], one)
        return [read(slot) for slot in slots]

    def below(self, n: Any) -> Any:
        """Which lanes are below n."""
        lanes = ir.VectorType(INDEX, self.length)
        first = self.b.insert_element(ir.Constant(lanes, ir.Undefined), n, I32(0))
        all_n = self.b.shuffle_vector(first, first, ir.Constant(ir.VectorType(I32, self.length), [0] * self.length))
        return self.b.icmp_signed("<", ir.Constant(lanes, list(range(self.length))), all_n)

    def masked(self, pointer: Any, mask: Any) -> Any:
        name = f"llvm.masked.load.v{self.length}f{8 * self.size}.p0"
        kind = ir.FunctionType(self.vector, [pointer.type, I32, mask.type, self.vector])
        load = cgutils.get_or_insert_function(self.b.module, kind, name)
        return self.b.call(load, [pointer, I32(self.size), mask, self.other])


def _across(b: Any, value: Any, combine: Callable[[Any, Any, Any], Any]) -> Any:
    """All lanes of a vector combined in halves, to a scalar."""
    n = value.type.count
    while n > 1:
        n //= 2
        low, high = (ir.Constant(ir.VectorType(I32, n), list(range(k, k + n))) for k in (0, n))
        value = combine(b, b.shuffle_vector(value, value, low), b.shuffle_vector(value, value, high))
    return b.extract_element(value, I32(0))


def _plus(b: Any, x: Any, y: Any) -> Any:
    return b.fadd(x, y)


def _sum_of_products(context: Any, builder: Any, signature: Any, arrays: Any) -> Any:
    row = _Row(context, builder, signature.args, arrays, 0.0, lanes=BYTES // 8)  # as many float64 as fill a vector
    wide = ir.VectorType(ir.DoubleType(), row.length)

    def step(b: Any, state: State, vectors: list[Any]) -> State:
        terms = [b.fpext(v, wide) if v.type != wide else v for v in vectors]
        return (b.fadd(state[0], terms[0] if len(terms) == 1 else b.fmul(*terms)),)

    (one,), (two,), (three,), (four,) = row.each([(ir.Constant(wide, [0.0] * row.length),)] * 4, step)
    return _across(builder, builder.fadd(builder.fadd(one, two), builder.fadd(three, four)), _plus)


@intrinsic
def total(typing: Any, x: Any) -> Any:
    """Sum of a 1-D array, in float64; 0 of none."""
    return types.float64(x), _sum_of_products


@intrinsic
def dot(typing: Any, x: Any, y: Any) -> Any:
    """Sum of x * y over 1-D arrays of one dtype and length, in float64."""
    assert x.dtype == y.dtype
    return types.float64(x, y), _sum_of_products


def _extreme(beyond: str, start: float) -> Any:
    """The entry that none is `beyond`.  NaNs are not, and are watched for beside: both cost one instruction."""

    def further(b: Any, x: Any, y: Any) -> Any:
        return b.select(b.fcmp_ordered(beyond, x, y), x, y)

    def emit(context: Any, builder: Any, signature: Any, arrays: Any) -> Any:
        row = _Row(context, builder, signature.args, arrays, start)
        no_nan = ir.Constant(ir.VectorType(ir.IntType(1), row.length), [0] * row.length)

        def step(b: Any, state: State, vectors: list[Any]) -> State:
            (v,) = vectors
            return further(b, v, state[0]), b.or_(state[1], b.fcmp_unordered("uno", v, v))

        (one, nan), (two, nan_too) = row.each([(row.other, no_nan)] * 2, step)
        any_nan = builder.bitcast(builder.or_(nan, nan_too), ir.IntType(row.length))
        best = _across(builder, further(builder, one, two), further)
        return builder.select(builder.icmp_unsigned("!=", any_nan, any_nan.type(0)), row.scalar(math.nan), best)

    return emit


@intrinsic
def highest(typing: Any, x: Any) -> Any:
    """Largest entry of a 1-D array; NaN if there is one, -inf of none."""
    return x.dtype(x), _extreme(">", -math.inf)


@intrinsic
def lowest(typing: Any, x: Any) -> Any:
    """Smallest entry of a 1-D array; NaN if there is one, inf of none."""
    return x.dtype(x), _extreme("<", math.inf)
