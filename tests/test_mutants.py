"""The mutation catalogue: its rows fit the source, and what it says of the tests is true."""

import pytest

from tinygen.cli import main
from tinygen.errors import ConfigError
from tinygen.testing import mutants
from tinygen.testing.mutants import catalogue, run
from tinygen.testing.mutants.mutant import Mutant, mutant

MODULE = "tinygen.metrics.likelihood"
HALVED = Mutant("half", MODULE, "return _plain(_finite(\"nats_to_bits\", nats) / LN2)",
                "return _plain(_finite(\"nats_to_bits\", nats) / LN2 / 2)", "half", "", 1)  # fmt: skip
RENAMED = Mutant("harmless", MODULE, "LN2 = math.log(2)\n", "LN2 = math.log(2.0)\n", "nothing", "", 1)


@pytest.fixture
def suite(tmp_path):
    """A test file, by what it asserts."""

    def written(assertion):
        file = tmp_path / "test_units.py"
        file.write_text(f"from tinygen.metrics import nats_to_bits\n\n\ndef test_bits():\n    {assertion}\n", "utf-8")
        return str(file)

    return written


def test_every_row_fits_the_source_and_still_compiles():
    for row in catalogue.values():
        source = row.source()
        assert source != row.path().read_text("utf-8"), row.name
        compile(source, str(row.path()), "exec")


def test_there_are_more_than_sixty_and_each_names_its_tests_and_its_mistake():
    assert len(catalogue) > 60
    root = mutants.runner.repository()
    for row in catalogue.values():
        assert row.why
        files = [word for word in row.tests.split(" -k ")[0].split() if word.startswith("tests/")]
        assert files
        assert all((root / file).exists() for file in files), row.tests


def test_a_mistake_is_caught_by_the_test_that_looks(suite):
    file = suite("assert nats_to_bits(0.6931471805599453) == 1")
    (outcome,) = run([HALVED._replace(tests=file)], suite=[file])
    assert outcome.caught_by is not None
    assert outcome.caught_by.endswith("test_units.py::test_bits")


def test_what_no_test_notices_survives_and_is_looked_for_in_the_whole_suite(suite):
    blind = suite("assert nats_to_bits(0.0) == 0")
    (outcome,) = run([HALVED._replace(tests=blind)], suite=[blind])
    assert outcome.caught_by is None
    (outcome,) = run([HALVED._replace(tests=blind)], suite=["tests/test_metrics.py"])
    assert outcome.caught_by is not None
    assert outcome.caught_by.startswith("tests/test_metrics.py::")


def test_a_test_that_always_fails_proves_nothing(suite):
    red = suite("assert False")
    with pytest.raises(ConfigError, match="fails without any mistake too"):
        run([RENAMED._replace(tests=red)], suite=[red])


def test_a_mistake_in_what_no_test_imports_is_not_tried(suite):
    file = suite("assert nats_to_bits(0.0) == 0")
    with pytest.raises(ConfigError, match=r"no test imports tinygen\.benchmarks\.plots, so nothing was tried"):
        run([Mutant("ink", "tinygen.benchmarks.plots", "EDGE = 20.0", "EDGE = 21.0", "", file, 1)], suite=[file])


def test_a_row_that_no_longer_fits_says_so():
    with pytest.raises(ConfigError, match=r"'no such line' stands 0 times in tinygen\.metrics\.likelihood, 1 expected"):
        run([HALVED._replace(old="no such line")])
    with pytest.raises(ValueError, match="listed twice"):
        mutant(next(iter(catalogue)), "metrics.likelihood", "a", "b", "", "metrics")


def test_the_command_lists_and_refuses(capsys):
    assert main(["check", "--mutants", "--list"]) == 0
    assert capsys.readouterr().out.count("\n") == len(catalogue)
    assert main(["check", "no such op"]) == 2
    assert "no op is called 'no such op'" in capsys.readouterr().err


def test_the_command_checks_ops(capsys, monkeypatch):
    assert main(["check", "sub", "conv2d"]) == 0
    assert capsys.readouterr().out.endswith("2 of 2 right\n")
    from tinygen.testing.cases import cases

    wrong = cases["sub"].__class__(**{**vars(cases["sub"]), "op": lambda a, b: a - b * b.detach()})
    monkeypatch.setitem(cases, "sub", wrong)
    assert main(["check", "sub"]) == 1
    shown = capsys.readouterr()
    assert "WRONG  sub" in shown.out
    assert "sub computed wrong numbers" in shown.err
