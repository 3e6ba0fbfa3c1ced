"""Checkpoints: safetensors files that survive a crash, and are believed only after every byte was checked.

A folder holds the last two generations `step-00001234.safetensors` and `LATEST`, which names the one to load.  Each is
written beside its place and renamed into it, so a crash leaves the old generation or the new one, never half of one.

A file is 8 bytes (length of the header, little-endian), the header (JSON: name -> dtype, shape, offsets), the tensors'
bytes without gaps: https://github.com/huggingface/safetensors, "Format".  It is written here rather than through that
library because the library's 0.8.0 stores wrong numbers for arrays that are not contiguous, and read here because it
accepts a header with the same key twice.  Nothing in it can run code.

The header's `__metadata__` has the one entry `tinygen`: {"sha256", "format", "step", "meta"}.  The checksum is that of
the whole file with 64 zeros in its own place, so no byte, neither of a tensor nor of a name or a shape, can change
unseen.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, CheckpointError, shape_text
from .files import dump_json, parse_json, sync_folder, write_atomic

Tensors = dict[str, NDArray[Any]]

FORMAT = 1
MAX_HEADER = 1 << 24  # bytes: about 100,000 tensors; a larger claim is damage, not a model
KEPT = 2  # generations
NO_SUM = "0" * 64
NAME = re.compile(r"step-(\d{8,})\.safetensors")
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "|b1",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip
CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}


class Stateful(Protocol):
    """What has a state of named arrays: a Module, an optimizer, a moving average of weights."""

    def state_dict(self) -> dict[str, NDArray[Any]]: ...

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None: ...


class _Entry(NamedTuple):
    """Where one tensor lies, in bytes from the end of the header."""

    begin: int
    end: int
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def save(
    folder: str | os.PathLike[str], step: int, tensors: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]
) -> Path:
    """Write generation `step` and make it the one to load; returns its path when it is safely on the disk.

    tensors: name -> array of any strides and byte order, bool, integer or float.  meta: what JSON can hold (tuples come
    back as lists).  The generation before it is kept, all others are removed.  ArgumentError for what cannot be stored.
    """
    if isinstance(step, bool) or not isinstance(step, int | np.integer) or step < 0:
        raise ArgumentError(f"checkpoint.save: step is {step!r}. Pass the number of steps taken, 0 or more.")
    if meta.get("step", step) != step:
        raise ArgumentError(f"checkpoint.save: meta says step {meta['step']!r}, step is {step}. Leave it out of meta.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.safetensors"
    arrays = {name: _plain(name, array) for name, array in tensors.items()}
    arrays = dict(sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])))  # keeps each one aligned
    data = [array.reshape(-1).view(np.uint8).data for array in arrays.values()]
    head = _header(int(step), arrays, meta)
    digest = hashlib.sha256(head)
    for chunk in data:
        digest.update(chunk)
    write_atomic(path, [_with_sum(head, NO_SUM, digest.hexdigest()), *data])
    write_atomic(folder / "LATEST", [f"{path.name}\n".encode()])
    _prune(folder, int(step))
    return path


def load(path: str | os.PathLike[str]) -> tuple[Tensors, dict[str, Any]]:
    """Read a checkpoint -> (tensors, meta); meta also holds "step".

    Of a folder, the generation that LATEST names.  When LATEST or that generation is missing or damaged, the newest
    whole generation instead, with a RuntimeWarning that says which and why.  Of a file, that file and no other.
    Raises CheckpointError, naming the file and the reason, when nothing whole is there.
    """
    path = Path(path)
    if not path.is_dir():
        return _read(path)
    latest, generations = _latest(path), _generations(path)
    if not generations:
        raise CheckpointError(f"{path}: no checkpoint here (no file step-*.safetensors). Check the folder's name.")
    tried = [] if latest else [f"{path / 'LATEST'} is missing or damaged"]
    if latest and latest not in generations:
        tried.append(f"{latest}, which LATEST names, is missing")
    for candidate in sorted(generations, key=lambda g: (g == latest, generations[g]), reverse=True):
        try:
            found = _read(candidate)
        except CheckpointError as error:
            tried.append(str(error))
            continue
        if tried:
            warnings.warn(f"loaded {candidate.name}: {'; '.join(tried)}", RuntimeWarning, stacklevel=2)
        return found
    raise CheckpointError(f"{path}: no checkpoint is whole. " + "; ".join(tried))


def gather(parts: Mapping[str, Stateful]) -> Tensors:
    """The states of a model, its optimizers, ... as one set of tensors, named "part/name"; what `save` takes."""
    for name in parts:
        if "/" in name:
            raise ArgumentError(f"checkpoint: a part is called {name!r}. Leave out the slash, it parts the names.")
    return {f"{part}/{name}": array for part, owner in parts.items() for name, array in owner.state_dict().items()}


def restore(parts: Mapping[str, Stateful], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Give the parts that were gathered their states back.

    All of them, or none and CheckpointError with the names, shapes and types that do not fit.
    """
    own = gather(parts)
    wrong = [f"{name!r} is missing" for name in own if name not in tensors]
    wrong += [f"{name!r} has no place here" for name in tensors if name not in own]
    for name in own.keys() & tensors.keys():
        mine, its = own[name], tensors[name]
        if (mine.shape, mine.dtype) != (its.shape, its.dtype):
            wrong.append(
                f"{name!r} is {shape_text(its.shape)} {its.dtype}, expected {shape_text(mine.shape)} {mine.dtype}"
            )
    if wrong:
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(
            f"the checkpoint does not fit: {'; '.join(sorted(wrong)[:5])}{more}. "
            f"Build the model and its optimizers from the configuration of the run."
        )
    for part, owner in parts.items():
        owner.load_state_dict({name: tensors[f"{part}/{name}"] for name in owner.state_dict()})


# Writing


def _plain(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array itself, or a copy that is C-contiguous and little-endian."""
    if not isinstance(name, str) or not name or name == "__metadata__":
        raise ArgumentError(f"checkpoint.save: {name!r} cannot name a tensor. Pass a non-empty string.")
    if type(array) is not np.ndarray or array.dtype.newbyteorder("<") not in CODES:
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise ArgumentError(f"checkpoint.save: {name!r} is {kind}. Pass a NumPy array of bool, integers or floats.")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _header(step: int, arrays: Tensors, meta: Mapping[str, Any]) -> bytes:
    """Length and header, the checksum still zeros."""
    try:
        about = dump_json({"sha256": NO_SUM, "format": FORMAT, "step": step, "meta": dict(meta)})
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"checkpoint.save: meta cannot be stored as JSON: {error}.") from error
    header: dict[str, Any] = {"__metadata__": {"tinygen": about}}
    begin = 0
    for name, array in arrays.items():
        end = begin + array.nbytes
        header[name] = {"dtype": CODES[array.dtype], "shape": array.shape, "data_offsets": (begin, end)}
        begin = end
    text = dump_json(header).encode()
    text += b" " * (-len(text) % 8)  # the tensors start aligned
    if len(text) > MAX_HEADER:
        raise ArgumentError(
            f"checkpoint.save: a header of {len(text)} bytes, the limit is {MAX_HEADER}. Store less in meta."
        )
    return len(text).to_bytes(8, "little") + text


def _with_sum(head: bytes, old: str, new: str) -> bytes:
    return head.replace(old.encode(), new.encode(), 1)  # the checksum stands first in the header


def _prune(folder: Path, step: int) -> None:
    """Keep this generation and the one before it.  A later one was abandoned: the run went back to an earlier step."""
    before = sorted((s for s in _generations(folder).values() if s < step), reverse=True)[: KEPT - 1]
    for path, s in _generations(folder).items():
        if s != step and s not in before:
            path.unlink()
    for leftover in folder.glob(".step-*.tmp"):  # of a process that was killed while it wrote
        leftover.unlink()
    sync_folder(folder)


# Reading


def _generations(folder: Path) -> dict[Path, int]:
    return {path: int(found[1]) for path in folder.iterdir() if (found := NAME.fullmatch(path.name))}


def _latest(folder: Path) -> Path | None:
    """The file that LATEST names; None when there is no LATEST, or it holds anything but a generation's name."""
    with suppress(OSError, UnicodeDecodeError):
        name = (folder / "LATEST").read_bytes()[:100].decode("ascii")
        if name.endswith("\n") and NAME.fullmatch(name[:-1]):
            return folder / name[:-1]
    return None


def _read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """One file, every byte checked.  Any fault is a CheckpointError that names the file."""
    try:
        with open(path, "rb") as file:
            return _read_open(file)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise CheckpointError(f"{path}: {reason}. Use another generation, or train again.") from error


def _read_open(file: BinaryIO) -> tuple[Tensors, dict[str, Any]]:
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > min(MAX_HEADER, size - 8):
        raise ValueError(f"damaged: {size} bytes do not hold the header they announce")
    head = prefix + file.read(length)
    header = parse_json(head[8:])
    about = _about(header)
    digest = hashlib.sha256(_with_sum(head, about["sha256"], NO_SUM))
    tensors: Tensors = {}
    for entry in _entries(header, size - 8 - length):  # the whole layout is known to be sound before any array is made
        array = np.fromfile(file, dtype=entry.dtype, count=math.prod(entry.shape))
        if array.nbytes != entry.end - entry.begin:
            raise ValueError("damaged: the file became shorter while it was read")
        digest.update(array.view(np.uint8).data)
        tensors[entry.name] = array.reshape(entry.shape)
    if digest.hexdigest() != about["sha256"]:
        raise ValueError("damaged: the checksum does not match the content")
    return tensors, {**about["meta"], "step": about["step"]}


def _about(header: Any) -> dict[str, Any]:
    """What tinygen wrote about the file; takes it out of the header, which then holds tensors only."""
    metadata = header.pop("__metadata__", None) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("tinygen"), str):
        raise ValueError("not a checkpoint of tinygen: its header does not say so")
    about = parse_json(metadata["tinygen"].encode())
    kinds = {"sha256": str, "format": int, "step": int, "meta": dict}
    if not isinstance(about, dict) or about.keys() != kinds.keys():
        raise ValueError("damaged: its description is incomplete")
    if about["format"] != FORMAT:
        raise ValueError(f"written in format {about['format']!r}, this version reads format {FORMAT}")
    if not all(isinstance(about[key], kind) for key, kind in kinds.items()) or len(about["sha256"]) != 64:
        raise ValueError("damaged: its description is malformed")
    return about


def _entries(header: dict[str, Any], data_bytes: int) -> list[_Entry]:
    """The tensors in the order they lie in; ValueError unless they fill the file without a gap or an overlap."""
    entries = sorted(_entry(name, fields) for name, fields in header.items())
    at = 0
    for entry in entries:
        if entry.begin != at:
            raise ValueError(f"damaged: tensor {entry.name!r} starts at byte {entry.begin}, expected {at}")
        at = entry.end
    if at != data_bytes:
        raise ValueError(f"damaged: {data_bytes} bytes of tensors, its header announces {at}")
    return entries


def _entry(name: str, fields: Any) -> _Entry:
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"damaged: tensor {name!r} is not described by dtype, shape and offsets")
    code, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        raise ValueError(f"tensor {name!r} has unknown type {code!r}")
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
            raise ValueError(f"damaged: tensor {name!r} has an impossible shape or place")
    dtype = np.dtype(DTYPES[code])
    room = math.prod(max(n, 1) for n in shape) * dtype.itemsize  # NumPy counts so, also where a length is 0
    if len(offsets) != 2 or len(shape) > 32 or room >= 1 << 62:
        raise ValueError(f"damaged: tensor {name!r} has an impossible shape or place")
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"damaged: tensor {name!r} of shape {shape_text(shape)} does not have the bytes its shape asks for"
        )
    return _Entry(begin, end, name, dtype, tuple(shape))
