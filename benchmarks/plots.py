"""Cost against size, as SVG: drawn from results alone, so that the same results give the same file.
No other module imports matplotlib."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.document import Kept, has_plot, read_results
from benchmarks.figures import FIGURES

if TYPE_CHECKING:
    from benchmarks.measure import Outcome

DECADE = 10

mpl.use("svg")
# Names inside the file are taken from this salt, and text stays text: neither the day nor the
# machine's fonts are in it.
mpl.rcParams.update(
    {
        "svg.hashsalt": "witnesstree",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "axes.grid": True,
        "grid.alpha": 0.3,
    }
)


def draw(results: dict[str, Kept], folder: Path) -> list[Path]:
    """Write a plot for each figure that was measured at several sizes, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _plot(figure.title, results[figure.name], folder)
        for figure in FIGURES
        if figure.name in results and has_plot(results[figure.name])
    ]


def _plot(title: str, kept: Kept, folder: Path) -> Path:
    from matplotlib.figure import Figure

    series: dict[str, list[Outcome]] = {}
    for outcome in kept.outcomes:
        if outcome.series and outcome.samples:
            series.setdefault(outcome.series, []).append(outcome)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, outcomes in series.items():
        sizes = [outcome.size for outcome in outcomes]
        costs = [[1e6 / rate for rate in outcome.values("rate")] for outcome in outcomes]
        middles = [statistics.median(each) for each in costs]
        below = [middle - min(each) for middle, each in zip(middles, costs, strict=True)]
        above = [max(each) - middle for middle, each in zip(middles, costs, strict=True)]
        axes.errorbar(sizes, middles, yerr=[below, above], marker="o", capsize=3, label=name)
    axes.set(
        xscale="log",
        yscale="log",
        title=title,
        xlabel="entries",
        ylabel="microseconds for each, median and range",
    )
    # At least a power of ten, so that what is nearly the same everywhere looks so.
    low, high = axes.get_ylim()
    room = max(1, (DECADE / (high / low)) ** 0.5)
    axes.set_ylim(low / room, high * room)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.10g}")
        axis.set_minor_formatter(NullFormatter())
    axes.legend()
    path = folder / f"{kept.name}.svg"
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    # matplotlib leaves blanks at the ends of lines, which every editor would take away.
    path.write_text(
        "\n".join(line.rstrip() for line in path.read_text(encoding="utf-8").splitlines()) + "\n",
        encoding="utf-8",
    )
    return path


if __name__ == "__main__":
    draw(read_results(Path(sys.argv[1])), Path(sys.argv[2]))
