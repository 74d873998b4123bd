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
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import (
    Assurance,
    Check,
    Outcome,
    Report,
    failed,
    passed,
    unknown,
)
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

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.witness import Anchor, Stamp
    from witnesstree.ledger.chain.stateproof import Header
    from witnesstree.ledger.proof.bundle import Bundle
    from witnesstree.ledger.proof.proof import LogProof, OpeningProof
    from witnesstree.ledger.trust import Trust, TrustedBlock

KEPT = 64
"""Batches that a Verifier remembers: more than the files of one folder usually come from; at 4 MiB,
the most that a proof has, 256 MiB each way."""
MAX_JUDGED_TIMESTAMPS = 64
"""Archive timestamps that are judged in all records of a proof: each may cost dozens of signatures.
Three authorities renewed every three years need as many in sixty years."""


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
            return Report((failed("proof", "proof-unreadable", error=error),))
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
        checks = [passed("proof", "proof-readable", format=source)]
        # 2. The digest is the file's.
        checks.append(_judge_digest(digest, proof))
        # 3. The path leads to the root. Without a root there is nothing that a witness could speak
        # of.
        if proof.inclusion is None:
            return Report((*checks, unknown("inclusion", "batch-not-sealed")))
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
            return Report(
                (
                    passed("proof", "proofs-readable", format=BUNDLE),
                    failed("digest", "digest-not-in-batch", digest=digest),
                )
            )
        try:
            proof = bundle.proof(position)
        except InvalidInput as error:
            return Report((failed("proof", "proof-in-batch-unreadable", error=error),))
        return self.verify_proof(digest, proof, BUNDLE)

    def verify_batch(self, shared: Proof, fault: Message | None) -> Report:
        """Return what a file of proofs proves about each of its digests, given the proof of leaf 0
        and what `Bundle.fault` says of all others.
        """
        assert shared.inclusion
        size, root = shared.inclusion.size, shared.inclusion.root
        if fault:
            check = failed("inclusion", "batch-tree-wrong", fault=fault)
        else:
            check = passed("inclusion", "batch-tree-right", size=size, root=root)
        checks = [passed("proof", "proofs-readable", format=BUNDLE), check]
        # A record witnesses every digest only if it can be made each one's own; as that of leaf 0,
        # which it is taken for here, it need not.
        try:
            shared = replace(
                shared,
                records=derived_records(shared.records, shared.digest, shared.inclusion.path),
            )
        except InvalidInput as error:
            checks.append(failed("records", "record-not-for-all", error=error))
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
        checks += _weigh("tokens", "token", tokens, is_required=require is not Require.ANCHOR)
        checks += _weigh("anchors", "anchor", anchors, is_required=require is not Require.TOKEN)
        # 6. The opening record; 7. the statement and the checkpoint.
        checks += batch.checks
        # 8. The times agree.
        good = [witness for witness in (*tokens, *anchors) if witness.has_passed]
        not_after = min((witness.not_after for witness in good if witness.not_after), default=None)
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
        return passed("digest", "digest-matches", digest=digest)
    return failed("digest", "digest-differs", found=digest, expected=proof.digest)


def _judge_path(
    name: str, leaf: bytes, proof: Proof, position: int, path: tuple[bytes, ...]
) -> Check:
    assert proof.inclusion
    size, root = proof.inclusion.size, proof.inclusion.root
    try:
        implied = root_from_path(leaf, position, size, path)
    except InvalidInput as error:
        return failed(name, "path-impossible", error=error)
    if implied != root:
        return failed(name, "path-to-other-root", position=position, found=implied, root=root)
    return passed(name, "path-to-root", count=len(path), position=position, size=size, root=root)


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
    all than MAX_JUDGED_TIMESTAMPS.
    """
    assert proof.inclusion
    known: dict[bytes, _Witness] = {}
    left = MAX_JUDGED_TIMESTAMPS
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
        return 0, failed("record", "record-unreadable", error=error)
    token = timestamps[0].token
    if (token.imprint_algorithm, token.imprint) != ("sha256", root):
        # It may be true of this digest, but is no witness of the batch.
        return 0, failed("root", "record-for-other-root", found=token.imprint, root=root)
    if len(timestamps) > left:
        return 0, unknown(
            "root", "records-too-many", left=left, most=MAX_JUDGED_TIMESTAMPS, found=len(timestamps)
        )
    return len(timestamps), passed("root", "record-for-root")


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
        return [unknown(name, "witness-absent", kind=kind, required=is_required)]
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
        return _Witness(
            [
                block,
                failed(f"{place}.state", "state-proof-wrong", number=header.number, error=error),
                canonical,
            ]
        )
    found, contract = slot.record, _0x(anchor.contract)
    anchored = _time(found.time)
    checks = [
        block,
        passed(
            f"{place}.state",
            "state-proof-right",
            number=header.number,
            contract=contract,
            anchored=found.block_number,
        ),
    ]
    if slot.code_hash != CONTRACT_CODE_HASH:
        return _Witness(
            [
                *checks,
                failed(f"{place}.contract", "contract-code-unknown", contract=contract),
                canonical,
            ]
        )
    # Its block number is not compared: on some chains the contract sees that of the chain below.
    if found.time > header.time:
        return _Witness(
            [
                *checks,
                failed(
                    f"{place}.contract", "anchored-after-block", time=anchored, number=header.number
                ),
                canonical,
            ]
        )
    if anchor.contract == CONTRACT_ADDRESS:
        code = "contract-right"
    else:
        # Its creator could have written slots before the code was in place, so only the block
        # itself is believed, not the time in the slot.
        anchored = _time(header.time)
        code = "contract-at-other-address"
    return _Witness(
        [*checks, passed(f"{place}.contract", code, time=anchored), canonical],
        anchored,
        _block_assurance(anchor, trust),
    )


def _judge_record(
    name: str, anchor: Anchor, root: bytes, trust: Trust, canonical: Check
) -> _Witness:
    """Judge an anchor without a state proof: only the verifier's own knowledge of the contract can
    stand in for it.
    """
    contract, chain = _0x(anchor.contract), known_chain(anchor.chain_id)
    named = (anchor.chain_id, anchor.contract, root)
    record = next(
        (known for known in trust.records if (known.chain_id, known.contract, known.root) == named),
        None,
    )
    if record is None:
        check = unknown(name, "state-proof-absent", chain=chain.title, contract=contract)
        return _Witness([check, canonical])
    anchored = _time(record.time)
    check = passed(
        name, "state-proof-replaced", contract=contract, time=anchored, source=record.source
    )
    return _Witness([check, canonical], anchored, _block_assurance(anchor, trust))


def _judge_header(
    name: str, rlp: bytes, block_hash: bytes, number: int
) -> tuple[Header | None, Check]:
    try:
        header = parse_header(rlp)
    except InvalidInput as error:
        return None, failed(name, "header-unreadable", error=error)
    if header.hash != block_hash or header.number != number:
        return None, failed(
            name,
            "header-of-other-block",
            found=header.number,
            found_hash=_0x(header.hash),
            number=number,
            hash=_0x(block_hash),
        )
    return header, passed(name, "header-right", number=number, hash=_0x(block_hash))


def _judge_canonical(
    name: str, chain_id: int, number: int, block_hash: bytes, trust: Trust
) -> Check:
    """Judge whether a block is part of its chain, which no proof can say of itself."""
    chain = known_chain(chain_id)
    if known := _trusted(chain_id, number, block_hash, trust):
        return passed(
            name, "block-canonical", number=number, chain=chain.title, source=known[0].source
        )
    for block in trust.blocks:
        if (block.chain_id, block.number) == (chain_id, number):
            return failed(
                name,
                "block-not-canonical",
                number=number,
                chain=chain.title,
                found=_0x(block.hash),
                hash=_0x(block_hash),
                source=block.source,
            )
    code = "block-unknown-node"
    if chain.explorer:
        code = "block-unknown-explorer"
    elif chain.assurance is Assurance.LOCAL:
        code = "block-unknown-local"
    return unknown(
        name,
        code,
        number=number,
        chain=chain.title,
        hash=_0x(block_hash),
        explorer=chain.explorer,
        chain_id=chain_id,
    )


def _0x(value: bytes) -> str:
    return "0x" + value.hex()


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
        return None, None, [unknown("opening", "opening-absent")]
    try:
        opening = parse_opening(proof.opening.record)
    except InvalidInput as error:
        return None, None, [failed("opening", "opening-unreadable", error=error)]
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
        check = unknown(name, "opening-without-block", required=False)
        return None, (
            check if proof.header is None else failed(name, "opening-header-without-block")
        )
    if proof.header is None:
        return None, unknown(name, "opening-header-absent", number=block.number)
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
        return [unknown("log", "log-absent")]
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
        return failed("log.statement", "statement-unreadable", error=error)
    stated = (statement.root, statement.count)
    if stated != (proof.inclusion.root, proof.inclusion.size):
        return failed(
            "log.statement", "statement-of-other-batch", count=statement.count, root=statement.root
        )
    if opening and (statement.origin, statement.sequence, statement.opened) != (
        opening.origin,
        opening.batch,
        opening.opened,
    ):
        return failed("log.statement", "statement-contradicts-opening")
    return passed(
        "log.statement",
        "statement-right",
        origin=statement.origin,
        sequence=statement.sequence,
        count=statement.count,
        closed=statement.closed,
    )


def _judge_log_path(log: LogProof) -> Check:
    try:
        statement = parse_statement(log.statement)
        checkpoint = parse_checkpoint(parse_note(log.checkpoint).text)
        is_included = check_inclusion(
            log.index, checkpoint.size, leaf_hash(log.statement.encode()), log.path, checkpoint.root
        )
    except InvalidInput as error:
        return failed("log.path", "log-path-unreadable", error=error)
    if not is_included or checkpoint.origin != statement.origin:
        return failed("log.path", "log-path-wrong", index=log.index, origin=checkpoint.origin)
    return passed(
        "log.path",
        "log-path-right",
        index=log.index,
        size=checkpoint.size,
        origin=checkpoint.origin,
    )


def _judge_checkpoint(log: LogProof, trust: Trust) -> Check:
    if not trust.checkpoint_keys:
        return unknown("log.checkpoint", "checkpoint-key-absent", required=False)
    try:
        changes = join_histories(
            check_history(log.keys),
            check_history([note for note in trust.key_notes if _is_of(note, log)]),
        )
        signer = judge_signer(log.checkpoint, trust.checkpoint_keys, changes)
    except InvalidInput as error:
        return failed("log.checkpoint", "checkpoint-unreadable", error=error)
    outcome = Outcome.PASSED if signer.is_expected else Outcome.FAILED
    return Check("log.checkpoint", outcome, signer.message)


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
        return [failed("window", "window-contradicts", not_before=not_before, not_after=not_after)]
    if not_after - now > SKEW:
        return [unknown("window", "window-ahead-of-clock", not_after=not_after, now=now)]
    code = "window-both" if not_before else "window-not-after"
    return [passed("window", code, not_before=not_before, not_after=not_after)]


def _time(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)
