"""Launches of a recorded step, those that follow one another as one CUDA graph: one call of the driver replays them.

A launch costs the host some microseconds, which is longer than many kernels run; a graph of hundreds costs it a few.
What a step asks Python in between (a schedule's function, whether the loss is finite) parts it into several graphs.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from .._prepared import Call, Prepared, parts


def joined(calls: Iterable[Call], module: Any) -> list[Call]:
    """The same calls, prepared ones that follow one another as a graph; `module` is CuPy, or what stands for it."""
    made: list[Call] = []
    for on_device, group in groupby(calls, lambda call: isinstance(call, Prepared)):
        launches = [part for call in group for part in parts(call)]
        made += [Graph(launches, module)] if on_device and launches else launches
    return made


class Graph:
    """Launches as a CUDA graph, called to run it on the current stream; holds what the launches work on."""

    def __init__(self, launches: list[Call], module: Any):
        self.launches = launches
        stream = module.cuda.Stream(non_blocking=True)  # the default stream cannot be captured
        with stream:
            stream.begin_capture()
            try:
                for launch in launches:
                    launch()
            finally:  # else the stream would go on capturing
                self.graph = stream.end_capture()

    def __call__(self) -> None:
        self.graph.launch()
