"""What a gradient must not do whatever its values: change its inputs, vary from run to run, mind the memory layout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import shape_text
from .functions import Function, Maybe
from .layouts import LAYOUTS, repeated

ROUNDING = 1e-10  # relative: another layout may sum in another order


def habits(f: Function, arrays: list[np.ndarray], vs: Sequence[np.ndarray]) -> str | None:
    """What is wrong, in a sentence; None if nothing is."""
    first = _run(f, arrays, vs)
    if isinstance(first, str):
        return first
    again = _run(f, arrays, vs)
    if isinstance(again, str) or not all(map(_same_bits, first, again)):
        return "two runs on equal inputs do not give equal bits."
    for layout, view in LAYOUTS.items():
        found = _run(f, [*map(view, arrays)], [*map(view, vs)])
        if isinstance(found, str):
            return found
        if not all(map(_close, first, found)):
            return f"inputs and cotangents in another memory layout ({layout}) give another result."
    return _repeated_inputs(f, arrays, vs) or _repeated_cotangents(f, arrays, vs) or _absent(f, arrays, vs)


def _run(f: Function, arrays: Sequence[np.ndarray], vs: Sequence[np.ndarray]) -> Maybe | str:
    """Values and gradients, or what was changed in place."""
    before = [np.array(a) for a in (*arrays, *vs)]
    found = [*f.value(arrays), *f.gradient(arrays, vs)]
    kept = [None if a is None else np.array(a) for a in found]
    for i, (a, b) in enumerate(zip((*arrays, *vs), before, strict=True)):
        if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            what = f"input {i}" if i < len(arrays) else f"the cotangent of output {i - len(arrays)}"
            return f"{what} {shape_text(a.shape)} was changed in place."
    return kept


def _repeated_inputs(f: Function, arrays: list[np.ndarray], vs: Sequence[np.ndarray]) -> str | None:
    """Inputs whose rows are one row repeated by a stride of zero, as `broadcast_to` and `expand` make them."""
    views = [repeated(a) if a.dtype.kind == "f" else a for a in arrays]
    try:
        copies = _run(f, [np.array(a) for a in views], vs)
    except Exception:  # equal rows are outside the domain of f: a singular matrix, say
        return None
    found = _run(f, views, vs)
    if isinstance(copies, str) or isinstance(found, str) or not all(map(_close, found, copies)):
        return "inputs with a zero stride give another result than their copies."
    return None


def _repeated_cotangents(f: Function, arrays: list[np.ndarray], vs: Sequence[np.ndarray]) -> str | None:
    """Cotangents that are one number repeated, as the gradient of a sum is in some libraries."""
    views = [np.lib.stride_tricks.as_strided(np.full(1, 1.5), v.shape, (0,) * v.ndim) for v in vs]
    a, b = f.gradient(arrays, views), f.gradient(arrays, [np.array(v) for v in views])
    return None if all(map(_close, a, b)) else "cotangents with a zero stride give another gradient than their copies."


def _absent(f: Function, arrays: list[np.ndarray], vs: Sequence[np.ndarray]) -> str | None:
    """With several outputs: where nothing arrives at one, the gradient is that of zeros arriving there."""
    for k in range(len(vs)) if len(vs) > 1 else ():
        absent = f.gradient(arrays, [None if j == k else v for j, v in enumerate(vs)])
        zeros = f.gradient(arrays, [np.zeros_like(v) if j == k else v for j, v in enumerate(vs)])
        filled = [
            (np.zeros_like(x) if a is None else a, np.zeros_like(x) if b is None else b)
            for x, a, b in zip(arrays, absent, zeros, strict=True)
        ]
        if not all(_close(a, b) for a, b in filled):
            return f"without a cotangent for output {k} the gradient is not that of zeros there."
    return None


def _same_bits(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and a.tobytes() == b.tobytes())


def _close(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    size = np.abs(b[np.isfinite(b)]).max(initial=0.0)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=ROUNDING * max(1.0, size), equal_nan=True))
