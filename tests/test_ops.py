"""Every op under every test, from the registry of cases."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sides import Sides, plain

import tinygen as tg
from tinygen import kernels, ops
from tinygen.primitive import registry as primitives
from tinygen.testing import Draw, gradcheck, laws, strategies
from tinygen.testing.cases import cases

CASES = [pytest.param(c, id=name) for name, c in sorted(cases.items())]
DIFFERENTIABLE = [pytest.param(c, id=name) for name, c in sorted(cases.items()) if c.orders]
FUSED = [pytest.param(c, id=name) for name, c in sorted(cases.items()) if getattr(c.op, "define", None)]
TWICE = [pytest.param(c, id=name) for name, c in sorted(cases.items()) if c.orders > 1]


@pytest.fixture(scope="session")
def seeds(tinygen_seed):
    """Which draws of each case are looked at: others under --tinygen-seed."""
    return range(tinygen_seed, tinygen_seed + 3)


def run(case, dtype, seed):
    return outputs(case, *case.draw(seed, dtype))


def outputs(case, inputs, params):
    with tg.no_grad():
        y = case.op(*map(tg.Tensor, inputs), **params)
    return [t.data for t in (y if isinstance(y, tuple | list) else (y,))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("case", CASES)
def test_value_equals_the_reference(case, dtype, seeds):
    laws.implementations_agree(case, "cpu", "reference", dtype=dtype, seeds=seeds)


@pytest.mark.parametrize("case", CASES)
def test_strided_inputs_give_the_same_bits(case, tinygen_seed):
    inputs, params = case.draw(tinygen_seed)
    spread = [np.repeat(a[..., None], 2, axis=-1)[..., 0] if a.ndim else a for a in inputs]
    for a, b in zip(outputs(case, inputs, params), outputs(case, spread, params), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", DIFFERENTIABLE)
def test_gradient(case, seeds):
    for seed in seeds:
        inputs, params = case.draw(seed)
        gradcheck(case.op, *inputs, seed=seed, rtol=1e-6 * case.tolerance, **params)


@pytest.mark.parametrize("case", TWICE)
def test_gradients_to_the_claimed_order(case, seeds):
    for seed in seeds[:2]:
        inputs, params = case.draw(seed)
        gradcheck(case.op, *inputs, order=case.orders, seed=seed, rtol=1e-6 * case.tolerance, **params)


@pytest.mark.parametrize("activation", kernels.matmul.ACTIVATIONS)
def test_gradients_through_every_activation_of_a_product(activation, tinygen_seed):
    d = Draw(tinygen_seed)
    gradcheck(ops.linear, d.normal(4, 3), d.normal(3, 5), d.normal(5), order=2, activation=activation)
    x, w, b = d.normal(1, 4, 4, 2), d.normal(3, 3, 2, 3), d.normal(3)
    gradcheck(ops.conv2d_bias_act, x, w, b, order=2, pad=1, activation=activation)


@pytest.mark.parametrize("case", FUSED)
def test_a_fused_op_equals_its_definition(case, seeds):
    """Value and gradient.  Where every input has a rule nothing else runs what the op is said to mean."""
    for seed in seeds:
        inputs, params = case.draw(seed)
        leaves = [tg.tensor(a, requires_grad=a.dtype.kind == "f") for a in inputs]
        found = []
        for f in (case.op, case.op.define):
            ys = f(*leaves, **{**case.op.defaults, **params})
            ys = [y for y in (ys if isinstance(ys, tuple) else (ys,)) if y.requires_grad]
            rng = np.random.Generator(np.random.Philox(seed))
            gs = tg.grad(ys, leaves, [tg.Tensor(rng.standard_normal(y.shape)) for y in ys], allow_unused=True)
            found.append([*ys, *[np.zeros(x.shape) if g is None else g for g, x in zip(gs, leaves, strict=True)]])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10 * case.tolerance)


@pytest.mark.parametrize("case", DIFFERENTIABLE)
def test_gradients_in_single_precision_are_linear_in_the_cotangent(case, tinygen_seed):
    inputs, params = case.draw(tinygen_seed, np.float32)
    laws.vjp_is_linear(case.op, *inputs, tolerance=1e-4 * case.tolerance, **params)


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", CASES)
@given(data=st.data(), seed=strategies.seeds())
def test_any_drawn_shape(case, data, seed):
    inputs, params = data.draw(strategies.samples(case))
    got = outputs(case, inputs, params)
    with kernels.backend("reference"):
        expected = outputs(case, inputs, params)
    for a, b in zip(got, expected, strict=True):
        laws.close(a, b, factor=case.tolerance)
    if case.orders:
        gradcheck(case.op, *inputs, order=1, seed=seed, rtol=1e-5 * case.tolerance, **params)


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_twice_and_on_one_thread(case):
    first, second = (run(case, np.float32, 5) for _ in range(2))
    threads = tg.get_num_threads()
    try:
        tg.set_num_threads(1)
        alone = run(case, np.float32, 5)
    finally:
        tg.set_num_threads(threads)
    for a, b, c in zip(first, second, alone, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


REFUSALS = [pytest.param(c, r, id=f"{name}-{i}") for name, c in sorted(cases.items()) for i, r in enumerate(c.errors)]


@pytest.mark.parametrize(("case", "refusal"), REFUSALS)
def test_bad_input_is_refused_before_any_work(case, refusal):
    inputs, params = refusal.sample(Draw(0))
    launched = []
    with kernels.observe(lambda kernel, *_: launched.append(kernel)), pytest.raises(refusal.type) as caught:
        case.op(*inputs, **params)
    assert re.search(refusal.match, str(caught.value)), str(caught.value)
    assert not launched


def both(case, seed):
    """A case drawn once: its outputs here and in PyTorch, and the inputs that move; None where there is no gradient."""
    import torch

    inputs, params = case.draw(seed)
    moving = [case.orders > 0 and a.dtype.kind == "f" for a in inputs]
    ours = [tg.tensor(a, requires_grad=m) for a, m in zip(inputs, moving, strict=True)]
    theirs = [torch.tensor(a, requires_grad=m) for a, m in zip(inputs, moving, strict=True)]
    made = case.op(*ours, **params), case.torch(torch, *theirs, **params)
    ys, zs = ([v] if not isinstance(v, tuple | list) else list(v) for v in made)
    leaves = [[t for t, m in zip(ts, moving, strict=True) if m] for ts in (ours, theirs)]
    return ys, zs, Sides(*leaves, [plain()] * sum(moving), np.random.Generator(np.random.Philox(seed)))


@pytest.mark.parity
@pytest.mark.parametrize("case", [pytest.param(c, id=n) for n, c in sorted(cases.items()) if c.torch])
def test_value_and_gradient_agree_with_pytorch(case, seeds):
    for seed in seeds:
        ys, zs, sides = both(case, seed)
        for y, z in zip(ys, zs, strict=True):
            np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-9, atol=1e-10 * case.tolerance)
        sides.assert_equal(*sides.gradients(ys, zs, [plain()] * len(ys)), tolerance=case.tolerance)


@pytest.mark.parity
@pytest.mark.parametrize("case", [pytest.param(c, id=n) for n, c in sorted(cases.items()) if c.torch and c.orders > 1])
def test_second_gradient_agrees_with_pytorch(case, seeds):
    for seed in seeds:
        ys, zs, sides = both(case, seed)
        gradients = sides.gradients(ys, zs, [plain()] * len(ys))
        sides.assert_equal(*sides.second_gradients(*gradients), tolerance=case.tolerance)


def test_every_op_has_a_case():
    covered = {c.op.name for c in cases.values() if hasattr(c.op, "name")}
    covered |= {name for c in cases.values() for name in c.covers}
    assert sorted(set(primitives) - covered) == []


def test_every_kernel_is_launched_by_a_case():
    launched = set()
    with kernels.observe(lambda kernel, *_: launched.add(f"{kernel.family}.{kernel.__name__}")):
        for case in cases.values():
            for seed in range(2):
                inputs, params = case.draw(seed)
                case.op(*map(tg.Tensor, inputs), **params)
    # these have no ops: test_optim, test_random and test_pixelcnn_sampling hold them against their references
    elsewhere = {name for name in kernels.registry if name.split(".")[0] in ("optim", "random", "causal")}
    assert sorted(set(kernels.registry) - launched - elsewhere) == ["norm.running_statistics"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
def test_running_statistics_equal_the_reference(dtype):
    generator = np.random.Generator(np.random.Philox(0))
    mean, var, new_mean, new_var = generator.uniform(0.5, 2, (4, 37)).astype(dtype)
    made = []
    for name in ("cpu", "reference"):
        running = mean.copy(), var.copy()
        with kernels.backend(name):
            kernels.norm.running_statistics(*running, new_mean, new_var, momentum=0.1, rows=5, out=running)
        made.append(running)
    for a, b in zip(*made, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6 if dtype == np.float32 else 1e-14)
