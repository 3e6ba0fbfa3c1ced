"""What threads talk through: 64-bit words at addresses, read and changed by atomic instructions, as Numba functions.

load(at), store(at, value)        a load acquires, a store releases: who loads a stored value sees all that its
                                  writer wrote before
swap(at, value), add(at, value)   change a word and return what it held; in one order that all threads agree on
exchanged(at, old, new)           put `new` where `old` still is, and whether it was
fence()                           between a store and a load: of two threads that each store, fence and load the
                                  other's word, one sees the other's store
pause()                           tell the core that this loop only waits
call(function, first, last, data) call the C function at an address
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WORD = ir.IntType(64)
X86, ARM = ("x86_64", "amd64"), ("aarch64", "arm64")
UNITS = ir.FunctionType(ir.VoidType(), [WORD] * 3)


def _pointer(builder: Any, at: Any) -> Any:
    return builder.inttoptr(at, WORD.as_pointer())


def _emitted(returns: Any, count: int, emit: Callable[..., Any]) -> Any:
    """The type and the emitter of an intrinsic of `count` words; emit(builder, *words) returns its value, or None."""

    def write(context: Any, builder: Any, signature: Any, words: Any) -> Any:
        value = emit(builder, *words)
        return context.get_dummy_value() if value is None else value

    return returns(*[types.int64] * count), write


@intrinsic
def load(typing: Any, at: Any) -> Any:
    """The word at an address."""
    return _emitted(types.int64, 1, lambda b, at: b.load_atomic(_pointer(b, at), "acquire", 8))


@intrinsic
def store(typing: Any, at: Any, value: Any) -> Any:
    """Set a word."""

    def emit(b: Any, at: Any, value: Any) -> None:
        b.store_atomic(value, _pointer(b, at), "release", 8)

    return _emitted(types.void, 2, emit)


@intrinsic
def swap(typing: Any, at: Any, value: Any) -> Any:
    """Set a word; returns what it held."""
    return _emitted(types.int64, 2, lambda b, at, value: b.atomic_rmw("xchg", _pointer(b, at), value, "seq_cst"))


@intrinsic
def add(typing: Any, at: Any, value: Any) -> Any:
    """Add to a word; returns what it held."""
    return _emitted(types.int64, 2, lambda b, at, value: b.atomic_rmw("add", _pointer(b, at), value, "seq_cst"))


@intrinsic
def exchanged(typing: Any, at: Any, old: Any, new: Any) -> Any:
    """Set a word to `new` if it is `old`; returns whether it was."""

    def emit(b: Any, at: Any, old: Any, new: Any) -> Any:
        return b.extract_value(b.cmpxchg(_pointer(b, at), old, new, "seq_cst"), 1)

    return _emitted(types.boolean, 3, emit)


@intrinsic
def fence(typing: Any) -> Any:
    """Order the stores before it and the loads after it, among the fences of all threads."""

    def emit(b: Any) -> None:
        b.fence("seq_cst")

    return _emitted(types.void, 0, emit)


@intrinsic
def pause(typing: Any) -> Any:
    """A moment of waiting: some tens of cycles in which the core saves power or serves its other thread."""

    def emit(b: Any) -> None:
        machine = platform.machine().lower()
        if machine in X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            b.call(cgutils.get_or_insert_function(b.module, kind, "llvm.x86.sse2.pause"), [])
        elif machine in ARM:
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            b.call(cgutils.get_or_insert_function(b.module, kind, "llvm.aarch64.hint"), [ir.IntType(32)(1)])

    return _emitted(types.void, 0, emit)


@intrinsic
def call(typing: Any, function: Any, first: Any, last: Any, data: Any) -> Any:
    """void function(int64 first, int64 last, int64 data), called at its address."""

    def emit(b: Any, function: Any, *words: Any) -> None:
        b.call(b.inttoptr(function, UNITS.as_pointer()), words)

    return _emitted(types.void, 4, emit)
