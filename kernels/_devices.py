"""What differs by device: where an array lives, who makes new ones beside it, and how it comes back.

An array is a numpy.ndarray ("cpu"), or on "cuda" a cupy.ndarray; where a GPU is emulated it is a `HostArray`.  The
emulation is asked for, with TINYGEN_CUDA=host or `emulated`, and never chosen: it is a thousand times slower.
"""

from __future__ import annotations

import importlib.util
import os
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ._context import holding

Array = Any  # numpy.ndarray, cupy.ndarray or HostArray

_emulated: ContextVar[bool | None] = ContextVar("tinygen_cuda_emulated", default=None)


class DeviceError(RuntimeError):
    """Arrays of different devices met in one call, or a device has no kernel of that name, or is not there."""


def device_of(array: Array) -> str:
    """ "cpu" or "cuda", by the type of the array."""
    kind = type(array)
    on_cuda = kind is not np.ndarray and (kind.__module__.partition(".")[0] == "cupy" or kind.__name__ == "HostArray")
    return "cuda" if on_cuda else "cpu"


def beside(array: Array) -> Any:
    """The module whose empty, zeros, ones, full and asarray make arrays where this one lives."""
    if device_of(array) == "cpu":
        return np
    return importlib.import_module(
        "cupy" if type(array).__module__.startswith("cupy") else f"{__package__}._cuda.host_array"
    )


def there(device: str) -> Any:
    """The same for a device by name.  Raises DeviceError, saying what is missing, where it is not there."""
    if device == "cpu":
        return np
    if device != "cuda":
        raise DeviceError(f"device: {device!r} is neither 'cpu' nor 'cuda'.")
    if emulating():
        return importlib.import_module(f"{__package__}._cuda.host_array")
    missing = _missing()
    if missing:
        raise DeviceError(f"device: {missing} Use device='cpu'.")
    return importlib.import_module("cupy")


def to_numpy(array: Array) -> np.ndarray:
    """The array itself, or a copy of one from another device."""
    return np.asarray(array) if device_of(array) == "cpu" else array.get()


def moved(array: Array, device: str) -> Array:
    """The array on a device by name: itself where it is there, else a copy.  Raises DeviceError as `there` does."""
    # in C's order: CuPy would keep Fortran's
    return array if device_of(array) == device else there(device).asarray(np.asarray(to_numpy(array), order="C"))


def constant(array: Array, values: np.ndarray) -> Array:
    """`values` beside an array, not to be written to: a GPU gets the same ones but once."""
    if type(array) is np.ndarray:
        return values
    return _constant(beside(array), values.tobytes(), values.dtype, values.shape)


@lru_cache(maxsize=1024)
def _constant(module: Any, values: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> Array:
    return module.asarray(np.frombuffer(values, dtype).reshape(shape))


def within(memory: Array, at: int, shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...]) -> Array:
    """The array that begins `at` bytes into a flat array of bytes, and shares its memory."""
    if type(memory) is np.ndarray:
        return np.ndarray(shape, dtype, memory, at, strides)
    return beside(memory).ndarray(shape, dtype, memory.data + at, strides)


def address(array: Array) -> int:
    """Where the first entry lies, in the memory of its device."""
    return array.ctypes.data if type(array) is np.ndarray else array.data.ptr


def emulating() -> bool:
    """Whether "cuda" is the emulated device here."""
    asked = _emulated.get()
    return os.environ.get("TINYGEN_CUDA") == "host" if asked is None else asked


def emulated(on: bool = True) -> AbstractContextManager[None]:
    """`with emulated():` "cuda" is the emulated device, whatever there is."""
    return holding(_emulated, on)


@cache
def _missing() -> str | None:
    """What CUDA lacks on this machine."""
    if importlib.util.find_spec("cupy") is None:
        return "'cuda' needs a GPU and CuPy: pip install 'tinygen[cuda13]', or tinygen[cuda12] for a driver of CUDA 12."
    try:
        import cupy
    except Exception as error:  # of what it is built on: a library of CUDA that does not load, another NumPy
        return f"CuPy is installed and does not load ({type(error).__name__}): `tinygen doctor` tells what mends it."
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy finds no CUDA GPU ({error}): `tinygen doctor` tells what is missing."
    return None if count else "CuPy finds no CUDA GPU: `tinygen doctor` tells what is missing."
