"""The binary edition of CIFAR-10: records of 1 label byte and 3 x 32 x 32 planar pixels, inside the original tar.gz."""

from __future__ import annotations

import os
import tarfile

import numpy as np

from ...errors import DataError, check
from ._bounds import opened

RECORD = 1 + 3 * 32 * 32


def read_cifar(path: str | os.PathLike[str], names: list[str], records: int) -> list[np.ndarray]:
    """The named members of the archive, each (records, 3073) uint8; nothing is unpacked to disk.

    Raises DataError for a damaged archive, a missing member, and a member of another length.
    """
    found: dict[str, np.ndarray] = {}
    with opened(path) as (stream, _):
        try:
            with tarfile.open(fileobj=stream, mode="r:gz") as archive:
                for member in archive:
                    name = os.path.basename(member.name)
                    content = archive.extractfile(member) if name in names and member.size == records * RECORD else None
                    if content is not None:
                        found[name] = np.frombuffer(content.read(), np.uint8)
        except (tarfile.TarError, ValueError) as error:
            raise DataError(f"{path}: is not a readable tar.gz archive ({error}).") from error
    for name in names:
        whole = name in found and found[name].size == records * RECORD
        check(whole, DataError, f"{path}: has no member {name} of {records} records.")
    return [found[name].reshape(records, RECORD) for name in names]
