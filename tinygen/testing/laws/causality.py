"""Autoregressive order: an output sees only what came before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...modes import no_grad
from ...tensor import Tensor
from ..seeding import chosen
from .broken import LawBroken


def causal(logits: Any, x: Any, *, seed: int | None = None, pixels: int = 6) -> None:
    """logits(x), x (N, H, W, C) -> (N, H, W, C, ...), at an entry ignores that entry and all later ones, bit for bit.

    The order is raster order, colour by colour.  Later entries are replaced by other values and by NaN.
    """
    x = x.data if isinstance(x, Tensor) else np.asarray(x)
    _, height, width, colors = x.shape
    generator = np.random.Generator(np.random.Philox(chosen(seed)))
    with no_grad():
        before = logits(Tensor(x)).data
        flat = before.reshape(len(x), height * width * colors, -1)
        for position in generator.choice(height * width * colors, min(pixels, height * width * colors), replace=False):
            for poison in (generator.standard_normal(), np.nan):
                changed = x.copy().reshape(len(x), -1)
                changed[:, position:] = poison
                after = logits(Tensor(changed.reshape(x.shape))).data.reshape(flat.shape)
                if not np.array_equal(after[:, : position + 1], flat[:, : position + 1]):
                    i, j, c = np.unravel_index(position, (height, width, colors))
                    raise LawBroken(
                        f"causality: changing pixel ({i},{j}) colour {c} and later ones changed outputs before it."
                    )
