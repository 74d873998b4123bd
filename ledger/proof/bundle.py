"""All proofs of a sealed batch in one file, `witnesstree-proofs/1`.

docs/bulk-proofs.md specifies the file:

    witnesstree-proofs/1 <LF> length <LF>    the length in bytes, in decimal, of
    the proof of leaf 0                      a proof file, witnesstree-proof/1: it holds all that
                                             the proofs of the batch share
    zero bytes                               up to a multiple of 32
    the digests                              32 bytes each, leaf 0 (the opening record) first
    levels 6, 12, 18, … of the tree          the lowest first, as far as a level has more than one
                                             node (store/batches.py keeps the same)

A proof costs 32.5 bytes, and reading one takes O(log n) of them. Nothing in the file is believed:
`Bundle.proof` reads a path as it is, and the caller judges it like any other.
"""

from __future__ import annotations

import os
import re
from array import array
from dataclasses import dataclass, replace
from itertools import pairwise
from struct import iter_unpack
from typing import TYPE_CHECKING, BinaryIO, Final

from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.system import read_at
from witnesstree.ledger.proof.proof import (
    MAX_KEPT_RECORD,
    MAX_PROOF,
    Inclusion,
    Proof,
    format_proof,
    parse_proof,
)
from witnesstree.ledger.tree import levels
from witnesstree.ledger.tree.levels import kept_above, kept_sizes
from witnesstree.ledger.tree.tree import NODE, levels_above, root_from_path, siblings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from witnesstree.ledger.base.message import Message

FORMAT: Final = "witnesstree-proofs/1"
MAGIC: Final = FORMAT.encode() + b"\n"
"""What the file starts with."""
ROOM: Final = 16
"""Bytes by which another proof of a batch may be longer than that of leaf 0, whose path is the
longest: the digits of its position."""
SHELVES: Final = 256
"""Shelves on which digests are sorted to find those that repeat."""
_LENGTH: Final = re.compile(rb"([1-9][0-9]{0,6})\n")
"""Seven digits are enough for MAX_PROOF."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A file, opened for reading, and where in it packed nodes begin."""

    file: BinaryIO
    offset: int

    def read(self, first: int, count: int) -> bytes:
        """Return `count` packed nodes from node `first` on.

        Raises InvalidInput if the file ends before, or cannot be read.
        """
        # No mapping: where another process cuts the file meanwhile, reading a mapping ends this
        # one.
        content = _read(self.file, count * NODE, self.offset + first * NODE)
        if len(content) != count * NODE:
            raise InvalidInput("proofs-cut", file=self.file.name)
        return content


@dataclass(frozen=True, slots=True)
class Bundle:
    """The proofs of one sealed batch: `shared` is the proof of leaf 0, `digests` are the leaves,
    and `tree` the kept levels above them.
    """

    shared: Proof
    digests: Stretch
    tree: Stretch

    @property
    def size(self) -> int:
        """Leaves in the batch's tree, the opening record among them."""
        return inclusion_of(self.shared).size

    def digest_at(self, position: int) -> bytes:
        """Return the digest at `position`."""
        return self.digests.read(position, 1)

    def proof(self, position: int) -> Proof:
        """Return the proof of the digest at `position`.

        That its path leads to the root is not checked here.

        Raises InvalidInput if bytes are missing, an evidence record of the batch cannot be made one
        of this digest, or a proof with it is too large.
        """
        digest, path = self.digest_at(position), self.path(position)
        inclusion = replace(inclusion_of(self.shared), position=position, path=path)
        proof = replace(
            self.shared,
            digest=digest,
            inclusion=inclusion,
            records=derived_records(self.shared.records, digest, path),
        )
        if proof.records and len(format_proof(proof)) > MAX_PROOF:
            raise OverLimit("proof-with-records-too-large", position=position, most=MAX_PROOF)
        return proof

    def path(self, position: int) -> tuple[bytes, ...]:
        """Return the path of the leaf at `position` as it follows from what is here, reading
        O(log size) bytes.
        """
        return self._path(position, {})

    def paths(self, first: int, count: int) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
        """Yield digest and path of each of `count` leaves from `first` on; neighbours share nearly
        all that is read, and some KiB of memory each.
        """
        digests, read = self.digests.read(first, count), dict[tuple[int, int], list[bytes]]()
        for index in range(count):
            yield digests[index * NODE : (index + 1) * NODE], self._path(first + index, read)

    def _path(self, position: int, read: dict[tuple[int, int], list[bytes]]) -> tuple[bytes, ...]:
        """Return a path; `read` remembers, by kept level and first node, 64 neighbours and all
        levels above them.
        """
        sizes, path = kept_sizes(self.size), []
        for level, index in siblings(position, self.size):
            kept, height = divmod(level, levels.STEP)
            first = position >> (kept + 1) * levels.STEP << levels.STEP
            between = read.get((kept, first))
            if between is None:
                block = self._nodes(sizes, kept, first, min(2**levels.STEP, sizes[kept] - first))
                between = read[kept, first] = [block, *levels_above(block)]
            at = (index - (first >> height)) * NODE
            path.append(between[height][at : at + NODE])
        return tuple(path)

    def repeated(self) -> list[int]:
        """Return the positions, in order, whose digest is at an earlier position too.

        It needs some 10 bytes of memory a digest.

        Raises InvalidInput if the tree is wrong.
        """
        # Asked first, in constant memory: a file full of holes claims any number of digests, but
        # no one has a tree over them that leads to its root.
        if fault := self.fault():
            raise InvalidInput("proofs-damaged", file=self.digests.file.name, fault=fault)
        # The first 8 bytes of each digest tell nearly all apart; only the others are compared
        # whole. Shelf by shelf, because a number on its own takes 40 bytes.
        shelves = [array("Q") for _ in range(SHELVES)]
        for _, part in self._parts():
            for key in _keys(part):
                shelves[key % SHELVES].append(key)
        alike = {a for shelf in shelves for a, b in pairwise(sorted(shelf)) if a == b}
        del shelves
        seen: set[bytes] = set()
        again = []
        for first, part in self._parts() if alike else ():
            for index, key in enumerate(_keys(part)):
                if key in alike:
                    digest = part[index * NODE : (index + 1) * NODE]
                    if digest in seen:
                        again.append(first + index)
                    seen.add(digest)
        return again

    def find(
        self, digests: Collection[bytes], advance: Callable[[int], None] | None = None
    ) -> dict[bytes, int]:
        """Return the first position of each of these digests that the batch has, from one reading
        in constant memory.

        Leaf 0, the opening record, counts: it is a digest of the batch like any other. `advance` is
        told how many digests each step has read.
        """
        found: dict[bytes, int] = {}
        only = next(iter(digests)) if len(digests) == 1 else None
        for first, part in self._parts():
            for index in (
                _aligned(part, only)
                if only
                else (
                    i for i, (digest,) in enumerate(iter_unpack("32s", part)) if digest in digests
                )
            ):
                found.setdefault(part[index * NODE : (index + 1) * NODE], first + index)
            if advance:
                advance(len(part) // NODE)
            if len(found) == len(digests):
                break
        return found

    def fault(self, advance: Callable[[int], None] | None = None) -> Message | None:
        """Return what is wrong with the tree; None if nothing is: then the path of every
        digest leads to the root.

        It reads everything once, in constant memory. `advance` is told how many nodes each step has
        read.

        Raises InvalidInput if bytes are missing.
        """
        sizes, root = kept_sizes(self.size), inclusion_of(self.shared).root
        if not _leads_up(self.shared):
            return message("first-path-not-to-root", root=root)
        for kept, size in enumerate(sizes):
            for first in range(0, size, levels.PART):
                count = min(levels.PART, size - first)
                above = kept_above(self._nodes(sizes, kept, first, count))
                if kept + 1 == len(sizes):
                    if above != root:
                        return message("digests-not-to-root", found=above, root=root)
                elif above != self._nodes(
                    sizes, kept + 1, first >> levels.STEP, len(above) // NODE
                ):
                    return message(
                        "kept-level-wrong",
                        level=(kept + 1) * levels.STEP,
                        count=count,
                        first=first,
                        below=kept * levels.STEP,
                    )
                if advance:
                    advance(count)
        return None

    def _parts(self) -> Iterator[tuple[int, bytes]]:
        for first in range(0, self.size, levels.PART):
            yield first, self.digests.read(first, min(levels.PART, self.size - first))

    def _nodes(self, sizes: list[int], kept: int, first: int, count: int) -> bytes:
        return (
            self.digests.read(first, count)
            if kept == 0
            else self.tree.read(sum(sizes[1:kept]) + first, count)
        )


def nodes_in(size: int) -> int:
    """Return the number of digests and nodes that the proofs of a batch of `size` leaves consist
    of.
    """
    return sum(kept_sizes(size))


def _keys(part: bytes) -> list[int]:
    """Return the first 8 bytes of each packed digest, as a number."""
    return memoryview(part).cast("Q")[:: NODE // 8].tolist()


def _aligned(part: bytes, digest: bytes) -> Iterator[int]:
    """Yield where `digest` is among packed digests; bytes of two neighbours that look like it
    do not count.
    """
    found = part.find(digest)
    while found >= 0:
        if found % NODE == 0:
            yield found // NODE
        found = part.find(digest, found + 1)


def _leads_up(proof: Proof) -> bool:
    at = inclusion_of(proof)
    try:
        return root_from_path(proof.digest, at.position, at.size, at.path) == at.root
    except InvalidInput:
        return False


def derived_records(
    records: tuple[bytes, ...], digest: bytes, path: tuple[bytes, ...]
) -> tuple[bytes, ...]:
    """Return a batch's evidence records made those of `digest`, which `path` leads to its root.

    Raises InvalidInput if one cannot be: it is not for the root that `path` leads to, or its hash
    tree was renewed, for one file alone; OverLimit if it grows beyond what a proof takes.
    """
    if not records:
        return ()
    # Here, because few batches have been renewed.
    from witnesstree.ledger.proof.record import parse_record
    from witnesstree.ledger.proof.record_make import derive_record

    derived = tuple(derive_record(parse_record(record), digest, path).der for record in records)
    if any(len(record) > MAX_KEPT_RECORD for record in derived):
        raise OverLimit("derived-record-too-large", most=MAX_KEPT_RECORD)
    return derived


def _read(file: BinaryIO, size: int, offset: int) -> bytes:
    try:
        return read_at(file, size, offset)
    except OSError as error:
        raise InvalidInput("file-unreadable", path=file.name, error=error) from error


def inclusion_of(proof: Proof) -> Inclusion:
    """Return the inclusion of a sealed batch's proof, which has one."""
    assert proof.inclusion
    return proof.inclusion


# The file


def format_head(shared: Proof) -> bytes:
    """Return what is before the digests, given the proof of leaf 0. Matches `open_bundle`."""
    proof = format_proof(shared)
    head = MAGIC + b"%d\n" % len(proof) + proof
    return head + bytes(-len(head) % NODE)


def write_bundle(
    out: BinaryIO, bundle: Bundle, advance: Callable[[int], None] | None = None
) -> None:
    """Copy a batch's proofs into `out`, in constant memory.

    `advance` is told how many nodes each step has written.

    What was copied is not judged: `Bundle.fault` on the result does. Raises InvalidInput if there
    is less than the batch has.
    """
    out.write(format_head(bundle.shared))
    size = bundle.size
    for stretch, nodes in ((bundle.digests, size), (bundle.tree, nodes_in(size) - size)):
        for first in range(0, nodes, levels.PART):
            out.write(part := stretch.read(first, min(levels.PART, nodes - first)))
            if advance:
                advance(len(part) // NODE)


def open_bundle(file: BinaryIO) -> Bundle:
    """Return the proofs in an opened file, which has to stay open.

    It checks form only. Matches `format_head`.

    The tree has not been read then, and whether anything in it is true is verify.py's question.

    Raises InvalidInput for anything else, and says what was expected.
    """
    head = _read(file, len(MAGIC) + 8 + MAX_PROOF, 0)
    found = _LENGTH.match(head, len(MAGIC)) if head.startswith(MAGIC) else None
    if not found:
        raise InvalidInput("proofs-expected", file=file.name, format=FORMAT)
    length = int(found[1])
    content = head[found.end() : found.end() + length]
    if len(content) != length:
        raise InvalidInput("first-proof-length-wrong", file=file.name, most=MAX_PROOF, found=length)
    shared = parse_proof(content)
    if shared.inclusion is None or shared.inclusion.position:
        raise InvalidInput("first-proof-not-of-leaf-0", file=file.name)
    if shared.digests or shared.file_tokens:
        raise InvalidInput("first-proof-of-one-file", file=file.name)
    if len(format_proof(shared)) + ROOM > MAX_PROOF:
        raise InvalidInput("first-proof-leaves-no-room", file=file.name, most=MAX_PROOF)
    size, offset = shared.inclusion.size, found.end() + length
    padding = -offset % NODE
    expected, actual = offset + padding + nodes_in(size) * NODE, os.fstat(file.fileno()).st_size
    if actual != expected:
        raise InvalidInput(
            "proofs-size-wrong", file=file.name, size=size, expected=expected, found=actual
        )
    if _read(file, padding, offset).strip(b"\0"):
        raise InvalidInput("proofs-padding-wrong", file=file.name)
    offset += padding
    bundle = Bundle(shared, Stretch(file, offset), Stretch(file, offset + size * NODE))
    if bundle.digest_at(0) != shared.digest:
        raise InvalidInput("first-proof-of-other-digest", file=file.name)
    return bundle
