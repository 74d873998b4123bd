"""Keys that pay for transactions: opened from a reference, used to sign, never shown.

Only this module sees one.

    keystore:FILE                      encrypted keystore (Web3 secret storage, version 3), as geth,
                                       clef and Foundry's cast write it
    env:NAME                           64 hex digits in an environment variable
    web3signer+http://HOST#0xADDRESS   an external signer that answers eth_signTransaction:
                                       web3signer, or a node that holds the key
    clef+http://HOST#0xADDRESS         an external signer that answers account_signTransaction: clef

No error, log line or repr of this module holds a key, a password, or more of a URL than its host.
"""

from __future__ import annotations

import getpass
import logging
import re
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from witnesstree.anchor.extras import CHAINS, require_extra
from witnesstree.anchor.settings import read_secret
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.chain.keccak import keccak256

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eth_account.signers.local import LocalAccount

    from witnesstree.ledger.base.strictjson import Reader

_log = logging.getLogger(__name__)

FORMS = (
    "keystore:FILE",
    "env:NAME",
    "web3signer+http://HOST:PORT#0xADDRESS",
    "clef+http://HOST:PORT#0xADDRESS",
)
MAX_KEYSTORE = 16 * 1024
"""Bytes in a keystore: half a thousand are usual."""
MAX_MEMORY = 512 * 2**20
"""Bytes that opening a keystore may take: with the usual scrypt parameters it takes 256 MiB."""
MAX_LANES = 16
"""scrypt's p, which multiplies its time: 1 or 6 are usual."""
MAX_ROUNDS = 10_000_000
"""Rounds of PBKDF2: a million are usual, and take a second."""
MAX_SIGNED = 128 * 1024
"""Bytes in a signed transaction: geth takes no longer ones, and anchoring 200 roots takes 7,000."""
EXTERNAL_TIMEOUT = 120.0
"""Seconds that an external signer may take: a person may have to look at its screen and agree."""

_EXTERNAL = re.compile(r"(web3signer|clef)\+(https?://[^\s#]{1,2000})#(0x[0-9a-fA-F]{40})")
_KEY = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of secp256k1 (SEC 2, 2.4.1)."""
# clef warns of calls that it cannot name, and refuses what it warns of, so it is told which method
# a call is of.
_METHODS = {
    keccak256(method.encode())[:4]: method for method in ("anchor(bytes32)", "anchorAll(bytes32[])")
}


class Signer(Protocol):
    """Who signs transactions for one account."""

    @property
    def address(self) -> bytes:
        """The account: 20 bytes."""
        ...

    def sign(self, transaction: Mapping[str, Any]) -> bytes:
        """Return the signed transaction as it is sent (EIP-2718), with exactly the members that
        were asked for.

        These are chainId, nonce, gas, value and data; `to` (20 bytes), unless it creates a
        contract; and gasPrice (a legacy transaction, EIP-155) or maxFeePerGas and
        maxPriorityFeePerGas (EIP-1559). Raises Unreachable or BadAnswer where somebody else holds
        the key.
        """
        ...


def open_signer(
    reference: str, password: str | None = None, *, timeout: float = EXTERNAL_TIMEOUT
) -> Signer:
    """Return who signs with the key that `reference` names; FORMS lists its forms.

    `password` is where a keystore's password is, env:NAME or file:PATH; without it, it is asked for
    at the terminal, where there is one. An external signer is not asked for anything before it has
    to sign; `timeout` is in seconds, for one signature.

    Raises InvalidInput if the reference has another form, or the key is not there, or the password
    is wrong.
    """
    kind, _, place = reference.partition(":")
    if kind == "keystore" and place:
        return _HeldKey(_read_keystore(Path(place).expanduser(), password))
    if kind == "env" and place:
        return _HeldKey(_parse_key(read_secret(reference), place))
    if external := _EXTERNAL.fullmatch(reference):
        return _ExternalSigner(external[1], external[2], external[3], timeout)
    # What was given may be a key itself, so it is not repeated.
    raise InvalidInput("key-reference-expected", forms=FORMS)


def settled(reference: str) -> str:
    """Return the reference as settings hold it: a keystore by its absolute path, because settings
    are used from any folder. No key is opened.

    Raises InvalidInput if it has none of the FORMS, or a keystore is not there.
    """
    kind, _, place = reference.partition(":")
    if kind == "keystore" and place:
        path = Path(place).expanduser().absolute()
        if not path.is_file():
            raise InvalidInput("keystore-missing", path=path)
        return f"keystore:{path}"
    if (kind == "env" and place) or _EXTERNAL.fullmatch(reference):
        return reference
    raise InvalidInput("key-reference-expected", forms=FORMS)


def described(reference: str) -> Message:
    """Return where a key is, for people: of an external signer's URL only what holds no secret."""
    if external := _EXTERNAL.fullmatch(reference):
        from witnesstree.anchor.http import place

        return message(
            "key-at-signer", signer=external[1], place=place(external[2]), account=external[3]
        )
    kind, _, where = reference.partition(":")
    return message("key-at", kind=kind, where=where)


def exposure(reference: str) -> Message | None:
    """Return what to say of a keystore that others can read, None where nothing is to be said."""
    kind, _, place = reference.partition(":")
    path = Path(place).expanduser()
    if (
        kind != "keystore"
        or not path.exists()
        or not path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
    ):
        return None
    return message("keystore-readable-by-others", path=path)


def checksummed(address: bytes) -> str:
    """Return an address (20 bytes) as people write it, with the capitals of ERC-55."""
    from eth_utils.address import to_checksum_address

    return to_checksum_address(address)


# Keys that are here


class _HeldKey:
    """A key in this process's memory."""

    __slots__ = ("_account", "address")

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self.address = bytes.fromhex(account.address[2:])

    def __repr__(self) -> str:
        return f"Signer({checksummed(self.address)})"

    def sign(self, transaction: Mapping[str, Any]) -> bytes:
        return bytes(self._account.sign_transaction(dict(transaction)).raw_transaction)


def _parse_key(text: str, name: str) -> LocalAccount:
    found = _KEY.fullmatch(text.strip())
    if not found:
        raise InvalidInput("variable-holds-no-key", name=name)
    return _account(bytes.fromhex(found[1]), "env", name)


def _account(key: bytes, kind: str, where: str) -> LocalAccount:
    require_extra(CHAINS)
    from eth_account import Account

    if not 0 < int.from_bytes(key) < _ORDER:
        raise InvalidInput("key-out-of-range", kind=kind, where=where)
    account: LocalAccount = Account.from_key(key)
    return account


def _read_keystore(path: Path, password: str | None) -> LocalAccount:
    require_extra(CHAINS)
    from eth_account import Account

    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEYSTORE + 1)
    except OSError as error:
        raise InvalidInput("keystore-unreadable", path=path, error=error) from error
    keystore = _parse_keystore(content, path)
    if warning := exposure(f"keystore:{path}"):
        _log.warning("%s", warning)
    secret = read_secret(password) if password else _ask_password(path)
    try:
        key = bytes(Account.decrypt(keystore, secret))
    except ValueError:
        raise InvalidInput("keystore-password-wrong", path=path) from None
    return _account(key, "keystore", str(path))


def _ask_password(path: Path) -> str:
    if not sys.stdin.isatty():
        raise InvalidInput("keystore-password-missing", path=path)
    return getpass.getpass(f"{message('keystore-password-prompt', path=path)} ")


def _parse_keystore(content: bytes, path: Path) -> dict[str, Any]:
    """Return the members of a keystore that opening it needs.

    Raises InvalidInput if it is none, or one that takes too much to open.
    """
    try:
        if len(content) > MAX_KEYSTORE:
            raise InvalidInput("keystore-not-opened-here", path=path)
        document = load("the keystore", content)
        document["version"].integer(3, 3)
        # Old programs write it with a capital.
        crypto = document["crypto" if "crypto" in document.value else "Crypto"]
        if crypto.member("cipher") != "aes-128-ctr":
            crypto["cipher"].wrong("aes-128-ctr")
        read = {"pbkdf2": _read_pbkdf2, "scrypt": _read_scrypt}.get(
            crypto["kdf"].text(20)
        ) or crypto["kdf"].wrong("scrypt | pbkdf2")
        members = {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": crypto["cipherparams"]["iv"].hex(16).hex()},
            "ciphertext": crypto["ciphertext"].hex(32).hex(),
            "kdf": crypto.value["kdf"],
            "kdfparams": read(crypto["kdfparams"]),
            "mac": crypto["mac"].hex(32).hex(),
        }
    except InvalidInput:
        # Its reason may repeat what is in the file, and that may be a key that is not
        # encrypted.
        raise InvalidInput("keystore-not-opened-here", path=path) from None
    return {"version": 3, "crypto": members}


def _read_pbkdf2(value: Reader) -> dict[str, Any]:
    if value.member("prf") != "hmac-sha256":
        value["prf"].wrong("hmac-sha256")
    rounds = value["c"].integer(1, MAX_ROUNDS)
    return {
        "c": rounds,
        "dklen": value["dklen"].integer(32, 32),
        "prf": "hmac-sha256",
        "salt": value["salt"].hex(most=64).hex(),
    }


def _read_scrypt(value: Reader) -> dict[str, Any]:
    n, r, p = value["n"].integer(2), value["r"].integer(1), value["p"].integer(1, MAX_LANES)
    # RFC 7914, 2: n is a power of two below 2**(16 * r), and 128 * n * r bytes of memory are
    # needed.
    if n & (n - 1) or 128 * n * r > MAX_MEMORY or n.bit_length() > 16 * r:
        value.wrong("128 * n * r <= 2**29")
    return {
        "n": n,
        "r": r,
        "p": p,
        "dklen": value["dklen"].integer(32, 32),
        "salt": value["salt"].hex(most=64).hex(),
    }


# Keys that others hold


class _ExternalSigner:
    """A signer that is asked over JSON-RPC.

    What it returns is compared with what was asked, so it need not be trusted with more than the
    key.
    """

    __slots__ = ("_kind", "_timeout", "_url", "address")

    def __init__(self, kind: str, url: str, address: str, timeout: float) -> None:
        self._kind = kind
        self._url = url
        self.address = bytes.fromhex(address[2:])
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"Signer({checksummed(self.address)})"

    def sign(self, transaction: Mapping[str, Any]) -> bytes:
        from witnesstree.anchor.evm.rpc import Endpoint, octets

        question = _question(transaction, self.address)
        with closing(Endpoint(self._url, timeout=self._timeout)) as endpoint:
            if self._kind == "clef":
                answer = endpoint.ask(
                    "account_signTransaction", question, _METHODS.get(transaction["data"][:4])
                )
            else:
                answer = endpoint.ask("eth_signTransaction", question)
            raw = octets(
                answer.get("raw") if isinstance(answer, dict) else answer,
                "signature",
                endpoint.place,
                most=MAX_SIGNED,
            )
            _require_as_asked(raw, transaction, self.address, endpoint.place)
        return raw


def _question(transaction: Mapping[str, Any], sender: bytes) -> dict[str, Any]:
    """Return the transaction as JSON-RPC writes it (execution-apis, GenericTransaction), without
    `type`: the fee's members say it.
    """
    numbers = {
        name: hex(value)
        for name, value in transaction.items()
        if isinstance(value, int) and name != "type"
    }
    # clef warns of addresses without ERC-55's capitals, and refuses what it warns of.
    to = {"to": checksummed(transaction["to"])} if "to" in transaction else {}
    return {"from": checksummed(sender), **to, **numbers, "data": "0x" + transaction["data"].hex()}


_LEGACY = ("nonce", "gasPrice", "gas", "to", "value", "data")
_EIP1559 = (
    "chainId",
    "nonce",
    "maxPriorityFeePerGas",
    "maxFeePerGas",
    "gas",
    "to",
    "value",
    "data",
    "accessList",
)
"""The members in the order in which they are signed (EIP-155, EIP-1559)."""


def _require_as_asked(
    raw: bytes, transaction: Mapping[str, Any], sender: bytes, place: str
) -> None:
    """Refuse, with BadAnswer, anything but the transaction that was asked for with a signature of
    `sender`.
    """
    import rlp

    is_legacy = "gasPrice" in transaction
    prefix, names = (b"", _LEGACY) if is_legacy else (b"\x02", _EIP1559)
    members = {"to": b"", "accessList": [], **transaction}
    values = [members[name] for name in names]
    if not raw.startswith(prefix) or raw[len(prefix) : len(prefix) + 1] < b"\xc0":
        raise BadAnswer("signed-another-type", place=place)
    # A list's first byte says how many bytes of length follow (Yellow Paper, appendix B).
    at = len(prefix) + 1 + max(0, raw[len(prefix)] - 0xF7)
    for name, value in zip(names, values, strict=True):
        encoded = rlp.encode(value)
        if not raw.startswith(encoded, at):
            raise BadAnswer("signed-another-member", place=place, member=name)
        at += len(encoded)
    v, r, s = _signature(raw[at:], place)
    if raw != prefix + rlp.encode([*values, v, r, s]):
        raise BadAnswer("signed-in-no-form", place=place)
    if is_legacy:
        parity, unsigned = (
            v - 35 - 2 * transaction["chainId"],
            rlp.encode([*values, transaction["chainId"], 0, 0]),
        )
    else:
        parity, unsigned = v, prefix + rlp.encode(values)
    if parity not in {0, 1}:
        raise BadAnswer("signed-for-another-chain", place=place, chain=transaction["chainId"])
    if _signer_of(unsigned, parity, r, s) != sender:
        raise BadAnswer("signed-with-another-key", place=place, account=checksummed(sender))


def _signature(tail: bytes, place: str) -> tuple[int, int, int]:
    """Return the three numbers of a signature, in RLP one after the other."""
    import rlp

    # Three numbers of 32 bytes take 99: what is longer is none, and may be lists nested deeply.
    tail = tail[:99]
    try:
        numbers = rlp.decode(rlp.codec.length_prefix(len(tail), 0xC0) + tail)
    except rlp.exceptions.RLPException:
        numbers = []
    if len(numbers) != 3 or not all(isinstance(number, bytes) for number in numbers):
        raise BadAnswer("signature-missing", place=place)
    v, r, s = (int.from_bytes(number) for number in numbers)
    return v, r, s


def _signer_of(unsigned: bytes, parity: int, r: int, s: int) -> bytes | None:
    """Return whose signature this is, None where it is nobody's, or one that chains refuse (EIP-2:
    s is in the lower half).
    """
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    if s > _ORDER // 2:
        return None
    try:
        return (
            Signature(vrs=(parity, r, s))
            .recover_public_key_from_msg_hash(keccak256(unsigned))
            .to_canonical_address()
        )
    except (BadSignature, ValidationError):
        return None
