"""What each named data set is: kind, shapes, origin, the files it needs, and how they become its splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError, check
from . import files, toys
from .dataset import Dataset, Kind, Split
from .formats import read_cifar, read_csv, read_idx, read_mat, read_npy, read_npz

Find = Callable[[str], Path]  # the path of a file by its name
Splits = tuple[Split, Split | None, Split]  # train, valid, test


@dataclass(frozen=True)
class Entry:
    """What is known of a set before its files are read.  `build` is handed a function that finds its files."""

    kind: Kind
    shape: tuple[int, ...]  # of one example
    sizes: tuple[int, int, int]  # train, valid, test
    levels: int | None
    build: Callable[[Find], Splits]
    source: str
    files: tuple[files.File, ...] = ()
    folder: str = ""


# -- splits from files -------------------------------------------------------------------------------------------------


def _held_out(x: np.ndarray, y: np.ndarray | None, n: int) -> tuple[Split, Split]:
    """All but the last n rows for training, and those n for validation."""
    train = Split(x[:-n], None if y is None else y[:-n], training=True)
    return train, Split(x[-n:], None if y is None else y[-n:])


def _labels(y: np.ndarray) -> np.ndarray:
    return y.astype(np.int64)


def _channels_last(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def _digits(_: Find) -> Splits:
    path = Path(__file__).with_name("digits.npz")
    intact = hashlib.sha256(path.read_bytes()).hexdigest() == files.DIGITS
    check(intact, DataError, f"{path}: is damaged. Install tinygen again.")
    arrays = read_npz(path)
    x, y = arrays["images"][..., None], _labels(arrays["labels"])
    train, test = _held_out(x, y, 360)
    return train, None, test


def _toy(draw: Callable[..., np.ndarray]) -> Callable[[Find], Splits]:
    def build(_: Find) -> Splits:
        train, valid, test = (draw(n, key=seed) for seed, n in enumerate(TOY_SIZES))
        return Split(train, training=True), Split(valid), Split(test)

    return build


def _mnist(at: Find) -> Splits:
    x, y, x_test, y_test = (read_idx(at(name)) for name in files.IDX_NAMES)
    return *_held_out(x[..., None], _labels(y), 10_000), Split(x_test[..., None], _labels(y_test))


def _binarized_mnist(at: Find) -> Splits:
    train, valid, test = (_mat(at(file.name), "X").reshape(-1, 28, 28, 1) for file in files.BINARIZED_MNIST)
    return Split(train, training=True), Split(valid), Split(test)


def _mat(path: Path, name: str) -> np.ndarray:
    arrays = read_mat(path)
    check(name in arrays, DataError, f"{path}: has no array {name!r}; it holds {sorted(arrays)}.")
    return arrays[name]


def _cifar10(at: Find) -> Splits:
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    records = np.concatenate(read_cifar(at(files.CIFAR10[0].name), names, records=10_000))
    x, y = _channels_last(records[:, 1:].reshape(-1, 3, 32, 32)), _labels(records[:, 0])
    return *_held_out(x[:50_000], y[:50_000], 10_000), Split(x[50_000:], y[50_000:])


def _cifar10_subset(at: Find) -> Splits:
    arrays = read_npz(at(files.CIFAR10_SUBSET[0].name), ("x_train", "y_train", "x_test", "y_test"))
    x, x_test = _channels_last(arrays["x_train"]), _channels_last(arrays["x_test"])
    return *_held_out(x, _labels(arrays["y_train"]), 1_000), Split(x_test, _labels(arrays["y_test"]))


def _freyfaces(at: Find) -> Splits:
    images = read_npz(at(files.FREYFACES[0].name), ("images",))["images"]
    return _unofficial(images)


def _olivetti(at: Find) -> Splits:
    columns = _mat(at(files.OLIVETTI[0].name), "faces")  # (4096, 400): a picture is a column, itself column by column
    return _unofficial(columns.T.reshape(-1, 64, 64).transpose(0, 2, 1))


def _unofficial(images: np.ndarray) -> Splits:
    whole = Dataset.from_array("images", images)
    return whole.train, whole.valid, whole.test


def _miniboone(file: files.File) -> Callable[[Find], Splits]:
    """The splits and the scaling of Papamakarios et al., "Masked Autoregressive Flow", 2017.

    The last tenth of the rows is for testing, the last tenth of the rest for validation; the mean and the deviation of
    all but the test rows scale every split.
    """

    def build(at: Find) -> Splits:
        rows = read_npy(at(file.name)).astype(np.float64)
        tenth = len(rows) // 10
        rest, test = rows[:-tenth], rows[-tenth:]
        x, x_test = (((part - rest.mean(0)) / rest.std(0)).astype(np.float32) for part in (rest, test))
        return *_held_out(x, None, len(rest) // 10), Split(x_test)

    return build


def _debd(name: str) -> Entry:
    def build(at: Find) -> Splits:
        arrays = {f"x_{part}": read_csv(at(f"{name}.{part}.data")) for part in ("train", "valid", "test")}
        whole = Dataset.from_splits(name, arrays, levels=2)
        return whole.train, whole.valid, whole.test

    variables, sizes = DEBD_SHAPES[name]
    source = "binary density estimation benchmark of Lowd and Davis, 2010, and Van Haaren and Davis, 2012"
    return Entry("table", (variables,), sizes, 2, build, source, files.DEBD[name], "debd")


# -- the table ---------------------------------------------------------------------------------------------------------

TOY_SIZES = (10_000, 2_000, 2_000)
MNIST_SIZES = (50_000, 10_000, 10_000)
DEBD_SHAPES = {  # variables, rows of train, valid and test
    "nltcs": (16, (16_181, 2_157, 3_236)),
    "baudio": (100, (15_000, 2_000, 3_000)),
    "mushrooms": (112, (2_000, 500, 5_624)),
    "dna": (180, (1_600, 400, 1_186)),
    "nips": (500, (400, 100, 1_240)),
}
TOYS = (toys.ring8, toys.moons, toys.checkerboard, toys.spirals, toys.rings)
DRAWN = "tinygen.data.toys, seeds 0, 1 and 2 for train, valid and test"

ENTRIES = {
    "digits": Entry(
        "image", (8, 8, 1), (1_437, 0, 360), 17, _digits,
        "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998, CC BY 4.0",
    ),
    **{draw.__name__: Entry("points", (2,), TOY_SIZES, None, _toy(draw), DRAWN) for draw in TOYS},
    "mnist": Entry(
        "image", (28, 28, 1), MNIST_SIZES, 256, _mnist,
        "Y. LeCun, C. Cortes, C. Burges, 1998; the last 10,000 training images are the validation split",
        files.MNIST, "mnist",
    ),
    "fashion-mnist": Entry(
        "image", (28, 28, 1), MNIST_SIZES, 256, _mnist,
        "Zalando SE, 2017, MIT licence; the last 10,000 training images are the validation split",
        files.FASHION_MNIST, "fashion_mnist",
    ),
    "binarized-mnist": Entry(
        "image", (28, 28, 1), MNIST_SIZES, 2, _binarized_mnist,
        "static binarization of R. Salakhutdinov and I. Murray, 2008; splits of H. Larochelle, 2011",
        files.BINARIZED_MNIST, "binarized_mnist",
    ),
    "cifar10": Entry(
        "image", (32, 32, 3), (40_000, 10_000, 10_000), 256, _cifar10,
        "A. Krizhevsky, 2009; the last batch of training images is the validation split",
        files.CIFAR10, "cifar10",
    ),
    "cifar10-subset": Entry(
        "image", (32, 32, 3), (9_000, 1_000, 2_000), 256, _cifar10_subset,
        "A. Krizhevsky, 2009; a SUBSET of 10,000 + 2,000 images: its numbers do not compare with published ones",
        files.CIFAR10_SUBSET, "cifar10_subset",
    ),
    "freyfaces": Entry(
        "image", (28, 20, 1), (1_573, 196, 196), 256, _freyfaces,
        "B. Frey, S. Roweis; no official split: of ten frames the ninth validates, the tenth tests",
        files.FREYFACES, "frey_faces",
    ),
    "olivetti": Entry(
        "image", (64, 64, 1), (320, 40, 40), 256, _olivetti,
        "AT&T Laboratories Cambridge; no official split: of a person's ten pictures one validates, one tests",
        files.OLIVETTI, "olivetti",
    ),
    "miniboone": Entry(
        "table", (43,), (29_556, 3_284, 3_648), None, _miniboone(files.MINIBOONE[0]),
        "UCI MiniBooNE, CC BY 4.0, as preprocessed for Masked Autoregressive Flow; standardised",
        files.MINIBOONE, "miniboone",
    ),
    "miniboone-subset": Entry(
        "table", (43,), (1_234, 137, 152), None, _miniboone(files.MINIBOONE_SUBSET[0]),
        "UCI MiniBooNE, CC BY 4.0; ONLY the first 1,523 of 36,488 rows: its numbers do not compare with published ones",
        files.MINIBOONE_SUBSET, "miniboone",
    ),
    **{name: _debd(name) for name in DEBD_SHAPES},
}  # fmt: skip
