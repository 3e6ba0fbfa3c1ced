"""The command line: `tinygen train vae --data digits`.  One file per command; each does its imports when it runs."""

from __future__ import annotations

import argparse
import signal
import sys
import warnings
from collections.abc import Sequence

from .. import __version__
from ..errors import (
    ArgumentError,
    CheckpointError,
    ConfigError,
    DataError,
    DeviceError,
    MissingExtra,
    NonFiniteError,
    TinygenError,
)
from . import bench, check, data, doctor, evaluate, sample, train

EXIT_CODES = """\
exit codes:
  0    done
  1    an error that none of the others describes
  2    wrong usage or configuration
  3    a data set that cannot be used
  4    a run or checkpoint that is missing or damaged
  5    diverged: a NaN or an infinity appeared
  130  interrupted by Ctrl-C (143: by SIGTERM); a training run has been saved
"""
CODES: dict[type[Exception], int] = {
    NonFiniteError: 5,
    CheckpointError: 4,
    DataError: 3,
    ConfigError: 2,
    ArgumentError: 2,
    DeviceError: 2,
    MissingExtra: 2,
    TinygenError: 1,
    OSError: 1,
}


def parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    made = argparse.ArgumentParser(
        prog="tinygen",
        description="Train, sample and evaluate generative models on kernels of their own.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"tinygen {__version__}")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    for module in (train, sample, evaluate, data, bench, check, doctor):
        module.add_to(commands)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.  Results go to standard output, everything else to standard error."""
    args = parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            args.run(args)
    except KeyboardInterrupt as interrupt:  # train.Interrupted, which says what was saved, is one too
        print(f"tinygen: {interrupt or 'interrupted'}", file=sys.stderr)
        return 128 + getattr(interrupt, "signum", signal.SIGINT)
    except tuple(CODES) as error:
        if args.debug:
            raise
        print(f"tinygen: {' '.join(str(error).split())}", file=sys.stderr)
        return next(code for kind, code in CODES.items() if isinstance(error, kind))
    return 0


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """A warning in one line, as for errors."""
    print(f"tinygen: warning: {message}", file=sys.stderr)
