"""Pictures of samples, points and training curves, as PNG files that appear whole.

A grid of images is written byte by byte here (a PNG is three chunks), pixel for pixel, with nothing installed.  Scatter
plots and curves use matplotlib's object interface: no window, no global state.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, MissingExtra, NonFiniteError, ShapeError, check, shape_text
from .atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE = 48  # pixels: smaller images are enlarged by a whole factor to about this height
INK, ACCENT, FAINT = "#1f4e79", "#c8553d", "#9aa5b1"


def save_grid(path: str | os.PathLike[str], images: Any, columns: int | None = None, *, levels: int = 256) -> None:
    """Write images side by side: (n, H, W) or (n, H, W, C), C = 1 or 3, an array or a Tensor.

    Floats lie in [0, 1], integers in 0..levels-1.  `columns` makes the grid about square unless given.
    Raises ShapeError for other shapes, ArgumentError for values outside (nothing is clipped), NonFiniteError for NaN.
    """
    pixels = _pixels(np.asarray(images), levels)
    n, height, width, channels = pixels.shape
    columns = columns or math.ceil(math.sqrt(n))
    check(columns > 0, ArgumentError, f"save_grid: columns is {columns}; it must be positive.")
    rows = math.ceil(n / columns)
    zoom = max(1, round(TILE / height))
    pixels = pixels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    gap = max(1, zoom // 2)
    down, across = height * zoom + gap, width * zoom + gap
    sheet = np.full((rows * down + gap, columns * across + gap, channels), 255, np.uint8)
    for i, tile in enumerate(pixels):
        top, left = gap + i // columns * down, gap + i % columns * across
        sheet[top : top + height * zoom, left : left + width * zoom] = tile
    with replacing(path) as temporary:
        temporary.write_bytes(png(sheet))


def png(sheet: np.ndarray) -> bytes:
    """The PNG file of (H, W, C) uint8, C = 1 grey or 3 RGB (W3C, "Portable Network Graphics", third edition)."""
    height, width, channels = sheet.shape
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each row begins with its filter, 0 = none
    rows[:, 1:] = sheet.reshape(height, -1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def save_scatter(path: str | os.PathLike[str], points: Any, reference: Any = None, *, title: str = "") -> None:
    """Write points (n, 2) of a model, over reference points (m, 2) of the data where given; arrays or Tensors.

    Raises ShapeError for other shapes, NonFiniteError for NaN and infinity, MissingExtra without matplotlib.
    """
    figure = _figure("save_scatter", (5, 5))
    axes = figure.add_subplot()
    model = (points, INK, "model")
    for cloud, colour, label in [model] if reference is None else [(reference, FAINT, "data"), model]:
        xy = np.asarray(cloud)
        planar = xy.ndim == 2 and xy.shape[1] == 2
        check(planar, ShapeError, f"save_scatter: the {label} {shape_text(xy.shape)} is not (n,2).")
        _finite("save_scatter", xy)
        axes.scatter(xy[:, 0], xy[:, 1], s=4, c=colour, alpha=0.5, linewidths=0, label=label)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title(title)
    if reference is not None:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, markerscale=3)
    _save(path, figure)


def save_curves(
    path: str | os.PathLike[str], metrics: Mapping[str, Any] | Iterable[Mapping[str, Any]], *, x: str = "step"
) -> None:
    """Write training curves, one panel per quantity: "train/loss" and "valid/loss" share the panel "loss".

    metrics: {name: values, ...}, each against the numbers in `x` if that is one of the names and of its length, else
    against 0, 1, ...; or the rows of a log, [{"step": 1, "loss": 3.2}, ...], where a row may lack some names and
    entries that are not numbers are left out.  Values that are not finite leave a gap and are counted in the legend.
    Raises ArgumentError where there is no curve to draw, MissingExtra without matplotlib.
    """
    curves = _columns(metrics, x) if isinstance(metrics, Mapping) else _rows(metrics, x)
    check(curves, ArgumentError, f"save_curves: there is nothing to draw against {x!r}.")
    panels: dict[str, list[str]] = {}
    for name in curves:
        panels.setdefault(name.rpartition("/")[2], []).append(name)
    figure = _figure("save_curves", (7, 2.6 * len(panels)))
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (quantity, members) in zip(grid, panels.items()):
        for name, colour in zip(members, cycle((INK, ACCENT, FAINT, "black"))):
            at, values = curves[name]
            lost = int((~np.isfinite(values)).sum())
            label = f"{name}, {lost} not finite" if lost else name
            axes.plot(
                at, np.where(np.isfinite(values), values, np.nan), color=colour, label=label, marker=_marker(values)
            )
        axes.set_ylabel(quantity)
        axes.grid(alpha=0.25)
        axes.legend()
    grid[-1].set_xlabel(x)
    _save(path, figure)


# -- parts -------------------------------------------------------------------------------------------------------------


def _pixels(images: np.ndarray, levels: int) -> np.ndarray:
    """(n, H, W, C) uint8 for the screen."""
    images = images[..., None] if images.ndim == 3 else images
    whole = images.ndim == 4 and images.shape[3] in (1, 3) and images.size > 0
    if not whole:
        raise ShapeError(f"save_grid: images {shape_text(images.shape)} are not (n,H,W), (n,H,W,1) or (n,H,W,3).")
    _finite("save_grid", images)
    top = 1 if images.dtype.kind in "fb" else levels - 1
    low, high = images.min(), images.max()
    if low < 0 or high > top:
        raise ArgumentError(f"save_grid: values lie in {low}..{high}, not in 0..{top}. Rescale or clip them first.")
    return np.rint(images * (255.0 / top)).astype(np.uint8)


def _columns(metrics: Mapping[str, Any], x: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    columns = {name: np.asarray(values, np.float64) for name, values in metrics.items()}
    at = columns.pop(x, None)
    for name, values in columns.items():
        check(values.ndim == 1, ShapeError, f"save_curves: {name} {shape_text(values.shape)} is not one row of values.")
    return {
        name: (at if at is not None and at.shape == values.shape else np.arange(len(values)), values)
        for name, values in columns.items()
    }


def _rows(rows: Iterable[Mapping[str, Any]], x: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != x and x in row and isinstance(value, int | float) and not isinstance(value, bool):
                at, values = curves.setdefault(name, ([], []))
                at.append(row[x])
                values.append(value)
    return {name: (np.asarray(at, np.float64), np.asarray(values, np.float64)) for name, (at, values) in curves.items()}


def _marker(values: np.ndarray) -> str | None:
    return "." if len(values) < 30 else None


def _finite(what: str, array: np.ndarray) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NonFiniteError(f"{what}: {int((~np.isfinite(array)).sum())} of {array.size} values are not finite.")


def _figure(what: str, inches: tuple[float, float]) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "plots", what) from None
    return Figure(figsize=inches, layout="constrained", dpi=120)


def _save(path: str | os.PathLike[str], figure: Figure) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with replacing(path) as temporary:
        FigureCanvasAgg(figure)
        figure.savefig(temporary, format="png")
