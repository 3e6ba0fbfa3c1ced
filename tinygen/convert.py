"""From numbers, lists and arrays of any origin to Tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import DeviceError, DTypeError
from .kernels._devices import beside, constant, there
from .modes import touch
from .tensor import Tensor

DLPACK_CUDA = 2  # kDLCUDA of the standard


def tensor(value: Any, dtype: Any = None, *, requires_grad: bool = False) -> Tensor:
    """A new Tensor holding a copy of `value` (numbers, nested lists, an array, a Tensor).

    Python floats become float32, Python ints int64; arrays keep their dtype.  Raises DTypeError for other element types
    and for a gradient of integers.
    """
    source = value.data if isinstance(value, Tensor) else value
    if isinstance(source, np.ndarray):
        touch("tg.tensor(array)")  # the copy is NumPy's: as_tensor makes none
    data = np.array(source, dtype=dtype, order="C")
    if dtype is None and data.dtype == np.float64 and not isinstance(source, np.ndarray | np.generic):
        data = data.astype(np.float32)
    if data.dtype.kind not in "biuf":
        raise DTypeError(f"tensor: entries of type {data.dtype} are not numbers.")
    made = Tensor(data)
    if not requires_grad:
        return made
    if data.dtype.kind != "f":
        raise DTypeError(f"tensor: {data.dtype} has no gradients. Use float32 or float64 with requires_grad=True.")
    return made.requires_grad_()


def from_dlpack(x: Any) -> Tensor:
    """A Tensor over the memory of any object with `__dlpack__` (a PyTorch tensor, a JAX array); nothing is copied.

    Raises DeviceError for an array of a GPU where CuPy is missing, or of another GPU than the one in use.
    """
    kind, number = x.__dlpack_device__()
    if kind != DLPACK_CUDA:
        return Tensor(np.from_dlpack(x))
    cupy = there("cuda")
    mine = cupy.cuda.Device().id  # kernels are launched there, and its launches take any address
    if number != mine:
        raise DeviceError(
            f"from_dlpack: the array is on GPU {number}, and tinygen uses GPU {mine}. Move it there first."
        )
    return Tensor(cupy.from_dlpack(x))


def as_tensor(value: Any, dtype: np.dtype | None = None, op: str = "as_tensor", others: Sequence[Any] = ()) -> Tensor:
    """A Tensor over `value` without copying an array; a Python number takes `dtype` and the device of the others."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, bool | int | float | np.generic):
        if dtype is None:
            dtype = np.dtype(np.float32 if isinstance(value, float) else np.int64)
        if dtype.kind != "f" and isinstance(value, float | np.floating):
            raise DTypeError(f"{op}: {value} is a float, the other argument {dtype}. Cast it with .astype('float32').")
        number = np.array(value, dtype)
        for other in others:
            if isinstance(other, Tensor) and type(other.data) is not np.ndarray:
                return Tensor(constant(other.data, number))
        return Tensor(number)
    if hasattr(value, "dtype") and hasattr(value, "shape") and value.dtype.kind in "biuf":
        return Tensor(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DTypeError(f"{op}: {type(value).__name__} is not an array of numbers ({error}).") from None
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{op}: {type(value).__name__} is not an array of numbers.")
    return Tensor(array.astype(dtype or np.float32) if array.dtype == np.float64 else array)


def zeros(shape: tuple[int, ...], dtype: np.dtype, others: Sequence[Tensor | None]) -> Tensor:
    """Zeros where the others live."""
    return Tensor(beside(next(x.data for x in others if x is not None)).zeros(shape, dtype))
