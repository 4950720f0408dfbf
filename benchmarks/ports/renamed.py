"""Fills a module of another package with the tensors of torch's, by a table of their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from safetensors.numpy import load_file

Names = Mapping[str, str | Callable[[re.Match], str]]
"""Patterns of paths of leaves, and what they are in torch's names, as re.sub takes it."""


def filled(build: Callable[[jax.Array], eqx.Module], path: str, names: Names) -> eqx.Module:
    """What build makes of a key, with each leaf that of its name in a safetensors file, in evaluation mode.

    Raises KeyError for a name that is not there, ValueError where a shape is of another size or a tensor is left over.
    """
    tensors = load_file(path)

    def fill(where: tuple, leaf: jax.ShapeDtypeStruct | object) -> jax.Array | object:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        name = jax.tree_util.keystr(where, simple=True, separator=".")
        for pattern, torchs in names.items():
            name, found = re.subn(f"^{pattern}", torchs, name)
            if found:
                break
        return jnp.asarray(tensors.pop(name)).reshape(leaf.shape)

    skeleton = eqx.filter_eval_shape(build, jax.random.key(0))
    model = jax.tree_util.tree_map_with_path(fill, skeleton)
    if tensors:
        raise ValueError(f"{', '.join(tensors)} are left over")
    return eqx.nn.inference_mode(model)


class OfImages(eqx.Module):
    """A model of one image, for a batch of them."""

    model: eqx.Module

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.vmap(lambda image: self.model(image, key=jax.random.key(0), inference=True))(x)
