"""The program that does all that wants a GPU, tried on the emulated device: no line of it runs there first."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil

import pytest

from tinygen.kernels import _devices

if importlib.util.find_spec("tinygen.benchmarks") is None:
    pytest.skip("the benchmarks are not installed", allow_module_level=True)

from tinygen.benchmarks import gpu_check, gpu_stages

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated CUDA device needs g++")


@pytest.fixture
def emulated():
    with _devices.emulated():
        yield


def test_without_a_gpu_it_says_so_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(_devices, "_missing", lambda: "CuPy finds no CUDA GPU.")
    with _devices.emulated(False):
        assert gpu_check.main([]) == 2
    assert capsys.readouterr() == ("", "gpu_check: device: CuPy finds no CUDA GPU. Use device='cpu'.\n")


def test_stages_print_what_they_find_and_keep_it(tmp_path, capsys):
    path = tmp_path / "found.json"
    assert gpu_check.main(["--emulated", "--quick", "--only", "machine", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())
    said = capsys.readouterr()[0]
    assert said.endswith(f"{len(rows)} of {len(rows)} well\n")
    assert {"cuda driver", "cuda cupy", "compute-sanitizer", "took"} <= {row["what"] for row in rows}
    assert all(row["stage"] == "machine" and row["what"] in said for row in rows)


def test_a_stage_that_takes_too_long_is_stopped_and_one_that_fails_is_told(monkeypatch, capsys):
    monkeypatch.setitem(gpu_check.LIMITS, "machine", 1.2)
    monkeypatch.setenv("TINYGEN_CUDA_SANITIZER", "none of them")  # a stage cannot begin
    monkeypatch.setattr(gpu_check, "MINUTES", 1)
    assert gpu_check.main(["--emulated", "--quick", "--only", "ops", "machine"]) == 1
    said = capsys.readouterr()[0]
    assert "ops        WRONG exit code 1" in said
    assert "TINYGEN_CUDA_SANITIZER is 'none of them'" in said
    monkeypatch.setattr(gpu_check, "MINUTES", 0)
    assert gpu_check.main(["--emulated", "--only", "ops"]) == 1
    assert "WRONG not run" in capsys.readouterr()[0]


def test_a_stage_has_a_limit(monkeypatch, capsys):
    monkeypatch.setitem(gpu_check.LIMITS, "bits", 1.1)
    assert gpu_check.main(["--emulated", "--only", "bits"]) == 1  # not quick: on the emulated device it takes minutes
    assert "bits       WRONG stopped" in capsys.readouterr()[0]


@pytest.mark.parametrize("errors", [0, 3])
def test_a_sanitizer_is_asked_for_every_kernel(emulated, monkeypatch, tmp_path, errors):
    tool = tmp_path / "compute-sanitizer"
    lines = "COMPUTE-SANITIZER", "Race reported in sum", f"ERROR SUMMARY: {errors} errors"
    words = "\n".join(f'echo "========= {line}"' for line in lines)
    tool.write_text(f'#!/bin/sh\necho "$@" >"{tmp_path}/asked"\n{words}\nexit {9 if errors else 0}\n')
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    rows = list(gpu_stages.racecheck(quick=False))
    assert rows[0] == ("racecheck, every kernel", f"ERROR SUMMARY: {errors} errors", not errors)
    assert [row.said for row in rows[1:]] == (
        ["Race reported in sum", f"ERROR SUMMARY: {errors} errors"] if errors else []
    )
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:4] == ["--tool", "racecheck", "--error-exitcode", "9"]
    assert {"tests/cudacases.py", "conv2d", "optim.adam"} < set(asked)


@pytest.mark.exhaustive
def test_all_of_it_on_the_emulated_device(tmp_path, capsys):
    path = tmp_path / "found.json"
    code = gpu_check.main(["--emulated", "--quick", "--json", str(path)])
    said = capsys.readouterr()[0]
    rows = json.loads(path.read_text())
    assert code == 0, said
    assert {row["stage"] for row in rows} == set(gpu_check.LIMITS)
    assert [row["stage"] for row in rows if row["what"] == "took"] == list(gpu_check.LIMITS)
