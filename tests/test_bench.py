"""The regression benchmark: what it calls worse, the file it keeps, and a run of one tiny model."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from benchmarks import compiling, jax_contenders, rounds, runner, suites, verdicts
from benchmarks.contenders import Local, aligned, load_arrays, save_arrays
from benchmarks.piped import Failed, Torchax
from benchmarks.ports import renamed
from benchmarks.results import (
    COMPILED,
    EMITTED,
    TORCH,
    TORCHAX,
    Binding,
    Contender,
    Machine,
    Measured,
    Memory,
    Model,
    Results,
    Sizes,
    Translating,
)
from benchmarks.spread import Spread, ratios
from benchmarks.sweep import __main__ as sweep
from benchmarks.sweep import cases as sweep_cases
from benchmarks.translating import translated
from tests.zoo.case import Case
from translator import cli
from translator.cli import app

TINY = "torch_lstm_projected"
BASELINE = Path(__file__).parents[1] / "benchmarks" / "baseline.json"


def spread(median: float, width: float = 0.02, count: int = 15) -> Spread:
    return Spread(round(median - width * median, 6), median, round(median + width * median, 6), count)


def measured(ratio: float = 1.5, compiling: float = 4.0) -> Measured:
    return Measured(compiling * 0.5, compiling, spread(ratio * 0.01), spread(ratio))


def translating(**changes) -> Translating:
    stages = {"simplify": spread(0.1), "codegen": spread(0.2)}
    times = Translating(spread(1.0), spread(0.3), stages, spread(0.1), spread(10.0), spread(3.0))
    return replace(times, **changes)


def model(**changes) -> Model:
    """A model that was measured, but for the changes."""
    contenders = (
        Contender(TORCH, measured(1.0), measured(1.0), 1e-7),
        Contender(EMITTED, measured(), measured(), 2e-7),
    )
    binding = Binding(0.1, spread(0.05), spread(2.0), Memory(400.0, 60.0))
    found = Model("net", Sizes(1000, 120, 200, 5), translating(), Memory(600.0, 100.0), binding, contenders)
    return replace(found, **changes)


def emitted(**changes) -> Model:
    """A model whose translation was measured otherwise."""
    before = model()
    return replace(before, contenders=(before.contenders[0], replace(before.contenders[1], **changes)))


def results(*models: Model, **changes) -> Results:
    machine = Machine("a processor", 2, "Linux", "cpu: cpu", "cpu")
    return replace(Results("small", "2026-01-01", machine, {"torch": "2.13.0"}, 1, 15, models), **changes)


def invoked(*arguments):
    cli.console.width = cli.errors.width = 300  # else they break lines where the first to import them had its margin
    return CliRunner().invoke(app, ["bench", *map(str, arguments)], env={"COLUMNS": "300"})


def test_quartiles():
    assert Spread.of([1, 2, 3, 4, 5]) == Spread(2, 3, 4, 5)
    assert ratios([2, 6, 12], [1, 2, 3]).median == 3


@pytest.mark.parametrize(
    ("new", "worse"),
    [
        (model(), []),
        (model(sizes=Sizes(1000, 121, 203, 5)), []),
        (model(sizes=Sizes(1000, 120, 230, 6)), ["lines", "classes"]),
        (model(memory=Memory(600.0, 110.0)), []),
        (model(memory=Memory(800.0, 300.0)), ["memory of translating, MB"]),
        (emitted(error=1e-6), []),
        (emitted(error=1e-4), ["error"]),
        (emitted(forward=measured(1.8)), []),
        (emitted(forward=measured(2.0)), ["forward, of torch's"]),
        (emitted(forward=replace(measured(2.0), ratio=spread(2.0, width=0.3))), []),
        (emitted(forward=measured(1.0)), []),
        (emitted(step=measured(compiling=9.0)), ["compiling the step, of a yardstick"]),
        (emitted(step=None, problem="no gradient"), ["step"]),
        (model(translating=translating(export_ratio=spread(20.0))), ["torch.export, of a yardstick"]),
        (model(failure="could not be translated"), ["failure"]),
        (Model("net", failure="could not be translated"), ["failure"]),
    ],
)
def test_what_is_worse_beyond_the_noise(new, worse):
    comparison = verdicts.compare(results(model()), results(new))
    assert [finding.quantity for finding in comparison.worse] == worse
    assert comparison.ok == (not worse)


def test_a_slower_translation_names_its_stage():
    slow = translating(own_ratio=spread(8.0), stages={"simplify": spread(0.1), "codegen": spread(0.7)})
    (finding,) = verdicts.compare(results(model()), results(model(translating=slow))).worse
    assert finding.note == "most of it in the stage codegen"
    assert finding.change == pytest.approx(8 / 3 - 1)


def test_less_noise_can_be_asked_for():
    assert not verdicts.compare(results(model()), results(emitted(forward=measured(1.8))), noise=0.1).ok


def test_times_of_another_machine_are_not_compared():
    slow = emitted(forward=measured(9.0), error=1e-3)
    other = results(slow, machine=replace(results().machine, cpu="another"), versions={"torch": "2.14.0"})
    comparison = verdicts.compare(results(model()), other)
    assert [finding.quantity for finding in comparison.worse] == ["error"]
    assert "times are not compared: the machines differ" in comparison.notes
    assert "torch: 2.13.0, now 2.14.0" in comparison.notes


def test_a_model_that_was_not_run_is_a_note():
    comparison = verdicts.compare(results(model(), model(name="other")), results(model()))
    assert comparison.ok and "other was not run" in comparison.notes


def test_another_model_of_the_name_is_a_note():
    comparison = verdicts.compare(results(model()), results(model(sizes=Sizes(2000, 240, 400, 5))))
    assert comparison.ok and comparison.notes == ("net is another model: 2000 parameters",)


def test_results_survive_their_file(tmp_path):
    kept = results(model(), Model("broken", failure="why [it] failed"))
    kept.save(tmp_path / "sub" / "bench.json")
    assert Results.load(tmp_path / "sub" / "bench.json") == kept


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 0}', '{"format": 1, "suite": 3}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(ValueError, match="holds no results"):
        Results.load(tmp_path / "bench.json")
    outcome = invoked("compare", tmp_path / "bench.json", tmp_path / "bench.json")
    assert outcome.exit_code == 2 and "holds no results" in outcome.output


def test_compare_names_what_is_worse_and_exits_with_1(tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    results(model()).save(old)
    results(emitted(step=measured(3.0))).save(new)
    outcome = invoked("compare", old, new)
    assert outcome.exit_code == 1 and "step, of torch's" in outcome.output and "1 worse" in outcome.output
    outcome = invoked("compare", new, old)
    assert outcome.exit_code == 0 and "0 worse, 1 better" in outcome.output


def test_every_contender_runs_first_in_turn():
    order = []
    runners = [
        Local(name, {"forward": lambda name=name: order.append(name)}, dict) for name in (TORCH, COMPILED, EMITTED)
    ]
    firsts = dict.fromkeys(runners, rounds.First(1.0, 0.5))
    found = rounds.measured(firsts, "forward", 3, TORCH)
    assert list(dict.fromkeys(order[-1::-1]))[0] == COMPILED  # of the last round, which EMITTED began
    assert found[TORCH].ratio == Spread(1, 1, 1, 3)
    assert found[EMITTED].compiling_ratio == pytest.approx(2, rel=0.01)
    assert rounds.measured(firsts, "forward", 3, "absent") == {}


def test_outputs_take_torchs_names(tmp_path):
    arrays = {"file": np.zeros(2), "1": np.ones(3)}
    save_arrays(tmp_path / "arrays.npz", arrays)
    found = load_arrays(tmp_path / "arrays.npz")
    assert list(found) == ["file", "1"]
    assert list(aligned(found, ["a", "b"])) == ["a", "b"]
    with pytest.raises(ValueError, match="2 outputs where torch has 1"):
        aligned(found, ["a"])


PORT = """
import equinox as eqx
import jax.numpy as jnp
from safetensors.numpy import load_file

SIZE = 1

class Net(eqx.Module):
    weight: jnp.ndarray
    bias: jnp.ndarray
    running_mean: jnp.ndarray

    def __call__(self, x):
        assert x.shape[1] == SIZE
        return x @ self.weight.T + self.bias - self.running_mean

def load(path):
    return Net(**{name: jnp.asarray(array) for name, array in load_file(path).items()})
"""


def test_a_port_by_hand_takes_part(tmp_path):
    module = nn.Linear(3, 3)
    module.register_buffer("running_mean", torch.ones(3))
    x = torch.randn(2, 3)
    (tmp_path / "net.py").write_text(PORT)
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    weights = tmp_path / "model.safetensors"
    contender = jax_contenders.port(Case(module, (x,)), tmp_path / "net.py", weights, {"SIZE": 3})
    (output,) = contender.outputs().values()
    np.testing.assert_allclose(output, (module(x) - 1).detach().numpy(), atol=1e-6)
    loss, gradients = contender.calls["step"]()
    assert loss == pytest.approx((module(x) - 1).square().mean().item(), rel=1e-5)
    assert gradients.weight.shape == (3, 3) and gradients.running_mean is None


def test_another_packages_module_takes_torchs_tensors(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1))
    save_file(module.state_dict(), tmp_path / "model.safetensors")

    class Other(eqx.Module):
        first: eqx.nn.Conv2d
        rest: tuple[eqx.nn.Conv2d, ...]

        def __init__(self, key: jax.Array):
            self.first, self.rest = eqx.nn.Conv2d(3, 4, 1, key=key), (eqx.nn.Conv2d(4, 2, 1, key=key),)

        def __call__(self, x, key, inference):
            return self.rest[0](self.first(x))

    names = {"first": "0", r"rest\.(\d)": lambda m: f"{int(m[1]) + 1}"}
    model = renamed.OfImages(renamed.filled(Other, tmp_path / "model.safetensors", names))
    x = torch.randn(2, 3, 4, 4)
    np.testing.assert_allclose(model(x.numpy()), module(x).detach(), atol=1e-6)
    with pytest.raises(KeyError, match="rest"):
        renamed.filled(Other, tmp_path / "model.safetensors", {"first": "0"})


def test_single_ops_are_timed_beside_torch():
    case = next(one for one in sweep_cases.cases() if one.name == "cdist")
    cells, worst = sweep.row(case._replace(args=(torch.randn(2, 5, 3), torch.randn(2, 4, 3))), rounds=2)
    assert cells[0] == "cdist" and len(cells) == 8 and worst > 0


def test_what_is_swept_has_names_of_its_own():
    names = [case.name for case in sweep_cases.cases()]
    assert len(set(names)) == len(names) > 100


def test_a_translation_on_plain_convolutions_computes_the_same(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=4, padding=1)).eval()
    case = Case(module, (torch.randn(2, 3, 8, 8),))
    folder = translated(case).save(tmp_path / "saved")
    emitted, plain = jax_contenders.translation(case, folder), jax_contenders.plain(case, folder)
    assert "convolve_depthwise" in (folder / "model.py").read_text()
    np.testing.assert_allclose(*(list(c.outputs().values())[0] for c in (emitted, plain)), atol=1e-6)
    (skipped,) = jax_contenders.without_depthwise(case, folder).outputs().values()
    with torch.no_grad():
        np.testing.assert_allclose(skipped, module[0](case.args[0]) + module[1].bias[:, None, None], atol=1e-6)


def test_first_calls_are_compiled_anew_in_turns(monkeypatch):
    monkeypatch.setattr(suites, "build", lambda name: Case(nn.Linear(3, 4).eval(), (torch.randn(2, 3),)))
    order = []

    class Other:
        def prepare(self, name):
            order.append(name)
            return self

        def seconds(self, measure, calls):
            return float(len(order))

    ours, theirs = compiling.times("tiny", Other(), rounds=2)
    assert len(ours) == 2 and min(ours) > 1e-3  # what is compiled already takes less
    assert theirs == [2.0, 3.0] and order == ["tiny"] * 3


def test_every_model_of_the_suites_has_a_name():
    assert set(suites.SUITES["small"]) <= set(suites.SUITES["full"]) == set(suites.MODELS)
    with pytest.raises(ValueError, match="no model 'none'"):
        suites.entry("none")
    first, second = suites.build("lstm"), suites.build("lstm")
    assert torch.equal(first.args[0], second.args[0]) and not first.module.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--suite", "large"), "there is no suite 'large'"),
        (("--model", "none"), "there is no model 'none'"),
        (("--without", "torch"), "cannot leave out torch"),
        (("--ports", "/nowhere"), "there is no folder /nowhere"),
    ],
)
def test_a_run_refuses_what_is_not_there(options, message, monkeypatch):
    monkeypatch.setattr("benchmarks.cli._prepare", lambda threads: None)
    outcome = invoked("run", *options)
    assert outcome.exit_code == 2 and message in outcome.output


def test_a_run_of_a_tiny_model(tmp_path):
    settings = runner.Settings("", (TINY,), rounds=2, times=1, without=frozenset((COMPILED, TORCHAX)))
    said, done = [], []
    found = runner.run(settings, said.append, done.append)
    (one,) = found.models
    assert not one.failure and done == [one] and any("in turns" in text for text in said)
    assert one.sizes is not None and one.sizes.lines > 50
    assert one.translating is not None and one.translating.own.median > 0
    assert "codegen" in one.translating.stages
    assert one.memory is not None and 0 < one.memory.growth < one.memory.peak
    assert one.binding is not None and 0 < one.binding.memory.peak < one.memory.peak  # without torch
    assert [contender.name for contender in one.contenders] == [TORCH, EMITTED]
    for contender in one.contenders:
        assert not contender.problem and contender.error is not None and contender.error < 1e-5
        assert contender.forward is not None and contender.forward.ratio.count == 2
        assert contender.step is not None and contender.step.seconds.median > 0

    found.save(tmp_path / "bench.json")
    assert invoked("compare", tmp_path / "bench.json", tmp_path / "bench.json").exit_code == 0
    outcome = invoked("plot", tmp_path / "bench.json", "-o", tmp_path / "plots" / "bench.png")
    assert outcome.exit_code == 0, outcome.output
    assert (tmp_path / "plots" / "bench.png").stat().st_size > 1000


@pytest.mark.skipif(find_spec(TORCHAX) is not None, reason="torchax is installed")
def test_the_process_of_torchax_says_what_it_lacks():
    torchax = Torchax()
    with pytest.raises(Failed, match="No module named 'torchax'"):
        torchax.prepare(TINY)
    torchax.end()


def test_the_baseline_is_of_the_small_suite():
    baseline = Results.load(BASELINE)
    assert tuple(one.name for one in baseline.models) == suites.SUITES["small"]
    assert not any(one.failure for one in baseline.models)


def test_without_a_checkout_bench_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "benchmarks.cli", None)
    outcome = invoked("compare", "a", "b")
    assert outcome.exit_code == 1 and "from a checkout" in outcome.output
