"""What has to be so after a crash or a power loss, whatever it met: asked of the home in the folder
`home`, beside the files and the published log that its commands made."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from commandline import call

from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.tsa import local as tsa_local
from witnesstree.anchor.wiring import open_ledger
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.log.note import parse_checkpoint, parse_note
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.store.home import open_home
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify

HOME = ("--home", "home")
INIT = ("init", *HOME, "--origin", "ledger.test/power")
PROOFS = 20
"""Proofs of entries that are verified, at most."""


@dataclass(frozen=True, slots=True)
class Promised:
    """What somebody may rely on at a moment: the home, entries, proofs, and that no checkpoint that
    was seen has another of its size."""

    is_made: bool
    entries: frozenset[bytes]
    proofs: frozenset[str]
    checkpoints: frozenset[str]


def problems(root: Path, promised: Promised, *, is_older: bool) -> Iterator[str]:
    """Yield what is wrong after the power came back."""
    os.chdir(root)
    if not Path("home").exists():
        if promised.is_made:
            yield "the home is gone"
        # A key of the usual size takes up to a second to find, which is much for so many homes.
        tsa_local._KEY_BITS = 2048
        yield from failed(INIT)
    # A run goes on where the other stopped, and more is sealed.
    Path("new").write_text("new")
    yield from failed(("recover", *HOME) if is_older else ("fsck", *HOME))
    for command in (
        ("seal", *HOME),
        ("seal", "new", *HOME),
        ("log", "publish", "public", *HOME),
        ("fsck", *HOME),
        ("audit", "public", *HOME),
        *(("verify", name[0], "--proof", name, *HOME) for name in promised.proofs),
    ):
        yield from failed(command)
    yield from lost(promised.entries)
    yield from signed_twice(promised.checkpoints)


def failed(command: tuple[str, ...]) -> Iterator[str]:
    done = call(*command)
    if done.code:
        yield f"{' '.join(command[:2])} ends with {done.code}: {done.text} {done.talk}"


def lost(entries: frozenset[bytes]) -> Iterator[str]:
    home = open_home(Path("home"))
    with open_ledger(home.folder) as ledger:
        for each in sorted(entries - set(ledger.find(list(entries)))):
            yield f"{each.hex()} is lost"
            return
        for each in sorted(entries)[:PROOFS]:
            proof = ledger.proof(each)
            trust = home_trust(home, proof) or Trust()
            found = verify(each, format_proof(proof), trust, datetime.now(UTC)).verdict
            if found is not Verdict.VERIFIED:
                yield f"the proof of {each.hex()} is {found.value}"


def signed_twice(seen: frozenset[str]) -> Iterator[str]:
    with open_ledger(Path("home")) as ledger, ledger.metadata.read() as transaction:
        known = {
            size: parse_note(transaction.checkpoint(size)).text
            for size in range(transaction.checkpoint_count())
        }
    for note in seen:
        size = parse_checkpoint(parse_note(note).text).size
        if known.get(size) != parse_note(note).text:
            yield f"another checkpoint of size {size} was seen before"
