"""What a person sees while a model trains: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import sys
import time
from typing import Any, TextIO

from ..errors import MissingExtra

REFRESH = 0.1  # seconds between new figures on the bar
QUIET = 10.0  # seconds between lines where there is no terminal


class Silent:
    """Shows nothing."""

    def update(self, items: int, **shown: Any) -> None:
        """`items` more examples are done; `shown` are figures by name, which stay until they change."""

    def close(self) -> None:
        """No more will come."""


class Bar(Silent):
    """tqdm's bar: examples done, examples per second, the latest figures.  MissingExtra without tqdm."""

    def __init__(self, total: int, done: int, unit: str, file: TextIO):
        try:
            from tqdm import tqdm
        except ImportError:
            raise MissingExtra("tqdm", "train", "the progress bar") from None
        self._shown: dict[str, Any] = {}
        self._at = -math.inf
        self._bar = tqdm(total=total, initial=done, unit=unit, unit_scale=True, file=file, dynamic_ncols=True)

    def update(self, items: int, **shown: Any) -> None:
        self._shown.update(shown)
        if (now := time.monotonic()) - self._at >= REFRESH:
            self._at = now
            self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(items)

    def close(self) -> None:
        self._bar.close()


class Lines(Silent):
    """A line every QUIET seconds, for logs."""

    def __init__(self, total: int, done: int, unit: str, file: TextIO):
        self._total, self._done, self._unit, self._file = total, done, unit.strip(), file
        self._shown: dict[str, Any] = {}
        self._at, self._from = time.monotonic(), done

    def update(self, items: int, **shown: Any) -> None:
        self._shown.update(shown)
        self._done += items
        if time.monotonic() - self._at >= QUIET:
            self._write()

    def close(self) -> None:
        if self._done > self._from:
            self._write()

    def _write(self) -> None:
        now = time.monotonic()
        rate = (self._done - self._from) / max(now - self._at, 1e-9)
        figures = "".join(f", {name} {_short(value)}" for name, value in self._shown.items())
        print(f"{self._done:,} of {self._total:,} {self._unit}{figures}, {rate:,.0f} {self._unit}/s", file=self._file)
        self._at, self._from = now, self._done


def progress(show: bool, total: int, done: int, unit: str) -> Silent:
    """The right one for where standard error goes; nothing unless `show`."""
    if not show:
        return Silent()
    return (Bar if sys.stderr.isatty() else Lines)(total, done, unit, sys.stderr)


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
