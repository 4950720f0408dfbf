"""The end of every emitted file: how it reads a checkpoint and fills its leaves, with neither torch nor this project at hand."""

from __future__ import annotations

from collections.abc import Mapping

# Module-level names that the loader uses, which no class, function or constant of an emitted file may take.
RESERVED = frozenset(
    "CONSTANTS FROZEN INITIAL STACKED TIED UNUSED Mapping Path bind eqx fnmatchcase jax jnp json load load_file np trainable".split()
)

CONSTANTS_FILE = "constants.safetensors"
CONSTANTS = f'CONSTANTS = load_file(Path(__file__).with_name("{CONSTANTS_FILE}"))'

_IMPORTS = (
    "import json",
    "from collections.abc import Mapping",
    "from pathlib import Path",
    "import equinox as eqx",
    "import jax",
    "import jax.numpy as jnp",
    "import numpy as np",
    "from safetensors.numpy import load_file",
)

_BIND = '''
def bind(tensors: Mapping[str, np.ndarray]) -> {result}:
    """Fill a {root}{and_state} with tensors under their torch names. ValueError lists all that does not fit."""
    {tensors}
{tied}{stacked}
    def fill(where, leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        name = jax.tree_util.keystr(where, simple=True, separator="."){strip}{index}
        if (tensor := tensors.pop(name, None)) is None:
            return problems.append(f"{{name}} is missing")
{bias}        array = jax.device_put(np.array(tensor))  # of a copy, which JAX may keep
        kinds = (jnp.floating, jnp.complexfloating, jnp.integer, jnp.bool_)
        kind = next(kind for kind in kinds if jnp.issubdtype(leaf.dtype, kind))
        if array.shape != leaf.shape or not jnp.issubdtype(array.dtype, kind):
            return problems.append(f"{{name}}: {{array.dtype}}{{array.shape}} for {{leaf}}")
        if kind is jnp.integer and not np.array_equal(array, tensor):
            return problems.append(f"{{name}} holds integers that do not fit in {{array.dtype}}")
        return array

    skeleton = eqx.filter_eval_shape({root}, key=jax.random.key(0))
    model = jax.tree_util.tree_map_with_path(fill, skeleton)
    if problems or tensors:
        raise ValueError("\\n".join([*problems, *(f"{{name}} is unexpected" for name in tensors)]))
    return {model}
'''

_BIAS = """        if name.endswith("bias"):  # eqx.nn.Conv keeps its own as (channels, 1, 1)
            tensor = tensor.reshape(tensor.shape + (1,) * (leaf.ndim - tensor.ndim))
"""

_TIED = """    for alias, name in TIED.items():
        tensor = tensors.pop(alias, None)
        if tensor is not None and not np.array_equal(tensors.setdefault(name, tensor), tensor):
            problems.append(f"{alias} differs from {name}, though the two are one tensor")
"""

_STACKED = """    for path, count in STACKED.items():
        for name in [name for name in tensors if name.startswith(f"{path}.0.")]:
            _, rest = name[len(path) + 1 :].split(".", 1)
            parts = [tensors.pop(f"{path}.{i}.{rest}", None) for i in range(count)]
            if any(part is None for part in parts):
                problems.append(f"{path}.*.{rest} is missing in some layers")
            tensors[f"{path}.{rest}"] = np.stack([part for part in parts if part is not None])
"""

_TENSORS = "tensors, problems = dict(tensors), []"

_USED_TENSORS = """used = (n for n in tensors if not any(fnmatchcase(n, p) for p in UNUSED))
    tensors, problems = {name: tensors[name] for name in used}, []"""

_LOAD = '''
def load(path: str | Path) -> {result}:
    """Fill a {root}{and_state} from a safetensors file, or from a folder that holds one, whole or sharded."""
    path = Path(path)
    if path.is_dir():
        names = ("model.safetensors", "diffusion_pytorch_model.safetensors")
        found = [file for name in names for file in sorted(path.glob(f"{{name}}*"))]
        path = found[0] if found else path / names[0]
    files = [path]
    if path.suffix == ".json":
        shards = json.loads(path.read_text())["weight_map"].values()
        files = [path.with_name(shard) for shard in sorted(set(shards))]
    return bind({{name: tensor for file in files for name, tensor in load_file(file).items()}})
'''


_TRAINABLE = '''
def trainable(model: {root}) -> {root}:
    """For eqx.partition: True for each array that torch trains{but}."""
    {body}
'''

_ALL = "return jax.tree.map(eqx.is_inexact_array, model)"

_BUT_FROZEN = """
    def trained(where, leaf):
        name = jax.tree_util.keystr(where, simple=True, separator="."){strip}
        return eqx.is_inexact_array(leaf) and not any(fnmatchcase(name, p) for p in FROZEN)

    return jax.tree_util.tree_map_with_path(trained, model)"""


def stacked_name(name: str, stacked: Mapping[str, int]) -> str:
    """The path of the leaf that holds the tensor of a name: `layer.query.weight` for `layer.3.query.weight`."""
    path = next((path for path in stacked if name.startswith(f"{path}.")), None)
    return name if path is None else f"{path}.{name[len(path) + 1 :].partition('.')[2]}"


def trainable_source(root: str, frozen: tuple[str, ...], prefix: str) -> tuple[str, set[str]]:
    """The function of an emitted file that tells what is trained, and the import lines that it needs.

    frozen: fnmatch patterns of the leaves that are not: buffers, and parameters that need no gradient. prefix: see `loader_source`.
    """
    if not frozen:
        return _TRAINABLE.format(root=root, but="", body=_ALL), set()
    strip = f".removeprefix({prefix!r})" if prefix else ""
    text = _TRAINABLE.format(root=root, but=", and not for FROZEN", body=_BUT_FROZEN.format(strip=strip))
    return f"FROZEN = {frozen!r}\n\n\n{text}", {"from fnmatch import fnmatchcase"}


def loader_source(
    root: str,
    tied: Mapping[str, str],
    unused: tuple[str, ...],
    convolutions: bool,
    prefix: str,
    stateful: bool = False,
    initial: str = "",
    stacked: Mapping[str, int] | None = None,
) -> tuple[str, set[str]]:
    """The text that ends an emitted file, and the import lines that it needs.

    root: the root class. tied: {alias: leaf}; an alias in a checkpoint fills its leaf where that is absent, and must equal it
    otherwise. unused: fnmatch patterns of the names in a checkpoint that no leaf stands for. convolutions: whether the file
    has layers of eqx.nn.Conv. prefix: what the paths of the leaves have before their torch names ("layers." where the root
    is itself a Sequential, else ""). stateful: whether buffers are state, which loading gives beside the model. initial: a dict as
    text: what buffers hold at first that no checkpoint carries. stacked: the containers whose items are one of stacked leaves, and
    how many tensors make one.
    Names that come from the user reach the text through repr alone.
    """
    imports = set(_IMPORTS)
    tables = []
    if initial:
        tables.append(f"INITIAL = {initial}")
    if tied:
        tables.append(f"TIED = {dict(tied)!r}")
    if stacked:
        tables.append(f"STACKED = {dict(stacked)!r}")
    if unused:
        imports.add("from fnmatch import fnmatchcase")
        tables.append(f"UNUSED = {tuple(unused)!r}")
    named = {
        "root": root,
        "result": f"tuple[{root}, eqx.nn.State]" if stateful else root,
        "and_state": " and its state" if stateful else "",
    }
    bind = _BIND.format(
        tensors=(_USED_TENSORS if unused else _TENSORS) + ("\n    tensors = {**INITIAL, **tensors}" if initial else ""),
        tied=_TIED if tied else "",
        stacked=_STACKED if stacked else "",
        bias=_BIAS if convolutions else "",
        strip=f".removeprefix({prefix!r})" if prefix else "",
        index='.removesuffix(".init")' if stateful else "",
        model="eqx.nn.make_with_state(lambda: model)()" if stateful else "model",
        **named,
    )
    parts = ["\n".join(tables), bind, _LOAD.format(**named)]
    return "\n\n\n".join(part.strip("\n") for part in parts if part) + "\n", imports
