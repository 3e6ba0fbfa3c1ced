"""Compiled kernels for a process with a mistake in place: those of the cache that cannot hold it.

The cache is keyed by the files on disk, which have no mistake, so what depends on the module must be compiled anew, in
a folder of its own.  The rest is linked there: compiling everything for every mutant would take hours.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ... import kernels
from .mutant import Mutant

ROOT = Path(kernels.__file__).parent
LOOP = re.compile(r"_each_(?P<module>[\w.]+)\.\w+\.[0-9a-f]+\.nbc")  # a kernel's loop: the cache names it by its body


def seed(mutant: Mutant, folder: Path) -> None:
    """Make `folder` a cache, to be named by $TINYGEN_CACHE, that holds the loops of families apart from the mistake."""
    from ...kernels._cache import cache_folder  # here, for it needs Numba, which listing mutants does not

    known = cache_folder()
    room = folder / "kernels" / known.name
    room.mkdir(mode=0o700, parents=True)
    for entry in known.glob("*.nbc") if known.is_dir() else ():
        found = LOOP.fullmatch(entry.name)
        if found and mutant.module not in _reached(_family(found["module"])):
            os.symlink(entry, room / entry.name)


def _family(module: str) -> str:
    """`tinygen.kernels.conv` of `tinygen.kernels.conv.cpu`: a loop is made of formulas from all of its family."""
    return ".".join(module.split(".")[:3])


@cache
def _reached(family: str) -> frozenset[str]:
    """All modules of kernels that those of a family import, directly or not, and they themselves."""
    found: set[str] = set()
    waiting = [name for name in _imports() if name == family or name.startswith(f"{family}.")]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports().get(name, ())
    return frozenset(found)


@cache
def _imports() -> dict[str, list[str]]:
    """module -> what it imports from within kernels; names that are no modules do no harm."""
    made = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join((kernels.__name__, *parts)).removesuffix(".__init__")
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        made[name] = list(_targets(ast.parse(path.read_text("utf-8")), package))
    return made


def _targets(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
            module = f"{base}.{node.module}" if node.module else base
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
