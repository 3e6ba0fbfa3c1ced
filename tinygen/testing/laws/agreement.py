"""Two implementations of one thing, on equal inputs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np

from ... import kernels
from ...device import to_device
from ...errors import shape_text
from ...modes import no_grad
from ...tensor import Tensor
from ..registry import Case
from .broken import LawBroken

ROUNDING = {"float32": (2e-5, 2e-6), "float64": (1e-11, 1e-12)}  # relative, and as a part of the largest entry


def implementations_agree(
    case: Case, one: str = "cpu", other: str = "reference", *, dtype: Any = np.float64, seeds: Iterable[int] = range(3)
) -> None:
    """The case's op on drawn inputs gives the same on two implementations, up to rounding, and changes no input.

    one, other: "cpu", "reference" or "cuda".
    """
    for seed in seeds:
        results = []
        for name in (one, other):
            inputs, params = case.draw(seed, dtype)
            device = "cuda" if name == "cuda" else "cpu"
            with nullcontext() if device == "cuda" else kernels.backend(name), no_grad():
                ys = case.op(*[to_device(Tensor(a), device) for a in inputs], **params)
            results.append([y.numpy() for y in (ys if isinstance(ys, tuple | list) else (ys,))])
            for i, (used, fresh) in enumerate(zip(inputs, case.draw(seed, dtype)[0], strict=True)):
                if used.tobytes() != fresh.tobytes():
                    raise LawBroken(f"{case.name} ({name}, seed {seed}): input {i} was changed.")
        for k, (a, b) in enumerate(zip(*results, strict=True)):
            close(a, b, what=f"{case.name} ({one} against {other}, seed {seed}), output {k}", factor=case.tolerance)


def close(got: np.ndarray, expected: np.ndarray, *, what: str = "agreement", factor: float = 1.0) -> None:
    """Equal shape and dtype, and entries equal up to the dtype's rounding, relative to the largest finite one too.

    Sums cancel, so a small entry of an array of large ones may be off by their rounding.  factor: of the tolerances.
    """
    if got.shape != expected.shape or got.dtype != expected.dtype:
        raise LawBroken(
            f"{what}: {shape_text(got.shape)} {got.dtype} against {shape_text(expected.shape)} {expected.dtype}."
        )
    if got.dtype.name not in ROUNDING:
        if not np.array_equal(got, expected):
            raise LawBroken(f"{what}: {int((got != expected).sum())} of {got.size} entries differ.")
        return
    relative, absolute = ROUNDING[got.dtype.name]
    finite = np.where(np.isfinite(expected), np.abs(expected), 0)  # infinities have to be equal
    allowed = factor * (relative * finite + absolute * max(1.0, float(finite.max(initial=0.0))))
    with np.errstate(invalid="ignore"):
        off = np.abs(got - expected)
    wrong = ~((off <= allowed) | (got == expected) | (np.isnan(got) & np.isnan(expected)))
    if wrong.any():
        at = np.unravel_index(np.argmax(np.where(wrong, np.nan_to_num(off, nan=np.inf), -1)), got.shape)
        raise LawBroken(
            f"{what}: {int(wrong.sum())} of {got.size} entries differ; at {shape_text([int(n) for n in at])} "
            f"{got[at]:.9g} against {expected[at]:.9g}."
        )
