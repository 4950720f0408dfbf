"""Steps that write: to a tensor, or through a view of one, which others then show."""

from __future__ import annotations

from tests.fuzz.draw import Draw, Nothing
from tests.fuzz.ops_indexing import subscript
from tests.fuzz.program import EXACT, ROUNDS, SUMS

# Templates of calls on what is written to.
CALLS = {
    EXACT: [
        "zero_()", "fill_({si})", "copy_({y})", "clamp_(-1, 2)", "clamp_(min={si})", "masked_fill_({y_z}, {si})", "neg_()", "abs_()", "floor_()", "relu_()", "logical_not_()",
        "bitwise_and_({y_i})", "masked_fill_({y_t} > 0, {s})", "eq_({y})", "gt_(0)", "squeeze_()", "unsqueeze_(0)", "t_()", "tril_()", "round_()", "sign_()", "fill_({y_short}.sum())",
        "index_fill_(0, torch.tensor([0]), {si})", "scatter_(-1, {self}.argsort(-1, stable=True), {si})", "bitwise_or_({y_iz})", "logical_and_({y})", "swapaxes_(0, -1)", "fill_diagonal_({si})",
    ],
    ROUNDS: [
        "add_({ys})", "mul_({ys})", "sub_({y}, alpha=2)", "div_({y})", "div_({sp})", "add_({si})", "mul_({sf})", "pow_(2)", "remainder_({sp})", "floor_divide_({sp})", "addcmul_({y_f}, {y_f})", "square_()",
        "lerp_({y_f}, 0.5)", "sigmoid_()", "exp_()", "copy_({y_f} * 0.3)", "add_({y}, alpha=3)", "sub_({sf})", "mul_({y_r})", "hardtanh_()",
    ],
    SUMS: ["index_add_(0, torch.tensor([0, 0]), {self}[:1].expand(2, *[-1] * ({self}.ndim - 1)).clone())", "cumsum_({d})", "scatter_add_(-1, torch.zeros_like({self}, dtype=torch.int64), {self}.clone())"],
}  # fmt: skip
AUGMENTED = ["+=", "-=", "*=", "/=", "//=", "%=", "&=", "|="]


def _target(draw: Draw) -> str:
    """Something that may be written to, copied first if all there is belongs to the caller."""
    own = [name for name in draw.env if draw.own_memory(name)]
    if not own or draw.chance(0.1):
        name = draw.pick()
        if not draw.add("clone", f"{name}.clone()"):
            raise Nothing
        return next(reversed(draw.env))
    return draw.choose(own[-3:] if draw.chance(0.4) else own)


def call(draw: Draw) -> bool:
    """An in-place method, of a tensor or of a part of it."""
    target = _target(draw)
    rounding = draw.choose([EXACT, EXACT, ROUNDS, ROUNDS, SUMS])
    template = draw.choose(CALLS[rounding])
    receiver = target
    if draw.chance(0.4):
        receiver = draw.choose(
            [f"{target}[{subscript(draw, target, arrays=False)}]", f"{target}.view(-1)", f"{target}.transpose(0, -1)", f"{target}.T", f"{target}.flatten()[1:]"]
            + [f"{target}.diagonal()", f"{target}.narrow(-1, 0, 1)", f"{target}.chunk(2, -1)[1]", f"{target}.unbind(0)[0]", f"{target}.unsqueeze(0)", f"{target}.select(-1, 0)"]
        )  # fmt: skip
    code = template.replace("{self}", receiver)
    marked = f"{{subject}}{receiver}.{code}"
    filled = _fill_for(draw, target, marked)
    if any(name in template for name in ("squeeze_", "t_()", "swapaxes_")) and receiver != target:
        return False
    ok = draw.add(
        f"x.{template}", filled, ROUNDS if "exp_" in template or "sigmoid" in template else rounding, target=target
    )
    return ok


def _fill_for(draw: Draw, target: str, code: str) -> str:
    """`Draw.fill` with target for the tensor that others must fit."""
    text = code.removeprefix("{subject}")
    if draw.chance(0.5) or "{y" not in text:
        pattern = text
        for kind in ("{ys}", "{y}"):
            pattern = pattern.replace(
                kind, draw.scalar() if kind == "{ys}" and draw.chance(0.5) else draw.fitting(target)
            )
        text = pattern
    for part, wanted in (
        ("{y_f}", "f"),
        ("{y_z}", "z"),
        ("{y_i}", "i"),
        ("{y_iz}", "iz"),
        ("{y_t}", "t"),
        ("{y_r}", "r"),
        ("{y_short}", "short"),
    ):
        while part in text:
            from tests.fuzz.draw import KINDS

            name = draw.pick(KINDS[wanted]) if wanted == "short" else draw.fitting(target, KINDS[wanted])
            text = text.replace(part, name, 1)
    for part in ("{ys}", "{y}"):
        if part in text:
            text = text.replace(part, draw.scalar() if part == "{ys}" else draw.pick())
    text = text.replace("{d}", str(draw.dim(target)))
    return draw.fill(text) if "{" in text else text


def assign(draw: Draw) -> bool:
    """`x[...] = value` and `x[...] += value`."""
    target = _target(draw)
    place = subscript(draw, target, arrays=draw.chance(0.3))
    mask = draw.env[target].ndim > 0 and draw.chance(0.15)  # torch.export reads the value of a mask without axes
    if mask:
        shape = draw.env[target].shape
        place = draw.pick(lambda t: t.shape == shape and not t.is_complex()) + " > 0"
    value = (
        draw.scalar()
        if draw.chance(0.35)
        else draw.choose([draw.fitting(target), draw.pick(), f"{target}[{place}] * 2"][: 2 if mask else 3])
    )
    sign = draw.choose(["="] if mask else ["=", "=", *AUGMENTED])
    return draw.add("x[...] =", f"{target}[{place}] {sign} {value}", ROUNDS if sign != "=" else SUMS, target=target)


def view(draw: Draw) -> bool:
    """A view of what may be written to, so that a later write goes through it or shows in it."""
    target = _target(draw)
    code = draw.choose(
        [f"{target}[{subscript(draw, target, arrays=False)}]", f"{target}.view(-1)", f"{target}.transpose(0, -1)", f"{target}.T", f"{target}.unsqueeze({draw.dim(target)})", f"{target}.diagonal()"]
        + [f"{target}.narrow(-1, 0, 1)", f"{target}.squeeze()", f"{target}.reshape(-1)", f"{target}.select({draw.dim(target)}, -1)", f"{target}.expand_as({target})", f"{target}.detach()", f"{target}.flatten()"]
        + [f"{target}.chunk(2)[0]", f"{target}.split(1, -1)[-1]", f"{target}.unfold(-1, 2, 2)", f"{target}.view_as({target})", f"{target}.movedim(0, -1)", f"{target}.contiguous()", f"{target}.to({target}.dtype)"]
    )  # fmt: skip
    return draw.add("view then write", code)


FAMILIES = [call, call, assign, assign, view]
COUNT = sum(map(len, CALLS.values())) + 2 + len(AUGMENTED)
