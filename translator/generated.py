"""Bodies of control flow in the user's own terms: the lines of source and the modules that their nodes come from.

torch.export has dynamo rewrite a branch or a loop's body to a graph, and traces the Python code that it generates for that.
So the nodes are traced to lines of generated code, and ran in no module. The graph that a line was generated from knows both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.fx import GraphModule, Node

from translator import provenance

_FILE = "<eval_with_key>"
INNER = "torch2eqx.modules"  # the key of a node's meta with the modules that it ran in within a body: path, class, call


class Generated:
    """The graphs that code was generated from, by the name of its file: their nodes in order, and the node of each line."""

    def __init__(self) -> None:
        self.graphs: dict[str, tuple[list[Node], dict[int, int | None], int]] = {}

    def add(self, module: GraphModule) -> None:
        code = getattr(module.forward, "__code__", None)
        if code is not None and getattr(module, "_lineno_map", None):
            self.graphs[code.co_filename] = list(module.graph.nodes), module._lineno_map, module._prologue_start

    def origin(self, frame: provenance.Frame) -> Node | None:
        nodes, lines, first = self.graphs.get(frame.file, ([], {}, 0))
        place = lines.get(frame.line - first)
        return nodes[place] if place is not None and place < len(nodes) else None

    def restore(self, program: GraphModule, module: torch.nn.Module) -> None:
        """Write into every node of a program that was traced to generated code what that was generated from."""
        paths = {id(child): path for path, child in module.named_modules()}
        for graph_module in program.modules():
            for node in graph_module.graph.nodes if isinstance(graph_module, GraphModule) else ():
                if _FILE in (node.meta.get("stack_trace") or ""):
                    self._restore(node, paths)

    def _restore(self, node: Node, paths: Mapping[int, str]) -> None:
        trace = provenance.frames(node)
        first = next(i for i, frame in enumerate(trace) if frame.file.startswith(_FILE))
        last = next(frame for frame in reversed(trace) if frame.file.startswith(_FILE))
        origin = self.origin(last)
        kept = list(trace[:first])
        if origin is not None:
            kept += [frame for frame in provenance.frames(origin) if _is_users(frame)]
            stack = (origin.meta.get("nn_module_stack") or {}).items()
            node.meta[INNER] = [entry for key, (_, cls) in stack if (entry := _entry(key, cls, paths)) is not None]
        node.meta["stack_trace"] = provenance.text(kept)


def _is_users(frame: provenance.Frame) -> bool:
    torchs = frame.file.startswith((provenance.TORCH, _FILE)) or frame.file == "<string>"
    return not torchs or frame.function == "forward" and not frame.file.startswith(_FILE)


def _entry(key: str, cls: Any, paths: Mapping[int, str]) -> tuple[str, Any, str] | None:
    """One module of dynamo's stack, whose key is the identity of the module and the number of the call."""
    identity, _, call = str(key).partition("@")
    path = paths.get(int(identity)) if identity.isdecimal() else None
    return (path, cls, call) if path else None


@contextlib.contextmanager
def recorded() -> Iterator[Generated]:
    """While this lasts, every graph that code is generated from is remembered."""
    generated, original = Generated(), GraphModule.recompile

    def recompile(module: GraphModule) -> Any:
        result = original(module)
        generated.add(module)
        return result

    GraphModule.recompile = recompile  # type: ignore[method-assign]
    try:
        yield generated
    finally:
        GraphModule.recompile = original  # type: ignore[method-assign]
