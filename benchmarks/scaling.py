"""How the cost of a training step grows with batch, width, depth, image side and threads, ours and PyTorch's eager."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tinygen import models

from . import steps
from .sides import Comparison, compare
from .steps import CASES, KEY, Case
from .suite import Row, Settings, benchmark

PEER = "torch"  # as people write it: where the curves bend is what these rows are about


@dataclass(frozen=True)
class Series:
    """One quantity that grows: its name, its values, and the case for each of them."""

    axis: str
    what: str
    values: Sequence[int]
    case: Callable[[int], Case]


def _batch(n: int) -> Case:
    case = CASES["vae_mlp"]
    return replace(case, batch=(n, *case.batch[1:]))


def _width(hidden: int) -> Case:
    return replace(CASES["vae_mlp"], width=hidden)


def _depth(couplings: int) -> Case:
    def build(width: int) -> models.Model:
        return models.RealNVP((64,), hidden=width, couplings=couplings, key=KEY)

    return replace(CASES["realnvp_tabular"], model=build)


def _side(side: int) -> Case:
    def build(width: Any) -> models.Model:
        return models.VAE(
            (side, side, 3), levels=256, decoder="gaussian", architecture="conv", hidden=width, latent=64, key=KEY
        )

    return replace(CASES["vae_conv"], model=build, batch=(16, side, side, 3))


SERIES = {
    "scaling_batch": Series("batch", "VAE 784-500-20", (8, 32, 128, 512), _batch),
    "scaling_width": Series("hidden units", "VAE 784-width-20, batch 128", (64, 128, 256, 512, 1024), _width),
    "scaling_depth": Series("couplings", "RealNVP D=64, hidden 128, batch 256", (2, 5, 10, 20), _depth),
    "scaling_side": Series("image side", "convolutional VAE, channels 32-64-128, batch 16", (16, 32, 64), _side),
}
THREADS = "vae_conv"  # the model whose step is timed with 1 thread to all


COMPARISONS = {
    (name, at): steps.comparison(f"{name} at {at}", series.case(at), (PEER,))
    for name, series in SERIES.items()
    for at in series.values
}
AT_THREADS = steps.comparison("scaling_threads", CASES[THREADS], (PEER,))


def point(at: int, compared: Comparison, settings: Settings) -> Row:
    """One point: parity, then both sides in turns."""
    row = compare(compared, settings).rows["step"]
    return {"at": at} | {entry: row[entry] for entry in ("ours_ms", "spread", "peers", "ratio", "ratio_spread")}


def measure(name: str, settings: Settings) -> Row:
    """The row of one series; its smallest and largest value only if asked for quickly."""
    series = SERIES[name]
    values = (series.values[0], series.values[-1]) if settings.quick else series.values
    return {"axis": series.axis, "points": [point(at, COMPARISONS[name, at], settings) for at in values]}


def threads(settings: Settings) -> Row:
    """The same step with 1, 2, 4, ... threads and all."""
    counts = sorted({1 << i for i in range(settings.threads.bit_length())} | {settings.threads})
    points = [point(n, AT_THREADS, replace(settings, threads=n)) for n in counts if n <= settings.threads]
    return {"axis": "threads", "points": points}


for _name, _series in SERIES.items():
    _what = f"{_series.what}: training step by {_series.axis}"
    benchmark(_name, group="scaling", what=_what)(partial(measure, _name))
benchmark("scaling_threads", group="scaling", what=f"{CASES[THREADS].what}: training step on 1 thread to all")(threads)
