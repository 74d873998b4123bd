"""Files held against the manifests beside them: which are gone, which are other ones, and which
need no proof of their own.
"""

from __future__ import annotations

import os
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from witnesstree.cli.folder import Gap, Row
from witnesstree.cli.outputs import MANIFEST_ENDING
from witnesstree.ledger.base.digest import digest_file
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.report import Check, Outcome, Verdict
from witnesstree.ledger.proof.manifest import (
    FORMAT,
    MAX_MANIFEST,
    Manifest,
    ManifestFile,
    bytes_of_name,
    parse_manifest,
)

if TYPE_CHECKING:
    from pathlib import Path


def held_against_manifests(rows: list[Row]) -> list[Row]:
    """Return the rows as the manifests among them leave them, and one more for what is gone.

    A manifest counts whose own proof does not fail, unless another one follows it. A file that
    another digest is listed for is FAILED, whatever its own proof says; one without a proof is
    worth what the manifest is.
    """
    found = [(row, manifest) for row in rows if (manifest := _manifest_of(row))]
    followed = {manifest.follows for _, manifest in found}
    places = {_place(row.path): at for at, row in enumerate(rows)}
    judged = list(rows)
    for row, manifest in found:
        if row.digest in followed:
            continue
        missing: list[Row] = []
        for file in manifest.files:
            path = row.path.parent / os.fsdecode(bytes_of_name(file.name))
            at = places.get(_place(path))
            if at is not None:
                judged[at] = _held(judged[at], row, file)
            elif os.path.lexists(path):
                # It was passed over: a folder, or a file that is named like a proof.
                judged.append(_held(Row(path, gap=Gap.NO_PROOF), row, file))
            else:
                reason = message("manifest-file-missing", manifest=row.path.name)
                missing.append(Row(path, gap=Gap.NO_FILE, reason=reason))
        is_all = missing and len(missing) == len(manifest.files)
        judged += [_all_gone(row, manifest)] if is_all else missing
    return judged


def _manifest_of(row: Row) -> Manifest | None:
    """Return the manifest that a row is of, None where it is none that can be relied on.

    In witnesstree-manifest/1 names are no paths.
    """
    if row.gap or row.verdict is Verdict.FAILED or not row.path.name.endswith(MANIFEST_ENDING):
        return None
    try:
        with row.path.open("rb") as file:
            content = file.read(MAX_MANIFEST + 1)
        manifest = parse_manifest(content)
    except (OSError, InvalidInput):
        return None
    is_it = manifest.format == FORMAT and sha256(content).digest() == row.digest
    return manifest if is_it else None


def _held(row: Row, by: Row, file: ManifestFile) -> Row:
    """Return the row of a file that a manifest lists, which row `by` is of."""
    digest = row.digest
    # A file that is named like a proof was told as one without a file.
    if row.gap in {Gap.NO_PROOF, Gap.NO_FILE}:
        try:
            digest = digest_file(row.path).digest
        except InvalidInput as error:
            return Row(row.path, gap=Gap.UNREADABLE, reason=error.message)
    if digest is None:
        return row
    if digest != file.digest:
        fault = message(
            "manifest-lists-other", manifest=by.path.name, listed=file.digest, found=digest
        )
        check = Check("manifest", Outcome.FAILED, fault)
        return replace(
            row, verdict=Verdict.FAILED, checks=(check,), assurance=None, gap=None, reason=None
        )
    return replace(by, path=row.path, digest=digest) if row.gap else row


def _all_gone(row: Row, manifest: Manifest) -> Row:
    reason = message("manifest-files-missing", manifest=row.path.name, count=len(manifest.files))
    return Row(row.path.parent, gap=Gap.NO_FILE, reason=reason)


def _place(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - no link is followed
