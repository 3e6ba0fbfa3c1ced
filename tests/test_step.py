"""Recorded steps: the bits of the eager ones, and an error wherever a replay could not follow."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import data, kernels, models, nn, ops, optim
from tinygen.errors import InPlaceError, StepError
from tinygen.kernels.replay.plan import ALIGN, assign
from tinygen.primitive import primitive, registry

MODELS = {
    "vae": ("vae", dict(shape=(8, 8, 1), levels=2, hidden=[24, 16], latent=4)),
    "vae conv": ("vae", dict(shape=(8, 8, 1), levels=17, architecture="conv", hidden=[8, 16], latent=4)),
    "vae gaussian": ("vae", dict(shape=(8, 8, 1), levels=17, decoder="gaussian", hidden=24, latent=4)),
    "pixelcnn": ("pixelcnn", dict(shape=(8, 8, 1), levels=17, channels=8, blocks=2)),
    "pixelcnn dropout": ("pixelcnn", dict(shape=(8, 8, 1), levels=2, channels=8, blocks=1, dropout=0.3)),
    "realnvp": ("realnvp", dict(shape=(8, 8, 1), levels=17, hidden=8, blocks=1)),
    "gan": ("gan", dict(shape=(8, 8, 1), levels=17, architecture="mlp", hidden=16, latent=4)),
    "gan conv": ("gan", dict(shape=(8, 8, 1), levels=17, architecture="conv", hidden=8, latent=4)),
}
OPTIMIZERS = {
    "adam": lambda ps: optim.Adam(ps, lr=optim.schedules.cosine(1e-3, total=9), max_norm=0.5),
    "sgd": lambda ps: optim.SGD(ps, lr=1e-3, momentum=0.9),
}


def build(name: str) -> tuple[models.Model, Any, list[Any]]:
    """A model, the function that trains it by one step, and what else that function changes."""
    family, settings = MODELS[name]
    model = models.build(family, settings, key=tg.Key(0))
    objectives = model.objectives()
    make = OPTIMIZERS["sgd" if "gauss" in name else "adam"]
    optimizers = {n: make(o.parameters) for n, o in objectives.items()}
    average = optim.EMA(next(iter(objectives.values())).parameters, 0.9)

    def train(x: Any, *, key: tg.Key) -> dict[str, tg.Tensor]:
        losses = {}
        for n, objective in objectives.items():
            losses[n] = objective.loss(x, key=key.fold_in(n))
            optimizers[n].update(tg.grad(losses[n], objective.parameters))
        average.update()
        return losses

    return model, train, [*optimizers.values(), average]


@functools.cache
def batch(levels: int) -> np.ndarray:
    x = data.digits().train.x[:16]
    return (x > 8).astype(np.uint8) if levels == 2 else x


def states(model: models.Model, others: list[Any]) -> dict[str, np.ndarray]:
    found = dict(model.state_dict())
    for i, other in enumerate(others):
        found |= {f"{i} {name}": value for name, value in other.state_dict().items()}
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_replay_has_the_bits_of_the_eager_step(name: str) -> None:
    x = batch(MODELS[name][1]["levels"])
    eager_model, eager, eager_rest = build(name)
    model, train, rest = build(name)
    recorded = tg.step(train)
    for i in range(5):
        key = tg.Key(1).fold_in(i)
        images = np.roll(x, i, axis=0)
        expected, found = eager(images, key=key), recorded(images, key=key)
        assert {n: t.data.tobytes() for n, t in expected.items()} == {n: t.data.tobytes() for n, t in found.items()}
    assert recorded.plan is not None
    mine, theirs = states(model, rest), states(eager_model, eager_rest)
    assert mine.keys() == theirs.keys()
    for key_, value in theirs.items():
        np.testing.assert_array_equal(mine[key_], value, err_msg=key_)


@pytest.mark.parametrize("name", ["vae", "gan conv"])
def test_a_replay_allocates_nothing_and_fuses(name: str) -> None:
    x = batch(MODELS[name][1]["levels"])
    _, train, _ = build(name)
    recorded = tg.step(train)
    launched: list[list[Any]] = []
    for i in range(3):
        launched.append([])
        key = tg.Key(1).fold_in(i)
        with kernels.observe(lambda kernel, inputs, outs, params, fresh: launched[-1].append((kernel, fresh))):
            recorded(x, key=key)
    assert any(fresh for _, fresh in launched[1])
    assert not any(fresh for _, fresh in launched[2])
    assert len(launched[2]) < len(launched[1]) == len(launched[0])
    assert recorded.plan.bytes_used < recorded.plan.bytes_named
    assert f"{len(launched[2])} launches" not in repr(tg.step(train))
    assert "launches" in repr(recorded)


def test_every_thread_count_replays_the_same_bits() -> None:
    most = tg.get_num_threads()
    if most == 1:
        pytest.skip("one thread is all there is")
    found = []
    for threads in (1, most):
        model, train, rest = build("vae conv")
        recorded = tg.step(train)
        try:
            tg.set_num_threads(threads)
            for i in range(4):
                recorded(batch(17), key=tg.Key(1).fold_in(i))
        finally:
            tg.set_num_threads(most)
        found.append(states(model, rest))
    for name, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][name], err_msg=name)


# -- what a replay sees -----------------------------------------------------------------------------------------------


def test_arrays_changed_from_outside_are_seen() -> None:
    weight = tg.tensor(np.ones(3, np.float32)).requires_grad_()
    adam = optim.SGD([weight], lr=0.5)

    @tg.step
    def train(x: tg.Tensor) -> tg.Tensor:
        loss = ops.sum(weight * x)
        adam.update([tg.grad(loss, weight)])
        return loss

    x = tg.tensor(np.array([1, 2, 3], np.float32))
    for _ in range(3):
        train(x)
    np.testing.assert_array_equal(weight.data, 1 - 1.5 * x.data)
    with tg.no_grad():
        weight[:] = np.float32(2)
    adam.lr = 0.25
    assert train(x).item() == 12
    np.testing.assert_array_equal(weight.data, 2 - 0.25 * x.data)


def test_results_are_fresh_constants_of_their_kind() -> None:
    w = tg.tensor(np.float64(2)).requires_grad_()

    @tg.step
    def f(pair: tuple[Any, Any], *, key: tg.Key) -> Any:
        a, b = pair
        return {"sum": ops.mul(a, w) + b, "key": key.fold_in("x"), "nothing": None, "view": [ops.transpose(b * 1)]}

    a, b = np.arange(6.0).reshape(2, 3), tg.tensor(np.ones((2, 3)))
    made = [f((a, b), key=tg.Key(i)) for i in range(4)]
    assert made[0]["sum"].data is not made[3]["sum"].data
    for i, result in enumerate(made):
        np.testing.assert_array_equal(result["sum"].data, 2 * a + 1)
        assert not result["sum"].requires_grad
        assert result["key"] == tg.Key(i).fold_in("x")
        assert result["nothing"] is None
        assert result["view"][0].shape == (3, 2)


def test_arguments_may_have_any_strides_and_are_not_kept() -> None:
    f = tg.step(lambda x: ops.exp(tg.as_tensor(x)))
    x = np.arange(12.0).reshape(3, 4)
    for _ in range(3):
        np.testing.assert_allclose(f(x.T).data, np.exp(x.T), rtol=1e-14)
    x += 1
    np.testing.assert_allclose(f(x.T).data, np.exp(x.T), rtol=1e-14)


def test_a_step_inside_a_step_becomes_part_of_it() -> None:
    inner = tg.step(lambda x: x * 2)
    outer = tg.step(lambda x: inner(x) + 1)
    x = tg.tensor(np.ones(3))
    for _ in range(4):
        np.testing.assert_array_equal(outer(x).data, np.full(3, 3.0))
    assert inner.plan is None


def test_gradients_of_gradients_replay() -> None:
    @tg.step
    def penalty(x: tg.Tensor) -> tg.Tensor:
        x = x.detach().requires_grad_()
        g = tg.grad(ops.sum(x**3), x, create_graph=True)
        return tg.grad(ops.sum(g), x)

    x = tg.tensor(np.array([1.0, 2.0]))
    for _ in range(4):
        np.testing.assert_allclose(penalty(x).data, 6 * x.data)


def test_the_hunt_for_nan_runs_eagerly() -> None:
    f = tg.step(lambda x: ops.log(x))
    for _ in range(3):
        f(tg.tensor(np.ones(2)))
    with tg.detect_anomaly(), pytest.raises(tg.errors.NonFiniteError, match="log"):
        f(tg.tensor(-np.ones(2)))


def test_a_failure_before_recording_leaves_a_clean_step() -> None:
    f = tg.step(lambda x: x @ x)
    with pytest.raises(tg.errors.ShapeError):
        f(tg.tensor(np.ones((2, 3))))
    for _ in range(3):
        assert f(tg.tensor(np.ones((2, 2)))).shape == (2, 2)


# -- what it refuses --------------------------------------------------------------------------------------------------


def recorded_sum() -> Any:
    f = tg.step(lambda x, scale=1.0: ops.sum(x) * scale)
    for _ in range(3):
        f(tg.tensor(np.ones((2, 3), np.float32)))
    return f


@pytest.mark.parametrize(
    ("args", "kwargs", "found"),
    [
        ((np.ones((2, 4), np.float32),), {}, r"float32 \(2,4\)"),
        ((np.ones((2, 3)),), {}, r"float64 \(2,3\)"),
        ((np.ones((2, 3), np.float32),), {"scale": 2.0}, r"scale: 2.0"),
    ],
)
def test_another_signature_shows_both(args: Any, kwargs: Any, found: str) -> None:
    f = recorded_sum()
    with pytest.raises(StepError, match=rf"recorded for \(x: float32 \(2,3\)\), called with \(.*{found}"):
        f(*map(tg.tensor, args), **kwargs)


def test_another_mode_is_another_signature() -> None:
    f = recorded_sum()
    with tg.no_grad(), pytest.raises(StepError, match="no_grad"):
        f(tg.tensor(np.ones((2, 3), np.float32)))
    with kernels.backend("reference"), pytest.raises(StepError, match="backend reference"):
        f(tg.tensor(np.ones((2, 3), np.float32)))
    with tg.float32_matmul_precision("tf32"), pytest.raises(StepError, match=r"called with \(x: .*, tf32\)"):
        f(tg.tensor(np.ones((2, 3), np.float32)))


def twice(fn: Any, *args: Any) -> None:
    f = tg.step(fn)
    for _ in range(2):
        f(*args)


def test_numbers_that_change_in_python_are_noticed() -> None:
    x, count = tg.tensor(np.ones(3)), iter(range(9))
    with pytest.raises(StepError, match=r"random\.fold_in, was given another constant .* made of a counter"):
        twice(lambda x: ops.normal((3,), key=tg.Key(0).fold_in(next(count))), x)
    with pytest.raises(StepError, match=r"elementwise\.pow.* had exponent=2\.0 in the first call and 3\.0 in"):
        twice(lambda x: x ** next(count), x)
    flip, more = iter([ops.exp, ops.log]), iter([1, 2])
    with pytest.raises(StepError, match=r"launch 0 was elementwise\.exp in the first call and elementwise\.log"):
        twice(lambda x: next(flip)(x), x)
    precision = iter(["float32", "tf32"])

    def doubled(x: tg.Tensor) -> tg.Tensor:
        with tg.float32_matmul_precision(next(precision)):
            return x * 2

    with pytest.raises(StepError, match=r"elementwise\.mul in the first call and elementwise\.mul in tf32"):
        twice(doubled, x)
    with pytest.raises(StepError, match="made 1 launches, the second 2"):
        twice(lambda x: functools.reduce(lambda y, _: ops.exp(y), range(next(more)), x), x)


def test_values_are_not_read_on_the_host() -> None:
    x = tg.tensor(np.ones(3))
    for read in (lambda x: float(ops.sum(x)), lambda x: ops.sum(x).item(), lambda x: x.tolist(), lambda x: x.numpy(),
                 lambda x: bool(ops.sum(x) > 0), np.asarray, tg.tensor):  # fmt: skip
        with pytest.raises(StepError, match="no Python to do it"):
            twice(lambda x, read=read: tg.tensor(np.ones(1)) if read(x) is None else x, x)
    with pytest.raises(StepError, match="assigning"):
        twice(lambda x: x.__setitem__(0, 1.0), x)
    with pytest.raises(StepError, match=r"it returns 3\.0"):
        twice(lambda x: 3.0, x)


def test_an_op_without_a_kernel_is_refused() -> None:
    before = dict(registry)
    try:
        double = primitive(lambda x: x * 2)
    finally:
        registry.clear()
        registry.update(before)
    with pytest.raises(StepError, match="computes with NumPy and launches no kernel"):
        twice(double, tg.tensor(np.ones(3)))


def test_gradients_do_not_cross_a_step() -> None:
    w = tg.tensor(np.ones(3)).requires_grad_()
    with pytest.raises(StepError, match="argument requires gradients"):
        twice(lambda w: w * 2, w)


def test_settings_that_were_baked_in_are_guarded() -> None:
    x, layer = tg.tensor(np.ones((4, 3), np.float32)), nn.BatchNorm(3)
    f = tg.step(lambda x: layer(x))
    for _ in range(3):
        f(x)
    assert layer.running_mean.version.count == 3
    layer.eval()
    with pytest.raises(StepError, match=r"BatchNorm's training mode was True .* is False now"):
        f(x)
    assert layer.running_mean.version.count == 3

    w = tg.tensor(np.ones(3)).requires_grad_()
    adam = optim.Adam([w], lr=0.1)
    g = tg.step(lambda: adam.update([tg.grad(ops.sum(w * w), w)]))
    for _ in range(3):
        g()
    assert w.version.count == adam.updates == 3
    adam.lr = optim.schedules.constant(0.1)
    with pytest.raises(StepError, match="Adam's schedule"):
        g()
    adam.lr = 0.2
    g()
    w.data = w.data.copy()
    with pytest.raises(InPlaceError, match="no longer the array"):
        g()
    assert adam.updates == 4


# -- the plan ---------------------------------------------------------------------------------------------------------

LIVES = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 12), st.integers(0, 6)), max_size=30)


@given(LIVES)
def test_living_buffers_never_overlap(drawn: list[tuple[int, int, int]]) -> None:
    sizes = {i: size for i, (size, _, _) in enumerate(drawn)}
    lives = {i: (first, first + length) for i, (_, first, length) in enumerate(drawn)}
    offsets, total = assign(sizes, lives)
    assert all(offset % ALIGN == 0 and offset + sizes[i] <= total for i, offset in offsets.items())
    for i in sizes:
        for j in range(i):
            (a, b), (c, d) = lives[i], lives[j]
            together = a <= d and c <= b and sizes[i] and sizes[j]
            if together:
                assert offsets[i] + sizes[i] <= offsets[j] or offsets[j] + sizes[j] <= offsets[i]
    rounded = {i: -(-size // ALIGN) * ALIGN for i, size in sizes.items()}
    assert total <= sum(rounded.values())
    if drawn:
        busiest = max(sum(rounded[i] for i, (a, b) in lives.items() if a <= t <= b) for t in range(20))
        assert total >= busiest
