"""What checking a gradient costs: ours along random directions, PyTorch's entry by entry and in its fast mode.

Each checks the convolution of its own library, at a test shape in float64.  At equal power: ours along directions
misses what its docstring says; PyTorch's fast mode uses one direction as well, its default compares every entry with a
tolerance of 1e-3.  Ours also estimates the error of the differences, and tries layouts, habits and kinks.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tinygen import ops
from tinygen.testing import gradcheck

from . import parity
from .sides import OURS, Comparison, Made, compare, register
from .suite import Row, Settings, benchmark

X, W = (2, 8, 8, 3), (3, 3, 3, 4)  # (N, H, W, C), (K, K, C, O)
FAST = "torch fast mode"


def make(side: str, settings: Settings) -> Made:
    """One side: shows that the first two orders pass."""
    random = np.random.Generator(np.random.Philox(0))
    x, w = random.standard_normal(X), random.standard_normal(W)
    if side == OURS:
        first: Any = partial(gradcheck, ops.conv2d, x, w, pad=1)
        second: Any = partial(first, order=2)
    else:
        import torch

        torch.set_num_threads(settings.threads)
        conv = partial(torch.nn.functional.conv2d, padding=1)
        arrays = x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1)
        tensors = [torch.tensor(a.copy(), requires_grad=True) for a in arrays]
        first = partial(torch.autograd.gradcheck, conv, tensors, fast_mode=side == FAST)
        second = partial(torch.autograd.gradgradcheck, conv, tensors, fast_mode=side == FAST)
    return Made(lambda: {"passed": np.array([bool(first()), bool(second())])}, {"first": first, "second": second})


def measure(compared: Comparison, settings: Settings) -> Row:
    """The row of the first order; `parts` has the second."""
    rows = compare(compared, settings).rows
    return rows["first"] | {"parts": [rows["second"] | {"name": "second order"}]}


_checks = register(Comparison("gradcheck", ("torch", FAST), make, parity.share_that_differs, 0.0, "orders that pass"))
_what = f"gradcheck of a convolution, {'x'.join(map(str, X))} by {'x'.join(map(str, W))}, float64"
benchmark(_checks.name, group="op", what=_what)(partial(measure, _checks))
