"""The manifest, `witnesstree-manifest/1`: canonical JSON (RFC 8785) that names an evidence's files
and what is known about them.

It is a file too, so its digest can be sealed; then the seal covers everything in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rfc8785

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.strictjson import Reader, load

if TYPE_CHECKING:
    from datetime import datetime

FORMAT = "witnesstree-manifest/1"

MAX_MANIFEST = 16 * 2**20
"""Bytes in a manifest: room for some 50,000 files."""
MAX_FILES = 100_000
"""Files in a manifest."""
MAX_MANIFEST_TEXT = 4096
"""Characters in a name, a kind, an applicant, a media type or a CID."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file: `digest` is the SHA-256 of its bytes.

    `cid` names what IPFS holds; where that is encrypted, `ciphertext_digest` is its SHA-256.
    """

    name: str
    size: int
    digest: bytes
    media_type: str
    cid: str | None = None
    ciphertext_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """An evidence: a name, its files, and what else its owner says of it.

    Nothing in it is checked against the world.
    """

    name: str
    created: datetime
    files: tuple[ManifestFile, ...]
    kind: str | None = None
    applicant: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)


def format_manifest(manifest: Manifest) -> bytes:
    """Return the manifest's canonical bytes.

    Raises InvalidInput if `meta` holds what is not JSON with whole numbers.
    """
    members: dict[str, Any] = {
        "format": FORMAT,
        "name": manifest.name,
        "created": format_time(manifest.created),
        "files": [_members_of_file(file) for file in manifest.files],
        "meta": manifest.meta,
    }
    if manifest.kind is not None:
        members["kind"] = manifest.kind
    if manifest.applicant is not None:
        members["applicant"] = manifest.applicant
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
    value.members("format name created files meta", "kind applicant")
    value.demand_format(FORMAT)
    manifest = Manifest(
        name=value["name"].text(MAX_MANIFEST_TEXT),
        created=parse_time(value["created"].text(20)),
        files=value["files"].list(_read_file, MAX_FILES),
        kind=value.optional("kind", lambda kind: kind.text(MAX_MANIFEST_TEXT)),
        applicant=value.optional("applicant", lambda applicant: applicant.text(MAX_MANIFEST_TEXT)),
        meta=value["meta"].object(),
    )
    if _canonical(value.object()) != content:
        raise InvalidInput("manifest-not-canonical")
    return manifest


def _canonical(members: dict[str, Any]) -> bytes:
    try:
        return rfc8785.dumps(members)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("manifest-not-json", error=str(error)[:80]) from error


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
    return members


def _read_file(value: Reader) -> ManifestFile:
    value.members("name size digest media_type", "cid ciphertext_digest")
    return ManifestFile(
        name=value["name"].text(MAX_MANIFEST_TEXT),
        size=value["size"].integer(),
        digest=value["digest"].hex(32),
        media_type=value["media_type"].text(MAX_MANIFEST_TEXT),
        cid=value.optional("cid", lambda cid: cid.text(MAX_MANIFEST_TEXT)),
        ciphertext_digest=value.optional("ciphertext_digest", lambda digest: digest.hex(32)),
    )
