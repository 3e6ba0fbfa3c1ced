"""The benchmark's machinery: rows, patterns, processes, tables and comparisons.  Nothing here asserts a time."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from benchrows import MACHINE, row

from tinygen.benchmarks import harness, report, runner, suite, targets
from tinygen.benchmarks.harness import BenchmarkError, Timing
from tinygen.benchmarks.suite import Settings, Work, compare_sides
from tinygen.cli import main
from tinygen.errors import ConfigError

QUICK = Settings(threads=1, rounds=2, seconds=0.001, quick=True)
# -- rows --------------------------------------------------------------------------------------------------------------


def test_the_ratio_is_the_fastest_peers_time_over_ours(monkeypatch):
    times = {
        "tinygen": Timing(2.0, 1.9, 2.1, [2.0, 2.0, 4.0]),
        "slow": Timing(9.0, 9.0, 9.0, [9.0] * 3),
        "quick": Timing(3.0, 2.9, 3.1, [3.0, 4.0, 4.0]),
    }
    monkeypatch.setattr(suite, "interleave", lambda sides, **_: {name: times[name] for name in sides})
    nothing = lambda: None
    made = compare_sides("n", "w", nothing, {"slow": nothing, "quick": nothing}, QUICK, work=Work(8.0, 2.0), parity="p")
    assert (made["fastest"], made["ratio"], made["ratio_spread"]) == ("quick", 1.5, [1.25, 1.75])
    assert (made["ours_ms"], made["spread"]) == (2.0, [1.9, 2.1])
    assert made["peers"] == {"slow": 9.0, "quick": 3.0}
    assert made["work"] == {"flops": 8.0, "bytes": 2.0}
    assert made["parity"] == "p"
    json.dumps(made, allow_nan=False)


def test_a_row_without_peers_has_no_ratio():
    made = compare_sides("n", "w", lambda: None, {}, QUICK)
    assert "ratio" not in made
    assert made["peers"] == {}


def test_sides_take_turns_and_each_begins_a_round():
    calls = []
    sides = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    timings = harness.interleave(sides, rounds=3, seconds=0.0)
    order = [name for name, before in zip(calls, [None, *calls]) if name != before]
    assert order == list("abc") + list("abc") + list("bca") + list("cab")  # warm-up, then three rounds
    assert all(len(t.rounds) == 3 for t in timings.values())


def test_limits_come_from_arithmetic_or_traffic():
    made = runner.with_limit(row("x", 2, 2, 2, work={"flops": 1e9, "bytes": 1e6}), MACHINE)
    assert made["limit_ms"] == pytest.approx(5.0)  # 1 GFLOP at 200 GFLOP/s
    assert made["share_of_limit"] == pytest.approx(0.5)
    made = runner.with_limit(row("x", 2, 2, 2, work={"flops": 0.0, "bytes": 1e9}), MACHINE)
    assert made["limit_ms"] == pytest.approx(40.0)  # 1 GB at the best of the loops in memory
    made = runner.with_limit(row("x", 2, 2, 2, work={"flops": 0.0, "bytes": 1e6}), MACHINE)
    assert made["limit_ms"] == pytest.approx(0.01)  # 1 MB fits into the cache


# -- the registry ------------------------------------------------------------------------------------------------------


def test_every_target_has_a_benchmark():
    known = suite.load()
    assert {t.name for t in targets.TARGETS} <= set(known)
    assert {b.group for b in known.values()} == set(suite.GROUPS)


def test_every_case_with_shapes_is_a_row():
    from tinygen.benchmarks.ops import row_name
    from tinygen.testing.cases import cases

    wanted = {row_name(name, i) for name, case in cases.items() if case.torch for i in range(len(case.bench))}
    assert wanted == {name for name in suite.load() if name.startswith("op_")}


def test_patterns_select_in_the_registrys_order():
    names = [b.name for b in suite.select(["scaling_*", "vae_mlp_step"])]
    assert names[0] == "vae_mlp_step"
    assert {"scaling_batch", "scaling_threads"} < set(names)
    assert [b.name for b in suite.select(None)] == list(suite.load())


@pytest.mark.parametrize(("wrong", "hint"), [("vae_mlp_stp", "Near ones: vae_mlp_step"), ("zzz", "--list")])
def test_a_wrong_name_is_refused(wrong, hint):
    with pytest.raises(ConfigError, match=hint):
        suite.select([wrong])


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="twice"):
        suite.benchmark("vae_mlp_step", group="step", what="again")
    with pytest.raises(ValueError, match="group"):
        suite.benchmark("another", group="steps", what="no such group")


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_lists(capsys):
    assert main(["bench", "--list", "--only", "*_share"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["kernel_share", "bandwidth_share"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--threads", "0"], "--threads is 0"),
        (["--rounds", "1"], "--rounds is 1"),
        (["--only", "nothing*"], "no benchmark 'nothing\\*'"),
    ],
)
def test_the_command_refuses(options, text, capsys):
    pytest.importorskip("torch", reason="PyTorch is absent: pip install 'tinygen[bench]'")
    assert main(["bench", *options]) == 2
    assert re.search(text, capsys.readouterr().err)


def test_without_pytorch_the_extra_is_named(monkeypatch, capsys):
    from tinygen.benchmarks import command

    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert main(["bench", "--only", "kernel_share"]) == 2
    assert "pip install 'tinygen[bench]'" in capsys.readouterr().err


FAKES = """
import sys
from tinygen.benchmarks import suite
from tinygen.benchmarks.__main__ import main
from tinygen.benchmarks.harness import BenchmarkError

suite.MODULES = ()

@suite.benchmark("good", group="op", what="a row")
def _(settings):
    print("this goes to standard error")
    return suite.compare_sides("good", "a row", lambda: None, {"torch": lambda: None}, settings, work=suite.Work(8, 8))

@suite.benchmark("different", group="op", what="sides differ")
def _(settings):
    raise BenchmarkError("the losses differ")

@suite.benchmark("broken", group="op", what="a bug")
def _(settings):
    return {}["no such entry"]

@suite.benchmark("dead", group="op", what="dies")
def _(settings):
    import os
    os._exit(7)

sys.exit(main())
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """The four above, in processes of their own; the machine is not measured."""
    (tmp_path / "fakes.py").write_text(FAKES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    real = runner.in_subprocess
    monkeypatch.setattr(runner, "in_subprocess", lambda m, a, **o: MACHINE if "machine" in a else real("fakes", a, **o))
    names = ("good", "different", "broken", "dead")
    return [suite.Benchmark(name, "op", f"about {name}", lambda _: {}) for name in names]


def test_each_benchmark_has_a_process_and_a_crash_costs_one_row(fakes, tmp_path):
    kept = tmp_path / "results.json"
    made = runner.run_all(fakes, QUICK, lambda found: runner.write(found, kept))
    good, different, broken, dead = made["results"]
    assert {"name", "group", "what", "ours_ms", "spread", "peers", "ratio", "share_of_limit"} <= set(good)
    assert different == {"name": "different", "group": "op", "what": "about different", "refused": "the losses differ"}
    assert "KeyError: 'no such entry'" in broken["error"]
    assert "status 7" in dead["error"]
    assert runner.read(kept) == json.loads(json.dumps(made))
    shown = report.text(made)
    assert "refused" in shown
    assert "the losses differ" in shown
    with pytest.raises(BenchmarkError, match="3 of 4 benchmarks have no figures: different, broken, dead"):
        runner.check_complete(made["results"])


def test_what_a_process_says_is_checked():
    with pytest.raises(BenchmarkError, match="longer than"):
        harness.in_subprocess("timeit", ["-n", "1", "import time; time.sleep(60)"], timeout=0.2)


def test_results_that_are_none_are_refused(tmp_path):
    for text in ("{", "[]", '{"machine": {}}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(BenchmarkError, match=r"x\.json"):
            runner.read(tmp_path / "x.json")


def test_threads_are_set_before_libraries_load():
    program = "from tinygen.benchmarks.harness import use_threads; import numba; use_threads(1)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "['numba'] is loaded already. Call it first." in done.stderr
