"""The only place with njit options, the compilation cache, and the rule for splitting work.

Reductions are split into chunks whose number depends on the shape alone, never on the number of threads, and the
partial results are combined in order: the same bits on one thread and on sixteen.  A `prange` loop writes only to
places owned by its own index.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
from numba import prange

__all__ = ["CHUNK", "cache_folder", "chunks", "inlined", "jit", "pjit", "prange", "specialised"]

CHUNK = 1 << 14  # elements per unit of parallel work: long enough to hide a parallel call (1.6 us), short enough for L2


def _sources_hash() -> str:
    """Numba's cache watches one file per function and would miss an edit of a helper: key the folder by all of them."""
    # under the package's name too: entries refer to modules by name, and a copy under another name would spoil them
    digest = hashlib.sha256(f"{__name__} {numba.__version__} {sys.version_info[:2]}".encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled kernels of these sources are kept; private to the user, for Numba's cache files are pickles."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TINYGEN_CACHE") or Path(home) / "tinygen") / "kernels" / _sources_hash()


_FOLDER = cache_folder()


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    _FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(_FOLDER)
    try:  # the cache's place is fixed here, when the function is decorated; the user's own Numba code keeps its own
        return numba.njit(cache=True, error_model="numpy", **options)(function)
    finally:
        numba.config.CACHE_DIR = before


def jit(function: Callable[..., Any]) -> Any:
    """Compile a serial function.  IEEE arithmetic as written: no fastmath."""
    return _compile(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a small function that is always inlined: a loop over it can vectorise, where a call would prevent it."""
    return _compile(function, forceinline=True)


def pjit(function: Callable[..., Any]) -> Any:
    """Compile a function with `prange` loops; each iteration owns what it writes."""
    return _compile(function, parallel=True)


def specialised(loop: Callable[..., Any], name: str, **bound: Any) -> Callable[..., Any]:
    """A copy of `loop`, named for `name`, with more globals: one loop written once, compiled for many formulas.

    A closure over a compiled function would miss Numba's cache in every process; a global one does not.
    """
    copy = FunctionType(loop.__code__, {**loop.__globals__, **bound}, f"{loop.__name__}_{name}")
    copy.__qualname__ = copy.__name__  # Numba's cache files are named by it
    return copy


@jit
def chunks(n: int) -> int:
    """How many chunks of CHUNK elements cover n: the number of units of a parallel loop over n elements."""
    return (n + CHUNK - 1) // CHUNK
