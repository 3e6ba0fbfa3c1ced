"""CUDA kernels of the optimizers: against the specification, and launched again from a list."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cudadevice import on_cuda, on_device

from tinygen.kernels import backend, optim
from tinygen.kernels.optim import NotFinite

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("cuda")]

SHAPES = [(0, 3), (2,), (100, 47), (), *[(7,)] * 40, (33, 9), (0,)]  # a block meets many, and one spans several blocks
SIZE = sum(math.prod(shape) for shape in SHAPES)

RULES: dict[str, tuple[Any, list[bool], bool, dict[str, Any]]] = {  # kernel, its buffers, whether it counts, options
    "sgd": (optim.sgd, [False], False, {"weight_decay": 0.1}),
    "momentum": (optim.sgd, [True], False, {"momentum": 0.9}),
    "nesterov": (optim.sgd, [True], False, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "adam": (optim.adam, [True] * 2, True, {"weight_decay": 0.1}),
    "adam_betas": (optim.adam, [True] * 2, True, {"beta1": 0, "beta2": 0.9, "eps": 1e-4}),
    "adamw": (optim.adam, [True] * 2, True, {"weight_decay": 0.1, "decoupled": True}),
    "adamax": (optim.adamax, [True] * 2, True, {"weight_decay": 0.1}),
    "rmsprop": (optim.rmsprop, [True, False, False], False, {"weight_decay": 0.1}),
    "rmsprop_full": (optim.rmsprop, [True] * 3, False, {"momentum": 0.9, "centered": True}),
    "adadelta": (optim.adadelta, [True] * 2, False, {"weight_decay": 0.1}),
}


def gradients(seed: int, dtype: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]


def state(name: str, dtype: Any, move: Any) -> tuple[list[Any], list[Any]]:
    """(the block and its buffers, the numbers), moved."""
    _, buffers, counts, _ = RULES[name]
    block = np.random.default_rng(0).standard_normal(SIZE).astype(dtype)
    changed = [block, *[np.zeros(SIZE if used else 0, dtype) for used in buffers]]
    numbers = [np.array([0.5]), np.array([0.01]), *[np.zeros(1, np.int64)] * counts]
    return [move(a) for a in changed], [move(a) for a in numbers]


def updated(name: str, dtype: Any, move: Any, steps: int = 4) -> list[Any]:
    """The block and its buffers after some updates in place."""
    kernel, _, counts, options = RULES[name]
    changed, numbers = state(name, dtype, move)
    for step in range(1, steps + 1):
        if counts:
            optim.advance(numbers[-1], out=numbers[-1])
        kernel(*changed, *numbers, *map(move, gradients(step, dtype)), out=tuple(changed), **options)
    return changed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_updates_follow_the_specification(name, dtype):
    with backend("reference"):
        expected = updated(name, dtype, np.copy)
    mine = updated(name, dtype, on_device)
    for a, b in zip(mine, expected, strict=True):
        np.testing.assert_allclose(a.get(), b, rtol=0, atol=200 * np.finfo(dtype).eps)
    with on_cuda(-1):
        for a, b in zip(updated(name, dtype, on_device), mine, strict=True):
            assert np.array_equal(a.get(), b.get())


@pytest.mark.parametrize("name", RULES)
def test_new_blocks_and_prepared_launches_give_the_same_bits(name):
    kernel, _, counts, options = RULES[name]
    once, twice = (updated(name, np.float32, on_device, steps) for steps in (1, 2))
    changed, numbers = state(name, np.float32, on_device)
    if counts:
        optim.advance(numbers[-1], out=numbers[-1])
    gs = [on_device(g) for g in gradients(1, np.float32)]
    made = kernel(*changed, *numbers, *gs, **options)
    for a, b in zip(made, once, strict=True):
        assert np.array_equal(a.get(), b.get())
    launch = kernel.bind((*changed, *numbers, *gs, *changed), {**kernel.params, **options})
    launch()
    for g, fresh in zip(gs, gradients(2, np.float32), strict=True):
        g.set(fresh)
    if counts:
        optim.advance(numbers[-1], out=numbers[-1])
    launch()
    for a, b in zip(changed, twice, strict=True):
        assert np.array_equal(a.get(), b.get())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_arrays_as_one(dtype):
    gs = gradients(3, dtype)
    joined, moved = np.concatenate([g.ravel() for g in gs]), [on_device(g) for g in gs]
    assert np.array_equal(optim.gather(*moved).get(), joined)
    exact = float((joined.astype(np.float64) ** 2).sum())
    squares = optim.sum_squares(*moved)
    assert squares.get()[0] == optim.sum_squares(on_device(joined)).get()[0]  # wherever they lie
    assert squares.item() == pytest.approx(exact, rel=1e-13)
    scale, norm = optim.clip_scale(squares, squares, max_norm=2.0)
    assert norm.item() == pytest.approx(math.sqrt(2 * exact), rel=1e-13)
    assert scale.item() == pytest.approx(2 / (math.sqrt(2 * exact) + 1e-6), rel=1e-13)
    y = optim.scaled(moved[2], scale)
    assert np.array_equal(y.get(), gs[2] * gs[2].dtype.type(scale.item()))


def test_long_sums_of_squares_and_none():
    x = np.random.default_rng(0).standard_normal(5000)
    exact = math.fsum(x**2)
    assert optim.sum_squares(on_device(x)).item() == pytest.approx(exact, rel=1e-14)
    assert optim.sum_squares(on_device(x[:0])).item() == 0


@pytest.mark.parametrize("norm", [np.inf, np.nan])
def test_a_norm_that_is_not_finite_scales_to_nan(norm):
    scale, _ = optim.clip_scale(on_device([norm]), max_norm=1.0)
    assert np.isnan(scale.item())


def test_small_norms_are_left_alone():
    scale, norm = optim.clip_scale(on_device([0.25]), max_norm=1.0)
    assert (scale.item(), norm.item()) == (1.0, 0.5)


def test_averages():
    a, p = (np.random.default_rng(k).standard_normal(3000) for k in range(2))
    made = optim.ema(on_device(a), on_device(p), decay=0.9)
    np.testing.assert_allclose(made.get(), 0.9 * a + 0.1 * p, rtol=0, atol=1e-15)


def test_what_asks_python_does_so_at_every_launch():
    step, lr = on_device(np.array([3])), on_device(np.zeros(1))
    launch = optim.schedule.bind((step, lr), {"function": lambda n: n / 2})
    launch()
    assert lr.item() == 1.5
    optim.advance(step, out=step)
    launch()
    assert lr.item() == 2.0
    loss, norm = on_device(np.zeros(())), on_device(np.zeros(1))
    check = optim.require_finite.bind((loss, norm), {"of": "a step"})
    check()
    for array in (loss, norm):
        array.fill(np.inf)
        with pytest.raises(NotFinite):
            check()
        array.fill(0)


@pytest.mark.parametrize("move", [on_device, np.copy], ids=["cuda", "cpu"])
@pytest.mark.parametrize(
    ("name", "shapes", "gradients"),
    [
        ("adam", [(3, 4)] * 3, [(3, 4)]),
        ("adam", [(12,), (3,), (12,)], [(12,)]),
        ("adamax", [(3,)] * 3, [(12,)]),
        ("rmsprop", [(12,), (12,), (0,), (0,)], [(3,)]),
        ("adadelta", [(12,)] * 3, [(12,), (1,)]),
        ("sgd", [(3,), (12,)], [(3,)]),
        ("ema", [(3,)], [(3, 4)]),
        ("ema", [(3, 4)], [(3, 4)]),
    ],
)
def test_blocks_that_do_not_fit_are_refused(name, shapes, gradients, move):
    """They were read and written past their ends."""
    blocks, gs = ([move(np.ones(shape)) for shape in of] for of in (shapes, gradients))
    numbers = [move(np.ones(1))] * 2 + [move(np.ones(1, np.int64))] * (name in ("adam", "adamax"))
    given, options = ([*blocks, *gs], {"decay": 0.5}) if name == "ema" else ([*blocks, *numbers, *gs], {})
    with pytest.raises(ValueError, match=rf"optim\.{name}: a flat block, buffers of its shape"):
        getattr(optim, name)(*given, **options)
