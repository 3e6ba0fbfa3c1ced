"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable

from .. import kernels
from ..errors import ArgumentError, check
from ..tensor import Array, Tensor
from .optimizer import Optimizer
from .schedules import Schedule


class RMSprop(Optimizer):
    """g divided by the root of the running average of g**2 (Hinton 2012, lecture 6e), as torch.optim.RMSprop.

    centered: the variance of g in place of its square (Graves 2013).  eps is added outside the root.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
    ):
        check(0 <= alpha < 1, ArgumentError, f"RMSprop: alpha is {alpha}. Pass a number in [0, 1).")
        check(eps >= 0, ArgumentError, f"RMSprop: eps is {eps}. Pass a number >= 0.")
        check(0 <= momentum < 1, ArgumentError, f"RMSprop: momentum is {momentum}. Pass a number in [0, 1).")
        check(weight_decay >= 0, ArgumentError, f"RMSprop: weight_decay is {weight_decay}. Pass a number >= 0.")
        self.options = {
            "alpha": alpha, "eps": eps, "momentum": momentum, "centered": centered, "weight_decay": weight_decay,
        }  # fmt: skip
        super().__init__(params, lr, max_norm, square=True, average=centered, momentum=momentum > 0)

    def _launch(self, changed: tuple[Array, ...], gradients: list[Array]) -> None:
        kernels.optim.rmsprop(*changed, self._scale, self._lr, *gradients, out=changed, **self.options)
