"""What the commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..train.run import Run


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], summary: str, examples: str = ""
) -> argparse.ArgumentParser:
    """A command with --debug and, under --help, its examples."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    made.set_defaults(run=run)
    return made


def add_device(made: argparse.ArgumentParser) -> None:
    """--device, of a run that was trained on any."""
    made.add_argument("--device", help="cpu or cuda (default: where the run was trained)")


def opened(args: argparse.Namespace) -> Run:
    """The run in `args.folder`, on the device that was asked for."""
    from ..train.run import Run

    return Run.open(args.folder, [] if args.device is None else [{"device": args.device}])
