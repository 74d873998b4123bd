"""Blinding leaves: what stands beside an entry in its batch where nobody may see a neighbour's
digest.

A path begins with the leaf beside its own. So leaf 1, beside the opening record that everybody
sees, is a blinding leaf, and each submission has pairs of leaves to itself: where it has an odd
number of digests, a blinding leaf fills its last pair. They are derived from a secret of the home:
who does not have it cannot tell them from entries, and nothing has to be kept of them.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from witnesstree.ledger.base.errors import Damaged
from witnesstree.ledger.base.system import open_regular
from witnesstree.ledger.store.disk import storage_errors, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.home import Home

FILE: Final = "blinding.key"
_SIZE: Final = 32
_MAX_FILE: Final = 1024
_PURPOSE: Final = b"witnesstree-blinding/1"


class Blinding:
    """The blinding leaves of one ledger. Its secret is read, or made, when it is first needed."""

    def __init__(self, home: Home) -> None:
        self.path = home.folder / "keys" / FILE
        self._secret = b""

    def is_here(self) -> bool:
        """Whether the home has the secret. Raises Damaged if it cannot be read."""
        if not self._secret and self.path.exists():
            self._secret = self._read()
        return bool(self._secret)

    def leaf(self, batch: int, position: int) -> bytes:
        """Return the 32 bytes that stand at `position` of `batch` where no entry does.

        Raises Damaged if the secret cannot be read, StorageFailure if it cannot be made.
        """
        if not self._secret:
            # Whoever makes it holds the lock under which entries are appended.
            with storage_errors(self.path):
                if not self.path.exists():
                    content = secrets.token_hex(_SIZE).encode() + b"\n"
                    write_file(self.path, content, mode=0o600)
            self._secret = self._read()
        leaf: bytes = self._stream(batch, position).update(bytes(_SIZE))
        return leaf

    def positions(self, files: BatchFiles, batch: int, size: int) -> Iterator[int]:
        """Yield which of the first `size` leaves of a batch are blinding leaves that the secret
        gives, by comparing each that may be one; none, where the home has no secret.

        Raises Damaged if digests are missing, or the secret cannot be read.
        """
        if not self.is_here():
            return
        stream, first = self._stream(batch, 0), 0
        # One is never the first leaf of a pair, and every part but the last has whole pairs.
        for part in files.parts(batch, size):
            leaves = stream.update(bytes(len(part)))
            for at in range(_SIZE, len(part), 2 * _SIZE):
                if part[at : at + _SIZE] == leaves[at : at + _SIZE]:
                    yield first + at // _SIZE
            first += len(part) // _SIZE

    def count(self, files: BatchFiles, batch: int, size: int) -> int:
        """Return how many these are."""
        return sum(1 for _ in self.positions(files, batch, size))

    def _stream(self, batch: int, position: int) -> Any:
        """Return what gives the leaves of a batch from a position on: AES-256 in counter mode under
        a key of the batch's own, two blocks a leaf.
        """
        key = hmac.digest(self._secret, _PURPOSE + batch.to_bytes(8, "big"), "sha256")
        counter = (2 * position).to_bytes(16, "big")
        return Cipher(algorithms.AES256(key), modes.CTR(counter)).encryptor()

    def _read(self) -> bytes:
        with storage_errors(self.path), open_regular(self.path) as file:
            text = file.read(_MAX_FILE)
        try:
            secret = bytes.fromhex(text.decode())
        except ValueError:
            secret = b""
        if len(secret) != _SIZE:
            raise Damaged("blinding-key-unreadable", path=self.path)
        return secret
