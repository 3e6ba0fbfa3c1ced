"""The benchmark's machinery: rows, patterns, processes, tables and comparisons.  Nothing here asserts a time."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from benchrows import MACHINE, row

from tinygen.benchmarks import harness, parity, peers, report, runner, sides, suite, targets
from tinygen.benchmarks.harness import BenchmarkError
from tinygen.benchmarks.suite import Settings
from tinygen.cli import main
from tinygen.errors import ConfigError

QUICK = Settings(threads=1, rounds=2, seconds=0.001, quick=True)
# -- rows --------------------------------------------------------------------------------------------------------------


class Fake:
    """A side that is no process: its turns take what the list says."""

    share = 1.0

    def __init__(self, rounds: list[float], calls: list[str] | None = None, name: str = ""):
        self.rounds, self.calls, self.name = list(rounds), calls, name

    def order(self, **order):
        if self.calls is not None:
            self.calls.append(self.name)
        return {"seconds": 1.0} if "warm_up" in order else {"ms": [self.rounds.pop(0)] * order["count"]}


def test_the_ratio_is_the_fastest_peers_time_over_ours():
    fakes = {"tinygen": Fake([2.0, 2.0, 4.0]), "slow": Fake([9.0] * 3), "quick": Fake([3.0, 4.0, 4.0])}
    made = sides.timed(fakes, "step", Settings(threads=1, rounds=3))
    assert (made["fastest"], made["ratio"], made["ratio_spread"]) == ("quick", 1.5, [1.25, 1.75])
    assert (made["ours_ms"], made["spread"]) == (2.0, [2.0, 3.5])  # of six steps
    assert made["peers"] == {"slow": 9.0, "quick": 4.0}
    assert "ratio_as_written" not in made
    json.dumps(made, allow_nan=False)


def test_a_side_may_do_a_part_of_the_work():
    fakes = {"tinygen": Fake([2.0] * 2), "torch": Fake([3.0] * 2)}
    fakes["torch"].share = 0.01
    made = sides.timed(fakes, "step", QUICK)
    assert made["ratio"] == made["ratio_as_written"] == 150.0


def test_a_row_without_peers_has_no_ratio():
    made = sides.timed({"tinygen": Fake([1.0] * 2)}, "step", QUICK)
    assert "ratio" not in made
    assert made["peers"] == {}


def test_sides_take_turns_and_each_begins_a_round():
    calls: list[str] = []
    timings = harness.interleave(
        {name: sides.Player(Fake([1.0] * 3, calls, name), "step") for name in "abc"}, rounds=3, seconds=0.0
    )
    assert calls == list("abc") + list("abc") + list("bca") + list("cab")  # warm-up, then three rounds
    assert all(len(t.rounds) == 3 for t in timings.values())


def test_a_turn_does_not_count_its_beginning():
    calls = []
    assert len(harness.Here(lambda: calls.append(0)).turn(3)) == 3
    assert len(calls) > 3


A, B = np.array([1.0, -2.0]), np.array([1.0, -2.5])


@pytest.mark.parametrize(
    ("rule", "difference"),
    [
        (parity.relative, 0.25), (parity.of_the_largest, 0.2), (parity.mean_absolute, 0.25),
        (parity.share_that_differs, 0.5),
    ],
)  # fmt: skip
def test_what_differs_is_refused(rule, difference):
    compared = sides.Comparison("n", ("torch",), lambda *_: None, rule, difference - 0.01, "figures")
    with pytest.raises(BenchmarkError, match=r"torch: figures differ from ours by 0\.\d+ \(.*Not timed"):
        sides.check(compared, "torch", {"same": A, "x": A}, {"same": A, "x": B})
    assert sides.check(compared, "torch", {"x": A}, {"x": A}) == 0
    kept = compared._replace(tolerance=difference)
    assert sides.check(kept, "torch", {"x": A}, {"x": B}) == pytest.approx(difference)
    with pytest.raises(BenchmarkError, match="Not timed"):
        sides.check(kept, "torch", {"x": A * np.nan}, {"x": A * np.nan})


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(BenchmarkError, match=r"show \['x'\] and \['y'\]"):
        parity.relative({"x": A}, {"y": A})
    with pytest.raises(BenchmarkError, match=r"x has the shapes \(2,\) and \(1,\)"):
        parity.of_the_largest({"x": A}, {"x": A[:1]})
    assert parity.of_the_largest({"x": np.zeros(2)}, {"x": np.zeros(())}) == 0  # no gradient is one of zeros


def test_limits_come_from_arithmetic_or_traffic():
    made = runner.with_limit(row("x", 2, 2, 2, work={"flops": 1e9, "bytes": 1e6}), MACHINE)
    assert made["limit_ms"] == pytest.approx(5.0)  # 1 GFLOP at 200 GFLOP/s
    assert made["share_of_limit"] == pytest.approx(0.5)
    made = runner.with_limit(row("x", 2, 2, 2, work={"flops": 0.0, "bytes": 1e9}), MACHINE)
    assert made["limit_ms"] == pytest.approx(40.0)  # 1 GB at the best of the loops in memory
    made = runner.with_limit(row("x", 2, 2, 2, work={"flops": 0.0, "bytes": 1e6}), MACHINE)
    assert made["limit_ms"] == pytest.approx(0.01)  # 1 MB fits into the cache
    slow = {"work": {"flops": 1e9, "bytes": 1e6}, "fma_gflops": [60.0, 40.0]}
    assert runner.with_limit(row("x", 2, 2, 2, **slow), MACHINE)["limit_ms"] == pytest.approx(20.0)  # others were busy


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
import os
import sys
from functools import partial
import numpy as np
from tinygen.benchmarks import parity, sides, suite
from tinygen.benchmarks.__main__ import main
from tinygen.benchmarks.harness import BenchmarkError

suite.MODULES, sides.MODULE = (), "fakes"

def make(what, side, settings):
    print("this goes to standard error")
    if what == "broken" and side == "torch":
        return {}["no such entry"]
    if what == "dead" and side == "torch":
        os._exit(7)
    if what == "turned down":
        raise BenchmarkError("cannot be had")
    figure = 1.0 if side == "tinygen" or what == "good" else 2.0
    return sides.Made(lambda: {"figure": figure}, {"step": lambda: None})

for name in ("good", "different", "broken", "dead", "turned down"):
    compared = sides.register(
        sides.Comparison(name, ("torch",), partial(make, name), parity.relative, 0.1, "figures")
    )
    work = {"work": {"flops": 8, "bytes": 8}}
    run = lambda settings, compared=compared: sides.compare(compared, settings).rows["step"] | work
    suite.benchmark(name, group="op", what="a row")(run)

if __name__ == "__main__":
    sys.exit(main())
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """The five above, in processes of their own; the machine is not measured."""
    pytest.importorskip("torch", reason="PyTorch is absent: pip install 'tinygen[bench]'")
    (tmp_path / "fakes.py").write_text(FAKES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    real = runner.in_subprocess
    monkeypatch.setattr(runner, "in_subprocess", lambda m, a, **o: MACHINE if "machine" in a else real("fakes", a, **o))
    names = ("good", "different", "broken", "dead", "turned down")
    return [suite.Benchmark(name, "op", f"about {name}", lambda _: {}) for name in names]


def test_each_benchmark_has_a_process_and_a_crash_costs_one_row(fakes, tmp_path):
    kept = tmp_path / "results.json"
    made = runner.run_all(fakes, QUICK, lambda found: runner.write(found, kept))
    good, different, broken, dead, turned_down = made["results"]
    assert {"name", "group", "what", "ours_ms", "spread", "peers", "ratio", "share_of_limit"} <= set(good)
    assert good["parity"] == "figures: relative 0, allowed 0.1"
    refused = "torch: figures differ from ours by 1 (relative), allowed is 0.1. Not timed."
    assert different == {"name": "different", "group": "op", "what": "about different", "refused": refused}
    assert "KeyError: 'no such entry'" in broken["error"]
    assert "torch ended with status 7" in dead["error"]
    assert turned_down["refused"] == "cannot be had"
    assert runner.read(kept) == json.loads(json.dumps(made))
    shown = report.text(made)
    assert "refused" in shown
    assert "figures differ" in shown
    with pytest.raises(BenchmarkError, match="4 of 5 benchmarks have no figures: different, broken, dead, turned down"):
        runner.check_complete(made["results"])


def test_a_form_that_cannot_run_is_left_out(monkeypatch):
    monkeypatch.setattr(peers, "which", lambda name: None)
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "jax" else object())
    assert sides.runnable(("torch", "torch compile", "jax"), Settings(1)) == (
        ["torch"], {"torch compile": "torch.compile needs a C++ compiler", "jax": "JAX is not installed"},
    )  # fmt: skip


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
