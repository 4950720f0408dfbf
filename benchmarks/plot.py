"""Plots of a run: how long each contender takes beside torch, and what a translation costs by the size of the model."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, NullFormatter

from benchmarks.results import Measured, Model, Results
from benchmarks.spread import Spread

INCHES_A_MODEL = 1.1
LEAST_WIDTH = 7.0
HEIGHT = 3.2
DPI = 150


def plot(results: Results, file: Path) -> None:
    """Draw a run into a file of any format that matplotlib writes."""
    width = max(LEAST_WIDTH, INCHES_A_MODEL * len(results.models))
    figure = Figure(figsize=(width, 3 * HEIGHT), dpi=DPI, layout="constrained")
    grid = figure.add_gridspec(3, 2)
    bars(figure.add_subplot(grid[0, :]), results, "forward")
    bars(figure.add_subplot(grid[1, :]), results, "step")
    seconds(figure.add_subplot(grid[2, 0]), results)
    lines(figure.add_subplot(grid[2, 1]), results)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def bars(axes: Axes, results: Results, measure: str) -> None:
    """The ratio of each contender's time to the reference's: a group of bars for each model, with quartiles."""
    names = [name for name in results.contenders if name != results.reference]
    width = 0.8 / max(len(names), 1)
    for number, name in enumerate(names):
        found = [
            (place, ratio) for place, model in enumerate(results.models) if (ratio := _ratio(model, name, measure))
        ]
        places = [place + (number - (len(names) - 1) / 2) * width for place, _ in found]
        medians = [ratio.median for _, ratio in found]
        spread = [
            [ratio.median - ratio.low for _, ratio in found],
            [ratio.high - ratio.median for _, ratio in found],
        ]
        heights = [median - 1 for median in medians]  # from the reference: upwards is slower
        axes.bar(places, heights, width, bottom=1, yerr=spread, label=name, error_kw={"linewidth": 0.8})
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.set_xticks(range(len(results.models)), [model.name for model in results.models], rotation=20, ha="right")
    axes.set_ylabel(f"{measure}: time, of {results.reference}'s")
    if names:
        axes.legend(fontsize="small", ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)


def seconds(axes: Axes, results: Results) -> None:
    """Seconds of torch.export and of all else against the nodes of the graph."""
    models = [
        (model.name, model.sizes.nodes, model.translating)
        for model in results.models
        if model.sizes and model.translating
    ]
    nodes = [count for _, count, _ in models]
    axes.scatter(nodes, [times.export.median for _, _, times in models], label="torch.export", marker="x")
    axes.scatter(nodes, [times.own.median for _, _, times in models], label="translating")
    _labelled(axes, [(name, count, times.own.median) for name, count, times in models])
    axes.set_ylabel("seconds")
    axes.legend(fontsize="small")


def lines(axes: Axes, results: Results) -> None:
    """Lines of the emitted file against the nodes of the graph."""
    points = [(model.name, model.sizes.nodes, model.sizes.lines) for model in results.models if model.sizes]
    axes.scatter([nodes for _, nodes, _ in points], [count for _, _, count in points])
    _labelled(axes, [(name, nodes, float(count)) for name, nodes, count in points])
    axes.set_ylabel("lines emitted")


def _labelled(axes: Axes, points: list[tuple[str, int, float]]) -> None:
    for name, x, y in points:
        axes.annotate(name, (x, y), fontsize="x-small", xytext=(3, 3), textcoords="offset points")
    axes.set_xlabel("nodes of the exported graph")
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.2)
    axes.set_ylim(bottom=0)


def _ratio(model: Model, name: str, measure: str) -> Spread | None:
    measured = getattr(model.contender(name), measure, None)
    return measured.ratio if isinstance(measured, Measured) else None
