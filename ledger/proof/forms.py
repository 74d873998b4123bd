"""Other forms of a proof, for software that knows nothing of ours (docs/forms.md).

Pure: files are given. No other module writes these forms.

Each form holds a part of what the proof holds. Nothing is judged but that the parts belong
together: whether a token or a checkpoint is to be believed is for the reader of the form. Evidence
records themselves are made by record.py.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO
from zipfile import ZipFile, ZipInfo

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.log import check_inclusion, leaf_hash
from witnesstree.ledger.log.note import (
    format_base64,
    parse_base64,
    parse_checkpoint,
    parse_note,
)
from witnesstree.ledger.log.statement import parse_statement
from witnesstree.ledger.proof.kinds import TLOG_PROOF
from witnesstree.ledger.proof.proof import LogProof
from witnesstree.ledger.proof.record import parse_record
from witnesstree.ledger.proof.record_make import make_record
from witnesstree.ledger.tokens.token import format_response, parse_token
from witnesstree.ledger.tree.tree import parent, root_from_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from witnesstree.ledger.proof.proof import Inclusion, Proof

CONTAINER = "application/vnd.etsi.asic-e+zip"
RECORD_ENTRY = "META-INF/evidencerecord.ers"
MANIFEST_ENTRY = "META-INF/ASiCEvidenceRecordManifest.xml"

MAX_ENTRY_NAME = 255
"""Bytes in the name of a file in a container: as many as file systems take."""
CHUNK = 2**20
"""Bytes copied at a time."""

# A log has fewer than 2**63 entries, so no path is longer than 63 hashes.
_TLOG_PROOF = re.compile(
    re.escape(TLOG_PROOF) + r"\nextra ([A-Za-z0-9+/]+={0,2})\nindex (0|[1-9][0-9]{0,18})\n"
    r"((?:[A-Za-z0-9+/]{43}=\n){0,63})\n(.+)",
    re.DOTALL,
)
# What some system takes for a path, or no terminal shows.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")


# Tokens and records
# --------------------------------------------------------------------------------------------------


def format_token(proof: Proof, number: int = 0) -> bytes:
    """Return token `number` of the proof, counted from 0: a TimeStampToken (DER, RFC 3161, 2.4.2),
    as it came from its authority.

    What is beside it in the proof (certificates, CRLs, OCSP answers) has no place in it.

    Raises InvalidInput if the proof has no such token, or the token is not for its root.
    """
    at = _demand_path(proof)
    if not proof.tokens:
        raise InvalidInput("proof-without-token")
    if not 0 <= number < len(proof.tokens):
        raise InvalidInput("proof-without-that-token", number=number, last=len(proof.tokens) - 1)
    der = proof.tokens[number].token
    token = parse_token(der)
    if (token.imprint_algorithm, token.imprint) != ("sha256", at.root):
        raise InvalidInput("token-not-for-root")
    return der


def format_direct_token(proof: Proof, number: int = 0) -> bytes:
    """Return timestamp `number` over the file itself, counted from 0, as the answer of an
    authority: a TimeStampResp (DER, RFC 3161, 2.4.2).

    Raises InvalidInput if the proof has no such token, or the token is not for its digest.
    """
    if not proof.file_tokens:
        raise InvalidInput("proof-without-direct-token")
    if not 0 <= number < len(proof.file_tokens):
        last = len(proof.file_tokens) - 1
        raise InvalidInput("proof-without-that-token", number=number, last=last)
    der = proof.file_tokens[number].token
    token = parse_token(der)
    digests = {"sha256": proof.digest, **dict(proof.digests)}
    # Of a digest under another algorithm the proof may say nothing.
    if digests.get(token.imprint_algorithm, token.imprint) != token.imprint:
        raise InvalidInput("token-not-for-file")
    return format_response(der)


def format_record(proof: Proof, number: int = 0) -> bytes:
    """Return the evidence record (DER, RFC 4998) of the proof with its token `number`; the renewed
    one, where the proof holds one of that token.

    Raises InvalidInput as `format_token` and `make_record`.
    """
    token = format_token(proof, number)
    return next(
        (kept for kept in proof.records if _is_of(kept, proof.digest, token)), None
    ) or make_record(proof, number)


def _is_of(kept: bytes, digest: bytes, token: bytes) -> bool:
    try:
        first = parse_record(kept).timestamps[0]
    except InvalidInput:
        # What is wrong with it, `verify` says.
        return False
    return first.token.der == token and digest in (
        first.lists[0] if first.lists else [first.token.imprint]
    )


# Paths
# --------------------------------------------------------------------------------------------------


def format_merkletools(proof: Proof) -> bytes:
    """Return the path as merkletools and Chainpoint 2 read it: a JSON list of {"left": hex} and
    {"right": hex}, from the leaf up.

    Leaf and root are not in it. In our tree the lesser hash of a pair is on the left, which says
    nothing about the position of the leaf.

    Raises InvalidInput if there is no path, or it does not lead to the root.
    """
    at = _demand_path(proof)
    node, steps = proof.digest, []
    for sibling in at.path:
        steps.append({"left" if sibling < node else "right": sibling.hex()})
        node = parent(node, sibling)
    return (json.dumps(steps) + "\n").encode()


def contract_arguments(proof: Proof) -> dict[str, Any]:
    """Return what an explorer's page "Read contract" is asked, as it is written in JSON, with
    hashes and addresses in 0xhex.

    `contracts` says where: one for each anchor of the proof.

    Raises InvalidInput if there is no anchor, no path, or it does not lead to the root.
    """
    at = _demand_path(proof)
    if not proof.anchors:
        raise InvalidInput("proof-without-anchor")
    root, path = _0x(at.root), [_0x(node) for node in at.path]
    return {
        "contracts": [
            {"chain_id": anchor.chain_id, "address": _0x(anchor.contract)}
            for anchor in proof.anchors
        ],
        "anchoredAt": {"root": root},
        "verify": {"root": root, "digest": _0x(proof.digest), "path": path},
    }


def _demand_path(proof: Proof) -> Inclusion:
    at = proof.inclusion
    if at is None:
        raise InvalidInput("proof-without-path")
    if root_from_path(proof.digest, at.position, at.size, at.path) != at.root:
        raise InvalidInput("path-not-to-root")
    return at


def _0x(value: bytes) -> str:
    return "0x" + value.hex()


# The log
# --------------------------------------------------------------------------------------------------


def format_tlog_proof(proof: Proof) -> bytes:
    """Return the C2SP tlog-proof of the batch statement: that it is in the ledger log, and the
    signed checkpoint that says so.

    The statement itself is in its "extra" line, because the entry is needed to verify it. That
    the digest is in the batch is not in it. Who signed the checkpoint is not looked at.

    Raises InvalidInput if the proof has no place in the log yet, or its parts do not belong
    together.
    """
    at, log = _demand_path(proof), proof.log
    if log is None:
        raise InvalidInput("proof-without-log")
    statement, entry = parse_statement(log.statement), log.statement.encode()
    head = parse_checkpoint(parse_note(log.checkpoint).text)
    if statement.root != at.root or not check_inclusion(
        log.index, head.size, leaf_hash(entry), log.path, head.root
    ):
        raise InvalidInput("statement-not-for-root")
    lines = [
        TLOG_PROOF,
        f"extra {format_base64(entry)}",
        f"index {log.index}",
        *map(format_base64, log.path),
        "",
    ]
    return ("".join(line + "\n" for line in lines) + log.checkpoint).encode()


def parse_tlog_proof(content: bytes) -> LogProof:
    """Return what a C2SP tlog-proof of a batch statement claims. Matches `format_tlog_proof`.

    Raises InvalidInput if it is none, or its "extra" line is no batch statement.
    """
    found = _TLOG_PROOF.fullmatch(content.decode("utf-8", "replace"))
    if found is None:
        raise InvalidInput("tlog-proof-unreadable")
    statement = parse_base64(found[1]).decode("utf-8", "replace")
    parse_statement(statement)
    path = tuple(parse_base64(line) for line in found[3].splitlines())
    return LogProof(statement, int(found[2]), path, found[4])


# Containers
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Content:
    """The file that goes into a container: its name there, its size in bytes, its media type.

    Raises InvalidInput if a container cannot hold a file of that name.
    """

    name: str
    size: int
    media_type: str

    def __post_init__(self) -> None:
        if not _is_entry_name(self.name):
            raise InvalidInput("container-name-not-allowed", most=MAX_ENTRY_NAME)


def write_container(
    out: BinaryIO,
    content: Content,
    source: BinaryIO,
    proof: Proof,
    number: int,
    *,
    advance: Callable[[int], None],
) -> None:
    """Write an ASiC-E container (ETSI EN 319 162-1, 4.4) to `out`: the file from `source`, and the
    record of the proof that is for it.

    The same arguments always give the same bytes; nothing is compressed. `advance` is told how many
    bytes each step has copied. `out` can seek; what it holds after an error is no container.

    Raises InvalidInput as `format_record` does, or if `source` does not hold `content.size` bytes
    that the proof is for.
    """
    record = format_record(proof, number)
    with ZipFile(out, "w") as archive:
        # First, and without an extra field, so that its text is at byte 38 of the container
        # (ETSI EN 319 162-1, A.1).
        archive.writestr(_entry("mimetype"), CONTAINER)
        copied = sha256()
        with archive.open(_entry(content.name, content.size), "w") as copy:
            left = content.size
            while left and (piece := source.read(min(CHUNK, left))):
                copy.write(piece)
                copied.update(piece)
                left -= len(piece)
                advance(len(piece))
        if copied.digest() != proof.digest or left or source.read(1):
            raise InvalidInput(
                "container-file-differs", expected=proof.digest, found=copied.hexdigest()
            )
        archive.writestr(_entry(RECORD_ENTRY), record)
        archive.writestr(_entry(MANIFEST_ENTRY), _format_manifest(content, proof.digest))


def _is_entry_name(name: str) -> bool:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    # Systems that do not tell capitals apart would write these over what the container needs.
    return (
        1 <= size <= MAX_ENTRY_NAME
        and not _UNSAFE.search(name)
        and name.lower() not in {".", "..", "mimetype", "meta-inf"}
    )


def _entry(name: str, size: int = 0) -> ZipInfo:
    """Return an entry that no clock and no system leaves a mark on; its size says whether it needs
    ZIP64.
    """
    entry = ZipInfo(name)
    entry.create_system, entry.external_attr, entry.file_size = 3, 0o100644 << 16, size
    return entry


def _uri(name: str) -> str:
    """Return a file's name as a relative reference (RFC 3986, 2.1 and 2.3)."""
    return re.sub(
        rb"[^A-Za-z0-9._~-]", lambda found: b"%%%02X" % ord(found[0]), name.encode()
    ).decode()


def _format_manifest(content: Content, digest: bytes) -> bytes:
    """Return the ASiCEvidenceRecordManifest (ETSI EN 319 162-1, 4.4.3.2, item 4): the record, and
    the file that it is for.
    """
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<asic:ASiCManifest xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">
  <asic:SigReference URI="{RECORD_ENTRY}"/>
  <asic:DataObjectReference URI="{_uri(content.name)}" MimeType="{html.escape(content.media_type)}">
    <ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>
    <ds:DigestValue>{format_base64(digest)}</ds:DigestValue>
  </asic:DataObjectReference>
</asic:ASiCManifest>
""".encode()
