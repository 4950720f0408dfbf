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
import numpy as np
import torch

from translator import binding, determined
from translator.reference import widened
from translator.trees import emitted_arguments, emitted_leaves, map_tensors

# What stands before the name of a buffer among outputs.
BUFFER = "buffer "

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

    wide: under x64, with the source's dtypes, the tensors and the inputs in float64. takes_key: whether the root draws random
    numbers, which are then not left to chance (see `determined`).
    """

    def __init__(
        self,
        source: str,
        constants: Mapping[str, torch.Tensor],
        state: Mapping[str, torch.Tensor],
        wide: bool = False,
        takes_key: bool = False,
    ):
        self.wide = wide
        with self.mode():
            self.module = binding.instantiate(wide_source(source) if wide else source, constants)
            self.tensors = {name: widened(tensor) for name, tensor in state.items()} if wide else dict(state)
            self.model: Any
            self.model, self.state = binding.bind(self.module, self.tensors)
            self.key = jax.random.key(0) if takes_key else None
        if takes_key:
            vars(self.module)["jax"] = determined.Jax()
            self.model = determined.kept(self.model)
        # In float64 nothing depends on how well XLA optimises, and compiling is most of what a verification costs.
        options = {"xla_backend_optimization_level": 0} if wide else {}
        self._jitted = jax.jit(_call, static_argnums=1, compiler_options=options)

    @contextlib.contextmanager
    def mode(self) -> Iterator[None]:
        """What a comparison runs under: matrix products in full precision, and x64 if wide."""
        with jax.enable_x64(self.wide), jax.default_matmul_precision("highest"):
            yield

    def run(
        self, args: tuple, kwargs: Mapping[str, Any], jit: bool = True, inference: bool = False
    ) -> dict[str, np.ndarray]:
        """The outputs by name, and what buffers that forward writes to hold afterwards. args and kwargs are torch's.

        inference: whether the model is in evaluation mode where it was translated in training mode.
        """
        args, kwargs = self.arguments(args), self.arguments(dict(kwargs)) | self.carried()
        model = eqx.nn.inference_mode(self.model) if inference else self.model
        with self.mode():
            if not jit:  # numpy's arrays have no .at, and would compute in numpy
                args, kwargs = jax.tree.map(
                    lambda x: jax.device_put(x) if isinstance(x, np.ndarray) else x, (args, kwargs)
                )
                result = model(*args, **kwargs)
            else:
                arrays, rest = eqx.partition(
                    (model, args, kwargs), lambda x: eqx.is_array(x) or isinstance(x, np.ndarray)
                )
                leaves, structure = jax.tree.flatten(rest)
                result = self._jitted(arrays, (tuple(leaves), structure))
            if self.state is None:
                return emitted_leaves(result)
            return emitted_leaves(result[0]) | self.buffers(result[1])

    def carried(self) -> dict[str, Any]:
        """The state and the key that the model is called with, where it takes them."""
        given = {} if self.state is None else {"state": jax.tree.map(lambda leaf: leaf, self.state)}
        return given if self.key is None else given | {"key": self.key}

    def buffers(self, state: Any) -> dict[str, np.ndarray]:
        """What the buffers in a state hold, each by BUFFER and its torch name."""
        indices = jax.tree.map(
            lambda leaf: leaf if isinstance(leaf, eqx.nn.StateIndex) else None, self.model, is_leaf=binding.is_index
        )
        held = binding.named_leaves(indices, self.tensors, state)
        return {f"{BUFFER}{name}": np.asarray(leaf) for name, leaf in held}

    def arguments(self, value: Any) -> Any:
        """torch arguments as the emitted module takes them."""
        return emitted_arguments(map_tensors(widened, value) if self.wide else value, vars(self.module))
