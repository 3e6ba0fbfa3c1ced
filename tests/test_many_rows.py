"""Kernels on more rows than a unit of work holds: the units' sums are combined, by any number of threads."""

import numpy as np
import pytest

import tinygen as tg
from tinygen import kernels
from tinygen.testing import laws

SHAPES = [(6000, 12), (40000, 1), (300, 200), (3, 2000, 7)]  # several blocks of CHUNK entries each
SLOPE = {"slope": 0.2}
EPS = {"eps": 1e-3}


def arguments(name, x, d):
    """The kernel's inputs and parameters."""
    channels = x.shape[-1]
    rows = tuple(range(x.ndim - 1))
    gamma, beta, g_mean, g_var = d.standard_normal((4, channels)).astype(x.dtype)
    g = d.standard_normal(x.shape).astype(x.dtype)
    mean, var = x.mean(rows), x.var(rows)
    return {
        "batch_norm": ((x, gamma, beta), EPS | SLOPE),
        "batch_norm_eval": ((x, gamma, beta, mean, var), EPS | SLOPE),
        "batch_norm_grad": ((g, g_mean, g_var, x, gamma, beta, mean, var), EPS | SLOPE),
        "layer_norm": ((x, gamma, beta), EPS),
        "layer_norm_grad": ((g, x, gamma), EPS),
        "weight_norm": ((x, gamma), {}),
        "weight_norm_grad": ((g, x, gamma), {}),
    }[name]


BATCH = "batch_norm", "batch_norm_eval", "batch_norm_grad"
NORMS = *BATCH, "layer_norm", "layer_norm_grad", "weight_norm", "weight_norm_grad"
COUPLINGS = [f"masked_affine_coupling{rest}" for rest in ("", "_grad", "_inverse", "_inverse_grad")]


def follows_its_specification(kernel, inputs, params):
    """On all threads and on one."""

    def run():
        made = kernel(*inputs, **params)
        return made if isinstance(made, tuple) else (made,)

    got = run()
    with kernels.backend("reference"):
        expected = run()
    threads = tg.get_num_threads()
    try:
        tg.set_num_threads(1)
        alone = run()
    finally:
        tg.set_num_threads(threads)
    for a, b, c in zip(got, expected, alone, strict=True):
        laws.close(a, b, factor=100)
        np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_normalisation(shape, name):
    d = np.random.Generator(np.random.Philox(5))
    drift = np.linspace(-2, 2, shape[-2])[:, None]  # means that differ from block to block
    inputs, params = arguments(name, d.standard_normal(shape) + drift, d)
    follows_its_specification(getattr(kernels.norm, name), inputs, params)


@pytest.mark.parametrize("name", COUPLINGS)
@pytest.mark.parametrize("shape", [(2000, 10), (30, 8, 8, 12)])
def test_couplings(shape, name):
    d = np.random.Generator(np.random.Philox(6))
    x, scale, mask = d.standard_normal(shape), d.standard_normal(shape[-1]), (d.random(shape[1:]) < 0.5).astype(float)
    h = d.standard_normal((*shape[:-1], 2 * shape[-1]))
    cotangents = (d.standard_normal(shape), d.standard_normal(shape[0])) if name.endswith("grad") else ()
    follows_its_specification(getattr(kernels.coupling, name), (*cotangents, x, h, scale, mask), {})
