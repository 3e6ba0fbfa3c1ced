"""Optimizers against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...autograd import leaf
from ...tensor import Tensor
from .broken import LawBroken


def optimizer_path(
    make: Callable[[list[Tensor]], Any],
    expected: Callable[[int], float],
    *,
    start: float = 1.0,
    gradient: float | Callable[[int], float] = 2.0,
    updates: int = 5,
    tolerance: float = 1e-12,
) -> None:
    """One parameter that begins at `start` is at expected(n) after n updates, for n = 1 to `updates`.

    make([parameter]) -> an optimizer with update(gradients).  gradient: constant, or a function of n = 1, 2, ...
    """
    parameter = leaf(Tensor(np.array([start])))
    optimizer = make([parameter])
    for n in range(1, updates + 1):
        optimizer.update([np.array([gradient(n) if callable(gradient) else gradient])])
        found, exact = parameter.item(), expected(n)
        if not abs(found - exact) <= tolerance * max(1.0, abs(exact)):
            raise LawBroken(f"optimizer: after {n} updates the parameter is {found:.12g}, not {exact:.12g}.")
