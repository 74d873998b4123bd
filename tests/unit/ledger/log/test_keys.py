"""Key notes: what is written is read, whatever else is refused, and a checkpoint counts under the
key in force at its size."""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from mutations import changed_text, rehearsed

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.log import keys
from witnesstree.ledger.log.keys import (
    KeyChange,
    check_history,
    check_key_note,
    format_key_change,
    join_histories,
    judge_signer,
    key_in_force,
    newest_key,
    parse_key_change,
    sign_key_change,
)
from witnesstree.ledger.log.log import EMPTY_ROOT
from witnesstree.ledger.log.note import (
    Checkpoint,
    VerifierKey,
    check_checkpoint,
    format_base64,
    sign_checkpoint,
    sign_note,
)

NAME = "ledger.example/keys"
PRIVATE = [
    Ed25519PrivateKey.from_private_bytes(sha256(f"key {i}".encode()).digest()) for i in range(5)
]
KEYS = [VerifierKey(NAME, key.public_key().public_bytes_raw()) for key in PRIVATE]
SIZES = [0, 3, 3, 7]
"""At which the keys hand over: key 2 signs nothing."""


def root(size: int) -> bytes:
    return sha256(f"root {size}".encode()).digest() if size else EMPTY_ROOT


def change(number: int, size: int | None = None) -> KeyChange:
    at = SIZES[number - 1] if size is None else size
    return KeyChange(number, KEYS[number - 1], KEYS[number], at, root(at))


def note(number: int, size: int | None = None) -> str:
    return sign_key_change(change(number, size), PRIVATE[number - 1], PRIVATE[number])


NOTES = [note(number) for number in range(1, 5)]
CHANGES = check_history(NOTES, KEYS[0])


def signed(size: int, by: int, of: bytes | None = None, origin: str = NAME) -> str:
    return sign_checkpoint(Checkpoint(origin, size, of or root(size)), PRIVATE[by])


# Notes


def test_what_is_signed_is_read() -> None:
    assert check_key_note(NOTES[1]) == change(2) == parse_key_change(format_key_change(change(2)))
    assert NOTES[1].count("\n— ") == 2
    assert format_key_change(change(2)).splitlines()[:3] == ["witnesstree-key/1", NAME, "2"]
    assert change(2).origin == NAME


@given(st.text() | st.binary().map(lambda content: content.decode(errors="replace")))
def test_any_text_is_a_note_or_one_error(text: str) -> None:
    for read in (check_key_note, parse_key_change):
        with pytest.raises(InvalidInput):
            read(text)


@given(st.data())
def test_any_altered_character_is_found(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(NOTES[0]) - 1))
    altered = NOTES[0][:at] + data.draw(st.sampled_from("a9+\n—Z=")) + NOTES[0][at + 1 :]
    try:
        found = check_key_note(altered)
    except InvalidInput:
        return
    assert found is None or altered == NOTES[0]


MUTATED: dict[str, Callable[[list[str]], None]] = {
    "another format": lambda lines: lines.__setitem__(0, "witnesstree-key/2"),
    "another origin": lambda lines: lines.__setitem__(1, "other"),
    "an origin that is none": lambda lines: lines.__setitem__(1, "a b"),
    "number 0": lambda lines: lines.__setitem__(2, "0"),
    "number 257": lambda lines: lines.__setitem__(2, "257"),
    "number 01": lambda lines: lines.__setitem__(2, "01"),
    "one key": lambda lines: lines.__setitem__(3, lines[4]),
    "no key": lambda lines: lines.__setitem__(3, "x"),
    "a size that is none": lambda lines: lines.__setitem__(5, "-1"),
    "a short root": lambda lines: lines.__setitem__(6, "AAAA"),
    "a line more": lambda lines: lines.insert(7, "x"),
    "a line fewer": lambda lines: lines.pop(2) and None,
    "no end": lambda lines: lines.__setitem__(7, "x"),
}


@pytest.mark.parametrize("name", MUTATED)
def test_a_text_that_is_no_change_is_refused(name: str) -> None:
    lines = format_key_change(change(1)).split("\n")
    MUTATED[name](lines)
    with pytest.raises(InvalidInput):
        parse_key_change("\n".join(lines))


@pytest.mark.parametrize("size", [-1, 2**53])
def test_a_change_is_at_a_size_that_a_log_can_have(size: int) -> None:
    with pytest.raises(InvalidInput, match="hands over at a size"):
        KeyChange(1, KEYS[0], KEYS[1], size, bytes(32))


def test_the_empty_log_has_one_root() -> None:
    lines = format_key_change(change(1)).split("\n")
    assert parse_key_change("\n".join(lines)).root == EMPTY_ROOT
    lines[6] = format_base64(bytes(32))
    with pytest.raises(InvalidInput, match="the root of the empty log"):
        parse_key_change("\n".join(lines))


def test_who_signed_a_note() -> None:
    text = format_key_change(change(1))
    lines = [sign_note(text, NAME, key).removeprefix(f"{text}\n") for key in PRIVATE[:3]]
    for signatures in ([0], [1], [1, 0], [0, 1, 2], [0, 2], [0, 1, 1]):
        assert check_key_note(f"{text}\n" + "".join(lines[i] for i in signatures)) is None
    assert check_key_note(f"{text}\n{lines[0]}{lines[1]}") == change(1)
    # A signature of the right key over something else.
    other = sign_note(format_key_change(change(1, 5)), NAME, PRIVATE[0]).splitlines()[-1]
    assert check_key_note(f"{text}\n{other}\n{lines[1]}") is None
    with pytest.raises(InvalidInput, match="at most"):
        check_key_note("x" * (keys.MAX_KEY_NOTE + 1))


# Histories


def test_a_history_leads_on() -> None:
    assert tuple(change(number) for number in range(1, 5)) == CHANGES
    # It may begin anywhere where nobody says which key is the first.
    assert check_history(NOTES[2:]) == CHANGES[2:]
    assert check_history([], KEYS[0]) == ()


WRONG: dict[str, tuple[list[str], str]] = {
    "does not begin with 1": (NOTES[1:], "is not change 1"),
    "a gap": ([NOTES[0], NOTES[2]], "does not continue"),
    "another order": (NOTES[1::-1], "is not change 1"),
    "twice": ([NOTES[0], NOTES[0]], "does not continue"),
    "a smaller size": ([*NOTES[:2], note(3, 2)], "of a smaller log"),
    "another root at one size": (
        [
            *NOTES[:2],
            sign_key_change(KeyChange(3, KEYS[2], KEYS[3], 3, root(9)), PRIVATE[2], PRIVATE[3]),
        ],
        "or of another root",
    ),
    "a key comes back": (
        [
            *NOTES[:2],
            sign_key_change(KeyChange(3, KEYS[2], KEYS[0], 5, root(5)), PRIVATE[2], PRIVATE[0]),
        ],
        "a key that had handed over before",
    ),
    "not signed by both": (
        [sign_note(format_key_change(change(1)), NAME, PRIVATE[0])],
        "not signed by both keys",
    ),
    "too many": (NOTES * 65, "at most 256 times"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_history_that_does_not_is_refused(name: str) -> None:
    notes, said = WRONG[name]
    with pytest.raises(InvalidInput, match=said):
        check_history(notes, KEYS[0])


def test_histories_are_joined() -> None:
    assert (
        join_histories(CHANGES[:3], CHANGES[1:])
        == join_histories(CHANGES[2:], CHANGES[:2])
        == CHANGES
    )
    assert join_histories((), ()) == ()
    with pytest.raises(InvalidInput, match="two different key notes of number 4"):
        join_histories(CHANGES, check_history([note(4, 8)]))
    with pytest.raises(InvalidInput, match="does not continue"):
        join_histories(CHANGES[:1], CHANGES[2:])
    back = sign_key_change(KeyChange(3, KEYS[2], KEYS[0], 5, root(5)), PRIVATE[2], PRIVATE[0])
    with pytest.raises(InvalidInput, match="a key that had handed over before"):
        join_histories(CHANGES[:2], check_history([back]))


def test_which_key_is_in_force() -> None:
    assert [
        KEYS.index(key_in_force(KEYS[0], CHANGES, size)) for size in (0, 1, 3, 4, 7, 8, 99)
    ] == [0, 1, 1, 3, 3, 4, 4]
    assert key_in_force(KEYS[0], (), 5) == newest_key(KEYS[0], ()) == KEYS[0]
    assert newest_key(KEYS[0], CHANGES) == KEYS[4]


# Checkpoints


@pytest.mark.parametrize("trusted", range(5))
@pytest.mark.parametrize(("size", "by"), [(0, 0), (2, 1), (3, 1), (5, 3), (7, 3), (8, 4)])
def test_whoever_trusts_one_key_of_the_history_believes_the_one_in_force(
    trusted: int, size: int, by: int
) -> None:
    found = judge_signer(signed(size, by), [KEYS[trusted]], CHANGES)
    assert found.is_expected
    if trusted == by:
        assert found.message == message("checkpoint-signed", origin=NAME, size=size, name=NAME)
    else:
        steps = abs(trusted - by)
        assert (
            f"to which {steps} key note{'s lead' if steps > 1 else ' leads'} from the expected key"
            f" {KEYS[trusted].key_id.hex()}" in found.reason
        )
    for other in {0, 1, 2, 3, 4} - {by}:
        assert not judge_signer(signed(size, other), [KEYS[trusted]], CHANGES).is_expected


def test_why_a_checkpoint_is_not_believed() -> None:
    stranger = VerifierKey(NAME, bytes(32))
    late = judge_signer(signed(4, 1), [KEYS[1]], CHANGES)
    assert (late.is_expected, late.broken) == (False, CHANGES[1])
    assert "which had handed over at 3 entries (key note 2)" in late.reason
    early = judge_signer(signed(1, 4), [KEYS[1]], CHANGES)
    assert (early.reason, early.broken) == (
        (
            f"The checkpoint of {NAME} at 1 entry is not signed by the key of {NAME} that was in"
            " force at that size."
        ),
        None,
    )
    other = judge_signer(signed(7, 3, root(8)), KEYS[:1], CHANGES)
    assert (other.is_expected, other.broken) == (False, CHANGES[3])
    assert "at 7 entries has another root than key note 4 states" in other.reason
    for expected, changes in (([stranger], CHANGES), ([stranger], ()), ([KEYS[1]], ())):
        found = judge_signer(signed(0, 0), expected, changes)
        assert found.message == message("checkpoint-not-signed", origin=NAME, size=0, names=[NAME])
    # Without notes, and with those of somebody else, the expected key itself is enough.
    assert judge_signer(signed(9, 0), [stranger, KEYS[0]], ()).is_expected
    assert judge_signer(signed(9, 0), [KEYS[0]], CHANGES[1:]).is_expected
    # Notes of another log lead nowhere.
    elsewhere = [
        VerifierKey("elsewhere", key.public_key().public_bytes_raw()) for key in PRIVATE[:2]
    ]
    moved = KeyChange(1, elsewhere[0], elsewhere[1], 0, root(0))
    assert not judge_signer(signed(9, 1), [elsewhere[0], KEYS[0]], [moved]).is_expected
    with pytest.raises(InvalidInput):
        judge_signer("x", [KEYS[0]], CHANGES)


@pytest.mark.parametrize("chunk", rehearsed(2, 100))
def test_changed_notes(chunk: int) -> None:
    """A changed checkpoint, key note or statement says the same, or is not believed."""
    random = Random(chunk)
    checkpoint = signed(9, 4)
    for _ in range(1000):
        other = random.choice([*NOTES, checkpoint])
        with suppress(InvalidInput):
            found = check_checkpoint(changed_text(checkpoint, other, random), KEYS[4])
            assert found is None or found == Checkpoint(NAME, 9, root(9))
        text = changed_text(NOTES[0], other, random)
        with suppress(InvalidInput):
            assert check_key_note(text) in (None, CHANGES[0])
        with suppress(InvalidInput):
            assert check_history([text, *NOTES[1:]], KEYS[0]) == CHANGES
