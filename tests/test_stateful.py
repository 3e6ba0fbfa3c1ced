"""Train, save, load, resume, crash and damage in any order: the bits are those of a run that nothing happened to."""

from __future__ import annotations

import signal
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tinygen.train import Interrupted, Run, Trainer, checkpoint

STEPS = 12
LAYER = {
    "model": {"hidden": 4, "latent": 2}, "batch_size": 4, "steps": STEPS, "validate_every": 5, "log_every": 3,
    "ema": 0.5, "optimizer": {"name": "adam", "max_norm": 5.0}, "schedule": {"name": "cosine"},
}  # fmt: skip


class Crash(Exception):
    pass


def new(folder: str | Path) -> Trainer:
    return Trainer(Run.new(folder, "vae", "digits", [LAYER]))


def stopped(trainer: Trainer, after: int, how: Any) -> None:
    """fit(), in which how() happens in the middle of the step that comes after so many."""
    take, last = trainer._step, trainer.progress.step + after

    def step(x: Any, key: Any) -> None:
        if trainer.progress.step == last:
            how()
        take(x, key)

    trainer._step = step  # type: ignore[method-assign]
    try:
        trainer.fit()
    except (Crash, Interrupted):
        pass
    finally:
        trainer._step = take  # type: ignore[method-assign]


def crash() -> None:
    raise Crash


@cache
def undisturbed() -> list[checkpoint.Tensors]:
    """What a checkpoint holds after each step of a run that is never stopped."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = new(Path(folder) / "run")
        states, take = [checkpoint.load(trainer.run.folder / "checkpoints")[0]], trainer._step

        def step(x: Any, key: Any) -> None:
            take(x, key)
            trainer.save()
            states.append(checkpoint.load(trainer.run.folder / "checkpoints")[0])

        trainer._step = step  # type: ignore[method-assign]
        trainer.fit()
    assert len(states) == STEPS + 1
    return states


def same(a: checkpoint.Tensors, b: checkpoint.Tensors) -> bool:
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


class Life(RuleBasedStateMachine):
    """A run and everything that may happen to it."""

    @initialize()
    def begin(self) -> None:
        self.home = tempfile.TemporaryDirectory()
        self.folder = Path(self.home.name) / "run"
        self.trainer = new(self.folder)
        self.saved = [0]  # steps of the generations that are whole, oldest first

    def note_save(self) -> None:
        step = self.trainer.progress.step
        self.saved = [*[s for s in self.saved if s != step][-1:], step]

    def reopen(self) -> None:
        self.trainer = Trainer(Run.open(self.folder), resume=True)

    @rule(steps=st.integers(1, STEPS))
    def train_until_told_to_stop(self, steps: int) -> None:
        stopped(self.trainer, steps - 1, lambda: signal.raise_signal(signal.SIGTERM))
        self.note_save()

    @rule()
    def save(self) -> None:
        self.trainer.save()
        self.note_save()

    @rule()
    def resume_in_another_process(self) -> None:
        self.reopen()
        assert self.trainer.progress.step == self.saved[-1]

    @precondition(lambda self: self.trainer.progress.step < STEPS)
    @rule(steps=st.integers(0, STEPS))
    def crash_before_it_is_saved(self, steps: int) -> None:
        if self.trainer.progress.step + steps >= STEPS:
            steps = STEPS - 1 - self.trainer.progress.step
        stopped(self.trainer, steps, crash)
        self.reopen()
        assert self.trainer.progress.step == self.saved[-1]

    @precondition(lambda self: len(self.saved) == 2)
    @rule(part=st.floats(0, 0.99))
    def the_disk_loses_the_end_of_the_last_checkpoint(self, part: float) -> None:
        path = max((self.folder / "checkpoints").glob("*.safetensors"))
        path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
        self.saved.pop()
        with pytest.warns(RuntimeWarning, match="loaded step"):
            self.reopen()
        assert self.trainer.progress.step == self.saved[-1]
        self.trainer.save()  # LATEST no longer names what is damaged

    @rule()
    def somebody_looks_at_the_weights(self) -> None:
        run = Run.open(self.folder)
        run.load_weights()
        assert run.model.sample(2, key=run.key).shape == (2, 8, 8, 1)

    @invariant()
    def nothing_happened(self) -> None:
        tensors, meta = checkpoint.load(self.folder / "checkpoints")
        assert meta["step"] == self.saved[-1]
        assert same(tensors, undisturbed()[self.saved[-1]])
        weights = undisturbed()[self.trainer.progress.step]
        for name, value in self.trainer.run.model.state_dict().items():
            np.testing.assert_array_equal(value, weights[f"model.{name}"], err_msg=name)

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.home.cleanup()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=settings().max_examples // 5, stateful_step_count=10)
