"""What the routes share: the ledger, the committer, whom they answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from witnesstree.anchor.evm.contract import artefact
from witnesstree.anchor.settings import EMBEDDED
from witnesstree.api.auth import Caller, Keys
from witnesstree.api.direct import DirectTokens
from witnesstree.api.limiting import Limiting
from witnesstree.api.problems import Problem, TooMany
from witnesstree.api.store.keys import Scope
from witnesstree.api.store.schema import require_tables
from witnesstree.api.store.submissions import asked_directly, owner
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import NotFound
from witnesstree.ledger.log.note import format_verifier_key
from witnesstree.ledger.log.receipt import vouched_key
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.proof.template import Template
from witnesstree.ledger.tree.tree import NODE
from witnesstree.ledger.work.lookup import MAX_COPIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.requests import Request

    from witnesstree.anchor.settings import ServiceSettings, Settings
    from witnesstree.api.committer import Committer
    from witnesstree.ledger.log.note import VerifierKey
    from witnesstree.ledger.log.receipt import Place
    from witnesstree.ledger.proof.proof import Proof
    from witnesstree.ledger.store.metadata import Transaction
    from witnesstree.ledger.work.lookup import Entry
    from witnesstree.ledger.work.sealing import Ledger

MAX_TEMPLATES: Final = 256
"""Batches whose shared parts are kept written, some 20 to 50 KiB each."""
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(slots=True)
class Service:
    """One service: the ledger that it serves, and what it knows of its callers."""

    ledger: Ledger
    wired: Settings
    """As they were at the start."""
    committer: Committer
    keys: Keys
    limiting: Limiting
    direct: DirectTokens
    unsealed: int = 0
    """Entries that wait to be sealed, as of a moment ago."""
    published: int = -1
    """The size of the log that was published last."""
    _templates: dict[int, Template] = field(default_factory=dict)

    @classmethod
    def over(cls, ledger: Ledger, settings: Settings, committer: Committer) -> Service:
        """Return the service over an open ledger, with its tables made where they are not."""
        with ledger.metadata.write() as transaction:
            require_tables(transaction.connection, format_time(ledger.now()))
        keys = Keys(ledger.metadata, ledger.now)
        return cls(
            ledger,
            settings,
            committer,
            keys,
            Limiting(ledger.metadata, settings.service, ledger.now),
            DirectTokens(ledger.home.folder),
        )

    @property
    def settings(self) -> ServiceSettings:
        """Those of the service itself."""
        return self.wired.service

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
        home, settings = self.ledger.home, self.wired
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
        with self.ledger.metadata.read() as transaction:
            for entry in islice(self.ledger.entries(digest), MAX_COPIES):
                if self._admits(caller, transaction, entry):
                    yield entry

    def proof(
        self, digest: bytes, caller: Caller | None, places: Sequence[Place] | None = None
    ) -> bytes:
        """Return the proof file of the earliest entry of a digest that the caller may know of, or
        that a receipt names by its `places`. Raises NotFound: whether it is another tenant's is not
        told.
        """
        return self.write(self.found(digest, caller, places))

    def found(
        self, digest: bytes, caller: Caller | None, places: Sequence[Place] | None = None
    ) -> Proof:
        """Return the same proof as a value."""

        def admits(transaction: Transaction, entry: Entry) -> bool:
            if places is None:
                return self._admits(caller, transaction, entry)
            return any(
                entry.batch == place.batch and 0 <= entry.position - place.first < place.count
                for place in places
            )

        try:
            found = self.ledger.proof(digest, admits=admits)
        except NotFound as error:
            raise NotFound("entry-unknown", digest=digest) from error
        return self.as_known_to(caller, found)

    def as_known_to(self, caller: Caller | None, proof: Proof) -> Proof:
        """Return a proof without direct tokens that the caller did not ask for: they say that
        somebody else has the digest, and since when.
        """
        if proof.file_tokens and not self._asked_directly(caller, proof.digest):
            return replace(proof, file_tokens=())
        return proof

    def _asked_directly(self, caller: Caller | None, digest: bytes) -> bool:
        if self.settings.public:
            return True
        if caller is None or caller.is_operator:
            return caller is not None
        with self.ledger.metadata.read() as transaction:
            return asked_directly(transaction.connection, caller.tenant, digest)

    def write(self, proof: Proof) -> bytes:
        """Return a proof's file. What the proofs of a batch share is written once."""
        if not (proof.is_shared and proof.log and proof.inclusion):
            return format_proof(proof)
        number = proof.log.index
        template = self._templates.get(number)
        if template is None or not _is_shared(template.shared, proof):
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            template = self._templates[number] = Template(proof)
        at = proof.inclusion
        return template.format(proof.digest, at.position, at.path, proof.hints)

    def _admits(self, caller: Caller | None, transaction: Transaction, entry: Entry) -> bool:
        """Whether an entry is the caller's, or known to everybody."""
        if caller is None or self.settings.public or caller.is_operator:
            return True
        return owner(transaction.connection, entry.batch, entry.position) == caller.tenant


def _is_shared(shared: Proof, proof: Proof) -> bool:
    """Whether two proofs of a batch were made of the same state of it."""
    return all(
        getattr(shared, name) is getattr(proof, name)
        for name in ("opening", "tokens", "anchors", "log")
    )


def parse_digest(text: str) -> bytes:
    """Return the digest in an address. Raises Problem (400)."""
    if not _HEX.fullmatch(text):
        raise Problem(400, "digest-malformed", digits=2 * NODE, found=text[:80])
    return bytes.fromhex(text)
