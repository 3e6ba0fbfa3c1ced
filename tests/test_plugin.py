"""The pytest plugin: seeds that reproduce, profiles, and a budget of time."""

from __future__ import annotations

import sys

import pytest

# the outer run's hypothesis settings must not change, nor may its plugin be loaded twice into one process
PLUGIN = ("-p", "tinygen.testing.plugin", "-p", "no:cacheprovider", "-p", "no:xdist")


@pytest.fixture
def run(pytester):
    """Run a test file in a process of its own; returns its output."""

    def of(source, *options):
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess(*PLUGIN, *options)

    return of


def test_a_seed_reaches_gradcheck_laws_hypothesis_and_the_fixture(run):
    found = run(
        """
        import numpy as np
        from hypothesis import given, strategies as st
        from tinygen import ops
        from tinygen.testing import gradcheck
        from tinygen.testing.seeding import chosen

        def test_gradcheck(tinygen_seed):
            assert gradcheck(ops.exp, np.ones(2)).seed == tinygen_seed == chosen(None) == 41
            assert gradcheck(ops.exp, np.ones(2), seed=3).seed == 3

        @given(st.integers(0, 10**9))
        def test_drawn(n):
            print("drew", n)
            assert n < 10**6
        """,
        "--tinygen-seed",
        "41",
        "--tinygen-profile",
        "ci",
    )
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(
        [
            "tinygen: seed 41, profile ci",
            "*@reproduce_failure*",
            "Reproduce with: pytest 'test_a_seed*::test_drawn' --tinygen-seed 41",
        ]
    )


DRAWS = """
from hypothesis import given, strategies as st

@given(st.integers(0, 10**9))
def test_drawn(n):
    with open("drawn", "a") as file:
        file.write(f"{n}\\n")
"""


def test_equal_seeds_draw_equally_and_others_do_not(run, pytester):
    drawn = []
    for seed in ("1", "1", "2"):
        run(DRAWS, "--tinygen-seed", seed, "--tinygen-profile", "ci").assert_outcomes(passed=1)
        drawn.append((pytester.path / "drawn").read_text())
        (pytester.path / "drawn").unlink()
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0].split()) == 100


def test_minutes_are_spent_on_rounds_of_new_examples(run, pytester):
    found = run(
        DRAWS + "def test_not_drawn(tmp_path): pass\n", "--tinygen-minutes", "0.02", "--tinygen-profile", "fast"
    )
    found.assert_outcomes(passed=2)
    drawn = (pytester.path / "drawn").read_text().split()
    assert len(drawn) > 40
    assert len(set(drawn[20:40]) - set(drawn[:20])) > 5, "the second round draws other examples"


def test_a_failure_in_a_later_round_is_one(run):
    source = """
    import pytest
    from hypothesis import given, settings, strategies as st
    calls = []

    @pytest.mark.parametrize("limit", [30])
    @given(n=st.integers())
    def test_drawn(limit, n):
        calls.append(n)
        assert len(calls) < limit
    """
    run(source, "--tinygen-profile", "fast").assert_outcomes(passed=1)
    found = run(source, "--tinygen-profile", "fast", "--tinygen-minutes", "0.1", "--tinygen-seed", "0")
    found.assert_outcomes(failed=1)


def test_without_options_nothing_changes(run):
    found = run(
        """
        from hypothesis import settings
        from tinygen.testing.seeding import base

        def test_untouched(tinygen_seed):
            assert settings.default.max_examples == 100
            assert settings.default.deadline is not None
            assert base.get() == tinygen_seed == 0
        """,
        "--hypothesis-profile",
        "default",
    )
    found.assert_outcomes(passed=1)
    assert "tinygen:" not in found.stdout.str()


def test_bad_options_are_refused(run):
    found = run("def test(): pass", "--tinygen-minutes", "-1")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["*--tinygen-minutes is -1.0. Pass more than 0."])


def test_without_hypothesis_the_extra_is_named(monkeypatch):
    from tinygen.testing import plugin

    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(pytest.UsageError, match=r"'tinygen\[test\]'"):
        plugin.load_profile("ci")
    with pytest.raises(pytest.UsageError, match=r"no profile 'slow'\. There are fast, ci, exhaustive"):
        plugin.load_profile("slow")
