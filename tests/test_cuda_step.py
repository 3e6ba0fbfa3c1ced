"""Recorded steps on CUDA: the bits of the eager ones, and near the CPU's."""

from __future__ import annotations

import numpy as np
import pytest
from cudadevice import ON_GPU
from test_step import MODELS, batch, build, states

import tinygen as tg
from tinygen import kernels, nn, optim
from tinygen.errors import DeviceError, StepError
from tinygen.kernels._cuda import host_array
from tinygen.kernels._cuda.graph import Graph

pytestmark = pytest.mark.cuda


def trained(name, device, record, steps=4):
    """Losses of each step, and the state at the end: arrays of NumPy."""
    model, train, rest = build(name)
    for other in rest:
        other.to(device)
    model.to(device)
    run = tg.step(train) if record else train
    found = []
    for i in range(steps):
        x = tg.Tensor(np.roll(batch(MODELS[name][1]["levels"]), i, axis=0)).to(device)
        found += [loss.numpy() for loss in run(x, key=tg.Key(1).fold_in(i).to(device)).values()]
    assert not record or (run.plan is not None and steps > 2)
    return found, states(model, rest)


@pytest.mark.parametrize("name", MODELS)
def test_a_replay_has_the_bits_of_the_eager_step_and_follows_the_cpu(cuda, name):
    there, after = trained(name, "cuda", record=True)
    eager, state = trained(name, "cuda", record=False)
    here, expected = trained(name, "cpu", record=False)
    assert [a.tobytes() for a in there] == [a.tobytes() for a in eager]
    assert {n: a.tobytes() for n, a in after.items()} == {n: a.tobytes() for n, a in state.items()}
    np.testing.assert_allclose(there, here, rtol=2e-5)
    for n, a in after.items():
        np.testing.assert_allclose(a, expected[n], rtol=1e-4, atol=2e-5, err_msg=n)


def test_a_replay_reads_its_arguments_and_what_changed_outside(cuda):
    w = tg.Tensor(np.ones(3, np.float32)).to("cuda")
    scaled = tg.step(lambda x: (x * w).sum())
    x = tg.Tensor(np.arange(3, dtype=np.float32)).to("cuda")
    assert [float(scaled(x)) for _ in range(3)] == [3, 3, 3]
    w.copy_(np.full(3, 2, np.float32))
    assert float(scaled(x)) == 6
    result = scaled(x + 1)
    assert (result.device, float(result)) == ("cuda", 12)
    assert "launches" in repr(scaled)


def test_arguments_of_another_device_are_another_signature(cuda):
    double = tg.step(lambda x: x * 2)
    x = tg.Tensor(np.ones(2, np.float32))
    double(x.to("cuda"))
    with pytest.raises(StepError, match=r"recorded for .*float32 \(2,\) on cuda\), called with .*float32 \(2,\)\)"):
        double(x)


def test_nothing_moves_inside_a_step(cuda):
    x, key = tg.Tensor(np.ones(2, np.float32)), tg.Key(0)
    with pytest.raises(StepError, match="to\\('cuda'\\) needs the values now"):
        tg.step(lambda x: x.to("cuda") * 2)(x)
    with pytest.raises(StepError, match="to\\('cuda'\\) needs the values now"):
        tg.step(lambda key: tg.ops.normal((2,), key=key.to("cuda")))(key)


def test_a_step_is_of_one_device(cuda):
    here, there = tg.Tensor(np.ones(2, np.float32)), tg.Tensor(np.ones(2, np.float32)).to("cuda")
    with pytest.raises(DeviceError, match="another device before"):
        tg.step(lambda: (here * 2, there * 2))()


def test_what_asks_python_parts_the_graphs_of_a_step(cuda):
    _, train, rest = build("vae conv")  # its learning rate follows a schedule, which Python evaluates
    rest[0].to("cuda")
    rest[1].to("cuda")
    step = tg.step(train)
    x, key = tg.Tensor(batch(17)).to("cuda"), tg.Key(1).to("cuda")
    for _ in range(3):
        step(x, key=key)
    gradients, schedule, update, bump, average = step.plan.runs
    assert [type(run) for run in (gradients, update, average)] == [Graph] * 3
    assert len(gradients.launches) > 20
    assert schedule.func is kernels.optim.schedule.implementation("cuda")
    assert bump.__name__ == "bump"


@pytest.mark.skipif(ON_GPU, reason="transfers are counted on the emulated device")
@pytest.mark.parametrize("name", MODELS)
def test_nothing_moves_unasked(cuda, monkeypatch, name):
    model, train, rest = build(name)
    for other in rest:
        other.to("cuda")
    model.to("cuda")
    x = tg.Tensor(batch(MODELS[name][1]["levels"])).to("cuda")
    keys = [tg.Key(1).fold_in(i).to("cuda") for i in range(5)]
    train(x, key=keys[0])  # constants go there once
    moved: list[str] = []

    def counted(what, original):
        def transfer(a, *args, **options):
            if what != "asarray" or not isinstance(a, host_array.HostArray):
                moved.append(what)
            return original(a, *args, **options)

        return transfer

    for module, what in ((host_array.HostArray, "get"), (host_array.HostArray, "item"), (host_array, "asarray")):
        monkeypatch.setattr(module, what, counted(what, getattr(module, what)))
    train(x, key=keys[1])
    optimizers = len(rest) - 1
    scheduled = [] if rest[0]._schedule is None else ["item"] * optimizers  # what the schedule is a function of
    tables = ["asarray"] * (3 if scheduled else 1) * optimizers  # where gradients lie
    labels = ["get"] * (name == "pixelcnn")  # checked before a kernel reads at them
    assert sorted(moved) == [*tables, *labels, *scheduled]
    step = tg.step(train)
    for key in keys[2:4]:
        step(x, key=key)
    moved.clear()
    step(x, key=keys[4])
    assert moved == scheduled


def test_a_step_whose_parameters_moved_is_refused(cuda):
    layer = nn.Linear(2, 3, key=tg.Key(0))
    adam = optim.Adam(layer.parameters())

    @tg.step
    def update(g):
        adam.update([g, g[0]])
        return g

    g = tg.Tensor(np.ones((2, 3), np.float32))
    for _ in range(3):
        update(g)
    adam.to("cuda")
    adam.to("cpu")
    with pytest.raises(StepError, match="the address of Adam's parameters"):
        update(g)


def test_an_average_follows_the_optimizer_that_moves_its_parameters(cuda):
    layer = nn.Linear(2, 3, key=tg.Key(0))
    adam = optim.Adam(layer.parameters())
    average = optim.EMA(layer.parameters(), 0.5)
    adam.to("cuda")
    average.to("cuda")
    adam.update([tg.Tensor(np.ones(p.shape, np.float32)).to("cuda") for p in layer.parameters()])
    average.update()
    state = average.state_dict()
    with average.swapped():
        np.testing.assert_array_equal(np.concatenate([p.numpy().ravel() for p in layer.parameters()]), state["average"])
    average.load_state_dict(state)
    average.to("cpu")
    adam.to("cpu")
    assert {p.device for p in layer.parameters()} == {"cpu"}
    average.update()
