"""What the examples share: the order of the batches, and the plot of the losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def shuffled_batches(examples: int, size: int, epochs: int, seed: int = 0) -> list[np.ndarray]:
    """The numbers of each batch's examples: every epoch in a new order, and without what is left over at its end."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(examples) for _ in range(epochs)]
    return [order[start : start + size] for order in orders for start in range(0, examples - size + 1, size)]


def plot_losses(path: Path, title: str, by_torch: Sequence[float], by_equinox: Sequence[float]) -> None:
    """Write both loss curves to an image."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(by_torch, color="tab:orange", linewidth=4, alpha=0.5, label="torch")
    axes.plot(by_equinox, color="tab:blue", linewidth=1, label="Equinox")
    axes.set(title=title, xlabel="step", ylabel="training loss", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=150)
