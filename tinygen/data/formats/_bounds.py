"""What every reader shares: opening, measuring and filling, with nothing allocated on a header's word alone.

A header may claim any size.  The claim is compared with what the file can hold (its length, or for a gzip file the most
that DEFLATE can expand to) and with LIMIT before one byte of the array is allocated.
"""

from __future__ import annotations

import gzip
import math
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from ...errors import DataError, check, shape_text

LIMIT = 1 << 31  # bytes: the largest array a reader returns
RATIO = 1032  # DEFLATE codes at most 258 bytes in 2 bits (RFC 1951), so a stream never expands further
MAX_AXES = 8


class Readable(Protocol):
    """A binary stream, of a file, a gzip file or a member of an archive."""

    def read(self, size: int = -1, /) -> bytes: ...
    def readline(self, size: int = -1, /) -> bytes: ...


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[IO[bytes], int]]:
    """The open file and its length in bytes.  Raises DataError where the system or the content refuses."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe or /dev/zero has no length to check a claim against
            raise DataError(f"{path}: is not a regular file.")
        with open(path, "rb") as stream:
            yield stream, status.st_size
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error


@contextmanager
def unpacked(path: str | os.PathLike[str]) -> Iterator[tuple[Readable, int]]:
    """The content of a file, gzip or not (told by its first bytes), and the most bytes it can hold."""
    with opened(path) as (stream, size):
        packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        if not packed:
            yield stream, size
            return
        with gzip.GzipFile(fileobj=stream) as content:
            yield content, size * RATIO


def read_bytes(stream: Readable, count: int, name: object) -> bytes:
    """Exactly `count` bytes; only for the few bytes of a header."""
    found = stream.read(count)
    check(len(found) == count, DataError, f"{name}: breaks off inside the header.")
    return found


def check_shape(shape: tuple[int, ...], dtype: np.dtype, room: int, name: object) -> int:
    """The size in bytes of an array that a header claims, if `room` bytes can hold it."""
    size = math.prod(shape) * dtype.itemsize
    described = f"{name}: the header claims {shape_text(shape)} {dtype}"
    check(len(shape) <= MAX_AXES, DataError, f"{name}: {len(shape)} axes; at most {MAX_AXES} are read.")
    check(size <= LIMIT, DataError, f"{described}, {size} bytes; at most {LIMIT} are read.")
    check(all(0 <= n < LIMIT for n in shape), DataError, f"{described}, an axis out of range.")
    check(size <= room, DataError, f"{described}, {size} bytes, but the file holds at most {room}.")
    return size


def read_array(stream: Readable, shape: tuple[int, ...], dtype: np.dtype, room: int, name: object) -> np.ndarray:
    """The rest of the stream as an array in native byte order.

    `room` is the most bytes the stream can still hold.  Raises DataError unless the rest is exactly as long as claimed.
    """
    size = check_shape(shape, dtype, room, name)
    buffer = np.empty(size, np.uint8)
    filled = 0
    while filled < size:
        chunk = stream.read(min(size - filled, 1 << 20))
        check(chunk, DataError, f"{name}: breaks off after {filled} of {size} bytes.")
        buffer[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    check(not stream.read(1), DataError, f"{name}: has bytes left over after the {size} of its array.")
    if dtype == np.bool_:
        check(size == 0 or buffer.max() <= 1, DataError, f"{name}: holds a truth value that is neither 0 nor 1.")
    return np.ascontiguousarray(buffer.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False))


def suffix(path: str | os.PathLike[str]) -> str:
    """The last suffix in lower case, seen through `.gz`."""
    bare = Path(path)
    return (bare.with_suffix("") if bare.suffix.lower() == ".gz" else bare).suffix.lower()
