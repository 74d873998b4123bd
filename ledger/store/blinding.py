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
from typing import TYPE_CHECKING, Final

from witnesstree.ledger.base.errors import Damaged
from witnesstree.ledger.store.disk import storage_errors, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.home import Home

FILE: Final = "blinding.key"
_SIZE: Final = 32
_PURPOSE: Final = b"witnesstree-blinding/1"


class Blinding:
    """The blinding leaves of one ledger. Its secret is read, or made, when it is first needed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._secret = b""

    def leaf(self, batch: int, position: int) -> bytes:
        """Return the 32 bytes that stand at `position` of `batch` where no entry does.

        Raises Damaged if the secret cannot be read, StorageFailure if it cannot be made.
        """
        if not self._secret:
            self._secret = self._read()
        place = batch.to_bytes(8, "big") + position.to_bytes(8, "big")
        return hmac.digest(self._secret, _PURPOSE + place, "sha256")

    def count(self, files: BatchFiles, batch: int, size: int) -> int:
        """Return how many of the first `size` leaves of a batch are blinding leaves, by comparing
        each that may be one. Raises Damaged if digests are missing.
        """
        return sum(
            1
            for position, leaf in self._odd_leaves(files, batch, size)
            if hmac.compare_digest(leaf, self.leaf(batch, position))
        )

    @staticmethod
    def _odd_leaves(files: BatchFiles, batch: int, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield the second leaf of each pair: a blinding leaf is never a first one."""
        first = 0
        for part in files.parts(batch, size):
            for at in range(_SIZE * ((first + 1) % 2), len(part), 2 * _SIZE):
                yield first + at // _SIZE, part[at : at + _SIZE]
            first += len(part) // _SIZE

    def _read(self) -> bytes:
        path = self._home.folder / "keys" / FILE
        # Whoever makes it holds the lock under which entries are appended.
        with storage_errors(path):
            if not path.exists():
                write_file(path, secrets.token_hex(_SIZE).encode() + b"\n", mode=0o600)
            text = path.read_bytes()
        try:
            secret = bytes.fromhex(text.decode())
        except ValueError:
            secret = b""
        if len(secret) != _SIZE:
            raise Damaged("blinding-key-unreadable", path=path)
        return secret
