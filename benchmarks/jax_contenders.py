"""The translation, and ports by hand: Equinox modules whose leaves' paths are torch's names."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import lax

from benchmarks.contenders import Local
from benchmarks.results import EMITTED, PORT
from tests.zoo.case import Case
from translator.trees import emitted_arguments, emitted_leaves


def translation(case: Case, folder: Path) -> Local:
    """The translation that was saved in folder."""
    return _contender(EMITTED, case, imported(folder / "model.py"), folder)


def plain(case: Case, folder: Path) -> Local:
    """The translation that was saved in folder, with each layer of eqx.nn.Conv, and each convolution, computed as Equinox does."""
    module = imported(folder / "model.py")
    for name in list(vars(module)):
        if name.startswith("convolve"):
            setattr(module, name, lambda layer, x: jax.vmap(layer)(x))
        elif name.endswith("_conv"):
            setattr(module, name, _whole)
    return _contender("eqx.nn.Conv2d", case, module, folder)


def without_depthwise(case: Case, folder: Path) -> Local:
    """The translation that was saved in folder, with depthwise convolutions that take no time, nor compute anything."""
    module = imported(folder / "model.py")
    module.depthwise_conv = _skipped
    return _contender("no depthwise convolutions", case, module, folder)


def _skipped(x: jax.Array, weight: jax.Array, stride: Any, padding: Any, dilation: Any) -> jax.Array:
    """x at the size of its convolution."""
    result = jax.eval_shape(lambda: _whole(x, weight, stride, padding, dilation))
    x = x[:, :, *(slice(None, None, step) for step in stride)]
    added = [(0, size - given, 0) for size, given in zip(result.shape, x.shape, strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), added)


def _whole(
    x: jax.Array, weight: jax.Array, stride: Any = (), padding: Any = (), dilation: Any = None, *_: int
) -> jax.Array:
    """A convolution as it stands. Without a stride it goes in steps of its kernel's size, without a padding it has none."""
    kernel = weight.shape[2:]
    return lax.conv_general_dilated(
        x,
        weight,
        stride or kernel,
        padding or [(0, 0)] * len(kernel),
        rhs_dilation=dilation,
        feature_group_count=x.shape[1] // weight.shape[1],
    )


def port(case: Case, file: Path, weights: Path, constants: Mapping[str, int]) -> Local:
    """A file whose `load` takes the path of a safetensors file with torch's names. constants: what to set in it before."""
    module = imported(file)
    vars(module).update(constants)
    return _contender(PORT, case, module, weights)


def imported(file: Path) -> ModuleType:
    """A file as a module, under a name that it has to itself."""
    name = f"benchmarks_imported_{file.parent.name}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where Equinox looks for the annotations of its classes
    spec.loader.exec_module(module)
    return module


def loss_of(outputs: Any) -> jax.Array:
    """The sum over the floating arrays of their mean squares."""
    return sum(
        (jnp.mean(jnp.square(x)) for x in jax.tree.leaves(eqx.filter(outputs, eqx.is_inexact_array))), jnp.zeros(())
    )


def trained(model: Any, module: torch.nn.Module) -> Any:
    """A tree like model: True for each array that torch trains, by its name."""
    frozen = {name for name, _ in module.named_buffers()}
    frozen |= {name for name, parameter in module.named_parameters() if not parameter.requires_grad}

    def is_trained(where: tuple, leaf: Any) -> bool:
        name = jax.tree_util.keystr(where, simple=True, separator=".")
        return eqx.is_inexact_array(leaf) and frozen.isdisjoint({name, name.removeprefix("layers.")})

    return jax.tree_util.tree_map_with_path(is_trained, model)


def jax_arguments(value: Any, classes: Mapping[str, Any] | None = None) -> Any:
    """torch arguments as arrays of JAX."""
    arguments = emitted_arguments(value, classes or {})
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, arguments)


def _contender(name: str, case: Case, module: ModuleType, weights: Path) -> Local:
    model = module.load(str(weights))
    args, kwargs = jax_arguments(case.args, vars(module)), jax_arguments(case.kwargs, vars(module))
    trainable, rest = eqx.partition(model, trained(model, case.module))
    forward = eqx.filter_jit(lambda model, args, kwargs: model(*args, **kwargs))

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def step(trainable: Any, rest: Any, args: tuple, kwargs: dict) -> jax.Array:
        return loss_of(eqx.combine(trainable, rest)(*args, **kwargs))

    def waiting(function: Callable, *arguments: Any) -> Callable[[], Any]:
        return lambda: jax.block_until_ready(function(*arguments))

    calls = {
        "forward": waiting(forward, model, args, kwargs),
        "step": waiting(step, trainable, rest, args, kwargs),
    }

    def results() -> dict[str, np.ndarray]:
        leaves = emitted_leaves(calls["forward"]())
        return {name: leaf for name, leaf in leaves.items() if jnp.issubdtype(leaf.dtype, jnp.floating)}

    return Local(name, calls, results)
