"""Upgrade: bring a ledger's database to the newest version, in one transaction.

The only module that loads Alembic.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.database.schema import VERSION
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.index.run import write_run
from witnesstree.ledger.store.metadata import Metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from witnesstree.ledger.store.home import Home

MIGRATIONS = Path(__file__).parent
_SAME_FILES = 3
"""The first version whose files are those of this one: since then runs may be merged, too."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """From which version to which a database was brought, and where it lies as it was, if it is a
    file and was changed.
    """

    before: int
    after: int
    backup: Path | None


def upgrade(home: Home, place: Path | str, patience: float) -> Upgrade:
    """Bring the database at `place`, that of `home`, to the newest version; one that has it is left
    alone.

    A file is copied first. All changes are one transaction: after a crash the database is the old
    one or the new one, and this may be run again. What a batch's files lack is written before, what
    they need no more is removed afterwards.

    Raises Conflict if another process works on the ledger for longer than `patience` seconds,
    InvalidInput if a newer witnesstree made the database, Damaged if it does not say which version
    it has.
    """
    with ExitStack() as stack:
        metadata = stack.enter_context(closing(Metadata(place, patience)))
        for name in ("seal", "work", "renew"):
            stack.enter_context(home.lock(name, patience))
        before = metadata.version()
        if before == VERSION:
            # A worker of an older version that was not stopped goes on sealing as it knows, and
            # only what it left tells.
            _write_derived(home, metadata, missing_only=True)
            with metadata.write() as transaction:
                transaction.schedule_missing()
            _remove_trees(home)
            return Upgrade(before, VERSION, None)
        _write_derived(home, metadata, missing_only=before >= _SAME_FILES)
        # The transaction excludes writers, so the copy holds all that there is.
        with metadata.write() as transaction:
            backup = metadata.back_up(before)
            _run(transaction._connection)  # noqa: SLF001 - changing the schema is for this module alone
        # What an older version needs stays until the newer one is in force.
        _remove_trees(home)
        return Upgrade(before, VERSION, backup)


def _write_derived(home: Home, metadata: Metadata, *, missing_only: bool) -> None:
    """Write what this version derives from digests: of the tree every sixth level, where older ones
    kept all, and runs in the order of whole digests.

    Raises Damaged if a batch's digests do not lead to its root.
    """
    files = BatchFiles(Folder(home.batches))
    with metadata.read() as transaction:
        for sequence, count, root in transaction.roots():
            if not (missing_only and files.nodes_path(sequence).exists()):
                files.write_nodes(sequence, count, root)
                write_run(files, sequence, count)


def _remove_trees(home: Home) -> None:
    for tree in home.batches.glob("*/*.tree"):
        tree.unlink()


def _run(connection: Connection) -> None:
    """Run what is missing on a connection, inside the transaction that it is in."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    with EnvironmentContext(
        config,
        scripts,
        fn=lambda current, _context: scripts._upgrade_revs("head", current),  # noqa: SLF001 - changing the schema is for this module alone
    ) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
