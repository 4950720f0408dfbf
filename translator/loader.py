"""The end of every emitted file: how it reads a checkpoint and fills its leaves, with neither torch nor this project at hand."""

from __future__ import annotations

from collections.abc import Mapping

# Module-level names that the loader uses, which no class, function or constant of an emitted file may take.
RESERVED = frozenset("CONSTANTS TIED UNUSED Mapping Path bind eqx fnmatchcase jax jnp json load load_file np".split())

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
def bind(tensors: Mapping[str, np.ndarray]) -> {root}:
    """Fill a {root} with tensors under their torch names. ValueError lists all that does not fit."""
    {tensors}
{tied}
    def fill(where, leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        name = jax.tree_util.keystr(where, simple=True, separator="."){strip}
        tensor = tensors.pop(name, None)
        if tensor is None:
            return problems.append(f"{{name}} is missing")
        array = jnp.asarray(tensor)
        shape = array.shape + (1,) * (leaf.ndim - array.ndim)
        kinds = (jnp.floating, jnp.complexfloating, jnp.integer, jnp.bool_)
        kind = next(kind for kind in kinds if jnp.issubdtype(leaf.dtype, kind))
        if shape != leaf.shape or not jnp.issubdtype(array.dtype, kind):
            return problems.append(f"{{name}}: {{array.dtype}}{{array.shape}} for {{leaf}}")
        if kind is jnp.integer and not np.array_equal(array, tensor):
            return problems.append(f"{{name}} holds integers that do not fit in {{array.dtype}}")
        return array.reshape(shape)

    skeleton = eqx.filter_eval_shape({root}, key=jax.random.key(0))
    model = jax.tree_util.tree_map_with_path(fill, skeleton)
    problems += [f"{{name}} is unexpected" for name in tensors]
    if problems:
        raise ValueError("\\n".join(problems))
    return model
'''

_TIED = """    for alias, name in TIED.items():
        tensor = tensors.pop(alias, None)
        if tensor is not None and not np.array_equal(tensors.setdefault(name, tensor), tensor):
            problems.append(f"{alias} differs from {name}, though the two are one tensor")
"""

_TENSORS = "tensors, problems = dict(tensors), []"

_USED_TENSORS = """used = (n for n in tensors if not any(fnmatchcase(n, p) for p in UNUSED))
    tensors, problems = {name: tensors[name] for name in used}, []"""

_LOAD = '''
def load(path: str | Path) -> {root}:
    """Fill a {root} from a safetensors file, or from a folder that holds one, whole or sharded."""
    path = Path(path)
    if path.is_dir():
        names = [f"{{stem}}.safetensors" for stem in ("model", "diffusion_pytorch_model")]
        names = [name + end for name in names for end in ("", ".index.json")]
        path = next((path / name for name in names if (path / name).exists()), path / names[0])
    files = [path]
    if path.suffix == ".json":
        shards = json.loads(path.read_text())["weight_map"].values()
        files = [path.with_name(shard) for shard in sorted(set(shards))]
    return bind({{name: tensor for file in files for name, tensor in load_file(file).items()}})
'''


def loader_source(
    root: str, tied: Mapping[str, str], unused: tuple[str, ...], constants: bool, prefix: str
) -> tuple[str, set[str]]:
    """The text that ends an emitted file, and the import lines that it needs.

    root: the root class. tied: {alias: leaf}; an alias in a checkpoint fills its leaf where that is absent, and must equal it
    otherwise. unused: fnmatch patterns of the names in a checkpoint that no leaf stands for. constants: whether CONSTANTS
    are read, by a line (`loader.CONSTANTS`) that stands at the top of the file, before the classes that use it. prefix: what
    the paths of the leaves have before their torch names ("layers." where the root is itself a Sequential, else "").
    Names that come from the user reach the text through repr alone.
    """
    imports = set(_IMPORTS)
    tables = []
    if tied:
        tables.append(f"TIED = {dict(tied)!r}")
    if unused:
        imports.add("from fnmatch import fnmatchcase")
        tables.append(f"UNUSED = {tuple(unused)!r}")
    bind = _BIND.format(
        root=root,
        tensors=_USED_TENSORS if unused else _TENSORS,
        tied=_TIED if tied else "",
        strip=f".removeprefix({prefix!r})" if prefix else "",
    )
    parts = ["\n".join(tables), bind, _LOAD.format(root=root)]
    return "\n\n\n".join(part.strip("\n") for part in parts if part) + "\n", imports
