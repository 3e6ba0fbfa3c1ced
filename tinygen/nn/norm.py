"""Normalisation layers over the last axis' channels."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..errors import ArgumentError
from ..random import Key
from ..step import static
from ..tensor import Tensor
from . import init
from .module import Buffer, Module, Parameter


class BatchNorm(Module):
    """Batch normalisation (Ioffe & Szegedy 2015) of (..., features) over all axes but the last.

    In training the batch's mean and biased variance normalise, and the running mean and unbiased variance move towards
    them by `momentum` (PyTorch's convention); in evaluation the running ones normalise.  `activation` is "relu" or
    "leaky_relu" with this slope, in the same pass over memory.
    """

    def __init__(
        self,
        features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        activation: str | None = None,
        slope: float = 0.01,
    ):
        if activation not in (None, "relu", "leaky_relu"):
            raise ArgumentError(f"BatchNorm: activation must be 'relu', 'leaky_relu' or None, got {activation!r}.")
        self.weight = Parameter(init.ones((features,)))
        self.bias = Parameter(init.zeros((features,)))
        self.running_mean = Buffer(init.zeros((features,)))
        self.running_var = Buffer(init.ones((features,)))
        self.eps, self.momentum = eps, momentum
        self.slope = {None: 1.0, "relu": 0.0, "leaky_relu": slope}[activation]  # what negative values are multiplied by

    def forward(self, x: Tensor) -> Tensor:
        if not static("BatchNorm's training mode", lambda: self.training):
            given = self.weight, self.bias, self.running_mean, self.running_var
            return ops.batch_norm_eval(x, *given, eps=self.eps, slope=self.slope)
        y, mean, var = ops.batch_norm(x, self.weight, self.bias, eps=self.eps, slope=self.slope)
        ops.update_running_statistics(
            self.running_mean, self.running_var, mean, var, momentum=self.momentum, rows=x.size // x.shape[-1]
        )
        return y


class LayerNorm(Module):
    """Layer normalisation (Ba et al. 2016) of (..., features) over the last axis."""

    def __init__(self, features: int, *, eps: float = 1e-5):
        self.weight = Parameter(init.ones((features,)))
        self.bias = Parameter(init.zeros((features,)))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return ops.layer_norm(x, self.weight, self.bias, eps=self.eps)


class WeightNormLinear(Module):
    """A dense layer whose weight is g * v / |v|, one length g per output (Salimans & Kingma 2016)."""

    def __init__(self, in_features: int, out_features: int, *, key: Key):
        self.direction = Parameter(init.normal((in_features, out_features), std=0.05, key=key))
        self.length = Parameter(np.sqrt((self.direction.data**2).sum(0)))
        self.bias = Parameter(init.zeros((out_features,)))

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x, ops.weight_norm(self.direction, self.length), self.bias)
