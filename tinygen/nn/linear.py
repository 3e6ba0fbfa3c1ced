"""The dense layer."""

from __future__ import annotations

from .. import ops
from ..random import Key
from ..tensor import Tensor
from . import init
from .module import Module, Parameter


class Linear(Module):
    """y = activation(x w + b): x (..., in_features) -> y (..., out_features), in one kernel.

    weight (in, out) and bias (out,) start uniform on ±1/sqrt(in), as in PyTorch.
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, activation: str | None = None, key: Key
    ):
        shape = (in_features, out_features)
        self.weight = Parameter(init.fan_in_uniform(shape, fan_in=in_features, key=key.fold_in("weight")))
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter(init.fan_in_uniform(shape[1:], fan_in=in_features, key=key.fold_in("bias")))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is not None:
            return ops.linear(x, self.weight, self.bias, activation=self.activation)
        y = ops.matmul(x, self.weight)
        return getattr(ops, self.activation)(y) if self.activation else y
