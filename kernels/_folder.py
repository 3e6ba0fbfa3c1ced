"""Where compiled code is kept between runs: a folder that must be the user's alone, for what lies there is run.

A file ends with its checksum and appears whole, by renaming: what is damaged is dropped, and compiled anew.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import warnings
from functools import cache
from pathlib import Path

DIGEST = hashlib.sha256().digest_size


def sealed(code: bytes) -> bytes:
    """The code, then its checksum."""
    return code + hashlib.sha256(code).digest()


def intact(content: bytes) -> bool:
    """Whether it is what `sealed` made."""
    return hashlib.sha256(content[:-DIGEST]).digest() == content[-DIGEST:]


def kept(path: Path) -> bytes | None:
    """The code that `keep` wrote there; None if there is none, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content[:-DIGEST] if intact(content) else None


def keep(path: Path, code: bytes) -> None:
    """Write code for the runs to come; warns once where that cannot be done."""
    scratch = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            scratch = Path(file.name)
            file.write(sealed(code))
        os.replace(scratch, path)  # whole, or not there, whoever else builds it now
    except OSError as error:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
        warn(path.parent, error.strerror)


def caches() -> Path:
    """The folder of caches: $TINYGEN_CACHE/kernels, else tinygen/kernels in the system's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TINYGEN_CACHE") or Path(home) / "tinygen") / "kernels"


@cache
def opened(folder: Path) -> Path:
    """The folder, made if need be.  Raises PermissionError unless it is the user's alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        warn(folder, error.strerror)
        return folder
    owner = os.getuid() if hasattr(os, "getuid") else found.st_uid  # Windows keeps a user's cache folder private
    if found.st_uid != owner or (os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077):
        raise PermissionError(
            f"kernel cache: {folder} belongs to user {found.st_uid} with mode {stat.S_IMODE(found.st_mode):o}, and "
            f"must be yours alone (user {owner}, mode 700), for what lies there is run. "
            f"Delete it, or set TINYGEN_CACHE to a folder of your own."
        )
    return folder


@cache
def warn(folder: Path, why: str | None) -> None:
    """Say once that nothing can be kept in the folder."""
    warnings.warn(
        f"kernel cache: nothing can be kept in {folder} ({why}), so every run compiles its kernels anew. "
        f"Set TINYGEN_CACHE to a folder that you can write to.",
        RuntimeWarning,
        stacklevel=2,
    )
