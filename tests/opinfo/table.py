"""The results of a whole run as Markdown: docs/ops.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.opinfo.entries import DIFFERENTIATED, DTYPES
from tests.opinfo.known import rows
from tests.opinfo.modules import MODES
from tests.opinfo.outcome import CAPTURE, OK, Outcome

INTRODUCTION = """# The ops that PyTorch's own test suite checks

Written by `make opinfo`. Every entry of `torch.testing._internal.common_methods_invocations.op_db` that runs in eager torch on
CPU, with all of its sample inputs, goes through `translate`; the emitted module, jitted, is compared with torch, and for
differentiable ops `jax.vjp` with `torch.autograd`; so do the entries of `common_modules.module_db`, in both modes. A cell holds how many samples agree; where not all do, also of how many.
Random ops are compared as distributions. What is not right is refused with a reason (below). Where a gradient differs from torch's,
central differences of torch's function in float64 judge: "torch errs" if they give the module's gradient, and not torch's. Samples that torch.export itself
cannot capture are left out. "not under jit" marks ops whose output has as many elements as the values say: they run on arrays.
"""


def markdown(outcomes: Sequence[Outcome], note: str = "") -> str:
    """The page: shares by dtype, a row an op, and the reasons for what is refused. note: what the run left out."""
    by_key = {(outcome.op, outcome.dtype): outcome for outcome in outcomes}
    dtypes, modes = ([d for d in kinds if any(o.dtype == d for o in outcomes)] for kinds in (DTYPES, MODES))
    parts = [INTRODUCTION, *([f"{note}\n"] if note else []), shares(outcomes, [*dtypes, *modes])]
    parts += ["## Ops\n", _ops(by_key, dtypes), "## Modules\n", _ops(by_key, modes)]
    parts += ["## What does not pass\n", _reasons()]
    return "\n".join(parts)


def share(outcomes: Sequence[Outcome], dtype: str, gradient: bool = False) -> tuple[int, int]:
    """How many entries of a dtype pass with every sample, and how many there are that torch runs and torch.export captures."""
    found = Counter((o.gradient if gradient else o.forward) for o in outcomes if o.dtype == dtype)
    counted = sum(n for how, n in found.items() if how not in ("", CAPTURE))
    return found[OK], counted


def shares(outcomes: Sequence[Outcome], dtypes: Sequence[str]) -> str:
    lines = ["| | entries that pass | of | share |", "| --- | ---: | ---: | ---: |"]
    for gradient in (False, True):
        for dtype in dtypes:
            if gradient and dtype not in DIFFERENTIATED:
                continue
            passed, total = share(outcomes, dtype, gradient)
            what = f"{dtype}, gradient" if gradient else dtype
            lines.append(f"| {what} | {passed} | {total} | {passed / max(total, 1):.1%} |")
    return "\n".join(lines) + "\n"


def _ops(by_key: Mapping[tuple[str, str], Outcome], dtypes: Sequence[str]) -> str:
    gradients = [dtype for dtype in dtypes if dtype in DIFFERENTIATED]
    head = ["op", *dtypes, *(f"gradient {dtype}" for dtype in gradients), "lowered by"]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 2)} --- |"]
    for op in dict.fromkeys(op for op, _ in by_key):
        found = {dtype: by_key[op, dtype] for dtype in dtypes if (op, dtype) in by_key}
        if not found:
            continue
        how = sorted({kind for outcome in found.values() for kind in outcome.how})
        cells = [_cell(found[d].counts) if d in found else "" for d in dtypes]
        cells += [_cell(found[d].gradients) if d in found else "" for d in gradients]
        lines.append(f"| {' | '.join([f'`{op}`', *cells, ', '.join(how)])} |")
    return "\n".join(lines) + "\n"


def _cell(counts: Counter[str]) -> str:
    total = sum(n for how, n in counts.items() if how != CAPTURE)
    if not total:
        return "not captured" if counts[CAPTURE] else ""
    return str(total) if counts[OK] == total else f"{counts[OK]} of {total}"


def _reasons() -> str:
    lines = ["| op | dtypes | part | outcome | why |", "| --- | --- | --- | --- | --- |"]
    for row in dict.fromkeys(rows().values()):
        cells = [f"`{row.op}`", ", ".join(row.dtypes), row.part, row.outcome, row.reason.replace("|", "&#124;")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
