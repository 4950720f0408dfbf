"""The command line: torch2eqx translate, verify, explain, ops, bind, bench."""

from __future__ import annotations

import contextlib
import enum
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()
errors = Console(stderr=True)

STAGES = ("capture", "simplify", "hierarchy", "lower", "classes", "codegen", "bind", "verify", "save")

Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="package.module:factory, path/to/file.py:factory, a .pt2 exported program, or a Hugging Face model folder.",
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that translate wrote.")]


class Layout(enum.StrEnum):
    torch = "torch"
    nhwc = "nhwc"


@contextlib.contextmanager
def _clean_errors() -> Iterator[None]:
    """An error that a user can act on is a panel and exit code 1; anything else is a bug, and shows its traceback."""
    from translator.errors import TranslationError

    try:
        yield
    except TranslationError as error:
        errors.print(Panel(Text(str(error)), title=type(error).__name__, border_style="red", title_align="left"))
        raise typer.Exit(1) from None


@contextlib.contextmanager
def _stages() -> Iterator[Callable[[str], None]]:
    """A progress bar over the stages; what it yields is told each stage's name, or `stage: detail`."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True) as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = progress.add_task("", total=len(STAGES))

        def show(stage: str) -> None:
            name = stage.partition(":")[0]
            done = STAGES.index(name) if name in STAGES else None
            progress.update(task, description=escape(stage), completed=done)

        yield show


@app.command()
def translate(
    spec: Spec,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DIR if it is a saved translation.")] = False,
    verify: Annotated[bool, typer.Option(help="Compare with torch before writing.")] = True,
    static: Annotated[bool, typer.Option("--static", help="Fix all shapes to the example's.")] = False,
    scan_layers: Annotated[
        bool, typer.Option("--scan-layers", help="Run layers that are alike as one lax.scan over stacked leaves.")
    ] = False,
    layout: Annotated[
        Layout, typer.Option("--layout", help="Where images have their channels within the model: nhwc for last.")
    ] = Layout.torch,
) -> None:
    """Translate a module into a folder with Equinox source and its weights.

    Without --no-verify, a translation that differs from torch is written all the same, to be looked at, and the exit code is 1.
    """
    from translator import saving

    with _clean_errors():
        saving.require_free(output, overwrite)
        with _stages() as show:
            translation = _translated(spec, static, show, scan_layers=scan_layers, layout=layout.value)
            show("bind")
            _ = translation.model
            verification = None
            if verify:
                show("verify")
                verification = translation.verify(progress=show)
            show("save")
            translation.save(output, overwrite=overwrite)
        if verification is not None:
            console.print(verification)
        for note in translation.captured.notes:
            console.print(Text(f"note: {note}"))
        lines = len(translation.source.splitlines())
        spent = ", ".join(f"{stage} {time:.1f} s" for stage, time in translation.seconds.items())
        console.print(Text(f"{output / 'model.py'}: {lines} lines ({spent})"))
        if verification is not None and not verification.ok:
            raise typer.Exit(1)


def _translated(
    spec: str,
    static: bool,
    show: Callable[[str], None],
    saved: Any = None,
    scan_layers: bool = False,
    layout: str | None = None,
) -> Any:
    from translator.api import translate
    from translator.specs import resolve

    show("capture")
    found = resolve(spec) if saved is None else saved.prepared(resolve(spec))
    shapes = None if static else "auto"
    options = {"dynamic_shapes": shapes, "scan_layers": scan_layers, "layout": layout, "spec": _absolute(spec)}
    return translate(found.module, found.args, found.kwargs, progress=show, **options)


def _absolute(spec: str) -> str:
    """A SPEC that means the same from another folder: paths are absolute, module names stay."""
    where, colon, name = spec.rpartition(":")
    if Path(spec).exists():
        return str(Path(spec).absolute())
    return f"{Path(where).absolute()}{colon}{name}" if where.endswith(".py") else spec


@app.command()
def verify(
    folder: Folder,
    spec: Annotated[
        str | None, typer.Argument(metavar="[SPEC]", help="The torch module, if not the one of the report.")
    ] = None,
    gradients: Annotated[
        bool, typer.Option("--gradients", help="Compare gradients and ten steps of SGD and AdamW, too.")
    ] = False,
) -> None:
    """Compare a saved folder, its model.py and weights as they are now, with the torch module."""
    from translator.saved import Saved

    with _clean_errors():
        with _stages() as show:
            saved = Saved.read(folder)
            spec = spec or saved.report.get("spec")
            translation = _translated(_required(spec), False, show, saved, layout=saved.report.get("layout"))
            show("verify")
            verification = saved.verify(translation.captured, translation.emitted, show, gradients)
        console.print(verification)
        if not verification.ok:
            raise typer.Exit(1)


def _required(spec: str | None) -> str:
    from translator.errors import TranslationError

    if spec is None:
        raise TranslationError("the folder does not say where its torch module came from: give SPEC after DIR")
    return spec


@app.command()
def explain(spec: Spec) -> None:
    """Show what would be translated and what is missing, before anything is emitted."""
    from translator import coverage
    from translator.capture import capture
    from translator.specs import resolve
    from translator.value_lengths import measured

    with _clean_errors():
        with _stages() as show:
            show("capture")
            found = resolve(spec)
            captured = measured(capture(found.module, found.args, found.kwargs))
            show("lower")
            usages = coverage.explain(captured)
        table = Table("op", "nodes", "")
        missing = [usage for usage in usages if usage.problems]
        for usage in usages:
            verdict = "ok" if not usage.problems else f"{len(usage.problems)} not supported"
            table.add_row(usage.op, str(usage.count), verdict, style="red" if usage.problems else "")
        console.print(table)
        for usage in missing:
            console.print(Text(f"\n{usage.op}: {len(usage.problems)} of {usage.count}", style="bold red"))
            for problem in usage.problems:
                console.print(Text(f"  {problem.module or '(root)'}  {problem.source}\n      {problem.reason}"))
        for note in captured.notes:
            console.print(Text(f"note: {note}"))
        nodes = sum(usage.count for usage in usages)
        if missing:
            console.print(Text(f"{len(missing)} of {len(usages)} ops are not supported", style="bold red"))
            raise typer.Exit(1)
        console.print(Text(f"all {nodes} nodes of {len(usages)} ops can be translated", style="green"))


@app.command()
def ops() -> None:
    """List the op table by family."""
    from op_table import coverage

    families: dict[str, list[str]] = {}
    rules = coverage()
    for rule in rules:
        families.setdefault(rule.family, []).append(rule.op)
    table = Table("family", "ops", "", show_lines=True)
    for family, names in families.items():
        table.add_row(family, str(len(names)), " ".join(names))
    console.print(table)
    console.print(f"{len(rules)} ops in {len(families)} families")


@app.command()
def bind(
    folder: Folder,
    checkpoint: Annotated[Path, typer.Option("--checkpoint", metavar="FILE_OR_FOLDER", help="The tensors to bind.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="A new folder, in place of changing DIR.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output folder.")] = False,
) -> None:
    """Put other weights into a saved folder; all names and shapes must fit."""
    from translator.saved import Saved

    with _clean_errors():
        target = Saved.read(folder).rebind(checkpoint, output, overwrite)
        console.print(Text(f"{target} holds the weights of {checkpoint}"))


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(context: typer.Context) -> None:
    """Measure translations beside torch, and compare two runs: run, compare, plot. Needs a checkout of the project."""
    root = Path(__file__).parents[1]
    if (root / "benchmarks" / "cli.py").is_file() and str(root) not in sys.path:
        sys.path.insert(0, str(root))  # an editable install finds only what a wheel would hold
    try:
        from benchmarks.cli import app as commands
    except ModuleNotFoundError as error:
        if error.name not in ("benchmarks", "benchmarks.cli"):
            raise
        message = "the benchmarks are not part of what is installed: run torch2eqx from a checkout of the project"
        errors.print(Panel(Text(message), title="bench", border_style="red", title_align="left"))
        raise typer.Exit(1) from None
    commands(context.args, prog_name="torch2eqx bench")
