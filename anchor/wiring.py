"""Wiring: from a home and its settings to a ledger with its authority, its chain and its file store."""

from __future__ import annotations

from contextlib import closing, contextmanager
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from witnesstree.anchor.evm.local import LocalChain
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.settings import read_settings
from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.ledger.sealing import Ledger, Limits
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.home import Home, create_home, open_home
from witnesstree.ledger.store.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOCAL_NOTICE = "This ledger uses the embedded authority and chain: its proofs show the mechanics, and prove nothing to a third party."


def clock() -> datetime:
    """Return the time now, UTC."""
    return datetime.now(UTC)


def new_origin() -> str:
    """Return a name for a ledger that nobody named: no other ledger will have it."""
    return f"local.witnesstree/{token_hex(8)}"


def make_home(folder: Path, origin: str) -> Home:
    """Make a home with its key, its embedded authority and chain, and an empty ledger. Raises as `create_home` does."""

    def furnish(home: Home) -> None:
        LocalAuthority.create(home.authority, clock())
        LocalChain.create(home.chain, clock).close()

    return create_home(folder, origin, furnish)


@contextmanager
def open_ledger(folder: Path, now: Callable[[], datetime] = clock) -> Iterator[Ledger]:
    """Open the ledger in a home, and let go of its files when the block ends. Raises as `open_home` does."""
    home = open_home(folder)
    settings = read_settings(home.folder)
    with closing(Metadata.open(home.database, settings.patience)) as metadata, closing(LocalChain.open(home.chain, now)) as chain:
        yield Ledger(
            home,
            key=home.private_key(),
            metadata=metadata,
            files=BatchFiles(home.batches),
            authorities={"local": LocalAuthority.open(home.authority, now)},
            chains={"local": chain},
            clock=now,
            limits=Limits(settings.batch_entries, settings.batch_age, settings.patience),
        )


def file_store(home: Home) -> BlockStore:
    """Return the home's embedded file store."""
    return BlockStore(home.ipfs)
