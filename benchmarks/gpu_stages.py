"""The stages of gpu_check.py: each yields rows, what was looked at, what came out, whether it is well."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import tinygen as tg
from tinygen import kernels
from tinygen.kernels import _devices
from tinygen.random import Key

ROOT = Path(__file__).resolve().parent.parent


class Row(NamedTuple):
    """One line of the table."""

    what: str
    said: str
    ok: bool = True


def _gpu() -> bool:
    return not _devices.emulating()


def _synchronize() -> None:
    if _gpu():
        _devices.there("cuda").cuda.get_current_stream().synchronize()


def _there(array: np.ndarray) -> Any:
    return _devices.moved(array, "cuda")


def _drawn(*shape: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(0)).standard_normal(shape, np.float32)


# -- time --------------------------------------------------------------------------------------------------------------


def milliseconds(function: Callable[[], Any], event: Callable[[], Any] | None, quick: bool) -> float:
    """Of one call: the median of batches, by events of the device where there are some; first calls are not counted."""
    for _ in range(3):
        function()
    repeats, batches = (1, 2) if quick else (10, 7)
    found = []
    for _ in range(batches):
        begin, since = event() if event else None, time.perf_counter()
        for _ in range(repeats):
            function()
        took = 1e3 * (time.perf_counter() - since)
        if begin is not None and event is not None:
            took = _elapsed(begin, event())
        found.append(took / repeats)
    return median(found)


def _our_event() -> Callable[[], Any] | None:
    """Makes events that are recorded at once."""
    if not _gpu():
        return None
    cupy = _devices.there("cuda")

    def event() -> Any:
        made = cupy.cuda.Event()
        made.record()
        return made

    return event


def _torch_event() -> Callable[[], Any] | None:
    if not _gpu():
        return None
    import torch

    def event() -> Any:
        made = torch.cuda.Event(enable_timing=True)
        made.record()
        return made

    return event


def _elapsed(begin: Any, end: Any) -> float:
    end.synchronize()
    if hasattr(begin, "elapsed_time"):
        return float(begin.elapsed_time(end))  # of PyTorch
    return float(_devices.there("cuda").cuda.get_elapsed_time(begin, end))


# -- right -------------------------------------------------------------------------------------------------------------


def machine(quick: bool) -> Iterator[Row]:
    """What there is."""
    from tinygen.kernels._cuda.survey import advice, survey

    for name, said in advice(survey()).items():
        yield Row(name, said)
    for tool in ("nvidia-smi", "compute-sanitizer"):
        path = _tool(tool)
        yield Row(tool, path or "missing", bool(path) or not _gpu())
    yield Row("pytorch", "installed" if find_spec("torch") else "missing: no step is compared with it")


def _tool(name: str) -> str | None:
    return shutil.which(name) or shutil.which(f"/usr/local/cuda/bin/{name}")


def bits(quick: bool) -> Iterator[Row]:
    """The same random bits as the CPU's, and the same bits twice."""
    n = 1003 if quick else 1_000_003
    key = np.array([0x12345678, 0x9ABCDEF0], np.uint32)
    draws: dict[str, dict[str, Any]] = {
        "bits": {"shape": (n,)}, "uniform": {"shape": (n,), "dtype": np.dtype(np.float32)},
        "permutation": {"n": n // 100},
    }  # fmt: skip
    for name, how in draws.items():
        here, there = (kernels.registry[f"random.{name}"](k, **how) for k in (key, _there(key)))
        yield Row(f"Philox, {name}: the CPU's bits", f"{here.size} entries", here.tobytes() == there.get().tobytes())
    for name, case in _cases(quick).items():
        first, second = (_losses(case, 3) for _ in range(2))
        yield Row(f"{name}: three steps twice, equal bits", f"losses {first[-1]}", first == second)


def tests(quick: bool) -> Iterator[Row]:
    """The tests marked `cuda`."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "cuda and not exhaustive", "tests"]
    command += ["-k", "test_small_norms_are_left_alone"] if quick else []
    command += ["-n", "4"] if find_spec("xdist") and not quick else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            yield Row("test", line, False)
    yield Row("tests marked cuda", lines[-1] if lines else done.stderr[-200:], done.returncode == 0)


def _sanitizer(tool: str) -> Iterator[Row]:
    path = _tool("compute-sanitizer")
    if path is None:
        yield Row(tool, "compute-sanitizer is missing: install CUDA's toolkit", not _gpu())
        return
    program = [sys.executable, "tests/cudacases.py"]
    look = subprocess.run([*program, "--cheapest"], cwd=ROOT, capture_output=True, text=True, check=True)  # not watched
    names = look.stdout.splitlines()
    command = [path, "--tool", tool, "--error-exitcode", "9", *program, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()
    said = next((line for line in lines if "ERROR SUMMARY" in line), lines[-1] if lines else "")
    yield Row(f"{tool}, every kernel", said.strip("= "), done.returncode == 0)
    if done.returncode:
        for line in [line for line in lines if line.startswith("=========")][1:6]:
            yield Row(tool, line.strip("= "), False)


def memcheck(quick: bool) -> Iterator[Row]:
    """Reads and writes past an end."""
    return _sanitizer("memcheck")


def racecheck(quick: bool) -> Iterator[Row]:
    """Races in shared memory."""
    return _sanitizer("racecheck")


def synccheck(quick: bool) -> Iterator[Row]:
    """Barriers that a part of a block reaches."""
    return _sanitizer("synccheck")


def initcheck(quick: bool) -> Iterator[Row]:
    """Reads of what nobody wrote."""
    return _sanitizer("initcheck")


# -- steps -------------------------------------------------------------------------------------------------------------


def _cases(quick: bool) -> dict[str, Any]:
    from tinygen.benchmarks import steps

    return {"vae_mlp": steps.CASES["vae_mlp"]} if quick else steps.CASES


def _built(case: Any, quick: bool = False) -> tuple[Any, np.ndarray]:
    model = case.build(16 if quick else None)
    return model, case.data(4 if quick else None)


def _keys() -> Iterator[Key]:
    from tinygen.benchmarks.steps import KEY

    count = 0
    while True:
        yield KEY.fold_in(count).to("cuda")
        count += 1


def _losses(case: Any, count: int) -> list[list[float]]:
    """Of some steps on the device."""
    from tinygen.benchmarks.steps import our_step

    model, x = _built(case, not _gpu())
    step, there, keys = our_step(model.to("cuda"), case.rate), tg.Tensor(x).to("cuda"), _keys()
    return [[float(loss) for loss in step(there, key=next(keys))] for _ in range(count)]


def steps(quick: bool) -> Iterator[Row]:
    """Training steps, ours and PyTorch's: the same losses, then how long, in float32 and in TF32 on both sides."""
    for name, case in _cases(quick).items():
        for precision in ("float32", "tf32"):
            _torch_precision(precision)
            with tg.float32_matmul_precision(precision):
                yield from _steps(f"{name}, {precision}", case, precision == "float32", quick)


def _steps(what: str, case: Any, equal: bool, quick: bool) -> Iterator[Row]:
    """One model in one precision; `equal`: the losses of both sides are compared."""
    from tinygen.benchmarks import parity
    from tinygen.benchmarks.steps import feeds, our_step

    model, x = _built(case, quick)
    peers = list(_peers(case, model, x, quick))
    fed = feeds(model, x) if peers else []
    step, there, keys = our_step(model.to("cuda"), case.rate), tg.Tensor(x).to("cuda"), _keys()
    ours = np.array([[float(loss) for loss in step(there, key=next(keys))] for _ in range(max(3, len(fed)))])
    if equal and peers:
        form, peer = peers[0]
        theirs = np.array([peer.feed(inputs) for inputs in fed])
        apart = parity.relative({"losses": ours}, {"losses": theirs})
        yield Row(f"{what}: losses beside {form}'s", f"{apart:.1e} apart", apart <= 10 * case.tolerance)
    eager, replayed = (
        milliseconds(partial(form, there, key=next(keys)), _our_event(), quick) for form in (step.fn, step)
    )
    yield Row(f"{what}: ours", f"{replayed:.3f} ms recorded, {eager:.3f} ms eager")
    for form, peer in peers:
        took = milliseconds(peer, _torch_event(), quick)
        yield Row(f"{what}: {form}", f"{took:.3f} ms, {took / replayed:.2f}x ours")


def _torch_precision(precision: str) -> None:
    """PyTorch's convolutions are in TF32 unless told."""
    if find_spec("torch"):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True


def _peers(case: Any, model: Any, x: np.ndarray, quick: bool) -> Iterator[tuple[str, Any]]:
    """PyTorch's forms on the same card."""
    if not find_spec("torch"):
        return
    from tinygen.benchmarks.peers.torch_forms import FORMS, TorchPeer

    forms = [form for form in ("torch", "torch fused", "torch channels-last") if form == "torch" or form in case.forms]
    for form in forms[:1] if quick else forms:
        yield form, TorchPeer(FORMS[form], model, x, case.rate, 1, "cuda" if _gpu() else "cpu")


# -- kernels -----------------------------------------------------------------------------------------------------------


def ops(quick: bool) -> Iterator[Row]:
    """Products and convolutions in GFLOP/s; elementwise kernels beside a copy by the device."""
    for n in (32,) if quick else (512, 1024, 2048, 4096):
        a, b = _drawn(n, n), _drawn(n, n)
        ours = [_there(a), _there(b)]
        yield from _rates(
            f"product of {n}", 2.0 * n**3, partial(kernels.matmul.matmul, *ours), _torch_matmul(a, b), quick
        )
    for images, side, c, o in ((1, 5, 3, 4),) if quick else ((64, 32, 64, 64), (64, 16, 128, 128), (128, 28, 64, 128)):
        x, w = _drawn(images, side, side, c), _drawn(3, 3, c, o)
        ours = [_there(x), _there(w)]
        convolved = partial(kernels.conv.conv2d, *ours, pad=((1, 1), (1, 1)))
        flops = 2.0 * 9 * images * side * side * c * o
        yield from _rates(f"convolution {images}x{side}x{side}, {c} to {o}", flops, convolved, _torch_conv(x, w), quick)
    n = 1 << (12 if quick else 26)
    x, y = _there(_drawn(n)), _there(_drawn(n))
    event = _our_event()
    copied = milliseconds(partial(y.__setitem__, ..., x), event, quick)  # by the device itself
    for name, of, arrays in (("copy", 2, (x,)), ("add", 3, (x, y)), ("exp", 2, (x,))):
        kernel = kernels.shape.copy if name == "copy" else getattr(kernels.elementwise, name)
        took = milliseconds(partial(kernel, *arrays), event, quick)
        share = copied * of / 2 / took
        yield Row(
            f"{name} of {n} float32", f"{4e-6 * of * n / took:.4g} GB/s, {share:.2f} of what the device copies at"
        )


def _rates(what: str, flops: float, ours: Callable[[], Any], theirs: Any, quick: bool) -> Iterator[Row]:
    """In float32, and in TF32 on both sides."""
    for precision in ("float32", "tf32"):
        with tg.float32_matmul_precision(precision):
            rate = 1e-6 * flops / milliseconds(ours, _our_event(), quick)
        said = f"{rate:.4g} GFLOP/s"
        if theirs is not None:
            other = 1e-6 * flops / milliseconds(partial(theirs, precision), _torch_event(), quick)
            said += f", PyTorch {other:.4g}: {rate / other:.2f} of it"
        yield Row(f"{what}, {precision}", said)


def _torch(a: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(a).to("cuda" if _gpu() else "cpu")


def _torch_matmul(a: np.ndarray, b: np.ndarray) -> Callable[[str], Any] | None:
    if not find_spec("torch"):
        return None
    import torch

    left, right = _torch(a), _torch(b)

    def product(precision: str) -> Any:
        _torch_precision(precision)
        return torch.matmul(left, right)

    return product


def _torch_conv(x: np.ndarray, w: np.ndarray) -> Callable[[str], Any] | None:
    if not find_spec("torch"):
        return None
    import torch

    images = _torch(x).permute(0, 3, 1, 2)  # channels-last in memory, as it is
    weights = _torch(w).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)

    def convolution(precision: str) -> Any:
        _torch_precision(precision)
        return torch.nn.functional.conv2d(images, weights, padding=1)

    return convolution
