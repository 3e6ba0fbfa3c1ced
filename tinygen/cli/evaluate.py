"""tinygen eval"""

from __future__ import annotations

import argparse
from typing import Any

from .common import add_device, command, opened

EXAMPLES = """\
  tinygen eval runs/vae-digits-0
  tinygen eval runs/vae-digits-0 --split valid --k 5000 > figures.json
"""


def add_to(commands: Any) -> None:
    made = command(commands, "eval", run, "print the figures of a run's model as one JSON object", EXAMPLES)
    made.add_argument("folder", metavar="RUN", help="the run's folder")
    made.add_argument("--split", choices=("test", "valid", "train"), default="test", help="of the data (default: test)")
    made.add_argument("--k", type=int, metavar="K", help="samples of the importance-weighted bound (VAE)")
    add_device(made)


def run(args: argparse.Namespace) -> None:
    from ..errors import ConfigError
    from ..train.evaluation import report
    from ..train.files import dump_json

    this = opened(args)
    if args.k is not None and args.k < 1:
        raise ConfigError(f"eval: --k is {args.k}; it must be at least 1.")
    if args.k is not None and not hasattr(this.model, "iwae_samples"):
        raise ConfigError(f"eval: {this.config.family} has no importance-weighted bound. Leave --k out.")
    step = this.load_weights()
    print(dump_json(report(this, args.split, step, iwae_samples=args.k)))
