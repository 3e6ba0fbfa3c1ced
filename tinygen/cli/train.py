"""tinygen train"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import command

if TYPE_CHECKING:
    from ..train.trainer import Trainer

EXAMPLES = """\
  tinygen train vae --data digits
  tinygen train pixelcnn --data mnist --epochs 20 --batch-size 16 --out runs/pixels
  tinygen train gan --data ring8 --set optimizer.betas=[0.5,0.999] --set model.hidden=256
  tinygen train realnvp --data table.csv --config flow.toml
  tinygen train vae --data digits --resume --epochs 400
  tinygen train vae --data mnist --device cuda

Settings come from the recipe of model and data, then --config, then the flags, then --set; the outcome is stored as
config.json in the folder of the run.  `tinygen data list` shows the data sets.
"""

SUBJECT = ("family", "data", "levels")  # settings that say what is trained, not how
FLAGS = (*SUBJECT[1:], "seed", "device", "batch_size", "patience", "epochs", "steps")  # flags named like their setting


def add_to(commands: Any) -> None:
    made = command(commands, "train", run, "train a model, or go on with a run", EXAMPLES)
    made.add_argument("family", choices=("vae", "pixelcnn", "realnvp", "gan"), help="the model")
    made.add_argument("--data", metavar="NAME|PATH", help="a data set's name, a file, or a folder of pictures")
    made.add_argument("--levels", type=int, metavar="N", help="grey levels of the integers in a file")
    made.add_argument("--out", metavar="DIR", help="the run's folder (default: runs/MODEL-DATA-SEED)")
    length = made.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, metavar="N", help="passes over the training data")
    length.add_argument("--steps", type=int, metavar="N", help="updates, instead of epochs")
    made.add_argument("--batch-size", type=int, metavar="N", help="examples in one update")
    made.add_argument("--lr", type=float, metavar="X", help="learning rate")
    made.add_argument("--patience", type=int, metavar="N", help="validations without a better figure before stopping")
    made.add_argument("--seed", type=int, metavar="N", help="of the weights, the order of the data and every draw")
    made.add_argument("--device", help="cpu or cuda")
    made.add_argument("--config", metavar="FILE", help="settings from a .json or .toml file")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting: model.latent=32")
    made.add_argument("--resume", action="store_true", help="go on with the run in the folder, bit for bit")


def run(args: argparse.Namespace) -> None:
    from ..errors import CheckpointError, ConfigError, MissingExtra
    from ..train.run import Run, canonical, is_run
    from ..train.signals import Interrupted
    from ..train.trainer import Trainer

    if not (find_spec("tqdm") and find_spec("matplotlib")):  # said now, not after hours of training
        raise MissingExtra("tqdm and matplotlib", "train", "tinygen train")
    subject, layers = asked(args)
    folder = _folder(args, subject, layers)
    if not args.resume:
        if "data" not in subject:
            raise ConfigError("train: pass --data NAME or --data PATH; `tinygen data list` shows the names.")
        this = Run.new(folder, args.family, subject["data"], layers, levels=subject.get("levels"))
    elif is_run(folder):
        if "data" in subject:
            subject["data"] = canonical(subject["data"])
        this = Run.open(folder, [subject, *layers])
    else:
        raise CheckpointError(f"{folder}: there is no run here to resume. Leave --resume out to start it.")
    trainer = Trainer(this, resume=args.resume, show=True)
    announce(trainer)
    try:
        trainer.fit()
    except Interrupted as interrupt:
        again = f"tinygen train {args.family} --out {folder} --resume"
        raise Interrupted(interrupt.signum, f"{interrupt} Go on with: {again}") from None
    finish(trainer)


def asked(args: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What to train on what (family, data, levels, as far as said), and the settings, weakest first.

    Raises ConfigError where a configuration file is for another model than the command.
    """
    from ..errors import ConfigError
    from ..train.config import assignment, read_layer

    flags: dict[str, Any] = {name: value for name in FLAGS if (value := getattr(args, name)) is not None}
    if args.lr is not None:
        flags["optimizer"] = {"lr": args.lr}
    if args.epochs is not None:
        flags["steps"] = None  # of the two the one that was said
    layers = [*([read_layer(args.config)] if args.config else []), flags, *map(assignment, args.set)]
    subject: dict[str, Any] = {}
    for layer in layers:
        said = {name: layer.pop(name, None) for name in SUBJECT}
        subject.update({name: value for name, value in said.items() if value is not None})
    if subject.setdefault("family", args.family) != args.family:
        raise ConfigError(f"the configuration is for {subject['family']!r}, the command for {args.family!r}.")
    return subject, layers


def _folder(args: argparse.Namespace, subject: dict[str, Any], layers: list[dict[str, Any]]) -> Path:
    from ..errors import ConfigError

    if args.out:
        return Path(args.out)
    if "data" not in subject:
        raise ConfigError("train: pass --data, or the folder of the run with --out.")
    seed = next((layer["seed"] for layer in reversed(layers) if "seed" in layer), 0)
    return Path("runs") / f"{args.family}-{Path(subject['data']).stem}-{seed}"


def announce(trainer: Trainer) -> None:
    """What is about to happen, on standard error."""
    run, at = trainer.run, trainer.progress.step
    dataset = run.dataset
    held = f", {len(dataset.valid):,} held out" if dataset.valid is not None else ""
    begin = f"from step {at:,} " if at else ""
    print(
        f"{run.config.family}, {run.model.parameter_count():,} parameters; {dataset.name}, {len(dataset.train):,} "
        f"examples{held}; {begin}to step {trainer.total:,} in {run.folder}",
        file=sys.stderr,
    )


def finish(trainer: Trainer) -> None:
    """Test figures, pictures, and where to go from here."""
    from ..train.evaluation import report
    from ..train.files import dump_json, write_atomic
    from ..train.pictures import save_pictures

    run, at = trainer.run, trainer.progress
    step = run.load_weights()
    figures = report(run, "test", step)
    write_atomic(run.folder / "test.json", [dump_json(figures, indent=2).encode() + b"\n"])
    pictures = save_pictures(run)
    if trainer.stopped_early:
        print(f"stopped early at step {at.step:,}: no better {run.model.monitor} in {at.waited} validations")
    print(f"test, weights of step {step:,}:")
    for name, value in figures.items():
        if isinstance(value, float):
            print(f"  {name:20} {value:.4f}")
        elif name.startswith("modes"):
            print(f"  {name:20} {value}")
    print(f"pictures: {', '.join(str(path) for path in pictures)}")
    print(f"more:     tinygen sample {run.folder} -n 64 -o samples.png")
    print(f"          tinygen eval {run.folder} --split test")
