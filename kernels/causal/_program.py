"""A network as a list of steps for one pixel, one list for each colour: integers that a compiled loop can follow.

A step writes one colour's channels of one value at one pixel, for all images.  Values are kept no longer than they are
read: a convolution of K rows reads K // 2 rows above its own, so its input is a ring of K // 2 + 1 rows of pixels; any
other value is one pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..conv import Block, blocks
from . import Op

Array = Any
Shape = tuple[int, int, int, int]  # of weights

CONV, RELU, ADD = range(3)
KINDS = {"conv": CONV, "relu": RELU, "add": ADD}


class Value(NamedTuple):
    """Where a value lies: the ring of pixels that is kept of it."""

    at: int  # in entries for one image
    rows: int
    columns: int
    channels: int


class Step(NamedTuple):
    """One operation on channels column to column + columns of value `to`; the rest is for convolutions."""

    kind: int
    source: int  # the value read
    other: int  # the second one of a sum
    to: int
    column: int
    columns: int
    depth: int = 0  # channels read of the source
    first_tap: int = 0
    taps: int = 0
    weights: int = 0  # where its packed matrix begins
    adds: bool = False  # to what the step before wrote
    ends: bool = False  # the sum: only the bias is left


class Matrix(NamedTuple):
    """What a step multiplies by: these taps and channels of weights number `layer`; its bias goes with it."""

    layer: int
    block: Block


class Program(NamedTuple):
    """steps[first[c] : first[c + 1]] make the logits of colour c; taps (T, 2) are rows and columns from the pixel."""

    first: Array
    steps: Array
    values: Array
    taps: Array
    size: int  # entries of all values together, for one image
    matrices: list[Matrix]


def _records(rows: list[Any], kind: Any) -> Array:
    """NamedTuples of integers as an array of records of the same fields."""
    return np.array(rows, [(name, np.int64) for name in kind._fields])


def _values(net: tuple[Op, ...], shapes: tuple[Shape, ...], width: int, colors: int) -> list[Value]:
    channels, layers = [colors], iter(shapes)
    reach = np.ones((1 + len(net), 2), np.int64)  # of the largest window through which each is read
    for op in net:
        v = op.inputs[0]
        if op.kind == "conv":
            *window, _, o = next(layers)
            reach[v] = np.maximum(reach[v], window)
        channels.append(o if op.kind == "conv" else channels[v])
    values, at = [], 0
    for c, (rows, columns) in zip(channels, reach.tolist(), strict=True):
        values.append(Value(at, rows // 2 + 1, width if max(rows, columns) > 1 else 1, c))
        at += values[-1].rows * values[-1].columns * c
    return values


def _parts(shape: Shape, mask: str | None, color: int, colors: int) -> Iterator[Block]:
    """What the outputs of one colour sum over: dense blocks, in the order in which `conv2d` adds them."""
    whole, *centre = blocks(shape, mask, colors)
    outputs = _channels(shape[3], color, colors)
    own = [block for block in centre if block.outputs == outputs]
    if whole.taps or not own:
        yield whole._replace(outputs=outputs)
    yield from own


def _channels(n: int, color: int, colors: int) -> slice:
    """Those of one colour among n."""
    return slice(-(-color * n // colors), -(-(color + 1) * n // colors))


@lru_cache(maxsize=64)
def program(net: tuple[Op, ...], shapes: tuple[Shape, ...], width: int, colors: int, panel: int) -> Program:
    """Steps for images (H, width, colors); shapes: of the weights, in order; panel: columns of a packed panel."""
    values = _values(net, shapes, width, colors)
    steps: list[Step] = []
    taps: list[tuple[int, int]] = []
    matrices: list[Matrix] = []
    first, packed = [0], 0
    for color in range(colors):
        layer = 0
        for to, op in enumerate(net, start=1):
            written = _channels(values[to].channels, color, colors)
            columns = written.stop - written.start
            step = Step(KINDS[op.kind], op.inputs[0], op.inputs[-1], to, written.start, columns)
            if op.kind != "conv":
                steps.append(step)
                continue
            shape = shapes[layer]
            parts = list(_parts(shape, op.mask, color, colors))
            for n, part in enumerate(parts):
                depth, count = part.inputs.stop, len(part.taps)
                steps.append(
                    step._replace(depth=depth, first_tap=len(taps), taps=count, weights=packed, adds=n > 0,
                                  ends=n == len(parts) - 1)
                )  # fmt: skip
                taps += [(i - shape[0] // 2, j - shape[1] // 2) for i, j in part.taps]
                matrices.append(Matrix(layer, part))
                packed += -(-columns // panel) * panel * (1 + count * depth)
            layer += 1
        first.append(len(steps))
    size = values[-1].at + values[-1].rows * values[-1].columns * values[-1].channels
    places = np.array(taps, np.int64).reshape(-1, 2)
    return Program(np.array(first), _records(steps, Step), _records(values, Value), places, size, matrices)
