"""gradcheck tells right from wrong, says why, and how often it would miss."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

import tinygen as tg
from tinygen import ops
from tinygen.errors import ArgumentError, DTypeError
from tinygen.primitive import primitive
from tinygen.primitive import registry as primitives
from tinygen.testing import GradientError, from_numpy, gradcheck

RNG = np.random.default_rng(0)
A, B, SQUARE = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 5)), RNG.standard_normal((4, 4))


def problem(f, *inputs, **how):
    """What gradcheck says of a wrong gradient."""
    with pytest.raises(GradientError) as caught:
        gradcheck(f, *inputs, **how)
    assert not caught.value.report
    assert "seed=" in str(caught.value)
    return str(caught.value)


# -- right gradients --------------------------------------------------------------------------------------------------


def dense(x, w):
    return np.tanh(x @ w)


def dense_vjp(g, x, w):
    d = g * (1 - np.tanh(x @ w) ** 2)
    return d @ w.T, x.T @ d


@pytest.mark.parametrize("mode", ["directions", "full"])
def test_a_right_gradient_passes_and_the_report_says_what_was_done(mode):
    report = gradcheck((dense, dense_vjp), A, B, mode=mode, seed=3)
    assert report
    assert re.search(r"dense: \d+ comparisons to order 1 agree, worst relative error .*seed=3", str(report))
    assert len(report.comparisons) == (2 if mode == "directions" else 15 * (12 + 20))
    assert max(c.relative for c in report.comparisons if abs(c.exact) > 1e-3) < 1e-9


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("mode", ["directions", "full"])
def test_every_order_of_an_op_with_several_outputs(mode, order):
    x, s, t = RNG.standard_normal((3, 1, 2))
    report = gradcheck(ops.affine_coupling, x, s, t, order=order, mode=mode)
    assert {c.order for c in report.comparisons} == set(range(1, order + 1))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (1,), (1, 1), (), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("mode", ["directions", "full"])
def test_sizes_zero_and_one(shape, mode):
    gradcheck(lambda x, y: ops.exp(x) * y, RNG.standard_normal(shape), RNG.standard_normal(shape), order=2, mode=mode)
    gradcheck((np.sin, lambda g, x: g * np.cos(x)), RNG.standard_normal(shape), mode=mode)


def test_integers_are_held_fixed():
    gradcheck(lambda x, i: x[i.data] * x[i.data], A, np.array([2, 0]), order=2)


def test_parameters_reach_both_halves_of_a_pair():
    power = lambda x, *, n: x**n, lambda g, x, *, n: g * n * x ** (n - 1)
    gradcheck(power, np.abs(A) + 0.5, n=3)
    assert "every entry" in problem((lambda x, *, n: x**n, lambda g, x, *, n: g * x ** (n - 1)), A**2 + 0.5, n=2.5)


def test_a_pair_may_say_that_an_input_has_no_gradient():
    gradcheck(
        (lambda x, i: x[i] * x[i], lambda g, x, i: (_scattered(2 * g * x[i], i, x.shape), None)), A, np.array([1])
    )


def _scattered(g, i, shape):
    out = np.zeros(shape)
    np.add.at(out, i, g)
    return out


# -- wrong gradients, and why -----------------------------------------------------------------------------------------


def scaled(factor):
    return lambda g, x, w: (dense_vjp(g, x, w)[0], factor * dense_vjp(g, x, w)[1])


@pytest.mark.parametrize(
    ("factor", "cause"),
    [
        (-1, "the sign is wrong"),
        (2, "a factor of two too large"),
        (0.5, "a factor of two too small"),
        (-2, "the sign is wrong, and a factor of two too large"),
        (0, "it is zero"),
        (1.01, "every entry is 1.01 times"),
        (1 / 3, "too small by a factor of 3: a mean in place of a sum"),
        (4, "too large by a factor of 4: a sum in place of a mean"),
    ],
)
@pytest.mark.parametrize("mode", ["directions", "full"])
def test_factors(factor, cause, mode):
    said = problem((dense, scaled(factor)), A, B, mode=mode, seed=7)
    assert re.search(r"dense: order 1, the gradient for input 1 \(4,5\) is wrong", said)
    assert cause in said
    assert "seed=7" in said


def broadcast(x, b):
    return np.sin(x) * b


@pytest.mark.parametrize(
    ("for_b", "cause"),
    [
        (lambda g: g, r"the gradient has shape \(3,4\), the input \(4,\)\. Likely: the sum over .* axes \(0,\)"),
        (lambda g: g[0], r"the sum over the broadcast axes \(0,\) is missing: it is the contribution of one slice"),
        (lambda g: g.mean(0), "too small by a factor of 3: a mean in place of a sum"),
    ],
)
def test_missing_sums(for_b, cause):
    vjp = lambda g, x, b: (g * np.cos(x) * b, for_b(g * np.sin(x)))
    assert re.search(cause, problem((broadcast, vjp), A, A[0]))


@pytest.mark.parametrize(
    ("f", "vjp", "cause"),
    [
        (lambda x: x @ SQUARE, lambda g, x: (g @ SQUARE.T).T, "transposed: .* in the order \\(1, 0\\)"),
        (lambda x: x @ SQUARE, lambda g, x: (g @ SQUARE.T)[::-1], "flipped along axis 0"),
        (lambda x: x @ SQUARE, lambda g, x: np.roll(g @ SQUARE.T, 1, 1), "shifted by 1 along axis 1"),
        (np.abs, lambda g, x: g, "the sign of some entries"),
        (lambda x: x * x, lambda g, x: 2 * g * x * np.tri(4), "are zero: a mask or a border leaves out too much"),
        (lambda x: x * x, lambda g, x: g * x * (2 + np.eye(4)[-1]), "the border of axis 1"),
        (lambda x: np.tril(x * x), lambda g, x: 2 * g * x, "should be zero: a mask or a border lets too much"),
    ],
)
def test_entries_in_the_wrong_place(f, vjp, cause):
    assert re.search(cause, problem((f, vjp), SQUARE))


def test_the_entries_are_named():
    def vjp(g, x):
        out = 2 * g * x
        out[2] *= 1.5
        return out

    said = problem((lambda x: x * x, vjp), SQUARE)
    assert "4 of 16 differ, all at index 2 of axis 0; the worst at (2," in said


def test_shapes_dtypes_and_nan():
    assert "Likely: transposed" in problem((np.sin, lambda g, x: (g * np.cos(x)).T), A)
    assert "the gradient is float32, the input float64" in problem(
        (np.sin, lambda g, x: (g * np.cos(x)).astype("f4")), A
    )
    assert "12 entries not finite" in problem((np.sin, lambda g, x: g * np.nan), A)
    assert "the value is not finite" in problem((lambda x: x + np.inf, lambda g, x: g), A)


def test_a_graph_lost_on_the_way_is_seen_at_order_two():
    before = dict(primitives)
    try:

        @primitive
        def product(x, w):
            return x * w

        product.defvjp(x=lambda g, w: g * w.detach(), w=lambda g, x: g * x)
    finally:
        primitives.clear()
        primitives.update(before)
    gradcheck(product, A, A + 1)
    assert "order 2, the gradient for input 1" in problem(product, A, A + 1, order=2)


# -- habits -----------------------------------------------------------------------------------------------------------


def test_inputs_and_cotangents_must_not_be_changed():
    def doubles(x):
        x *= 2
        return x.copy()

    def zeroes(g, x):
        d = g * np.cos(x)
        g[...] = 0
        return d

    assert "input 0 (3,4) was changed in place" in problem((doubles, lambda g, x: 2 * g), A)
    assert "the cotangent of output 0 (3,4) was changed in place" in problem((np.sin, zeroes), A)


def test_two_runs_must_give_equal_bits():
    noise = np.random.default_rng(0)
    assert "equal bits" in problem((lambda x: x + 1e-15 * noise.standard_normal(x.shape), lambda g, x: g), A)


def raw(a):
    """The entries as they lie in memory: what a kernel reads that never looks at strides."""
    return np.lib.stride_tricks.as_strided(a, a.shape, np.empty(a.shape).strides)


def test_memory_layouts():
    assert "another memory layout (strided)" in problem((lambda x: raw(x) * 2, lambda g, x: g * 2), np.arange(1.0, 5))
    said = problem(
        (lambda x: x * 2, lambda g, x: raw(g) * 2 if 0 in g.strides and g.size > 1 else g * 2), np.arange(1.0, 5)
    )
    assert "zero stride" in said


def test_a_cotangent_may_be_absent():
    """A rule that assumes that both cotangents arrive."""
    before = dict(primitives)
    try:

        @primitive(outs=("a", "b"))
        def two(x):
            return np.sin(x), np.cos(x)

        two.defvjp(x=lambda g_a, g_b, x: (g_a * ops.cos(x) - g_b * ops.sin(x)) if g_a.data.any() else g_a)
    finally:
        primitives.clear()
        primitives.update(before)
    gradcheck(lambda x: (ops.exp(x), ops.sin(x)), A)
    assert "order 1" in problem(lambda x: two(x)[1], A)
    lossy = lambda g, x: g[0] * np.cos(x) - g[1] * np.sin(x)
    gradcheck((lambda x: (np.sin(x), np.cos(x)), lossy), A)


# -- kinks and domains ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3, 1000])
def test_a_point_on_a_kink_is_moved(n):
    report = gradcheck(ops.relu, np.zeros(n))
    assert report.redraws
    wrong = lambda g, x: 1.01 * g * np.where(x > 0, 1, 0.1)
    assert "1.01 times" in problem((lambda x: np.maximum(x, 0.1 * x), wrong), np.zeros(n))


def test_kinks_nearby_are_stepped_around():
    x = np.random.default_rng(1).standard_normal(100_000)  # some are closer to zero than any first step
    gradcheck(ops.relu, x)
    assert "a factor of two" in problem((np.abs, lambda g, x: 2 * g * np.sign(x)), x)


def test_where_no_difference_converges_nothing_passes():
    assert "differences do not converge" in problem(
        (lambda x: np.cos(x * 1e9), lambda g, x: -1e9 * g * np.sin(x * 1e9)), A
    )


def test_the_edge_of_a_domain():
    gradcheck(ops.log, np.array([1e-3, 1e-5, 1.0]), order=2)
    gradcheck((np.sqrt, lambda g, x: g / (2 * np.sqrt(x))), np.array([1e-4, 2.0]))


def test_the_complex_step_is_used_where_it_is_right_and_only_there():
    exact = gradcheck((np.sin, lambda g, x: g * np.cos(x)), A).comparisons[0]
    assert exact.relative < 1e-14
    gradcheck((np.abs, lambda g, x: g * np.sign(x)), A)  # |x| takes complex numbers and is not analytic
    gradcheck((lambda x: x.real * x, lambda g, x: 2 * g * x), A)
    gradcheck((lambda x: np.arctan2(x, 1.0), lambda g, x: g / (1 + x * x)), A)  # takes none


# -- how much it sees -------------------------------------------------------------------------------------------------


def test_one_percent_of_scale_is_always_seen():
    for seed in range(100):
        problem((dense, scaled(1.01)), A, B, seed=seed)


def test_one_percent_of_one_entry_in_a_thousand_is_hardly_ever_missed(monkeypatch):
    """0.3 % are missed, so more than 5 of 200 have a probability below 1e-4; and a tenth of that is mostly seen too."""
    monkeypatch.setattr(
        sys.modules["tinygen.testing.gradcheck"], "LARGEST", 0
    )  # explanations take longer than verdicts
    x = np.random.default_rng(2).uniform(0.5, 1.5, 1000)

    def missed(fraction):
        error = np.ones(1000)
        error[123] += fraction
        count = 0
        for seed in range(200):
            try:
                gradcheck((lambda x: x * x, lambda g, x: 2 * g * x * error), x, seed=seed)
            except GradientError:
                continue
            count += 1
        return count

    assert missed(0.01) <= 5
    assert missed(0.001) <= 30


def test_all_ones_would_hide_what_random_cotangents_show():
    """Centred outputs sum to zero, so with a cotangent of ones their gradient is zero, and a rule of zeros is right."""
    centre = lambda x: x - x.mean()
    zeros = lambda g, x: np.zeros_like(g)
    gradcheck((lambda x: centre(x).sum(), lambda g, x: np.zeros_like(x)), A[0])
    assert "it is zero" in problem((centre, zeros), A[0])


# -- what cannot be checked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: gradcheck(ops.exp, A.astype("f4")), DTypeError, "input 0 is float32"),
        (lambda: gradcheck(ops.exp, A, mode="fast"), ArgumentError, "mode 'fast'"),
        (lambda: gradcheck(ops.exp, A, order=4), ArgumentError, "order 4"),
        (lambda: gradcheck(ops.exp, A, draws=0), ArgumentError, "draws 0"),
        (lambda: gradcheck((np.sin, lambda g, x: g * np.cos(x)), A, order=2), ArgumentError, "has one derivative"),
        (lambda: gradcheck((dense, lambda g, x, w: g @ w.T), A, B), ArgumentError, "1 gradients for 2 inputs"),
    ],
)
def test_bad_arguments_are_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_nothing_to_check_is_said():
    assert "nothing moves" in str(gradcheck(lambda i: i, np.arange(3)))
    assert gradcheck(from_numpy(np.sin, lambda g, x: g * np.cos(x), "sine"), A).name == "sine"
    assert str(gradcheck(lambda x: tg.Tensor(x.data * 0), A)).count("agree") == 1


def test_a_gradient_that_becomes_nan_later_agrees_with_nothing():
    """Finite where it is first looked at, by most seeds: any later draw must be judged too."""
    f = lambda x: x * x
    vjp = lambda g, x: np.where(np.abs(g) > 1, np.nan, 2 * g * x)
    for seed in range(8):
        with pytest.raises(GradientError):
            gradcheck((f, vjp), np.array(1.5), draws=30, seed=seed)
