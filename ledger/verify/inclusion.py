"""Steps 2 and 3: the digest is the one that the proof is for, and its path leads to the root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Check, failed, passed
from witnesstree.ledger.tree.tree import root_from_path

if TYPE_CHECKING:
    from witnesstree.ledger.proof.proof import Proof


def judge_digest(digest: bytes, proof: Proof) -> Check:
    """Judge whether the proof is for `digest`."""
    if digest == proof.digest:
        return passed("digest", "digest-matches", digest=digest)
    return failed("digest", "digest-differs", found=digest, expected=proof.digest)


def judge_path(
    name: str, leaf: bytes, proof: Proof, position: int, path: tuple[bytes, ...]
) -> Check:
    """Judge whether `path` leads from `leaf` at `position` to the root of the proof."""
    assert proof.inclusion
    size, root = proof.inclusion.size, proof.inclusion.root
    try:
        implied = root_from_path(leaf, position, size, path)
    except InvalidInput as error:
        return failed(name, "path-impossible", error=error)
    if implied != root:
        return failed(name, "path-to-other-root", position=position, found=implied, root=root)
    return passed(name, "path-to-root", count=len(path), position=position, size=size, root=root)
