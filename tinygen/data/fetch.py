"""Downloads, the only ones there are: `tinygen data get NAME` calls `get`.

A file is written under a temporary name, measured and hashed on the way, and takes its place only when both agree.
"""

from __future__ import annotations

import hashlib
import http.client
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ..errors import DataError
from .atomic import replacing
from .catalogue import cache, locate, present
from .files import File
from .sets import ENTRIES

TIMEOUT = 30  # seconds without a byte


def get(name: str) -> Path | None:
    """Bring the files of a named set into the cache; returns their folder, or None for a set that needs no files.

    Files that are already there stay as they are.  Raises DataError for unknown names, for sets without a public
    address, and when the download fails or is not the file it should be: the text says what to fetch by hand.
    """
    name = name.lower().replace("_", "-")
    if name not in ENTRIES:
        raise DataError(f"get: {name!r} is not a data set. Names are {', '.join(ENTRIES)}.")
    entry = ENTRIES[name]
    if not entry.files:
        return None
    folder = locate(entry)
    if folder is None:
        folder = cache() / entry.folder
        for file in entry.files:
            if present(folder, file.name) is None:
                _download(name, file, folder / file.name)
    return folder


def _download(name: str, file: File, path: Path) -> None:
    if file.url is None:
        raise DataError(f"{name}: no public address of {file.name} is known. Put your copy at {path}.")
    algorithm = "sha256" if len(file.checksum) == 64 else "md5"
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size = 0
    by_hand = (
        f"Fetch {file.url} by other means, see that it has {file.size} bytes and the {algorithm} {file.checksum}, and "
        f"put it at {path}."
    )
    try:
        with replacing(path) as temporary, open(temporary, "wb") as out:
            with urllib.request.urlopen(file.url, timeout=TIMEOUT) as response:
                advance, close = _progress(file)
                try:
                    while size <= file.size and (chunk := response.read(1 << 16)):
                        out.write(chunk)
                        digest.update(chunk)
                        size += len(chunk)
                        advance(len(chunk))
                finally:
                    close()
            if size != file.size or digest.hexdigest() != file.checksum:
                raise DataError(f"{name}: what {file.url} sent is not {file.name} ({size} bytes). {by_hand}")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"{name}: {file.name} could not be downloaded ({reason}). {by_hand}") from error


def _progress(file: File) -> tuple[Callable[[int], object], Callable[[], object]]:
    """A bar on a terminal that has tqdm, silence elsewhere."""
    try:
        from tqdm import tqdm
    except ImportError:
        return lambda n: None, lambda: None
    bar = tqdm(total=file.size, unit="B", unit_scale=True, desc=file.name, disable=not sys.stderr.isatty())
    return bar.update, bar.close
