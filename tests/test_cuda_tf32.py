"""Tensor cores: one product of a warp to the bit, and what rounding the operands of products costs."""

from __future__ import annotations

import numpy as np
import pytest
from cudadevice import ORDERS, on_cuda, on_device
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import kernels
from tinygen.errors import ArgumentError
from tinygen.kernels._cuda.launcher import launch
from tinygen.kernels._cuda.source import Source

pytestmark = pytest.mark.cuda

# Of two warps, each its own product.  The layout as PTX ISA has it, "Matrix Fragments for mma.m16n8k8", .tf32.
WARPS = """
TG_KERNEL(warps, 64, const T* a, const T* b, T* c) {
    const int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    a += warp * 128, b += warp * 64, c += warp * 128;
    float left[4], right[2], sums[4];
    for (int i = 0; i < 4; i++) {
        const int row = i == 0 || i == 2 ? group : group + 8, column = i < 2 ? member : member + 4;
        left[i] = tg_tf32(a[row * 8 + column]);
    }
    for (int i = 0; i < 2; i++) right[i] = tg_tf32(b[(i == 0 ? member : member + 4) * 8 + group]);
    for (int i = 0; i < 4; i++) sums[i] = c[(i < 2 ? group : group + 8) * 8 + member * 2 + (i & 1)];
    tg_mma_tf32(sums, left, right);
    for (int i = 0; i < 4; i++) c[(i < 2 ? group : group + 8) * 8 + member * 2 + (i & 1)] = sums[i];
}
TG_KERNEL(rounds, 64, const T* x, T* y) { y[threadIdx.x] = tg_tf32(x[threadIdx.x]); }
"""


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape).astype(np.float32)


# -- one product of a warp ---------------------------------------------------------------------------------------------


def planted(folder, text: str) -> Source:
    (folder / "planted.cu").write_text(text)
    return Source(str(folder / "cuda.py"), "planted.cu", T=("float32",))


def warps(made: Source, order: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel makes of whole numbers, no two of a matrix equal, and what NumPy does."""
    mixed = np.random.Generator(np.random.Philox(0)).permutation
    a, b, c = (mixed(np.arange(1, 2 * n + 1)).reshape(2, -1, 8).astype(np.float32) for n in (128, 64, 128))
    with on_cuda(order):
        out = on_device(c)
        launch(made, "warps", (1,), (64,), (on_device(a), on_device(b), out), T=np.float32)
        return out.get(), c + a @ b


@pytest.mark.parametrize("order", ORDERS)
def test_a_warp_multiplies_as_numpy_does(tmp_path, order):
    got, expected = warps(planted(tmp_path, WARPS), order)
    np.testing.assert_array_equal(got, expected)


def test_half_is_rounded_away_from_zero(tmp_path):
    """Carried into the exponent; infinities and NaN stay, zeros keep their sign, and small numbers are not flushed."""
    largest, least, ulp = np.finfo(np.float32).max, np.float32(2**-149), 2.0**-10
    cases = {
        1: 1, 1 + ulp / 2: 1 + ulp, 1 + 0.499 * ulp: 1, 1 + 1.5 * ulp: 1 + 2 * ulp, 1 + 2.5 * ulp: 1 + 3 * ulp,
        -1 - ulp / 2: -1 - ulp, 2 - ulp / 4: 2, largest: np.inf, -largest: -np.inf, np.inf: np.inf, -np.inf: -np.inf,
        -0.0: -0.0, 4095 * least: 0, -4096 * least: -8192 * least, np.nan: np.nan,
    }  # fmt: skip
    x, expected = np.zeros((2, 64), np.float32)
    x[: len(cases)], expected[: len(cases)] = list(cases), list(cases.values())
    with on_cuda():
        y = on_device(np.full(64, 7, np.float32))
        launch(planted(tmp_path, WARPS), "rounds", (1,), (64,), (on_device(x), y), T=np.float32)
        got = y.get()
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(x))


# -- products and convolutions -----------------------------------------------------------------------------------------


def run(name: str, arrays: tuple[np.ndarray, ...], params: dict, device: str) -> list[np.ndarray]:
    """The outputs of a kernel."""
    made = kernels.registry[name](*[tg.Tensor(a).to(device).data for a in arrays], **params)
    return [tg.Tensor(a).numpy() for a in (made if isinstance(made, tuple) else (made,))]


def in_every_order(name: str, arrays: tuple[np.ndarray, ...], **params) -> list[np.ndarray]:
    """In TF32 on CUDA; the bits are those of every order."""
    found = []
    for order in ORDERS:
        with on_cuda(order), tg.float32_matmul_precision("tf32"):
            found.append(run(name, arrays, params, "cuda"))
    for others in found[1:]:
        for y, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(y, other)
    return found[0]


def within_the_stated_error(
    name: str, arrays: tuple[np.ndarray, ...], terms: int, *, shows: bool = True, **params
) -> None:
    """Against the float64 reference: 2^-10 (1 + 2^-12) of what the magnitudes sum to, and `terms` times 2^-23,
    for a GPU may truncate where it adds.  The first output is a product of the two arrays.  shows: float32 comes a good
    deal nearer.
    """
    got = in_every_order(name, arrays, **params)
    with kernels.backend("reference"):
        exact = run(name, tuple(a.astype(np.float64) for a in arrays), params, "cpu")
        sizes = run(name, tuple(np.abs(a).astype(np.float64) for a in arrays), params, "cpu")
    allowed = (2.0**-10 * (1 + 2.0**-12) + (terms + 2) * 2.0**-23) * sizes[0]
    off = np.abs(got[0] - exact[0])
    assert (off <= allowed).all()
    with on_cuda():
        plain = run(name, arrays, params, "cuda")
    assert not shows or off.max() > 20 * np.abs(plain[0] - exact[0]).max()
    for y, other in zip(got[1:], plain[1:], strict=True):  # sums beside the product are not rounded
        np.testing.assert_array_equal(y, other)


PRODUCTS = {
    "a tile": ((64, 16), (16, 64), {}),
    "several": ((65, 130), (130, 67), {}),
    "in parts": ((3, 1000), (1000, 70), {}),
    "transposed": ((40, 5), (7, 40), dict(trans_a=True, trans_b=True)),
    "a batch": ((2, 3, 9, 20), (3, 20, 11), {}),
    "one for all of a batch": ((3, 9, 20), (20, 11), {}),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_within_the_stated_error(name):
    *shapes, params = PRODUCTS[name]
    within_the_stated_error("matmul.matmul", tuple(drawn(i, *s) for i, s in enumerate(shapes)), 1000, **params)


def test_steps_that_follow_a_product_are_not_rounded():
    x, w, b, y = drawn(0, 20, 40), drawn(1, 40, 30), drawn(2, 30), drawn(3, 20, 30)
    product = in_every_order("matmul.matmul", (x, w))[0]
    np.testing.assert_array_equal(in_every_order("matmul.linear", (x, w, b), activation=None)[0], product + b)
    (got,) = in_every_order("matmul.matmul_then", (x, w, b, y), then=("bias", "relu", "add"))
    np.testing.assert_array_equal(got, np.maximum(product + b, 0) + y)


def test_gradients_of_a_dense_layer_are_within_the_stated_error():
    within_the_stated_error("matmul.linear_weight_grad", (drawn(0, 300, 30), drawn(1, 300, 20)), 300)


PAD = ((1, 1), (1, 1))
CONVOLUTIONS = {
    "plain": dict(pad=PAD),
    "with a stride": dict(pad=PAD, stride=(2, 1)),
    "with holes": dict(pad=((2, 1), (0, 2)), dilation=(1, 2), stride=(1, 2)),
    "masked": dict(pad=PAD, mask="B"),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_are_within_the_stated_error_in_all_directions(name):
    how = CONVOLUTIONS[name]
    x, w = drawn(0, 2, 7, 6, 12), drawn(1, 3, 3, 12, 20)
    g = drawn(2, *kernels.conv.conv2d(x, w, **how).shape)
    within_the_stated_error("conv.conv2d", (x, w), 108, **how)
    within_the_stated_error("conv.conv2d_input_grad", (g, w), 180, x_hw=(7, 6), **how)
    within_the_stated_error("conv.conv2d_weight_bias_grad", (x, g), 84, k=(3, 3), **how)


@pytest.mark.exhaustive
@given(sides=st.tuples(*[st.integers(0, 140)] * 2, st.integers(0, 300)), turned=st.tuples(*[st.booleans()] * 2),
       seed=st.integers(0, 2**32))  # fmt: skip
def test_products_of_any_shape_are_within_the_stated_error(sides, turned, seed):
    m, n, k = sides
    a, b = drawn(seed, *((k, m) if turned[0] else (m, k))), drawn(seed + 1, *((n, k) if turned[1] else (k, n)))
    within_the_stated_error("matmul.matmul", (a, b), k, shows=False, trans_a=turned[0], trans_b=turned[1])


def test_what_is_not_finite_stays_so():
    a, b = drawn(0, 20, 20), drawn(1, 20, 20)
    a[3, 4], a[5, 6] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        expected = a @ b
    (got,) = in_every_order("matmul.matmul", (a, b))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_array_equal(got[5], expected[5])


# -- the setting -------------------------------------------------------------------------------------------------------


def test_another_precision_is_refused():
    with pytest.raises(ArgumentError, match=r"float32_matmul_precision: 'tf33' is neither 'float32' nor 'tf32'"):
        tg.float32_matmul_precision("tf33")


def test_it_holds_inside_its_block_only():
    a, b = drawn(0, 20, 30), drawn(1, 30, 20)
    with on_cuda():
        plain = run("matmul.matmul", (a, b), {}, "cuda")[0]
        with tg.float32_matmul_precision("tf32"):
            within = run("matmul.matmul", (a, b), {}, "cuda")[0]
            with tg.float32_matmul_precision("float32"):
                again = run("matmul.matmul", (a, b), {}, "cuda")[0]
        after = run("matmul.matmul", (a, b), {}, "cuda")[0]
    assert (within != plain).any()
    np.testing.assert_array_equal(again, plain)
    np.testing.assert_array_equal(after, plain)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_float64_and_the_cpu_know_nothing_of_it(device):
    kind = np.float32 if device == "cpu" else np.float64
    a, b = drawn(0, 20, 30).astype(kind), drawn(1, 30, 20).astype(kind)
    x, w = drawn(2, 1, 5, 5, 4).astype(kind), drawn(3, 3, 3, 4, 6).astype(kind)
    for name, arrays in (("matmul.matmul", (a, b)), ("conv.conv2d", (x, w))):
        with on_cuda():
            plain = run(name, arrays, {}, device)[0]
            with tg.float32_matmul_precision("tf32"):
                np.testing.assert_array_equal(run(name, arrays, {}, device)[0], plain)


def test_a_replay_multiplies_each_product_as_it_was_recorded():
    x, w, v = (tg.Tensor(drawn(i, 20, 20)) for i in range(3))

    def both(x, w, v, precision):
        with tg.float32_matmul_precision(precision):
            hidden = tg.ops.relu(x @ w)
        return hidden, hidden @ v

    with on_cuda():
        x, w, v = (t.to("cuda") for t in (x, w, v))
        eager, plain = (both(x, w, v, precision) for precision in ("tf32", "float32"))
        step = tg.step(lambda x: both(x, w, v, "tf32"))
        for _ in range(3):
            replayed = step(x)
        assert len(step.plan.launches) == 2  # the steps that follow a product are fused into it
        for mine, its, other in zip(replayed, eager, plain, strict=True):
            np.testing.assert_array_equal(mine.numpy(), its.numpy())
            assert (mine.numpy() != other.numpy()).any()
