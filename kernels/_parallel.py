"""A parallel loop as one call: body(unit, *arguments) for every unit below a count, on the pool of threads (`_pool`).

Numba's own `prange` analyses, outlines and wraps each loop anew: a second and more of compilation a kernel, beside the
serial twin that small work needs.  Here the body is compiled once, into a worker of a few instructions that runs a
range of units: a serial call runs it on the whole range, a parallel one hands its address to the pool.

A loop may also be kept instead of run, as a *job*: some words of memory with the worker's address, the count, whether
it is serial, and the arguments.  The pool runs many of them in one call (`_jobs`), without Python between.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler import compile_internal
from numba.core.targetconfig import ConfigStack
from numba.extending import intrinsic

from ._atomic import UNITS, WORD
from ._pool import DATA_OF_JOB, pool

LAUNCH = ir.FunctionType(ir.VoidType(), [WORD] * 4)


def link() -> None:
    """Define the symbols that compiled loops are linked to."""
    pool.link()


@intrinsic
def for_units(typing: Any, serial: Any, count: Any, body: Any, arguments: Any) -> Any:
    """body(unit, *arguments) for unit = 0, ..., count - 1, in this order if `serial`, else in parallel.

    A unit writes only to places of its own.  RuntimeError where one of them failed (was out of memory).
    """
    inner = types.none(types.intp, *arguments.types)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _Loop(context, builder, inner, signature.args, values).run()
        return context.get_dummy_value()

    return types.void(types.boolean, types.intp, body, arguments), emit


@intrinsic
def run_or_keep(typing: Any, place: Any, serial: Any, count: Any, body: Any, arguments: Any) -> Any:
    """`for_units` where place is 0, else its job, written to memory at this address; returns the bytes of the job.

    A kept job does not keep its arrays alive.
    """
    inner = types.none(types.intp, *arguments.types)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place, *values = values
        loop = _Loop(context, builder, inner, signature.args[1:], values)
        with builder.if_else(builder.icmp_signed("==", place, WORD(0))) as (at_once, later):
            with at_once:
                loop.run()
            with later:
                loop.keep(place)
        return WORD(DATA_OF_JOB + context.get_abi_sizeof(loop.kind))

    return types.int64(types.int64, types.boolean, types.intp, body, arguments), emit


class _Loop:
    """Writes one loop: its worker, and what runs or keeps it.  What its threads share is `kind`: a word that tells of
    failure, then the arguments."""

    def __init__(self, context: Any, builder: Any, inner: Any, kinds: Any, values: Any):
        self.context, self.builder, self.kinds = context, builder, kinds
        self.serial, self.count, _, self.arguments = values
        library = context.active_code_library
        link()
        library._reload_init.add(link)  # before a process that finds this in the cache links it
        compiled = _compiled_into(library, context, kinds[2].dispatcher.py_func, inner)
        self.kind = ir.LiteralStructType([WORD, self.arguments.type])
        self.worker = ir.Function(builder.module, UNITS, builder.module.get_unique_name("units"))
        self.worker.linkage = "internal"
        _write_worker(context, self.worker, self.kind, compiled, inner)

    def share(self, shared: Any, arguments: Any) -> None:
        self.builder.store(WORD(0), cgutils.gep_inbounds(self.builder, shared, 0, 0))
        self.builder.store(arguments, cgutils.gep_inbounds(self.builder, shared, 0, 1))

    def run(self) -> None:
        context, builder = self.context, self.builder
        shared = cgutils.alloca_once(builder, self.kind)
        self.share(shared, self.arguments)
        data = builder.ptrtoint(shared, WORD)
        with builder.if_else(context.is_true(builder, self.kinds[0], self.serial)) as (in_order, in_parallel):
            with in_order:
                builder.call(self.worker, [WORD(0), self.count, data])
            with in_parallel:
                launch = cgutils.get_or_insert_function(builder.module, LAUNCH, "tinygen_launch")
                block = builder.ptrtoint(context.get_c_value(builder, WORD, "tinygen_pool"), WORD)
                builder.call(launch, [builder.ptrtoint(self.worker, WORD), data, self.count, block])
        failed = builder.load(cgutils.gep_inbounds(builder, shared, 0, 0))
        with cgutils.if_unlikely(builder, builder.icmp_signed("!=", failed, WORD(0))):
            context.call_conv.return_user_exc(builder, RuntimeError, ("a unit of a parallel loop failed",))

    def keep(self, place: Any) -> None:
        builder = self.builder
        serial = builder.zext(self.context.is_true(builder, self.kinds[0], self.serial), WORD)
        words = builder.inttoptr(place, WORD.as_pointer())
        for i, word in enumerate((builder.ptrtoint(self.worker, WORD), self.count, serial)):
            builder.store(word, builder.gep(words, [WORD(i)]))
        shared = builder.inttoptr(builder.add(place, WORD(DATA_OF_JOB)), self.kind.as_pointer())
        self.share(shared, _unowned(self.context, builder, self.kinds[3], self.arguments))


def _unowned(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """The value without its arrays' owners, whose counts nobody would keep: they belong to the call that made them."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value=value)
        for owner in ("meminfo", "parent"):
            setattr(array, owner, cgutils.get_null_value(getattr(array, owner).type))
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        for i, part in enumerate(kind.types):
            one = _unowned(context, builder, part, builder.extract_value(value, i))
            value = builder.insert_value(value, one, i)
    return value


def _compiled_into(library: Any, context: Any, body: Any, signature: Any) -> Any:
    """The body as a function of the library that is being built.

    Compiled by its dispatcher it would be a library of its own: optimised and made into machine code twice, once for
    nobody, with a wrapper to be called from Python.
    """
    flags = ConfigStack.top_or_none().copy()
    flags.no_compile = flags.no_cpython_wrapper = True
    compiled = compile_internal(
        context.typing_context, context, library, body, signature.args, signature.return_type, flags, {}
    )
    library.get_function(compiled.fndesc.mangled_name).linkage = "linkonce_odr"  # drop it where it was inlined
    return compiled


def _write_worker(context: Any, worker: Any, kind: Any, compiled: Any, inner: Any) -> None:
    """void worker(int64 first, int64 last, int64 data): the units from first to before last."""
    builder = ir.IRBuilder(worker.append_basic_block())
    first, last, data = worker.args
    shared = builder.inttoptr(data, kind.as_pointer())
    arguments = cgutils.unpack_tuple(builder, builder.load(cgutils.gep_inbounds(builder, shared, 0, 1)))
    with cgutils.for_range(builder, builder.sub(last, first), intp=WORD) as loop:
        at = builder.add(first, loop.index)
        status, _ = context.call_internal_no_propagate(builder, compiled.fndesc, inner, [at, *arguments])
        with cgutils.if_unlikely(builder, status.is_error):
            builder.store(WORD(1), cgutils.gep_inbounds(builder, shared, 0, 0))
    builder.ret_void()
