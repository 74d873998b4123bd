"""What is written beside evidence: proofs and manifests.

Nothing that may still be wanted is written over.
"""

from __future__ import annotations

import mimetypes
import os
import re
from typing import TYPE_CHECKING

from witnesstree.cli.options import say
from witnesstree.cli.sources import PROOF_ENDING
from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from witnesstree.cli.sources import Source
    from witnesstree.ledger.proof.manifest import ManifestFile
    from witnesstree.ledger.proof.proof import Proof

MANIFEST_ENDING = ".manifest.json"

_UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|]+')
_NAME_ROOM = 20
"""Bytes that a file's name grows by while it is written: two dots, fourteen digits and `.tmp`."""


def require_room(source: Source) -> None:
    """Refuse, before anything is sealed, a place where no proof can go."""
    folder = next(parent for parent in source.proof.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidInput("proof-place-refused", folder=folder)
    if len(os.fsencode(source.proof.name)) + _NAME_ROOM > os.pathconf(folder, "PC_NAME_MAX"):
        raise InvalidInput("name-too-long", path=source.path, ending=PROOF_ENDING)
    if source.proof.is_dir():
        raise InvalidInput("proof-place-is-folder", proof=source.proof, path=source.path)


# Proofs


def proof_at(path: Path) -> Proof | None:
    """Return the proof in a file, None where there is none that can be read."""
    from witnesstree.cli.judging import read_limited
    from witnesstree.ledger.proof.proof import parse_proof

    try:
        return parse_proof(read_limited(path))
    except InvalidInput:
        return None


def write_proof(path: Path, proof: Proof) -> None:
    """Write a proof to `path`, in place of an unfinished one of the same digest; any other file
    there is kept aside.
    """
    from witnesstree.ledger.proof.proof import format_proof
    from witnesstree.ledger.store.disk import storage_errors, write_file

    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        older = proof_at(path)
        # A whole proof may be the only witness of an earlier time, and one of another digest that
        # of an earlier version of the file.
        if older is None or older.digest != proof.digest or not older.missing:
            keep_aside(path, PROOF_ENDING)
    write_file(path, format_proof(proof))


def keep_aside(path: Path, ending: str) -> None:
    """Give what stands at `path` another name, so that it is not overwritten: photo.jpg.proof.json
    becomes photo.jpg.1.proof.json.
    """
    if not path.exists():
        return
    stem = path.name.removesuffix(ending)
    aside = next(
        name
        for i in range(1, 10**6)
        if not (name := path.with_name(f"{stem}.{i}{ending}")).exists()
    )
    path.rename(aside)
    say("kept-aside", name=path.name, aside=aside.name)


# Manifests


def manifest_name(name: str) -> str:
    """Return the file name of the manifest that people call `name`.

    Raises InvalidInput if that makes none.
    """
    safe = _UNSAFE.sub("_", name).strip(" .")
    if not safe or len(os.fsencode(safe)) > 200:
        raise InvalidInput("bad-manifest-name", name=repr(name[:80]))
    return safe + MANIFEST_ENDING


def is_manifest(path: Path, manifest: Path) -> bool:
    """Whether `path` is the manifest, or an older one that was kept aside."""
    stem = re.escape(manifest.name.removesuffix(MANIFEST_ENDING))
    return path.absolute().parent == manifest.absolute().parent and bool(
        re.fullmatch(rf"{stem}(\.\d+)?{re.escape(MANIFEST_ENDING)}", path.name)
    )


def write_manifest(
    path: Path, name: str, files: tuple[ManifestFile, ...], meta: dict[str, str], *, again: bool
) -> bytes:
    """Return the manifest of these files, which stands at `path` afterwards.

    One that says the same already is left as it is, unless `again`.
    """
    from datetime import UTC, datetime

    from witnesstree.ledger.proof.manifest import Manifest, format_manifest
    from witnesstree.ledger.store.disk import storage_errors, write_file

    content = None if again else _same_manifest(path, name, files, meta)
    if content is None:
        content = format_manifest(Manifest(name, datetime.now(UTC), files, meta=dict(meta)))
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            keep_aside(path, MANIFEST_ENDING)
        write_file(path, content)
    return content


def _same_manifest(
    path: Path, name: str, files: tuple[ManifestFile, ...], meta: dict[str, str]
) -> bytes | None:
    """Return the manifest at `path` if it says what a new one would, its time left aside."""
    from witnesstree.ledger.proof.manifest import parse_manifest

    try:
        content = path.read_bytes()
        found = parse_manifest(content)
    except (OSError, InvalidInput):
        return None
    return content if (found.name, found.files, found.meta) == (name, files, meta) else None


def media_type(path: Path) -> str:
    """Return the media type that the file's name suggests."""
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
