"""What each ATen op means in JAX: lowering rules in families, and the prelude functions they call."""

from op_table.expr import Expr, Size, Value, eqx, jax, jnp, lax, prelude
from op_table.registry import DuplicateRule, Rule, Unsupported, coverage, lookup, lowers

__all__ = [
    "DuplicateRule",
    "Expr",
    "Rule",
    "Size",
    "Unsupported",
    "Value",
    "coverage",
    "eqx",
    "jax",
    "jnp",
    "lax",
    "lookup",
    "lowers",
    "prelude",
]
