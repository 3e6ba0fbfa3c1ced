"""Trainer: the one loop for all models.

Everything a step depends on follows from (seed, step) or is in the checkpoint, so a run that was killed and resumed
ends with the bits of one that was not.  In the checkpoint are weights, buffers, optimizers, moving average, the best
figure and how long ago it was, and the sums that the next line of metrics is a mean of; keys and the order of the data
follow from seed and step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from typing import NoReturn

import numpy as np

from .. import kernels
from ..autograd import grad
from ..device import float32_matmul_precision
from ..errors import CheckpointError, ConfigError, NonFiniteError
from ..kernels._devices import moved
from ..models import Objective
from ..modes import detect_anomaly
from ..optim import EMA, Optimizer
from ..random import Key
from ..step import step
from ..tensor import Array, Tensor
from . import checkpoint
from .config import OPTIMIZERS, SCHEDULES
from .evaluation import evaluate
from .progress import Silent, progress
from .run import Run, named, part
from .runlog import RunLog
from .signals import Interrupted, Signals

ADVICE = "Nothing of this step was saved: the last checkpoint is good. Try a lower lr, or optimizer.max_norm."


@dataclass
class Progress:
    """What a run remembers besides arrays."""

    step: int = 0  # steps taken
    validated: int = 0  # the step of the last validation
    best: float | None = None  # the monitored figure, and when it was reached
    best_step: int | None = None
    waited: int = 0  # validations since
    count: int = 0  # steps since the last line of metrics, and the sums of their figures
    sums: dict[str, float] = field(default_factory=dict)


class Trainer:
    """Trains the model of a run: `Trainer(run).fit()`.

    With `resume` the state of the run's last checkpoint is taken up; CheckpointError when it is not of this run.
    `show` gives a bar on a terminal, or a line every ten seconds elsewhere, on standard error.
    """

    def __init__(self, run: Run, *, resume: bool = False, show: bool = False):
        config, model, train = run.config, run.model, run.dataset.train
        if config.patience and model.monitor is None:
            raise ConfigError(f"patience: {config.family} has no figure to follow. Leave it out.")
        if config.precision == "tf32" and config.device == "cpu":
            raise ConfigError("precision: 'tf32' needs device 'cuda', and this run trains on the CPU. Set 'float32'.")
        self.run, self.show, self.resumed = run, show, resume
        self.steps_per_epoch = train.steps_per_epoch(config.batch_size)
        if not self.steps_per_epoch:
            raise ConfigError(f"batch_size is {config.batch_size}, the training split has {len(train)} rows.")
        self.total = config.epochs * self.steps_per_epoch if config.steps is None else config.steps
        self.validate_every = config.validate_every or self.steps_per_epoch
        self.progress = Progress()
        self.objectives = model.objectives()
        self.optimizers = {name: self._optimizer(objective) for name, objective in self.objectives.items()}
        # one for each objective: it shares that optimizer's block of parameters
        self.averages = {n: EMA(o.parameters, config.ema) for n, o in self.objectives.items()} if config.ema else {}
        self._update = step(self._updates)
        self._best: checkpoint.Tensors | None = None  # the best weights, until the next checkpoint
        self._saved_at = time.monotonic()
        self._since = time.perf_counter()  # when the steps began that the next line of metrics is about
        if resume:
            self._load()
        else:
            model.initialize(train.x)
            self.save()
            run.save_config()

    def _optimizer(self, objective: Objective) -> Optimizer:
        settings, schedule = dict(self.run.config.optimizer), dict(self.run.config.schedule)
        if schedule["name"] == "cosine":
            schedule["total"] = max(self.total, 1)
        make, plan = OPTIMIZERS[settings.pop("name")], SCHEDULES[schedule.pop("name")]
        return make(objective.parameters, **{**settings, "lr": plan(settings["lr"], **schedule)})

    # -- the loop -----------------------------------------------------------------------------------------------------

    def fit(self) -> Progress:
        """Train to the end, or until patience is spent; returns where it stands.

        Ctrl-C and SIGTERM raise Interrupted after the step is finished and saved.  A loss or gradient that is not
        finite raises NonFiniteError, naming the op it came from, before the update; nothing is saved then, so the last
        checkpoint is a good one.
        """
        run, at, config = self.run, self.progress, self.run.config
        run.model.train()
        self._since = time.perf_counter()
        unit = {"image": " images", "table": " rows", "points": " points"}[run.dataset.kind]
        shown = progress(self.show, self.total * config.batch_size, at.step * config.batch_size, unit)
        log_from = at.step if self.resumed else None
        with Signals() as signals, RunLog(run.folder, resume_from=log_from) as log, closing(shown):
            self.resumed = True  # should it be interrupted, fit() goes on
            try:
                if self._validation_due():  # the run was stopped before or while it validated
                    self._validate(log, shown, signals)
                    self.save()
                batches = run.dataset.train.batches(
                    config.batch_size, epochs=None, start=at.step, key=run.key.fold_in("train")
                )
                while at.step < self.total and not self.stopped_early:
                    x, key = next(batches)
                    self._step(moved(x, config.device), key.to(config.device))
                    shown.update(len(x), **self._means())
                    if at.step % config.log_every == 0 or at.step == self.total:
                        self._write(log)
                    if self._validation_due():
                        self._validate(log, shown, signals)
                    signals.check()
                    if time.monotonic() - self._saved_at >= config.checkpoint_seconds:
                        self.save()
                self.save()
            except NonFiniteError:
                self._save_best()
                raise
            except Interrupted as interrupt:
                self.save()
                raise Interrupted(interrupt.signum, f"stopped and saved at step {at.step} of {self.total}.") from None
        return at

    @property
    def stopped_early(self) -> bool:
        """Whether patience is spent."""
        patience = self.run.config.patience
        return patience is not None and self.progress.waited >= patience

    def _step(self, x: Array, key: Key) -> None:
        with float32_matmul_precision(self.run.config.precision):
            try:
                figures = self._update(x, key=key)
            except kernels.optim.NotFinite as error:
                name, value = error.args
                self._explain(name, value, x, key)
        for name, value in figures.items():
            self.progress.sums[name] = self.progress.sums.get(name, 0.0) + value.item()
        self.progress.step += 1
        self.progress.count += 1

    def _updates(self, x: Array, *, key: Key) -> dict[str, Tensor]:
        """One update of every optimizer and average; what a step is.  Returns each loss, and the norm of its gradient
        before any clipping.  Raises NotFinite before an update with what is not finite."""
        figures: dict[str, Tensor] = {}
        for name, objective in self.objectives.items():
            loss = objective.loss(x, key=key.fold_in(name))
            grads = grad(loss, objective.parameters)
            norm = global_norm(grads)
            kernels.optim.require_finite(loss.data, norm.data, of=name)
            self.optimizers[name].update(grads)
            prefix = "" if len(self.objectives) == 1 else f"{name}_"
            figures |= {f"{prefix}loss": loss, f"{prefix}grad_norm": norm}
        for average in self.averages.values():
            average.update()
        return figures

    def _explain(self, name: str, value: float, x: Array, key: Key) -> NoReturn:
        """Take the step's loss and gradient again, watching every op; raises NonFiniteError with what was seen."""
        objective, cause = self.objectives[name], "Taken again op by op, it was finite."
        try:
            with detect_anomaly(inf=True):
                grad(objective.loss(x, key=key.fold_in(name)), objective.parameters)
        except NonFiniteError as error:
            cause = str(error)
        what = f"the loss is {value}" if not math.isfinite(value) else "the gradient is not finite"
        raise NonFiniteError(f"step {self.progress.step + 1}, {name}: {what}. {cause} {ADVICE}") from None

    # -- metrics and validation ---------------------------------------------------------------------------------------

    def _means(self) -> dict[str, float]:
        return {name: total / self.progress.count for name, total in self.progress.sums.items() if "loss" in name}

    def _write(self, log: RunLog) -> None:
        at, now = self.progress, time.perf_counter()
        row = {f"train/{name}": total / at.count for name, total in at.sums.items()}
        rate = at.count * self.run.config.batch_size / (now - self._since)
        lr = next(iter(self.optimizers.values())).lr
        log.write(at.step, epoch=at.step // self.steps_per_epoch, lr=lr, items_per_second=rate, **row)
        at.count, at.sums, self._since = 0, {}, now

    def _validation_due(self) -> bool:
        at = self.progress
        if self.run.model.monitor is None or at.step == at.validated:
            return False
        return at.step % self.validate_every == 0 or at.step == self.total

    def _validate(self, log: RunLog, shown: Silent, signals: Signals) -> None:
        """Figures of the validation split, under the moving average if there is one; sets the best weights aside."""
        model, valid, monitor = self.run.model, self.run.dataset.valid, self.run.model.monitor
        assert valid is not None
        assert monitor is not None
        begun = time.perf_counter()
        with ExitStack() as stack:
            for average in self.averages.values():
                stack.enter_context(average.swapped())
            figures = evaluate(model, valid, key=self.run.key.fold_in("validate"), between=signals.check)
            at, value = self.progress, figures[monitor]
            better = at.best is None or value < at.best
            if better:
                at.best, at.best_step, at.waited = value, at.step, 0
                self._best = named("model", model.state_dict())
            else:
                at.waited += 1
        at.validated = at.step
        log.write(at.step, best=better, **{f"valid/{name}": value for name, value in figures.items()})
        shown.update(0, **{f"valid {monitor}": value})
        self._since += time.perf_counter() - begun  # items per second are those of training

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint of this moment, and the best weights if they are new.

        Raises NonFiniteError, writing nothing, when an update has just made a weight infinite or NaN.
        """
        folder, at, weights = self.run.folder, self.progress, self.run.model.state_dict()
        for name, array in weights.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise NonFiniteError(f"step {at.step}: its update made {name} not finite. {ADVICE}")
        self._save_best()
        tensors = named("model", weights)
        for name, optimizer in self.optimizers.items():
            tensors.update(named(f"optimizer.{name}", optimizer.state_dict()))
        for name, average in self.averages.items():
            tensors.update(named(f"ema.{name}", average.state_dict()))
        checkpoint.save(folder / "checkpoints", at.step, tensors, self.run.meta(progress=asdict(at)))
        self._saved_at = time.monotonic()

    def _save_best(self) -> None:
        if self._best is not None:
            assert self.progress.best_step is not None
            meta = self.run.meta(figure=self.progress.best)
            checkpoint.save(self.run.folder / "best", self.progress.best_step, self._best, meta)
            self._best = None

    def _load(self) -> None:
        tensors, meta = checkpoint.load(self.run.folder / "checkpoints")
        self.run.check_meta(meta, data=True)
        try:
            self.progress = Progress(**meta["progress"])
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{self.run.folder}: the checkpoint does not say where it stands: {error}.") from None
        self.run.model.load_state_dict(part(tensors, "model"))
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(part(tensors, f"optimizer.{name}"))
        for name, average in self.averages.items():
            average.load_state_dict(part(tensors, f"ema.{name}"))
        self.run.save_config()  # its length may be new


def global_norm(grads: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm over all entries of all gradients, float64 (1,); NaN or infinite if any entry is."""
    squares = kernels.optim.sum_squares(*[g.data for g in grads])
    return Tensor(kernels.optim.clip_scale(squares, max_norm=math.inf)[1])
