"""What a process does that runs tests with a mistake in place: `python child.py REPORT [MODULE] -- PYTEST ARGUMENTS`.

The mistaken text of MODULE comes by standard input and is compiled instead of the file's when the module is imported.
Run by its path, not as a module of the package: importing that would import what is to be changed.  REPORT, a file,
gets the test that failed first, or what went wrong before any ran, as JSON.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType
from typing import Any

import pytest


class Mistaken(importlib.machinery.SourceFileLoader):
    """Loads the text it was given, under the file's name."""

    def __init__(self, name: str, path: str, text: str):
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.text.encode(), self.path)


class Finder(importlib.abc.MetaPathFinder):
    """Finds one module as all others would, and has it loaded from the text."""

    def __init__(self, module: str, text: str):
        self.module, self.text, self.found = module, text, False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(found for found in specs if found is not None)
        assert spec.origin is not None
        spec.loader = Mistaken(name, spec.origin, self.text)
        self.found = True
        return spec


class First:
    """The test that failed first, as a plugin of pytest."""

    def __init__(self) -> None:
        self.failed: str | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: Any = yield
        if report.failed and self.failed is None:
            self.failed = f"{os.path.relpath(item.path)}::{item.nodeid.partition('::')[2]}"
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self.failed is None:
            self.failed = f"{report.nodeid} (not importable)"


def main(report: str, module: str, arguments: list[str]) -> None:
    finder, first = Finder(module, sys.stdin.read()), First()
    if module:
        sys.meta_path.insert(0, finder)
    try:
        code: int | str = int(pytest.main(arguments, plugins=[first]))
    except BaseException as error:  # the import of tinygen itself, on the way to its plugin
        code, first.failed = 1, f"{type(error).__name__} before any test: {error}"
    made = {"code": code, "failed": first.failed, "loaded": finder.found or not module}
    Path(report).write_text(json.dumps(made), "utf-8")


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))  # its neighbours have names of other libraries
    at = sys.argv.index("--")
    main(sys.argv[1], "".join(sys.argv[2:at]), sys.argv[at + 1 :])
