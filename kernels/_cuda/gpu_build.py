"""Compiles the text of a .cu file for the GPU that is there and loads it, once for each text.

With CuPy's NVRTC, but not as cupy.RawModule does: that adds -ftz=true behind whatever options it is given (CuPy 14,
cupy/cuda/compiler.py), so a GPU would flush the denormals that the CPU keeps, and it wants CUDA's headers, of which
the kernels need none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from .._folder import caches, keep, kept, opened
from .compilers import OPTIONS


def folder() -> Path:
    """Where the compiled files are kept."""
    return caches() / "cuda"


@cache
def function(text: str, name: str) -> Callable[..., None]:
    """A kernel of the text: f(grid, block, args, shared_mem=bytes) launches on CuPy's current stream."""
    return _module(text).get_function(name)


@cache
def _module(text: str) -> Any:
    import cupy

    made = cupy.cuda.Module()
    made.load(_cubin(text))
    return made


def _cubin(text: str) -> bytes:
    """The machine's code.  Raises CuPy's CompileException with NVRTC's words where it refuses."""
    import cupy
    from cupy.cuda import compiler, nvrtc

    of = cupy.cuda.Device().compute_capability, nvrtc.getVersion(), OPTIONS, text
    path = opened(folder()) / f"{hashlib.sha256(repr(of).encode()).hexdigest()[:32]}.cubin"
    made = kept(path)
    if made is None:
        made, _ = compiler.compile_using_nvrtc(text, OPTIONS)
        keep(path, made)
    return made
