"""What the commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


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
