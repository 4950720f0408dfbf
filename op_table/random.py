"""Ops that draw random numbers. torch's bits cannot be had: what is drawn has the same distribution, from a key that the caller gives."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from op_table.creation import dtype_given
from op_table.dtypes import DEFAULT_FLOAT, INT64, cast, is_array, is_complex, is_float, is_integer
from op_table.expr import Expr, RandomKey, Value, jax, jnp, lax
from op_table.registry import Unsupported, lowers


def uniform_between(size: Any, dtype: np.dtype, low: float = 0, high: float = 1) -> Expr:
    bounds = {name: value for name, value, usual in (("minval", low, 0), ("maxval", high, 1)) if value != usual}
    return jax.random.uniform(RandomKey(), tuple(size), **dtype_given(dtype), **bounds)


def normal_around(size: Any, dtype: np.dtype, mean: Any = 0, std: Any = 1) -> Expr:
    drawn = jax.random.normal(RandomKey(), tuple(size), **dtype_given(dtype))
    drawn = drawn if not is_array(std) and std == 1 else std * drawn
    if is_complex(dtype) and not is_array(mean):
        mean = mean * (1 + 1j)  # torch draws real and imaginary parts alike
    return drawn if not is_array(mean) and mean == 0 else mean + drawn


def integers(size: Any, low: Any, high: Any, dtype: np.dtype) -> Expr:
    """Integers from low to high, without high itself."""
    if is_integer(dtype):
        return jax.random.randint(RandomKey(), tuple(size), low, high, **dtype_given(dtype, INT64))
    return cast(jax.random.randint(RandomKey(), tuple(size), low, high), dtype)


@lowers("aten.rand.default")
def rand(size: list, *, dtype: np.dtype | None = None) -> Expr:
    return uniform_between(size, dtype or DEFAULT_FLOAT)


@lowers("aten.rand_like.default")
def rand_like(x: Value, *, dtype: np.dtype | None = None) -> Expr:
    return uniform_between(x.shape, dtype or x.dtype)


@lowers("aten.uniform.default")
def uniform(x: Value, from_: float = 0.0, to: float = 1.0, **named: float) -> Expr:
    bounds = named.get("from", from_), to
    if is_complex(x.dtype):
        part = np.dtype("float32" if x.dtype == np.complex64 else "float64")
        return lax.complex(uniform_between(x.shape, part, *bounds), uniform_between(x.shape, part, *bounds))
    return uniform_between(x.shape, x.dtype, *bounds)


@lowers("aten.randn.default")
def randn(size: list, *, dtype: np.dtype | None = None) -> Expr:
    return normal_around(size, dtype or DEFAULT_FLOAT)


@lowers("aten.randn_like.default")
def randn_like(x: Value, *, dtype: np.dtype | None = None) -> Expr:
    return normal_around(x.shape, dtype or x.dtype)


@lowers("aten.normal_functional.default")
def normal_functional(x: Value, mean: float = 0.0, std: float = 1.0) -> Expr:
    return normal_around(x.shape, x.dtype, mean, std)


@lowers("aten.normal.float_float")
def normal_floats(mean: float, std: float, size: list, *, dtype: np.dtype | None = None) -> Expr:
    return normal_around(size, dtype or DEFAULT_FLOAT, mean, std)


def fixed(parameter: Expr) -> Expr:
    """A parameter of a distribution that torch takes no gradient of."""
    return lax.stop_gradient(parameter)


@lowers("aten.normal.Tensor_float")
def normal_mean(mean: Value, std: float = 1.0) -> Expr:
    return normal_around(mean.shape, mean.dtype, fixed(mean), std)


@lowers("aten.normal.float_Tensor")
def normal_std(mean: float, std: Value) -> Expr:
    return normal_around(std.shape, std.dtype, mean, fixed(std))


@lowers("aten.normal.Tensor_Tensor")
def normal_both(mean: Value, std: Value) -> Expr:
    return fixed(mean) + fixed(std) * jax.random.normal(
        RandomKey(), jnp.broadcast_shapes(mean.shape, std.shape), **dtype_given(mean.dtype)
    )


@lowers("aten.log_normal.default")
def log_normal(x: Value, mean: float = 1.0, std: float = 2.0) -> Expr:
    return jnp.exp(normal_around(x.shape, x.dtype, mean, std))


@lowers("aten.exponential.default")
def exponential(x: Value, lambd: float = 1.0) -> Expr:
    drawn = jax.random.exponential(RandomKey(), x.shape, **dtype_given(x.dtype))
    return drawn if lambd == 1 else drawn / lambd


@lowers("aten.cauchy.default")
def cauchy(x: Value, median: float = 0.0, sigma: float = 1.0) -> Expr:
    drawn = jax.random.cauchy(RandomKey(), x.shape, **dtype_given(x.dtype))
    drawn = drawn if sigma == 1 else sigma * drawn
    return drawn if median == 0 else median + drawn


@lowers("aten.geometric.default")
def geometric(x: Value, p: float) -> Expr:
    return cast(jax.random.geometric(RandomKey(), p, x.shape), x.dtype)


@lowers("aten.randint.default")
def randint(high: Any, size: list, *, dtype: np.dtype | None = None) -> Expr:
    return integers(size, 0, high, dtype or INT64)


@lowers("aten.randint.low")
def randint_low(low: Any, high: Any, size: list, *, dtype: np.dtype | None = None) -> Expr:
    return integers(size, low, high, dtype or INT64)


@lowers("aten.randint_like.default")
def randint_like(x: Value, high: Any, *, dtype: np.dtype | None = None) -> Expr:
    return integers(x.shape, 0, high, dtype or x.dtype)


@lowers("aten.randint_like.low_dtype")
def randint_like_low(x: Value, low: Any, high: Any, *, dtype: np.dtype | None = None) -> Expr:
    return integers(x.shape, low, high, dtype or x.dtype)


@lowers("aten.random.from", "aten.random.to")
def random_between(x: Value, low: int, high: int | None = None) -> Expr:
    if high is None:
        low, high = 0, low
    return integers(x.shape, low, high, x.dtype)


@lowers("aten.random.default")
def random(x: Value) -> Expr:
    """All integers that the dtype holds exactly, from 0 on."""
    if is_float(x.dtype):
        high = 2 ** (ml_dtypes.finfo(x.dtype).nmant + 1) + 1
    else:
        high = 2 if x.dtype.kind == "b" else np.iinfo(x.dtype).max
    if high > np.iinfo(np.int32).max:
        raise Unsupported(f"random integers up to {high} need int64, and without x64 JAX has int32 alone")
    return integers(x.shape, 0, high, x.dtype)


@lowers("aten.randperm.default")
def randperm(n: Any, *, dtype: np.dtype | None = None) -> Expr:
    return cast(jax.random.permutation(RandomKey(), n), dtype or INT64)


@lowers("aten.bernoulli.default")
def bernoulli(x: Value) -> Expr:
    return cast(jax.random.bernoulli(RandomKey(), x), x.dtype)


@lowers("aten.bernoulli.p")
def bernoulli_p(x: Value, p: float) -> Expr:
    return cast(jax.random.bernoulli(RandomKey(), p, x.shape), x.dtype)


@lowers("aten.bernoulli.Tensor")
def bernoulli_tensor(x: Value, p: Value) -> Expr:
    return cast(jax.random.bernoulli(RandomKey(), p, x.shape), x.dtype)


@lowers("aten.poisson.default")
def poisson(x: Value) -> Expr:
    return cast(jax.random.poisson(RandomKey(), x), x.dtype)


@lowers("aten.binomial.default")
def binomial(count: Value, prob: Value) -> Expr:
    return jax.random.binomial(RandomKey(), count, prob, **dtype_given(count.dtype))


@lowers("aten._standard_gamma.default")
def standard_gamma(x: Value) -> Expr:
    return jax.random.gamma(RandomKey(), x, **dtype_given(x.dtype))


@lowers("aten._sample_dirichlet.default")
def sample_dirichlet(x: Value) -> Expr:
    return jax.random.dirichlet(RandomKey(), x, **dtype_given(x.dtype))


@lowers("aten.multinomial.default")
def multinomial(x: Value, num_samples: int, replacement: bool = False) -> Expr:
    """Weights need not sum to one."""
    options = {"axis": -1, "shape": (num_samples, *x.shape[:-1])} | ({} if replacement else {"replace": False})
    drawn = cast(jax.random.categorical(RandomKey(), jnp.log(x), **options), INT64)
    return drawn.T if x.ndim == 2 else drawn
