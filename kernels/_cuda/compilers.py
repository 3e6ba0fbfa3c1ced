"""NVIDIA's compilers, for a GPU that need not be there: nvcc, or else NVRTC, the same as a library.

NVRTC comes with CUDA, with CuPy's extra `ctk`, or alone: pip install nvidia-cuda-nvrtc-cu12 (100 MB).  Either tells of
each kernel what ptxas found: its registers, its shared memory, what it spills.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

# What every kernel is compiled with, here and on a GPU: nothing contracted that says two operations
OPTIONS = "--std=c++17", "--fmad=false"


class Refused(RuntimeError):
    """A compiler refuses a kernel or warns of it."""


class Compiler(Protocol):
    """What both are."""

    name: str

    def report(self, text: str, file: str, architecture: str) -> str:
        """Compile; return what is told of each kernel.  Raises Refused with its words; a warning counts as an error."""


class Nvcc:
    """The compiler as a program."""

    def __init__(self, path: str):
        self.path = path
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
        found = re.search(r"release (\S+),", said)
        self.name = f"nvcc {found[1] if found else '?'}"

    def report(self, text: str, file: str, architecture: str) -> str:
        """See Compiler."""
        command = [
            self.path, f"-arch={architecture}", "-cubin", *OPTIONS, "-Werror", "all-warnings", "-Xptxas", "-v",
            "-x", "cu", "-", "-o", os.devnull,
        ]  # fmt: skip
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        if done.returncode:
            raise Refused(f"{file} for {architecture}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr


class Nvrtc:
    """The compiler as a library."""

    def __init__(self, path: str | Path):
        if Path(path).is_absolute():
            # pip's wheels do not tell the library where its other half lies: loaded before, it is found
            for part in sorted(Path(path).parent.glob("libnvrtc-builtins.so*")):
                ctypes.CDLL(os.fspath(part))
        self._library = ctypes.CDLL(os.fspath(path))
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.name = f"NVRTC {major.value}.{minor.value}"

    def report(self, text: str, file: str, architecture: str) -> str:
        """See Compiler."""
        program = ctypes.c_void_p()
        options = [*OPTIONS, "--ptxas-options=-v", f"--gpu-architecture={architecture}"]
        encoded = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        if self._library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), file.encode(), 0, None, None):
            raise Refused(f"{file}: {self.name} takes no program")
        try:
            failed = self._library.nvrtcCompileProgram(program, len(options), encoded)
            size = ctypes.c_size_t()
            self._library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            self._library.nvrtcGetProgramLog(program, log)
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))
        said = log.value.decode()
        if failed or "warning" in said:
            raise Refused(f"{file} for {architecture}:\n{said}")
        return said


def _nvrtc_folders() -> list[Path]:
    """Where pip and CUDA's installer put the library."""
    packages = importlib.util.find_spec("nvidia")
    roots = [Path(place) for place in (packages.submodule_search_locations or ())] if packages else []
    toolkit = Path(os.environ.get("CUDA_PATH") or "/usr/local/cuda")
    return [*(root / name / "lib" for root in roots for name in ("cu13", "cuda_nvrtc")), toolkit / "lib64"]


def nvrtc() -> Nvrtc | None:
    """NVRTC, if it is installed."""
    for folder in _nvrtc_folders():
        for path in sorted(folder.glob("libnvrtc.so.*[0-9]"), key=lambda path: len(path.name)):
            return Nvrtc(path)
    for name in ("libnvrtc.so.13", "libnvrtc.so.12"):
        try:
            return Nvrtc(name)
        except OSError:
            continue
    return None


def nvcc() -> Nvcc | None:
    """nvcc, if it is installed."""
    path = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    return Nvcc(path) if path else None


def compiler() -> Compiler | None:
    """What there is to compile for a GPU with: nvcc, or else NVRTC, or nothing."""
    return nvcc() or nvrtc()
