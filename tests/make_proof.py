"""Honest proofs for tests: real batches, the embedded authority and chain, and the trust that makes
them VERIFIED.

They are made once a session and then only read: the home that they come from is gone by the time a
test sees them.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from unittest import mock

from conftest import START, Clock
from leaves import begin_as_before

from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.ledger.proof.proof import Proof, format_proof
from witnesstree.ledger.store.home import open_home
from witnesstree.ledger.trust import Trust

SIZES = (2, 12, 9, 7)
"""Leaves in each batch, the opening record among them. 7 and 9 have an odd node on some level, 2
has the shortest path."""

ORIGIN = "ledger.example/court"
OTHER_ORIGIN = "ledger.example/other"


@dataclass(frozen=True)
class Honest:
    """Finished proofs of one ledger, by batch and position (position 0, the opening record, is left
    out), and what its verifier trusts."""

    proofs: dict[tuple[int, int], Proof]
    trust: Trust
    now: datetime

    def proof(self, batch: int = 3, position: int = 4) -> Proof:
        return self.proofs[batch, position]

    def content(self, batch: int = 3, position: int = 4) -> bytes:
        return format_proof(self.proof(batch, position))


def digest_of(batch: int, position: int) -> bytes:
    """The digest that stands there in every ledger made here."""
    return sha256(b"batch %d, position %d" % (batch, position)).digest()


@cache
def honest() -> Honest:
    """The proofs of a ledger with a batch of each of SIZES."""
    return make_honest(ORIGIN, SIZES)


@cache
def stranger() -> Honest:
    """The proofs of another ledger: other key, authority and chain, the same digests."""
    return make_honest(OTHER_ORIGIN, (7,))


def make_honest(origin: str, sizes: tuple[int, ...]) -> Honest:
    """Seal a batch of each of `sizes`, one after the other, and collect every proof. They are begun
    without blinding leaves, so that there are odd sizes, and an entry at every position but 0."""
    clock, trust = Clock(START), Trust()
    proofs: dict[tuple[int, int], Proof] = {}
    with _real_clock_stands_aside(), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "home"
        make_home(folder, origin)
        with open_ledger(folder, clock) as ledger:
            for batch, size in enumerate(sizes):
                clock.tick(3600)
                begin_as_before(ledger, [digest_of(batch, at) for at in range(1, size)])
                clock.tick(60)
                assert ledger.close() == [batch]
                assert ledger.outbox.work() == []
            for batch, size in enumerate(sizes):
                proofs |= {
                    (batch, position): ledger.proof(digest_of(batch, position), batch)
                    for position in range(1, size)
                }
        home = open_home(folder)
        for proof in (proofs[batch, 1] for batch in range(len(sizes))):
            trust |= home_trust(home, proof) or Trust()
    assert all(proof.missing == () for proof in proofs.values())
    blocks = tuple(dict.fromkeys(trust.blocks))
    return Honest(
        proofs,
        Trust(trust.roots[:1], blocks, trust.checkpoint_keys[:1]),
        clock() + timedelta(days=1),
    )


@contextmanager
def _real_clock_stands_aside() -> Iterator[None]:
    """Make the home at START, so that its certificates and its first blocks are older than what is
    sealed in it."""
    with mock.patch("witnesstree.anchor.wiring.clock", return_value=START):
        yield
