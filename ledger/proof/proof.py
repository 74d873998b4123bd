"""The proof file, `witnesstree-proof/1`: its values, its parser and its writer.
docs/proof-format.md specifies it for other languages.

The parser is total: any bytes give a Proof or InvalidInput. It checks form only; whether a proof is
true is verify.py's question.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import rfc8785

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.strictjson import Reader, load
from witnesstree.ledger.base.witness import Anchor, Stamp, StateProof
from witnesstree.ledger.chain.stateproof import MAX_HEADER, MAX_NODES
from witnesstree.ledger.log.keys import MAX_CHANGES, MAX_KEY_NOTE
from witnesstree.ledger.log.note import MAX_NOTE as _MAX_NOTE
from witnesstree.ledger.tokens.revocation import MAX_CRL, MAX_OCSP
from witnesstree.ledger.tokens.token import MAX_TOKEN
from witnesstree.ledger.tree.tree import MAX_SIZE

FORMAT = "witnesstree-proof/1"

MAX_PROOF = 4 * 2**20
"""Bytes in a proof file.

A proof with one token and one anchor on Ethereum has about 20 KiB; the rest is room for several of
each.
"""
MAX_PATH = 64
"""Hashes in a path: a tree of 2**48 leaves needs 48, a log of 2**53 entries 53."""
MAX_WITNESSES = 16
"""Tokens in one proof, and as many anchors and evidence records."""
MAX_VOUCHERS = 8
"""Certificates beside a token, and as many CRLs and OCSP answers: one for each certificate in a
chain of usual length."""
MAX_CERTIFICATE = 16 * 1024
"""Bytes in a certificate: 1 to 3 KiB are usual."""
MAX_NODE_READ = 1024
"""Bytes in a node of a state proof: a full branch has 532."""
MAX_TEXT = 8192
"""Characters in an opening record or a batch statement: they have some 400."""
MAX_CHECKPOINT = _MAX_NOTE
"""Characters in a checkpoint: as many as a signed note has bytes, which leaves room for
cosignatures."""
MAX_HINT = 1024
"""Characters in a hint."""
MAX_KEPT_RECORD = 2**20
"""Bytes in an evidence record in a proof: three tokens with their certificates take 30 KiB, and a
CRL beside one may take half of this."""
MAX_DIGESTS = 8
"""Digests of the file under other algorithms than SHA-256."""
MAX_EXTENSIONS = 16
"""Extensions of a proof."""
MAX_EXTENSION_ID = 255
"""Characters in the name of an extension."""
MAX_LINKS = 4 * MAX_WITNESSES
"""Links among the hints: an anchor has three."""


_ALGORITHM = re.compile(r"(?!sha256$)[a-z0-9_]{1,32}")
"""The name of a hash algorithm; SHA-256 is the proof's own."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where the digest is in its batch: `position` among `size` leaves (leaf 0 is the opening
    record), and the path to `root`.
    """

    position: int
    size: int
    root: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OpeningProof:
    """The opening record's text, its path as leaf 0 to the same root, and the RLP header of the
    block it names, if it names one.
    """

    record: str
    path: tuple[bytes, ...]
    header: bytes | None = None


@dataclass(frozen=True, slots=True)
class LogProof:
    """The batch statement, its `index` in the ledger log, its path, and the signed checkpoint that
    the path leads to.

    `keys` are the notes that lead from the log's older keys to its newer ones (keys.py), in their
    order.
    """

    statement: str
    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hints:
    """What helps a person and proves nothing: the file's name, size and CID, and links to look
    things up.
    """

    name: str | None = None
    size: int | None = None
    cid: str | None = None
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extension:
    """What a later version adds, by the name `id`: canonical JSON. A verifier that does not know it
    must not decide without it if it `is_critical`.
    """

    id: str
    value: str
    is_critical: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """Everything needed to verify `digest` (32 bytes). What is not there yet is None or empty.

    `records` are evidence records (DER, RFC 4998) of this digest, whose timestamps were renewed
    since it was sealed. `digests` are (algorithm, digest) of the same file under other hash
    algorithms. `file_tokens` are timestamps over the file itself, by any of its digests: they date
    the file, not the batch.
    """

    digest: bytes
    inclusion: Inclusion | None = None
    opening: OpeningProof | None = None
    tokens: tuple[Stamp, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    log: LogProof | None = None
    hints: Hints = field(default_factory=Hints)
    records: tuple[bytes, ...] = ()
    digests: tuple[tuple[str, bytes], ...] = ()
    file_tokens: tuple[Stamp, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether only digest, path and hints tell it from the other proofs of its batch."""
        return not (self.records or self.digests or self.file_tokens or self.extensions)

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not there yet, by name: a proof of an entry whose work is done lacks nothing."""
        parts = {"inclusion": self.inclusion, "token": self.tokens, "anchor": self.anchors}
        return tuple(name for name, part in parts.items() if not part)


def format_proof(proof: Proof) -> bytes:
    """Return the proof file's bytes: indented JSON, UTF-8, with a newline at the end."""
    members = _members_of_proof(proof)
    members["checksum"] = _checksum(members)
    return (json.dumps(members, indent=1, ensure_ascii=False) + "\n").encode()


def parse_proof(content: bytes) -> Proof:
    """Return the proof that `content` holds. Matches `format_proof`.

    The checksum finds damage, not forgery: anyone who can change the file can also write a new
    checksum.

    Raises InvalidInput for anything else, and says what was expected where.
    """
    if len(content) > MAX_PROOF:
        raise InvalidInput("proof-too-large", most=MAX_PROOF, found=len(content))
    document = load(message("document-proof"), content)
    document.demand_format(FORMAT)
    proof = _read_proof(document)
    members: dict[str, Any] = document.value
    if members["checksum"] != _checksum(
        {name: value for name, value in members.items() if name != "checksum"}
    ):
        raise InvalidInput("proof-checksum-wrong")
    return proof


def format_anchor(anchor: Anchor) -> str:
    """Return an anchor alone as canonical JSON, as the metadata store keeps it."""
    return rfc8785.dumps(_members_of_anchor(anchor)).decode()


def parse_anchor(text: str) -> Anchor:
    """Return the anchor that `format_anchor` wrote. Raises InvalidInput for anything else."""
    return _read_anchor(load(message("document-anchor"), text.encode(errors="surrogatepass")))


def format_vouchers(stamp: Stamp) -> str | None:
    """Return what is beside a token as canonical JSON, as the metadata store keeps it; None
    where nothing does.
    """
    members = _members_of_stamp(stamp)
    del members["token"]
    return rfc8785.dumps(members).decode() if members else None


def parse_vouchers(token: bytes, text: str | None) -> Stamp:
    """Return a token with what `format_vouchers` wrote. Raises InvalidInput for anything else."""
    if text is None:
        return Stamp(token)
    value = load(message("document-vouchers"), text.encode(errors="surrogatepass"))
    value.members("", "certificates crls ocsps")
    return _read_vouchers(token, value)


# Writing


def _members_of_proof(proof: Proof) -> dict[str, Any]:
    members: dict[str, Any] = {"format": FORMAT, "digest": proof.digest.hex()}
    if proof.digests:
        members["digests"] = {name: digest.hex() for name, digest in proof.digests}
    if proof.inclusion:
        at = proof.inclusion
        path = [node.hex() for node in at.path]
        members["inclusion"] = {
            "position": at.position,
            "size": at.size,
            "root": at.root.hex(),
            "path": path,
        }
    if proof.opening:
        members["opening"] = {
            "record": proof.opening.record,
            "path": [node.hex() for node in proof.opening.path],
        }
        if proof.opening.header is not None:
            members["opening"]["header"] = _0x(proof.opening.header)
    members["tokens"] = [_members_of_stamp(stamp) for stamp in proof.tokens]
    members["anchors"] = [_members_of_anchor(anchor) for anchor in proof.anchors]
    if proof.records:
        members["records"] = [_base64(record) for record in proof.records]
    if proof.file_tokens:
        members["file_tokens"] = [_members_of_stamp(stamp) for stamp in proof.file_tokens]
    if proof.extensions:
        members["extensions"] = [_members_of_extension(each) for each in proof.extensions]
    if proof.log:
        members["log"] = {
            "statement": proof.log.statement,
            "index": proof.log.index,
            "path": [node.hex() for node in proof.log.path],
            "checkpoint": proof.log.checkpoint,
        }
        if proof.log.keys:
            members["log"]["keys"] = list(proof.log.keys)
    members["hints"] = members_of_hints(proof.hints)
    return members


def _members_of_extension(extension: Extension) -> dict[str, Any]:
    members = {"id": extension.id, "value": json.loads(extension.value)}
    return {**members, "critical": True} if extension.is_critical else members


def _members_of_stamp(stamp: Stamp) -> dict[str, Any]:
    lists = {"certificates": stamp.certificates, "crls": stamp.crls, "ocsps": stamp.ocsps}
    return {
        "token": _base64(stamp.token),
        **{name: [_base64(der) for der in values] for name, values in lists.items() if values},
    }


def _members_of_anchor(anchor: Anchor) -> dict[str, Any]:
    members: dict[str, Any] = {"chain_id": anchor.chain_id, "contract": _0x(anchor.contract)}
    if anchor.transaction is not None:
        members["transaction"] = _0x(anchor.transaction)
    members["block"] = {"number": anchor.block_number, "hash": _0x(anchor.block_hash)}
    if anchor.state:
        members["state"] = {
            "header": _0x(anchor.state.header),
            "account": [_0x(node) for node in anchor.state.account],
            "storage": [_0x(node) for node in anchor.state.storage],
        }
    return members


def members_of_hints(hints: Hints) -> dict[str, Any]:
    """Return hints as they are written in JSON. Matches `read_hints`."""
    members = {
        "name": hints.name,
        "size": hints.size,
        "cid": hints.cid,
        "links": list(hints.links) or None,
    }
    return {name: value for name, value in members.items() if value is not None}


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _0x(value: bytes) -> str:
    return "0x" + value.hex()


def _checksum(members: dict[str, Any]) -> str:
    return sha256(rfc8785.dumps(members)).hexdigest()


# Reading


def _read_proof(value: Reader) -> Proof:
    value.members(
        "format digest tokens anchors hints checksum",
        "inclusion opening log records digests file_tokens extensions",
    )
    value["checksum"].hex(32)
    proof = Proof(
        digest=value["digest"].hex(32),
        inclusion=value.optional("inclusion", _read_inclusion),
        opening=value.optional("opening", _read_opening),
        tokens=value["tokens"].list(_read_stamp, MAX_WITNESSES),
        anchors=value["anchors"].list(_read_anchor, MAX_WITNESSES),
        log=value.optional("log", _read_log),
        hints=read_hints(value["hints"]),
        records=value.optional(
            "records",
            lambda records: records.list(
                lambda record: record.base64(MAX_KEPT_RECORD), MAX_WITNESSES
            ),
        )
        or (),
        digests=value.optional("digests", _read_digests) or (),
        file_tokens=value.optional(
            "file_tokens", lambda stamps: stamps.list(_read_stamp, MAX_WITNESSES)
        )
        or (),
        extensions=value.optional("extensions", _read_extensions) or (),
    )
    if not proof.inclusion and (
        proof.opening or proof.tokens or proof.anchors or proof.log or proof.records
    ):
        raise InvalidInput("proof-without-inclusion")
    return proof


def _read_digests(value: Reader) -> tuple[tuple[str, bytes], ...]:
    names = value.object()
    if len(names) > MAX_DIGESTS or not all(map(_ALGORITHM.fullmatch, names)):
        value.refuse("json-expected-digests", most=MAX_DIGESTS)
    return tuple((name, value[name].hex(most=64)) for name in names)


def _read_extensions(value: Reader) -> tuple[Extension, ...]:
    extensions = value.list(_read_extension, MAX_EXTENSIONS)
    if len({each.id for each in extensions}) < len(extensions):
        raise InvalidInput("proof-extension-twice")
    return extensions


def _read_extension(value: Reader) -> Extension:
    value.members("id value", "critical")
    return Extension(
        value["id"].text(MAX_EXTENSION_ID),
        rfc8785.dumps(value["value"].value).decode(),
        value.optional("critical", lambda critical: critical.boolean()) or False,
    )


def _read_inclusion(value: Reader) -> Inclusion:
    value.members("position size root path")
    size = value["size"].integer(least=1, most=MAX_SIZE)
    return Inclusion(
        position=value["position"].integer(most=size - 1),
        size=size,
        root=value["root"].hex(32),
        path=_read_path(value["path"]),
    )


def _read_path(value: Reader) -> tuple[bytes, ...]:
    return value.list(lambda node: node.hex(32), MAX_PATH)


def _read_opening(value: Reader) -> OpeningProof:
    value.members("record path", "header")
    return OpeningProof(
        record=value["record"].text(MAX_TEXT),
        path=_read_path(value["path"]),
        header=value.optional("header", lambda header: header.hex(most=MAX_HEADER, prefix="0x")),
    )


def _read_stamp(value: Reader) -> Stamp:
    value.members("token", "certificates crls ocsps")
    return _read_vouchers(value["token"].base64(MAX_TOKEN), value)


def _read_vouchers(token: bytes, value: Reader) -> Stamp:
    def values(name: str, size: int) -> tuple[bytes, ...]:
        return (
            value.optional(
                name, lambda found: found.list(lambda each: each.base64(size), MAX_VOUCHERS)
            )
            or ()
        )

    return Stamp(
        token=token,
        certificates=values("certificates", MAX_CERTIFICATE),
        crls=values("crls", MAX_CRL),
        ocsps=values("ocsps", MAX_OCSP),
    )


def _read_anchor(value: Reader) -> Anchor:
    value.members("chain_id contract block", "transaction state")
    block = value["block"]
    block.members("number hash")
    return Anchor(
        chain_id=value["chain_id"].integer(least=1),
        contract=value["contract"].hex(20, prefix="0x"),
        transaction=value.optional(
            "transaction", lambda transaction: transaction.hex(32, prefix="0x")
        ),
        block_number=block["number"].integer(),
        block_hash=block["hash"].hex(32, prefix="0x"),
        state=value.optional("state", _read_state),
    )


def _read_state(value: Reader) -> StateProof:
    value.members("header account storage")

    def nodes(value: Reader) -> tuple[bytes, ...]:
        return value.list(lambda node: node.hex(most=MAX_NODE_READ, prefix="0x"), MAX_NODES)

    return StateProof(
        header=value["header"].hex(most=MAX_HEADER, prefix="0x"),
        account=nodes(value["account"]),
        storage=nodes(value["storage"]),
    )


def _read_log(value: Reader) -> LogProof:
    value.members("statement index path checkpoint", "keys")
    return LogProof(
        statement=value["statement"].text(MAX_TEXT),
        index=value["index"].integer(),
        path=_read_path(value["path"]),
        checkpoint=value["checkpoint"].text(MAX_CHECKPOINT),
        keys=value.optional(
            "keys", lambda keys: keys.list(lambda note: note.text(MAX_KEY_NOTE), MAX_CHANGES)
        )
        or (),
    )


def read_hints(value: Reader) -> Hints:
    """Read the hints of a proof. Raises InvalidInput for anything else."""
    value.members("", "name size cid links")
    return Hints(
        name=value.optional("name", lambda name: name.text(MAX_HINT)),
        size=value.optional("size", lambda size: size.integer()),
        cid=value.optional("cid", lambda cid: cid.text(MAX_HINT)),
        links=value.optional(
            "links", lambda links: links.list(lambda link: link.text(MAX_HINT), MAX_LINKS)
        )
        or (),
    )
