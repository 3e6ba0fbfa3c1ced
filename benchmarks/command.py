"""`tinygen bench`, also `python -m tinygen.benchmarks`: which benchmarks to run, and what to do with the results."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tinygen.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from .suite import Settings

SUMMARY = "compare with PyTorch and JAX on this machine, and with the machine's own limits"
EXAMPLES = """\
  tinygen bench --list
  tinygen bench --only vae_mlp_step kernel_share
  tinygen bench --only 'op_*' --quick
  tinygen bench --json results.json --report report
  tinygen bench --compare before.json after.json

Each benchmark runs in a process of its own, all sides with equal threads, data and weights, in interleaved turns.
Rows whose sides do not agree are refused, and the exit code is then 1.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--json", metavar="FILE", help="write machine and results there")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names or shell patterns of what to run")
    parser.add_argument("--list", action="store_true", help="show the names and what they time")
    parser.add_argument("--threads", type=int, metavar="N", help="of every side (default: all processors)")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of every side (default: 8)")
    parser.add_argument("--quick", action="store_true", help="a look at everything in less time, not a result")
    parser.add_argument("--report", metavar="DIR", help="write a report with plots there, HTML and PNG")
    parser.add_argument(
        "--compare", nargs=2, metavar=("OLD", "NEW"), help="name the rows that got slower from one JSON to another"
    )


def run(args: argparse.Namespace) -> None:
    """Do what the options say.

    Raises ConfigError for options that make no sense, MissingExtra without PyTorch, BenchmarkError where rows are
    without figures or became slower.
    """
    if args.compare:
        from .compare import compare_files

        print(compare_files(*args.compare))
        return
    from .runner import check_complete, run_all, write
    from .suite import select

    benchmarks = select(args.only)
    if args.list:
        width = max(len(b.name) for b in benchmarks)
        for b in benchmarks:
            print(f"{b.name:{width}}  {b.group:9} {b.what}")
        return
    if find_spec("torch") is None:
        raise MissingExtra("PyTorch", "bench", "tinygen bench")
    if args.report and find_spec("matplotlib") is None:
        raise MissingExtra("matplotlib", "bench", "tinygen bench --report")
    settings = settings_of(args)
    results = run_all(benchmarks, settings, lambda made: write(made, args.json) if args.json else None)
    from .report import text, write_report

    print(text(results))
    if args.report:
        print(f"report: {write_report(results, args.report)}", file=sys.stderr)
    check_complete(results["results"])


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the options ask for; ConfigError where they cannot be."""
    from .harness import usable_cores
    from .suite import Settings

    threads = usable_cores() if args.threads is None else args.threads
    rounds = (2 if args.quick else 8) if args.rounds is None else args.rounds
    if not 1 <= threads <= usable_cores():
        raise ConfigError(f"bench: --threads is {threads}; it must be from 1 to {usable_cores()}, the processors here.")
    if rounds < 2:
        raise ConfigError(f"bench: --rounds is {rounds}; it must be at least 2, for a spread is reported.")
    return Settings(threads, rounds, seconds=0.1 if args.quick else 0.3, quick=args.quick)
