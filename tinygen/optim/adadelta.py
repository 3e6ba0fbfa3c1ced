"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable

from .. import kernels
from ..errors import ArgumentError, check
from ..tensor import Array, Tensor
from .optimizer import Optimizer
from .schedules import Schedule


class Adadelta(Optimizer):
    """Steps in proportion to the root mean square of earlier steps over that of gradients (Zeiler 2012)."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 1.0,
        *,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
    ):
        check(0 <= rho < 1, ArgumentError, f"Adadelta: rho is {rho}. Pass a number in [0, 1).")
        check(eps > 0, ArgumentError, f"Adadelta: eps is {eps}. Pass a number > 0, or the first step is zero for ever.")
        check(weight_decay >= 0, ArgumentError, f"Adadelta: weight_decay is {weight_decay}. Pass a number >= 0.")
        self.options = {"rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, lr, max_norm, square=True, delta=True)

    def _launch(self, changed: tuple[Array, ...], gradients: list[Array]) -> None:
        kernels.optim.adadelta(*changed, self._scale, self._lr, *gradients, out=changed, **self.options)
