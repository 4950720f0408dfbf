"""Steps that change shapes, and that make tensors from nothing."""

from __future__ import annotations

import math

from tests.fuzz.draw import Draw
from tests.fuzz.program import EXACT

TEMPLATES = [
    "{t}.permute({order})", "{t}.transpose({d}, {d})", "{t}.unsqueeze({d})", "{t}.squeeze({d})", "{t}.squeeze()", "{t}.flatten()", "{t}.reshape(-1)",
    "{t1}.flatten({d})", "{t}.expand_as({y})", "{t}.repeat(2, *[1] * ({t}.ndim - 1))", "{t}.repeat_interleave(2, {d})", "{t1}.roll({si}, {d})", "{t}.roll(1)",
    "{t1}.flip({ds})", "torch.fliplr({t2})", "{t1}.unfold({d}, 2, 1)", "{t1}.unfold({d}, 1, 2)", "torch.cat([{t1}, {like}], {d})", "torch.cat([{t1}, {same}, {same}])",
    "torch.stack([{t}, {like}], {d})", "torch.stack([{t}, {same}])", "torch.tile({t}, (2,))", "{t1}.narrow({d}, 0, 1)", "{t1}.narrow({d}, -1, 1)", "{t2}.diagonal({si}, -2, -1)",
    "{t2}.tril({si})", "{t2}.triu({si})", "torch.diag({t2})", "torch.diag_embed({t1})", "{t2}.mT", "{t2}.T", "torch.rot90({t2}, {si}, [0, 1])", "torch.movedim({t}, {d}, {d})",
    "torch.atleast_2d({t})", "torch.hstack([{t}, {same}])", "torch.vstack([{t}, {like}])", "torch.dstack([{t}, {same}])", "torch.swapaxes({t}, {d}, {d})", "{t}.view(-1)", "{t}.ravel()",
    "torch.broadcast_to({t}, (2, *{t}.shape))", "{t}.expand(2, *{t}.shape)", "{t}.new_zeros({t}.shape)", "torch.zeros_like({t})", "torch.ones_like({t}, dtype={dtype})",
    "torch.full_like({t}, {si})", "{t}.new_full((2,), {si})", "torch.empty_like({t}).fill_({si})", "torch.block_diag({t2}, {t2})", "torch.meshgrid({short}.flatten(), {short}.flatten(), indexing='ij')[1]",
    "torch.tensor({si}, dtype={dtype})", "torch.tensor({sf})", "torch.tensor([1, 2, 3])", "torch.arange({sp})", "torch.arange({sp}, 6, 2, dtype={dtype})", "torch.linspace(0, 1, 3)",
    "torch.eye(3, dtype={dtype})", "torch.zeros(2, 3, dtype={dtype})", "torch.ones(3)", "torch.full((2, 1), {s})", "torch.arange({t1}.shape[0])", "torch.arange({t}.numel()).reshape({t}.shape)", "torch.kron({short}, {short})",
    "torch.outer({t1}.flatten()[:3], {t1}.flatten()[:2])", "torch.unflatten({t1}, {d}, (-1, 1))", "torch.take({t}, torch.tensor([0, -1]))", "{t}.unsqueeze(-1).expand(*{t}.shape, 2)", "torch.column_stack([{t}, {same}])",
]  # fmt: skip


def from_template(draw: Draw) -> bool:
    template = draw.choose(TEMPLATES)
    code = template
    if "{order}" in code:
        name = draw.pick()
        axes = draw.dims(name)
        ndim = draw.env[name].ndim
        axes += [axis for axis in range(ndim) if axis not in [a % ndim for a in axes]]
        code = f"{name}.permute({axes})"
    else:
        # The same tensor again, where a template names one twice.
        first = next((kind for kind in ("{t}", "{t1}", "{t2}") if code.count(kind) > 1), None)
        if first and not any(part in code for part in ("{like}", "block_diag", "outer", "meshgrid", "kron")):
            code = code.replace(first, draw.fill(first))
    if "{like}" in code:
        first = next(kind for kind in ("{t1}", "{t2}", "{t}") if kind in code)
        name = draw.fill(first)
        shape = draw.env[name].shape
        other = draw.pick(lambda t: t.shape == shape)
        code = code.replace(first, name, 1).replace("{like}", other)
        code = code.replace("{d}", str(draw.dim(name)))
    return draw.add(template, draw.fill(code) if "{" in code else code, EXACT)


def view(draw: Draw) -> bool:
    """A view or reshape to other lengths, one of them left open at times."""
    name = draw.pick(lambda t: t.numel() > 1)
    total = draw.env[name].numel()
    first = draw.choose([n for n in range(1, total + 1) if total % n == 0])
    rest = total // first
    second = draw.choose([n for n in range(1, rest + 1) if rest % n == 0])
    shape = [first, second, rest // second][: draw.integer(2, 3)]
    if math.prod(shape) != total:
        shape[-1] = -1
    elif draw.chance(0.3):
        shape[draw.integer(0, len(shape) - 1)] = -1
    method = draw.choose(["view", "reshape"])
    return draw.add("view", f"{name}.{method}({', '.join(map(str, shape))})")


def pieces(draw: Draw) -> bool:
    """split, chunk, tensor_split and unbind: several results."""
    name = draw.pick(lambda t: t.ndim > 0)
    dim = draw.dim(name)
    length = draw.env[name].shape[dim]
    match draw.integer(0, 4):
        case 0:
            size = draw.integer(1, max(length, 1))
            code, parts = f"torch.split({name}, {size}, {dim})", max(-(-length // size), 1)
        case 1:
            count = draw.integer(1, 3)
            size = max(-(-length // count), 1)
            code, parts = f"{name}.chunk({count}, {dim})", max(-(-length // size), 1) if length else count
        case 2:
            code, parts = f"torch.tensor_split({name}, 2, {dim})", 2
        case 3:
            cut = draw.integer(0, length)
            code, parts = f"torch.split({name}, [{cut}, {length - cut}], {dim})", 2
        case _:
            code, parts = f"{name}.unbind({dim})", length
    return parts > 0 and draw.add("split", code if parts > 1 else f"{code}[0]", EXACT, parts)


FAMILIES = [from_template, from_template, from_template, view, view, pieces]
COUNT = len(TEMPLATES) + 6
