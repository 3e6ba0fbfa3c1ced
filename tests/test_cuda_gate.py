"""Kernels compiled for GPUs without one: by nvcc, or by NVRTC where that is missing, against the table."""

from __future__ import annotations

import os

import pytest

from tinygen.kernels._cuda import compilers, gate
from tinygen.kernels._cuda.source import Source

FINE = "TG_KERNEL(fine, 64, const T* x, T* y) { y[threadIdx.x] = 2 * x[threadIdx.x]; }"
SPILLS = """
TG_KERNEL(spills, 1024, const T* x, T* y) {
    T kept[200];
#pragma unroll
    for (int i = 0; i < 200; i++) kept[i] = x[i * 1024 + threadIdx.x];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 200; i++) y[i * 1024 + threadIdx.x] = kept[199 - i] * kept[i];
}
"""


def found(which):
    by = {"nvcc": compilers.nvcc, "nvrtc": compilers.nvrtc}[which]()
    if by is None:
        pytest.skip(f"NO {which.upper()} HERE: it is not tried. Install CUDA, or pip install nvidia-cuda-nvrtc-cu12.")
    return by


@pytest.fixture(params=["nvcc", "nvrtc"])
def by(request):
    return found(request.param)


def source(folder, text):
    (folder / "tried.cu").write_text(text)
    return Source(str(folder / "cuda.py"), "tried.cu", T=("float32", "float64"))


def test_registers_and_shared_memory_are_told(by, tmp_path):
    text = FINE.replace("y[", "__shared__ T part[64]; part[threadIdx.x] = x[0]; __syncthreads(); y[9] = part[3]; y[", 1)
    (taken,) = gate.measure(source(tmp_path, text), {"T": "float32"}, by).values()
    assert 4 <= taken[0] <= 32
    assert taken[1] == 256


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FINE.replace("y[", "z["), "is undefined"),
        (FINE.replace("y[", "int unused = 3; y[", 1), "never referenced"),
        (SPILLS, "spills .* for sm_80 spills registers"),
    ],
)
def test_errors_warnings_and_spills_are_refused(by, tmp_path, text, words):
    with pytest.raises(compilers.Refused, match=words):
        gate.measure(source(tmp_path, text), {"T": "float32"}, by)


def test_nvrtc_stands_in_where_nvcc_is_missing(monkeypatch):
    nvrtc = found("nvrtc")
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(compilers, "nvcc", lambda: None)
    by = compilers.compiler()
    assert isinstance(by, compilers.Nvrtc)
    assert by.name == nvrtc.name


def test_without_a_compiler_the_gate_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(gate, "compiler", lambda: None)
    assert gate.main([]) == 2
    assert "pip install nvidia-cuda-nvrtc-cu12" in capsys.readouterr().out


def test_what_grows_is_told():
    then = {"a.cu": {"f": [32, 128], "g": [20, 0]}, "b.cu": {}}
    now = {"a.cu": {"f": [36, 128], "h": [8, 0]}}
    assert gate.grown(now, then) == [
        "b.cu is in the table and not among the sources",
        "f (a.cu) grew from [32, 128] to [36, 128] (registers, shared memory)",
        "g (a.cu) is gone",
        "h (a.cu) is new: 8 registers, 0 bytes of shared memory",
    ]
    assert not gate.grown({"a.cu": {"f": [36, 128]}}, {"a.cu": {"f": [32, 128]}}, slack=4)
    assert gate.grown({"a.cu": {"f": [32, 132]}}, {"a.cu": {"f": [32, 128]}}, slack=4)


@pytest.mark.exhaustive
def test_kernels_compile_for_gpus_and_take_no_more_than_the_table_says(capsys):
    if compilers.compiler() is None:
        pytest.skip("NO NVCC AND NO NVRTC: no kernel is compiled for a GPU here. pip install nvidia-cuda-nvrtc-cu12")
    assert gate.main([]) == 0, capsys.readouterr().out
