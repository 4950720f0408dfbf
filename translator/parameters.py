"""Which value each module call gets as which parameter of its forward, and gives as which result, recorded while torch.export traces.

A hook on every module sees the fake tensors that its forward is called with, and the tracer knows the node that each stands
for. The names go into that node's `meta["custom"]`, which torch carries over to the graph it returns.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import get_proxy_mode, get_proxy_slot

_KEY, _RESULTS = "torch2eqx.parameters", "torch2eqx.results"


@contextlib.contextmanager
def recorded(module: torch.nn.Module) -> Iterator[None]:
    """While this lasts, a trace of module notes in its nodes what they are passed as."""
    hooks = []
    for path, child in module.named_modules():
        signature = _signature(child)
        if signature is not None:
            hooks.append(child.register_forward_pre_hook(_recorder(path, signature), with_kwargs=True))
            hooks.append(child.register_forward_hook(_result_recorder(path)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _signature(module: torch.nn.Module) -> inspect.Signature | None:
    """The signature of a module's forward; None where Python cannot tell, or no hook is taken."""
    if isinstance(module, torch.jit.ScriptModule):
        return None
    try:
        return inspect.signature(module.forward)
    except (TypeError, ValueError):
        return None


def _recorder(path: str, signature: inspect.Signature) -> Callable:
    def hook(_: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        mode = _proxy_mode()
        if mode is None:
            return
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # forward itself will say what is wrong with the call
            return
        for name, value in given.items():
            several = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
            _note(mode, _KEY, path, _tensors("" if several else name, value))

    return hook


def _result_recorder(path: str) -> Callable:
    def hook(_: torch.nn.Module, args: tuple, result: Any) -> None:
        mode = _proxy_mode()
        if isinstance(result, Mapping):  # a ModelOutput gives its parts in order, too
            result = tuple(result.values())
        elif isinstance(result, torch.Tensor):
            result = (result,)
        if mode is not None and isinstance(result, (tuple, list)):
            _note(mode, _RESULTS, path, ((where.lstrip("."), tensor) for where, tensor in _tensors("", result)))

    return hook


def _proxy_mode() -> Any:
    """The tracer at work; None within a branch or body of control flow, whose hooks dynamo traces as it does the rest of it."""
    return None if torch.compiler.is_dynamo_compiling() else get_proxy_mode()


def _note(mode: Any, key: str, path: str, found: Iterable[tuple[str, torch.Tensor]]) -> None:
    for where, tensor in found:
        proxy = getattr(get_proxy_slot(tensor, mode.tracer, None), "proxy", None)
        if proxy is not None:
            proxy.node.meta.setdefault("custom", {}).setdefault(key, {}).setdefault(path, where)


def _tensors(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in an argument, each by the parameter and its place in it: `position_embeddings.0`."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, (list, tuple)):
        for position, part in enumerate(value):
            yield from _tensors(f"{name}.{position}", part)


def parameter(node: Node, path: str) -> str | None:
    """What the first call of the module at path gets a node's value as; None if it does not, or if nothing was recorded."""
    return node.meta.get("custom", {}).get(_KEY, {}).get(path)


def place(node: Node, path: str) -> int | None:
    """Which item of the tuple that the module at path returns a node is; None if it is none, or if nothing was recorded."""
    where = node.meta.get("custom", {}).get(_RESULTS, {}).get(path, "")
    return int(where) if where.isdecimal() else None


def returned_order(node: Node, path: str) -> tuple[int, ...]:
    """Where a node stands in what the module at path returns, for sorting: what is not there comes last."""
    where = node.meta.get("custom", {}).get(_RESULTS, {}).get(path, "")
    parts = where.split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else (sys.maxsize,)


def passed_as(node: Node) -> str | None:
    """The parameter of the first module of the user's that gets a node's value; of no tensor within a parameter."""
    names = node.meta.get("custom", {}).get(_KEY, {}).values()
    return next((name for name in names if name != "input" and "." not in name), None)


def hand_over(node: Node, by: Node) -> None:
    """by takes a node's place: it is passed and returned as what the node was."""
    for key in (_KEY, _RESULTS):
        names = node.meta.get("custom", {}).get(key)
        if names and by is not node:
            custom = by.meta.get("custom", {})
            by.meta["custom"] = {**custom, key: {**names, **custom.get(key, {})}}


def replace(node: Node, by: Node) -> None:
    """Let by stand for node wherever that is read."""
    hand_over(node, by)
    node.replace_all_uses_with(by)
