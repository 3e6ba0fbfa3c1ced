"""What this machine has for CUDA, told without CuPy where it can be: it may be CuPy that is missing."""

from __future__ import annotations

import ctypes
import importlib
from importlib import metadata
from typing import NamedTuple

from . import compilers, host_build

DRIVER = "libcuda.so.1"
OLDEST = 80  # compute capability times ten: kernels are compiled and tried from here on


class Gpu(NamedTuple):
    """A GPU, by its driver."""

    name: str
    capability: int  # compute capability times ten


class Found(NamedTuple):
    """What is there; a sentence where it is there and does not load."""

    driver: int | None  # the CUDA that it takes, times 1000: 12080 is 12.8
    gpus: tuple[Gpu, ...]
    cupy: dict[str, str]  # distributions of it -> version
    broken: str | None  # why CuPy, or the NVRTC that it compiles with, does not load
    gxx: str | None
    compiler: str | None  # nvcc or NVRTC


def survey() -> Found:
    """Look."""
    driver, gpus = _driver()
    cupy = {
        name: metadata.version(name)
        for name in {of.metadata["Name"] for of in metadata.distributions()}
        if name == "cupy" or (name or "").startswith("cupy-")
    }
    try:
        gxx: str | None = host_build.compiler()
    except host_build.CompilerMissing:
        gxx = None
    by = compilers.compiler()
    return Found(driver, gpus, cupy, _broken() if cupy else None, gxx, by.name if by else None)


def _driver() -> tuple[int | None, tuple[Gpu, ...]]:
    """The driver's CUDA and its GPUs; (None, ()) where there is no driver."""
    try:
        library = ctypes.CDLL(DRIVER)
    except OSError:
        return None, ()
    value, name, gpus = ctypes.c_int(), ctypes.create_string_buffer(128), []
    library.cuDriverGetVersion(ctypes.byref(value))
    version = value.value
    if library.cuInit(0) == 0 and library.cuDeviceGetCount(ctypes.byref(value)) == 0:
        for device in range(value.value):
            library.cuDeviceGetName(name, len(name), device)
            major, minor = ctypes.c_int(), ctypes.c_int()
            library.cuDeviceGetAttribute(ctypes.byref(major), 75, device)  # COMPUTE_CAPABILITY_MAJOR and MINOR
            library.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
            gpus.append(Gpu(name.value.decode(), 10 * major.value + minor.value))
    return version, tuple(gpus)


def _broken() -> str | None:
    """Why CuPy does not load."""
    try:
        importlib.import_module("cupy").cuda.nvrtc.getVersion()
    except Exception as error:  # whatever it is, it is what the user has to know
        return next(iter(str(error).strip().splitlines()), type(error).__name__)
    return None


def advice(found: Found) -> dict[str, str]:
    """A line for each part: what is there, or what mends it."""
    major = None if found.driver is None else found.driver // 1000
    extra = "cuda12" if major == 12 else "cuda13"
    return {
        "cuda driver": _of_driver(found),
        "cuda gpu": _of_gpus(found),
        "cuda cupy": _of_cupy(found, major, extra),
        "cuda emulated": found.gxx or "missing g++: apt-get install g++",
        "cuda gate": found.compiler or "missing nvcc or NVRTC (optional): pip install nvidia-cuda-nvrtc-cu12",
    }


def _of_driver(found: Found) -> str:
    if found.driver is None:
        return "missing libcuda.so.1, NVIDIA's driver: apt-get install nvidia-driver, where there is a GPU"
    told = f"CUDA {found.driver // 1000}.{found.driver % 1000 // 10}"
    return told if found.driver >= 12000 else f"{told} is too old, 12.0 is wanted: apt-get install nvidia-driver"


def _of_gpus(found: Found) -> str:
    if not found.gpus:
        return "none" if found.driver is None else "none that the driver sees: nvidia-smi tells why"
    said = []
    for gpu in found.gpus:
        old = f", not tried: {OLDEST / 10} or newer is wanted" if gpu.capability < OLDEST else ""
        said.append(f"{gpu.name}, compute capability {gpu.capability / 10}{old}")
    return "; ".join(said)


def _of_cupy(found: Found, major: int | None, extra: str) -> str:
    """CuPy must be one, of the driver's CUDA."""
    if not found.cupy:
        other = "" if major else ", or tinygen[cuda12] for a driver of CUDA 12"
        return f"missing CuPy: pip install 'tinygen[{extra}]'{other}"
    names = " ".join(sorted(found.cupy))
    mended = f"pip uninstall {names}; pip install 'tinygen[{extra}]'"
    if len(found.cupy) > 1:
        return f"{names} stand in each other's way: {mended}"
    ((name, version),) = found.cupy.items()
    if major and name.startswith("cupy-cuda") and int(name[9:11]) > major:
        return f"{name} {version} is of a newer CUDA than the driver's: {mended}"
    return f"{name} {version} does not load ({found.broken}): {mended}" if found.broken else f"{name} {version}"
