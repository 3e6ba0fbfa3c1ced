"""The pictures of a run: curves, samples, reconstructions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data import save_curves, save_grid, save_scatter
from ..kernels._devices import moved
from .evaluation import draw
from .run import Run
from .runlog import curves

SAMPLES = 64
POINTS = 2_000
PAIRS = 32  # of an image and its reconstruction


def save_pictures(run: Run) -> list[Path]:
    """Write curves.png, samples.png (images, points) and reconstructions.png (models with `reconstruct`, on images).

    The model is taken as it is: load its weights first.  Returns the paths.  MissingExtra without matplotlib.
    """
    made = [save_training(run), save_samples(run), save_reconstructions(run)]
    return [path for path in made if path is not None]


def save_training(run: Run) -> Path | None:
    """curves.png: losses of the training and figures of the validation; None for a run that has none yet."""
    found = curves(run.folder)
    drawn = sorted(name for name in found if name.startswith("valid/") or name.endswith("loss"))
    rows = [{"step": int(step), name: float(y)} for name in drawn for step, y in zip(*found[name])]
    path = run.folder / "curves.png"
    if not rows:
        return None
    save_curves(path, rows)
    return path


def save_samples(run: Run) -> Path | None:
    """samples.png, from the run's own key; None for a table, which has no picture."""
    path, key = run.folder / "samples.png", run.key.fold_in("samples")
    if run.dataset.kind == "table":
        return None
    if run.dataset.kind == "points":
        picture(path, run, draw(run.model, POINTS, key=key))
    else:
        picture(path, run, draw(run.model, SAMPLES, key=key))
    return path


def picture(path: str | Path, run: Run, samples: np.ndarray) -> None:
    """Images as a grid, points over those of the test split."""
    if run.dataset.kind == "points":
        save_scatter(path, samples, run.dataset.test.x[:POINTS], title=f"{run.config.family} on {run.dataset.name}")
    else:
        save_grid(path, samples)


def save_reconstructions(run: Run) -> Path | None:
    """reconstructions.png: test images as the model saw them, each with its reconstruction to the right."""
    reconstruct = getattr(run.model, "reconstruct", None)
    if reconstruct is None or run.dataset.kind != "image":
        return None
    run.model.eval()
    x, key = moved(run.dataset.test.x[:PAIRS], run.model.device), run.key.fold_in("reconstruct").to(run.model.device)
    seen, again = (a.numpy() for a in reconstruct(x, key=key))
    pairs = np.stack([seen, again], axis=1).reshape(-1, *seen.shape[1:])
    path = run.folder / "reconstructions.png"
    save_grid(path, pairs, columns=8)
    return path
