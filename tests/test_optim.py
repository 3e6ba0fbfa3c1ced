"""Optimizers against PyTorch, closed forms and their specification; clipping, schedules, averages, state."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygen as tg
from tinygen import kernels, optim
from tinygen.errors import ArgumentError, CheckpointError, DTypeError, InPlaceError, ShapeError
from tinygen.kernels import backend
from tinygen.kernels.optim import NotFinite
from tinygen.optim import schedules
from tinygen.testing import laws

SHAPES = [(3, 4), (4,), (), (200, 100), (2, 1, 3)]  # the first chunk meets four, the second one, the last two

OPTIMIZERS = {
    "sgd": (optim.SGD, {"lr": 0.1}),
    "momentum": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "nesterov": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": (optim.Adam, {"lr": 0.01, "weight_decay": 0.1}),
    "adam_betas": (optim.Adam, {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-4}),
    "adamw": (optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    "adamax": (optim.Adamax, {"lr": 0.01, "weight_decay": 0.1}),
    "rmsprop": (optim.RMSprop, {"lr": 0.01, "weight_decay": 0.1}),
    "rmsprop_full": (optim.RMSprop, {"lr": 0.01, "momentum": 0.9, "centered": True}),
    "adadelta": (optim.Adadelta, {"lr": 0.5, "weight_decay": 0.1}),
}


def values(seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]


def parameters(dtype=np.float64):
    return [tg.Tensor(np.array(a)).requires_grad_() for a in values(0, dtype)]


def train(name, steps, dtype=np.float64, **more):
    make, options = OPTIMIZERS[name]
    params = parameters(dtype)
    opt = make(params, **{**options, **more})
    for step in range(1, steps + 1):
        opt.update(values(step, dtype))
    return params, opt


@pytest.mark.parity
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_updates_equal_pytorch(name):
    import torch

    make, options = OPTIMIZERS[name]
    theirs = [torch.tensor(a, requires_grad=True) for a in values(0)]
    opt = getattr(torch.optim, make.__name__)(theirs, **options)
    for step in range(1, 21):
        for p, g in zip(theirs, values(step), strict=True):
            p.grad = torch.tensor(g)
        opt.step()
    mine, _ = train(name, 20)
    for p, q in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_kernels_follow_the_specification(name, dtype):
    mine, _ = train(name, 5, dtype)
    with backend("reference"):
        expected, _ = train(name, 5, dtype)
    for p, q in zip(mine, expected, strict=True):
        assert p.dtype == dtype
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=0, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_beside_the_updates_follow_the_specification(dtype):
    """Norms, clipping, averages and schedules."""
    gs, average = values(1, dtype), values(2, dtype)[3].ravel()
    step = np.array([7])

    def run():
        squares = kernels.optim.sum_squares(*gs)
        scale, norm = kernels.optim.clip_scale(squares, squares, max_norm=0.5)
        return [
            squares, scale, norm, kernels.optim.scaled(gs[0], scale), kernels.optim.gather(*gs),
            kernels.optim.ema(average, gs[3].ravel(), decay=0.9), kernels.optim.advance(step),
            kernels.optim.schedule(step, function=lambda k: 1 / k),
        ]  # fmt: skip

    found = run()
    with backend("reference"):
        expected = run()
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_a_loss_or_norm_that_is_not_finite_stops_both(name):
    loss, norm = np.array(2.0), np.array([3.0])
    with backend(name):
        kernels.optim.require_finite(loss, norm, of="step 4")
        for bad in ((np.array(np.nan), norm), (loss, np.array([np.inf]))):
            with pytest.raises(NotFinite, match="step 4"):
                kernels.optim.require_finite(*bad, of="step 4")
        scale, total = kernels.optim.clip_scale(np.array([np.inf]), max_norm=1.0)
        assert np.isnan(scale[0])
        assert np.isinf(total[0])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bits_do_not_depend_on_threads(name):
    before = tg.get_num_threads()
    many, _ = train(name, 3, np.float32, max_norm=1.0)
    tg.set_num_threads(1)
    try:
        one, _ = train(name, 3, np.float32, max_norm=1.0)
    finally:
        tg.set_num_threads(before)
    assert all(np.array_equal(p.numpy(), q.numpy()) for p, q in zip(many, one, strict=True))


@pytest.mark.parametrize("shapes", [[(0, 3), (2,), (100, 400), (), *[(7,)] * 50, (33, 9), (0,)], [(40000,), (30000,)]])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_of_any_layout_and_length(name, shapes):
    """Strided, empty, longer than a chunk, and many in one chunk: as if they were one array."""
    rng = np.random.default_rng(0)
    start, grads = ([rng.standard_normal(s) for s in shapes] for _ in range(2))
    make, options = OPTIMIZERS[name]
    joined = tg.Tensor(np.concatenate([a.ravel() for a in start])).requires_grad_()
    make([joined], max_norm=1.0, **options).update([np.concatenate([g.ravel() for g in grads])])
    params = [tg.Tensor(a.copy()).requires_grad_() for a in start]
    make(params, max_norm=1.0, **options).update([np.repeat(g[..., None], 2, axis=-1)[..., 0] for g in grads])
    assert np.array_equal(np.concatenate([p.numpy().ravel() for p in params]), joined.numpy())


def test_no_parameters_with_entries():
    p = tg.Tensor(np.zeros((0, 3))).requires_grad_()
    opt = optim.Adam([p], max_norm=1.0)
    opt.update([np.zeros((0, 3))])
    assert (opt.updates, opt.norm) == (1, 0.0)


def one_parameter(value=1.0):
    return tg.Tensor(np.array([value])).requires_grad_()


PATHS = {  # make, where the parameter is after n updates with gradient 2 from 1
    "sgd": (lambda ps: optim.SGD(ps, lr=0.1), lambda n: 1 - n * 0.1 * 2),
    # momentum b weighs the k-th of n gradients by (1 - b**(n - k + 1)) / (1 - b)
    "momentum": (
        lambda ps: optim.SGD(ps, lr=0.1, momentum=0.5),
        lambda n: 1 - 0.1 * 2 * sum((1 - 0.5**k) / 0.5 for k in range(1, n + 1)),
    ),
    # without eps they move by exactly lr, whatever the size of a constant gradient
    "adam": (lambda ps: optim.Adam(ps, lr=0.1, eps=0.0), lambda n: 1 - 0.1 * n),
    "adamax": (lambda ps: optim.Adamax(ps, lr=0.1, eps=0.0), lambda n: 1 - 0.1 * n),
    # lr * g / (sqrt((1 - alpha**n) g**2) + eps), eps outside the root
    "rmsprop": (
        lambda ps: optim.RMSprop(ps, lr=0.1, alpha=0.9, eps=1.0),
        lambda n: 1 - sum(0.1 * 2 / (math.sqrt((1 - 0.9**k) * 4) + 1) for k in range(1, n + 1)),
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_closed_forms_of_a_constant_gradient(name):
    laws.optimizer_path(*PATHS[name], updates=7)


def test_closed_forms_of_one_step():
    # Adadelta's first move: sqrt(eps) / sqrt((1 - rho) g**2 + eps) * g
    first = 1 - 0.1 / math.sqrt(0.1 * 4 + 0.01) * 2
    laws.optimizer_path(lambda ps: optim.Adadelta(ps, rho=0.9, eps=1e-2), lambda n: first, updates=1)
    # decoupled decay shrinks by 1 - lr * weight_decay, whatever the gradient's history
    decay = lambda ps: optim.AdamW(ps, lr=0.1, weight_decay=0.5)
    laws.optimizer_path(decay, lambda n: (1 - 0.1 * 0.5) ** n, gradient=0.0)


def test_adam_finds_the_minimum_through_backward_and_step():
    p = tg.Tensor(np.array([3.0, -4.0])).requires_grad_()
    opt = optim.Adam([p], lr=0.1)
    for _ in range(300):
        opt.zero_grad()
        ((p - np.array([1.0, 2.0])) ** 2).sum().backward()
        opt.step()
    np.testing.assert_allclose(p.numpy(), [1.0, 2.0], atol=1e-3)
    assert opt.updates == 300


# -- the block --------------------------------------------------------------------------------------------------------


def test_parameters_live_in_one_block_and_a_second_owner_shares_it():
    params = parameters()
    before = [p.numpy().copy() for p in params]
    opt = optim.Adam(params)
    assert all(np.array_equal(p.numpy(), b) for p, b in zip(params, before, strict=True))
    assert all(p.data.base is opt.block.flat for p in params)
    ema = optim.EMA(params)
    assert np.shares_memory(ema.block.flat, opt.block.flat)
    part = optim.SGD(params[1:3], lr=0.0)  # adjacent parameters share too
    assert np.shares_memory(part.block.flat, opt.block.flat)
    opt.update(values(1))


def test_replaced_data_is_refused():
    params = parameters()
    opt = optim.Adam(params)
    params[1].data = np.zeros(4)
    with pytest.raises(InPlaceError, match=r"params\[1\] \(4,\) is no longer the array"):
        opt.update(values(1))


def test_an_update_makes_kept_values_stale():
    p = one_parameter(2.0)
    y = (p * p).sum()
    optim.SGD([p], lr=0.1).update([np.array([1.0])])
    with pytest.raises(InPlaceError, match="changed in place"):
        tg.grad(y, p)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda ps: optim.Adam([]), ArgumentError, "the list of parameters is empty"),
        (lambda ps: optim.Adam([ps[0], ps[0]]), ArgumentError, "listed twice"),
        (lambda ps: optim.Adam([tg.Tensor(np.zeros(2))]), ArgumentError, r"params\[0\] is not a parameter"),
        (lambda ps: optim.Adam([ps[0] * 2]), ArgumentError, r"params\[0\] is not a parameter"),
        (lambda ps: optim.Adam([ps[0], *parameters(np.float32)]), DTypeError, "float32 and float64"),
        (lambda ps: optim.Adam(ps).update(values(1)[:2]), ArgumentError, "2 gradients for 5 parameters"),
        (lambda ps: optim.Adam(ps).update([np.zeros(3), *values(1)[1:]]), ShapeError, r"params\[0\] has shape \(3,\)"),
        (lambda ps: optim.Adam(ps).update(values(1, np.float32)), DTypeError, r"params\[0\] is float32"),
        (lambda ps: optim.Adam(ps).step(), ArgumentError, "has no gradient"),
        (lambda ps: optim.Adam(ps, lr=-1), ArgumentError, "lr is -1"),
        (lambda ps: optim.Adam(ps, lr=math.nan), ArgumentError, "lr is nan"),
        (lambda ps: optim.Adam(ps, betas=(0.9, 1.0)), ArgumentError, "betas are"),
        (lambda ps: optim.Adam(ps, max_norm=0), ArgumentError, "max_norm is 0"),
        (lambda ps: optim.SGD(ps, nesterov=True), ArgumentError, "nesterov needs a momentum"),
        (lambda ps: optim.RMSprop(ps, alpha=1), ArgumentError, "alpha is 1"),
        (lambda ps: optim.Adadelta(ps, eps=0), ArgumentError, "eps is 0"),
        (lambda ps: optim.EMA(ps, decay=1), ArgumentError, "decay is 1"),
        (lambda ps: optim.clip_by_global_norm([], 1.0), ArgumentError, "empty"),
    ],
)
def test_bad_arguments_are_refused(call, error, text):
    with pytest.raises(error, match=text):
        call(parameters())


# -- clipping ---------------------------------------------------------------------------------------------------------


def test_clipping_scales_all_gradients_by_their_common_norm():
    grads = [tg.Tensor(a) for a in values(1)]
    norm = math.sqrt(sum((a**2).sum() for a in values(1)))
    clipped, found = optim.clip_by_global_norm(grads, 0.5)
    assert found.item() == pytest.approx(norm, rel=1e-12)
    for a, g in zip(clipped, grads, strict=True):
        np.testing.assert_allclose(a.numpy(), g.numpy() * 0.5 / (norm + 1e-6), rtol=1e-12)
    untouched, _ = optim.clip_by_global_norm(grads, 2 * norm)
    assert all(np.array_equal(a.numpy(), g.numpy()) for a, g in zip(untouched, grads, strict=True))


def test_max_norm_is_clipping_before_the_update():
    inside, opt = train("momentum", 1, max_norm=0.5)
    outside = parameters()
    make, options = OPTIMIZERS["momentum"]
    clipped, norm = optim.clip_by_global_norm([tg.Tensor(a) for a in values(1)], 0.5)
    make(outside, **options).update(clipped)
    assert opt.norm == norm.item()
    for p, q in zip(inside, outside, strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)


def test_a_nan_gradient_is_not_clipped_away():
    p = one_parameter()
    optim.SGD([p], lr=0.1, max_norm=1.0).update([np.array([np.nan])])
    assert math.isnan(p.item())


# -- schedules --------------------------------------------------------------------------------------------------------


def test_schedules():
    assert [schedules.constant(2.0)(s) for s in (0, 9)] == [2.0, 2.0]
    assert [schedules.step_decay(1.0, every=2, factor=0.5)(s) for s in range(5)] == [1, 1, 0.5, 0.5, 0.25]
    assert schedules.exponential(1.0, factor=0.9)(3) == pytest.approx(0.9**3)
    assert [schedules.linear_warmup(1.0, warmup=4)(s) for s in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    rate = schedules.cosine(1.0, total=10, warmup=2, final=0.1)
    assert [rate(s) for s in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert rate(6) == pytest.approx(0.55)
    assert rate(10) == rate(99) == pytest.approx(0.1)
    for bad in (
        lambda: schedules.cosine(1.0, total=2, warmup=2),
        lambda: schedules.step_decay(1.0, every=0, factor=0.5),
        lambda: schedules.linear_warmup(1.0, warmup=0),
    ):
        with pytest.raises(ArgumentError):
            bad()


def test_an_optimizer_follows_its_schedule():
    p = one_parameter(0.0)
    opt = optim.SGD([p], lr=schedules.linear_warmup(1.0, warmup=4))
    seen = []
    for _ in range(6):
        opt.update([np.array([1.0])])
        seen.append(opt.lr)
    assert seen == [0.25, 0.5, 0.75, 1, 1, 1]
    assert p.item() == -sum(seen)
    opt.lr = 0.5
    opt.update([np.array([1.0])])
    assert p.item() == -sum(seen) - 0.5


# -- state ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_resumes_with_the_same_bits(name):
    straight, _ = train(name, 7, np.float32)
    half, opt = train(name, 4, np.float32)
    params = [tg.Tensor(p.numpy().copy()).requires_grad_() for p in half]
    make, options = OPTIMIZERS[name]
    resumed = make(params, **{**options, "lr": 123.0})
    resumed.load_state_dict(opt.state_dict())
    for step in range(5, 8):
        resumed.update(values(step, np.float32))
    assert all(np.array_equal(p.numpy(), q.numpy()) for p, q in zip(params, straight, strict=True))


def test_a_state_is_a_copy_and_must_fit():
    params, opt = train("adam", 1)
    state = opt.state_dict()
    before = {k: a.copy() for k, a in state.items()}
    opt.update(values(2))
    assert all(np.array_equal(state[k], before[k]) for k in state)
    with pytest.raises(CheckpointError, match="this optimizer needs"):
        optim.SGD(params, momentum=0.9).load_state_dict(state)
    with pytest.raises(CheckpointError, match="belongs to other parameters"):
        optim.Adam(params[:2]).load_state_dict(state)


def test_ema():
    p = one_parameter(1.0)
    ema = optim.EMA([p], decay=0.9)
    average = 1.0
    for value in (2.0, 5.0):
        p.data[:] = value
        ema.update()
        average = 0.9 * average + 0.1 * value
    with ema.swapped():
        assert p.item() == pytest.approx(average)
    assert p.item() == 5.0
    other = optim.EMA([one_parameter(0.0)], decay=0.9)
    other.load_state_dict(ema.state_dict())
    with other.swapped():
        assert other.block.params[0].item() == pytest.approx(average)
    with pytest.raises(CheckpointError, match="belongs to other parameters"):
        optim.EMA(parameters()).load_state_dict(ema.state_dict())
    with pytest.raises(CheckpointError, match="'average' alone"):
        other.load_state_dict({})


def test_weights_come_back_when_evaluation_fails():
    p = one_parameter(1.0)
    ema = optim.EMA([p])
    p.data[:] = 7.0
    with pytest.raises(ZeroDivisionError), ema.swapped():
        raise ZeroDivisionError
    assert p.item() == 7.0
