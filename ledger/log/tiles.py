"""C2SP tlog-tiles: where a published log keeps its hashes and entries, and what they are.

Pure; log.py hashes, the caller reads and writes.

    checkpoint               the newest signed checkpoint
    tile/<L>/<N>             256 hashes of level 8 * L, from number 256 * N on, 32 bytes each
    tile/<L>/<N>.p/<W>       the first W of them, while the log has no more
    tile/entries/<N>         256 entries, each after its length in two bytes, big end first; partial
                             ones are alike

<N> is written in groups of three digits, all but the last behind an `x`: 1234067 is x001/x234/067.
A hash of level 8 and above is that of a full tile below. The levels between are computed from a
tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from witnesstree.ledger.base.errors import InvalidInput, NotFound
from witnesstree.ledger.log.log import HASH, MAX_SIZE, Read, node_hash
from witnesstree.ledger.log.statement import MAX_STATEMENT

WIDTH = 256
"""Hashes or entries in a full tile."""

HEIGHT = 8
"""Levels of the tree in a tile: 2**8 is its width."""

ENTRIES = -1
"""In place of a level: the tile is a bundle of entries."""

MAX_BUNDLE = WIDTH * (2 + MAX_STATEMENT)
"""Bytes in a bundle of batch statements."""

Fetch = Callable[[str, int], bytes]
"""Returns the file at a path of a published log, which has at most so many bytes.

Raises NotFound if there is none.
"""


@dataclass(frozen=True, slots=True)
class Tile:
    """Hashes or entries `index` * 256 up to, not including, `index` * 256 + `width`, of a tile
    level or of ENTRIES.
    """

    level: int
    index: int
    width: int = WIDTH


def format_number(number: int) -> str:
    """Return a tile's number as it is written in a path."""
    text = f"{number % 1000:03}"
    while number := number // 1000:
        text = f"x{number % 1000:03}/{text}"
    return text


def format_tile_path(tile: Tile) -> str:
    """Return where a tile is below the log's address."""
    kind = "entries" if tile.level == ENTRIES else str(tile.level)
    path = f"tile/{kind}/{format_number(tile.index)}"
    return path if tile.width == WIDTH else f"{path}.p/{tile.width}"


def tile_of(level: int, position: int, size: int) -> Tile:
    """Return the widest tile of a log of `size` entries that holds hash or entry `position` of a
    tile level.

    Raises InvalidInput if such a log has none.
    """
    length = _length(level, size)
    if not 0 <= position < length or size > MAX_SIZE:
        raise InvalidInput("tile-hash-not-in-log", size=size, position=position, level=level)
    index = position // WIDTH
    return Tile(level, index, min(WIDTH, length - index * WIDTH))


def added_tiles(old: int, new: int) -> Iterator[Tile]:
    """Yield the tiles that a log of `new` entries has and one of `old` entries has not, entries
    first: full ones, and a partial one at each edge.
    """
    level = ENTRIES
    while after := _length(level, new):
        before = _length(level, old)
        for index in range(before // WIDTH, after // WIDTH):
            yield Tile(level, index)
        if after % WIDTH and after != before:
            yield Tile(level, after // WIDTH, after % WIDTH)
        level += 1


def _length(level: int, size: int) -> int:
    """Return the number of hashes or entries on a tile level of a log."""
    return size >> HEIGHT * max(level, 0)


# Hashes


def tile_hashes(tile: Tile, read: Read) -> bytes:
    """Return the bytes of a tile of hashes. Raises what `read` raises."""
    first = tile.index * WIDTH
    return b"".join(read(tile.level * HEIGHT, first + i) for i in range(tile.width))


def fetch_hashes(tile: Tile, fetch: Fetch) -> bytes:
    """Return the bytes of a tile of hashes: the partial one, or the beginning of the full one, for
    which a log may have removed it.

    They prove nothing until something that is computed from them is compared with a root.

    Raises InvalidInput if it has another length, and what `fetch` raises.
    """
    content, width = _fetch(tile, fetch, WIDTH * HASH)
    if len(content) != width * HASH:
        raise InvalidInput(
            "tile-size-wrong",
            path=format_tile_path(tile),
            count=width,
            size=HASH,
            found=len(content),
        )
    return content[: tile.width * HASH]


def tile_reader(size: int, fetch: Fetch) -> Read:
    """Return what log.py reads the kept hashes of a log of `size` entries with, from its tiles.

    Each tile is fetched once.

    The hashes are as good as the tiles: check whatever is made from them. What it raises is
    InvalidInput, or comes from `fetch`.
    """
    fetched: dict[Tile, bytes] = {}

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        tile = tile_of(tile_level, index << height, size)
        if tile not in fetched:
            fetched[tile] = fetch_hashes(tile, fetch)
        first = ((index << height) - tile.index * WIDTH) * HASH
        nodes = fetched[tile][first : first + (HASH << height)]
        while len(nodes) > HASH:
            nodes = b"".join(
                node_hash(nodes[i : i + HASH], nodes[i + HASH : i + 2 * HASH])
                for i in range(0, len(nodes), 2 * HASH)
            )
        return nodes

    return read


# Entries


def format_bundle(entries: Sequence[bytes]) -> bytes:
    """Return a bundle of entries.

    Matches `parse_bundle`. Raises InvalidInput if one is longer than two bytes can say.
    """
    if too_long := [len(entry) for entry in entries if len(entry) >= 1 << 16]:
        raise InvalidInput("entry-too-long", limit=1 << 16, found=too_long[0])
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(content: bytes) -> list[bytes]:
    """Return the entries that a bundle holds, 256 at most.

    Raises InvalidInput for any other bytes.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(content):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        if at + 2 > len(content) or end > len(content) or len(entries) == WIDTH:
            raise InvalidInput("entry-bundle-malformed", most=WIDTH, at=at)
        entries.append(content[at + 2 : end])
        at = end
    return entries


def fetch_entries(tile: Tile, fetch: Fetch) -> list[bytes]:
    """Return the entries of a bundle: the partial one, or the beginning of the full one.

    Raises InvalidInput if it is no bundle or has another number of entries, and what `fetch`
    raises.
    """
    content, width = _fetch(tile, fetch, MAX_BUNDLE)
    entries = parse_bundle(content)
    if len(entries) != width:
        raise InvalidInput(
            "entry-bundle-count-wrong",
            path=format_tile_path(tile),
            expected=width,
            found=len(entries),
        )
    return entries[: tile.width]


def _fetch(tile: Tile, fetch: Fetch, limit: int) -> tuple[bytes, int]:
    """Return a tile's bytes, or those of the full one in its place, and how wide it has to be."""
    try:
        return fetch(format_tile_path(tile), limit), tile.width
    except NotFound:
        if tile.width == WIDTH:
            raise
        return fetch(format_tile_path(Tile(tile.level, tile.index)), limit), WIDTH
