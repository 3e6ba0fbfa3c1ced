"""Other libraries' functions under our gradcheck, and our ops under PyTorch's."""

from __future__ import annotations

import sys
from itertools import count, islice

import numpy as np
import pytest

import tinygen as tg
from tinygen import ops
from tinygen.errors import MissingExtra
from tinygen.testing import GradientError, from_autograd, from_jax, from_torch, gradcheck, to_torch
from tinygen.testing.cases import cases

X = np.random.default_rng(0).standard_normal((3, 4))
W = np.random.default_rng(1).standard_normal((4, 2))


def torch_exp(factor):
    torch = pytest.importorskip("torch", reason="PyTorch is absent: pip install 'tinygen[bench]'")

    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.exp()

        @staticmethod
        def backward(ctx, g):
            return factor * g * ctx.saved_tensors[0].exp()

    return from_torch(Exp.apply), from_torch(lambda x, w: (torch.tanh(x @ w), (x * x).sum(0)))


def jax_exp(factor):
    jax = pytest.importorskip("jax", reason="JAX is absent: pip install jax")

    @jax.custom_vjp
    def exp(x):
        return jax.numpy.exp(x)

    exp.defvjp(lambda x: (jax.numpy.exp(x), x), lambda x, g: (factor * g * jax.numpy.exp(x),))
    return from_jax(exp), from_jax(lambda x, w: (jax.numpy.tanh(x @ w), (x * x).sum(0)))


def autograd_exp(factor):
    pytest.importorskip("autograd", reason="HIPS autograd is absent: pip install autograd")
    import autograd.numpy as anp
    from autograd.extend import defvjp, primitive

    exp = primitive(np.exp)
    defvjp(exp, lambda y, x: lambda g: factor * g * y)
    return from_autograd(exp), from_autograd(lambda x, w: (anp.tanh(anp.dot(x, w)), anp.sum(x * x, 0)))


LIBRARIES = pytest.mark.parametrize("library", [torch_exp, jax_exp, autograd_exp], ids=["torch", "jax", "autograd"])


@LIBRARIES
def test_right_functions_pass_at_every_order(library):
    exp, two_outputs = library(1)
    assert gradcheck(exp, X)
    assert len(gradcheck(two_outputs, X, W, order=3).comparisons) == 2 + 4 + 6
    assert gradcheck(exp, np.array([[0.5]]), mode="full")


@LIBRARIES
def test_one_percent_is_told_apart(library):
    exp, _ = library(1.01)
    with pytest.raises(GradientError, match=r"(?s)input 0 \(3,4\).*every entry is 1\.01 times"):
        gradcheck(exp, X)


@LIBRARIES
def test_empty_and_integer_inputs(library):
    exp, _ = library(1)
    gradcheck(exp, np.zeros((0, 3)))
    gradcheck(exp, np.array(0.5))
    make = {torch_exp: from_torch, jax_exp: from_jax, autograd_exp: from_autograd}[library]
    gradcheck(make(lambda x, i: x * i), X, np.arange(4), order=2)


def test_jax_is_left_at_its_own_precision():
    jax = pytest.importorskip("jax", reason="JAX is absent: pip install jax")
    gradcheck(from_jax(jax.numpy.sin), X)
    assert jax.numpy.ones(1).dtype == np.float32


@pytest.mark.parametrize(
    ("library", "call", "fix"),
    [
        ("torch", lambda: from_torch(abs), r"pip install 'tinygen\[bench\]'"),
        ("torch", lambda: to_torch(ops.exp), r"pip install 'tinygen\[bench\]'"),
        ("jax", lambda: from_jax(abs), "pip install jax"),
        ("autograd", lambda: from_autograd(abs), "pip install autograd"),
    ],
)
def test_an_absent_library_is_named(library, call, fix, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Without(library), *sys.meta_path])
    with pytest.raises(MissingExtra, match=rf"needs {library}\. Install it with: {fix}"):
        call()


class _Without:
    """A finder that says that a library is not there."""

    def __init__(self, library):
        self.library = library

    def find_spec(self, name, path=None, target=None):
        if name == self.library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


# -- our ops under PyTorch's checks -----------------------------------------------------------------------------------


DIFFERENTIABLE = pytest.mark.parametrize("case", [pytest.param(c, id=n) for n, c in sorted(cases.items()) if c.orders])
ENTRIES = 30  # where every entry is looked at: few, but more than one along most axes


def draws(case, seeds):
    """Without empty arrays, which PyTorch's checks refuse."""
    return (draw for draw in map(case.draw, seeds) if all(np.size(a) for a in draw[0]))


def pytorch_accepts(case, draw, **how):
    """gradcheck, and where we claim two orders gradgradcheck, which also checks what is linear in the cotangents."""
    import torch

    inputs, params = draw
    op, xs = to_torch(case.op, **params), [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in inputs]
    with torch.random.fork_rng(devices=[]):  # both draw from PyTorch's global generator
        torch.manual_seed(0)
        assert torch.autograd.gradcheck(op, xs, **how)
        if case.orders > 1:
            assert torch.autograd.gradgradcheck(op, xs, **how)


@pytest.mark.parity
@DIFFERENTIABLE
def test_pytorch_checks_our_gradients(case, tinygen_seed):
    """Its own gradcheck and gradgradcheck, along random directions (fast_mode)."""
    for draw in islice(draws(case, count(tinygen_seed)), 2):
        pytorch_accepts(case, draw, fast_mode=True)


@pytest.mark.exhaustive
@pytest.mark.parity
@DIFFERENTIABLE
def test_pytorch_checks_every_entry_of_our_gradients(case, tinygen_seed):
    """Likewise, whole Jacobians, for the draw nearest to ENTRIES entries: those of larger ones are minutes a case."""
    found = draws(case, range(tinygen_seed, tinygen_seed + 50))
    pytorch_accepts(case, min(found, key=lambda draw: abs(sum(map(np.size, draw[0])) - ENTRIES)))


@pytest.mark.parity
def test_pytorch_finds_our_wrong_gradients():
    import torch
    from torch.autograd.gradcheck import GradcheckError

    x = torch.tensor(X, requires_grad=True)
    op = to_torch(lambda x: ops.exp(x) + 0.01 * ops.exp(x.detach()))
    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(op, (x,))
    lost = to_torch(lambda x: x * x.detach() * x.detach() + ops.sum(x * 0))
    with pytest.raises(GradcheckError):
        torch.autograd.gradgradcheck(lost, (x,))


@pytest.mark.parity
def test_an_op_in_a_pytorch_graph():
    import torch

    x, w = (torch.tensor(a, requires_grad=True) for a in (X, W))
    (to_torch(tg.ops.matmul)(x * 2, w).sin().sum()).backward()
    expected = torch.autograd.grad((x * 2 @ w).sin().sum(), (x, w))
    for got, want in zip((x.grad, w.grad), expected, strict=True):
        torch.testing.assert_close(got, want)
