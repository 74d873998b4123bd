"""What proofs are called beside their files, and files in proofs."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

PROOF_ENDING = ".proof.json"
DIRECT_ENDING = ".tsa"
NAME_MOST = 224
"""Bytes in a file's name that its proof's name repeats: the ending, and what a name grows by while
a file is written, have to fit into the 255 that file systems take."""
NAME_KEPT = 207
"""Bytes that are kept of a longer one, at most, before `~` and 16 hex digits of its SHA-256."""
_CONTINUES = range(0x80, 0xC0)
"""Bytes that go on with a character of UTF-8."""


def readable_name(path: Path) -> str:
    """Return a file's name as text, for hints: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path.name).decode(errors="replace")


def proof_name(name: str) -> str:
    """Return what the proof of a file is called: its name with the ending, or, if that is too long,
    the beginning of its name, `~`, 16 hex digits of its name's SHA-256, and the ending.
    """
    content = os.fsencode(name)
    if len(content) <= NAME_MOST:
        return name + PROOF_ENDING
    end = NAME_KEPT
    while end > NAME_KEPT - 4 and content[end] in _CONTINUES:
        end -= 1
    return f"{os.fsdecode(content[:end])}~{sha256(content).hexdigest()[:16]}{PROOF_ENDING}"


def direct_beside(proof: Path) -> Path:
    """Return where a token over a file itself is, or would be: beside the file's proof."""
    return proof.with_name(proof.name.removesuffix(PROOF_ENDING) + DIRECT_ENDING)


def proof_beside(file: Path) -> Path:
    """Return where the proof of `file` is, or would be, beside it; a person may have put that of a
    long name under all of it.
    """
    whole = Path(f"{file}{PROOF_ENDING}")
    if len(os.fsencode(file.name)) <= NAME_MOST or os.path.lexists(whole):
        return whole
    return file.with_name(proof_name(file.name))
