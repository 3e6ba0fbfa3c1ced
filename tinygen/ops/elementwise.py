"""Arithmetic, comparisons, functions and activations, entry by entry, with NumPy's broadcasting.

Operands of one op have one dtype: nothing is promoted, but a Python number takes the dtype of the other operand.
Arithmetic and comparisons also take integers; functions and activations take floating types.
"""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..errors import ArgumentError, DTypeError, ShapeError, check, shown
from ..primitive import primitive
from .shape import sum_to

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")  # what a Tensor may hold


def _unary(kernel, x, **params):
    """Run a kernel that takes floating types."""
    if x.dtype.kind != "f":
        raise DTypeError(f"{kernel.__name__}: x is {x.dtype}. Cast it with .astype('float32').")
    return kernel(x, **params)


def _binary(kernel, a, b, kinds="if", **params):
    """Run a kernel on operands of one dtype, of one of these kinds, and of shapes that broadcast."""
    if a.dtype != b.dtype:
        both = ", ".join(f"{name} is {x.dtype}" for name, x in zip(kernel.inputs, (a, b)))
        raise DTypeError(f"{kernel.__name__}: {both}. Cast one with .astype(...).")
    if a.dtype.kind not in kinds:
        raise DTypeError(f"{kernel.__name__}: the operands are {a.dtype}. Cast them with .astype('float32').")
    if a.shape != b.shape:
        _check_broadcast(kernel.__name__, a=a, b=b)
    return kernel(a, b, **params)


def _gradient(kernel, g_y, other, **params):
    """Run a gradient kernel: two floating arrays of one shape."""
    if g_y.shape != other.shape:
        both = shown(*zip(kernel.inputs, (g_y, other)))
        raise ShapeError(f"{kernel.__name__}: the shapes differ ({both}). Give both one shape.")
    return _binary(kernel, g_y, other, "f", **params)


def _function(name, doc, **options):
    """The op x -> y of the kernel `name`, of floating types."""

    def op(x):
        return _unary(getattr(kernels.elementwise, name), x)

    op.__name__, op.__doc__ = name, doc
    return primitive(op, **options)


def _comparison(name, doc, kinds="buif"):
    """The op a, b -> bools of the kernel `name`, of these kinds of dtypes."""

    def op(a, b):
        return _binary(getattr(kernels.elementwise, name), a, b, kinds)

    op.__name__, op.__doc__ = name, doc
    return primitive(op, piecewise_constant=True)


def _check_broadcast(op, **named):
    try:
        kernels.elementwise.broadcast(*[a.shape for a in named.values()])
    except ValueError:
        raise ShapeError(f"{op}: {shown(*named.items())} do not broadcast. Lengths must be equal or 1.") from None


def _fit(g, shape):
    """The cotangent of an operand of `shape` that was broadcast to the shape of g."""
    return g if g.shape == shape else sum_to(g, shape=shape)


def _zero(g):
    """The cotangent of an argument that acts by a step only."""
    return g * 0.0


# -- arithmetic -------------------------------------------------------------------------------------------------------


@primitive
def add(a, b):
    """a + b."""
    return _binary(kernels.elementwise.add, a, b)


@primitive
def sub(a, b):
    """a - b."""
    return _binary(kernels.elementwise.sub, a, b)


@primitive
def mul(a, b):
    """a * b."""
    return _binary(kernels.elementwise.mul, a, b)


@primitive
def div(a, b):
    """a / b, of floating types; x / 0 is infinite or NaN, as IEEE says."""
    return _binary(kernels.elementwise.div, a, b, "f")


@primitive
def neg(x):
    """-x."""
    check(x.dtype.kind in "if", DTypeError, f"neg: x is {x.dtype}. Cast it with .astype('float32').")
    return kernels.elementwise.neg(x)


abs = _function("abs", "|x|.  The gradient at 0 is 0.")
sign = _function("sign", "-1, 0 or 1; NaN for NaN.", piecewise_constant=True)
floor = _function("floor", "The largest integer <= x, in x's dtype.", piecewise_constant=True)


@primitive
def maximum(a, b):
    """The larger of two entries, NaN if either is.  Equal entries get half of the gradient each, as in PyTorch."""
    return _binary(kernels.elementwise.maximum, a, b)


@primitive
def minimum(a, b):
    """The smaller of two entries, NaN if either is.  Equal entries get half of the gradient each, as in PyTorch."""
    return _binary(kernels.elementwise.minimum, a, b)


@primitive(piecewise_constant=True)
def precedence(a, b):
    """a's part in the gradient of maximum(a, b): 1 where a > b, 1/2 where a == b, else 0."""
    return _binary(kernels.elementwise.precedence, a, b, "f")


@primitive
def clip(x, *, low=None, high=None):
    """x held in [low, high]; None leaves that side open.  The gradient is 1 on the closed interval, as in PyTorch.

    Raises ArgumentError if low > high.
    """
    return _unary(kernels.elementwise.clip, x, **_interval("clip", low, high))


@primitive(outs=("g_x",))
def clip_grad(g_y, x, *, low=None, high=None):
    """The cotangent of x in clip: g_y where low <= x <= high, else 0."""
    return _gradient(kernels.elementwise.clip_grad, g_y, x, **_interval("clip_grad", low, high))


def _interval(op, low, high):
    low = -math.inf if low is None else float(low)
    high = math.inf if high is None else float(high)
    if not low <= high:
        raise ArgumentError(f"{op}: low is {low}, high is {high}. Pass low <= high.")
    return {"low": low, "high": high}


@primitive
def where(cond, a, b):
    """a where cond (bool) holds, else b; all three broadcast."""
    if cond.dtype != bool:
        raise DTypeError(f"where: cond is {cond.dtype}. Compare first: where(x > 0, a, b).")
    if a.dtype != b.dtype:
        raise DTypeError(f"where: a is {a.dtype}, b is {b.dtype}. Cast one with .astype(...).")
    _check_broadcast("where", cond=cond, a=a, b=b)
    return kernels.elementwise.where(cond, a, b)


@primitive
def cast(x, *, dtype):
    """The same numbers as another dtype.  Floats are cut towards zero for integers; bool is x != 0.

    Differentiable between floating types.  Raises DTypeError for dtypes a Tensor cannot hold.
    """
    try:
        to = np.dtype(dtype)
    except TypeError:
        to = None
    if to is None or to.name not in DTYPES:
        raise DTypeError(f"cast: dtype is {dtype!r}. Pass one of {', '.join(DTYPES)}.")
    return kernels.elementwise.cast(x, dtype=to)


add.defvjp(a=lambda g, a_shape: _fit(g, a_shape), b=lambda g, b_shape: _fit(g, b_shape))
sub.defvjp(a=lambda g, a_shape: _fit(g, a_shape), b=lambda g, b_shape: _fit(-g, b_shape))
mul.defvjp(a=lambda g, b, a_shape: _fit(g * b, a_shape), b=lambda g, a, b_shape: _fit(g * a, b_shape))
div.defvjp(a=lambda g, b, a_shape: _fit(g / b, a_shape), b=lambda g, b, y, b_shape: _fit(-g * y / b, b_shape))
neg.defvjp(x=lambda g: -g)
abs.defvjp(x=lambda g, x: g * sign(x))
maximum.defvjp(
    a=lambda g, a, b, a_shape: _fit(g * precedence(a, b), a_shape),
    b=lambda g, a, b, b_shape: _fit(g * precedence(b, a), b_shape),
)
minimum.defvjp(
    a=lambda g, a, b, a_shape: _fit(g * precedence(b, a), a_shape),
    b=lambda g, a, b, b_shape: _fit(g * precedence(a, b), b_shape),
)
clip.defvjp(x=lambda g, x, p: clip_grad(g, x.detach(), **p))
clip_grad.defvjp(g_y=lambda g, x, p: clip_grad(g, x.detach(), **p), x=_zero)
where.defvjp(
    cond=None,
    a=lambda g, cond, a_shape: _fit(where(cond, g, 0.0), a_shape),
    b=lambda g, cond, b_shape: _fit(where(cond, 0.0, g), b_shape),
)
cast.defvjp(x=lambda g, x: cast(g, dtype=x.dtype))

# -- comparisons, to bool ---------------------------------------------------------------------------------------------

equal = _comparison("equal", "a == b.")
not_equal = _comparison("not_equal", "a != b.")
less = _comparison("less", "a < b.")
less_equal = _comparison("less_equal", "a <= b.")
greater = _comparison("greater", "a > b.")
greater_equal = _comparison("greater_equal", "a >= b.")
isfinite = _function("isfinite", "Neither infinite nor NaN.", piecewise_constant=True)
logical_and = _comparison("logical_and", "a and b, of bools.", "b")
logical_or = _comparison("logical_or", "a or b, of bools.", "b")


@primitive(piecewise_constant=True)
def logical_not(x):
    """not x, of bools."""
    check(x.dtype == bool, DTypeError, f"logical_not: x is {x.dtype}. Compare first: logical_not(x > 0).")
    return kernels.elementwise.logical_not(x)


# -- functions --------------------------------------------------------------------------------------------------------

exp = _function("exp", "e**x.")
expm1 = _function("expm1", "e**x - 1, accurate near 0.")
log = _function("log", "Natural logarithm: -inf at 0, NaN below.")
log1p = _function("log1p", "log(1 + x), accurate near 0.")
sqrt = _function("sqrt", "Square root: NaN below 0.  The gradient at 0 is infinite.")
sin = _function("sin", "Sine of radians.")
cos = _function("cos", "Cosine of radians.")


@primitive
def pow(x, *, exponent):
    """x**exponent for a number as exponent.  With exponent 0 the gradient is 0 everywhere."""
    return _unary(kernels.elementwise.pow, x, exponent=float(exponent))


exp.defvjp(x=lambda g, y: g * y)
expm1.defvjp(x=lambda g, y: g * (y + 1.0))
log.defvjp(x=lambda g, x: g / x)
log1p.defvjp(x=lambda g, x: g / (1.0 + x))
sqrt.defvjp(x=lambda g, y: g / (2.0 * y))
pow.defvjp(x=lambda g, x, exponent: g * (exponent * pow(x, exponent=exponent - 1.0)) if exponent else g * 0.0)
sin.defvjp(x=lambda g, x: g * cos(x))
cos.defvjp(x=lambda g, x: -g * sin(x))

# -- activations ------------------------------------------------------------------------------------------------------
# Each gradient is an op in one pass, from the output where that suffices, so that the input can be freed.  It is linear
# in g; where it depends on the other argument by a step only, that argument enters detached, to spare adding zeros.

tanh = _function("tanh", "Hyperbolic tangent.")
sigmoid = _function("sigmoid", "1 / (1 + e**-x), exact to rounding in both tails.")
softplus = _function("softplus", "log(1 + e**x), without overflow: softplus(1000) is 1000.")
log_sigmoid = _function("log_sigmoid", "log(sigmoid(x)) = -softplus(-x), without underflow.")
relu = _function("relu", "max(x, 0).  The gradient at 0 is 0.")
gelu = _function("gelu", "x * Phi(x), Phi the normal distribution function.  Hendrycks and Gimpel 2016, equation 1.")


@primitive
def leaky_relu(x, *, slope=0.01):
    """x where x > 0, else slope * x.  Raises ArgumentError for a negative slope."""
    return _unary(kernels.elementwise.leaky_relu, x, slope=_not_negative("leaky_relu", slope=slope))


@primitive
def elu(x, *, alpha=1.0):
    """x where x > 0, else alpha * (e**x - 1).  Clevert et al. 2016.  Raises ArgumentError for a negative alpha."""
    return _unary(kernels.elementwise.elu, x, alpha=_not_negative("elu", alpha=alpha))


@primitive(outs=("g_x",))
def tanh_grad(g_y, y):
    """g_y * (1 - y**2), y = tanh(x)."""
    return _gradient(kernels.elementwise.tanh_grad, g_y, y)


@primitive(outs=("g_x",))
def sigmoid_grad(g_y, y):
    """g_y * y * (1 - y), y = sigmoid(x)."""
    return _gradient(kernels.elementwise.sigmoid_grad, g_y, y)


@primitive(outs=("g_x",))
def softplus_grad(g_y, x):
    """g_y * sigmoid(x)."""
    return _gradient(kernels.elementwise.softplus_grad, g_y, x)


@primitive(outs=("g_x",))
def relu_grad(g_y, y):
    """g_y where y > 0, else 0; y = relu(x), or x itself."""
    return _gradient(kernels.elementwise.relu_grad, g_y, y)


@primitive(outs=("g_x",))
def leaky_relu_grad(g_y, y, *, slope=0.01):
    """g_y where y > 0, else slope * g_y; y = leaky_relu(x), or x itself: they have one sign."""
    return _gradient(kernels.elementwise.leaky_relu_grad, g_y, y, slope=_not_negative("leaky_relu_grad", slope=slope))


@primitive(outs=("g_x",))
def elu_grad(g_y, y, *, alpha=1.0):
    """g_y where y > 0, else g_y * (y + alpha); y = elu(x)."""
    return _gradient(kernels.elementwise.elu_grad, g_y, y, alpha=_not_negative("elu_grad", alpha=alpha))


@primitive(outs=("g_x",))
def gelu_grad(g_y, x):
    """g_y * (Phi(x) + x * phi(x)), phi the normal density."""
    return _gradient(kernels.elementwise.gelu_grad, g_y, x)


def _not_negative(op, **named):
    ((name, value),) = named.items()
    if not value >= 0:
        raise ArgumentError(f"{op}: {name} is {value}. Pass a number >= 0.")
    return float(value)


def _normal_density(x):
    return exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


tanh.defvjp(x=lambda g, y: tanh_grad(g, y))
tanh_grad.defvjp(g_y=lambda g, y: tanh_grad(g, y), y=lambda g, g_y, y: -2.0 * g * g_y * y)
sigmoid.defvjp(x=lambda g, y: sigmoid_grad(g, y))
sigmoid_grad.defvjp(g_y=lambda g, y: sigmoid_grad(g, y), y=lambda g, g_y, y: g * g_y * (1.0 - 2.0 * y))
softplus.defvjp(x=lambda g, x: softplus_grad(g, x))
softplus_grad.defvjp(g_y=lambda g, x: softplus_grad(g, x), x=lambda g, g_y, x: sigmoid_grad(g * g_y, sigmoid(x)))
log_sigmoid.defvjp(x=lambda g, x: softplus_grad(g, -x))
relu.defvjp(x=lambda g, y: relu_grad(g, y.detach()))
relu_grad.defvjp(g_y=lambda g, y: relu_grad(g, y.detach()), y=_zero)
leaky_relu.defvjp(x=lambda g, y, p: leaky_relu_grad(g, y.detach(), **p))
leaky_relu_grad.defvjp(g_y=lambda g, y, p: leaky_relu_grad(g, y.detach(), **p), y=_zero)
elu.defvjp(x=lambda g, y, p: elu_grad(g, y, **p))
elu_grad.defvjp(g_y=lambda g, y, p: elu_grad(g, y, **p), y=lambda g, g_y, y: where(y > 0.0, 0.0, g * g_y))
gelu.defvjp(x=lambda g, x: gelu_grad(g, x))
gelu_grad.defvjp(
    g_y=lambda g, x: gelu_grad(g, x),
    x=lambda g, g_y, x: g * g_y * _normal_density(x) * (2.0 - x * x),
)
