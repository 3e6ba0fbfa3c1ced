"""The guide to testing gradients is run, block by block; what it says is printed must be printed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import runpy
from pathlib import Path

import pytest

from tinygen import testing
from tinygen.primitive import registry as primitives
from tinygen.testing import GradientError, laws, strategies

GUIDE = (Path(testing.__file__).parent / "README.md").read_text("utf-8")
SECTIONS = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
BLOCKS = [pytest.param(*block, id=title) for title, text in SECTIONS for block in BLOCK.findall(text)]
FOREIGN = ("torch", "jax", "autograd")


def outcome(script: Path) -> str:
    """What a script prints, or the message it ends with."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(script))
    except (GradientError, laws.LawBroken, AssertionError) as error:
        return str(error)
    return printed.getvalue().strip()


def masked(text: str) -> str:
    """Without the digits of fractions, and how many steps it took: the last digits are the machine's."""
    return re.sub(r"\d+\.\d+(e[+-]\d+)?|\d+e[+-]\d+|\d+(?= evaluations)", "#", text.strip())


@pytest.mark.parametrize(("source", "expected"), BLOCKS)
def test_the_examples_say_what_the_guide_says(source, expected, tmp_path, monkeypatch):
    for library in FOREIGN:
        if f"import {library}" in source and importlib.util.find_spec(library) is None:
            pytest.skip(f"needs {library}: pip install {library}")
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "example.py"
    script.write_text(source)
    before = dict(primitives)
    try:
        found = outcome(script)
    finally:  # the first example declares an op, which the completeness tests must not find
        primitives.clear()
        primitives.update(before)
    assert masked(found) == masked(expected)


def test_an_op_is_checked_in_fifteen_lines():
    assert len(BLOCKS[0].values[0].splitlines()) <= 15


def test_every_public_name_is_in_the_guide():
    for names in (laws.__all__, testing.__all__):
        missing = [name for name in names if not re.search(rf"\b{name}\b", GUIDE)]
        assert not missing
    drawing = [name for name in strategies.__all__ if name.islower()]
    assert not [name for name in drawing if not re.search(rf"\b{name}\b", GUIDE)]
