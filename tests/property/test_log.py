import string
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log import log, note, statement

LARGEST = 130
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEPT: dict[tuple[int, int], bytes] = {}
for number in range(LARGEST):
    for level_, index_, hash_ in log.added_nodes(
        number, log.leaf_hash(b"%d" % number), lambda level, index: KEPT[level, index]
    ):
        KEPT[level_, index_] = hash_
ENTRIES = [b"%d" % number for number in range(LARGEST)]
LEAVES = [log.leaf_hash(entry) for entry in ENTRIES]


def read(level: int, index: int) -> bytes:
    return KEPT[level, index]


ROOTS = [log.log_root(size, read) for size in range(LARGEST + 1)]


def root_as_the_rfc_defines_it(entries: list[bytes]) -> bytes:
    """MTH(D_n) of RFC 9162, 2.1.1, in its own words."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = max(2**i for i in range(len(entries).bit_length()) if 2**i < len(entries))
    return sha256(
        b"\x01" + root_as_the_rfc_defines_it(entries[:k]) + root_as_the_rfc_defines_it(entries[k:])
    ).digest()


def flipped(node: bytes, bit: int) -> bytes:
    return (int.from_bytes(node, "big") ^ (1 << bit % (8 * len(node)))).to_bytes(len(node), "big")


def test_every_root_is_the_one_that_the_rfc_defines() -> None:
    assert [root_as_the_rfc_defines_it(ENTRIES[:size]) for size in range(LARGEST + 1)] == ROOTS


def test_kept_are_the_complete_subtrees_and_no_more() -> None:
    complete = {
        (level, index) for level in range(LARGEST.bit_length()) for index in range(LARGEST >> level)
    }

    assert set(KEPT) == complete
    for level, index in complete:
        assert KEPT[level, index] == root_as_the_rfc_defines_it(
            ENTRIES[index << level : (index + 1) << level]
        )


def test_every_entry_of_every_size_is_included() -> None:
    for size in range(1, LARGEST + 1):
        for index in range(size):
            path = log.prove_inclusion(index, size, read)
            assert log.check_inclusion(index, size, LEAVES[index], path, ROOTS[size]) is True


def test_every_size_begins_with_every_smaller_one() -> None:
    for new in range(1, 71):
        for old in range(1, new + 1):
            path = log.prove_consistency(old, new, read)
            assert log.check_consistency(old, new, ROOTS[old], ROOTS[new], path) is True


def test_no_path_of_another_size_or_entry_leads_to_the_root() -> None:
    for size in range(1, 18):
        for index in range(size):
            path = log.prove_inclusion(index, size, read)
            for other in range(size):
                assert log.check_inclusion(other, size, LEAVES[index], path, ROOTS[size]) is (
                    other == index
                )
            for other in range(index + 1, 18):
                # A path does not always bind the size; the root of another size it never reaches.
                assert log.check_inclusion(index, other, LEAVES[index], path, ROOTS[other]) is (
                    other == size
                )


def test_no_consistency_path_serves_two_pairs_of_sizes() -> None:
    for new in range(1, 14):
        for old in range(1, new + 1):
            path = log.prove_consistency(old, new, read)
            for other_old in range(1, 14):
                for other_new in range(other_old, 14):
                    consistent = log.check_consistency(
                        other_old, other_new, ROOTS[other_old], ROOTS[other_new], path
                    )
                    same = (other_old, other_new) == (old, new) or (
                        old == new and other_old == other_new
                    )
                    assert consistent is same


@given(st.data())
def test_a_flipped_bit_of_an_inclusion_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, LARGEST))
    index = data.draw(st.integers(0, size - 1))
    nodes = [LEAVES[index], ROOTS[size], *log.prove_inclusion(index, size, read)]
    place, bit = data.draw(st.integers(0, len(nodes) - 1)), data.draw(st.integers(0, 255))

    nodes[place] = flipped(nodes[place], bit)

    assert log.check_inclusion(index, size, nodes[0], nodes[2:], nodes[1]) is False


@given(st.data())
def test_a_flipped_bit_of_a_consistency_is_refused(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, LARGEST))
    old = data.draw(st.integers(1, new))
    nodes = [ROOTS[old], ROOTS[new], *log.prove_consistency(old, new, read)]
    place, bit = data.draw(st.integers(0, len(nodes) - 1)), data.draw(st.integers(0, 255))

    nodes[place] = flipped(nodes[place], bit)

    assert log.check_consistency(old, new, nodes[0], nodes[1], nodes[2:]) is False


@given(
    st.integers(),
    st.integers(),
    st.binary(max_size=40),
    st.lists(st.binary(max_size=40), max_size=60),
    st.binary(max_size=40),
)
def test_checking_is_total(
    first: int, second: int, one: bytes, path: list[bytes], two: bytes
) -> None:
    checks: list[Callable[[], bool]] = [
        lambda: log.check_inclusion(first, second, one, path, two),
        lambda: log.check_consistency(first, second, one, two, path),
    ]
    for check in checks:
        with suppress(InvalidInput):
            assert check() is False or (first == second and one == two)


@given(
    st.integers(1, log.MAX_SIZE),
    st.integers(0, log.MAX_SIZE),
    st.lists(st.binary(min_size=32, max_size=32), max_size=60),
)
def test_checking_ends_on_large_logs(size: int, index: int, path: list[bytes]) -> None:
    old = index % size + 1

    assert log.check_inclusion(old - 1, size, bytes(32), path, bytes(32)) is False or (
        size == 1 and not path
    )
    assert log.check_consistency(old, size, bytes(32), bytes(32), path) is False or (
        old == size and not path
    )


# Text: names, keys, notes, checkpoints, statements

NAMES = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"], exclude_characters="+"
    ),
    min_size=1,
    max_size=60,
)
SIZES = st.integers(0, log.MAX_SIZE)
HASHES = st.binary(min_size=32, max_size=32)
LINES = st.text(
    st.characters(codec="utf-8", exclude_characters=[chr(code) for code in range(32)]),
    min_size=1,
    max_size=60,
)
TEXTS = st.lists(st.one_of(st.just(""), LINES), max_size=5).map(
    lambda lines: "".join(line + "\n" for line in lines) or "\n"
)
TIMES = st.datetimes(min_value=datetime(1, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda time: time.replace(microsecond=0)
)  # hypothesis wants it naive
CHECKPOINTS = st.builds(
    note.Checkpoint, NAMES, SIZES, HASHES, st.lists(LINES, max_size=3).map(tuple)
)
STATEMENTS = st.builds(
    statement.Statement, NAMES, SIZES, st.integers(1, log.MAX_SIZE), HASHES, TIMES, TIMES
)
ANY_TEXT = st.text(st.characters(codec=None))

PARSERS: list[Callable[[str], object]] = [
    note.parse_verifier_key,
    note.parse_note,
    note.parse_checkpoint,
    note.parse_decimal,
    note.parse_base64,
    statement.parse_statement,
    lambda text: note.parse_text(text, 100),
    lambda text: note.open_note(text, [note.VerifierKey("a.example", bytes(32))]),
]


def refusal(parse: Callable[[str], object], text: str) -> str:
    try:
        parse(text)
    except InvalidInput as error:
        return str(error)
    return ""


@pytest.mark.parametrize("parse", PARSERS)
@given(text=ANY_TEXT)
def test_parsers_of_text_are_total_and_refuse_in_one_line(
    parse: Callable[[str], object], text: str
) -> None:
    assert "\n" not in refusal(parse, text)


@given(st.binary())
def test_parsers_of_bytes_are_total(content: bytes) -> None:
    for parse in (
        note.parse_note,
        statement.parse_statement,
        lambda content: note.parse_text(content, 100),
    ):
        with suppress(InvalidInput):
            parse(content)


@given(NAMES, HASHES)
def test_verifier_key_round_trip(name: str, public_key: bytes) -> None:
    key = note.VerifierKey(name, public_key)

    assert note.parse_verifier_key(note.format_verifier_key(key)) == key


@given(CHECKPOINTS)
def test_checkpoint_round_trip(checkpoint: note.Checkpoint) -> None:
    signed = note.sign_checkpoint(checkpoint, PRIVATE_KEY)
    key = note.VerifierKey(checkpoint.origin, PRIVATE_KEY.public_key().public_bytes_raw())

    assert note.parse_checkpoint(note.format_checkpoint(checkpoint)) == checkpoint
    assert (
        note.check_checkpoint(signed, key)
        == note.check_checkpoint(signed.encode(), key)
        == checkpoint
    )


@given(TEXTS, NAMES)
def test_note_round_trip(text: str, name: str) -> None:
    key = note.VerifierKey(name, PRIVATE_KEY.public_key().public_bytes_raw())

    assert note.open_note(note.sign_note(text, name, PRIVATE_KEY), [key]) == text


@given(STATEMENTS)
def test_statement_round_trip(said: statement.Statement) -> None:
    text = statement.format_statement(said)

    assert statement.parse_statement(text) == statement.parse_statement(text.encode()) == said


CHECKPOINT = note.Checkpoint("ledger.example/court", 7, LEAVES[0], ("extension",))
KEY = note.VerifierKey(CHECKPOINT.origin, PRIVATE_KEY.public_key().public_bytes_raw())
SIGNED = note.sign_checkpoint(CHECKPOINT, PRIVATE_KEY).encode()
SAID = statement.Statement(
    "ledger.example/court",
    41,
    1003,
    LEAVES[1],
    *2 * [datetime(2026, 11, 23, 3, 48, 55, tzinfo=UTC)],
)
TEXT_KEY = note.format_verifier_key(KEY)


def test_every_flipped_bit_of_a_checkpoint_is_refused() -> None:
    for bit in range(8 * len(SIGNED)):
        try:
            checkpoint = note.check_checkpoint(flipped(SIGNED, bit), KEY)
        except InvalidInput:
            continue
        assert checkpoint is None


def edited(text: str, data: st.DataObject) -> str:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 3)))
    return (
        text[:start]
        + data.draw(
            st.text(st.sampled_from(string.printable + "—\u2028\u0085\u00a0１"), max_size=3)
        )
        + text[end:]
    )


@given(st.data())
def test_an_edited_statement_is_another_statement_or_none(data: st.DataObject) -> None:
    text = edited(statement.format_statement(SAID), data)
    try:
        parsed = statement.parse_statement(text)
    except InvalidInput:
        return
    assert statement.format_statement(parsed) == text


@given(st.data())
def test_an_edited_checkpoint_is_another_checkpoint_or_none(data: st.DataObject) -> None:
    text = edited(note.format_checkpoint(CHECKPOINT), data)
    try:
        parsed = note.parse_checkpoint(text)
    except InvalidInput:
        return
    assert note.format_checkpoint(parsed) == text


@given(st.data())
def test_an_edited_verifier_key_is_none(data: st.DataObject) -> None:
    text = edited(TEXT_KEY, data)
    try:
        parsed = note.parse_verifier_key(text)
    except InvalidInput:
        assert text != TEXT_KEY
    else:
        assert (parsed, text) == (KEY, TEXT_KEY)
