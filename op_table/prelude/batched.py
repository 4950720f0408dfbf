"""Layers of one example, over batches."""

import math
from collections.abc import Callable

import jax
from jaxtyping import Array


def batched(layer: Callable[[Array], Array], event_ndim: int = 1) -> Callable[[Array], Array]:
    """Lift an eqx.nn layer, which takes one example of event_ndim axes, over all leading axes."""

    def apply(x: Array) -> Array:
        leading, event = x.shape[: x.ndim - event_ndim], x.shape[x.ndim - event_ndim :]
        y = jax.vmap(layer)(x.reshape(math.prod(leading), *event))
        return y.reshape(*leading, *y.shape[1:])

    return apply
