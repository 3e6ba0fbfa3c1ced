"""From a list of launches to one that runs: buffers are given places in a single block of memory, and reused.

A buffer lives from the launch that fills it to the last one that reads it.  Two that never live at the same time may
lie in the same place.  Buffers are placed from the largest to the smallest, each in the lowest gap that no living one
covers (greedy by size; Pisarchyk and Lee 2020, "Efficient memory management for deep neural net inference").
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .._devices import within
from .._kernel import observers
from .._precision import multiplying_in
from .._prepared import Call, parts
from .._scratch import own_scratch
from .recording import Action, Launch, Place, View, buffers

Array = Any

ALIGN = 128  # bytes: two cache lines of a CPU, of which it fetches pairs; one of a GPU


class Plan(NamedTuple):
    """Launches bound to their memory: call `run()`."""

    launches: list[Launch | Action]  # arrays in place of views
    calls: list[Call]  # one for each
    runs: list[Call]  # the same with neighbours joined: compiled loops, or launches of a GPU
    results: list[Array]
    bytes_used: int  # of the block
    bytes_named: int  # of all buffers, had each its own place

    def run(self) -> None:
        """Everything in order; observers are told of each launch, as when it was recorded."""
        watching = observers()
        if not watching:
            for run in self.runs:
                run()
            return
        for launch, call in zip(self.launches, self.calls):
            call()
            if isinstance(launch, Launch):
                for observer in watching:
                    observer(launch.kernel, launch.inputs, launch.outs, launch.params, False)


def lifetimes(launches: Sequence[Launch | Action], results: Iterable[Place]) -> dict[int, tuple[int, int]]:
    """buffer -> the positions of the first and of the last launch that touch it; results live to the end."""
    lives: dict[int, tuple[int, int]] = {}
    for i, launch in enumerate(launches):
        if isinstance(launch, Launch):
            for buffer in buffers((*launch.inputs, *launch.outs)):
                lives[buffer] = lives.get(buffer, (i, i))[0], i
    for buffer in buffers(tuple(results)):
        lives[buffer] = lives.get(buffer, (0, 0))[0], len(launches)
    return lives


def assign(sizes: dict[int, int], lives: dict[int, tuple[int, int]]) -> tuple[dict[int, int], int]:
    """(buffer -> offset, size of the block), in bytes."""
    offsets: dict[int, int] = {}
    placed = np.empty((len(sizes), 4), np.int64)  # start, stop, first, last
    total = 0
    for n, buffer in enumerate(sorted(sizes, key=lambda b: (-sizes[b], b))):
        first, last = lives[buffer]
        size = -(-sizes[buffer] // ALIGN) * ALIGN
        others = placed[:n]
        others = others[(others[:, 2] <= last) & (others[:, 3] >= first)]
        at = 0
        for start, stop in others[np.argsort(others[:, 0], kind="stable"), :2]:
            if start - at >= size:
                break
            at = max(at, int(stop))
        offsets[buffer] = at
        placed[n] = at, at + size, first, last
        total = max(total, at + size)
    return offsets, total


def plan(launches: Sequence[Launch | Action], sizes: Sequence[int], results: Sequence[Place], module: Any = np) -> Plan:
    """Allocate the block, by the module that makes arrays of the step's device, and bind every launch to it."""
    lives = lifetimes(launches, results)
    needed = {buffer: sizes[buffer] for buffer in lives}
    offsets, total = assign(needed, lives)
    block = _allocate(total) if module is np else module.empty(total, np.uint8)

    def array(place: Place) -> Array:
        if not isinstance(place, View):
            return place
        return within(block, offsets[place.buffer] + place.offset, place.shape, place.dtype, place.strides)

    bound: list[Launch | Action] = []
    for launch in launches:
        if isinstance(launch, Launch):
            inputs, outs = (tuple(map(array, places)) for places in (launch.inputs, launch.outs))
            launch = launch._replace(inputs=inputs, outs=outs)
        bound.append(launch)
    calls, runs = _loops(bound) if module is np else _device_calls(bound, module)
    return Plan(bound, calls, runs, [array(r) for r in results], total, sum(needed.values()))


def _loops(bound: list[Launch | Action]) -> tuple[list[Call], list[Call]]:
    """(a call for each launch of the CPU, the same joined)."""
    from .._jobs import joined  # here, for it needs Numba, which `import tinygen` leaves alone

    with own_scratch():  # for other threads run other plans; the first time finds how large each slot must be
        for _ in range(2):
            calls = [_call(launch) for launch in bound]
    return calls, joined(part for call in calls for part in parts(call))


def _device_calls(bound: list[Launch | Action], module: Any) -> tuple[list[Call], list[Call]]:
    """The same of a GPU."""
    from .._cuda import graph, scratch

    calls = scratch.bound((partial(_call, launch) for launch in bound), module)
    return calls, graph.joined(calls, module)


def _call(launch: Launch | Action) -> Call:
    if isinstance(launch, Action):
        return launch.run
    with multiplying_in(launch.precision):
        return launch.kernel.bind((*launch.inputs, *launch.outs), launch.params)


def _allocate(size: int) -> Array:
    """Aligned bytes.  What the recorded run freed is given back first: else both would count."""
    with suppress(AttributeError, OSError, TypeError):  # not glibc: its allocator decides
        ctypes.CDLL(None).malloc_trim(0)
    raw = np.empty(size + ALIGN, np.uint8)
    shift = -raw.ctypes.data % ALIGN
    return raw[shift : shift + size]
