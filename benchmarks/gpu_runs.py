"""The stages of gpu_check.py that train: runs of each family from one seed, on the GPU and on the CPU.

Both take the same noise and the same batches, so early losses differ by rounding only; training carries that on, so the
figures at the end may be further apart.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from tinygen.benchmarks.gpu_stages import Row

EARLY, ROUNDING = 10, 1e-3  # steps, and how far their losses may be apart, relative


class Plan(NamedTuple):
    """Of a family: steps on the digits and on MNIST, and how far the figures after them may be apart, relative."""

    digits: int
    mnist: int
    tolerance: float


FAMILIES = {
    "vae": Plan(300, 300, 0.02),
    "gan": Plan(300, 30, 0.5),  # two players carry rounding on much further
    "realnvp": Plan(300, 20, 0.05),  # a relu that falls on the other side
    "pixelcnn": Plan(200, 20, 0.02),
}
SMALL: dict[str, dict[str, Any]] = {
    "vae": {"hidden": 8, "latent": 4}, "gan": {"hidden": 8, "latent": 4}, "realnvp": {"hidden": 8, "blocks": 1},
    "pixelcnn": {"channels": 4, "blocks": 1},
}  # fmt: skip


def training(quick: bool) -> Iterator[Row]:
    """Each family on the digits."""
    with TemporaryDirectory() as folder:
        for family, plan in FAMILIES.items():
            yield _compared(Path(folder), family, "digits", None, 2 if quick else plan.digits, quick)


def mnist(quick: bool) -> Iterator[Row]:
    """Each family on 6,000 images of MNIST, where it is at hand."""
    from tinygen.data import load
    from tinygen.errors import DataError

    try:
        images = load("mnist").train.x[: 40 if quick else 6000]
    except DataError as error:
        yield Row("MNIST", f"not tried: {error}")
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mnist.npy"
        np.save(path, images)
        for family, plan in FAMILIES.items():
            yield _compared(Path(folder), family, str(path), 256, 1 if quick else plan.mnist, quick)


def _compared(folder: Path, family: str, data: str, levels: int | None, steps: int, quick: bool) -> Row:
    figures, seconds, losses = {}, [], []
    for device in ("cuda", "cpu"):
        begin = time.perf_counter()
        figures[device], found = _trained(folder / device, family, data, levels, device, steps, quick)
        seconds.append(f"{time.perf_counter() - begin:.0f} s")
        losses.append(found)
    there, here = figures["cuda"], figures["cpu"]
    early = max(abs(b / a - 1) for a, b in zip(*[found[:EARLY] for found in losses], strict=True))
    apart = max(abs(there[name] - here[name]) / max(abs(here[name]), 1e-12) for name in here)
    tolerance = FAMILIES[family].tolerance
    said = ", ".join(f"{name} {there[name]:.4g} and {here[name]:.4g}" for name in here)
    limits = f"{apart:.1e} apart, {tolerance} allowed; early losses {early:.1e}, {ROUNDING} allowed"
    return Row(
        f"{family} on {Path(data).stem}, {steps} steps, GPU and CPU",
        f"{said}: {limits}; {' and '.join(seconds)}",
        apart <= tolerance and early <= ROUNDING,
    )


def _trained(
    folder: Path, family: str, data: str, levels: int | None, device: str, steps: int, quick: bool
) -> tuple[dict[str, float], list[float]]:
    """(the figures of a run on what it was not trained on, and its last losses; the loss of each step)."""
    from tinygen.train import Run, Trainer, report

    layers: list[dict[str, Any]] = [
        {"steps": steps, "batch_size": 8 if quick else 64, "device": device, "log_every": 1},
        {"model": SMALL[family] if quick else {}},
    ]
    run = Run.new(folder / f"{family} {Path(data).stem}", family, data, layers, levels=levels)
    Trainer(run).fit()
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [value for row in rows for name, value in row.items() if "loss" in name]
    last = {name: value for row in rows for name, value in row.items() if "loss" in name}
    found = {**last, **report(run, "test", run.load_weights())}
    return {name: value for name, value in found.items() if isinstance(value, float) and np.isfinite(value)}, losses
