"""Makes a backup of a home while others work in it, checks one, and makes a home of one again.

A backup is of one moment: that at which the metadata are read. They come first, in one transaction
that only reads; then the files, cut to what the metadata know (ledger/store/backup.py). What
outside parts have done since is asked of them again by a restored home, as after a crash.

Files that hold secrets are encrypted, or come along as they are, or are left out: which of the
three is for the caller to say. What is not known to be public counts as secret.
"""

from __future__ import annotations

import os
import re
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from witnesstree.anchor.evm.blocks import FILE as CHAIN_FILE
from witnesstree.anchor.evm.blocks import ChainFile
from witnesstree.anchor.settings import FILE as SETTINGS
from witnesstree.anchor.settings import may_hold_secret, read_settings, write_setting
from witnesstree.ledger.base.errors import Damaged, InvalidInput, StorageFailure
from witnesstree.ledger.base.message import message
from witnesstree.ledger.store import restored
from witnesstree.ledger.store.backup import (
    ABOUT,
    ENCRYPTED,
    METADATA,
    NAME,
    SUMS,
    Backup,
    Kept,
    Writer,
    check_list,
    checked,
    copy_batches,
    digest_of_list,
    format_about,
    listed,
    read_about,
    writing,
)
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.disk import is_taken, making_folder, sync_folder, sync_tree
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.home import (
    PUBLISHED,
    Home,
    require_free,
    write_marker,
)
from witnesstree.ledger.store.metadata import Metadata
from witnesstree.ledger.store.newer import find_newer
from witnesstree.ledger.store.restored import Restored
from witnesstree.ledger.work.fsck.check import check_kept
from witnesstree.ledger.work.fsck.problem import Problem, at_path
from witnesstree.ledger.work.outbox import Witnesses
from witnesstree.ledger.work.sealing import Ledger, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from witnesstree.anchor.ipfs.encryption import Identity

PATIENCE = 60.0
"""Seconds to wait for another process that changes the ledger's key."""

_PUBLIC = re.compile(
    r"ledger(-[0-9]{3}(-[0-9a-f]{16})?)?\.vkey|receipts\.note|root\.pem|tsa\.pem|serial"
)
"""Files in keys/ and authority/ that hold no secret; those of key notes are written anew."""
_NOTE = re.compile(r"ledger-[0-9]{3}\.note")
_KEY = re.compile(r"ledger-([0-9]{3})(-[0-9a-f]{16})?\.(pem|vkey)")
_PARTS = ("authority", "batches", "chain", "ipfs", "keys")


# Making one


def back_up(
    ledger: Ledger,
    target: Path,
    *,
    now: datetime,
    recipients: Sequence[str] = (),
    keeps_plain: bool = False,
    advance: Callable[[int], None] = lambda _step: None,
) -> Backup:
    """Make a backup of the ledger in the new folder `target`, check it, and return what it is of.
    On return it is durable.

    Files with secrets are encrypted to the age `recipients`, or kept as they are with
    `keeps_plain`, or left out. `advance` counts leaves that are copied, then entries and
    opening records that are checked.

    Raises InvalidInput if `target` is not free, lies in the home, or a recipient is none; Damaged
    if the database is older than the files, or what is copied does not hold; Conflict if another
    process makes the same one, or the key is being changed; StorageFailure if the disk refuses.
    """
    target = target.absolute()
    home = ledger.home
    _require_apart(target, home.folder)
    if recipients:
        from witnesstree.anchor.ipfs.encryption import require_recipients

        require_recipients(recipients)
    # What is older than its files lacks entries that were acknowledged, and a copy of it does, too.
    for _, found in find_newer(ledger.metadata, home, ledger.files):
        raise Damaged("database-older-than-files", place=ledger.metadata.place, found=found)
    with making_folder(target, lambda: _require_new(target)) as folder:
        with writing(folder) as writer:
            secrets = _Secrets(home, writer, recipients, keeps_plain=keeps_plain)
            backup = _copy(ledger, writer, secrets, now, advance)
            writer.put(ABOUT, [format_about(backup)])
        sync_tree(folder)
        for problem in check_backup(folder, advance):
            raise Damaged("backup-not-whole", place=problem.place, fault=problem.fault)
    return backup


def _copy(
    ledger: Ledger,
    writer: Writer,
    secrets: _Secrets,
    now: datetime,
    advance: Callable[[int], None],
) -> Backup:
    home = ledger.home
    with ledger.metadata.read() as transaction:
        # So that no key is destroyed between the moment that is copied and the copy of its file.
        with home.lock("rotate", PATIENCE):
            notes = transaction.key_notes()
            _copy_keys(home, notes, writer, secrets)
        sealed, unsealed = transaction.batch_sizes(), transaction.open_batches()
        checkpoint, entries = transaction.checkpoint(), transaction.entry_count()
        Metadata.copy(transaction, writer.place(METADATA)).close()
    writer.add(METADATA)
    copy_batches(ledger.files, sealed, unsealed, writer, advance)
    _copy_parts(home, writer, secrets)
    return Backup(
        origin=home.origin,
        made=now,
        size=len(sealed),
        checkpoint=checkpoint,
        entries=entries + sum(batch.entries for batch in unsealed),
        database="postgresql" if "://" in ledger.metadata.place else "sqlite",
        secrets=secrets.kept,
        listed=writer.listed,
    )


def _copy_keys(home: Home, notes: list[str], writer: Writer, secrets: _Secrets) -> None:
    """Copy the keys as they were when there were these `notes`: what came later is not in it."""
    for number, note in enumerate(notes, 1):
        writer.put(f"keys/{home.key_note_path(number).name}", [note.encode()])
    for path in _files(home.folder / "keys"):
        key = _KEY.fullmatch(path.name)
        if not _NOTE.fullmatch(path.name) and not (key and int(key[1]) > len(notes)):
            _copy_or_keep(path, f"keys/{path.name}", writer, secrets)


def _copy_parts(home: Home, writer: Writer, secrets: _Secrets) -> None:
    """Copy what else is in the home, and is neither derived nor of one machine alone."""
    for path in _files(home.authority):
        _copy_or_keep(path, f"authority/{path.name}", writer, secrets)
    _copy_chain(home, writer, secrets)
    # Blocks and older checkpoints never change.
    for parent in (home.ipfs / "blocks", home.folder / "log"):
        for path in _files_below(parent):
            writer.put(path.relative_to(home.folder).as_posix(), _read(path))
    for name in (PUBLISHED, restored.FILE):
        if (home.folder / name).exists():
            writer.put(name, _read(home.folder / name))
    settings = home.folder / SETTINGS
    if may_hold_secret(home.folder):
        secrets.keep(settings, SETTINGS)
    elif settings.exists():
        writer.put(SETTINGS, _read(settings))


def _copy_chain(home: Home, writer: Writer, secrets: _Secrets) -> None:
    for path in _files(home.chain):
        # Beside the file may be a journal, which is a part of it.
        if not path.name.startswith(CHAIN_FILE):
            secrets.keep(path, f"chain/{path.name}")
    if (home.chain / CHAIN_FILE).exists():
        with ChainFile.open(home.chain, query_only=True) as chain:
            chain.copy(writer.place(f"chain/{CHAIN_FILE}"))
        writer.add(f"chain/{CHAIN_FILE}")


def _copy_or_keep(path: Path, name: str, writer: Writer, secrets: _Secrets) -> None:
    if _PUBLIC.fullmatch(path.name):
        writer.put(name, _read(path))
    else:
        secrets.keep(path, name)


class _Secrets:
    """Puts the files with secrets into a backup as was asked for, and notes how each is kept."""

    def __init__(
        self, home: Home, writer: Writer, recipients: Sequence[str], *, keeps_plain: bool
    ) -> None:
        self.kept: dict[str, Kept] = {}
        self._home, self._writer, self._recipients = home, writer, recipients
        self._keeps_plain = keeps_plain

    def keep(self, path: Path, name: str) -> None:
        """Keep the file at `path`, which the backup calls `name`."""
        if self._recipients:
            from witnesstree.anchor.ipfs.encryption import encrypt

            encrypt(path, self._writer.place(name + ENCRYPTED), self._recipients)
            self._writer.add(name + ENCRYPTED)
            self.kept[name] = Kept.ENCRYPTED
        elif self._keeps_plain:
            self._writer.put(name, _read(path))
            self.kept[name] = Kept.PLAIN
        else:
            self.kept[name] = Kept.LEFT_OUT


def _files(folder: Path) -> list[Path]:
    """Return the files in a folder; those whose names begin with a dot are being written."""
    try:
        found = [path for path in folder.iterdir() if NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageFailure("read-failed", path=folder, error=error) from error
    return sorted(path for path in found if path.is_file())


def _files_below(folder: Path) -> Iterator[Path]:
    yield from _files(folder)
    if folder.is_dir():
        for each in sorted(path for path in folder.iterdir() if path.is_dir()):
            yield from _files(each)


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                yield chunk
    except OSError as error:
        raise StorageFailure("read-failed", path=path, error=error) from error


def _require_new(target: Path) -> None:
    if is_taken(target):
        raise InvalidInput("backup-place-taken", folder=target)


def _require_apart(one: Path, other: Path) -> None:
    """Raise InvalidInput if one of two folders is in the other."""
    first, second = one.resolve(), other.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise InvalidInput("backup-inside-home", one=one, other=other)


# Checking one


def check_backup(
    folder: Path,
    advance: Callable[[int], None] = lambda _step: None,
    *,
    expected: str | None = None,
) -> Iterator[Problem]:
    """Yield every problem of the backup in `folder`: a list that lacks a file, a file that is
    missing or is not what it was, and what does not agree in metadata and batches. `advance` counts
    entries and opening records; `expected` is the SHA-256 of the list, in hex, as it was written
    down.

    Nothing is written. Raises NotFound if there is no backup, Damaged if it does not say what is in
    it.
    """
    backup = read_about(folder)
    problems = [*_check_list(folder, backup, expected), *_check_files(folder)]
    yield from problems
    # What is derived from altered files is altered, too, and says nothing more.
    if not problems:
        yield from _check_read(folder)
        with _kept_ledger(folder, backup, folder) as ledger:
            yield from check_kept(ledger, advance)
            yield from _check_about(ledger, folder, backup)


def _check_list(folder: Path, backup: Backup, expected: str | None) -> Iterator[Problem]:
    found = digest_of_list(folder)
    if expected is not None and found != expected:
        yield Problem(
            at_path(folder / SUMS),
            message("backup-list-not-expected", path=folder / SUMS, found=found, expected=expected),
        )
    yield from (Problem(at_path(path), said) for path, said in check_list(folder, backup))


def _check_files(folder: Path) -> Iterator[Problem]:
    for path, digest in listed(folder):
        if not os.path.lexists(folder / path):
            # Named by the check of the list.
            continue
        try:
            for _ in checked(folder, path, digest):
                pass
        except Damaged as error:
            yield Problem(at_path(folder / path), error.message)


def _check_read(folder: Path) -> Iterator[Problem]:
    """Look whether what a home reads at once can be read."""
    home = Home(folder, "")
    for name, read in (
        (SETTINGS, lambda: read_settings(folder)),
        (restored.FILE, lambda: restored.restorations(home)),
        (PUBLISHED, home.published_folders),
    ):
        try:
            read()
        except (Damaged, InvalidInput) as error:
            yield Problem(at_path(folder / name), error.message)


def _check_about(ledger: Ledger, folder: Path, backup: Backup) -> Iterator[Problem]:
    with ledger.metadata.read() as transaction:
        kept = transaction.batch_count(), transaction.checkpoint()
    if kept != (backup.size, backup.checkpoint):
        yield Problem(at_path(folder / ABOUT), message("backup-about-differs", size=kept[0]))


@contextmanager
def _kept_ledger(folder: Path, backup: Backup, home: Path) -> Iterator[Ledger]:
    """Open the metadata in a backup, with the files that `home` has of it: to be read alone."""
    metadata = Metadata.open(folder / METADATA, 1, backup.origin, is_fixed=True)
    with closing(metadata):
        yield Ledger(
            Home(home, backup.origin),
            key=None,
            metadata=metadata,
            files=BatchFiles(Folder(home / "batches")),
            witnesses=Witnesses({}, {}, {}),
            clock=lambda: backup.made,
            limits=Limits(1, timedelta(0), PATIENCE),
        )


# Making a home of one


def restore(
    source: Path,
    folder: Path,
    *,
    now: datetime,
    database: str | None = None,
    identities: Sequence[Identity] = (),
    advance: Callable[[int], None] = lambda _step: None,
    expected: str | None = None,
) -> Restored:
    """Make a home in the new folder `folder` of the backup in `source`, and return what came of it.
    The home waits: it writes nothing before `continue_home`.

    Its metadata go to a SQLite file, or to the PostgreSQL schema at the URL `database`. What is
    encrypted is decrypted with `identities`; what cannot be is missing, and may be put there by
    hand. `advance` counts entries and opening records; `expected` is the SHA-256 of the list, in
    hex, as it was written down. After a crash there is no such home, but a filled schema may be
    left.

    Raises what `read_about` does; Damaged if anything of the backup is not what it was;
    InvalidInput if `folder` is not free or in the backup, or the settings name another database;
    Conflict if a ledger is there; StorageFailure if the disk refuses.
    """
    folder = folder.absolute()
    if database is not None:
        from witnesstree.ledger.store.database.postgresql import require_no_secret

        require_no_secret(database)
    backup = read_about(source)
    _require_apart(folder, source)
    with making_folder(folder, lambda: require_free(folder)) as building:
        for problem in _check_list(source, backup, expected):
            raise Damaged("backup-not-whole", place=problem.place, fault=problem.fault)
        home = Home(building, backup.origin)
        for part in _PARTS:
            (building / part).mkdir(mode=0o700)
        missing = _put_files(source, building, identities)
        missing += [path for path, kept in backup.secrets.items() if kept is Kept.LEFT_OUT]
        _settle(building, database)
        with _kept_ledger(source, backup, building) as ledger:
            for problem in (*check_kept(ledger, advance), *_check_about(ledger, source, backup)):
                raise Damaged("backup-not-whole", place=problem.place, fault=problem.fault)
            _derive(ledger)
            done = Restored(
                digest_of_list(source), backup.made, backup.size, now, tuple(sorted(missing))
            )
            restored.add(home, done)
            write_marker(home)
            sync_tree(building)
            # Last, because a server keeps it whatever becomes of the home.
            with ledger.metadata.read() as transaction:
                Metadata.copy(transaction, database or home.database).close()
        sync_folder(building)
    return done


def _derive(ledger: Ledger) -> None:
    """Write what follows from the digests: trees and indexes."""
    with ledger.metadata.read() as transaction:
        for batch in transaction.batches():
            ledger.files.write_nodes(batch.sequence, batch.count, batch.root)
        ledger.rebuild_index(transaction.batch_sizes())


def _put_files(source: Path, building: Path, identities: Sequence[Identity]) -> list[str]:
    """Put the files of a backup into a home, and return those that could not be decrypted."""
    missing: list[str] = []
    for path, digest in listed(source):
        if path in {ABOUT, METADATA}:
            for _ in checked(source, path, digest):
                pass
            continue
        place = building / path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.endswith(ENCRYPTED):
            _write(place, checked(source, path, digest))
            continue
        for _ in checked(source, path, digest):
            pass
        plain = path.removesuffix(ENCRYPTED)
        if identities:
            from witnesstree.anchor.ipfs.encryption import decrypt

            try:
                decrypt(source / path, building / plain, identities)
            except InvalidInput as error:
                if error.message.code == "file-not-age":
                    raise Damaged("backup-file-not-encrypted", path=source / path) from error
                raise
            (building / plain).chmod(0o600)
        else:
            missing.append(plain)
    return missing


def _write(place: Path, pieces: Iterator[bytes]) -> None:
    with open(place, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.writelines(pieces)


def _settle(building: Path, database: str | None) -> None:
    """Let the settings name the database that the metadata go to."""
    if database is not None or (building / SETTINGS).exists():
        write_setting(building, "database", database)
    if read_settings(building).database != database:
        raise InvalidInput("restore-other-database")
