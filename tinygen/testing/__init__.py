"""Testing gradients and models: `gradcheck`, `laws`, and the registry of cases."""

from . import laws
from .gradcheck import GradientError, gradcheck
from .registry import Case, Draw, case, cases, error

__all__ = ["Case", "Draw", "GradientError", "case", "cases", "error", "gradcheck", "laws"]
