"""fsck: derive everything again from the stored bytes, and name what does not agree.

Nothing is trusted because it is stored: roots and index come from the digests, the log from the
statements, and tokens and anchors are judged against the roots. It writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import Damaged, InvalidInput, WitnesstreeError
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.chain.stateproof import keccak256, parse_header, prove_slot
from witnesstree.ledger.log.cosignature import is_cosignature
from witnesstree.ledger.log.keys import key_in_force, newest_key
from witnesstree.ledger.log.log import EMPTY_ROOT, added_nodes, leaf_hash, log_root
from witnesstree.ledger.log.note import Checkpoint, check_checkpoint, parse_note
from witnesstree.ledger.log.opening import parse_opening
from witnesstree.ledger.log.statement import Statement, format_statement
from witnesstree.ledger.proof.proof import parse_anchor
from witnesstree.ledger.store.metadata import JobKind, JobState
from witnesstree.ledger.tokens.token import CHAIN, judge_token
from witnesstree.ledger.tree import levels
from witnesstree.ledger.tree.levels import kept_above, kept_sizes
from witnesstree.ledger.tree.tree import NODE, root_of
from witnesstree.ledger.work.sealing import opening_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.log.keys import KeyChange
    from witnesstree.ledger.log.note import VerifierKey
    from witnesstree.ledger.store.metadata import Job, KeptRecord, OpenBatch, SealedBatch
    from witnesstree.ledger.trust import Trust
    from witnesstree.ledger.work.sealing import Ledger


@dataclass(frozen=True, slots=True)
class Problem:
    """Something stored that is not what it should be: where it stands, and what is wrong with it.

    It `is_damage`, unless it only cannot be judged with the trust at hand: a token whose root is
    not trusted here.
    """

    place: str | Message
    fault: str | Message
    is_damage: bool = True


def check_ledger(
    ledger: Ledger, trust: Trust, advance: Callable[[int], None] | None = None
) -> Iterator[Problem]:
    """Yield every problem of a ledger's metadata and batches.

    Its tokens must lead to a root of `trust`; `advance` counts entries.

    It reads every byte once or twice. It does not ask any chain whether a block is canonical.
    """
    place = ledger.metadata.place
    yield from _guarded(place, _check_database(ledger))
    try:
        with ledger.metadata.read() as transaction:
            sealed = list(transaction.batches())
            unsealed = transaction.open_batches()
            jobs = transaction.jobs()
            witnesses = transaction.witnesses()
            renewed = transaction.renewed_sequences()
    except Damaged as error:
        yield Problem(place, str(error))
        return
    yield from _guarded(place, _check_transactions(ledger, place, jobs))
    for batch in sealed:
        parts = (
            _check_files(ledger, batch),
            _check_records(ledger, batch),
            _check_witnesses(ledger, batch, trust),
            _check_renewals(ledger, batch, trust),
        )
        for found in parts:
            yield from _guarded(f"{place}, batch {batch.sequence}", found)
        if advance:
            advance(batch.count)
    yield from _guarded(str(ledger.home.batches), _check_indexes(ledger))
    yield from _guarded(
        place, _check_jobs(place, {batch.sequence for batch in sealed}, jobs, witnesses)
    )
    for sequence in sorted(renewed - {batch.sequence for batch in sealed}):
        yield Problem(
            f"{place}, batch {sequence}",
            "there is an evidence record of it, or one to be renewed, but it is not sealed",
        )
    yield from _guarded(place, _check_log(ledger))
    yield from _guarded(place, _check_cosignatures(ledger, place))
    for waiting in unsealed:
        yield from _guarded(
            str(ledger.files.digests_path(waiting.sequence)), _check_unsealed(ledger, waiting)
        )


def _guarded(place: str, found: Iterator[Problem]) -> Iterator[Problem]:
    """Yield what is found; where a check cannot go on, that is a problem too, and other checks
    can.
    """
    try:
        yield from found
    except WitnesstreeError as error:
        yield Problem(place, str(error))
    except OSError as error:
        yield Problem(place, f"cannot read {error.filename}: {error.strerror}")


def _check_database(ledger: Ledger) -> Iterator[Problem]:
    place = ledger.metadata.place
    yield from (Problem(place, fault) for fault in ledger.metadata.problems())
    if (origin := ledger.metadata.origin()) != ledger.home.origin:
        yield Problem(
            place, f"is the ledger {origin}, where the home is that of {ledger.home.origin}"
        )


def _check_unsealed(ledger: Ledger, batch: OpenBatch) -> Iterator[Problem]:
    if ledger.files.checksum(batch.sequence, batch.count) != batch.crc32:
        path = ledger.files.digests_path(batch.sequence)
        yield Problem(
            f"{path}, bytes 0 to {batch.count * NODE - 1}",
            "these are not the entries that were acknowledged",
        )
    elif fault := opening_fault(
        batch.opening, batch.header, ledger.files.digest_at(batch.sequence, 0), batch.opened
    ):
        yield Problem(f"{ledger.metadata.place}, batch {batch.sequence}", fault)


# Files


def _check_files(ledger: Ledger, batch: SealedBatch) -> Iterator[Problem]:
    digests, nodes = (
        ledger.files.digests_path(batch.sequence),
        ledger.files.nodes_path(batch.sequence),
    )
    kept = kept_sizes(batch.count)
    expected = {digests: batch.count * NODE, nodes: sum(kept[1:]) * NODE}
    broken = False
    for path, size in expected.items():
        actual = path.stat().st_size if path.is_file() else None
        if actual is None:
            yield Problem(str(path), "the file is missing")
        elif actual != size:
            yield Problem(
                f"{path}, bytes {min(actual, size)} to {max(actual, size) - 1}",
                "missing" if actual < size else "more than the batch has",
            )
        broken = broken or actual is None or actual < size
    if not broken:
        yield from _check_tree(digests, nodes, kept, batch.root)


def _check_tree(digests: Path, nodes: Path, kept: list[int], root: bytes) -> Iterator[Problem]:
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

    def problem(path: Path, level: int, first: int, count: int) -> Problem:
        begin, end = (starts[level] + min(at, kept[level]) * NODE for at in (first, first + count))
        return Problem(f"{path}, bytes {begin} to {end - 1}", "does not lead to the root on record")

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
                f"{digests} and {nodes}",
                f"agree with each other, but not with the root on record, {root.hex()}",
            )
        else:
            yield problem(digests, 0, 0, kept[0])


def _disagreeing(
    digests: Path, nodes: Path, starts: list[int], kept: list[int], level: int
) -> set[int]:
    """Return the nodes of a kept level that do not follow from the kept level below, which for the
    first is that of the digests.
    """
    wrong: set[int] = set()
    path, below = (nodes, kept[level - 1]) if level > 1 else (digests, kept[0])
    for first in range(0, below, levels.PART):
        derived = kept_above(
            _read(path, starts[level - 1] + first * NODE, min(levels.PART, below - first))
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


def _read(path: Path, offset: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(count * NODE)


def _check_indexes(ledger: Ledger) -> Iterator[Problem]:
    yield from (Problem(path, fault) for path, fault in ledger.index_faults())


# Records


def _check_records(ledger: Ledger, batch: SealedBatch) -> Iterator[Problem]:
    place = f"{ledger.metadata.place}, batch {batch.sequence}"
    opening = parse_opening(batch.opening)
    if fault := opening_fault(
        batch.opening, batch.header, ledger.files.digest_at(batch.sequence, 0), opening.opened
    ):
        yield Problem(place, fault)
    if (opening.origin, opening.batch) != (ledger.home.origin, batch.sequence):
        yield Problem(
            place, f"its opening record is that of batch {opening.batch} of {opening.origin}"
        )
    statement = Statement(
        ledger.home.origin, batch.sequence, batch.count, batch.root, opening.opened, batch.closed
    )
    if format_statement(statement) != batch.statement:
        yield Problem(place, "its statement does not say what the batch is")


def _check_log(ledger: Ledger) -> Iterator[Problem]:
    """Build the log again from the statements alone, and compare every stored hash, checkpoint and
    key note with it.
    """
    nodes: dict[tuple[int, int], bytes] = {}
    place = ledger.metadata.place
    # The batches are read again: others may have been sealed meanwhile, and log and batches have to
    # be of one moment.
    with ledger.metadata.read() as transaction:
        sealed = sorted(transaction.batches(), key=lambda batch: batch.log_index)
        first, changes = ledger.home.verifier_key(), ledger.key_changes(transaction)
        yield from _check_keys(ledger, transaction.key_notes(), changes)
        yield from _check_checkpoint(
            place,
            transaction.checkpoint(0),
            Checkpoint(ledger.home.origin, 0, EMPTY_ROOT),
            key_in_force(first, changes, 0),
        )
        for index, batch in enumerate(sealed):
            if batch.log_index != index:
                yield Problem(
                    place,
                    f"batch {batch.sequence} is entry {batch.log_index} of the log, where entry"
                    f" {index} was expected",
                )
                return
            for level, position, node in added_nodes(
                index,
                leaf_hash(batch.statement.encode()),
                lambda level, position: nodes[level, position],
            ):
                nodes[level, position] = node
                try:
                    stored = transaction.log_node(level, position)
                except WitnesstreeError as error:
                    yield Problem(place, str(error))
                    continue
                if stored != node:
                    yield Problem(
                        f"{place}, log node at level {level}, position {position}",
                        "does not follow from the statements",
                    )
            expected = Checkpoint(
                ledger.home.origin,
                index + 1,
                log_root(index + 1, lambda level, position: nodes[level, position]),
            )
            yield from _check_checkpoint(
                place,
                transaction.checkpoint(index + 1),
                expected,
                key_in_force(first, changes, index + 1),
            )
        for change in changes:
            if change.size > len(sealed) or change.root != log_root(
                change.size, lambda level, position: nodes[level, position]
            ):
                yield Problem(
                    f"{place}, key note {change.number}",
                    f"its root at {change.size} entries does not follow from the statements",
                )
        if transaction.log_node_count() != len(nodes):
            yield Problem(
                place,
                f"the log has {transaction.log_node_count()} stored hashes, where {len(nodes)}"
                " follow from the statements",
            )
        if transaction.checkpoint_count() != len(sealed) + 1:
            yield Problem(
                place,
                f"the log has {transaction.checkpoint_count()} checkpoints, where {len(sealed) + 1}"
                " follow from the statements",
            )


def _check_keys(
    ledger: Ledger, notes: list[str], changes: tuple[KeyChange, ...]
) -> Iterator[Problem]:
    """Compare the keys' files with the history of keys, and look for the one that signs from now
    on.
    """
    kept = ledger.home.key_notes()
    if list(kept) not in (notes, notes[:-1]):
        yield Problem(
            str(ledger.home.folder / "keys"),
            "the notes that are kept as files are not those of the history of keys",
        )
    newest = newest_key(ledger.home.verifier_key(), changes)
    if ledger.home.private_key(len(notes)).public_key().public_bytes_raw() != newest.public_key:
        yield Problem(
            str(ledger.home.folder / "keys"),
            f"key {len(notes)} is not the one that was handed over to",
        )


def _check_cosignatures(ledger: Ledger, place: str) -> Iterator[Problem]:
    """Look whether the cosignatures can be read; whose they are is for those to judge who know the
    witnesses' keys.
    """
    with ledger.metadata.read() as transaction:
        for size in transaction.cosigned_sizes():
            own = parse_note(transaction.checkpoint(size))
            for line in transaction.cosignatures(size):
                try:
                    (signature,) = parse_note(f"{own.text}\n{line}").signatures
                except (InvalidInput, ValueError):
                    yield Problem(f"{place}, checkpoint {size}", "a cosignature of it is none")
                    continue
                if not is_cosignature(signature):
                    yield Problem(f"{place}, checkpoint {size}", "a cosignature of it is none")


def _check_checkpoint(
    place: str, note: str, expected: Checkpoint, key: VerifierKey
) -> Iterator[Problem]:
    try:
        checkpoint = check_checkpoint(note, key)
    except InvalidInput as error:
        yield Problem(f"{place}, checkpoint {expected.size}", f"cannot be read: {error}")
        return
    if checkpoint is None:
        yield Problem(
            f"{place}, checkpoint {expected.size}", f"is not signed by the ledger's key, {key.name}"
        )
    elif checkpoint != expected:
        yield Problem(f"{place}, checkpoint {expected.size}", "does not follow from the statements")


# Witnesses


def _check_jobs(
    place: str, batches: set[int], jobs: list[Job], witnesses: set[tuple[int, JobKind, str]]
) -> Iterator[Problem]:
    """Compare what was done with what came of it: a job that is done and left nothing is lost work,
    any other that left something runs twice.
    """
    done = {(job.sequence, job.kind, job.target) for job in jobs if job.state is JobState.DONE}
    for sequence, kind, target in sorted(done - witnesses):
        yield Problem(
            f"{place}, batch {sequence}", f"what the {kind} job of {target} gave is missing"
        )
    for sequence, kind, target in sorted(witnesses - done):
        yield Problem(
            f"{place}, batch {sequence}",
            f"there is what a {kind} job of {target} gives, but no such job is done",
        )
    for sequence in sorted({job.sequence for job in jobs} - batches):
        yield Problem(f"{place}, batch {sequence}", "there is a job for it, but it is not sealed")


def _check_transactions(ledger: Ledger, place: str, jobs: list[Job]) -> Iterator[Problem]:
    signed = {(job.target, job.transaction) for job in jobs if job.transaction is not None}
    with ledger.metadata.read() as transaction:
        sent = [
            (chain, each.transaction)
            for chain in transaction.chains()
            for each in transaction.transactions(chain)
        ]
    for chain, each in sent:
        if keccak256(each.raw) != each.hash:
            yield Problem(
                f"{place}, transaction 0x{each.hash.hex()} for {chain}",
                "its bytes are not those that were signed",
            )
    for chain, hash_ in sorted(signed - {(chain, each.hash) for chain, each in sent}):
        yield Problem(
            f"{place}, transaction 0x{hash_.hex()} for {chain}",
            "a job has sent it, and it is missing",
        )


def _check_witnesses(ledger: Ledger, batch: SealedBatch, trust: Trust) -> Iterator[Problem]:
    with ledger.metadata.read() as transaction:
        tokens, anchors = transaction.tokens(batch.sequence), transaction.anchors(batch.sequence)
    for authority, stamp in tokens:
        for check in judge_token(stamp, batch.root, trust).checks:
            if check.required and check.outcome is not Outcome.PASSED:
                is_damage = (check.name, check.outcome) != (CHAIN, Outcome.UNKNOWN)
                yield Problem(
                    f"{ledger.metadata.place}, batch {batch.sequence}, token by {authority}",
                    f"{check.name}: {check.reason}",
                    is_damage,
                )
    for chain, text in anchors:
        place = f"{ledger.metadata.place}, batch {batch.sequence}, anchor on {chain}"
        try:
            anchor = parse_anchor(text)
            if anchor.transaction is not None and not _was_sent(ledger, chain, anchor.transaction):
                yield Problem(place, "it names a transaction that was never sent")
            if anchor.state:
                header = parse_header(anchor.state.header)
                prove_slot(
                    header, anchor.contract, batch.root, anchor.state.account, anchor.state.storage
                )
                if (header.hash, header.number) != (anchor.block_hash, anchor.block_number):
                    yield Problem(place, "its header is not that of its block")
        except InvalidInput as error:
            yield Problem(place, str(error))


def _was_sent(ledger: Ledger, chain: str, hash_: bytes) -> bool:
    with ledger.metadata.read() as transaction:
        return bool(transaction.transactions(chain, [hash_]))


# Renewed evidence records


def _check_renewals(ledger: Ledger, batch: SealedBatch, trust: Trust) -> Iterator[Problem]:
    place = f"{ledger.metadata.place}, batch {batch.sequence}"
    with ledger.metadata.read() as transaction:
        tokens = {authority: stamp.token for authority, stamp in transaction.tokens(batch.sequence)}
        kept, renewals = transaction.records(batch.sequence), transaction.renewals(batch.sequence)
    scheduled = {(each.position, each.authority) for each in renewals}
    expected = {(0, authority) for authority in tokens} | {
        (each.position, each.authority) for each in kept
    }
    for position, authority in sorted(expected - scheduled):
        yield Problem(
            f"{place}, entry {position}",
            f"nobody will renew its evidence record by {authority}: its row in renewals is missing",
        )
    for position, authority in sorted(scheduled - expected):
        yield Problem(
            f"{place}, entry {position}",
            f"its evidence record by {authority} is to be renewed, and there is no token for it",
        )
    newest: dict[tuple[int, str], int] = {}
    for each in kept:
        name, number = (each.position, each.authority), each.number
        where = f"{place}, entry {each.position}, evidence record {number} by {each.authority}"
        if number != newest.get(name, 0) + 1:
            yield Problem(
                where, f"it is number {number}, where {newest.get(name, 0) + 1} was expected"
            )
        newest[name] = number
        yield from _guarded(
            where, _check_kept(ledger, where, each, tokens.get(each.authority), trust)
        )


def _check_kept(
    ledger: Ledger, where: str, kept: KeptRecord, token: bytes | None, trust: Trust
) -> Iterator[Problem]:
    """Judge a record as of its newest timestamp: that it was renewed too late, or is to be renewed,
    is no damage.
    """
    # Here, because few ledgers have renewed anything.
    from witnesstree.ledger.proof.record import parse_record, verify_record

    record = parse_record(kept.record)
    if record.timestamps[0].token.der != token:
        yield Problem(where, "its first timestamp is not the token of its batch")
    digest = ledger.files.digest_at(kept.sequence, kept.position)
    now = record.timestamps[-1].token.gen_time
    for check in verify_record(kept.record, [{"sha256": digest}], trust, now).checks:
        if check.outcome is Outcome.FAILED:
            yield Problem(where, f"{check.name}: {check.reason}")
        elif check.outcome is Outcome.UNKNOWN and check.name.endswith(".chain"):
            yield Problem(where, f"{check.name}: {check.reason}", is_damage=False)
