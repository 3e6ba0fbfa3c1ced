"""The arguments of `finish` of epilogue.h: the steps that follow a product."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .._then import ADD, BIAS, GATE, STAGES, Step, coded

Array = Any
After = tuple[Any, ...]  # bias, gate, other, also, None where absent; then: the last arguments of a kernel


@lru_cache(maxsize=1024)
def _then(then: tuple[Step, ...], dtype: np.dtype) -> np.ndarray:
    """`Then` of epilogue.h."""
    made = np.zeros((), np.dtype([("code", "<i4", len(STAGES)), ("slope", dtype, len(STAGES))], align=True))
    _, made["code"], made["slope"] = coded(then)
    return made


def after(then: tuple[Step, ...], rest: tuple[Array, ...]) -> tuple[Array, After]:
    """The first output, and the last arguments; rest: the extra arrays, then the outputs."""
    taking, _, _ = coded(then)
    y, *others = rest[len(taking) :]
    given = dict(zip(taking, rest))
    extras = [given.get(stage) for stage in (BIAS, GATE, ADD)]
    return y, (*extras, *(others or [None]), _then(then, y.dtype))


def nothing(y: Array) -> After:
    """The last arguments where no step follows."""
    return after((), (y,))[1]
