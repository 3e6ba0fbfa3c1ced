"""Every error a user can meet.  A message names the op, the arguments and their shapes, and says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .kernels._kernel import DeviceError as DeviceError  # raised by the door itself, so it lives below this layer


class TinygenError(Exception):
    """Base of all errors raised here (DeviceError excepted: kernels know nothing of tinygen)."""


class ShapeError(TinygenError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(TinygenError, TypeError):
    """Element types that do not fit together; nothing is promoted silently."""


class ArgumentError(TinygenError, ValueError):
    """A parameter outside its range."""


class NotDifferentiable(TinygenError, RuntimeError):
    """A gradient was asked for where none is defined."""


class InPlaceError(TinygenError, RuntimeError):
    """An array that a graph still needs was, or would be, changed in place."""


class NonFiniteError(TinygenError, ArithmeticError):
    """A NaN or an infinity appeared where it must not."""


class StepError(TinygenError, RuntimeError):
    """A step was written or called in a way that a replay cannot follow."""


class DataError(TinygenError, ValueError):
    """A data file or data set that cannot be used."""


class CheckpointError(TinygenError, RuntimeError):
    """A checkpoint that is damaged or belongs to something else."""


class ConfigError(TinygenError, ValueError):
    """A configuration with unknown, missing or invalid entries."""


class MissingExtra(TinygenError, ImportError):
    """An optional library is absent; `extra` is None where none of ours brings it."""

    def __init__(self, library: str, extra: str | None, purpose: str):
        package = f"'tinygen[{extra}]'" if extra else library
        super().__init__(f"{purpose} needs {library}. Install it with: pip install {package}")


def shown(*named: tuple[str, Any]) -> str:
    """`("x", array), ("w", array)` -> `x (2,8,8,3), w (3,3,5,4)`, for error messages."""
    return ", ".join(f"{name} {shape_text(value.shape)}" for name, value in named)


def shape_text(shape: Sequence[int]) -> str:
    """A shape without blanks: (2,8,8,3)."""
    return f"({','.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def check(condition: Any, error: type[TinygenError], message: str) -> None:
    """Raise `error(message)` unless the condition holds.  Where the message is dear, write an `if`."""
    if not condition:
        raise error(message)
