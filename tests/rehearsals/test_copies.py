"""Parts of a home, or all of it, are put back from copies of any age, onto the newest of the rest:
nothing that was acknowledged is lost without a word, and no size of the log has two checkpoints.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from chainworld import in_child
from copies import copy, put_back
from fakes import digests

from witnesstree.anchor.fsck import check_embedded
from witnesstree.anchor.publishing import publish
from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.tsa.local import trusted_root
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.ledger.base.errors import WitnesstreeError
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.log.note import parse_note
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.recovery import recover
from witnesstree.ledger.work.rotation import rotate
from witnesstree.ledger.work.sealing import Ledger

pytestmark = [pytest.mark.rehearsal, pytest.mark.timeout(1200)]

SEED = 20261130
CASES = 60
"""Copies that are put back on each database, after each part alone at some age and the whole."""
DATABASE, PARTS = "database", ("batches", "keys", "chain", "authority")
ORIGIN = "ledger.test/copies"


@dataclass(slots=True)
class Past:
    """What a ledger has done: entries with a receipt, checkpoints by size, and how long a log it
    published."""

    entries: list[bytes] = field(default_factory=list)
    checkpoints: dict[int, str] = field(default_factory=dict)
    published: int = 0


def submit(count: int) -> Callable[[Ledger, Path, Past], object]:
    def act(ledger: Ledger, _public: Path, past: Past) -> None:
        entries = digests(f"entry {len(past.entries)}", count)
        ledger.submit(b"".join(entries))
        past.entries += entries

    return act


def show(ledger: Ledger, public: Path, past: Past) -> None:
    past.published = publish(ledger, public).new


def close(ledger: Ledger, _public: Path, _past: Past) -> None:
    ledger.close()


def seal(ledger: Ledger, _public: Path, _past: Past) -> None:
    ledger.close()
    ledger.outbox.work()


def change_key(ledger: Ledger, _public: Path, _past: Past) -> None:
    rotate(ledger)


STEPS = (
    *(submit(2), seal, submit(1), show, submit(3), close, change_key, submit(1), seal, show),
    *(submit(1), submit(1), seal, submit(2), seal, change_key, submit(2), seal, show, submit(1)),
)


@dataclass(frozen=True, slots=True)
class Case:
    """Each part that is put back, and how many steps its copy has seen."""

    parts: tuple[tuple[str, int], ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing in the home is left that could tell: both places of what was
        acknowledged are older."""
        return {DATABASE, "batches"} <= {part for part, _ in self.parts}


def cases() -> Iterator[Case]:
    random, everything = Random(SEED), (DATABASE, *PARTS)
    for part in everything:
        for age in random.sample(range(len(STEPS)), 4):
            yield Case(((part, age),))
    for age in random.sample(range(len(STEPS)), 8):
        yield Case(tuple((part, age) for part in everything))
    several = [each for size in (2, 3, 4) for each in combinations(everything, size)]
    for _ in range(CASES):
        chosen = random.choice(several)
        age = random.randrange(len(STEPS))
        is_one_age = random.random() < 1 / 2
        yield Case(
            tuple((part, age if is_one_age else random.randrange(len(STEPS))) for part in chosen)
        )


@dataclass(slots=True)
class Copies:
    """A home, what was copied of it before each step, and its newest state last."""

    folder: Path
    database: Path | str
    files: list[Path] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)

    def take(self) -> None:
        place = self.folder.parent / "copies" / f"{len(self.files)}"
        shutil.copytree(self.folder, place)
        self.files.append(place)
        self.rows.append(copy(self.database))

    def lay_out(self, case: Case) -> None:
        """Put the newest of all in its place, and then the copies of a case."""
        shutil.rmtree(self.folder)
        is_all = len(case.parts) == 1 + len(PARTS)
        shutil.copytree(self.files[case.parts[0][1] if is_all else -1], self.folder)
        put_back(self.database, self.rows[-1])
        for part, age in case.parts:
            if part == DATABASE:
                put_back(self.database, self.rows[age])
            else:
                shutil.rmtree(self.folder / part)
                shutil.copytree(self.files[age] / part, self.folder / part)


def signed(ledger: Ledger) -> dict[int, str]:
    with ledger.metadata.read() as transaction:
        return {
            size: parse_note(transaction.checkpoint(size)).text
            for size in range(transaction.checkpoint_count())
        }


def look(home: Path, past: Past, case: Case, tell: Callable[[Any], object]) -> None:
    tell([*problems(home, past, case)])


def problems(home: Path, past: Past, case: Case) -> Iterator[str]:
    """Yield what no owner could live with after copies were put back."""
    said: list[str] = []
    new: list[bytes] = []
    checkpoints: dict[int, str] = {}

    def attempt(act: Callable[[Ledger], object]) -> None:
        """Do something, and keep a refusal."""
        try:
            with open_ledger(home) as ledger:
                act(ledger)
                checkpoints.update(signed(ledger))
        except WitnesstreeError as error:
            said.append(error.message.code)

    def more(ledger: Ledger) -> None:
        entries = digests(f"new {len(new)}", 2)
        ledger.submit(b"".join(entries))
        new.extend(entries)

    def check(ledger: Ledger) -> None:
        trust = Trust((trusted_root(ledger.home.authority),))
        said.extend(
            each.fault.code for each in (*check_ledger(ledger, trust), *check_embedded(ledger))
        )

    must_know = False
    with suppress(WitnesstreeError), open_ledger(home) as ledger:
        must_know = bool(ledger.home.published_folders()) and past.published > max(signed(ledger))
    writing = (more, lambda ledger: ledger.close(), lambda ledger: ledger.outbox.work(), rotate)
    for act in (*writing, check, recover, *writing, check):
        attempt(act)
    for size, text in past.checkpoints.items():
        # Where all of it is older, only what it published tells.
        is_known = not case.is_whole or (must_know and size <= past.published)
        if is_known and checkpoints.get(size, text) != text:
            yield f"another checkpoint of size {size}: {said}"
    missing = []
    with suppress(WitnesstreeError), open_ledger(home) as ledger:
        missing = unproven(ledger, [*past.entries, *new])
        if new and len(ledger.find(new)) < len(new):
            yield f"entries that were taken after the copy came back are gone: {said}"
    if missing and not said and (not case.is_whole or must_know):
        yield f"{len(missing)} of {len(past.entries) + len(new)} entries are lost without a word"


def unproven(ledger: Ledger, entries: Sequence[bytes]) -> list[bytes]:
    found = []
    for entry in entries:
        try:
            proof = ledger.proof(entry)
            trusted = home_trust(ledger.home, proof) or Trust()
            content = format_proof(proof)
            if verify(entry, content, trusted, datetime.now(UTC)).verdict is Verdict.VERIFIED:
                continue
        except WitnesstreeError:
            pass
        found.append(entry)
    return found


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.real("postgres"))]
)
def test_copies_of_every_age_are_put_back(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import_module("witnesstree.anchor.evm.local")  # the chain's machine, before the forks
    home, public, url = tmp_path / "home", tmp_path / "public", None
    if kind == "postgresql":
        server = request.getfixturevalue("postgres")
        url = server.url(server.new_schema())
    make_home(home, ORIGIN, url)
    copies, past = Copies(home, url or home / "ledger.db"), Past()
    for step in STEPS:
        copies.take()
        with open_ledger(home) as ledger:
            step(ledger, public, past)
            past.checkpoints.update(signed(ledger))
    copies.take()
    wrong, count = [], 0
    for case in cases():
        count += 1
        copies.lay_out(case)
        said, status = in_child(partial(look, home, past, case))()
        if (said, status) != ([[]], 0):
            wrong.append(f"{case.parts}: {said or status}")
    assert not wrong, f"{len(wrong)} of {count} cases:\n" + "\n".join(wrong)
