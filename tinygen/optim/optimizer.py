"""What all optimizers share: parameters in one block, a learning rate that may follow a schedule, clipping, state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .. import kernels
from ..errors import ArgumentError, CheckpointError, check, shape_text
from ..kernels._devices import beside, moved, to_numpy
from ..step import replayed, static
from ..tensor import Array, Tensor
from .block import Block
from .schedules import Schedule


class Optimizer:
    """Base of the optimizers; a subclass names its buffers and launches its kernel.

    lr: a number, or a schedule.  max_norm: if given, gradients are scaled down so that the Euclidean norm of all
    of them together is at most this (Pascanu, Mikolov and Bengio 2013); `norm` then holds the norm before.
    Parameters are moved into one block of memory when the optimizer is made (see `Block`), so make it after the model
    is complete, and load values into parameters in place.
    """

    def __init__(self, params: Iterable[Tensor], lr: float | Schedule, max_norm: float | None, **buffers: bool):
        name = type(self).__name__
        check(max_norm is None or max_norm > 0, ArgumentError, f"{name}: max_norm is {max_norm}. Pass a number > 0.")
        self.block = Block(name, params)
        self.max_norm = max_norm
        flat = self.block.flat
        xp = beside(flat)
        self._step: Array = xp.zeros(1, np.int64)
        self._lr: Array = xp.zeros(1, np.float64)
        self._scale: Array = xp.ones(1, np.float64)
        self._norm: Array = xp.zeros(1, np.float64)
        self.lr = lr
        # a buffer that the chosen options do not use is empty
        self._buffers = {b: xp.zeros(flat.size if used else 0, flat.dtype) for b, used in buffers.items()}

    def _launch(self, changed: tuple[Array, ...], gradients: list[Array]) -> None:
        """Update `changed`, the block of parameters and its buffers in the order named, in place."""
        raise NotImplementedError

    # -- updating -----------------------------------------------------------------------------------------------------

    def update(self, grads: Iterable[Tensor | Array]) -> None:
        """One update in place, with a gradient for each parameter in order.

        Raises ArgumentError, ShapeError or DTypeError for gradients that do not fit, and InPlaceError when a
        parameter's data has been replaced since.
        """
        self.block.guard()
        gradients = self.block.gradients(grads)
        schedule = static(f"{type(self).__name__}'s schedule", lambda: self._schedule)
        if schedule is not None:
            kernels.optim.schedule(self._step, function=schedule, out=self._lr)
        kernels.optim.advance(self._step, out=self._step)
        if static(f"{type(self).__name__}'s max_norm", lambda: self.max_norm) is not None:
            squares = kernels.optim.sum_squares(*gradients)
            kernels.optim.clip_scale(squares, max_norm=self.max_norm, out=(self._scale, self._norm))
        self._launch((self.block.flat, *self._buffers.values()), gradients)
        replayed(self.block.bump)

    def step(self) -> None:
        """One update with the `.grad` that loss.backward() left.  Raises ArgumentError where there is none."""
        self.update([p.grad for p in self.block.params])

    def zero_grad(self) -> None:
        """Forget the gradients, as before every loss.backward()."""
        for p in self.block.params:
            p.grad = None

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def lr(self) -> float:
        """The learning rate: of the latest update when it follows a schedule.  Assign a number or a schedule."""
        return float(to_numpy(self._lr)[0])

    @lr.setter
    def lr(self, value: float | Schedule) -> None:
        self._schedule = value if callable(value) else None
        rate = value(self.updates) if callable(value) else value
        if not rate >= 0:
            raise ArgumentError(f"{type(self).__name__}: lr is {rate}. Pass a number >= 0, or a function of the step.")
        self._lr[0] = rate

    @property
    def updates(self) -> int:
        """How many updates were done."""
        return int(to_numpy(self._step)[0])

    @property
    def norm(self) -> float:
        """Euclidean norm of all gradients at the latest update, before clipping; 0 unless max_norm was given."""
        return float(to_numpy(self._norm)[0])

    def to(self, device: str) -> Any:
        """Move the state, and the parameters with it, to "cpu" or "cuda"; returns self."""
        self.block.to(device)
        self._step, self._lr, self._scale, self._norm = (
            moved(a, device) for a in (self._step, self._lr, self._scale, self._norm)
        )
        self._buffers = {name: moved(a, device) for name, a in self._buffers.items()}
        return self

    def _state(self) -> dict[str, Array]:
        return {"step": self._step, "lr": self._lr, **{name: a for name, a in self._buffers.items() if a.size}}

    def state_dict(self) -> dict[str, np.ndarray]:
        """Everything that the next update depends on besides parameters and constructor arguments, as copies."""
        return {name: to_numpy(a).copy() for name, a in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what state_dict gave; all or nothing.  Raises CheckpointError when names, shapes or types differ."""
        mine = self._state()
        name = type(self).__name__
        if set(state) != set(mine):
            raise CheckpointError(f"{name}: the state has {sorted(state)}, this optimizer needs {sorted(mine)}.")
        for key, a in mine.items():
            b = np.asarray(state[key])
            if b.shape != a.shape or b.dtype != a.dtype:
                raise CheckpointError(
                    f"{name}: {key} is {b.dtype} {shape_text(b.shape)} in the state, "
                    f"here {a.dtype} {shape_text(a.shape)}. It belongs to other parameters."
                )
        for key, a in mine.items():
            a[...] = beside(a).asarray(state[key])
