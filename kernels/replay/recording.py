"""What a run of some code launched, as a list in which memory is named and not yet placed.

Every computation passes the door in `kernels/_kernel.py`, so an observer there sees all of it.  An array that the door
made during the recording lives in a numbered buffer and is described by a `View` of it; any other array (parameters,
state of optimizers, constants) is itself.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .._devices import DeviceError, address, beside
from .._kernel import Kernel
from .._precision import precision

Array = Any


class View(NamedTuple):
    """An array inside a buffer: `offset` and `strides` in bytes."""

    buffer: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype


Place = View | Array  # an array of a launch: in a numbered buffer, or one that exists already


class Launch(NamedTuple):
    """One kernel on its arrays."""

    kernel: Kernel
    inputs: tuple[Place, ...]
    outs: tuple[Place, ...]
    params: dict[str, Any]
    precision: str  # of `_precision.py`, where it was launched


class Action(NamedTuple):
    """Something to do on the host between two launches."""

    run: Callable[[], None]


class Recorder:
    """An observer: `with observe(recorder): ...` fills `launches` and `sizes`, the bytes of each buffer.

    It keeps no array alive that the code itself lets go, so recording takes no more memory than running.
    """

    def __init__(self) -> None:
        self.launches: list[Launch | Action] = []
        self.sizes: list[int] = []
        self.module: Any = None  # that makes arrays where these live: all of one device
        self._buffers: dict[int, tuple[int, Any]] = {}  # id of the array that owns the memory -> number, weak reference

    def __call__(
        self, kernel: Kernel, inputs: tuple[Array, ...], outs: tuple[Array, ...], params: dict[str, Any], fresh: bool
    ) -> None:
        module = beside(inputs[0])
        if self.module not in (None, module):
            raise DeviceError(
                f"{kernel.family}.{kernel.__name__}: the step has launched kernels on another device before. "
                f"Make a step for each device, and move arrays between them outside."
            )
        self.module = module
        if fresh:
            for out in outs:
                self._adopt(out)
        places = tuple(map(self.place, inputs)), tuple(map(self.place, outs))
        self.launches.append(Launch(kernel, *places, params, precision()))

    def _adopt(self, array: Array) -> None:
        key = id(array)
        self._buffers[key] = len(self.sizes), weakref.ref(array, lambda _: self._buffers.pop(key))
        self.sizes.append(array.nbytes)

    def place(self, array: Array) -> Place:
        """Where an array lies: a View if its memory is a recorded buffer, else the array itself."""
        owner = root(array)
        found = self._buffers.get(id(owner))
        if found is None:
            return array
        offset = address(array) - address(owner) if array.size else 0
        return View(found[0], offset, array.shape, array.strides, array.dtype)


def root(array: Array) -> Array:
    """The array that owns the memory."""
    while isinstance(array.base, type(array)):
        array = array.base
    return array


def contiguous(place: Place) -> bool:
    """Whether its entries lie in C order without gaps."""
    if not isinstance(place, View):
        return bool(place.flags.c_contiguous)
    step = place.dtype.itemsize
    for n, stride in zip(reversed(place.shape), reversed(place.strides)):
        if n != 1 and stride != step:
            return False
        step *= n
    return True


def whole(place: Place, sizes: list[int]) -> bool:
    """Whether it is all of a buffer, in C order."""
    if not isinstance(place, View) or place.offset or not contiguous(place):
        return False
    return prod(place.shape) * place.dtype.itemsize == sizes[place.buffer]


def reshaped(place: Place, shape: tuple[int, ...]) -> Place:
    """A contiguous place as another shape of the same size."""
    if not isinstance(place, View):
        return place.reshape(shape)
    strides = [place.dtype.itemsize]
    for n in shape[:0:-1]:
        strides.append(strides[-1] * n)
    return place._replace(shape=shape, strides=tuple(strides[: len(shape)][::-1]))


def buffers(places: tuple[Place, ...]) -> Iterator[int]:
    """The numbers of the buffers among them."""
    return (p.buffer for p in places if isinstance(p, View))
