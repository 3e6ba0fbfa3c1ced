"""What float32 products and convolutions on CUDA are made of: float32, or operands rounded to TF32, on tensor cores.

Asked for, never chosen.  It is read where a kernel is launched.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar

from ._context import holding

PRECISIONS = "float32", "tf32"

_precision: ContextVar[str] = ContextVar("tinygen_precision", default="float32")


def precision() -> str:
    """ "float32" or "tf32": what holds here."""
    return _precision.get()


def multiplying_in(name: str) -> AbstractContextManager[None]:
    """`with multiplying_in("tf32"):` of PRECISIONS, which the caller has checked."""
    return holding(_precision, name)
