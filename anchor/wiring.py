"""Wiring: from a home and its settings to a ledger with its authorities, its chains and its file
store.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import override

from witnesstree.anchor.settings import EMBEDDED, Settings, read_settings, write_setting
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.home import Home, create_home, open_home
from witnesstree.ledger.store.metadata import Metadata
from witnesstree.ledger.store.restored import waiting
from witnesstree.ledger.work.outbox import Pace, Witnesses
from witnesstree.ledger.work.sealing import Ledger, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from witnesstree.anchor.keys import Signer
    from witnesstree.ledger.base.ports import Authority, Chain, FileStore
    from witnesstree.ledger.trust import Trust
    from witnesstree.ledger.work.renewal import Renewals

_Part = TypeVar("_Part")

LOCAL_NOTICE = message("ledger-is-local")


def clock() -> datetime:
    """Return the time now, UTC."""
    return datetime.now(UTC)


def new_origin() -> str:
    """Return a name for a ledger that nobody named: no other ledger will have it."""
    return f"local.witnesstree/{token_hex(8)}"


def make_home(folder: Path, origin: str, database: str | None = None) -> Home:
    """Make a home with its key, its embedded authority and chain, and an empty ledger, whose
    metadata may be kept at the URL `database`.

    Raises as `create_home` does, and InvalidInput if the URL holds a password: it goes into the
    settings.
    """
    if database is not None:
        from witnesstree.ledger.store.database.postgresql import require_no_secret

        require_no_secret(database)
    from witnesstree.anchor.evm.local import LocalChain
    from witnesstree.anchor.ipfs.encryption import make_identity
    from witnesstree.anchor.ipfs.stores import identity_path
    from witnesstree.anchor.tsa.local import LocalAuthority

    def furnish(home: Home) -> None:
        make_identity(identity_path(home))
        LocalAuthority.create(home.authority, clock())
        LocalChain.create(home.chain, clock).close()
        if database is not None:
            write_setting(home.folder, "database", database)

    return create_home(folder, origin, furnish, database)


def notice(settings: Settings) -> Message | None:
    """Return what must be said of a ledger that uses stand-ins, None where it uses none."""
    stand_ins = [
        part
        for part, real in (("authority", settings.authorities), ("chain", settings.chains))
        if not real
    ]
    if len(stand_ins) == 1:
        return message("ledger-is-partly-local", part=stand_ins[0])
    return LOCAL_NOTICE if stand_ins else None


@contextmanager
def open_ledger(
    folder: Path,
    now: Callable[[], datetime] = clock,
    *,
    publishes: bool = False,
    serves: bool = False,
) -> Iterator[Ledger]:
    """Open the ledger in a home, and let go of its files and connections when the block ends.

    With `publishes`, batches that are sealed meanwhile have their lists of digests published,
    whatever the settings say. One that `serves` strangers opens no key that signs
    checkpoints, and asks no chain while they wait: a batch names the block that the worker keeps.
    Raises as `open_home` does.
    """
    # What a library logs is for the worker's log; a command says what it has to say itself.
    for name in ("witnesstree", "sqlalchemy"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    home = open_home(folder)
    settings = read_settings(home.folder)
    with ExitStack() as stack:
        metadata = stack.enter_context(
            closing(
                Metadata.open(settings.database or home.database, settings.patience, home.origin)
            )
        )
        yield Ledger(
            home,
            # The newest that is known without the database; where it is not the one in force,
            # sealing finds out. A home that waits after a restoration may not have it yet.
            key=None if serves or waiting(home) else home.private_key(len(home.key_notes())),
            metadata=metadata,
            files=BatchFiles(Folder(home.batches)),
            witnesses=_witnesses(
                home,
                metadata,
                settings,
                now,
                stack,
                publishes=publishes or settings.publish_batches,
            ),
            clock=now,
            limits=Limits(settings.batch_entries, settings.batch_age, settings.patience),
            pace=Pace(
                patience=settings.patience,
                replace_after=settings.replace_after,
                deadline=settings.deadline,
                required_tokens=settings.required_tokens,
                clock_bound=settings.clock_bound,
            ),
            asks_chains=not serves,
        )


def open_renewals(ledger: Ledger, now: Callable[[], datetime] = clock) -> Renewals:
    """Return the renewals of an open ledger, as its settings want them; judged by whom this account
    trusts, and by the home's own authority.
    """
    from witnesstree.ledger.tokens.soundness import ENDS
    from witnesstree.ledger.work.judging import RenewalPolicy
    from witnesstree.ledger.work.renewal import Renewals

    settings = read_settings(ledger.home.folder)
    policy = RenewalPolicy(
        settings.renew_before,
        {**ENDS, **{str(method): end for method, end in settings.ends.items()}},
    )
    return Renewals(
        ledger,
        lambda: owner_trust(ledger.home),
        clock=now,
        pace=Pace(settings.patience),
        policy=policy,
    )


def owner_trust(home: Home) -> Trust:
    """Return whom the owner of a home trusts to vouch for authorities: the trust store, and the
    home's own authority.
    """
    from witnesstree.anchor.truststore import read_trust, trust_folder
    from witnesstree.anchor.tsa.local import trusted_root
    from witnesstree.ledger.trust import Trust

    return Trust((trusted_root(home.authority),)) | read_trust(trust_folder())


class _OnDemand(Mapping[str, _Part]):
    """Parts by name, each made when it is first asked for: most commands ask none, and some take a
    secret, or an import of a tenth of a second.
    """

    def __init__(
        self, names: Iterable[str], make: Callable[[str], _Part], stack: ExitStack
    ) -> None:
        self._names, self._make, self._stack = tuple(names), make, stack
        self._made: dict[str, _Part] = {}

    @override
    def __getitem__(self, name: str) -> _Part:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
            self._stack.callback(getattr(self._made[name], "close", lambda: None))
        return self._made[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    @override
    def __len__(self) -> int:
        return len(self._names)


def _witnesses(
    home: Home,
    metadata: Metadata,
    settings: Settings,
    now: Callable[[], datetime],
    stack: ExitStack,
    *,
    publishes: bool,
) -> Witnesses:
    """Return whom the settings name, and the embedded stand-in where they name nobody."""

    def authority(name: str) -> Authority:
        if name == EMBEDDED:
            from witnesstree.anchor.tsa.local import LocalAuthority

            return LocalAuthority.open(home.authority, now)
        from witnesstree.anchor.truststore import read_trust, trust_folder
        from witnesstree.anchor.tsa.client import HttpAuthority

        return HttpAuthority(name, settings.authorities[name], read_trust(trust_folder()), now)

    def chain(name: str) -> Chain:
        if name == EMBEDDED:
            from witnesstree.anchor.evm.local import LocalChain
            from witnesstree.anchor.fsck import older_chain

            return LocalChain.open(home.chain, now, lambda: older_chain(home.chain, metadata))
        from witnesstree.anchor.evm.node import NodeChain

        each = settings.chains[name]
        return NodeChain(name, each, _Payer(each.key, each.key_password) if each.key else None, now)

    def store(_name: str) -> FileStore:
        from witnesstree.anchor.ipfs.stores import open_file_store

        return open_file_store(home, settings.ipfs)

    return Witnesses(
        _OnDemand(settings.authorities or [EMBEDDED], authority, stack),
        _OnDemand(settings.chains or [EMBEDDED], chain, stack),
        _OnDemand(["ipfs"], store, stack),
        publishes=publishes,
    )


class _Payer:
    """A key that is opened when it is first needed: that takes a second, and may take a person."""

    def __init__(self, reference: str, password: str | None) -> None:
        self._reference, self._password = reference, password

    @property
    def address(self) -> bytes:
        """The account."""
        return self._signer.address

    def sign(self, transaction: Mapping[str, Any]) -> bytes:
        """Sign, as `Signer.sign` does."""
        return self._signer.sign(transaction)

    @cached_property
    def _signer(self) -> Signer:
        from witnesstree.anchor.keys import open_signer

        return open_signer(self._reference, self._password)
