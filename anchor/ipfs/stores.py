"""Where a home's files go, by its settings: the block store in the home, or a Kubo node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from witnesstree.anchor.ipfs.encryption import own_recipient, require_recipients
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.ledger.base.ports import FileStore

if TYPE_CHECKING:
    from pathlib import Path

    from witnesstree.anchor.settings import IpfsSettings
    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.store.home import Home


class EvidenceStore(FileStore, Protocol):
    """A file store as BlockStore and KuboStore are: what evidence is kept in."""

    @property
    def notice(self) -> Message:
        """What a person should know before files go there, a whole sentence."""
        ...

    def holds(self, cid: str) -> bool:
        """Tell whether the whole file named by `cid` is kept.

        Raises InvalidInput if that is no CID of ours.
        """
        ...

    def export_car(self, cid: str, out: Path) -> None:
        """Write the file named by `cid` to `out` as a CARv1. Raises what `read` raises."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def open_file_store(home: Home, settings: IpfsSettings) -> EvidenceStore:
    """Return the store that `settings` name; the caller closes it.

    Nothing is asked of it yet. Raises InvalidInput if the address is none.
    """
    if settings.url is None:
        return BlockStore(home.ipfs)

    from witnesstree.anchor.ipfs.kubo import KuboStore

    return KuboStore(settings.url, settings.timeout)


def identity_path(home: Home) -> Path:
    """Return where the home's own age identity is, or will be."""
    return home.folder / "keys" / "age.txt"


def evidence_folder(home: Home) -> Path:
    """Return the folder that `store_evidence` works in."""
    return home.ipfs / "evidence"


def recipients_of(home: Home, settings: IpfsSettings) -> tuple[str, ...]:
    """Return whom the home's files are encrypted to: its own identity, which is made where it is
    missing, and those of the settings.

    Raises InvalidInput if one of the settings' is none, Damaged if the home's identity is no longer
    one, StorageFailure if the disk refuses.
    """
    recipients = (own_recipient(identity_path(home)), *settings.recipients)
    require_recipients(recipients)
    return recipients
