"""The receipt key: made once, vouched for by the log's key, and then used without it.

The process that reads strangers' bytes signs receipts; it never opens the key that signs
checkpoints. `keys/receipts.pem` is the receipt key, `keys/receipts.note` the note that vouches for
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from witnesstree.ledger.base.errors import Damaged, InvalidInput, NotFound
from witnesstree.ledger.log.keys import newest_key
from witnesstree.ledger.log.note import VerifierKey
from witnesstree.ledger.log.receipt import give_receipt, vouch_for_key, vouched_key
from witnesstree.ledger.store.disk import storage_errors, write_file

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from witnesstree.ledger.log.receipt import Promise, Receipt
    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.work.sealing import Ledger

_KEY: Final = "receipts.pem"
_NOTE: Final = "receipts.note"
_MAX_FILE: Final = 64 * 1024


class ReceiptKey:
    """The receipt key of a home, as it is at the moment it is opened.

    Raises NotFound if the home has none yet, Damaged if it cannot be read.
    """

    def __init__(self, home: Home) -> None:
        key, note = _read(home.folder / "keys" / _KEY), _read(home.folder / "keys" / _NOTE)
        try:
            opened = load_pem_private_key(key, password=None)
            self.note = note.decode()
        except (ValueError, TypeError) as error:
            raise Damaged("receipt-key-unreadable", folder=home.folder / "keys") from error
        if not isinstance(opened, Ed25519PrivateKey):
            raise Damaged("receipt-key-unreadable", folder=home.folder / "keys")
        self._key = opened

    def sign(self, promise: Promise) -> Receipt:
        """Return the receipt for all entries of a promise."""
        return give_receipt(promise, self._key, self.note)


def require_receipt_key(ledger: Ledger, now: datetime) -> None:
    """Make the receipt key of a ledger, and have the log's key in force vouch for it, unless it
    does already. Raises StorageFailure, Damaged.
    """
    # The worker asks with each of its passes, and no submission waits for that.
    with ledger.metadata.read() as transaction:
        newest = newest_key(ledger.home.verifier_key(), ledger.key_changes(transaction))
    if _vouched_by(ledger.home, newest)[1]:
        return
    folder = ledger.home.folder / "keys"
    # Excludes other writers, so that nobody else makes one, or changes the log's key.
    with ledger.metadata.write() as transaction:
        log_key = ledger.signing_key(transaction)
        public = VerifierKey(ledger.home.origin, log_key.public_key().public_bytes_raw())
        key, is_vouched_for = _vouched_by(ledger.home, public)
        if is_vouched_for:
            return
        if key is None:
            key = Ed25519PrivateKey.generate()
            write_file(
                folder / _KEY,
                key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
                mode=0o600,
            )
        note = vouch_for_key(_public(ledger.home, key), now, log_key)
        write_file(folder / _NOTE, note.encode())


def _vouched_by(home: Home, log_key: VerifierKey) -> tuple[Ed25519PrivateKey | None, bool]:
    """Return the receipt key of a home, None where there is none with a note that can be read, and
    whether the log's key vouches for it. Raises Damaged if the key cannot be read.
    """
    try:
        opened = ReceiptKey(home)
        key = opened._key  # noqa: SLF001 - one part
        return key, vouched_key(opened.note, [log_key]) == _public(home, key)
    except (NotFound, InvalidInput):
        return None, False


def _public(home: Home, key: Ed25519PrivateKey) -> VerifierKey:
    return VerifierKey(home.origin, key.public_key().public_bytes_raw())


def _read(path: Path) -> bytes:
    if not path.exists():
        raise NotFound("receipt-key-missing", path=path)
    with storage_errors(path), path.open("rb") as file:
        return file.read(_MAX_FILE)
