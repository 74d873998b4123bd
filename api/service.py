"""What the routes share: the ledger, the committer, whom they answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from witnesstree.anchor.evm.contract import artefact
from witnesstree.anchor.settings import EMBEDDED, read_settings
from witnesstree.api.auth import Caller, Keys
from witnesstree.api.limiting import Limiting
from witnesstree.api.problems import Problem, TooMany
from witnesstree.api.store.keys import Scope
from witnesstree.api.store.schema import require_tables
from witnesstree.api.store.submissions import owner
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import NotFound
from witnesstree.ledger.log.note import format_verifier_key
from witnesstree.ledger.log.receipt import vouched_key
from witnesstree.ledger.tree.tree import NODE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from witnesstree.anchor.settings import ServiceSettings
    from witnesstree.api.committer import Committer
    from witnesstree.ledger.log.note import VerifierKey
    from witnesstree.ledger.work.lookup import Entry
    from witnesstree.ledger.work.sealing import Ledger

MAX_COPIES: Final = 10_000
"""Entries of one digest that are looked through for those of the caller."""
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(slots=True)
class Service:
    """One service: the ledger that it serves, and what it knows of its callers."""

    ledger: Ledger
    settings: ServiceSettings
    committer: Committer
    keys: Keys
    limiting: Limiting
    unsealed: int = 0
    """Entries that wait to be sealed, as of a moment ago."""
    published: int = -1
    """The size of the log that was published last."""

    @classmethod
    def over(cls, ledger: Ledger, settings: ServiceSettings, committer: Committer) -> Service:
        """Return the service over an open ledger, with its tables made where they are not."""
        with ledger.metadata.write() as transaction:
            require_tables(transaction.connection, format_time(ledger.now()))
        keys = Keys(ledger.metadata, ledger.now)
        return cls(
            ledger, settings, committer, keys, Limiting(ledger.metadata, settings, ledger.now)
        )

    def require_room(self) -> None:
        """Raise Problem (429) while too much waits to be sealed."""
        if self.unsealed > self.settings.backlog:
            raise TooMany("backlog-full", 10, most=self.settings.backlog)

    def log_keys(self) -> list[VerifierKey]:
        """Return all keys that the log has had."""
        with self.ledger.metadata.read() as transaction:
            changes = self.ledger.key_changes(transaction)
        return [self.ledger.home.verifier_key(), *(change.new for change in changes)]

    def about(self) -> dict[str, Any]:
        """Return what anybody must know to check this ledger."""
        home = self.ledger.home
        settings = read_settings(home.folder)
        contract = f"0x{artefact().address.hex()}"
        receipt_key = vouched_key(self.committer.key_note, self.log_keys())
        return {
            "ledger": home.origin,
            "log": {
                "url": "/log/",
                "keys": [format_verifier_key(key) for key in self.log_keys()],
            },
            "receipts": {
                "key": format_verifier_key(receipt_key) if receipt_key else None,
                "note": self.committer.key_note,
            },
            "promises": {"sealed_within_seconds": round(self.settings.promise.total_seconds())},
            "authorities": [
                {"name": name, "url": each.url} for name, each in settings.authorities.items()
            ]
            or [{"name": EMBEDDED, "embedded": True}],
            "chains": [
                {"name": name, "chain_id": each.chain_id, "contract": each.contract or contract}
                for name, each in settings.chains.items()
            ]
            or [{"name": EMBEDDED, "embedded": True, "contract": contract}],
            "public": self.settings.public,
        }

    def reader(self, request: Request) -> Caller | None:
        """Return who looks something up; None for anybody, where the ledger is public.

        Raises Problem (401, 403).
        """
        shown = request.headers.get("authorization")
        if shown is None and self.settings.public:
            return None
        return self.keys.allowed(shown, Scope.READ)

    def entries(self, digest: bytes, caller: Caller | None) -> Iterator[Entry]:
        """Yield the entries of a digest that the caller may know of, earliest first."""
        for number, entry in enumerate(self.ledger.entries(digest)):
            if number == MAX_COPIES:
                return
            if self.may_know(caller, entry.batch, entry.position):
                yield entry

    def entry(self, digest: bytes, caller: Caller | None) -> Entry:
        """Return the earliest of them. Raises NotFound if there is none: whether it is another
        tenant's is not told.
        """
        for entry in self.entries(digest, caller):
            return entry
        raise NotFound("entry-unknown", digest=digest)

    def may_know(self, caller: Caller | None, batch: int, position: int) -> bool:
        """Whether an entry is the caller's, or known to everybody."""
        if caller is None or self.settings.public or caller.is_operator:
            return True
        with self.ledger.metadata.read() as transaction:
            return owner(transaction.connection, batch, position) == caller.tenant


def parse_digest(text: str) -> bytes:
    """Return the digest in an address. Raises Problem (400)."""
    if not _HEX.fullmatch(text):
        raise Problem(400, "digest-malformed", digits=2 * NODE, found=text[:80])
    return bytes.fromhex(text)
