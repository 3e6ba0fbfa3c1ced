"""MATLAB 5 .mat files, real numeric arrays only.

A file is a 128-byte header and a row of elements: a tag (type, length in bytes) and the data, padded to 8 bytes.  An
array is an element of elements: flags, dimensions, name, values, and may be deflated as a whole.  Cells, structures,
characters, sparse and complex arrays are refused: a data set has no need of them.
Source: MathWorks, "MAT-File Format", chapter 1, level 5.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import NamedTuple

import numpy as np

from ...errors import DataError, check
from ._bounds import LIMIT, RATIO, check_shape, opened

MATRIX, DEFLATED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
NUMERIC = range(6, 16)  # the classes double, single, int8, ..., uint64
COMPLEX = 0x0800


class Element(NamedTuple):
    kind: int
    data: memoryview
    end: int  # where the next one starts


def read_mat(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a MATLAB 5 file by name, C-contiguous, in the type they are stored in.

    MATLAB stores values in the smallest type that holds them all: doubles that are 0 or 1 come as uint8.
    Raises DataError for MATLAB 7.3 files (HDF5), anything but real numeric arrays, damaged or oversized content.
    """
    with opened(path) as (stream, size):
        check(size <= LIMIT, DataError, f"{path}: {size} bytes; at most {LIMIT} are read.")
        content = memoryview(stream.read())
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]), "")
    check(order, DataError, f"{path}: is not a MATLAB 5 file. Save it with save(..., '-v7').")
    arrays: dict[str, np.ndarray] = {}
    at = 128
    try:
        while at < len(content):
            element = _element(content, at, order)
            at = element.end
            if element.kind == DEFLATED:
                element = _element(memoryview(_inflate(element.data, path)), 0, order)
            check(element.kind == MATRIX, DataError, f"{path}: holds an element of type {element.kind}, not an array.")
            name, array = _matrix(element.data, order, path)
            check(name not in arrays, DataError, f"{path}: two arrays are called {name!r}.")
            arrays[name] = array
            total = sum(a.nbytes for a in arrays.values())
            check(total <= LIMIT, DataError, f"{path}: its arrays expand beyond {LIMIT} bytes.")
    except (struct.error, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is damaged ({error}).") from error
    check(arrays, DataError, f"{path}: holds no arrays.")
    return arrays


def _element(content: memoryview, at: int, order: str) -> Element:
    kind, length = struct.unpack_from(f"{order}II", content, at)
    if kind >> 16:  # a small element: length and type share one word, up to 4 bytes of data fill the other
        kind, length = kind & 0xFFFF, kind >> 16
        if length > 4:
            raise struct.error("a small element is longer than 4 bytes")
        return Element(kind, content[at + 4 : at + 4 + length], at + 8)
    start = at + 8
    if start + length > len(content):
        raise struct.error("an element is longer than the file")
    padded = length if kind == DEFLATED else length + -length % 8
    return Element(kind, content[start : start + length], start + padded)


def _inflate(packed: memoryview, path: object) -> bytes:
    # what is allocated is what has been decoded, and DEFLATE bounds that by the length of the file
    most = min(LIMIT, len(packed) * RATIO)
    decoder = zlib.decompressobj()
    data = decoder.decompress(packed, most)
    check(decoder.eof, DataError, f"{path}: an array breaks off, or expands beyond {LIMIT} bytes.")
    return data


def _matrix(content: memoryview, order: str, path: object) -> tuple[str, np.ndarray]:
    flags = _element(content, 0, order)
    dims = _element(content, flags.end, order)
    label = _element(content, dims.end, order)
    name = bytes(label.data).decode("ascii")
    (word,) = struct.unpack_from(f"{order}I", flags.data)
    plain = word & 0xFF in NUMERIC and not word & COMPLEX
    check(plain, DataError, f"{path}: {name!r} is not a real numeric array (class {word & 0xFF}).")
    check(len(dims.data) % 4 == 0, DataError, f"{path}: {name!r} has broken dimensions.")
    shape = struct.unpack(f"{order}{len(dims.data) // 4}i", dims.data)
    values = _element(content, label.end, order)
    check(values.kind in STORED, DataError, f"{path}: {name!r} stores its values as unknown type {values.kind}.")
    dtype = np.dtype(order + STORED[values.kind])
    size = check_shape(shape, dtype, len(values.data), f"{path}[{name}]")
    check(size == len(values.data), DataError, f"{path}: {name!r} stores {len(values.data)} bytes where {size} belong.")
    array = np.frombuffer(values.data, dtype).reshape(shape, order="F")
    return name, np.array(array, dtype.newbyteorder("="), order="C")  # a copy: what was inflated can go
