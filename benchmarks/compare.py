"""Two results of `tinygen bench`: which rows became slower by more than their spread explains.

What is compared is a row's ratio to its fastest peer, or, where a row has none, its share of the machine's limit: both
are relative to something measured in the same minute, which milliseconds of two days are not.
"""

from __future__ import annotations

from pathlib import Path

from . import runner
from .harness import BenchmarkError
from .runner import Results, failed
from .suite import Row

SLACK = 0.02  # a change of this share is never called one, however small the spreads


def figure(row: Row) -> tuple[float, float, float] | None:
    """What a row is judged by, as median and quartiles; None where it has nothing."""
    for entry, spread in (("ratio", "ratio_spread"), ("share_of_limit", "share_spread")):
        if row.get(entry) is not None:
            middle = row[entry]
            # the shares of many kernels differ for good reasons: their spread is no uncertainty of the median
            low, high = row.get(spread, (middle, middle)) if entry == "ratio" else (middle, middle)
            return middle, low, high
    return None


def regressions(old: Results, new: Results) -> list[str]:
    """A line for each row that is gone, or whose median fell by more than half of both spreads together."""
    before = {row["name"]: row for row in old["results"] if not failed(row)}
    after = {row["name"]: row for row in new["results"]}
    found = []
    for name, row in before.items():
        was = figure(row)
        if was is None:
            continue
        if name not in after:
            found.append(f"{name}: not in the new results")
        elif failed(after[name]):
            found.append(f"{name}: has no figures any more")
        elif (now := figure(after[name])) is None:
            found.append(f"{name}: has neither ratio nor share any more")
        elif was[0] - now[0] > (was[2] - was[1]) / 2 + (now[2] - now[1]) / 2 + SLACK * was[0]:
            found.append(f"{name}: {_text(was)} -> {_text(now)}")
    return found


def _text(figure: tuple[float, float, float]) -> str:
    middle, low, high = figure
    return f"{middle:.3g}" if low == high else f"{middle:.3g} ({low:.3g} to {high:.3g})"


def compare_files(old: str | Path, new: str | Path) -> str:
    """A sentence saying that nothing became slower.  Raises BenchmarkError, listing them, where rows did."""
    worse = regressions(runner.read(old), runner.read(new))
    if worse:
        raise BenchmarkError(f"{len(worse)} rows are worse than in {old}: {'; '.join(worse)}")
    return f"no row of {new} is worse than in {old}"
