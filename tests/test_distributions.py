"""Distributions against scipy.stats, and against Monte Carlo on fixed keys.

With other keys, a correct sampler would be refused with a probability of about 1e-6.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import tinygen as tg
from tinygen.distributions import Bernoulli, Categorical, Normal, kl
from tinygen.errors import ArgumentError, DTypeError, ShapeError
from tinygen.testing import gradcheck, laws

N = 100_000
RNG = np.random.default_rng(0)
MU, LOG_VAR = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 3))
LOGITS = RNG.standard_normal((2, 3)) * 3
CLASS_LOGITS = RNG.standard_normal((2, 3, 5))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def make(name):
    return {
        "normal": lambda: Normal(MU, LOG_VAR),
        "bernoulli": lambda: Bernoulli(LOGITS),
        "categorical": lambda: Categorical(CLASS_LOGITS),
    }[name]()


def others(name):
    return {
        "normal": lambda: Normal(MU[::-1] + 0.5, LOG_VAR[::-1]),
        "bernoulli": lambda: Bernoulli(LOGITS[::-1]),
        "categorical": lambda: Categorical(CLASS_LOGITS[::-1]),
    }[name]()


ALL = pytest.mark.parametrize("name", ["normal", "bernoulli", "categorical"])


def test_normal_agrees_with_scipy():
    x = RNG.standard_normal((4, 2, 3))
    d, scipys = Normal(MU, LOG_VAR), stats.norm(MU, np.exp(LOG_VAR / 2))
    np.testing.assert_allclose(d.log_prob(x).numpy(), scipys.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(d.log_prob(x, event_ndim=2).numpy(), scipys.logpdf(x).sum((1, 2)), rtol=1e-12)
    np.testing.assert_allclose(d.entropy().numpy(), scipys.entropy(), rtol=1e-12)
    np.testing.assert_allclose(d.mean.numpy(), scipys.mean(), rtol=1e-12)
    np.testing.assert_allclose(d.variance.numpy(), scipys.var(), rtol=1e-12)


def test_bernoulli_agrees_with_scipy():
    p = 1 / (1 + np.exp(-LOGITS))
    d, scipys = Bernoulli(LOGITS), stats.bernoulli(p)
    for x in (0, 1):
        np.testing.assert_allclose(d.log_prob(float(x)).numpy(), scipys.logpmf(x), rtol=1e-12)
    np.testing.assert_allclose(
        d.entropy().numpy(), [[stats.bernoulli(q).entropy() for q in row] for row in p], rtol=1e-9
    )
    np.testing.assert_allclose(d.mean.numpy(), scipys.mean(), rtol=1e-12)
    np.testing.assert_allclose(d.variance.numpy(), scipys.var(), rtol=1e-12)


def test_categorical_agrees_with_scipy():
    p, d = softmax(CLASS_LOGITS), Categorical(CLASS_LOGITS)
    np.testing.assert_allclose(d.probs.numpy(), p, rtol=1e-12)
    for k in range(5):
        np.testing.assert_allclose(d.log_prob(k).numpy(), np.log(p[..., k]), rtol=1e-12)
    np.testing.assert_allclose(d.entropy().numpy(), stats.entropy(p, axis=-1), rtol=1e-12)
    levels = np.arange(5)
    np.testing.assert_allclose(d.mean.numpy(), p @ levels, rtol=1e-12)
    np.testing.assert_allclose(d.variance.numpy(), p @ levels**2 - (p @ levels) ** 2, rtol=1e-12)
    assert d.log_prob(np.zeros((2, 3), np.int64), event_ndim=2).shape == ()


def test_log_probabilities_survive_extreme_parameters():
    # saturated logits: the naive x log p + (1 - x) log(1 - p) gives NaN or -inf here
    d = Bernoulli(np.array([1000.0, -1000.0, 40.0], np.float32))
    np.testing.assert_array_equal(d.log_prob(np.array([1, 0, 1], np.float32)).numpy()[:2], [0, 0])
    np.testing.assert_array_equal(d.log_prob(np.array([0, 1, 1], np.float32)).numpy()[:2], [-1000, -1000])
    assert d.log_prob(np.ones(3, np.float32)).numpy()[2] == pytest.approx(-np.exp(-40), rel=1e-5)
    c = Categorical(np.array([[1000.0, 0.0, -1000.0]], np.float32))
    assert [c.log_prob(k).item() for k in range(3)] == [0, -1000, -2000]


def test_kl_of_the_lectures():
    # unit shift: 0.5 at standard deviation 1, 0.005 at 10; the reverse direction of unequal variances differs
    unit, shifted = Normal(0.0, 0.0), Normal(1.0, 0.0)
    assert kl(unit, shifted).item() == pytest.approx(0.5)
    wide = np.log(100.0)
    assert kl(Normal(0.0, wide), Normal(1.0, wide)).item() == pytest.approx(0.005, rel=1e-5)
    # sigma = 0.5, mu = 0.3 against the standard normal, computed by hand with sigma**2 and log sigma**2
    assert kl(Normal(np.array(0.3), np.array(np.log(0.25))), Normal(np.array(0.0), np.array(0.0))).item() == (
        pytest.approx(0.5 * (0.25 + 0.09 - 1 - np.log(0.25)))
    )


def test_gaussian_kl_is_the_divergence_from_the_standard_normal():
    standard = Normal(np.zeros((2, 3)), np.zeros((2, 3)))
    expected = kl(Normal(MU, LOG_VAR), standard, event_ndim=1).numpy()
    np.testing.assert_allclose(tg.ops.gaussian_kl(MU, LOG_VAR, event_ndim=1).numpy(), expected, rtol=1e-12)
    assert (expected > 0).all()


@ALL
def test_probabilities_are_normalised(name):
    d = {
        "normal": lambda: Normal(np.array(0.3), np.array(-0.4)),
        "bernoulli": lambda: Bernoulli(np.array(LOGITS[0, 0])),
        "categorical": lambda: Categorical(CLASS_LOGITS[0, 0]),
    }[name]()
    if name == "normal":
        laws.density_integrates_to_one(lambda x: d.log_prob(x[:, 0]), dims=1)
    else:
        laws.probabilities_sum_to_one(d.log_prob, np.array([0.0, 1.0]) if name == "bernoulli" else np.arange(5))


@ALL
def test_divergences_are_positive_between_others(name):
    assert (kl(make(name), others(name)).numpy() > 0).all()


@ALL
def test_samples_have_the_moments_entropy_and_divergence_of_the_formulas(name):
    p, q = make(name), others(name)
    x = p.sample(N, key=tg.Key(1))
    assert x.shape == (N, 2, 3)
    assert not x.requires_grad
    laws.moments(x, p.mean, p.variance)
    surprise = -p.log_prob(x).numpy()
    laws.moments(surprise, p.entropy(), surprise.var(0))
    laws.divergence_matches_samples(p, q, key=tg.Key(1))


@ALL
def test_samples_are_functions_of_the_key(name):
    d = make(name)
    first, again, other = (d.sample((5,), key=tg.Key(k)).numpy() for k in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_gradients_flow_through_reparameterised_samples():
    mu, log_var = tg.Tensor(MU).requires_grad_(), tg.Tensor(LOG_VAR).requires_grad_()
    z = Normal(mu, log_var).rsample((7,), key=tg.Key(3))
    g_mu, g_log_var = tg.grad(z.sum(), [mu, log_var])
    np.testing.assert_allclose(g_mu.numpy(), 7.0)
    np.testing.assert_allclose(g_log_var.numpy(), (z.numpy() - MU).sum(0) / 2, rtol=1e-12)


def test_gradients_of_the_formulas():
    gradcheck(lambda m, v: Normal(m, v).entropy(event_ndim=1), MU, LOG_VAR)
    gradcheck(lambda m, v, a, b: kl(Normal(m, v), Normal(a, b)), MU, LOG_VAR, MU[::-1], LOG_VAR[::-1], order=2)
    gradcheck(lambda a, b: kl(Bernoulli(a), Bernoulli(b)), LOGITS, LOGITS[::-1], order=2)
    gradcheck(lambda a, b: kl(Categorical(a), Categorical(b)), CLASS_LOGITS, CLASS_LOGITS[::-1], order=2)
    gradcheck(lambda a: Categorical(a).entropy(), CLASS_LOGITS)
    gradcheck(lambda x, m, v: Normal(m, v).log_prob(x, event_ndim=1), np.stack([MU, MU + 1]), MU, LOG_VAR, order=2)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Normal(np.zeros(2), np.zeros(3)), ShapeError, r"\(2,\) and \(3,\) do not broadcast"),
        (lambda: Normal(np.zeros(2), np.zeros(2)).log_prob(np.zeros(3)), ShapeError, "do not broadcast"),
        (lambda: Categorical(np.zeros((2, 0))), ShapeError, "have no categories"),
        (lambda: Categorical(np.zeros((2, 3))).log_prob(np.zeros(2)), DTypeError, "not integers"),
        (lambda: Categorical(np.zeros((2, 3))).log_prob(3), ArgumentError, r"must be in \[0, 3\)"),
        (lambda: kl(make("normal"), make("bernoulli")), ArgumentError, "no formula for Normal and Bernoulli"),
        (lambda: make("normal").entropy(event_ndim=3), ArgumentError, "event_ndim is 3"),
    ],
)
def test_bad_arguments_are_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()
