"""Time training steps of torch, of torch.compile and of the translation into Equinox, from the same weights.

    python -m benchmarks.training_step [--rounds N] [--threads N]

A step is forward, loss, backward and the optimizer's update, always on the same batch. The contenders take turns, so that
whatever else the machine does slows all of them alike, and each time is divided by that of eager torch in the same round.
"""

from __future__ import annotations

import copy
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn
from transformers import BertConfig, BertModel

import translator
from benchmarks.console import begin
from benchmarks.timing import timed
from tests.zoo.text import tokens
from tests.zoo.torchvision_models import fresh

BATCH = 8
SIZE = 64  # of images
LENGTH = 64  # of texts, in tokens
CLASSES = 10
RATE = 1e-4
DECAY = 0.01
WARM_UP = 3  # steps of each before the rounds: torch.compile compiles in two, the second once the optimizer has a state

Step = Callable[[], float]
"""Makes one training step, waits for its end, and returns the loss."""


class Case(NamedTuple):
    """A module in training mode, a batch, and the same optimizer twice."""

    title: str
    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    labels: torch.Tensor
    torch_optimizer: Callable[..., torch.optim.Optimizer]
    optimizer: optax.GradientTransformation


class TextClassifier(nn.Module):
    """A linear layer on BERT's pooled output."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.encoder = BertModel(config)
        self.head = nn.Linear(config.hidden_size, CLASSES)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(input_ids, attention_mask).pooler_output)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How many steps of each are timed.")] = 30,
    threads: Annotated[int, typer.Option(min=1, help="How many threads compute, in torch as in JAX.")] = 1,
) -> None:
    """Time training steps of torch, of torch.compile and of the translation into Equinox."""
    console = begin(threads, ("torch", "jax", "equinox"))
    torch.compiler.config.force_disable_caches = True  # every run compiles
    torch._logging.set_logs(dynamo=logging.ERROR)
    for case in cases():
        console.print(measured(case, rounds, console))


def cases() -> Iterator[Case]:
    """What is measured: resnet18, with batch norms, and BERT with dropout, in MiniLM's size."""
    torch.manual_seed(0)
    labels = torch.randint(CLASSES, (BATCH,))
    resnet = fresh("resnet18", num_classes=CLASSES).train()
    optimizers = partial(torch.optim.SGD, lr=RATE, momentum=0.9), optax.sgd(RATE, momentum=0.9)
    yield Case(
        f"resnet18, {BATCH} x 3 x {SIZE} x {SIZE}, SGD",
        resnet,
        (torch.randn(BATCH, 3, SIZE, SIZE),),
        labels,
        *optimizers,
    )

    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    texts = tuple(tokens(BATCH, LENGTH, config.vocab_size).values())
    optimizers = partial(torch.optim.AdamW, lr=RATE, weight_decay=DECAY), optax.adamw(RATE, weight_decay=DECAY)
    yield Case(
        f"BERT, 6 layers, {BATCH} x {LENGTH} tokens, AdamW", TextClassifier(config).train(), texts, labels, *optimizers
    )


def torch_step(case: Case, compiled: bool = False) -> Step:
    """A step in torch; compiled: with the forward and backward passes compiled, and the update."""
    module = copy.deepcopy(case.module)
    optimizer = case.torch_optimizer(module.parameters())
    forward, update = (torch.compile(module), torch.compile(optimizer.step)) if compiled else (module, optimizer.step)

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(forward(*case.inputs), case.labels)
        loss.backward()
        update()
        return loss.item()

    return step


def equinox_step(case: Case) -> Step:
    """A step of the translation, compiled as a whole."""
    translation = translator.translate(case.module, case.inputs)
    model, state, trainable = translation.model, translation.state, translation.trainable
    batch = jax.tree.map(lambda tensor: jnp.asarray(tensor.numpy()), (case.inputs, case.labels))

    @eqx.filter_value_and_grad(has_aux=True)
    def loss_and_gradients(trained, frozen, state, key, inputs, labels):
        model = eqx.combine(trained, frozen)
        logits, state = (model(*inputs, key=key), None) if state is None else model(*inputs, state=state)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), state

    @eqx.filter_jit(donate="all-except-first")
    def update(batch, model, state, optimizer_state, key):
        key, used = jax.random.split(key)
        trained, frozen = eqx.partition(model, trainable(model))
        (loss, state), gradients = loss_and_gradients(trained, frozen, state, used, *batch)
        updates, optimizer_state = case.optimizer.update(gradients, optimizer_state, trained)
        return loss, (eqx.apply_updates(model, updates), state, optimizer_state, key)

    carried = model, state, case.optimizer.init(eqx.filter(model, trainable(model))), jax.random.key(0)

    def step() -> float:
        nonlocal carried
        loss, carried = jax.block_until_ready(update(batch, *carried))
        return loss.item()

    return step


def measured(case: Case, rounds: int, console: Console) -> Table:
    """The times of all contenders, in turns."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))  # what torch.compile calls
    steps = {"torch": torch_step(case)}
    if compiler:
        steps["torch.compile"] = torch_step(case, compiled=True)
    steps["Equinox"] = equinox_step(case)

    first = {name: sum(timed(step)[0] for _ in range(WARM_UP)) for name, step in steps.items()}
    turns = track(range(rounds), case.title, console=console, transient=True)
    rows = [[timed(step) for step in steps.values()] for _ in turns]
    times, losses = np.moveaxis(np.array(rows), 2, 0)
    ratios = times / times[:, :1]

    title = f"{case.title}: medians of {rounds} rounds"
    table = Table("", "a step", "of torch's", "its quartiles", f"the first {WARM_UP} steps", "last loss", title=title)
    for name, column, ratio, loss in zip(steps, times.T, ratios.T, losses[-1], strict=True):
        low, middle, high = np.quantile(ratio, (0.25, 0.5, 0.75))
        spread = f"{low:.2f} to {high:.2f}"
        seconds = f"{np.median(column) * 1e3:.0f} ms", f"{middle:.2f}", spread, f"{first[name]:.1f} s"
        table.add_row(name, *seconds, f"{loss:.4f}")
    if not compiler:
        table.add_row("torch.compile", "not available: no C++ compiler")
    return table


if __name__ == "__main__":
    typer.run(main)
