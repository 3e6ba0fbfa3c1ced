"""Modules, layers and initialisers."""

import math

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn, ops
from tinygen.errors import ArgumentError, CheckpointError, InPlaceError, ShapeError

KEY = tg.Key(0)


def test_modules_find_what_they_hold_in_order():
    class Net(nn.Module):
        def __init__(self):
            self.first = nn.Linear(2, 3, key=KEY)
            self.blocks = [nn.Linear(3, 3, key=KEY.fold_in(i)) for i in range(2)]
            self.norm = nn.BatchNorm(3)
            self.again = self.first

    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias",
        "norm.weight", "norm.bias",
    ]  # fmt: skip
    assert [name for name, _ in net.named_buffers()] == ["norm.running_mean", "norm.running_var"]
    assert net.parameter_count() == 9 + 2 * 12 + 6
    net.eval()
    assert not net.norm.training
    assert net.train().norm.training
    assert "blocks.1: Linear(weight (3,3)" in repr(net)


def test_state_goes_round_and_is_all_or_nothing():
    a, b = (nn.Sequential(nn.Linear(2, 3, key=tg.Key(i)), nn.BatchNorm(3)) for i in range(2))
    state = a.state_dict()
    b.load_state_dict(state)
    for name, value in b.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    before = b.state_dict()
    broken = {**state, "1.bias": np.zeros(4, np.float32), "0.weight": state["0.weight"] + 1}
    with pytest.raises(CheckpointError, match=r"1.bias is \(3,\) float32, the state has \(4,\)"):
        b.load_state_dict(broken)
    with pytest.raises(CheckpointError, match=r"lacks \['1.weight'\]"):
        b.load_state_dict({k: v for k, v in state.items() if k != "1.weight"})
    for name, value in b.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_linear_with_and_without_bias():
    x = np.random.Generator(np.random.Philox(1)).standard_normal((4, 5)).astype(np.float32)
    for activation in (None, "tanh"):
        layer = nn.Linear(5, 3, activation=activation, key=KEY)
        expected = x @ layer.weight.data + layer.bias.data
        np.testing.assert_allclose(
            layer(tg.Tensor(x)).data, np.tanh(expected) if activation else expected, rtol=1e-5, atol=1e-6
        )
        bare = nn.Linear(5, 3, bias=False, activation=activation, key=KEY)
        expected = x @ bare.weight.data
        np.testing.assert_allclose(
            bare(tg.Tensor(x)).data, np.tanh(expected) if activation else expected, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("size", [7, 8])
def test_transposed_convolution_undoes_the_shape_of_a_convolution(size):
    x = tg.Tensor(np.ones((2, size, size, 3), np.float32))
    y = nn.Conv2d(3, 5, 3, stride=2, padding=1, key=KEY)(x)
    back = nn.ConvTranspose2d(5, 3, 3, stride=2, padding=1, output_padding=1 - size % 2, key=KEY)(y)
    assert back.shape == x.shape
    with pytest.raises(ArgumentError, match="output_padding 2 must be less than stride 2"):
        nn.ConvTranspose2d(5, 3, 3, stride=2, output_padding=2, key=KEY)


def test_same_padding_keeps_the_size():
    x = tg.Tensor(np.ones((1, 6, 7, 2), np.float32))
    for kernel in (1, 2, 3, 4, (3, 5)):
        assert nn.Conv2d(2, 4, kernel, padding="same", key=KEY)(x).shape == (1, 6, 7, 4)
    assert nn.Conv2d(2, 4, 3, dilation=2, padding="same", key=KEY)(x).shape == (1, 6, 7, 4)
    with pytest.raises(ArgumentError, match="needs stride 1"):
        nn.Conv2d(2, 4, 3, stride=2, padding="same", key=KEY)


def test_same_padding_of_an_even_kernel_is_below_and_to_the_right():
    layer = nn.Conv2d(1, 1, 2, padding="same", bias=False, key=KEY)  # as in PyTorch
    layer.weight.data[...] = 0
    layer.weight.data[0, 0] = 1
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    np.testing.assert_array_equal(layer(tg.Tensor(x)).data, x)


def test_batch_norm_in_training_and_evaluation():
    x = np.random.Generator(np.random.Philox(2)).normal(3, 2, (50, 4, 4, 2)).astype(np.float32)
    layer = nn.BatchNorm(2)
    y = layer(tg.Tensor(x)).data
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-4)
    flat = x.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(layer.running_mean.data, 0.1 * flat.mean(0), rtol=1e-4)
    np.testing.assert_allclose(layer.running_var.data, 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-4)
    for _ in range(200):
        layer(tg.Tensor(x))
    evaluated = layer.eval()(tg.Tensor(x)).data
    np.testing.assert_allclose(evaluated, y, atol=2e-3)


def test_running_statistics_are_refused_before_they_change():
    mean, var, new_mean, new_var = (tg.Tensor(np.full(3, float(i))) for i in range(4))
    update, how = ops.update_running_statistics, {"momentum": 0.1, "rows": 5}
    with pytest.raises(ArgumentError, match="1 row has no unbiased variance"):
        update(mean, var, new_mean, new_var, momentum=0.1, rows=1)
    with pytest.raises(ArgumentError, match=r"momentum is 1\.5"):
        update(mean, var, new_mean, new_var, momentum=1.5, rows=5)
    with pytest.raises(InPlaceError, match="requires gradients"):
        update(tg.tensor(np.zeros(3), requires_grad=True), var, new_mean, new_var, **how)
    with pytest.raises(ShapeError, match=r"the shapes differ .*var \(4,\)"):
        update(mean, var, new_mean, tg.Tensor(np.zeros(4)), **how)
    np.testing.assert_array_equal([mean.data, var.data], [[0] * 3, [1] * 3])


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_with_its_activation_equals_two_layers(training):
    x = tg.Tensor(np.random.Generator(np.random.Philox(4)).standard_normal((5, 3, 3, 7)).astype(np.float32))
    for one, activation in (
        (nn.BatchNorm(7, activation="relu"), nn.ReLU()),
        (nn.BatchNorm(7, activation="leaky_relu", slope=0.2), nn.LeakyReLU(0.2)),
    ):
        two = nn.Sequential(nn.BatchNorm(7), activation).train(training)
        np.testing.assert_array_equal(one.train(training)(x).data, two(x).data)
    with pytest.raises(ArgumentError, match="activation must be"):
        nn.BatchNorm(7, activation="tanh")


def test_layer_norm_and_weight_norm():
    x = np.random.Generator(np.random.Philox(3)).normal(1, 3, (6, 8)).astype(np.float32)
    y = nn.LayerNorm(8)(tg.Tensor(x)).data
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    layer = nn.WeightNormLinear(8, 3, key=KEY)
    np.testing.assert_allclose(layer(tg.Tensor(x)).data, x @ layer.direction.data, rtol=1e-4, atol=1e-5)


def test_dropout_keeps_the_mean_and_needs_a_key():
    layer = nn.Dropout(0.25)
    x = tg.Tensor(np.ones((200, 200), np.float32))
    y = layer(x, key=KEY).data
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert abs(y.mean() - 1) < 5 * math.sqrt(
        0.25 / 0.75 / x.size
    )  # five standard errors: one false alarm in 1.7 million
    np.testing.assert_array_equal(y, layer(x, key=KEY).data)
    assert layer.eval()(x) is x
    with pytest.raises(ArgumentError, match="training needs a key"):
        layer.train()(x)
    with pytest.raises(ArgumentError, match=r"rate must be in \[0, 1\), got 1"):
        nn.Dropout(1)


def test_sequential_hands_keys_to_layers_that_draw():
    net = nn.Sequential(nn.Linear(3, 4, key=KEY), nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)), nn.ReLU())
    x = tg.Tensor(np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(net(x, key=KEY).data, net(x, key=KEY).data)
    assert (net(x, key=KEY).data != net(x, key=tg.Key(1)).data).any()
    net.eval()(x)
    assert len(net) == 4
    assert net[3] is list(net.children())[3][1]


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("xavier_uniform", math.sqrt(2 / 700)),
        ("xavier_normal", math.sqrt(2 / 700)),
        ("kaiming_uniform", math.sqrt(2 / 400)),
        ("kaiming_normal", math.sqrt(2 / 400)),
    ],
)
def test_initialisers_have_the_stated_spread(name, std):
    w = getattr(nn.init, name)((400, 300), key=KEY)
    assert w.dtype == np.float32
    assert abs(w.mean()) < 5 * std / math.sqrt(w.size)
    assert abs(w.std() / std - 1) < 0.02
    bound = {"uniform": math.sqrt(3) * std}.get(name.split("_")[1])
    assert bound is None or np.abs(w).max() <= bound


def test_orthogonal_and_fans():
    for shape in ((6, 4), (4, 6), (3, 3, 2, 5)):
        w = nn.init.orthogonal(shape, key=KEY).reshape(-1, shape[-1]).astype(np.float64)
        small = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
        np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-6)
    assert nn.init.fans((3, 3, 2, 5)) == (18, 45)
    with pytest.raises(ArgumentError, match="at least two axes"):
        nn.init.fans((3,))
    with pytest.raises(ArgumentError, match="unknown nonlinearity"):
        nn.init.gain("cosine")
    assert nn.init.gain("leaky_relu", slope=0) == nn.init.gain("relu")


def test_moving_a_model():
    net = nn.Sequential(nn.Linear(2, 3, key=KEY), nn.BatchNorm(3))
    assert net.to("cpu") is net
    with pytest.raises(ArgumentError, match="'tpu' is neither 'cpu' nor 'cuda'"):
        net.to("tpu")


def test_astype_makes_a_model_double():
    net = nn.Sequential(nn.Linear(2, 3, key=KEY), nn.BatchNorm(3)).astype(np.float64)
    y = net(tg.Tensor(np.ones((4, 2))))
    assert y.dtype == np.float64
    gradients = tg.grad(y.sum(), net.parameters())
    assert all(g.dtype == np.float64 for g in gradients)
