"""The figures by name, each with its goals: the one list that the command, the document and the
plots go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import growth, hashing, proofs, sealing, service, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.ground import Ground
    from benchmarks.measure import Outcome, Side


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure has to reach: the median over all rounds of `measure` is at least, or at most,
    `bound`."""

    text: str
    measure: Callable[[Mapping[str, Outcome]], list[float]]
    bound: float
    is_ceiling: bool = False
    needs_full: bool = False

    def is_met(self, median: float) -> bool:
        return median <= self.bound if self.is_ceiling else median >= self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One question, its sides, and the side that the others are compared with."""

    name: str
    title: str
    about: str
    sides: Callable[[Ground], list[Side]]
    goals: tuple[Goal, ...] = ()
    base: str = ""


def ratio(ours: str, peer: str) -> Callable[[Mapping[str, Outcome]], list[float]]:
    """Return the measure of how many times faster one side is than another, round by round."""

    def measure(outcomes: Mapping[str, Outcome]) -> list[float]:
        pairs = zip(_values(outcomes, ours, "rate"), _values(outcomes, peer, "rate"), strict=False)
        return [mine / theirs for mine, theirs in pairs]

    return measure


def ratio_to_best(ours: str, *peers: str) -> Callable[[Mapping[str, Outcome]], list[float]]:
    """Return the measure of how many times faster one side is than the fastest of several."""

    def measure(outcomes: Mapping[str, Outcome]) -> list[float]:
        rounds = list(
            zip(
                *(rates for peer in peers if (rates := _values(outcomes, peer, "rate"))),
                strict=False,
            )
        )
        return [
            mine / max(theirs)
            for mine, theirs in zip(_values(outcomes, ours, "rate"), rounds, strict=False)
        ]

    return measure


def metric(
    side: str, name: str, scale: float = 1
) -> Callable[[Mapping[str, Outcome]], list[float]]:
    """Return the measure of one metric of a side."""
    return lambda outcomes: [value * scale for value in _values(outcomes, side, name)]


def at_largest(prefix: str, name: str) -> Callable[[Mapping[str, Outcome]], list[float]]:
    """Return the measure of one metric at the largest ledger there is a figure for."""

    def measure(outcomes: Mapping[str, Outcome]) -> list[float]:
        sized = [
            outcome
            for outcome in outcomes.values()
            if outcome.name.startswith(prefix) and outcome.samples
        ]
        return max(sized, key=lambda outcome: outcome.size).values(name) if sized else []

    return measure


def evenness(prefix: str) -> Callable[[Mapping[str, Outcome]], list[float]]:
    """Return the measure of how far the cost of one thing lies from the middle between its dearest
    and its cheapest size: 0.2 is ± 20 %."""

    def measure(outcomes: Mapping[str, Outcome]) -> list[float]:
        rounds = zip(
            *(
                outcome.values("rate")
                for outcome in outcomes.values()
                if outcome.name.startswith(prefix) and outcome.samples
            ),
            strict=False,
        )
        costs = [[1 / rate for rate in rates] for rates in rounds if len(rates) > 1]
        return [(max(each) - min(each)) / (max(each) + min(each)) for each in costs]

    return measure


def _values(outcomes: Mapping[str, Outcome], side: str, name: str) -> list[float]:
    return outcomes[side].values(name) if side in outcomes else []


FIGURES = (
    Figure(
        "tree",
        "A tree in memory",
        "Leaves in, every level above them out, nothing read and nothing written. A tree of n"
        " leaves has n − 1 nodes, so a leaf costs a node: openssl's figure is how many nodes it"
        " could hash if hashing were all there is to do.",
        trees.tree,
        (
            Goal("a loop around hashlib, times", ratio(trees.NATIVE, trees.LOOP), 12),
            Goal(
                "what openssl could hash on two processors, share",
                ratio(trees.NATIVE, trees.SPEED),
                0.85,
            ),
        ),
        trees.NATIVE,
    ),
    Figure(
        "seal",
        "Sealing in bulk",
        "From a file of digests to the root, its token, its anchor and proofs that can be fetched,"
        " with the embedded authority and chain, all on disk: one whole process, its start counted."
        " After each round a proof is fetched, which is not timed. The peers do less, each in its"
        " own way; see the notes.",
        sealing.seal,
        (
            Goal("digests a second, raw", metric(sealing.RAW, "rate"), 2_000_000),
            Goal(
                "the faster of immudb's runs with sync, times",
                ratio_to_best(sealing.RAW, sealing.IMMUDB, sealing.IMMUDB_SAME),
                10,
            ),
            Goal("memory at its peak, MiB", metric(sealing.RAW, "peak_mib"), 512, is_ceiling=True),
        ),
        sealing.RAW,
    ),
    Figure(
        "seal-sizes",
        "Sealing a file of each size",
        "One file into a new ledger, the whole process again. Of a small file's cost, most is"
        " Python's start, the token and the anchor, which are a batch's.",
        sealing.cost_by_size,
    ),
    Figure(
        "growth",
        "Sealing on top of what is there",
        "As many digests again submitted and closed (entries, tree, index and signed checkpoint on"
        " disk; no token and no anchor) in a ledger that holds more and more.",
        growth.growth,
        (
            Goal(
                "cost of a digest from the smallest ledger to the largest, ±",
                evenness(growth.SUBMIT),
                0.2,
                is_ceiling=True,
                needs_full=True,
            ),
        ),
    ),
    Figure(
        "look-up",
        "A proof by digest",
        "In process, among digests that were all asked for before. Warm: the ledger is open and its"
        " files are in the page cache. Cold: none of them is (dropped by posix_fadvise before each"
        " look-up; a virtual disk may still have them in its host's). First and cold: the ledger"
        " was opened for it, so its database too is read anew. What was read from the disk is told"
        " with the figure.",
        growth.look_up,
        (
            Goal(
                "cold, in the largest ledger, 99th percentile, ms",
                at_largest(growth.COLD, "p99_ms"),
                5,
                is_ceiling=True,
                needs_full=True,
            ),
            Goal(
                "warm, in the largest ledger, 99th percentile, ms",
                at_largest(growth.WARM, "p99_ms"),
                0.5,
                is_ceiling=True,
                needs_full=True,
            ),
            Goal(
                "warm cost from the smallest ledger to the largest, ±",
                evenness(growth.WARM),
                0.2,
                is_ceiling=True,
                needs_full=True,
            ),
        ),
    ),
    Figure(
        "fsck",
        "Checking everything",
        "`witnesstree fsck` of a whole ledger, one process: every root, index entry, token and"
        " anchor derived again.",
        growth.fsck,
        (
            Goal(
                "entries a second in the largest ledger",
                at_largest(growth.FSCK, "rate"),
                5_000_000,
                needs_full=True,
            ),
        ),
    ),
    Figure(
        "export",
        "Every proof of a batch",
        "One whole process.",
        proofs.export,
        (Goal("proofs a second into one file", metric(proofs.BULK, "rate"), 300_000),),
    ),
    Figure(
        "verify",
        "Verifying",
        "Start to end with the home's trust, one process a round; and one proof judged again and"
        " again in a process that runs already.",
        proofs.verify,
        (
            Goal(
                "one file from start to end, s",
                metric(proofs.ONE, "seconds"),
                0.35,
                is_ceiling=True,
            ),
            Goal(
                "in process, mean, ms a proof",
                lambda outcomes: [
                    1000 / rate for rate in _values(outcomes, proofs.IN_PROCESS, "rate")
                ],
                5,
                is_ceiling=True,
            ),
            Goal("a folder, files a second", metric(proofs.FOLDER, "rate"), 2000),
        ),
    ),
    Figure(
        "hashing",
        "Hashing files",
        "From the page cache. openssl uses one processor; for many files, so would a shell script"
        " around it.",
        hashing.hashing,
        (
            Goal(
                "one large file: what openssl makes of it, share",
                ratio(hashing.ONE, hashing.OPENSSL_ONE),
                0.95,
            ),
            Goal(
                "many files: what one openssl makes of them, times",
                ratio(hashing.MANY, hashing.OPENSSL_MANY),
                1.8,
            ),
            Goal(
                "many files: what one openssl makes of one large file, times",
                ratio(hashing.MANY, hashing.OPENSSL_ONE),
                1.8,
            ),
        ),
    ),
    Figure(
        "service",
        "The service",
        "Over HTTP, on one machine with wrk, which takes a part of it: durable when acknowledged."
        " Tessera's batching is 256 entries or 100 ms, which was its best here.",
        service.service,
        (
            Goal(
                "one digest a request, 512 connections: Tessera, times",
                ratio(service.SINGLE, service.TESSERA_SINGLE),
                2,
            ),
            Goal(
                "one digest a request, 1,024 connections: Tessera, times",
                ratio(service.SINGLE_MANY, service.TESSERA_MANY),
                2,
            ),
            Goal("packed, digests a second", metric(service.PACKED, "rate"), 2_000_000),
            Goal("as JSON, digests a second", metric(service.JSON, "rate"), 800_000),
            Goal(
                "with sealing beside it, digests a second",
                metric(service.SUSTAINED, "rate"),
                600_000,
            ),
        ),
        service.SINGLE,
    ),
)
