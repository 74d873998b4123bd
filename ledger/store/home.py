"""The home folder of a ledger: where each part is, and how a home comes into being all at once.

home.json      format and origin; written into a home before the home gets its name
ledger.db      metadata (metadata.py), unless PostgreSQL has it
batches/       digests, trees, indexes (batches.py, index.py)
keys/          ledger.pem: the first checkpoint key, readable by its owner only; ledger.vkey: its
               public half; ledger-001-HASH.pem and ledger-001-HASH.vkey: the key after the first
               change, named by its own hash (older versions left that out); ledger-001.note: the
               note in which the one before hands over; and so on
authority/     the embedded time-stamping authority
chain/         the embedded chain
ipfs/          the embedded block store
log/           cosigned checkpoints of older versions, checkpoint-<size>; they are in the metadata
               now
published.json the folders that the log was published in from here
restored.json  only in a home that came out of a backup: from which, and whether it may go on
               (restored.py)
work.lock      held by the one process that works off the outbox
worker.alive   touched by the worker with each of its passes
recent-block.json  a recent block, for those who ask no chain (work/recent.py)
published/     the public log, where the service serves it
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput, NotFound, StorageFailure
from witnesstree.ledger.base.strictjson import load, require_shallow
from witnesstree.ledger.base.system import open_regular
from witnesstree.ledger.log.keys import MAX_KEY_NOTE, check_history
from witnesstree.ledger.log.log import EMPTY_ROOT
from witnesstree.ledger.log.note import (
    Checkpoint,
    VerifierKey,
    format_verifier_key,
    parse_verifier_key,
    require_name,
    sign_checkpoint,
)
from witnesstree.ledger.store.disk import (
    is_taken,
    locked,
    making_folder,
    storage_errors,
    sync_folder,
    write_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FORMAT = "witnesstree-home/1"
MARKER = "home.json"
"""What makes a folder a home."""
PUBLISHED = "published.json"
"""The folders that the log is published in."""
ALIVE = "worker.alive"
"""A file that the worker touches with each of its passes."""
_MAX_FILE = 64 * 1024
_MAX_PUBLISHED = 2**20


@dataclass(frozen=True, slots=True)
class Home:
    """An existing home: its folder and its ledger's origin."""

    folder: Path
    origin: str

    @property
    def database(self) -> Path:
        """The metadata store, where it is a file."""
        return self.folder / "ledger.db"

    @property
    def batches(self) -> Path:
        """The batches' folder."""
        return self.folder / "batches"

    @property
    def authority(self) -> Path:
        """The embedded authority's folder."""
        return self.folder / "authority"

    @property
    def chain(self) -> Path:
        """The embedded chain's folder."""
        return self.folder / "chain"

    @property
    def ipfs(self) -> Path:
        """The embedded block store's folder."""
        return self.folder / "ipfs"

    def private_key(self, number: int = 0, public: VerifierKey | None = None) -> Ed25519PrivateKey:
        """Return the key that signs checkpoints after change `number`; 0 is the first one.

        Which one is in force, the metadata says, and its `public` half; by default, that is the one
        of the note that is kept as a file. Raises Damaged if it is missing or not that one.
        """
        if public is None:
            public = self.verifier_key(number)
        path = self._key_path(number, "pem", public)
        if not path.exists():
            # As older versions named it, and the first one still.
            path = self._key_path(number, "pem")
        try:
            with open_regular(path) as file:
                key = load_pem_private_key(file.read(_MAX_FILE), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise Damaged("private-key-unreadable", path=path) from error
        if (
            not isinstance(key, Ed25519PrivateKey)
            or key.public_key().public_bytes_raw() != public.public_key
        ):
            raise Damaged("keys-do-not-match", private=path, public=path.with_suffix(".vkey"))
        return key

    def verifier_key(self, number: int = 0) -> VerifierKey:
        """Return the public half of the first key, as anyone may have it, or of the one after
        change `number`, from the note of it that is kept as a file.

        Raises Damaged if it is missing.
        """
        if number:
            notes = self.key_notes()
            if len(notes) < number:
                raise Damaged("public-key-missing", path=self.key_note_path(number))
            return check_history(notes, self.verifier_key())[number - 1].new
        path = self._key_path(0, "vkey")
        try:
            with open_regular(path) as file:
                return parse_verifier_key(file.read(_MAX_FILE).decode().strip())
        except (OSError, UnicodeDecodeError, InvalidInput) as error:
            raise Damaged("public-key-unreadable", path=path) from error

    def make_key(self, number: int) -> Ed25519PrivateKey:
        """Make a key for change `number`, durably, and return it.

        It counts for nothing before the metadata has the change. After the first, its files are
        named by its own hash: no key, also one that a crash left behind or another process makes at
        the same time, is ever written over. Raises StorageFailure if the disk refuses.
        """
        key = Ed25519PrivateKey.generate()
        public = VerifierKey(self.origin, key.public_key().public_bytes_raw())
        write_file(
            self._key_path(number, "pem", public),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            mode=0o600,
        )
        write_file(
            self._key_path(number, "vkey", public), (format_verifier_key(public) + "\n").encode()
        )
        return key

    def destroy_key(self, number: int) -> bool:
        """Remove the private keys that were made for change `number`, and return whether there were
        any.

        What a disk or a backup keeps of them is out of our hands.
        """
        first = self._key_path(number, "pem")
        paths = [
            path
            for path in (first, *first.parent.glob(f"ledger-{number:03}-*.pem"))
            if path.exists()
        ]
        with storage_errors(first):
            for path in paths:
                path.unlink(missing_ok=True)
            sync_folder(first.parent)
        return bool(paths)

    def keep_key_notes(self, notes: Sequence[str]) -> None:
        """Keep the notes of all changes as files, so that verifying with this home needs no
        database. Raises StorageFailure.
        """
        for number, note in enumerate(notes, 1):
            path = self.key_note_path(number)
            if not path.exists():
                write_file(path, note.encode())

    def key_notes(self) -> tuple[str, ...]:
        """Return the notes that are kept as files: those of all changes, but for the last one where
        a crash came right after it.

        Raises Damaged if one cannot be read, or does not lead on from the home's first key.
        """
        notes: list[str] = []
        try:
            while (path := self.key_note_path(len(notes) + 1)).exists():
                with open_regular(path) as file:
                    notes.append(file.read(4 * MAX_KEY_NOTE + 1).decode())
            check_history(notes, self.verifier_key())
        except (OSError, UnicodeDecodeError, InvalidInput) as error:
            raise Damaged(
                "kept-key-notes-unreadable", folder=self.folder / "keys", error=error
            ) from error
        return tuple(notes)

    def key_note_path(self, number: int) -> Path:
        """Return where the note of change `number` is kept."""
        return self._key_path(number, "note")

    def _key_path(self, number: int, kind: str, public: VerifierKey | None = None) -> Path:
        name = f"ledger-{number:03}" if number else "ledger"
        if number and public:
            name += f"-{sha256(public.public_key).hexdigest()[:16]}"
        return self.folder / "keys" / f"{name}.{kind}"

    def note_published(self, folder: Path) -> None:
        """Remember a folder that the log is published in: what it shows, this home must know.

        Raises StorageFailure.
        """
        known = self.published_folders()
        if folder.absolute() not in known:
            lines = [str(each) for each in (*known, folder.absolute())]
            write_file(self.folder / PUBLISHED, json.dumps(lines).encode())

    def published_folders(self) -> tuple[Path, ...]:
        """Return the folders that the log was published in from here.

        Raises Damaged if the list of them cannot be read: what they show must not be passed over.
        """
        path = self.folder / PUBLISHED
        try:
            with open_regular(path) as file:
                content = file.read(_MAX_PUBLISHED)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StorageFailure("read-failed", path=path, error=error) from error
        try:
            require_shallow(str(path), content)
            # Not strictly: a path may hold bytes that are no text.
            found = json.loads(content)
        except (ValueError, InvalidInput):
            found = None
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise Damaged("published-file-damaged", path=path)
        return tuple(Path(each) for each in found)

    @contextmanager
    def lock(self, name: str, patience: float) -> Iterator[None]:
        """Hold one of the home's named locks while the block runs; it is let go even by a killed
        process.

        Raises Conflict if another process holds it for `patience` seconds.
        """
        with locked(self.folder / f"{name}.lock", patience):
            yield


def create_home(
    folder: Path, origin: str, furnish: Callable[[Home], None], database: str | None = None
) -> Home:
    """Make a home at `folder`, which must be absent or empty, and return it.

    It is built under another name and gets its own in one step, so that a crash leaves no half-made
    home. `furnish` fills in the embedded parts. `database` is the URL of a PostgreSQL schema for
    the metadata: it is filled last, and a crash right then leaves it filled, with no home that
    belongs to it.

    Raises Conflict if a home or its database is there already, InvalidInput if something else is,
    StorageFailure if the disk refuses, Unreachable if the database does not answer.
    """
    require_name(origin)
    folder = folder.absolute()
    with making_folder(folder, lambda: require_free(folder)) as building:
        _build(building, origin, furnish, database)
    return Home(folder, origin)


def require_free(folder: Path) -> None:
    """Raise Conflict if there is a home at `folder`, InvalidInput if there is anything else."""
    if (folder / MARKER).exists():
        raise Conflict("home-taken", folder=folder)
    if is_taken(folder):
        raise InvalidInput("home-folder-not-empty", folder=folder)


def _build(
    folder: Path, origin: str, furnish: Callable[[Home], None], database: str | None
) -> None:
    # Here, because reading what a home trusts needs no database.
    from witnesstree.ledger.store.metadata import Metadata

    home = Home(folder, origin)
    for part in (folder / "keys", home.batches, home.authority, home.chain, home.ipfs):
        part.mkdir(mode=0o700)
    key = home.make_key(0)
    furnish(home)
    write_marker(home)
    Metadata.create(
        database or home.database, origin, sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), key)
    ).close()


def write_marker(home: Home) -> None:
    """Write what makes a folder a home, durably. Raises StorageFailure."""
    members = {"format": FORMAT, "origin": home.origin}
    write_file(home.folder / MARKER, (json.dumps(members, indent=1) + "\n").encode())


def open_home(folder: Path) -> Home:
    """Return the home at `folder`. Whether its database is there shows when that is opened.

    Raises NotFound if there is none, Damaged if it is incomplete, InvalidInput if a newer version
    made it.
    """
    folder = folder.absolute()
    marker = folder / MARKER
    try:
        with open_regular(marker) as file:
            content = file.read(_MAX_FILE)
    except (FileNotFoundError, NotADirectoryError) as error:
        if (folder / "ledger.db").exists():
            raise Damaged("home-file-missing", folder=folder) from error
        raise NotFound("home-missing", folder=folder) from error
    except OSError as error:
        raise StorageFailure("read-failed", path=marker, error=error) from error
    try:
        value = load(str(marker), content)
        if value.member("format") != FORMAT:
            raise InvalidInput("home-format-unknown", path=marker, expected=FORMAT)
        value.members("format origin")
        origin = value["origin"].text(255)
        require_name(origin)
    except InvalidInput as error:
        text = content.decode(errors="replace")
        if '"witnesstree-home/' in text and f'"{FORMAT}"' not in text:
            raise
        raise Damaged("home-file-damaged", path=marker, error=error) from error
    home = Home(folder, origin)
    for part in (home.batches, folder / "keys"):
        if not part.exists():
            raise Damaged("home-part-missing", folder=folder, part=part.name)
    return home
