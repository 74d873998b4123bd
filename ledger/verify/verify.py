"""Verification: a pure function of a digest, a proof, the verifier's own trust, and the time.

It reads no file and asks no one.

Its steps, each one or more named checks:

    1  proof               the proof parses
    2  digest              the digest is the one that the proof is for
       digests.…           so are the file's digests under other algorithms, where they are known
       extensions[i]       what a later version has added is named
       file_tokens[i].…    timestamps over the file itself: they date it, and only what is false in
                           them counts
    3  inclusion           the path leads to the root, with exactly the length that its position
                           demands (inclusion.py)
    4  tokens[i].…         imprint, signer, signature, chain and revocation of each timestamp token
                           (tokens.py, and ledger/tokens/)
       records[i].…        each evidence record, which carries a token's time over the end of
                           certificates and hash functions (ledger/proof/record.py)
    5  anchors[i].…        from a block header, known to be canonical, through account and storage
                           proof to the root's slot (anchors.py)
    6  opening…            the opening record leads to the same root, and so does the block it names
                           to a time (history.py)
    7  log.…               the batch statement says the same, is in the ledger log, and its
                           checkpoint is signed by the expected key (history.py)
    8  window              the times that came out of this agree with each other and with the clock
                           (window.py)

A check is FAILED where something is wrong, UNKNOWN where something is missing or beyond what the
verifier trusts. UNKNOWN never counts as passed. Nothing in a proof can lower what is asked of it:
which witnesses must be there is `Require`, and trust comes from the verifier alone.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.base.report import Check, Report, failed, passed, unknown
from witnesstree.ledger.proof.bundle import FORMAT as BUNDLE
from witnesstree.ledger.proof.bundle import derived_records
from witnesstree.ledger.proof.proof import FORMAT, Hints, Proof, parse_proof
from witnesstree.ledger.proof.template import Template, shared_bytes
from witnesstree.ledger.verify.anchors import judge_anchor
from witnesstree.ledger.verify.history import judge_log, judge_opening
from witnesstree.ledger.verify.inclusion import judge_digest, judge_path
from witnesstree.ledger.verify.tokens import (
    judge_digests,
    judge_file,
    judge_records,
    judge_stamp,
)
from witnesstree.ledger.verify.window import Begun, judge_window
from witnesstree.ledger.verify.witness import Witness, best_assurance, date_of, weigh

if TYPE_CHECKING:
    from collections.abc import Mapping

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.proof.bundle import Bundle
    from witnesstree.ledger.trust import Trust

KEPT = 64
"""Batches that a Verifier remembers: more than the files of one folder usually come from; at 4 MiB,
the most that a proof has, 256 MiB each way."""
_NO_HINTS = Hints()


class Require(StrEnum):
    """Which witnesses must be there. This is the verifier's policy, never the proof's own word."""

    TOKEN = "token"  # noqa: S105 - no password
    ANCHOR = "anchor"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the witnesses, the opening record and the log of a batch come to: the same for every
    digest in it.
    """

    tokens: list[Witness]
    anchors: list[Witness]
    checks: list[Check]
    begun: Begun


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
        self._judged = lru_cache(KEPT)(lambda batch: _judge_batch(batch, trust, now))
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
        if key and proof.inclusion and proof.is_shared:
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
        checks.append(judge_digest(digest, proof))
        digests = {**(digests or {}), "sha256": digest}
        checks += judge_digests(proof, digests)
        checks += _judge_extensions(proof)
        dated = judge_file(proof, digests, self._trust, self._now)
        checks += [check for each in dated for check in each.checks]
        file_not_after = date_of([each for each in dated if each.not_after])
        # 3. The path leads to the root. Without a root there is nothing that a witness could speak
        # of.
        if proof.inclusion is None:
            unsealed = unknown("inclusion", "batch-not-sealed")
            return Report((*checks, unsealed), file_not_after=file_not_after)
        checks.append(
            judge_path(
                "inclusion", proof.digest, proof, proof.inclusion.position, proof.inclusion.path
            )
        )
        report = self._report(checks, proof, digests)
        return replace(report, file_not_after=file_not_after) if dated else report

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
        except OverLimit as error:
            return Report((unknown("proof", "proof-in-batch-unreadable", error=error),))
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
        checks += _judge_extensions(shared)
        # A record witnesses every digest only if it can be made each one's own; as that of leaf 0,
        # which it is taken for here, it need not.
        try:
            shared = replace(
                shared,
                records=derived_records(shared.records, shared.digest, shared.inclusion.path),
            )
        except OverLimit as error:
            checks.append(unknown("records", "record-not-for-all", error=error))
            shared = replace(shared, records=())
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
                digests=(),
                file_tokens=(),
                extensions=(),
            )
        )
        # 4. Each token, and each record, which is a token's witness like the token itself; 5. each
        # anchor.
        records = judge_records(proof, digests, self._trust, self._now)
        tokens, anchors = [*batch.tokens, *records], batch.anchors
        checks += weigh("tokens", "token", tokens, is_required=require is not Require.ANCHOR)
        checks += weigh("anchors", "anchor", anchors, is_required=require is not Require.TOKEN)
        # 6. The opening record; 7. the statement and the checkpoint.
        checks += batch.checks
        # 8. The times agree.
        window = judge_window(
            batch.begun,
            tokens,
            anchors,
            self._now,
            needs_token=require is not Require.ANCHOR,
            needs_anchor=require is not Require.TOKEN,
        )
        checks += window.checks
        worth = (
            [best_assurance(tokens), best_assurance(anchors)]
            if require is Require.BOTH
            else [best_assurance(tokens if require is Require.TOKEN else anchors)]
        )
        report = Report(
            tuple(checks),
            min((value for value in worth if value is not None), default=None),
            window.not_before,
            window.not_after,
            window.not_after_token,
            window.not_after_anchor,
        )
        return report if report.is_verified else replace(report, assurance=None)


def _judge_extensions(proof: Proof) -> list[Check]:
    """Name what a later version has added. No extension is known yet."""
    return [
        unknown(f"extensions[{i}]", "extension-unknown", id=each.id, required=each.is_critical)
        for i, each in enumerate(proof.extensions)
    ]


def _judge_batch(proof: Proof, trust: Trust, now: datetime) -> _Batch:
    """Judge what is alike in all proofs of a batch; the rest of `proof` is empty.

    Only trust and the time decide here, not the policy.
    """
    assert proof.inclusion
    root = proof.inclusion.root
    # 4. Each token; 5. each anchor.
    tokens = [
        judge_stamp(f"tokens[{i}]", stamp, root, trust, now) for i, stamp in enumerate(proof.tokens)
    ]
    anchors = [
        judge_anchor(f"anchors[{i}]", anchor, root, trust) for i, anchor in enumerate(proof.anchors)
    ]
    # 6. The opening record leads to the same root.
    opening, begun, found = judge_opening(proof, trust)
    # 7. The statement is in the log, and the checkpoint is signed by the expected key.
    return _Batch(tokens, anchors, [*found, *judge_log(proof, opening, trust)], begun)
