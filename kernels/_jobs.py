"""Loops that were kept to be run again (`_parallel`), and runs of them: many launches in one call of compiled code.

Between two calls from Python lie microseconds in which arguments are taken apart and other threads wait; between two
jobs of one call some nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import numpy as np

from ._pool import DATA_OF_JOB, pool

Call = Callable[[], Any]


class Job:
    """One loop over units with its arguments, called to run it; holds what its arrays lie in."""

    def __init__(self, memory: np.ndarray, serial: bool, holds: Any):
        self.memory, self.serial, self.holds = memory, serial, holds
        self._alone: Jobs | None = None

    def __call__(self) -> None:
        if self._alone is None:
            self._alone = Jobs([self])
        self._alone()


def kept(loop: Any, serial: bool, count: int, arguments: tuple[Any, ...]) -> Job:
    """The job of loop(place, serial, count, arguments), as `units` compiles it."""
    size = loop(0, True, 0, arguments)  # runs nothing
    memory = np.zeros(-(-size // 8), np.int64)
    loop(memory.ctypes.data, serial, count, arguments)
    return Job(memory, serial, arguments)


class Jobs:
    """Several jobs, called to run them in order.  RuntimeError where a unit failed."""

    def __init__(self, jobs: list[Job]):
        pool.link()
        self.jobs = jobs
        self.parallel = not all(job.serial for job in jobs)
        self.table = np.array([*(job.memory.ctypes.data for job in jobs), 0], np.int64)  # the last: how many ran
        self.arguments = self.table.ctypes.data, len(jobs), pool.block.ctypes.data

    def __call__(self) -> None:
        if self.parallel:
            pool.start()
        pool.launch_jobs(*self.arguments)
        done = int(self.table[-1])
        if done < len(self.jobs):
            self.jobs[done].memory[DATA_OF_JOB // 8] = 0  # it may go better next time
            raise RuntimeError("a unit of a parallel loop failed")


def joined(calls: Iterable[Call]) -> list[Call]:
    """The same calls, jobs that follow one another as one."""
    made: list[Call] = []
    for is_job, group in groupby(calls, lambda call: isinstance(call, Job)):
        several: list[Any] = list(group)
        made += [Jobs(several)] if is_job else several
    return made
