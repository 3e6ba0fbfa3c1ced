"""Faults planted in kernels: the emulated device catches each."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tinygen.kernels._cuda import host_array, host_build, host_stream
from tinygen.kernels._cuda.graph import Graph
from tinygen.kernels._cuda.launcher import LaunchError, blocks, launch, schedule
from tinygen.kernels._cuda.source import Source

ORDERS = 0, -1, 1, 2, 3
N = 256

SUM = """
TG_KERNEL(total, 256, const T* x, T* y, index_t n) {
    __shared__ T part[256];
    const unsigned t = threadIdx.x;
    if (t < n) part[t] = x[t]; else part[t] = 0;
    __syncthreads();
    for (unsigned half = 128; half > 0; half /= 2) {
        if (t < half) part[t] += part[t + half];
        __syncthreads();
    }
    if (t == 0) y[0] = part[0];
}
"""
WARP = """
TG_KERNEL(lanes, 64, const T* x, T* sums, T* swapped, unsigned* votes) {
    const unsigned t = threadIdx.x;
    T sum = x[t];
    for (unsigned n = 16; n > 0; n /= 2) sum += tg_shfl_down(sum, n);
    if (t % 32 == 0) sums[t / 32] = sum;
    swapped[t] = tg_shfl_xor(x[t], 1);
    votes[t] = tg_ballot(x[t] > 0);
}
"""


@pytest.fixture(autouse=True)
def _compiler():
    try:
        host_build.compiler()
    except host_build.CompilerMissing as error:
        pytest.skip(str(error))


def source(folder, text, name="planted.cu"):
    (folder / name).write_text(text)
    return Source(str(folder / "cuda.py"), name, T=("float32", "float64"))


def total(made, n=N, block=N, **options):
    """The sum of 0, 1, ... n - 1 by the kernel `total`, under every order."""
    x, sums = host_array.asarray(np.arange(n, dtype=np.float32)), []
    for order in ORDERS:
        y = host_array.empty(1, np.float32)
        with schedule(order):
            launch(made, "total", (1,), (block,), (x, y, np.int64(n)), T=np.float32, **options)
        sums.append(y.item())
    return sums


def test_a_right_kernel_gives_the_same_in_every_order(tmp_path):
    assert total(source(tmp_path, SUM)) == [N * (N - 1) / 2] * len(ORDERS)


def test_a_missing_barrier_changes_the_result(tmp_path):
    wrong = SUM.replace("        __syncthreads();\n", "", 1)
    assert wrong != SUM
    assert len(set(total(source(tmp_path, wrong)))) > 1


def test_a_divergent_barrier_is_named(tmp_path):
    wrong = SUM.replace("        if (t < half) part[t] += part[t + half];\n        __syncthreads();",
                        "        if (t < half) { part[t] += part[t + half]; __syncthreads(); }")  # fmt: skip
    with pytest.raises(LaunchError, match="total: a divergent barrier: 128 threads wait in line 8, 128 have ended"):
        total(source(tmp_path, wrong))


def test_two_barriers_at_once_are_named(tmp_path):
    wrong = SUM.replace("    __syncthreads();\n", "    if (t < 32)\n __syncthreads();\n else\n __syncthreads();\n", 1)
    with pytest.raises(LaunchError, match="threads wait in line 7 and in line 9"):
        total(source(tmp_path, wrong))


def test_uninitialised_shared_memory_is_nan(tmp_path):
    wrong = SUM.replace(" else part[t] = 0;", "")
    assert np.isnan(total(source(tmp_path, wrong), n=200)).all()


@pytest.mark.parametrize("guarded", [True, False])
def test_a_missing_bound_check_is_noticed(tmp_path, guarded):
    check = "if (i < n)" if guarded else ""
    text = (
        f"TG_KERNEL(twice, 64, const T* x, T* y, index_t n) {{ const int i = threadIdx.x; {check} y[i] = 2 * x[i]; }}"
    )
    x, y = host_array.asarray(np.arange(63.0)), host_array.empty(63)
    args = (x, y, np.int64(63))
    if guarded:
        launch(source(tmp_path, text), "twice", (1,), (64,), args, T=np.float64)
        np.testing.assert_array_equal(y.get(), 2 * np.arange(63.0))
    else:
        with pytest.raises(LaunchError, match="twice: it wrote past an end of array 1"):
            launch(source(tmp_path, text), "twice", (1,), (64,), args, T=np.float64)


def test_unwritten_results_are_nan(tmp_path):
    text = "TG_KERNEL(half, 64, T* y) { if (threadIdx.x % 2) y[threadIdx.x] = 0; }"
    y = host_array.empty(64)
    launch(source(tmp_path, text), "half", (1,), (64,), (y,), T=np.float64)
    assert np.isnan(y.get()).sum() == 32


def lanes(made, **options):
    x = np.random.Generator(np.random.Philox(0)).standard_normal(64)
    outs = host_array.empty(2), host_array.empty(64), host_array.empty(64, np.uint32)
    launch(made, "lanes", (1,), (64,), (host_array.asarray(x), *outs), T=np.float64, **options)
    return x, *[out.get() for out in outs]


@pytest.mark.parametrize("order", ORDERS)
def test_warps_shuffle_and_vote(tmp_path, order):
    with schedule(order):
        x, sums, swapped, votes = lanes(source(tmp_path, WARP))
    np.testing.assert_allclose(sums, x.reshape(2, 32).sum(1), rtol=1e-13)
    np.testing.assert_array_equal(swapped, x.reshape(32, 2)[:, ::-1].ravel())
    bits = (x.reshape(2, 32) > 0) @ (1 << np.arange(32, dtype=np.uint64))
    np.testing.assert_array_equal(votes, np.repeat(bits, 32))


def test_a_warp_operation_without_the_whole_warp_is_named(tmp_path):
    wrong = WARP.replace("swapped[t] =", "if (t % 2) swapped[t] =")
    with pytest.raises(LaunchError, match=r"lanes: a warp operation that 16 of 32 threads reach|two warp operations"):
        lanes(source(tmp_path, wrong))


def test_dynamic_shared_memory_is_as_large_as_the_launch_says(tmp_path):
    text = SUM.replace("__shared__ T part[256];", "TG_DYN_SHARED(T, part);")
    assert total(source(tmp_path, text), shared=4 * N) == [N * (N - 1) / 2] * len(ORDERS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": (1, 1 << 16)}, "a grid of"),
        ({"block": (1025,)}, "a block of"),
        ({"block": (32, 64)}, "a block of 2048 threads"),
        ({"block": (512,)}, "total: a block of 512 threads; at most 256 were declared"),
        ({"shared": 49153}, "49153 bytes of shared memory"),
        ({"args": 2}, "total: it takes 3 arguments and was given 2"),
        ({"last": np.int32(N)}, "total: argument 2 is 8 bytes wide, and was given as 4"),
        ({"last": N}, "argument 2 is int"),
        ({"last": np.arange(3)}, "argument 2 is ndarray; arrays of the device are wanted"),
    ],
)
def test_a_launch_that_no_gpu_takes_is_refused(tmp_path, change, words):
    args = host_array.zeros(N, np.float32), host_array.zeros(1, np.float32), change.pop("last", np.int64(N))
    args = args[: change.pop("args", 3)]
    asked = {"grid": (1,), "block": (N,), "args": args, **change}
    with pytest.raises(RuntimeError, match=words):
        launch(source(tmp_path, SUM), "total", T=np.float32, **asked)


def test_a_missing_compiler_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(host_build.CompilerMissing, match=r"apt-get install g\+\+"):
        host_build.compiler()


def test_what_does_not_compile_is_told_with_its_line(tmp_path):
    with pytest.raises(RuntimeError, match=r"planted\.cu:2"):
        launch(source(tmp_path, "\nTG_KERNEL(bad, 1, T* y) { y = 1.5; }"), "bad", (1,), (1,), (), T=np.float32)


@pytest.mark.parametrize("which", ["all", "apart"])
def test_blocks_that_add_to_one_place_are_named(tmp_path, which):
    """One after another they may well: on a GPU one of two sums is lost."""
    text = "TG_KERNEL(add, 32, const T* x, T* y) { if (threadIdx.x == 0) y[0] += x[blockIdx.x]; }"
    x, y = host_array.ones(2), host_array.zeros(1)
    with blocks(which):
        if which == "all":
            launch(source(tmp_path, text), "add", (2,), (32,), (x, y), T=np.float64)
            assert y.item() == 2
        else:
            with pytest.raises(LaunchError, match="add: blocks 0 and 1 write to one place"):
                launch(source(tmp_path, text), "add", (2,), (32,), (x, y), T=np.float64)


def test_a_block_reads_nothing_that_another_writes(tmp_path):
    text = "TG_KERNEL(chain, 32, T* y) { if (threadIdx.x == 0) y[blockIdx.x + 1] = y[blockIdx.x] + 1; }"
    y = host_array.zeros(4)
    with blocks("apart"):
        launch(source(tmp_path, text), "chain", (3,), (32,), (y,), T=np.float64)
    np.testing.assert_array_equal(y.get(), [0, 1, 1, 1])


# -- graphs ------------------------------------------------------------------------------------------------------------


def test_nothing_passes_to_the_host_in_a_graph():
    x = host_array.ones(2, np.float32)
    with pytest.raises(RuntimeError, match="item: the current stream is capturing"):
        Graph([lambda: x[:1].item()], host_array)
    ran = []
    graph = Graph([lambda: x.fill(2), lambda: host_stream.enqueue(lambda: ran.append(x.get()))], host_array)
    assert (x.get() == 1).all()
    assert not ran
    graph()
    assert (ran[0] == 2).all()


# -- sanitizers --------------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
import numpy as np
from tinygen.kernels._cuda import host_array
from tinygen.kernels._cuda.launcher import launch
from tinygen.kernels._cuda.source import Source

made = Source(sys.argv[1], "planted.cu", T=("float32", "float64"))
x = host_array.asarray(np.arange(-1, int(sys.argv[2]), dtype=np.float32))[1:]  # a view, 4 bytes into its memory
y = host_array.empty(1, np.float32)
launch(made, "total", (1,), (256,), (x, y, np.int64(256)), T=np.float32)
print(y.item())
"""


def watched(sanitizer, folder, text, entries=N):
    source(folder, text)
    before, environment = host_build.watched(sanitizer)
    command = [*before, sys.executable, "-c", PROGRAM, str(folder / "cuda.py"), str(entries)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.exhaustive
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_sanitizers_are_silent_on_a_right_kernel(tmp_path, sanitizer):
    done = watched(sanitizer, tmp_path, SUM)
    assert (done.returncode, done.stdout) == (0, f"{N * (N - 1) / 2}\n"), done.stderr


def test_thread_sanitizer_names_the_line_of_a_race(tmp_path):
    done = watched("thread", tmp_path, SUM.replace("        __syncthreads();\n", "", 1))
    assert done.returncode
    assert "data race" in done.stderr
    assert "planted.cu:8" in done.stderr


@pytest.mark.exhaustive
def test_thread_sanitizer_build_tells_a_divergent_barrier(tmp_path):
    done = watched("thread", tmp_path, SUM.replace("    __syncthreads();\n", "    if (t < 32) __syncthreads();\n", 1))
    assert done.returncode
    # threads that do not wait race with those that do: whichever is met first ends the program
    assert "total: a divergent barrier" in done.stderr or "data race" in done.stderr


@pytest.mark.exhaustive
def test_address_sanitizer_names_the_line_of_an_overrun(tmp_path):
    done = watched("address", tmp_path, SUM, entries=200)
    assert done.returncode
    assert "heap-buffer-overflow" in done.stderr
    assert "planted.cu:5" in done.stderr


def test_address_sanitizer_build_names_the_line_of_a_vector_that_is_not_aligned(tmp_path):
    quads = SUM.replace("= x[t];", "= reinterpret_cast<const Quad*>(x)[t / 4].of[t % 4];")
    done = watched("address", tmp_path, "struct __align__(16) Quad { T of[4]; };" + quads)
    assert done.returncode
    assert "planted.cu:5" in done.stderr
    assert "misaligned address" in done.stderr or "which requires 16 byte alignment" in done.stderr
