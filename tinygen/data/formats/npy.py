"""NumPy's .npy and .npz, read by our own header parser.

`np.load` allocates whatever a header claims, terabytes included, and passes the header to a Python parser.  Here the
header must match one pattern, its dtype must be a plain number, and its size must be the size that is there.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
from collections.abc import Iterable

import numpy as np

from ...errors import DataError, check
from ._bounds import LIMIT, RATIO, Readable, opened, read_array, read_bytes

MAGIC = b"\x93NUMPY"
MAX_HEADER = 4096
HEADER = re.compile(
    r"\{'descr': '([<>|=]?)([a-zA-Z]\d+)', 'fortran_order': (True|False), "
    r"'shape': \(((?:\d+L?, ?)*(?:\d+L?)?)\),? ?\}\s*"
)
NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of a .npy file, C-contiguous and in native byte order; numbers and truth values only.

    Raises DataError for objects (pickles), text, structured types, and any length but the one the header claims.
    """
    with opened(path) as (stream, size):
        return _parse(stream, size, path)


def read_npz(path: str | os.PathLike[str], names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name; `names` picks some (all of them must be there), None takes every one.

    Raises DataError as `read_npy` does, for a damaged or encrypted archive, for two members of one name, and for
    members that together expand beyond the limit or beyond what DEFLATE can do.
    """
    with opened(path) as (stream, size):
        try:
            with zipfile.ZipFile(stream) as archive:
                members = _members(archive, size, path)
                wanted = members if names is None else list(names)
                missing = [name for name in wanted if name not in members]
                check(not missing, DataError, f"{path}: has no array {missing}. It holds {sorted(members)}.")
                return {name: _member(archive, members[name], f"{path}[{name}]") for name in wanted}
        except DataError:
            raise
        # what zipfile lets escape on damaged, encrypted or exotic archives
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
            ValueError,
            OverflowError,
            struct.error,
        ) as error:
            raise DataError(f"{path}: is not a readable .npz archive ({error}).") from error


def _members(archive: zipfile.ZipFile, size: int, path: object) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    members = {info.filename.removesuffix(".npy"): info for info in infos}
    check(len(members) == len(infos), DataError, f"{path}: two members have one name.")
    check(sum(info.compress_size for info in infos) <= size, DataError, f"{path}: its members overlap.")
    check(sum(info.file_size for info in infos) <= LIMIT, DataError, f"{path}: expands beyond {LIMIT} bytes.")
    return members


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    # bzip2 and LZMA expand without a useful bound, so only what np.savez writes is read
    check(info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), DataError, f"{name}: unknown compression.")
    room = min(info.file_size, info.compress_size * RATIO)
    with archive.open(info) as member:
        return _parse(member, room, name)


def _parse(stream: Readable, size: int, name: object) -> np.ndarray:
    preamble = read_bytes(stream, 8, name)
    check(preamble[:6] == MAGIC, DataError, f"{name}: is not a .npy array.")
    check(preamble[6] in (1, 2, 3), DataError, f"{name}: .npy version {preamble[6]} is unknown.")
    width, code = (2, "<H") if preamble[6] == 1 else (4, "<I")
    (length,) = struct.unpack(code, read_bytes(stream, width, name))
    check(length <= MAX_HEADER, DataError, f"{name}: a header of {length} bytes; at most {MAX_HEADER} are read.")
    header = read_bytes(stream, length, name).decode("latin-1")
    found = HEADER.fullmatch(header)
    if found is None or found[2] not in NUMBERS:
        raise DataError(
            f"{name}: the header {header.strip()[:80]!r} is not that of a plain array of numbers. Objects, text and "
            f"structured types are never read; save numbers with np.save."
        )
    dtype = np.dtype(found[1].replace("=", "") + found[2])
    shape = tuple(int(n) for n in re.findall(r"\d+", found[4]))
    stored = shape[::-1] if found[3] == "True" else shape  # Fortran order is C order of the transpose
    array = read_array(stream, stored, dtype, size - 8 - width - length, name)
    return np.ascontiguousarray(array.T) if found[3] == "True" else array
