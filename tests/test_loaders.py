"""Readers of data files: what they accept, they read exactly; errors name the line or the file."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from datafiles import (
    RNG,
    SMALL,
    idx_bytes,
    mat_bytes,
    npy_bytes,
    npy_claiming,
    npz_bytes,
    png_bytes,
    png_claiming,
    written,
)

from tinygen import data
from tinygen.data import formats
from tinygen.errors import ArgumentError, DataError, MissingExtra

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4, 5), (0,), (3, 0)])
def test_idx(tmp_path: Path, shape: tuple[int, ...], code: int, packed: bool):
    array = (RNG.normal(size=shape) * 50).astype(TYPES[code])
    content = idx_bytes(array, code)
    found = formats.read_idx(written(tmp_path, "a", gzip.compress(content) if packed else content))
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "<i2", ">i4", "<u8", "<f2", "<f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (6,), (3, 4), (2, 3, 4), (0, 4)])
def test_npy(tmp_path: Path, shape: tuple[int, ...], order: str, dtype: str):
    array = np.asarray(RNG.normal(size=shape) > 0.3, dtype, order=order)
    for path in (written(tmp_path, "a.npy", npy_bytes(array)), written(tmp_path, "a.npz", npz_bytes(x=array))):
        found = formats.read(path)
        found = found["x"] if isinstance(found, dict) else found
        assert found.dtype == array.dtype.newbyteorder("=")
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, array)


def test_npy_headers_of_python_2(tmp_path: Path):
    path = written(tmp_path, "a.npy", npy_claiming("(2L, 3L)", "<f4", np.arange(6, dtype="<f4").tobytes()))
    np.testing.assert_array_equal(formats.read(path), np.arange(6).reshape(2, 3))


def test_npz_reads_the_arrays_asked_for(tmp_path: Path):
    path = written(tmp_path, "a.npz", npz_bytes(x=SMALL, words=np.array(["text"])))
    np.testing.assert_array_equal(formats.read_npz(path, ["x"])["x"], SMALL)
    with pytest.raises(DataError, match="never read"):
        formats.read_npz(path)
    with pytest.raises(DataError, match="has no array"):
        formats.read_npz(path, ["z"])


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_mat_agrees_with_scipy(tmp_path: Path, dtype: str, compressed: bool):
    x = (RNG.normal(size=(5, 7, 2)) * 9).astype(dtype)
    arrays = {"X": x, "a_longer_name": np.zeros((0, 3), dtype), "s": np.array([[1.0]])}
    found = formats.read(written(tmp_path, "a.mat", mat_bytes(compressed=compressed, **arrays)))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("value", [["cell", 1], "text", {"field": 1.0}, np.array([[1 + 2j]])])
def test_mat_refuses_what_is_not_an_array_of_numbers(tmp_path: Path, value: object):
    with pytest.raises(DataError):
        formats.read(written(tmp_path, "a.mat", mat_bytes(X=np.array(value, object) if type(value) is list else value)))


def test_csv(tmp_path: Path):
    expected = [[1, 2.5], [-300, 4]]
    for content in (b"1,2.5\n-3e2,4", b"a,b\n1,2.5\r\n\n-3e2, 4\n", b"\xef\xbb\xbf1,2.5\n-3e2,4\n"):
        np.testing.assert_array_equal(formats.read(written(tmp_path, "a.csv", content)), expected)
        np.testing.assert_array_equal(formats.read(written(tmp_path, "a.csv.gz", gzip.compress(content))), expected)
    blanks = written(tmp_path, "a.txt", b"1 2.5\n-3e2   4\n")
    np.testing.assert_array_equal(formats.read_csv(blanks, delimiter=None), expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no rows"),
        (b"a,b\n", "no rows"),
        (b"1,2\n3\n", "line 2: has 1 cells"),
        (b"a,b\n1,2,3\n", "line 2: has 3 cells"),
        (b"1,2\n3,x\n", "line 2: 'x' is not a number"),
        (b"1,2\n\n3,\n", "line 3: '' is not a number"),
        (b"1,2\n3,nan\n", "row 2, column 2 is nan"),
        (b"1,inf\n", "row 1, column 2 is inf"),
        (b"1_0,2\n", "underscore"),
        (b"1,2\n\xff,3\n", "line 2: is not UTF-8"),
    ],
)
def test_csv_errors_name_the_line(tmp_path: Path, content: bytes, message: str):
    with pytest.raises(DataError, match=message):
        formats.read(written(tmp_path, "a.csv", content))


@pytest.mark.parametrize("channels", [1, 3])
def test_folders_of_pictures(tmp_path: Path, channels: int):
    pytest.importorskip("PIL", reason="needs Pillow: pip install 'tinygen[plots]'")
    images = RNG.integers(0, 256, (12, 4, 5, channels), dtype=np.uint8)
    for i, image in enumerate(images):
        written(tmp_path, f"{i:02}.png", data.pictures.png(image))
    written(tmp_path, ".hidden", b"")
    np.testing.assert_array_equal(formats.read(tmp_path), images)
    assert data.load(tmp_path).shape == (4, 5, channels)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.png", png_bytes((4, 6, 1)), "the first picture"),
        ("b.png", png_bytes((4, 5, 3)), "the first picture"),
        ("b.png", png_bytes((4, 5, 1))[:-30], "damaged|not a readable"),
        ("b.png", b"GIF89a", "not a readable picture"),
        ("b.gif", b"GIF89a", "not a .png"),
        ("b.png", png_claiming(65_535, 65_535), "not a readable picture"),
        ("b.png", png_claiming(12_000, 12_000), "not a readable picture"),
    ],
)
def test_folders_of_pictures_refuse(tmp_path: Path, name: str, content: bytes, message: str):
    pytest.importorskip("PIL", reason="needs Pillow: pip install 'tinygen[plots]'")
    written(tmp_path, "a.png", png_bytes((4, 5, 1)))
    written(tmp_path, name, content)
    with pytest.raises(DataError, match=message):
        formats.read(tmp_path)


def test_pictures_without_pillow_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    written(tmp_path, "a.png", png_bytes((4, 5, 1)))
    with pytest.raises(MissingExtra, match=r"tinygen\[plots\]"):
        formats.read(tmp_path)


def cifar_bytes(records: int, names: list[str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = records * 3073
            archive.addfile(info, io.BytesIO(bytes([len(name)]) * info.size))
    return out.getvalue()


def test_cifar(tmp_path: Path):
    path = written(tmp_path, "a.tar.gz", cifar_bytes(2, ["readme", "b", "aa"]))
    aa, b = formats.read_cifar(path, ["aa", "b"], 2)
    assert (aa.shape, aa[0, 0], b[1, 3072]) == ((2, 3073), 2, 1)
    for names, records in ((["c"], 2), (["b"], 3)):
        with pytest.raises(DataError, match="has no member"):
            formats.read_cifar(path, names, records)
    with pytest.raises(DataError):
        formats.read_cifar(written(tmp_path, "cut", path.read_bytes()[:40]), ["b"], 2)


def test_load_takes_paths(tmp_path: Path):
    table = RNG.normal(size=(20, 3))
    loaded = data.load(written(tmp_path, "table.npy", npy_bytes(table)))
    assert (loaded.name, loaded.kind, len(loaded.train), len(loaded.test)) == ("table", "table", 16, 2)
    one = data.load(written(tmp_path, "one.npz", npz_bytes(anything=SMALL.repeat(2, axis=0))))
    assert (one.kind, one.shape) == ("image", (4, 3, 1))
    many = data.load(written(tmp_path, "many.npz", npz_bytes(x_train=SMALL, y_train=np.arange(5), x_test=SMALL[:2])))
    assert (len(many.train), len(many.test), many.train.y.tolist()) == (5, 2, [0, 1, 2, 3, 4])
    binary = data.load(written(tmp_path, "bits.csv", b"0,1,1\n" * 10), levels=2)
    assert (binary.levels, binary.train.x.dtype) == (2, np.uint8)
    with pytest.raises(DataError, match="needed is one array, or x_train and x_test"):
        data.load(written(tmp_path, "odd.npz", npz_bytes(a=SMALL, b=SMALL)))
    with pytest.raises(ArgumentError, match="levels is 300"):
        data.load(written(tmp_path, "bits.csv", b"0,1,1\n" * 10), levels=300)
