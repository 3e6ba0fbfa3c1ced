"""The text of a .cu file for some types: the one place where either compiler gets it from."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
INCLUDE = re.compile(r'^#include "(\w+\.h)"$', re.MULTILINE)

C_TYPES = {
    "bool": "unsigned char",  # 0 or 1, as NumPy stores it
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
    "int32": "int",
    "int64": "long long",
    "float32": "float",
    "float64": "double",
    "tf32": "float",  # float32 whose products are made on tensor cores: see tile.h
}


@lru_cache
def _header(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _macros(macro: str, name: str) -> str:
    """What `macro` is, and what is said of it to the preprocessor."""
    kind = C_TYPES[name]
    facts = {"FLOAT": kind in ("float", "double"), "SINGLE": kind == "float", "TF32": name == "tf32"}
    told = "".join(f"#define {macro}_IS_{fact} {int(holds)}\n" for fact, holds in facts.items())
    return f"#define {macro} {kind}\n{told}"


class Source:
    """A .cu file beside the module `beside`, and the types that each of its macros may stand for.

    Source(__file__, "reduce.cu", T=("float32", "float64")).text(T=x.dtype)
    """

    def __init__(self, beside: str, name: str, **types: tuple[str, ...]):
        self.path = Path(beside).parent / name
        self.types = types
        self._texts: dict[tuple[Any, ...], str] = {}

    @cached_property
    def _body(self) -> str:
        return self.expanded(self.path.read_text("utf-8"))

    def expanded(self, text: str) -> str:
        """A file's text with its headers, each line known to compilers by the file it is from."""

        def of_header(match: re.Match[str]) -> str:
            line = text.count("\n", 0, match.start()) + 2
            return f'#line 1 "{match[1]}"\n{_header(match[1])}#line {line} "{self.path.name}"'

        return f'#line 1 "{self.path.name}"\n{INCLUDE.sub(of_header, text)}'

    def text(self, *, host: bool, **chosen: Any) -> str:
        """The whole text, for the host's compiler or NVIDIA's.  Raises TypeError for a type not among `types`."""
        key = host, *chosen.values()
        found = self._texts.get(key)
        if found is None:
            names = {macro: kind if kind == "tf32" else np.dtype(kind).name for macro, kind in chosen.items()}
            if set(names) != set(self.types) or any(name not in self.types[macro] for macro, name in names.items()):
                raise TypeError(f"{self.path.name}: there is no kernel for {names}; there are {self.types}")
            defined = [_macros(macro, name) for macro, name in names.items()]
            prelude = (_header("host.h") if host else "") + _header("device.h")
            found = self._texts[key] = "".join([prelude, *defined, self._body])
        return found

    def variants(self) -> Iterator[dict[str, str]]:
        """Every choice of types whose text is another."""
        seen = set()
        for names in itertools.product(*self.types.values()):
            chosen = dict(zip(self.types, names))
            text = self.text(host=False, **chosen)
            if text not in seen:
                seen.add(text)
                yield chosen
