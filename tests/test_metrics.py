"""Metrics against closed forms and published conversions, and the promise that no NaN is ever dropped."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinygen import data, metrics
from tinygen.errors import ArgumentError, NonFiniteError, ShapeError
from tinygen.tensor import Tensor


def test_nats_and_bits():
    assert metrics.nats_to_bits(math.log(2)) == 1.0
    assert metrics.bits_to_nats(metrics.nats_to_bits(81.3)) == pytest.approx(81.3, rel=1e-15)
    np.testing.assert_allclose(metrics.nats_to_bits([0.0, math.log(8)]), [0.0, 3.0])


def test_bits_per_dim_of_the_uniform_distribution():
    """256 equally likely levels are 8 bits, whether stated as probabilities or as a density on [0, 1]."""
    assert metrics.bits_per_dim(784 * math.log(256), 784) == pytest.approx(8.0)
    assert metrics.bits_per_dim(0.0, 784, bin_width=1 / 256) == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("log_likelihood", "dims", "bin_width", "bits"),
    [(5371.78, 3072, 2 / 256, 4.48), (1980.50, 784, 1 / 256, 4.36)],
    ids=["NICE CIFAR-10", "NICE MNIST"],
)
def test_bits_per_dim_reproduces_published_conversions(log_likelihood: float, dims: int, bin_width: float, bits: float):
    assert metrics.bits_per_dim(-log_likelihood, dims, bin_width=bin_width) == pytest.approx(bits, abs=0.005)


def test_bits_per_dim_keeps_the_shape_and_takes_tensors():
    nll = np.full((3,), 10 * math.log(2))
    np.testing.assert_allclose(metrics.bits_per_dim(Tensor(nll), 10), np.ones(3))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_value_is_ever_dropped(bad: float):
    values = [1.0, bad, 2.0]
    with pytest.raises(NonFiniteError, match="1 of 3"):
        metrics.bits_per_dim(values, 2)
    with pytest.raises(NonFiniteError):
        metrics.nats_to_bits(bad)
    with pytest.raises(NonFiniteError):
        metrics.bits_to_nats(values)
    points = np.zeros((3, 2))
    points[1, 0] = bad
    with pytest.raises(NonFiniteError):
        metrics.mode_coverage(points, data.ring8_modes(), 0.02)
    with pytest.raises(NonFiniteError):
        metrics.mmd(np.zeros((3, 2)), points, bandwidth=1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_importance_weights_refuse_nan_and_infinity(bad: float):
    with pytest.raises(NonFiniteError, match="1 of 4"):
        metrics.iwae_from_log_weights([[0.0, bad], [0.0, 0.0]])


def test_importance_weighted_bound():
    """Equal weights give that weight; a large one counts as w/k, also far outside what exp can hold."""
    np.testing.assert_allclose(metrics.iwae_from_log_weights([[-1.5, -1.5, -1.5]]), [-1.5])
    np.testing.assert_allclose(
        metrics.iwae_from_log_weights([[-5000.0, -9000.0], [800.0, 0.0]]), [-5000, 800] - np.log(2)
    )
    np.testing.assert_array_equal(
        metrics.iwae_from_log_weights([[-np.inf, 0.0], [-np.inf, -np.inf]]), [-np.log(2), -np.inf]
    )
    assert metrics.iwae_from_log_weights(np.zeros((0, 3))).shape == (0,)


def test_importance_weighted_bound_favours_the_best_sample():
    """Wrong signs or softmax weights of -log w would fall below the mean of the log weights."""
    log_w = np.random.default_rng(0).normal(size=(50, 20))
    bound = metrics.iwae_from_log_weights(log_w)
    assert (bound >= log_w.mean(axis=1)).all()
    assert (bound <= log_w.max(axis=1)).all()


def test_importance_weighted_bound_is_exact_for_a_gaussian():
    """x | z ~ N(z, 1), z ~ N(0, 1), proposal N(0, 1): log mean p(x | z) tends to log N(x; 0, 2)."""
    z = np.random.default_rng(1).normal(size=(1, 400_000))
    log_w = -0.5 * (1.0 - z) ** 2 - 0.5 * math.log(2 * math.pi)
    assert metrics.iwae_from_log_weights(log_w)[0] == pytest.approx(-0.25 - 0.5 * math.log(4 * math.pi), abs=3e-3)


def test_true_samples_cover_every_mode():
    modes = data.ring8_modes()
    found = metrics.mode_coverage(data.ring8(40_000, key=5), modes, data.toys.RING_STD)
    assert found.covered == 8
    assert found.good == pytest.approx(1 - math.exp(-4.5), abs=0.003)
    assert found.counts.sum() == pytest.approx(40_000 * found.good)
    np.testing.assert_allclose(found.counts / 40_000, 1 / 8, atol=0.01)


def test_collapsed_samples_cover_one_mode():
    modes = data.ring8_modes()
    found = metrics.mode_coverage(np.repeat(modes[:1], 10, axis=0), modes, 0.02)
    assert (found.covered, found.good) == (1, 1.0)
    assert metrics.mode_coverage(np.zeros((10, 2)), modes, 0.02)[:2] == (0, 0.0)


def test_mmd_tells_distributions_apart():
    same = metrics.mmd(data.moons(1500, key=1), data.moons(1500, key=2), bandwidth=0.5)
    other = metrics.mmd(data.moons(1500, key=1), data.spirals(1500, key=2), bandwidth=0.5)
    assert abs(same) < 0.005 < 0.02 < other


def test_mmd_equals_its_definition():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    k = lambda a, b: math.exp(-((a - b) ** 2).sum() / (2 * 0.8**2))
    xx = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / (7 * 6)
    yy = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / (5 * 4)
    xy = sum(k(a, b) for a in x for b in y) / 35
    assert metrics.mmd(x, y, bandwidth=0.8) == pytest.approx(xx + yy - 2 * xy, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: metrics.bits_per_dim(1.0, 0), ArgumentError),
        (lambda: metrics.bits_per_dim(1.0, 3, bin_width=0.0), ArgumentError),
        (lambda: metrics.iwae_from_log_weights(np.zeros(3)), ShapeError),
        (lambda: metrics.iwae_from_log_weights(np.zeros((3, 0))), ShapeError),
        (lambda: metrics.mode_coverage(np.zeros((0, 2)), np.zeros((8, 2)), 0.1), ShapeError),
        (lambda: metrics.mode_coverage(np.zeros((3, 2)), np.zeros((8, 2)), 0.0), ArgumentError),
        (lambda: metrics.mmd(np.zeros((3, 2)), np.zeros((3, 3)), bandwidth=1.0), ShapeError),
        (lambda: metrics.mmd(np.zeros((1, 2)), np.zeros((3, 2)), bandwidth=1.0), ShapeError),
        (lambda: metrics.mmd(np.zeros((3, 2)), np.zeros((3, 2)), bandwidth=0.0), ArgumentError),
    ],
)
def test_errors(call, error):
    with pytest.raises(error):
        call()
