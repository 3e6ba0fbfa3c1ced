"""RealNVP (Dinh, Sohl-Dickstein & Bengio 2017, "Density estimation using Real NVP").

    log p(x) = log N(z; 0, 1) + log|det dz/dx|,   z = f(x), an invertible map of affine couplings

A coupling with mask b (1 = kept) leaves b*x as it is and moves the rest by functions of it (eq. 9):

    y = b*x + (1 - b)*(x * exp(s(b*x)) + t(b*x)),   log|det| = sum (1 - b)*s
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .. import nn, ops
from ..convert import zeros
from ..errors import ArgumentError
from ..modes import no_grad
from ..random import Key
from ..tensor import Array, Tensor
from .model import DataSpec, Model
from .preprocess import dequantize, from_logit, log_volume, to_logit


class Coupling(nn.Module):
    """One affine coupling; `network` maps b*x (N, ..., C) to (N, ..., 2C), the raw s and t.

    s = scale * tanh(raw s), with a learned scale for each channel (section 4.1), keeps exp(s) in bounds.
    """

    def __init__(self, mask: Array, network: nn.Module):
        self.mask = nn.Buffer(np.asarray(mask, np.float32))
        self.scale = nn.Parameter(np.ones(mask.shape[-1:], np.float32))
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x -> (y, log|det dy/dx| (N,))."""
        return ops.masked_affine_coupling(x, self.network(x * self.mask), self.scale, self.mask)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """y -> (x, log|det dx/dy| (N,)); the network sees what it saw before, for y and x agree where b keeps them."""
        return ops.masked_affine_coupling_inverse(y, self.network(y * self.mask), self.scale, self.mask)


def coupled(coupling: Coupling, kept: Tensor, moved: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """A coupling of `dense_network` whose mask keeps every second entry from `side` on, without what that mask kills.

    kept (N, K), moved (N, M), the entries apart -> (what becomes of `moved`, log|det| (N,)), as `Coupling.forward` on
    them together: half of its first and last products are left out.
    """
    first, second, last = coupling.network.layers  # type: ignore[attr-defined]
    weights = ops.live_weights(first.weight, last.weight, last.bias, coupling.scale, kept=side)
    h = ops.linear(kept, weights[0], first.bias, activation=first.activation)
    h = ops.linear(second(h), weights[1], weights[2])
    none_kept = zeros(moved.shape[1:], moved.dtype, [moved])
    return ops.masked_affine_coupling(moved, h, weights[3], none_kept)


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3."""

    def __init__(self, width: int, *, key: Key):
        self.a = nn.Conv2d(width, width, 3, padding="same", activation="relu", key=key.fold_in("a"))
        self.b = nn.Conv2d(width, width, 3, padding="same", key=key.fold_in("b"))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(ops.relu(x)))


def dense_network(dims: int, hidden: int, *, key: Key) -> nn.Module:
    """D -> hidden -> hidden -> 2D with relu; the last layer starts at zero, so the coupling at the identity."""
    last = nn.Linear(hidden, 2 * dims, key=key.fold_in("last"))
    return nn.Sequential(
        nn.Linear(dims, hidden, activation="relu", key=key.fold_in("first")),
        nn.Linear(hidden, hidden, activation="relu", key=key.fold_in("second")),
        _zeroed(last),
    )


def residual_network(channels: int, width: int, blocks: int, *, key: Key) -> nn.Module:
    """C -> width, residual blocks, -> 2C, all 3x3; the last layer starts at zero."""
    last = nn.Conv2d(width, 2 * channels, 3, padding="same", key=key.fold_in("last"))
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding="same", key=key.fold_in("first")),
        *(Residual(width, key=key.fold_in("block").fold_in(i)) for i in range(blocks)),
        nn.ReLU(),
        _zeroed(last),
    )


def _zeroed(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    layer.weight.data[...] = 0
    if layer.bias is not None:
        layer.bias.data[...] = 0
    return layer


def checkerboard(height: int, width: int, channels: int, flip: bool) -> Array:
    """Figure 3, left: 1 where row + column is even (odd when flipped), alike in all channels."""
    even = (np.add.outer(np.arange(height), np.arange(width)) % 2 == 0) != flip
    return np.repeat(even[:, :, None], channels, axis=2)


def channelwise(height: int, width: int, channels: int, flip: bool) -> Array:
    """Figure 3, right: 1 in the first half of the channels (second when flipped)."""
    first = (np.arange(channels) < channels // 2) != flip
    return np.broadcast_to(first, (height, width, channels)).copy()


class RealNVP(Model):
    """A RealNVP for rows (D,) or images (H, W, C).

    Rows: `couplings` dense couplings of width `hidden`, masks alternating between even and odd entries.  Rows of real
    numbers are standardised first, by the mean and standard deviation that `initialize` finds; the volume is counted.
    Images: per scale three checkerboard couplings, a squeeze (H, W, C) -> (H/2, W/2, 4C), three channel-wise ones, and
    half of the channels leave; at the last scale four checkerboard couplings (section 3.6).  The couplings are
    residual networks of `blocks` blocks of width `hidden`.
    Integer data (levels) are dequantised and taken through a logit with margin alpha, both counted: log_prob is that of
    the integers (a lower bound on it, for one draw of the noise).
    """

    monitor: ClassVar[str | None] = "nll_nats"

    def __init__(
        self,
        shape: Sequence[int],
        *,
        levels: int | None = None,
        hidden: int = 64,
        couplings: int = 6,
        scales: int = 2,
        blocks: int = 2,
        alpha: float = 0.05,
        key: Key,
    ):
        self.shape, self.levels, self.alpha = tuple(shape), levels, alpha
        self.mean, self.std = nn.Buffer(np.zeros(shape, np.float32)), nn.Buffer(np.ones(shape, np.float32))
        if len(self.shape) == 1:
            if self.shape[0] < 2:
                raise ArgumentError(f"RealNVP: a coupling needs at least two entries, shape is {self.shape}.")
            dims = self.shape[0]
            masks = [np.arange(dims) % 2 == i % 2 for i in range(couplings)]
            nets = [dense_network(dims, hidden, key=key.fold_in(i)) for i in range(couplings)]
            self.stages = [nn.Sequential(*map(Coupling, masks, nets))]
        elif len(self.shape) == 3:
            self.stages = list(_image_stages(self.shape, scales, hidden, blocks, key))
        else:
            raise ArgumentError(f"RealNVP: shape must be (D,) or (H, W, C), got {self.shape}.")

    @classmethod
    def settings_for(cls, data: DataSpec) -> dict[str, Any]:
        common = {"shape": list(data.shape), "levels": data.levels}
        if data.kind == "image":
            scales = 1  # as many as the side can be halved, up to three
            while scales < 3 and data.shape[0] % 2**scales == 0 and data.shape[1] % 2**scales == 0:
                scales += 1
            return {**common, "hidden": 64, "scales": scales, "blocks": 2, "alpha": 0.05}
        return {**common, "hidden": 128, "couplings": 10 if data.kind == "table" else 8, "alpha": 0.05}

    def initialize(self, x: Array) -> None:
        """Learn the standardisation of real-valued rows from the training data x (n, D)."""
        if self.levels is None:
            self.mean.copy_(x.mean(0))
            self.std.copy_(np.maximum(x.std(0), 1e-6))

    # -- the map ------------------------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, *shape), continuous -> (z (N, D), log|det dz/dx| (N,))."""
        parts, log_det = self._parts(x)
        z = ops.concat(*parts, axis=1) if len(parts) > 1 else parts[0]
        if len(self.shape) == 1:  # from evens and odds to their order
            z = z[:, np.argsort(np.arange(z.shape[1]) % 2, kind="stable").argsort()]
        return z, log_det

    def _parts(self, x: Tensor) -> tuple[list[Tensor], Any]:
        """x (N, *shape) -> (z in parts (N, any), log|det dz/dx|): evens and odds of a row, or scale by scale."""
        if len(self.shape) == 1:
            return self._halves(x)
        log_det: Any = 0.0
        left = []  # the channels that have gone, scale by scale
        for i, stage in enumerate(self.stages):
            if i % 2:  # between two scales: squeeze, channel-wise couplings, half of the channels leave
                x = ops.space_to_depth(x, block=2)
            for coupling in stage.layers:
                x, change = coupling(x)
                log_det = change + log_det
            if i % 2:
                gone, x = ops.split(x, sections=2, axis=-1)
                left.append(gone)
        return [ops.reshape(part, shape=(len(x), math.prod(part.shape[1:]))) for part in (*left, x)], log_det

    def _halves(self, x: Tensor) -> tuple[list[Tensor], Any]:
        """Rows x (N, D) -> (z[:, 0::2] and z[:, 1::2], log|det dz/dx|): each coupling moves one by the other."""
        halves = [ops.concat(x[:, side::2], axis=1) for side in (0, 1)]  # copied here, not by each kernel that reads it
        log_det: Any = 0.0
        couplings: list[Any] = self.stages[0].layers
        for i, coupling in enumerate(couplings):
            side = i % 2
            halves[1 - side], change = coupled(coupling, halves[side], halves[1 - side], side)
            log_det = change + log_det
        return halves, log_det

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (N, D) -> (x (N, *shape), log|det dx/dz| (N,))."""
        n, log_det = len(z), 0.0
        shapes, size = [], self.shape
        for _ in self.stages[1::2]:
            size = (size[0] // 2, size[1] // 2, size[2] * 2)  # after the squeeze and the leaving of half
            shapes.append(size)
        parts = ops.split(z, sections=[math.prod(s) for s in (*shapes, size)], axis=1)
        x = ops.reshape(parts[-1], shape=(n, *size))
        left = [ops.reshape(part, shape=(n, *s)) for part, s in zip(parts, shapes)]
        for i, stage in reversed(list(enumerate(self.stages))):
            if i % 2:
                x = ops.concat(left.pop(), x, axis=-1)
            couplings: list[Any] = stage.layers
            for coupling in reversed(couplings):
                x, change = coupling.inverse(x)
                log_det = change + log_det
            if i % 2:
                x = ops.depth_to_space(x, block=2)
        return x, log_det  # type: ignore[return-value]

    # -- the model ----------------------------------------------------------------------------------------------------

    def to_continuous(self, x: Array | Tensor, *, key: Key | None) -> tuple[Tensor, Tensor]:
        """Stored data -> (what the map takes, log|det| of getting there, (N,) or ())."""
        x = self.float_batch(x, self.shape)
        if self.levels is None:
            return (x - self.mean) / self.std, -ops.sum(ops.log(self.std))
        if key is None:
            raise ArgumentError("RealNVP: integer data are dequantised with noise. Pass key=...")
        y, log_det = to_logit(dequantize(x, self.levels, key=key), self.alpha)
        return y, log_det - log_volume(self.levels, math.prod(self.shape))

    def log_prob(self, x: Array | Tensor, *, key: Key | None = None) -> Tensor:
        """log p(x), nats, (N,); for integer data a lower bound, with the noise drawn from the key."""
        y, change = self.to_continuous(x, key=key)
        parts, log_det = self._parts(y)
        for z in parts:
            zero = zeros(z.shape, z.dtype, [z])
            log_det = ops.gaussian_log_prob(z, zero, zero, event_ndim=1) + log_det
        return log_det + change

    def loss(self, x: Array | Tensor, *, key: Key | None = None) -> Tensor:
        """The mean negative log-likelihood, nats per example."""
        return -ops.mean(self.log_prob(x, key=key))

    def evaluate(self, x: Array, *, key: Key) -> dict[str, Tensor]:
        """nll_nats; for integer data an upper bound, with one draw of the noise."""
        with no_grad():
            return {"nll_nats": -self.log_prob(x, key=key)}

    def sample(self, n: int, *, key: Key, temperature: float = 1.0) -> Tensor:
        """n draws: rows (n, D), or images (n, H, W, C) on the grid of levels scaled to [0, 1].

        `temperature` is the standard deviation of z.
        """
        with no_grad():
            z = ops.normal((n, math.prod(self.shape)), key=key, dtype=self.dtype) * temperature
            y, _ = self.inverse(z)
            if self.levels is None:
                return y * self.std + self.mean
            level = ops.floor(from_logit(y, self.alpha) * self.levels)
            return ops.clip(level, low=0.0, high=float(self.levels - 1)) * (1.0 / (self.levels - 1))


def _image_stages(shape: tuple[int, ...], scales: int, hidden: int, blocks: int, key: Key) -> Any:
    """Couplings on pixels, then (squeezed) on channels, alternately; the last stage is on pixels."""
    height, width, channels = shape
    if scales < 1 or height % 2 ** (scales - 1) or width % 2 ** (scales - 1):
        raise ArgumentError(
            f"RealNVP: an image of {height}x{width} cannot be halved {scales - 1} times for {scales} scales."
        )

    def stage(name: str, pattern: Any, count: int) -> nn.Sequential:
        keys = [key.fold_in(name).fold_in(i) for i in range(count)]
        nets = [residual_network(channels, hidden, blocks, key=k) for k in keys]
        return nn.Sequential(*(Coupling(pattern(height, width, channels, bool(i % 2)), n) for i, n in enumerate(nets)))

    for scale in range(scales - 1):
        yield stage(f"checkerboard{scale}", checkerboard, 3)
        height, width, channels = height // 2, width // 2, channels * 4
        yield stage(f"channelwise{scale}", channelwise, 3)
        channels //= 2
    yield stage("last", checkerboard, 4)
