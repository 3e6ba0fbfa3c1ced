"""Cached sampling from a PixelCNN draws what the definition draws: the same bits, of logits and of images."""

from __future__ import annotations

import numpy as np
import pytest

import tinygen as tg
from tinygen import kernels, models
from tinygen.errors import ShapeError
from tinygen.models import pixelcnn_sampling as sampling

KEY = tg.Key(5)

VARIANTS = {
    "binary": dict(shape=(6, 5, 1), levels=2, channels=16, blocks=2),
    "bernoulli of greys": dict(shape=(5, 4, 1), levels=17, likelihood="bernoulli", channels=8, blocks=1),
    "greys": dict(shape=(4, 7, 1), levels=5, channels=12, blocks=2, head=20),
    "256 greys": dict(shape=(3, 4, 1), levels=256, channels=9, blocks=1),
    "few channels": dict(shape=(5, 4, 1), levels=2, channels=3, blocks=1, head=2),
    "colours": dict(shape=(4, 5, 3), levels=4, channels=6, blocks=2),
    "binary colours": dict(shape=(4, 3, 3), levels=2, channels=36, blocks=1, head=15),
    "two colours": dict(shape=(3, 3, 2), levels=3, channels=20, blocks=1),
    "wide": dict(shape=(3, 4, 1), levels=2, channels=50, blocks=1, head=70),
    "no blocks": dict(shape=(9, 9, 1), levels=3, channels=8, blocks=0),
    "one pixel": dict(shape=(1, 1, 1), levels=3, channels=8, blocks=1),
    "one pixel in colour": dict(shape=(1, 1, 3), levels=3, channels=9, blocks=1),
    "a row": dict(shape=(1, 8, 1), levels=2, channels=8, blocks=1),
    "a column": dict(shape=(8, 1, 1), levels=2, channels=8, blocks=1),
}


def pixelcnn(name: str, dtype=np.float32, seed: int = 1) -> models.PixelCNN:
    """With weights that make every draw uncertain and every layer count."""
    model = models.PixelCNN(**VARIANTS[name], key=tg.Key(0)).astype(dtype)
    redraw(model, seed)
    return model


def redraw(model: models.PixelCNN, seed: int) -> None:
    generator = np.random.Generator(np.random.Philox(seed))
    for p in model.parameters():
        p.data[...] = generator.standard_normal(p.shape) / np.sqrt(max(np.prod(p.shape[:-1]), 4))


def both(model: models.PixelCNN, n: int, key: tg.Key = KEY, **how) -> tuple[np.ndarray, np.ndarray]:
    return model.sample(n, key=key, **how).data, model.sample(n, key=key, cached=False, **how).data


def test_the_network_is_run_for_no_pixel():
    launched = []
    with kernels.observe(lambda kernel, *_: launched.append(kernel)):
        pixelcnn("greys").sample(2, key=KEY)
    assert launched.count(kernels.causal.sample) == 1
    assert not any(kernel.family == "conv" for kernel in launched)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("name", VARIANTS)
def test_images_equal_those_of_the_definition(name, dtype):
    model = pixelcnn(name, dtype)
    for n, seed in ((3, 0), (3, 1), (17, 2)):
        got, expected = both(model, n, tg.Key(seed))
        assert got.dtype == expected.dtype == dtype
        np.testing.assert_array_equal(got, expected)
        assert n * got[0].size < 30 or np.unique(got).size > 1, "these images would show nothing"


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("name", VARIANTS)
def test_logits_have_the_bits_of_the_network(name, dtype):
    model = pixelcnn(name, dtype)
    x, logits = sampling.cached(model, np.full((9, *model.shape), -1, dtype), key=KEY, logits=True)
    with tg.no_grad():
        expected = model.logits(tg.Tensor(x)).data
    np.testing.assert_array_equal(logits, expected)


@pytest.mark.parametrize("name", ["binary", "256 greys", "colours"])
def test_the_kernel_follows_its_specification(name):
    model = pixelcnn(name, np.float64)
    x = np.full((2, *model.shape), -1.0)
    images, logits = sampling.cached(model, x, key=KEY, logits=True)
    with kernels.backend("reference"):
        expected = sampling.cached(model, x, key=KEY, logits=True)
    np.testing.assert_array_equal(images, expected[0])
    np.testing.assert_allclose(logits, expected[1], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["binary", "colours"])
def test_nothing_to_draw(name):
    for got in both(pixelcnn(name), 0):
        assert got.shape == (0, *VARIANTS[name]["shape"])


@pytest.mark.parametrize("name", ["binary", "greys", "colours"])
def test_what_is_given_is_kept(name):
    model = pixelcnn(name)
    generator = np.random.Generator(np.random.Philox(4))
    start = generator.integers(0, model.levels, (5, *model.shape))
    start[generator.random(start.shape) < 0.6] = -1  # any entries, other ones in every image
    got, expected = both(model, 5, start=start)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.rint(got * (model.levels - 1))[start >= 0], start[start >= 0])
    full = np.maximum(start, 0).astype(np.uint8)
    np.testing.assert_array_equal(np.rint(model.sample(5, key=KEY, start=full).data * (model.levels - 1)), full)


def test_a_start_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"start has shape \(3,6,5\)\. Pass \(3,6,5,1\)"):
        pixelcnn("binary").sample(3, key=KEY, start=np.zeros((3, 6, 5)))


def test_new_weights_are_seen():
    model = pixelcnn("greys")
    before = model.sample(4, key=KEY).data
    redraw(model, seed=2)
    got, expected = both(model, 4)
    np.testing.assert_array_equal(got, expected)
    assert (got != before).any()


def test_dropout_is_off_and_training_goes_on_after():
    model = pixelcnn("binary")
    expected = model.sample(4, key=KEY).data
    model.dropout.rate = 0.5
    for got in both(model.train(), 4):
        np.testing.assert_array_equal(got, expected)
    assert model.training


@pytest.mark.parametrize("name", ["binary", "colours"])
def test_an_image_depends_on_its_place_alone(name):
    """Not on how many are drawn with it, nor on how threads share them."""
    model, threads = pixelcnn(name), tg.get_num_threads()
    many = model.sample(75, key=KEY).data
    np.testing.assert_array_equal(many[:9], model.sample(9, key=KEY).data)
    tg.set_num_threads(1)
    try:
        np.testing.assert_array_equal(many, model.sample(75, key=KEY).data)
    finally:
        tg.set_num_threads(threads)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_uniforms_are_draws_with_derived_keys(dtype, backend):
    with kernels.backend(backend):
        u = kernels.random.uniforms(KEY.data, n=7, size=11, dtype=np.dtype(dtype))
    assert u.dtype == dtype
    for i, row in enumerate(u):
        np.testing.assert_array_equal(row, tg.ops.uniform((11,), key=KEY.fold_in(i), dtype=dtype).data)
    assert kernels.random.uniforms(KEY.data, n=0, size=3).shape == (0, 3)
    assert kernels.random.uniforms(KEY.data, n=3, size=0).shape == (3, 0)
