"""`python -m tinygen.benchmarks`, what `tinygen bench` does; from the repository also `python -m benchmarks`.

Beside it some commands of their own:

    table [JSON README]      write the README's table from stored results
    report JSON DIR          the report of stored results
    walkthrough              one convolution from naive to fast, each step measured
    machine                  the machine's limits, as JSON
    worker NAME SETTINGS     what runs in the process of one benchmark
    side NAME SIDE SETTINGS  what runs in the process of one side of a comparison
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tinygen.errors import ConfigError, MissingExtra, TinygenError

HERE = Path(__file__).resolve().parent


def _table(argv: Sequence[str]) -> None:
    from tinygen.benchmarks.report import write_table

    parser = argparse.ArgumentParser(prog="python -m tinygen.benchmarks table")
    parser.add_argument("json", nargs="?", default=HERE / "results.json")
    parser.add_argument("readme", nargs="?", default=HERE.parent / "README.md")
    args = parser.parse_args(argv)
    write_table(args.json, args.readme)


def _report(argv: Sequence[str]) -> None:
    from tinygen.benchmarks import report, runner

    parser = argparse.ArgumentParser(prog="python -m tinygen.benchmarks report")
    parser.add_argument("json")
    parser.add_argument("folder")
    args = parser.parse_args(argv)
    print(report.write_report(runner.read(args.json), args.folder))


def _walkthrough(argv: Sequence[str]) -> None:
    from tinygen.benchmarks import harness

    argparse.ArgumentParser(prog="python -m tinygen.benchmarks walkthrough").parse_args(argv)
    harness.use_threads(1)
    from tinygen.benchmarks import walkthrough

    print(walkthrough.table())


def _machine(argv: Sequence[str]) -> None:
    from tinygen.benchmarks import harness

    parser = argparse.ArgumentParser(prog="python -m tinygen.benchmarks machine")
    parser.add_argument("--threads", type=int, default=harness.usable_cores())
    args = parser.parse_args(argv)
    harness.use_threads(args.threads)
    from tinygen.benchmarks import machine

    print(json.dumps(machine.measure(args.threads)))


def _worker(argv: Sequence[str]) -> None:
    from tinygen.benchmarks import runner, suite

    name, settings = argv
    row = runner.worker(name, suite.Settings(**json.loads(settings)))
    print(json.dumps(row, allow_nan=False))


def _side(argv: Sequence[str]) -> None:
    from tinygen.benchmarks import sides, suite

    name, side, settings = argv
    sides.serve(name, side, suite.Settings(**json.loads(settings)))


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "table": _table, "report": _report, "walkthrough": _walkthrough, "machine": _machine, "worker": _worker,
    "side": _side,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv and argv[0] in COMMANDS:
            COMMANDS[argv[0]](argv[1:])
        else:
            from tinygen.benchmarks import command

            parser = argparse.ArgumentParser(
                prog="python -m tinygen.benchmarks",
                description=command.SUMMARY,
                epilog=f"examples:\n{command.EXAMPLES}",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            command.add_arguments(parser)
            command.run(parser.parse_args(argv))
    except (TinygenError, OSError) as error:
        print(f"tinygen: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError | MissingExtra) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
