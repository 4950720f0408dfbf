"""A short, deterministic run of the fuzzer. `make fuzz` runs it for long; see run.py."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz import ops
from tests.fuzz.check import DIFFERENT, SAME, check
from tests.fuzz.program import SUMS, Input, Program, Step
from tests.fuzz.strategies import programs


@settings(
    max_examples=80,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
@given(programs)
def test_random_programs_do_not_differ(program):
    verdict = check(program)
    assert not verdict.failed, f"{verdict.kind}: {verdict.about}\n{verdict.source}"


def test_the_fuzzer_draws_from_many_ops():
    assert ops.COUNT > 300


@pytest.mark.parametrize("factor, outcome", [("1.0", SAME), ("1.5", DIFFERENT)])
def test_attention_is_held_to_its_formula_where_scores_are_nan(monkeypatch, factor, outcome):
    """torch's fused kernel makes 0 of them. Another scale is seen nevertheless."""
    made = "random_input({}, torch.float32, 1, 3, 2, 4)"
    inputs = tuple(Input(f"v{i}", made.format(how)) for i, how in ((1, "31, 'specials'"), (2, "1, 'normal'")))
    line = "v{} = F.scaled_dot_product_attention(v{}, v{}, v{}, scale={})"
    steps = tuple(Step("attention", line.format(i + 2, i, i, i, factor), (f"v{i + 2}",), SUMS) for i in (1, 2))
    program = Program(inputs, steps, ("v3", "v4"))
    source = program.source().replace(f"scale={factor}", "scale=1.0")
    monkeypatch.setattr(Program, "source", lambda self: source)  # what is translated
    assert check(program).kind == outcome
