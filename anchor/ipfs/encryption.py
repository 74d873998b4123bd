"""age encryption of files (https://age-encryption.org/v1), through pyrage.

No other module reads or makes an age key.

    recipient   who can decrypt: age1… (X25519), or a public key of SSH, `ssh-ed25519 …` or `ssh-rsa
                …`
    identity    the private half: lines AGE-SECRET-KEY-1… as age-keygen writes them, or an OpenSSH
                private key without a passphrase

Anyone who holds a ciphertext sees how long the file is, how many recipients it has, and for SSH
keys which they are; nothing else.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import pyrage
from pyrage import ssh, x25519

from witnesstree.anchor.ipfs.local import chunks_of, opened, written
from witnesstree.ledger.base.errors import Damaged, InvalidInput, StorageFailure, WitnesstreeError
from witnesstree.ledger.store.disk import storage_errors, sync_folder, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    Recipient: TypeAlias = x25519.Recipient | ssh.Recipient
    Identity: TypeAlias = x25519.Identity | ssh.Identity

MAX_RECIPIENTS = 33
"""Of one file: as many as the settings take, and the home's own."""
MAX_RECIPIENT = 4096
"""Characters in a recipient: an RSA key of 16,384 bits has 2,800."""
MAX_IDENTITIES = 64 * 1024
"""Bytes in a file of identities: an OpenSSH key of 16,384 bits has 13,000."""
MAX_HEADER = 128 * 1024
"""Bytes before an age file's payload: 33 recipients with RSA keys of 16,384 bits take 96,000.

Without a bound, a stranger's file of header lines alone would be parsed again and again.
"""

_MAGIC = b"age-encryption.org/v1\n"
_PRIVATE_KEY = b"AGE-SECRET-KEY-1"
# Where the header ends: the line with its MAC (age-encryption.org/v1, "Header").
_LAST_LINE = b"\n--- "


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held: the SHA-256 of its bytes, and how many there were."""

    digest: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What `encrypt` read, and what it wrote."""

    plaintext: Content
    ciphertext: Content


def make_identity(path: Path) -> None:
    """Make a new age identity at `path`, readable by its owner only and durable; one that is there
    already stays as it is.

    Several processes may call this at once: all find the same one afterwards. Raises StorageFailure
    if the disk refuses.
    """
    identity = x25519.Identity.generate()
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    with storage_errors(path):
        try:
            write_file(
                new, f"# public key: {identity.to_public()}\n{identity}\n".encode(), mode=0o600
            )
            # Not renamed: that would take the place of another process's key, to which it may have
            # encrypted already.
            os.link(new, path)
        except FileExistsError:
            pass
        finally:
            new.unlink(missing_ok=True)
        sync_folder(path.parent)


def own_recipient(path: Path) -> str:
    """Return the recipient (age1…) of the identity at `path`, which is made where there is none
    yet.

    Raises Damaged if the file holds no such identity, StorageFailure if the disk refuses.
    """
    if not path.exists():
        make_identity(path)
    try:
        (identity,) = read_identities(path)
    except (InvalidInput, ValueError) as error:
        raise Damaged("identity-damaged", path=path) from error
    if not isinstance(identity, x25519.Identity):
        raise Damaged("identity-of-another-kind", path=path)
    return str(identity.to_public())


def require_recipients(recipients: Sequence[str]) -> None:
    """Raise InvalidInput unless there is a recipient, not more than MAX_RECIPIENTS, and each can be
    encrypted to.
    """
    _parse_recipients(recipients)


def read_identities(path: Path) -> list[Identity]:
    """Return the identities in a file, one or more.

    Raises NotFound if there is no such file, InvalidInput if it cannot be read or holds anything
    else; the error never shows a key.
    """
    with opened(path) as file:
        try:
            content = file.read(MAX_IDENTITIES + 1)
        except OSError as error:
            raise StorageFailure("file-cannot-be-read", path=path, error=error) from error
    if len(content) > MAX_IDENTITIES:
        raise InvalidInput("identities-too-large", path=path, most=MAX_IDENTITIES)
    try:
        if content.startswith(b"-----BEGIN"):
            return [ssh.Identity.from_buffer(content)]
        lines = [line.strip() for line in content.decode().splitlines()]
        identities: list[Identity] = [
            x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")
        ]
    except (pyrage.IdentityError, UnicodeDecodeError):
        # Without the cause: its text may repeat a part of the key.
        raise InvalidInput("identities-expected", path=path) from None
    if not identities:
        raise InvalidInput("identity-missing", path=path)
    return identities


def encrypt(file: Path, out: Path, recipients: Sequence[str]) -> Encrypted:
    """Write `file`, encrypted to every one of `recipients`, to `out`, and return what both hold.

    Encrypting twice gives different bytes.

    `out` is whole and durable, or as it was before. Memory does not grow with the file.

    Raises NotFound if there is no such file, InvalidInput if it cannot be read or changes
    meanwhile, if a recipient is none, or if `out` is not a place to write to; StorageFailure if the
    disk refuses.
    """
    keys = _parse_recipients(recipients)
    with opened(file) as stream, written(out) as target:
        source, sink = _Source(chunks_of(file, stream)), _Sink(target)
        try:
            pyrage.encrypt_io(source, sink, keys)
        except (pyrage.EncryptError, OSError) as error:
            raise (
                source.failure or sink.failure or InvalidInput("file-not-encrypted", path=file)
            ) from error
    return Encrypted(source.content, sink.content)


def decrypt(file: Path, out: Path, identities: Sequence[Identity], called: str = "") -> Content:
    """Write what `file` holds, decrypted with one of `identities`, to `out`, and return what that
    is. Errors name it `called`, where that is given.

    `out` is whole and durable, or as it was before: age authenticates every 64 KiB and the end. It
    does not tell who encrypted the file: anybody can, to any recipient. Memory does not grow with
    the file.

    Raises NotFound if there is no such file, InvalidInput if it is not encrypted with age, or to
    none of these identities, or changes meanwhile, or if `out` is not a place to write to; Damaged
    if it was altered or cut off; StorageFailure if the disk refuses.
    """
    with opened(file) as stream, written(out) as target:
        _require_header(called or str(file), stream)
        source, sink = _Source(chunks_of(file, stream)), _Sink(target)
        try:
            pyrage.decrypt_io(source, sink, list(identities))
        except (pyrage.DecryptError, OSError) as error:
            raise (source.failure or sink.failure or _judge(called or str(file), error)) from error
    return sink.content


def _parse_recipients(recipients: Sequence[str]) -> list[Recipient]:
    if not 1 <= len(recipients) <= MAX_RECIPIENTS:
        raise InvalidInput("recipients-count-wrong", most=MAX_RECIPIENTS, count=len(recipients))
    return [_parse_recipient(text) for text in recipients]


def _parse_recipient(text: str) -> Recipient:
    try:
        if len(text) <= MAX_RECIPIENT:
            return (
                ssh.Recipient.from_str(text)
                if text.startswith("ssh-")
                else x25519.Recipient.from_str(text)
            )
    except (pyrage.RecipientError, UnicodeEncodeError):
        pass
    # Somebody may have put the private half here.
    if text.upper().startswith(_PRIVATE_KEY.decode()):
        raise InvalidInput("recipient-is-private-key")
    raise InvalidInput("recipient-expected", found=ascii(text[:60]))


def _require_header(file: str, stream: BinaryIO) -> None:
    """Raise InvalidInput unless `file`, as errors name it, begins as an age file does; the stream
    is at its beginning again.
    """
    try:
        head = stream.read(MAX_HEADER)
        stream.seek(0)
    except OSError as error:
        raise StorageFailure("file-cannot-be-read", path=file, error=error) from error
    if not head.startswith(_MAGIC):
        raise InvalidInput("file-not-age", path=file)
    if _LAST_LINE not in head:
        raise Damaged("age-header-without-end", path=file, most=MAX_HEADER)


def _judge(file: str, error: Exception) -> WitnesstreeError:
    """Return what an error of age says about the file that was to be decrypted."""
    if "No matching keys" in str(error):
        return InvalidInput("file-for-other-keys", path=file)
    return Damaged("ciphertext-damaged", path=file)


class _Hashed:
    """A stream for pyrage, hashed on its way.

    What fails here is kept as `failure`: pyrage turns it into an error of its own.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._hash = sha256()
        self._size = 0

    @property
    def content(self) -> Content:
        return Content(self._hash.digest(), self._size)

    def _note(self, part: bytes) -> None:
        self._hash.update(part)
        self._size += len(part)


class _Source(_Hashed):
    """Chunks as a stream that pyrage reads from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        try:
            if not self._rest:
                chunk = next(self._chunks, b"")
                self._note(chunk)
                self._rest = memoryview(chunk)
        except BaseException as error:
            self.failure = error
            raise
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


class _Sink(_Hashed):
    """A file as a stream that pyrage writes to."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def write(self, part: bytes) -> int:
        try:
            self._file.write(part)
            self._note(part)
        except BaseException as error:
            self.failure = error
            raise
        return len(part)

    def flush(self) -> None:
        """Do nothing: the file is flushed when it is whole."""
