"""Optimizers with PyTorch's names, formulas and defaults; learning-rate schedules, clipping, averages of weights."""

from __future__ import annotations

from . import schedules
from .adadelta import Adadelta
from .adam import Adam, Adamax, AdamW
from .clip import clip_by_global_norm
from .ema import EMA
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = [
    "EMA", "SGD", "Adadelta", "Adam", "AdamW", "Adamax", "Optimizer", "RMSprop", "clip_by_global_norm", "schedules",
]  # fmt: skip
