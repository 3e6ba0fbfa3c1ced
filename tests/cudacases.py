"""What CUDA is tried on; under a sanitizer: `python tests/cudacases.py [name ...]`, on the device of cudadevice.py;
`--cheapest` gives names that are enough.

The registry's cases with their gradients, and what those are too small for or leave out: long rows, several tiles,
draws, optimizers.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from cudadevice import ON_GPU, on_cuda
from cudaproducts import products, rounded
from cudashapes import LONG, drawn
from test_optim import OPTIMIZERS, values

import tinygen as tg
from tinygen import kernels
from tinygen.errors import DeviceError
from tinygen.kernels._cuda import host_build, launcher
from tinygen.kernels._cuda.source import INCLUDE, Source
from tinygen.testing import Case
from tinygen.testing.cases import cases

Results = list[np.ndarray]


def has_cuda(kernel: kernels.Kernel) -> bool:
    try:
        kernel.implementation("cuda")
    except DeviceError:
        return False
    return True


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


# -- the registry -----------------------------------------------------------------------------------------------------


def results(case: Case, device: str, dtype: Any, seed: int = 0) -> Results:
    """Outputs of a case, then the gradients for random cotangents; no gradient is an empty array."""
    inputs, params = case.draw(seed, dtype)
    tensors = [tg.Tensor(a).to(device) for a in inputs]
    moving = [t.requires_grad_() for t in tensors if case.orders and t.dtype.kind == "f"]
    made = case.op(*tensors, **params)
    ys = list(made) if isinstance(made, tuple | list) else [made]
    live = [y for y in ys if y.requires_grad]
    random = generator(seed)
    cotangents = [tg.Tensor(random.standard_normal(y.shape).astype(y.dtype)).to(device) for y in live]
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


# -- beyond it --------------------------------------------------------------------------------------------------------


def _at_an_odd_place(array: np.ndarray, device: str) -> Any:
    """Moved there, to where views may lie: its first entry is aligned to an entry and to no more."""
    flat = np.concatenate([np.zeros(1, array.dtype), array.ravel()])
    return tg.Tensor(flat).to(device).data[1:].reshape(array.shape)


def _kernel(name: str, *arrays: np.ndarray, **params: Any) -> Callable[[str], Results]:
    def run(device: str) -> Results:
        made = kernels.registry[name](*[_at_an_odd_place(a, device) for a in arrays], **params)
        return [tg.Tensor(a).numpy() for a in (made if isinstance(made, tuple) else (made,))]

    return run


def _in_tf32(run: Callable[[str], Results]) -> Callable[[str], Results]:
    def on_tensor_cores(device: str) -> Results:
        with tg.float32_matmul_precision("tf32"):
            return run(device)

    return on_tensor_cores


def _trained(name: str, dtype: Any) -> Callable[[str], Results]:
    make, options = OPTIMIZERS[name]

    def run(device: str) -> Results:
        opt = make([tg.Tensor(a).requires_grad_() for a in values(0, dtype)], max_norm=1.0, **options).to(device)
        for step in range(1, 6):
            opt.update([tg.Tensor(g).to(device) for g in values(step, dtype)])
        return [p.numpy() for p in opt.block.params] + list(opt.state_dict().values())

    return run


@cache
def extras(kind: Any) -> dict[str, Callable[[str], Results]]:
    """By name, f(device) -> arrays."""
    dtype, random = np.dtype(kind), generator(1)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(dtype)

    key = np.array([0x12345678, 0x9ABCDEF0], np.uint32)
    p, logits = random.uniform(size=(7, 5)).astype(dtype), normal(70, 4)
    logits[3, 1] = -np.inf
    steep = logits - np.array([0, 0, 0, 1000], dtype)  # whose exponentials overflow, unless the highest is taken off
    peaks = np.zeros((3, 40), dtype)
    peaks[:, :8] = 1000
    found = {
        "random.fold_in": _kernel("random.fold_in", key, key[::-1].copy()),
        "random.bernoulli": _kernel("random.bernoulli", p, key),
        "random.categorical": _kernel("random.categorical", logits, key),
        "random.categorical of steep logits": _kernel("random.categorical", steep, key),
        "logprob.categorical_head of steep logits": _kernel(
            "logprob.categorical_head", np.array([0, 9, 39]), peaks, event_ndim=0
        ),
        "elementwise.sign of zeros": _kernel("elementwise.sign", np.array([0, -2, 3, -0.0, np.nan], dtype)),
    }
    for n in (0, 1, 2, 3, 5, 1030):
        shaped = {"shape": (n,), "dtype": dtype}
        found[f"random.bits {n}"] = _kernel("random.bits", key, shape=(n,))
        found[f"random.permutation {n}"] = _kernel("random.permutation", key, n=n)
        found[f"random.uniform {n}"] = _kernel("random.uniform", key, **shaped)
        found[f"random.normal {n}"] = _kernel("random.normal", key, **shaped)
        found[f"random.uniforms {n}"] = _kernel("random.uniforms", key, n=3, size=n, dtype=dtype)

    ties = random.integers(0, 4, (3, 1000)).astype(dtype)  # the largest many times
    ties[1, [400, 700]] = np.nan
    found["reduce.argmax of long rows"] = _kernel("reduce.argmax", ties, axis=1)
    found["reduce.argmax of columns"] = _kernel("reduce.argmax", np.ascontiguousarray(ties.T), axis=0)
    for shape in ((9000,), (2, 5000), (3, 2500, 2), (600, 40), (2, 3, 700, 3)):
        x = normal(*shape)
        for axes in ((0,), (len(shape) - 1,), tuple(range(len(shape)))):
            for name in ("sum", "max", "min"):
                found[f"reduce.{name} {shape} {axes}"] = _kernel(f"reduce.{name}", x, axes=axes)
    found["reduce.logsumexp of long rows"] = _kernel("reduce.logsumexp", normal(3, 2000), axes=(1,))

    index = random.integers(-9, 9, 600)
    found["shape.scatter_add of many"] = _kernel("shape.scatter_add", normal(600, 3), index, axis=0, size=9)
    found["matmul.matmul of tiles"] = _kernel("matmul.matmul", normal(130, 70), normal(70, 67))
    found["matmul.matmul of tiles, transposed"] = _kernel(
        "matmul.matmul", normal(2, 70, 130), normal(67, 70), trans_a=True, trans_b=True
    )
    for name, arrays, params in products(dtype):
        found[name] = _kernel(name.split()[0], *arrays, **params)
        if name.startswith(("matmul.", "conv.conv2d")):  # what is rounded already is the reference's to float32
            found[f"{name} in tf32"] = _in_tf32(_kernel(name.split()[0], *map(rounded, arrays), **params))
    for i, (name, shapes, params) in enumerate(LONG):
        found[f"{name} of long rows {i}"] = _kernel(name, *[drawn(shape, dtype, random) for shape in shapes], **params)
    one = np.ones(1)
    p, state, none, step = normal(40), normal(40) ** 2, normal(0), np.array([2])
    alone: dict[str, tuple[np.ndarray, ...]] = {  # of one array: real threads are few
        "sgd": (p, none, one, one, p),
        "momentum": (p, state, one, one, p),
        "adam": (p, p, state, one, one, step, p),
        "adamax": (p, p, state, one, one, step, p),
        "rmsprop": (p, state, none, none, one, one, p),
        "adadelta": (p, state, state, one, one, p),
    }
    for rule, given in alone.items():
        options = {"momentum": 0.9} if rule == "momentum" else {}
        found[f"optim.{rule} alone"] = _kernel(f"optim.{'sgd' if options else rule}", *given, **options)
    found["optim.ema"] = _kernel("optim.ema", normal(300), normal(300), decay=0.9)
    found["optim.scaled"] = _kernel("optim.scaled", normal(300), np.array([0.3]))
    found["optim.sum_squares"] = _kernel("optim.sum_squares", normal(9000), normal(3, 4), normal(0))
    found["optim.clip_scale"] = _kernel("optim.clip_scale", np.array([9.0]), np.array([16.0]), max_norm=1.0)
    found["optim.clip_scale of little"] = _kernel("optim.clip_scale", np.array([0.25]), max_norm=1.0)
    found["optim.clip_scale to none"] = _kernel("optim.clip_scale", np.array([np.inf]), max_norm=1.0)
    return found | {f"optim.{name}": _trained(name, dtype) for name in OPTIMIZERS}


# -- what a run launches ----------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """A run in float32, what must come out, and what it launches."""

    name: str
    run: Callable[[str], Results]
    expected: Results
    tolerance: float
    files: set[str]  # "family/file.cu", and the headers of it
    threads: Counter[str]  # of each kernel
    seconds: float


def trials() -> Iterator[Trial]:
    """All cases and extras, run once."""
    runs: list[tuple[str, Callable[[str], Results], float]] = [
        (name, lambda device, case=case, seed=seed: results(case, device, np.float32, seed), case.tolerance)
        for name, case in ported().items()
        for seed in range(3)
    ]
    runs += [(name, extra, 1.0) for name, extra in extras(np.float32).items()]
    for name, run, tolerance in runs:
        with kernels.backend("reference"):
            expected = run("cpu")
        files, threads, began = set(), Counter[str](), time.perf_counter()
        with on_cuda(), _launches() as seen:
            run("cuda")
        for source, kernel, count in seen:
            text = source.path.read_text("utf-8")
            files |= {f"{source.path.parent.name}/{source.path.name}", *INCLUDE.findall(text)}
            threads[kernel] += count
        yield Trial(name, run, expected, tolerance, files, threads, time.perf_counter() - began)


@contextmanager
def _launches() -> Iterator[list[tuple[Source, str, int]]]:
    """The (source, kernel, threads) of what is launched inside."""
    seen: list[tuple[Source, str, int]] = []
    init = launcher.Launcher.__init__

    def observed(self: Any, source: Source, name: str, grid: Any, block: Any, *args: Any, **more: Any) -> None:
        seen.append((source, name, prod(grid) * prod(block)))
        init(self, source, name, grid, block, *args, **more)

    launcher.Launcher.__init__ = observed
    try:
        yield seen
    finally:
        launcher.Launcher.__init__ = init


def cheapest() -> set[str]:
    """Names of cases that launch every kernel, by as few threads as it can be: for real ones."""
    known, found = sorted(trials(), key=lambda trial: trial.threads.total()), set()
    covered: set[str] = set()
    for trial in known:
        if trial.threads.keys() - covered:
            found.add(trial.name)
            covered |= trial.threads.keys()
    return found


def main(names: list[str]) -> None:
    """Run cases and extras, for a sanitizer to watch; with real threads in float32 alone."""
    ran, threads = 0, host_build.sanitizer() == "thread"
    if ON_GPU:
        import cupy

        cupy.cuda.set_allocator(None)  # no pool: what lies past an array is no array's
    with on_cuda():
        for dtype in (np.float32,) if threads else (np.float32, np.float64):
            for name, extra in extras(dtype).items():
                if name in names or not names:
                    extra("cuda")
                    ran += 1
            for name, case in ported().items():
                for seed in range(1 if threads else 2):
                    if name in names or not names:
                        results(case, "cuda", dtype, seed)
                        ran += 1
    print(f"{ran} ran")


if __name__ == "__main__":
    if sys.argv[1:] == ["--cheapest"]:
        print(*sorted(cheapest()), sep="\n")
    else:
        main(sys.argv[1:])
