"""Runs an emitted module on torch's inputs: as it stands, or with everything in float64."""

from __future__ import annotations

import contextlib
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch

from translator import binding
from translator.reference import widened
from translator.trees import emitted_arguments, emitted_leaves, map_tensors

_WIDE = {"float32": "float64", "float16": "float64", "bfloat16": "float64", "complex64": "complex128"}


def wide_source(source: str) -> str:
    """The source with every dtype token (`jnp.float32` and its like) replaced by the wide one; strings and comments stay.

    Constants of numpy's keep the values that they have in their narrow dtype, see wide_numpy.py.
    """
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    lines = source.splitlines(keepends=True)
    for a, dot, b in reversed(list(zip(tokens, tokens[1:], tokens[2:], strict=False))):
        if a.string == "jnp" and dot.string == "." and b.string in _WIDE and b.type == tokenize.NAME:
            row, line = b.start[0] - 1, lines[b.start[0] - 1]
            lines[row] = line[: b.start[1]] + _WIDE[b.string] + line[b.end[1] :]
    return re.sub(r"^import numpy as np$", "from translator.wide_numpy import np", "".join(lines), flags=re.MULTILINE)


def _call(arrays: Any, rest: tuple[tuple, Any]) -> Any:
    """A model's call, its arrays apart from all else, which is static as under eqx.filter_jit."""
    model, args, kwargs = eqx.combine(arrays, jax.tree.unflatten(rest[1], rest[0]))
    return eqx.filter(model(*args, **kwargs), eqx.is_array_like)


class Runner:
    """An emitted source bound to tensors, ready to be called with torch's arguments.

    wide: under x64, with the source's dtypes, the tensors and the inputs in float64.
    """

    def __init__(
        self,
        source: str,
        constants: Mapping[str, torch.Tensor],
        state: Mapping[str, torch.Tensor],
        wide: bool = False,
    ):
        self.wide = wide
        with self.mode():
            self.module = binding.instantiate(wide_source(source) if wide else source, constants)
            state = {name: widened(tensor) for name, tensor in state.items()} if wide else state
            self.model: Any
            self.model, self.state = binding.bind(self.module, state)
        # In float64 nothing depends on how well XLA optimises, and compiling is most of what a verification costs.
        options = {"xla_backend_optimization_level": 0} if wide else {}
        self._jitted = jax.jit(_call, static_argnums=1, compiler_options=options)

    @contextlib.contextmanager
    def mode(self) -> Iterator[None]:
        """What a comparison runs under: matrix products in full precision, and x64 if wide."""
        with jax.enable_x64(self.wide), jax.default_matmul_precision("highest"):
            yield

    def run(self, args: tuple, kwargs: Mapping[str, Any], jit: bool = True) -> dict[str, np.ndarray]:
        """The outputs by name. args and kwargs are torch's."""
        args, kwargs = self.arguments(args), self.arguments(dict(kwargs))
        with self.mode():
            if not jit:  # numpy's arrays have no .at, and would compute in numpy
                args, kwargs = jax.tree.map(
                    lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, (args, kwargs)
                )
                return emitted_leaves(self.model(*args, **kwargs))
            arrays, rest = eqx.partition(
                (self.model, args, kwargs), lambda x: eqx.is_array(x) or isinstance(x, np.ndarray)
            )
            leaves, structure = jax.tree.flatten(rest)
            return emitted_leaves(self._jitted(arrays, (tuple(leaves), structure)))

    def arguments(self, value: Any) -> Any:
        """torch arguments as the emitted module takes them."""
        return emitted_arguments(map_tensors(widened, value) if self.wide else value, vars(self.module))
