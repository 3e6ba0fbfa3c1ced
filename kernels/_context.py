"""A context variable that holds a value inside a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def holding(variable: ContextVar[T], value: T) -> Iterator[None]:
    """`with holding(variable, value):` it has this value inside, and afterwards its own again."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
