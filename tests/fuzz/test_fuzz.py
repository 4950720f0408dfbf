"""A short, deterministic run of the fuzzer. `make fuzz` runs it for long; see run.py."""

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz import ops
from tests.fuzz.check import check
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
