"""What checkpoints and the run folder stand on: files written whole or not at all, and JSON taken strictly."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_atomic(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Replace `path` by a file of these chunks.  Killed at any moment, the old content or the new stands there, whole.

    The temporary file lies in the same folder: across file systems a rename is a copy, and a copy can be cut short.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())  # the content must be on the disk before the name points to it
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a rename lives in the folder, not in the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parse_json(text: bytes) -> Any:
    """UTF-8 JSON as its standard has it: no key twice (readers would disagree on which counts), no NaN or Infinity.

    Raises ValueError, also for text nested deeper than Python can follow.
    """
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """The JSON text of `value`.  Tuples come back as lists.

    Raises ValueError or TypeError for what JSON cannot hold: numbers that are not finite, arrays, other objects, and
    keys that are not strings, which would silently become strings.
    """
    _check_keys(value)
    return json.dumps(value, allow_nan=False, indent=indent)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} appears twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _check_keys(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a string")
            _check_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item)
