"""Every case on the emulated device under sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cudacases import cheapest

from tinygen.kernels._cuda import host_build

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated CUDA device needs g++")


def under(sanitizer: str, *names: str) -> subprocess.CompletedProcess[str]:
    before, environment = host_build.watched(sanitizer)
    program = Path(__file__).parent / "cudacases.py"
    return subprocess.run(
        [*before, sys.executable, str(program), *names],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_address_sanitizer_is_silent_on_a_case():
    done = under("address", "sum", "random.bits 5")
    assert (done.returncode, done.stdout) == (0, "6 ran\n"), done.stderr


@pytest.mark.exhaustive
def test_address_sanitizer_is_silent_on_all():
    done = under("address")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" ran\n")


@pytest.mark.exhaustive
def test_thread_sanitizer_is_silent_on_every_kernel():
    done = under("thread", *cheapest(), "matmul.matmul 1 700 1 in tf32")  # a real thread for every entry takes its time
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" ran\n")
