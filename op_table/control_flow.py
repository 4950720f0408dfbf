"""Control flow: the bodies of torch's higher-order ops are functions, which read what they need of the code around them."""

from __future__ import annotations

import math
from typing import Any

from op_table.expr import (
    Attribute,
    Call,
    Conditional,
    Expr,
    Function,
    Inference,
    Prelude,
    Size,
    Subscript,
    eqx,
    jax,
    jnp,
    lax,
    prelude,
    static,
    values,
    walk,
)
from op_table.prelude import flex_attention as real
from op_table.registry import Unsupported, lowers


def _together(parts: Any) -> Any:
    """Several arrays that are carried or scanned as one are a tuple."""
    return tuple(parts) if isinstance(parts, list) else parts


lowers("translator.gradients.stop_gradient")(lax.stop_gradient)
lowers("translator.modes.choose")(lambda evaluation, training: Conditional(Inference(), evaluation, training))
lowers("translator.state.read")(lambda state, buffer: state.get(buffer))


@lowers("translator.state.write")
def write_state(state: Expr, *held: Expr, training_alone: bool = False) -> Expr:
    written = state
    for buffer, value in zip(held[::2], held[1::2], strict=True):
        written = written.set(buffer, value)
    return Conditional(Inference(), state, written) if training_alone else written


@lowers("translator.remat.checkpoint")
def checkpoint(function: Function, inputs: list) -> Expr:
    function.spelled_out = True  # Equinox warns of a layer within jax.vmap, which is no pytree
    return eqx.filter_checkpoint(function)(*inputs)  # jax.checkpoint takes no module, which has no hash


@lowers("higher_order.cond.default")
def cond(predicate: Any, when_true: Function, when_false: Function) -> Expr:
    if isinstance(predicate, Expr) and predicate.ndim:
        predicate = predicate.reshape(())
    return lax.cond(predicate, when_true, when_false)


@lowers("higher_order.while_loop.default")
def while_loop(unfinished: Function, advance: Function, start: Any) -> Expr:
    return lax.while_loop(unfinished, advance, _together(start))


@lowers("higher_order.scan.default")
def scan(advance: Function, start: Any, xs: Any) -> Expr:
    if isinstance(xs, list) and not xs:
        raise Unsupported("scan over no arrays")
    return lax.scan(advance, _together(start), _together(xs))


@lowers("higher_order.map_impl.default")
def map_impl(each: Function, xs: Any) -> Expr:
    return lax.map(each, _together(xs))


@lowers("higher_order.associative_scan.default")
def associative_scan(combine: Function, xs: Any) -> Expr:
    # JAX combines many elements in one call, torch two.
    function = combine if _elementwise(combine) else jax.vmap(combine)
    return lax.associative_scan(function, _together(xs))


_ELEMENTWISE = {
    "exp",
    "log",
    "log1p",
    "expm1",
    "logaddexp",
    "tanh",
    "sqrt",
    "maximum",
    "minimum",
    "where",
    "sigmoid",
    "abs",
}


def _elementwise(function: Function) -> bool:
    """Whether a function does the same over a further leading axis of all its arguments."""
    given = list(values(function.parameters))
    made = [target for targets, _ in function.steps for target in targets if target is not None]
    if len({value.ndim for value in (*given, *made)}) > 1 or any(v.ndim > given[0].ndim for v in function.free()):
        return False
    return all(_is_elementwise(part) for _, expr in function.steps for part in walk(expr))


def _is_elementwise(part: Any) -> bool:
    match part:
        case Call():
            return isinstance(part.function, Attribute) and part.function.attribute in _ELEMENTWISE and not part.kwargs
        case Function() | Subscript() | Prelude() | Size() | tuple() | list():
            return False
    return True


@lowers("higher_order.flex_attention.default")
def flex_attention(
    query: Expr, key: Expr, value: Expr, score_mod: Function, mask_mod: Function, scale: float
) -> tuple[Expr, Expr, Expr]:
    """The output, and of the scores the logsumexp and the largest."""
    functions: dict[str, Any] = {
        "score_mod": None if score_mod.result is score_mod.parameters[0] else score_mod,
        "mask_mod": None if _always(mask_mod) else mask_mod,
    }
    features = query.shape[-1]
    usual = static(features) and math.isclose(scale, features**-0.5, rel_tol=1e-15)
    functions["scale"] = None if usual else scale
    options = {name: option for name, option in functions.items() if option is not None}
    scores = prelude(real.flex_scores)(query, key, **options)
    output = prelude(real.flex_attention)(query, key, value, **options)
    return output, jax.nn.logsumexp(scores, axis=-1), jnp.max(scores, axis=-1)


def _always(mask: Function) -> bool:
    """Whether a mask is True wherever it is asked for."""
    made = [(targets, expr) for targets, expr in mask.steps]
    if len(made) != 1 or made[0][0] != (mask.result,):
        return False
    call = made[0][1]
    return (
        isinstance(call, Call)
        and isinstance(call.function, Attribute)
        and call.function.attribute in ("ones", "full_ones")
    )
