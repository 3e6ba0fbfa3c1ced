"""Run: a folder, the configuration in it, and what follows from that: the data and the model.

    config.json       the resolved configuration
    metrics.jsonl     what came out, a JSON object a line
    checkpoints/      the last two states that a run can go on from
    best/             the weights of the best validation, for models with a figure to follow
    test.json         the figures of the test split
    *.png             curves, samples, reconstructions

config.json is written after the first checkpoint, so that a folder that has it is a whole run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Dataset, load, names
from ..device import check_device
from ..errors import CheckpointError, ConfigError
from ..models import DataSpec, Model, build
from ..modes import no_grad
from ..random import Key
from . import checkpoint
from .config import CHANGEABLE, Config, Layer, checked, continued, resolve
from .runlog import read_config, save_config


class Run:
    """A run that exists (`Run.open`) or is about to (`Run.new`); its model has fresh weights until some are loaded."""

    def __init__(self, folder: str | os.PathLike[str], config: Config, dataset: Dataset):
        check_device(config.device)
        self.folder = Path(folder)
        self.config = config
        self.key = Key(config.seed)
        self.model: Model = build(config.family, config.model, key=self.key.fold_in("init")).to(config.device)
        self.dataset = dataset if self.model.monitor is None else dataset.split_validation()

    @classmethod
    def new(
        cls,
        folder: str | os.PathLike[str],
        family: str,
        data: str,
        layers: Iterable[Layer] = (),
        *,
        levels: int | None = None,
    ) -> Run:
        """A run that starts, with the family's recipe and `layers` over it.  ConfigError where a run is already."""
        if is_run(folder):
            raise ConfigError(f"{folder} holds a run. Go on with it (--resume), or choose another folder (--out).")
        dataset = load(data, levels=levels)
        spec = DataSpec(dataset.kind, dataset.shape, dataset.levels)
        return cls(folder, resolve(family, canonical(data), spec, [{"levels": levels}, *layers]), dataset)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], layers: Iterable[Layer] = ()) -> Run:
        """The run in a folder.  `layers` may change what is CHANGEABLE; ConfigError for anything else.

        Raises CheckpointError where there is no run.
        """
        if not is_run(folder):
            raise CheckpointError(f"{folder}: there is no run here (no config.json). Start one with: tinygen train.")
        config = continued(checked(read_config(folder)), layers)
        return cls(folder, config, load(config.data, levels=config.levels))

    def save_config(self) -> None:
        """Write config.json, which makes the folder a run."""
        save_config(self.folder, self.config.as_dict())

    def load_weights(self) -> int:
        """Give the model the weights for evaluation and sampling; returns the step they are from.

        Those of the best validation where the model has a figure to follow, else the last ones (their moving average
        where that is on).  Raises CheckpointError when there are none, or they belong to another configuration.
        """
        best = self.folder / "best"
        judged = any(best.glob("step-*.safetensors"))  # the folder alone is what a kill in the first save leaves
        tensors, meta = checkpoint.load(best if judged else self.folder / "checkpoints")
        self.check_meta(meta)
        self.model.load_state_dict(part(tensors, "model"))
        for name, objective in self.model.objectives().items():
            average = tensors.get(f"ema.{name}.average")
            if average is not None:
                ends = np.cumsum([p.size for p in objective.parameters])
                for p, values in zip(objective.parameters, np.split(average, ends[:-1])):
                    with no_grad():
                        p.copy_(values.reshape(p.shape))
        return meta["step"]

    def meta(self, **more: Any) -> dict[str, Any]:
        """What every checkpoint of this run says of itself."""
        return {"config": self.config.as_dict(), "data_sha256": self.data_sha256, **more}

    @cached_property
    def data_sha256(self) -> str:
        """The checksum of the rows that training looks at."""
        digest = hashlib.sha256()
        for split in (self.dataset.train, self.dataset.valid):
            if split is not None:
                digest.update(repr((split.x.shape, split.x.dtype.str)).encode())
                digest.update(np.ascontiguousarray(split.x).data)
        return digest.hexdigest()

    def check_meta(self, meta: dict[str, Any], *, data: bool = False) -> None:
        """Raise CheckpointError unless a checkpoint is of this configuration, and (`data`) of these very data."""
        mine = self.config.as_dict()
        its = meta.get("config")
        if not isinstance(its, dict) or any(mine[k] != its.get(k) for k in mine if k not in CHANGEABLE):
            raise CheckpointError(f"{self.folder}: the checkpoint is of another configuration than config.json.")
        if data and meta.get("data_sha256") != self.data_sha256:
            raise CheckpointError(
                f"{self.folder}: {self.config.data} has changed since the run began. Restore it, or start a new run."
            )


def canonical(data: str) -> str:
    """The name of a named set, else the absolute path: a run can be opened from anywhere."""
    name = data.lower().replace("_", "-")
    return name if name in names() else str(Path(data).resolve())


def is_run(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder holds a run."""
    return (Path(folder) / "config.json").exists()


def part(tensors: checkpoint.Tensors, prefix: str) -> checkpoint.Tensors:
    """The tensors `prefix.NAME` under NAME."""
    return {name[len(prefix) + 1 :]: array for name, array in tensors.items() if name.startswith(f"{prefix}.")}


def named(prefix: str, tensors: dict[str, np.ndarray]) -> checkpoint.Tensors:
    """The tensors NAME under `prefix.NAME`."""
    return {f"{prefix}.{name}": array for name, array in tensors.items()}
