"""The emulated device's streams and graphs, as far as the engine uses CuPy's.

While a stream captures, what is launched on it does not run, but will whenever the graph is launched; and nothing may
pass between the device and the host, which CuPy refuses too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class _Current(threading.local):
    captured: list[Callable[[], None]] | None = None  # by the stream that is current, if it captures


_current = _Current()


class Stream:
    """Make it current with `with stream:` before it captures."""

    def __init__(self, *, non_blocking: bool):
        self._entered = False
        assert non_blocking, "the default stream cannot be captured"

    def __enter__(self) -> Stream:
        self._entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self._entered, _current.captured = False, None

    def begin_capture(self) -> None:
        """From here on nothing runs."""
        assert self._entered, "launches go to the current stream, and this is not it"
        _current.captured = []

    def end_capture(self) -> Graph:
        """What was launched since."""
        assert _current.captured is not None, "there is no capture to end"
        made, _current.captured = Graph(_current.captured), None
        return made


class Graph:
    """What a stream captured; runs when launched, in its order."""

    def __init__(self, runs: list[Callable[[], None]]):
        self._runs = runs

    def launch(self) -> None:
        """Run it."""
        for run in self._runs:
            run()


def enqueue(run: Callable[[], None]) -> None:
    """Run it, or have it captured."""
    if _current.captured is None:
        run()
    else:
        _current.captured.append(run)


def no_capture(what: str) -> None:
    """Raise RuntimeError where a stream captures, for `what` passes between device and host."""
    if _current.captured is not None:
        raise RuntimeError(f"{what}: the current stream is capturing, and no graph could repeat it")
