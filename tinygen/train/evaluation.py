"""Figures of a model over a split, and its samples: the same keys give the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data import Dataset, Split
from ..data.toys import RING_STD
from ..errors import ArgumentError, NonFiniteError, check
from ..kernels._devices import moved
from ..metrics import bits_per_dim, mode_coverage
from ..models import Model
from ..modes import no_grad
from ..random import Key
from ..step import step
from .run import Run

ROWS = 100  # examples evaluated at once: part of what a figure with drawn noise depends on
REPLAY_FROM = 5  # batches
WEIGHTS = 5_000  # importance weights at once, which bounds the memory at any k
DRAWN = 250  # samples drawn at once
COVERAGE_SAMPLES = 10_000


def evaluate(
    model: Model, split: Split, *, key: Key, iwae_samples: int = 0, between: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """name -> mean over the split, in float64, of the figures of `model.evaluate`; {} for a model without any.

    iwae_samples   k of the importance-weighted bound, for models that have one; 0 leaves it out.
    between        called before each batch; it may raise to stop.
    Raises NonFiniteError, with the row, for a figure that is not finite: none is left out of a mean.
    """
    has_bound = hasattr(model, "iwae_samples")
    check(has_bound or not iwae_samples, ArgumentError, f"evaluate: {type(model).__name__} has no bound of k samples.")
    rows = ROWS if iwae_samples * ROWS <= WEIGHTS else max(1, WEIGHTS // iwae_samples)
    found: dict[str, list[np.ndarray]] = {}
    training, device, k_before = model.training, model.device, getattr(model, "iwae_samples", None)
    model.eval()
    # batches of one size are recorded and replayed, where they are so many that it pays
    replayed = step(model.evaluate) if len(split) >= REPLAY_FROM * rows else model.evaluate
    if has_bound:
        model.iwae_samples = iwae_samples  # type: ignore[attr-defined]
    try:
        with no_grad():
            for x, batch_key in split.batches(rows, key=key, shuffle=False, drop_last=False):
                between()
                look = replayed if len(x) == rows else model.evaluate
                for name, values in look(moved(x, device), key=batch_key.to(device)).items():
                    found.setdefault(name, []).append(values.numpy().astype(np.float64))
    finally:
        model.train(training)
        if has_bound:
            model.iwae_samples = k_before  # type: ignore[attr-defined]
    return {name: _mean(name, np.concatenate(parts)) for name, parts in found.items()}


def _mean(name: str, values: np.ndarray) -> float:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        row = bad[0]
        raise NonFiniteError(f"evaluate: {name} is {values[row]} for row {row} ({len(bad)} of {len(values)} rows).")
    return float(values.mean())


def figures(
    model: Model, dataset: Dataset, split: Split, *, key: Key, iwae_samples: int | None = None
) -> dict[str, float | int]:
    """All that can be said of a model on this split, nats per example.

    What `evaluate` gives (iwae_nats with the k the model has, unless said); bits_per_dim where nll_nats is of integers;
    on data whose modes are known also modes_covered and share_within_3_std, of 10,000 samples.
    """
    k = getattr(model, "iwae_samples", 0) if iwae_samples is None else iwae_samples
    found: dict[str, Any] = evaluate(model, split, key=key.fold_in("figures"), iwae_samples=k)
    if "iwae_nats" in found:
        found["iwae_k"] = k
    if "nll_nats" in found and dataset.levels is not None:
        found["bits_per_dim"] = bits_per_dim(found["nll_nats"], dataset.dims)
    if dataset.modes is not None:
        coverage = mode_coverage(draw(model, COVERAGE_SAMPLES, key=key.fold_in("modes")), dataset.modes, RING_STD)
        found["modes"] = len(dataset.modes)
        found["modes_covered"] = coverage.covered
        found["share_within_3_std"] = coverage.good
    return found


def report(run: Run, split: str, step: int, *, iwae_samples: int | None = None) -> dict[str, Any]:
    """`figures` of a run's split ("train", "valid", "test"), with what they are of; the model's weights are of `step`.

    Raises ArgumentError for a split that the data do not have.
    """
    part: Split | None = {"train": run.dataset.train, "valid": run.dataset.valid, "test": run.dataset.test}.get(split)
    check(part is not None, ArgumentError, f"evaluate: {run.dataset.name} has no split {split!r}.")
    assert part is not None
    key = run.key.fold_in("evaluate").fold_in(split)
    about = {"model": run.config.family, "data": run.config.data, "split": split, "n": len(part), "step": step}
    return {**about, **figures(run.model, run.dataset, part, key=key, iwae_samples=iwae_samples)}


def draw(model: Model, n: int, *, key: Key) -> np.ndarray:
    """n samples: images (n, H, W, C) on [0, 1] or rows (n, D).  Raises NonFiniteError if one is not finite."""
    check(n >= 1, ArgumentError, f"draw: n is {n}; it must be at least 1.")
    training, device = model.training, model.device
    model.eval()
    try:
        with no_grad():
            parts = [
                model.sample(min(DRAWN, n - at), key=key.fold_in(at).to(device)).numpy() for at in range(0, n, DRAWN)
            ]
    finally:
        model.train(training)
    samples = np.concatenate(parts)
    bad = ~np.isfinite(samples.reshape(n, -1)).all(axis=1)
    check(not bad.any(), NonFiniteError, f"draw: {int(bad.sum())} of {n} samples are not finite.")
    return samples
