"""Sampling from an autoregressive network of masked convolutions, entry by entry.

The network is a tuple of `Op`s.  Value 0 is the image as the network sees it, (N, H, W, C); op i makes value i + 1
from values made before; the last one holds the logits, (N, H, W, C) or (N, H, W, C * K), colour by colour.

    Op("conv", (v,), mask)    the next two of `weights`, w (K, K', C, O) with odd K and K', and b (O,): what
                              `conv2d_bias_act` computes with padding that keeps the size, and as many colours as images
    Op("relu", (v,))          max(v, 0)
    Op("add", (v, u))         v + u, of equal shapes

Masks make a value at a pixel depend on earlier pixels, and on earlier colours of its own, only.  So a network that is
run again for every entry does the same work H * W * C times; each number needs to be computed but once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .._kernel import Spec, kernel, like

Array = Any


class Op(NamedTuple):
    """One line of a network; see above."""

    kind: str
    inputs: tuple[int, ...]
    mask: str | None = None


@kernel("y", "seen")
def sample(x: Array, u: Array, *weights: Array, net: tuple[Op, ...], scale: float, shift: float, logits: bool) -> Any:
    """Images drawn in raster order, colour by colour; entries of x that are >= 0 are kept.

    x (N, H, W, C); u (H * W * C, N), a uniform on [0, 1) for every entry; the network sees scale * y + shift.  With one
    logit for an entry it is 1 where u < sigmoid(logit), else 0; with K logits it is a category in proportion to
    exp(logits), as `random.categorical` draws it.
    y like x; seen (N, H, W, channels of the logits): each entry's logits as it was drawn, or empty unless `logits`.
    """
    n, height, width, _ = x.shape
    return like(x), Spec((n if logits else 0, height, width, len(weights[-1])), x.dtype)
