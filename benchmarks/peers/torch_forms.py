"""Training steps in PyTorch, from as people write them to as fast as it can be told to make them.

torch                 the twin of `tinygen.testing`, torch.optim.Adam with its defaults, eager
fused                 Adam fused, distributions without checks of their arguments, no gradients that nobody reads
channels-last         all of that, weights and images in memory as (N, H, W, C)
compile               all of that, the loss through torch.compile: forward and backward
cropped               masked convolutions and couplings keep only their live weights (see `cropped.py`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygen.models import Model, RealNVP
from tinygen.random import Key
from tinygen.testing.twins import Twin


@dataclass(frozen=True)
class Form:
    """What is done beyond the way people write it."""

    tuned: bool = True  # fused Adam, and no work whose result is not used
    channels_last: bool = False
    compiled: bool = False
    cropped: bool = False


FORMS = {
    "torch": Form(tuned=False),
    "torch fused": Form(),
    "torch compile": Form(compiled=True),
    "torch channels-last": Form(channels_last=True),
    "torch channels-last compile": Form(channels_last=True, compiled=True),
    "torch cropped": Form(cropped=True),
    "torch cropped channels-last": Form(cropped=True, channels_last=True),
    "torch cropped compile": Form(cropped=True, compiled=True),
    "torch cropped channels-last compile": Form(cropped=True, channels_last=True, compiled=True),
}


class TorchPeer:
    """A training step of `model`'s twin on the batch x; see `Peer`."""

    def __init__(self, form: Form, model: Model, x: np.ndarray, rate: float, threads: int, device: str = "cpu"):
        import torch

        torch.set_num_threads(threads)
        self.form = form
        twin = Twin(model)
        self.net = network(twin, form).to(device)
        self.device = device
        self.losses: dict[str, Any] = {
            name: self.net.loss if name == "model" else getattr(self.net, f"{name}_loss") for name in model.objectives()
        }
        if form.compiled:
            self.losses = {name: torch.compile(loss, dynamic=False) for name, loss in self.losses.items()}
        if form.cropped:  # of a model with one objective, all of its weights
            self.groups = {"model": list(self.net.parameters())}
        else:
            self.groups = {name: twin.parameters(name) for name in self.losses}
        options = {"fused": True} if form.tuned else {}
        self.adams = {name: torch.optim.Adam(group, lr=rate, **options) for name, group in self.groups.items()}
        self.inputs = {name: self._laid_out(twin.inputs(x, key=Key(0), objective=name)) for name in self.losses}
        self.draw = torch.rand_like if isinstance(model, RealNVP) else torch.randn_like

    def _laid_out(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        import torch

        order = torch.channels_last if self.form.channels_last else torch.contiguous_format
        moved = (a.to(self.device) for a in inputs)
        return tuple(a.contiguous(memory_format=order) if a.ndim == 4 else a for a in moved)

    def feed(self, inputs: Mapping[str, tuple[Any, ...]]) -> list[float]:
        """One step on these inputs, noise included; the loss of each objective."""
        return [loss.item() for loss in self._train({name: self._laid_out(a) for name, a in inputs.items()})]

    def __call__(self) -> Any:
        """One step on the batch, with fresh noise."""
        return self._train({name: self._fresh(name, given) for name, given in self.inputs.items()})

    def _fresh(self, name: str, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """The batch as it is, noise drawn anew: an objective takes the batch first, but a generator noise alone."""
        kept = 0 if name == "generator" else 1
        return (*given[:kept], *(self.draw(a) for a in given[kept:]))

    def _train(self, inputs: Mapping[str, tuple[Any, ...]]) -> list[Any]:
        done = []
        for name, loss in self.losses.items():
            if self.form.tuned and len(self.groups) > 1:  # else a generator's step computes the discriminator's too
                for other, group in self.groups.items():
                    for p in group:
                        p.requires_grad_(other == name)
            self.adams[name].zero_grad()
            value = loss(*inputs[name])
            value.backward()
            self.adams[name].step()
            done.append(value.detach())
        return done


def network(twin: Twin, form: Form) -> Any:
    """The twin's net as the form wants it."""
    import torch

    net = twin.net
    if form.tuned:  # a switch for the whole process: once thrown, the form as people write it gains by it too
        torch.distributions.Distribution.set_default_validate_args(False)
    if form.cropped:
        from .cropped import crop

        crop(net, pad=form.channels_last)
    if form.channels_last:
        net.to(memory_format=torch.channels_last)
    return net
