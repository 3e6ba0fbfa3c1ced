"""Prepared implementations: called again, they do all that the implementation does, on what the arrays hold then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygen as tg
from tinygen import kernels
from tinygen.kernels._prepared import effect, prepare, prepared, unprepared
from tinygen.testing.registry import cases

MARKED = sorted(
    name for name, k in kernels.registry.items() if hasattr(k.implementation("cpu"), "is_prepared")
)  # fmt: skip


def launches(kernel: Any) -> list[tuple[Any, ...]]:
    """What the cases of the registry launch of this kernel, in value and gradient."""
    found: dict[str, tuple[Any, ...]] = {}

    def note(launched: Any, inputs: Any, outs: Any, params: Any, fresh: bool) -> None:
        if launched is kernel:
            found.setdefault(f"{[a.shape for a in inputs]} {params}", (inputs, outs, params))

    with kernels.observe(note):
        for case in cases.values():
            if not case.name.split("/")[0].startswith(("conv2d", "linear", "matmul")):
                continue
            for seed in range(3):
                inputs, params = case.draw(seed, np.float32)
                tensors = [tg.Tensor(a) for a in inputs]
                case.op(*tensors, **params)
    return list(found.values())


def filled(outs: Any) -> list[np.ndarray]:
    return [np.full_like(o, np.nan) for o in outs]


@pytest.mark.parametrize("name", MARKED)
def test_it_does_all_that_the_implementation_does(name: str) -> None:
    kernel = kernels.registry[name]
    run = kernel.implementation("cpu")
    found = launches(kernel)
    assert found or name.endswith("_then"), "no case launches it"
    for inputs, outs, params in found:
        arrays = [a.copy() for a in inputs]
        again = filled(outs)
        call = kernel.bind((*arrays, *again), params)
        for turn in range(2):
            for a in arrays:
                a *= -(1.5**turn)  # another set of numbers in the same arrays
            expected = filled(outs)
            run(*arrays, *expected, **params)
            for y in again:
                y[...] = np.nan
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
