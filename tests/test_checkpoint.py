"""A checkpoint comes back bit for bit or not at all, and no crash or damage costs more than one generation."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygen.errors import ArgumentError, CheckpointError
from tinygen.train import checkpoint, files

META = {"model": "vae", "config": {"shape": [8, 8, 1], "lr": 1e-3}}


def weights(step: int) -> checkpoint.Tensors:
    """Small, of several types and shapes, and different at every step."""
    rng = np.random.default_rng(step)
    return {
        "layer.w": rng.normal(size=(3, 5)).astype(np.float32),
        "layer.b": rng.normal(size=5),
        "adam.t": np.array(step, np.int64),
        "mask": rng.normal(size=7) > 0,
        "empty": np.zeros((0, 4), np.float32),
    }


def equal(a: checkpoint.Tensors, b: checkpoint.Tensors) -> bool:
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a
    )


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder with generations 10 and 20."""
    for step in (10, 20):
        checkpoint.save(tmp_path, step, weights(step), META)
    return tmp_path


def step_loaded(folder: Path) -> int:
    """The step of what `load` returns, after checking that it is exactly what was saved at that step."""
    tensors, meta = checkpoint.load(folder)
    assert equal(tensors, weights(meta["step"]))
    assert meta == {**META, "step": meta["step"]}
    return meta["step"]


# What comes back


def test_round_trip_keeps_the_last_two_generations(tmp_path: Path) -> None:
    for step in (1, 2, 30):
        path = checkpoint.save(tmp_path, step, weights(step), META)
        assert step_loaded(tmp_path) == step_loaded(path) == step
    assert sorted(os.listdir(tmp_path)) == ["LATEST", "step-00000002.safetensors", "step-00000030.safetensors"]


@given(
    hnp.arrays(
        st.sampled_from([np.dtype(d) for d in ("f2", "f4", "f8", ">f4", ">i2", "u1", "i8", "?")]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    ),
    st.sampled_from(["as is", "transposed", "reversed", "strided", "column", "broadcast", "fortran"]),
)
@example(np.arange(6, dtype="f4").reshape(2, 3), "reversed")
@example(np.arange(6, dtype="f4").reshape(2, 3), "broadcast")
def test_any_strides_and_byte_order(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, layout: str) -> None:
    views: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "as is": lambda a: a,
        "transposed": lambda a: a.T,
        "reversed": lambda a: a[::-1] if a.ndim else a,
        "strided": lambda a: a[..., ::2] if a.ndim else a,
        "column": lambda a: a[..., 1:] if a.ndim else a,
        "broadcast": lambda a: np.broadcast_to(a, (3, *a.shape)),
        "fortran": np.asfortranarray,
    }
    view = views[layout](array)
    tensors, _ = checkpoint.load(checkpoint.save(tmp_path_factory.mktemp("run"), 0, {"x": view}, {}))
    assert tensors["x"].shape == view.shape
    assert tensors["x"].dtype == view.dtype.newbyteorder("=")
    assert tensors["x"].flags.writeable
    assert tensors["x"].tobytes() == view.astype(view.dtype.newbyteorder("=")).tobytes()


def test_the_reference_implementation_reads_it(tmp_path: Path) -> None:
    load_file = pytest.importorskip("safetensors.numpy").load_file
    assert equal(load_file(checkpoint.save(tmp_path, 3, weights(3), META)), weights(3))


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    shuffled = dict(reversed(weights(3).items()))
    a, b = checkpoint.save(tmp_path / "a", 3, weights(3), META), checkpoint.save(tmp_path / "b", 3, shuffled, META)
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize(
    ("tensors", "step", "meta", "message"),
    [
        ({"x": [1.0]}, 0, {}, "'x' is list"),
        ({"x": np.array([None])}, 0, {}, "'x' is object"),
        ({"x": np.zeros(2, complex)}, 0, {}, "'x' is complex128"),
        ({"": np.zeros(2)}, 0, {}, "cannot name a tensor"),
        ({"__metadata__": np.zeros(2)}, 0, {}, "cannot name a tensor"),
        ({}, -1, {}, "step is -1"),
        ({}, 1.0, {}, "step is 1.0"),
        ({}, 0, {"loss": float("nan")}, "meta cannot be stored as JSON"),
        ({}, 0, {"lr": {1: 0.1}}, "key 1 is not a string"),
        ({}, 0, {"w": np.zeros(1)}, "meta cannot be stored as JSON"),
        ({}, 2, {"step": 1}, "meta says step 1, step is 2"),
    ],
)
def test_refused_on_save(tmp_path: Path, tensors: Any, step: Any, meta: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(message)):
        checkpoint.save(tmp_path, step, tensors, meta)
    assert os.listdir(tmp_path) == []


# Crashes and damage


class Crash(Exception):
    pass


@pytest.mark.parametrize("call", range(1, 12))
@pytest.mark.parametrize("before", [True, False])
def test_a_crash_at_any_point_of_saving_loses_nothing(
    two: Path, monkeypatch: pytest.MonkeyPatch, call: int, before: bool
) -> None:
    """The `call`-th of all calls that reach the disk fails, before or after it took effect."""
    calls = 0

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if before and calls == call:
                raise Crash
            result = real(*args, **kwargs)
            if calls == call:
                raise Crash
            return result

        return wrapped

    with monkeypatch.context() as patch:
        for owner, name in ((os, "fsync"), (os, "replace"), (Path, "unlink")):
            patch.setattr(owner, name, failing(getattr(owner, name)))
        try:
            checkpoint.save(two, 30, weights(30), META)
            reached = False
        except Crash:
            reached = True
    assert reached == (call <= 8), "2 files x (fsync, replace, fsync of the folder), 1 removal, 1 fsync of the folder"
    assert step_loaded(two) in (20, 30)
    checkpoint.save(two, 40, weights(40), META)
    assert step_loaded(two) == 40
    assert not list(two.glob(".*")), "what the crash left is cleared away"


def test_a_process_killed_while_writing_leaves_only_a_temporary_file(two: Path) -> None:
    (two / ".step-00000030.safetensors.4711.tmp").write_bytes(b"half")
    assert step_loaded(two) == 20
    checkpoint.save(two, 30, weights(30), META)
    assert not list(two.glob(".*"))


def damaged(folder: Path, change: Callable[[bytearray], bytes]) -> None:
    path = folder / "step-00000020.safetensors"
    path.write_bytes(change(bytearray(path.read_bytes())))


def falls_back(folder: Path) -> None:
    with pytest.warns(RuntimeWarning, match=r"loaded step-00000010\.safetensors: .*step-00000020\.safetensors: .+"):
        assert step_loaded(folder) == 10


def test_truncated_at_every_byte(two: Path) -> None:
    whole = (two / "step-00000020.safetensors").read_bytes()
    for length in range(len(whole)):
        damaged(two, lambda _, length=length: whole[:length])
        falls_back(two)


def test_every_single_byte_is_covered(two: Path) -> None:
    """Names, shapes, padding and checksum too: flip bits of any byte and the file is refused."""
    whole = (two / "step-00000020.safetensors").read_bytes()
    for at in range(len(whole)):
        for mask in (0x01, 0x29):  # 0x29 turns a blank into a tab, which JSON reads as the same
            damaged(two, lambda _, at=at, mask=mask: whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
            falls_back(two)


def test_longer_than_it_was(two: Path) -> None:
    damaged(two, lambda content: bytes(content) + b"\0")
    falls_back(two)


@pytest.mark.parametrize("content", [None, b"", b"step-0000", b"../step-00000020.safetensors\n", b"\xff\xfe\n"])
def test_a_missing_or_damaged_pointer(two: Path, content: bytes | None) -> None:
    (two / "LATEST").unlink()
    if content is not None:
        (two / "LATEST").write_bytes(content)
    with pytest.warns(RuntimeWarning, match="LATEST is missing or damaged"):
        assert step_loaded(two) == 20


def test_a_pointer_to_a_missing_file(two: Path) -> None:
    (two / "step-00000020.safetensors").unlink()
    with pytest.warns(RuntimeWarning, match="step-00000020.safetensors, which LATEST names, is missing"):
        assert step_loaded(two) == 10


def test_the_pointer_decides(two: Path) -> None:
    """Between the two renames of a save the new generation exists and is not yet the one to load."""
    (two / "LATEST").write_text("step-00000010.safetensors\n")
    assert step_loaded(two) == 10


def test_going_back_removes_the_abandoned_generation(two: Path) -> None:
    damaged(two, lambda content: bytes(content[:100]))
    falls_back(two)
    checkpoint.save(two, 15, weights(15), META)
    assert step_loaded(two) == 15
    assert sorted(os.listdir(two)) == ["LATEST", "step-00000010.safetensors", "step-00000015.safetensors"]


def test_nothing_whole(two: Path) -> None:
    for path in two.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match=r"no checkpoint is whole.*step-00000020.*step-00000010"):
        checkpoint.load(two)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        checkpoint.load(tmp_path)
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoint.load(tmp_path / "step-00000001.safetensors")


@pytest.mark.exhaustive
@given(st.data())
def test_any_patch_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Cut out any stretch of the file and put any bytes in its place."""
    path = checkpoint.save(tmp_path_factory.mktemp("fuzz"), 7, weights(7), META)
    whole = path.read_bytes()
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    patched = whole[:begin] + data.draw(st.binary(max_size=64)) + whole[end:]
    path.write_bytes(patched)
    if patched == whole:
        assert step_loaded(path) == 7
    else:
        with pytest.raises(CheckpointError):
            checkpoint.load(path)


# Into a model


class Part:
    """What a Module and an optimizer have in common: a state that is copied out and in."""

    def __init__(self, **state: np.ndarray) -> None:
        self.state = state

    def state_dict(self) -> checkpoint.Tensors:
        return {name: array.copy() for name, array in self.state.items()}

    def load_state_dict(self, state: Any) -> None:
        assert state.keys() == self.state.keys()
        for name, array in self.state.items():
            array[...] = state[name]


def parts(fill: float) -> dict[str, Part]:
    return {
        "model": Part(w=np.full((2, 3), fill), b=np.full(3, fill, np.float32)),
        "optimizer.adam": Part(w=np.full(9, fill), step=np.array(fill, np.int64)),
        "nothing": Part(),
    }


def test_parts_are_saved_together_and_restored_together(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 5, checkpoint.gather(parts(5.0)), {})
    fresh = parts(0.0)
    checkpoint.restore(fresh, checkpoint.load(tmp_path)[0])
    assert equal(checkpoint.gather(fresh), checkpoint.gather(parts(5.0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model/w": None}, "'model/w' is missing"),
        ({"model/v": np.ones(2)}, "'model/v' has no place here"),
        ({"model/w": np.ones((3, 2))}, "'model/w' is (3,2) float64, expected (2,3) float64"),
        ({"optimizer.adam/step": np.array(5.0)}, "'optimizer.adam/step' is () float64, expected () int64"),
    ],
)
def test_restore_is_all_or_nothing(change: dict[str, Any], message: str) -> None:
    changed = checkpoint.gather(parts(5.0)) | change
    fresh = parts(0.0)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        checkpoint.restore(fresh, {name: array for name, array in changed.items() if array is not None})
    assert equal(checkpoint.gather(fresh), checkpoint.gather(parts(0.0)))


def test_a_part_with_a_slash_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'a/b'"):
        checkpoint.gather({"a/b": Part()})


def test_a_whole_load_is_silent(two: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert step_loaded(two) == 20


def test_write_atomic_leaves_the_old_file_when_its_chunks_fail(tmp_path: Path) -> None:
    def chunks() -> Any:
        yield b"new"
        raise Crash

    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(Crash):
        files.write_atomic(path, chunks())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
