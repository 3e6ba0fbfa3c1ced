"""The ops: differentiable functions of Tensors, one file for each family of kernels.

Every public function of those files is found here under its own name: `ops.conv2d`, `ops.sum`.  No list is kept: what
a file declares is an op of the package.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ..primitive import Primitive, registry
from . import conv, coupling, elementwise, logprob, norm, random, reduce, shape
from . import matmul as _matmul  # the package's `matmul` is the op
from . import methods as _methods

if TYPE_CHECKING:
    from .matmul import matmul as matmul  # not the file of that name

    def __getattr__(name: str) -> Any: ...


def _public(module: Any) -> dict[str, Any]:
    """The ops, and the functions built of them, that a file declares itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isinstance(value, Primitive) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }


for _module in (elementwise, reduce, shape, _matmul, conv, norm, coupling, logprob, random):
    globals().update(_public(_module))

for _op in registry.values():
    _op.verify()  # a forgotten rule is an error of the import, not of somebody's gradient

_methods.install()
