"""Learning-rate schedules: each returns a function from the number of updates done to the rate of the next update."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import ArgumentError, check

Schedule = Callable[[int], float]


def constant(lr: float) -> Schedule:
    """Always lr."""
    return lambda step: lr


def step_decay(lr: float, *, every: int, factor: float) -> Schedule:
    """lr * factor ** (step // every): multiplied by `factor` after every `every` updates."""
    check(every > 0, ArgumentError, f"step_decay: every is {every}. Pass a number of updates > 0.")
    return lambda step: lr * factor ** (step // every)


def exponential(lr: float, *, factor: float) -> Schedule:
    """lr * factor ** step, e.g. factor 0.999995 as in PixelCNN++."""
    return lambda step: lr * factor**step


def linear_warmup(lr: float, *, warmup: int) -> Schedule:
    """Rises in equal steps to lr at update `warmup`, then stays: the first update already has lr / warmup."""
    check(warmup > 0, ArgumentError, f"linear_warmup: warmup is {warmup}. Pass a number of updates > 0.")
    return lambda step: lr * min(1.0, (step + 1) / warmup)


def cosine(lr: float, *, total: int, warmup: int = 0, final: float = 0.0) -> Schedule:
    """A linear warm-up to lr, then half a cosine down to `final` at step `total` (Loshchilov and Hutter 2017)."""
    check(0 <= warmup < total, ArgumentError, f"cosine: warmup is {warmup}, total {total}. Pass 0 <= warmup < total.")

    def rate(step: int) -> float:
        if step < warmup:
            return lr * (step + 1) / warmup
        done = min(1.0, (step - warmup) / (total - warmup))
        return final + (lr - final) * (1 + math.cos(math.pi * done)) / 2

    return rate
