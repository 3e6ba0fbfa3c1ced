"""The report's pictures: ratios, roofline, and how cost grows.  One function, one figure; matplotlib only here."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

from .machine import Machine, memory_rate
from .runner import Results, failed
from .suite import Row
from .targets import least

OURS, PEER, TARGET = "#1f5fa8", "#c2571a", "#444444"
EDGE = 20.0  # ratios beyond are written out, or one bar would press all others together


def figures(results: Results) -> dict[str, Any]:
    """Name -> matplotlib figure, for every picture that the results have the rows for."""
    rows = [row for row in results["results"] if not failed(row)]
    made = {}
    for name, draw in PICTURES.items():
        figure = draw(rows, results["machine"])
        if figure is not None:
            made[name] = figure
    return made


def _axes(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    figure = Figure(figsize=(width, height), layout="constrained", dpi=130)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _bars(rows: list[Row], title: str) -> Any:
    """Ratios as horizontal bars with their quartiles, a line where both sides are equal, and a mark at each target."""
    if not rows:
        return None
    figure, (ax,) = _axes(8, 1 + 0.26 * len(rows))
    for i, row in enumerate(reversed(rows)):
        low, high = row.get("ratio_spread", (row["ratio"], row["ratio"]))
        ax.barh(i, min(row["ratio"], EDGE) - 1, left=1, color=OURS if row["ratio"] >= 1 else PEER, height=0.7)
        if row["ratio"] > EDGE:
            ax.text(EDGE * 0.95, i, f"{row['ratio']:.0f}", ha="right", va="center", color="white", fontsize=8)
        else:
            ax.plot([low, high], [i, i], color="black", linewidth=1)
        target = least(row["name"])
        if target is not None and target <= EDGE:
            ax.plot([target, target], [i - 0.42, i + 0.42], color=TARGET, linewidth=2)
    ax.set_yticks(range(len(rows)), [row["name"] for row in reversed(rows)], fontsize=8)
    ax.set_xscale("log")
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_xlim(min(0.5, ax.get_xlim()[0]), min(EDGE, max(2.0, ax.get_xlim()[1])))
    ticks = [t for t in (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if ax.get_xlim()[0] <= t <= ax.get_xlim()[1]]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlabel("fastest peer's time over ours (bars to the right of 1: we are faster; dark marks: targets)")
    ax.set_title(title)
    return figure


def models(rows: list[Row], machine: Machine) -> Any:
    """Ratios of whole models."""
    wanted = [r for r in rows if r["group"] in ("step", "sample", "evaluate") and r.get("ratio")]
    return _bars(wanted, "Models: training steps, sampling, evaluation")


def ops(rows: list[Row], machine: Machine) -> Any:
    """Ratios of single ops, best first."""
    wanted = [r for r in rows if r["group"] == "op" and r.get("ratio")]
    return _bars(sorted(wanted, key=lambda r: -r["ratio"]), "Single ops, called one by one")


def roofline(rows: list[Row], machine: Machine) -> Any:
    """Every kernel by what it does for each byte, under the roof that the machine was measured to have."""
    wanted = [r for r in rows if r["name"] in ("kernel_share", "bandwidth_share")]
    parts = [(r["name"], p) for r in wanted for p in r["parts"]]
    if not parts:
        return None
    figure, (ax,) = _axes(8, 5)
    kinds = ("kernel_share", "products", OURS), ("bandwidth_share", "elementwise and reductions", PEER)
    for name, label, color in kinds:
        own = [p for row, p in parts if row == name]
        if own:
            x, y = [p["work"]["flops"] / p["work"]["bytes"] for p in own], [p["gflops"] for p in own]
            ax.scatter(x, y, s=14, color=color, label=label, zorder=3)
    peak = machine["fma_gflops"]["all"]
    rates = {level["level"]: memory_rate(machine, level["bytes"]) / 1e9 for level in machine["bandwidth"]}
    span = [min(p["work"]["flops"] / p["work"]["bytes"] for _, p in parts) / 2, 1e3]
    for (level, rate), style in zip(rates.items(), (":", "--", "-")[-len(rates) :]):
        ax.plot([span[0], peak / rate], [span[0] * rate, peak], style, color=TARGET, label=f"{level}: {rate:.0f} GB/s")
    ax.plot([peak / max(rates.values()), span[1]], [peak, peak], color=TARGET, linewidth=1)
    ax.text(span[1], peak * 1.05, f"{peak:.0f} GFLOP/s", fontsize=8, ha="right")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("operations for each byte that has to move")
    ax.set_ylabel("GFLOP/s")
    ax.set_title("Roofline: float32 kernels under the measured limits")
    ax.legend(frameon=False, loc="lower right")
    return figure


def scaling(rows: list[Row], machine: Machine) -> Any:
    """Milliseconds of a step along each axis, both sides."""
    wanted = [r for r in rows if r["group"] == "scaling" and "points" in r]
    if not wanted:
        return None
    figure, axes = _axes(3.4 * len(wanted), 3.4, len(wanted))
    for ax, row in zip(axes, wanted):
        at = [p["at"] for p in row["points"]]
        ax.plot(at, [p["ours_ms"] for p in row["points"]], "o-", color=OURS, label="tinygen")
        for i, peer in enumerate(row["points"][0]["peers"]):
            ax.plot(at, [p["peers"][peer] for p in row["points"]], "os^"[i % 3] + "--", color=PEER, label=peer)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(at, [str(v) for v in at])
        ax.minorticks_off()
        ax.set_xlabel(row["axis"])
        ax.set_title(textwrap.fill(row["what"].partition(":")[0], 40), fontsize=8)
    axes[0].set_ylabel("ms a step")
    axes[0].legend(frameon=False)
    return figure


PICTURES: dict[str, Callable[[list[Row], Machine], Any]] = {
    "models": models, "ops": ops, "roofline": roofline, "scaling": scaling,
}  # fmt: skip
