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
    turn(x, i, step, y, q, n)     y[q + r * n + c] = x[i + r + c * step], r, c below the length of a vector
    distance(x, z)                elements from x[0] to z[0]: with it, a row of x may lie in another array
    line(x)                       elements in a line of the cache
    prefetch(x, rows, i)          have the lines of x[rows[r] + i] brought near, to be read soon

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

from functools import partial
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

LINE = 64  # bytes of a cache line

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


class Emit:
    """Writes the IR of one operation: the pieces that all of them share.  A tile is a list of vectors, row by row."""

    def __init__(self, context: Any, builder: Any, dtype: types.Float):
        self.context, self.b, self.dtype = context, builder, dtype
        self.vector = Vector(dtype).ir
        self.length = self.vector.count
        self.columns = VECTORS * self.length

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

    def masked_loads(self, pointers: list[Any], mask: Any, others: list[Any]) -> list[Any]:
        rest = ir.IntType(32)(self.dtype.bitwidth // 8), mask
        return [self.call("masked.load", p, *rest, v, returns=self.vector, of=".p0") for p, v in zip(pointers, others)]

    def masked_store(self, value: Any, pointer: Any, mask: Any) -> None:
        align = ir.IntType(32)(self.dtype.bitwidth // 8)
        self.call("masked.store", value, pointer, align, mask, returns=ir.VoidType(), of=".p0")

    def whole(self, n: Any) -> Any:
        """Whether all columns of a tile are below column n."""
        return self.b.icmp_signed(">=", n, INDEX(VECTORS * self.length))

    def masks(self, n: Any) -> list[Any]:
        """For each vector of a row, which of its lanes are below column n."""
        n, starts = self.splat(n), range(0, self.columns, self.length)
        return [self.b.icmp_signed("<", ir.Constant(n.type, [*range(c, c + self.length)]), n) for c in starts]

    def when(self, condition: Any, values: list[Any], change: Any) -> list[Any]:
        """change(values) where the condition holds, else the values."""
        before = self.b.block
        with self.b.if_then(condition):
            changed, after = change(values), self.b.block
        return self._joined((values, before), (changed, after))

    def get(self, kind: Any, array: Any, rows: list[Any], q: Any, n: Any) -> list[Any]:
        """The vectors array[row + q : + n] for every row, with zeros from column n."""
        pointers = [p for row in rows for p in self.vectors(kind, array, row, q)]
        with self.b.if_else(self.whole(n), likely=True) as (full, ragged):
            with full:
                loaded, where = [self.load(p) for p in pointers], self.b.block
            with ragged:
                some = [ir.Constant(self.vector, None)] * len(pointers)
                for c, mask in enumerate(self.masks(n)):
                    load = partial(self.masked_loads, pointers[c::VECTORS], mask)
                    reached = self.b.icmp_signed(">", n, INDEX(c * self.length))  # a load of nothing takes as long
                    some[c::VECTORS] = self.when(reached, some[c::VECTORS], load)
                elsewhere = self.b.block
        return self._joined((loaded, where), (some, elsewhere))

    def put(self, values: list[Any], kind: Any, array: Any, rows: list[Any], q: Any, n: Any) -> None:
        """array[row + q : + n] = the values, for every row."""
        pointers = [p for row in rows for p in self.vectors(kind, array, row, q)]
        with self.b.if_else(self.whole(n), likely=True) as (full, ragged):
            with full:
                for value, pointer in zip(values, pointers):
                    self.store(value, pointer)
            with ragged:
                for value, pointer, mask in zip(values, pointers, self.masks(n) * len(rows)):
                    self.masked_store(value, pointer, mask)

    def prefetch(
        self, kind: Any, array: Any, rows: list[Any], ends: list[Any], *, writes: bool, nearest: bool = True
    ) -> None:
        """Have the lines of array[row + end] brought into the nearest cache, or else into the second."""
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        signature = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        hint = cgutils.get_or_insert_function(self.b.module, signature, "llvm.prefetch.p0")
        for row in rows:
            for end in ends:
                pointer = self.b.bitcast(self.at(kind, array, row, end), byte)
                self.b.call(hint, [pointer, word(int(writes)), word(3 if nearest else 2), word(1)])

    def _joined(self, *ways: tuple[list[Any], Any]) -> list[Any]:
        """The values of the block that control came from."""
        joined = [self.b.phi(self.vector) for _ in ways[0][0]]
        for values, block in ways:
            for phi, value in zip(joined, values):
                phi.add_incoming(value, block)
        return joined


def _tile(dtype: types.Float, rows: types.UniTuple) -> types.UniTuple:
    return types.UniTuple(Vector(dtype), len(rows) * VECTORS)


@intrinsic
def width(typing: Any, x: Any) -> Any:
    """Columns of a tile for the dtype of x."""
    columns = VECTORS * BYTES // (x.dtype.bitwidth // 8)
    return types.intp(x), lambda context, builder, signature, arguments: INDEX(columns)


@intrinsic
def line(typing: Any, x: Any) -> Any:
    """Elements of x in a line of the cache."""
    elements = LINE // (x.dtype.bitwidth // 8)
    return types.intp(x), lambda context, builder, signature, arguments: INDEX(elements)


@intrinsic
def read(typing: Any, a: Any, i: Any) -> Any:
    """a[i]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(Emit(context, builder, types.float32).at(signature.args[0], *arguments))

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
        e = Emit(context, builder, types.float32)
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
        e = Emit(context, builder, x.dtype)
        ends = [e.at(kind, array, INDEX(0)) for kind, array in zip(signature.args, arguments)]
        start, end = (builder.ptrtoint(pointer, INDEX) for pointer in ends)
        return builder.sdiv(builder.sub(end, start), INDEX(x.dtype.bitwidth // 8))

    return types.intp(x, z), emit


@intrinsic
def prefetch(typing: Any, x: Any, rows: Any, i: Any) -> Any:
    """Have the lines of x[rows[r] + i] brought near: a hint, harmless for any address."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, rows, i = arguments
        e = Emit(context, builder, signature.args[0].dtype)
        e.prefetch(signature.args[0], x, cgutils.unpack_tuple(builder, rows), [i], writes=False)
        return context.get_dummy_value()

    return types.void(x, rows, types.intp), emit


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
        e = Emit(context, builder, w.dtype)
        row = [e.load(pointer) for pointer in e.vectors(signature.args[0], *arguments[:2])]
        return context.make_tuple(builder, tile, row * len(rows))

    return tile(w, types.intp, rows), emit


@intrinsic
def rank1(typing: Any, acc: Any, x: Any, rows: Any, i: Any, w: Any, p: Any) -> Any:
    """acc[r, :] += x[rows[r] + i] * w[p : p + width]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        acc, x, rows, i, w, p = arguments
        e = Emit(context, builder, signature.args[1].dtype)
        old = cgutils.unpack_tuple(builder, acc)
        weights = [e.load(pointer) for pointer in e.vectors(signature.args[4], w, p)]
        new = []
        for r, row in enumerate(cgutils.unpack_tuple(builder, rows)):
            value = e.splat(builder.load(e.at(signature.args[1], x, row, i)))
            new += [e.multiply_add(value, v, old[r * VECTORS + c]) for c, v in enumerate(weights)]
        return context.make_tuple(builder, signature.return_type, new)

    return acc(acc, x, rows, types.intp, w, types.intp), emit


@intrinsic
def plus(typing: Any, a: Any, b: Any) -> Any:
    """a + b."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = (cgutils.unpack_tuple(builder, tile) for tile in arguments)
        return context.make_tuple(builder, signature.return_type, [builder.fadd(x, y) for x, y in zip(a, b)])

    return a(a, b), emit


@intrinsic
def get(typing: Any, y: Any, rows: Any, q: Any, n: Any) -> Any:
    """A tile of y[rows[r] + q : + n], with zeros from column n."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        y, rows, q, n = arguments
        e, kind = Emit(context, builder, signature.args[0].dtype), signature.args[0]
        values = e.get(kind, y, cgutils.unpack_tuple(builder, rows), q, n)
        return context.make_tuple(builder, signature.return_type, values)

    return _tile(y.dtype, rows)(y, rows, types.intp, types.intp), emit


@intrinsic
def put(typing: Any, acc: Any, y: Any, rows: Any, q: Any, n: Any) -> Any:
    """y[rows[r] + q : + n] = acc[r, :n]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        acc, y, rows, q, n = arguments
        e, kind = Emit(context, builder, signature.args[1].dtype), signature.args[1]
        e.put(cgutils.unpack_tuple(builder, acc), kind, y, cgutils.unpack_tuple(builder, rows), q, n)
        return context.get_dummy_value()

    return types.void(acc, y, rows, types.intp, types.intp), emit


@intrinsic
def turn(typing: Any, x: Any, i: Any, step: Any, y: Any, q: Any, n: Any) -> Any:
    """y[q + r * n + c] = x[i + r + c * step] for r, c below the length of a vector: a square block transposed.

    Rows are interleaved with those half the square away, log2(length) times.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, i, step, y, q, n = arguments
        e = Emit(context, builder, signature.args[0].dtype)
        size = e.length

        def place(kind: Any, array: Any, start: Any, stride: Any, row: int) -> Any:
            at = e.at(kind, array, start, builder.mul(stride, INDEX(row)))
            return builder.bitcast(at, e.vector.as_pointer())

        rows = [e.load(place(signature.args[0], x, i, step, row)) for row in range(size)]
        masks = [
            ir.Constant(ir.VectorType(ir.IntType(32), size), [at + lane for at in half for lane in (0, size)])
            for half in (range(size // 2), range(size // 2, size))
        ]
        for _ in range(size.bit_length() - 1):
            pairs = zip(rows[: size // 2], rows[size // 2 :])
            rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in masks]
        for row, value in enumerate(rows):
            e.store(value, place(signature.args[3], y, q, n, row))
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, y, types.intp, types.intp), emit
