"""One contiguous block of memory that holds a list of parameters, so that an update is a few long loops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import kernels
from ..errors import ArgumentError, DTypeError, InPlaceError, ShapeError, shape_text
from ..kernels._devices import address, device_of, moved
from ..step import guard, static
from ..tensor import Array, Tensor


class Block:
    """Parameters living one after the other in the flat array `flat`.

    Making one moves the parameters: each `data` becomes a view of `flat`, unless together they already are such views,
    as they are when an optimizer or an average was made for the same list before.
    """

    def __init__(self, owner: str, params: Iterable[Tensor]):
        self.owner = owner
        self.params = list(params)
        self._check()
        found = _shared_memory(self.params)
        self.flat: Array = self._move() if found is None else found
        self._homes = [p.data for p in self.params]

    def _check(self) -> None:
        owner = self.owner
        if not self.params:
            raise ArgumentError(f"{owner}: the list of parameters is empty.")
        if len({id(p) for p in self.params}) < len(self.params):
            raise ArgumentError(f"{owner}: a parameter is listed twice. Pass each one once.")
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor) or not p.requires_grad or not p.is_leaf:
                raise ArgumentError(f"{owner}: params[{i}] is not a parameter. Pass leaves made with requires_grad_().")
        if len({p.dtype for p in self.params}) > 1:
            kinds = sorted({str(p.dtype) for p in self.params})
            raise DTypeError(f"{owner}: parameters of {' and '.join(kinds)} in one list. Use one optimizer for each.")

    def _move(self) -> Array:
        flat = kernels.optim.gather(*[p.data for p in self.params])
        self._share(flat)
        return flat

    def _share(self, flat: Array) -> None:
        start = 0
        for p in self.params:
            p.data = flat[start : start + p.size].reshape(p.shape)
            start += p.size

    def to(self, device: str) -> None:
        """Move the block and the parameters in it, or follow them where another block of the same list moved them."""
        found = _shared_memory(self.params)
        if found is None or device_of(found) != device:
            self.verify()
            found = moved(self.flat, device)
            self._share(found)
        self.flat = found
        self._homes = [p.data for p in self.params]

    def verify(self) -> None:
        """Raise InPlaceError if a parameter's data has been replaced by another array."""
        for i, (p, home) in enumerate(zip(self.params, self._homes, strict=True)):
            if p.data is not home:
                raise InPlaceError(
                    f"{self.owner}: the data of params[{i}] {shape_text(p.shape)} is no longer the array "
                    f"that is updated. Load values in place with p.copy_(...), or make {self.owner} anew."
                )

    def guard(self) -> None:
        """Verify now, and before each replay of a step that is recorded now, which also refuses a block that moved."""
        guard(self.verify)
        static(f"the address of {self.owner}'s parameters", lambda: address(self.flat))

    def bump(self) -> None:
        """Record that all parameters changed."""
        for p in self.params:
            p.bump()

    def gradients(self, grads: Iterable[Any]) -> list[Array]:
        """The gradient of each parameter, checked.  Raises ArgumentError, ShapeError or DTypeError."""
        arrays = [g.data if isinstance(g, Tensor) else g for g in grads]
        if len(arrays) != len(self.params):
            raise ArgumentError(f"{self.owner}: {len(arrays)} gradients for {len(self.params)} parameters.")
        for i, (p, g) in enumerate(zip(self.params, arrays, strict=True)):
            if g is None:
                raise ArgumentError(
                    f"{self.owner}: params[{i}] {shape_text(p.shape)} has no gradient. "
                    f"Call loss.backward() first, and list only parameters that the loss uses."
                )
            if g.shape != p.shape:
                raise ShapeError(
                    f"{self.owner}: the gradient of params[{i}] has shape {shape_text(g.shape)}, "
                    f"the parameter {shape_text(p.shape)}."
                )
            if g.dtype != p.dtype:
                raise DTypeError(f"{self.owner}: the gradient of params[{i}] is {g.dtype}, the parameter {p.dtype}.")
        return arrays


def _shared_memory(params: list[Tensor]) -> Array | None:
    """The flat array of which the parameters' data are adjacent views in order, if there is one."""
    base = params[0].data.base
    if base is None or base.ndim != 1 or not base.flags.c_contiguous:
        return None
    start = end = address(params[0].data)
    for p in params:
        if p.data.base is not base or not p.data.flags.c_contiguous or (p.size and address(p.data) != end):
            return None
        end += p.data.nbytes
    first = (start - address(base)) // base.itemsize
    return base[first : first + (end - start) // base.itemsize]
