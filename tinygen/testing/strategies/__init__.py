"""Hypothesis strategies for what gradient tests draw; they shrink to the smallest case, which reads as a line of code.

    @given(strategies.convolutions())
    def test_mine(geometry):
        x, w = geometry.arrays()
        gradcheck(my_conv, x, w, **geometry.params)

What is drawn is a description (shapes, parameters, a layout, a seed), not lists of numbers: entries are normals from
the seed.  Hypothesis then shrinks what matters, and the failing example it prints can be pasted into a test.
Raises MissingExtra without hypothesis.
"""

from ...errors import MissingExtra

try:
    import hypothesis as _hypothesis  # noqa: F401
except ModuleNotFoundError:
    raise MissingExtra("hypothesis", "test", "tinygen.testing.strategies") from None

from .arrays import Filled, arrays, broadcastable, dtypes, layouts, samples, seeds, shapes
from .convolutions import Convolution, Refused, causal_convolutions, convolutions, refused_convolutions
from .flows import Coupling, CouplingMask, Flow, Scaling, Shuffle, coupling_masks, flows

__all__ = [
    "Convolution", "Coupling", "CouplingMask", "Filled", "Flow", "Refused", "Scaling", "Shuffle", "arrays",
    "broadcastable", "causal_convolutions", "convolutions", "coupling_masks", "dtypes", "flows", "layouts",
    "refused_convolutions", "samples", "seeds", "shapes",
]  # fmt: skip
