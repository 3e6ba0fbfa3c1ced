"""A register tile as a Numba value: matrix products at the machine's rate, written as ordinary loops.

A tile is R rows of C vectors, kept in vector registers while a loop runs; one row is `width(x)` consecutive elements.
Each operation below is a few lines of LLVM IR, typed by its arguments, for float32 and float64 alike:

    width(x)                      C * vector length for the dtype of x: the columns of a tile
    run(i)                        the row offsets i + r, r < ROWS: neighbours, which need one address register, not ROWS
    span(i, low, high, step)      the row offsets clamp(i + r, low, high) * step, r < ROWS, in registers
    take(a, i, step, hole)        the row offsets a[i + r] * step, or `hole` where a is negative
    zeros(x, rows)                a new tile of zeros, of the dtype of x
    fill(w, p, rows)              a new tile, every row w[p : p + width]
    get(y, rows, q, n)            a new tile, y[rows[r] + q : + n], with zeros from column n
    put(acc, y, rows, q, n)       y[rows[r] + q : + n] = acc[r, :n]
    rank1(acc, x, rows, i, w, p)  acc[r, :] += x[rows[r] + i] * w[p : p + width]      one multiply-add per vector
    plus(a, b)                    a + b
    times(a, scalar)              a * scalar
    choose(a, b, c)               b where a > 0, else c
    at_least(a, floor)            max(a, floor), NaN kept: relu for a floor of 0
    distance(x, z)                elements from x[0] to z[0]: with it, a row of x may lie in another array

`rows` is a tuple of element offsets, so the rows of a tile may lie anywhere: a row offset is all that a shifted pixel
of a convolution needs, and its length is the height of the tile.  Entries may be equal: a ragged last tile repeats its
last row, which computes and stores the same numbers twice; of rows that are put to one place the last stays.
Operands are flat and C-contiguous.  Nothing is checked: bounds and wraparound would cost the inner loop its rate.

Tiles by machine: 8 x 2 vectors of 64 bytes on AVX-512, 6 x 2 of 32 bytes on AVX2 (12 accumulators of 16 registers),
8 x 2 of 16 bytes elsewhere.  On a Zen 4 server 8 rows run at 111 GFLOP/s a core of a peak of 114: sixteen independent
sums hide the latency, and eight divides the batches and channels that people choose (14 rows are no faster, and lose a
tenth to a batch of 128).  The features are part of the key of Numba's cache, so one folder may serve several machines.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.core.registry import cpu_target
from numba.extending import intrinsic, register_model


def _machine(features: str) -> tuple[int, int]:
    """(bytes of a vector, rows of a tile) for LLVM's feature string."""
    has = features.split(",")
    if "+avx512f" in has:
        return 64, 8
    if "+avx2" in has and "+fma" in has:
        return 32, 6
    return 16, 8


# what Numba compiles for: the host, unless NUMBA_CPU_FEATURES says otherwise
BYTES, ROWS = _machine(cpu_target.target_context.codegen().magic_tuple()[2])
VECTORS = 2  # of a row

INDEX = ir.IntType(64)


class Vector(types.Type):
    """The Numba type of one vector of `dtype`."""

    def __init__(self, dtype: types.Float):
        self.dtype, self.length = dtype, BYTES // (dtype.bitwidth // 8)
        self.ir = ir.VectorType(ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType(), self.length)
        super().__init__(name=f"{dtype}x{self.length}")


@register_model(Vector)
class _VectorModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector):
        super().__init__(manager, kind, kind.ir)


class _Emit:
    """Writes the IR of one operation: the pieces that all of them share."""

    def __init__(self, context: Any, builder: Any, dtype: types.Float):
        self.context, self.b, self.dtype = context, builder, dtype
        self.vector = Vector(dtype).ir
        self.length = self.vector.count

    def at(self, kind: Any, array: Any, *index: Any) -> Any:
        """Pointer to array[sum of index]."""
        assert (kind.layout, kind.ndim) == ("C", 1), f"a flat, contiguous array is wanted, not {kind}"
        total = index[0]
        for i in index[1:]:
            total = self.b.add(total, i if isinstance(i, ir.Value) else INDEX(i))
        return self.b.gep(self.context.make_array(kind)(self.context, self.b, array).data, [total])

    def vectors(self, kind: Any, array: Any, *index: Any) -> list[Any]:
        """Pointers to the VECTORS vectors that start at array[sum of index]."""
        first = self.at(kind, array, *index)
        pointer = self.vector.as_pointer()
        return [self.b.bitcast(self.b.gep(first, [INDEX(c * self.length)]), pointer) for c in range(VECTORS)]

    def load(self, pointer: Any) -> Any:
        return self.b.load(pointer, align=self.dtype.bitwidth // 8)

    def store(self, value: Any, pointer: Any) -> None:
        self.b.store(value, pointer, align=self.dtype.bitwidth // 8)

    def splat(self, scalar: Any) -> Any:
        """A vector of equal entries."""
        i32 = ir.IntType(32)
        one = self.b.insert_element(ir.Constant(ir.VectorType(scalar.type, self.length), ir.Undefined), scalar, i32(0))
        return self.b.shuffle_vector(one, one, ir.Constant(ir.VectorType(i32, self.length), [0] * self.length))

    def call(self, name: str, *arguments: Any, returns: Any, of: str = "") -> Any:
        kind = ir.FunctionType(returns, [a.type for a in arguments])
        name = f"llvm.{name}.v{self.length}f{self.dtype.bitwidth}{of}"
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, name), arguments)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """x * y + z: fused where the machine can, two roundings where it cannot; never a call into libm."""
        return self.call("fmuladd", x, y, z, returns=self.vector)

    def masked_load(self, pointer: Any, mask: Any) -> Any:
        align, zero = ir.IntType(32)(self.dtype.bitwidth // 8), ir.Constant(self.vector, None)
        return self.call("masked.load", pointer, align, mask, zero, returns=self.vector, of=".p0")

    def masked_store(self, value: Any, pointer: Any, mask: Any) -> None:
        align = ir.IntType(32)(self.dtype.bitwidth // 8)
        self.call("masked.store", value, pointer, align, mask, returns=ir.VoidType(), of=".p0")

    def whole(self, n: Any) -> Any:
        """Whether all columns of a tile are below column n."""
        return self.b.icmp_signed(">=", n, INDEX(VECTORS * self.length))

    def masks(self, n: Any) -> list[Any]:
        """For each vector of a row, which of its lanes are below column n."""
        n = self.splat(n)
        columns = [range(c * self.length, (c + 1) * self.length) for c in range(VECTORS)]
        return [self.b.icmp_signed("<", ir.Constant(n.type, list(column)), n) for column in columns]


def _tile(dtype: types.Float, rows: types.UniTuple) -> types.UniTuple:
    return types.UniTuple(Vector(dtype), len(rows) * VECTORS)


@intrinsic
def width(typing: Any, x: Any) -> Any:
    """Columns of a tile for the dtype of x."""
    columns = VECTORS * BYTES // (x.dtype.bitwidth // 8)
    return types.intp(x), lambda context, builder, signature, arguments: INDEX(columns)


@intrinsic
def read(typing: Any, a: Any, i: Any) -> Any:
    """a[i]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_Emit(context, builder, types.float32).at(signature.args[0], *arguments))

    return a.dtype(a, types.intp), emit


@intrinsic
def run(typing: Any, i: Any) -> Any:
    """The row offsets i + r, r < ROWS."""
    kind = types.UniTuple(types.intp, ROWS)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_tuple(builder, kind, [builder.add(arguments[0], INDEX(r)) for r in range(ROWS)])

    return kind(types.intp), emit


@intrinsic
def span(typing: Any, i: Any, low: Any, high: Any, step: Any) -> Any:
    """The row offsets clamp(i + r, low, high) * step, r < ROWS."""
    kind = types.UniTuple(types.intp, ROWS)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        i, low, high, step = arguments
        rows = [builder.add(i, INDEX(r)) for r in range(ROWS)]
        rows = [builder.select(builder.icmp_signed("<", row, low), low, row) for row in rows]
        rows = [builder.select(builder.icmp_signed(">", row, high), high, row) for row in rows]
        return context.make_tuple(builder, kind, [builder.mul(row, step) for row in rows])

    return kind(types.intp, types.intp, types.intp, types.intp), emit


@intrinsic
def take(typing: Any, a: Any, i: Any, step: Any, hole: Any) -> Any:
    """The row offsets a[i + r] * step, r < ROWS, or `hole` where a is negative."""
    kind = types.UniTuple(types.intp, ROWS)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, i, step, hole = arguments
        e = _Emit(context, builder, types.float32)
        rows = []
        for r in range(ROWS):
            index = builder.sext(builder.load(e.at(signature.args[0], a, i, r)), INDEX)
            outside = builder.icmp_signed("<", index, INDEX(0))
            rows.append(builder.select(outside, hole, builder.mul(index, step)))
        return context.make_tuple(builder, kind, rows)

    return kind(a, types.intp, types.intp, types.intp), emit


@intrinsic
def distance(typing: Any, x: Any, z: Any) -> Any:
    """Elements from x[0] to z[0], two arrays of one dtype."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emit(context, builder, x.dtype)
        ends = [e.at(kind, array, INDEX(0)) for kind, array in zip(signature.args, arguments)]
        start, end = (builder.ptrtoint(pointer, INDEX) for pointer in ends)
        return builder.sdiv(builder.sub(end, start), INDEX(x.dtype.bitwidth // 8))

    return types.intp(x, z), emit


@intrinsic
def zeros(typing: Any, x: Any, rows: Any) -> Any:
    """A tile of zeros of the dtype of x."""
    tile = _tile(x.dtype, rows)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_tuple(builder, tile, [ir.Constant(tile.dtype.ir, None)] * len(tile))

    return tile(x, rows), emit


@intrinsic
def fill(typing: Any, w: Any, p: Any, rows: Any) -> Any:
    """A tile whose every row is w[p : p + width]."""
    tile = _tile(w.dtype, rows)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emit(context, builder, w.dtype)
        row = [e.load(pointer) for pointer in e.vectors(signature.args[0], *arguments[:2])]
        return context.make_tuple(builder, tile, row * len(rows))

    return tile(w, types.intp, rows), emit


@intrinsic
def rank1(typing: Any, acc: Any, x: Any, rows: Any, i: Any, w: Any, p: Any) -> Any:
    """acc[r, :] += x[rows[r] + i] * w[p : p + width]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        acc, x, rows, i, w, p = arguments
        e = _Emit(context, builder, signature.args[1].dtype)
        old = cgutils.unpack_tuple(builder, acc)
        weights = [e.load(pointer) for pointer in e.vectors(signature.args[4], w, p)]
        new = []
        for r, row in enumerate(cgutils.unpack_tuple(builder, rows)):
            value = e.splat(builder.load(e.at(signature.args[1], x, row, i)))
            new += [e.multiply_add(value, v, old[r * VECTORS + c]) for c, v in enumerate(weights)]
        return context.make_tuple(builder, signature.return_type, new)

    return acc(acc, x, rows, types.intp, w, types.intp), emit


def _entrywise(emit_one: Any) -> Any:
    """Tiles to a tile: emit_one(e, *values) for every vector; what is no tile is a scalar, made a vector."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile = signature.return_type
        e = _Emit(context, builder, tile.dtype.dtype)
        columns = [
            cgutils.unpack_tuple(builder, a) if kind == tile else [e.splat(a)] * len(tile)
            for kind, a in zip(signature.args, arguments)
        ]
        return context.make_tuple(builder, tile, [emit_one(e, *values) for values in zip(*columns)])

    return emit


@intrinsic
def plus(typing: Any, a: Any, b: Any) -> Any:
    """a + b."""
    return a(a, b), _entrywise(lambda e, a, b: e.b.fadd(a, b))


@intrinsic
def times(typing: Any, a: Any, scalar: Any) -> Any:
    """a * scalar, of the tile's dtype."""
    return a(a, a.dtype.dtype), _entrywise(lambda e, a, scalar: e.b.fmul(a, scalar))


@intrinsic
def choose(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """b where a > 0, else c (also where a is NaN)."""

    def emit_one(e: _Emit, a: Any, b: Any, c: Any) -> Any:
        return e.b.select(e.b.fcmp_ordered(">", a, ir.Constant(e.vector, None)), b, c)

    return a(a, b, c), _entrywise(emit_one)


@intrinsic
def at_least(typing: Any, a: Any, floor: Any) -> Any:
    """max(a, floor), NaN kept; floor is a scalar of the tile's dtype."""

    def emit_one(e: _Emit, a: Any, floor: Any) -> Any:
        return e.b.select(e.b.fcmp_ordered("<", a, floor), floor, a)

    return a(a, a.dtype.dtype), _entrywise(emit_one)


@intrinsic
def get(typing: Any, y: Any, rows: Any, q: Any, n: Any) -> Any:
    """A tile of y[rows[r] + q : + n], with zeros from column n."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        y, rows, q, n = arguments
        e = _Emit(context, builder, signature.args[0].dtype)
        pointers = [p for row in cgutils.unpack_tuple(builder, rows) for p in e.vectors(signature.args[0], y, row, q)]
        with builder.if_else(e.whole(n), likely=True) as (full, ragged):
            with full:
                loaded, where = [e.load(p) for p in pointers], builder.block
            with ragged:
                masks = e.masks(n) * (len(pointers) // VECTORS)
                some, elsewhere = [e.masked_load(p, m) for p, m in zip(pointers, masks)], builder.block
        values = []
        for a, b in zip(loaded, some):
            phi = builder.phi(e.vector)
            phi.add_incoming(a, where)
            phi.add_incoming(b, elsewhere)
            values.append(phi)
        return context.make_tuple(builder, signature.return_type, values)

    return _tile(y.dtype, rows)(y, rows, types.intp, types.intp), emit


@intrinsic
def put(typing: Any, acc: Any, y: Any, rows: Any, q: Any, n: Any) -> Any:
    """y[rows[r] + q : + n] = acc[r, :n]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        acc, y, rows, q, n = arguments
        e = _Emit(context, builder, signature.args[1].dtype)
        values = cgutils.unpack_tuple(builder, acc)
        pointers = [p for row in cgutils.unpack_tuple(builder, rows) for p in e.vectors(signature.args[1], y, row, q)]
        with builder.if_else(e.whole(n), likely=True) as (full, ragged):
            with full:
                for value, pointer in zip(values, pointers):
                    e.store(value, pointer)
            with ragged:
                masks = e.masks(n) * (len(pointers) // VECTORS)
                for value, pointer, mask in zip(values, pointers, masks):
                    e.masked_store(value, pointer, mask)
        return context.get_dummy_value()

    return types.void(acc, y, rows, types.intp, types.intp), emit
