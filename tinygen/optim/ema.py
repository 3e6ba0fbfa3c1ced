"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import kernels
from ..errors import ArgumentError, CheckpointError, check, shape_text
from ..kernels._devices import beside, moved, to_numpy
from ..tensor import Array, Tensor
from .block import Block


class EMA:
    """average = decay * average + (1 - decay) * parameters, starting from the parameters as they are now.

    Polyak and Juditsky 1992 in the exponential form.  Call `update()` after every optimizer step, and evaluate inside
    `with ema.swapped():`.  Give it the same list as the optimizer: both then share one block of parameters.
    """

    def __init__(self, params: Iterable[Tensor], decay: float = 0.999):
        check(0 <= decay < 1, ArgumentError, f"EMA: decay is {decay}. Pass a number in [0, 1).")
        self.decay = decay
        self.block = Block("EMA", params)
        self._average: Array = self.block.flat.copy()

    def update(self) -> None:
        """Take the parameters' present values into the average."""
        self.block.guard()
        kernels.optim.ema(self._average, self.block.flat, decay=self.decay, out=self._average)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the parameters hold the averages; afterwards their own values again."""
        self.block.verify()
        own = self.block.flat.copy()
        self._fill(self._average)
        try:
            yield
        finally:
            self._fill(own)

    def _fill(self, values: Array) -> None:
        self.block.flat[...] = values
        self.block.bump()

    def to(self, device: str) -> Any:
        """Move the average, and the parameters with it, to "cpu" or "cuda"; returns self."""
        self.block.to(device)
        self._average = moved(self._average, device)
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """The average, flat in the order of the parameters, as a copy."""
        return {"average": to_numpy(self._average).copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what state_dict gave.  Raises CheckpointError when it does not fit."""
        if set(state) != {"average"}:
            raise CheckpointError(f"EMA: the state has {sorted(state)}, it must have 'average' alone.")
        average, mine = np.asarray(state["average"]), self._average
        if average.shape != mine.shape or average.dtype != mine.dtype:
            raise CheckpointError(
                f"EMA: average is {average.dtype} {shape_text(average.shape)} in the state, "
                f"here {mine.dtype} {shape_text(mine.shape)}. It belongs to other parameters."
            )
        mine[...] = beside(mine).asarray(average)
