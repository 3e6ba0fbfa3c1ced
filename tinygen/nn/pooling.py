"""Pooling and upsampling layers on (N, H, W, C)."""

from __future__ import annotations

from .. import ops
from ..tensor import Tensor
from .module import Module


class MaxPool2d(Module):
    """The largest entry of each window of `kernel_size`, every `stride` (default: the window's size)."""

    def __init__(self, kernel_size: int, stride: int | None = None):
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool2d(x, size=self.kernel_size, stride=self.stride)


class AvgPool2d(Module):
    """The mean of each window of `kernel_size`, every `stride` (default: the window's size)."""

    def __init__(self, kernel_size: int, stride: int | None = None):
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool2d(x, size=self.kernel_size, stride=self.stride)


class Upsample(Module):
    """Every pixel becomes a scale x scale block (nearest neighbour)."""

    def __init__(self, scale: int = 2):
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return ops.upsample_nearest(x, scale=self.scale)


class Reshape(Module):
    """(N, ...) -> (N, *shape): between dense layers and images."""

    def __init__(self, *shape: int):
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return ops.reshape(x, shape=(x.shape[0], *self.shape))


class Flatten(Module):
    """(N, ...) -> (N, everything else)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.reshape(x, shape=(x.shape[0], -1 if x.shape[0] else int(x.size)))
