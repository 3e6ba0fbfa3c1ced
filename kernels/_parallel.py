"""A parallel loop as one call: body(unit, *arguments) for every unit below a count, on Numba's pool of threads.

Numba's own `prange` analyses, outlines and wraps each loop anew: a second and more of compilation a kernel, beside the
serial twin that small work needs.  Here the body is compiled once, into a worker of a few instructions that runs a
range of units; a serial call runs it on the whole range, a parallel one hands it to the same pool that `prange` uses.

Idle threads of the pool sleep, unless OMP_WAIT_POLICY says otherwise.  GNU's OpenMP lets them spin: measured with two
threads on two cores, an exp of 65,536 numbers then took 19 us where nothing else ran and 4,200 us (in one launch of
ten 16,000) where other processes did; asleep, 39 and 120 us.  Spins of 100 to 100,000 rounds were no better than sleep.
"""

from __future__ import annotations

import os
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when the pool starts

BYTES = ir.IntType(8).as_pointer()
INDEX = ir.IntType(types.intp.bitwidth)
WORKER = ir.FunctionType(ir.VoidType(), [BYTES.as_pointer(), INDEX.as_pointer(), INDEX.as_pointer(), BYTES])
POOL = ir.FunctionType(ir.VoidType(), [BYTES] * 5 + [INDEX] * 3)


def start_threads() -> None:
    """Start Numba's pool, which defines the symbols that compiled loops are linked to."""
    numba.get_num_threads()


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
        start_threads()
        library._reload_init.add(start_threads)  # before a process that finds this in the cache links it
        compiled = body.dispatcher.get_compile_result(inner)
        library.add_linking_library(compiled.library)

        # what the threads share: the arguments, and whether one failed
        kind = ir.LiteralStructType([arguments.type, ir.IntType(1)])
        shared = cgutils.alloca_once(builder, kind)
        builder.store(arguments, cgutils.gep_inbounds(builder, shared, 0, 0))
        failed = cgutils.gep_inbounds(builder, shared, 0, 1)
        builder.store(cgutils.false_bit, failed)

        module = builder.module
        worker = ir.Function(module, WORKER, module.get_unique_name("units"))
        worker.linkage = "internal"
        _write_worker(context, worker, kind, compiled, inner)

        # the pool takes arrays and steps as a ufunc does: from the address 0 in steps of 1, an address is a unit
        one, zero = cgutils.alloca_once_value(builder, INDEX(1)), ir.Constant(BYTES, None)
        first, total = cgutils.alloca_once_value(builder, zero), cgutils.alloca_once_value(builder, count)
        data = builder.bitcast(shared, BYTES)
        with builder.if_else(context.is_true(builder, signature.args[0], serial)) as (in_order, in_parallel):
            with in_order:
                builder.call(worker, [first, total, one, data])
            with in_parallel:
                threads_of = cgutils.get_or_insert_function(module, ir.FunctionType(INDEX, []), "get_num_threads")
                pool = cgutils.get_or_insert_function(module, POOL, "numba_parallel_for")
                pointers = [builder.bitcast(p, BYTES) for p in (worker, first, total, one, data)]
                builder.call(pool, [*pointers, INDEX(1), INDEX(1), builder.call(threads_of, [])])
        with cgutils.if_unlikely(builder, builder.load(failed)):
            context.call_conv.return_user_exc(builder, RuntimeError, ("a unit of a parallel loop failed",))
        return context.get_dummy_value()

    return types.void(types.boolean, types.intp, body, arguments), emit


def _write_worker(context: Any, worker: Any, kind: Any, compiled: Any, inner: Any) -> None:
    """void worker(char **first, intp *count, intp *step, void *shared): the units first, first + step, ..."""
    builder = ir.IRBuilder(worker.append_basic_block())
    first, count, step, data = worker.args
    unit, stride = builder.ptrtoint(builder.load(first), INDEX), builder.load(step)
    shared = builder.bitcast(data, kind.as_pointer())
    arguments = cgutils.unpack_tuple(builder, builder.load(cgutils.gep_inbounds(builder, shared, 0, 0)))
    with cgutils.for_range(builder, builder.load(count), intp=INDEX) as loop:
        at = builder.add(unit, builder.mul(loop.index, stride))
        status, _ = context.call_internal_no_propagate(builder, compiled.fndesc, inner, [at, *arguments])
        with cgutils.if_unlikely(builder, status.is_error):
            builder.store(cgutils.true_bit, cgutils.gep_inbounds(builder, shared, 0, 1))
    builder.ret_void()
