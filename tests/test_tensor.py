"""Tensor: operators, methods, and the ways in and out."""

import numpy as np
import pytest

import tinygen as tg
from tinygen.errors import ArgumentError, DTypeError


@pytest.fixture
def a():
    return np.random.Generator(np.random.Philox(0)).standard_normal((3, 4))


def same(tensor, array):
    assert isinstance(tensor, tg.Tensor)
    np.testing.assert_allclose(tensor.data, array, rtol=1e-12)
    assert tensor.shape == array.shape


def test_operators_follow_numpy(a):
    t, b = tg.tensor(a), np.abs(a[0]) + 1
    same(t + b, a + b)
    same(b + t, b + a)
    same(t - 1, a - 1)
    same(1 - t, 1 - a)
    same(t * t, a * a)
    same(t / b, a / b)
    same(2 / (t * t + 1), 2 / (a * a + 1))
    same(-t, -a)
    same(abs(t), np.abs(a))
    same((t * t) ** 1.5, (a * a) ** 1.5)
    same(2.0**t, 2.0**a)
    same(t @ a.T, a @ a.T)
    same(a.T @ t, a.T @ a)
    np.testing.assert_array_equal(((t > 0) & (t < 1)).data, (a > 0) & (a < 1))
    np.testing.assert_array_equal((~(t == t)).data, np.zeros_like(a, bool))


def test_methods_follow_numpy(a):
    t = tg.tensor(a)
    same(t.sum(), a.sum())
    same(t.sum(axis=1, keepdims=True), a.sum(1, keepdims=True))
    same(t.mean((0, 1)), a.mean((0, 1)))
    same(t.max(axis=0), a.max(0))
    same(t.min(), a.min())
    same(t.var(axis=1), a.var(1))
    same(t.std(axis=0), a.std(0))
    same(t.reshape(2, -1), a.reshape(2, -1))
    same(t.view((4, 3)), a.reshape(4, 3))
    same(t.T, a.T)
    same(t.mT, a.T)
    same(t.transpose(1, 0), a.T)
    same(t.reshape(3, 2, 2).permute(2, 0, 1), a.reshape(3, 2, 2).transpose(2, 0, 1))
    same(t.swapaxes(0, 1), a.T)
    same(t.flatten(), a.ravel())
    same(t[None].squeeze(), a)
    same(t.unsqueeze(1), a[:, None])
    same(t.expand_dims(-1), a[..., None])
    same(t[0].broadcast_to(2, 4), np.broadcast_to(a[0], (2, 4)))
    same(t.flip(axis=1), a[:, ::-1])
    same(t.clip(-0.5, 0.5), a.clip(-0.5, 0.5))
    same(t.exp().log(), a)
    same(t.copy(), a)
    assert t.argmax(axis=1).tolist() == a.argmax(1).tolist()
    first, second = t.split(2, axis=1)
    same(first, a[:, :2])
    same(second, a[:, 2:])
    np.testing.assert_allclose(t.softmax().sum(axis=-1).data, 1)
    np.testing.assert_allclose(t.log_softmax().exp().data, t.softmax().data)


@pytest.mark.parametrize(
    "key",
    [1, -1, slice(None, None, 2), (slice(None), 1), (..., slice(1, 3)), None, (0, slice(None), None), (1, 2)],
    ids=str,
)
def test_basic_indexing_is_a_differentiable_view(a, key):
    t = tg.tensor(a, requires_grad=True)
    same(t[key], np.asarray(a[key]))
    assert np.shares_memory(t[key].data, t.data)
    expected = np.zeros_like(a)
    expected[key] += 1
    np.testing.assert_array_equal(tg.grad(t[key].sum(), t).data, expected)


@pytest.mark.parametrize(
    "key",
    [np.array([2, 0, 2]), [0, 1], np.array([True, False, True]), (np.array([0, 2, 0]), np.array([1, 1, 1]))],
    ids=["integers", "list", "mask", "pairs"],
)
def test_gathering_adds_gradients_of_repeated_entries(a, key):
    t = tg.tensor(a, requires_grad=True)
    same(t[key], a[key])
    expected = np.zeros_like(a)
    np.add.at(expected, key, 1)
    np.testing.assert_array_equal(tg.grad(t[key].sum(), t).data, expected)


def test_a_mask_of_entries(a):
    t = tg.tensor(a, requires_grad=True)
    same(t[t > 0], a[a > 0])
    np.testing.assert_array_equal(tg.grad(t[a > 0].sum(), t).data, (a > 0).astype(float))


def test_in_and_out(a):
    t = tg.tensor(a)
    np.testing.assert_array_equal(np.asarray(t), a)
    np.testing.assert_array_equal(np.asarray(t, dtype=np.float32), a.astype(np.float32))
    back = np.from_dlpack(t)
    assert np.shares_memory(back, t.data)
    assert np.shares_memory(tg.from_dlpack(a).data, a)
    assert not np.shares_memory(t.data, a), "tensor() copies"
    assert np.shares_memory(tg.as_tensor(a).data, a), "as_tensor() does not"
    assert tg.tensor([1.0, 2.0]).dtype == np.float32
    assert tg.tensor([1, 2]).dtype == np.int64
    assert tg.tensor(3.5).item() == 3.5
    assert float(tg.tensor([2.0])) == 2
    assert int(tg.tensor(7)) == 7
    assert [10, 20][tg.tensor(1)] == 20
    assert len(t) == 3
    assert [row.shape for row in t] == [(4,)] * 3
    assert t.to("float32").float().double().dtype == np.float64
    assert t.cpu() is t
    assert t.to("cpu") is t


def test_dlpack_with_torch(a):
    torch = pytest.importorskip("torch", reason="PyTorch is absent: pip install 'tinygen[bench]'")
    theirs = torch.from_dlpack(tg.tensor(a))
    np.testing.assert_array_equal(theirs.numpy(), a)
    np.testing.assert_array_equal(tg.from_dlpack(torch.tensor(a)).data, a)


def test_refusals(a):
    t = tg.tensor(a)
    with pytest.raises(ArgumentError, match=r"a tensor of shape \(3,4\) is not one number"):
        t.item()
    with pytest.raises(ArgumentError, match="has no length"):
        len(tg.tensor(1.0))
    with pytest.raises(DTypeError, match="cannot be an index"):
        [1, 2][tg.tensor(1.0)]
    with pytest.raises(DTypeError, match="not numbers"):
        tg.tensor(["a"])
    with pytest.raises(DTypeError, match="not an array of numbers"):
        t + "x"
    with pytest.raises(DTypeError, match="list is not an array of numbers"):
        tg.ops.exp([[1.0], [2.0, 3.0]])
    with pytest.raises(ArgumentError, match="swapaxes: axes 0 and 2 of a tensor with 2 axes"):
        t.swapaxes(0, 2)
    with pytest.raises(DTypeError, match="int64 has no gradients"):
        tg.tensor([1, 2], requires_grad=True)


def test_repr(a):
    assert repr(tg.tensor([1.0, 2.0])) == "tensor([1., 2.], float32)"
    assert "requires_grad=True" in repr(tg.tensor([1.0], requires_grad=True))
    assert "made by exp" in repr(tg.tensor([1.0], requires_grad=True).exp())
