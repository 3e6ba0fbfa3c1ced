"""Key: explicit randomness.  There is no global generator.

A key is 64 bits; a draw is a function of its key alone (Philox4x32-10, Salmon et al. 2011), so the same (seed, names,
step) gives the same bits on every device and any number of threads.  Never draw twice with one key: derive.
"""

from __future__ import annotations

import hashlib

import numpy as np

from . import kernels
from .errors import ArgumentError
from .kernels._devices import constant, device_of, moved, to_numpy
from .modes import touch
from .tensor import Array


class Key:
    """`Key(seed)`, 0 <= seed < 2**64; its bits are the uint32 array `data` of shape (2,)."""

    __slots__ = ("data",)

    def __init__(self, seed: int = 0):
        if not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 64:
            raise ArgumentError(f"Key: seed must be an integer in [0, 2**64), got {seed!r}.")
        self.data: Array = _words(int(seed))

    @classmethod
    def from_data(cls, data: Array) -> Key:
        """The key with these two words, e.g. from a checkpoint."""
        if getattr(data, "shape", None) != (2,) or data.dtype != np.uint32:
            raise ArgumentError(f"Key.from_data: expected uint32 of shape (2,), got {data!r}.")
        key = cls.__new__(cls)
        key.data = data
        return key

    def fold_in(self, data: int | str) -> Key:
        """A new key derived from this one and a name or number: `key.fold_in("encoder").fold_in(step)`."""
        if isinstance(data, str):
            data = int.from_bytes(hashlib.sha256(data.encode()).digest()[:8], "little")
        if not isinstance(data, int | np.integer) or not 0 <= data < 1 << 64:
            raise ArgumentError(f"fold_in: expected a name or an integer in [0, 2**64), got {data!r}.")
        return Key.from_data(kernels.random.fold_in(self.data, constant(self.data, _words(int(data)))))

    def split(self, n: int = 2) -> list[Key]:
        """n keys derived from this one."""
        return [self.fold_in(i) for i in range(n)]

    def to(self, device: str) -> Key:
        """The same key on "cpu" or "cuda", where its draws are then made.  Raises DeviceError where that is missing."""
        if device_of(self.data) == device:
            return self
        touch(f"to({device!r})")
        return Key.from_data(moved(self.data, device))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._bits() == other._bits()

    def _bits(self) -> int:
        low, high = to_numpy(self.data)
        return int(low) | int(high) << 32

    __hash__ = _bits

    def __repr__(self) -> str:
        return f"Key({self._bits() >> 32:08x}:{self._bits() & 0xFFFFFFFF:08x})"


def _words(value: int) -> Array:
    return np.array([value & 0xFFFFFFFF, value >> 32], np.uint32)
