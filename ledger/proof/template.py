"""Writes and reads the proofs of one batch one by one, much faster than each alone: what they share
is written, and read, once.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from hashlib import sha256

import rfc8785

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.proof.bundle import inclusion_of
from witnesstree.ledger.proof.proof import (
    MAX_PATH,
    MAX_PROOF,
    Hints,
    Proof,
    format_proof,
    members_of_hints,
    read_hints,
)

_HEAD = re.compile(
    rb'\{\n "format": "witnesstree-proof/1",\n "digest": "([0-9a-f]{64})",\n "inclusion": \{\n '
    rb' "position": (0|[1-9][0-9]{0,15}),\n'
    rb'  "size": ([0-9]+),\n  "root": "([0-9a-f]{64})",\n  "path": \[((?:\n  '
    rb' "[0-9a-f]{64}",?){0,%d})(?:\n  )?\]\n \},' % MAX_PATH
)
_BEFORE_HINTS = b'\n "hints": '
_BEFORE_CHECKSUM = b',\n "checksum": '
_VARYING = frozenset({"format", "digest", "inclusion", "hints", "checksum"})


class Template:
    """Writes the proofs of one batch byte for byte as `format_proof` does, and much faster: what
    they share is written once.
    """

    def __init__(self, shared: Proof) -> None:
        self.shared = shared
        self._inclusion = inclusion_of(shared)
        members = json.loads(format_proof(shared))
        same = {name: value for name, value in members.items() if name not in _VARYING}
        self._middle = b",\n".join(
            json.dumps({name: value}, indent=1, ensure_ascii=False).encode()[2:-2]
            for name, value in same.items()
        )
        canonical = {name: rfc8785.dumps(value) for name, value in sorted(same.items())}
        # In canonical form members are sorted: these are before "digest", and those behind
        # "inclusion".
        before = b"".join(
            b'"%s":%s,' % (name.encode(), value)
            for name, value in canonical.items()
            if name < "digest"
        )
        self._before = sha256(b"{" + before)
        self._after = (
            b"".join(
                b',"%s":%s' % (name.encode(), value)
                for name, value in canonical.items()
                if name > "inclusion"
            )
            + b"}"
        )

    def format(self, digest: bytes, position: int, path: tuple[bytes, ...], hints: Hints) -> bytes:
        """Return the proof file of one digest."""
        at, told = self._inclusion, members_of_hints(hints)
        size, root, nodes = at.size, at.root.hex(), [f'"{node.hex()}"' for node in path]
        compact = (
            f'"digest":"{digest.hex()}","format":"witnesstree-proof/1","hints":{rfc8785.dumps(told).decode()},'
            f'"inclusion":{{"path":[{",".join(nodes)}],"position":{position},"root":"{root}","size":{size}}}'
        )
        checksum = self._before.copy()
        checksum.update(compact.encode())
        checksum.update(self._after)
        listed = "[\n   " + ",\n   ".join(nodes) + "\n  ]" if nodes else "[]"
        head = (
            f'{{\n "format": "witnesstree-proof/1",\n "digest": "{digest.hex()}",\n "inclusion":'
            f' {{\n  "position": {position},\n  "size": {size},\n  "root": "{root}",\n  "path":'
            f" {listed}\n }},\n"
        )
        tail = (
            f',\n{json.dumps({"hints": told}, indent=1, ensure_ascii=False)[2:-2]},\n "checksum":'
            f' "{checksum.hexdigest()}"\n}}\n'
        )
        return head.encode() + self._middle + tail.encode()

    def parse(self, content: bytes) -> Proof | None:
        """Return the proof in `content` if it is one of this batch, as `format` writes it; None
        says nothing of it.

        It guesses the proof and believes the guess if writing it gives these very bytes: then
        `parse_proof` would return the same.
        """
        found = _HEAD.match(content) if len(content) <= MAX_PROOF else None
        start, end = content.rfind(_BEFORE_HINTS), content.rfind(_BEFORE_CHECKSUM)
        if not found or not found.end() <= start < end or int(found[2]) >= self._inclusion.size:
            return None
        try:
            hints = read_hints(
                load(message("document-hints"), content[start + len(_BEFORE_HINTS) : end])
            )
        except InvalidInput:
            return None
        digest, position = bytes.fromhex(found[1].decode()), int(found[2])
        path = tuple(
            bytes.fromhex(node.decode()) for node in re.findall(rb"[0-9a-f]{64}", found[5])
        )
        if self.format(digest, position, path, hints) != content:
            return None
        return replace(
            self.shared,
            digest=digest,
            inclusion=replace(self._inclusion, position=position, path=path),
            hints=hints,
        )


def shared_bytes(content: bytes) -> bytes:
    """Return the bytes of a proof file that are the same in all proofs of its batch as
    `format_proof` writes them; of others, anything.
    """
    found = _HEAD.match(content)
    return (
        content[found.start(3) : found.start(5)]
        + content[found.end() : content.rfind(_BEFORE_HINTS)]
        if found
        else b""
    )
