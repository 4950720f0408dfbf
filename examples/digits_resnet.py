"""Train a small ResNet on scikit-learn's digits, in torch and, translated, in Equinox: same weights, same batches.

    python examples/digits_resnet.py [FOLDER]

The folder gets the translation, the trained weights as trained.safetensors, and both loss curves as losses.png.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
import optax
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import translator
from training import plot_losses, shuffled_batches

EPOCHS = 10
BATCH = 64
LEARNING_RATE = 0.01
MOMENTUM = 0.9
TOLERANCE = 0.01  # how far the two test accuracies may be apart: steps add up what float32 rounds
EQUAL = 1e-4  # how far the outputs of the same weights may be apart
WIDTH = 120  # where there is no terminal to ask


class Block(nn.Module):
    """Two convolutions, and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """A residual network for images of digits, (batch, 1, height, width) to (batch, 10)."""

    def __init__(self, width: int = 16, classes: int = 10):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(
            Block(width, width), Block(width, 2 * width, stride=2), Block(2 * width, 4 * width, stride=2)
        )
        self.head = nn.Linear(4 * width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(images)))
        return self.head(self.blocks(x).mean(dim=(2, 3)))


class Digits(NamedTuple):
    """Images, (digits, 1, 8, 8), from 0 to 1, and labels, (digits,)."""

    images: np.ndarray
    labels: np.ndarray


def main(folder: Path, epochs: int = EPOCHS) -> int:
    """Train both and compare them. Returns 0 if their accuracies agree, and their outputs with the same weights, else 1."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    train, test = read_data()
    batches = shuffled_batches(len(train.labels), BATCH, epochs)

    torch.manual_seed(0)
    module = ResNet().train()
    translation = translator.translate(module, (torch.from_numpy(train.images[:2]),))
    translation.save(folder, overwrite=True)
    model, state = translation.model, translation.state  # bound before torch trains the same weights in place

    torch_losses = train_torch(module, train, batches)
    model, state, losses = train_equinox(model, state, translation.trainable, train, batches)
    torch_logits, logits = predict_torch(module, test), predict(model, state, test.images)
    plot_losses(folder / "losses.png", "ResNet on digits", torch_losses, losses)

    table = Table("", "last loss", "test accuracy", title=f"{len(batches)} steps from the same weights")
    table.add_row("torch", f"{torch_losses[-1]:.6f}", f"{accuracy(torch_logits, test):.2%}")
    table.add_row("Equinox", f"{losses[-1]:.6f}", f"{accuracy(logits, test):.2%}")
    console.print(table)
    console.print(f"The losses of a step differ by {np.abs(np.subtract(torch_losses, losses)).max():.1e} at most.")

    weights = translator.state_dict(model, state)
    save_file(weights, folder / "trained.safetensors")
    module.load_state_dict(weights, strict=True)
    loaded = runpy.run_path(str(folder / "model.py"))["load"](folder / "trained.safetensors")
    in_torch = float(np.abs(predict_torch(module, test) - logits).max())
    reloaded = float(np.abs(predict(*loaded, test.images) - logits).max())
    console.print(
        f"Outputs differ by {in_torch:.1e} once written back into torch, by {reloaded:.1e} once saved and loaded."
    )
    close = abs(accuracy(torch_logits, test) - accuracy(logits, test)) <= TOLERANCE
    return 0 if close and max(in_torch, reloaded) <= EQUAL else 1


def read_data() -> tuple[Digits, Digits]:
    """The digits to train with, and those to test with."""
    digits = load_digits()
    images = digits.images[:, None].astype(np.float32) / 16
    split = train_test_split(images, digits.target, test_size=0.2, random_state=0, stratify=digits.target)
    return Digits(*split[::2]), Digits(*split[1::2])


def train_torch(module: nn.Module, data: Digits, batches: Sequence[np.ndarray]) -> list[float]:
    """Train a torch module in place. Returns the loss of each step."""
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, MOMENTUM)
    module.train()
    losses = []
    for batch in track(batches, "torch  "):
        images, labels = (torch.from_numpy(array[batch]) for array in data)
        loss = nn.functional.cross_entropy(module(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train_equinox(
    model: eqx.Module,
    state: eqx.nn.State,
    trainable: Callable[[eqx.Module], eqx.Module],
    data: Digits,
    batches: Sequence[np.ndarray],
) -> tuple[eqx.Module, eqx.nn.State, list[float]]:
    """Train an emitted module. Returns it, its state, and the loss of each step."""
    optimizer = optax.sgd(LEARNING_RATE, MOMENTUM)
    optimizer_state = optimizer.init(eqx.filter(model, trainable(model)))

    @eqx.filter_value_and_grad(has_aux=True)
    def loss_and_gradients(trained, frozen, state, images, labels):
        logits, state = eqx.combine(trained, frozen)(images, state=state)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), state

    @eqx.filter_jit
    def step(model, state, optimizer_state, images, labels):
        trained, frozen = eqx.partition(model, trainable(model))
        (loss, state), gradients = loss_and_gradients(trained, frozen, state, images, labels)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, trained)
        return eqx.apply_updates(model, updates), state, optimizer_state, loss

    losses = []
    for batch in track(batches, "Equinox"):
        images, labels = (array[batch] for array in data)
        model, state, optimizer_state, loss = step(model, state, optimizer_state, images, labels)
        losses.append(loss.item())
    return model, state, losses


def predict_torch(module: nn.Module, data: Digits) -> np.ndarray:
    """A torch module's outputs in evaluation mode."""
    with torch.inference_mode():
        return module.eval()(torch.from_numpy(data.images)).numpy()


@eqx.filter_jit
def predict(model: eqx.Module, state: eqx.nn.State, images: np.ndarray) -> jax.Array:
    """An emitted module's outputs in inference mode, with running statistics, as after torch's eval()."""
    logits, _ = eqx.nn.inference_mode(model)(images, state=state)
    return logits


def accuracy(logits: np.ndarray | jax.Array, data: Digits) -> float:
    """The share of digits whose largest output is that of their own label."""
    return float((logits.argmax(axis=1) == data.labels).mean())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/digits")))
