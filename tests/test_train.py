"""The training loop: what it logs and keeps, how it stops, and that a resumed run has the bits of one that was not."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygen as tg
from tinygen import data, kernels, models, ops
from tinygen.errors import ArgumentError, CheckpointError, ConfigError, NonFiniteError
from tinygen.train import Interrupted, Run, Trainer, checkpoint, evaluate, report, save_pictures
from tinygen.train.runlog import read_metrics

Layer = dict[str, Any]

TINY: dict[str, Layer] = {
    "vae": {"model": {"hidden": 8, "latent": 2}},
    "pixelcnn": {"model": {"channels": 4, "blocks": 1}},
    "realnvp": {"model": {"hidden": 4, "blocks": 1, "scales": 2}},
    "gan": {"model": {"hidden": 4, "latent": 3}},
}
COMMON: Layer = {"batch_size": 8, "steps": 10, "validate_every": 4, "log_every": 3, "ema": 0.5}


@pytest.fixture
def images(tmp_path: Path) -> str:
    """60 binary images, 48 of them for training: 6 steps an epoch."""
    path = tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 2, (60, 8, 8), dtype=np.uint8))
    return str(path)


@pytest.fixture
def make(images: str, tmp_path: Path) -> Callable[..., Run]:
    """A new run of a tiny model, in a folder of its own."""
    count = itertools.count()

    def new(family: str = "vae", *layers: Layer) -> Run:
        return Run.new(tmp_path / f"run{next(count)}", family, images, [COMMON, TINY[family], *layers], levels=2)

    return new


def state(run: Run) -> dict[str, np.ndarray]:
    """Every array of the last checkpoint."""
    return checkpoint.load(run.folder / "checkpoints")[0]


def rows(run: Run) -> list[dict[str, Any]]:
    """The metrics, without what a clock says."""
    return [{k: v for k, v in row.items() if k != "items_per_second"} for row in read_metrics(run.folder)]


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


def stop_after(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, step: int, signum: int = signal.SIGTERM) -> None:
    """Let a signal come in the middle of that step."""
    take = trainer._step

    def take_and_signal(x: Any, key: Any) -> None:
        if trainer.progress.step + 1 == step:
            signal.raise_signal(signum)
        take(x, key)

    monkeypatch.setattr(trainer, "_step", take_and_signal)


@pytest.mark.parametrize("family", TINY)
def test_a_resumed_run_has_the_same_bits(
    family: str, make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"schedule": {"name": "cosine"}, "optimizer": {"max_norm": 5.0}}
    whole, parts = make(family, more), make(family, more)
    Trainer(whole).fit()
    for step in (2, 7):  # in an epoch and between two lines of metrics; past a validation
        run = Run.open(parts.folder) if step > 2 else parts
        trainer = Trainer(run, resume=step > 2)
        stop_after(trainer, monkeypatch, step)
        with pytest.raises(Interrupted, match=f"saved at step {step} of 10"):
            trainer.fit()
    resumed = Run.open(parts.folder)
    Trainer(resumed, resume=True).fit()
    assert same(state(whole), state(resumed))
    assert rows(whole) == rows(resumed)
    assert whole.load_weights() == resumed.load_weights()
    assert same(whole.model.state_dict(), resumed.model.state_dict())


def test_the_handlers_are_put_back(make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    trainer = Trainer(make())
    stop_after(trainer, monkeypatch, 1, signal.SIGINT)
    with pytest.raises(Interrupted) as caught:
        trainer.fit()
    assert caught.value.signum == signal.SIGINT
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert trainer.fit().step == 10  # the same trainer can go on, too


def test_a_validation_that_was_cut_is_done_again(make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = make(), make()
    Trainer(whole).fit()
    trainer = Trainer(cut)
    judge = cut.model.evaluate

    def signal_and_judge(x: Any, *, key: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return judge(x, key=key)

    monkeypatch.setattr(cut.model, "evaluate", signal_and_judge)
    monkeypatch.setattr("tinygen.train.evaluation.ROWS", 2)  # several batches, so that the second one is not begun
    with pytest.raises(Interrupted, match="step 4 of 10"):
        trainer.fit()
    monkeypatch.undo()
    assert not any("valid/elbo_nats" in row for row in rows(cut))
    Trainer(Run.open(cut.folder), resume=True).fit()
    assert same(state(whole), state(cut))
    assert rows(whole) == rows(cut)


def test_metrics(make: Callable[..., Run]) -> None:
    run = make("gan")
    Trainer(run).fit()
    assert [row["step"] for row in rows(run)] == [3, 6, 9, 10]
    names = {"discriminator_loss", "generator_loss", "discriminator_grad_norm", "generator_grad_norm"}
    assert {f"train/{name}" for name in names} | {"step", "epoch", "lr"} == rows(run)[0].keys()
    assert [row["epoch"] for row in rows(run)] == [0, 1, 1, 1]


def judged(run: Run, values: Iterator[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the validations of a VAE come out as given."""
    monkeypatch.setattr("tinygen.train.trainer.evaluate", lambda *_, **__: {"elbo_nats": next(values)})


def test_early_stopping_keeps_the_best(make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = make("vae", {"steps": 100, "validate_every": 2, "patience": 3, "ema": None})
    judged(run, iter([5.0, 4.0, 4.5, 4.0, 4.1]), monkeypatch)
    trainer = Trainer(run)
    weights: dict[int, dict[str, np.ndarray]] = {}
    write = trainer._validate
    monkeypatch.setattr(
        trainer, "_validate", lambda *a: (weights.update({trainer.progress.step: run.model.state_dict()}), write(*a))
    )
    trainer.fit()
    assert trainer.stopped_early
    assert (trainer.progress.step, trainer.progress.best, trainer.progress.best_step) == (10, 4.0, 4)
    opened = Run.open(run.folder)
    assert opened.load_weights() == 4
    assert same(opened.model.state_dict(), weights[4])
    assert [row.get("best") for row in rows(run) if "best" in row] == [True, True, False, False, False]


def test_the_cpu_trains_in_float32_only(make: Callable[..., Run]) -> None:
    with pytest.raises(ConfigError, match="precision: 'tf32' needs device 'cuda', and this run trains on the CPU"):
        Trainer(make("gan", {"precision": "tf32"}))


def test_patience_needs_a_figure(make: Callable[..., Run]) -> None:
    with pytest.raises(ConfigError, match="patience: gan has no figure to follow"):
        Trainer(make("gan", {"patience": 3}))


def test_a_moving_average_serves_once_training_is_over(make: Callable[..., Run]) -> None:
    run = make("gan", {"steps": 3, "ema": 0.5})
    trainer = Trainer(run)
    name, parameter = next(iter(run.model.named_parameters()))
    average = parameter.data.copy()
    take = trainer._step

    def step(x: Any, key: Any) -> None:
        take(x, key)
        nonlocal average
        average = average + np.float32(0.5) * (parameter.data - average)

    trainer._step = step  # type: ignore[method-assign]
    trainer.fit()
    opened = Run.open(run.folder)
    opened.load_weights()
    found = dict(opened.model.named_parameters())[name].data
    np.testing.assert_allclose(found, average, rtol=1e-6)
    assert not np.array_equal(found, parameter.data)


def test_validation_looks_at_the_moving_average(make: Callable[..., Run]) -> None:
    run = make("pixelcnn", {"steps": 3, "ema": 0.9})
    trainer = Trainer(run)
    trainer.fit()
    (average,) = trainer.averages.values()
    key = run.key.fold_in("validate")
    assert run.dataset.valid is not None
    raw = evaluate(run.model, run.dataset.valid, key=key)
    with average.swapped():
        expected = evaluate(run.model, run.dataset.valid, key=key)
    found = [row["valid/nll_nats"] for row in rows(run) if "valid/nll_nats" in row][-1]
    assert found == expected["nll_nats"] != raw["nll_nats"]


def test_each_network_draws_with_a_key_of_its_own(make: Callable[..., Run]) -> None:
    trainer = Trainer(make("gan", {"steps": 1}))
    drawn = {}

    def watched(name: str, objective: Any) -> Any:
        def loss(x: Any, *, key: Any) -> Any:
            drawn[name] = key.data.tobytes()
            return objective.loss(x, key=key)

        return objective._replace(loss=loss)

    trainer.objectives.update({name: watched(name, objective) for name, objective in trainer.objectives.items()})
    trainer.fit()
    assert drawn.keys() == {"discriminator", "generator"}
    assert drawn["discriminator"] != drawn["generator"]


def test_weights_that_are_not_finite_are_never_saved(make: Callable[..., Run]) -> None:
    run = make()
    trainer = Trainer(run)
    before = state(run)
    run.model.parameters()[0].data[..., 0] = np.nan
    with pytest.raises(NonFiniteError, match=r"its update made encoder.* not finite"):
        trainer.save()
    assert same(state(run), before)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_divergence_names_the_op(where: str, make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = make("vae", {"checkpoint_seconds": 0.0})
    trainer = Trainer(run)
    objective = trainer.objectives["model"]
    weight, at = objective.parameters[0], tg.tensor(np.float32(1))
    bad = {"loss": -1, "gradient": 0}[where]  # the logarithm of -1; the slope of the root at 0
    function = {"loss": ops.log, "gradient": ops.sqrt}[where]

    def loss(x: Any, *, key: Any) -> Any:
        return objective.loss(x, key=key) + ops.mean(function(weight * 0 + at))

    take = trainer._step

    def spoil_the_third(x: Any, key: Any) -> None:
        at.data[...] = bad if trainer.progress.step == 2 else 1
        take(x, key)

    monkeypatch.setattr(trainer, "_step", spoil_the_third)
    monkeypatch.setitem(trainer.objectives, "model", objective._replace(loss=loss))
    op = {"loss": "log: the op", "gradient": "sqrt: the gradient"}[where]
    with pytest.raises(NonFiniteError, match=f"step 3, model: .*{op}"):
        trainer.fit()
    assert all(np.isfinite(p.data).all() for p in run.model.parameters())
    tensors, meta = checkpoint.load(run.folder / "checkpoints")
    assert meta["step"] == 2
    assert all(np.isfinite(array).all() for array in tensors.values())


def test_a_changed_data_file_is_noticed(make: Callable[..., Run], images: str) -> None:
    run = make()
    Trainer(run)
    x = np.load(images)
    np.save(images, 1 - x)
    with pytest.raises(CheckpointError, match="has changed since the run began"):
        Trainer(Run.open(run.folder), resume=True)


def test_another_configuration_is_noticed(make: Callable[..., Run]) -> None:
    run, other = make(), make("vae", {"seed": 3})
    Trainer(run)
    Trainer(other)
    (run.folder / "config.json").write_bytes((other.folder / "config.json").read_bytes())
    for use in (Run.load_weights, lambda run: Trainer(run, resume=True)):
        with pytest.raises(CheckpointError, match="another configuration"):
            use(Run.open(run.folder))


def test_a_batch_larger_than_the_data(make: Callable[..., Run]) -> None:
    with pytest.raises(ConfigError, match="batch_size is 49, the training split has 48 rows"):
        Trainer(make("vae", {"batch_size": 49}))


def test_evaluate_is_the_mean_of_every_row(make: Callable[..., Run]) -> None:
    run = make("pixelcnn")
    test = run.dataset.test
    expected = run.model.eval().evaluate(test.x, key=tg.Key(0))["nll_nats"].data.mean()  # binary data: nothing is drawn
    found = report(run, "test", 0)
    assert found["nll_nats"] == pytest.approx(expected, rel=1e-6)
    assert found["bits_per_dim"] == pytest.approx(expected / (64 * np.log(2)), rel=1e-6)
    assert found["n"] == len(test) == 6


def test_evaluate_is_without_dropout_and_training_goes_on_with_it() -> None:
    split = data.digits().test
    dropping, plain = (
        models.PixelCNN((8, 8, 1), levels=17, channels=4, blocks=1, dropout=rate, key=tg.Key(0)).train()
        for rate in (0.5, 0.0)
    )
    assert evaluate(dropping, split, key=tg.Key(0)) == evaluate(plain, split, key=tg.Key(0))
    assert dropping.training


def test_evaluate_drops_no_nan(make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = make()
    spoiled = lambda x, key: {"elbo_nats": tg.tensor(np.where(np.arange(len(x)) == 3, np.nan, 1))}
    monkeypatch.setattr(run.model, "evaluate", spoiled)
    with pytest.raises(NonFiniteError, match="elbo_nats is nan for row 3"):
        evaluate(run.model, run.dataset.test, key=tg.Key(0))


def test_the_importance_weighted_bound(make: Callable[..., Run]) -> None:
    run = make()
    found = report(run, "valid", 0, iwae_samples=7)
    assert found["iwae_k"] == 7
    assert {"elbo_nats", "iwae_nats"} <= found.keys()
    assert "iwae_nats" not in evaluate(run.model, run.dataset.test, key=tg.Key(0))
    with pytest.raises(ArgumentError, match="no bound"):
        evaluate(make("gan").model, run.dataset.test, key=tg.Key(0), iwae_samples=7)


def test_pictures(make: Callable[..., Run]) -> None:
    run = make()
    Trainer(run).fit()
    made = save_pictures(run)
    assert [path.name for path in made] == ["curves.png", "samples.png", "reconstructions.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


def test_a_long_evaluation_is_replayed_to_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    split, model = data.digits().test, models.RealNVP((8, 8, 1), levels=17, hidden=8, blocks=1, key=tg.Key(0))
    monkeypatch.setattr("tinygen.train.evaluation.ROWS", 50)  # 7 batches and a rest
    seen = []
    with kernels.observe(lambda kernel, inputs, outs, params, fresh: seen.append(fresh)):
        replayed = evaluate(model, split, key=tg.Key(1))
    assert not all(seen)
    monkeypatch.setattr("tinygen.train.evaluation.REPLAY_FROM", 99)
    assert evaluate(model, split, key=tg.Key(1)) == replayed
