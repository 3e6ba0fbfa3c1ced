"""Random draws.  Each function takes a keyword-only `key` and is a pure function of it: derive a new one for each draw.

`key.fold_in("name")` or `key.fold_in(step)` derives; two draws with one key are the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..errors import ArgumentError, DTypeError, ShapeError, check, shape_text, shown
from ..kernels._devices import beside
from ..primitive import primitive
from ..random import Key
from ..tensor import Tensor
from .elementwise import exp, mul


def _key(op: str, key: Any) -> Any:
    if not isinstance(key, Key):
        raise ArgumentError(f"{op}: key is {type(key).__name__}. Pass key=tg.Key(seed), or one derived with fold_in.")
    return key.data


def _float_type(op: str, dtype: Any) -> np.dtype:
    found = np.dtype(dtype)
    check(found in (np.float32, np.float64), DTypeError, f"{op}: dtype is {found}. Pass 'float32' or 'float64'.")
    return found


def _shape(op: str, shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in sizes):
        raise ArgumentError(f"{op}: shape is {shape!r}. Pass a tuple of lengths >= 0.")
    return tuple(int(n) for n in sizes)


def uniform(shape: Any = (), *, key: Key, low: float = 0.0, high: float = 1.0, dtype: Any = "float32") -> Tensor:
    """Uniform on [low, high): multiples of 2**-24 (float32) or 2**-53 (float64), scaled."""
    kind, sizes = _float_type("uniform", dtype), _shape("uniform", shape)
    u = Tensor(kernels.random.uniform(_key("uniform", key), shape=sizes, dtype=kind))
    return u if (low, high) == (0.0, 1.0) else u * (high - low) + low


def normal(shape: Any = (), *, key: Key, dtype: Any = "float32") -> Tensor:
    """Standard normal: mean 0, variance 1."""
    kind, sizes = _float_type("normal", dtype), _shape("normal", shape)
    return Tensor(kernels.random.normal(_key("normal", key), shape=sizes, dtype=kind))


def bernoulli(p: Any, *, key: Key) -> Tensor:
    """1 with probability p and 0 otherwise, as floats of p's type; no gradient.  p any shape -> the same."""
    p = p if isinstance(p, Tensor) else Tensor(np.asarray(p, getattr(p, "dtype", np.float32)))
    check(p.dtype.kind == "f", DTypeError, f"bernoulli: p is {p.dtype}. Cast it with .astype('float32').")
    return Tensor(kernels.random.bernoulli(p.data, _key("bernoulli", key)))


def categorical(logits: Any, *, key: Key) -> Tensor:
    """A category for every row, with probabilities softmax(logits); no gradient.  (..., K) -> int64 (...) in [0, K).

    A logit of -inf is never drawn; every row needs one that is finite.
    """
    logits = logits if isinstance(logits, Tensor) else Tensor(np.asarray(logits, getattr(logits, "dtype", np.float32)))
    check(logits.dtype.kind == "f", DTypeError, f"categorical: logits are {logits.dtype}. Cast them to a float type.")
    if logits.ndim < 1 or logits.shape[-1] < 1:
        raise ShapeError(f"categorical: logits {shape_text(logits.shape)} have no categories. Pass (..., K), K >= 1.")
    return Tensor(kernels.random.categorical(logits.data, _key("categorical", key)))


def permutation(n: int, *, key: Key) -> Tensor:
    """The numbers 0 ... n - 1 in random order, int64 (n,)."""
    if not isinstance(n, int | np.integer) or not 0 <= n < 1 << 32:
        raise ArgumentError(f"permutation: n is {n!r}. Pass an integer in [0, 2**32).")
    return Tensor(kernels.random.permutation(_key("permutation", key), n=int(n)))


@primitive
def gaussian_sample(mu, log_var, eps):
    """z = mu + exp(log_var / 2) * eps: a sample of N(mu, exp(log_var)) for standard normal eps.

    Three equal shapes -> the same.  exp(log_var / 2) is the standard deviation.  Kingma and Welling 2014, section 2.4.
    """
    if not mu.shape == log_var.shape == eps.shape:
        named = ("mu", mu), ("log_var", log_var), ("eps", eps)
        raise ShapeError(f"gaussian_sample: the shapes differ ({shown(*named)}). Broadcast them to one shape first.")
    return kernels.random.gaussian_sample(mu, log_var, eps)


@gaussian_sample.definition
def _(mu, log_var, eps):
    return mu + exp(log_var * 0.5) * eps


@primitive
def gaussian_sample_grad(g_z, log_var, eps):
    """Cotangent of log_var in gaussian_sample: g_z * eps * exp(log_var / 2) / 2.  Three equal shapes -> the same."""
    return kernels.random.gaussian_sample_grad(g_z, log_var, eps)


@gaussian_sample_grad.definition
def _(g_z, log_var, eps):
    return g_z * eps * exp(log_var * 0.5) * 0.5


gaussian_sample.defvjp(
    mu=lambda g: g,
    log_var=lambda g, log_var, eps: gaussian_sample_grad(g, log_var, eps),
    eps=lambda g, log_var: g * exp(log_var * 0.5),
)


def reparameterize(mu: Tensor, log_var: Tensor, *, key: Key) -> Tensor:
    """A sample of N(mu, exp(log_var)) through which gradients flow to mu and log_var."""
    return gaussian_sample(mu, log_var, normal(mu.shape, key=key, dtype=mu.dtype))


def dropout(x: Tensor, *, rate: float, key: Key) -> Tensor:
    """Each entry is zero with probability `rate`, and else divided by 1 - rate, so that the mean stays.

    Srivastava et al. 2014, inverted form.  x any shape -> the same.  Raises ArgumentError for a rate outside [0, 1).
    """
    check(0 <= rate < 1, ArgumentError, f"dropout: rate is {rate}. Pass a probability in [0, 1).")
    kept = kernels.random.bernoulli(beside(x.data).full(x.shape, 1 - rate, x.dtype), _key("dropout", key))
    return mul(x, Tensor(kept)) * (1 / (1 - rate)) if rate else x
