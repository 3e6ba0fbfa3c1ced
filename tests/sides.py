"""One function here and in PyTorch: gradients for the same random cotangents, and what counts as equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import tinygen as tg


class Layout(NamedTuple):
    """How an array of ours becomes a torch tensor, and the way back."""

    there: Callable[[np.ndarray], Any]
    back: Callable[[Any], np.ndarray]


def plain() -> Layout:
    """Axes in the same order on both sides."""
    import torch

    return Layout(torch.tensor, lambda t: t.numpy(force=True))


class Sides:
    """Inputs that move: leaves of ours, the same on PyTorch's side, the layout of each; `rng` draws cotangents."""

    def __init__(self, ours: Sequence[Any], theirs: Sequence[Any], layouts: Sequence[Layout], rng: Any):
        self.ours, self.theirs, self.layouts, self.rng = ours, theirs, layouts, rng

    def gradients(self, ys: Sequence[Any], zs: Sequence[Any], layouts: Sequence[Layout]) -> tuple[Any, Any]:
        """Of what is differentiable of these outputs (Tensors ys, torch's zs; None counts as a constant)."""
        import torch

        vs = [None if y is None else self.rng.standard_normal(y.shape) for y in ys]
        here = [(y, tg.Tensor(v)) for y, v in zip(ys, vs, strict=True) if y is not None and y.requires_grad]
        there = [
            (z, layout.there(v))
            for z, v, layout in zip(zs, vs, layouts, strict=True)
            if z is not None and v is not None and z.requires_grad
        ]
        gs = hs = [None] * len(self.ours)
        if here:
            gs = tg.grad(*_parts(here, self.ours), allow_unused=True, create_graph=True)
        if there:
            hs = torch.autograd.grad(*_parts(there, self.theirs), allow_unused=True, create_graph=True)
        return gs, hs

    def second_gradients(self, gs: Sequence[Any], hs: Sequence[Any]) -> tuple[Any, Any]:
        """Of the gradients that `gradients` returned."""
        return self.gradients(gs, hs, self.layouts)

    def assert_equal(self, gs: Sequence[Any], hs: Sequence[Any], *, tolerance: float) -> None:
        """Gradients agree to 1e-8, or to `tolerance` * 1e-9 near zero; none at all and one of zeros are the same."""
        for g, h, layout in zip(gs, hs, self.layouts, strict=True):
            g, h = None if g is None else g.numpy(), None if h is None else layout.back(h)
            if g is None or h is None:
                assert not np.any(0 if g is None else g), "PyTorch has no gradient here"
                assert not np.any(0 if h is None else h), "only PyTorch has a gradient here"
            else:
                np.testing.assert_allclose(g, h, rtol=1e-8, atol=1e-9 * tolerance)


def _parts(pairs: Sequence[tuple[Any, Any]], leaves: Sequence[Any]) -> tuple[Any, Any, Any]:
    """What both `grad` functions take: outputs, leaves, cotangents."""
    outs, cotangents = zip(*pairs, strict=True)
    return outs, leaves, cotangents
