"""What `tinygen doctor` says of CUDA, of machines that lack one thing or another."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from tinygen.cli import main
from tinygen.kernels import _devices
from tinygen.kernels._cuda import host_build, survey
from tinygen.kernels._cuda.survey import Found, Gpu, advice

READY = Found(
    13000, (Gpu("NVIDIA H100 80GB HBM3", 90),), {"cupy-cuda13x": "14.2.0"}, None, "/usr/bin/g++", "NVRTC 13.0"
)
OF_13, OF_12 = {"cupy-cuda13x": "14.2.0"}, {"cupy-cuda12x": "14.2.0"}

DRIVER = """
extern "C" int cuDriverGetVersion(int* v) { *v = 12080; return 0; }
extern "C" int cuInit(unsigned) { return FAILS; }
extern "C" int cuDeviceGetCount(int* n) { *n = 2; return 0; }
extern "C" int cuDeviceGetName(char* name, int, int device) { name[0] = 'A' + device; name[1] = 0; return 0; }
extern "C" int cuDeviceGetAttribute(int* v, int what, int device) { *v = what == 75 ? 7 + device : 5; return 0; }
"""


def test_what_is_there_is_named():
    assert advice(READY) == {
        "cuda driver": "CUDA 13.0",
        "cuda gpu": "NVIDIA H100 80GB HBM3, compute capability 9.0",
        "cuda cupy": "cupy-cuda13x 14.2.0",
        "cuda emulated": "/usr/bin/g++",
        "cuda gate": "NVRTC 13.0",
    }


@pytest.mark.parametrize(
    ("lacks", "row", "said"),
    [
        (
            {"driver": None, "gpus": ()},
            "driver",
            "missing libcuda.so.1, NVIDIA's driver: apt-get install nvidia-driver",
        ),
        ({"driver": None, "gpus": ()}, "gpu", "none"),
        ({"driver": 11040}, "driver", "CUDA 11.4 is too old, 12.0 is wanted: apt-get install nvidia-driver"),
        ({"gpus": ()}, "gpu", "none that the driver sees: nvidia-smi tells why"),
        ({"gpus": (Gpu("T4", 75),)}, "gpu", "T4, compute capability 7.5, not tried: 8.0 or newer is wanted"),
        ({"cupy": {}}, "cupy", "missing CuPy: pip install 'tinygen[cuda13]'"),
        ({"cupy": {}, "driver": 12080}, "cupy", "missing CuPy: pip install 'tinygen[cuda12]'"),
        ({"cupy": {}, "driver": None}, "cupy", "'tinygen[cuda13]', or tinygen[cuda12] for a driver of CUDA 12"),
        (
            {"driver": 12040},
            "cupy",
            "cupy-cuda13x 14.2.0 is of a newer CUDA than the driver's: pip uninstall cupy-cuda13x; "
            "pip install 'tinygen[cuda12]'",
        ),
        ({"cupy": OF_12}, "cupy", "cupy-cuda12x 14.2.0"),
        (
            {"cupy": OF_12 | OF_13},
            "cupy",
            "cupy-cuda12x cupy-cuda13x stand in each other's way: pip uninstall cupy-cuda12x cupy-cuda13x; pip install",
        ),
        (
            {"broken": "libnvrtc.so.13: no such file"},
            "cupy",
            "does not load (libnvrtc.so.13: no such file): pip uninstall cupy-cuda13x; pip install 'tinygen[cuda13]'",
        ),
        ({"gxx": None}, "emulated", "missing g++: apt-get install g++"),
        ({"compiler": None}, "gate", "missing nvcc or NVRTC (optional): pip install nvidia-cuda-nvrtc-cu12"),
    ],
)
def test_what_is_missing_is_told_with_what_mends_it(lacks, row, said):
    assert said in advice(READY._replace(**lacks))[f"cuda {row}"]


@pytest.mark.parametrize("fails", [0, 100])
def test_the_driver_is_asked(monkeypatch, tmp_path, fails):
    try:
        gxx = host_build.compiler()
    except host_build.CompilerMissing as error:
        pytest.skip(str(error))
    made = tmp_path / "libcuda.so.1"
    command = [gxx, "-shared", "-fPIC", f"-DFAILS={fails}", "-x", "c++", "-", "-o", str(made)]
    subprocess.run(command, input=DRIVER, text=True, check=True)
    monkeypatch.setattr(survey, "DRIVER", str(made))
    found = survey.survey()
    assert found.driver == 12080
    assert found.gpus == (() if fails else (Gpu("A", 75), Gpu("B", 85)))


def test_cupy_and_its_nvrtc_are_loaded(monkeypatch):
    def missing():
        raise ImportError("libnvrtc.so.13: cannot open\nshared object")

    for version, said in ((lambda: (13, 0), None), (missing, "libnvrtc.so.13: cannot open")):
        nvrtc = SimpleNamespace(getVersion=version)  # an attribute of cupy.cuda, no module of its own
        monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(nvrtc=nvrtc)))
        assert survey._broken() == said
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "cupy" in survey._broken()


def test_doctor_shows_it(monkeypatch, capsys):
    monkeypatch.setattr(survey, "survey", lambda: READY._replace(cupy={}))
    assert main(["doctor"]) == 0
    assert "cuda cupy       missing CuPy: pip install 'tinygen[cuda13]'\n" in capsys.readouterr()[0]


# -- without a GPU -----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_gpu(monkeypatch):
    """As on a machine without one, whatever this one has."""
    monkeypatch.delenv("TINYGEN_CUDA", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)
    _devices._missing.cache_clear()
    yield monkeypatch
    _devices._missing.cache_clear()


def test_device_cuda_is_refused_in_one_sentence(no_gpu, tmp_path, capsys):
    no_gpu.setattr(_devices.importlib.util, "find_spec", lambda name: None)
    assert main(["train", "vae", "--data", "digits", "--device", "cuda", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr()[1]
    assert said.startswith("tinygen: device: 'cuda' needs a GPU and CuPy: pip install 'tinygen[cuda13]'")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_cupy_that_does_not_load_is_told(no_gpu, capsys):
    no_gpu.setattr(_devices.importlib.util, "find_spec", lambda name: object())
    assert main(["check", "--device", "cuda"]) == 2
    assert "CuPy is installed and does not load" in capsys.readouterr()[1]
