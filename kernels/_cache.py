"""Compiled kernels between runs: Numba's cache, with entries that cannot be torn, mixed up or planted.

Numba keeps an index and numbered files for each function.  A full disk or a crash can leave half of one, and two
processes that compile at once can give one number to two signatures.  Here an entry is one file, named by a hash of all
it depends on; it ends with its checksum, and appears whole, by renaming.  What fails its checksum is dropped and
compiled anew: `tinygen doctor` counts such entries.  Where nothing can be written, kernels work uncached after one
warning.  Entries are pickles around machine code, so a folder that others may write to is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile

from ._folder import caches, intact, opened, sealed, warn


@cache
def _sources_hash() -> str:
    """Numba's cache watches one file per function and would miss an edit of a helper: key the folder by all of them."""
    # under the package's name too: entries refer to modules by name, and a copy under another name would spoil them
    versions = f"{__name__} {numba.__version__} {llvmlite.__version__} {sys.version_info[:2]}"
    digest = hashlib.sha256(versions.encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled kernels of these sources are kept."""
    return caches() / _sources_hash()


class _Entries(IndexDataCacheFile):
    """The files of one function.  Numba writes and reads the pickle, and passes over the checksum after it."""

    def _path(self, key: Any) -> str:
        # a type's name is all of it, for the arrays, numbers and tuples of those that kernels take
        named = hashlib.sha256(repr((key, self._source_stamp)).encode()).hexdigest()[:24]
        readable = re.sub(r"[^\w.]", "", self._source_stamp[0])
        return os.path.join(self._cache_path, f"{readable}.{named}.nbc")

    def save(self, key: Any, data: Any) -> None:
        try:
            with self._open_for_write(self._path(key)) as file:  # under another name until it is whole
                file.write(sealed(self._dump(data)))
        except OSError as error:
            warn(Path(self._cache_path), error.strerror)

    def load(self, key: Any) -> Any:
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                whole = intact(file.read())
            return self._load_data(os.path.basename(path)) if whole else os.unlink(path)
        except OSError:  # not there, or not to be had
            return None


class KernelCache(FunctionCache):
    """What Numba asks for and hands over, for one function."""

    def __init__(self, function: Callable[..., Any]):
        self._name, self._py_func, self._cache_path = repr(function), function, os.fspath(opened(cache_folder()))
        self._impl = object.__new__(CompileResultCacheImpl)  # it would look for a folder of its own
        code = function.__code__
        stamp = function.__qualname__, code.co_firstlineno, _file_hash(code.co_filename)
        self._cache_file = _Entries(self._cache_path, function.__qualname__, stamp)
        self.enable()

    def _save_overload(self, sig: Any, data: Any) -> None:
        assert not data.library.has_dynamic_globals, f"{self._name}: addresses of this process are compiled in"
        self._cache_file.save(self._index_key(sig, data.codegen), self._impl.reduce(data))


@cache
def _file_hash(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class Report(NamedTuple):
    """What lies in the folder of caches: entries of these sources, damaged ones among them, and bytes; folders of other
    sources, and their bytes."""

    entries: int
    damaged: int
    size: int
    others: list[Path]
    others_size: int


def report() -> Report:
    """Read every entry of these sources and check it."""
    folder = cache_folder()
    contents = [path.read_bytes() for path in folder.glob("*.nbc")]
    others = [p for p in caches().glob("*") if p != folder and re.fullmatch("[0-9a-f]{16}", p.name) and p.is_dir()]
    others_size = sum(path.stat().st_size for other in others for path in other.rglob("*") if path.is_file())
    damaged = sum(not intact(content) for content in contents)
    return Report(len(contents), damaged, sum(map(len, contents)), others, others_size)


def prune() -> Report:
    """Delete the caches of other sources, and what a crash left half written; returns the report from before."""
    before = report()
    for folder in before.others:
        shutil.rmtree(folder)
    for path in cache_folder().glob("*.tmp.*"):
        path.unlink(missing_ok=True)
    return before
