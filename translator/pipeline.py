"""The stages in order, from a captured module to the emitted file."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from translator import classes, codegen, hierarchy, modules, regions, simplify
from translator.arguments import name_arguments
from translator.body import Bodies
from translator.capture import user_inputs
from translator.captured import Captured, in_training
from translator.compare import is_inexact
from translator.emitted import Emitted, EmittedCall
from translator.layout import to_channels_last
from translator.loader import stacked_name
from translator.lower import Sizes
from translator.outputs import Outputs


def emit(
    captured: Captured,
    progress: Callable[[str], None] | None = None,
    scan_layers: bool = False,
    layout: str | None = None,
) -> Emitted:
    """Translate a captured module into source.

    progress is called with the name of each stage as it begins. scan_layers, layout: see `translate`. Raises UnsupportedOps listing every node that has no exact lowering.
    """
    stage = progress or (lambda name: None)
    stage("simplify")
    simplified = simplify.simplify(captured)
    graph = simplified.graph
    if layout == "nhwc":
        to_channels_last(graph, set(user_inputs(graph, captured.program)))
    stage("hierarchy")
    root_type = type(captured.module) if captured.module is not None else None
    root = hierarchy.build(graph, f"{root_type.__module__}.{root_type.__qualname__}" if root_type else "Model")
    sizes = Sizes({**captured.hints, **captured.value_lengths})
    stage("lower")
    tree_bodies = Bodies(captured, modules.Module(""), sizes)
    tree_bodies.lower_all(root)
    tree = modules.build(captured, graph, root, sizes)
    bodies = Bodies(captured, tree, sizes)
    bodies.lowered, bodies.ops, bodies.values = tree_bodies.lowered, tree_bodies.ops, tree_bodies.values
    stage("classes")
    program = classes.merged(bodies, name_arguments)
    stage("codegen")
    leaves = {array.fqn for m in tree.walk() for array in m.entries.values() if isinstance(array, modules.Array)}
    tied = tied_names(captured, leaves)
    unused = unused_patterns(captured, leaves | set(tied))
    frozen = functools.partial(frozen_patterns, captured, tree) if in_training(captured.module) else None
    outputs = Outputs(captured, simplified.conditions)
    file = codegen.File(program, outputs, root.type_name, tied, unused, frozen, scan_layers, layout)
    source = file.text()
    class_of = {path: definition.name for path, definition in program.of.items()}
    return Emitted(
        source=source,
        root=program.root.name,
        calls=tuple(call for call in _calls(program, root) if stacked_name(call.path, file.stacked) == call.path),
        class_of=class_of,
        tied=tied,
        unused=unused,
        constants=dict(bodies.constants),
        takes_key=program.root.body is not None and program.root.body.key is not None,
        layout=layout,
    )


def _calls(program: classes.Program, root: hierarchy.ModuleCall) -> list[EmittedCall]:
    """The calls of emitted classes in running order, outermost first."""
    calls = []
    where = regions.scopes(program.bodies.captured.graph)
    for call in root.calls():
        if any(where.get(node) for node in itertools.islice(call.nodes(), 1)):
            continue  # JAX traces it, and shows no values
        module = program.bodies.by_path.get(call.path)
        if module is None or module.path not in program.of or not module.callable or call.split:
            continue
        definition = program.of[module.path]
        body = program.bodies.body_of(module, call)
        member = next(m for m in definition.members if m.module is module)
        given = [v.name for v in (*definition.body.inputs, *definition.extras) if v.name in member.inputs]
        inputs = tuple(body.inputs[member.inputs[name]].name for name in given)
        first = program.bodies.body_of(module, module.calls[0])
        here = {
            v.name: w.name for v, w in zip((*first.inputs, *first.outputs), (*body.inputs, *body.outputs), strict=True)
        }
        own = [program.origin(member.same.get(v.name, "")) for v in definition.outputs]
        outputs = tuple(here.get(name, name) for name in own)
        calls.append(EmittedCall(call.path, definition.name, inputs, outputs))
    return calls


def tied_names(captured: Captured, leaves: set[str]) -> dict[str, str]:
    """Each name in the state dict whose tensor is that of a leaf under another name."""
    owner = {}
    for name in captured.state:
        if name in leaves:
            owner.setdefault(id(captured.state[name]), name)
    return {
        name: owner[id(tensor)] for name, tensor in captured.state.items() if name not in leaves and id(tensor) in owner
    }


def frozen_patterns(captured: Captured, tree: modules.Module, stacked: Mapping[str, int]) -> tuple[str, ...]:
    """The leaves that torch does not train, as few fnmatch patterns that match none that it does. stacked: see `File`."""
    arrays = [array for m in tree.walk() for array in m.entries.values() if isinstance(array, modules.Array)]
    arrays = [array for array in arrays if not array.is_state and is_inexact(array.dtype)]
    trained = {stacked_name(a.fqn, stacked) for a in arrays if not a.is_buffer and captured.state[a.fqn].requires_grad}
    names = dict.fromkeys(stacked_name(array.fqn, stacked) for array in arrays)
    return patterns_of([name for name in names if name not in trained], trained)


def unused_patterns(captured: Captured, used: set[str]) -> tuple[str, ...]:
    """The names in the state dict that the emitted module has no use for, as few fnmatch patterns that match no used name."""
    older = captured.program.graph_signature.non_persistent_buffers  # checkpoints of older versions hold some of them
    return patterns_of([name for name in (*captured.state, *older) if name not in used], used)


def patterns_of(left: list[str], used: set[str]) -> tuple[str, ...]:
    """As few fnmatch patterns as match all names of left, and none of used."""
    patterns: list[str] = []
    for name in left:
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        patterns.append(
            next(p for p in _candidates(name) if not any(fnmatchcase(u, p) for u in used) and _worth(p, left))
        )
    return tuple(patterns)


def _candidates(name: str) -> list[str]:
    parts = name.split(".")
    escaped = [part.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]") for part in parts]
    wide = ["*." + escaped[-1]] if len(parts) > 1 else []
    below = [".".join(escaped[:n]) + ".*" for n in range(1, len(parts))]
    return [*wide, *below, ".".join(escaped)]


def _worth(pattern: str, left: list[str]) -> bool:
    return "*" not in pattern.replace("[*]", "") or sum(fnmatchcase(name, pattern) for name in left) > 1


__all__ = ["emit", "tied_names", "unused_patterns"]
