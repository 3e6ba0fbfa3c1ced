"""RealNVP: invertible, with the right volume, normalised, and alternating."""

import itertools
import math

import numpy as np
import pytest
from modeldraws import KEY, normals, random_state

import tinygen as tg
from tinygen import models, ops
from tinygen.testing import laws


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


@pytest.mark.parametrize("shape", [(4, 4, 1), (8, 4, 3)])
def test_realnvp_masks_of_images_alternate(shape):
    model = models.RealNVP(shape, scales=2, hidden=4, blocks=1, key=KEY)
    for stage in model.stages:
        masks = [coupling.mask.data for coupling in stage.layers]
        for before, after in itertools.pairwise(masks):
            np.testing.assert_array_equal(before + after, 1)


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


def test_realnvp_draws_from_the_prior_it_was_trained_with_and_undoes_the_way_in():
    model = models.RealNVP((3,), hidden=4, key=KEY)  # the identity
    model.initialize(normals(50, 3) * 2 + 0.5)
    z = ops.normal((6, 3), key=KEY).data
    np.testing.assert_allclose(
        model.sample(6, key=KEY, temperature=0.7).data, 0.7 * z * model.std.data + model.mean.data
    )
    greys = models.RealNVP((4, 4, 1), levels=5, hidden=4, blocks=1, scales=1, key=KEY)
    x = np.random.default_rng(0).integers(0, 5, (6, 4, 4, 1))
    y, _ = greys.to_continuous(x, key=KEY)  # what the inverse of a perfect model would give
    greys.inverse = lambda z: (y, None)
    np.testing.assert_allclose(greys.sample(6, key=KEY).data * 4, x, atol=1e-6)
