"""The manifest, `witnesstree-manifest/2`: canonical JSON (RFC 8785) that names an evidence's files
and what is known about them. docs/manifest.md specifies it.

It is a file too, so its digest can be sealed; then the seal covers everything in it.

In /1, which is still read, the name of a file is any text; in /2 it is a path that tells each file
apart, whatever bytes are in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rfc8785

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.strictjson import Reader, load

if TYPE_CHECKING:
    from datetime import datetime

FORMAT = "witnesstree-manifest/2"
FIRST_FORMAT = "witnesstree-manifest/1"

MAX_MANIFEST = 16 * 2**20
"""Bytes in a manifest: room for some 50,000 files."""
MAX_FILES = 100_000
"""Files in a manifest."""
MAX_MANIFEST_TEXT = 4096
"""Characters in a name, a kind, an applicant, a role, a media type or a CID."""
MAX_FILE_NAME = 4 * 4096
"""Characters in the name of a file: a path of 4,096 bytes, each of them escaped."""
SALT = 16
"""Random bytes in a manifest: nobody can guess its content and compare the digest."""

_ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|\\)")


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file: `digest` is the SHA-256 of its bytes.

    `cid` names what IPFS holds; where that is encrypted, `ciphertext_digest` is its SHA-256. `role`
    is what the owner says that the file is to the evidence, and new in /2.
    """

    name: str
    size: int
    digest: bytes
    media_type: str
    cid: str | None = None
    ciphertext_digest: bytes | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """An evidence: a name, its files, and what else its owner says of it.

    Nothing in it is checked against the world. `follows` is the SHA-256 of an earlier manifest,
    which this one takes the place of; both it and the `salt` are new in /2.
    """

    name: str
    created: datetime
    files: tuple[ManifestFile, ...]
    kind: str | None = None
    applicant: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    follows: bytes | None = None
    salt: bytes | None = None
    format: str = FORMAT


def escaped_name(path: bytes) -> str:
    """Return a path as the name of a file in a manifest: UTF-8, but for a byte that is no part of
    any, which is written `\\xdf`, and a backslash, which is written twice.
    """
    text = path.replace(b"\\", b"\\\\").decode(errors="surrogateescape")
    return "".join(
        f"\\x{ord(each) - 0xDC00:02x}" if "\udc80" <= each <= "\udcff" else each for each in text
    )


def bytes_of_name(name: str) -> bytes:
    """Return the path that a name in a manifest stands for. Matches `escaped_name`.

    Raises InvalidInput if it is no relative path below a folder, or written in another way.
    """
    try:
        path = _ESCAPED.sub(
            lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\", name.encode()
        )
    except UnicodeEncodeError as error:
        raise InvalidInput("manifest-name-escaped", name=ascii(name)[:80]) from error
    if b"\0" in path or {b"", b".", b".."} & set(path.split(b"/")):
        raise InvalidInput("manifest-name-no-path", name=ascii(name)[:80])
    if escaped_name(path) != name:
        raise InvalidInput("manifest-name-escaped", name=ascii(name)[:80])
    return path


def format_manifest(manifest: Manifest) -> bytes:
    """Return the manifest's canonical bytes.

    Raises InvalidInput if `meta` holds what is not JSON with whole numbers, or its format has no
    room for a member.
    """
    members: dict[str, Any] = {
        "format": manifest.format,
        "name": manifest.name,
        "created": format_time(manifest.created),
        "files": [_members_of_file(file) for file in manifest.files],
        "meta": manifest.meta,
    }
    if manifest.kind is not None:
        members["kind"] = manifest.kind
    if manifest.applicant is not None:
        members["applicant"] = manifest.applicant
    if manifest.follows is not None:
        members["follows"] = manifest.follows.hex()
    if manifest.salt is not None:
        members["salt"] = manifest.salt.hex()
    content = _canonical(members)
    parse_manifest(content)
    return content


def parse_manifest(content: bytes) -> Manifest:
    """Return the manifest in `content`; unknown kinds are legal, unknown members are not.

    Raises InvalidInput for anything that `format_manifest` would not have written.
    """
    if len(content) > MAX_MANIFEST:
        raise InvalidInput("manifest-too-large", most=MAX_MANIFEST, found=len(content))
    value = load(message("document-manifest"), content)
    is_first = value.member("format") == FIRST_FORMAT
    if not is_first:
        value.demand_format(FORMAT)
    value.members(
        "format name created files meta", "kind applicant" + ("" if is_first else " follows salt")
    )
    manifest = Manifest(
        name=value["name"].text(MAX_MANIFEST_TEXT),
        created=parse_time(value["created"].text(20)),
        files=value["files"].list(_read_first_file if is_first else _read_file, MAX_FILES),
        kind=value.optional("kind", lambda kind: kind.text(MAX_MANIFEST_TEXT)),
        applicant=value.optional("applicant", lambda applicant: applicant.text(MAX_MANIFEST_TEXT)),
        meta=value["meta"].object(),
        follows=value.optional("follows", lambda follows: follows.hex(32)),
        salt=value.optional("salt", lambda salt: salt.hex(SALT)),
        format=FIRST_FORMAT if is_first else FORMAT,
    )
    if not is_first and len({file.name for file in manifest.files}) < len(manifest.files):
        raise InvalidInput("manifest-name-twice")
    if _canonical(value.object()) != content:
        raise InvalidInput("manifest-not-canonical")
    return manifest


def _canonical(members: dict[str, Any]) -> bytes:
    try:
        return rfc8785.dumps(members)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("manifest-not-json") from error


def _members_of_file(file: ManifestFile) -> dict[str, Any]:
    members: dict[str, Any] = {
        "name": file.name,
        "size": file.size,
        "digest": file.digest.hex(),
        "media_type": file.media_type,
    }
    if file.cid is not None:
        members["cid"] = file.cid
    if file.ciphertext_digest is not None:
        members["ciphertext_digest"] = file.ciphertext_digest.hex()
    if file.role is not None:
        members["role"] = file.role
    return members


def _read_first_file(value: Reader) -> ManifestFile:
    value.members("name size digest media_type", "cid ciphertext_digest")
    return _file(value, value["name"].text(MAX_MANIFEST_TEXT))


def _read_file(value: Reader) -> ManifestFile:
    value.members("name size digest media_type", "cid ciphertext_digest role")
    name = value["name"].text(MAX_FILE_NAME)
    bytes_of_name(name)
    return _file(value, name)


def _file(value: Reader, name: str) -> ManifestFile:
    return ManifestFile(
        name=name,
        size=value["size"].integer(),
        digest=value["digest"].hex(32),
        media_type=value["media_type"].text(MAX_MANIFEST_TEXT),
        cid=value.optional("cid", lambda cid: cid.text(MAX_MANIFEST_TEXT)),
        ciphertext_digest=value.optional("ciphertext_digest", lambda digest: digest.hex(32)),
        role=value.optional("role", lambda role: role.text(MAX_MANIFEST_TEXT)),
    )
