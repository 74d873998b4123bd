"""All proofs of a batch: in one compact file, or one after the other in a folder; and single ones
out of the compact file, without a ledger.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from witnesstree.cli.names import PROOF_ENDING
from witnesstree.cli.options import answer, require_room, say
from witnesstree.cli.outputs import write_proof
from witnesstree.cli.parallel import on_all_cores
from witnesstree.cli.progress import progress
from witnesstree.ledger.base.errors import Damaged, InvalidInput, NotFound
from witnesstree.ledger.base.system import sync_all
from witnesstree.ledger.base.way import require_own_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event

    from witnesstree.ledger.proof.bundle import Bundle
    from witnesstree.ledger.proof.proof import Proof
    from witnesstree.ledger.proof.template import Template
    from witnesstree.ledger.store.database.values import SealedBatch
    from witnesstree.ledger.work.sealing import Ledger

PER_FOLDER = 10_000
"""Proofs in a folder, on average at most: more make many tools slow."""
RUN = 256
"""Proofs that a process writes for each thing handed to it: their paths share most of what is
read."""


@contextmanager
def batch_of(ledger: Ledger, sequence: int) -> Iterator[Bundle]:
    """Open the proofs of a sealed batch as they stand now; direct tokens are left out.

    Raises NotFound if there is none, Damaged if its files are not whole.
    """
    from witnesstree.ledger.log.opening import opening_digest
    from witnesstree.ledger.proof.bundle import Bundle, Stretch
    from witnesstree.ledger.work.lookup import Entry

    batch = ledger.batch(sequence)
    shared = ledger.proof_of(opening_digest(batch.opening), Entry(sequence, 0, is_sealed=True))
    with ExitStack() as opened:
        # They are there: the proof of leaf 0 was read from them.
        paths = (ledger.files.digests_path(sequence), ledger.files.nodes_path(sequence))
        digests, tree = (
            Stretch(opened.enter_context(path.open("rb", buffering=0)), 0) for path in paths
        )
        # A file with the same bytes as the opening record may have been stamped directly.
        yield Bundle(replace(shared, file_tokens=()), digests, tree)


@dataclass(frozen=True, slots=True)
class Own:
    """Entries of a batch whose proofs cannot be made from what it shares: their `positions`, and
    what `prove` makes of one.
    """

    positions: tuple[int, ...]
    prove: Callable[[int], Proof]


def own_proofs(ledger: Ledger, bundle: Bundle, sequence: int) -> Own:
    """Return the entries of a batch that have an evidence record or direct tokens of their own: of
    a digest that was stamped directly and stands there twice, the first.
    """
    from witnesstree.ledger.work.lookup import Entry

    with ledger.metadata.read() as transaction:
        positions = {kept.position for kept in transaction.records(sequence)}
        stamped = set(transaction.directly_stamped())
    if stamped:
        positions.update(bundle.find(stamped).values())

    def prove(position: int) -> Proof:
        digest = ledger.files.digest_at(sequence, position)
        return ledger.proof_of(digest, Entry(sequence, position, is_sealed=True))

    return Own(tuple(sorted(positions - {0})), prove)


def write_all(output: Path, bundle: Bundle, batch: SealedBatch, *, as_json: bool) -> None:
    """Write all proofs of a batch into one file, and judge the tree in it before it takes its name.

    Raises Damaged if the batch's files do not lead to its root: then nothing is written.
    """
    from witnesstree.ledger.proof.bundle import nodes_in, open_bundle, write_bundle
    from witnesstree.ledger.store.disk import replacing

    require_room(output)
    nodes = nodes_in(bundle.size)
    with replacing(output) as file, progress("writing", 2 * nodes) as advance:
        try:
            write_bundle(file, bundle, advance)
            file.flush()
            fault = open_bundle(file).fault(advance)
        except InvalidInput as error:
            fault = error.message
        if fault:
            raise Damaged("batch-not-to-root", batch=batch.sequence, fault=fault)
    say("bulk-written", output=output, count=batch.entries)
    if as_json:
        answer(
            {
                "proofs": str(output),
                "batch": batch.sequence,
                "digests": batch.entries,
                "complete": not bundle.shared.missing,
            }
        )


# One by one


@dataclass(frozen=True, slots=True)
class _Run:
    """Positions of a batch from `first` to before `last`, and those among them that get no proof
    here.
    """

    first: int
    last: int
    left_out: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a stretch of nodes stands, for another process to open."""

    path: Path
    offset: int


def split(
    folder: Path,
    bundle: Bundle,
    own: Own | None,
    blinding: Iterable[int] = (),
    *,
    as_json: bool,
) -> None:
    """Write the proof of each digest of a batch into `folder`, as `witnesstree proof DIGEST` writes
    it: of one that stands there twice, the first.

    `own` are the entries that share less with the others, `blinding` the positions of blinding
    leaves, which get none. Proofs that are there already are left: an interrupted run goes on where
    it was. On return all are on disk.

    Raises InvalidInput if a path in the batch does not lead to its root, StorageFailure if the disk
    refuses.
    """
    from witnesstree.ledger.proof.proof import format_proof
    from witnesstree.ledger.store.disk import storage_errors

    positions = own.positions if own else ()
    left_out = sorted({0, *positions, *blinding, *bundle.repeated()})
    firsts = range(0, bundle.size, RUN)
    runs = (
        _Run(first, min(first + RUN, bundle.size), _between(left_out, first, first + RUN))
        for first in firsts
    )
    places = [
        _Place(Path(stretch.file.name).absolute(), stretch.offset)
        for stretch in (bundle.digests, bundle.tree)
    ]
    digits = _digits(bundle.size)
    written = left = 0
    make_folder(folder)
    with storage_errors(folder), progress("writing-proofs", bundle.size) as advance:
        for new, old, passed in on_all_cores(
            _start_splitting, (format_proof(bundle.shared), places, folder, digits), runs, part=1
        ):
            written, left = written + new, left + old
            advance(new + old + passed)
        for proof in map(own.prove, positions) if own else ():
            is_new = _write(place_of(folder, proof.digest, digits), format_proof(proof))
            written, left = written + is_new, left + (not is_new)
        # Syncing file by file would take many times as long as writing them.
        sync_all()
    say("split-written", count=written, folder=folder, left=left)
    if as_json:
        answer(
            {
                "folder": str(folder),
                "written": written,
                "left": left,
                "complete": not bundle.shared.missing,
            }
        )


def make_folder(folder: Path) -> None:
    """Make the folder that proofs go into, unless it is there.

    Raises InvalidInput if something else is, StorageFailure if the disk refuses.
    """
    from witnesstree.ledger.store.disk import storage_errors

    require_own_way(folder / PROOF_ENDING)
    if folder.exists() and not folder.is_dir():
        raise InvalidInput("proofs-folder-taken", folder=folder)
    with storage_errors(folder):
        folder.mkdir(exist_ok=True)


def place_of(folder: Path, digest: bytes, digits: int = 0) -> Path:
    """Return where the proof of a digest goes: in a large batch into a folder named after the
    digest's first hex digits.
    """
    name = digest.hex()
    return (folder / name[:digits] if digits else folder) / (name + PROOF_ENDING)


def _digits(size: int) -> int:
    """Return how many hex digits name a folder, so that none gets many more than PER_FOLDER
    proofs.
    """
    return next(digits for digits in (0, 2, 4, 6, 8, 10) if size <= PER_FOLDER * 16**digits)


def _between(positions: list[int], first: int, last: int) -> tuple[int, ...]:
    return tuple(positions[bisect_left(positions, first) : bisect_left(positions, last)])


@dataclass(frozen=True, slots=True)
class _Splitter:
    """Writes the proofs of runs, and says of each run how many are new, were there already, and
    were left out.
    """

    stop: Event
    shared: Proof
    places: list[_Place]
    template: Template | None
    folder: Path
    digits: int

    def __call__(self, run: _Run) -> tuple[int, int, int]:
        from witnesstree.ledger.proof.bundle import Bundle, Stretch

        with ExitStack() as opened:
            digests, tree = (
                Stretch(opened.enter_context(place.path.open("rb", buffering=0)), place.offset)
                for place in self.places
            )
            return self._write_run(Bundle(self.shared, digests, tree), run)

    def _write_run(self, bundle: Bundle, run: _Run) -> tuple[int, int, int]:
        from witnesstree.ledger.proof.proof import format_proof
        from witnesstree.ledger.tree.tree import root_from_path

        shared = self.shared
        assert shared.inclusion
        written = 0
        positions = range(run.first, run.last)
        for position, (digest, path) in zip(
            positions, bundle.paths(run.first, len(positions)), strict=True
        ):
            if position in run.left_out or self.stop.is_set():
                continue
            if root_from_path(digest, position, bundle.size, path) != shared.inclusion.root:
                raise InvalidInput("split-path-not-to-root", position=position)
            content = (
                self.template.format(digest, position, path, shared.hints)
                if self.template
                else format_proof(bundle.proof(position))
            )
            written += _write(place_of(self.folder, digest, self.digits), content)
        return written, len(positions) - len(run.left_out) - written, len(run.left_out)


def _start_splitting(
    stop: Event, shared: bytes, places: list[_Place], folder: Path, digits: int
) -> _Splitter:
    from witnesstree.ledger.proof.proof import parse_proof
    from witnesstree.ledger.proof.template import Template

    proof = parse_proof(shared)
    return _Splitter(
        stop, proof, places, None if proof.records else Template(proof), folder, digits
    )


def _write(path: Path, content: bytes) -> bool:
    """Put a proof at `path`, and say whether it was new there; what stood there and says something
    else is treated as `write_proof` does.
    """
    from witnesstree.ledger.proof.proof import parse_proof
    from witnesstree.ledger.store.disk import storage_errors

    with storage_errors(path):
        try:
            with path.open("rb") as file:
                older = file.read(len(content) + 1)
        except FileNotFoundError:
            _put(path, content)
            return True
    if older == content:
        return False
    write_proof(path, parse_proof(content))
    return True


def _put(path: Path, content: bytes) -> None:
    """Put `content` under a name that nothing has yet, all at once, but not yet durably."""
    from witnesstree.ledger.store.disk import placing

    require_own_way(path)
    try:
        with placing(path, is_durable=False) as file:
            file.write(content)
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True)
        with placing(path, is_durable=False) as file:
            file.write(content)


# Out of the compact file


def proof_from(bundle: Bundle, digest: bytes) -> Proof:
    """Return the proof of `digest` out of a batch's proofs; its path leads to the root.

    Raises NotFound if it is not there, InvalidInput if its path leads elsewhere.
    """
    from witnesstree.ledger.tree.tree import root_from_path

    position = bundle.find([digest]).get(digest)
    if position is None:
        raise NotFound("digest-not-in-proofs", digest=digest, file=bundle.digests.file.name)
    proof = bundle.proof(position)
    assert proof.inclusion
    if root_from_path(digest, position, bundle.size, proof.inclusion.path) != proof.inclusion.root:
        raise InvalidInput(
            "bulk-path-not-to-root", file=bundle.digests.file.name, position=position
        )
    return proof
