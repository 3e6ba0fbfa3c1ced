"""Files made to mislead a reader of checkpoints: each is refused, with its name and the reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen.errors import CheckpointError
from tinygen.train import checkpoint


def raw(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ABOUT = {"tinygen": json.dumps({"sha256": "0" * 64, "format": 1, "step": 1, "meta": {}})}


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def of(**tensors: Any) -> dict[str, Any]:
    return {"__metadata__": ABOUT, **tensors}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ((1 << 63).to_bytes(8, "little"), "do not hold the header"),
        ((1 << 40).to_bytes(8, "little") + b"{}", "do not hold the header"),
        (raw(b"[" * 100_000), "nested too deeply"),
        (raw(b'{"x": 1, "x": 2}'), "key 'x' appears twice"),
        (raw(b'{"x": NaN}'), "NaN is not JSON"),
        (raw(b"\xff"), "can't decode"),
        (raw([]), "not a checkpoint of tinygen"),
        (raw({"x": entry()}, bytes(8)), "not a checkpoint of tinygen"),
        (raw({"__metadata__": {"tinygen": "{}"}}), "description is incomplete"),
        (
            raw({"__metadata__": {"tinygen": ABOUT["tinygen"].replace('"format": 1', '"format": 2')}}),
            "written in format 2",
        ),
        (raw({"__metadata__": {"tinygen": ABOUT["tinygen"].replace('"step": 1', '"step": "1"')}}), "malformed"),
        (raw(of(x=entry("C64")), bytes(8)), "unknown type 'C64'"),
        (raw(of(x=entry(["F32"])), bytes(8)), "unknown type"),
        (raw(of(x={**entry(), "more": 1}), bytes(8)), "not described"),
        (raw(of(x=entry(shape=[-2])), bytes(8)), "impossible shape"),
        (raw(of(x=entry(shape=[True])), bytes(8)), "impossible shape"),
        (raw(of(x=entry(shape=[0, 1 << 61], offsets=[0, 0]))), "impossible shape"),
        (raw(of(x=entry(shape=[1] * 40, offsets=[0, 4])), bytes(4)), "impossible shape"),
        (raw(of(x=entry(shape=[1 << 61])), bytes(8)), "impossible shape"),
        (raw(of(x=entry(offsets=[0]))), "impossible shape"),
        (raw(of(x=entry(shape=[3])), bytes(8)), "bytes its shape asks for"),
        (raw(of(x=entry(offsets=[8, 0])), bytes(8)), "bytes its shape asks for"),
        (raw(of(x=entry(offsets=[8, 16])), bytes(16)), "starts at byte 8, expected 0"),
        (raw(of(x=entry(), y=entry(offsets=[4, 12])), bytes(12)), "starts at byte 4, expected 8"),
        (raw(of(x=entry(), y=entry(offsets=[12, 20])), bytes(20)), "starts at byte 12, expected 8"),
        (raw(of(x=entry()), bytes(9)), "9 bytes of tensors"),
        (raw(of(x=entry()), bytes(7)), "7 bytes of tensors"),
        (raw(of(x=entry()), bytes(8)), "checksum does not match"),
    ],
)
def test_refused_on_load(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "step-00000001.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{re.escape(str(path))}: .*{re.escape(reason)}"):
        checkpoint.load(path)


@pytest.mark.exhaustive
@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, framed: bool
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "x.safetensors"
    path.write_bytes(raw(content) if framed else content)
    with pytest.raises(CheckpointError):
        checkpoint.load(path)
