"""The core: recording, the walk, modes, and what it refuses."""

import gc
import weakref

import numpy as np
import pytest

import tinygen as tg
from tinygen import ops
from tinygen.errors import ArgumentError, DTypeError, InPlaceError, NonFiniteError, NotDifferentiable, ShapeError
from tinygen.primitive import Primitive, primitive
from tinygen.primitive import registry as primitives
from tinygen.testing import GradientError, gradcheck


@pytest.fixture
def x():
    return tg.tensor([1.0, 2.0, 3.0], "float64", requires_grad=True)


@pytest.fixture
def scratch():
    """Primitives declared by a test leave the registry with it."""
    before = dict(primitives)
    yield
    primitives.clear()
    primitives.update(before)


def test_grad_of_a_polynomial_to_third_order(x):
    y = ops.sum(x * x * x)
    (first,) = tg.grad(y, [x], create_graph=True)
    (second,) = tg.grad(ops.sum(first), [x], create_graph=True)
    (third,) = tg.grad(ops.sum(second), [x])
    np.testing.assert_allclose(first.data, [3, 12, 27])
    np.testing.assert_allclose(second.data, [6, 12, 18])
    np.testing.assert_allclose(third.data, [6, 6, 6])


def test_value_and_grad(x):
    value, gradient = tg.value_and_grad(lambda a: ops.sum(a * a))(np.array([1.0, 2.0]))
    assert float(value) == 5
    np.testing.assert_array_equal(gradient.data, [2, 4])
    _, (a, b) = tg.value_and_grad(lambda a, b: ops.sum(a * b), argnums=(0, 1))(np.ones(2), np.full(2, 3.0))
    np.testing.assert_array_equal(a.data, [3, 3])
    np.testing.assert_array_equal(b.data, [1, 1])


def test_backward_adds_into_grad_of_leaves(x):
    w = tg.tensor([1.0, 1.0, 1.0], "float64", requires_grad=True)
    for _ in range(2):
        ops.sum(x * w).backward()
    np.testing.assert_array_equal(w.grad.data, [2, 4, 6])
    np.testing.assert_array_equal(x.grad.data, [2, 2, 2])


def test_a_tensor_used_twice_gets_the_sum(x):
    y = x + x * x
    np.testing.assert_array_equal(tg.grad(ops.sum(y + x), x).data, [4, 6, 8])


def test_gradient_of_an_inner_tensor_and_its_ancestor_together(x):
    h = x * 2
    gx, gh = tg.grad(ops.sum(h * h), [x, h])
    np.testing.assert_array_equal(gx.data, 8 * x.data)
    np.testing.assert_array_equal(gh.data, 4 * x.data)


def test_the_walk_is_a_loop(x):
    y = x
    for _ in range(20_000):
        y = y + 1.0
    np.testing.assert_array_equal(tg.grad(y, x, np.ones(3)).data, np.ones(3))


def test_only_what_rules_name_is_kept_and_no_cycle_holds_it(x):
    gc.collect()
    gc.disable()
    try:
        h = x + 1.0
        dead = weakref.ref(h.data)
        y = ops.exp(h + 1.0)
        kept = weakref.ref(y.data)
        z = y * 2.0
        del h, y
        assert dead() is None, "add keeps nothing of its input"
        assert kept() is not None, "exp keeps its output"
        node = weakref.ref(z.node)
        tg.grad(z, x, np.ones(3), retain_graph=True)
        del z
        assert node() is None, "the graph goes without the garbage collector"
    finally:
        gc.enable()


def test_work_is_done_only_on_paths_to_what_is_asked(x):
    from tinygen import kernels

    w = tg.tensor(np.ones((3, 3)), requires_grad=True)
    y = ops.sum(ops.tanh(ops.matmul(w, ops.reshape(x, shape=(3, 1)))))
    launched = []
    with kernels.observe(lambda kernel, *_: launched.append(kernel.__name__)):
        tg.grad(y, w)
    assert launched.count("matmul") == 1


def test_a_released_graph_says_so(x):
    y = ops.sum(x * x)
    tg.grad(y, x)
    with pytest.raises(NotDifferentiable, match="retain_graph=True"):
        tg.grad(y, x)
    y = ops.sum(x * x)
    tg.grad(y, x, retain_graph=True)
    np.testing.assert_array_equal(tg.grad(y, x).data, 2 * x.data)


def test_no_grad_and_detach_cut(x):
    with tg.no_grad():
        assert not (x * 2).requires_grad
        with tg.enable_grad():
            assert (x * 2).requires_grad
    y = ops.sum(x.detach() * x)
    np.testing.assert_array_equal(tg.grad(y, x).data, x.data)


def test_unused_and_constant_inputs_are_errors_unless_allowed(x):
    other = tg.tensor([1.0], "float64", requires_grad=True)
    with pytest.raises(NotDifferentiable, match=r"does not depend on xs\[1\] \(1,\)"):
        tg.grad(ops.sum(x), [x, other])
    assert tg.grad(ops.sum(x), [x, other], allow_unused=True)[1] is None
    with pytest.raises(NotDifferentiable, match="does not require gradients"):
        tg.grad(ops.sum(x), [tg.tensor([1.0])])
    with pytest.raises(NotDifferentiable, match="does not depend on anything"):
        tg.grad(tg.tensor(1.0), x)


def test_cotangents_are_checked(x):
    with pytest.raises(ArgumentError, match=r"y is \(3,\)"):
        tg.grad(x * 2, x)
    with pytest.raises(ShapeError, match=r"g is \(2,\)"):
        tg.grad(x * 2, x, np.ones(2))


def test_mixed_floating_types_are_refused(x):
    with pytest.raises(DTypeError, match=r"mul: floating types are mixed \(float64, float32\)"):
        x * tg.tensor([1.0, 2.0, 3.0])
    with pytest.raises(DTypeError, match="Cast it with"):
        tg.tensor([1, 2]) * 0.5
    assert (x * 2).dtype == np.float64
    assert (x * np.float32(2)).dtype == np.float64, "a NumPy scalar is a number, not a type"


def test_integers_have_no_gradients():
    with pytest.raises(DTypeError, match="no gradients"):
        tg.tensor([1, 2], requires_grad=True)


def test_change_in_place_after_saving_is_refused(x):
    w = tg.tensor([1.0, 2.0, 3.0], "float64")
    y = ops.sum(x * w)
    w[0] = 7.0
    with pytest.raises(InPlaceError, match="mul: b was changed in place"):
        tg.grad(y, x)
    view = ops.reshape(w, shape=(3, 1))
    y = ops.sum(x * w)
    view[0] = 1.0  # through a view of the same memory
    with pytest.raises(InPlaceError):
        tg.grad(y, x)
    h = ops.exp(x)
    y = ops.sum(h)
    with pytest.raises(InPlaceError, match="an output of exp"), tg.no_grad():
        h[0] = 1.0
    with pytest.raises(InPlaceError, match="no_grad"):
        x[0] = 1.0
    y = ops.sum(x * x)
    with tg.no_grad():
        x[0] = 5.0
    with pytest.raises(InPlaceError, match="version 0, now 1"):
        tg.grad(y, x)


def test_the_numpy_view_is_read_only(x):
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(x)[0] = 1
    with pytest.raises(TypeError):
        np.exp(x)


def test_anomaly_mode_names_the_first_op(x):
    with (
        pytest.raises(NonFiniteError, match=r"log: the op is the first to produce a nan.*test_autograd.py"),
        tg.detect_anomaly(),
    ):
        ops.exp(ops.log(x - 2.0))
    with (
        pytest.raises(NonFiniteError, match="div: the op is the first to produce a nonfinite"),
        tg.detect_anomaly(inf=True),
    ):
        ops.div(x, x - 1.0)
    with tg.detect_anomaly(inf=True):
        y = ops.sum(ops.sqrt(x - 1.0))
        with pytest.raises(NonFiniteError, match=r"sqrt: the gradient for x is the first to produce"):
            tg.grad(y, x)


def test_a_rule_of_none_refuses(scratch):
    @primitive
    def opaque(a, b):
        return a + b

    opaque.defvjp(a=lambda g: g, b=None)
    a, b = (tg.tensor([1.0], requires_grad=True) for _ in range(2))
    assert float(tg.grad(opaque(a, b), a)) == 1
    with pytest.raises(NotDifferentiable, match="opaque: it has no gradient with respect to b"):
        tg.grad(opaque(a, b), [a, b])


def test_rules_are_checked_when_declared(scratch):
    @primitive
    def f(a, b):
        return a

    with pytest.raises(TypeError, match="there is no input 'c'"):
        f.defvjp(c=lambda g: g)
    with pytest.raises(TypeError, match=r"unknown \['z'\]; a rule may name"):
        f.defvjp(a=lambda g, z: g)
    f.defvjp(a=lambda g: g)
    with pytest.raises(TypeError, match=r"f: no rule for \['b'\]"):
        f.verify()


def test_a_definition_stands_in_for_missing_rules_at_every_order(scratch):
    @primitive
    def cube(x):
        return x**3

    @cube.definition
    def _(x):
        return x * x * x

    gradcheck(cube, np.array([0.5, -1.5]), order=3)


def test_gradcheck_finds_wrong_rules(scratch):
    def op(rule) -> Primitive:
        @primitive
        def wrong(x, w):
            return x * w

        wrong.defvjp(x=rule, w=lambda g, x: g * x)
        return wrong

    inputs = np.array([0.3, 0.7]), np.array([1.1, -0.4])
    gradcheck(op(lambda g, w: g * w), *inputs, order=2)
    with pytest.raises(GradientError, match=r"(?s)wrong: order 1, .* input 0 \(2,\).*the sign is wrong.*seed=0"):
        gradcheck(op(lambda g, w: -(g * w)), *inputs)
    with pytest.raises(GradientError, match="factor of two too large"):
        gradcheck(op(lambda g, w: g * w * 2.0), *inputs)
    with pytest.raises(GradientError, match="order 1"):
        gradcheck(op(lambda g, w: g * w * 1.01), *inputs)
    with pytest.raises(GradientError, match="order 2"):  # right values, but the graph behind w is lost
        gradcheck(op(lambda g, w: g * w.detach()), *inputs, order=2)


def test_every_declared_op_has_rules_for_all_inputs():
    for op in primitives.values():
        op.verify()


def test_an_observer_sees_every_launch(x):
    from tinygen import kernels

    seen = []
    with kernels.observe(lambda kernel, inputs, outs, *_: seen.append((kernel.__name__, len(inputs), len(outs)))):
        tg.grad(ops.sum(ops.exp(x)), x)
    assert ("exp", 1, 1) in seen
    assert seen[0] == ("exp", 1, 1)


def test_cuda_is_refused_with_a_sentence(x, monkeypatch):
    from tinygen import kernels
    from tinygen.errors import DeviceError
    from tinygen.kernels import _devices

    with monkeypatch.context() as here:
        here.setattr(_devices, "_missing", lambda: "CuPy finds no CUDA GPU.")
        with pytest.raises(DeviceError, match=r"CuPy finds no CUDA GPU\. Use device='cpu'"):
            x.to("cuda")
    with pytest.raises(DeviceError, match=r"causal\.sample: there is no metal kernel"):
        kernels.registry["causal.sample"].implementation("metal")
    wanted = pytest.raises(DeviceError, match=r"exp: argument 0 is ndarray; arrays of the device are wanted")
    with wanted, kernels.backend("cuda"):
        ops.exp(x)


@pytest.mark.parametrize("op", [ops.max, ops.min])
def test_equal_extremes_share_the_gradient(op):
    x = tg.tensor([[2.0, 2.0, 2.0], [1.0, 4.0, 4.0], [0.0, 3.0, 1.0]], "float64", requires_grad=True)
    best = op(x.data, axis=1, keepdims=True).data == x.data
    np.testing.assert_allclose(tg.grad(ops.sum(op(x, axis=1)), x).data, best / best.sum(1, keepdims=True))


@pytest.mark.parametrize("op", [ops.maximum, ops.minimum])
def test_equal_operands_share_the_gradient(op):
    a, b = (tg.tensor([1.0, 2.0], "float64", requires_grad=True) for _ in range(2))
    for g in tg.grad(ops.sum(op(a, b)), [a, b]):
        np.testing.assert_array_equal(g.data, [0.5, 0.5])


def test_the_first_of_equal_entries_is_pooled():
    x = tg.tensor(np.zeros((1, 2, 4, 1)), requires_grad=True)
    g = tg.grad(ops.sum(ops.max_pool2d(x, size=2)), x).data
    np.testing.assert_array_equal(g[0, :, :, 0], [[1, 0, 1, 0], [0, 0, 0, 0]])  # as in PyTorch
