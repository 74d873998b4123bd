"""What fsck looks for in the files of batches: digests, trees and indexes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import Damaged
from witnesstree.ledger.base.message import message
from witnesstree.ledger.tree import levels
from witnesstree.ledger.tree.levels import kept_above, kept_sizes
from witnesstree.ledger.tree.tree import NODE, root_of
from witnesstree.ledger.work.fsck.problem import Problem, at_batch, at_bytes, at_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from witnesstree.ledger.store.blinding import Blinding
    from witnesstree.ledger.store.database.values import OpenBatch, SealedBatch
    from witnesstree.ledger.store.ports import Stored
    from witnesstree.ledger.work.sealing import Ledger


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    stored: Stored


def check_files(ledger: Ledger, batch: SealedBatch, blinding: Blinding | None) -> Iterator[Problem]:
    """Compare the files of a batch with its count and its root; and, where they agree and the
    secret is here, its blinding leaves with their number.
    """
    is_sound = True
    for problem in _check_digests(ledger, batch):
        is_sound = False
        yield problem
    if is_sound:
        yield from check_fillers(ledger, batch, blinding)


def check_fillers(
    ledger: Ledger, batch: OpenBatch | SealedBatch, blinding: Blinding | None
) -> Iterator[Problem]:
    """Compare how many blinding leaves a batch has with how many it is said to have.

    Where leaf 1 is none that the secret gives, an older version opened the batch, or a ledger whose
    home was restored without the secret: others may then be there.
    """
    if blinding is None:
        return
    found = blinding.count(ledger.files, batch.sequence, batch.count)
    is_whole = ledger.files.digest_at(batch.sequence, 1) == blinding.leaf(batch.sequence, 1)
    if found > batch.fillers or (is_whole and found < batch.fillers):
        yield Problem(
            at_batch(ledger.metadata.place, batch.sequence),
            message("blinding-leaves-differ", stated=batch.fillers, found=found),
        )


def _check_digests(ledger: Ledger, batch: SealedBatch) -> Iterator[Problem]:
    kept = kept_sizes(batch.count)
    expected = {
        ledger.files.digests_name(batch.sequence): batch.count * NODE,
        ledger.files.nodes_name(batch.sequence): sum(kept[1:]) * NODE,
    }
    whole: list[_File] = []
    for name, size in expected.items():
        path = ledger.files.place.path(name)
        try:
            file = _File(path, ledger.files.place.reading(name))
        except (FileNotFoundError, IsADirectoryError):
            yield Problem(at_path(path), message("stored-file-missing"))
            continue
        actual = file.stored.size()
        if actual != size:
            yield Problem(
                at_bytes(path, min(actual, size), max(actual, size) - 1),
                message("bytes-missing" if actual < size else "bytes-beyond-batch"),
            )
        if actual >= size:
            whole.append(file)
    if len(whole) == len(expected):
        digests, nodes = whole
        yield from _check_tree(digests, nodes, kept, batch.root)


def _check_tree(digests: _File, nodes: _File, kept: list[int], root: bytes) -> Iterator[Problem]:
    """Compare each kept node with the nodes below it, and the highest kept level with the root on
    record, and name what is damaged.

    A node that agrees neither with those below nor with the one above is itself damaged. Where it
    agrees with the one above, one below is: if those are leaves, nothing tells which of them. Where
    all below agree with their own, several are damaged: then all are named.
    """
    below = 2**levels.STEP
    starts = [0, *(sum(kept[1:level]) * NODE for level in range(1, len(kept)))]
    top = len(kept) - 1
    disagreeing: list[set[int]] = [
        set(),
        *(_disagreeing(digests, nodes, starts, kept, level) for level in range(1, len(kept))),
    ]
    is_other_root = root_of(_read(nodes if top else digests, starts[top], kept[top])) != root
    disagreeing.append({0} if is_other_root else set())

    def problem(file: _File, level: int, first: int, count: int) -> Problem:
        begin, end = (starts[level] + min(at, kept[level]) * NODE for at in (first, first + count))
        return Problem(at_bytes(file.path, begin, end - 1), message("bytes-lead-elsewhere"))

    for level in range(1, len(kept)):
        for node in sorted(disagreeing[level]):
            if node // below in disagreeing[level + 1] if level < top else is_other_root:
                yield problem(nodes, level, node, 1)
            elif level == 1:
                yield problem(digests, 0, node * below, below)
            elif disagreeing[level - 1].isdisjoint(range(node * below, (node + 1) * below)):
                yield problem(nodes, level, node, 1)
                yield problem(nodes, level - 1, node * below, below)
    if is_other_root and not disagreeing[top]:
        if top:
            yield Problem(
                message("at-both", first=digests.path, second=nodes.path),
                message("tree-has-other-root", root=root),
            )
        else:
            yield problem(digests, 0, 0, kept[0])


def _disagreeing(
    digests: _File, nodes: _File, starts: list[int], kept: list[int], level: int
) -> set[int]:
    """Return the nodes of a kept level that do not follow from the kept level below, which for the
    first is that of the digests.
    """
    wrong: set[int] = set()
    file, below = (nodes, kept[level - 1]) if level > 1 else (digests, kept[0])
    for first in range(0, below, levels.PART):
        derived = kept_above(
            _read(file, starts[level - 1] + first * NODE, min(levels.PART, below - first))
        )
        above = first >> levels.STEP
        stored = _read(nodes, starts[level] + above * NODE, len(derived) // NODE)
        if derived != stored:
            wrong |= {
                above + i // NODE
                for i in range(0, len(derived), NODE)
                if derived[i : i + NODE] != stored[i : i + NODE]
            }
    return wrong


def _read(file: _File, offset: int, count: int) -> bytes:
    try:
        return file.stored.read(offset, count * NODE)
    except OSError as error:
        raise Damaged("stored-file-unreadable", path=file.path, error=error) from error


def check_indexes(ledger: Ledger) -> Iterator[Problem]:
    """Compare each digest index with the digests."""
    yield from (Problem(place, fault) for place, fault in ledger.index_faults())
