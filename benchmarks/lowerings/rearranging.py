"""Forms of ops that resize, shift, pick, order or accumulate."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import Array, lax

from benchmarks.lowerings.timing import Case, integers, normal
from op_table.prelude import interpolation, order

BATCH = 8


def nearest(channels: int, size: int) -> Case:
    """To twice the size."""

    def repeated(x: Array) -> Array:
        return jnp.repeat(jnp.repeat(x, 2, axis=2), 2, axis=3)

    def broadcast(x: Array) -> Array:
        y = jnp.broadcast_to(x[:, :, :, None, :, None], (*x.shape[:3], 2, size, 2))
        return y.reshape(*x.shape[:2], 2 * size, 2 * size)

    def taken(x: Array) -> Array:
        places = np.arange(2 * size) // 2
        return jnp.take(jnp.take(x, places, axis=2), places, axis=3)

    return Case(
        "nearest",
        f"{BATCH} x {channels} x {size} x {size} to twice",
        (normal(BATCH, channels, size, size),),
        {f.__name__: f for f in (repeated, broadcast, taken)},
        partial(F.interpolate, scale_factor=2),
    )


def nearest_uneven(channels: int, size: int, target: int) -> Case:
    emitted = partial(interpolation.upsample_nearest, size=(target, target))

    def product(x: Array) -> Array:
        place = np.minimum(
            np.floor(np.arange(target, dtype=np.float32) * np.float32(size / target)).astype(int), size - 1
        )
        matrix = np.eye(size, dtype=np.float32)[place]
        return matrix @ x @ matrix.T

    return Case(
        "nearest",
        f"{BATCH} x {channels} x {size} x {size} to {target} x {target}",
        (normal(BATCH, channels, size, size),),
        {"emitted": emitted, "product": product},
        partial(F.interpolate, size=target),
    )


def bilinear(channels: int, size: int, target: int) -> Case:
    emitted = partial(interpolation.upsample_linear, size=(target, target))
    index, weight = interpolation.linear_taps(size, target, None, np.float32, False)
    matrix = np.zeros((target, size), np.float32)
    np.add.at(matrix, (np.arange(target)[:, None], index), weight)

    def product(x: Array) -> Array:
        """Matrix products with the taps."""
        return matrix @ (x @ matrix.T)

    def shifted(x: Array) -> Array:
        """For each phase of an integral factor two shifted slices, interleaved."""
        factor = target // size
        for axis in (2, 3):
            padded = jnp.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(4)], mode="edge")
            parts = []
            for phase in range(factor):
                place = (phase + 0.5) / factor - 0.5
                low = int(np.floor(place))
                one, two = (lax.slice_in_dim(padded, 1 + low + n, 1 + low + n + size, axis=axis) for n in (0, 1))
                parts.append(one * (1 - (place - low)) + two * (place - low))
            x = jnp.stack(parts, axis=axis + 1)
            x = x.reshape(*x.shape[:axis], target, *x.shape[axis + 2 :])
        return x

    return Case(
        "bilinear",
        f"{BATCH} x {channels} x {size} x {size} to {target} x {target}",
        (normal(BATCH, channels, size, size),),
        {"emitted": emitted, "product": product} | ({"shifted": shifted} if target % size == 0 else {}),
        partial(F.interpolate, size=target, mode="bilinear"),
    )


def roll(channels: int, size: int) -> Case:
    def emitted(x: Array) -> Array:
        return jnp.roll(x, (-3, -3), axis=(1, 2))

    def joined(x: Array) -> Array:
        x = jnp.concatenate([x[:, 3:], x[:, :3]], axis=1)
        return jnp.concatenate([x[:, :, 3:], x[:, :, :3]], axis=2)

    return Case(
        "roll",
        f"{BATCH} x {size} x {size} x {channels}",
        (normal(BATCH, size, size, channels),),
        {"emitted": emitted, "joined": joined},
        lambda x: torch.roll(x, (-3, -3), (1, 2)),
    )


def gather(rows: int, columns: int, count: int) -> Case:
    def clipped(x: Array, index: Array) -> Array:
        return jnp.take_along_axis(x, index, axis=1, mode="clip")

    def promised(x: Array, index: Array) -> Array:
        return jnp.take_along_axis(x, index, axis=1, mode="promise_in_bounds")

    return Case(
        "gather",
        f"{count} of {rows} x {columns}",
        (normal(rows, columns), integers(columns, rows, count)),
        {"emitted": partial(jnp.take_along_axis, axis=1), "clipped": clipped, "promised": promised},
        lambda x, index: torch.gather(x, 1, index),
    )


def index_add(rows: int, features: int, count: int) -> Case:
    def emitted(x: Array, index: Array, y: Array) -> Array:
        return x.at[index].add(y)

    def segments(x: Array, index: Array, y: Array) -> Array:
        order = jnp.argsort(index)
        return x.at[index[order]].add(y[order], indices_are_sorted=True)

    def product(x: Array, index: Array, y: Array) -> Array:
        return x + jax.nn.one_hot(index, rows, axis=0) @ y

    return Case(
        "index_add",
        f"{count} x {features} to {rows}",
        (normal(rows, features), integers(rows, count), normal(count, features)),
        {f.__name__: f for f in (emitted, segments, product)},
        lambda x, index, y: x.index_add(0, index, y),
    )


def sort(rows: int, columns: int) -> Case:
    def emitted(x: Array) -> Array:
        """Both results."""
        return jnp.sort(x, axis=-1) + jnp.argsort(x, axis=-1)

    def once(x: Array) -> Array:
        places = lax.broadcasted_iota(int, x.shape, 1)
        values, places = lax.sort((x, places), num_keys=1, is_stable=True)
        return values + places

    def taken(x: Array) -> Array:
        places = jnp.argsort(x, axis=-1)
        return jnp.take_along_axis(x, places, axis=-1) + places

    def reference(x: torch.Tensor) -> torch.Tensor:
        values, places = torch.sort(x, dim=-1, stable=True)
        return values + places

    return Case(
        "sort",
        f"{rows} x {columns}",
        (normal(rows, columns),),
        {f.__name__: f for f in (emitted, once, taken)},
        reference,
    )


def top_k(rows: int, columns: int, k: int) -> Case:
    def emitted(x: Array) -> Array:
        values, places = order.top_k(x, k)
        return values + places

    def direct(x: Array) -> Array:
        values, places = lax.top_k(x, k)
        return values + places

    def by_sort(x: Array) -> Array:
        places = jnp.argsort(x, axis=-1, descending=True)[:, :k]
        return jnp.take_along_axis(x, places, axis=-1) + places

    def repeated(x: Array) -> Array:
        values, places, rest = [], [], x
        for _ in range(k):
            best = jnp.argmax(rest, axis=-1)
            values.append(jnp.take_along_axis(x, best[:, None], axis=-1)[:, 0])
            places.append(best)
            rest = jnp.where(jnp.arange(columns) == best[:, None], -jnp.inf, rest)
        return jnp.stack(values, -1) + jnp.stack(places, -1)

    def reference(x: torch.Tensor) -> torch.Tensor:
        values, places = torch.topk(x, k)
        return values + places

    forms = (emitted, direct, by_sort) + (repeated,) * (k < 10)
    return Case(
        "top_k", f"{k} of {rows} x {columns}", (normal(rows, columns),), {f.__name__: f for f in forms}, reference
    )


def cumulative(kind: str, before: int, length: int, behind: int) -> Case:
    emitted = {"cumsum": jnp.cumsum, "cumprod": jnp.cumprod, "logcumsumexp": lax.cumlogsumexp}[kind]
    one = {"cumsum": lax.add, "cumprod": lax.mul, "logcumsumexp": jnp.logaddexp}[kind]

    def associative(x: Array) -> Array:
        return lax.associative_scan(one, x, axis=1)

    def scanned(x: Array) -> Array:
        first = x[:, 0]
        y = lax.scan(lambda carry, now: (new := one(carry, now), new), first, jnp.moveaxis(x[:, 1:], 1, 0))[1]
        return jnp.concatenate([first[:, None], jnp.moveaxis(y, 0, 1)], axis=1)

    def doubling(x: Array) -> Array:
        shift = 1
        while shift < length:
            x = jnp.concatenate([x[:, :shift], one(x[:, :-shift], x[:, shift:])], axis=1)
            shift *= 2
        return x

    def triangle(x: Array) -> Array:
        return jnp.einsum("ij,bjc->bic", jnp.tri(length, dtype=x.dtype), x)

    def blocks(x: Array) -> Array:
        size = 32
        y = x.reshape(before, -1, size, behind)
        y = jnp.einsum("ij,bnjc->bnic", jnp.tri(size, dtype=x.dtype), y)
        ends = jnp.einsum("ij,bjc->bic", jnp.tri(length // size, k=-1, dtype=x.dtype), y[:, :, -1])
        return (y + ends[:, :, None]).reshape(x.shape)

    forms = [associative, scanned, doubling]
    if kind == "cumsum":
        forms += [triangle] + [blocks] * (length % 32 == 0)
    values = normal(before, length, behind)
    values = 1 + values / 100 if kind == "cumprod" else values
    return Case(
        kind,
        f"{before} x {length} x {behind}, axis 1",
        (values,),
        {"emitted": partial(emitted, axis=1)} | {f.__name__: f for f in forms},
        partial(getattr(torch, kind), dim=1),
    )


def cummax(rows: int, columns: int) -> Case:
    def emitted(x: Array) -> Array:
        return order.cumulative_max(x, 1)[0]

    return Case(
        "cummax",
        f"{rows} x {columns}, values",
        (normal(rows, columns),),
        {"emitted": emitted, "own": partial(lax.cummax, axis=1)},
        lambda x: torch.cummax(x, 1)[0],
    )


def cases() -> Iterator[Case]:
    yield nearest(256, 14)
    yield nearest(64, 56)
    yield nearest_uneven(64, 20, 33)
    yield bilinear(64, 28, 56)
    yield bilinear(21, 28, 224)
    yield bilinear(256, 7, 14)
    yield roll(96, 56)
    yield gather(1024, 1000, 1)
    yield gather(256, 256, 256)
    yield index_add(1000, 64, 4000)
    yield index_add(64, 64, 4000)
    yield sort(256, 1000)
    yield sort(8, 30000)
    yield top_k(256, 1000, 5)
    yield top_k(8, 30000, 50)
    yield cumulative("cumsum", 64, 50, 1)
    yield cumulative("cumsum", 8, 4096, 32)
    for kind in ("cumsum", "cumprod", "logcumsumexp"):
        yield cumulative(kind, 8, 1024, 1)
        yield cumulative(kind, 8, 128, 256)
    yield cummax(64, 1000)
