"""How each of our layers maps to PyTorch: one table, and one rule for the layout of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from ... import nn
from ...errors import ArgumentError

# Axes of our parameters and buffers in PyTorch's order, by how many there are.
#   4: convolutions (K, K, C, O) -> (O, C, K, K).  A transposed one too: ours (K, K, out, in) is the weight of the
#      convolution it transposes, and PyTorch's (in, out, K, K) is as well.
#   3: masks of images (H, W, C) -> (C, H, W).     2: dense layers (in, out) -> (out, in).     1: as they are.
AXES = {4: (3, 2, 0, 1), 3: (2, 0, 1), 2: (1, 0), 1: (0,)}


def to_torch(value: np.ndarray) -> np.ndarray:
    """A parameter or buffer of ours in PyTorch's layout."""
    return np.ascontiguousarray(value.transpose(AXES[value.ndim]))


def from_torch(value: Any) -> np.ndarray:
    """A parameter, buffer or gradient of a twin in our layout."""
    array = value.detach().numpy()
    return np.ascontiguousarray(array.transpose(np.argsort(AXES[array.ndim])))


def data(x: Any) -> Any:
    """Rows (N, D) as they are, images (N, H, W, C) as (N, C, H, W); a torch tensor of its own memory."""
    import torch

    x = np.array(getattr(x, "data", x), copy=True)
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x)


def tensors(net: Any) -> dict[str, Any]:
    """The parameters and buffers that ours has too: PyTorch's batch normalisation also counts its batches."""
    return {name: t for name, t in net.state_dict().items() if not name.endswith("num_batches_tracked")}


def load(net: Any, state: Mapping[str, np.ndarray]) -> None:
    """Copy a `state_dict()` of ours into a twin; KeyError unless the names of both sides agree."""
    import torch

    own = tensors(net)
    if own.keys() != state.keys():
        raise KeyError(f"twins: only one side has {sorted(own.keys() ^ state.keys())}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(torch.from_numpy(to_torch(state[name])))


def convert(layer: nn.Module, more: dict[type, Callable[[Any], Any]] | None = None) -> Any:
    """The torch.nn.Module for one of our layers, weights not yet loaded; `more` has rows beside the table's."""
    make = {**table(), **(more or {})}.get(type(layer))
    if make is None:
        raise ArgumentError(f"twins: {type(layer).__name__} has no PyTorch counterpart in the table.")
    if type(layer) is nn.Sequential:
        return make(*(convert(inner, more) for inner in layer.layers))
    return make(layer)


@cache
def table() -> dict[type, Callable[..., Any]]:
    """Our layer's type -> a function from our layer to its twin.  Parameters have the same names on both sides."""
    import torch
    from torch.nn import functional

    def activation(ours: Any) -> Any:
        return getattr(functional, ours.activation) if ours.activation else torch.nn.Identity()

    class Linear(torch.nn.Linear):
        """With the activation that ours fuses."""

        def __init__(self, ours: nn.Linear):
            super().__init__(*ours.weight.shape, bias=ours.bias is not None)
            self.activation = activation(ours)

        def forward(self, x: Any) -> Any:
            return self.activation(super().forward(x))

    class Conv2d(torch.nn.Conv2d):
        """Likewise."""

        def __init__(self, ours: nn.Conv2d):
            super().__init__(*_channels(ours), **_geometry(ours))
            self.activation = activation(ours)

        def forward(self, x: Any) -> Any:
            return self.activation(super().forward(x))

    class MaskedConv2d(Conv2d):
        """The weight times a mask of zeros and ones, as every published PixelCNN has it."""

        def __init__(self, ours: nn.MaskedConv2d):
            super().__init__(ours)
            height, width, c, o = ours.weight.shape
            live = causal_mask(ours.geometry["mask"], height, width, c, o, ours.geometry["colors"])
            self.register_buffer("live", torch.from_numpy(to_torch(live)), persistent=False)

        def forward(self, x: Any) -> Any:
            return self.activation(self._conv_forward(x, self.weight * self.live, self.bias))

    class BatchNorm(torch.nn.BatchNorm2d):
        """Likewise; one expression for all activations: a slope of 1 is none, 0 is relu."""

        def __init__(self, ours: nn.BatchNorm):
            super().__init__(len(ours.weight), eps=ours.eps, momentum=ours.momentum)
            self.slope = ours.slope

        def forward(self, x: Any) -> Any:
            return functional.leaky_relu(super().forward(x), self.slope)

        def _check_input_dim(self, input: Any) -> None:
            """Rows are as good as images."""

    class LayerNorm(torch.nn.LayerNorm):
        """Over the channels, wherever they stand."""

        def __init__(self, ours: nn.LayerNorm):
            super().__init__(len(ours.weight), eps=ours.eps)

        def forward(self, x: Any) -> Any:
            return super().forward(x.movedim(1, -1)).movedim(-1, 1) if x.ndim == 4 else super().forward(x)

    class WeightNormLinear(torch.nn.Module):
        """Equation 2 of Salimans and Kingma 2016 (torch.nn.utils has its own names for the two parts)."""

        def __init__(self, ours: nn.WeightNormLinear):
            super().__init__()
            self.direction = torch.nn.Parameter(torch.empty(ours.direction.shape[::-1]))
            self.length = torch.nn.Parameter(torch.empty(ours.length.shape))
            self.bias = torch.nn.Parameter(torch.empty(ours.bias.shape))

        def forward(self, x: Any) -> Any:
            scale = self.length / torch.linalg.vector_norm(self.direction, dim=1)
            return functional.linear(x, scale[:, None] * self.direction, self.bias)

    class Flatten(torch.nn.Module):
        """Entries in our order, so that the dense layer behind has the same weight."""

        def forward(self, x: Any) -> Any:
            return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)

    class Reshape(torch.nn.Module):
        """Its inverse."""

        def __init__(self, ours: nn.Reshape):
            super().__init__()
            self.shape = ours.shape

        def forward(self, x: Any) -> Any:
            x = x.reshape(len(x), *self.shape)
            return x.permute(0, 3, 1, 2) if x.ndim == 4 else x

    def transposed(ours: nn.ConvTranspose2d) -> Any:
        height, width, o, c = ours.weight.shape
        return torch.nn.ConvTranspose2d(
            c, o, (height, width), stride=ours.stride, padding=ours.padding, output_padding=ours.output_padding,
            dilation=ours.dilation, bias=ours.bias is not None,
        )  # fmt: skip

    return {
        nn.Sequential: torch.nn.Sequential,
        nn.Linear: Linear,
        nn.Conv2d: Conv2d,
        nn.MaskedConv2d: MaskedConv2d,
        nn.ConvTranspose2d: transposed,
        nn.BatchNorm: BatchNorm,
        nn.LayerNorm: LayerNorm,
        nn.WeightNormLinear: WeightNormLinear,
        nn.MaxPool2d: lambda ours: torch.nn.MaxPool2d(ours.kernel_size, ours.stride),
        nn.AvgPool2d: lambda ours: torch.nn.AvgPool2d(ours.kernel_size, ours.stride),
        nn.Upsample: lambda ours: torch.nn.Upsample(scale_factor=ours.scale),
        nn.Flatten: lambda ours: Flatten(),
        nn.Reshape: Reshape,
        nn.ReLU: lambda ours: torch.nn.ReLU(),
        nn.LeakyReLU: lambda ours: torch.nn.LeakyReLU(ours.slope),
        nn.ELU: lambda ours: torch.nn.ELU(ours.alpha),
        nn.GELU: lambda ours: torch.nn.GELU(),
        nn.Tanh: lambda ours: torch.nn.Tanh(),
        nn.Sigmoid: lambda ours: torch.nn.Sigmoid(),
        nn.Softplus: lambda ours: torch.nn.Softplus(),
    }


def _channels(ours: nn.Conv2d) -> tuple[int, int]:
    return ours.weight.shape[2], ours.weight.shape[3]


def _geometry(ours: nn.Conv2d) -> dict[str, Any]:
    pad = ours.geometry["pad"]
    sides = [(p, p) if isinstance(p, int) else p for p in ((pad, pad) if isinstance(pad, int) else pad)]
    if any(before != after for before, after in sides):
        raise ArgumentError(f"twins: PyTorch's Conv2d pads both sides alike, ours has {sides}.")
    return dict(
        kernel_size=ours.weight.shape[:2], stride=ours.geometry["stride"], padding=tuple(p for p, _ in sides),
        dilation=ours.geometry["dilation"], bias=ours.bias is not None,
    )  # fmt: skip


def causal_mask(kind: str, height: int, width: int, c: int, o: int, colors: int) -> np.ndarray:
    """Which weights (K, K, C, O) may be other than zero (van den Oord et al. 2016, figure 2 and section 3.4).

    Rows above the centre and columns left of it; at the centre, with channels in `colors` equal groups in order, those
    from an earlier colour to a later one, and for mask "B" also within a colour.
    """
    live = np.zeros((height, width, c, o), np.float32)
    live[: height // 2] = 1
    live[height // 2, : width // 2] = 1
    source, target = np.arange(c) * colors // c, np.arange(o) * colors // o
    live[height // 2, width // 2] = (
        np.less_equal.outer(source, target) if kind == "B" else np.less.outer(source, target)
    )
    return live
