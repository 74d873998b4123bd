"""The service under load, beside Tessera's POSIX log under the same: wrk asks both."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.ground import PYTHON, discard, missing
from benchmarks.load import TESSERA
from benchmarks.measure import PEER, Side, find_program

if TYPE_CHECKING:
    from benchmarks.ground import Ground

SINGLE = "one digest a request, 512 connections"
SINGLE_MANY = "one digest a request, 1,024 connections"
TESSERA_SINGLE = "Tessera, one entry a request, 512 connections"
TESSERA_MANY = "Tessera, one entry a request, 1,024 connections"
PACKED = "1,000 digests a request, packed"
JSON = "1,000 digests a request, as JSON"
SUSTAINED = "1,000 digests a request, packed, with sealing beside it"


def service(ground: Ground) -> list[Side]:
    """Return the sides of the figure."""
    return [
        _side(ground, SINGLE, "single", 512),
        _side(ground, TESSERA_SINGLE, "tessera", 512),
        _side(ground, SINGLE_MANY, "single", 1024),
        _side(ground, TESSERA_MANY, "tessera", 1024),
        _side(ground, PACKED, "packed", 256),
        _side(ground, JSON, "json", 256),
        _side(ground, SUSTAINED, "sealing", 64),
    ]


def _side(ground: Ground, name: str, what: str, connections: int) -> Side:
    folder = ground.folder / "service"
    is_peer = what == "tessera"
    absent = "" if find_program("wrk") else "wrk is not installed: Debian has it"
    if is_peer:
        absent = absent or missing(TESSERA, "benchmarks/peers/tessera.sh")
    return Side(
        name,
        [PYTHON, "-m", "benchmarks.load", what, folder, str(ground.sizes.load), str(connections)],
        1,
        "digests",
        PEER if is_peer else "ours",
        "no key is asked for, nothing is looked up by digest, stamped or anchored"
        if is_peer
        else "what was acknowledged is compared with what the ledger holds",
        before=partial(discard, folder),
        after=partial(discard, folder),
        absent=absent,
    )
