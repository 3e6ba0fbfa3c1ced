"""Data sets and their batches."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygen import data
from tinygen.data import toys
from tinygen.data.dataset import Dataset, Split
from tinygen.data.sets import ENTRIES
from tinygen.errors import ArgumentError, DataError
from tinygen.random import Key

TOYS = [toys.ring8, toys.moons, toys.checkerboard, toys.spirals, toys.rings]
TOY_POINTS = {
    "ring8": [2.01137, 0.00958],
    "moons": [0.40658, 0.85703],
    "checkerboard": [-1.95381, -1.88857],
    "spirals": [-0.163, -1.48882],
    "rings": [0.01733, 0.98328],
}


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real data sets: in $TINYGEN_DATA, or in shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not os.environ.get("TINYGEN_DATA") and beside.is_dir():
        monkeypatch.setenv("TINYGEN_DATA", str(beside))


def loaded(name: str) -> Dataset:
    entry = ENTRIES[name]
    if entry.files and data.catalogue.locate(entry) is None:
        pytest.skip(f"{name} is not in $TINYGEN_DATA nor in the cache (tinygen data get {name})")
    return data.load(name)


# -- what comes with tinygen -------------------------------------------------------------------------------------------


def test_digits():
    digits = data.digits()
    assert digits.train.x.shape == (1437, 8, 8, 1)
    assert digits.test.x.shape == (360, 8, 8, 1)
    assert digits.train.x.dtype == np.uint8
    assert (digits.train.x.max(), digits.levels, digits.dims, digits.valid) == (16, 17, 64, None)
    assert set(digits.train.y) == set(range(10))


def test_digits_equal_scikit_learns_copy():
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn: pip install 'tinygen[test]'")
    original = datasets.load_digits()
    digits = data.digits()
    np.testing.assert_array_equal(np.concatenate([digits.train.x, digits.test.x])[..., 0], original.images)
    np.testing.assert_array_equal(np.concatenate([digits.train.y, digits.test.y]), original.target)


def test_validation_split():
    digits = data.digits()
    held = digits.split_validation(137)
    assert (len(held.train), len(held.valid), len(held.test)) == (1300, 137, 360)
    assert held.train.training
    assert not held.valid.training
    np.testing.assert_array_equal(np.concatenate([held.train.x, held.valid.x]), digits.train.x)
    np.testing.assert_array_equal(np.concatenate([held.train.y, held.valid.y]), digits.train.y)
    assert held.split_validation() is held
    assert len(digits.split_validation().valid) == 143
    for call in (
        lambda: held.split_validation(5),
        lambda: digits.split_validation(0),
        lambda: digits.split_validation(1437),
    ):
        with pytest.raises(ArgumentError):
            call()


@pytest.mark.parametrize("draw", TOYS)
def test_toys_are_functions_of_their_key(draw):
    points = draw(500, key=3)
    assert (points.shape, points.dtype) == ((500, 2), np.float32)
    np.testing.assert_array_equal(points, draw(500, key=Key(3)))
    assert (points != draw(500, key=4)).any()
    assert draw(0, key=3).shape == (0, 2)
    assert np.abs(draw(20_000, key=0)).max() < 3.6


def test_toys_never_change():
    """The points of a seed are part of every number ever reported on them."""
    first = {draw.__name__: [round(float(v), 5) for v in draw(1, key=0)[0]] for draw in TOYS}
    assert first == TOY_POINTS


def test_toys_have_the_shapes_they_claim():
    ring = data.ring8(20_000, key=0)
    assert np.linalg.norm(ring[:, None] - data.ring8_modes(), axis=2).min(axis=1).std() < 0.02
    board = data.checkerboard(20_000, key=0)
    assert ((board >= -2) & (board < 2)).all()
    cells = np.floor(board).astype(int)
    assert (cells.sum(axis=1) % 2 == 0).all()
    assert len(np.unique(cells, axis=0)) == 8
    radius = np.linalg.norm(data.rings(20_000, key=0), axis=1)
    counts = np.bincount(np.rint(radius).astype(int))
    np.testing.assert_allclose(counts[1:4] / 20_000, 1 / 3, atol=0.02)


def test_toy_sets_have_independent_splits():
    ring = data.load("ring8")
    np.testing.assert_array_equal(ring.train.x, data.ring8(10_000, key=0))
    np.testing.assert_array_equal(ring.test.x, data.ring8(2_000, key=2))
    np.testing.assert_array_equal(ring.modes, data.ring8_modes())
    assert data.load("moons").modes is None


@pytest.mark.parametrize(
    "bad", [lambda: data.moons(-1, key=0), lambda: data.moons(3, key=-1), lambda: data.moons(3, key=1 << 64)]
)
def test_toys_refuse_bad_arguments(bad):
    with pytest.raises(ArgumentError):
        bad()


# -- batches -----------------------------------------------------------------------------------------------------------


def numbered(n: int, *, training: bool = True) -> Split:
    return Split(np.arange(2 * n).reshape(n, 2), np.arange(n), training)


def test_an_epoch_visits_every_row_once_in_an_order_of_its_own():
    split = numbered(60)
    labels = np.concatenate([y for _, y, _ in split.batches(10, key=Key(0), epochs=2, labels=True)])
    first, second = labels[:60], labels[60:]
    assert sorted(first) == sorted(second) == list(range(60))
    assert (first != second).any()
    assert (first != np.arange(60)).any()


def test_rows_and_labels_stay_together():
    for x, y, _ in numbered(23).batches(4, key=Key(9), labels=True):
        np.testing.assert_array_equal(x[:, 0], 2 * y)


@pytest.mark.parametrize("start", [0, 1, 5, 6, 13, 17, 18])
def test_a_resumed_run_goes_on_with_the_same_bits(start: int):
    split = numbered(25)
    whole = list(split.batches(4, key=Key(7), epochs=3))
    rest = list(split.batches(4, key=Key(7), epochs=3, start=start))
    assert len(whole) == 18
    assert len(rest) == 18 - start
    for (x, key), (x_again, key_again) in zip(whole[start:], rest):
        np.testing.assert_array_equal(x, x_again)
        assert key == key_again
    assert len({key for _, key in whole}) == 18


def test_endless_batches_agree_with_counted_ones():
    split = numbered(8)
    endless = itertools.islice(split.batches(4, key=Key(1), epochs=None, start=1), 5)
    for (x, key), (x_again, key_again) in zip(endless, list(split.batches(4, key=Key(1), epochs=3))[1:]):
        np.testing.assert_array_equal(x, x_again)
        assert key == key_again


def test_evaluation_walks_in_order_to_the_last_row():
    split = numbered(10, training=False)
    batches = [x for x, _ in split.batches(4, key=Key(0))]
    assert [len(x) for x in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(batches), split.x)
    assert [len(x) for x, _ in numbered(10).batches(4, key=Key(0))] == [4, 4]
    assert [len(x) for x, _ in numbered(10).batches(4, key=Key(0), drop_last=False)] == [4, 4, 2]
    np.testing.assert_array_equal(next(iter(numbered(10).batches(4, key=Key(0), shuffle=False)))[0], split.x[:4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 11}, "no full batch of 11"),
        ({"batch_size": 2, "start": -1}, "start is -1"),
        ({"batch_size": 2, "epochs": -1}, "epochs is -1"),
    ],
)
def test_batches_refuse_at_once(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        numbered(10).batches(key=Key(0), **arguments)
    with pytest.raises(ArgumentError, match="no labels"):
        Split(np.zeros((4, 2))).batches(2, key=Key(0), labels=True)


def test_splits_refuse_what_does_not_fit():
    with pytest.raises(DataError, match="needs an axis"):
        Split(np.zeros(3))
    with pytest.raises(DataError, match="one label for each row"):
        Split(np.zeros((3, 2)), np.zeros(4))


# -- sets of one's own -------------------------------------------------------------------------------------------------


def test_from_array():
    rng = np.random.default_rng(0)
    images = Dataset.from_array("mine", rng.integers(0, 4, (30, 5, 6)), levels=4)
    assert (images.kind, images.shape, images.levels, images.train.x.dtype) == ("image", (5, 6, 1), 4, np.uint8)
    assert (len(images.train), len(images.valid), len(images.test)) == (24, 3, 3)
    table = Dataset.from_array("mine", rng.normal(size=(20, 3)))
    assert (table.kind, table.levels, table.train.x.dtype) == ("table", None, np.float32)
    assert Dataset.from_array("mine", rng.normal(size=(20, 2))).kind == "points"
    assert Dataset.from_array("mine", rng.integers(0, 2, (20, 9)).astype(float), levels=2).train.x.dtype == np.uint8


def test_from_splits():
    x = np.zeros((6, 4, 4), np.uint8)
    mine = Dataset.from_splits("mine", {"x_train": x, "y_train": np.arange(6), "x_test": x[:2], "other": x})
    assert (len(mine.train), mine.valid, len(mine.test), mine.test.y) == (6, None, 2, None)
    with pytest.raises(DataError, match="different things"):
        Dataset.from_splits("mine", {"x_train": x, "x_test": x[:, :3]})


@pytest.mark.parametrize(
    ("x", "levels", "message"),
    [
        (np.zeros((9, 3)), None, "9 rows"),
        (np.full((10, 3), np.nan), None, "not finite"),
        (np.full((10, 2, 2), 256), None, r"not in 0\.\.255"),
        (np.full((10, 2, 2), -1), None, r"not in 0\.\.255"),
        (np.full((10, 2, 2), np.nan), None, "not in"),
        (np.full((10, 2, 2), 0.5), None, "between grey levels"),
        (np.full((10, 3), 2), 2, r"not in 0\.\.1"),
        (np.zeros((10, 3, 32, 32)), None, "1 or 3 channels"),
        (np.zeros(10), None, "neither a table"),
    ],
)
def test_from_array_refuses(x, levels, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_array("mine", x, levels=levels)


# -- named sets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", data.names())
@pytest.mark.usefixtures("real")
def test_every_named_set_is_what_the_table_says(name: str):
    entry, dataset = ENTRIES[name], loaded(name)
    splits = [split for split in (dataset.train, dataset.valid, dataset.test) if split is not None]
    assert tuple(map(len, splits)) == tuple(n for n in entry.sizes if n)
    assert (dataset.kind, dataset.shape, dataset.levels) == (entry.kind, entry.shape, entry.levels)
    assert [split.training for split in splits] == [True] + [False] * (len(splits) - 1)
    assert dataset.source
    for split in splits:
        assert split.x.flags.c_contiguous
        if entry.levels is None:
            assert split.x.dtype == np.float32
            assert np.isfinite(split.x).all()
        else:
            assert split.x.dtype == np.uint8
            assert split.x.max() < entry.levels


@pytest.mark.usefixtures("real")
def test_mnist_labels_and_validation_split():
    mnist = loaded("mnist")
    assert np.bincount(mnist.test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    counts = np.bincount(mnist.train.y) + np.bincount(mnist.valid.y)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


@pytest.mark.parametrize(
    ("name", "nats"), [("binarized-mnist", 205.80), ("nltcs", 9.23), ("baudio", 49.34), ("dna", 100.39)]
)
@pytest.mark.usefixtures("real")
def test_independent_bernoullis_score_what_they_should(name: str, nats: float):
    """The simplest model's test likelihood checks reader, orientation of the splits and units at once."""
    dataset = loaded(name)
    p = dataset.train.x.reshape(-1, dataset.dims).mean(axis=0).clip(1e-4, 1 - 1e-4)
    x = dataset.test.x.reshape(-1, dataset.dims)
    assert -(x * np.log(p) + (1.0 - x) * np.log(1 - p)).sum(axis=1).mean() == pytest.approx(nats, abs=0.01)


@pytest.mark.usefixtures("real")
def test_miniboone_is_standardised_without_the_test_rows():
    rows = loaded("miniboone-subset")
    seen = np.concatenate([rows.train.x, rows.valid.x])
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(seen.std(axis=0), 1, atol=1e-4)


@pytest.mark.usefixtures("real")
def test_a_subset_is_never_taken_for_the_whole():
    if data.catalogue.locate(ENTRIES["cifar10-subset"]) is None or data.catalogue.locate(ENTRIES["cifar10"]):
        pytest.skip("needs the subset of CIFAR-10 in $TINYGEN_DATA and the whole set absent")
    with pytest.raises(DataError, match="the part that is here: cifar10-subset"):
        data.load("cifar10")


def test_names_are_forgiving_and_unknown_ones_are_not():
    assert data.load("Ring8").name == "ring8"
    with pytest.raises(DataError, match="Did you mean mnist"):
        data.load("mnits")
    with pytest.raises(DataError, match="neither a data set nor a path"):
        data.load("/no/such/file.npy")
    with pytest.raises(ArgumentError, match="levels"):
        data.load("digits", levels=2)


def test_importing_data_and_metrics_needs_neither_numba_nor_plots():
    heavy = ("numba", "scipy", "matplotlib", "PIL")
    code = f"import sys, tinygen.data, tinygen.metrics; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
