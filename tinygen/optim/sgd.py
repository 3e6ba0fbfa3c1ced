"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable

from .. import kernels
from ..errors import ArgumentError, check
from ..tensor import Array, Tensor
from .optimizer import Optimizer
from .schedules import Schedule


class SGD(Optimizer):
    """p -= lr * g; with momentum, the buffer b = momentum * b + g takes g's place (Nesterov: g + momentum * b).

    weight_decay adds weight_decay * p to g.  As torch.optim.SGD with dampening 0.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 1e-3,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
    ):
        check(0 <= momentum < 1, ArgumentError, f"SGD: momentum is {momentum}. Pass a number in [0, 1).")
        check(momentum or not nesterov, ArgumentError, "SGD: nesterov needs a momentum. Pass momentum > 0.")
        check(weight_decay >= 0, ArgumentError, f"SGD: weight_decay is {weight_decay}. Pass a number >= 0.")
        self.options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        super().__init__(params, lr, max_norm, momentum=momentum > 0)

    def _launch(self, changed: tuple[Array, ...], gradients: list[Array]) -> None:
        kernels.optim.sgd(*changed, self._scale, self._lr, *gradients, out=changed, **self.options)
