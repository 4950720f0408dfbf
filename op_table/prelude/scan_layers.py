"""Layers that are alike, as one whose leaves are stacked."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jax import lax


def scan_layers(
    step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, layers: eqx.Module
) -> tuple[Any, Any]:
    """lax.scan over a stack of layers: step(carry, layer) is compiled once, however many there are."""
    arrays, static = eqx.partition(layers, eqx.is_array)

    def body(carry: Any, arrays: eqx.Module) -> tuple[Any, Any]:
        return step(carry, eqx.combine(arrays, static))

    return lax.scan(body, carry, arrays)
