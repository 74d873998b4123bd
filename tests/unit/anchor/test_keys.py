"""Keys: each form opens or says why not, what an external signer returns is what was asked for, and
no secret is ever in a text."""

import json
import logging
import pickle
import traceback
from collections.abc import Callable
from hashlib import pbkdf2_hmac
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.anchor import keys
from witnesstree.anchor.evm import rpc
from witnesstree.anchor.evm.contract import anchoring_calldata
from witnesstree.anchor.keys import checksummed, exposure, open_signer
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, WitnesstreeError
from witnesstree.ledger.chain.keccak import keccak256

# Foundry's documentation gives this key for its second account: public, and worthless on any real
# chain.
KEY = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PASSWORD = "correct horse 照片"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
CALL = {
    "chainId": 31337,
    "nonce": 7,
    "value": 0,
    "data": anchoring_calldata([b"\x11" * 32]),
    "gas": 60_000,
    "to": bytes(range(20)),
}
EIP1559 = {**CALL, "type": 2, "maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9}
LEGACY = {**CALL, "gasPrice": 2 * 10**9}
CREATION = {
    **{name: value for name, value in EIP1559.items() if name != "to"},
    "data": b"\x60\x00" * 300,
}
ASKED = [EIP1559, LEGACY, CREATION, {**EIP1559, "nonce": 0, "value": 10**18, "data": b""}]


def without_secrets(
    action: Callable[[], object], kind: type[WitnesstreeError], caplog: pytest.LogCaptureFixture
) -> str:
    """Return the one-line text of the error that `action` raises, after looking for secrets in all
    that could be shown of it."""
    with pytest.raises(kind) as caught:
        action()
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    for secret in (KEY, KEY[2:], PASSWORD, str(bytes.fromhex(KEY)), str(int(KEY, 16)), "hunter2"):
        assert secret not in told
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Keys that are here


@pytest.mark.parametrize("text", [KEY, f"0x{KEY}", f"{KEY.upper()}\n"])
def test_a_key_from_the_environment(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYER", text)
    signer = open_signer("env:PAYER")
    assert checksummed(signer.address) == ADDRESS
    for transaction in ASKED:
        assert signer.sign(transaction) == bytes(
            Account.sign_transaction(transaction, KEY).raw_transaction
        )


@pytest.mark.parametrize(
    "text",
    [
        KEY[:-1],
        KEY + "00",
        "x" + KEY[1:],
        "",
        "00" * 32,
        f"{ORDER:064x}",
        "ff" * 32,
        " ".join(KEY),
        "٣" * 64,
        f"hunter2 {KEY}",
    ],
)
def test_what_is_no_key_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PAYER", text)
    assert "PAYER holds no key" in without_secrets(
        lambda: open_signer("env:PAYER"), InvalidInput, caplog
    )


def test_a_key_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    assert "PAYER is not set" in without_secrets(
        lambda: open_signer("env:PAYER"), InvalidInput, caplog
    )


@pytest.mark.parametrize(
    "reference",
    [
        "",
        KEY,
        f"0x{KEY}",
        "env:",
        "keystore:",
        "file:key",
        f"web3signer+http://user:hunter2@host#{ADDRESS}x",
        "web3signer+http://user:hunter2@host",
        f"web3signer+ftp://host#{ADDRESS}",
        f"clef+http://#{ADDRESS}",
        f"other+http://host#{ADDRESS}",
        f"clef+http://{'h' * 2001}#{ADDRESS}",
    ],
)
def test_what_refers_to_no_key_is_refused_and_not_repeated(
    reference: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = without_secrets(lambda: open_signer(reference), InvalidInput, caplog)
    assert all(form in text for form in keys.FORMS)


def test_a_signer_shows_its_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYER", KEY)
    for signer in (
        open_signer("env:PAYER"),
        open_signer(f"web3signer+http://user:hunter2@host/{KEY}#{ADDRESS.lower()}"),
    ):
        assert repr(signer) == str(signer) == f"Signer({ADDRESS})"
        assert not hasattr(signer, "__dict__")
        assert signer.address == bytes.fromhex(ADDRESS[2:])


# Keystores


@pytest.fixture(scope="module")
def keystores() -> dict[str, Any]:
    return {
        "pbkdf2": Account.encrypt(KEY, PASSWORD, "pbkdf2", 1000),
        "scrypt": Account.encrypt(KEY, PASSWORD, "scrypt", 1024),
    }


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PAYER_PASSWORD", PASSWORD)
    return "env:PAYER_PASSWORD"


def written(folder: Path, content: object, mode: int = 0o600) -> Path:
    path = folder / "keystore.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize("kdf", ["pbkdf2", "scrypt"])
def test_a_keystore_opens_with_its_password(
    kdf: str, keystores: dict[str, Any], password: str, tmp_path: Path
) -> None:
    path = written(tmp_path, keystores[kdf])
    assert checksummed(open_signer(f"keystore:{path}", password).address) == ADDRESS
    (tmp_path / "password").write_text(PASSWORD + "\n")
    assert (
        checksummed(open_signer(f"keystore:{path}", f"file:{tmp_path / 'password'}").address)
        == ADDRESS
    )


def test_a_keystore_of_an_old_program_opens(
    keystores: dict[str, Any], password: str, tmp_path: Path
) -> None:
    path = written(tmp_path, {"version": 3, "Crypto": keystores["pbkdf2"]["crypto"], "balance": 12})
    assert checksummed(open_signer(f"keystore:{path}", password).address) == ADDRESS


def test_a_keystore_may_stand_in_the_home_folder(
    keystores: dict[str, Any], password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path, keystores["pbkdf2"], mode=0o640)
    assert checksummed(open_signer("keystore:~/keystore.json", password).address) == ADDRESS
    said = exposure("keystore:~/keystore.json")
    assert (
        str(said)
        == f"{tmp_path}/keystore.json can be read by others, who may then try passwords on it: run"
        " `chmod 600` on it"
    )


def test_a_wrong_password(
    keystores: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PAYER_PASSWORD", "hunter2")
    path = written(tmp_path, keystores["pbkdf2"])
    text = without_secrets(
        lambda: open_signer(f"keystore:{path}", "env:PAYER_PASSWORD"), InvalidInput, caplog
    )
    assert text == f"the password does not open the keystore {path}"


def test_a_person_is_asked_for_the_password_and_it_is_not_shown(
    keystores: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = written(tmp_path, keystores["pbkdf2"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or PASSWORD)
    assert checksummed(open_signer(f"keystore:{path}").address) == ADDRESS
    assert asked == [f"Password of {path}: "]
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert "nobody can be asked" in without_secrets(
        lambda: open_signer(f"keystore:{path}"), InvalidInput, caplog
    )


def test_a_keystore_that_others_can_read_is_said_so(
    keystores: dict[str, Any], password: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, keystores["pbkdf2"])
    with caplog.at_level(logging.WARNING):
        open_signer(f"keystore:{path}", password)
        assert caplog.text == ""
        path.chmod(0o644)
        open_signer(f"keystore:{path}", password)
    assert "can be read by others" in caplog.text
    assert PASSWORD not in caplog.text
    assert exposure("env:PAYER") is None
    assert exposure(f"keystore:{tmp_path / 'none'}") is None


def test_a_keystore_that_is_not_there(
    tmp_path: Path, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (tmp_path / "none", tmp_path):
        assert "cannot be read" in without_secrets(
            lambda path=path: open_signer(f"keystore:{path}", password), InvalidInput, caplog
        )


def spoilt(member: str, value: object) -> Callable[[dict[str, Any]], object]:
    def spoil(document: dict[str, Any]) -> object:
        *way, last = member.split(".")
        place = document
        for name in way:
            place = place[name]
        place[last] = value
        return document

    return spoil


@pytest.mark.parametrize(
    ("kdf", "spoil"),
    [
        ("pbkdf2", lambda document: KEY.encode()),
        ("pbkdf2", lambda document: str(int(KEY, 16)).encode()),
        ("pbkdf2", lambda document: json.dumps(KEY).encode()),
        ("pbkdf2", lambda document: b""),
        ("pbkdf2", lambda document: b"[" * 5000),
        ("pbkdf2", lambda document: {**document, "filler": "x" * keys.MAX_KEYSTORE}),
        ("pbkdf2", spoilt("version", 4)),
        ("pbkdf2", spoilt("crypto", KEY)),
        ("pbkdf2", spoilt("crypto.cipher", "aes-256-ctr")),
        ("pbkdf2", spoilt("crypto.cipherparams.iv", "00")),
        ("pbkdf2", spoilt("crypto.ciphertext", KEY + "00")),
        ("pbkdf2", spoilt("crypto.mac", None)),
        ("pbkdf2", spoilt("crypto.kdf", "argon2id")),
        ("pbkdf2", spoilt("crypto.kdfparams", [])),
        ("pbkdf2", spoilt("crypto.kdfparams.prf", "hmac-md5")),
        ("pbkdf2", spoilt("crypto.kdfparams.c", keys.MAX_ROUNDS + 1)),
        ("pbkdf2", spoilt("crypto.kdfparams.dklen", 2**31)),
        ("pbkdf2", spoilt("crypto.kdfparams.salt", "")),
        ("scrypt", spoilt("crypto.kdfparams.n", 2**20)),
        ("scrypt", spoilt("crypto.kdfparams.n", 1025)),
        ("scrypt", spoilt("crypto.kdfparams.r", 2**19)),
        ("scrypt", spoilt("crypto.kdfparams.p", keys.MAX_LANES + 1)),
        (
            "scrypt",
            lambda document: spoilt("crypto.kdfparams.r", 1)(
                spoilt("crypto.kdfparams.n", 2**16)(document)
            ),
        ),
    ],
)
def test_what_is_no_keystore_is_refused_at_once(
    *,
    kdf: str,
    spoil: Callable[[dict[str, Any]], object],
    keystores: dict[str, Any],
    password: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = written(tmp_path, spoil(pickle.loads(pickle.dumps(keystores[kdf]))))
    text = without_secrets(lambda: open_signer(f"keystore:{path}", password), InvalidInput, caplog)
    assert (
        text
        == f"{path} is no keystore that can be opened here: expected Web3 secret storage, version"
        " 3, with usual parameters"
    )


def test_a_keystore_of_no_account_is_refused(
    keystores: dict[str, Any], password: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Made as a keystore is made, but of zeros: AES in counter mode is its own inverse, so the key
    # stream is the text of the zeros.
    document = pickle.loads(pickle.dumps(keystores["pbkdf2"]))
    crypto = document["crypto"]
    stream = bytes(
        a ^ b for a, b in zip(bytes.fromhex(crypto["ciphertext"]), bytes.fromhex(KEY), strict=True)
    )
    derived = pbkdf2_hmac(
        "sha256", PASSWORD.encode(), bytes.fromhex(crypto["kdfparams"]["salt"]), 1000, 32
    )
    crypto["ciphertext"], crypto["mac"] = stream.hex(), keccak256(derived[16:] + stream).hex()
    path = written(tmp_path, document)
    assert "no account has this number" in without_secrets(
        lambda: open_signer(f"keystore:{path}", password), InvalidInput, caplog
    )


@given(st.binary(max_size=300))
def test_any_file_opens_or_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidInput):
        keys._parse_keystore(content, tmp_path)


# Keys that others hold


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> "Answers":
    found = Answers()
    monkeypatch.setattr(rpc.Endpoint, "ask", lambda self, method, *params: found(method, *params))
    return found


class Answers:
    """An external signer: what it was asked, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Any = None

    def __call__(self, *question: Any) -> Any:
        self.asked.append(question)
        return self.answer


def external(kind: str = "web3signer") -> keys.Signer:
    return open_signer(f"{kind}+http://user:hunter2@127.0.0.1:1/{KEY}#{ADDRESS}")


def signed(transaction: dict[str, Any], key: str = KEY) -> bytes:
    return bytes(Account.sign_transaction(transaction, key).raw_transaction)


@pytest.mark.parametrize("transaction", ASKED)
@pytest.mark.parametrize("kind", ["web3signer", "clef"])
def test_what_was_asked_for_is_taken(
    kind: str, transaction: dict[str, Any], answers: Answers
) -> None:
    raw = signed(transaction)
    for answers.answer in ("0x" + raw.hex(), {"raw": "0x" + raw.hex(), "tx": {}}):
        assert external(kind).sign(transaction) == raw
    method, members, *rest = answers.asked[0]
    assert members["from"] == ADDRESS
    assert members.get("to") == (checksummed(transaction["to"]) if "to" in transaction else None)
    assert members["chainId"] == hex(31337)
    assert members["data"] == "0x" + transaction["data"].hex()
    assert {"nonce", "value", "gas"} < set(members)
    assert "type" not in members
    if kind == "clef":
        assert (method, rest) == (
            "account_signTransaction",
            ["anchor(bytes32)" if transaction["data"] == CALL["data"] else None],
        )
    else:
        assert (method, rest) == ("eth_signTransaction", [])


CHANGES = [
    (EIP1559, "chainId", 1, "another chainId"),
    (EIP1559, "nonce", 8, "another nonce"),
    (EIP1559, "maxPriorityFeePerGas", 0, "another maxPriorityFeePerGas"),
    (EIP1559, "maxFeePerGas", 10**12, "another maxFeePerGas"),
    (EIP1559, "gas", 60_001, "another gas"),
    (EIP1559, "to", bytes(20), "another to"),
    (EIP1559, "value", 1, "another value"),
    (EIP1559, "data", b"", "another data"),
    (EIP1559, "accessList", [{"address": ADDRESS, "storageKeys": []}], "another accessList"),
    (LEGACY, "chainId", 1, "another chain"),
    (LEGACY, "nonce", 8, "another nonce"),
    (LEGACY, "gasPrice", 10**12, "another gasPrice"),
    (LEGACY, "gas", 60_001, "another gas"),
    (LEGACY, "to", bytes(20), "another to"),
    (LEGACY, "value", 1, "another value"),
    (LEGACY, "data", b"\x01", "another data"),
]


@pytest.mark.parametrize(("transaction", "name", "value", "says"), CHANGES)
def test_any_other_member_is_refused(
    *,
    transaction: dict[str, Any],
    name: str,
    value: Any,
    says: str,
    answers: Answers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers.answer = "0x" + signed({**transaction, name: value}).hex()
    assert says in without_secrets(lambda: external().sign(transaction), BadAnswer, caplog)


def resigned(transaction: dict[str, Any], change: Callable[[list[Any]], list[Any]]) -> bytes:
    """Return the signed transaction with its list of members changed afterwards."""
    raw = signed(transaction)
    kind = raw[:1] if raw[0] == 2 else b""
    return kind + rlp.encode(change(rlp.decode(raw[len(kind) :])))


def high_s(members: list[Any]) -> list[Any]:
    v, s = int.from_bytes(members[-3]), int.from_bytes(members[-1])
    return [*members[:-3], v ^ 1 if v < 2 else (v - 35 ^ 1) + 35, members[-2], ORDER - s]


@pytest.mark.parametrize("transaction", [EIP1559, LEGACY])
@pytest.mark.parametrize(
    ("forge", "says"),
    [
        (lambda transaction: signed(transaction, "11" * 32), "another key"),
        (lambda transaction: signed(LEGACY if "type" in transaction else EIP1559), "another "),
        (lambda transaction: b"", "another type"),
        (lambda transaction: b"\x02", "another type"),
        (lambda transaction: b"\x02\x80", "another type"),
        (lambda transaction: b"\x01" + signed(transaction), "another type"),
        (lambda transaction: signed(transaction)[:-1], "no signature"),
        (lambda transaction: signed(transaction) + b"\x00", "no signature"),
        (
            lambda transaction: resigned(transaction, lambda members: [*members, b""]),
            "no signature",
        ),
        (
            lambda transaction: resigned(
                transaction, lambda members: [*members[:-1], b"\x00" + members[-1]]
            ),
            " ",
        ),
        (
            lambda transaction: resigned(
                transaction, lambda members: [*members[:-1], [members[-1]]]
            ),
            "no signature",
        ),
        (
            lambda transaction: resigned(
                transaction, lambda members: [*members[:-1], [[[[]]]] * 20_000]
            ),
            "no signature",
        ),
        (
            lambda transaction: resigned(transaction, lambda members: [*members[:-1], b""]),
            "another key",
        ),
        (
            lambda transaction: resigned(
                transaction, lambda members: [*members[:-2], b"\xff" * 32, members[-1]]
            ),
            "another key",
        ),
        (
            lambda transaction: resigned(
                transaction, lambda members: [*members[:-3], b"\x05", *members[-2:]]
            ),
            "another chain",
        ),
        (lambda transaction: resigned(transaction, high_s), "another "),
        (
            lambda transaction: signed(transaction).replace(b"\xf8", b"\xf9\x00", 1),
            "a form that no chain takes",
        ),
    ],
)
def test_a_forgery_is_refused(
    transaction: dict[str, Any],
    forge: Callable[[dict[str, Any]], bytes],
    says: str,
    answers: Answers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers.answer = "0x" + forge(transaction).hex()
    assert says in without_secrets(lambda: external().sign(transaction), BadAnswer, caplog)


@pytest.mark.parametrize(
    "answer",
    [None, True, 7, [], {}, {"raw": None}, "", "0xzz", "02f8", "0x" + "00" * (keys.MAX_SIGNED + 1)],
)
def test_what_is_no_transaction_is_refused(
    answer: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    answers.answer = answer
    without_secrets(lambda: external().sign(EIP1559), BadAnswer, caplog)


@given(st.data())
def test_any_answer_is_refused_or_exactly_ours(data: st.DataObject) -> None:
    transaction = data.draw(st.sampled_from([EIP1559, LEGACY]))
    raw = bytearray(signed(transaction))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[at]))
    with pytest.raises(BadAnswer):
        keys._require_as_asked(bytes(raw), transaction, bytes.fromhex(ADDRESS[2:]), "http://signer")
