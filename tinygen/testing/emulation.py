"""CUDA without a GPU, for tests: kernels compiled for the host, threads in any order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..kernels import _devices
from ..kernels._cuda.host_build import compiler
from ..kernels._cuda.launcher import schedule


@contextmanager
def emulated_cuda(order: int = 0) -> Iterator[None]:
    """`with emulated_cuda():` "cuda" is a device emulated on the host, where every .cu file runs as it is.

    order: of the threads of a block, and of blocks: 0 by index, -1 reversed, above 0 shuffled with that seed.  A kernel
    gives the same bits in all orders, or lacks a barrier.  Needs g++; raises CompilerMissing, saying so.
    """
    compiler()
    with _devices.emulated(), schedule(order):
        yield
