"""Receipts: what is written is read, in both forms, and whatever else is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.log.note import VerifierKey
from witnesstree.ledger.log.receipt import (
    MAX_RECEIPT,
    Place,
    Promise,
    check_receipt,
    format_promise,
    format_receipt,
    format_receipts,
    format_text,
    give_receipt,
    is_for,
    parse_promise,
    parse_receipt,
    tree_of,
    vouch_for_key,
    vouched_key,
)
from witnesstree.ledger.tree.tree import root_of

NAME = "ledger.example/回执"
LOG, KEY, OTHER = (
    Ed25519PrivateKey.from_private_bytes(sha256(f"receipt {i}".encode()).digest()) for i in range(3)
)
TAKEN = datetime(2026, 12, 1, 3, tzinfo=UTC)


def public(key: Ed25519PrivateKey, name: str = NAME) -> VerifierKey:
    return VerifierKey(name, key.public_key().public_bytes_raw())


VOUCHED = vouch_for_key(public(KEY), TAKEN, LOG)
DIGESTS = [sha256(bytes([number])).digest() for number in range(7)]


def promise(count: int = 7, places: tuple[Place, ...] = ()) -> Promise:
    root = root_of(b"".join(DIGESTS[:count]))
    return Promise(NAME, 4, TAKEN, TAKEN + timedelta(hours=1), count, root, places)


RECEIPT = give_receipt(promise(places=(Place(1, 9, 3), Place(2, 2, 4))), KEY, VOUCHED)


@given(st.integers(1, 7))
def test_each_of_them_has_its_path_to_the_one_root(count: int) -> None:
    packed = b"".join(DIGESTS[:count])
    root, entries = tree_of(packed)
    receipt = give_receipt(promise(count), KEY, VOUCHED)
    assert root == receipt.promise.root
    assert is_for(receipt, packed)
    some = list(entries)
    for content, entry in zip(format_receipts(receipt, some), some, strict=True):
        single = parse_receipt(content)
        assert single == replace(receipt, entry=entry)
        assert check_receipt(single, [public(LOG)]) == receipt.promise
        for position, digest in enumerate(DIGESTS[:count]):
            assert is_for(single, digest) is (position == entry.position)
        assert not is_for(single, DIGESTS[0] * 2)
        assert not is_for(replace(single, entry=replace(entry, position=count)), packed[:32])


@pytest.mark.parametrize("position", [None, 0, 6])
def test_both_forms_are_read_and_json_is_canonical(position: int | None) -> None:
    entries = list(tree_of(b"".join(DIGESTS))[1])
    receipt = replace(RECEIPT, entry=None if position is None else entries[position])
    content = format_receipt(receipt)
    assert content == rfc8785.dumps(load("receipt", content).value)
    assert parse_receipt(content) == parse_receipt(format_text(receipt)) == receipt
    assert parse_promise(format_promise(receipt.promise)) == receipt.promise


@pytest.mark.parametrize(
    "values",
    [
        {"count": 0},
        {"root": b"short"},
        {"due": TAKEN - timedelta(seconds=1)},
        {"places": (Place(1, 2, 6),)},
        {"places": (Place(1, 2, 0), Place(2, 2, 7))},
        {"origin": ""},
    ],
)
def test_what_no_receipt_can_state_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        replace(promise(), **values)  # type: ignore[arg-type]


def changed(old: str, new: str) -> bytes:
    content = format_text(replace(RECEIPT, entry=next(iter(tree_of(b"".join(DIGESTS))[1]))))
    assert old.encode() in content
    return content.replace(old.encode(), new.encode(), 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"x" * (MAX_RECEIPT + 1),
        format_text(RECEIPT) + b"\n\nmore",
        format_text(RECEIPT).replace(b"all\n", b"all\nAAAA\n"),
        changed("\n1 9 3\n", "\n1 9\n"),
        changed("\n1 9 3\n", "\n1 09 3\n"),
        changed("\n4\n", "\n+4\n"),
        changed("\n\n0\n", "\n\n0\nAAAA\n"),
        changed("receipt/1", "receipt/12"),
        format_receipt(RECEIPT).replace(b'"batch":1', b'"batch":-1'),
        format_receipt(RECEIPT).replace(b'"submission"', b'"other"'),
        format_receipt(RECEIPT).replace(b"receipt/1", b"receipt/2", 1),
    ],
)
def test_whatever_else_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_receipt(content)


def test_a_receipt_key_counts_only_for_its_own_ledger_and_by_the_logs_key() -> None:
    assert vouched_key(VOUCHED, [public(LOG)]) == public(KEY)
    assert vouched_key(VOUCHED, [public(OTHER)]) is None
    assert vouched_key(VOUCHED, [public(OTHER), public(LOG)]) == public(KEY)
    assert vouched_key(VOUCHED, [public(LOG), public(LOG, "other.example/log")]) is None
    elsewhere = vouch_for_key(public(KEY, "other.example/log"), TAKEN, LOG)
    assert check_receipt(replace(RECEIPT, key=elsewhere), [public(LOG)]) is None
    forged = give_receipt(RECEIPT.promise, OTHER, VOUCHED)
    assert check_receipt(forged, [public(LOG)]) is None
    with pytest.raises(InvalidInput):
        vouched_key(RECEIPT.note, [public(LOG)])
