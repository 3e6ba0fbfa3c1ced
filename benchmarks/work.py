"""The arithmetic that a training step cannot do without, counted on the model's twin.

Only products count (dense layers and convolutions), a multiply-add as two operations, what masks kill not at all: they
are all but a few percent of every step here.  A layer works once forward, once more for its weight's gradient, and
once more for its input's where something below it is trained.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.models import Model
from tinygen.random import Key
from tinygen.testing.twins import Twin

from .suite import Work


def training_step(model: Model, x: np.ndarray) -> Work:
    """Of one step of every objective on the batch x; the bytes are Adam's (it reads p, m, v, g and writes p, m, v)."""
    from torch import nn

    twin = Twin(model)
    halved = {layer for network in _networks_of_rows(twin.net) for layer in (network[0], network[-1])}
    total = 0.0

    def count(layer: Any, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal total
        passes = 1 + layer.weight.requires_grad * output.requires_grad + inputs[0].requires_grad * output.requires_grad
        total += passes * 2.0 * _products(layer, inputs[0], output) * (0.5 if layer in halved else 1)

    hooks = [
        layer.register_forward_hook(count)
        for layer in twin.net.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    ]
    for name in model.objectives():
        trained = {id(p) for p in twin.parameters(name)}
        for p in twin.net.parameters():
            p.requires_grad_(id(p) in trained)
        twin.loss(x, key=Key(0), objective=name)
    for hook in hooks:
        hook.remove()
    return Work(total, 28.0 * sum(p.size for o in model.objectives().values() for p in o.parameters))


def _networks_of_rows(net: Any) -> list[Any]:
    """Those of couplings on rows: the mask kills half of what the first layer sees and of what the last one says."""
    return [m.network for m in net.modules() if hasattr(m, "network") and m.mask.ndim == 1]


def _products(layer: Any, x: Any, y: Any) -> float:
    """Multiply-adds of one forward pass."""
    import torch

    weights = float(layer.live.sum()) if hasattr(layer, "live") else layer.weight.numel()
    if isinstance(layer, torch.nn.Linear):
        return weights * len(y)
    positions = x if isinstance(layer, torch.nn.ConvTranspose2d) else y  # every one of these meets every weight once
    return weights * positions.shape[0] * positions.shape[2] * positions.shape[3]
