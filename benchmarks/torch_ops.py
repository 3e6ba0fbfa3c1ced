"""The forms in which PyTorch computes an op of the registry.

An op has the form its case gives, on arrays in our layout.  Convolutions and dense layers, where the layout decides the
time, are instead written as a sceptic would: images and weights lie as PyTorch likes them (NCHW, or channels-last), are
converted before the clock starts, and a masked kernel also comes cropped to its live rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinygen.testing.registry import Case

from .peers.torch_forms import FORMS

Convert = Callable[[Any], Any]


class Form(NamedTuple):
    """One way to call an op: `put` brings our arrays into it, one function for each; `get` brings gradients back."""

    call: Callable[..., Any]
    put: Sequence[Convert]
    get: Sequence[Convert]
    put_out: Convert  # cotangents of the outputs
    get_out: Convert  # outputs, as arrays in our layout


def names(case: Case, params: dict[str, Any]) -> tuple[str, ...]:
    """Which of PyTorch's forms make sense for one case."""
    base = case.name.partition("/")[0]
    if not base.startswith("conv2d"):
        return ("torch",)
    cropped = params.get("mask") and base in ("conv2d", "conv2d_bias_act")
    return "torch", "torch channels-last", *(("torch cropped channels-last",) if cropped else ())


def form(name: str, case: Case, params: dict[str, Any]) -> Form:
    """One of them."""
    base = case.name.partition("/")[0]
    if base.startswith("conv2d"):
        how = FORMS[name]
        return _conv(base, params, channels_last=how.channels_last, crop=how.cropped)
    return _linear(params) if base == "linear" else _as_given(case, params)


def _as_given(case: Case, params: dict[str, Any]) -> Form:
    """The case's own, with our defaults for the parameters it asks for."""
    import torch

    assert case.torch is not None
    asked, ours = inspect.signature(case.torch).parameters, inspect.signature(case.op).parameters.values()
    defaults = {p.name: p.default for p in ours if p.default is not p.empty and p.name in asked}
    arrays = len(case.bench[0][0])
    call = partial(case.torch, torch, **defaults | params)
    return Form(call, [torch.tensor] * arrays, [_array] * arrays, torch.tensor, _array)


def _array(t: Any) -> np.ndarray:
    return t.detach().numpy()


def _linear(params: dict[str, Any]) -> Form:
    """x (N, I), weights as PyTorch keeps them (O, I)."""
    import torch

    then: dict[str | None, Convert] = {None: lambda y: y, "relu": torch.relu, "tanh": torch.tanh}
    activate = then[params.get("activation")]
    turned, back = (lambda w: torch.tensor(w.T.copy())), (lambda g: _array(g).T)
    return Form(
        lambda x, w, b: activate(torch.nn.functional.linear(x, w, b)),
        [torch.tensor, turned, torch.tensor], [_array, back, _array], torch.tensor, _array,
    )  # fmt: skip


def _conv(base: str, params: dict[str, Any], *, channels_last: bool, crop: bool) -> Form:
    """Images (N, C, H, W), weights (O, C, K, K') in either memory format; `crop` keeps the live rows of a mask."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    stride, pad, mask = params.get("stride", 1), params.get("pad", 0), params.get("mask")

    def image(a: np.ndarray) -> Any:
        return torch.tensor(a).permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def weights(a: np.ndarray) -> Any:
        kept = a[: len(a) // 2 + 1] if crop else a
        return torch.tensor(kept).permute(3, 2, 0, 1).contiguous(memory_format=layout)

    def from_image(t: Any) -> np.ndarray:
        return _array(t.permute(0, 2, 3, 1))

    def from_weights(t: Any) -> np.ndarray:
        a = _array(t.permute(2, 3, 1, 0))
        missing = a.shape[1] - a.shape[0]  # kernels of masks are square
        return np.pad(a, ((0, missing), (0, 0), (0, 0), (0, 0)))

    live: list[Any] = []  # the mask as a tensor, made from the first weights

    def masked(w: Any) -> Any:
        if mask is None:
            return w
        if not live:
            keep = torch.ones(w.shape[2:])
            row, centre = w.shape[3] // 2, w.shape[3] // 2
            keep[row, centre + (mask == "B") :] = 0
            keep[row + 1 :] = 0
            live.append(keep)
        return w * live[0]

    def forward(x: Any, w: Any, *bias: Any) -> Any:
        around: Any = pad
        if crop:  # no rows of the kernel below the centre, so none below the image
            x, around = torch.nn.functional.pad(x, (0, 0, pad, 0)), (0, pad)
        y = torch.nn.functional.conv2d(x, masked(w), *bias, stride=stride, padding=around)
        return torch.relu(y) if params.get("activation") == "relu" else y

    def adjoint(g: Any, w: Any) -> Any:
        rest = [(n + 2 * pad - w.shape[2]) % stride for n in params["x_hw"]]
        return torch.nn.functional.conv_transpose2d(g, masked(w), stride=stride, padding=pad, output_padding=rest)

    def weight_grad(x: Any, g: Any, *, with_bias: bool = False) -> Any:
        o = g.shape[1]
        w = torch.empty(o, x.shape[1], params["k"], params["k"]).contiguous(memory_format=layout)
        how: Any = [o] if with_bias else None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1
        _, g_w, g_b = torch.ops.aten.convolution_backward(g, x, w, *how, [False, True, with_bias])
        return (masked(g_w), g_b) if with_bias else masked(g_w)

    if base in ("conv2d_weight_grad", "conv2d_weight_bias_grad"):
        call = partial(weight_grad, with_bias=base == "conv2d_weight_bias_grad")
        put_out = lambda a: weights(a) if a.ndim == 4 else torch.tensor(a)
        get_out = lambda t: from_weights(t) if t.ndim == 4 else _array(t)
        return Form(call, [image, image], [from_image, from_image], put_out, get_out)
    call = partial(adjoint if base == "conv2d_input_grad" else forward)
    put, get = [image, weights, torch.tensor], [from_image, from_weights, _array]
    return Form(call, put, get, image, from_image)
