"""The ops that programs are drawn from: templates, which `Draw.fill` completes, and functions for what takes more."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz import ops_indexing, ops_nn, ops_shape, ops_writes
from tests.fuzz.draw import Draw
from tests.fuzz.program import APPROXIMATES, CANCELS, EXACT, NORMALIZES, ROUNDS, SUMS

Family = Callable[[Draw], bool]

# Not drawn, as they say nothing: the sign of a NaN, and attention to NaN, of which torch's kernel for half precision makes 0.
POINTWISE: dict[str, list[str]] = {
    EXACT: [
        "torch.abs({n})", "torch.neg({n})", "-{n}", "torch.sign({r})", "torch.sgn({n})", "torch.ceil({n})",
        "torch.floor({n})", "torch.trunc({n})", "torch.round({n})", "torch.isnan({r})", "torch.isinf({r})", "torch.isfinite({t})",
        "torch.signbit(torch.nan_to_num({n}))", "torch.logical_not({t})", "~{iz}", "torch.relu({n})", "F.relu6({n})",
        "torch.positive({n})", "torch.heaviside({f}, {same})", "torch.nan_to_num({n})", "torch.nan_to_num({f}, nan={sf}, posinf={sf})",
        "torch.isposinf({n})", "torch.isreal({t})", "{t} == {ys}", "{t} != {ys}", "{r} < {y_r}", "{r} <= {s}", "{r} > {s}",
        "{r} >= {y_r}", "torch.eq({t}, {y})", "torch.lt({r}, {y_r})", "{iz} & {y_iz}", "{iz} | {y_iz}", "{iz} ^ {y_iz}",
        "{i} & {si}", "{i} | {si}", "{z} ^ True", "{i} << {sp}", "{i} >> {sp}", "torch.bitwise_left_shift({i}, {y_i})",
        "torch.logical_and({t}, {y})", "torch.logical_or({t}, {y})", "torch.logical_xor({t}, {y})", "torch.maximum({r}, {y_r})",
        "torch.minimum({r}, {y_r})", "torch.fmax({r}, {y_r})", "torch.fmin({r}, {y_r})", "torch.clamp({n}, {si}, 3)",
        "torch.clamp({n}, min={s})", "torch.clamp({n}, max={sf})", "torch.clamp({n}, {y_n}, {y_n})", "torch.clamp({n}, min={y_n})",
        "torch.clamp_min({n}, {si})", "torch.where({z}, {y_n}, {y_n})", "torch.where({z}, {y_t}, {s})", "torch.where({z}, {s}, {y_t})",
        "torch.where({z}, {s}, {s})", "torch.where({t} > 0, {y_r}, {sf})", "{t}.masked_fill({y_z}, {si})", "{t}.masked_fill({y_t} > 0, {s})",
        "torch.copysign({f}, torch.nan_to_num({y_f}) + 0.0625)", "torch.gcd({i}, {y_i})", "torch.lcm({i}, {y_i})", "torch.threshold({n}, 1, -2)", "F.hardtanh({f}, -1.5, 2.0)",
        "torch.nextafter({f32}, {same})", "torch.frexp({f32})[1]", "{i} // {y_i}", "{i} // {sp}", "{i} // -3", "{i} % {sp}", "{i} % -3",
        "torch.fmod({i}, {sp})", "torch.fmod({i}, -2)", "torch.remainder({i}, {y_i})", "torch.div({i}, {sp}, rounding_mode='trunc')",
        "torch.div({i}, -2, rounding_mode='floor')", "{i} + {y_i}", "{i} * {y_i}", "{i} - {si}", "torch.sub({i}, {y_i}, alpha=2)",
        "{i} ** 2", "{i} ** {sp}", "{r} + {y_z}", "{z} * {y_r}", "torch.clone({t})", "{t}.contiguous()", "{t}.detach()",
        "torch.isclose({f}, {y_f})", "torch.isin({i}, {y_i})", "torch.bucketize({n}, torch.tensor([-1.0, 0.0, 2.0]))",
        "torch.conj({c})", "torch.real({c})", "torch.imag({c})", "torch.view_as_real({c})", "torch.resolve_conj({t})", "{c}.conj()",
        "torch.view_as_real({c}.conj().resolve_conj())", "torch.complex({f32}, {same})", "torch.floor(({i} % 99) * 41 / 41)",
        "(torch.round({unit} * 99) * 3 / 3).to(torch.int64)", "torch.div({i} * 7.0, 7, rounding_mode='trunc')",
        "torch.clamp({f}, max={y_f}.max().item())", "torch.full((2,), {i}.sum().item())", "{r} > {y_i}.sum().item()", "{i} + {y_i}.min().item() // 3",
    ],
    ROUNDS: [
        "{t} + {ys}", "{t} - {ys}", "{t} * {ys}", "{s} - {n}", "{s} * {t}", "{n} / {ys}", "{s} / {n}", "torch.add({n}, {y_n}, alpha={sp})",
        "torch.add({f}, {y_n}, alpha={sf})", "torch.sub({f}, {s}, alpha={sp})", "torch.rsub({n}, {y_n}, alpha=2)", "torch.mul({t}, {y})",
        "{f} // {y_n}", "{n} // {sf}", "{n} % {sf}", "{f} % {y_f}", "torch.fmod({f}, {y_f})", "torch.fmod({n}, 1.5)", "torch.square({n})",
        "torch.div({n}, {y_n}, rounding_mode='trunc')", "torch.div({n}, {ys}, rounding_mode='floor')", "torch.reciprocal({n})",
        "torch.lerp({f}, {same}, {sf})", "torch.addcmul({f}, {y_f}, {y_f}, value={sf})", "torch.addcdiv({f}, {y_f}, {y_f}, value={sp})",
        "torch.frac({f})", "torch.round({f}, decimals=1)", "torch.round({f}, decimals=-1)", "{f} ** 2", "{f} ** -1", "{n} ** 0", "torch.sqrt({positive})",
        "F.leaky_relu({f}, 0.1)", "F.softshrink({f})", "F.hardshrink({f})", "F.prelu({f}, torch.tensor([0.25]))",
        "torch.true_divide({i}, {y_i})", "{t}.to({dtype})", "{n}.float()", "{n}.half()", "{n}.bfloat16()", "{f}.to({fdtype})", "{t}.type_as({y})", "{n}.bool()",
        "{r}.to(torch.complex64)", "{f}.to(torch.int64)", "{f}.to(torch.int32)", "torch.deg2rad({n})", "{c} * {y_t}", "{c} + {ys}", "{c} / {y_c}", "{t} + {t}.shape[0]",
        "torch.hypot({f}, {same})", "torch.dist({f}, {same})", "torch.nn.functional.threshold({f}, 0.1, 0.3)", "{f} * {y_i}", "{i} * {sf}", "{z} / {sp}", "{i} / {y_z}",
        "{n} * {y_i}.sum().item()", "{f} - {y_f}.max().item()", "{n} / {y_f}.max().item()", "{f} * ({y_i}.max().item() + {t}.ndim) / 2",
    ],
    APPROXIMATES: [
        "torch.exp({unit})", "torch.exp(-torch.abs({n}))", "torch.sin({n})", "torch.cos({n})", "torch.tanh({n})", "torch.sigmoid({n})",
        "torch.log({positive})", "torch.log1p(torch.abs({n}))", "torch.log2({positive})", "torch.log10({positive})", "torch.expm1({unit})",
        "torch.rsqrt({positive})", "torch.erf({n})", "torch.atan({n})", "torch.asin({unit})", "torch.sinh({unit})", "torch.asinh({n})", "torch.acos({unit})",
        "torch.atan2({f}, {y_n})", "F.gelu({f})", "F.silu({f})", "F.elu({f})", "F.selu({f})", "F.celu({f}, 0.5)",
        "F.softplus({f})", "F.softplus({f}, 2.0, 1.0)", "F.mish({f})", "F.hardsigmoid({f})", "F.hardswish({f})", "F.logsigmoid({f}.contiguous())", "F.softsign({f})", "torch.exp2({unit})", "{positive} ** {sf}", "{positive} ** {y_f}",
        "2 ** {unit}", "torch.pow(2, {i})", "torch.logaddexp({f}, {y_f})", "torch.special.xlogy({n}, {positive})", "torch.abs({c})", "torch.angle({c})", "torch.exp(0.1 * {c})",
        "torch.sqrt({c})", "torch.polar({positive}, {same})", "torch.special.entr({positive})", "torch.tanh({c})", "torch.logit({positive}, 0.01)",
    ],
}  # fmt: skip

REDUCTIONS: dict[str, list[str]] = {
    EXACT: [
        "torch.amax({r1}, {ds}, {k})", "torch.amin({r1}, {ds}, {k})", "torch.max({r})", "torch.min({r})", "torch.argmax({n}, {d})", "torch.argmin({n}, {d}, {k})",
        "torch.argmax({n})", "torch.any({t}, {d}, {k})", "torch.all({t}, {d})", "torch.any({t})", "torch.all({t})", "torch.count_nonzero({t}, {d})",
        "torch.sum({iz}, {d})", "torch.sum({iz})", "torch.prod({iz}, {d}, {k})", "torch.cumsum({iz}, {d})", "torch.cumprod({i}, {d})", "torch.max({r}, {d}, {k})[0]",
        "torch.min({r1}, {d})[1]", "torch.median({n}.contiguous())", "torch.median({n}.contiguous(), {d})[0]", "torch.cummax({n}, {d})[0]", "torch.cummin({n}, {d})[1]", "torch.sort({r}, {d}, stable=True)[0]",
        "torch.sort({r}, {d}, descending=True, stable=True)[1]", "torch.argsort({n}, {d}, stable=True)", "torch.msort({r1})", "torch.topk({r1}, 1, {d})[0]",
        "torch.topk({r1}, 2, {d}, largest={k})[0]", "torch.kthvalue({n}, 1, {d})[0]", "torch.diff({i}, dim={d})", "torch.aminmax({r1}, dim={d})[1]", "torch.sum({iz}, dtype=torch.int32)",
        "torch.amax({r})", "torch.mode({i}, {d})[0]",
    ],
    SUMS: [
        "torch.sum({t})", "torch.sum({t}, {d}, {k})", "torch.sum({t1}, {ds}, {k})", "{t}.sum(0)", "torch.mean({fc})", "torch.mean({fc}, {d}, {k})", "torch.mean({f1}, {ds})",
        "torch.mean({r}, {d}, dtype=torch.float32)", "torch.sum({r}, {d}, dtype={fdtype})", "torch.prod({factors}, {d})", "torch.prod({factors})", "torch.cumsum({t}, {d})", "torch.cumprod({factors}, {d})",
        "torch.norm({f})",
        "torch.norm({f}, 1, {d})", "torch.linalg.vector_norm({f}, float('inf'))", "torch.nansum({f}, {d})", "torch.diff({f}, dim={d})",
        "torch.logsumexp({f}, {d})", "torch.softmax({f}, {d})", "torch.log_softmax({f}, {d})", "F.softmin({f}, {d})", "torch.logcumsumexp({f}, {d})", "torch.softmax({n}, {d}, dtype=torch.float32)", "torch.sinc({f})",
        "torch.cov({t2})", "torch.trapezoid({f}, dim={d})", "torch.quantile({f32}.nan_to_num(), 0.25, {d})", "torch.nanmean({f}, {d})", "torch.trace({t2})",
    ],
    NORMALIZES: [
        "torch.var({f}, {d})", "torch.var({f1}, {ds}, correction=0)", "torch.std({f}, {d}, keepdim={k})", "torch.std({f})", "torch.var_mean({f}, {d})[0]",
        "F.normalize({f1}, dim={d})", "F.cosine_similarity({f1}, {same}, dim={d})", "F.pairwise_distance({f1}, {same} + 1)", "torch.cdist({t2}, {same})",
    ],
}  # fmt: skip


def _from(rounding: str, templates: list[str]) -> Family:
    def family(draw: Draw) -> bool:
        template = draw.choose(templates)
        return draw.add(template, draw.fill(template), rounding)

    return family


# A family stands in the list as often as it is to be drawn.
OPS: list[Family] = [
    *[_from(EXACT, POINTWISE[EXACT])] * 4,
    *[_from(ROUNDS, POINTWISE[ROUNDS])] * 4,
    *[_from(APPROXIMATES, POINTWISE[APPROXIMATES])] * 2,
    *[_from(EXACT, REDUCTIONS[EXACT])] * 2,
    *[_from(SUMS, REDUCTIONS[SUMS])] * 2,
    _from(NORMALIZES, REDUCTIONS[NORMALIZES]),
    _from(SUMS, ops_nn.PRODUCTS),
    _from(CANCELS, ["F.gelu({f}, approximate='tanh')", "torch.linalg.vector_norm({f}, 3, {d})"]),
    *ops_shape.FAMILIES,
    *ops_indexing.FAMILIES,
    *ops_writes.FAMILIES,
    *ops_nn.FAMILIES,
]

# How many ops there are, for the summary: templates, and one for each function.
COUNT = sum(map(len, [*POINTWISE.values(), *REDUCTIONS.values()])) + sum(
    module.COUNT for module in (ops_shape, ops_indexing, ops_writes, ops_nn)
)
