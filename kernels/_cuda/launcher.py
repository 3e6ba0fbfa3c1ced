"""One launch of a kernel on its arguments, on a GPU through CuPy or on the host: the arguments decide.

Both take arguments as cuLaunchKernel does: a device array as its pointer, None as a null pointer, a NumPy scalar, or a
NumPy array of a structured dtype and size one for a struct, by value.  A wrong count, width or geometry is refused here
or in `host.h`; on a GPU it would read what lies beside.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import partial
from math import prod
from typing import Any

import numpy as np

from .._context import holding
from .._devices import DeviceError
from .._prepared import effect
from . import gpu_build
from .host_array import HostArray, Memory
from .host_build import library
from .host_stream import enqueue
from .source import Source

Shape = tuple[int, ...]  # of a grid in blocks, or of a block in threads: one to three lengths, x first

GRID = 2**31 - 1, 65535, 65535
BLOCK = 1024, 1024, 64
THREADS, SHARED = 1024, 48 * 1024  # of a block; bytes
ALL = -1  # blocks, in place of the number of one

_schedule: ContextVar[int] = ContextVar("tinygen_cuda_schedule", default=0)
_blocks: ContextVar[str] = ContextVar("tinygen_cuda_blocks", default="all")


def schedule(order: int) -> AbstractContextManager[None]:
    """The order of threads and blocks on the emulated device: 0 by index, -1 reversed, a seed > 0 shuffled."""
    return holding(_schedule, order)


def blocks(which: str) -> AbstractContextManager[None]:
    """Which blocks of a grid run on the emulated device, and on what.

    "all"     one after another
    "apart"   each on the memory as it was before the launch; two that write one byte raise LaunchError, and what one
              reads that another writes is old, for on a GPU it might be
    "last"    the last one alone: for a grid too large to run whole
    """
    return holding(_blocks, which)


class LaunchError(DeviceError):
    """A kernel did on the emulated device what on a GPU would hang, be undefined or overwrite a neighbour."""


def launch(
    source: Source, name: str, grid: Shape, block: Shape, args: tuple[Any, ...], *, shared: int = 0, **types: Any
) -> None:
    """Launch kernel `name` of the source for these types, now or, in a prepared step, at every replay.

    A grid without blocks has nothing to do.  Raises LaunchError for a geometry that no device takes.
    """
    if 0 not in grid:
        effect(Launcher(source, name, grid, block, args, shared=shared, **types))


class Launcher:
    """See `launch`; a call launches."""

    def __init__(
        self,
        source: Source,
        name: str,
        grid: Shape,
        block: Shape,
        args: tuple[Any, ...],
        *,
        shared: int = 0,
        **types: Any,
    ):
        self.name, self.args = name, args
        self.grid, self.block = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
        self._check(shared)
        arrays = [a for a in args if not isinstance(a, np.generic | np.ndarray | None)]
        if all(isinstance(a, HostArray) for a in arrays):
            self._run = partial(enqueue, self._on_host(source.text(host=True, **types), shared))
        else:
            function = gpu_build.function(source.text(host=False, **types), name)
            self._run = partial(function, self.grid, self.block, args, shared_mem=shared)

    def __call__(self) -> None:
        self._run()

    def _check(self, shared: int) -> None:
        threads = self.block[0] * self.block[1] * self.block[2]
        for what, lengths, most in (("grid", self.grid, GRID), ("block", self.block, BLOCK)):
            if any(not 0 < n <= limit for n, limit in zip(lengths, most)):
                raise LaunchError(f"{self.name}: a {what} of {lengths}; at most {most} are possible")
        if threads > THREADS or shared > SHARED:
            raise LaunchError(
                f"{self.name}: a block of {threads} threads and {shared} bytes of shared memory; "
                f"at most {THREADS} and {SHARED} are possible"
            )
        for i, a in enumerate(self.args):
            if type(a) in (int, float, bool) or (isinstance(a, np.ndarray) and a.dtype.names is None):
                raise DeviceError(f"{self.name}: argument {i} is {type(a).__name__}; arrays of the device are wanted")

    def _on_host(self, text: str, shared: int) -> Callable[[], None]:
        function = getattr(library(text), f"launch_{self.name}")
        function.restype = ctypes.c_char_p
        values = [_value(a) for a in self.args]
        pointers = (ctypes.c_void_p * len(values))(*[v.ctypes.data for v in values])
        sizes = (ctypes.c_size_t * len(values))(*[v.nbytes for v in values])
        asked = _Launch(self.grid, self.block, shared, 0, 0, len(values), sizes, pointers)
        memories = [a.memory for a in self.args if isinstance(a, HostArray)]
        count = prod(self.grid)

        def run(kept: Any = values) -> None:
            which = _blocks.get()
            if which == "apart":
                _apart(self.name, launched, count, memories)
            else:
                launched({"all": ALL, "last": count - 1}[which])

        def launched(only: int) -> None:
            asked.schedule, asked.only = _schedule.get(), only
            message = function(ctypes.byref(asked))
            if message:
                raise LaunchError(message.decode())
            for i, memory in enumerate(memories):
                if not memory.intact():
                    raise LaunchError(f"{self.name}: it wrote past an end of array {i}")

        return run


def _apart(name: str, launched: Callable[[int], None], count: int, memories: list[Memory]) -> None:
    """Launch the blocks 0, 1, ... as `blocks` says, and join what they write."""
    distinct = list({id(memory): memory for memory in memories}.values())
    before = [memory.bytes.copy() for memory in distinct]
    after = [old.copy() for old in before]
    writers = [np.full(old.size, -1) for old in before]
    for block in range(count):
        launched(block)
        for memory, old, new, writer in zip(distinct, before, after, writers):
            written = np.flatnonzero(memory.bytes != old)
            if (writer[written] >= 0).any():
                other = writer[written].max()
                raise LaunchError(f"{name}: blocks {other} and {block} write to one place")
            writer[written], new[written] = block, memory.bytes[written]
            memory.bytes[written] = old[written]
    for memory, new in zip(distinct, after):
        memory.bytes[:] = new


class _Launch(ctypes.Structure):
    """`Launch` of host.h."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared", ctypes.c_size_t),
        ("schedule", ctypes.c_longlong), ("only", ctypes.c_longlong), ("given", ctypes.c_size_t),
        ("sizes", ctypes.POINTER(ctypes.c_size_t)), ("values", ctypes.POINTER(ctypes.c_void_p)),
    )  # fmt: skip


def _value(argument: Any) -> np.ndarray:
    """The bytes that stand for an argument."""
    if argument is None or isinstance(argument, HostArray):
        return np.array(0 if argument is None else argument.data.ptr, np.uintp)
    return np.asarray(argument)
