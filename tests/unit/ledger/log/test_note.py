import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log import note

VECTORS = Path(__file__).parents[3] / "vectors" / "checkpoint"
NAME = "ledger.example/court"
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = note.VerifierKey(NAME, PRIVATE_KEY.public_key().public_bytes_raw())
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
TEXT = "first line\nsecond line\n"


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in vectors(name)["cases"]]


def signature_line(text: str, name: str, private_key: Ed25519PrivateKey) -> str:
    return note.sign_note(text, name, private_key).removeprefix(text + "\n")


@pytest.mark.parametrize("case", cases("checkpoint.json"))
def test_checkpoint_vector(case: dict[str, Any]) -> None:
    key = note.parse_verifier_key(case["key"])
    signed: str | bytes = case["note"] if "note" in case else b64decode(case["bytes"])
    if case["expect"] == "invalid":
        with pytest.raises(InvalidInput):
            note.check_checkpoint(signed, key)
        return

    checkpoint = note.check_checkpoint(signed, key)

    if case["expect"] == "refused":
        assert checkpoint is None
    else:
        stated = case["checkpoint"]
        assert checkpoint == note.Checkpoint(
            stated["origin"], stated["size"], b64decode(stated["root"]), tuple(stated["extensions"])
        )


def test_the_vectors_key_signs_the_vectors_checkpoint() -> None:
    vector = vectors("checkpoint.json")
    private_key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["seed"]))
    happy = vector["cases"][0]
    stated = happy["checkpoint"]

    signed = note.sign_checkpoint(
        note.Checkpoint(stated["origin"], stated["size"], b64decode(stated["root"])), private_key
    )

    assert signed == happy["note"]


@pytest.mark.parametrize("case", cases("note.json"))
def test_note_vector(case: dict[str, Any]) -> None:
    keys = [note.parse_verifier_key(key) for key in case["keys"]]
    if case["expect"] == "invalid":
        with pytest.raises(InvalidInput):
            note.open_note(case["note"], keys)
    else:
        assert note.open_note(case["note"], keys) == case.get("text")


@pytest.mark.parametrize("case", cases("key.json"))
def test_key_vector(case: dict[str, Any]) -> None:
    if case["expect"] == "invalid":
        with pytest.raises(InvalidInput):
            note.parse_verifier_key(case["text"])
        return

    key = note.parse_verifier_key(case["text"])

    stated = case["key"]
    assert (key.name, key.key_id.hex(), key.public_key) == (
        stated["name"],
        stated["key_id"],
        b64decode(stated["public_key"]),
    )
    assert note.format_verifier_key(key) == case["text"]


def test_note_is_text_empty_line_signature() -> None:
    signed = note.sign_note(TEXT, NAME, PRIVATE_KEY)

    signature = b64encode(KEY.key_id + PRIVATE_KEY.sign(TEXT.encode())).decode()
    assert signed == f"first line\nsecond line\n\n\N{EM DASH} {NAME} {signature}\n"


def test_parse_note_gives_the_lines_of_unknown_keys_too() -> None:
    signed = note.sign_note(TEXT, NAME, PRIVATE_KEY) + signature_line(
        TEXT, "witness.example", WITNESS
    )

    parsed = note.parse_note(signed)

    assert parsed.text == TEXT
    assert [signature.name for signature in parsed.signatures] == [NAME, "witness.example"]
    assert parsed.signatures[0] == note.Signature(NAME, KEY.key_id, PRIVATE_KEY.sign(TEXT.encode()))


def test_a_key_id_depends_on_the_name() -> None:
    assert (
        note.VerifierKey("a.example", bytes(32)).key_id
        != note.VerifierKey("b.example", bytes(32)).key_id
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no newline at the end",
        "bell\x07\n",
        "tab\tstop\n",
        "CR LF\r\n",
        "surrogate \ud800\n",
        "\x00\n",
    ],
)
def test_what_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises(InvalidInput):
        note.sign_note(text, NAME, PRIVATE_KEY)


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\nb", "a\u3000b", "a\x1fb", "a\ud800b", "a" * 256]
)
def test_a_name_that_no_note_can_hold(name: str) -> None:
    with pytest.raises(InvalidInput):
        note.sign_note(TEXT, name, PRIVATE_KEY)
    with pytest.raises(InvalidInput):
        note.Checkpoint(name, 0, bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_public_key_of_another_length(length: int) -> None:
    with pytest.raises(InvalidInput, match="32 bytes"):
        note.VerifierKey(NAME, bytes(length))


def test_a_public_key_that_is_no_point_verifies_nothing() -> None:
    no_point = note.VerifierKey(NAME, b"\xff" * 32)
    signature = b64encode(no_point.key_id + bytes(64)).decode()

    assert note.open_note(f"{TEXT}\n\N{EM DASH} {NAME} {signature}\n", [no_point]) is None


@pytest.mark.parametrize(
    ("size", "root", "extensions"),
    [
        (-1, bytes(32), ()),
        (2**53, bytes(32), ()),
        (0, bytes(31), ()),
        (0, bytes(33), ()),
        (0, bytes(32), ("",)),
        (0, bytes(32), ("two\nlines",)),
        (0, bytes(32), ("bell\x07",)),
        (0, bytes(32), ("surrogate \udfff",)),
    ],
)
def test_what_no_checkpoint_can_state(size: int, root: bytes, extensions: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput):
        note.Checkpoint(NAME, size, root, extensions)


def test_a_note_may_have_128_kib_and_no_byte_more() -> None:
    overhead = len(note.sign_note("\n", NAME, PRIVATE_KEY).encode()) - 1
    longest = "字" * ((note.MAX_NOTE - overhead - 1) // 3)
    longest += "x" * (note.MAX_NOTE - overhead - 1 - len(longest.encode())) + "\n"

    signed = note.sign_note(longest, NAME, PRIVATE_KEY)

    assert len(signed.encode()) == note.MAX_NOTE
    assert note.open_note(signed, [KEY]) == longest
    with pytest.raises(InvalidInput, match="at most 131072 bytes"):
        note.sign_note("x" + longest, NAME, PRIVATE_KEY)
    with pytest.raises(InvalidInput, match="at most 131072 bytes"):
        note.parse_note(b"x" + signed.encode())


def test_sixteen_post_quantum_signatures_fit() -> None:
    signed = note.sign_note(TEXT, NAME, PRIVATE_KEY)
    for i in range(15):
        name = f"witness{i:03}.example/".ljust(note.MAX_NAME, "字")
        signed += f"\N{EM DASH} {name} {b64encode(bytes(5004)).decode()}\n"

    assert note.open_note(signed, [KEY]) == TEXT


@pytest.mark.parametrize("extensions", [(), ("extension",)])
def test_a_checkpoint_text_without_its_last_newline_is_refused(extensions: tuple[str, ...]) -> None:
    text = note.format_checkpoint(note.Checkpoint(NAME, 1, bytes(32), extensions))

    with pytest.raises(InvalidInput, match="ends with a newline"):
        note.parse_checkpoint(text[:-1])


def test_a_checkpoint_text_beyond_the_limit_is_refused() -> None:
    text = note.format_checkpoint(note.Checkpoint(NAME, 1, bytes(32))) + "x" * note.MAX_NOTE + "\n"

    with pytest.raises(InvalidInput, match="at most"):
        note.parse_checkpoint(text)


def test_the_limit_of_a_text_counts_bytes() -> None:
    assert note.parse_text("x" * 6, 6) == note.parse_text(b"x" * 6, 6) == "xxxxxx"
    assert note.parse_text("存证", 6) == "存证"
    for text in ("x" * 7, b"x" * 7, "存证x"):
        with pytest.raises(InvalidInput, match="at most 6 bytes"):
            note.parse_text(text, 6)


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("7", 7), ("10", 10), ("9007199254740991", 2**53 - 1)]
)
def test_decimal(text: str, number: int) -> None:
    assert note.parse_decimal(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "07",
        "+7",
        "-0",
        "7 ",
        "7\n",
        "7_0",
        "7.0",
        "７",
        "²",
        "9007199254740992",
        "9" * 5000,
    ],
)
def test_not_decimal(text: str) -> None:
    with pytest.raises(InvalidInput):
        note.parse_decimal(text)


@pytest.mark.parametrize("content", [b"", b"f", b"fo", b"foo", bytes(range(256))])
def test_base64(content: bytes) -> None:
    assert note.parse_base64(note.format_base64(content)) == content


@pytest.mark.parametrize(
    "text",
    ["Zg", "Zg=", "Zh==", "Zm9=", "Zg===", "Zg==\n", " Zg==", "Z g=", "-_-_", "Zg==Zg==", "Zm字v"],
)
def test_not_base64(text: str) -> None:
    with pytest.raises(InvalidInput):
        note.parse_base64(text)
