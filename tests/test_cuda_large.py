"""Arrays of more than 2^32 entries: what the last block of each kernel makes, by the emulated device.

The arrays are promised by the system and never touched but at their ends, so they cost next to nothing.
"""

from __future__ import annotations

import mmap
from math import prod
from types import SimpleNamespace

import numpy as np
import pytest
from test_cuda_faults import source

from tinygen import kernels
from tinygen.errors import DeviceError
from tinygen.kernels._cuda import host_array, host_build
from tinygen.kernels._cuda.launcher import blocks, launch

N = 2**32 + 300  # past what 32 bits count
ROWS = 3  # at the end, that are looked at

pytestmark = pytest.mark.skipif(host_build.sanitizer() is not None, reason="a sanitizer doubles what is promised")


def vast(shape, dtype=np.float32):
    """Zeros of the emulated device, which take no memory until they are touched."""
    dtype = np.dtype(dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)  # named by Python 3.13
    raw = mmap.mmap(-1, prod(shape) * dtype.itemsize, flags=flags)
    memory = SimpleNamespace(bytes=np.frombuffer(raw, np.uint8), intact=lambda: True)
    return host_array.HostArray(memory.bytes.view(dtype).reshape(shape), memory)


def made(name, arrays, params, empty):
    """The outputs of a kernel."""
    kernel = kernels.registry[name]
    specs = kernel.plan(*arrays, **params)
    outs = [empty(spec.shape, spec.dtype) for spec in ((specs,) if isinstance(specs, kernels.Spec) else specs)]
    kernel.implementation("cuda")(*arrays, *outs, **{**kernel.params, **params})
    return outs


def deep(*shape, dtype=np.float32):
    """N entries, in rows of this shape."""
    return (-(-N // prod(shape)), *shape), dtype


ONE, STEP = np.array([1.0]), np.array([3])
X, ROW = deep(), deep(7)
EACH = ROW[0][:1], np.float32  # a number for each such row
CASES = {  # a kernel's arrays, those that are vast as (shape, dtype); its parameters
    "elementwise.neg": ([X], {}),
    "elementwise.add": ([X, X], {}),
    "elementwise.where": ([deep(dtype=bool), X, X], {}),
    "elementwise.cast": ([X], {"dtype": np.dtype(np.float64)}),
    "shape.copy": ([deep(3)], {}),
    "random.gaussian_sample": ([X, X, X], {}),
    "random.gaussian_sample_grad": ([X, X, X], {}),
    "reduce.max": ([deep(3)], {"axes": (1,)}),
    "reduce.min": ([deep(3)], {"axes": (1,)}),
    "reduce.softmax": ([deep(3)], {"axis": 1}),
    "reduce.logsumexp": ([deep(300)], {"axes": (1,)}),
    "norm.layer_norm": ([deep(5), np.ones(5, np.float32), np.ones(5, np.float32)], {}),
    "logprob.bernoulli_log_prob": ([ROW, ROW], {"event_ndim": 1}),
    "logprob.bernoulli_log_prob_grad": ([EACH, ROW, ROW], {"event_ndim": 1}),
    "logprob.gaussian_log_prob_grad": ([EACH, ROW, ROW, ROW], {"event_ndim": 1}),
    "coupling.affine_coupling": ([ROW, ROW, ROW], {}),
    "coupling.affine_coupling_grad": ([ROW, EACH, ROW, ROW], {}),
    "matmul.matmul": ([deep(2), np.ones((2, 1), np.float32)], {"trans_a": False, "trans_b": False}),
    "matmul.linear": ([deep(1), np.ones((1, 1), np.float32), np.ones(1, np.float32)], {"activation": "relu"}),
    "conv.conv2d": ([deep(2, 2, 1), np.ones((1, 1, 1, 1), np.float32)], {}),
    "conv.pool2d": ([deep(4, 4, 1)], {"size": (2, 2), "stride": (2, 2), "factor": 0.25}),
    "optim.scaled": ([X, ONE], {}),
    "optim.ema": ([X, X], {"decay": 0.9}),
    "optim.adam": ([X, X, X, ONE, ONE, STEP, X], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_end_of_a_vast_array_is_what_its_last_rows_give_alone(name):
    asked, params = CASES[name]
    random, whole, alone = np.random.Generator(np.random.Philox(0)), [], []
    for what in asked:
        if isinstance(what, np.ndarray):
            whole.append(host_array.asarray(what))
            alone.append(whole[-1])
            continue
        shape, dtype = what
        end = random.uniform(0.5, 2, (ROWS, *shape[1:])).astype(dtype)
        whole.append(vast(shape, dtype))
        whole[-1]._array[-ROWS:] = end
        alone.append(host_array.asarray(end))
    with blocks("last"):
        outs = made(name, whole, params, vast)
    for got, expected in zip(outs, made(name, alone, params, host_array.empty), strict=True):
        assert got.size >= N // 300
        assert got._array.flat[got.size - 1] == expected._array.flat[expected.size - 1] != 0


def test_draws_are_of_their_place():
    """Of a word in 2^34 the 32 bits that say which block it is of would have come round."""
    key, y, n = host_array.asarray(np.array([1, 2], np.uint32)), vast((2**34 + 4,), np.uint32), 4
    first = made("random.bits", [key], {"shape": (n,)}, host_array.empty)[0].get()
    with blocks("last"):
        kernels.registry["random.bits"].implementation("cuda")(key, y, shape=y.shape)
    assert y._array[-n:].all()
    assert (y._array[-n:] != first).all()


@pytest.mark.parametrize(("name", "width"), [("conv.conv2d", 2**30), ("conv.pool2d", 2**31)])
def test_a_line_that_is_not_counted_is_refused(name, width):
    x = vast((1, 1, width, 1))
    arrays = [x, host_array.ones((1, 1, 1, 1), np.float32)] if name == "conv.conv2d" else [x]
    params = {} if name == "conv.conv2d" else {"size": (1, 1), "stride": (1, 1), "factor": 1.0}
    with pytest.raises(DeviceError, match="on CUDA a"):
        made(name, arrays, params, vast)


@pytest.mark.parametrize("index", ["index_t(blockIdx.x) * 64", "blockIdx.x * 64", "int(blockIdx.x) * 64"])
def test_an_index_of_32_bits_is_noticed(tmp_path, index):
    text = (
        f"TG_KERNEL(one, 64, T* y, index_t n) {{ const index_t i = {index} + threadIdx.x;\n"
        "if (i >= 0 && i < n) y[i] = 1; }"
    )
    y = vast((N,))
    with blocks("last"):
        launch(source(tmp_path, text), "one", (-(-N // 64),), (64,), (y, np.int64(N)), T=np.float32)
    assert (y._array[-ROWS:] == 1).all() == index.startswith("index_t")
