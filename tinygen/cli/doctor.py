"""tinygen doctor"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import __version__
from .common import command

EXAMPLES = """\
  tinygen doctor
  tinygen doctor --warm                compile ahead what every model trains with
  tinygen doctor --warm vae pixelcnn   for these two only
  tinygen doctor --prune               delete the kernels of other versions
"""


def add_to(commands: Any) -> None:
    made = command(commands, "doctor", run, "show versions, threads, caches, and what is missing", EXAMPLES)
    task = made.add_mutually_exclusive_group()
    task.add_argument("--warm", nargs="*", metavar="MODEL", help="compile the kernels of these models (or all) ahead")
    task.add_argument("--prune", action="store_true", help="delete compiled kernels of other versions of the sources")


def run(args: argparse.Namespace) -> None:
    if args.warm is not None:
        warm(args.warm)
    elif args.prune:
        from ..kernels import _cache

        before = _cache.prune()
        print(f"deleted {len(before.others)} caches of other versions, {before.others_size / 1e6:.1f} MB")
    else:
        show()


def show() -> None:
    """Everything worth knowing, a line each."""
    from ..device import check_device, cpu_facts, cuda_facts
    from ..errors import DeviceError

    rows = {"tinygen": __version__, "python": f"{platform.python_version()} on {platform.platform()}"}
    rows.update({name: metadata.version(name) for name in ("numpy", "numba", "scipy")})
    rows.update(cpu_facts())
    try:
        check_device("cuda")
        rows["cuda"] = "ready"
    except DeviceError as error:
        rows["cuda"] = str(error)
    rows.update(cuda_facts())
    for extra, missing in missing_extras().items():
        need = f"missing {', '.join(missing)}: pip install 'tinygen[{extra}]'" if missing else "installed"
        rows[f"extra {extra}"] = need
    for name, value in rows.items():
        print(f"{name:16}{value}")


def warm(families: Iterable[str]) -> None:
    """Train each model on each kind of data for three steps (eager, recorded, replayed) and draw samples, so that the
    cache holds every kernel that it will ask for.  Raises ConfigError for a model that does not exist."""
    from ..errors import ArgumentError, ConfigError
    from ..kernels import _cache
    from ..models import FAMILIES
    from ..random import Key
    from ..train.run import Run
    from ..train.trainer import Trainer

    unknown = sorted(set(families) - set(FAMILIES))
    if unknown:
        raise ConfigError(f"doctor: no model {unknown[0]!r}; known: {', '.join(FAMILIES)}.")
    before, begin = _cache.report().entries, time.perf_counter()
    with TemporaryDirectory() as folder:
        for family in families or FAMILIES:
            for name, data, levels in (("grey images", "digits", None), ("points", "ring8", None), _binary(folder)):
                since, held = time.perf_counter(), _cache.report().entries
                settings = {"steps": 3, "batch_size": 64, "validate_every": 3}
                try:
                    this = Run.new(Path(folder) / f"{family} {name}", family, data, [settings], levels=levels)
                except ArgumentError:  # the model does not take such data
                    continue
                Trainer(this).fit()
                this.model.sample(4, key=Key(0))
                made, took = _cache.report().entries - held, time.perf_counter() - since
                print(f"{family:10}{name:16}{made:4} functions in {took:5.1f} s", file=sys.stderr)
    made = _cache.report().entries - before
    print(f"compiled {made} functions in {time.perf_counter() - begin:.1f} s, into {_cache.cache_folder()}")


def _binary(folder: str) -> tuple[str, str, int]:
    """Images of zeros and ones, of MNIST's size: (name, path, levels)."""
    import numpy as np

    path = Path(folder) / "binary.npy"
    np.save(path, np.random.Generator(np.random.Philox(0)).integers(0, 2, (100, 28, 28, 1), dtype=np.uint8))
    return "binary images", str(path), 2


def missing_extras() -> dict[str, list[str]]:
    """extra -> the distributions of it that are not installed, from tinygen's own metadata."""
    found: dict[str, list[str]] = {}
    for line in metadata.requires("tinygen") or []:
        matched = re.fullmatch(r"""([\w.-]+)[^;]*;.*\bextra == ['"](\w+)['"]""", line)
        if matched and matched[2] not in ("all", "cuda12", "cuda13"):  # `cuda_facts` knows which of the two
            found.setdefault(matched[2], []).extend([] if _installed(matched[1]) else [matched[1]])
    return found


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
