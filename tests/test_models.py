"""The laws that the models obey."""

import math

import numpy as np
import pytest
import scipy.stats

import tinygen as tg
from tinygen import models, nn, ops
from tinygen.errors import ArgumentError, ShapeError
from tinygen.models.preprocess import binarize, dequantize, from_logit, log_volume, to_logit
from tinygen.testing import laws

KEY = tg.Key(0)


def random_state(model, scale=0.5, seed=1):
    """Zero-initialised layers would hide errors: give every parameter random entries, in float64."""
    generator = np.random.Generator(np.random.Philox(seed))
    model.astype(np.float64)
    for p in model.parameters():
        p.data[...] = scale * generator.standard_normal(p.shape)
    return model


def normals(*shape, seed=0):
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape)


def greys(*shape, levels, seed=0):
    return np.random.Generator(np.random.Philox(seed)).integers(0, levels, shape, dtype=np.uint8)


# -- preprocessing ----------------------------------------------------------------------------------------------------


def test_dequantised_greys_stay_in_their_bin():
    g = tg.Tensor(greys(50, 4, levels=5).astype(np.float64))
    x = dequantize(g, 5, key=KEY).data
    np.testing.assert_array_equal(np.floor(x * 5), g.data)
    assert log_volume(5, 4) == pytest.approx(4 * math.log(5))


def test_logit_log_det_is_that_of_the_jacobian():
    class Logit:
        forward = staticmethod(lambda x: to_logit(x, 0.05))
        inverse = staticmethod(lambda y: (from_logit(y, 0.05), -to_logit(from_logit(y, 0.05), 0.05)[1]))

    x = np.random.Generator(np.random.Philox(0)).uniform(0, 1, (3, 4))
    laws.log_det_matches_jacobian(Logit, x)
    laws.inverse_undoes_forward(Logit, x)


def test_binarising_is_fresh_for_each_key_and_has_the_right_mean():
    g = tg.Tensor(np.full((200, 200), 3.0))
    a, b = (binarize(g, 5, key=tg.Key(s)).data for s in (0, 1))
    assert (a != b).any()
    assert set(np.unique(a)) == {0, 1}
    assert abs(a.mean() - 0.75) < 5 * math.sqrt(0.75 * 0.25 / a.size)
    assert binarize(g, 2, key=None) is g


# -- VAE --------------------------------------------------------------------------------------------------------------


def vae(**settings):
    return models.VAE(**{"shape": (4, 4, 1), "levels": 5, "hidden": 8, "latent": 3, "key": KEY, **settings})


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


def test_beta_weighs_the_kl():
    x = greys(8, 4, 4, 1, levels=5)
    one, four = vae(), vae(beta=4.0)
    with tg.no_grad():
        prepared = one.prepare(x, key=KEY.fold_in("data"))
        kl = float(ops.mean(ops.gaussian_kl(*one.encode(prepared), event_ndim=1)))
        assert float(four.loss(x, key=KEY)) - float(one.loss(x, key=KEY)) == pytest.approx(3 * kl, rel=1e-4)


# -- PixelCNN ---------------------------------------------------------------------------------------------------------


def pixelcnn(**settings):
    return models.PixelCNN(**{"shape": (5, 4, 1), "levels": 2, "channels": 4, "blocks": 2, "key": KEY, **settings})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"levels": 5},
        {"shape": (4, 4, 3), "levels": 4, "channels": 6},
        {"levels": 5, "likelihood": "bernoulli"},
    ],
    ids=str,
)
def test_pixelcnn_is_causal_bit_for_bit(settings):
    model = random_state(pixelcnn(**settings))
    levels = 2 if model.binary else model.levels
    laws.causal(model.logits, greys(2, *model.shape, levels=levels).astype(np.float64))


@pytest.mark.parametrize("settings", [{}, {"shape": (5, 4, 3), "levels": 3, "channels": 6}], ids=str)
def test_pixelcnn_sees_what_it_may(settings):
    """Mask B and the residual blocks reach the pixel to the left, the row above, and the earlier colours."""
    model = random_state(pixelcnn(**settings))
    x = greys(1, *model.shape, levels=model.levels).astype(np.float64)
    at = tg.tensor(x, requires_grad=True)
    i, j, c = 3, 2, model.shape[2] - 1
    seen = tg.grad(model.logits(at)[0, i, j, c].sum(), at).data[0] != 0
    assert seen[3, 1].all()
    assert seen[2].all()
    assert seen[3, 2, :c].all()
    assert not seen[3, 2, c]
    assert not seen[3, 3].any()
    assert not seen[4].any()


def test_pixelcnn_probabilities_sum_to_one():
    """Over all 2^4 images of 2x2, and all 3^2 of one pixel with two colours' worth of levels."""
    for shape, levels in (((2, 2, 1), 2), ((1, 2, 1), 3), ((1, 1, 3), 3)):
        model = random_state(pixelcnn(shape=shape, levels=levels, channels=3))
        images = np.stack(np.meshgrid(*[np.arange(levels)] * math.prod(shape), indexing="ij"), -1).reshape(-1, *shape)
        laws.probabilities_sum_to_one(model.log_prob, images)


def test_pixelcnn_samples_follow_its_probabilities():
    model = random_state(pixelcnn(shape=(1, 2, 1), levels=3, channels=2, blocks=1))
    n = 4000
    drawn = np.rint(model.sample(n, key=KEY).data.reshape(n, 2) * 2).astype(int)
    counts = np.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9)
    images = np.array([[a, b] for a in range(3) for b in range(3)]).reshape(9, 1, 2, 1)
    with tg.no_grad():
        p = np.exp(model.log_prob(images).data)
    laws.frequencies(counts, p)


def test_pixelcnn_keeps_what_is_given():
    model = random_state(pixelcnn())
    start = np.full((3, 5, 4, 1), -1)
    start[:, :2] = greys(3, 2, 4, 1, levels=2)
    done = model.sample(3, key=KEY, start=start).data
    np.testing.assert_array_equal(done[:, :2], start[:, :2])
    assert set(np.unique(done)) <= {0, 1}


# -- RealNVP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"shape": (2,), "couplings": 3},
        {"shape": (5,), "couplings": 4},
        {"shape": (4, 4, 1), "scales": 1, "blocks": 1},
        {"shape": (4, 4, 1), "scales": 2, "blocks": 1},
        {"shape": (4, 4, 3), "scales": 2, "blocks": 1},
        {"shape": (8, 4, 1), "scales": 3, "blocks": 0},
    ],
    ids=str,
)
def test_realnvp_is_invertible_with_the_right_volume(settings):
    model = random_state(models.RealNVP(**settings, hidden=4, key=KEY), 0.3)
    x = normals(3, *model.shape)
    laws.log_det_matches_jacobian(model, x)
    laws.inverse_undoes_forward(model, x)


def test_realnvp_starts_as_the_identity():
    model = models.RealNVP((3,), hidden=4, key=KEY)
    x = normals(4, 3).astype(np.float32)
    z, log_det = model.forward(tg.Tensor(x))
    np.testing.assert_array_equal(z.data, x)
    assert not log_det.data.any()


def test_realnvp_density_integrates_to_one():
    model = random_state(models.RealNVP((2,), hidden=6, couplings=4, key=KEY), 0.3)
    laws.density_integrates_to_one(model.log_prob)
    model.initialize(normals(50, 2) * 2 + 0.5)
    laws.density_integrates_to_one(model.log_prob, low=-15, high=15)


def test_realnvp_couplings_alternate():
    model = models.RealNVP((4,), couplings=2, key=KEY)
    a, b = (coupling.mask.data for coupling in model.stages[0].layers)
    np.testing.assert_array_equal(a, [0, 1, 0, 1] if not a[0] else [1, 0, 1, 0])
    np.testing.assert_array_equal(a + b, 1)


@pytest.mark.parametrize("dims", [2, 5, 8])
def test_realnvp_on_rows_is_its_masked_couplings_one_after_another(dims):
    model = random_state(models.RealNVP((dims,), couplings=3, hidden=4, key=KEY), 0.3)
    x = tg.Tensor(normals(6, dims))
    z, log_det = model.forward(x)
    y, total = x, 0.0
    for coupling in model.stages[0].layers:
        y, change = coupling(y)
        total = total + change
    np.testing.assert_allclose(z.data, y.data, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(log_det.data, total.data, rtol=1e-12, atol=1e-12)
    ours = tg.grad(model.loss(x), model.parameters())
    masked = tg.grad(ops.mean(-ops.gaussian_log_prob(y, y * 0, y * 0, event_ndim=1) - total), model.parameters())
    for a, b in zip(ours, masked):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-9, atol=1e-12)


def test_realnvp_on_integers_bounds_a_probability():
    """The probabilities of all integers, estimated over the noise, sum to at most one."""
    model = random_state(models.RealNVP((2,), levels=3, hidden=4, couplings=2, key=KEY), 0.3)
    g = np.array([[a, b] for a in range(3) for b in range(3)])
    with tg.no_grad():
        density = np.stack([np.exp(model.log_prob(g, key=tg.Key(s)).data) for s in range(2000)])
    # averaging p, not log p, estimates the probability of each cell without bias; what is missing lies in the margins
    total = density.mean(0).sum()
    error = density.sum(1).std() / math.sqrt(len(density))
    assert 0.3 < total < 1 + 5 * error
    assert model.sample(5, key=KEY).data.min() >= 0


def test_realnvp_samples_are_on_the_grid_of_levels():
    model = models.RealNVP((4, 4, 1), levels=5, hidden=4, blocks=1, key=KEY)
    x = model.sample(10, key=KEY).data * 4
    np.testing.assert_allclose(x, np.rint(x), atol=1e-6)
    assert x.min() >= 0
    assert x.max() <= 4


# -- GAN --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["non-saturating", "minimax"])
def test_gan_losses_are_the_papers(objective):
    model = models.GAN((2,), objective=objective, hidden=8, latent=3, key=KEY).astype(np.float64)
    x = normals(16, 2)
    sigmoid = lambda a: 1 / (1 + np.exp(-a))
    with tg.no_grad():
        real = sigmoid(model.judge(tg.Tensor(x)).data)
        fake = sigmoid(model.judge(model.generate(16, key=KEY)).data)
    expected = -(np.log(real).mean() + np.log(1 - fake).mean())
    assert float(model.discriminator_loss(x, key=KEY)) == pytest.approx(expected)
    expected = -np.log(fake).mean() if objective == "non-saturating" else np.log(1 - fake).mean()
    assert float(model.generator_loss(x, key=KEY)) == pytest.approx(expected)


def test_gan_objectives_touch_only_their_own_parameters():
    model = models.GAN((8, 8, 1), levels=17, architecture="conv", hidden=4, latent=5, key=KEY)
    x = greys(6, 8, 8, 1, levels=17)
    own = {id(p) for objective in model.objectives().values() for p in objective.parameters}
    assert own == {id(p) for p in model.parameters()}
    assert not {id(p) for p in model.generator.parameters()} & {id(p) for p in model.discriminator.parameters()}
    loss = model.discriminator_loss(x, key=KEY)
    assert tg.grad(loss, model.generator.parameters(), allow_unused=True) == [None] * len(model.generator.parameters())
    for objective in model.objectives().values():
        gradients = tg.grad(objective.loss(x, key=KEY), objective.parameters)
        assert all(np.isfinite(g.data).all() for g in gradients)


@pytest.mark.parametrize("size", [8, 28, 32])
def test_dcgan_shapes(size):
    model = models.GAN((size, size, 1), levels=256, architecture="conv", hidden=4, latent=5, key=KEY)
    images = model.sample(3, key=KEY)
    assert images.shape == (3, size, size, 1)
    assert images.data.min() >= 0
    assert images.data.max() <= 1
    assert model.discriminator(model.prepare(greys(2, size, size, 1, levels=256))).shape == (2, 1)
    assert model.training, "sampling restores the mode"


# -- what they share --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", models.FAMILIES)
def test_settings_build_the_model_they_describe(family):
    for spec in (models.DataSpec("image", (8, 8, 1), 17), models.DataSpec("points", (2,), None)):
        if family == "pixelcnn" and spec.kind != "image":
            with pytest.raises(ArgumentError, match="needs images"):
                models.FAMILIES[family].settings_for(spec)
            continue
        settings = models.FAMILIES[family].settings_for(spec)
        model = models.build(family, settings, key=KEY)
        assert isinstance(model, nn.Module)
        again = models.build(family, settings, key=KEY)
        for (name, a), (_, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_wrong_shapes_and_settings_are_refused():
    with pytest.raises(ShapeError, match=r"VAE: x is \(2,3,3,1\), the model takes \(N,4,4,1\)"):
        vae().loss(np.zeros((2, 3, 3, 1), np.uint8), key=KEY)
    with pytest.raises(ArgumentError, match="Bernoulli decoder needs integer data"):
        vae(levels=None)
    with pytest.raises(ArgumentError, match="unknown model 'vea'"):
        models.build("vea", {}, key=KEY)
    with pytest.raises(ArgumentError, match="vae does not take these settings"):
        models.build("vae", {"shape": [2], "hiden": 3}, key=KEY)
    with pytest.raises(ArgumentError, match="multiples of the 3 colours"):
        pixelcnn(shape=(4, 4, 3), channels=4)
    with pytest.raises(ArgumentError, match="cannot be halved 2 times"):
        models.RealNVP((6, 6, 1), scales=3, key=KEY)
    with pytest.raises(ArgumentError, match="dequantised with noise"):
        models.RealNVP((2,), levels=3, key=KEY).loss(np.zeros((2, 2)))
