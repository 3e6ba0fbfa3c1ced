"""The modes that change what an op does besides computing: recording for differentiation, and the hunt for NaN."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from .errors import NonFiniteError, StepError
from .kernels._context import holding
from .kernels._devices import to_numpy

Array = Any  # numpy.ndarray, or cupy.ndarray on a GPU
Witness = Callable[[str, Sequence[Array], Sequence[Array]], None]  # of an op: its name, inputs and outputs

_recording: ContextVar[bool] = ContextVar("tinygen_recording", default=True)
_anomaly: ContextVar[str | None] = ContextVar("tinygen_anomaly", default=None)  # None, "nan" or "nonfinite"
_witness: ContextVar[Witness | None] = ContextVar("tinygen_witness", default=None)
_unreadable: ContextVar[str | None] = ContextVar("tinygen_unreadable", default=None)  # the step being recorded


def recording() -> bool:
    """Whether ops are being recorded for differentiation."""
    return _recording.get()


def record(on: bool) -> Any:
    """`with record(on):` switch recording."""
    return holding(_recording, on)


def no_grad() -> Any:
    """`with no_grad():` ops inside are not recorded."""
    return holding(_recording, False)


def enable_grad() -> Any:
    """`with enable_grad():` ops inside are recorded again, also inside no_grad."""
    return holding(_recording, True)


def detect_anomaly(*, inf: bool = False) -> Any:
    """`with detect_anomaly():` raise NonFiniteError at the first op, or gradient, that makes a NaN (or infinity)."""
    return holding(_anomaly, "nonfinite" if inf else "nan")


def unwatched() -> Any:
    """`with unwatched():` suspend detect_anomaly."""
    return holding(_anomaly, None)


def witness() -> Witness | None:
    """Who is told of every op, if anyone."""
    return _witness.get()


def witnessed(by: Witness) -> Any:
    """`with witnessed(by):` call `by` after every op inside."""
    return holding(_witness, by)


def unreadable(step: str) -> Any:
    """`with unreadable(step):` values may not be read or written by Python, for a replay of that step could not."""
    return holding(_unreadable, step)


def touch(what: str) -> None:
    """Say that `what`, outside any kernel, is about to read or write values.  Raises StepError inside a step."""
    step = _unreadable.get()
    if step is not None:
        raise StepError(f"{step}: {what} needs the values now, and a replay has no Python to do it. Do it outside.")


def inspect_values(name: str, role: str, inputs: Sequence[Array], outputs: Sequence[Array], where: str | None) -> None:
    """In anomaly mode: raise if an output is bad, saying whether it came in with the inputs."""
    mode = _anomaly.get()
    fault = np.isnan if mode == "nan" else lambda a: ~np.isfinite(a)
    bad = lambda a: fault(to_numpy(a))
    for y in outputs:
        if y.dtype.kind == "f" and (count := int(bad(y).sum())):
            came_in = any(a.dtype.kind == "f" and bad(a).any() for a in inputs)
            cause = "was given" if came_in else "is the first to produce"
            at = f" The op was called at {where}." if where else ""
            raise NonFiniteError(f"{name}: {role} {cause} a {mode} value ({count} of {y.size} entries).{at}")


def anomaly() -> bool:
    """Whether detect_anomaly is on."""
    return _anomaly.get() is not None


def caller() -> str:
    """Where the op was called: the innermost line of a model or layer, and the innermost outside this package."""
    package = Path(__file__).parent
    inside, outside = "", ""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if not path.is_relative_to(package):
            if not frame.filename.startswith("<"):  # runpy and other frozen modules
                outside = outside or f"{frame.filename}:{frame.lineno}"
        elif path.parent.name in ("models", "nn"):
            inside = inside or f"{path.parent.name}/{path.name}:{frame.lineno}"
    return ", from ".join(filter(None, (inside, outside))) or "tinygen"
