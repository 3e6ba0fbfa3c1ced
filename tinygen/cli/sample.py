"""tinygen sample"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import add_device, command, opened

EXAMPLES = """\
  tinygen sample runs/vae-digits-0 -n 64 -o samples.png
  tinygen sample runs/gan-ring8-0 -n 10000 -o points.npy --seed 7
"""

SUFFIXES = (".png", ".npy", ".npz", ".csv")


def add_to(commands: Any) -> None:
    made = command(commands, "sample", run, "draw samples from the model of a run", EXAMPLES)
    made.add_argument("folder", metavar="RUN", help="the run's folder")
    made.add_argument("-n", type=int, default=64, metavar="N", help="how many (default: 64)")
    made.add_argument(
        "-o", "--output", required=True, metavar="FILE",
        help=".png: a grid of images, or a plot of points; .npy, .npz (x): images on [0, 1] or rows; .csv: rows",
    )  # fmt: skip
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    add_device(made)


def run(args: argparse.Namespace) -> None:
    from ..errors import ConfigError
    from ..random import Key
    from ..train.evaluation import draw
    from ..train.pictures import picture

    path = Path(args.output)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"sample: {path.name} should end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    this = opened(args)
    kind = this.dataset.kind
    if (path.suffix, kind) in ((".png", "table"), (".csv", "image")):
        raise ConfigError(f"sample: {kind} data do not go into a {path.suffix} file. Use .npy or .npz.")
    this.load_weights()
    samples = draw(this.model, args.n, key=Key(args.seed).fold_in("sample"))
    if path.suffix == ".png":
        picture(path, this, samples)
    else:
        write(path, samples)
    print(f"{args.n} samples: {path}")


def write(path: Path, samples: Any) -> None:
    """Numbers, as the suffix says; the file appears whole."""
    import numpy as np

    from ..data.atomic import replacing

    with replacing(path) as temporary, open(temporary, "wb") as file:
        if path.suffix == ".csv":
            np.savetxt(file, samples, delimiter=",", fmt="%.9g")  # nine digits bring a float32 back exactly
        elif path.suffix == ".npz":
            np.savez(file, x=samples)
        else:
            np.save(file, samples, allow_pickle=False)
