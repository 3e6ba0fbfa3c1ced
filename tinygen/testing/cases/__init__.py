"""The cases of every op, one file for each family; importing this registers all of them."""

from ..registry import cases
from . import conv, core, coupling, elementwise, logprob, matmul, norm, pool, random, reduce, shape

__all__ = [
    "cases", "conv", "core", "coupling", "elementwise", "logprob", "matmul", "norm", "pool", "random", "reduce",
    "shape",
]  # fmt: skip
