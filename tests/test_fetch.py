"""Where named data sets are looked for, and how they get there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tinygen import data
from tinygen.data import files
from tinygen.data.sets import ENTRIES
from tinygen.errors import DataError


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing in $TINYGEN_DATA, and a cache of its own."""
    monkeypatch.setenv("TINYGEN_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("TINYGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_an_absent_set_says_where_it_was_looked_for_and_what_to_do(empty: Path):
    with pytest.raises(DataError) as caught:
        data.load("mnist")
    text = str(caught.value)
    assert str(empty / "given" / "mnist") in text
    assert str(empty / "cache" / "data" / "mnist") in text
    assert "tinygen data get mnist" in text
    with pytest.raises(DataError, match="put your own copy there"):
        data.load("freyfaces")


def test_listing_opens_nothing(empty: Path):
    rows = {row.name: row for row in data.listing()}
    assert list(rows) == data.names()
    assert rows["digits"].place == "built in"
    assert rows["ring8"].place == "drawn"
    assert rows["mnist"].place is None
    assert rows["mnist"].fetchable
    assert not rows["freyfaces"].fetchable


def test_every_address_has_a_size_and_a_checksum():
    for entry in ENTRIES.values():
        for file in entry.files:
            if file.url is not None:
                assert file.url.startswith("https://")
                assert file.size > 0
                assert len(file.checksum) in (32, 64)


def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, **changes: object) -> files.File:
    """Make `ring.bin`, at a file:// address, the one file of the set "nltcs"."""
    (tmp_path / "ring.bin").write_bytes(content)
    url = (tmp_path / "ring.bin").as_uri()
    file = files.File("ring.bin", len(content), hashlib.sha256(content).hexdigest(), url)._replace(**changes)
    entry = ENTRIES["nltcs"]
    monkeypatch.setitem(ENTRIES, "nltcs", type(entry)(**{**vars(entry), "files": (file,)}))
    return file


def test_get_brings_a_file_whole(empty: Path, monkeypatch: pytest.MonkeyPatch):
    served(monkeypatch, empty, b"abc" * 50_000)
    folder = data.fetch.get("nltcs")
    assert folder == empty / "cache" / "data" / "debd"
    assert [path.name for path in folder.iterdir()] == ["ring.bin"]
    assert (folder / "ring.bin").read_bytes() == b"abc" * 50_000
    (empty / "ring.bin").unlink()
    assert data.fetch.get("nltcs") == folder  # it is there: nothing is fetched


@pytest.mark.parametrize("changes", [{"checksum": "0" * 64}, {"checksum": "0" * 32}, {"size": 5}, {"size": 5_000}])
def test_get_refuses_other_content_and_leaves_nothing(empty: Path, monkeypatch: pytest.MonkeyPatch, changes):
    served(monkeypatch, empty, b"abc" * 100, **changes)
    with pytest.raises(DataError, match="is not ring"):
        data.fetch.get("nltcs")
    assert list((empty / "cache" / "data" / "debd").iterdir()) == []


def test_get_without_a_network_says_what_to_do_by_hand(empty: Path, monkeypatch: pytest.MonkeyPatch):
    file = served(monkeypatch, empty, b"abc")
    (empty / "ring.bin").unlink()
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        data.fetch.get("nltcs")
    for needed in (file.url, file.checksum, str(empty / "cache" / "data" / "debd" / "ring.bin")):
        assert needed in str(caught.value)
    assert list((empty / "cache" / "data" / "debd").iterdir()) == []


def test_get_of_sets_that_cannot_or_need_not_be_fetched(empty: Path):
    assert data.fetch.get("digits") is None
    with pytest.raises(DataError, match="no public address"):
        data.fetch.get("freyfaces")
    with pytest.raises(DataError, match="is not a data set"):
        data.fetch.get("nothing")
