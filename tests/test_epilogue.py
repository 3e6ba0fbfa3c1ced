"""Steps in an epilogue give the bits of the separate kernels, NaN and infinities included."""

import numpy as np
import pytest

from tinygen import kernels
from tinygen.kernels import conv, elementwise, matmul
from tinygen.testing import Draw
from tinygen.testing.cases import cases

THEN = [
    ("bias",),
    ("bias", "relu"),
    ("bias", ("leaky_relu", 0.2), ("leaky_relu_grad", 0.3)),
    ("relu_grad", "add"),
    (("leaky_relu_grad", 0.2),),
    ("add", ("also", "relu")),
    ("bias", "relu", "relu_grad", "add", ("also", ("leaky_relu", 0.1))),
]


def separately(then, z, bias, gate, other):
    """The extra arrays, and the outputs by one kernel for each step."""
    extras, second = [], []
    for step in then:
        name, parameter = step if isinstance(step, tuple) else (step, None)
        if name == "also":
            name, parameter = parameter if isinstance(parameter, tuple) else (parameter, None)
            second = [getattr(elementwise, name)(z, **({} if parameter is None else {"slope": parameter}))]
            continue
        extra = {"bias": [bias], "add": [other]}.get(name, [gate] if name.endswith("grad") else [])
        kernel = elementwise.add if name in ("bias", "add") else getattr(elementwise, name)
        z = kernel(z, *extra, **({} if parameter is None else {"slope": parameter}))
        extras += extra
    return extras, [z, *second]


def poisoned(d, *shape):
    a = d.normal(*shape).astype(np.float32)
    a.flat[::5], a.flat[1::7], a.flat[2::11] = np.nan, np.inf, -np.inf
    return a


def assert_same_bits(kernel, then, z, *arrays, **how):
    d = Draw(1)
    extras, expected = separately(then, z, poisoned(d, z.shape[-1]), poisoned(d, *z.shape), poisoned(d, *z.shape))
    got = kernel(*arrays, *extras, then=then, **how)
    for a, b in zip(got if isinstance(got, tuple) else (got,), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("then", THEN, ids=str)
@pytest.mark.parametrize("shape", [(5, 3, 70), (33, 2100, 9), (0, 4, 5), (4, 0, 5), (1, 9, 70), (70, 9, 1)], ids=str)
def test_products(then, shape):
    m, k, n = shape
    d = Draw(0)
    a, b = d.normal(m, k).astype(np.float32), d.normal(k, n).astype(np.float32)
    assert_same_bits(matmul.matmul_then, then, matmul.matmul(a, b), a, b)
    assert_same_bits(matmul.matmul_then, then, matmul.matmul(a, b), a.T, b.T, trans_a=True, trans_b=True)


@pytest.mark.parametrize("then", THEN, ids=str)
@pytest.mark.parametrize(
    ("channels", "how"),
    [((16, 40), {}), ((20, 3), {}), ((3, 20), {}), ((12, 24), {"mask": "B", "colors": 3})],
    ids=["ordinary", "narrow out", "narrow in", "colours"],
)
def test_convolutions(then, channels, how):
    d, how = Draw(0), {"pad": ((1, 1), (1, 1)), **how}
    w = d.normal(3, 3, *channels).astype(np.float32)
    x, g = (d.normal(2, 5, 6, c).astype(np.float32) for c in channels)
    assert_same_bits(conv.conv2d_then, then, conv.conv2d(x, w, **how), x, w, **how)
    how["x_hw"] = (5, 6)
    assert_same_bits(conv.conv2d_then, then, conv.conv2d_input_grad(g, w, **how), g, w, **how)


@pytest.mark.parametrize(
    "then",
    [
        ("relu", "bias"),
        ("add", "add"),
        ("tanh",),
        ("leaky_relu",),
        (("relu", 0.1),),
        (("also", "tanh"),),
        (3,),
        ("also",),
    ],
    ids=str,
)
def test_other_steps_are_not_supported(then):
    assert not matmul.supports(then)
    assert not conv.supports(then)


def test_every_list_here_is_supported():
    assert all(map(matmul.supports, [(), *THEN]))
    assert {"matmul_then", "conv2d_then"} <= set(cases)
    assert {"matmul.matmul_then", "conv.conv2d_then"} <= set(kernels.registry)
