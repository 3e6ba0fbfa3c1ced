"""A parallel loop as one call: body(unit, *arguments) for every unit below a count, on the pool of threads (`_pool`).

Numba's own `prange` analyses, outlines and wraps each loop anew: a second and more of compilation a kernel, beside the
serial twin that small work needs.  Here the body is compiled once, into a worker of a few instructions that runs a
range of units: a serial call runs it on the whole range, a parallel one hands its address to the pool.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._atomic import UNITS, WORD
from ._pool import pool

LAUNCH = ir.FunctionType(ir.VoidType(), [WORD] * 4)


def link() -> None:
    """Define the symbols that compiled loops are linked to."""
    pool.link()


@intrinsic
def for_units(typing: Any, serial: Any, count: Any, body: Any, arguments: Any) -> Any:
    """body(unit, *arguments) for unit = 0, ..., count - 1, in this order if `serial`, else in parallel.

    A unit writes only to places of its own.  RuntimeError where one of them failed (was out of memory).
    """
    taken = (types.intp, *arguments.types)
    inner = body.get_call_type(typing, taken, {})
    assert (inner.return_type, inner.args) == (types.none, taken), f"{body} is to take {taken} and return nothing"

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        serial, count, _, arguments = values
        library = context.active_code_library
        link()
        library._reload_init.add(link)  # before a process that finds this in the cache links it
        compiled = body.dispatcher.get_compile_result(inner)
        library.add_linking_library(compiled.library)

        # what the threads share: the arguments, and whether one failed
        kind = ir.LiteralStructType([arguments.type, ir.IntType(1)])
        shared = cgutils.alloca_once(builder, kind)
        builder.store(arguments, cgutils.gep_inbounds(builder, shared, 0, 0))
        failed = cgutils.gep_inbounds(builder, shared, 0, 1)
        builder.store(cgutils.false_bit, failed)

        module = builder.module
        worker = ir.Function(module, UNITS, module.get_unique_name("units"))
        worker.linkage = "internal"
        _write_worker(context, worker, kind, compiled, inner)

        data = builder.ptrtoint(shared, WORD)
        with builder.if_else(context.is_true(builder, signature.args[0], serial)) as (in_order, in_parallel):
            with in_order:
                builder.call(worker, [WORD(0), count, data])
            with in_parallel:
                launch = cgutils.get_or_insert_function(module, LAUNCH, "tinygen_launch")
                block = builder.ptrtoint(context.get_c_value(builder, WORD, "tinygen_pool"), WORD)
                builder.call(launch, [builder.ptrtoint(worker, WORD), data, count, block])
        with cgutils.if_unlikely(builder, builder.load(failed)):
            context.call_conv.return_user_exc(builder, RuntimeError, ("a unit of a parallel loop failed",))
        return context.get_dummy_value()

    return types.void(types.boolean, types.intp, body, arguments), emit


def _write_worker(context: Any, worker: Any, kind: Any, compiled: Any, inner: Any) -> None:
    """void worker(int64 first, int64 last, int64 data): the units from first to before last."""
    builder = ir.IRBuilder(worker.append_basic_block())
    first, last, data = worker.args
    shared = builder.inttoptr(data, kind.as_pointer())
    arguments = cgutils.unpack_tuple(builder, builder.load(cgutils.gep_inbounds(builder, shared, 0, 0)))
    with cgutils.for_range(builder, builder.sub(last, first), intp=WORD) as loop:
        at = builder.add(first, loop.index)
        status, _ = context.call_internal_no_propagate(builder, compiled.fndesc, inner, [at, *arguments])
        with cgutils.if_unlikely(builder, status.is_error):
            builder.store(cgutils.true_bit, cgutils.gep_inbounds(builder, shared, 0, 1))
    builder.ret_void()
