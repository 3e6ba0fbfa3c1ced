"""tinygen bench"""

from __future__ import annotations

from typing import Any

from ..benchmarks.command import EXAMPLES, SUMMARY, add_arguments, run
from .common import command


def add_to(commands: Any) -> None:
    add_arguments(command(commands, "bench", run, SUMMARY, EXAMPLES))
