"""Peak memory of a training step, ours over PyTorch's, each side in a process of its own.

python -m tinygen.benchmarks.memory CASE SIDE        the peak in MiB; SIDE is tinygen or a form of PyTorch
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from . import harness, peers
from .steps import CASES, KEY, our_step
from .suite import Row, Settings, benchmark

STEPS = 4  # eager, recorded, replayed twice
SIDES = ("torch", "torch fused", "torch channels-last")  # eager: what compiling leaves behind would be counted too
SMALL = 8  # width of the model that loads code and starts threads


def trainer(side: str, name: str, width: Any, n: int, threads: int) -> Callable[[], Any]:
    """A function that makes what training needs beside our model and a batch of n, and trains for a few steps.

    Both sides pay for one copy of the weights: PyTorch's net has its own, and so has our optimizer, which moves the
    model's weights into one block.
    """
    case = CASES[name]
    model, x = case.build(width), case.data(n)
    weights = [p.data for p in model.parameters()]  # kept, so that moving them does not give memory back

    def train() -> Any:
        if side == "tinygen":
            step = our_step(model, case.rate)
            for i in range(STEPS):
                step(x, key=KEY.fold_in(i))
        else:
            peer = peers.make(side, model, x, rate=case.rate, threads=threads)
            for _ in range(STEPS):
                peer()
        return weights

    return train


def peak(name: str, side: str, threads: int) -> float:
    """MiB that training takes at most: weights, Adam's averages, gradients, activations, work space, prepared data.

    A model of the same kind, 8 wide, is trained first, on two examples: it loads code and starts threads, for what
    libraries and compiled kernels take does not count.
    """
    case = CASES[name]
    small = tuple(SMALL for _ in case.width) if isinstance(case.width, tuple) else SMALL
    trainer(side, name, small, 2, threads)()
    return harness.peak_memory(trainer(side, name, None, case.batch[0], threads))


def measure(name: str, settings: Settings) -> dict[str, float]:
    """MiB of every side that runs here."""
    forms = [form for form in SIDES if form in CASES[name].forms and peers.reason_missing(form) is None]
    return {
        side: harness.in_subprocess(f"{__package__}.memory", [name, side, str(settings.threads)], {})
        for side in ("tinygen", *forms)
    }


@benchmark(
    "memory", group="machine", what="peak memory of a training step, the best of PyTorch's over ours, worst model"
)
def memory(settings: Settings) -> Row:
    """ratio is that of the worst model: at least 1 says that no model takes more memory than in PyTorch."""
    names = ["vae_mlp", "realnvp_tabular"] if settings.quick else list(CASES)
    parts = {name: measure(name, settings) for name in names}
    ratios = {
        name: min(mib for side, mib in peak.items() if side != "tinygen") / peak["tinygen"]
        for name, peak in parts.items() if len(peak) > 1
    }  # fmt: skip
    row: Row = {
        "name": "memory",
        "what": "peak MiB of a training step: the least of PyTorch's eager forms over ours; ratio is the worst model's",
        "parts": [{"name": name, "peak_mib": peak, "ratio": ratios.get(name)} for name, peak in parts.items()],
    }
    if ratios:
        row["worst"] = min(ratios, key=lambda name: ratios[name])
        row["ratio"] = ratios[row["worst"]]
    return row


if __name__ == "__main__":
    case_name, side_name, threads_used = sys.argv[1:]
    harness.use_threads(int(threads_used))
    print(json.dumps(peak(case_name, side_name, int(threads_used))))
