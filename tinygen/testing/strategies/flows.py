"""Masks of couplings, and invertible maps built of simple layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ... import ops
from ...tensor import Tensor
from .arrays import seeds


@dataclass(frozen=True)
class CouplingMask:
    """b of this shape, 1 where a coupling keeps its input; `flipped` swaps what is kept and what is moved.

    kind: "alternating" (entry by entry), "checkerboard" (over rows and columns), "channels" (the first half kept),
    "random" (by the seed).  At least one entry is kept and one is moved wherever there are two.
    """

    kind: str
    shape: tuple[int, ...]
    flipped: bool = False
    seed: int = 0

    @property
    def array(self) -> np.ndarray:
        """b, float64."""
        size = int(np.prod(self.shape))
        if self.kind == "random":
            order = np.random.Generator(np.random.Philox(self.seed)).permutation(size)
            kept = order < 1 + self.seed % max(size - 1, 1)
        elif self.kind == "checkerboard":
            kept = np.indices(self.shape)[:2].sum(0).ravel() % 2 == 0
        elif self.kind == "channels":
            kept = (np.indices(self.shape)[-1] < (self.shape[-1] + 1) // 2).ravel()
        else:
            kept = np.arange(size) % 2 == 0
        return (kept != self.flipped).reshape(self.shape).astype(np.float64)


def coupling_masks(shape: tuple[int, ...]) -> st.SearchStrategy[CouplingMask]:
    """Masks for rows (D,) or images (H, W, C)."""
    kinds = ["alternating", "random"]
    kinds += ["checkerboard"] if len(shape) == 3 and shape[0] * shape[1] > 1 else []
    kinds += ["channels"] if shape[-1] > 1 else []
    return st.builds(CouplingMask, st.sampled_from(kinds), st.just(shape), st.booleans(), seeds())


def _normals(seed: int, *shape: int) -> np.ndarray:
    return 0.7 * np.random.Generator(np.random.Philox(seed)).standard_normal(shape)


@dataclass(frozen=True)
class Scaling:
    """z = x exp(s) + t."""

    dims: int
    seed: int

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = _normals(self.seed, 2, self.dims)
        return x * np.exp(s) + t, ops.sum(x * 0 + s, axis=1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        s, t = _normals(self.seed, 2, self.dims)
        return (z - t) * np.exp(-s), ops.sum(z * 0 - s, axis=1)


@dataclass(frozen=True)
class Shuffle:
    """The entries in another order."""

    dims: int
    seed: int

    def _matrix(self) -> np.ndarray:
        return np.eye(self.dims)[np.random.Generator(np.random.Philox(self.seed)).permutation(self.dims)]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return ops.matmul(x, self._matrix()), ops.sum(x * 0, axis=1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return ops.matmul(z, self._matrix().T), ops.sum(z * 0, axis=1)


@dataclass(frozen=True)
class Coupling:
    """z = b x + (1 - b) (x exp(s) + t), with s and t one dense layer of tanh of b x (RealNVP, equation 9)."""

    mask: CouplingMask
    seed: int

    def _network(self, kept: Tensor) -> tuple[Tensor, Tensor, np.ndarray]:
        b = self.mask.array
        weights = _normals(self.seed, 2, len(b), len(b))
        s, t = (ops.tanh(ops.matmul(kept * b, w)) * (1 - b) for w in weights)
        return s, t, b

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t, b = self._network(x)
        return x * b + (x * ops.exp(s) + t) * (1 - b), ops.sum(s, axis=1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        s, t, b = self._network(z)
        return z * b + (z - t) * ops.exp(-s) * (1 - b), -ops.sum(s, axis=1)


@dataclass(frozen=True)
class Flow:
    """Layers one after another: forward(x (N, D)) -> (z, log_det (N,)), inverse(z) -> (x, log_det)."""

    dims: int
    layers: tuple[Scaling | Shuffle | Coupling, ...]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = ops.sum(x * 0, axis=1)
        for layer in self.layers:
            x, added = layer.forward(x)
            log_det = log_det + added
        return x, log_det

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        log_det = ops.sum(z * 0, axis=1)
        for layer in reversed(self.layers):
            z, added = layer.inverse(z)
            log_det = log_det + added
        return z, log_det


@st.composite
def flows(draw: Any, max_dims: int = 4, max_layers: int = 3) -> Flow:
    """Invertible maps of rows (N, D), float64; the identity of one dimension is the simplest."""
    dims = draw(st.integers(1, max_dims))
    layer = st.one_of(
        st.builds(Scaling, st.just(dims), seeds()),
        st.builds(Shuffle, st.just(dims), seeds()),
        st.builds(Coupling, coupling_masks((dims,)), seeds()),
    )
    return Flow(dims, tuple(draw(st.lists(layer, max_size=max_layers))))
