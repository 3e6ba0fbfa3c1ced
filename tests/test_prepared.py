"""Prepared implementations: called again, they do all that the implementation does, on what the arrays hold then."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import pytest

import tinygen as tg
from tinygen import kernels, optim
from tinygen.kernels._prepared import effect, prepare, prepared, unprepared
from tinygen.testing.cases import cases

MARKED = sorted(
    name for name, k in kernels.registry.items() if hasattr(k.implementation("cpu"), "is_prepared")
)  # fmt: skip


@cache
def launches() -> dict[str, list[tuple[Any, ...]]]:
    """By kernel, (inputs, outs, params) of what the registry's cases launch, of draws, and of optimizers."""
    found: dict[str, dict[str, tuple[Any, ...]]] = {}

    def note(kernel: Any, inputs: Any, outs: Any, params: Any, fresh: bool) -> None:
        by_shape = found.setdefault(f"{kernel.family}.{kernel.__name__}", {})
        by_shape.setdefault(f"{[(a.shape, a.dtype) for a in inputs]} {params}", (inputs, outs, params))

    with kernels.observe(note):
        for case in cases.values():
            for seed in range(3):
                inputs, params = case.draw(seed, np.float32)
                case.op(*[tg.Tensor(a) for a in inputs], **params)
        p, key = np.full((5, 4), 0.25, np.float32), tg.Key(0).data
        for draw, inputs, params in (
            ("bits", (key,), {"shape": (7,)}),
            ("uniform", (key,), {"shape": (7,), "dtype": p.dtype}),
            ("uniforms", (key,), {"n": 3, "size": 5, "dtype": p.dtype}),
            ("normal", (key,), {"shape": (7,), "dtype": p.dtype}),
            ("bernoulli", (p, key), {}),
            ("categorical", (p, key), {}),
            ("fold_in", (key, key), {}),
        ):
            kernels.registry[f"random.{draw}"](*inputs, **params)
        for make in (optim.SGD, partial(optim.SGD, momentum=0.9), optim.Adam, optim.AdamW):
            w = tg.tensor(np.ones((3, 4), np.float32)).requires_grad_()
            make([w], lr=0.1).update([tg.tensor(np.full((3, 4), 0.5, np.float32))])
    return {name: list(by_shape.values()) for name, by_shape in found.items()}


def change(a: np.ndarray, turn: int) -> None:
    """Put other numbers in the array; integers may be places of something, and stay."""
    if a.dtype == bool:
        np.logical_not(a, out=a)
    elif a.dtype.kind == "f":
        a *= -(1.5**turn)


def filled(outs: Any) -> list[np.ndarray]:
    return [np.full_like(o, np.nan if o.dtype.kind == "f" else 1) for o in outs]


@pytest.mark.parametrize("name", MARKED)
def test_it_does_all_that_the_implementation_does(name: str) -> None:
    kernel = kernels.registry[name]
    run = kernel.implementation("cpu")
    found = launches().get(name, [])
    assert found or name.endswith("_then"), "no case launches it"
    for inputs, outs, params in found:
        arrays = [a.copy() for a in inputs]
        again = filled(outs)
        call = kernel.bind((*arrays, *again), params)
        for turn in range(2):
            for a in arrays:
                change(a, turn)
            expected = filled(outs)
            run(*arrays, *expected, **params)
            for y, blank in zip(again, filled(outs)):
                y[...] = blank
            call()
            for y, z in zip(again, expected):
                np.testing.assert_array_equal(y, z, err_msg=f"{[a.shape for a in arrays]} {params}")


def test_preparing_has_no_effects_and_running_has_them_all() -> None:
    y = np.zeros(3)

    @prepared
    def twice(x: np.ndarray, y: np.ndarray, *, by: float) -> None:
        effect(np.multiply, x, by, y)
        effect(np.add, y, 1, y)

    call = prepare(twice, (np.arange(3.0), y), {"by": 2.0})
    np.testing.assert_array_equal(y, 0)
    call()
    np.testing.assert_array_equal(y, [1, 3, 5])


def test_a_path_that_works_in_python_is_called_whole() -> None:
    y = np.zeros(3)

    @prepared
    def plain(x: np.ndarray, y: np.ndarray) -> None:
        unprepared()
        y[...] = x

    call = prepare(plain, (x := np.arange(3.0), y), {})
    np.testing.assert_array_equal(y, 0)
    x += 1
    call()
    np.testing.assert_array_equal(y, [1, 2, 3])
