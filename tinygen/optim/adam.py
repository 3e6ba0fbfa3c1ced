"""Adam, AdamW and Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import kernels
from ..errors import ArgumentError, check
from ..tensor import Array, Tensor
from .optimizer import Optimizer
from .schedules import Schedule


def _options(name: str, betas: tuple[float, float], eps: float, weight_decay: float) -> dict[str, Any]:
    if len(betas) != 2 or not all(0 <= b < 1 for b in betas):
        raise ArgumentError(f"{name}: betas are {betas}. Pass two numbers in [0, 1).")
    check(eps >= 0, ArgumentError, f"{name}: eps is {eps}. Pass a number >= 0.")
    check(weight_decay >= 0, ArgumentError, f"{name}: weight_decay is {weight_decay}. Pass a number >= 0.")
    return {"beta1": betas[0], "beta2": betas[1], "eps": eps, "weight_decay": weight_decay}


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1); weight_decay adds weight_decay * p to the gradient.

    m and v are running averages of g and g**2; p -= lr * m_hat / (sqrt(v_hat) + eps), the hats undo their start at 0.
    """

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
    ):
        self.options = _options(type(self).__name__, betas, eps, weight_decay)
        super().__init__(params, lr, max_norm, m=True, v=True)

    def _launch(self, changed: tuple[Array, ...], gradients: list[Array]) -> None:
        numbers = self._scale, self._lr, self._step
        kernels.optim.adam(*changed, *numbers, *gradients, out=changed, decoupled=self._decoupled, **self.options)


class AdamW(Adam):
    """Adam with decoupled weight decay, p *= 1 - lr * weight_decay (Loshchilov and Hutter 2019, algorithm 2)."""

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        max_norm: float | None = None,
    ):
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay, max_norm=max_norm)


class Adamax(Optimizer):
    """Adam with the largest recent |g| in place of sqrt(v) (Kingma and Ba 2015, algorithm 2)."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 2e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
    ):
        self.options = _options("Adamax", betas, eps, weight_decay)
        super().__init__(params, lr, max_norm, m=True, u=True)

    def _launch(self, changed: tuple[Array, ...], gradients: list[Array]) -> None:
        numbers = self._scale, self._lr, self._step
        kernels.optim.adamax(*changed, *numbers, *gradients, out=changed, **self.options)
