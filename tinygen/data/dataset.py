"""Split and Dataset: arrays with a role, walked in batches whose order depends on a key and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import kernels
from ..errors import ArgumentError, DataError, check, shape_text

if TYPE_CHECKING:
    from ..random import Key

Kind = Literal["image", "table", "points"]


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set: `x` (n, ...) and, where the set has them, labels `y` (n,).

    `training` splits are shuffled by default and leave out the short last batch, so that every step has one shape; the
    others are walked in order to the last row, so that every example counts exactly once.
    """

    x: np.ndarray
    y: np.ndarray | None = None
    training: bool = False

    def __post_init__(self) -> None:
        shape = shape_text(self.x.shape)
        check(self.x.ndim >= 2, DataError, f"Split: x {shape} needs an axis for examples and one for their entries.")
        if self.y is not None and self.y.shape != self.x.shape[:1]:
            raise DataError(f"Split: y {shape_text(self.y.shape)} needs one label for each row of x {shape}.")

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        labels = "" if self.y is None else ", labelled"
        return f"Split({shape_text(self.x.shape)} {self.x.dtype}{labels})"

    def steps_per_epoch(self, batch_size: int, *, drop_last: bool | None = None) -> int:
        """The number of batches in one pass."""
        drop_last = self.training if drop_last is None else drop_last
        return len(self) // batch_size if drop_last else math.ceil(len(self) / batch_size)

    def batches(
        self,
        batch_size: int,
        *,
        key: Key,
        epochs: int | None = 1,
        start: int = 0,
        shuffle: bool | None = None,
        drop_last: bool | None = None,
        labels: bool = False,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield `(x, key)`, or `(x, y, key)` with `labels=True`: rows as they are stored, and a Key of their own.

        The order of an epoch follows from (key, epoch) and a step's Key from (key, step), so a run that stopped after
        `start` steps goes on with exactly the batches and keys it would have had; `epochs` still counts from the first
        step, and None never ends.  `shuffle` and `drop_last` default to what `training` says.

        Raises ArgumentError for a batch size outside 1..n where the short batch is dropped, and for missing labels.
        """
        shuffle = self.training if shuffle is None else shuffle
        check(batch_size >= 1, ArgumentError, f"batches: batch_size is {batch_size}; it must be at least 1.")
        check(start >= 0, ArgumentError, f"batches: start is {start}; it is the number of steps already done.")
        check(epochs is None or epochs >= 0, ArgumentError, f"batches: epochs is {epochs}; it must not be negative.")
        check(not labels or self.y is not None, ArgumentError, "batches: labels=True, but this split has no labels.")
        steps = self.steps_per_epoch(batch_size, drop_last=drop_last)
        if steps == 0:
            raise ArgumentError(
                f"batches: {len(self)} rows make no full batch of {batch_size}. Pass a smaller batch_size, or "
                f"drop_last=False."
            )
        return self._walk(batch_size, key, epochs, start, shuffle, steps, labels)

    def _walk(
        self, batch_size: int, key: Key, epochs: int | None, start: int, shuffle: bool, steps: int, labels: bool
    ) -> Iterator[tuple[Any, ...]]:
        first = start // steps
        for epoch in count(first) if epochs is None else range(first, epochs):
            order = _order(len(self), key, epoch) if shuffle else None
            for i in range(start % steps if epoch == first else 0, steps):
                at = slice(i * batch_size, (i + 1) * batch_size)
                rows = at if order is None else order[at]
                step_key = key.fold_in(epoch * steps + i)
                if labels:
                    yield self.x[rows], self.y[rows], step_key  # type: ignore[index]
                else:
                    yield self.x[rows], step_key


def _order(n: int, key: Key, epoch: int) -> np.ndarray:
    """The order of the rows in an epoch; the name keeps these keys apart from those of the steps."""
    return kernels.random.permutation(key.fold_in("order").fold_in(epoch).data, n=n)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set.

    kind    "image": x (n, H, W, C), uint8 grey levels 0..levels-1.  "table": x (n, D), uint8 levels or float32.
            "points": x (n, 2) float32.
    levels  the number of grey levels of integer data (2 for binary), None for real numbers.
    source  where it comes from, its licence, and anything that a reported number must say.
    modes   the centres (m, 2) of a mixture whose modes are known, else None.
    """

    name: str
    kind: Kind
    train: Split
    test: Split
    valid: Split | None = None
    levels: int | None = None
    source: str = ""
    modes: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: (H, W, C), (D,) or (2,)."""
        return self.train.x.shape[1:]

    @property
    def dims(self) -> int:
        """The number of entries of one example, the D of bits per dimension."""
        return math.prod(self.shape)

    def split_validation(self, n: int | None = None) -> Dataset:
        """The same set with the last `n` training rows (a tenth unless said) held out for validation.

        A set that has a validation split already is returned as it is, unless `n` asks for more: then ArgumentError.
        """
        if self.valid is not None:
            check(n is None, ArgumentError, f"split_validation: {self.name} has its own validation split. Use .valid.")
            return self
        rows = len(self.train)
        n = rows // 10 if n is None else n
        check(0 < n < rows, ArgumentError, f"split_validation: n is {n}; it must lie between 0 and {rows} rows.")
        x, y = self.train.x, self.train.y
        return replace(
            self,
            train=Split(x[:-n], None if y is None else y[:-n], training=True),
            valid=Split(x[-n:], None if y is None else y[-n:]),
        )

    @classmethod
    def from_array(
        cls, name: str, x: np.ndarray, y: np.ndarray | None = None, *, levels: int | None = None, source: str = ""
    ) -> Dataset:
        """A set of your own.  Of every ten rows the ninth is for validation, the tenth for testing.

        x (n, H, W) or (n, H, W, C): images of `levels` grey levels (256 unless said).  x (n, D): a table of grey levels
        where `levels` is given, else of real numbers ("points" where D is 2).
        Raises DataError for other shapes, fewer than 10 rows, values that are no grey levels or not finite.
        """
        kind, x, levels = _classified(name, x, levels)
        check(len(x) >= 10, DataError, f"{name}: has {len(x)} rows; at least 10 are needed to hold some out.")
        place = np.arange(len(x)) % 10

        def part(rows: np.ndarray, training: bool = False) -> Split:
            return Split(x[rows], None if y is None else y[rows], training)

        return cls(name, kind, part(place < 8, True), part(place == 9), part(place == 8), levels, source)

    @classmethod
    def from_splits(
        cls, name: str, arrays: Mapping[str, np.ndarray], *, levels: int | None = None, source: str = ""
    ) -> Dataset:
        """A set of your own with its own splits: `x_train`, `x_test`, and where there are any `x_valid`, `y_train`, ...

        Arrays and errors as for `from_array`; other names in `arrays` are left alone.
        """
        kinds = set()

        def part(role: str) -> Split:
            kind, x, found = _classified(f"{name}, x_{role}", arrays[f"x_{role}"], levels)
            kinds.add((kind, x.shape[1:], found))
            return Split(x, arrays.get(f"y_{role}"), training=role == "train")

        train, test = part("train"), part("test")
        valid = part("valid") if "x_valid" in arrays else None
        check(len(kinds) == 1, DataError, f"{name}: the splits hold different things: {sorted(kinds, key=str)}.")
        kind, _, found = kinds.pop()
        return cls(name, kind, train, test, valid, found, source)

    def __repr__(self) -> str:
        levels = "" if self.levels is None else f", levels={self.levels}"
        return f"Dataset({self.name!r}, {self.kind}, train={self.train}, valid={self.valid}, test={self.test}{levels})"


def _classified(name: str, x: np.ndarray, levels: int | None) -> tuple[Kind, np.ndarray, int | None]:
    """Kind, rows in the element type of that kind, and the number of levels."""
    x = np.ascontiguousarray(x)
    shown = f"{name}: {shape_text(x.shape)} {x.dtype}"
    if x.ndim == 2:
        if levels is not None:
            return "table", _grey(name, x, levels), levels
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused by the next line
            x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise DataError(f"{name}: row {int(np.argwhere(~np.isfinite(x))[0][0])} holds a number that is not finite.")
        return ("points" if x.shape[1] == 2 else "table"), x, None
    check(x.ndim in (3, 4), DataError, f"{shown} is neither a table (n,D) nor images (n,H,W) or (n,H,W,C).")
    x = x[..., None] if x.ndim == 3 else x
    check(x.shape[3] in (1, 3), DataError, f"{shown}: the last axis of images has 1 or 3 channels.")
    levels = 256 if levels is None else levels
    return "image", _grey(name, x, levels), levels


def _grey(name: str, x: np.ndarray, levels: int) -> np.ndarray:
    check(2 <= levels <= 256, ArgumentError, f"{name}: levels is {levels}; it must lie in 2..256.")
    low, high = (x.min(), x.max()) if x.size else (0, 0)  # NaN fails both comparisons
    check(low >= 0 and high < levels, DataError, f"{name}: values lie in {low}..{high}, not in 0..{levels - 1}.")
    grey = x.astype(np.uint8)
    check((grey == x).all(), DataError, f"{name}: holds values between grey levels. Round them first.")
    return grey
