"""Implementations whose Python only prepares: run once, they leave a list of calls that can be made again.

An implementation flattens arrays, picks tables and cuts the work into units before it enters compiled code: some
microseconds, more than a small product takes.  Where all its effects pass `effect` (units do), a recorded step need
not repeat the rest: `prepare` collects the effects without having them, and a replay makes just those calls.

Marked `@prepared` may be what reads shapes, strides and parameters, never the numbers in an array.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

Call = Callable[[], Any]


class _Collected(threading.local):
    calls: list[Call] | None = None  # of the implementation that is being prepared by this thread


_collected = _Collected()


def collecting() -> bool:
    """Whether an implementation is being prepared by this thread."""
    return _collected.calls is not None


def effect(function: Callable[..., Any], *arguments: Any) -> None:
    """function(*arguments), now or whenever the prepared calls are made."""
    if _collected.calls is None:
        function(*arguments)
    else:
        _collected.calls.append(partial(function, *arguments) if arguments else function)


class _Unprepared(Exception):
    """Raised out of an implementation that cannot be prepared on these arrays."""


def unprepared() -> None:
    """Say that what follows works on arrays in Python, so that the whole has to be called."""
    if _collected.calls is not None:
        raise _Unprepared


def prepared(implementation: Callable[..., None]) -> Callable[..., None]:
    """Mark an implementation all of whose effects pass `effect`, or follow `unprepared`."""
    implementation.is_prepared = True  # type: ignore[attr-defined]
    return implementation


def prepare(implementation: Callable[..., None], arrays: tuple[Any, ...], params: dict[str, Any]) -> Call:
    """implementation(*arrays, **params) to be called again and again, without its preparation where it is marked."""
    whole = partial(implementation, *arrays, **params)
    if not hasattr(implementation, "is_prepared"):
        return whole
    calls: list[Call] = []
    _collected.calls = calls
    try:
        whole()
    except _Unprepared:
        return whole
    finally:
        _collected.calls = None
    return Prepared(calls, arrays)


class Prepared:
    """Calls, called one after another; holds the arrays that they work on."""

    def __init__(self, calls: list[Call], arrays: tuple[Any, ...]):
        self.calls, self.arrays = calls, arrays

    def __call__(self) -> None:
        for call in self.calls:
            call()


def parts(call: Call) -> list[Call]:
    """The calls that a prepared one makes."""
    return call.calls if isinstance(call, Prepared) else [call]
