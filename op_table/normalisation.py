"""Normalisations: over the last axes, over groups of channels, over given statistics."""

from __future__ import annotations

from op_table.dtypes import cast, is_float, written
from op_table.expr import Expr, jnp, lax, prelude
from op_table.prelude import normalisation as real
from op_table.registry import Unsupported, lowers

_TRAINING = (
    "batch normalisation in training mode, which updates running statistics, within a branch or the body of a loop"
)


def _given(**options: object) -> dict:
    return {name: option for name, option in options.items() if option is not None}


def positional(*operands: Expr | None) -> tuple:
    """Optional operands as a call takes them in order: those at the end that are None are left out."""
    count = max((i + 1 for i, operand in enumerate(operands) if operand is not None), default=0)
    return operands[:count]


@lowers("aten.layer_norm.default")
def layer_norm(input: Expr, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True) -> Expr:
    affine = positional(weight, bias)
    return prelude(real.layer_norm)(input, len(normalized_shape), *affine, eps=eps)


@lowers("aten.native_layer_norm.default")
def native_layer_norm(input: Expr, normalized_shape, weight, bias, eps) -> tuple:
    statistics = prelude(real.layer_norm_statistics)(input, len(normalized_shape), eps=eps)
    statistics = [cast(statistics[i], input.dtype) for i in (0, 1)]
    return layer_norm(input, normalized_shape, weight, bias, eps), statistics[0], statistics[1]


@lowers("aten.rms_norm.default")
def rms_norm(input: Expr, normalized_shape, weight=None, eps=None) -> Expr:
    return prelude(real.rms_norm)(input, len(normalized_shape), *positional(weight), **_given(eps=eps))


@lowers("aten.group_norm.default")
def group_norm(input: Expr, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True) -> Expr:
    return prelude(real.group_norm)(input, num_groups, *positional(weight, bias), eps=eps)


@lowers("aten.native_group_norm.default")
def native_group_norm(input: Expr, weight, bias, N, C, HxW, group, eps) -> tuple:
    statistics = prelude(real.group_norm_statistics)(input, group, eps=eps)
    return group_norm(input, group, weight, bias, eps), statistics[0], statistics[1]


@lowers("aten.instance_norm.default")
def instance_norm(
    input: Expr, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled=True
) -> Expr:
    if not use_input_stats:
        return prelude(real.batch_norm)(input, running_mean, running_var, *positional(weight, bias), eps=eps)
    if running_mean is not None:
        raise Unsupported(
            "instance normalisation that updates running statistics, within a branch or the body of a loop"
        )
    return group_norm(input, input.shape[1], weight, bias, eps)


@lowers("aten.batch_norm.default")
def batch_norm(
    input: Expr, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=True
) -> Expr:
    if training and running_mean is not None:
        raise Unsupported(_TRAINING)
    mean, var = _batch_statistics(input) if training else (running_mean, running_var)
    return prelude(real.batch_norm)(input, mean, var, *positional(weight, bias), eps=eps)


@lowers("aten._native_batch_norm_legit_no_training.default")
def native_batch_norm_no_training(input: Expr, weight, bias, running_mean, running_var, momentum, eps) -> tuple:
    nothing = jnp.zeros(0, written(input.dtype))
    return batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps), nothing, nothing


@lowers("aten._native_batch_norm_legit.no_stats")
def native_batch_norm_of_batch(input: Expr, weight, bias, training, momentum, eps) -> tuple:
    mean, var = _batch_statistics(input)
    statistics = (cast(x, input.dtype) for x in (mean, lax.rsqrt(var + eps)))
    return batch_norm(input, weight, bias, None, None, True, momentum, eps), *statistics


@lowers("aten.native_batch_norm.default", "aten._native_batch_norm_legit.default")
def native_batch_norm(input: Expr, weight, bias, running_mean, running_var, training, momentum, eps) -> tuple:
    if not training:
        return native_batch_norm_no_training(input, weight, bias, running_mean, running_var, momentum, eps)
    if running_mean is not None:
        raise Unsupported(_TRAINING)
    return native_batch_norm_of_batch(input, weight, bias, training, momentum, eps)


@lowers("translator.statistics.batch_norm")
def batch_norm_training(input: Expr, running_mean, running_var, weight, bias, momentum, eps) -> Expr:
    given = positional(weight, bias)
    return prelude(real.batch_norm_training)(input, running_mean, running_var, *given, momentum=momentum, eps=eps)


@lowers("aten._native_batch_norm_legit_functional.default")
def native_batch_norm_functional(
    input: Expr, weight, bias, running_mean, running_var, training, momentum, eps
) -> Expr | tuple:
    """The new running statistics are results of their own."""
    if training:
        given = positional(weight, bias)
        return prelude(real.native_batch_norm)(input, running_mean, running_var, *given, momentum=momentum, eps=eps)
    normalised = native_batch_norm_no_training(input, weight, bias, running_mean, running_var, momentum, eps)
    return *normalised, running_mean, running_var


@lowers("aten._batch_norm_with_update_functional.default")
def batch_norm_with_update_functional(input: Expr, weight, bias, running_mean, running_var, momentum, eps) -> tuple:
    results = native_batch_norm_functional(input, weight, bias, running_mean, running_var, True, momentum, eps)
    return *(results[i] for i in range(3)), jnp.zeros(0, jnp.uint8), *(results[i] for i in (3, 4))


def _batch_statistics(x: Expr) -> tuple[Expr, Expr]:
    """Mean and biased variance of each channel, in float32 at least."""
    over = tuple(axis for axis in range(x.ndim) if axis != 1)
    half = {} if x.dtype.itemsize > 2 or not is_float(x.dtype) else {"dtype": jnp.float32}
    return jnp.mean(x, axis=over, **half), jnp.var(x, axis=over, **half)


@lowers("aten._weight_norm.default")
def weight_norm(v: Expr, g: Expr, dim: int = 0) -> Expr:
    axis = None if dim == -1 else dim % v.ndim
    return prelude(real.weight_norm)(v, g, *(() if axis == 0 else (axis,)))


@lowers("aten._weight_norm_interface.default")
def weight_norm_interface(v: Expr, g: Expr, dim: int = 0) -> tuple[Expr, Expr]:
    over = tuple(axis for axis in range(v.ndim) if axis != dim)
    return weight_norm(v, g, dim), jnp.sqrt(jnp.sum(v * v, axis=over, keepdims=True))
