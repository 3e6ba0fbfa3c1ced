"""What README and CONTRIBUTING show is run."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from tinygen.primitive import registry as primitives

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_python_examples_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = dict(primitives)
    try:  # the blocks share names, so they are run as one script
        (tmp_path / "readme.py").write_text("\n".join(blocks("python")))
        runpy.run_path(str(tmp_path / "readme.py"))
    finally:  # the example declares an op, which the completeness tests must not find
        primitives.clear()
        primitives.update(before)
    assert (tmp_path / "samples.png").stat().st_size > 1000
    assert float(capsys.readouterr().out.split()[0]) < 45, "the example learns: untrained it is about 44 nats"


def test_the_training_example_has_about_twenty_lines():
    assert len(blocks("python")[0].splitlines()) <= 20


def test_the_commands_run(tmp_path, monkeypatch, capsys):
    from tinygen.cli import main

    monkeypatch.chdir(tmp_path)
    lines = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    commands = [line[1:] for line in lines if line and line[0] == "tinygen"]
    assert commands
    for command in commands:
        assert main(command) == 0, command
    assert (tmp_path / "digits.png").exists()
    targets = {line[1] for line in lines if line and line[0] == "make"}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert targets == {"demo", "test"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(name):
    text = (ROOT / name).read_text("utf-8")
    for path in re.findall(r"(?<![\w/.])((?:kernels|tinygen|tests|benchmarks)/[\w/]+\.py)", text):
        assert (ROOT / path).exists(), path
