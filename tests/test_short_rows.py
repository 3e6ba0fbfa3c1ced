"""Copies of many short rows go another way than NumPy's, and copy the same."""

from __future__ import annotations

import numpy as np
import pytest

from tinygen import kernels
from tinygen.kernels.shape import cpu

X = np.arange(64 * 32 * 32 * 6, dtype=np.float64).reshape(64, 32, 32, 6)
INDICES = {
    "half of the channels": np.s_[..., :3],
    "the other half": np.s_[..., 3:],
    "from the end": np.s_[::-1, ::-1, ::-1, 2:5],
    "one channel": np.s_[..., 1:2],
    "every second row": np.s_[:, :, ::2, :4],
    "rows not equally far apart": np.s_[:, 1:, :, :4],
    "entries that are no neighbours": np.s_[..., ::2],
    "few": np.s_[0, 0, :, :2],
    "nothing": np.s_[..., :0],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
@pytest.mark.parametrize("which", INDICES)
def test_copies_and_their_adjoints(which: str, dtype: type) -> None:
    x, index = X.astype(dtype), INDICES[which]
    np.testing.assert_array_equal(kernels.shape.copy(x[index]), x[index])
    expected = np.zeros_like(x)
    expected[index] = x[index]
    np.testing.assert_array_equal(kernels.shape.getitem_grad(x[index], index=index, shape=x.shape), expected)


def test_which_rows_are_taken_one_by_one() -> None:
    taken = {which for which, index in INDICES.items() if cpu._rows(X[index]) is not None}
    left = {"rows not equally far apart", "entries that are no neighbours", "nothing"}
    assert taken == set(INDICES) - left
