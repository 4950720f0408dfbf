"""Pooling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch.nn.functional as F
from jax import Array, lax

from benchmarks.lowerings.timing import Case, Form, normal
from op_table.prelude import pooling, windows

BATCH = 8


def _case(name: str, channels: int, size: int, how: str, forms: Sequence[Form], reference: Callable) -> Case:
    shape = BATCH, channels, size, size
    text = f"{' x '.join(map(str, shape))}, {how}"
    return Case(name, text, (normal(*shape),), {form.__name__: form for form in forms}, reference)


def _slices(x: Array, kernel: int, stride: int, padding: int, value: float) -> list[Array]:
    """What each place of a window sees, along two axes."""
    x = jnp.pad(x, [(0, 0)] * 2 + [(padding, padding)] * 2, constant_values=value)
    count = [(n - kernel) // stride + 1 for n in x.shape[2:]]
    stop = [(n - 1) * stride + 1 for n in count]
    return [x[:, :, i : i + stop[0] : stride, j : j + stop[1] : stride] for i in range(kernel) for j in range(kernel)]


def _greatest(parts: Sequence[Array]) -> Array:
    total = parts[0]
    for part in parts[1:]:
        total = jnp.where((part > total) | jnp.isnan(part), part, total)
    return total


def max_pool(channels: int, size: int, kernel: int, stride: int, padding: int = 0) -> Case:
    def emitted(x: Array) -> Array:
        return jax.vmap(eqx.nn.MaxPool2d(kernel, stride, padding))(x)

    def reduced(x: Array) -> Array:
        return pooling.max_pool(x, (kernel, kernel), stride=stride, padding=padding)

    def maximum(x: Array) -> Array:
        """Of slices; equal maxima share the gradient, unlike torch's."""
        total, *others = _slices(x, kernel, stride, padding, -jnp.inf)
        for part in others:
            total = jnp.maximum(total, part)
        return total

    def greatest(x: Array) -> Array:
        """Of slices; the first maximum has the gradient, as in torch."""
        return _greatest(_slices(x, kernel, stride, padding, -jnp.inf))

    def axes(x: Array) -> Array:
        """Along one axis, then along the other."""
        x = jnp.pad(x, [(0, 0)] * 2 + [(padding, padding)] * 2, constant_values=-jnp.inf)
        for axis in (3, 2):
            stop = x.shape[axis] - kernel + 1
            x = _greatest([lax.slice_in_dim(x, i, i + stop, stride, axis) for i in range(kernel)])
        return x

    def reshaped(x: Array) -> Array:
        return jnp.max(x.reshape(*x.shape[:2], size // kernel, kernel, size // kernel, kernel), axis=(3, 5))

    forms = [emitted, reduced, maximum, greatest, axes]
    if kernel == stride and padding == 0 and size % kernel == 0:
        forms.append(reshaped)
    how = f"kernel {kernel}, stride {stride}, padding {padding}"
    reference = partial(F.max_pool2d, kernel_size=kernel, stride=stride, padding=padding)
    return _case("max_pool", channels, size, how, forms, reference)


def avg_pool(channels: int, size: int, kernel: int, stride: int, padding: int = 0) -> Case:
    def emitted(x: Array) -> Array:
        return pooling.avg_pool(x, (kernel, kernel), stride=stride, padding=padding)

    def added(x: Array) -> Array:
        first, *others = _slices(x, kernel, stride, padding, 0)
        return sum(others, start=first) / kernel**2

    def axes(x: Array) -> Array:
        x = jnp.pad(x, [(0, 0)] * 2 + [(padding, padding)] * 2)
        for axis in (3, 2):
            stop = x.shape[axis] - kernel + 1
            x = sum(
                (lax.slice_in_dim(x, i, i + stop, stride, axis) for i in range(1, kernel)),
                start=lax.slice_in_dim(x, 0, stop, stride, axis),
            )
        return x / kernel**2

    def reshaped(x: Array) -> Array:
        return jnp.mean(x.reshape(*x.shape[:2], size // kernel, kernel, size // kernel, kernel), axis=(3, 5))

    forms = [emitted, added, axes]
    if kernel == stride and padding == 0 and size % kernel == 0:
        forms.append(reshaped)
    how = f"kernel {kernel}, stride {stride}, padding {padding}"
    reference = partial(F.avg_pool2d, kernel_size=kernel, stride=stride, padding=padding)
    return _case("avg_pool", channels, size, how, forms, reference)


def adaptive_avg_pool(channels: int, size: int, target: int) -> Case:
    def emitted(x: Array) -> Array:
        return windows.adaptive_avg_pool(x, (target, target))

    def product(x: Array) -> Array:
        """A matrix product with the windows' weights along each axis."""
        for axis in (2, 3):
            index, inside = windows.adaptive_windows(x.shape[axis], target)
            matrix = np.zeros((target, x.shape[axis]), np.float32)
            share = inside / inside.sum(axis=1, keepdims=True)
            np.add.at(matrix, (np.arange(target)[:, None], index), share)
            x = jnp.moveaxis(jnp.moveaxis(x, axis, -1) @ matrix.T, -1, axis)
        return x

    forms = [emitted, product]
    if size % target == 0:
        kernel = size // target

        def reshaped(x: Array) -> Array:
            return jnp.mean(x.reshape(*x.shape[:2], target, kernel, target, kernel), axis=(3, 5))

        forms.append(reshaped)
    reference = partial(F.adaptive_avg_pool2d, output_size=target)
    return _case("adaptive_avg_pool", channels, size, f"to {target} x {target}", forms, reference)


def cases() -> Iterator[Case]:
    yield max_pool(64, 112, 3, 2, 1)
    yield max_pool(64, 32, 2, 2)
    yield max_pool(256, 14, 3, 1, 1)
    yield max_pool(128, 16, 5, 1, 2)
    yield avg_pool(64, 56, 2, 2)
    yield avg_pool(256, 14, 3, 1, 1)
    yield adaptive_avg_pool(512, 14, 7)
    yield adaptive_avg_pool(256, 13, 6)
