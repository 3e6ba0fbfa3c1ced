"""Shapes, dtypes, memory layouts, and arrays told by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ..layouts import LAYOUTS, repeated
from ..registry import Case

_LAYOUTS = {**LAYOUTS, "repeated": repeated}


@dataclass(frozen=True)
class Filled:
    """Standard normals of this shape, dtype and layout, from this seed; `array` makes them."""

    shape: tuple[int, ...]
    dtype: str = "float64"
    layout: str = "contiguous"
    seed: int = 0

    @property
    def array(self) -> np.ndarray:
        """A fresh array."""
        entries = np.random.Generator(np.random.Philox(self.seed)).standard_normal(self.shape)
        return _LAYOUTS[self.layout](np.asarray(entries).astype(self.dtype))


def seeds() -> st.SearchStrategy[int]:
    """Of generators; 0 is the simplest."""
    return st.integers(0, 2**32 - 1)


def dtypes() -> st.SearchStrategy[str]:
    """ "float64", then "float32"."""
    return st.sampled_from(["float64", "float32"])


def layouts() -> st.SearchStrategy[str]:
    """Names of memory layouts, "contiguous" first; "repeated" has its first row in every row, by a stride of zero."""
    return st.sampled_from(list(_LAYOUTS))


def shapes(min_dims: int = 0, max_dims: int = 3, max_side: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes with sides 1, 2, ..., max_side, and 0."""
    sides = st.sampled_from([*range(1, max_side + 1), 0])
    return st.lists(sides, min_size=min_dims, max_size=max_dims).map(tuple)


def broadcastable(count: int, max_dims: int = 3, max_side: int = 4) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    """`count` shapes that broadcast with each other, sides of 0 and 1 and missing axes among them."""
    drawn = hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=max_dims, min_side=0, max_side=max_side)
    return drawn.map(lambda found: found.input_shapes)


def arrays(
    of: st.SearchStrategy[tuple[int, ...]] | tuple[int, ...] | None = None,
    dtype: str | None = None,
    layout: str | None = None,
) -> st.SearchStrategy[Filled]:
    """Arrays of the shapes drawn from `of` (any shapes), of one dtype and layout or any."""
    return st.builds(
        Filled,
        shapes() if of is None else st.just(of) if isinstance(of, tuple) else of,
        dtypes() if dtype is None else st.just(dtype),
        layouts() if layout is None else st.just(layout),
        seeds(),
    )


@st.composite
def samples(draw: Any, case: Case, dtype: Any = np.float64) -> tuple[list[Any], dict[str, Any]]:
    """Inputs and parameters of a registered case: sizes and choices are hypothesis's, entries follow from a seed."""
    return case.draw(draw(seeds()), dtype, lambda low, high: draw(st.integers(low, high)))
