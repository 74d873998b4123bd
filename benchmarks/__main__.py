"""Measures this machine against peers in the same run, and prints medians and ratios.

    python -m benchmarks [--quick | --full] [--only NAME]… [--rounds N]

A ratio compares two figures of one run; a figure alone says more of the machine than of the code.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.document import Kept, format_document, read_results, spread, verdicts, write_results
from benchmarks.figures import FIGURES, Figure
from benchmarks.ground import FULL_STEP, PYTHON, QUICK, USUAL, Ground, Sizes, missing_package
from benchmarks.machine import describe
from benchmarks.measure import OURS, ROOT, Failed, Outcome, contest, run


def main(arguments: list[str] | None = None) -> int:
    """Measure, keep and write.

    Return 1 where a side of ours failed: one that cannot run here, or is slow, is no failure.
    """
    asked = _parse(arguments)
    asked.scratch.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="witnesstree-bench-", dir=asked.scratch) as temporary:
        # A quick run shows that everything runs; its figures are not worth keeping.
        docs = asked.docs or (Path(temporary) / "docs" if asked.quick else ROOT / "docs")
        results = read_results(docs / "benchmarks/results.json")
        if asked.write:
            write_document(docs)
            return 0
        ground = Ground(Path(temporary) / "ground", _sizes(asked))
        ground.folder.mkdir()
        machine, failed = describe(ground.folder), []
        for figure in FIGURES:
            if asked.only and figure.name not in asked.only:
                continue
            results[figure.name] = kept = _measure(
                figure, ground, machine, _command(asked), _scale(asked)
            )
            write_results(docs / "benchmarks/results.json", results)
            failed += [
                f"{figure.name}: {each.name}: {each.failure}"
                for each in kept.outcomes
                if each.failure and each.role == OURS
            ]
        write_document(docs)
    for line in failed:
        print(f"Failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick",
        action="store_true",
        help="small sizes, to see that everything runs; nothing is kept unless --docs is given",
    )
    size.add_argument(
        "--full",
        action="store_true",
        help="also a ledger of 100 million entries: 20 GB of disk and a long time",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[figure.name for figure in FIGURES],
        help="measure this figure alone; may be given often",
    )
    parser.add_argument(
        "--rounds", type=int, help=f"of each side  [default: {USUAL.rounds}, quick: {QUICK.rounds}]"
    )
    parser.add_argument(
        "--scratch",
        type=Path,
        default=ROOT / "build",
        help="where ledgers are built, on the disk that is to be measured  [default: build]",
    )
    parser.add_argument(
        "--docs",
        type=Path,
        help="write benchmarks.md and benchmarks/ into this folder  [default: docs]",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="measure nothing: write the document anew from the results that are kept",
    )
    asked = parser.parse_args(arguments)
    if asked.rounds is not None and asked.rounds < 1:
        parser.error("--rounds takes 1 or more")
    return asked


def _sizes(asked: argparse.Namespace) -> Sizes:
    sizes = QUICK if asked.quick else USUAL
    if asked.full:
        sizes = replace(sizes, steps=(*sizes.steps, FULL_STEP))
    return replace(sizes, rounds=asked.rounds or sizes.rounds)


def _scale(asked: argparse.Namespace) -> str:
    return "quick" if asked.quick else "full" if asked.full else "usual"


def _command(asked: argparse.Namespace) -> str:
    """Return the command as it can be given again, without the folders of this machine."""
    words = (
        ["--quick"] * asked.quick
        + ["--full"] * asked.full
        + [f"--only {name}" for name in asked.only or ()]
    )
    return " ".join(
        ["python -m benchmarks", *words, *([f"--rounds {asked.rounds}"] if asked.rounds else [])]
    )


def _measure(
    figure: Figure, ground: Ground, machine: dict[str, str], command: str, scale: str
) -> Kept:
    print(f"\n{figure.name}: {figure.title}", flush=True)
    try:
        outcomes = contest(
            figure.sides(ground),
            ground.sizes.rounds,
            ground.folder,
            lambda line: print(line, flush=True),
        )
    except Failed as error:
        outcomes = [
            Outcome(
                "what the figure needs",
                OURS,
                "",
                "",
                "",
                "",
                0,
                failure=str(error).replace(str(ground.folder), "…"),
            )
        ]
    kept = Kept(
        figure.name,
        f"{datetime.now(UTC):%Y-%m-%d}",
        command,
        machine,
        scale,
        ground.sizes.rounds,
        tuple(outcomes),
    )
    for outcome in outcomes:
        rate = spread(outcome.values("rate"))
        print(
            f"  {outcome.name}: {rate} {outcome.unit}/s"
            if rate
            else f"  {outcome.name}: {outcome.failure or outcome.absent}"
        )
    for line in verdicts(figure, kept):
        print(line)
    return kept


def write_document(docs: Path) -> None:
    """Write benchmarks.md from the results that are kept beside it, and the plots where matplotlib
    is installed."""
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "benchmarks.md").write_text(
        format_document(read_results(docs / "benchmarks/results.json")), encoding="utf-8"
    )
    if absent := missing_package("matplotlib"):
        print(f"No plots are drawn: {absent}", file=sys.stderr)
        return
    # In a process of its own: this one must stay small.
    ended = run(
        [PYTHON, "-m", "benchmarks.plots", docs / "benchmarks/results.json", docs / "benchmarks"],
        ROOT,
    )
    if ended.code:
        print(f"No plots are drawn: {ended.err.strip()[-300:]}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
