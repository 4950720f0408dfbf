"""While torch.export traces, an associative scan stays whole, where torch would write out its tree of combinations."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch.fx.experimental.proxy_tensor import get_proxy_mode

home = importlib.import_module(
    "torch._higher_order_ops.associative_scan"
)  # its package has the function under this name


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Patch what torch's associative_scan calls for a combination that is not pointwise."""
    original = home.generic_associative_scan

    def whole(operator: Callable, leaves: list, dim: int = 0, additional_inputs: tuple = ()) -> Any:
        # torch calls it with a partial whose combination is mapped over the axis by vmap, which the op does by itself.
        mapped = getattr(operator, "keywords", {}).get("combine_fn")
        combine = inspect.getclosurevars(mapped).nonlocals.get("func") if inspect.isfunction(mapped) else None
        if combine is None or dim or additional_inputs or get_proxy_mode() is None:
            return original(operator, leaves, dim, additional_inputs)
        single = functools.partial(operator.func, **{**operator.keywords, "combine_fn": combine})

        def run(combine_fn: Callable, xs: list) -> Any:
            return home.associative_scan_op(combine_fn, xs, additional_inputs=())

        try:
            return home._maybe_compile_and_run_fn(run, single, leaves)
        except Exception:  # dynamo takes none but pointwise combinations, which the op itself does not ask for
            return run(single, leaves)

    home.generic_associative_scan = whole
    try:
        yield
    finally:
        home.generic_associative_scan = original
