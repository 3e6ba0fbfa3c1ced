"""Layer 0: arrays in, arrays out.

One folder per family of kernels.  A family's `__init__.py` declares its kernels (name, arguments, shapes of the
outputs), `reference.py` specifies them in plain NumPy, `cpu.py` runs them through Numba.  Nothing here knows tinygen.
The folder is installed as `tinygen.kernels`; Numba is imported by the first launch, not by this import.
"""

from . import causal, conv, coupling, elementwise, logprob, matmul, norm, optim, random, reduce, shape
from ._kernel import DeviceError, Kernel, Spec, backend, observe, registry

__all__ = [
    "DeviceError", "Kernel", "Spec", "backend", "causal", "conv", "coupling", "elementwise", "logprob", "matmul",
    "norm", "observe", "optim", "random", "reduce", "registry", "shape",
]  # fmt: skip
