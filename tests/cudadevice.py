"""The device of tests marked `cuda`: the emulated one, or with TINYGEN_CUDA_TESTS=gpu (`make cuda`) the GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygen.kernels import _devices
from tinygen.kernels._cuda import host_build
from tinygen.testing import emulated_cuda

ON_GPU = os.environ.get("TINYGEN_CUDA_TESTS") == "gpu"
ORDERS = (0, 0) if ON_GPU else (0, -1, 1, 2, 3)  # runs whose bits must be equal; a GPU has an order of its own


@contextmanager
def on_cuda(order: int = 0) -> Iterator[None]:
    """`with on_cuda():` "cuda" is what the tests run on; `order`, of threads and blocks, is for the emulated device."""
    if ON_GPU:
        with _devices.emulated(False):
            yield
    else:
        with emulated_cuda(order):
            yield


def on_device(array: Any) -> Any:
    """An array of NumPy moved there, within `on_cuda`; `.get()` brings it back."""
    return _devices.moved(np.asarray(array), "cuda")


def why_not() -> str | None:
    """What the tests lack here."""
    try:
        if ON_GPU:
            with on_cuda():
                _devices.there("cuda")
        else:
            host_build.compiler()
    except (_devices.DeviceError, host_build.CompilerMissing) as error:
        return str(error)
    return None
