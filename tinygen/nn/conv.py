"""Convolution layers on channels-last images (N, H, W, C)."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..errors import ArgumentError
from ..random import Key
from ..tensor import Tensor
from . import init
from .module import Module, Parameter

Pair = int | tuple[int, int]


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


class Conv2d(Module):
    """activation(cross-correlation + bias), in one kernel: (N, H, W, in_channels) -> (N, H', W', out_channels).

    padding is a number, a pair, or "same" (stride 1: the output is as large as the input).  weight (K, K, in, out) and
    bias (out,) start uniform on ±1/sqrt(K*K*in), as in PyTorch.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        *,
        stride: Pair = 1,
        padding: Any = 0,
        dilation: Pair = 1,
        bias: bool = True,
        activation: str | None = None,
        key: Key,
    ):
        size, spread = _pair(kernel_size), _pair(dilation)
        shape = (*size, in_channels, out_channels)
        fan_in = init.fans(shape)[0]
        self.weight = Parameter(init.fan_in_uniform(shape, fan_in=fan_in, key=key.fold_in("weight")))
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter(init.fan_in_uniform((out_channels,), fan_in=fan_in, key=key.fold_in("bias")))
        if padding == "same":
            if _pair(stride) != (1, 1):
                raise ArgumentError(f"Conv2d: padding='same' needs stride 1, got stride {stride}.")
            total = tuple(d * (k - 1) for k, d in zip(size, spread, strict=True))
            padding = tuple((t // 2, t - t // 2) for t in total)
        self.geometry: dict[str, Any] = dict(stride=stride, pad=padding, dilation=dilation)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is not None:
            if self.activation is None:
                return ops.conv2d_bias(x, self.weight, self.bias, **self.geometry)
            return ops.conv2d_bias_act(x, self.weight, self.bias, activation=self.activation, **self.geometry)
        y = ops.conv2d(x, self.weight, **self.geometry)
        return getattr(ops, self.activation)(y) if self.activation else y


class MaskedConv2d(Conv2d):
    """A causal convolution, same size out as in (van den Oord et al. 2016, section 3.1, figure 2).

    mask "A" excludes the centre pixel, "B" includes it.  With `colors` groups of channels, "A" lets a colour see the
    earlier colours of its own pixel, "B" also itself.  Dead taps are not computed, and their weights stay as drawn.
    """

    def __init__(
        self,
        mask: str,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        *,
        colors: int = 1,
        bias: bool = True,
        activation: str | None = None,
        key: Key,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, padding="same", bias=bias, activation=activation, key=key
        )
        self.geometry = {**self.geometry, "mask": mask, "colors": colors}


class ConvTranspose2d(Module):
    """The transposed convolution, the gradient of a Conv2d for its input: (N, H, W, in) -> (N, H', W', out).

    H' = (H - 1)*stride - 2*padding + dilation*(K - 1) + 1 + output_padding.  weight (K, K, out, in): that of the
    convolution it transposes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        dilation: Pair = 1,
        bias: bool = True,
        key: Key,
    ):
        self.kernel_size = _pair(kernel_size)
        self.stride, self.padding = _pair(stride), _pair(padding)
        self.output_padding, self.dilation = _pair(output_padding), _pair(dilation)
        if any(extra >= step for extra, step in zip(self.output_padding, self.stride, strict=True)):
            raise ArgumentError(f"ConvTranspose2d: output_padding {output_padding} must be less than stride {stride}.")
        shape = (*self.kernel_size, out_channels, in_channels)
        fan_in = init.fans(shape)[0]  # PyTorch's convention for transposed layers: the convolution's fan_in, K*K*out
        self.weight = Parameter(init.fan_in_uniform(shape, fan_in=fan_in, key=key.fold_in("weight")))
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter(init.fan_in_uniform((out_channels,), fan_in=fan_in, key=key.fold_in("bias")))

    def forward(self, x: Tensor) -> Tensor:
        size = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1 + extra
            for n, s, p, d, k, extra in zip(
                x.shape[1:3],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                self.output_padding,
                strict=True,
            )
        )
        y = ops.conv2d_input_grad(
            x, self.weight, x_hw=size, stride=self.stride, pad=self.padding, dilation=self.dilation
        )
        return y if self.bias is None else y + self.bias
