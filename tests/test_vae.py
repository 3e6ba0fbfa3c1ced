"""The bounds of a variational autoencoder, against exact likelihoods and the papers' formulas."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from modeldraws import KEY, greys, normals, random_state, vae

import tinygen as tg
from tinygen import ops
from tinygen.testing import laws


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hidden": [8, 6]},
        {"decoder": "gaussian"},
        {"architecture": "conv", "hidden": [4, 6]},
        {"architecture": "conv", "hidden": [4, 6], "shape": (7, 6, 3), "decoder": "gaussian"},
        {"shape": (6,), "levels": None, "decoder": "gaussian"},
    ],
    ids=str,
)
def test_vae_of_every_kind_learns_and_samples(settings):
    model = vae(**settings)
    x = normals(6, *model.shape) if model.levels is None else greys(6, *model.shape, levels=5)
    loss = model.loss(x, key=KEY)
    gradients = tg.grad(loss, model.parameters())
    assert all(np.isfinite(g.data).all() and g.data.any() for g in gradients)
    assert model.sample(3, key=KEY).shape == (3, *model.shape)
    seen, back = model.reconstruct(x, key=KEY)
    assert seen.shape == back.shape == (6, *model.shape)
    figures = model.evaluate(x, key=KEY)
    assert {k: v.shape for k, v in figures.items()} == {"elbo_nats": (6,), "iwae_nats": (6,)}
    assert figures["iwae_nats"].data.mean() < figures["elbo_nats"].data.mean() + 1


def test_vae_noise_has_the_standard_deviation_not_the_variance():
    mu, spread = tg.Tensor(np.zeros((40000, 1))), tg.Tensor(np.full((40000, 1), math.log(0.25)))
    z = ops.reparameterize(mu, spread, key=KEY).data
    assert abs(z.std() - 0.5) < 5 * 0.5 / math.sqrt(2 * z.size)


def linear_gaussian(dims=5, latent=2):
    """A VAE that is probabilistic PCA: mean linear in z, constant variance; and its exact log p(x)."""
    model = vae(shape=(dims,), levels=None, decoder="gaussian", hidden=[], latent=latent)
    random_state(model, 0.4)
    last = model.decoder.layers[-1]
    last.weight.data[:, dims:] = 0  # the variance does not depend on z
    with tg.no_grad():
        _, log_var = model.decode(tg.Tensor(np.zeros((1, latent))))
    w, mean, var = last.weight.data[:, :dims], last.bias.data[:dims], np.exp(log_var.data[0])
    return model, scipy.stats.multivariate_normal(mean, w.T @ w + np.diag(var)), (w, mean, var)


def test_elbo_is_below_the_exact_likelihood_and_reaches_it_at_the_posterior():
    model, exact, (w, mean, var) = linear_gaussian()
    x = exact.rvs(20, random_state=np.random.Generator(np.random.Philox(3)))
    laws.elbo_is_a_bound(model, x, exact.logpdf(x), key=KEY)
    laws.iwae_rises_with_k(model, x, key=KEY)
    for p in (*model.mu.parameters(), *model.log_var.parameters()):
        p.data[...] = 0  # q is the prior: a proposal wide enough for the importance weights to behave
    with tg.no_grad():
        many = model.iwae(x, 20000, key=KEY).data
    np.testing.assert_allclose(many, exact.logpdf(x), atol=0.25)
    # one latent: the posterior is a diagonal Gaussian that the encoder can express, and the bound becomes tight
    model, exact, (w, mean, var) = linear_gaussian(latent=1)
    precision = 1 + (w / var @ w.T)[0, 0]
    model.mu.weight.data[...] = (w / var).T / precision
    model.mu.bias.data[...] = -(mean / var @ w.T) / precision
    model.log_var.weight.data[...] = 0
    model.log_var.bias.data[...] = -math.log(precision)
    with tg.no_grad():
        elbo = np.mean([model.elbo(x, key=tg.Key(s)).data for s in range(4000)], axis=0)
        single = model.iwae(x, 1, key=KEY).data
    np.testing.assert_allclose(single, exact.logpdf(x), rtol=1e-9)  # at the posterior every weight is p(x)
    np.testing.assert_allclose(elbo, exact.logpdf(x), atol=0.15)


def test_bounds_are_the_papers_formulas():
    """Term by term in SciPy, with the same noise: the ELBO, and equation 8 of Burda et al."""
    model, k = vae(shape=(3,), levels=None, decoder="gaussian", hidden=[7], latent=2).astype("float64"), 5
    random_state(model, 0.5)
    x = np.random.Generator(np.random.Philox(4)).standard_normal((4, 3))
    standard = scipy.stats.norm()

    def terms(x, draws):
        """log p(x|z), log p(z), log q(z|x) and the KL, for a row of noise each."""
        with tg.no_grad():
            mu, log_var = (a.data for a in model.encode(tg.Tensor(x)))
            eps = ops.normal((draws, 2), key=KEY.fold_in("eps"), dtype="float64").data
            z = mu + np.exp(log_var / 2) * eps
            mean, spread = (a.data for a in model.decode(tg.Tensor(z)))
        q = scipy.stats.norm(mu, np.exp(log_var / 2))
        given = scipy.stats.norm(mean, np.exp(spread / 2)).logpdf(x).sum(1)
        kl = 0.5 * (np.exp(log_var) + mu**2 - 1 - log_var).sum(1)
        return given, standard.logpdf(z).sum(1), q.logpdf(z).sum(1), kl

    given, _, _, kl = terms(x, 4)
    with tg.no_grad():
        np.testing.assert_allclose(model.elbo(x, key=KEY).data, given - kl, rtol=1e-10)
        given, prior, proposal, _ = terms(np.repeat(x, k, axis=0), 4 * k)
        log_weights = given + prior - proposal
        expected = scipy.special.logsumexp(log_weights.reshape(4, k), axis=1) - math.log(k)
        np.testing.assert_allclose(model.iwae(x, k, key=KEY).data, expected, rtol=1e-10)


def test_beta_weighs_the_kl():
    x = greys(8, 4, 4, 1, levels=5)
    one, four = vae(), vae(beta=4.0)
    with tg.no_grad():
        prepared = one.prepare(x, key=KEY.fold_in("data"))
        kl = float(ops.mean(ops.gaussian_kl(*one.encode(prepared), event_ndim=1)))
        assert float(four.loss(x, key=KEY)) - float(one.loss(x, key=KEY)) == pytest.approx(3 * kl, rel=1e-4)
