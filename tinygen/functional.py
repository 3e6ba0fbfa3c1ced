"""Differentiating functions, where `autograd` differentiates tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .autograd import grad, leaf
from .modes import enable_grad
from .tensor import Tensor


def value_and_grad(f: Callable[..., Tensor], argnums: int | Sequence[int] = 0, *, create_graph: bool = False) -> Any:
    """A function that returns (f(*args), gradients with respect to args[argnums]); f returns a scalar Tensor."""

    def wrapped(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        which = [argnums] if isinstance(argnums, int) else list(argnums)
        inputs = list(args)
        for i in which:
            x = inputs[i] if isinstance(inputs[i], Tensor) else Tensor(np.asarray(inputs[i]))
            inputs[i] = x if x.requires_grad else leaf(x.detach())
        with enable_grad():
            y = f(*inputs, **kwargs)
        gradients = grad(y, [inputs[i] for i in which], create_graph=create_graph)
        return y, gradients[0] if isinstance(argnums, int) else gradients

    return wrapped
