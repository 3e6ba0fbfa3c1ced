"""Whole runs on CUDA: training, validation, figures, samples and checkpoints of every family.

The tolerance: both devices take the same noise and the same batches, so losses agree to 1e-4 of themselves after a few
steps (float32 sums in another order, which training carries on), and samples to 1e-3, but for entries of PixelCNN and
RealNVP that a rounding takes to the next grey level.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tinygen as tg
from tinygen import data
from tinygen.cli import main
from tinygen.errors import NonFiniteError
from tinygen.train import evaluation
from tinygen.train.run import Run
from tinygen.train.trainer import Trainer

pytestmark = pytest.mark.cuda

SETTINGS = {
    "vae": {
        "model": {"hidden": [24, 16], "latent": 4},
        "optimizer": {"name": "adam", "lr": 2e-3, "max_norm": 1.0},
        "schedule": {"name": "cosine"},
        "ema": 0.8,
    },
    "pixelcnn": {"model": {"channels": 8, "blocks": 1}},
    "realnvp": {"model": {"hidden": 8, "blocks": 1}, "optimizer": {"name": "adamax", "lr": 1e-3}},
    "gan": {"model": {"hidden": 8, "latent": 4}, "optimizer": {"name": "rmsprop", "lr": 1e-4}},
}
SAMPLES = 4


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """60 of the digits: 48 to train on, 6 and 6 to validate and test."""
    path = tmp_path_factory.mktemp("cuda") / "images.npy"
    np.save(path, data.digits().train.x[:60])
    return path


def new(folder, family, images, device, **settings) -> Run:
    common = {"device": device, "steps": 6, "batch_size": 16, "validate_every": 3, "log_every": 1}
    layers = [common, SETTINGS[family], settings]
    return Run.new(folder, family, str(images), layers, levels=17)


def lines(run: Run) -> list[dict[str, float]]:
    """metrics.jsonl without what differs from run to run."""
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in ("time", "items_per_second")} for row in rows]


def weights(run: Run) -> dict[str, bytes]:
    return {name: a.tobytes() for name, a in run.model.state_dict().items()}


@pytest.mark.parametrize("family", SETTINGS)
def test_a_run_follows_the_cpus(cuda, tmp_path, images, family):
    logs, figures, samples = [], [], []
    for device in ("cpu", "cuda"):
        run = new(tmp_path / device, family, images, device)
        Trainer(run).fit()
        assert run.model.device == device
        step = run.load_weights()
        logs.append(lines(run))
        figures.append(evaluation.report(run, "test", step, iwae_samples=8 if family == "vae" else None))
        samples.append(evaluation.draw(run.model, SAMPLES, key=tg.Key(3)))
    assert len(logs[0]) == len(logs[1]) >= 6
    for here, there in (*zip(*logs), figures):
        assert here.keys() == there.keys()
        for name, value in here.items():
            if isinstance(value, float):
                assert there[name] == pytest.approx(value, rel=1e-4), name
            else:
                assert there[name] == value, name
    near = np.isclose(*samples, rtol=0, atol=1e-3)
    assert near.all() if family in ("vae", "gan") else near.mean() > 0.98


def test_a_run_goes_on_on_the_other_device(cuda, tmp_path, images):
    settings = {"schedule": {"name": "constant"}}  # a cosine would end where the run does
    Trainer(new(tmp_path / "moved", "vae", images, "cuda", steps=2, **settings)).fit()
    for device, steps in (("cpu", 4), ("cuda", 6)):
        run = Run.open(tmp_path / "moved", [{"device": device, "steps": steps}])
        Trainer(run, resume=True).fit()
        assert run.model.device == device
    stayed = new(tmp_path / "stayed", "vae", images, "cpu", **settings)
    Trainer(stayed).fit()
    for name, a in run.model.state_dict().items():
        np.testing.assert_allclose(a, stayed.model.state_dict()[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("family", ["vae", "gan"])
def test_a_run_that_was_cut_has_the_bits_of_one_that_was_not(cuda, tmp_path, images, family):
    settings = {"schedule": {"name": "constant"}}
    whole = new(tmp_path / "whole", family, images, "cuda", **settings)
    Trainer(whole).fit()
    Trainer(new(tmp_path / "cut", family, images, "cuda", steps=3, **settings)).fit()
    again = Run.open(tmp_path / "cut", [{"steps": 6}])
    Trainer(again, resume=True).fit()
    assert weights(again) == weights(whole)


def test_tensor_cores_train_and_do_not_judge(cuda, tmp_path, images):
    """Steps round to TF32, and so are near those of float32; figures of their weights have float32's bits."""
    runs = {p: new(tmp_path / p, "vae", images, "cuda", precision=p) for p in ("float32", "tf32")}
    for run in runs.values():
        Trainer(run).fit()
    plain, rounded = ([row["train/loss"] for row in lines(run) if "train/loss" in row] for run in runs.values())
    assert all(a != b for a, b in zip(plain, rounded, strict=True))
    assert rounded == pytest.approx(plain, rel=2e-3)
    step = runs["tf32"].load_weights()
    figures = evaluation.report(runs["tf32"], "test", step)
    again = Run.open(tmp_path / "tf32", [{"precision": "float32"}])
    assert evaluation.report(again, "test", again.load_weights()) == figures
    with tg.float32_matmul_precision("tf32"):
        assert evaluation.report(again, "test", step) != figures


def test_a_loss_that_is_not_finite_stops_it_before_the_update(cuda, tmp_path, images):
    run = new(tmp_path / "run", "vae", images, "cuda", optimizer={"name": "sgd", "lr": 1e30}, ema=None)
    with pytest.raises(NonFiniteError, match=r"model: the (loss is|gradient)"):
        Trainer(run).fit()
    run.load_weights()
    assert all(np.isfinite(a).all() for a in run.model.state_dict().values())


def test_both_ways_of_drawing_from_a_pixelcnn_agree(cuda):
    model = tg.models.PixelCNN(shape=(4, 4, 1), levels=3, channels=4, blocks=1, key=tg.Key(0)).to("cuda")
    key, start = tg.Key(1).to("cuda"), np.full((2, 4, 4, 1), -1)
    start[:, :2] = 2
    slow = model.sample(2, key=key, start=start, cached=False)
    fast = model.sample(2, key=key, start=start)
    assert (slow.device, fast.device) == ("cuda", "cuda")
    np.testing.assert_array_equal(slow.numpy(), fast.numpy())
    assert (fast.numpy()[:, :2] == 1).all()


def test_the_command_line_trains_samples_and_evaluates_on_either(cuda, tmp_path, images, capsys):
    folder = str(tmp_path / "run")
    flags = ["--levels", "17", "--steps", "2", "--batch-size", "16", "--set", "model.hidden=[16]", "--set", "ema=null"]
    assert main(["train", "vae", "--data", str(images), "--out", folder, "--device", "cuda", *flags]) == 0
    assert {"samples.png", "reconstructions.png", "curves.png"} <= {p.name for p in (tmp_path / "run").iterdir()}
    made = []
    for device in ("cpu", "cuda"):
        path = str(tmp_path / f"{device}.npy")
        assert main(["sample", folder, "-n", "3", "-o", path, "--device", device]) == 0
        capsys.readouterr()
        assert main(["eval", folder, "--k", "4", "--device", device]) == 0
        made.append((np.load(path), json.loads(capsys.readouterr().out)))
    (here, first), (there, second) = made
    np.testing.assert_allclose(there, here, atol=1e-4)
    assert second["elbo_nats"] == pytest.approx(first["elbo_nats"], rel=1e-5)
    assert second["iwae_nats"] == pytest.approx(first["iwae_nats"], rel=1e-5)
