"""Evidence goes into a file store: encrypted, unless it is to be public.

No other module reads or writes this folder.

    FOLDER/known/ab/abcd….json    the ciphertext of the file with that SHA-256: its CID, digest and
                                  size, and a digest of whom it is for
    FOLDER/tmp/                   ciphertexts on their way; the next process removes what a killed
                                  process left
    FOLDER/lock                   held, shared, by each process with something in tmp/

age's output differs each time. Without `known`, sealing a file twice would keep it twice. It is a
memory only: what is missing, damaged or no longer kept by the store is encrypted again.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from witnesstree.anchor.ipfs.encryption import Content, encrypt
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.store.disk import storage_errors, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from witnesstree.anchor.ipfs.stores import EvidenceStore
    from witnesstree.ledger.base.ports import FileStore

FORMAT = "witnesstree-ciphertext/1"

DIGEST = 32
"""Bytes of a digest."""

_MAX_KNOWN = 4096
_MAX_CID = 100


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What a store keeps: the CID, and where that is of a ciphertext, its SHA-256 and size in
    bytes.
    """

    cid: str
    ciphertext_digest: bytes | None = None
    ciphertext_size: int | None = None


def store_evidence(
    store: EvidenceStore,
    file: Path,
    digest: bytes,
    size: int,
    *,
    recipients: Sequence[str],
    folder: Path,
    public: bool = False,
) -> StoredFile:
    """Store `file`, encrypted to all `recipients`, and return what the store keeps; with `public`,
    store it as it is.

    `digest` and `size` are the file's, taken before. An encrypted file is compared with them as it
    is read; of a public one the caller makes sure that it has not changed since
    (`FileDigest.require_unchanged`). A file that the store keeps already for the same recipients is
    not read again. The ciphertext is in `folder` meanwhile, which needs room for it; the
    plaintext is copied nowhere.

    Raises NotFound if there is no such file, InvalidInput if it cannot be read or is no longer what
    it was, or a recipient is none; StorageFailure if the disk refuses; and what the store raises.
    """
    if public:
        return StoredFile(store.add(file))
    whom = sha256("\n".join(sorted(set(recipients))).encode()).digest()
    known = _recall(folder, digest, whom)
    if known and store.holds(known.cid):
        return known
    with scratch(folder) as ciphertext:
        made = encrypt(file, ciphertext, sorted(set(recipients)))
        if made.plaintext != Content(digest, size):
            raise InvalidInput("file-changed-since-hashed", path=file)
        stored = StoredFile(store.add(ciphertext), made.ciphertext.digest, made.ciphertext.size)
    _remember(folder, digest, whom, stored)
    return stored


def publish_batch(store: FileStore, digests: Path) -> str:
    """Store a sealed batch's list of digests as it is, for anyone to rebuild its tree, and return
    its CID.

    It tells nothing but how many entries there were, and to anyone who has a file, that it was one
    of them.

    Raises InvalidInput if the file is no list of digests, and what the store raises.
    """
    try:
        size = digests.stat().st_size
    except OSError as error:
        raise InvalidInput("file-cannot-be-read", path=digests, error=error) from error
    if size == 0 or size % DIGEST:
        raise InvalidInput("digests-expected", path=digests, size=size, multiple=DIGEST)
    return store.add(digests)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Give a name for a temporary file in `folder`, and remove the file afterwards.

    What killed processes left there is removed first.

    Raises StorageFailure if the disk refuses.
    """
    tmp = folder / "tmp"
    with storage_errors(tmp):
        tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with storage_errors(tmp):
            _sweep(lock, tmp)
            fcntl.flock(lock, fcntl.LOCK_SH)
        path = tmp / secrets.token_hex(16)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)


def _sweep(lock: int, tmp: Path) -> None:
    """Remove everything in `tmp`, unless somebody else has something there."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    for left in tmp.iterdir():
        left.unlink()


def _place(folder: Path, digest: bytes) -> Path:
    return folder / "known" / digest.hex()[:2] / f"{digest.hex()}.json"


def _recall(folder: Path, digest: bytes, whom: bytes) -> StoredFile | None:
    try:
        with _place(folder, digest).open("rb") as file:
            value = load(str(_place(folder, digest)), file.read(_MAX_KNOWN))
        value.members("format cid digest size recipients")
        if value.member("format") != FORMAT or value["recipients"].hex(DIGEST) != whom:
            return None
        return StoredFile(
            value["cid"].text(_MAX_CID), value["digest"].hex(DIGEST), value["size"].integer()
        )
    except (OSError, InvalidInput):
        return None


def _remember(folder: Path, digest: bytes, whom: bytes, stored: StoredFile) -> None:
    assert stored.ciphertext_digest
    path = _place(folder, digest)
    members = {
        "format": FORMAT,
        "cid": stored.cid,
        "digest": stored.ciphertext_digest.hex(),
        "size": stored.ciphertext_size,
        "recipients": whom.hex(),
    }
    with storage_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(path, (json.dumps(members) + "\n").encode(), mode=0o600)
