"""Model: what the trainer, the sampler and the evaluation need of every model, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..convert import as_tensor
from ..errors import ArgumentError, ShapeError, shape_text
from ..nn import Module, Parameter
from ..random import Key
from ..tensor import Array, Tensor


@dataclass(frozen=True)
class DataSpec:
    """What a model has to know of its data.

    kind    "image" (H, W, C), "table" (D,) or "points" (2,).
    levels  how many grey levels integer data have (2: binary); None for real numbers.
    """

    kind: str
    shape: tuple[int, ...]
    levels: int | None


class Objective(NamedTuple):
    """One thing to minimise: `loss(x, key=key)`, a scalar Tensor, over `parameters`, by an optimizer of its own."""

    parameters: list[Parameter]
    loss: Callable[..., Tensor]


class Model(Module):
    """Base of the models.

    Data go in as they are stored: integers 0..levels-1 for images, floats for tables and points.  Figures of
    `evaluate` are per example and in nats, the lower the better; `monitor` names the one that early stopping follows.
    """

    monitor: ClassVar[str | None] = None

    def __init__(self, shape: Any, *, key: Key):
        raise TypeError(f"{type(self).__name__} defines no __init__(shape, ..., key).")

    @classmethod
    def settings_for(cls, data: DataSpec) -> dict[str, Any]:
        """Constructor arguments (JSON values, the key excepted) that suit this kind of data.

        Raises ArgumentError for a kind that the model does not take.
        """
        raise ArgumentError(f"{cls.__name__}: no settings for {data.kind} data.")

    def initialize(self, x: Array) -> None:
        """Learn from the training data what is not trained, before the first step.  Most models have no such thing."""

    def objectives(self) -> dict[str, Objective]:
        """What one training step minimises, in this order."""
        return {"model": Objective(self.parameters(), self.loss)}

    def loss(self, x: Array, *, key: Key) -> Tensor:
        """The mean over the batch of what is minimised."""
        raise TypeError(f"{type(self).__name__} has no single loss; see objectives().")

    def evaluate(self, x: Array, *, key: Key) -> dict[str, Tensor]:
        """name -> (N,), per example; empty where the model has no likelihood."""
        return {}

    def sample(self, n: int, *, key: Key) -> Tensor:
        """n draws: images (n, H, W, C) with entries in [0, 1], or rows (n, D)."""
        raise TypeError(f"{type(self).__name__} cannot sample.")

    @property
    def dtype(self) -> np.dtype:
        """The floating type of the parameters, and of everything computed."""
        return self.parameters()[0].dtype

    @property
    def device(self) -> str:
        """Where the parameters live, and data and keys have to."""
        return self.parameters()[0].device

    def float_batch(self, x: Array | Tensor, shape: tuple[int, ...]) -> Tensor:
        """x as a Tensor of the model's dtype; ShapeError unless it is (N, *shape)."""
        x = as_tensor(x, op=type(self).__name__)
        if x.shape[1:] != shape:
            raise ShapeError(
                f"{type(self).__name__}: x is {shape_text(x.shape)}, the model takes (N,{shape_text(shape)[1:]}."
            )
        return x if x.dtype == self.dtype else x.astype(self.dtype)
