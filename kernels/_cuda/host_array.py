"""The emulated device's array: the part of cupy.ndarray that the engine uses, over memory that NumPy may not see.

It is no numpy.ndarray, and NumPy refuses to convert it, as it refuses a cupy.ndarray: a hidden transfer fails here as
it would on a GPU.  `asarray(a)` and `x.get()` are the transfers.  Fresh memory holds 0xFF bytes (NaN), so entries that
no kernel wrote show, and lies between guards that a launch checks, so a write past the end shows too.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from . import host_stream as cuda  # as CuPy calls it
from .host_build import sanitizer

# bytes on either side, a cache line; none where AddressSanitizer watches every byte
GUARD = 0 if sanitizer() == "address" else 64
PATTERN = b"\xa5" * GUARD


class Pointer(NamedTuple):
    """The address of an entry, where CuPy has it, and the memory that it lies in."""

    ptr: int
    memory: Memory

    def __add__(self, more: int) -> Pointer:  # type: ignore[override]
        return Pointer(self.ptr + more, self.memory)


class Memory:
    """Bytes of the device, guarded."""

    def __init__(self, size: int):
        self.raw = np.full(size + 2 * GUARD + 64, 0xFF, np.uint8) if GUARD else np.full(size, 0xFF, np.uint8)
        start = -(self.raw.ctypes.data + GUARD) % 64 + GUARD if GUARD else 0
        self.bytes = self.raw[start : start + size]
        self.before, self.after = self.raw[start - GUARD : start], self.raw[start + size : start + size + GUARD]
        self.before[:] = self.after[:] = 0xA5

    def intact(self) -> bool:
        """Whether nothing was written around it."""
        return self.before.tobytes() == PATTERN and self.after.tobytes() == PATTERN


class HostArray:
    """See the module's first paragraph.  `memory` is shared by views."""

    __slots__ = ("__weakref__", "_array", "base", "memory")
    __array_ufunc__ = None  # NumPy's functions refuse it

    def __init__(self, array: np.ndarray, memory: Memory, base: HostArray | None = None):
        self._array, self.memory, self.base = array, memory, base

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    strides = property(lambda self: self._array.strides)
    itemsize = property(lambda self: self._array.itemsize)
    nbytes = property(lambda self: self._array.nbytes)
    flags = property(lambda self: self._array.flags)
    T = property(lambda self: self.transpose())
    data = property(lambda self: Pointer(self._array.ctypes.data, self.memory))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "an array of the device is not converted to NumPy unasked: call .get(), or .numpy() of a Tensor"
        )

    def __bool__(self) -> bool:
        raise TypeError("the truth of an array of the device is a transfer: .item() of it says so")

    def __eq__(self, other: object) -> bool:  # so it is no key of a dictionary either, as a cupy.ndarray is none
        raise TypeError("CuPy compares arrays by a kernel of its own: `is`, or a kernel of ours")

    def __len__(self) -> int:
        return len(self._array)

    def __repr__(self) -> str:
        return f"HostArray({self._array!r})"

    # -- views --------------------------------------------------------------------------------------------------------

    def _view(self, array: np.ndarray) -> HostArray:
        return HostArray(array, self.memory, self if self.base is None else self.base)

    def reshape(self, *shape: Any) -> HostArray:
        """A view; a contiguous array is wanted, for a copy is a kernel's work."""
        if not self.flags.c_contiguous:
            raise ValueError("reshape: the array is not contiguous; copy it first")
        return self._view(self._array.reshape(*shape))

    def ravel(self) -> HostArray:
        """The entries of a contiguous array as a flat view."""
        return self.reshape(-1)

    def transpose(self, *axes: Any) -> HostArray:
        """A view with the axes in another order."""
        return self._view(self._array.transpose(*axes))

    def view(self, dtype: Any = None) -> HostArray:
        """The same memory, as another dtype."""
        return self._view(self._array if dtype is None else self._array.view(dtype))

    def __getitem__(self, index: Any) -> HostArray:
        index = index if isinstance(index, tuple) else (index,)
        if any(not (i is None or i is Ellipsis or isinstance(i, int | np.integer | slice)) for i in index):
            raise IndexError("too much for a view: ints, slices, None and Ellipsis are taken")
        return self._view(self._array[(*index, ...) if Ellipsis not in index else index])

    # -- to and from the device ---------------------------------------------------------------------------------------

    def get(self) -> np.ndarray:
        """A copy in NumPy."""
        cuda.no_capture("get")
        return self._array.copy()

    def set(self, values: np.ndarray) -> None:
        """Overwrite with as many entries of the same dtype from NumPy."""
        cuda.no_capture("set")
        if type(values) is not np.ndarray or values.dtype != self.dtype or values.shape != self.shape:
            raise TypeError(f"set: {type(values).__name__} does not match {self.dtype} {self.shape}")
        self._array[...] = values

    def item(self) -> Any:
        """The only entry, as a Python number."""
        cuda.no_capture("item")
        return self._array.item()

    def fill(self, value: Any) -> None:
        """Overwrite all entries with one number."""
        cuda.enqueue(partial(self._array.fill, value))

    def copy(self) -> HostArray:
        """A contiguous copy on the device."""
        made = empty(self.shape, self.dtype)
        made[...] = self
        return made

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise TypeError("an array of NumPy is not moved to the device unasked: use asarray")
        value = value._array if isinstance(value, HostArray) else value
        cuda.enqueue(partial(self._array.__setitem__, index, value))


# -- what CuPy calls them ---------------------------------------------------------------------------------------------


def empty(shape: Any, dtype: Any = np.float64) -> HostArray:
    """Fresh memory: every byte is 0xFF."""
    shape, kind = (shape,) if isinstance(shape, int | np.integer) else tuple(shape), np.dtype(dtype)
    memory = Memory(prod(shape) * kind.itemsize)
    return HostArray(memory.bytes.view(kind).reshape(shape), memory)


def ndarray(shape: tuple[int, ...], dtype: Any, memptr: Pointer, strides: tuple[int, ...]) -> HostArray:
    """What lies at an address, in memory that is there."""
    memory = memptr.memory
    return HostArray(np.ndarray(shape, dtype, memory.bytes, memptr.ptr - memory.bytes.ctypes.data, strides), memory)


def full(shape: Any, value: Any, dtype: Any = np.float64) -> HostArray:
    """All entries `value`."""
    made = empty(shape, dtype)
    made.fill(value)
    return made


def zeros(shape: Any, dtype: Any = np.float64) -> HostArray:
    """All entries 0."""
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = np.float64) -> HostArray:
    """All entries 1."""
    return full(shape, 1, dtype)


def asarray(values: Any, dtype: Any = None) -> HostArray:
    """What NumPy makes of `values`, moved in its order, C's or Fortran's; an array of the device as it is."""
    if isinstance(values, HostArray):
        return values
    source = np.asarray(values, dtype)
    if source.flags.fnc:
        return asarray(source.T).T
    made = empty(source.shape, source.dtype)
    made.set(source)
    return made
