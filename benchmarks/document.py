"""Results as they are kept, and docs/benchmarks.md as it is written from them.

Nothing here measures.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.figures import FIGURES, Figure, Goal
from benchmarks.measure import OURS, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FEWEST_ROUNDS = 5
"""A median of fewer says little; the document says so."""

HEAD = """\
# Benchmarks

Written by `make bench` from [benchmarks/results.json](benchmarks/results.json), which keeps every sample. `python -m benchmarks --write` writes it
anew and measures nothing.

A figure alone says more of the machine than of the code: **compare within a figure, never between machines.** Each side of a figure is a process of
its own, and the sides take turns round by round, so that what else the machine does hits all alike. What is given is the median, and behind it the
lowest and the highest round. A ratio is how many times as fast the figure's first side is, taken round by round. Memory is the peak of the largest
process.

`make bench` takes some twenty minutes and 10 GB of disk. `python -m benchmarks --only NAME` measures one figure again and leaves the others as
they are; `--full` adds a ledger of 100 million entries, for which it needs 30 GB. A side that a machine cannot run says why, and the rest goes on.
"""  # noqa: E501 - a paragraph of Markdown a line


@dataclass(frozen=True, slots=True)
class Kept:
    """A figure as it was measured: when, on what, by which command."""

    name: str
    date: str
    command: str
    machine: dict[str, str]
    scale: str
    """quick, usual or full."""
    rounds: int
    outcomes: tuple[Outcome, ...]

    def by_name(self) -> dict[str, Outcome]:
        """Return the outcomes by their sides' names."""
        return {outcome.name: outcome for outcome in self.outcomes}


def read_results(path: Path) -> dict[str, Kept]:
    """Return the figures in a results file, none where there is no file.

    The file is our own: what it lacks is an error of whoever edited it.
    """
    if not path.is_file():
        return {}
    members = json.loads(path.read_text(encoding="utf-8"))
    return {name: _kept(name, each) for name, each in members.items()}


def _kept(name: str, members: dict[str, Any]) -> Kept:
    outcomes = tuple(
        Outcome(**{**outcome, "samples": tuple(outcome["samples"])})
        for outcome in members["outcomes"]
    )
    return Kept(
        name,
        members["date"],
        members["command"],
        members["machine"],
        members["scale"],
        members["rounds"],
        outcomes,
    )


def write_results(path: Path, results: dict[str, Kept]) -> None:
    """Write the figures, in the order of the document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members = {
        figure.name: _members(results[figure.name]) for figure in FIGURES if figure.name in results
    }
    path.write_text(json.dumps(members, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _members(kept: Kept) -> dict[str, Any]:
    members = asdict(kept)
    del members["name"]
    for outcome in members["outcomes"]:
        outcome["samples"] = [
            {name: _short(value) for name, value in sample.items()} for sample in outcome["samples"]
        ]
    return members


def _short(value: float) -> float:
    # Six digits are more than any clock of these gives.
    return float(f"{value:.6g}")


def format_document(results: dict[str, Kept]) -> str:
    """Return docs/benchmarks.md."""
    parts = [HEAD, *_goals(results), *_machines(results)]
    for figure in FIGURES:
        parts += _section(figure, results.get(figure.name))
    return "\n".join(parts)


def _goals(results: dict[str, Kept]) -> Iterator[str]:
    yield "## Goals\n\n| figure | goal | | measured | |\n|---|---|---|---|---|"
    for figure in FIGURES:
        for goal in figure.goals:
            kept = results.get(figure.name)
            values = goal.measure(kept.by_name()) if kept else []
            place = f"[{figure.name}](#{anchor(figure.title)})"
            yield (
                f"| {place} | {goal.text} | {_bound(goal)} | {spread(values)} |"
                f" {_verdict(goal, kept, values)} |"
            )
    yield ""


def _bound(goal: Goal) -> str:
    return f"{'≤' if goal.is_ceiling else '≥'} {number(goal.bound)}"


def _verdict(goal: Goal, kept: Kept | None, values: Sequence[float]) -> str:
    if kept is None or not values:
        return "cannot be said: not measured"
    if kept.scale == "quick":
        return "cannot be said: measured at small sizes"
    met = "**met**" if goal.is_met(statistics.median(values)) else "**not met**"
    return (
        f"{met} so far: the goal is about 100 million, which `--full` measures"
        if goal.needs_full and kept.scale != "full"
        else met
    )


def anchor(title: str) -> str:
    """Return a heading's place in the page, as Markdown readers name it."""
    return title.lower().replace(" ", "-").replace(",", "")


def _machines(results: dict[str, Kept]) -> Iterator[str]:
    """Write each machine once, with the figures that were measured on it."""
    yield "## Machine\n"
    seen: dict[str, list[str]] = {}
    for figure in FIGURES:
        if kept := results.get(figure.name):
            seen.setdefault(json.dumps(kept.machine), []).append(kept.name)
    for text, names in seen.items():
        yield f"For {', '.join(names)}:\n\n| | |\n|---|---|"
        yield from (f"| {name} | {_cell(value)} |" for name, value in json.loads(text).items())
        yield ""


def _section(figure: Figure, kept: Kept | None) -> Iterator[str]:
    yield f"## {figure.title}\n\n{figure.about}\n"
    if kept is None:
        yield "Not measured yet.\n"
        return
    few = (
        f" Fewer than {FEWEST_ROUNDS} rounds: take it for an indication."
        if kept.rounds < FEWEST_ROUNDS
        else ""
    )
    yield f"Measured on {kept.date} by `{kept.command}`, {kept.rounds} rounds.{few}\n"
    yield from _table(figure, kept)
    if has_plot(kept):
        yield f"![{figure.title}: cost against size](benchmarks/{figure.name}.svg)\n"
    yield "<details><summary>Commands</summary>\n"
    yield from (f"- {outcome.name}: `{outcome.command}`" for outcome in kept.outcomes)
    yield "\n</details>\n"


def _table(figure: Figure, kept: Kept) -> Iterator[str]:
    outcomes = kept.by_name()
    base = outcomes.get(figure.base)
    has_latency = any(outcome.values("p99_ms") for outcome in kept.outcomes)
    has_peak = any(outcome.values("peak_mib") for outcome in kept.outcomes)
    heads = [
        "",
        "of",
        "a second",
        *(["ratio"] if base and base.samples else []),
        *(["median, ms", "99th percentile, ms"] if has_latency else []),
    ]
    heads += [*(["memory, MiB"] if has_peak else []), "note"]
    yield "| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|"
    for outcome in kept.outcomes:
        name = f"**{outcome.name}**" if outcome.role == OURS else outcome.name
        if not outcome.samples:
            reason = (
                f"failed: {outcome.failure}"
                if outcome.failure
                else f"not measured: {outcome.absent}"
            )
            yield "| " + " | ".join([name, *[""] * (len(heads) - 2), _cell(reason)]) + " |"
            continue
        cells = [
            name,
            f"{statistics.median(outcome.values('count')):,.0f}",
            f"{spread(outcome.values('rate'))} {outcome.unit}",
        ]
        if base and base.samples:
            pairs = zip(base.values("rate"), outcome.values("rate"), strict=False)
            cells.append(
                "" if outcome is base else spread([ours / theirs for ours, theirs in pairs])
            )
        cells += (
            [spread(outcome.values(metric)) for metric in ("p50_ms", "p99_ms")]
            if has_latency
            else []
        )
        cells += [spread(outcome.values("peak_mib"))] if has_peak else []
        reads = outcome.values("read_kib")
        note = "; ".join(
            part
            for part in (
                outcome.note,
                (
                    f"{number(statistics.median(reads))} KiB read from the disk for each"
                    if reads
                    else ""
                ),
            )
            if part
        )
        yield "| " + " | ".join([*cells, _cell(note)]) + " |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def has_plot(kept: Kept) -> bool:
    """Tell whether a figure was measured at several sizes."""
    return (
        len({outcome.size for outcome in kept.outcomes if outcome.series and outcome.samples}) > 1
    )


def spread(values: Sequence[float]) -> str:
    """Return the median, and behind it the lowest and the highest value."""
    if not values:
        return ""
    middle = number(statistics.median(values))
    return (
        middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"
    )


def number(value: float) -> str:
    """Return a number with three digits that count, in full and with thousands apart."""
    if value == 0:
        return "0"
    short = float(f"{value:.3g}")
    if abs(short) >= 100:
        return f"{short:,.0f}"
    text = f"{short:.6f}"
    return text.rstrip("0").rstrip(".")


def verdicts(figure: Figure, kept: Kept) -> Iterator[str]:
    """Yield a line a goal, for whoever watches the measurement."""
    for goal in figure.goals:
        values = goal.measure(kept.by_name())
        yield (
            f"  goal: {goal.text} {_bound(goal)}: {spread(values) or 'no figure'};"
            f" {_verdict(goal, kept, values).replace('**', '')}"
        )
