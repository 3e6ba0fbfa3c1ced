"""Elementwise kernels with broadcasting: one row here is one kernel.

To add one: a row here with its formula in `reference.py` (NumPy) and `cpu.py` (a scalar function, compiled into a loop
over the broadcast shape), a declaration in `tinygen/ops/elementwise.py`, and a case.  Traffic is one read of each
operand and one write; the operands of one call have one dtype, except for the condition of `where`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from .._kernel import Kernel, Spec, kernel

Array = Any
BOOL = np.dtype(np.bool_)


@lru_cache(maxsize=4096)
def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape by NumPy's rules.  Raises ValueError where there is none."""
    return np.broadcast_shapes(*shapes)


def _row(inputs: str, out: str = "y", boolean: bool = False) -> Callable[..., Kernel]:
    """A maker of kernels with these inputs and this output: maker(name, what it computes, parameter=default, ...)."""
    names = inputs.split()

    def make(name: str, doc: str, **params: Any) -> Kernel:
        def plan(*arrays: Array, **_: Any) -> Spec:
            shape = arrays[0].shape
            for a in arrays[1:]:
                if a.shape != shape:
                    shape = broadcast(*[b.shape for b in arrays])
                    break
            return Spec(shape, BOOL if boolean else arrays[-1].dtype)

        plan.__name__, plan.__doc__ = name, doc
        positional = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names]
        keyword = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in params.items()]
        plan.__signature__ = inspect.Signature([*positional, *keyword])  # type: ignore[attr-defined]
        return kernel(out)(plan)

    return make


unary, binary, ternary = _row("x"), _row("a b"), _row("cond a b")
test, compare = _row("x", boolean=True), _row("a b", boolean=True)
gradient_from_y, gradient_from_x = _row("g_y y", "g_x"), _row("g_y x", "g_x")

# -- arithmetic -------------------------------------------------------------------------------------------------------
add = binary("add", "a + b")
sub = binary("sub", "a - b")
mul = binary("mul", "a * b")
div = binary("div", "a / b")
neg = unary("neg", "-x")
abs = unary("abs", "|x|")
sign = unary("sign", "-1, 0 or 1; NaN stays")
floor = unary("floor", "the largest integer <= x")
maximum = binary("maximum", "the larger; NaN wins")
minimum = binary("minimum", "the smaller; NaN wins")
clip = unary("clip", "x held in [low, high]; NaN stays", low=-np.inf, high=np.inf)
where = ternary("where", "a where cond (bool), else b")

# -- comparisons, to bool ---------------------------------------------------------------------------------------------
equal = compare("equal", "a == b")
not_equal = compare("not_equal", "a != b")
less = compare("less", "a < b")
less_equal = compare("less_equal", "a <= b")
greater = compare("greater", "a > b")
greater_equal = compare("greater_equal", "a >= b")
isfinite = test("isfinite", "neither infinite nor NaN")
logical_not = test("logical_not", "not x, of bools")
logical_and = compare("logical_and", "a and b, of bools")
logical_or = compare("logical_or", "a or b, of bools")

# -- functions --------------------------------------------------------------------------------------------------------
exp = unary("exp", "e**x")
expm1 = unary("expm1", "e**x - 1, accurate near 0")
log = unary("log", "natural logarithm")
log1p = unary("log1p", "log(1 + x), accurate near 0")
sqrt = unary("sqrt", "square root")
pow = unary("pow", "x**exponent", exponent=2.0)
sin = unary("sin", "sine of radians")
cos = unary("cos", "cosine of radians")
tanh = unary("tanh", "hyperbolic tangent")

# -- activations ------------------------------------------------------------------------------------------------------
sigmoid = unary("sigmoid", "1 / (1 + e**-x)")
log_sigmoid = unary("log_sigmoid", "log(sigmoid(x)) = -softplus(-x)")
softplus = unary("softplus", "log(1 + e**x)")
relu = unary("relu", "max(x, 0)")
leaky_relu = unary("leaky_relu", "x where x > 0, else slope * x", slope=0.01)
elu = unary("elu", "x where x > 0, else alpha * (e**x - 1)", alpha=1.0)
gelu = unary("gelu", "x * Phi(x), Phi the normal distribution function")

# -- their gradients, in one pass each: linear in g, so each is an op with rules of its own ---------------------------
tanh_grad = gradient_from_y("tanh_grad", "g_y * (1 - y**2)")
sigmoid_grad = gradient_from_y("sigmoid_grad", "g_y * y * (1 - y)")
relu_grad = gradient_from_y("relu_grad", "g_y where y > 0, else 0")
leaky_relu_grad = gradient_from_y("leaky_relu_grad", "g_y where y > 0, else slope * g_y", slope=0.01)
elu_grad = gradient_from_y("elu_grad", "g_y where y > 0, else g_y * (y + alpha)", alpha=1.0)
softplus_grad = gradient_from_x("softplus_grad", "g_y * sigmoid(x)")
gelu_grad = gradient_from_x("gelu_grad", "g_y * (Phi(x) + x * phi(x)), phi the normal density")
clip_grad = gradient_from_x("clip_grad", "g_y where low <= x <= high, else 0", low=-np.inf, high=np.inf)
precedence = binary("precedence", "a's part in the gradient of maximum(a, b): 1 where a > b, 1/2 where equal, else 0")


@kernel("y")
def cast(x: Array, *, dtype: np.dtype) -> Spec:
    """The same numbers in another dtype; floats are cut towards zero for integers, and non-zero is True."""
    return Spec(x.shape, np.dtype(dtype))
