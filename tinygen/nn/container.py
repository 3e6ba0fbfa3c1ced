"""Layers in a row, and the one layer that draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from .. import ops
from ..errors import ArgumentError
from ..random import Key
from ..step import static
from ..tensor import Tensor
from .module import Module


class Sequential(Module):
    """Layers in a row.  A `key` is handed, derived by position, to those that draw."""

    takes_key: ClassVar[bool] = True

    def __init__(self, *layers: Module):
        self.layers = list(layers)

    def children(self) -> Iterator[tuple[str, Module]]:
        yield from ((str(i), layer) for i, layer in enumerate(self.layers))

    def forward(self, x: Tensor, *, key: Key | None = None) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(x, key=key.fold_in(i) if key is not None else None) if layer.takes_key else layer(x)
        return x

    def __getitem__(self, i: int) -> Module:
        return self.layers[i]

    def __len__(self) -> int:
        return len(self.layers)


class Dropout(Module):
    """In training, zero each entry with probability `rate` and scale the rest by 1/(1 - rate); else the identity."""

    takes_key: ClassVar[bool] = True

    def __init__(self, rate: float = 0.5):
        if not 0 <= rate < 1:
            raise ArgumentError(f"Dropout: rate must be in [0, 1), got {rate}.")
        self.rate = rate

    def forward(self, x: Tensor, *, key: Key | None = None) -> Tensor:
        if not static("Dropout's training mode", lambda: self.training) or self.rate == 0:
            return x
        if key is None:
            raise ArgumentError("Dropout: training needs a key. Call the model with key=..., or model.eval().")
        return ops.dropout(x, rate=self.rate, key=key)
