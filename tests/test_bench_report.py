"""Tables, the report, comparisons of two results, and counts of work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchrows import results, row

from tinygen import kernels
from tinygen.benchmarks import __main__ as program
from tinygen.benchmarks import compare, counts, report, runner, targets
from tinygen.benchmarks.harness import BenchmarkError
from tinygen.benchmarks.suite import Work
from tinygen.cli import main
from tinygen.errors import ConfigError

ROOT = Path(__file__).parent.parent


# -- tables ------------------------------------------------------------------------------------------------------------


def some():
    share = {"group": "machine", "what": "products", "name": "kernel_share", "share_of_limit": 0.9}
    return results(
        row("vae_mlp_step", 1.4, 1.35, 1.45),
        row("pixelcnn_binary_step", 1.2, 1.1, 1.3, ratio_as_written=2.5),
        row("op_exp", 3.0, 2.9, 3.1, group="op"),
        share,
        {"name": "dcgan_step", "group": "step", "what": "about dcgan", "refused": "losses differ"},
    )


def test_targets_are_met_or_missed():
    found = {(o.target.name, o.target.entry): o.met for o in targets.outcomes(some()["results"])}
    assert found == {
        ("vae_mlp_step", "ratio"): True,
        ("pixelcnn_binary_step", "ratio"): False,
        ("pixelcnn_binary_step", "ratio_as_written"): True,
        ("dcgan_step", "ratio"): False,
        ("kernel_share", "share_of_limit"): True,
    }


def test_the_readmes_table():
    table = report.markdown(some())
    lines = table.splitlines()
    assert lines[2] == "| about vae_mlp_step | 10 ms | 14 ms | torch, 14 ms | 1.40 (1.35 to 1.45) | 1.3 |"
    assert "op_exp" not in table
    assert "`kernel_share` 0.90 (target 0.85)" in table
    assert lines[-1].startswith("a machine, 2 threads, 200 GFLOP/s and 25 GB/s measured; PyTorch 2.13.0, Numba")


def test_the_table_goes_between_the_markers(tmp_path):
    runner.write(some(), tmp_path / "results.json")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    assert program.main(["table", str(tmp_path / "results.json"), str(readme)]) == 0
    assert readme.read_text() == f"before\n{report.BEGIN}\n{report.markdown(some())}\n{report.END}\nafter\n"
    with pytest.raises(ConfigError, match="bench:begin"):
        report.with_table("no markers", "table")


def test_the_readme_shows_the_stored_results():
    readme = (ROOT / "README.md").read_text("utf-8")
    stored = ROOT / "benchmarks" / "results.json"
    table = report.markdown(runner.read(stored)) if stored.exists() else report.NOTHING_STORED
    assert report.with_table(readme, table) == readme, "run: python -m tinygen.benchmarks table"


def test_the_report_is_one_file_with_pictures(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is absent: pip install 'tinygen[plots]'")
    made = some()
    point = {"ours_ms": 1.0, "peers": {"torch": 2.0}}
    made["results"].append(
        {"name": "scaling_batch", "group": "scaling", "what": "VAE: by batch", "axis": "batch",
         "points": [{"at": 8, **point}, {"at": 32, **point}]}
    )  # fmt: skip
    part = {"name": "conv2d <3x3>", "ours_ms": 1.0, "work": Work(1e9, 1e6)._asdict(), "gflops": 100.0, "gbs": 1.0,
            "share_of_limit": 0.5}  # fmt: skip
    made["results"][3]["parts"] = [part]
    path = report.write_report(made, tmp_path / "report")
    page = path.read_text("utf-8")
    pictures = {p.stem for p in path.parent.glob("*.png")}
    assert pictures == {"models", "ops", "roofline", "scaling"}
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page
    assert "conv2d &lt;3x3&gt;" in page
    assert "losses differ" in page


# -- two results -------------------------------------------------------------------------------------------------------


def test_a_fall_within_the_spread_is_none():
    old, new = results(row("a", 2.0, 1.8, 2.2)), results(row("a", 1.7, 1.6, 1.8))
    assert compare.regressions(old, new) == []


def test_a_fall_beyond_the_spread_is_named():
    old = results(row("a", 2.0, 1.95, 2.05), row("b", 2.0, 1.9, 2.1), row("gone", 1.0, 1.0, 1.0))
    new = results(row("a", 1.7, 1.65, 1.75), row("b", 3.0, 2.9, 3.1), row("new", 1.0, 1.0, 1.0))
    assert compare.regressions(old, new) == [
        "a: 2 (1.95 to 2.05) -> 1.7 (1.65 to 1.75)",
        "gone: not in the new results",
    ]


def test_shares_and_failures_are_compared_too():
    old = some()
    new = some()
    new["results"][0] = {"name": "vae_mlp_step", "group": "step", "what": "", "error": "crash"}
    new["results"][3] = new["results"][3] | {"share_of_limit": 0.5}
    assert compare.regressions(old, new) == ["vae_mlp_step: has no figures any more", "kernel_share: 0.9 -> 0.5"]


def test_the_command_compares(tmp_path, capsys):
    old, new = str(tmp_path / "old.json"), str(tmp_path / "new.json")
    runner.write(results(row("a", 2.0, 2.0, 2.0)), old)
    runner.write(results(row("a", 1.0, 1.0, 1.0)), new)
    assert main(["bench", "--compare", old, old]) == 0
    assert "no row" in capsys.readouterr().out
    assert main(["bench", "--compare", old, new]) == 1
    assert "a: 2 -> 1" in capsys.readouterr().err


# -- work --------------------------------------------------------------------------------------------------------------


def zeros(*shape):
    return np.zeros(shape, np.float32)


def test_work_of_products():
    x, w, y = zeros(2, 8, 8, 3), zeros(3, 3, 3, 5), zeros(2, 8, 8, 5)
    dense = 2 * 2 * (8 * 3 - 2) ** 2 * 3 * 5  # of three taps along an axis of 8, two lie outside the image
    bytes_ = 4 * (x.size + w.size + y.size)
    assert counts.of("conv2d", (x, w), (y,), {"pad": 1}) == (dense, bytes_)
    assert counts.of("conv2d_input_grad", (y, w), (x,), {"x_hw": (8, 8), "pad": 1}).flops == dense
    assert counts.of("conv2d_weight_grad", (x, y), (w,), {"k": 3, "pad": ((1, 1), (1, 1))}).flops == dense
    before, centre = 7 * 22 + 8 * 7, 8 * 8  # pixels that the taps before the centre reach, and that it does
    assert counts.of("conv2d", (x, w), (y,), {"pad": 1, "mask": "A"}).flops == 2 * 2 * 3 * 5 * before
    assert counts.of("conv2d", (x, w), (y,), {"pad": 1, "mask": "B"}).flops == 2 * 2 * 3 * 5 * (before + centre)
    # stride 2: of four taps along an axis of 8 from -1 on, the first and the last miss once in four windows
    half, kernel = zeros(2, 4, 4, 5), zeros(4, 4, 3, 5)
    strided = counts.of("conv2d", (x, kernel), (half,), {"pad": 1, "stride": 2})
    assert strided.flops == 2 * 2 * (4 * 4 - 2) ** 2 * 3 * 5
    colors = {"pad": 1, "mask": "B", "colors": 3}
    seen = 2 * 1 + 2 * 2 + 1 * 3  # outputs 0, 1 of the first colour, 2, 3 of the second, 4 of the third
    assert counts.of("conv2d", (x, w), (y,), colors).flops == 2 * 2 * (3 * 5 * before + seen * centre)
    assert counts.of("matmul", (zeros(7, 3), zeros(7, 5)), (zeros(3, 5),), {"trans_a": True}).flops == 2 * 3 * 7 * 5
    assert counts.of("linear", (zeros(2, 3), zeros(3, 5), zeros(5)), (zeros(2, 5),), {}).flops == 2 * 2 * 3 * 5


def test_work_of_the_rest_is_traffic():
    x = zeros(10, 10)
    assert counts.of("exp", (x,), (x,), {}) == (100, 800)
    assert counts.with_gradient("exp", (x,), (x,), {}) is None


def test_a_products_gradients_are_products():
    x, w, b, y = zeros(2, 3), zeros(3, 5), zeros(5), zeros(2, 5)
    entries = 2 * (x.size + w.size + b.size + y.size) + x.size + w.size + b.size
    assert counts.with_gradient("linear", (x, w, b), (y,), {}) == (3 * 2 * 2 * 3 * 5, x.itemsize * entries)


def test_every_product_of_the_kernels_is_counted():
    movers = {"pool2d", "pool2d_grad", "max_pool2d", "max_pool2d_grad"}
    products = {k.__name__ for k in kernels.registry.values() if k.family in ("conv", "matmul")} - movers
    assert products == set(counts.PRODUCTS)


def test_the_walkthrough_computes_one_thing():
    from tinygen.benchmarks import walkthrough

    layer = walkthrough.layer((1, 3, 9, 5), 7)  # a ragged tile in both directions
    walkthrough.check(*layer)
    x, w, b = layer
    with kernels.backend("reference"):
        expected = kernels.conv.conv2d_bias_act(x, w, b, activation="relu", **walkthrough.HOW)
    np.testing.assert_allclose(walkthrough.naive(x, w, b), expected, rtol=1e-4, atol=1e-4)


def test_a_step_of_the_walkthrough_that_is_wrong_is_found(monkeypatch):
    from tinygen.benchmarks import walkthrough

    wrong = ("wrong", lambda x, w, b: walkthrough.naive(x, w, b) + 1)
    monkeypatch.setattr(walkthrough, "STEPS", (*walkthrough.STEPS[:1], wrong))
    with pytest.raises(BenchmarkError, match="'wrong' differs"):
        walkthrough.check(*walkthrough.layer((1, 3, 9, 5), 7))
