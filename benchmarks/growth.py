"""What a digest costs in a ledger that holds more and more: sealing on top of it, finding a proof
in it, and checking all of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.ground import WITNESSTREE, discard, missing_package
from benchmarks.measure import PEER, Side

if TYPE_CHECKING:
    from benchmarks.ground import Ground

SUBMIT = "seal on top of"
WARM, COLD, FIRST = (
    f"proof by digest, {state}, among" for state in ("warm", "cold", "first and cold")
)
FSCK = "fsck of"


def growth(ground: Ground) -> list[Side]:
    """Return a side a ledger: submit a million digests and close, without token and anchor, whose
    cost is a batch's and not a digest's."""
    sides = []
    for size in ground.sizes.steps:
        copy = ground.folder / f"copy-{size}"
        sides.append(
            Side(
                f"{SUBMIT} {size:,}",
                ground.timed("submit", copy, ground.digests(ground.sizes.more)),
                ground.sizes.more,
                "digests",
                before=partial(_copy, ground, size),
                after=partial(discard, copy),
                absent=no_room(ground, size),
                series="submit and close on top of a ledger",
                size=size,
            )
        )
    return sides


def look_up(ground: Ground) -> list[Side]:
    """Return, for each ledger, proofs by digest from a running process, with its files in the page
    cache and without; and pymerkle's."""
    sides = []
    for size in ground.sizes.steps:
        for name, state, asked in (
            (WARM, "warm", ground.sizes.warm),
            (COLD, "cold", ground.sizes.cold),
            (FIRST, "first", ground.sizes.cold),
        ):
            sides.append(
                Side(
                    f"{name} {size:,}",
                    ground.timed(
                        "look_up",
                        ground.folder / f"ledger-{size}",
                        ground.sample(size),
                        asked,
                        state,
                    ),
                    asked,
                    "proofs",
                    before=partial(ground.ledger, size),
                    absent=no_room(ground, size),
                    series=f"proof by digest, {state}",
                    size=size,
                )
            )
    return sides + [_pymerkle(ground, state) for state in ("warm", "cold")]


def fsck(ground: Ground) -> list[Side]:
    """Return the whole check of each ledger, as one process."""
    return [
        Side(
            f"{FSCK} {size:,}",
            [WITNESSTREE, "fsck", "--home", ground.folder / f"ledger-{size}"],
            size,
            "entries",
            tells=False,
            before=partial(ground.ledger, size),
            absent=no_room(ground, size),
            series="witnesstree fsck, whole process",
            size=size,
        )
        for size in ground.sizes.steps
    ]


def no_room(ground: Ground, size: int) -> str:
    """Return why the ledger of so many entries cannot be built: "" where it can, or is there."""
    return "" if (ground.folder / f"ledger-{size}").is_dir() else ground.no_room(size)


def _copy(ground: Ground, size: int) -> None:
    ground.copy(ground.ledger(size), f"copy-{size}")


def _pymerkle(ground: Ground, state: str) -> Side:
    kept, asked = ground.sizes.pymerkle_kept, ground.sizes.cold
    folder = ground.folder / "pymerkle"
    return Side(
        f"pymerkle, tree in SQLite, {state}, among {kept:,}",
        ground.timed("pymerkle_proofs", kept, asked, state, folder / "tree.db"),
        asked,
        "proofs",
        PEER,
        "by position, a path alone; its own cache of subtrees is "
        + ("empty" if state == "cold" else "kept from proof to proof"),
        before=partial(folder.mkdir, exist_ok=True),
        absent=missing_package("pymerkle"),
        series=f"pymerkle, {state}",
        size=kept,
    )
