"""Compiles the text of a .cu file for the host and loads it, once for each text.

TINYGEN_CUDA_SANITIZER=address or thread builds with AddressSanitizer and UndefinedBehaviorSanitizer, or with
ThreadSanitizer and real threads.  Their libraries must be in the process from its start: `watched` says how.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from .._folder import caches, opened

BASE = (
    "-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Werror",
    "-Wno-unused-function", "-Wno-unknown-pragmas", "-Wno-maybe-uninitialized", "-Wno-tautological-compare",
)  # fmt: skip
SANITIZERS = {
    None: (),
    "address": (
        "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fsanitize-sections=tg_shared",
    ),
    "thread": ("-g1", "-fsanitize=thread", "-DTG_THREADS", "-pthread"),
}  # fmt: skip


class CompilerMissing(RuntimeError):
    """There is no C++ compiler on this machine."""


@cache
def sanitizer() -> str | None:
    """None, "address" or "thread": what this process builds with."""
    name = os.environ.get("TINYGEN_CUDA_SANITIZER") or None
    if name not in SANITIZERS:
        raise ValueError(f"TINYGEN_CUDA_SANITIZER is {name!r}. Set it to address or thread, or not at all.")
    return name


def compiler() -> str:
    """The path of g++.  Raises CompilerMissing, saying what to install."""
    found = shutil.which("g++")
    if found is None:
        raise CompilerMissing("the emulated CUDA device compiles with g++, which is missing: apt-get install g++")
    return found


def _run(command: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool, without the sanitizer that watches this process."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return subprocess.run(command, input=text, capture_output=True, text=True, env=environment)


@cache
def _version() -> str:
    return _run([compiler(), "--version"]).stdout


def folder() -> Path:
    """Where the compiled files are kept."""
    return caches() / "cuda-host"


@cache
def library(text: str) -> ctypes.PyDLL:
    """The text compiled and loaded.  Raises RuntimeError with the compiler's words where it refuses.

    The interpreter's lock is kept during a launch: there is one set of fibers for each library.
    """
    flags = (*BASE, *SANITIZERS[sanitizer()])
    name = hashlib.sha256("\0".join((_version(), *flags, text)).encode()).hexdigest()[:32]
    path = opened(folder()) / f"{name}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            made = Path(scratch) / path.name
            command = [compiler(), *flags, "-x", "c++", "-", "-o", str(made)]
            done = _run(command, text)
            if done.returncode:
                raise RuntimeError(f"g++ refuses a kernel:\n{done.stderr}")
            os.replace(made, path)  # whole, or not there, whoever else builds it now
    return ctypes.PyDLL(os.fspath(path))


def watched(which: str) -> tuple[list[str], dict[str, str]]:
    """(words before a command, environment) to run Python under the sanitizer `which`."""
    names = {"address": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}[which]
    found = [_run([compiler(), f"-print-file-name={name}"]).stdout.strip() for name in names]
    environment = {
        "TINYGEN_CUDA_SANITIZER": which,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own, at its end
        "TSAN_OPTIONS": "halt_on_error=1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    # ThreadSanitizer expects memory at the addresses that are usual without randomisation
    fixed = ["setarch", os.uname().machine, "-R"] if which == "thread" else []
    return [*fixed, "env", f"LD_PRELOAD={':'.join(found)}"], environment
