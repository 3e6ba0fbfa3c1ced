"""The other side of every comparison: PyTorch and JAX in each form a sceptic would write.

A peer makes whole training steps (every objective's loss, gradients, Adam) of a model with our weights.  `FORMS` names
them all; a benchmark lists those that make sense for its model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from shutil import which
from typing import Any, NamedTuple, Protocol

import numpy as np

from tinygen.models import Model

from .torch_forms import FORMS as TORCH

__all__ = [
    "DENSE",
    "FORMS",
    "HALVED",
    "IMAGES",
    "MASKED",
    "TORCH",
    "Inputs",
    "Peer",
    "Side",
    "make",
    "reason_missing",
    "without_optimizer",
]

Inputs = Mapping[str, tuple[Any, ...]]  # objective -> what its loss takes, as `Twin.inputs` gives it

FORMS = (*TORCH, "jax")
DENSE = ("torch", "torch fused", "torch compile", "jax")
IMAGES = (*DENSE, "torch channels-last", "torch channels-last compile")
HALVED = (*DENSE, "torch cropped", "torch cropped compile")
MASKED = (
    *IMAGES, "torch cropped", "torch cropped channels-last", "torch cropped compile",
    "torch cropped channels-last compile",
)  # fmt: skip


def without_optimizer(forms: tuple[str, ...]) -> tuple[str, ...]:
    """The forms that differ where nothing is trained."""
    return tuple(form for form in forms if form != "torch fused")


class Peer(Protocol):
    """A training step of one model on one batch."""

    def feed(self, inputs: Inputs) -> list[float]:
        """One step on these inputs, noise included; the loss of each objective."""

    def __call__(self) -> Any:
        """One step on the batch with noise of its own; returns when it is done."""


class Side(NamedTuple):
    """A peer of an evaluation or a sampler: with our draw of the noise, to be compared, and its own, to be timed."""

    fed: Callable[[], Any]
    fresh: Callable[[], Any]


def reason_missing(form: str, *, quick: bool = False) -> str | None:
    """Why this form cannot run here, or is left out of a quick look; None where it runs."""
    if form == "jax":
        return None if find_spec("jax") else "JAX is not installed"
    if not find_spec("torch"):
        return "PyTorch is not installed"
    compiled = form in TORCH and TORCH[form].compiled
    if compiled and quick:
        return "torch.compile takes too long for a quick look"
    if compiled and not any(map(which, filter(None, (os.environ.get("CXX"), "g++", "clang++")))):
        return "torch.compile needs a C++ compiler"
    return None


def make(form: str, model: Model, x: np.ndarray, *, rate: float, threads: int) -> Peer:
    """The peer of this form, with the weights that `model` has now, on the batch x; `rate` is Adam's."""
    if form == "jax":
        from .jax_form import JaxPeer

        return JaxPeer(model, x, rate)
    from .torch_forms import TorchPeer

    return TorchPeer(TORCH[form], model, x, rate, threads)
