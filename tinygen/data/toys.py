"""Five densities in the plane, each a function of (n, key): the smallest data on which a model's faults can be seen.

All lie within about 3.5 of the origin.  The numbers come from raw Philox words, which NumPy promises never to change,
so a seed means the same points in every version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError, check

if TYPE_CHECKING:
    from ..random import Key

RING_RADIUS = 2.0
RING_STD = 0.02


def ring8_modes() -> np.ndarray:
    """The centres of `ring8`, (8, 2) float32, counter-clockwise from (2, 0)."""
    angle = 2 * np.pi * np.arange(8) / 8
    return (RING_RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)


def ring8(n: int, *, key: Key | int) -> np.ndarray:
    """Eight Gaussians of standard deviation 0.02 on a circle of radius 2, equally likely; (n, 2) float32.

    The test of mode collapse of Metz et al., "Unrolled Generative Adversarial Networks", 2017, section 3.1.
    """
    u = _uniform(n, 3, key)
    return (ring8_modes()[(u[:, 0] * 8).astype(int)] + RING_STD * _normal(u[:, 1:])).astype(np.float32)


def moons(n: int, *, key: Key | int) -> np.ndarray:
    """Two interlocked half circles of radius 2 with Gaussian noise of standard deviation 0.1; (n, 2) float32."""
    u = _uniform(n, 4, key)
    upper = u[:, 0] < 0.5
    angle = np.pi * u[:, 1]
    x = np.where(upper, 2 * np.cos(angle) - 1, 1 - 2 * np.cos(angle))
    y = np.where(upper, 2 * np.sin(angle) - 0.5, 0.5 - 2 * np.sin(angle))
    return (np.stack([x, y], axis=1) + 0.1 * _normal(u[:, 2:])).astype(np.float32)


def checkerboard(n: int, *, key: Key | int) -> np.ndarray:
    """Uniform on the 8 dark squares of a 4 x 4 board over [-2, 2)^2; (n, 2) float32.

    The area is 8, so the true density has a negative log-likelihood of ln 8 = 2.079 nats: no model can beat it.
    """
    u = _uniform(n, 3, key)
    column = np.floor(4 * u[:, 0])
    row = 2 * np.floor(2 * u[:, 1]) + column % 2
    within = np.stack([4 * u[:, 0] - column, u[:, 2]], axis=1)
    return (np.stack([column, row], axis=1) + within - 2).astype(np.float32)


def spirals(n: int, *, key: Key | int) -> np.ndarray:
    """Two spiral arms, 1.5 turns out to radius 3, Gaussian noise of standard deviation 0.1; (n, 2) float32."""
    u = _uniform(n, 4, key)
    turn = np.sqrt(u[:, 1])  # the square root spreads the points evenly along the arm
    arm = np.where(u[:, 0] < 0.5, 1, -1) * 3 * turn
    angle = 3 * np.pi * turn
    return (np.stack([arm * np.cos(angle), arm * np.sin(angle)], axis=1) + 0.1 * _normal(u[:, 2:])).astype(np.float32)


def rings(n: int, *, key: Key | int) -> np.ndarray:
    """Circles of radius 1, 2 and 3, equally likely, noise of standard deviation 0.08; (n, 2) float32."""
    u = _uniform(n, 4, key)
    radius = 1 + np.floor(3 * u[:, 0])
    angle = 2 * np.pi * u[:, 1]
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return (points + 0.08 * _normal(u[:, 2:])).astype(np.float32)


def _uniform(n: int, d: int, key: Key | int) -> np.ndarray:
    """(n, d) float64 in [0, 1), a function of the key (a Key, or an int as seed)."""
    check(n >= 0, ArgumentError, f"toys: n is {n}; it must not be negative.")
    if isinstance(key, int):
        check(0 <= key < 1 << 64, ArgumentError, f"toys: the seed {key} does not fit 64 bits.")
        seed = key
    else:
        low, high = (int(word) for word in key.data)  # so that Key(seed) and seed mean the same points
        seed = high << 32 | low
    words = np.random.Philox(key=seed).random_raw(n * d).reshape(n, d)
    return (words >> np.uint64(11)) * 2.0**-53


def _normal(u: np.ndarray) -> np.ndarray:
    """(n, 2) standard normals from (n, 2) uniforms: Box and Muller, 1958."""
    radius = np.sqrt(-2 * np.log1p(-u[:, 0]))  # log(1 - u) never meets log(0)
    angle = 2 * np.pi * u[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
