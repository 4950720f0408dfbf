"""The long run: many programs over several processes, and a summary. `make fuzz` calls it.

python -m tests.fuzz.run [programs] [processes] [first seed]. A failure is printed as a small program, and the exit code is 1.
"""

from __future__ import annotations

import collections
import multiprocessing
import sys
import time
from collections.abc import Iterator

CHUNK = 50


def drawn(seed: int, count: int) -> Iterator:
    """Programs that hypothesis draws, with its own seed for each chunk."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from tests.fuzz.strategies import programs

    found: list = []

    @seeded(seed)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs)
    def collect(program) -> None:
        found.append(program)

    collect()
    yield from found


def chunk(task: tuple[int, int]) -> tuple[collections.Counter, collections.Counter, list[str]]:
    """Check the programs of one seed: how many of each verdict, the refusals by reason, and the failures as text."""
    seed, count = task
    import jax

    from tests.compiling import quickly
    from tests.fuzz.check import REFUSED, check
    from tests.fuzz.reduce import reduce

    jax.clear_caches()
    quickly()
    verdicts: collections.Counter = collections.Counter()
    refused: collections.Counter = collections.Counter()
    failures = []
    seen: collections.Counter = collections.Counter()  # of failures alike, two are reduced: that is what takes long
    for program in drawn(seed, count):
        verdict = check(program)
        verdicts[verdict.kind] += 1
        if verdict.kind == REFUSED:
            refused[verdict.about] += 1
        elif verdict.failed:
            seen[verdict.kind, verdict.sort] += 1
            small = reduce(program, verdict) if seen[verdict.kind, verdict.sort] < 3 else program
            found = check(small)
            found = found if found.failed else verdict
            failures.append(f"seed {seed}: {found.kind}\n\n{small}\n{found.about}\n{emitted_class(found.source)}")
    return verdicts, refused, failures


def emitted_class(source: str) -> str:
    """The part of an emitted file that computes."""
    return source.partition("\ndef bind(")[0]


def main(programs: int = 10000, processes: int = 2, first_seed: int = 0) -> int:
    """Run, print the summary, and give the exit code."""
    started = time.time()
    verdicts: collections.Counter = collections.Counter()
    refused: collections.Counter = collections.Counter()
    failures: list[str] = []
    tasks = [(first_seed + k, min(CHUNK, programs - k * CHUNK)) for k in range(-(-programs // CHUNK))]
    # A fresh process now and then: what JAX compiles stays in memory.
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=10) as pool:
        for done, (kinds, reasons, failed) in enumerate(pool.imap_unordered(chunk, tasks), 1):
            verdicts += kinds
            refused += reasons
            failures += failed
            for failure in failed:
                print(f"{'=' * 100}\n{failure}", flush=True)
            if done % 4 == 0:
                print(f"{verdicts.total()} programs, {time.time() - started:.0f} s: {dict(verdicts)}", flush=True)
    total = max(verdicts.total(), 1)
    print(f"\n{verdicts.total()} programs in {time.time() - started:.0f} s: {dict(verdicts)}")
    print(f"refused: {100 * refused.total() / total:.2f} %")
    for text, count in refused.most_common():
        print(f"  {count:5d}  {text}")
    print(f"failures: {len(failures)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
