"""Clipping gradients by the norm of all of them together."""

from __future__ import annotations

from collections.abc import Iterable

from .. import kernels
from ..errors import ArgumentError, check
from ..tensor import Tensor


def clip_by_global_norm(grads: Iterable[Tensor], max_norm: float) -> tuple[list[Tensor], Tensor]:
    """(gradients times min(1, max_norm / norm), norm): norm is the Euclidean norm over all entries, float64 ().

    Pascanu, Mikolov and Bengio 2013.  A norm that is not finite makes every gradient NaN.  An optimizer's `max_norm=`
    does the same without a pass of its own.
    """
    check(max_norm > 0, ArgumentError, f"clip_by_global_norm: max_norm is {max_norm}. Pass a number > 0.")
    grads = list(grads)
    check(grads, ArgumentError, "clip_by_global_norm: the list of gradients is empty.")
    kinds = dict.fromkeys(g.dtype for g in grads)
    squares = [kernels.optim.sum_squares(*[g.data for g in grads if g.dtype == kind]) for kind in kinds]
    scale, norm = kernels.optim.clip_scale(*squares, max_norm=max_norm)
    return [Tensor(kernels.optim.scaled(g.data, scale)) for g in grads], Tensor(norm.reshape(()))
