import json
import textwrap

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from translator import cli
from translator.cli import app

MODULE = """
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(3, 4)
            self.second = torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.second(torch.tanh(self.first(x)))

    def net():
        return Net().eval(), (torch.randn(2, 3),)

    def training():
        return torch.nn.Sequential(Net(), torch.nn.BatchNorm1d(2)), (torch.randn(2, 3),)

    class Part(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return torch.tanh(self.conv(x))

    def images():
        return torch.nn.Sequential(Part(), torch.nn.Conv2d(4, 2, 1)).eval(), (torch.randn(2, 3, 6, 6),)

    class Branching(Net):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    def branching():
        return Branching().eval(), (torch.randn(2, 3),)

    @torch.library.custom_op("torch2eqx_cli::strange", mutates_args=())
    def strange(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @strange.register_fake
    def _(x):
        return torch.empty_like(x)

    class Strange(Net):
        def forward(self, x):
            return strange(self.first(x))

    def unsupported():
        return Strange().eval(), (torch.randn(2, 3),)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "cli_module.py"
    path.write_text(textwrap.dedent(MODULE))
    return path


@pytest.fixture(scope="module")
def saved(file):
    folder = file.parent / "net"
    result = run("translate", f"{file}:net", "-o", folder)
    assert result.exit_code == 0, result.output
    return folder, result.output


def run(*arguments):
    cli.console.width = cli.errors.width = 200  # else they break lines where the first to import them had its margin
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_translate_verifies_and_writes(saved):
    folder, output = saved
    assert "verified: 4 outputs of 4 inputs agree with torch" in output
    assert "model.py: " in output and "capture " in output
    report = json.loads((folder / "report.json").read_text())
    assert report["verification"]["ok"] and report["spec"].endswith("cli_module.py:net")


def test_a_folder_in_another_layout_is_verified_in_it(file):
    folder = file.parent / "last"
    assert run("translate", f"{file}:images", "-o", folder, "--layout", "nhwc").exit_code == 0
    assert json.loads((folder / "report.json").read_text())["layout"] == "nhwc"
    source = (folder / "model.py").read_text()
    assert "jnp.moveaxis(input, 1, -1)" in source
    assert run("verify", folder).exit_code == 0
    (folder / "model.py").write_text(source.replace("tanh", "sin"))
    result = run("verify", folder)
    assert result.exit_code == 1 and "Part" in result.output


def test_translate_does_not_overwrite_unasked(saved, file):
    folder, _ = saved
    result = run("translate", f"{file}:net", "-o", folder)
    assert result.exit_code == 1 and "exists already" in result.output
    assert run("translate", f"{file}:net", "-o", folder, "--overwrite", "--no-verify").exit_code == 0
    assert json.loads((folder / "report.json").read_text())["verification"] is None


def test_verify_takes_the_saved_weights_and_finds_an_edit(saved):
    folder, _ = saved
    result = run("verify", folder)
    assert result.exit_code == 0 and "verified: 4 outputs" in result.output, result.output
    source = (folder / "model.py").read_text()
    (folder / "model.py").write_text(source.replace("jnp.tanh", "jnp.sin"))
    result = run("verify", folder)
    (folder / "model.py").write_text(source)
    assert result.exit_code == 1 and "The first module to diverge is the root module (Net)" in result.output


def test_bind_gives_other_weights(saved, file):
    folder, _ = saved
    state = {name: tensor * 2 for name, tensor in load_file(folder / "model.safetensors").items()}
    torch.save(state, file.parent / "other.pt")
    assert run("bind", folder, "--checkpoint", file.parent / "other.pt", "-o", file.parent / "copy").exit_code == 0
    found = load_file(file.parent / "copy" / "model.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    torch.save({"first.weight": torch.zeros(4, 3)}, file.parent / "short.pt")
    result = run("bind", folder, "--checkpoint", file.parent / "short.pt")
    assert result.exit_code == 1 and "second.weight is missing" in result.output


def test_explain_lists_ops_and_what_is_missing(file):
    result = run("explain", f"{file}:net")
    assert result.exit_code == 0 and "aten.linear.default" in result.output and "can be translated" in result.output
    result = run("explain", f"{file}:unsupported")
    assert result.exit_code == 1 and "torch2eqx_cli.strange.default: 1 of 1" in result.output
    assert "return strange(self.first(x))" in result.output


def test_ops_lists_the_table():
    result = run("ops")
    assert result.exit_code == 0 and "aten.add.Tensor" in result.output and "pointwise" in result.output


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("branching", "torch.where"),
        ("unsupported", "torch2eqx_cli.strange"),
        ("gone", "has no 'gone'"),
    ],
)
def test_errors_are_panels_without_a_traceback(file, factory, message):
    result = run("translate", f"{file}:{factory}", "-o", file.parent / "never")
    assert result.exit_code == 1
    assert message in result.output and "Traceback" not in result.output
    assert not (file.parent / "never").exists()
