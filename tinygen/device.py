"""Where arrays live, and moving them."""

from __future__ import annotations

from contextlib import AbstractContextManager

from .errors import ArgumentError
from .kernels import _devices, _precision
from .modes import touch
from .primitive import primitive
from .tensor import Tensor


def check_device(device: str) -> None:
    """Raise ArgumentError for a name that is no device, and DeviceError, saying what is missing, for one not here."""
    if device not in ("cpu", "cuda"):
        raise ArgumentError(f"device: {device!r} is neither 'cpu' nor 'cuda'.")
    _devices.there(device)


@primitive
def transfer(x, *, source, device):
    """A copy of x, which lives on `source`, on `device`.  x any shape -> y the same; the gradient goes back."""
    return x.copy() if device == source else _devices.moved(x, device)


transfer.defvjp(x=lambda g, source, device: transfer(g, source=device, device=source))


def to_device(x: Tensor, device: str) -> Tensor:
    """The tensor on `device` (itself when it is there already); differentiable.

    Raises ArgumentError and DeviceError as `check_device` does.
    """
    check_device(device)
    if device == x.device:
        return x
    touch(f"to({device!r})")
    return transfer(x, source=x.device, device=device)


def float32_matmul_precision(precision: str) -> AbstractContextManager[None]:
    """`with float32_matmul_precision("tf32"):` matrix products and convolutions of float32 use a GPU's tensor cores.

    Each operand is then rounded to TF32, 10 bits of mantissa, and the products are added in float32: an entry is off by
    at most 2^-10 (1 + 2^-12) of the sum of its terms' magnitudes, beside what adding them costs.  Biases, activations
    and bias gradients are not rounded.  Equal shapes give equal bits, but another generation of GPUs may give others.

    It holds for what is launched inside the block, gradients included where they are taken there.  "float32", what
    holds outside, is exact in its operands.  Nothing changes for float64, on the CPU, or in the sampling of PixelCNN,
    which then no longer has the bits of the network.  Raises ArgumentError for another name.
    """
    if precision not in _precision.PRECISIONS:
        raise ArgumentError(f"float32_matmul_precision: {precision!r} is neither 'float32' nor 'tf32'.")
    return _precision.multiplying_in(precision)


def get_num_threads() -> int:
    """How many threads of the CPU share a launch: all there are (NUMBA_NUM_THREADS says how many), until fewer are set.

    No result depends on it.
    """
    from .kernels._pool import get_num_threads

    return get_num_threads()


def set_num_threads(n: int) -> None:
    """Let n threads of the CPU share each launch from now on, in the whole process.

    Raises ArgumentError where n is not from 1 to the number that the process started with.
    """
    from .kernels._pool import set_num_threads

    try:
        set_num_threads(n)
    except ValueError as error:
        raise ArgumentError(str(error)) from None


def cpu_facts() -> dict[str, str]:
    """Threads, vector width and the cache of compiled kernels, for people."""
    import numba

    from .kernels._cache import cache_folder, report
    from .kernels._simd import BYTES

    kept = report()
    damaged = f", {kept.damaged} damaged (they are compiled anew when used)" if kept.damaged else ""
    others = f", {kept.others_size / 1e6:.0f} MB of other versions" if kept.others else ""
    return {
        "threads": f"{get_num_threads()} of {numba.config.NUMBA_NUM_THREADS}",
        "vectors": f"{8 * BYTES} bits",
        "kernel cache": f"{cache_folder()} ({kept.entries} functions, {kept.size / 1e6:.1f} MB{damaged}{others})",
    }


def cuda_facts() -> dict[str, str]:
    """What there is for CUDA, and what mends what is missing, for people."""
    from .kernels._cuda.survey import advice, survey

    return advice(survey())
