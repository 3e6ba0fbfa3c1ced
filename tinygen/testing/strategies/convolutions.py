"""Geometries of convolutions that are valid by construction, and others with the error that each must raise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ...errors import ArgumentError, DTypeError, ShapeError, TinygenError
from ...kernels.conv import out_hw
from .arrays import seeds

Pair = tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """x (N, H, W, C), w (K, K', C, O) and parameters that fit: at least one window.  `arrays()` gives x and w."""

    n: int
    hw: Pair
    k: Pair
    c: int
    o: int
    stride: Pair = (1, 1)
    pad: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    mask: str | None = None
    colors: int = 1
    seed: int = 0

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return (self.n, *self.hw, self.c)

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        return (*self.k, self.c, self.o)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return (self.n, *out_hw(self.hw, self.k, self.stride, self.pad, self.dilation), self.o)

    @property
    def params(self) -> dict[str, Any]:
        """Keyword arguments of `ops.conv2d`; its other directions take x_hw or k besides."""
        return {name: getattr(self, name) for name in ("stride", "pad", "dilation", "mask", "colors")}

    def arrays(self, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        """Normals of these shapes; of x and w if none are given."""
        generator = np.random.Generator(np.random.Philox(self.seed))
        return [generator.standard_normal(shape) for shape in shapes or (self.x_shape, self.w_shape)]


@dataclass(frozen=True)
class Refused:
    """Arguments that `ops.conv2d` must refuse before any work, with `error` and a text that `match`es."""

    why: str
    x: np.ndarray
    w: np.ndarray
    params: dict[str, Any]
    error: type[TinygenError]
    match: str

    def __repr__(self) -> str:
        return f"Refused({self.why}: x {self.x.shape} {self.x.dtype}, w {self.w.shape}, {self.params})"


def _batch() -> st.SearchStrategy[int]:
    return st.sampled_from([1, 2, 3, 0])


@st.composite
def convolutions(draw: Any, max_side: int = 4, max_channels: int = 4) -> Convolution:
    """Any kernel, stride, padding on each side and dilation; the image is as large as they need, or a little larger."""
    one = st.integers(1, 3)
    k, stride = (draw(st.tuples(one, one)) for _ in range(2))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    side = st.integers(0, 2)
    pad = draw(st.tuples(st.tuples(side, side), st.tuples(side, side)))
    least = [max((size - 1) * d + 1 - sum(p), 1) for size, d, p in zip(k, dilation, pad)]
    hw = tuple(n + draw(st.integers(0, max_side)) for n in least)
    c, o = (draw(st.integers(1, max_channels)) for _ in range(2))
    return Convolution(draw(_batch()), (hw[0], hw[1]), k, c, o, stride, pad, dilation, seed=draw(seeds()))


@st.composite
def causal_convolutions(draw: Any, max_side: int = 4) -> Convolution:
    """Masked, as many rows and columns out as in, with channels in one to three colours, in unequal groups too."""
    k = draw(st.tuples(*[st.sampled_from([1, 3, 5])] * 2))
    colors = draw(st.integers(1, 3))
    c, o = (draw(st.integers(colors, colors + 3)) for _ in range(2))
    height, width = (draw(st.integers(1, max_side)) for _ in range(2))
    return Convolution(
        draw(_batch()), (height, width), k, c, o, pad=((k[0] // 2,) * 2, (k[1] // 2,) * 2),
        mask=draw(st.sampled_from(["A", "B"])), colors=colors, seed=draw(seeds()),
    )  # fmt: skip


@st.composite
def refused_convolutions(draw: Any) -> Refused:
    """A valid geometry with one thing made wrong."""
    g = draw(convolutions())
    x, w = g.arrays()
    extra = draw(st.integers(1, 3))
    shape = lambda *axes: np.zeros(axes)
    many = replace(g, mask="A", colors=min(g.c, g.o) + extra)
    whole = [(size - 1) * d + 1 for size, d in zip(g.k, g.dilation)]
    mistakes: dict[str, tuple[np.ndarray, np.ndarray, dict[str, Any], type[TinygenError], str]] = {
        "channels differ": (x, shape(*g.k, g.c + extra, g.o), {}, ShapeError, f"w has {g.c + extra} input channels"),
        "no window fits": (
            shape(g.n, *whole, g.c), shape(whole[0] + extra, *g.w_shape[1:]), {"pad": 0, "dilation": 1}, ShapeError,
            "no window of",
        ),
        "an axis of x is missing": (x[0] if g.n else shape(*g.x_shape[1:]), w, {}, ShapeError, "x has shape"),
        "an axis of w is missing": (x, w[0], {}, ShapeError, "w has shape"),
        "no columns": (x[:, :, :0], w, {}, ShapeError, "none but N empty"),
        "no output channels": (x, w[..., :0], {}, ShapeError, "none but N empty"),
        "integers": (x.astype(np.int64), w, {}, DTypeError, "x is int64"),
        "stride": (x, w, {"stride": 1 - extra}, ArgumentError, f"stride is {1 - extra}"),
        "dilation": (x, w, {"dilation": (1, 1 - extra)}, ArgumentError, "dilation is"),
        "padding": (x, w, {"pad": -extra}, ArgumentError, f"pad is {-extra}"),
        "padding of three axes": (x, w, {"pad": (0, 0, extra)}, ArgumentError, "pad is"),
        "mask": (x, w, {"mask": "C"}, ArgumentError, "mask is 'C'"),
        "colours without a mask": (x, w, {"colors": 1 + extra}, ArgumentError, f"colors is {1 + extra} with mask None"),
        "more colours than channels": (x, w, many.params, ArgumentError, f"colors is {many.colors} for"),
    }  # fmt: skip
    why = draw(st.sampled_from(list(mistakes)))
    x, w, wrong, error, match = mistakes[why]
    return Refused(why, x, w, {**g.params, **wrong}, error, match)
