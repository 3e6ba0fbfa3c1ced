"""idx: the format of MNIST.  Big-endian: 0, 0, type, number of axes, one uint32 per axis, then the entries."""

from __future__ import annotations

import os
import struct

import numpy as np

from ...errors import DataError, check
from ._bounds import read_array, read_bytes, unpacked

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_AXES = 4


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of an idx file, gzip or not, in native byte order.

    Raises DataError for a wrong magic number, more than 4 axes, a length that is not exactly what the header claims,
    or a size beyond the limit; before anything is allocated.
    """
    with unpacked(path) as (stream, room):
        zero, code, axes = struct.unpack(">HBB", read_bytes(stream, 4, path))
        magic = f"{zero:04x}{code:02x}{axes:02x}"
        check(zero == 0 and code in TYPES, DataError, f"{path}: is not an idx file (magic {magic}).")
        check(1 <= axes <= MAX_AXES, DataError, f"{path}: {axes} axes; idx files of 1 to {MAX_AXES} are read.")
        shape = struct.unpack(f">{axes}I", read_bytes(stream, 4 * axes, path))
        return read_array(stream, shape, np.dtype(TYPES[code]), room - 4 - 4 * axes, path)
