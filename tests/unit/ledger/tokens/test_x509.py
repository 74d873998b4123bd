"""ledger/tokens/x509.py: how many signatures a search for a chain may cost.
tests/unit/ledger/test_token.py has the chains themselves."""

from datetime import timedelta

from make_anew import read as parsed
from make_anew import written
from make_record import START, YEAR, make_proof, tokens_of
from make_token import CA, STAMPS, Issued, issue, key
from make_token import trust as roots_of

from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.record import parse_record
from witnesstree.ledger.proof.record_judge import verify_record
from witnesstree.ledger.proof.record_make import make_record, renew_timestamp
from witnesstree.ledger.tokens import x509 as module
from witnesstree.ledger.tokens.x509 import (
    MAX_CHAIN_SIGNATURES,
    X509Certificate,
    climb,
    find_chain,
    read_certificate,
)
from witnesstree.ledger.trust import Trust

LIFE = {"start": START - YEAR, "end": START + 40 * YEAR}


def chained(count: int, kind: str = "p256") -> list[Issued]:
    """So many certificates of one name, each signed by the one before it."""
    chain = [issue("A", None, key(kind, 200), CA, **LIFE)]
    for i in range(1, count):
        chain.append(issue("A", chain[-1], key(kind, 200 + i), CA, **LIFE))
    return chain


def checked() -> int:
    return module._is_signed_by.cache_info().misses


def read(issued: Issued) -> X509Certificate:
    found = read_certificate(issued.der)
    assert found
    return found


def test_an_authority_of_less_than_no_length_is_none() -> None:
    """RFC 5280, 4.2.1.9: pathLenConstraint is 0 or more."""
    tree = parsed(issue("A", None, key("p256", 180), CA, **LIFE).der)
    fields = tree[1][0][1]
    extensions = fields[-1][1][0][1]
    constraint = next(each for each in extensions if each[1][0][1] == bytes.fromhex("551d13"))
    for length, is_read in ((0, True), (1, True), (-1, False)):
        number = length.to_bytes(1, "big", signed=True)
        constraint[1][-1][1] = written([0x30, [[0x01, b"\xff"], [0x02, number]]])
        assert (read_certificate(written(tree)) is not None) is is_read, length


def test_a_search_checks_so_many_signatures_and_no_more() -> None:
    chain = chained(30)
    signer = issue("T", chain[-1], key("p256", 190), STAMPS, **LIFE)
    module._is_signed_by.cache_clear()
    way = climb(read(signer), [each.der for each in chain])
    assert checked() <= MAX_CHAIN_SIGNATURES
    assert [each.der for each in way] == [
        signer.der,
        *(each.der for each in reversed(chain[-len(way) + 1 :])),
    ]
    assert 2 <= len(way) < len(chain)


def test_a_short_chain_is_found_whatever_a_stranger_adds() -> None:
    root = issue("A", None, key("p256", 180), CA, **LIFE)
    signer = issue("T", root, key("p256", 190), STAMPS, **LIFE)
    trust = Trust(tuple(roots_of(root)))
    found = find_chain(read(signer), START, [each.der for each in chained(70)], trust)
    assert [each.der for each in found.path] == [signer.der, root.der]


def test_no_signature_is_checked_twice_in_a_record() -> None:
    chain = chained(8)
    signer = issue("T", chain[-1], key("rsa", 91), STAMPS, **LIFE)
    root = make_proof(1, 0)
    assert root.inclusion
    first = tokens_of(0, signer)(root.inclusion.root, "sha256")
    record = parse_record(
        make_record(
            type(root)(
                root.digest,
                root.inclusion,
                tokens=(Stamp(first.token, tuple(each.der for each in chain)),),
            )
        )
    )
    for i in range(1, 6):
        record = renew_timestamp(record, tokens_of(i / 4, signer))
    module._is_signed_by.cache_clear()
    verify_record(record.der, [{"sha256": root.digest}], Trust(), START + timedelta(days=800))
    assert 0 < checked() <= MAX_CHAIN_SIGNATURES
