"""Mutant: one deliberate mistake, as a change of a line of tinygen's own source."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ...errors import ConfigError

PACKAGE = __package__.partition(".")[0]

# what hands a function of kernels to Numba; the other modules only prepare launches
COMPILED = re.compile(r"^@(jit|part|inlined|units|chunked|intrinsic|\w+ary)\b|\b(specialised|reduction)\(", re.M)

catalogue: dict[str, Mutant] = {}  # by name


class Mutant(NamedTuple):
    """`old` in the source of `module` becomes `new`, at the `times` places where it stands.

    why    the mistake, in words; with the system that made it, where one did.
    tests  where the fast suite should notice first, as arguments of pytest.
    """

    name: str
    module: str
    old: str
    new: str
    why: str
    tests: str
    times: int

    def path(self) -> Path:
        """The file of the module."""
        found = find_spec(self.module)
        if found is None or found.origin is None:
            raise ConfigError(f"mutant {self.name}: there is no module {self.module}. Mend its row in the catalogue.")
        return Path(found.origin)

    def source(self) -> str:
        """The module's text with the mistake in it.  ConfigError where the row no longer fits the source."""
        text = self.path().read_text("utf-8")
        if text.count(self.old) != self.times:
            raise ConfigError(
                f"mutant {self.name}: {self.old!r} stands {text.count(self.old)} times in {self.module}, "
                f"{self.times} expected. Mend its row in the catalogue."
            )
        return text.replace(self.old, self.new)

    @property
    def compiles(self) -> bool:
        """Whether compiled kernels may hold the mistake, so that those of the cache cannot be used."""
        return self.module.startswith(f"{PACKAGE}.kernels.") and bool(COMPILED.search(self.path().read_text("utf-8")))


def mutant(name: str, module: str, old: str, new: str, why: str, tests: str, times: int = 1) -> None:
    """Add a row.  module: below `tinygen`; tests: files below `tests/` by the word after test_, then options."""
    if name in catalogue:
        raise ValueError(f"mutant {name!r} is listed twice; give one of them another name")
    words = [f"tests/test_{word}.py" if word.isidentifier() else word for word in tests.split(" -k ")[0].split()]
    chosen = tests.partition(" -k ")[2]
    first = " ".join(words) + (f" -k {chosen}" if chosen else "")
    catalogue[name] = Mutant(name, f"{PACKAGE}.{module}", old, new, why, first, times)
