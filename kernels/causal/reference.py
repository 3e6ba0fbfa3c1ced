"""The specification of sampling: the whole network, on the whole image, for every entry."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..conv import reference as conv
from ..elementwise import reference as elementwise
from ..random import reference as random

Array = Any


def network(x, weights, net):
    """The logits of images x (N, H, W, C) as the network sees them."""
    values, arrays, colors = [x], iter(weights), x.shape[3]
    for op in net:
        inputs = [values[v] for v in op.inputs]
        if op.kind == "conv":
            w, b = next(arrays), next(arrays)
            y = np.empty((*x.shape[:3], len(b)), x.dtype)
            pad = tuple((k // 2, k // 2) for k in w.shape[:2])
            conv.conv2d(inputs[0], w, y, stride=(1, 1), pad=pad, dilation=(1, 1), mask=op.mask, colors=colors)
            values.append(y + b)
        else:
            values.append(np.maximum(inputs[0], 0) if op.kind == "relu" else inputs[0] + inputs[1])
    return values[-1]


def sample(x, u, *rest, net, scale, shift, logits):
    *weights, y, seen = rest
    n, height, width, colors = x.shape
    y[...] = x
    for e, (i, j, c) in enumerate(np.ndindex(height, width, colors)):
        shown = np.where(y < 0, 0, y) * y.dtype.type(scale) + y.dtype.type(shift)
        entry = network(shown, weights, net)[:, i, j].reshape(n, colors, -1)[:, c]  # (N, 1) or (N, K)
        if logits:
            seen.reshape(n, height, width, colors, -1)[:, i, j, c] = entry
        if entry.shape[1] == 1:
            p = np.empty_like(entry)
            elementwise.sigmoid(entry, p)
            drawn = u[e] < p[:, 0]
        else:
            drawn = random.invert(entry, u[e])
        y[:, i, j, c] = np.where(x[:, i, j, c] < 0, drawn, x[:, i, j, c])
