"""PyTorch twins of our models: the same weights, data and noise on the other side.

    twin = Twin(model)                            # twin.net is a torch.nn.Module with model's weights
    loss = twin.loss(x, key=key)                  # what model.loss(x, key=key) computes, as a torch scalar
    loss.backward()
    twin.gradients()                              # under our names, in our layout

A twin is written the way PyTorch users write that model (NCHW, torch.nn layers, masks multiplied on) and from the
paper, not from our code: where they agree, both are likely right.  Needs PyTorch (`pip install 'tinygen[bench]'`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...models import Model
from ...random import Key
from .layers import from_torch, load, tensors
from .nets import NETS

__all__ = ["Twin"]


class Twin:
    """`net`, a torch.nn.Module with the weights and the dtype that `model` has now, and its losses.

    It owns its weights: training one of the two leaves the other alone.  Raises ArgumentError for a model or a layer
    that has no twin.
    """

    def __init__(self, model: Model):
        import torch

        if type(model) not in NETS:
            raise ArgumentError(f"twins: {type(model).__name__} has no twin; known: {[m.__name__ for m in NETS]}.")
        self.model = model
        self.net, self._losses = NETS[type(model)](model)
        self.net.to(getattr(torch, model.dtype.name)).train(model.training)
        self.load(model.state_dict())

    def inputs(self, x: Any, *, key: Key, objective: str = "model") -> tuple[Any, ...]:
        """What the loss takes for this stored batch: prepared data and our model's draws, torch tensors in NCHW."""
        return self._losses[objective][1](x, key)

    def loss(self, x: Any, *, key: Key, objective: str = "model") -> Any:
        """The torch scalar that `model.objectives()[objective].loss(x, key=key)` should equal."""
        return self._losses[objective][0](*self.inputs(x, key=key, objective=objective))

    def parameters(self, objective: str = "model") -> list[Any]:
        """The torch parameters of this objective, in the order of ours: for torch.optim."""
        names = {id(p): name for name, p in self.model.named_parameters()}
        own = dict(self.net.named_parameters())
        return [own[names[id(p)]] for p in self.model.objectives()[objective].parameters]

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Copy a `state_dict()` of ours in; KeyError unless the names of both sides agree."""
        load(self.net, state)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Parameters and buffers under our names and in our layout, as `model.state_dict()` gives them."""
        return {name: from_torch(tensor) for name, tensor in tensors(self.net).items()}

    def gradients(self) -> dict[str, np.ndarray]:
        """The gradients that backward() left, likewise; parameters without one are left out."""
        return {name: from_torch(p.grad) for name, p in self.net.named_parameters() if p.grad is not None}
