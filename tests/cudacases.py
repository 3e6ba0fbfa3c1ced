"""The registry's cases on the emulated CUDA device; under a sanitizer: `python tests/cudacases.py [name]`."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import kernels
from tinygen.errors import DeviceError
from tinygen.testing import Case, emulated_cuda
from tinygen.testing.cases import cases


def has_cuda(kernel: kernels.Kernel) -> bool:
    try:
        kernel.implementation("cuda")
    except DeviceError:
        return False
    return True


def results(case: Case, device: str, dtype: Any, seed: int = 0) -> list[np.ndarray]:
    """Outputs of a case, then the gradients for random cotangents; no gradient is an empty array."""
    inputs, params = case.draw(seed, dtype)
    tensors = [tg.Tensor(a).to(device) for a in inputs]
    moving = [t.requires_grad_() for t in tensors if case.orders and t.dtype.kind == "f"]
    made = case.op(*tensors, **params)
    ys = list(made) if isinstance(made, tuple | list) else [made]
    live = [y for y in ys if y.requires_grad]
    generator = np.random.Generator(np.random.Philox(seed))
    cotangents = [tg.Tensor(generator.standard_normal(y.shape).astype(y.dtype)).to(device) for y in live]
    gradients = tg.grad(live, moving, cotangents, allow_unused=True) if live and moving else []
    return [y.numpy() for y in ys] + [np.empty(0) if g is None else g.numpy() for g in gradients]


@cache
def ported() -> dict[str, Case]:
    """The cases all of whose kernels, forward and backward, have a CUDA implementation."""
    found = {}
    for name, case in sorted(cases.items()):
        launched: set[kernels.Kernel] = set()
        with kernels.backend("reference"), kernels.observe(lambda kernel, *_, to=launched: to.add(kernel)):
            for seed in range(2):
                results(case, "cpu", np.float64, seed)
        if all(map(has_cuda, launched)):
            found[name] = case
    return found


KEY = np.array([0x12345678, 0x9ABCDEF0], np.uint32)


def draws(dtype: Any) -> dict[str, tuple[tuple[np.ndarray, ...], dict[str, Any]]]:
    """What kernels of the random family take: (arrays, parameters) by name; they have no cases."""
    dtype, generator = np.dtype(dtype), np.random.Generator(np.random.Philox(1))
    p, logits = generator.uniform(size=(7, 5)).astype(dtype), generator.standard_normal((70, 4)).astype(dtype)
    logits[3, 1] = -np.inf
    found: dict[str, Any] = {"fold_in": ((KEY, KEY[::-1].copy()), {}), "bernoulli": ((p, KEY), {})}
    found["categorical"] = (logits, KEY), {}
    for n in (0, 1, 2, 3, 5, 1030):
        shaped = {"shape": (n,), "dtype": dtype}
        found |= {f"bits {n}": ((KEY,), {"shape": (n,)}), f"permutation {n}": ((KEY,), {"n": n})}
        found |= {f"uniform {n}": ((KEY,), shaped), f"normal {n}": ((KEY,), shaped)}
        found[f"uniforms {n}"] = (KEY,), {"n": 3, "size": n, "dtype": dtype}
    return found


def draw(name: str, device: str, dtype: Any) -> np.ndarray:
    """The draw of `draws` on a device."""
    arrays, params = draws(dtype)[name]
    y = kernels.registry[f"random.{name.split()[0]}"](*[tg.Tensor(a).to(device).data for a in arrays], **params)
    return tg.Tensor(y).numpy()


def main(names: list[str]) -> None:
    """Run cases and draws, for a sanitizer to watch."""
    chosen = names or [*ported(), *draws(np.float32)]
    with emulated_cuda():
        for name in chosen:
            for dtype in (np.float32, np.float64):
                draw(name, "cuda", dtype) if name in draws(dtype) else results(cases[name], "cuda", dtype)
    print(f"{len(chosen)} ran")


if __name__ == "__main__":
    main(sys.argv[1:])
