"""Files as trees of blocks: UnixFS v1 in dag-pb, as Kubo's `ipfs add --cid-version=1` writes it.

No other module knows this form.

A file is cut into chunks of 256 KiB; each is a raw block. Up to 174 links make a node, up to 174
nodes make a node above them, and so on: every chunk lies equally deep. A file of one chunk, or
none, is that raw block itself. A node is two protobuf messages, one within the other, in exactly
this order:

    node = link* data           link = 0x12 size ( 0x0a size cid  0x12 0  0x18 total )
        data = 0x0a size ( 0x08 2  0x18 bytes-of-file  (0x20 bytes-of-file-below-link)* )

`total` counts the bytes of all blocks below that link, nodes included, repeated blocks as often as
they occur.

Blocks come from anywhere, so parsing is strict: what this module would not have written itself
(names, times, inline bytes, another field order) is refused, though another IPFS node may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.anchor.ipfs.cid import (
    DAG_PB,
    RAW,
    Cid,
    cid_from_bytes,
    cid_of,
    format_varint,
    parse_varint,
)
from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CHUNK = 256 * 1024
"""Bytes in a chunk; the last one of a file has what is left."""

NODE_LINKS = 174
"""Links in a node that we write."""

MAX_LINKS = 1024
"""Links in a node that we read: the newer import profiles of Kubo write that many."""

MAX_BLOCK = 2 * 1024 * 1024
"""Bytes in a block, at most: what other nodes will exchange."""

MAX_DEPTH = 8
"""Nodes above a chunk, at most: 174^8 chunks are beyond any file size, so a deeper tree can only be
meant to exhaust the reader."""


@dataclass(frozen=True, slots=True)
class Link:
    """A block seen from the node above it: `size` bytes of the file lie below it, in blocks of
    `total` bytes.
    """

    cid: Cid
    size: int
    total: int


def format_node(links: list[Link]) -> bytes:
    """Return the node over `links`. Matches `parse_node`, which says what is allowed."""
    node = bytearray()
    for link in links:
        node += _field(
            0x12, _field(0x0A, bytes(link.cid)) + b"\x12\x00\x18" + format_varint(link.total)
        )
    sizes = b"".join(b"\x20" + format_varint(link.size) for link in links)
    return bytes(
        node
        + _field(0x0A, b"\x08\x02\x18" + format_varint(sum(link.size for link in links)) + sizes)
    )


def parse_node(block: bytes) -> list[Link]:
    """Return the links of the node that `format_node` wrote: one or more, none of them to an empty
    part of the file.

    It is not asked whether the blocks they name exist or have these sizes; `walk` compares the
    sizes.

    Raises InvalidInput for any other bytes, for more than MAX_LINKS links or MAX_BLOCK bytes, and
    for sizes that do not add up.
    """
    if len(block) > MAX_BLOCK:
        raise InvalidInput("node-too-large", size=len(block), most=MAX_BLOCK)
    cids: list[tuple[Cid, int]] = []
    reader = _Reader(block)
    while reader.peek() == 0x12:
        if len(cids) == MAX_LINKS:
            raise InvalidInput("node-with-too-many-links", most=MAX_LINKS)
        cids.append(_parse_link(_Reader(reader.field(0x12))))
    sizes = _parse_sizes(_Reader(reader.field(0x0A)), len(cids))
    reader.end()
    if not cids:
        raise InvalidInput("node-without-links")
    links = [Link(cid, size, total) for (cid, total), size in zip(cids, sizes, strict=True)]
    for link in links:
        if (
            link.size == 0
            or link.total < link.size
            or (link.cid.codec == RAW and link.total != link.size)
        ):
            raise InvalidInput("link-sizes-contradict", cid=str(link.cid))
    return links


def store_chunks(
    chunks: Iterable[bytes], put: Callable[[Cid, bytes], None], node_links: int = NODE_LINKS
) -> Cid:
    """Hand every block of the file cut into `chunks` to `put`, and return the CID of the file.

    A node is handed over after all that it links to. At most `node_links` links a level are held in
    memory, whatever the file's size. What is handed over more than once (equal chunks) is not left
    out.
    """
    levels: list[list[Link]] = []

    def hang(depth: int, codec: int, block: bytes, links: list[Link]) -> None:
        cid = cid_of(codec, block)
        put(cid, block)
        size = sum(link.size for link in links) if links else len(block)
        if depth == len(levels):
            levels.append([])
        levels[depth].append(Link(cid, size, len(block) + sum(link.total for link in links)))
        if len(levels[depth]) == node_links:
            close(depth)

    def close(depth: int) -> None:
        links, levels[depth] = levels[depth], []
        hang(depth + 1, DAG_PB, format_node(links), links)

    for chunk in chunks:
        hang(0, RAW, chunk, [])
    if not levels:
        hang(0, RAW, b"", [])
    depth = 0
    while depth < len(levels) - 1 or len(levels[depth]) > 1:
        if levels[depth]:
            close(depth)
        depth += 1
    return levels[depth][0].cid


def walk(
    root: Cid, fetch: Callable[[Cid], bytes], *, once: bool = False
) -> Iterator[tuple[Cid, bytes]]:
    """Yield name and bytes of each block of a file, a node before what it links to, so that the raw
    blocks come in the file's order.

    `fetch` MUST return only bytes that it has compared with the CID. A repeated block is fetched
    and yielded again, unless `once`; that costs a few hundred bytes of memory for each block.
    Blocks that came before a bad one have been yielded by then: the caller keeps nothing unless the
    walk ends well.

    Raises InvalidInput for a node that `parse_node` refuses, a tree deeper than MAX_DEPTH, or a
    block whose size is not what the node above it says.
    """
    pending: list[tuple[Cid, int | None, int]] = [(root, None, 0)]
    seen: set[tuple[Cid, int | None]] = set()
    while pending:
        cid, size, depth = pending.pop()
        if once:
            # With the size: a second link that lies about it is still looked at.
            if (cid, size) in seen:
                continue
            seen.add((cid, size))
        block = fetch(cid)
        links = _links_below(cid, block, depth)
        found = sum(link.size for link in links) if links else len(block)
        if size not in {None, found}:
            raise InvalidInput("block-size-contradicted", cid=str(cid), found=found, size=size)
        yield cid, block
        pending.extend((link.cid, link.size, depth + 1) for link in reversed(links))


def _links_below(cid: Cid, block: bytes, depth: int) -> list[Link]:
    if len(block) > MAX_BLOCK:
        raise InvalidInput("linked-block-too-large", cid=str(cid), size=len(block), most=MAX_BLOCK)
    if cid.codec == RAW:
        return []
    if depth >= MAX_DEPTH:
        raise InvalidInput("file-too-deep", cid=str(cid), most=MAX_DEPTH)
    try:
        return parse_node(block)
    except InvalidInput as error:
        raise InvalidInput("block-unreadable", cid=str(cid), error=error) from error


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + format_varint(len(content)) + content


def _parse_link(link: _Reader) -> tuple[Cid, int]:
    cid = cid_from_bytes(link.field(0x0A))
    if link.field(0x12):
        raise InvalidInput("node-is-a-folder")
    total = link.number(0x18)
    link.end()
    return cid, total


def _parse_sizes(data: _Reader, links: int) -> list[int]:
    if data.number(0x08) != 2:
        raise InvalidInput("node-not-of-a-file")
    size = data.number(0x18)
    sizes = [data.number(0x20) for _ in range(links)]
    data.end()
    if size != sum(sizes):
        raise InvalidInput("node-size-contradicted", size=size, sum=sum(sizes))
    return sizes


class _Reader:
    """A place in a protobuf message; every method raises InvalidInput where the message goes on
    otherwise.
    """

    __slots__ = ("_at", "_content")

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def peek(self) -> int | None:
        return self._content[self._at] if self._at < len(self._content) else None

    def number(self, tag: int) -> int:
        if self.peek() != tag:
            raise InvalidInput("node-field-missing", field=tag >> 3)
        value, self._at = parse_varint(self._content, self._at + 1)
        return value

    def field(self, tag: int) -> bytes:
        length = self.number(tag)
        content = self._content[self._at : self._at + length]
        if len(content) < length:
            raise InvalidInput("node-field-cut-off", field=tag >> 3)
        self._at += length
        return content

    def end(self) -> None:
        if self.peek() is not None:
            raise InvalidInput("node-field-surplus")
