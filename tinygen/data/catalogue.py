"""load: a name or a path becomes a Dataset.

    load("digits")                  comes with tinygen
    load("ring8")                   drawn
    load("mnist")                   needs files: found in $TINYGEN_DATA/mnist or in the user's cache
    load("faces/")                  anything else is a path

A file may lie there with or without `.gz`.  Nothing is downloaded here: `tinygen data get NAME` (fetch.py) does that.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import ArgumentError, DataError, check
from .dataset import Dataset, Kind
from .formats import read
from .sets import ENTRIES, Entry
from .toys import ring8_modes


def load(name_or_path: str | os.PathLike[str], *, levels: int | None = None) -> Dataset:
    """The data set of a name in `names()`, or one made of a file or a folder of pictures (see `Dataset.from_array`).

    A .npz or .mat file holds either one array, or `x_train`, `x_test` and, if it likes, `x_valid`, `y_train`, ...
    `levels` says how many grey levels the integers of a path have; named sets know theirs.
    Raises DataError for unknown names, absent files and bad content.
    """
    name = str(name_or_path).lower().replace("_", "-")
    if name in ENTRIES:
        check(levels is None, ArgumentError, f"load: {name} has its own levels. Leave levels out.")
        return _named(name)
    path = Path(name_or_path)
    if not path.exists():
        near = difflib.get_close_matches(name, ENTRIES, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Names are {', '.join(ENTRIES)}."
        raise DataError(f"load: {str(name_or_path)!r} is neither a data set nor a path. {hint}")
    return _from_path(path, levels)


def digits() -> Dataset:
    """Handwritten digits, 8x8, uint8 0..16: train (1437,8,8,1), test (360,8,8,1) = the last 360, with labels 0..9.

    There is no validation split of its own: `digits().split_validation(137)` holds out the end of the training part.
    Optical Recognition of Handwritten Digits (its test part of 1,797 images), E. Alpaydin and C. Kaynak, UCI Machine
    Learning Repository, 1998, doi 10.24432/C50P49, licence CC BY 4.0; the copy of scikit-learn, cast to uint8.
    """
    return _named("digits")


def names() -> list[str]:
    """The names that `load` knows."""
    return list(ENTRIES)


class Listed(NamedTuple):
    """A row of `listing()`.  `place` is a folder, "built in", "drawn", or None where files are missing."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    sizes: tuple[int, int, int]
    levels: int | None
    place: Path | str | None
    fetchable: bool


def listing() -> list[Listed]:
    """One row per named set, for `tinygen data list`; no data file is opened."""
    rows = []
    for name, entry in ENTRIES.items():
        place: Path | str | None = locate(entry)
        if not entry.files:
            place = "built in" if name == "digits" else "drawn"
        fetchable = bool(entry.files) and all(file.url for file in entry.files)
        rows.append(Listed(name, entry.kind, entry.shape, entry.sizes, entry.levels, place, fetchable))
    return rows


# -- where files lie ---------------------------------------------------------------------------------------------------


def cache() -> Path:
    """The user's own folder of data sets: $TINYGEN_CACHE/data, else tinygen/data in the system's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TINYGEN_CACHE") or Path(home) / "tinygen") / "data"


def roots() -> list[Path]:
    """Where data sets are looked for, in order: $TINYGEN_DATA, then the cache."""
    given = os.environ.get("TINYGEN_DATA")
    return [*([Path(given)] if given else []), cache()]


def present(folder: Path, name: str) -> Path | None:
    """The file of that name in the folder, with or without `.gz`."""
    other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
    return next((path for path in (folder / name, folder / other) if path.is_file()), None)


def locate(entry: Entry) -> Path | None:
    """The folder that holds all files of a set."""
    folders = [root / entry.folder for root in roots()]
    return next((folder for folder in folders if all(present(folder, file.name) for file in entry.files)), None)


def _named(name: str) -> Dataset:
    entry = ENTRIES[name]
    folder = locate(entry)
    if folder is None:
        raise DataError(_absent(name, entry))
    train, valid, test = entry.build(lambda file: present(folder, file) or folder / file)
    found = (len(train), len(valid) if valid else 0, len(test))
    if found != entry.sizes or train.x.shape[1:] != entry.shape:
        expected = f"expected are {entry.sizes} of {entry.shape}"
        raise DataError(f"{name}: {folder} holds {found} examples of {train.x.shape[1:]}; {expected}.")
    modes = ring8_modes() if name == "ring8" else None
    return Dataset(name, entry.kind, train, test, valid, entry.levels, entry.source, modes)


def _absent(name: str, entry: Entry) -> str:
    """Which files are missing, where they were looked for, and what to do."""
    needed = ", ".join(file.name for file in entry.files)
    places = " nor in ".join(str(root / entry.folder) for root in roots())
    known = all(file.url for file in entry.files)
    remedy = f"Run: tinygen data get {name}" if known else "No public address is known: put your own copy there"
    subset = f"{name}-subset"
    if subset in ENTRIES and locate(ENTRIES[subset]):
        remedy += f", or load the part that is here: {subset}"
    return f"{name}: its files ({needed}) are not in {places}. {remedy}."


def _from_path(path: Path, levels: int | None) -> Dataset:
    content = read(path)
    source = str(path)
    if isinstance(content, np.ndarray):
        return Dataset.from_array(path.stem, content, levels=levels, source=source)
    if len(content) == 1:
        return Dataset.from_array(path.stem, *content.values(), levels=levels, source=source)
    if not {"x_train", "x_test"} <= content.keys():
        raise DataError(f"{path}: holds {sorted(content)}; needed is one array, or x_train and x_test.")
    return Dataset.from_splits(path.stem, content, levels=levels, source=source)
