"""Files made, or damaged, to mislead a reader: nothing but DataError escapes, and memory stays bounded by the file."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datafiles import SMALL, VALID, idx_bytes, mat_bytes, npy_bytes, npy_claiming, npz_bytes, written
from hypothesis import given
from hypothesis import strategies as st

from tinygen.data import formats
from tinygen.data.formats import _bounds
from tinygen.errors import DataError


def bomb(size: int) -> bytes:
    """A gzip idx file that claims, and is, far beyond the limit."""
    return gzip.compress(struct.pack(">HBBI", 0, 8, 1, size) + bytes(1 << 16))


def overlapping() -> bytes:
    """A .npz whose two entries share one body."""
    content = bytearray(npz_bytes(x=np.zeros(1000)))
    end = content.rindex(b"PK\x05\x06")
    directory = content[content.index(b"PK\x01\x02") : end]
    twin = directory.replace(b"x.npy", b"y.npy")
    count, size = struct.pack("<HH", 2, 2), struct.pack("<I", 2 * len(directory))
    tail = content[end : end + 8] + count + size + content[end + 16 :]
    return bytes(content[:end] + twin + tail)


def two_of_a_name() -> bytes:
    return npz_bytes(x=SMALL, y=SMALL).replace(b"y.npy", b"x.npy")


def bzip2() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", npy_bytes(SMALL))
    return out.getvalue()


REFUSED: list[tuple[str, Callable[[], bytes], str]] = [
    ("a.npy", lambda: npy_claiming("(1099511627776,)"), "at most"),
    ("a.npy", lambda: npy_claiming("(100000000,)"), "the file holds at most"),
    ("a.npy", lambda: npy_claiming(f"(0, {1 << 70})"), "out of range"),
    ("a.npy", lambda: npy_claiming("(" + "1, " * 9 + ")"), "9 axes"),
    ("a.npy", lambda: npy_claiming("(-1,)"), "not that of a plain array"),
    ("a.npy", lambda: npy_claiming("(2,)", "|O", b"\x80\x04N."), "never read"),
    ("a.npy", lambda: npy_claiming("(1,)", "<U4", bytes(16)), "never read"),
    ("a.npy", lambda: npy_claiming("(1,)", "<f7", bytes(7)), "never read"),
    ("a.npy", lambda: npy_claiming("(2,)", "|b1", b"\x01\x02"), "truth value"),
    ("a.npy", lambda: npy_claiming("(" + "1" * 3000 + "x)"), "never read"),
    ("a.npy", lambda: npy_bytes(np.array([{}, None])), "never read"),
    ("a.npy", lambda: npy_bytes(np.zeros(3, [("a", "f4")])), "never read"),
    ("a.npy", lambda: npy_bytes(SMALL) + b"x", "left over"),
    ("a.npy", lambda: npy_bytes(SMALL)[:-1], "the file holds at most"),
    ("a.npy", lambda: b"\x93NUMPY\x01\x00\xff\xff" + bytes(70_000), "a header of 65535"),
    ("a.npy", lambda: b"\x93NUMPY\x09\x00\x00\x00" + bytes(9), "version 9"),
    ("a.npy", lambda: b"", "breaks off"),
    ("a.npz", lambda: npz_bytes(x=np.array([None])), "never read"),
    ("a.npz", overlapping, "overlap"),
    ("a.npz", two_of_a_name, "one name"),
    ("a.npz", bzip2, "unknown compression"),
    ("a.npz", lambda: b"PK\x03\x04", "not a readable"),
    ("a-ubyte", lambda: b"\x00\x00\x08\x01\xff\xff\xff\xff", "at most"),
    ("a-ubyte", lambda: b"\x00\x00\x08\x01\x00\xff\xff\xff", "the file holds at most"),
    ("a-ubyte", lambda: b"\x00\x00\x08\x05" + bytes(20), "5 axes"),
    ("a-ubyte", lambda: b"\x00\x00\x08\x00", "0 axes"),
    ("a-ubyte", lambda: b"\x00\x00\x0a\x01" + bytes(4), "magic 00000a01"),
    ("a-ubyte", lambda: b"\x00\x00\x08", "breaks off"),
    ("a-ubyte", lambda: idx_bytes(SMALL) + b"x", "left over"),
    ("a-ubyte.gz", lambda: bomb(0xFFFFFFFF), "at most"),
    ("a-ubyte.gz", lambda: bomb(0x0FFFFFFF), "the file holds at most"),
    ("a-ubyte.gz", lambda: gzip.compress(idx_bytes(SMALL))[:-9], "cannot be read"),
    ("a-ubyte.gz", lambda: gzip.compress(idx_bytes(SMALL)) + b"junk", "cannot be read"),
    ("a-ubyte.gz", lambda: gzip.compress(idx_bytes(SMALL) + b"x"), "left over"),
    ("a.mat", lambda: b"x" * 200, "not a MATLAB 5 file"),
    ("a.mat", lambda: mat_bytes(X=SMALL)[:-4], "damaged"),
    ("a.mat", lambda: mat_bytes(X=SMALL)[:128] + struct.pack("<II", 9, 0), "not an array"),
    ("a.mat", lambda: mat_bytes(X=SMALL)[:128] + struct.pack("<II", 15, 9) + zlib.compress(b""), "damaged|breaks off"),
    ("a.xyz", lambda: b"", "cannot tell"),
]


@pytest.mark.parametrize(("name", "content", "message"), REFUSED)
def test_refused(tmp_path: Path, name: str, content: Callable[[], bytes], message: str):
    with pytest.raises(DataError, match=message):
        formats.read(written(tmp_path, name, content()))


def test_the_limit_holds_for_what_expands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Files that really hold what they claim are still refused beyond the limit."""
    big = np.zeros(100_000)
    for module in (_bounds, formats.npy, formats.mat, formats.table):
        monkeypatch.setattr(module, "LIMIT", 300_000)
    for name, content in {
        "a.npz": npz_bytes(x=big),
        "two.npz": npz_bytes(x=big[:30_000], y=big[:30_000]),
        "a-ubyte.gz": gzip.compress(idx_bytes(big, 0x0E)),
        "a.mat": mat_bytes(X=big + 0.5),
        "a.csv.gz": gzip.compress(b"0,0\n" * 50_000),
    }.items():
        with pytest.raises(DataError, match="300000"):
            formats.read(written(tmp_path, name, content))


def test_places_that_are_no_files(tmp_path: Path):
    with pytest.raises(DataError, match="No such file"):
        formats.read_npy(tmp_path / "nothing.npy")
    with pytest.raises(DataError, match="not a regular file"):
        formats.read_idx("/dev/zero")
    with pytest.raises(DataError, match="not a regular file"):
        formats.read_npy(tmp_path)
    with pytest.raises(DataError, match="no pictures"):
        formats.read(tmp_path)


# -- fuzzing -----------------------------------------------------------------------------------------------------------


def survives(folder: Path, name: str, content: bytes) -> None:
    """Reading ends in arrays or in DataError, and in bounded memory."""
    path = written(folder, name, content)
    tracemalloc.start()
    try:
        formats.read(path)
    except DataError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 << 20, f"{peak} bytes for a file of {len(content)}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    for name, content in VALID.items():
        formats.read(written(folder, name, content()))  # imports count as memory: do them now
    return folder


@pytest.mark.parametrize("name", VALID)
@given(content=st.binary(max_size=300))
def test_random_bytes(folder: Path, name: str, content: bytes):
    survives(folder, name, content)


@pytest.mark.parametrize("name", VALID)
@given(draw=st.data())
def test_random_bytes_after_a_true_beginning(folder: Path, name: str, draw: st.DataObject):
    whole = VALID[name]()
    survives(folder, name, whole[: draw.draw(st.integers(1, len(whole)))] + draw.draw(st.binary(max_size=100)))


@pytest.mark.parametrize("name", VALID)
@given(draw=st.data())
def test_damaged_files(folder: Path, name: str, draw: st.DataObject):
    """A few bytes replaced, removed or inserted anywhere."""
    content = bytearray(VALID[name]())
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(content)))
        width = draw.draw(st.integers(0, 8))
        content[at : at + width] = draw.draw(st.binary(max_size=8))
    survives(folder, name, bytes(content))


@pytest.mark.parametrize("name", [name for name in VALID if not name.endswith((".gz", ".csv"))])
def test_every_cut(folder: Path, name: str):
    """A file cut short at any byte never passes for a whole one."""
    whole = VALID[name]()
    # behind a PNG's last pixel come the checksums of its stream and its chunk, which Pillow does not need, and IEND
    intact = len(whole) - 21 if name.startswith("pictures/") else len(whole)
    for end in range(0, intact, max(1, intact // 60)):
        with pytest.raises(DataError):
            formats.read(written(folder, name, whole[:end]))


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=30))
def test_csv_reads_what_was_written(folder: Path, rows: list[tuple[int, int]]):
    content = "\n".join(f"{a},{b}" for a, b in rows).encode()
    np.testing.assert_array_equal(formats.read(written(folder, "table.csv", content)), rows)
