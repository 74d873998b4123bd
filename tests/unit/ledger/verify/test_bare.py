"""A token that stands alone, for a file."""

import hashlib
from datetime import timedelta

import pytest
from asn1crypto import tsp
from make_token import NOW, Forge, root, stamped, trust

from witnesstree.ledger.base.report import Assurance, Outcome, Verdict
from witnesstree.ledger.tokens.token import parse_token
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.bare import verify_token

FILE = b"The boundary runs to the old oak."
TRUST = Trust(tuple(trust(root())))


def token_for(algorithm: str, **more: object) -> bytes:
    imprint = {
        "hash_algorithm": {"algorithm": algorithm},
        "hashed_message": hashlib.new(algorithm, FILE).digest(),
    }
    return Forge(content=tsp.TSTInfo(stamped(message_imprint=imprint, **more)).dump()).make()


@pytest.mark.parametrize("algorithm", ["sha224", "sha256", "sha384", "sha512", "sha3_256"])
def test_it_dates_a_file_by_any_digest_that_is_accepted(algorithm: str) -> None:
    token = parse_token(token_for(algorithm, accuracy={"seconds": 2}))
    digests = {algorithm: hashlib.new(algorithm, FILE).digest()}
    report = verify_token(token, digests, TRUST, NOW + timedelta(days=1))
    assert report.verdict is Verdict.VERIFIED
    assert report.assurance is Assurance.PRIVATE
    assert report.not_before is None
    assert report.not_after == report.not_after_token == token.gen_time + timedelta(seconds=2)
    assert [check.name for check in report.checks] == [
        *(f"token.{name}" for name in ("form", "imprint", "signer", "signature", "chain")),
        "token.revocation",
        "window",
    ]


def test_of_another_file_it_is_false() -> None:
    report = verify_token(parse_token(token_for("sha256")), {"sha256": bytes(32)}, TRUST, NOW)
    assert report.verdict is Verdict.FAILED
    assert report.assurance is None
    assert report.not_after is None


@pytest.mark.parametrize(
    ("algorithm", "code"),
    [
        ("sha1", "imprint-algorithm-weak"),
        ("md5", "imprint-algorithm-weak"),
        ("sha512_256", "imprint-algorithm-not-accepted"),
    ],
)
def test_a_digest_that_is_not_accepted_leaves_it_open(algorithm: str, code: str) -> None:
    token = parse_token(token_for(algorithm))
    report = verify_token(token, {}, TRUST, NOW)
    assert report.verdict is Verdict.UNDECIDED
    (check,) = (check for check in report.checks if check.name == "token.imprint")
    assert (check.outcome, check.message.code) == (Outcome.UNKNOWN, code)
    # Whatever somebody says the digest is.
    given = verify_token(token, {algorithm: token.imprint}, TRUST, NOW)
    assert given == report


def test_without_a_root_it_is_open() -> None:
    token = parse_token(token_for("sha256"))
    digests = {"sha256": hashlib.sha256(FILE).digest()}
    report = verify_token(token, digests, Trust(), NOW)
    assert (report.verdict, report.not_after) == (Verdict.UNDECIDED, None)


def test_a_token_from_the_future_is_open() -> None:
    token = parse_token(token_for("sha256"))
    digests = {"sha256": hashlib.sha256(FILE).digest()}
    report = verify_token(token, digests, TRUST, token.gen_time - timedelta(days=1))
    assert report.verdict is Verdict.UNDECIDED
    assert report.checks[-1].message.code == "record-clock-behind"
