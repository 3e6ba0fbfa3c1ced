"""Draws: published vectors, exact bits, distributions, independence of threads.

Statistical tests run on fixed keys, so they never flicker; a correct generator with other keys would fail one of them
with a probability of about laws.samples.ALARM, one in a million.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

import tinygen as tg
from tinygen import ops
from tinygen.errors import ArgumentError, DTypeError, ShapeError
from tinygen.kernels import backend
from tinygen.kernels._numba import jit
from tinygen.kernels.random import cpu, reference
from tinygen.testing import laws

ONES = 0xFFFFFFFF


# counter, key, block: the known-answer vectors published with Random123
@jit
def philox(c0, c1, c2, c3, k0, k1):
    return cpu.philox(c0, c1, c2, c3, k0, k1)


@pytest.mark.parametrize(
    ("counter", "key", "block"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_published_vectors(counter, key, block):
    assert tuple(reference.philox(np.array([counter], np.uint32), np.array(key, np.uint32))[0]) == block
    assert philox(*[np.uint64(v) for v in (*counter, *key)]) == block


def draws(n):
    key, p = tg.Key(3).data, np.arange(n) % 11 / 10
    float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
    return {
        "bits": tg.kernels.random.bits(key, shape=(n,)),
        "uniform32": tg.kernels.random.uniform(key, shape=(n,), dtype=float32),
        "uniform64": tg.kernels.random.uniform(key, shape=(n,), dtype=float64),
        "normal32": tg.kernels.random.normal(key, shape=(n,), dtype=float32),
        "normal64": tg.kernels.random.normal(key, shape=(n,), dtype=float64),
        "bernoulli32": tg.kernels.random.bernoulli(p.astype(np.float32), key),
        "bernoulli64": tg.kernels.random.bernoulli(p, key),
        "permutation": tg.kernels.random.permutation(key, n=n),
    }


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 16384, 40_001])
def test_draws_follow_the_specification(n):
    mine = draws(n)
    with backend("reference"):
        expected = draws(n)
    for name, a in mine.items():
        b = expected[name]
        assert a.dtype == b.dtype
        if name.startswith("normal"):
            np.testing.assert_allclose(a, b, rtol=0, atol=32 * np.finfo(a.dtype).eps, err_msg=name)
        else:
            assert np.array_equal(a, b), name


def test_a_longer_draw_begins_with_the_shorter():
    for name, a in draws(40_001).items():
        if name != "permutation":
            assert np.array_equal(a[:999], draws(999)[name]), name


def test_bits_do_not_depend_on_threads():
    before = tg.get_num_threads()
    many = draws(100_000)
    tg.set_num_threads(1)
    try:
        one = draws(100_000)
    finally:
        tg.set_num_threads(before)
    assert all(np.array_equal(many[name], one[name]) for name in many)


def test_derived_keys_and_draws_use_different_blocks():
    key = tg.Key(0)
    first = tg.kernels.random.bits(key.data, shape=(2,))
    assert not np.array_equal(key.fold_in(0).data, first)
    assert key.fold_in("a") == key.fold_in("a") != key.fold_in("b")
    assert len(set(key.split(1000))) == 1000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform(dtype):
    u = ops.uniform((100_000,), key=tg.Key(1), dtype=dtype).numpy()
    assert u.dtype == dtype
    assert u.min() >= 0
    assert u.max() < 1
    laws.follows(u, lambda x: np.clip(x, 0, 1))
    wide = ops.uniform((1000,), key=tg.Key(1), low=-2.0, high=3.0, dtype=dtype).numpy()
    np.testing.assert_allclose(wide, u[:1000] * 5 - 2, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal(dtype):
    z = ops.normal((200_000,), key=tg.Key(2), dtype=dtype).numpy()
    assert np.isfinite(z).all()
    laws.follows(z, ndtr)
    laws.moments(z, 0, 1)
    laws.uncorrelated(z[0::2], z[1::2])  # the two normals of a pair


def test_bernoulli():
    p = np.repeat(np.array([0.0, 0.1, 0.5, 0.9, 1.0], np.float32), 50_000)
    drawn = ops.bernoulli(p, key=tg.Key(3)).numpy().reshape(5, -1)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert drawn[0].sum() == 0
    assert drawn[4].all()
    for row, probability in zip(drawn[1:4], (0.1, 0.5, 0.9), strict=True):
        laws.frequencies([row.size - row.sum(), row.sum()], [1 - probability, probability])


def test_categorical():
    logits = np.array([0.3, -np.inf, 2.0, -1.0, 0.0], np.float32)
    drawn = ops.categorical(np.tile(logits, (100_000, 1)), key=tg.Key(4)).numpy()
    laws.frequencies(np.bincount(drawn, minlength=5), np.exp(logits) / np.exp(logits).sum())


@pytest.mark.parametrize("shape", [(0, 3), (4, 1), (2, 3, 256)])
def test_categorical_follows_the_specification(shape):
    logits = np.random.default_rng(0).standard_normal(shape)
    drawn = ops.categorical(logits, key=tg.Key(5)).numpy()
    assert drawn.dtype == np.int64
    with backend("reference"):
        assert np.array_equal(drawn, ops.categorical(logits, key=tg.Key(5)).numpy())


def test_permutation():
    for n in (0, 1, 10, 30_000):
        assert np.array_equal(np.sort(ops.permutation(n, key=tg.Key(6)).numpy()), np.arange(n))
    orders = [tuple(ops.permutation(3, key=k).tolist()) for k in tg.Key(7).split(3000)]
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    laws.frequencies(counts, np.full(6, 1 / 6))


def test_reparameterize_scales_by_the_standard_deviation():
    # a variance in its place would give 9 here: the bug of several published VAEs
    mu, log_var = np.full(100_000, 5.0), np.full(100_000, np.log(9.0))
    z = ops.reparameterize(tg.Tensor(mu), tg.Tensor(log_var), key=tg.Key(8)).numpy()
    laws.follows(z, lambda x: ndtr((x - 5) / 3))


def test_dropout_keeps_the_mean():
    x = tg.Tensor(np.ones(100_000, np.float32))
    y = ops.dropout(x, rate=0.2, key=tg.Key(9)).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1.25)}
    laws.frequencies([(y == 0).sum(), (y > 0).sum()], [0.2, 0.8])
    assert ops.dropout(x, rate=0.0, key=tg.Key(9)) is x


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: tg.Key(-1), ArgumentError, r"seed must be an integer in \[0, 2\*\*64\), got -1"),
        (lambda: tg.Key(0.5), ArgumentError, "seed must be an integer"),
        (lambda: tg.Key(0).fold_in(1 << 64), ArgumentError, "expected a name or an integer"),
        (lambda: tg.Key.from_data(np.zeros(3, np.uint32)), ArgumentError, r"expected uint32 of shape \(2,\)"),
        (lambda: ops.normal((2,), key=0), ArgumentError, "key is int"),
        (lambda: ops.uniform((-1,), key=tg.Key(0)), ArgumentError, r"shape is \(-1,\)"),
        (lambda: ops.normal((2,), key=tg.Key(0), dtype="int32"), DTypeError, "dtype is int32"),
        (lambda: ops.bernoulli(np.array([1, 0]), key=tg.Key(0)), DTypeError, "p is int64"),
        (lambda: ops.categorical(np.zeros((3, 0)), key=tg.Key(0)), ShapeError, "have no categories"),
        (lambda: ops.permutation(-1, key=tg.Key(0)), ArgumentError, "n is -1"),
        (lambda: ops.dropout(tg.Tensor(np.ones(3)), rate=1.0, key=tg.Key(0)), ArgumentError, "rate is 1"),
    ],
)
def test_bad_arguments_are_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_keys_compare_and_hash_by_their_words():
    key, same, other = tg.Key(1 << 32 | 7), tg.Key.from_data(np.array([7, 1], np.uint32)), tg.Key(7)
    assert key == same
    assert key != other
    assert {key: "here"}[same] == "here"
    assert repr(key) == "Key(00000001:00000007)"
