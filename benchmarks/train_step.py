"""One whole training step (loss, gradients, Adam) of two models, ours against PyTorch's.

VAE 784-500-20, batch 128, and PixelCNN with h = 64 and 7 blocks on 28x28, batch 16; binary data, float32.  README.md
beside this file says how each number is taken.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from tinygen import models, optim
from tinygen.autograd import grad
from tinygen.random import Key
from tinygen.testing.twins import Twin

from . import harness
from .harness import BenchmarkError

Step = Callable[[np.ndarray], Any]  # of a batch (N, 28, 28, 1); returns the loss

KEY = Key(0)
PARITY_STEPS, PARITY = 3, 1e-4  # relative difference of float32 losses


class Case(NamedTuple):
    """A model on binary images (28, 28, 1) by its width, and the width and the batch it is timed with."""

    model: Callable[[int], models.Model]
    width: int
    batch: int


CASES = {
    "vae": Case(lambda width: models.VAE((28, 28, 1), levels=2, hidden=width, latent=20, key=KEY), 500, 128),
    "pixelcnn": Case(lambda width: models.PixelCNN((28, 28, 1), levels=2, channels=width, blocks=7, key=KEY), 64, 16),
}


def images(n: int) -> np.ndarray:
    """Zeros and ones, one in five, float32 as a loader would hand them to either side."""
    return (np.random.Generator(np.random.Philox(1)).random((n, 28, 28, 1)) < 0.2).astype(np.float32)


def our_step(model: models.Model) -> Step:
    """A function that makes one training step on a batch."""
    parameters = model.parameters()
    adam = optim.Adam(parameters, lr=1e-3)
    numbers = itertools.count()

    def step(x: np.ndarray) -> Any:
        loss = model.loss(x, key=KEY.fold_in(next(numbers)))
        adam.update(grad(loss, parameters))
        return loss

    return step


def torch_step(model: models.Model) -> Step:
    """The same as people write it in PyTorch; the noise is PyTorch's own."""
    import torch

    net = Twin(model).net
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step(x: np.ndarray) -> Any:
        adam.zero_grad()
        loss = net.loss(torch.from_numpy(x).permute(0, 3, 1, 2))  # one channel: a view, and contiguous
        loss.backward()
        adam.step()
        return loss

    return step


SIDES: dict[str, Callable[[models.Model], Step]] = {"tinygen": our_step, "torch": torch_step}


def check_parity(name: str) -> float:
    """The largest relative difference of the losses over a few steps from equal weights, data and noise.

    Raises BenchmarkError where it is more than rounding explains: what does not agree is not timed.
    """
    import torch

    case = CASES[name]
    model, x = case.model(case.width), images(8)
    twin, parameters = Twin(model), model.parameters()
    ours, theirs = optim.Adam(parameters, lr=1e-3), torch.optim.Adam(twin.parameters(), lr=1e-3)
    worst = 0.0
    for i in range(PARITY_STEPS):
        loss, peer = model.loss(x, key=KEY.fold_in(i)), twin.loss(x, key=KEY.fold_in(i))
        ours.update(grad(loss, parameters))
        theirs.zero_grad()
        peer.backward()
        theirs.step()
        worst = max(worst, abs(loss.item() / peer.item() - 1))
    if not worst <= PARITY:
        raise BenchmarkError(f"{name}: losses differ by {worst:.2g} (relative) from PyTorch's. Not timed.")
    return worst


def measure(name: str, *, rounds: int, threads: int) -> dict[str, Any]:
    """Everything about one case, JSON-ready."""
    case = CASES[name]
    difference = check_parity(name)
    x = images(case.batch)
    times = harness.interleave(
        {side: partial(make(case.model(case.width)), x) for side, make in SIDES.items()}, rounds=rounds
    )
    ours, peer = times["tinygen"], times["torch"]
    of, low, high = harness.ratio(ours, peer)
    with TemporaryDirectory() as cache:
        cold = startup(name, threads, cache)
        warm = median(startup(name, threads, cache) for _ in range(3))
        peak = {side: run_worker("memory", name, side, threads, cache) for side in SIDES}
    return {
        "name": f"{name} b{case.batch}", "parity": difference,
        "ours_ms": ours.median, "spread": [ours.low, ours.high],
        "peers": {"torch": {"ms": peer.median, "spread": [peer.low, peer.high]}},
        "ratio": of, "ratio_spread": [low, high],
        "peak_mib": peak,
        "start_s": {"cold": cold, "warm": warm},
    }  # fmt: skip


# -- in processes of their own -----------------------------------------------------------------------------------------


def run_worker(what: str, name: str, side: str, threads: int, cache: str) -> Any:
    """What `worker` returns in a process of its own, with its compiled kernels in the folder `cache`."""
    arguments = ["--worker", what, "--case", name, "--side", side, "--threads", str(threads)]
    return harness.in_subprocess(f"{__package__}.train_step", arguments, {"TINYGEN_CACHE": cache})


def worker(what: str, name: str, side: str) -> float:
    """ "memory": the peak of three steps, in MiB.  "start": makes one step, as a script would."""
    case, make = CASES[name], SIDES[side]
    model, x = case.model(case.width), images(case.batch)
    if what == "start":
        return float(make(model)(x).item())
    make(case.model(8))(images(1))  # loads code and starts threads, with hardly any data

    def train() -> None:
        step = make(model)
        for _ in range(3):
            step(x)

    return harness.peak_memory(train)


def startup(name: str, threads: int, cache: str) -> float:
    """Seconds of a whole process that imports tinygen, builds the model, makes one step and ends."""
    start = perf_counter()
    run_worker("start", name, "tinygen", threads, cache)
    return perf_counter() - start


def import_seconds() -> float:
    """Seconds that `import tinygen` takes in a fresh process, the median of five."""
    program = "from time import perf_counter as t; a = t(); import tinygen; print(t() - a)"
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True) for _ in range(5)]
    return median(float(run.stdout) for run in runs)


# -- the report --------------------------------------------------------------------------------------------------------


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results as text: medians with quartiles, memory and starts."""

    def spread(middle: float, around: Sequence[float], digits: int = 1) -> str:
        return f"{middle:.{digits}f} ({around[0]:.{digits}f}-{around[1]:.{digits}f})"

    rows = [("step", "tinygen ms", "torch ms", "ratio", "peak MiB", "torch", "cold s", "warm s")]
    for r in results:
        torch, peak, start = r["peers"]["torch"], r["peak_mib"], r["start_s"]
        times = spread(r["ours_ms"], r["spread"]), spread(torch["ms"], torch["spread"])
        memory = f"{peak['tinygen']:.1f}", f"{peak['torch']:.1f}"
        starts = f"{start['cold']:.1f}", f"{start['warm']:.1f}"
        rows.append((r["name"], *times, spread(r["ratio"], r["ratio_spread"], 2), *memory, *starts))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows)


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; see `--help`."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__} train_step", description=__doc__.split("\n")[0])
    parser.add_argument("--case", choices=CASES, help="only this model")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both sides (default: all cores)")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--worker", choices=("memory", "start"), help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.rounds < 2:
        parser.error("--rounds must be at least 2: a spread is reported")
    harness.use_threads(args.threads)
    if args.worker:
        print(json.dumps(worker(args.worker, args.case, args.side)))
        return 0
    names = [args.case] if args.case else list(CASES)
    report: dict[str, Any] = {
        "machine": harness.machine(args.threads),
        "import_s": import_seconds(),
        "results": [measure(name, rounds=args.rounds, threads=args.threads) for name in names],
    }
    print(", ".join(f"{k} {v}" for k, v in report["machine"].items()))
    print(f"import tinygen: {report['import_s']:.2f} s\n")
    print(table(report["results"]))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
