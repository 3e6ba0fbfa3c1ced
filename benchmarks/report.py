"""What people read of the results: a table for the terminal, one for the README, and a report with pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinygen.data.atomic import replacing
from tinygen.errors import ConfigError

from . import runner
from .machine import limit_ms
from .runner import Results, failed
from .suite import Row, Work
from .targets import TRIED, least, outcomes

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
NOTHING_STORED = "`make bench` measures this machine and writes the table here."
README_GROUPS = ("step", "sample", "evaluate")
Cells = Sequence[str]


def text(results: Results) -> str:
    """Every row on a line, and the targets; for the terminal."""
    rows: list[Cells] = [("", "tinygen ms", "fastest peer", "ms", "ratio", "of the limit")]
    rows += [_cells(row) for row in results["results"]]
    widths = [max(map(len, column)) for column in zip(*rows)]
    table = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*table, *(["", *_target_lines(results)] if outcomes(results["results"]) else [])])


def _cells(row: Row) -> tuple[str, ...]:
    if failed(row):
        reason = row.get("refused") or row.get("error", "")
        return row["name"], "refused" if "refused" in row else "error", str(reason).splitlines()[0][:70], "", "", ""
    ours, fastest = row.get("ours_ms"), row.get("fastest", "")
    peer = row["peers"][fastest] if fastest else None
    share = row.get("share_of_limit")
    shown = "" if share is None else f"{share:.0%}"
    return row["name"], _ms(ours), fastest, _ms(peer), _spread(row), shown


def _ms(value: float | None) -> str:
    """Three digits: 0.0123, 4.56, 123, 12300."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _spread(row: Row) -> str:
    """The ratio with its quartiles."""
    if row.get("ratio") is None:
        return ""
    low, high = row.get("ratio_spread", (None, None))
    shown = f"{row['ratio']:.0f}" if row["ratio"] >= 100 else f"{row['ratio']:.2f}"
    return shown if low is None else f"{shown} ({_ms(low)} to {_ms(high)})"


def _target_lines(results: Results) -> list[str]:
    found = outcomes(results["results"])
    lines = [f"targets: {sum(o.met for o in found)} of {len(found)} met"]
    for o in found:
        value = "no figure" if o.value is None else f"{o.value:.3g}"
        said = f"{o.target.name} {o.target.entry}: {value}, at least {o.target.least:g}"
        lines.append(f"  {'met   ' if o.met else 'MISSED'}  {said}")
    return lines


# -- the README's table ------------------------------------------------------------------------------------------------


def markdown(results: Results) -> str:
    """The README's table: whole models, then what the kernels reach, then the machine in a sentence."""
    machine = results["machine"]
    lines = [
        "| | tinygen | PyTorch as written | fastest peer | ratio to the fastest | target |",
        "|---|---:|---:|---|---:|---:|",
    ]
    for row in results["results"]:
        if row["group"] in README_GROUPS and not failed(row):
            fastest = row.get("fastest", "")
            peer = f"{fastest}, {_ms(row['peers'][fastest])} ms" if fastest else ""
            written = _ms(row.get("peers", {}).get("torch"))
            target = least(row["name"])
            cells = (
                row["what"], f"{_ms(row['ours_ms'])} ms", f"{written} ms" if written else "", peer,
                _spread(row), "" if target is None else f"{target:g}",
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    rest = [o for o in outcomes(results["results"]) if _row(results, o.target.name)["group"] not in README_GROUPS]
    if rest:
        said = "; ".join(
            f"`{o.target.name}` {'no figure' if o.value is None else f'{o.value:.2f}'} (target {o.target.least:g})"
            for o in rest
        )
        lines += ["", f"{said}."]
    peak = machine["fma_gflops"]
    versions = ", ".join(f"{label} {machine[key]}" for key, label in VERSIONS.items() if machine.get(key))
    lines += [
        "",
        f"{machine['cpu']}, {machine['threads']} threads, {peak['all']:.0f} GFLOP/s and "
        f"{max(machine['bandwidth'][-1][kind] for kind in ('read', 'copy', 'triad')):.0f} GB/s measured; {versions}.",
    ]
    return "\n".join(lines)


VERSIONS = {"torch": "PyTorch", "jax": "JAX", "numba": "Numba", "python": "Python"}


def _row(results: Results, name: str) -> Row:
    return next(row for row in results["results"] if row["name"] == name)


def with_table(readme: str, table: str) -> str:
    """The README's text with `table` between the markers.  Raises ConfigError where a marker is missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"bench: the README has no {BEGIN} followed by {END}.")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def write_table(results: str | Path, readme: str | Path) -> None:
    """Put the table of stored results into the README."""
    made = with_table(Path(readme).read_text("utf-8"), markdown(runner.read(results)))
    with replacing(readme) as temporary:
        temporary.write_text(made, "utf-8")


# -- the report --------------------------------------------------------------------------------------------------------


def write_report(results: Results, folder: str | Path) -> Path:
    """report.html, one file with the pictures inside, and the pictures as PNG beside it; returns the HTML's path."""
    from .plots import figures

    folder, pictures = Path(folder), []
    for name, figure in figures(results).items():
        held = io.BytesIO()
        figure.savefig(held, format="png")
        with replacing(folder / f"{name}.png") as temporary:
            temporary.write_bytes(held.getvalue())
        encoded = base64.b64encode(held.getvalue()).decode()
        pictures.append(f'<img alt="{name}" src="data:image/png;base64,{encoded}">')
    path = folder / "report.html"
    with replacing(path) as temporary:
        temporary.write_text(_page(results, pictures), "utf-8")
    return path


STYLE = """body{font:15px/1.45 sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;font-size:13px}td,th{padding:.2rem .6rem;text-align:left;
border-bottom:1px solid #ddd;vertical-align:top}img{max-width:100%}.missed{color:#b03a00}.met{color:#1c7a32}
details{margin:.6rem 0}"""


def _page(results: Results, pictures: Sequence[str]) -> str:
    rows = results["results"]
    goals = [
        (o.target.name, o.target.entry, f"{o.target.least:g}", "none" if o.value is None else f"{o.value:.3g}",
         "met" if o.met else "missed", "" if o.met else TRIED.get(o.target.name, ""))
        for o in outcomes(rows)
    ]  # fmt: skip
    peers = [
        (row["name"], peer, _ms(ms), *(_ms(q) for q in row["peers_spread"][peer]), f"{ms / row['ours_ms']:.2f}",
         _ms(row.get("compile_s", {}).get(peer)))
        for row in rows if not failed(row) and row["group"] != "op"
        for peer, ms in sorted(row.get("peers", {}).items(), key=lambda item: item[1])
        if peer in row.get("peers_spread", {})
    ]  # fmt: skip
    parts = [
        (row["name"], p["name"], _ms(p["ours_ms"]), f"{p['gflops']:.1f}", f"{p['gbs']:.1f}",
         f"{p['share_of_limit']:.0%}")
        for row in rows for p in row.get("parts", []) if "gflops" in p
    ]  # fmt: skip
    starts = [
        (p["name"], f"{p['cold_s']:.1f}", f"{p['warm_s']:.2f}")
        for row in rows for p in row.get("parts", []) if "cold_s" in p
    ]  # fmt: skip
    peaks = [
        (p["name"], *(f"{side}: {mib:.0f}" for side, mib in p["peak_mib"].items()))
        for row in rows for p in row.get("parts", []) if "peak_mib" in p
    ]  # fmt: skip
    spent = [line for row in rows if "launches" in row for line in _spent(row, results["machine"])]
    left = [(row["name"], peer, reason) for row in rows for peer, reason in row.get("left_out", {}).items()]
    checked = [(row["name"], str(row["parity"])) for row in rows if "parity" in row]
    failures = [(row["name"], str(row.get("refused") or row.get("error"))) for row in rows if failed(row)]
    body = [
        "<h1>tinygen on this machine</h1>",
        _table("", [(key, _said(value)) for key, value in results["machine"].items()]),
        _section("Without figures", ("row", "reason"), failures),
        _section("Targets", ("row", "entry", "at least", "measured", "", "where the rest is"), goals),
        *pictures,
        "<h2>All rows</h2>",
        _table(("", "tinygen ms", "fastest peer", "ms", "ratio (quartiles)", "of the limit"), map(_cells, rows)),
        _section("Every peer", ("row", "peer", "ms", "lower", "upper quartile", "over ours", "compile s"), peers),
        _section(
            "Where our steps spend their time", ("row", "launches", "how many", "ms", "part", "of the limit"), spent
        ),
        _section("Kernels", ("row", "kernel", "ms", "GFLOP/s", "GB/s", "of the limit"), parts),
        _section("Starts", ("model", "empty cache, s", "with a cache, s"), starts),
        _section("Peak memory, MiB", (), peaks),
        _section("Left out", ("row", "peer", "why"), left),
        _section("Parity, checked before timing", ("row", "what"), checked),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>tinygen bench</title><style>{STYLE}</style>'
        f"<body>{''.join(body)}</body></html>\n"
    )


LONGEST = 12  # launches of a step that have a line of their own


def _spent(row: Row, machine: Results) -> list[Cells]:
    """The launches of a step that take longest, the others together, and the limit of each."""
    lines: list[Cells] = []
    groups = list(row["launches"])
    rest = groups[LONGEST:]
    if rest:
        work = {kind: sum(g["work"][kind] for g in rest) for kind in ("flops", "bytes")}
        counted = {"count": sum(g["count"] for g in rest), "ms": sum(g["ms"] for g in rest), "work": work}
        groups[LONGEST:] = [counted | {"name": f"{len(rest)} other kinds"}]
    whole = sum(g["ms"] for g in groups)
    for g in groups:
        share = limit_ms(machine, Work(**g["work"])) / g["ms"] if g["ms"] else 0.0
        part = f"{g['ms'] / whole:.0%}"
        lines.append((row["name"], g["name"], str(g["count"]), _ms(g["ms"]), part, f"{share:.0%}" if share else ""))
    return lines


def _section(title: str, head: Cells, rows: Sequence[Cells]) -> str:
    """A heading and a table, folded away when it is long; nothing without rows."""
    if not rows:
        return ""
    if len(rows) <= 40:
        return f"<h2>{html.escape(title)}</h2>{_table(head, rows)}"
    return f"<h2>{html.escape(title)}</h2><details><summary>{len(rows)} lines</summary>{_table(head, rows)}</details>"


def _table(head: Cells, rows: Any) -> str:
    def line(cells: Cells, tag: str) -> str:
        made = [
            f"<{tag}{f' class={cell}' if cell in ('met', 'missed') else ''}>{html.escape(str(cell))}</{tag}>"
            for cell in cells
        ]
        return f"<tr>{''.join(made)}</tr>"

    return f"<table>{line(head, 'th') if head else ''}{''.join(line(row, 'td') for row in rows)}</table>"


def _said(value: Any) -> str:
    """An entry of the machine, for people."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_said(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(_said(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
