"""The digest index: every digest is found, also where the first 8 bytes collide, and a torn run is never believed."""

from collections import defaultdict
from pathlib import Path

import pytest
from fakes import digests

from witnesstree.ledger.errors import Damaged
from witnesstree.ledger.store.index import RECORD, build_run, find_in_run, write_run


def make(tmp_path: Path, entries: list[bytes]) -> Path:
    (tmp_path / "digests").write_bytes(b"".join(entries))
    write_run(tmp_path / "index", tmp_path / "digests", len(entries))
    return tmp_path / "index"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100])
def test_every_digest_is_found(tmp_path: Path, count: int) -> None:
    entries = digests("entry", count)
    index = make(tmp_path, entries)
    assert [list(find_in_run(index, count, digest)) for digest in entries] == [[i] for i in range(count)]
    assert list(find_in_run(index, count, bytes(32))) == []
    assert list(find_in_run(index, count, b"\xff" * 32)) == []


def test_equal_and_colliding_digests_are_found_in_rising_order(tmp_path: Path) -> None:
    heads = [b"\x00" * 8, b"\x7f" + b"\xff" * 7, b"\x80" + b"\x00" * 7, b"\xff" * 8]
    entries = [heads[i % 4] + bytes([i % 3]) * 24 for i in range(40)]
    index = make(tmp_path, entries)
    expected: dict[bytes, list[int]] = defaultdict(list)
    for position, entry in enumerate(entries):
        expected[entry[:8]].append(position)
    # The run knows 8 bytes of a digest: the caller compares the rest.
    assert {entry[:8]: list(find_in_run(index, 40, entry)) for entry in entries} == expected


def test_a_run_is_sorted_records_of_key_and_position(tmp_path: Path) -> None:
    entries = [b"\x02" * 32, b"\x01" * 32, b"\x02" * 32]
    assert make(tmp_path, entries).read_bytes() == b"".join(entries[position][:8] + position.to_bytes(4, "big") for position in (1, 0, 2))


def test_only_the_first_entries_count(tmp_path: Path) -> None:
    entries = digests("entry", 5)
    (tmp_path / "digests").write_bytes(b"".join(entries) + b"torn")
    assert len(build_run(tmp_path / "digests", 3)) == 3 * RECORD.itemsize


@pytest.mark.parametrize("size", [None, 0, 3 * 32 - 1])
def test_missing_digests_are_damage(tmp_path: Path, size: int | None) -> None:
    if size is not None:
        (tmp_path / "digests").write_bytes(bytes(size))
    with pytest.raises(Damaged):
        build_run(tmp_path / "digests", 3)


@pytest.mark.parametrize("size", [None, 0, 1, 12, 59, 61, 72])
def test_a_missing_or_torn_run_is_damage(tmp_path: Path, size: int | None) -> None:
    """A run that lacks whole records, too: a digest that is not found there was perhaps acknowledged all the same."""
    entries = digests("entry", 5)
    index = make(tmp_path, entries)
    content = index.read_bytes()
    index.unlink()
    if size is not None:
        index.write_bytes((content + bytes(12))[:size])
    with pytest.raises(Damaged, match="fsck"):
        list(find_in_run(index, 5, entries[0]))
