"""What is shown of a training: a bar on a terminal, lines in a log, or nothing."""

from __future__ import annotations

import io
import sys

import pytest

from tinygen.errors import MissingExtra
from tinygen.train import progress
from tinygen.train.progress import QUIET, Bar, Lines, Silent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is, in its one entry."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_the_bar_shows_how_far_and_the_latest_figures() -> None:
    file = Terminal()
    bar = Bar(100, 20, " examples", file)
    bar.update(30, loss=2.5)
    bar.close()
    last = file.getvalue().split("\r")[-1]
    assert "50%" in last
    assert "50.0/100" in last
    assert "loss=2.5" in last


def test_the_bar_takes_new_figures_ten_times_a_second(clock: list[float]) -> None:
    file = Terminal()
    bar = Bar(100, 0, " examples", file)
    bar.update(10, loss=3.0)
    bar.update(10, loss=2.0, valid=7)
    assert bar._bar.postfix == "loss=3"
    clock[0] += 0.11
    bar.update(10)
    assert bar._bar.postfix == "loss=2, valid=7"
    bar.close()


def test_a_line_now_and_then_with_the_rate_since_the_last(clock: list[float]) -> None:
    file = io.StringIO()
    lines = Lines(5000, 1000, " examples", file)
    clock[0] += QUIET / 2
    lines.update(500, loss=2.123456789)
    assert file.getvalue() == ""
    clock[0] += QUIET / 2
    lines.update(1500, epoch=3)
    assert file.getvalue() == "3,000 of 5,000 examples, loss 2.1235, epoch 3, 200 examples/s\n"
    clock[0] += 1
    lines.update(2000)
    lines.close()
    assert file.getvalue().splitlines()[1:] == ["5,000 of 5,000 examples, loss 2.1235, epoch 3, 2,000 examples/s"]
    lines.close()  # nothing new to say
    assert len(file.getvalue().splitlines()) == 2


def test_where_standard_error_goes_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, kind in ((Terminal(), Bar), (io.StringIO(), Lines)):
        monkeypatch.setattr(sys, "stderr", error)
        shown = progress.progress(True, 10, 0, " examples")
        assert type(shown) is kind
        shown.close()
    silent = progress.progress(False, 10, 0, " examples")
    assert type(silent) is Silent
    silent.update(5, loss=1.0)
    silent.close()


def test_a_bar_needs_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tinygen\[train\]'"):
        Bar(10, 0, " examples", Terminal())
