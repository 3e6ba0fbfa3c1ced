"""Broadcasting to a shape, and sums over event axes: what the distributions share."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..convert import as_tensor
from ..errors import ArgumentError, ShapeError, shape_text
from ..tensor import Tensor


def spread(op: str, x: Any, shape: tuple[int, ...]) -> Tensor:
    """x as a Tensor of this shape; itself if it has it."""
    x = as_tensor(x, op=op)
    if x.shape == shape:
        return x
    try:
        fits = np.broadcast_shapes(x.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{op}: {shape_text(x.shape)} does not broadcast to {shape_text(shape)}.")
    return ops.broadcast_to(x, shape=shape)


def common_shape(op: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all broadcast to."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"{op}: {' and '.join(map(shape_text, shapes))} do not broadcast to one shape.") from None


def sum_events(op: str, terms: Tensor, event_ndim: int) -> Tensor:
    """Sum over the last event_ndim axes."""
    if not 0 <= event_ndim <= terms.ndim:
        raise ArgumentError(f"{op}: event_ndim is {event_ndim}, there are {terms.ndim} axes. Pass 0 to {terms.ndim}.")
    return ops.sum(terms, axis=tuple(range(terms.ndim - event_ndim, terms.ndim))) if event_ndim else terms


def batch(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    """The axes of a sample before those of the distribution."""
    return (shape,) if isinstance(shape, int) else tuple(shape)
