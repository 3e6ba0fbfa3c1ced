"""A run's folder besides its checkpoints: `config.json`, what was asked for, and `metrics.jsonl`, what came out.

Metrics are one JSON object a line, flushed as it is written, so that a run can be watched and a killed one loses at
most its last line.  JSON has no NaN: a number that is not finite stands there as "nan", "inf" or "-inf", and comes back
as that number, because a run that diverged is what a log is read for.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, ConfigError, DataError
from .files import dump_json, parse_json, write_atomic

Row = dict[str, Any]

NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class RunLog:
    """Appends to `folder/metrics.jsonl`; `with RunLog(folder) as log: log.write(step, loss=...)`.

    resume_from: the step of the checkpoint that a run continues from.  Lines of later steps are cut, since those steps
    will be taken again, and so is a half-written last line.  Without it the folder must not hold metrics yet:
    ArgumentError, so that no run is written over.
    """

    def __init__(self, folder: str | os.PathLike[str], *, resume_from: int | None = None):
        self.path = Path(folder) / "metrics.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if resume_from is not None:
            kept = [row for row in read_metrics(folder) if row["step"] <= resume_from] if self.path.exists() else []
            write_atomic(self.path, [_line(row) for row in kept])
        elif self.path.exists() and self.path.stat().st_size:
            raise ArgumentError(f"{self.path} holds the metrics of a run. Resume that run, or choose another folder.")
        self._file = open(self.path, "ab")  # noqa: SIM115 - open as long as the log; closed by close()

    def write(self, step: int, **metrics: float | int | bool | str) -> None:
        """Add one line.  Numbers may be NumPy's (also arrays of one element).  ArgumentError for anything else."""
        self._file.write(_line({"step": step, **metrics}))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_metrics(folder: str | os.PathLike[str]) -> list[Row]:
    """The lines of `folder/metrics.jsonl` in order; one that was cut short (no newline at its end) does not count.

    Raises DataError, with the line's number, for a file that is missing or damaged elsewhere than at its end.
    """
    path = Path(folder) / "metrics.jsonl"
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}. Is this the folder of a run?") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: damaged ({error}). Remove the line, or restore the file."
            ) from error
        if not isinstance(row, dict) or type(row.get("step")) is not int:
            raise DataError(f"{path}, line {number}: not a line of metrics (no step). Remove the line.")
        rows.append({k: NOT_FINITE.get(v, v) if isinstance(v, str) else v for k, v in row.items()})
    return rows


def curves(folder: str | os.PathLike[str]) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """name -> (steps, values), for every metric that is a number; what a plot of the run needs."""
    points: dict[str, list[tuple[int, float]]] = {}
    for row in read_metrics(folder):
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float):
                points.setdefault(name, []).append((row["step"], value))
    return {
        name: (np.array([step for step, _ in pairs], np.int64), np.array([value for _, value in pairs], np.float64))
        for name, pairs in points.items()
    }


def save_config(folder: str | os.PathLike[str], config: Mapping[str, Any]) -> Path:
    """Write the resolved configuration to `folder/config.json`, whole or not at all.

    Raises ConfigError for a value that JSON cannot hold.
    """
    path = Path(folder) / "config.json"
    try:
        text = dump_json(dict(config), indent=2)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"save_config: the configuration cannot be stored as JSON: {error}.") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, [text.encode() + b"\n"])
    return path


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The configuration a run was started with; ConfigError, naming the file, when it is missing or damaged."""
    path = Path(folder) / "config.json"
    try:
        config = parse_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}. Is this the folder of a run?") from error
    except ValueError as error:
        raise ConfigError(f"{path}: damaged ({error}).") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: holds a {type(config).__name__}, not a configuration.")
    return config


def _line(row: Row) -> bytes:
    return dump_json({name: _value(name, value) for name, value in row.items()}).encode() + b"\n"


def _value(name: str, value: Any) -> bool | int | float | str:
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if name == "step" and type(value) is not int:
        raise ArgumentError(f"RunLog.write: step is {value!r}. Pass the number of steps taken.")
    if not isinstance(value, bool | int | float | str) or (isinstance(value, str) and value in NOT_FINITE):
        raise ArgumentError(f"RunLog.write: {name} is {value!r}. Pass a number, a bool or a word.")
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
