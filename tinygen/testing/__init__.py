"""Testing gradients and models: `gradcheck`, its adapters, `laws`, and the registry of cases."""

from . import laws
from .adapters import from_autograd, from_jax, from_torch, to_torch
from .emulation import emulated_cuda
from .functions import from_numpy, from_parameters
from .gradcheck import gradcheck
from .registry import Case, Draw, case, cases, error
from .report import GradientError, Report

__all__ = [
    "Case", "Draw", "GradientError", "Report", "case", "cases", "emulated_cuda", "error", "from_autograd", "from_jax",
    "from_numpy", "from_parameters", "from_torch", "gradcheck", "laws", "to_torch",
]  # fmt: skip
