"""What is written beside evidence: proofs, direct tokens and manifests.

Nothing that may still be wanted is written over, whoever else writes there meanwhile: a file gets a
name that nothing has, and what has it already is moved aside first. Others may be able to write to
the folder: no name that they can guess is opened, and no link of theirs is followed.
"""

from __future__ import annotations

import errno
import mimetypes
import os
import re
import secrets
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from witnesstree.cli.names import DIRECT_ENDING, PROOF_ENDING, proof_beside
from witnesstree.cli.options import say
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.system import WITHOUT_WAITING
from witnesstree.ledger.base.way import require_own_way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from witnesstree.cli.sources import Source
    from witnesstree.ledger.proof.manifest import Manifest, ManifestFile
    from witnesstree.ledger.proof.proof import Proof

MANIFEST_ENDING = ".manifest.json"

_UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|]+')
_NAME_ROOM = 20
"""Bytes that a file's name grows by while it is written: two dots, fourteen digits and `.tmp`."""
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""How file systems without them answer."""


def require_room(source: Source, known: dict[Path, tuple[int, int]] | None = None) -> None:
    """Refuse, before anything is sealed, a place where no proof can go. What was found out about a
    folder is kept in `known` for the next file.
    """
    known = {} if known is None else known
    place = source.proof.parent
    if place not in known:
        known[place] = _room_in(source.proof.absolute())
    longest, deepest = known[place]
    if len(os.fsencode(source.proof.name)) + _NAME_ROOM > longest:
        raise InvalidInput("name-too-long", path=source.path, ending=PROOF_ENDING)
    if len(os.fsencode(source.proof)) + _NAME_ROOM >= deepest:
        raise InvalidInput("path-too-long", path=source.path, ending=PROOF_ENDING)
    if source.proof.is_dir():
        raise InvalidInput("proof-place-is-folder", proof=source.proof, path=source.path)


def _room_in(proof: Path) -> tuple[int, int]:
    """Return how many bytes a name and a path may have where a proof goes.

    Raises InvalidInput if nothing can be written there.
    """
    folder = next(parent for parent in proof.parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidInput("proof-place-refused", folder=folder)
    require_own_way(proof)
    return os.pathconf(folder, "PC_NAME_MAX"), os.pathconf(folder, "PC_PATH_MAX")


# Proofs


def proof_at(path: Path) -> Proof | None:
    """Return the proof in a file, None where there is none that can be read."""
    from witnesstree.ledger.proof.proof import MAX_PROOF, parse_proof

    try:
        return parse_proof(_content(path, MAX_PROOF + 1))
    except (OSError, InvalidInput):
        return None


def _content(path: Path, most: int) -> bytes:
    """Return what is in a regular file; a pipe is not waited for. Raises OSError."""
    with open(
        path, "rb", opener=lambda name, flags: os.open(name, flags | WITHOUT_WAITING)
    ) as file:
        return file.read(most) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""


def write_proof(path: Path, proof: Proof) -> None:
    """Write a proof to `path`, in place of an unfinished one of the same digest, or of one that
    lacks only direct tokens; any other file there is kept aside.
    """
    from witnesstree.ledger.proof.proof import format_proof

    def is_done_with(there: Path) -> bool:
        # A whole proof may be the only witness of an earlier time, and one of another digest that
        # of an earlier version of the file.
        older = proof_at(there)
        if older is None or older.digest != proof.digest:
            return False
        added = set(proof.file_tokens) >= set(older.file_tokens)
        is_within = added and replace(older, file_tokens=proof.file_tokens) == proof
        return bool(older.missing) or is_within

    put(path, format_proof(proof), PROOF_ENDING, is_done_with)


def write_direct_token(path: Path, tokens: Sequence[bytes]) -> None:
    """Write the first of `tokens`, over one file, to `path`, unless one of them is there; any other
    file there is kept aside.
    """
    from witnesstree.ledger.tokens.token import format_response

    def is_done_with(there: Path) -> bool:
        # Another process may have written it just now.
        return direct_token_at(there) in tokens

    if not is_done_with(path):
        put(path, format_response(tokens[0]), DIRECT_ENDING, is_done_with)


def direct_token_at(path: Path) -> bytes | None:
    """Return the timestamp token (DER) in a file, alone or in an answer, None where there is none
    that can be read.
    """
    from witnesstree.ledger.proof.kinds import Kind, recognise
    from witnesstree.ledger.tokens.token import MAX_RESPONSE

    try:
        found = recognise(_content(path, MAX_RESPONSE + 1))
    except (OSError, InvalidInput):
        return None
    return found.content if found.kind is Kind.TOKEN else None


def put(
    path: Path,
    content: bytes,
    ending: str,
    is_done_with: Callable[[Path], bool] = lambda _there: False,
) -> list[Path]:
    """Put `content` under the name `path`, durably and all at once. What has the name is kept
    aside, photo.jpg.proof.json as photo.jpg.1.proof.json, unless it `is_done_with`; return where.

    Another process may do the same at the same time: what each wrote is kept. After a crash in
    between, nothing may have the name, and what had it has one with twenty digits.
    """
    from witnesstree.ledger.store.disk import placing, storage_errors, sync_folder

    stem = path.name.removesuffix(ending)
    fresh = path.with_name(f".{secrets.token_hex(7)}.tmp")
    kept: list[Path] = []
    done: list[Path] = []
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        require_own_way(path)
        with placing(fresh) as file:
            file.write(content)
        try:
            while not _takes_name(fresh, path):
                # Nobody else knows this name, so nothing is lost.
                moved = path.with_name(f"{stem}.{secrets.randbelow(9 * 10**19) + 10**19}{ending}")
                try:
                    path.rename(moved)
                except FileNotFoundError:
                    continue
                if is_done_with(moved):
                    done.append(moved)
                else:
                    aside = _numbered(moved, path.with_name(stem), ending)
                    say("kept-aside", name=path.name, aside=aside.name)
                    kept.append(aside)
        finally:
            fresh.unlink(missing_ok=True)
        sync_folder(path.parent)
        # Only now: until then it may be all that there is.
        for moved in done:
            moved.unlink(missing_ok=True)
    return kept


def _takes_name(fresh: Path, path: Path) -> bool:
    """Give the file at `fresh` the name `path`, too, and say whether that was free."""
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Some file systems have no second names: here, another process may be as fast.
        if os.path.lexists(path):
            return False
        fresh.rename(path)
    return True


def _numbered(path: Path, stem: Path, ending: str) -> Path:
    """Give what is at `path` the first free name of those with a number, and return it."""
    for number in range(1, 10**6):
        aside = stem.with_name(f"{stem.name}.{number}{ending}")
        try:
            # Reserved, so that no other process takes it meanwhile.
            if stat.S_ISDIR(path.lstat().st_mode):
                aside.mkdir()
            else:
                os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            continue
        path.rename(aside)
        return aside
    return path


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
    """Return the manifest of these files, which is at `path` afterwards.

    One that says the same already is left as it is, unless `again`; any other is kept aside, and
    the new one names it; its proof goes with it.
    """
    from datetime import UTC, datetime
    from hashlib import sha256

    from witnesstree.ledger.proof.manifest import SALT, Manifest, format_manifest

    there = _manifest_at(path)
    if there and not again:
        content, found = there
        if (found.name, found.files, found.meta) == (name, files, meta):
            return content
    content = format_manifest(
        Manifest(
            name,
            datetime.now(UTC),
            files,
            meta=dict(meta),
            follows=sha256(there[0]).digest() if there else None,
            salt=secrets.token_bytes(SALT),
        )
    )
    for aside in put(path, content, MANIFEST_ENDING):
        _follow(proof_beside(path), aside)
    return content


def _follow(proof: Path, aside: Path) -> None:
    """Give a proof the name that belongs to its file, which was kept aside."""
    from witnesstree.ledger.base.digest import digest_file

    found, own = proof_at(proof), proof_beside(aside)
    if found and found.digest == digest_file(aside).digest and not os.path.lexists(own):
        proof.rename(own)


def _manifest_at(path: Path) -> tuple[bytes, Manifest] | None:
    """Return the manifest at `path` with its bytes, None where there is none that can be read."""
    from witnesstree.ledger.proof.manifest import MAX_MANIFEST, parse_manifest

    try:
        content = _content(path, MAX_MANIFEST + 1)
        return content, parse_manifest(content)
    except (OSError, InvalidInput):
        return None


def media_type(path: Path) -> str:
    """Return the media type that the file's name suggests."""
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
