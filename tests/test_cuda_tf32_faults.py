"""Faults planted in what tensor cores are given: the emulated device shows each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from cudaproducts import rounded
from test_cuda_tf32 import WARPS, drawn, planted, run, warps

import tinygen as tg
from tinygen.kernels._cuda import host_build
from tinygen.kernels._cuda.launcher import LaunchError
from tinygen.kernels._cuda.source import Source
from tinygen.testing import emulated_cuda

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated CUDA device needs g++")


@pytest.mark.parametrize(
    "right_wrong",
    [
        ("i == 0 || i == 2 ? group", "i == 0 || i == 1 ? group"),
        ("i < 2 ? member : member + 4;", "i % 2 ? member + 4 : member;"),
        ("a[row * 8 + column]", "a[row * 8 + (column ^ 1)]"),
        ("(i == 0 ? member : member + 4) * 8 + group", "group * 8 + (i == 0 ? member : member + 4)"),
        ("(i == 0 ? member : member + 4) * 8", "(member * 2 + i) * 8"),
        ("threadIdx.x % 32 / 4", "threadIdx.x % 8"),
        ("threadIdx.x % 4;", "threadIdx.x / 8 % 4;"),
        ("= c[(i < 2 ? group : group + 8)", "= c[(i % 2 ? group + 8 : group)"),
        ("member * 2 + (i & 1)] = sums", "member + (i & 1) * 4] = sums"),
    ],
)
def test_a_fragment_from_the_wrong_lane_shows(tmp_path, right_wrong):
    right, wrong = right_wrong
    assert right in WARPS
    got, expected = warps(planted(tmp_path, WARPS.replace(right, wrong)))
    assert (got != expected).any(axis=(1, 2)).all()  # in either warp


def test_an_operand_that_is_not_rounded_is_nan(tmp_path):
    made = planted(tmp_path, WARPS.replace("tg_tf32(a[row * 8 + column])", "a[row * 8 + column] + 0.1f"))
    assert np.isnan(warps(made)[0]).all()


def test_a_part_of_a_warp_multiplies_nothing(tmp_path):
    made = planted(tmp_path, WARPS.replace("tg_mma_tf32(sums", "if (threadIdx.x % 2) tg_mma_tf32(sums"))
    with pytest.raises(LaunchError, match="warps: a warp operation that 16 of 32 threads reach"):
        warps(made)


PROGRAM = """
import sys
from pathlib import Path
from test_cuda_tf32 import WARPS, planted, warps

got, expected = warps(planted(Path(sys.argv[1]), WARPS))
print((got == expected).all())
"""


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_sanitizers_are_silent(tmp_path, sanitizer):
    before, environment = host_build.watched(sanitizer)
    done = subprocess.run(
        [*before, sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True, text=True, cwd=os.path.dirname(__file__), env={**os.environ, **environment},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


TILE = {  # faults in tile.h: what stands there, and what might
    "rows of a warp": ("/ 64 * 32 + r / 2", "/ 64 * 16 + r / 2"),
    "rows of a product": ("r % 2 * 8", "r % 2 * 4"),
    "columns of a warp": ("/ 32 % 2 * 32 + c / 2", "/ 64 % 2 * 32 + c / 2"),
    "columns of a product": ("% 4 * 2 + c % 2", "% 4 + c % 2 * 4"),
    "halves of the left depth": ("left.at[deep + e / 2]", "left.at[deep + e % 2]"),
    "halves of the right depth": ("right.at[deep + e]", "right.at[deep]"),
    "two depths that differ": ("right.at[deep + e]", "right.at[deep + 1 - e]"),
    "the left rows": ("tile_row(2 * i + e % 2)", "tile_row(2 * i + e / 2)"),
    "the right columns": ("across + 8 * j", "across + 4 * j"),
    "the right warp": ("/ 32 % 2 * 32 + group", "/ 64 * 32 + group"),
    "where sums lie": ("below[2 * j] = part[2]", "below[2 * j] = part[1]"),
}


def with_a_fault(monkeypatch, right: str, wrong: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b by matmul.cu with something wrong in it."""
    module = sys.modules["tinygen.kernels.matmul.cuda"]
    faulty = Source(module.__file__, "matmul.cu", **module.SOURCE.types)
    assert right in module.SOURCE._body
    faulty._body = module.SOURCE._body.replace(right, wrong)
    monkeypatch.setattr(module, "SOURCE", faulty)
    with emulated_cuda(), tg.float32_matmul_precision("tf32"):
        return run("matmul.matmul", (a, b), {}, "cuda")[0]


@pytest.mark.parametrize("name", TILE)
def test_a_fault_in_the_tile_shows(name, monkeypatch):
    a, b = rounded(drawn(0, 64, 40)), rounded(drawn(1, 40, 64))
    assert not np.allclose(with_a_fault(monkeypatch, *TILE[name], a, b), a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_side_that_is_not_rounded_shows(side, monkeypatch):
    got = with_a_fault(monkeypatch, f"tg_tf32({side}", f"({side}", drawn(0, 64, 40), drawn(1, 40, 64))
    assert np.isnan(got).all()
