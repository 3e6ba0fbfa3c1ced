"""The cache of compiled kernels outlives damage, full disks and other processes, and refuses a folder of strangers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tinygen.cli import main
from tinygen.kernels import _cache

PROGRAM = """
import os, sys
if "FULL_DISK" in os.environ:
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit then fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
import numpy as np
from tinygen.kernels._numba import jit

@jit
def double(x, y):
    for i in range(x.size):
        y[i] = 2 * x[i]

for name in sys.argv[1].split(","):
    x = np.arange(5, dtype=name)
    y = np.empty_like(x)
    double(x, y)
    assert np.array_equal(y, 2 * x), (name, y)
print(sum(double.stats.cache_hits.values()), "loaded", sum(double.stats.cache_misses.values()), "compiled")
"""
DTYPES = "float32", "float64"


class Runner:
    """Runs the program in processes of its own, with a cache of its own."""

    def __init__(self, folder: Path):
        self.program, self.cache = folder / "program.py", folder / "cache"
        self.program.write_text(PROGRAM, "utf-8")

    def start(self, dtypes: tuple[str, ...] = DTYPES, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, self.program, ",".join(dtypes)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TINYGEN_CACHE": str(self.cache), "PYTHONWARNINGS": "always", **environment},
        )  # fmt: skip

    def run(self, dtypes: tuple[str, ...] = DTYPES, **environment: str) -> tuple[str, str]:
        """What it printed on each stream."""
        process = self.start(dtypes, **environment)
        said, complained = process.communicate(timeout=120)
        assert process.returncode == 0, complained
        return said.strip(), complained

    @property
    def entries(self) -> list[Path]:
        return sorted(path for path in self.cache.rglob("*") if path.is_file())


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda content: b"", lambda content: content[: len(content) // 2], lambda content: content[:-1], flip,
    lambda content: content + b"\0", lambda content: b"not a kernel",
]  # fmt: skip


def test_damaged_entries_are_counted_and_compiled_anew(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGEN_CACHE", str(runner.cache))
    dtypes = ("int8", "int16", "int32", "int64", "float32", "float64")
    assert runner.run(dtypes) == ("0 loaded 6 compiled", "")
    assert _cache.report()[:2] == (6, 0)
    for path, damage in zip(runner.entries, DAMAGES):
        path.write_bytes(damage(path.read_bytes()))
    assert _cache.report()[:2] == (6, 6)
    assert runner.run(dtypes) == ("0 loaded 6 compiled", "")
    assert _cache.report()[:2] == (6, 0)
    assert runner.run(dtypes) == ("6 loaded 0 compiled", "")


def test_a_missing_entry_is_compiled_alone(runner: Runner) -> None:
    runner.run()
    runner.entries[0].unlink()
    assert runner.run() == ("1 loaded 1 compiled", "")


def test_processes_that_compile_at_once(runner: Runner) -> None:
    orders = [("float32", "float64"), ("float64", "float32"), ("int64", "float32"), ("float32", "int64")]
    processes = [runner.start(order) for order in orders]
    for process in processes:
        _, complained = process.communicate(timeout=240)
        assert (process.returncode, complained) == (0, "")
    final = runner.start(("float32", "float64", "int64"))
    assert final.communicate(timeout=120)[0].strip() == "3 loaded 0 compiled"
    assert len(runner.entries) == 3


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
def test_a_full_disk_costs_one_warning_and_leaves_nothing(runner: Runner) -> None:
    said, complained = runner.run(FULL_DISK="1")
    assert said == "0 loaded 2 compiled"
    assert complained.count("RuntimeWarning") == 1
    assert "Set TINYGEN_CACHE to a folder that you can write to" in complained
    assert runner.entries == []


def test_a_folder_that_cannot_be_made_costs_one_warning(runner: Runner) -> None:
    runner.cache.write_text("a file is in the way", "utf-8")
    said, complained = runner.run()
    assert said == "0 loaded 2 compiled"
    assert complained.count("RuntimeWarning") == 1
    assert str(runner.cache) in complained


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_still_serves(runner: Runner) -> None:
    runner.run()
    runner.entries[0].unlink()
    folder = runner.entries[0].parent
    folder.chmod(0o500)
    try:
        said, complained = runner.run()
    finally:
        folder.chmod(0o700)
    assert said == "1 loaded 1 compiled"
    assert complained.count("RuntimeWarning") == 1


@pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")
@pytest.mark.parametrize("strange", ["mode", "owner"])
def test_a_folder_that_others_may_write_to_is_refused(runner: Runner, strange: str) -> None:
    runner.run()
    folder = runner.entries[0].parent
    assert folder.stat().st_mode & 0o777 == 0o700
    if strange == "mode":
        folder.chmod(0o770)
    elif os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    else:
        os.chown(folder, 12345, -1)
    process = runner.start()
    _, complained = process.communicate(timeout=120)
    assert process.returncode != 0
    for part in ("PermissionError", str(folder), "yours alone", "set TINYGEN_CACHE"):
        assert part in complained


def test_prune_deletes_other_sources_and_half_written_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGEN_CACHE", str(tmp_path))
    ours, old, strange = _cache.cache_folder(), tmp_path / "kernels" / ("0" * 16), tmp_path / "kernels" / "notes"
    for folder in (ours, old, strange):
        folder.mkdir(parents=True)
        (folder / "f.nbc").write_bytes(b"12345")
    (ours / "f.nbc.tmp.1").write_bytes(b"")
    before = _cache.prune()
    assert (before.others, before.others_size) == ([old], 5)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["f.nbc", "f.nbc"]
    assert not old.exists()
    assert _cache.report().others == []


def test_doctor_compiles_ahead_and_prunes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--warm", "gan"]) == 0
    said, progress = capsys.readouterr()
    assert "functions in" in said
    for kind in ("grey images", "points", "binary images"):
        assert kind in progress
    assert main(["doctor", "--warm", "gann"]) == 2
    assert "known: vae, pixelcnn, realnvp, gan" in capsys.readouterr()[1]
    monkeypatch.setenv("TINYGEN_CACHE", str(tmp_path))
    (tmp_path / "kernels" / ("0" * 16)).mkdir(parents=True)
    assert main(["doctor", "--prune"]) == 0
    assert "deleted 1 caches" in capsys.readouterr()[0]
