"""Ctrl-C and SIGTERM as a flag that the loop looks at between two steps, so that it can save and leave."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop, has saved, and can be resumed; `signum` is SIGINT or SIGTERM."""

    def __init__(self, signum: int, message: str = ""):
        super().__init__(message)
        self.signum = signum


class Signals:
    """`with Signals() as signals: ... signals.check()` raises Interrupted once a signal has come.

    A second one is handled as usual, so a step that never ends can still be stopped.  Outside the main thread Python
    delivers no signals, and nothing is changed.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        if self.received is not None:
            raise Interrupted(self.received)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.received = signum
        self._restore()
        # not print: the signal may have come in the middle of a write to the same buffer
        os.write(2, b"\nstopping after this step; once more to stop at once\n")

    def _restore(self) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before.clear()

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
