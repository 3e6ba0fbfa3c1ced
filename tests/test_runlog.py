"""The run folder's log survives being killed, and is exact after a resume."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygen.errors import ArgumentError, ConfigError, DataError
from tinygen.train.runlog import RunLog, curves, read_config, read_metrics, save_config


def write(folder: Path, *steps: int) -> None:
    with RunLog(folder) as log:
        for step in steps:
            log.write(step, loss=1 / step)


def test_lines_are_there_while_the_run_goes_on(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.write(1, loss=0.1 + 0.2, phase="train", improved=True)
        assert read_metrics(tmp_path) == [{"step": 1, "loss": 0.1 + 0.2, "phase": "train", "improved": True}]


def test_numpy_numbers(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.write(np.int64(3), loss=np.float32(0.5), n=np.array([2]), z=np.array(1.5))
    assert read_metrics(tmp_path) == [{"step": 3, "loss": 0.5, "n": 2, "z": 1.5}]


def test_what_is_not_finite_is_strict_json_and_comes_back(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.write(1, loss=math.nan, a=math.inf, b=-math.inf, c=np.float32("nan"))
    json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    (row,) = read_metrics(tmp_path)
    assert math.isnan(row["loss"])
    assert math.isnan(row["c"])
    assert (row["a"], row["b"]) == (math.inf, -math.inf)


@pytest.mark.parametrize("value", [None, [1.0], np.zeros(2), "nan", 1j, object()])
def test_refused_values(tmp_path: Path, value: Any) -> None:
    with RunLog(tmp_path) as log, pytest.raises(ArgumentError, match="loss is"):
        log.write(1, loss=value)
    assert read_metrics(tmp_path) == []


def test_refused_step(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log, pytest.raises(ArgumentError, match=r"step is 1\.0"):
        log.write(1.0, loss=1.0)  # type: ignore[arg-type]


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(ArgumentError, match="holds the metrics of a run"):
        RunLog(tmp_path)


def test_resume_cuts_later_steps(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3, 4)
    with RunLog(tmp_path, resume_from=2) as log:
        log.write(3, loss=9.0)
    assert [(row["step"], row["loss"]) for row in read_metrics(tmp_path)] == [(1, 1.0), (2, 0.5), (3, 9.0)]


def test_resume_without_a_log_begins_one(tmp_path: Path) -> None:
    with RunLog(tmp_path, resume_from=5) as log:
        log.write(6, loss=1.0)
    assert [row["step"] for row in read_metrics(tmp_path)] == [6]


def test_a_log_killed_at_any_byte_resumes(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        complete = whole[:length].count(b"\n")
        assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3][:complete]
        RunLog(tmp_path, resume_from=3).close()
        assert path.read_bytes() == whole[: len(b"".join(whole.splitlines(keepends=True)[:complete]))]


@pytest.mark.parametrize("line", [b"{", b"[1]", b'{"loss": 1}', b'{"step": 1, "step": 2}', b'{"step": 1.0}', b""])
def test_damage_inside_is_reported_with_its_line(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
    with pytest.raises(DataError, match="line 2"):
        read_metrics(tmp_path)


def test_curves(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.write(1, loss=3.0, phase="train")
        log.write(2, loss=math.inf)
        log.write(2, nll=1)
    found = curves(tmp_path)
    assert found.keys() == {"loss", "nll"}
    steps, values = found["loss"]
    assert (steps.tolist(), values.tolist()) == ([1, 2], [3.0, math.inf])
    assert (found["nll"][0].tolist(), found["nll"][1].tolist()) == ([2], [1.0])


def test_config_round_trip(tmp_path: Path) -> None:
    config = {"model": "vae", "lr": 1e-3, "shape": [8, 8, 1], "seed": 0, "resume": None}
    save_config(tmp_path / "run", config)
    assert read_config(tmp_path / "run") == config


def test_config_refuses_what_json_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be stored"):
        save_config(tmp_path, {"lr": math.nan})


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1, "a": 2}', b"[]"])
def test_damaged_config(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        read_config(tmp_path)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_config(tmp_path)
    with pytest.raises(DataError, match="No such file"):
        read_metrics(tmp_path)
