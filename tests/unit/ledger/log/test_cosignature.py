"""Cosignatures of witnesses, C2SP tlog-cosignature.

A real litewitness makes some in tests/integration/test_litewitness.py.
"""

import contextlib
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log import note
from witnesstree.ledger.log.cosignature import (
    MAX_TIME,
    Cosignature,
    CosignerKey,
    add_cosignatures,
    check_cosignatures,
    cosigned_message,
    format_cosigner_key,
    parse_cosigner_key,
    time_of,
)
from witnesstree.ledger.log.log import EMPTY_ROOT

ORIGIN = "ledger.example/court"
LOG_KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"the log").digest())
NOTE = note.sign_checkpoint(note.Checkpoint(ORIGIN, 0, EMPTY_ROOT), LOG_KEY)
TEXT = note.parse_note(NOTE).text
NOW = 1_795_000_000

# C2SP tlog-cosignature's own example; its keys are not published, so only the form is of use.
EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa"
    " Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"  # noqa: E501
    "— witness.example.com/w1"
    " jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"  # noqa: E501
)


def private(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


def key(name: str) -> CosignerKey:
    return CosignerKey(name, private(name).public_key().public_bytes_raw())


def line(
    name: str,
    text: str = TEXT,
    time: int = NOW,
    *,
    signed_time: int | None = None,
    tail: bytes = b"",
) -> str:
    signature = private(name).sign(
        cosigned_message(text, time if signed_time is None else signed_time)
    )
    return (
        f"— {name}"
        f" {note.format_base64(key(name).key_id + time.to_bytes(8, 'big') + signature + tail)}\n"
    )


ONE, TWO, THREE = (key(f"witness.example/w{i}") for i in (1, 2, 3))


def test_the_message_is_the_specification_s() -> None:
    assert (
        cosigned_message(
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            1679315147,
        )
        == b"cosignature/v1\ntime"
        b" 1679315147\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"  # noqa: E501
    )
    signature = note.parse_note(EXAMPLE).signatures[1]
    assert (len(signature.signature), int.from_bytes(signature.signature[:8], "big")) == (
        72,
        1679315147,
    )


def test_keys_come_back_and_name_their_kind() -> None:
    text = format_cosigner_key(ONE)
    assert parse_cosigner_key(text) == ONE
    assert text.startswith(f"witness.example/w1+{ONE.key_id.hex()}+B")
    assert ONE.key_id != note.VerifierKey(ONE.name, ONE.public_key).key_id


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Ed25519"),
        (note.format_verifier_key(note.VerifierKey(ONE.name, ONE.public_key)), "type 0x04"),
        (format_cosigner_key(ONE).replace("w1", "w2"), "says key id"),
        (format_cosigner_key(ONE).replace(f"+{ONE.key_id.hex()}+", "+00000000+"), "says key id"),
        (format_cosigner_key(ONE)[:-4], "32 bytes"),
        ("a b+00000000+" + note.format_base64(b"\4" + ONE.public_key), "white space"),
    ],
)
def test_keys_that_are_none(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        parse_cosigner_key(text)


@given(st.text(max_size=200))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    try:
        found = parse_cosigner_key(text)
    except InvalidInput:
        return
    assert format_cosigner_key(found) == text


def test_cosignatures_count_by_key_and_once() -> None:
    cosigned = NOTE + line(ONE.name) + line(TWO.name, time=NOW + 5) + line(ONE.name, time=NOW + 9)
    assert check_cosignatures(cosigned, [TWO, ONE, THREE, ONE]) == [
        Cosignature(TWO, NOW + 5),
        Cosignature(ONE, NOW + 9),
    ]
    assert check_cosignatures(NOTE, [ONE]) == []
    assert check_cosignatures(cosigned, []) == []
    # The log's own signature is untouched.
    assert note.check_checkpoint(
        cosigned, note.VerifierKey(ORIGIN, LOG_KEY.public_key().public_bytes_raw())
    )


@pytest.mark.parametrize(
    "wrong",
    [
        line(ONE.name, text=TEXT.replace("\n0\n", "\n1\n")),
        line(ONE.name, signed_time=NOW + 1),
        line(ONE.name, tail=b"\0"),
        line(ONE.name, time=MAX_TIME + 1),
        line(TWO.name).replace("w2", "w1"),
        note.sign_note(TEXT, ONE.name, private(ONE.name)).removeprefix(TEXT + "\n"),
    ],
    ids=[
        "another checkpoint",
        "another time",
        "too long",
        "no such time",
        "another key",
        "signed as a log",
    ],
)
def test_what_is_no_cosignature_counts_for_nothing(wrong: str) -> None:
    assert check_cosignatures(NOTE + wrong, [ONE]) == []
    assert check_cosignatures(NOTE + wrong + line(ONE.name), [ONE]) == [Cosignature(ONE, NOW)]
    assert add_cosignatures(NOTE, wrong, [ONE]) == NOTE


def test_the_largest_time_counts() -> None:
    assert check_cosignatures(NOTE + line(ONE.name, time=MAX_TIME), [ONE]) == [
        Cosignature(ONE, MAX_TIME)
    ]


def test_adding_takes_the_wanted_ones_once() -> None:
    both = add_cosignatures(NOTE, line(ONE.name) + line(TWO.name) + line(ONE.name), [ONE])
    assert both == NOTE + line(ONE.name)
    assert add_cosignatures(both, line(ONE.name) + line(TWO.name), [ONE, TWO]) == both + line(
        TWO.name
    )
    assert add_cosignatures(NOTE, "", [ONE]) == NOTE


@pytest.mark.parametrize(
    "lines",
    [
        "what\n",
        "— a b\n",
        line(ONE.name)[:-1],
        b"\xff",
        "\n" + line(ONE.name),
        "x\n\n" + line(ONE.name),
    ],
)
def test_what_a_witness_must_not_answer(lines: str | bytes) -> None:
    with pytest.raises(InvalidInput):
        add_cosignatures(NOTE, lines, [ONE])


@given(st.text(max_size=300))
def test_any_answer_adds_nothing_or_is_refused(lines: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert add_cosignatures(NOTE, lines, [ONE]) == NOTE


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(InvalidInput, match="32 bytes, not 31"):
        CosignerKey("a", bytes(31))


def test_a_line_that_is_no_cosignature_has_no_time() -> None:
    key = Ed25519PrivateKey.generate()
    signed = note.sign_note("origin\n1\nroot\n", "origin", key)
    with pytest.raises(InvalidInput) as refused:
        time_of(signed.splitlines(keepends=True)[-1])
    assert refused.value.message.code == "signature-lines-expected"
