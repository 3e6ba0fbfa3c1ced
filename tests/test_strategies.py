"""The strategies draw what they say, shrink to cases that read well, and are used on the engine."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import kernels, ops
from tinygen.errors import MissingExtra
from tinygen.testing import gradcheck, laws, strategies
from tinygen.testing.cases import cases
from tinygen.testing.strategies import Convolution, CouplingMask, Filled, Flow, Scaling

SEARCH = settings(max_examples=2000, derandomize=True, database=None, deadline=None)


def simplest(strategy, condition):
    return find(strategy, condition, settings=SEARCH)


# -- they draw what they say ------------------------------------------------------------------------------------------


@given(strategies.broadcastable(3))
def test_broadcastable_shapes_broadcast(shapes):
    a, b, c = (Filled(shape, seed=i).array for i, shape in enumerate(shapes))
    np.testing.assert_allclose((tg.Tensor(a) * b + c).data, a * b + c, rtol=1e-15, atol=1e-15)
    gradcheck(lambda x, y, z: x * y + z, a, b, c)


@given(strategies.arrays())
def test_a_layout_keeps_values_and_changes_strides(filled):
    a = filled.array
    assert (a.shape, a.dtype) == (filled.shape, filled.dtype)
    plain = Filled(filled.shape, filled.dtype, seed=filled.seed).array
    np.testing.assert_array_equal(
        a, np.repeat(plain[:1], len(a), 0) if filled.layout == "repeated" and a.ndim else plain
    )
    if a.size > 1 and filled.layout in ("strided", "reversed") and len(a) > 1:
        assert a.strides != plain.strides
    np.testing.assert_array_equal(ops.exp(a).data, ops.exp(np.array(a)).data)


@given(strategies.convolutions())
def test_convolutions_are_valid(g):
    x, w = g.arrays()
    assert ops.conv2d(x, w, **g.params).shape == g.y_shape
    assert min(g.y_shape[1:3]) >= 1


@given(strategies.causal_convolutions())
def test_causal_convolutions_are_valid(g):
    x, w = g.arrays()
    assert ops.conv2d(x, w, **g.params).shape == g.y_shape == (*g.x_shape[:3], g.o)


@given(strategies.refused_convolutions())
def test_refused_convolutions_are_refused_before_any_work(bad):
    launched = []
    with kernels.observe(lambda kernel, *_: launched.append(kernel)), pytest.raises(bad.error, match=bad.match):
        ops.conv2d(bad.x, bad.w, **bad.params)
    assert not launched


def test_every_mistake_is_drawn():
    seen = set()
    SEARCH(given(strategies.refused_convolutions())(lambda bad: seen.add(bad.why)))()
    assert len(seen) == 14


@given(st.sampled_from([(1,), (2,), (5,), (2, 2, 1), (1, 1, 2), (3, 2, 3)]).flatmap(strategies.coupling_masks))
def test_masks_keep_something_and_move_something(mask):
    b = mask.array
    assert b.shape == mask.shape
    assert set(np.unique(b)) <= {0, 1}
    assert b.size == 1 or 0 < b.sum() < b.size
    np.testing.assert_array_equal(b + CouplingMask(mask.kind, mask.shape, not mask.flipped, mask.seed).array, 1)


@given(strategies.flows(), strategies.seeds())
def test_flows_are_invertible_with_the_right_volume(flow, seed):
    x = Filled((3, flow.dims), seed=seed).array
    laws.inverse_undoes_forward(flow, x)
    laws.log_det_matches_jacobian(flow, x)


@given(strategies.samples(cases["conv2d"]))
def test_samples_of_a_case(sample):
    (x, w), params = sample
    assert ops.conv2d(x, w, **params).dtype == np.float64


# -- they shrink ------------------------------------------------------------------------------------------------------


def test_the_simplest_cases():
    assert simplest(strategies.arrays(), lambda a: True) == Filled(())
    assert simplest(strategies.arrays(), lambda a: 0 in a.shape) == Filled((0,))
    assert simplest(strategies.arrays(dtype="float32"), lambda a: a.layout == "strided" and len(a.shape) > 1) == Filled(
        (1, 1), "float32", "strided"
    )
    assert simplest(strategies.broadcastable(2), lambda s: s[0] != s[1]) in (
        ((), (0,)),
        ((), (1,)),
        ((1,), ()),
        ((0,), ()),
    )
    assert simplest(strategies.convolutions(), lambda g: True) == Convolution(1, (1, 1), (1, 1), 1, 1)
    assert simplest(strategies.convolutions(), lambda g: g.stride[0] == 2) == Convolution(
        1, (1, 1), (1, 1), 1, 1, stride=(2, 1)
    )
    assert simplest(strategies.causal_convolutions(), lambda g: g.mask == "B" and g.colors == 2) == Convolution(
        1, (1, 1), (1, 1), 2, 2, mask="B", colors=2
    )
    assert simplest(strategies.flows(), lambda f: len(f.layers) == 1) == Flow(1, (Scaling(1, 0),))


def test_a_planted_bug_shrinks_to_a_line():
    """A convolution that forgets the bottom padding: one row of padding at the bottom is all it takes to show it."""

    def wrong(x, w, *, pad, **params):
        (top, _), columns = pad
        return ops.conv2d(x, w, pad=((top, 0), columns), **params)

    def differs(g):
        x, w = g.arrays()
        try:
            return wrong(x, w, **g.params).shape != g.y_shape
        except tg.errors.ShapeError:
            return False

    assert simplest(strategies.convolutions(), differs) == Convolution(1, (1, 1), (1, 1), 1, 1, pad=((0, 1), (0, 0)))


# -- they find what they are for --------------------------------------------------------------------------------------


@pytest.mark.exhaustive
@given(strategies.convolutions() | strategies.causal_convolutions())
def test_convolutions_of_any_geometry(g):
    x, w = g.arrays()
    gradcheck(ops.conv2d, x, w, order=2, **g.params)
    laws.adjoint(
        lambda x: ops.conv2d(x, tg.Tensor(w), **g.params),
        lambda y: ops.conv2d_input_grad(y, tg.Tensor(w), x_hw=g.hw, **g.params),
        x,
    )
    laws.adjoint(
        lambda w: ops.conv2d(tg.Tensor(x), w, **g.params),
        lambda y: ops.conv2d_weight_grad(tg.Tensor(x), y, k=g.k, **g.params),
        w,
    )


def test_without_hypothesis_the_extra_is_named(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("tinygen.testing.strategies")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(MissingExtra, match=r"strategies needs hypothesis.*'tinygen\[test\]'"):
        importlib.import_module("tinygen.testing.strategies")
