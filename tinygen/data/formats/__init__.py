"""Readers of data files.  Each refuses a bad file with DataError before it allocates; none ever unpickles."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...errors import DataError
from ._bounds import suffix
from .cifar import read_cifar
from .idx import read_idx
from .images import read_images
from .mat import read_mat
from .npy import read_npy, read_npz
from .table import read_csv

__all__ = ["read", "read_cifar", "read_csv", "read_idx", "read_images", "read_mat", "read_npy", "read_npz"]

TABLES = (".csv", ".data")


def read(path: str | os.PathLike[str]) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a file or of a folder of pictures; for .npz and .mat a dict of arrays by name.

    Raises DataError for an unknown kind of file, and as the reader of its kind does.
    """
    path = Path(path)
    if path.is_dir():
        return read_images(path)
    ending = suffix(path)
    if ending == ".npy":
        return read_npy(path)
    if ending == ".npz":
        return read_npz(path)
    if ending == ".mat":
        return read_mat(path)
    if ending in TABLES:
        return read_csv(path)
    if ending.startswith(".idx") or path.name.removesuffix(".gz").endswith("-ubyte"):
        return read_idx(path)
    raise DataError(
        f"{path}: cannot tell what it is. Read are .npy, .npz, .mat, .csv and .data (also .gz), idx files "
        f"(...-ubyte, also .gz) and folders of PNG or JPEG pictures."
    )
