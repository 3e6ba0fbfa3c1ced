"""What the engine asks of CuPy, by a stand-in of it: without a GPU, and without CuPy."""

from __future__ import annotations

import errno
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import tinygen as tg
from tinygen.kernels import _devices
from tinygen.kernels._cuda import gpu_build
from tinygen.kernels._cuda.compilers import OPTIONS
from tinygen.kernels._cuda.launcher import LaunchError, launch
from tinygen.kernels._cuda.source import Source

TEXT = "TG_KERNEL(twice, 64, const T* x, T* y, index_t n) { const int i = threadIdx.x; if (i < n) y[i] = 2 * x[i]; }"


@pytest.fixture
def cupy(monkeypatch, tmp_path):
    """The part of CuPy that a launch goes through; `compiled` and `launched` tell what was asked."""
    seen = SimpleNamespace(compiled=[], launched=[])

    class Module:
        def load(self, cubin):
            self.cubin = cubin

        def get_function(self, name):
            def function(grid, block, args, *, shared_mem):
                seen.launched.append((self.cubin, name, grid, block, args, shared_mem))

            return function

    def compile_using_nvrtc(text, options):
        seen.compiled.append((text, options))
        return b"cubin %d" % len(seen.compiled), None

    fake, cuda = ModuleType("cupy"), ModuleType("cupy.cuda")
    cuda.compiler, cuda.nvrtc = ModuleType("cupy.cuda.compiler"), ModuleType("cupy.cuda.nvrtc")
    cuda.compiler.compile_using_nvrtc, cuda.nvrtc.getVersion = compile_using_nvrtc, lambda: (13, 0)
    cuda.Module, cuda.Device, fake.cuda = Module, lambda: SimpleNamespace(compute_capability="90", id=0), cuda
    for module in (fake, cuda, cuda.compiler, cuda.nvrtc):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("TINYGEN_CACHE", str(tmp_path / "cache"))
    forget()
    yield seen
    forget()


def forget():
    gpu_build.function.cache_clear()
    gpu_build._module.cache_clear()


@pytest.fixture
def source(tmp_path):
    (tmp_path / "twice.cu").write_text(TEXT)
    return Source(str(tmp_path / "cuda.py"), "twice.cu", T=("float32", "float64"))


def array():
    """Something whose type is of CuPy."""
    return type("ndarray", (), {"__module__": "cupy"})()


def test_a_launch_hands_cupy_the_arguments_as_they_are(cupy, source):
    x, y, n, shape = array(), array(), np.int64(7), np.zeros((), [("n", "i4"), ("m", "i8")])
    for _ in range(2):
        launch(source, "twice", (3,), (64,), (x, y, n, shape, None), shared=16, T=np.float32)
    assert cupy.launched == [(b"cubin 1", "twice", (3, 1, 1), (64, 1, 1), (x, y, n, shape, None), 16)] * 2
    assert len(cupy.compiled) == 1


def test_denormals_are_kept_and_nothing_is_contracted(cupy, source):
    """RawModule would add -ftz=true; the options are those that the gate compiles with."""
    launch(source, "twice", (1,), (64,), (array(), array(), np.int64(7)), T=np.float32)
    ((text, options),) = cupy.compiled
    assert text == source.text(host=False, T=np.float32)
    assert options == OPTIONS == ("--std=c++17", "--fmad=false")


def test_compiled_code_is_kept_between_processes(cupy, source):
    for kind in (np.float32, np.float64, np.float32):
        forget()  # as a new process
        launch(source, "twice", (1,), (64,), (array(), array(), np.int64(7)), T=kind)
    assert len(cupy.compiled) == 2
    assert [cubin for cubin, *_ in cupy.launched] == [b"cubin 1", b"cubin 2", b"cubin 1"]
    assert sorted(path.suffix for path in gpu_build.folder().iterdir()) == [".cubin"] * 2


@pytest.mark.parametrize("damage", [lambda code: code[:-1], lambda code: b"x" + code[1:], lambda code: b""])
def test_damaged_code_is_compiled_anew(cupy, source, damage):
    for turn in range(3):
        forget()
        launch(source, "twice", (1,), (64,), (array(), array(), np.int64(7)), T=np.float32)
        (path,) = gpu_build.folder().iterdir()
        if turn == 0:
            path.write_bytes(damage(path.read_bytes()))
    assert [cubin for cubin, *_ in cupy.launched] == [b"cubin 1", b"cubin 2", b"cubin 2"]


def test_a_full_disk_is_told_and_leaves_nothing_behind(cupy, source, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        launch(source, "twice", (1,), (64,), (array(), array(), np.int64(7)), T=np.float32)
    assert len(cupy.launched) == 1
    assert not list(gpu_build.folder().iterdir())


def test_a_folder_that_takes_nothing_is_told_and_done_without(cupy, source, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYGEN_CACHE", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="nothing can be kept"):
        launch(source, "twice", (1,), (64,), (array(), array(), np.int64(7)), T=np.float32)
    assert len(cupy.launched) == 1


def test_a_geometry_that_no_gpu_takes_is_refused_before(cupy, source):
    with pytest.raises(LaunchError, match="a block of"):
        launch(source, "twice", (1,), (2048,), (array(), array(), np.int64(7)), T=np.float32)
    launch(source, "twice", (0,), (64,), (array(), array(), np.int64(7)), T=np.float32)
    assert not cupy.launched


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_arrays_arrive_in_the_order_of_c(shape):
    """CuPy, like the emulation, keeps an array that lies in Fortran's order as it is."""
    a = np.asfortranarray(np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape))
    with _devices.emulated():
        module, there = _devices.there("cuda"), _devices.moved(a, "cuda")
    assert module.asarray(a).strides == a.strides
    assert there.flags.c_contiguous
    np.testing.assert_array_equal(there.get(), a)


def test_memory_of_another_gpu_is_refused(cupy, monkeypatch):
    monkeypatch.setattr(_devices, "_missing", lambda: None)
    elsewhere = SimpleNamespace(__dlpack_device__=lambda: (2, 1))
    with pytest.raises(_devices.DeviceError, match="the array is on GPU 1, and tinygen uses GPU 0"):
        tg.from_dlpack(elsewhere)
