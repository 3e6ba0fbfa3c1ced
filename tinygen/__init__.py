"""tinygen: deep generative models from the metal up.

Hand-written kernels, a small differentiation core, whole models.  `import tinygen as tg`.
"""

from . import kernels, ops, nn, optim, distributions, models, data  # noqa: I001 - from the bottom up
from .autograd import grad
from .convert import as_tensor, from_dlpack, tensor
from .device import float32_matmul_precision, get_num_threads, set_num_threads
from .functional import value_and_grad
from .modes import detect_anomaly, enable_grad, no_grad
from .random import Key
from .step import step
from .tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "Key", "Tensor", "as_tensor", "data", "detect_anomaly", "distributions", "enable_grad",
    "float32_matmul_precision", "from_dlpack", "get_num_threads", "grad", "kernels", "models", "nn", "no_grad", "ops",
    "optim", "set_num_threads", "step", "tensor", "value_and_grad",
]  # fmt: skip
