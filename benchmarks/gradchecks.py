"""What checking a gradient costs: ours along random directions, PyTorch's entry by entry and in its fast mode.

All check one convolution at a test shape in float64: ours that of this engine, PyTorch's its own.  `times()` gives
milliseconds, the best of some rounds that take turns.  At equal power: ours along directions misses what its docstring
says; PyTorch's fast mode uses one direction as well, its default compares every entry with a tolerance of 1e-3.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from tinygen import ops
from tinygen.testing import from_torch, gradcheck, to_torch

X, W = (2, 8, 8, 3), (3, 3, 3, 4)  # (N, H, W, C), (K, K, C, O)


def sides() -> dict[str, Callable[[], Any]]:
    """Name -> one check."""
    import torch

    rng = np.random.Generator(np.random.Philox(0))
    x, w = rng.standard_normal(X), rng.standard_normal(W)
    first = lambda a: np.ascontiguousarray(a.transpose(0, 3, 1, 2))  # (N, C, H, W)
    there = first(x), np.ascontiguousarray(w.transpose(3, 2, 0, 1))
    tensors = [torch.tensor(a, requires_grad=True) for a in there]
    theirs = lambda x, w: torch.nn.functional.conv2d(x, w, padding=1)
    mine = [torch.tensor(a, requires_grad=True) for a in (x, w)]
    return {
        "tinygen": lambda: gradcheck(ops.conv2d, x, w, pad=1),
        "tinygen, second order": lambda: gradcheck(ops.conv2d, x, w, pad=1, order=2),
        "tinygen, PyTorch's convolution": lambda: gradcheck(from_torch(theirs), *there),
        "torch": lambda: torch.autograd.gradcheck(theirs, tensors),
        "torch, second order": lambda: torch.autograd.gradgradcheck(theirs, tensors),
        "torch, fast mode": lambda: torch.autograd.gradcheck(theirs, tensors, fast_mode=True),
        "torch, our convolution": lambda: torch.autograd.gradcheck(to_torch(ops.conv2d, pad=1), mine),
    }


def times(rounds: int = 5, only: tuple[str, ...] = ()) -> dict[str, float]:
    """Name -> milliseconds of one check, compiled kernels and all caches warm."""
    checks = {name: check for name, check in sides().items() if not only or name in only}
    best = dict.fromkeys(checks, float("inf"))
    for turn in range(rounds + 1):
        for name, check in checks.items():
            begun = perf_counter()
            check()
            if turn:  # the first one compiles
                best[name] = min(best[name], 1e3 * (perf_counter() - begun))
    return best
