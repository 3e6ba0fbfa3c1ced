"""Reductions over every layout, which the few draws of a registry's case leave out."""

import numpy as np
import pytest

from tinygen import kernels
from tinygen.testing import laws
from tinygen.testing.cases.reduce import LAYOUTS

NAMES = "sum", "max", "min", "logsumexp"


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "axis"), LAYOUTS)
def test_every_layout_follows_the_specification(shape, axis, name, dtype):
    axes = tuple(range(len(shape))) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(sorted(a % len(shape) for a in axes))
    how = {"axes": axes, "keepdims": False}
    if name == "sum":
        how["divisor"] = 7
    drawn = np.random.Generator(np.random.Philox(3)).standard_normal(shape).astype(dtype)
    for x in (drawn, np.asarray(-1 - abs(drawn)), np.asarray(1 + abs(drawn))):  # no sign may be taken for granted
        got = getattr(kernels.reduce, name)(x, **how)
        with kernels.backend("reference"):
            expected = getattr(kernels.reduce, name)(x, **how)
        laws.close(got, expected, factor=4)
