"""The laws tell right from wrong: each is shown a model that obeys it and one that breaks it slightly."""

import numpy as np
import pytest

import tinygen as tg
from tinygen import ops
from tinygen.testing import laws

X = np.random.Generator(np.random.Philox(0)).standard_normal((4, 3))
S, T = np.array([0.3, -0.2, 0.5]), np.array([1.0, 0.0, -1.0])


class Affine:
    """z = x exp(s) + t; `wrong` is added to, `factor` multiplies the log-determinants."""

    def __init__(self, wrong=0.0, factor=1.0, shift=0.0):
        self.wrong, self.factor, self.shift = wrong, factor, shift

    def _log_det(self, x, sign):
        return ops.sum(x * 0 + tg.Tensor(S), axis=1) * (sign * self.factor) + self.wrong

    def forward(self, x):
        return x * tg.Tensor(np.exp(S)) + tg.Tensor(T), self._log_det(x, 1.0)

    def inverse(self, z):
        return (z - tg.Tensor(T) + self.shift) * tg.Tensor(np.exp(-S)), self._log_det(z, -1.0)


def test_log_det_against_the_jacobian():
    laws.log_det_matches_jacobian(Affine(), X)
    for broken in (Affine(factor=-1.0), Affine(factor=2.0), Affine(wrong=1e-3)):
        with pytest.raises(laws.LawBroken, match="log_det against the Jacobian"):
            laws.log_det_matches_jacobian(broken, X)


def test_inverse():
    laws.inverse_undoes_forward(Affine(), X)
    laws.inverse_undoes_forward(Affine(factor=2.0), X)  # a consistent factor passes here: hence the Jacobian's law
    with pytest.raises(laws.LawBroken, match="against x"):
        laws.inverse_undoes_forward(Affine(shift=1e-3), X)
    with pytest.raises(laws.LawBroken, match="log_det of inverse"):
        laws.inverse_undoes_forward(Affine(wrong=1e-3), X)


def test_causality():
    images = np.random.Generator(np.random.Philox(1)).standard_normal((2, 4, 4, 2))
    after = lambda mask: (
        lambda x: ops.conv2d(x, tg.Tensor(np.ones((3, 3, 2, 2))), pad=1, mask=mask, colors=2 if mask else 1)
    )
    laws.causal(after("A"), images, pixels=32)
    with pytest.raises(laws.LawBroken, match="changed outputs before it"):
        laws.causal(after("B"), images, pixels=32)  # sees the entry itself
    with pytest.raises(laws.LawBroken, match="changed outputs before it"):
        laws.causal(after(None), images, pixels=32)


def test_normalisation():
    normal = lambda x: ops.gaussian_log_prob(x, x * 0, x * 0, event_ndim=1)
    laws.density_integrates_to_one(normal)
    with pytest.raises(laws.LawBroken, match=r"integrates to 1\.01"):
        laws.density_integrates_to_one(lambda x: normal(x) + 0.01)


class Bounds:
    """An ELBO that is `excess` above log p(x) = 0 on average, and a bound that falls with k if `falls`."""

    def __init__(self, excess, falls=False):
        self.excess, self.falls = excess, falls

    def elbo(self, x, *, key):
        return ops.normal((len(x),), key=key, dtype="float64") * 0.1 + self.excess

    def iwae(self, x, k, *, key):
        return ops.normal((len(x),), key=key, dtype="float64") * 0.1 + (-k if self.falls else -1 / k)


def test_bounds():
    laws.elbo_is_a_bound(Bounds(-0.1), X, np.zeros(4), key=tg.Key(0))
    with pytest.raises(laws.LawBroken, match="exceeds log p"):
        laws.elbo_is_a_bound(Bounds(0.1), X, np.zeros(4), key=tg.Key(0))
    laws.iwae_rises_with_k(Bounds(0.0), X, key=tg.Key(0))
    with pytest.raises(laws.LawBroken, match="the bound fell"):
        laws.iwae_rises_with_k(Bounds(0.0, falls=True), X, key=tg.Key(0))
