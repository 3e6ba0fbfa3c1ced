"""Shapes that take several blocks along each axis, for kernels of rows and columns; the registry mostly fits a warp."""

from __future__ import annotations

from typing import Any

import numpy as np

Shapes = tuple[tuple[Any, ...], ...]  # of a kernel's inputs; one of labels ends with their dtype and how many there are

EVENT = {"event_ndim": 1}
MASKED: list[Shapes] = [((300, 40), (300, 80), (40,), (40,)), ((3, 28, 28, 3), (3, 28, 28, 6), (3,), (28, 28, 3))]
LONG: list[tuple[str, Shapes, dict[str, Any]]] = [
    *[("logprob.bernoulli_log_prob", (x, x), EVENT) for x in ((2, 1100), (5, 784), (300, 3), (700, 1))],
    ("logprob.bernoulli_log_prob_grad", ((2,), (2, 1100), (2, 1100)), EVENT),
    ("logprob.gaussian_log_prob", ((5, 784),) * 3, EVENT),
    ("logprob.gaussian_log_prob_grad", ((5,), *((5, 784),) * 3), EVENT),
    ("logprob.gaussian_kl", ((70, 20),) * 2, EVENT),
    ("logprob.gaussian_kl_grad", ((70,), *((70, 20),) * 2), EVENT),
    *[("logprob.categorical_head", ((3, 20, kind, 200), (3, 20, 200)), EVENT) for kind in ("uint8", "int32", "int64")],
    ("logprob.categorical_head", ((700, "int64", 5), (700, 5)), {"event_ndim": 0}),
    ("logprob.categorical_head_grad", ((3,), (3, 20), (3, 20, "uint8", 200), (3, 20, 200), (3, 20)), EVENT),
    *[("coupling.affine_coupling", (x, x, x), {}) for x in ((2, 1100), (300, 5))],
    ("coupling.affine_coupling_inverse", ((2, 1100),) * 3, {}),
    ("coupling.affine_coupling_grad", ((2, 1100), (2,), *((2, 1100),) * 2), {}),
    ("coupling.affine_coupling_inverse_grad", ((2, 1100), (2,), *((2, 1100),) * 2), {}),
    *[("coupling.masked_affine_coupling", shapes, {}) for shapes in MASKED],
    *[("coupling.masked_affine_coupling_inverse", shapes, {}) for shapes in MASKED],
    *[("coupling.masked_affine_coupling_grad", (s[0], s[0][:1], *s), {}) for s in MASKED],
    *[("coupling.masked_affine_coupling_inverse_grad", (s[0], s[0][:1], *s), {}) for s in MASKED],
    ("coupling.live_weights", ((33, 40), (40, 66), (66,), (33,)), {"kept": 0}),
    ("coupling.live_weights_grad", ((16, 40), (40, 34), (34,), (17,)), {"kept": 1}),
    *[("norm.batch_norm", (x, *[x[1:]] * 2), {"slope": 0.2}) for x in ((300, 40), (2111, 3))],
    *[("norm.batch_norm_eval", (x, *[x[1:]] * 4), {}) for x in ((300, 40), (2100, 3))],
    *[("norm.batch_norm_grad", (x, *[x[1:]] * 2, x, *[x[1:]] * 4), {"slope": 0.2}) for x in ((300, 40), (2100, 3))],
    ("norm.running_statistics", ((300,),) * 4, {"momentum": 0.1, "rows": 50}),
    *[("norm.layer_norm", (x, x[1:], x[1:]), {}) for x in ((2, 1100), (300, 40))],
    *[("norm.layer_norm_grad", (x, x, x[1:]), {}) for x in ((2, 1100), (300, 40))],
    ("norm.weight_norm", ((3, 3, 40, 40), (40,)), {}),
    ("norm.weight_norm_grad", ((3, 3, 40, 40), (3, 3, 40, 40), (40,)), {}),
]


def drawn(shape: tuple[Any, ...], dtype: np.dtype, random: np.random.Generator) -> np.ndarray:
    """Labels, or numbers from 0.1 to 1.5: a variance may be among them."""
    if any(isinstance(n, str) for n in shape):
        *where, kind, count = shape
        return random.integers(0, count, where).astype(kind)
    return random.uniform(0.1, 1.5, shape).astype(dtype)
