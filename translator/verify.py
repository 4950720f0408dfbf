"""Verification: the emitted module against torch, on several inputs and sizes.

The truth is torch in float64 (see reference.py). In the module's own precision the emitted module must be no further from it
than a small multiple of what torch itself is, and in float64 it must agree to 1e-9 of each output's scale. torch's error of an
output is the greatest over all inputs, so that being lucky on one of them does not lower the bar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from translator import compare, training
from translator.captured import Captured, in_training
from translator.divergence import diverging_modules, write_reproduction
from translator.emitted import Emitted
from translator.errors import TranslationError
from translator.expected import Expected, cases, fresh
from translator.inputs import Case
from translator.reference import Reference
from translator.runtime import Runner
from translator.verification import OutputRow, Verification


@dataclass(frozen=True)
class Results:
    """One case's outputs by name: torch's, and the emitted module's in its own precision and in float64."""

    expected: Expected
    emitted: Mapping[str, np.ndarray]
    wide: Mapping[str, np.ndarray]
    failure: str = ""


def verify(
    captured: Captured,
    emitted: Emitted,
    *,
    state: Mapping[str, torch.Tensor] | None = None,
    random: int = 1,
    sizes: int = 2,
    gradients: bool = False,
    reproduce: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Verification:
    """Compare an emitted module with the torch module that it was translated from.

    state: the tensors to bind, where not those of the torch module itself. random, sizes: how many further inputs of the
    example's shapes, and of other lengths of the dynamic axes. gradients: whether to compare what training needs, too: each
    parameter's gradient, and ten steps of SGD and of AdamW (see `training`). reproduce: the folder of a saved translation; if a module
    diverges, a script that runs it alone goes to `divergence` in it (a temporary folder unless given).
    Raises TranslationError where torch itself cannot run the example, or has no weights to run it with.
    """
    say = progress or (lambda text: None)
    state = captured.state if state is None else state
    if any(tensor.is_meta for tensor in captured.tensors.values()):
        raise TranslationError("the module is on the meta device: without its weights there is nothing to compare")
    narrow, wide = (
        Runner(emitted.source, emitted.constants, state, wide=wide, takes_key=emitted.takes_key)
        for wide in (False, True)
    )
    notes: list[str] = []
    if emitted.takes_key:
        notes.append(
            "random numbers were not left to chance in either module: dropout keeps every element, noise is its mean"
        )
    results = []
    for expected in cases(captured, emitted, random, sizes, notes):
        case = expected.case
        say(f"verify: {case.name}")
        options = {"jit": not captured.value_lengths, "inference": case.evaluation}
        try:
            found = [runner.run(case.args, case.kwargs, **options) for runner in (narrow, wide)]
            results.append(Results(expected, *found))
        except Exception as error:  # whatever the emitted module raises is its failure, not ours
            results.append(Results(expected, {}, {}, f"raises {type(error).__name__}: {str(error)[:300]}"))
    errors = _torch_errors(results)
    rows = [row for result in results for row in _rows(result, errors)]
    notes += _meaningless(results)
    rows += training.rows(captured, emitted, wide, say) if gradients else []
    verification = Verification(tuple(rows), notes=tuple(notes))
    if verification.ok or not rows:
        return verification
    failed = next((result for result in results if not all(row.ok for row in _rows(result, errors))), None)
    if in_training(captured.module) or emitted.takes_key or captured.mutated or failed is None:
        return verification  # calls of modules are not told apart with a state, keys or another mode
    say("verify: module by module")
    return _explained(verification, captured, emitted, state, failed.expected.case, (wide, narrow), reproduce)


def _torch_errors(results: list[Results]) -> dict[str, float]:
    """torch's own error of each floating output, the greatest over all cases."""
    errors: dict[str, float] = {}
    for result in results:
        for name, error in result.expected.errors().items():
            errors[name] = max(errors.get(name, 0.0), error)
    return errors


def _rows(result: Results, errors: Mapping[str, float]) -> list[OutputRow]:
    rows = [_row(result, name, errors.get(name)) for name in result.expected.own]
    for name in result.emitted:
        if name not in result.expected.own:
            array = result.emitted[name]
            reason = "torch has no such output"
            rows.append(
                OutputRow(
                    result.expected.case.name, name, array.shape, str(array.dtype), None, None, None, False, reason
                )
            )
    return rows


def _row(result: Results, name: str, torch_error: float | None) -> OutputRow:
    own, truth = result.expected.own[name], result.expected.truth[name]
    row = OutputRow(result.expected.case.name, name, own.shape, str(own.dtype), torch_error, None, None, False)
    if result.failure or name not in result.emitted or name not in result.wide:
        return replace(row, reason=result.failure or "the emitted module has no such output")
    if name in result.expected.astray:
        return replace(row, reason="the module gives something else than the program that torch.export made of it")
    narrow, wide = result.emitted[name], result.wide[name]
    problem = compare.dtype_problem(narrow, own)
    if problem:
        return replace(row, reason=problem)
    if torch_error is None:
        problem = compare.same(narrow, own) or compare.same(wide, truth)
        return replace(row, ok=not problem, reason=problem)
    in_narrow, in_wide = compare.distance(narrow, truth, own), compare.distance(wide, truth, truth)
    bound = compare.MULTIPLE * torch_error + compare.FLOOR_ULPS * compare.ulp(narrow.dtype)
    reason = in_narrow.reason or in_wide.reason
    if not reason and not in_wide.error <= compare.WIDE_BOUND:
        reason = f"float64 is above {compare.WIDE_BOUND}"
    elif not reason and not in_narrow.error <= bound:
        reason = f"{narrow.dtype} is above {bound:.1e}"
    return replace(row, emitted_error=in_narrow.error, float64_error=in_wide.error, ok=not reason, reason=reason)


def _meaningless(results: list[Results]) -> list[str]:
    names = results[0].expected.truth if results else ()
    zero = [name for name in names if all(_is_zero(result.expected.truth[name]) for result in results)]
    return [
        f"output {name} is zero on every input: that it agrees says little (are the weights fresh?)" for name in zero
    ]


def _is_zero(array: np.ndarray) -> bool:
    return bool(array.size) and not np.any(array)


def _explained(
    verification: Verification,
    captured: Captured,
    emitted: Emitted,
    state: Mapping[str, torch.Tensor],
    case: Case,
    runners: tuple[Runner, Runner],
    reproduce: str | Path | None,
) -> Verification:
    """The verification with the first module that diverges, and a script for it. In float64 if it shows there."""
    notes = verification.notes
    for runner in runners:
        try:
            divergence = diverging_modules(captured, emitted, runner, case)
        except Exception as error:  # the emitted module may not even run
            notes = (*notes, f"module by module: {type(error).__name__}: {str(error)[:300]}")
            continue
        verification = replace(verification, modules=divergence.rows, culprit=divergence.culprit, notes=notes)
        if divergence.culprit is not None:
            script = write_reproduction(divergence, emitted, state, reproduce)
            return replace(verification, reproduction=str(script))
    return replace(verification, notes=(*notes, _without_culprit(captured, case)))


def _without_culprit(captured: Captured, case: Case) -> str:
    """What to say where no module diverges from the nodes that it was translated from."""
    try:
        before = Reference(captured).run(fresh(case.args), fresh(case.kwargs))[0]
        after = Reference(captured, simplified=True).run(fresh(case.args), fresh(case.kwargs))[0]
        pairs = [(compare.as_array(after[name]), compare.as_array(value)) for name, value in before.items()]
        changed = any(compare.distance(found, truth, truth).error > compare.WIDE_BOUND for found, truth in pairs)
    except Exception as error:
        return f"the simplified graph does not run: {type(error).__name__}: {str(error)[:200]}"
    if changed:
        return (
            "a pass over the graph changed its values, which is a fault of torch2eqx: please report it with this module"
        )
    return "no one module could be singled out as the first to diverge"
