"""Results and comparisons as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.contenders import MEASURES
from benchmarks.results import Contender, Measured, Model, Results
from benchmarks.verdicts import BETTER, SAME, WORSE, Comparison, shown

STYLES = {WORSE: "bold red", BETTER: "green", SAME: ""}


def of_model(model: Model) -> RenderableType:
    """What was found on one model."""
    parts: list[RenderableType] = [Text(f"\n{model.name}", style="bold")]
    if model.failure:
        parts.append(Text(model.failure, style="red"))
    parts += map(Text, _facts(model))
    if model.contenders:
        parts.append(_contenders(model))
    return Group(*parts)


def _facts(model: Model) -> Iterator[str]:
    if sizes := model.sizes:
        yield (
            f"{sizes.parameters / 1e6:.1f} M parameters, {sizes.nodes} nodes: {sizes.lines} lines, {sizes.classes} classes"
        )
    if times := model.translating:
        stages = ", ".join(f"{stage} {spread.median:.2f}" for stage, spread in times.stages.items())
        yield f"torch.export {times.export.median:.2f} s; translating {times.own.median:.2f} s ({stages})"
        yield f"in yardsticks of {times.yardstick.median:.3f} s: torch.export {shown(times.export_ratio)}, translating {shown(times.own_ratio)}"
    if memory := model.memory:
        yield f"memory of translating: peak {memory.peak:.0f} MB, {memory.growth:.0f} MB above what was there"
    if binding := model.binding:
        memory = binding.memory
        yield (
            f"binding: first {binding.first:.2f} s, then {binding.seconds.median:.2f} s, {shown(binding.ratio)} of reading; "
            f"peak {memory.peak:.0f} MB, {memory.growth:.0f} MB above what was there"
        )


def _contenders(model: Model) -> Table:
    table = Table("", "forward, ms", "of torch's", "compiled, s", "step, ms", "of torch's", "compiled, s", "error", "")
    for contender in model.contenders:
        error = "" if contender.error is None else f"{contender.error:.1e}"
        cells = (*_cells(contender.forward), *_cells(contender.step), error)
        table.add_row(*map(Text, (contender.name, *cells, contender.problem)))
    return table


def _cells(measured: Measured | None) -> tuple[str, str, str]:
    if measured is None:
        return "", "", ""
    return f"{measured.seconds.median * 1e3:.3g}", shown(measured.ratio), f"{measured.compiling:.1f}"


def summary(results: Results) -> RenderableType:
    """A line for each model: what translating costs, and the ratios of all contenders to the reference."""
    names = [name for name in results.contenders if name != results.reference]
    costs = ("parameters", "nodes", "lines", "classes", "torch.export, s", "translating, s", "memory, MB")
    table = Table("model", *costs, *names, title=f"translations, and times of forward / step of {results.reference}'s")
    for model in results.models:
        ratios = [" / ".join(_ratio(model.contender(name), measure) for measure in MEASURES) for name in names]
        table.add_row(*map(Text, (model.name, *_costs(model), *ratios)), style="red" if model.failure else "")
    machine = results.machine
    where = f"{machine.cpu}, {machine.cores} cores; JAX on {machine.device}, torch on {machine.torch}"
    turns = f"medians of {results.rounds} rounds, {results.threads} thread{'s' * (results.threads > 1)} each"
    packages = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return Group(table, *map(Text, (turns, where, packages)))


def _costs(model: Model) -> tuple[str, ...]:
    sizes, times, memory = model.sizes, model.translating, model.memory
    if sizes is None or times is None or memory is None:
        return ("",) * 7
    counts = map(str, (sizes.nodes, sizes.lines, sizes.classes))
    seconds = (f"{spread.median:.2f}" for spread in (times.export, times.own))
    return (f"{sizes.parameters / 1e6:.1f} M", *counts, *seconds, f"{memory.growth:.0f}")


def _ratio(contender: Contender | None, measure: str) -> str:
    measured = getattr(contender, measure, None)
    return f"{measured.ratio.median:.2f}" if isinstance(measured, Measured) else "-"


def of_comparison(comparison: Comparison, everything: bool = False) -> RenderableType:
    """What changed, or everything that was compared."""
    rows = [finding for finding in comparison.findings if everything or finding.verdict != SAME]
    parts: list[RenderableType] = [Text(f"note: {note}") for note in comparison.notes]
    if rows:
        table = Table("model", "", "old", "new", "change", "", "")
        for row in rows:
            change = "" if row.change is None else f"{row.change:+.0%}"
            cells = (row.model, row.quantity, row.old, row.new, change, row.verdict, row.note)
            table.add_row(*map(Text, cells), style=STYLES[row.verdict])
        parts.append(table)
    counts = {verdict: sum(finding.verdict == verdict for finding in comparison.findings) for verdict in STYLES}
    text = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    parts.append(Text(text, style="bold red" if comparison.worse else "green"))
    return Group(*parts)
