"""Files for the tests of readers: valid ones of every kind, and the parts of forged ones."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinygen import data

RNG = np.random.default_rng(0)


def idx_bytes(array: np.ndarray, code: int = 0x08) -> bytes:
    header = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def npy_bytes(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz_bytes(*, compressed: bool = True, **arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


def mat_bytes(*, compressed: bool = True, **arrays: object) -> bytes:
    savemat = pytest.importorskip("scipy.io", reason="scipy writes the files").savemat
    out = io.BytesIO()
    savemat(out, arrays, do_compression=compressed)
    return out.getvalue()


def png_bytes(shape: tuple[int, ...]) -> bytes:
    return data.pictures.png(RNG.integers(0, 256, shape, dtype=np.uint8))


def png_claiming(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    whole = png_bytes((4, 5, 1))
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def npy_claiming(shape: str, descr: str = "<f8", content: bytes = b"") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


SMALL = RNG.integers(0, 256, (5, 4, 3), dtype=np.uint8)
VALID: dict[str, Callable[[], bytes]] = {
    "a.idx3-ubyte": lambda: idx_bytes(SMALL),
    "a.idx3-ubyte.gz": lambda: gzip.compress(idx_bytes(SMALL)),
    "a.npy": lambda: npy_bytes(SMALL.astype(np.float64)),
    "a.npz": lambda: npz_bytes(x=SMALL, y=np.arange(5)),
    "stored.npz": lambda: npz_bytes(compressed=False, x=SMALL, y=np.arange(5)),
    "a.csv": lambda: b"a,b\n1,2.5\n-3e2,4\n",
    "a.csv.gz": lambda: gzip.compress(b"1,2\n3,4\n"),
    "a.mat": lambda: mat_bytes(X=SMALL),
    "stored.mat": lambda: mat_bytes(compressed=False, X=SMALL, y=np.arange(3.0)),
    "pictures/a.png": lambda: png_bytes((4, 5, 3)),
}


def written(folder: Path, name: str, content: bytes) -> Path:
    """The file, or its folder where it is a picture."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.parent if name.startswith("pictures/") else path
