"""Launches of a recorded step, those that follow one another as one CUDA graph: one call of the driver replays them.

A launch costs the host some microseconds, which is longer than many kernels run; a graph of hundreds costs it a few.
What a step asks Python in between (a schedule's function, whether the loss is finite) parts it into several graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from .._prepared import Call, Prepared, parts
from .host_array import HostArray


def joined(calls: Iterable[Call]) -> list[Call]:
    """The same calls, prepared ones that follow one another as a graph; on the emulated device one by one."""
    made: list[Call] = []
    for on_device, group in groupby(calls, lambda call: isinstance(call, Prepared)):
        several: list[Any] = list(group)
        emulated = on_device and all(isinstance(a, HostArray) for call in several for a in call.arrays)
        launches = [part for call in several for part in parts(call)]
        made += [Graph(launches)] if on_device and not emulated and len(launches) > 1 else launches
    return made


class Graph:
    """Launches on a GPU as a CUDA graph, called to run it on the current stream; holds what the launches work on."""

    def __init__(self, launches: list[Callable[[], None]]):
        import cupy

        self.launches = launches
        stream = cupy.cuda.Stream(non_blocking=True)  # the default stream cannot be captured
        with stream:
            stream.begin_capture()
            try:
                for launch in launches:
                    launch()
            finally:  # else the stream would go on capturing
                self.graph = stream.end_capture()

    def __call__(self) -> None:
        self.graph.launch()
