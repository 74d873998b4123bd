"""Any bytes are an evidence record or one documented error, and a changed record that is verified
still says the same."""

from __future__ import annotations

import time
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_record import (
    GROUP,
    START,
    YEAR,
    authority,
    digests,
    document,
    group_record,
    make_proof,
    token,
    tokens_of,
    top,
    trusted,
    way,
)
from make_revocation import make_crl, make_ocsp, wrap
from mutations import changed_der, rehearsed

from witnesstree.ledger.base.clock import rounded_up
from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.record import EvidenceRecord, parse_record
from witnesstree.ledger.proof.record_judge import verify_record
from witnesstree.ledger.proof.record_make import make_record, renew_timestamp

CHUNK = 500
# Seconds of this process's own time for one record.
LIMIT = 1.0
NOW = START + 7 * YEAR


@cache
def subjects() -> tuple[tuple[EvidenceRecord, tuple[bytes, ...], int], ...]:
    """Valid records, each with the files that it is for, and the year at which it is judged."""
    beside = {
        "certificates": (authority(0).der,),
        "crls": (make_crl(top()),),
        "ocsps": (make_ocsp(authority(0), top()),),
    }
    small = parse_record(make_record(make_proof(7, 4)))
    return (
        (small, (document(4),), 1),
        (parse_record(make_record(make_proof(3, 1, **beside))), (document(1),), 1),
        (way(7, 4).stamped_again, (document(4),), 7),
        (group_record(), GROUP, 9),
    )


def judged(der: bytes, number: int) -> bool:
    """Assert that `der` is a record or InvalidInput, and that what is verified is what was signed.

    Return whether it is verified.
    """
    original, contents, years = subjects()[number]
    report = verify_record(
        der, [digests(content) for content in contents], trusted(), START + years * YEAR
    )
    try:
        record = parse_record(der)
    except InvalidInput as error:
        assert [check.name for check in report.checks] == ["record"]
        is_open = isinstance(error, OverLimit)
        assert report.verdict is (Verdict.UNDECIDED if is_open else Verdict.FAILED)
        return False
    assert record.der == der
    if report.verdict is not Verdict.VERIFIED:
        return False
    signed = [(each.token.content, each.token.signer.attributes) for each in record.timestamps]
    assert signed == [
        (each.token.content, each.token.signer.attributes) for each in original.timestamps
    ]
    assert report.not_after == rounded_up(
        original.timestamps[0].token.gen_time + original.timestamps[0].token.accuracy
    )
    # An order that sorting undoes, and what no hash covers, may be another; a hash may not.
    assert [sorted(map(sorted, each.lists)) for each in record.timestamps] == [
        sorted(map(sorted, each.lists)) for each in original.timestamps
    ]
    return True


@pytest.mark.parametrize("number", range(4))
def test_unchanged_records_are_verified(number: int) -> None:
    assert judged(subjects()[number][0].der, number)


@pytest.mark.parametrize("chunk", rehearsed(2, 400))
def test_changed_records(chunk: int) -> None:
    random = Random(chunk)
    verified = 0
    for _ in range(CHUNK):
        # The large ones take three times as long and have nothing that the small ones lack but
        # their number.
        number = random.choice([0] * 9 + [1] * 3 + [2, 3])
        der = changed_der(subjects()[number][0].der, random.choice(subjects())[0].der, random)
        begun = time.process_time()
        verified += judged(der, number)
        assert time.process_time() - begun < LIMIT
    # What no hash and no signature covers: the order within a list, cryptoInfos, the names of
    # algorithms at the top.
    assert verified < CHUNK / 4


def test_a_flipped_bit_in_every_byte_of_the_tree() -> None:
    record = way(7, 4).initial
    lists = record.timestamps[0].lists
    for nodes in lists:
        at = record.der.index(nodes[0])
        for byte in range(at, at + 32):
            assert not judged(
                record.der[:byte] + bytes([record.der[byte] ^ 1]) + record.der[byte + 1 :], 0
            )


def test_every_truncation() -> None:
    der = way(7, 4).initial.der
    for size in range(len(der)):
        with pytest.raises(InvalidInput):
            parse_record(der[:size])


@given(der=st.binary(max_size=400))
def test_any_bytes(der: bytes) -> None:
    assert not judged(der, 0)
    with pytest.raises(InvalidInput):
        parse_record(wrap(0x30, b"\x02\x01\x01" + der))


@settings(max_examples=30)
@given(
    years=st.lists(st.sampled_from([0.5, 1, 2, 3]), max_size=3),
    size=st.integers(1, 9),
    position=st.integers(0, 8),
)
def test_any_renewals_of_any_record_read_back(years: list[float], size: int, position: int) -> None:
    record = parse_record(make_record(make_proof(size, position % size)))
    when = 0.0
    for step in years:
        when += step
        record = renew_timestamp(record, tokens_of(when))
        assert parse_record(record.der) == record
    report = verify_record(
        record.der, [digests(document(position % size))], trusted(), START + (when + 1) * YEAR
    )
    assert report.verdict is Verdict.VERIFIED


def test_a_renewal_on_another_record_s_token_is_not_verified() -> None:
    record = renew_timestamp(way(7, 4).initial, tokens_of(3))
    other = renew_timestamp(
        way(3, 1).initial, lambda digest, algorithm: Stamp(token(digest, algorithm, 3))
    )
    der = record.der.replace(record.timestamps[1].der, other.timestamps[1].der)
    assert verify_record(der, [digests(document(4))], trusted(), NOW).verdict is Verdict.FAILED
