"""Weights and data for the tests of models."""

import numpy as np

import tinygen as tg
from tinygen import models

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


def vae(**settings):
    return models.VAE(**{"shape": (4, 4, 1), "levels": 5, "hidden": 8, "latent": 3, "key": KEY, **settings})
