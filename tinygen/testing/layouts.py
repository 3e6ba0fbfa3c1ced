"""The same numbers in other memory layouts: what kernels that never look at strides get wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": np.array,
    "Fortran": lambda a: np.array(a, order="F"),
    "strided": lambda a: np.repeat(a[..., None], 2, axis=-1)[..., 0],
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1] if a.ndim else np.array(a),
    "offset": lambda a: np.concatenate([np.zeros(1, a.dtype), a.ravel()])[1:].reshape(a.shape),
}


def repeated(a: np.ndarray) -> np.ndarray:
    """The first row in place of every row, by a stride of zero, as `broadcast_to` and PyTorch's `expand` make it."""
    if not a.ndim or not len(a):
        return np.array(a)
    row = np.array(a[0])
    return np.lib.stride_tricks.as_strided(row, a.shape, (0, *row.strides))
