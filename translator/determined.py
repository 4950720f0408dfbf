"""Random draws taken out, in torch and in an emitted module alike, so that all else can be compared number by number.

Every element is kept by dropout, and scaled as ever; uniform numbers are the middle of their range, normal ones their mean, integers
the least, and of weighted places the heaviest is taken. Whether the draws themselves are right is a matter of statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import torch

from translator.errors import TranslationError

aten = torch.ops.aten

# What an element is to alpha dropout that is dropped, before all are scaled: minus SELU's scale times its alpha.
ALPHA = -1.7580993408473766


def draws(op: Any) -> bool:
    """Whether an op of torch's draws random numbers."""
    tags = getattr(op, "tags", ())
    return torch.Tag.nondeterministic_seeded in tags or getattr(op, "overloadpacket", None) in _MEANING


def run(op: Any, args: tuple, kwargs: Mapping[str, Any]) -> Any:
    """What an op that draws gives where nothing is left to chance. Raises TranslationError for one that is not known here."""
    meaning = _MEANING.get(op.overloadpacket)
    if meaning is None:
        raise TranslationError(f"{op} draws random numbers in a way that verification cannot fix")
    given = {argument.name: argument.default_value for argument in op._schema.arguments}
    return meaning(op, given | dict(zip(given, args, strict=False)) | dict(kwargs))


def _dropout(op: Any, given: dict[str, Any]) -> torch.Tensor:
    x, p = given.get("input", given.get("self")), given["p"]
    if not given["train"]:
        return x
    return _written(op, x, x * 0 if p == 1 else x / (1 - p))


def _native_dropout(op: Any, given: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    x = given["input"]
    kept = x if given["train"] is False else x * 0 if given["p"] == 1 else x / (1 - given["p"])
    return kept, torch.ones_like(x, dtype=torch.bool)


def _alpha_dropout(op: Any, given: dict[str, Any]) -> torch.Tensor:
    x, p = given.get("input", given.get("self")), given["p"]
    if not given["train"]:
        return x
    scale = 0.0 if p == 1 else ((1 - p) * (1 + p * ALPHA**2)) ** -0.5
    return _written(op, x, x * 0 if p == 1 else scale * x - scale * ALPHA * p)


def _attention(op: Any, given: dict[str, Any]) -> torch.Tensor:
    """The scale of the weights that are kept is one of the result, too."""
    p, given["dropout_p"] = given["dropout_p"], 0.0
    found = op(**{("query" if n == "self" else n): v for n, v in given.items()})
    return found if p == 0 else found * 0 if p == 1 else found / (1 - p)


def _recurrent(op: Any, given: dict[str, Any]) -> Any:
    """What is between two layers is scaled by the weights of the second."""
    p, train = given["dropout"], given["train"]
    given["dropout"] = 0.0
    if train and p:
        weights, layers = list(given["params"]), given["num_layers"]
        per_layer = len(weights) // layers
        each = per_layer // (2 if given["bidirectional"] else 1)
        for place in range(per_layer, len(weights), each):
            weights[place] = weights[place] * (0.0 if p == 1 else 1 / (1 - p))
        given["params"] = weights
    return op(*given.values())


def _rrelu(op: Any, given: dict[str, Any]) -> torch.Tensor:
    x = given.get("self")
    if not given["training"]:
        given.pop("generator", None)
        return op(*given.values())
    return _written(op, x, torch.nn.functional.leaky_relu(x, (given["lower"] + given["upper"]) / 2))


def _filled(value: Callable[[dict[str, Any]], Any]) -> Callable:
    """Of what op would give, every element by value."""

    def meaning(op: Any, given: dict[str, Any]) -> torch.Tensor:
        found = op(**given) if "self" not in given else op(given.pop("self"), **given)
        with torch.no_grad():
            return found.copy_(torch.as_tensor(value(given)).expand(found.shape))

    return meaning


def _written(op: Any, x: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return x.copy_(value) if op._schema.is_mutable else value


def _middle(given: dict[str, Any]) -> float:
    return (given.get("from", 0.0) + given.get("to", 1.0)) / 2


def _permutation(op: Any, given: dict[str, Any]) -> torch.Tensor:
    return torch.arange(given["n"], dtype=given.get("dtype") or torch.int64)


def _multinomial(op: Any, given: dict[str, Any]) -> torch.Tensor:
    count = given["num_samples"]
    order = given["self"].sort(dim=-1, descending=True, stable=True)[1]
    if given["replacement"]:
        return order[..., :1].expand(*order.shape[:-1], count)
    return order[..., :count]


_MEANING: dict[Any, Callable] = {
    **dict.fromkeys((aten.dropout, aten.dropout_, aten.feature_dropout, aten.feature_dropout_), _dropout),
    **dict.fromkeys(
        (aten.alpha_dropout, aten.alpha_dropout_, aten.feature_alpha_dropout, aten.feature_alpha_dropout_),
        _alpha_dropout,
    ),
    aten.native_dropout: _native_dropout,
    aten.scaled_dot_product_attention: _attention,
    **dict.fromkeys((aten.lstm, aten.gru, aten.rnn_tanh, aten.rnn_relu), _recurrent),
    **dict.fromkeys((aten.rrelu, aten.rrelu_), _rrelu),
    **dict.fromkeys((aten.bernoulli, aten.bernoulli_), _filled(lambda given: 1.0)),
    **dict.fromkeys((aten.rand, aten.rand_like, aten.uniform_, aten.uniform), _filled(_middle)),
    **dict.fromkeys((aten.randn, aten.randn_like), _filled(lambda given: 0.0)),
    **dict.fromkeys((aten.normal, aten.normal_), _filled(lambda given: given.get("mean", 0.0))),
    **dict.fromkeys((aten.randint, aten.randint_like), _filled(lambda given: given.get("low", 0))),
    aten.randperm: _permutation,
    **dict.fromkeys((aten.exponential, aten.exponential_), _filled(lambda given: 1 / given.get("lambd", 1.0))),
    **dict.fromkeys((aten.cauchy, aten.cauchy_), _filled(lambda given: given.get("median", 0.0))),
    aten.multinomial: _multinomial,
}


class Kept(eqx.Module):
    """eqx.nn.Dropout that keeps every element, and scales it as ever."""

    p: float
    inference: bool

    def __call__(self, x: jax.Array, *, key: Any = None) -> jax.Array:
        return x if self.inference else x / (1 - self.p)


def kept(model: Any) -> Any:
    """model without the chance of its eqx.nn.Dropout layers."""
    is_dropout = lambda leaf: isinstance(leaf, eqx.nn.Dropout)
    return jax.tree.map(
        lambda leaf: Kept(leaf.p, leaf.inference) if is_dropout(leaf) else leaf, model, is_leaf=is_dropout
    )


class Jax:
    """jax as an emitted module sees it where nothing is left to chance."""

    def __init__(self) -> None:
        self.random = _Random()

    def __getattr__(self, name: str) -> Any:
        return getattr(jax, name)


class _Random:
    """jax.random without chance."""

    def __getattr__(self, name: str) -> Any:
        if name in ("key", "split", "fold_in", "PRNGKey"):
            return getattr(jax.random, name)
        raise TranslationError(f"jax.random.{name} draws random numbers in a way that verification cannot fix")

    def bernoulli(self, key: Any, p: Any = 0.5, shape: Any = None) -> jax.Array:
        return jnp.ones(jnp.shape(p) if shape is None else shape, bool)

    def uniform(self, key: Any, shape: Any = (), dtype: Any = float, minval: Any = 0.0, maxval: Any = 1.0) -> jax.Array:
        return jnp.broadcast_to(jnp.asarray((minval + maxval) / 2, dtype), shape)

    def normal(self, key: Any, shape: Any = (), dtype: Any = float) -> jax.Array:
        return jnp.zeros(shape, dtype)

    def exponential(self, key: Any, shape: Any = (), dtype: Any = float) -> jax.Array:
        return jnp.ones(shape, dtype)

    def cauchy(self, key: Any, shape: Any = (), dtype: Any = float) -> jax.Array:
        return jnp.zeros(shape, dtype)

    def categorical(
        self, key: Any, logits: jax.Array, axis: int = -1, shape: Any = None, replace: bool = True
    ) -> jax.Array:
        order = jnp.argsort(-logits, axis=axis, stable=True)
        count = 1 if shape is None else shape[0]
        taken = jnp.moveaxis(order, axis, 0)[: 1 if replace else count]
        return taken[0] if shape is None else jnp.broadcast_to(taken, shape)

    def randint(self, key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = int) -> jax.Array:
        return jnp.broadcast_to(jnp.asarray(minval, dtype), shape)

    def permutation(self, key: Any, x: Any) -> jax.Array:
        return jnp.arange(x) if isinstance(x, int) else x


__all__ = ["Jax", "draws", "run"]
