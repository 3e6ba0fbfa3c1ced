"""CUDA kernels against the reference, and devices: on the host in several orders of threads, or on a GPU."""

from __future__ import annotations

import importlib.util
from functools import partial

import numpy as np
import pytest
from cudacases import extras, has_cuda, ported, results
from cudadevice import ON_GPU, ORDERS, on_cuda

import tinygen as tg
from tinygen import kernels
from tinygen.errors import DeviceError
from tinygen.kernels._cuda.launcher import blocks
from tinygen.testing import laws

pytestmark = pytest.mark.cuda

DTYPES = [pytest.param(np.float32, id="f32"), pytest.param(np.float64, id="f64")]

LACKING: dict[str, str] = {}  # kernels without a CUDA implementation, by family; the list only shrinks


def test_which_kernels_lack_cuda():
    lacking = {name for name, kernel in kernels.registry.items() if not has_cuda(kernel)}
    assert lacking == {f"{family}.{name}" for family, names in LACKING.items() for name in names.split()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ported())
def test_values_and_gradients_equal_the_reference(name, dtype):
    case = ported()[name]
    for seed in range(3):
        with kernels.backend("reference"):
            expected = results(case, "cpu", dtype, seed)
        with on_cuda():
            got = results(case, "cuda", dtype, seed)
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            laws.close(a, b, what=f"{name}, seed {seed}, result {i}", factor=case.tolerance)


@pytest.mark.parametrize("name", ported())
def test_the_same_bits_in_every_order(name):
    made = []
    for order in ORDERS:
        with on_cuda(order):
            made.append(results(ported()[name], "cuda", np.float32))
    for others in made[1:]:
        for a, b in zip(made[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", extras(np.float32))
def test_extras_equal_the_reference_in_every_order(name, dtype):
    run = extras(dtype)[name]
    with kernels.backend("reference"):
        expected = run("cpu")
    first = None
    for order in ORDERS:
        with on_cuda(order):
            got = run("cuda")
        first = first or got
        for a, b, c in zip(got, expected, first, strict=True):
            laws.close(a, b, what=name)
            np.testing.assert_array_equal(a, c)


@pytest.mark.skipif(ON_GPU, reason="its blocks run as they run")
def test_blocks_of_a_launch_do_not_meet():
    """Neither writes what another one writes or reads: there is no order between them."""
    runs = {name: partial(results, case, dtype=np.float32) for name, case in ported().items()} | extras(np.float32)
    for name, run in runs.items():
        with on_cuda():
            together = run(device="cuda")
            with blocks("apart"):
                apart = run(device="cuda")
        for a, b in zip(together, apart, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_arrays_of_many_axes_are_walked_in_parts():
    shape = (2, 1, 2, 1, 3, 1, 2, 1, 2, 1)
    a, b = np.arange(48.0).reshape(shape), np.arange(16.0).reshape(1, 2, 1, 2, 1, 2, 1, 2, 1, 1)
    with on_cuda(1):
        got = tg.Tensor(a).to("cuda") - tg.Tensor(b).to("cuda")
    np.testing.assert_array_equal(got.numpy(), a - b)


def test_a_vae_trains_as_on_the_cpu():
    from tinygen import models, optim

    x = np.random.Generator(np.random.Philox(0)).integers(0, 17, (16, 8, 8, 1), dtype=np.uint8)

    def losses(device):
        vae = models.VAE(shape=(8, 8, 1), levels=17, hidden=32, latent=4, key=tg.Key(0)).to(device)
        adam = optim.Adam(vae.parameters(), lr=1e-3)
        batch, found = tg.Tensor(x).to(device), []
        for step in range(3):
            loss = vae.loss(batch, key=tg.Key(1).fold_in(step).to(device))
            adam.update(tg.grad(loss, vae.parameters()))
            found.append(float(loss))
        return found

    with on_cuda():
        there = losses("cuda")
    with kernels.backend("reference"):
        np.testing.assert_allclose(there, losses("cpu"), rtol=1e-5)


# -- devices -----------------------------------------------------------------------------------------------------------


def test_a_tensor_moves_there_and_back_with_its_gradient():
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with on_cuda():
        y = x.to("cuda")
        assert (x.device, y.device, repr(y)) == ("cpu", "cuda", "tensor([1., 2., 3.], float32, cuda, made by transfer)")
        (g,) = tg.grad((y * y * 0.5).sum().to("cpu"), [x])
    assert g.device == "cpu"
    np.testing.assert_array_equal(g.numpy(), x.numpy())


def test_nothing_is_transferred_unasked():
    with on_cuda():
        x, y = tg.Tensor(np.ones(3)).to("cuda"), tg.Tensor(np.ones(3))
        for convert in (np.asarray, np.exp, lambda x: np.add(x, 1)):
            with pytest.raises(TypeError):
                convert(x)
        for mixed in (lambda: x + y, lambda: y * x, lambda: tg.ops.concat(y, x)):
            with pytest.raises(DeviceError, match=r"arrays of different devices \("):
                mixed()


@pytest.mark.skipif(ON_GPU, reason="CuPy's own functions take its arrays")
def test_numpy_takes_no_array_of_the_emulated_device():
    with on_cuda():
        x = tg.Tensor(np.ones(3)).to("cuda").data
    for convert in (np.asarray, np.exp, lambda x: np.add(x, 1), bool, float, hash, lambda x: x == 1, lambda x: x != x):
        with pytest.raises(TypeError):
            convert(x)
    with pytest.raises(TypeError, match="unasked"):
        x[...] = np.ones(3)


def test_keys_and_their_draws_move():
    key = tg.Key(3)
    with on_cuda():
        there = key.to("cuda")
        assert there == key
        assert there.fold_in("a") == key.fold_in("a")
        drawn = tg.ops.normal((4, 5), key=there)
        kept = tg.ops.dropout(drawn, rate=0.5, key=there.fold_in(1))
    assert (drawn.device, kept.device) == ("cuda", "cuda")


def test_modules_and_optimizers_move():
    from tinygen import nn, optim

    layer = nn.Linear(3, 2, key=tg.Key(0))
    adam = optim.Adam(layer.parameters(), lr=0.1)
    state, before = adam.state_dict(), layer.state_dict()
    with on_cuda():
        adam.to("cuda")
        assert {p.device for p in layer.to("cuda").parameters()} == {"cuda"}
        assert adam.lr == 0.1
        for name, a in layer.state_dict().items():
            np.testing.assert_array_equal(a, before[name])
        layer.load_state_dict(before)
        adam.load_state_dict(state)
        adam.to("cpu")
    assert {p.device for p in layer.parameters()} == {"cpu"}
    adam.update([tg.Tensor(np.ones(p.shape, np.float32)) for p in layer.parameters()])


def test_memory_of_a_gpu_without_cupy_is_refused_in_one_sentence():
    class Elsewhere:
        def __dlpack_device__(self):
            return 2, 0

    if importlib.util.find_spec("cupy"):
        pytest.skip("CuPy is installed")
    with pytest.raises(DeviceError, match="needs a GPU and CuPy"):
        tg.from_dlpack(Elsewhere())
