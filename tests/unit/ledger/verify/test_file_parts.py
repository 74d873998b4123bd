"""What a proof holds of one file alone: timestamps over the file, its other digests; and extensions
that nobody knows yet.
"""

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asn1crypto import tsp
from make_proof import honest
from make_token import NOW, Forge, root, stamped, trust
from vectors.proof.make import sealed_again

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Outcome, Report, Verdict
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.proof import (
    MAX_DIGESTS,
    MAX_EXTENSIONS,
    MAX_WITNESSES,
    Extension,
    Proof,
    format_proof,
    parse_proof,
)
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.history import judge_log_alone
from witnesstree.ledger.verify.verify import Require, Verifier, verify

FILE = b"The boundary runs to the old oak."
SHA256, SHA512 = hashlib.sha256(FILE).digest(), hashlib.sha512(FILE).digest()
BARE = Proof(SHA256)


def over(digest: bytes, algorithm: str = "sha256", **more: Any) -> Stamp:
    imprint = {"hash_algorithm": {"algorithm": algorithm}, "hashed_message": digest}
    return Stamp(Forge(content=tsp.TSTInfo(stamped(message_imprint=imprint, **more)).dump()).make())


def judged(proof: Proof, trusted: Trust | None = None, **digests: bytes) -> Report:
    trusted = Trust(tuple(trust(root()))) if trusted is None else trusted
    return verify(
        proof.digest, format_proof(proof), trusted, NOW + timedelta(days=1), digests=digests
    )


def outcomes(report: Report, beginning: str) -> dict[str, Outcome]:
    return {
        check.name.removeprefix(beginning): check.outcome
        for check in report.checks
        if check.name.startswith(beginning)
    }


def test_what_is_written_is_read() -> None:
    proof = replace(
        honest().proof(),
        digests=(("sha512", SHA512), ("sha3_256", bytes(32))),
        file_tokens=(over(SHA256), over(SHA512, "sha512")),
        extensions=(Extension("org.example/a", '{"b":1}'), Extension("x", "[]", is_critical=True)),
    )
    assert parse_proof(format_proof(proof)) == proof
    assert not proof.is_shared
    assert honest().proof().is_shared


def test_a_timestamp_over_the_file_dates_it_without_a_batch() -> None:
    report = judged(replace(BARE, file_tokens=(over(SHA256),)))
    assert report.verdict is Verdict.UNDECIDED, "the batch is not sealed"
    assert report.not_after is None
    assert report.file_not_after == NOW + timedelta(seconds=2)
    assert set(outcomes(report, "file_tokens[0].").values()) == {Outcome.PASSED, Outcome.UNKNOWN}


def test_it_neither_replaces_nor_contradicts_a_witness_of_the_batch() -> None:
    """It is from before the batch was begun, and nothing is wrong with that."""
    made = honest()
    proof = made.proof()
    trusted = made.trust | Trust(tuple(trust(root())))
    early = over(proof.digest, gen_time=NOW - timedelta(hours=20))
    dated = replace(proof, file_tokens=(early,))
    plain = verify(proof.digest, format_proof(proof), trusted, made.now)
    report = verify(proof.digest, format_proof(dated), trusted, made.now)
    assert report.verdict is Verdict.VERIFIED
    assert replace(report, checks=(), file_not_after=None) == replace(plain, checks=())
    # In place of the batch's own it counts for nothing.
    for require in Require:
        lacking = replace(dated, tokens=(), anchors=())
        content = format_proof(lacking)
        found = verify(proof.digest, content, trusted, made.now, require)
        assert found.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("stamp", "given", "failing"),
    [
        (over(bytes(32)), {}, "imprint"),
        (over(bytes(64), "sha512"), {"sha512": SHA512}, "imprint"),
        (Stamp(b"\x30\x00"), {}, "form"),
    ],
)
def test_one_that_is_false_fails(stamp: Stamp, given: dict[str, bytes], failing: str) -> None:
    report = judged(replace(BARE, file_tokens=(stamp,)), **given)
    assert report.verdict is Verdict.FAILED
    assert outcomes(report, "file_tokens[0].")[failing] is Outcome.FAILED
    assert report.file_not_after is None


def test_one_that_cannot_be_judged_leaves_nothing_open() -> None:
    made = honest()
    proof = made.proof()
    stamps = (over(SHA512, "sha512"), over(proof.digest))
    content = format_proof(replace(proof, file_tokens=stamps))
    report = verify(proof.digest, content, made.trust, made.now)
    assert report.verdict is Verdict.VERIFIED
    assert report.file_not_after is None
    assert outcomes(report, "file_tokens[0].") == {"imprint": Outcome.UNKNOWN}


def test_a_token_from_the_future_dates_nothing() -> None:
    stamp = over(SHA256, gen_time=NOW + timedelta(hours=20))
    content = format_proof(replace(BARE, file_tokens=(stamp,)))
    trusted = Trust(tuple(trust(root())))
    assert verify(SHA256, content, trusted, NOW).file_not_after is None
    assert verify(SHA256, content, trusted, NOW + timedelta(days=1)).file_not_after


def test_other_digests_are_compared_where_they_are_known() -> None:
    proof = replace(BARE, digests=(("sha512", SHA512), ("whirlpool", bytes(64))))
    report = judged(proof, sha512=SHA512)
    assert outcomes(report, "digests.") == {"sha512": Outcome.PASSED, "whirlpool": Outcome.UNKNOWN}
    assert judged(proof).verdict is Verdict.UNDECIDED
    assert judged(proof, sha512=bytes(64)).verdict is Verdict.FAILED


def test_what_a_later_version_adds_is_named() -> None:
    made = honest()
    proof = replace(made.proof(), extensions=(Extension("a", "1"),))
    report = verify(proof.digest, format_proof(proof), made.trust, made.now)
    assert report.verdict is Verdict.VERIFIED
    assert outcomes(report, "extensions") == {"[0]": Outcome.UNKNOWN}
    proof = replace(proof, extensions=(Extension("a", "1", is_critical=True),))
    report = verify(proof.digest, format_proof(proof), made.trust, made.now)
    assert report.verdict is Verdict.UNDECIDED


def test_proofs_of_one_batch_are_not_judged_by_each_others_parts() -> None:
    """A verifier remembers what proofs of a batch share."""
    made = honest()
    verifier = Verifier(made.trust, made.now)
    first, second = made.proof(3, 4), made.proof(3, 5)
    own = replace(first, extensions=(Extension("a", "1", is_critical=True),))
    for proof, verdict in (
        (own, Verdict.UNDECIDED),
        (second, Verdict.VERIFIED),
        (first, Verdict.VERIFIED),
        (own, Verdict.UNDECIDED),
    ):
        assert verifier.verify(proof.digest, format_proof(proof)).verdict is verdict


def test_a_place_in_a_log_of_no_statement_is_false() -> None:
    made = honest()
    log = made.proof().log
    assert log
    assert judge_log_alone(log, made.trust).verdict is Verdict.VERIFIED
    report = judge_log_alone(replace(log, statement="nothing"), made.trust)
    assert (report.verdict, report.assurance) == (Verdict.FAILED, None)


def test_a_number_that_json_does_not_carry_is_refused() -> None:
    text = format_proof(replace(BARE, extensions=(Extension("a", "[1]"),)))
    with pytest.raises(InvalidInput, match="whole number"):
        parse_proof(text.replace(b"   1\n", b"   9007199254740992\n"))


@pytest.mark.parametrize(
    "members",
    [
        {"digests": []},
        {"digests": {"sha256": "00" * 32}},
        {"digests": {"SHA512": "00" * 64}},
        {"digests": {"": "00"}},
        {"digests": {"a" * 33: "00"}},
        {"digests": {"sha512": "00" * 65}},
        {"digests": {"sha512": ""}},
        {"digests": {f"a{i}": "00" for i in range(MAX_DIGESTS + 1)}},
        {"file_tokens": {}},
        {"file_tokens": [{}]},
        {"file_tokens": [{"token": "AA=="}] * (MAX_WITNESSES + 1)},
        {"extensions": [{"id": "a"}]},
        {"extensions": [{"id": "a", "value": 1, "other": 1}]},
        {"extensions": [{"id": "a", "value": 1, "critical": 1}]},
        {"extensions": [{"id": "a" * 256, "value": 1}]},
        {"extensions": [{"id": "a", "value": 1}, {"id": "a", "value": 2}]},
        {"extensions": [{"id": f"{i}", "value": 1} for i in range(MAX_EXTENSIONS + 1)]},
    ],
)
def test_what_is_not_of_their_form_is_refused(members: dict[str, Any]) -> None:
    document = {**json.loads(format_proof(BARE)), **members}
    with pytest.raises(InvalidInput):
        parse_proof(sealed_again(document).encode())
