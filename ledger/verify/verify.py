"""Verification: a pure function of a digest, a proof, the verifier's own trust, and the time.

It reads no file and asks nobody.

Its steps, each one or more named checks:

    1  proof               the proof parses
    2  digest              the digest is the one that the proof is for
    3  inclusion           the path leads to the root, with exactly the length that its position
                           demands
    4  tokens[i].…         imprint, signer, signature, chain and revocation of each timestamp token
                           (token.py)
       records[i].…        each evidence record, which carries a token's time over the end of
                           certificates and hash functions (record.py)
    5  anchors[i].…        from a block header, known to be canonical, through account and storage
                           proof to the root's slot (chainproof.py)
    6  opening…            the opening record leads to the same root, and so does the block it names
                           to a time
    7  log.…               the batch statement says the same, is in the ledger log, and its
                           checkpoint is signed by the expected key
    8  window              the times that came out of this agree with each other and with the clock

A check is FAILED where something is wrong, UNKNOWN where something is missing or beyond what the
verifier trusts. UNKNOWN never counts as passed. Nothing in a proof can lower what is asked of it:
which witnesses must be there is `Require`, and trust comes from the verifier alone.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Assurance, Check, Outcome, Report
from witnesstree.ledger.chain.known import known_chain
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    parse_header,
    prove_slot,
)
from witnesstree.ledger.log.keys import (
    check_history,
    join_histories,
    judge_signer,
    parse_key_change,
)
from witnesstree.ledger.log.log import check_inclusion, leaf_hash
from witnesstree.ledger.log.note import parse_checkpoint, parse_note
from witnesstree.ledger.log.opening import Opening, opening_digest, parse_opening
from witnesstree.ledger.log.statement import parse_statement
from witnesstree.ledger.proof.bundle import FORMAT as BUNDLE
from witnesstree.ledger.proof.bundle import Template, derived_records, shared_bytes
from witnesstree.ledger.proof.proof import FORMAT, Hints, Proof, parse_proof
from witnesstree.ledger.tokens.token import judge_token
from witnesstree.ledger.tree.tree import root_from_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from witnesstree.ledger.base.witness import Anchor, Stamp
    from witnesstree.ledger.chain.stateproof import Header
    from witnesstree.ledger.proof.bundle import Bundle
    from witnesstree.ledger.proof.proof import LogProof, OpeningProof
    from witnesstree.ledger.trust import Trust, TrustedBlock

KEPT = 64
"""Batches that a Verifier remembers: more than the files of one folder usually come from; at 4 MiB,
the most that a proof has, 256 MiB each way."""
MAX_TIMESTAMPS = 64
"""Archive timestamps that are judged in all records of a proof: each may cost dozens of signatures.
Three authorities renewed every three years need as many in sixty years."""
SKEW = timedelta(minutes=10)
"""How far the clocks of witnesses, and the verifier's own, may differ before their times count as a
contradiction."""


_NO_HINTS = Hints()


class Require(StrEnum):
    """Which witnesses must be there. This is the verifier's policy, never the proof's own word."""

    TOKEN = "token"  # noqa: S105 - no password
    ANCHOR = "anchor"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class _Witness:
    """The checks of one token or anchor, and what it proves if all of them passed that are
    required.
    """

    checks: list[Check]
    not_after: datetime | None = None
    assurance: Assurance | None = None

    @property
    def has_passed(self) -> bool:
        return all(
            check.outcome is Outcome.PASSED
            or (check.outcome is Outcome.UNKNOWN and not check.required)
            for check in self.checks
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the witnesses, the opening record and the log of a batch come to: the same for every
    digest in it.
    """

    tokens: list[_Witness]
    anchors: list[_Witness]
    checks: list[Check]
    not_before: datetime | None


def verify(
    digest: bytes,
    content: bytes,
    trust: Trust,
    now: datetime,
    require: Require = Require.BOTH,
    *,
    digests: Mapping[str, bytes] | None = None,
) -> Report:
    """Return what `content`, the bytes of a proof file, proves about the 32-byte SHA-256 `digest`.

    Never raises, whatever `content` is.

    `digests` are the same file's digests under other hash algorithms, by name, such as "sha512": a
    record in the proof may ask for them.
    """
    return Verifier(trust, now, require).verify(digest, content, digests=digests)


class Verifier:
    """Judges many proofs under one trust, time and policy as `verify` does, and what the proofs of
    a batch share only once.

    What it remembers is keyed by the very bytes that were judged, so that no proof is judged by
    another one's parts.
    """

    def __init__(self, trust: Trust, now: datetime, require: Require = Require.BOTH) -> None:
        self._trust, self._now, self._require = trust, now, require
        self._judged = lru_cache(KEPT)(lambda batch: _judge_batch(batch, trust))
        self._parsed: OrderedDict[bytes, Proof | Template] = OrderedDict()

    def verify(
        self, digest: bytes, content: bytes, *, digests: Mapping[str, bytes] | None = None
    ) -> Report:
        """Return what `verify` returns. Never raises, whatever `content` is."""
        # 1. The proof parses.
        try:
            proof = self.parse(content)
        except InvalidInput as error:
            return Report((_failed("proof", f"This is no proof that can be read: {error}."),))
        return self.verify_proof(digest, proof, digests=digests)

    def parse(self, content: bytes) -> Proof:
        """Return what `parse_proof` returns, faster for the second and later proofs of one batch.

        Raises InvalidInput as it does.
        """
        key = shared_bytes(content)
        known = self._parsed.pop(key, None)
        if isinstance(known, Proof):
            known = Template(known)
        proof = (known.parse(content) if known else None) or parse_proof(content)
        if key and proof.inclusion and not proof.records:
            self._parsed[key] = known or proof
            if len(self._parsed) > KEPT:
                self._parsed.popitem(last=False)
        return proof

    def verify_proof(
        self,
        digest: bytes,
        proof: Proof,
        source: str = FORMAT,
        *,
        digests: Mapping[str, bytes] | None = None,
    ) -> Report:
        """Return what a parsed proof proves about `digest`; `source` is the format of the file that
        it was read from.
        """
        checks = [_passed("proof", f"It is a proof file of format {source}, and undamaged.")]
        # 2. The digest is the file's.
        checks.append(_judge_digest(digest, proof))
        # 3. The path leads to the root. Without a root there is nothing that a witness could speak
        # of.
        if proof.inclusion is None:
            reason = (
                "The batch was not sealed yet when this proof was fetched: fetch it again with"
                " `witnesstree proof`."
            )
            return Report((*checks, _unknown("inclusion", reason)))
        checks.append(
            _judge_path(
                "inclusion", proof.digest, proof, proof.inclusion.position, proof.inclusion.path
            )
        )
        return self._report(checks, proof, {**(digests or {}), "sha256": digest})

    def verify_in(self, bundle: Bundle, digest: bytes, position: int | None) -> Report:
        """Return what a batch's proofs prove about `digest`, which `Bundle.find` found at
        `position`, or nowhere. Never raises.
        """
        if position is None:
            reason = (
                f"The file's SHA-256 is {digest.hex()}, which is not in this batch: the file was"
                " altered, or sealed in another batch."
            )
            return Report(
                (
                    _passed("proof", f"It is a file of proofs of format {BUNDLE}."),
                    _failed("digest", reason),
                )
            )
        try:
            proof = bundle.proof(position)
        except InvalidInput as error:
            return Report((_failed("proof", f"This proof cannot be read: {error}."),))
        return self.verify_proof(digest, proof, BUNDLE)

    def verify_batch(self, shared: Proof, fault: str | None) -> Report:
        """Return what a file of proofs proves about each of its digests, given the proof of leaf 0
        and what `Bundle.fault` says of all others.
        """
        assert shared.inclusion
        size, root = shared.inclusion.size, shared.inclusion.root
        if fault:
            check = _failed("inclusion", f"The tree over the digests is wrong: {fault}.")
        else:
            check = _passed(
                "inclusion", f"All {size} digests lead to the batch's root {root.hex()}."
            )
        checks = [_passed("proof", f"It is a file of proofs of format {BUNDLE}."), check]
        # A record witnesses every digest only if it can be made each one's own; as that of leaf 0,
        # which it is taken for here, it need not.
        try:
            shared = replace(
                shared,
                records=derived_records(shared.records, shared.digest, shared.inclusion.path),
            )
        except InvalidInput as error:
            checks.append(
                _failed(
                    "records", f"An evidence record in it is not for all of its digests: {error}."
                )
            )
            shared = replace(shared, records=())
        return self._report(checks, shared, {"sha256": shared.digest})

    def _report(self, checks: list[Check], proof: Proof, digests: Mapping[str, bytes]) -> Report:
        """Go on with step 4, once it is known that the digest belongs to the root."""
        assert proof.inclusion
        require = self._require
        batch = self._judged(
            replace(
                proof,
                digest=b"",
                inclusion=replace(proof.inclusion, position=0, path=()),
                hints=_NO_HINTS,
                records=(),
            )
        )
        # 4. Each token, and each record, which is a token's witness like the token itself; 5. each
        # anchor.
        records = _judge_records(proof, digests, self._trust, self._now)
        tokens, anchors = [*batch.tokens, *records], batch.anchors
        checks += _weigh(
            "tokens", "timestamp token", tokens, is_required=require is not Require.ANCHOR
        )
        checks += _weigh("anchors", "anchor", anchors, is_required=require is not Require.TOKEN)
        # 6. The opening record; 7. the statement and the checkpoint.
        checks += batch.checks
        # 8. The times agree.
        passed = [witness for witness in (*tokens, *anchors) if witness.has_passed]
        not_after = min(
            (witness.not_after for witness in passed if witness.not_after), default=None
        )
        checks += _judge_window(batch.not_before, not_after, self._now)
        worth = (
            [_best(tokens), _best(anchors)]
            if require is Require.BOTH
            else [_best(tokens if require is Require.TOKEN else anchors)]
        )
        report = Report(
            tuple(checks),
            min((value for value in worth if value is not None), default=None),
            batch.not_before,
            not_after,
        )
        return report if report.is_verified else replace(report, assurance=None)


def _judge_batch(proof: Proof, trust: Trust) -> _Batch:
    """Judge what stands alike in all proofs of a batch; the rest of `proof` is empty.

    Only trust decides here, neither time nor policy.
    """
    assert proof.inclusion
    root = proof.inclusion.root
    # 4. Each token; 5. each anchor.
    tokens = [
        _judge_token(f"tokens[{i}]", stamp, root, trust) for i, stamp in enumerate(proof.tokens)
    ]
    anchors = [
        _judge_anchor(f"anchors[{i}]", anchor, root, trust)
        for i, anchor in enumerate(proof.anchors)
    ]
    # 6. The opening record leads to the same root.
    opening, not_before, found = _judge_opening(proof, trust)
    # 7. The statement is in the log, and the checkpoint is signed by the expected key.
    return _Batch(tokens, anchors, [*found, *_judge_log(proof, opening, trust)], not_before)


def _judge_digest(digest: bytes, proof: Proof) -> Check:
    if digest == proof.digest:
        return _passed("digest", f"The file's SHA-256 is {digest.hex()}, which this proof is for.")
    reason = (
        f"The file's SHA-256 is {digest.hex()}, but this proof is for {proof.digest.hex()}: the"
        " file was altered, or it is another file."
    )
    return _failed("digest", reason)


def _judge_path(
    name: str, leaf: bytes, proof: Proof, position: int, path: tuple[bytes, ...]
) -> Check:
    assert proof.inclusion
    size, root = proof.inclusion.size, proof.inclusion.root
    try:
        implied = root_from_path(leaf, position, size, path)
    except InvalidInput as error:
        return _failed(name, f"The path cannot be one of this batch: {error}.")
    if implied != root:
        return _failed(
            name,
            f"The path leads from position {position} to {implied.hex()}, not to the batch's root"
            f" {root.hex()}.",
        )
    return _passed(
        name,
        f"{len(path)} hash{'es lead' if len(path) != 1 else ' leads'} from position {position} of"
        f" {size} to the batch's root {root.hex()}.",
    )


# 4. Tokens


def _judge_token(place: str, stamp: Stamp, root: bytes, trust: Trust) -> _Witness:
    judgement = judge_token(stamp, root, trust)
    checks = [
        replace(check, name=f"{place}.{check.name.removeprefix('token.')}")
        for check in judgement.checks
    ]
    if judgement.token is None:
        return _Witness(checks)
    try:
        not_after = judgement.token.gen_time + judgement.token.accuracy
    except OverflowError:
        not_after = datetime.max.replace(tzinfo=UTC)
    return _Witness(checks, not_after, judgement.assurance)


def _judge_records(
    proof: Proof, digests: Mapping[str, bytes], trust: Trust, now: datetime
) -> list[_Witness]:
    """Judge each evidence record, one that stands there again only once, and not more timestamps in
    all than MAX_TIMESTAMPS.
    """
    assert proof.inclusion
    known: dict[bytes, _Witness] = {}
    left = MAX_TIMESTAMPS
    for record in proof.records:
        if record not in known:
            count, check = _judge_place(record, proof.inclusion.root, left)
            known[record] = (
                _Witness([check])
                if check.outcome is not Outcome.PASSED
                else _judge_kept(record, check, digests, trust, now)
            )
            left -= count
    witnesses = ((f"records[{i}]", known[record]) for i, record in enumerate(proof.records))
    return [
        replace(
            witness,
            checks=[replace(check, name=f"{place}.{check.name}") for check in witness.checks],
        )
        for place, witness in witnesses
    ]


def _judge_place(record: bytes, root: bytes, left: int) -> tuple[int, Check]:
    """Judge whether a record may stand in a proof for `root` that has `left` timestamps left, and
    return how many of them it takes.
    """
    # Here, because most proofs hold no record.
    from witnesstree.ledger.proof.record import parse_record

    try:
        timestamps = parse_record(record).timestamps
    except InvalidInput as error:
        return 0, _failed("record", f"This is no evidence record that can be read: {error}.")
    token = timestamps[0].token
    if (token.imprint_algorithm, token.imprint) != ("sha256", root):
        # It may be true of this digest, but is no witness of the batch.
        return 0, _failed(
            "root",
            f"Its first timestamp is for {token.imprint.hex()}, not for the batch's root"
            f" {root.hex()}.",
        )
    if len(timestamps) > left:
        reason = (
            f"The records before it leave {left} of the {MAX_TIMESTAMPS} timestamps that are"
            f" judged, and it has {len(timestamps)}."
        )
        return 0, _unknown("root", reason)
    return len(timestamps), _passed("root", "Its first timestamp is for the batch's root.")


def _judge_kept(
    record: bytes, check: Check, digests: Mapping[str, bytes], trust: Trust, now: datetime
) -> _Witness:
    from witnesstree.ledger.proof.record import verify_record

    report = verify_record(record, [digests], trust, now)
    return _Witness([check, *report.checks], report.not_after, report.assurance)


def _weigh(name: str, kind: str, witnesses: list[_Witness], *, is_required: bool) -> list[Check]:
    """Return the checks of all witnesses of one kind: one that passes whole is enough, and beside
    it no UNKNOWN of another one counts.
    """
    if not witnesses:
        return [
            _unknown(
                name,
                f"The proof has no {kind}: fetch it again later with `witnesstree proof`.",
                required=is_required,
            )
        ]
    is_required = is_required and not any(witness.has_passed for witness in witnesses)
    checks = [check for witness in witnesses for check in witness.checks]
    return [
        replace(
            check, required=(is_required and check.required) or check.outcome is not Outcome.UNKNOWN
        )
        for check in checks
    ]


def _best(witnesses: list[_Witness]) -> Assurance | None:
    return max(
        (
            witness.assurance
            for witness in witnesses
            if witness.has_passed and witness.assurance is not None
        ),
        default=None,
    )


# 5. Anchors


def _judge_anchor(place: str, anchor: Anchor, root: bytes, trust: Trust) -> _Witness:
    canonical = _judge_canonical(
        f"{place}.canonical", anchor.chain_id, anchor.block_number, anchor.block_hash, trust
    )
    if anchor.state is None:
        return _judge_record(f"{place}.state", anchor, root, trust, canonical)
    header, block = _judge_header(
        f"{place}.block", anchor.state.header, anchor.block_hash, anchor.block_number
    )
    if header is None:
        return _Witness([block, canonical])
    try:
        slot = prove_slot(header, anchor.contract, root, anchor.state.account, anchor.state.storage)
    except InvalidInput as error:
        reason = (
            f"The state proof does not lead from block {header.number} to the root's slot in the"
            f" contract: {error}."
        )
        return _Witness([block, _failed(f"{place}.state", reason), canonical])
    anchored, record = _time(slot.record.time), slot.record
    reason = (
        f"The state of block {header.number} holds this root in contract 0x{anchor.contract.hex()},"
        f" anchored in block {record.block_number}."
    )
    checks = [block, _passed(f"{place}.state", reason)]
    if slot.code_hash != CONTRACT_CODE_HASH:
        reason = (
            f"The code at 0x{anchor.contract.hex()} is not EvidenceAnchor: what it keeps in that"
            " slot means nothing."
        )
        return _Witness([*checks, _failed(f"{place}.contract", reason), canonical])
    # Its block number is not compared: on some chains the contract sees that of the chain below.
    if record.time > header.time:
        reason = (
            f"The slot names {format_time(anchored)}, which is later than block {header.number}"
            " that it is said to stand in."
        )
        return _Witness([*checks, _failed(f"{place}.contract", reason), canonical])
    if anchor.contract == CONTRACT_ADDRESS:
        reason = (
            "The contract is EvidenceAnchor at its one address; it first saw the root at"
            f" {format_time(anchored)}."
        )
    else:
        # Its creator could have written slots before the code was in place, so only the block
        # itself is believed, not the time in the slot.
        anchored = _time(header.time)
        reason = (
            "The contract runs EvidenceAnchor's code at another address, so only its block's own"
            f" time counts: {format_time(anchored)}."
        )
    return _Witness(
        [*checks, _passed(f"{place}.contract", reason), canonical],
        anchored,
        _block_assurance(anchor, trust),
    )


def _judge_record(
    name: str, anchor: Anchor, root: bytes, trust: Trust, canonical: Check
) -> _Witness:
    """Judge an anchor without a state proof: only the verifier's own knowledge of the contract can
    stand in for it.
    """
    contract, chain = f"0x{anchor.contract.hex()}", known_chain(anchor.chain_id)
    named = (anchor.chain_id, anchor.contract, root)
    record = next(
        (known for known in trust.records if (known.chain_id, known.contract, known.root) == named),
        None,
    )
    if record is None:
        reason = (
            "The proof holds no state proof, because the node gave none: ask a node of"
            f" {chain.name} with --rpc, or look the root up in {contract}."
        )
        return _Witness([_unknown(name, reason), canonical])
    anchored = _time(record.time)
    reason = (
        f"The proof holds no state proof, but contract {contract} holds this root since"
        f" {format_time(anchored)}: {record.source}."
    )
    return _Witness([_passed(name, reason), canonical], anchored, _block_assurance(anchor, trust))


def _judge_header(
    name: str, rlp: bytes, block_hash: bytes, number: int
) -> tuple[Header | None, Check]:
    try:
        header = parse_header(rlp)
    except InvalidInput as error:
        return None, _failed(name, f"The block header cannot be read: {error}.")
    if header.hash != block_hash or header.number != number:
        reason = (
            f"The header is that of block {header.number} with hash 0x{header.hash.hex()}, not of"
            f" block {number} with 0x{block_hash.hex()}."
        )
        return None, _failed(name, reason)
    return header, _passed(name, f"The header of block {number} has the hash 0x{block_hash.hex()}.")


def _judge_canonical(
    name: str, chain_id: int, number: int, block_hash: bytes, trust: Trust
) -> Check:
    """Judge whether a block is part of its chain, which no proof can say of itself."""
    chain = known_chain(chain_id)
    if known := _trusted(chain_id, number, block_hash, trust):
        return _passed(name, f"Block {number} is part of {chain.name}: {known[0].source}.")
    for block in trust.blocks:
        if (block.chain_id, block.number) == (chain_id, number):
            return _failed(
                name,
                f"Block {number} of {chain.name} has the hash 0x{block.hash.hex()}, not"
                f" 0x{block_hash.hex()}: {block.source}.",
            )
    reason = (
        f"Whether block {number} is part of {chain.name} cannot be seen offline: compare its hash"
        f" 0x{block_hash.hex()}"
    )
    where = (
        f"on {chain.explorer}/block/{number}" if chain.explorer else f"with a node of {chain.name}"
    )
    own = (
        " If the ledger is your own, name it with --home."
        if chain.assurance is Assurance.LOCAL
        else ""
    )
    return _unknown(
        name, f"{reason} {where}, then give --block-hash {chain_id}:0x{block_hash.hex()}.{own}"
    )


def _trusted(chain_id: int, number: int, block_hash: bytes, trust: Trust) -> list[TrustedBlock]:
    return [
        block
        for block in trust.blocks
        if block.hash == block_hash
        and block.chain_id in {None, chain_id}
        and block.number in {None, number}
    ]


def _block_assurance(anchor: Anchor, trust: Trust) -> Assurance:
    """Return what a trusted block is worth.

    A header names no chain: where the verifier named none either, the proof's word must not raise
    it.
    """
    chain = known_chain(anchor.chain_id)
    is_named = any(
        block.chain_id
        for block in _trusted(anchor.chain_id, anchor.block_number, anchor.block_hash, trust)
    )
    return chain.assurance if is_named else min(chain.assurance, Assurance.PRIVATE)


# 6. The opening record


def _judge_opening(
    proof: Proof, trust: Trust
) -> tuple[Opening | None, datetime | None, list[Check]]:
    """Return the record, the time before which nothing was in the batch, as far as they are known,
    and the checks.
    """
    if proof.opening is None:
        return None, None, [_unknown("opening", "The proof has no opening record.")]
    try:
        opening = parse_opening(proof.opening.record)
    except InvalidInput as error:
        return None, None, [_failed("opening", f"The opening record cannot be read: {error}.")]
    check = _judge_path(
        "opening", opening_digest(proof.opening.record), proof, 0, proof.opening.path
    )
    if check.outcome is Outcome.FAILED:
        return None, None, [check]
    time, block = _judge_opening_block(proof.opening, opening, trust)
    return opening, time, [check, block]


def _judge_opening_block(
    proof: OpeningProof, opening: Opening, trust: Trust
) -> tuple[datetime | None, Check]:
    name, block = "opening.block", opening.block
    if block is None:
        check = _unknown(
            name,
            "The record names no block, so it is not known before when the batch cannot have been"
            " begun.",
            required=False,
        )
        return None, (
            check
            if proof.header is None
            else _failed(name, "The record names no block, but the proof has a header for one.")
        )
    if proof.header is None:
        return None, _unknown(
            name, f"The header of block {block.number}, which the record names, is missing."
        )
    header, check = _judge_header(name, proof.header, block.hash, block.number)
    if header is None:
        return None, check
    check = replace(
        _judge_canonical(name, block.chain_id, block.number, block.hash, trust), required=False
    )
    return (_time(header.time) if check.outcome is Outcome.PASSED else None), check


# 7. The ledger log


def _judge_log(proof: Proof, opening: Opening | None, trust: Trust) -> list[Check]:
    if proof.log is None:
        return [_unknown("log", "The proof has no batch statement from the ledger log.")]
    return [
        _judge_statement(proof, proof.log, opening),
        _judge_log_path(proof.log),
        _judge_checkpoint(proof.log, trust),
    ]


def _judge_statement(proof: Proof, log: LogProof, opening: Opening | None) -> Check:
    assert proof.inclusion
    try:
        statement = parse_statement(log.statement)
    except InvalidInput as error:
        return _failed("log.statement", f"The batch statement cannot be read: {error}.")
    stated = (statement.root, statement.count)
    if stated != (proof.inclusion.root, proof.inclusion.size):
        return _failed(
            "log.statement",
            f"The batch statement is about {statement.count} entries with root"
            f" {statement.root.hex()}, not about this batch.",
        )
    if opening and (statement.origin, statement.sequence, statement.opened) != (
        opening.origin,
        opening.batch,
        opening.opened,
    ):
        return _failed(
            "log.statement",
            "The batch statement and the opening record name different ledgers, batches or opening"
            " times.",
        )
    reason = (
        f"{statement.origin} states batch {statement.sequence}: {statement.count} entries with this"
        f" root, closed {format_time(statement.closed)}."
    )
    return _passed("log.statement", reason)


def _judge_log_path(log: LogProof) -> Check:
    try:
        statement = parse_statement(log.statement)
        checkpoint = parse_checkpoint(parse_note(log.checkpoint).text)
        is_included = check_inclusion(
            log.index, checkpoint.size, leaf_hash(log.statement.encode()), log.path, checkpoint.root
        )
    except InvalidInput as error:
        return _failed(
            "log.path", f"The statement's place in the ledger log cannot be checked: {error}."
        )
    if not is_included or checkpoint.origin != statement.origin:
        return _failed(
            "log.path",
            f"The statement is not entry {log.index} of the log that the checkpoint of"
            f" {checkpoint.origin} describes.",
        )
    return _passed(
        "log.path",
        f"The statement is entry {log.index} of {checkpoint.size} in the log of"
        f" {checkpoint.origin}.",
    )


def _judge_checkpoint(log: LogProof, trust: Trust) -> Check:
    if not trust.checkpoint_keys:
        reason = (
            "No key of the ledger was given (--checkpoint-key), so it is not known who signed the"
            " checkpoint. The root's witnesses do not need it."
        )
        return _unknown("log.checkpoint", reason, required=False)
    try:
        changes = join_histories(
            check_history(log.keys),
            check_history([note for note in trust.key_notes if _is_of(note, log)]),
        )
        signer = judge_signer(log.checkpoint, trust.checkpoint_keys, changes)
    except InvalidInput as error:
        return _failed(
            "log.checkpoint", f"The checkpoint, or a key note beside it, cannot be read: {error}."
        )
    return (_passed if signer.is_expected else _failed)(
        "log.checkpoint", f"The checkpoint {signer.reason}."
    )


def _is_of(note: str, log: LogProof) -> bool:
    """Whether a key note is of the log that the proof's checkpoint is of."""
    return (
        parse_key_change(parse_note(note).text).origin
        == parse_checkpoint(parse_note(log.checkpoint).text).origin
    )


# 8. The window


def _judge_window(
    not_before: datetime | None, not_after: datetime | None, now: datetime
) -> list[Check]:
    if not_after is None:
        return []
    if not_before and not_before - not_after > SKEW:
        reason = (
            f"The witnesses contradict each other: begun after {format_time(not_before)}, yet"
            f" complete by {format_time(not_after)}."
        )
        return [_failed("window", reason)]
    if not_after - now > SKEW:
        return [
            _unknown(
                "window",
                f"The witnesses say {format_time(not_after)}, but the clock here says"
                f" {format_time(now)}: one of them is wrong.",
            )
        ]
    since = f"begun after {format_time(not_before)}, and " if not_before else ""
    return [
        _passed(
            "window",
            f"The batch was {since}complete by {format_time(not_after)}; the file itself may be"
            " older.",
        )
    ]


def _time(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _passed(name: str, reason: str) -> Check:
    return Check(name, Outcome.PASSED, reason)


def _failed(name: str, reason: str) -> Check:
    return Check(name, Outcome.FAILED, reason)


def _unknown(name: str, reason: str, *, required: bool = True) -> Check:
    return Check(name, Outcome.UNKNOWN, reason, required)
