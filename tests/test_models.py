"""The laws that the models obey."""

import itertools
import math

import numpy as np
import pytest
from modeldraws import KEY, greys, normals, random_state, vae

import tinygen as tg
from tinygen import models, nn
from tinygen.errors import ArgumentError, ShapeError
from tinygen.models.preprocess import binarize, dequantize, from_logit, log_volume, to_logit
from tinygen.testing import laws

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


@pytest.mark.parametrize(
    "model",
    [
        models.VAE((4, 4, 1), hidden=[16, 16], latent=16, key=KEY),
        models.PixelCNN((4, 4, 1), channels=4, blocks=3, key=KEY),
        models.RealNVP((4,), hidden=4, couplings=3, key=KEY),
        models.RealNVP((4, 4, 1), scales=2, hidden=4, blocks=2, key=KEY),
        models.GAN((8, 8, 1), levels=17, architecture="conv", hidden=4, latent=8, key=KEY),
        models.GAN((2,), hidden=8, latent=8, key=KEY),
    ],
    ids=["vae", "pixelcnn", "realnvp", "realnvp of images", "dcgan", "gan"],
)
def test_no_two_weights_are_drawn_alike(model):
    drawn = {name: p.data for name, p in model.named_parameters() if p.data.std() > 0}
    for (one, a), (other, b) in itertools.combinations(drawn.items(), 2):
        assert a.shape != b.shape or not np.array_equal(a, b), f"{one} and {other} began with one key"


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
    with pytest.raises(ArgumentError, match=r"PixelCNN: shape must be \(H, W, C\), got \(4,\)"):
        pixelcnn(shape=(4,))
    with pytest.raises(ArgumentError, match="likelihood must be 'bernoulli' or 'categorical', got 'poisson'"):
        pixelcnn(likelihood="poisson")
    with pytest.raises(ArgumentError, match="decoder must be 'bernoulli' or 'gaussian', got 'laplace'"):
        vae(decoder="laplace")
    for family, shape, settings in (
        (models.VAE, (4,), {"levels": 2}), (models.GAN, (4,), {"hidden": 4, "latent": 2}),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match="architecture must be 'mlp' or 'conv', got 'rnn'"):
            family(shape, architecture="rnn", key=KEY, **settings)
        with pytest.raises(ArgumentError, match=r"'conv' needs images \(H, W, C\), got shape \(4,\)"):
            family(shape, architecture="conv", key=KEY, **settings)
    with pytest.raises(ArgumentError, match="k must be at least 1, got 0"):
        vae().iwae(np.zeros((2, 4, 4, 1), np.uint8), k=0, key=KEY)
    with pytest.raises(ArgumentError, match="objective must be 'non-saturating' or 'minimax', got 'hinge'"):
        models.GAN((4,), objective="hinge", key=KEY)
    with pytest.raises(ArgumentError, match="pack 2 needs architecture='mlp'"):
        models.GAN((8, 8, 1), levels=2, architecture="conv", pack=2, key=KEY)
    with pytest.raises(ArgumentError, match="images of 7x8 cannot be halved"):
        models.GAN((7, 8, 1), levels=2, architecture="conv", key=KEY)
    with pytest.raises(ArgumentError, match="a batch of 3 is no multiple of pack 2"):
        models.GAN((4,), pack=2, key=KEY).judge(tg.Tensor(np.zeros((3, 4), np.float32)))
    with pytest.raises(ArgumentError, match="at least two entries"):
        models.RealNVP((1,), key=KEY)
    with pytest.raises(ArgumentError, match=r"shape must be \(D,\) or \(H, W, C\), got \(2, 3\)"):
        models.RealNVP((2, 3), key=KEY)
    with pytest.raises(ArgumentError, match="cannot be halved 2 times"):
        models.RealNVP((6, 6, 1), scales=3, key=KEY)
    with pytest.raises(ArgumentError, match="dequantised with noise"):
        models.RealNVP((2,), levels=3, key=KEY).loss(np.zeros((2, 2)))
