"""The command line, end to end: what it prints where, what it refuses, its exit codes, and runs that are killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygen.cli import main
from tinygen.train import checkpoint

TINY = ("--set", "model.hidden=8", "--set", "model.latent=2")
HEAVY = {"numba", "scipy", "matplotlib", "tqdm"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> str:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 2, (60, 8, 8), dtype=np.uint8))
    return "images.npy"


@pytest.fixture
def run(images: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The folder of a finished run."""
    assert train(images, "--steps", "5") == 0
    capsys.readouterr()
    return "runs/vae-images-0"


def train(images: str, *more: str) -> int:
    return main(["train", "vae", "--data", images, "--levels", "2", "--batch-size", "8", *TINY, *more])


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Exit code and the one line on standard error."""
    code = main(list(argv))
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert out == ""
    assert len(lines) == 1
    assert lines[0].startswith("tinygen: ")
    return code, err


def shell(*argv: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tinygen", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_train_leaves_a_whole_run(images: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(images, "--epochs", "2") == 0
    folder = Path("runs/vae-images-0")
    made = {path.name for path in folder.iterdir()}
    pictures = {"samples.png", "reconstructions.png", "curves.png"}
    assert made == {"config.json", "metrics.jsonl", "checkpoints", "best", "test.json"} | pictures
    out, err = capsys.readouterr()
    assert "elbo_nats" in out
    assert f"tinygen eval {folder}" in out
    assert "to step 12" in err
    assert json.loads((folder / "test.json").read_text())["split"] == "test"
    assert json.loads((folder / "config.json").read_text())["data"] == str(Path(images).resolve())


def test_eval_prints_one_json_object(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", run, "--k", "3"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["n"], found["split"], found["iwae_k"], err) == (6, "test", 3, "")
    assert {"elbo_nats", "iwae_nats", "step", "model", "data"} <= found.keys()
    assert main(["eval", run, "--k", "3"]) == 0
    assert json.loads(capsys.readouterr()[0]) == found


@pytest.mark.parametrize(("name", "shape"), [("a.npy", (5, 8, 8, 1)), ("a.npz", (5, 8, 8, 1)), ("a.png", None)])
def test_samples(run: str, name: str, shape: tuple[int, ...] | None) -> None:
    for _ in range(2):
        before = Path(name).read_bytes() if Path(name).exists() else None
        assert main(["sample", run, "-n", "5", "-o", name, "--seed", "3"]) == 0
        assert before in (None, Path(name).read_bytes())
    if shape is not None:
        loaded = np.load(name, allow_pickle=False)
        x = loaded["x"] if name.endswith("z") else loaded
        assert x.shape == shape
        assert 0 <= x.min() <= x.max() <= 1


def test_points_of_a_gan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "gan", "--data", "ring8", "--steps", "3", "--out", "g", "--set", "model.hidden=8"]) == 0
    capsys.readouterr()
    assert main(["eval", "g"]) == 0
    found = json.loads(capsys.readouterr()[0])
    assert found["modes"] == 8
    assert 0 <= found["modes_covered"] <= 8
    assert 0 <= found["share_within_3_std"] <= 1
    assert main(["sample", "g", "-n", "300", "-o", "p.csv"]) == 0
    assert main(["sample", "g", "-n", "300", "-o", "p.npy"]) == 0
    assert np.array_equal(np.loadtxt("p.csv", delimiter=",", dtype=np.float32), np.load("p.npy"))
    assert Path("g/samples.png").exists()


def test_refusals(run: str, images: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.json").write_text('{"epoch": 3}')
    Path("gan.json").write_text('{"family": "gan"}')
    again = ("train", "vae", "--data", images, "--levels", "2")
    for code, words, argv in (
        (2, "holds a run", again),
        (2, "optimizer.lr is 0.001 in this run, not 0.5", (*again, "--resume", "--lr", "0.5")),
        (2, "levels is 2 in this run, not 5", ("train", "vae", "--out", run, "--resume", "--levels", "5")),
        (2, "Did you mean epochs?", (*again, "--out", "new", "--config", "bad.json")),
        (2, "for 'gan', the command for 'vae'", (*again, "--config", "gan.json")),
        (2, "pass --data", ("train", "vae")),
        (2, "pass --data NAME or --data PATH", ("train", "vae", "--out", "new")),
        (2, "Did you mean model.latent?", (*again, "--out", "new", "--set", "model.latnt=3")),
        (2, "Use device='cpu'", (*again, "--out", "new", "--device", "cuda")),
        (2, "--k is 0", ("eval", run, "--k", "0")),
        (2, "should end in .png", ("sample", run, "-o", "a.gif")),
        (2, "image data do not go into a .csv", ("sample", run, "-o", "a.csv")),
        (3, "Did you mean digits?", ("train", "vae", "--data", "digts")),
        (3, "is not a data set", ("data", "get", "digts")),
        (4, "there is no run here", ("eval", "nowhere")),
        (4, "no run here to resume", ("train", "vae", "--out", "nowhere", "--resume")),
    ):
        found, line = refused(capsys, *argv)
        assert words in line, line
        assert found == code, line
    assert not Path("new").exists()


def test_a_damaged_checkpoint(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    for path in Path(run, "best").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    assert refused(capsys, "eval", run)[0] == 4


def test_divergence_has_its_code(images: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(images, "--steps", "50", "--lr", "1e4") == 5
    err = capsys.readouterr()[1]
    assert "first to produce" in err
    assert "Traceback" not in err
    assert train(images, "--resume") == 5  # from the last good checkpoint to the same end


def test_debug_shows_where(run: str) -> None:
    with pytest.raises(Exception, match="no run here"):
        main(["eval", "nowhere", "--debug"])


def test_a_missing_extra_is_said_before_training(
    images: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    code, line = refused(capsys, "train", "vae", "--data", images, "--levels", "2")
    assert code == 2
    assert "pip install 'tinygen[train]'" in line
    assert not Path("runs").exists()


def test_wrong_usage() -> None:
    for argv in ([], ["train"], ["train", "vae", "--epochs", "3", "--steps", "4"], ["fly"]):
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == 2


def test_resume_goes_on_longer(run: str, images: str) -> None:
    assert train(images, "--resume", "--steps", "9") == 0
    assert checkpoint.load(f"{run}/checkpoints")[1]["step"] == 9
    assert main(["train", "vae", "--out", run, "--resume"]) == 0  # nothing left to do


def test_data_and_doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYGEN_DATA", raising=False)
    assert main(["data", "list"]) == 0
    listed = capsys.readouterr()[0]
    assert "digits" in listed
    assert "tinygen data get mnist" in listed or "mnist" in listed
    assert main(["data", "get", "digits"]) == 0
    assert "needs no files" in capsys.readouterr()[0]
    assert main(["doctor"]) == 0
    said = capsys.readouterr()[0]
    for word in ("numba", "threads", "bits", "kernel cache", "CUDA", "extra plots"):
        assert word in said


def test_help_is_light() -> None:
    program = f"""
import sys
from tinygen.cli import main
try:
    main(["--help"])
except SystemExit:
    print("heavy:", *sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy:"
    assert "exit codes:" in done.stdout


SLOW = ("--levels", "2", "--batch-size", "8", "--set", "checkpoint_seconds=0", *TINY)


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until a checkpoint of that step, or a later one, is written."""
    for _ in range(6000):
        with_step = [int(path.stem[5:]) for path in (folder / "checkpoints").glob("step-*.safetensors")]
        if max(with_step, default=0) >= step:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    pytest.fail(f"no checkpoint of step {step} within a minute")


def test_killed_and_resumed_ends_with_the_same_bits(images: str) -> None:
    whole, killed = Path("whole"), Path("killed")
    process = shell("train", "vae", "--data", images, "--out", str(killed), "--steps", "90", *SLOW)
    for step in (5, 40):
        wait_for_step(killed, step, process)
        process.kill()
        process.communicate()
        process = shell("train", "vae", "--out", str(killed), "--resume")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert main(["train", "vae", "--data", images, "--out", str(whole), "--steps", "90", *SLOW]) == 0
    for part in ("checkpoints", "best"):
        (a, meta_a), (b, meta_b) = (checkpoint.load(folder / part) for folder in (whole, killed))
        assert meta_a == meta_b
        assert all(a[name].tobytes() == b[name].tobytes() for name in a.keys() | b.keys())
    assert (whole / "samples.png").read_bytes() == (killed / "samples.png").read_bytes()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_say_how_to_go_on(signum: int, images: str) -> None:
    process = shell("train", "vae", "--data", images, "--out", "r", "--steps", "1000", *SLOW)
    wait_for_step(Path("r"), 3, process)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signum, err
    assert "tinygen train vae --out r --resume" in err
    assert "Traceback" not in err
    assert main(["train", "vae", "--out", "r", "--resume", "--steps", "20"]) == 0
