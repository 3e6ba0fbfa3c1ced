"""The error that every law raises, and the comparison that most of them end in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import TinygenError
from ...tensor import Tensor


class LawBroken(TinygenError, AssertionError):
    """Something does not obey a law; the message says which one, and has the numbers."""


def float64(x: Any) -> np.ndarray:
    """The entries of a Tensor or anything array-like, in double precision."""
    return np.asarray(x.data if isinstance(x, Tensor) else x, np.float64)


def compare(law: str, got: Any, expected: Any, tolerance: float) -> None:
    """Raise LawBroken unless the largest difference is within tolerance, relative to the largest entry or one."""
    worst = float(np.abs(got - expected).max(initial=0.0)) / max(1.0, float(np.abs(expected).max(initial=0.0)))
    if not worst <= tolerance:
        raise LawBroken(f"{law}: off by {worst:.3g} (relative), tolerance {tolerance:.1g}.")
