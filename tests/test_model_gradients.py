"""The loss of every model against differences, in every parameter: no rule, mask or detail of wiring is left out."""

import numpy as np
import pytest

import tinygen as tg
from tinygen import models
from tinygen.testing import GradientError, from_parameters, gradcheck

KEY = tg.Key(0)
SETTINGS = {
    "vae": ("vae", dict(shape=(4, 4, 1), levels=5, hidden=6, latent=2)),
    "vae, convolutions, gaussian": (
        "vae",
        dict(shape=(4, 4, 1), levels=5, architecture="conv", hidden=[3, 4], latent=2, decoder="gaussian"),
    ),
    "pixelcnn": ("pixelcnn", dict(shape=(4, 3, 1), levels=2, channels=4, blocks=1)),
    "pixelcnn, colours": ("pixelcnn", dict(shape=(3, 3, 3), levels=4, channels=6, blocks=1)),
    "realnvp, rows": ("realnvp", dict(shape=(3,), hidden=5, couplings=3)),
    "realnvp, images": ("realnvp", dict(shape=(4, 4, 1), levels=5, hidden=4, scales=2, blocks=0)),
    "gan": ("gan", dict(shape=(3,), hidden=6, latent=2)),
    "gan, convolutions": ("gan", dict(shape=(8, 8, 1), levels=5, architecture="conv", hidden=4, latent=3)),
    "gan, minimax, packed": ("gan", dict(shape=(3,), hidden=6, latent=2, objective="minimax", pack=2)),
}


def build(name):
    """The model with random float64 parameters (zeros would hide errors), and a batch."""
    family, settings = SETTINGS[name]
    model = models.build(family, settings, key=KEY).astype(np.float64)
    rng = np.random.Generator(np.random.Philox(1))
    for p in model.parameters():
        p.data[...] = 0.4 * rng.standard_normal(p.shape)
    levels = settings.get("levels")
    shape = (4, *settings["shape"])
    return model, rng.integers(0, levels, shape, dtype=np.uint8) if levels else rng.standard_normal(shape)


@pytest.mark.parametrize("name", SETTINGS)
def test_losses_and_their_gradients(name):
    model, x = build(name)
    for part, objective in model.objectives().items():
        loss = from_parameters(lambda: objective.loss(x, key=KEY), objective.parameters, f"{name}: {part}")  # noqa: B023
        gradcheck(loss, *objective.parameters)


def test_parameters_get_their_values_back_and_errors_are_found():
    model, x = build("vae")
    before = [p.data.copy() for p in model.parameters()]
    right = from_parameters(lambda: model.loss(x, key=KEY), model.parameters())
    gradcheck(right, *model.parameters())
    for p, value in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, value)
    first = model.parameters()[0]
    wrong = from_parameters(lambda: model.loss(x, key=KEY) + first.detach().sum(), model.parameters(), "leaky")
    with pytest.raises(GradientError, match=r"leaky: order 1, the gradient for input 0"):
        gradcheck(wrong, *model.parameters())
