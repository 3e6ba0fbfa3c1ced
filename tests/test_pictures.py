"""Pictures show what they were given, or refuse."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygen import data
from tinygen.data.atomic import replacing
from tinygen.errors import ArgumentError, MissingExtra, NonFiniteError, ShapeError
from tinygen.tensor import Tensor


def read_png(path: Path) -> np.ndarray:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install 'tinygen[plots]'")
    with image.open(path) as picture:
        return np.asarray(picture)


def test_a_grid_shows_every_pixel(tmp_path: Path):
    images = np.random.default_rng(0).random((5, 48, 48, 3))
    data.save_grid(tmp_path / "new" / "grid.png", images, columns=3)
    sheet = read_png(tmp_path / "new" / "grid.png")
    assert sheet.shape == (2 * 49 + 1, 3 * 49 + 1, 3)
    np.testing.assert_array_equal(sheet[50:98, 1:49], np.rint(images[3] * 255))
    assert (sheet[50:98, 99:147] == 255).all()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["grid.png"]


def test_a_grid_enlarges_small_images_and_reads_levels(tmp_path: Path):
    images = np.array([[[0, 16]]], np.uint8)
    data.save_grid(tmp_path / "grid.png", images, levels=17)
    sheet = read_png(tmp_path / "grid.png")
    data.save_grid(tmp_path / "tensor.png", Tensor(images / np.float32(16)))
    np.testing.assert_array_equal(read_png(tmp_path / "tensor.png"), sheet)
    assert sheet.ndim == 2
    assert set(np.unique(sheet)) == {0, 255}
    assert (sheet[24:72, 24:72] == 0).all()


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (np.zeros((4, 4)), ShapeError),
        (np.zeros((2, 4, 4, 2)), ShapeError),
        (np.zeros((0, 4, 4)), ShapeError),
        (np.full((1, 4, 4), -1.0), ArgumentError),
        (np.full((1, 4, 4), 255.0), ArgumentError),
        (np.full((1, 4, 4), np.nan), NonFiniteError),
    ],
)
def test_grids_refuse_what_would_be_shown_wrongly(tmp_path: Path, images, error):
    with pytest.raises(error):
        data.save_grid(tmp_path / "grid.png", images)
    assert list(tmp_path.iterdir()) == []


def test_scatter_and_curves_write_pictures(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'tinygen[plots]'")
    data.save_scatter(tmp_path / "points.png", data.moons(50, key=0), data.moons(80, key=1))
    rows = [
        {"step": i, "train/loss": 1 / (i + 1), "note": "x"} | ({"valid/loss": 1.0} if i % 2 else {}) for i in range(6)
    ]
    data.save_curves(tmp_path / "rows.png", [*rows, {"step": 6, "train/loss": math.nan}])
    data.save_curves(tmp_path / "columns.png", {"step": [1, 2], "loss": [3.0, 2.0], "other": [1.0]})
    for name in ("points", "rows", "columns"):
        assert read_png(tmp_path / f"{name}.png").std() > 0
    assert "matplotlib.pyplot" not in sys.modules


def test_scatter_and_curves_refuse(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'tinygen[plots]'")
    with pytest.raises(ShapeError, match=r"is not \(n,2\)"):
        data.save_scatter(tmp_path / "x.png", np.zeros((3, 3)))
    with pytest.raises(NonFiniteError):
        data.save_scatter(tmp_path / "x.png", np.full((3, 2), np.nan))
    with pytest.raises(ArgumentError, match="nothing to draw"):
        data.save_curves(tmp_path / "x.png", [{"step": 1}])
    assert list(tmp_path.iterdir()) == []


def test_missing_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"tinygen\[plots\]"):
        data.save_curves(tmp_path / "x.png", {"loss": [1.0]})


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def write() -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
