"""Tiles: what C2SP tlog-tiles says, and hashes read back from them.

Go reads the same tiles in tests/interop/test_tlog_tiles.py.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput, NotFound
from witnesstree.ledger.log import log
from witnesstree.ledger.log.statement import MAX_STATEMENT
from witnesstree.ledger.log.tiles import (
    ENTRIES,
    MAX_BUNDLE,
    WIDTH,
    Tile,
    added_tiles,
    fetch_entries,
    fetch_hashes,
    format_bundle,
    format_number,
    format_tile_path,
    parse_bundle,
    tile_hashes,
    tile_of,
    tile_reader,
)

VECTORS = json.loads(
    (Path(__file__).parents[3] / "vectors" / "tiles" / "tiles.json").read_text(encoding="utf-8")
)
SIZE = 600


def entry(number: int) -> bytes:
    return b"entry %d\n" % number


@pytest.fixture(scope="module")
def nodes() -> dict[tuple[int, int], bytes]:
    kept: dict[tuple[int, int], bytes] = {}
    for number in range(SIZE):
        leaf = log.leaf_hash(entry(number))
        kept.update(
            {
                (level, index): node
                for level, index, node in log.added_nodes(
                    number, leaf, lambda level, index: kept[level, index]
                )
            }
        )
    return kept


class Files:
    """A published log in memory, which counts what is fetched."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.fetched: list[str] = []

    def __call__(self, path: str, limit: int) -> bytes:
        self.fetched.append(path)
        if path not in self.files:
            raise NotFound(path)
        assert len(self.files[path]) <= limit
        return self.files[path]


def published(nodes: dict[tuple[int, int], bytes], size: int) -> Files:
    files = {}
    for tile in added_tiles(0, size):
        first = tile.index * WIDTH
        if tile.level == ENTRIES:
            files[format_tile_path(tile)] = format_bundle(
                [entry(number) for number in range(first, first + tile.width)]
            )
        else:
            files[format_tile_path(tile)] = tile_hashes(
                tile, lambda level, index: nodes[level, index]
            )
    return Files(files)


@pytest.mark.parametrize("case", VECTORS["paths"], ids=lambda case: case["path"])
def test_paths(case: dict[str, object]) -> None:
    level, index, width = (case[name] for name in ("level", "index", "width"))
    assert isinstance(index, int)
    assert isinstance(width, int)
    assert (
        format_tile_path(Tile(ENTRIES if level == "entries" else int(str(level)), index, width))
        == case["path"]
    )


@pytest.mark.parametrize(
    "case", VECTORS["sets"], ids=lambda case: f"{case['old']} to {case['new']}"
)
def test_which_tiles_a_larger_log_has(case: dict[str, object]) -> None:
    assert [
        format_tile_path(tile) for tile in added_tiles(int(str(case["old"])), int(str(case["new"])))
    ] == case["paths"]


def test_the_tiles_of_the_specification_s_own_example() -> None:
    # C2SP tlog-tiles, "Partial Tiles": a tree of 70,000 entries.
    tiles = [tile for tile in added_tiles(0, 70_000) if tile.level != ENTRIES]
    counts = {
        (level, width): sum((tile.level, tile.width) == (level, width) for tile in tiles)
        for level, width in {(t.level, t.width) for t in tiles}
    }
    assert counts == {(0, 256): 273, (0, 112): 1, (1, 256): 1, (1, 17): 1, (2, 1): 1}
    assert [tile.width for tile in tiles if tile.level == 1] == [256, 17]


@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_growing_in_two_steps_leaves_all_tiles_of_the_larger_log(one: int, other: int) -> None:
    old, new = sorted((one, other))
    whole, stepwise = set(added_tiles(0, new)), {*added_tiles(0, old), *added_tiles(old, new)}
    assert whole <= stepwise
    assert all(tile.width < WIDTH for tile in stepwise - whole)


def test_every_hash_comes_back_from_tiles(nodes: dict[tuple[int, int], bytes]) -> None:
    for size in (1, 2, 255, 256, 257, 511, 512, 513, SIZE):
        files = published(nodes, size)
        read = tile_reader(size, files)
        assert all(
            read(level, index) == node
            for (level, index), node in nodes.items()
            if (index + 1) << level <= size
        )
        assert len(files.fetched) == len(set(files.fetched))
        assert log.log_root(size, read) == log.log_root(
            size, lambda level, index: nodes[level, index]
        )


def test_proofs_are_made_from_tiles(nodes: dict[tuple[int, int], bytes]) -> None:
    read, root = (
        tile_reader(SIZE, published(nodes, SIZE)),
        log.log_root(SIZE, lambda level, index: nodes[level, index]),
    )
    for old in (1, 255, 256, 300, 599, SIZE):
        path = log.prove_consistency(old, SIZE, read)
        assert log.check_consistency(old, SIZE, log.log_root(old, read), root, path)


def test_a_full_tile_stands_in_for_the_partial_one(nodes: dict[tuple[int, int], bytes]) -> None:
    files = published(nodes, 512)
    assert fetch_hashes(Tile(0, 1, 3), files) == b"".join(
        nodes[0, index] for index in range(256, 259)
    )
    assert files.fetched == ["tile/0/001.p/3", "tile/0/001"]
    assert fetch_entries(Tile(ENTRIES, 1, 3), files) == [
        entry(number) for number in range(256, 259)
    ]


def test_what_is_nowhere_is_not_found() -> None:
    with pytest.raises(NotFound):
        fetch_hashes(Tile(0, 0), Files({}))
    with pytest.raises(NotFound):
        fetch_entries(Tile(ENTRIES, 0, 7), Files({}))


def test_a_tile_of_another_length_is_refused() -> None:
    with pytest.raises(
        InvalidInput, match=r"tile/0/000\.p/2: expected 2 hashes of 32 bytes each, not 32 bytes"
    ):
        fetch_hashes(Tile(0, 0, 2), Files({"tile/0/000.p/2": bytes(32)}))
    with pytest.raises(InvalidInput, match=r"tile/entries/000\.p/2: expected 2 entries, not 1"):
        fetch_entries(Tile(ENTRIES, 0, 2), Files({"tile/entries/000.p/2": format_bundle([b"a"])}))


@pytest.mark.parametrize(
    ("level", "position", "size"), [(0, 5, 5), (0, -1, 5), (1, 0, 255), (7, 0, 2**53), (0, 0, 0)]
)
def test_a_log_has_no_such_tile(level: int, position: int, size: int) -> None:
    with pytest.raises(InvalidInput, match="has no hash"):
        tile_of(level, position, size)


def test_numbers_in_paths() -> None:
    assert [format_number(number) for number in (0, 999, 1000, 1234067, 2**53)] == [
        "000",
        "999",
        "x001/000",
        "x001/x234/067",
        "x009/x007/x199/x254/x740/992",
    ]


def test_the_largest_bundle_of_statements_has_the_bytes_that_its_limit_says() -> None:
    assert len(format_bundle([bytes(MAX_STATEMENT)] * WIDTH)) == MAX_BUNDLE


@given(st.lists(st.binary(max_size=40), max_size=WIDTH))
def test_bundles_come_back(entries: list[bytes]) -> None:
    assert parse_bundle(format_bundle(entries)) == entries


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_bundle_or_refused(content: bytes) -> None:
    try:
        entries = parse_bundle(content)
    except InvalidInput:
        return
    assert format_bundle(entries) == content


@pytest.mark.parametrize(
    "content",
    [b"\0", b"\0\1", b"\0\2a", format_bundle([b""] * (WIDTH + 1))],
    ids=["half a length", "no entry", "cut", "257"],
)
def test_bundles_that_are_none(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="expected a bundle of at most 256 entries"):
        parse_bundle(content)


def test_an_entry_beyond_two_bytes_of_length_is_refused() -> None:
    assert parse_bundle(format_bundle([bytes(65535)])) == [bytes(65535)]
    with pytest.raises(InvalidInput, match="fewer than 65536 bytes, not 65536"):
        format_bundle([bytes(65536)])
