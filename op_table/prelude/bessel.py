"""Bessel functions of order 0 and 1 as torch.special has them, with the Cephes tables of ATen/native/Math.h.

That header leaves out the leading coefficient 1 that Cephes has in some denominators, which costs torch digits (1e-6 near
5); so does this.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from op_table.prelude.special import chebyshev_series, horner

J0_PP = (
    0.0007969367292973471,
    0.08283523921074408,
    1.239533716464143,
    5.447250030587687,
    8.74716500199817,
    5.303240382353949,
    1.0,
)
J0_PQ = (
    0.0009244088105588637,
    0.08562884743544745,
    1.2535274390105895,
    5.470977403304171,
    8.761908832370695,
    5.306052882353947,
    1.0,
)
J0_QP = (
    -0.011366383889846916,
    -1.2825271867050931,
    -19.553954425773597,
    -93.20601521237683,
    -177.68116798048806,
    -147.07750515495118,
    -51.41053267665993,
    -6.050143506007285,
)
J0_QQ = (
    64.3178256118178,
    856.4300259769806,
    3882.4018360540163,
    7240.467741956525,
    5930.727011873169,
    2062.0933166032783,
    242.0057402402914,
)
J0_RP = (
    -4794432209.782018,
    1956174919465.5657,
    -249248344360967.72,
    9708622510473064.0,
)
J0_RQ = (
    499.563147152651,
    173785.4016763747,
    48440965.83399621,
    11185553704.535683,
    2112775201154.892,
    310518229857422.56,
    3.1812195594320496e16,
    1.7108629408104315e18,
)
Y0_P = (
    15592.436785523574,
    -14663929.59039716,
    5435264770.518765,
    -982136065717.9115,
    87590639439536.7,
    -3466283033847297.0,
    4.4273326857256984e16,
    -1.8495080043698668e16,
)
Y0_Q = (
    1041.2835366425984,
    626107.330137135,
    268919633.39381415,
    86400248710.3935,
    20297961275010.555,
    3171577528429750.5,
    2.5059625617265306e17,
)
K0_A = (
    1.374465435613523e-16,
    4.25981614279661e-14,
    1.0349695257633842e-11,
    1.904516377220209e-09,
    2.5347910790261494e-07,
    2.286212103119452e-05,
    0.001264615411446926,
    0.0359799365153615,
    0.3442898999246285,
    -0.5353273932339028,
)
K0_B = (
    5.300433772686263e-18,
    -1.6475804301524212e-17,
    5.2103915050390274e-17,
    -1.678231096805412e-16,
    5.512055978524319e-16,
    -1.848593377343779e-15,
    6.3400764774050706e-15,
    -2.2275133269916698e-14,
    8.032890775363575e-14,
    -2.9800969231727303e-13,
    1.140340588208475e-12,
    -4.514597883373944e-12,
    1.8559491149547177e-11,
    -7.957489244477107e-11,
    3.577397281400301e-10,
    -1.69753450938906e-09,
    8.574034017414225e-09,
    -4.660489897687948e-08,
    2.766813639445015e-07,
    -1.8317555227191195e-06,
    1.39498137188765e-05,
    -0.00012849549581627802,
    0.0015698838857300533,
    -0.0314481013119645,
    2.4403030820659555,
)
J1_PP = (
    0.0007621256162081731,
    0.07313970569409176,
    1.1271960812968493,
    5.112079511468076,
    8.424045901417724,
    5.214515986823615,
    1.0,
)
J1_PQ = (
    0.0005713231280725487,
    0.06884559087544954,
    1.105142326340617,
    5.073863861286015,
    8.399855543276042,
    5.209828486823619,
    1.0,
)
J1_QP = (
    0.05108625947501766,
    4.982138729512334,
    75.82382841325453,
    366.7796093601508,
    710.8563049989261,
    597.4896124006136,
    211.68875710057213,
    25.207020585802372,
)
J1_QQ = (
    74.23732770356752,
    1056.4488603826283,
    4986.410583376536,
    9562.318924047562,
    7997.041604473507,
    2826.1927851763908,
    336.0936078106983,
)
J1_RP = (
    -899971225.7055594,
    452228297998.19403,
    -72749424522181.83,
    3682957328638529.0,
)
J1_RQ = (
    620.8364781180543,
    256987.25675774884,
    83514679.14319493,
    22151159547.97925,
    4749141220799.914,
    784369607876235.9,
    8.952223361846274e16,
    5.322786203326801e18,
)
Y1_P = (
    1263204747.9017804,
    -647355876379.1603,
    114509511541823.73,
    -8127702555013251.0,
    2.024394757135949e17,
    -7.788771962659501e17,
)
Y1_Q = (
    594.3015923461282,
    235564.09294306856,
    73481194.44597217,
    18760131610.870617,
    3882312774962.3857,
    620557727146953.8,
    6.871410873553005e16,
    3.9727060811656064e18,
)
K1_A = (
    -7.023863479386288e-18,
    -2.427449850519366e-15,
    -6.666901694199329e-13,
    -1.4114883926335278e-10,
    -2.213387630734726e-08,
    -2.4334061415659684e-06,
    -0.0001730288957513052,
    -0.006975723859639864,
    -0.12261118082265715,
    -0.3531559607765449,
    1.5253002273389478,
)
K1_B = (
    -5.756744483665017e-18,
    1.7940508731475592e-17,
    -5.689462558442859e-17,
    1.838093544366639e-16,
    -6.057047248373319e-16,
    2.038703165624334e-15,
    -7.019837090418314e-15,
    2.4771544244813043e-14,
    -8.976705182324994e-14,
    3.3484196660784293e-13,
    -1.2891739609510289e-12,
    5.13963967348173e-12,
    -2.1299678384275683e-11,
    9.218315187605006e-11,
    -4.1903547593418965e-10,
    2.015049755197033e-09,
    -1.0345762465678097e-08,
    5.7410841254500495e-08,
    -3.5019606030878126e-07,
    2.406484947837217e-06,
    -1.936197974166083e-05,
    0.00019521551847135162,
    -0.002857816859622779,
    0.10392373657681724,
    2.7206261904844427,
)


def bessel_asymptotes(
    x: Float[Array, "..."], order: int, tables: Sequence[Sequence[float]]
) -> tuple[Array, Array]:
    """J and Y of an order far from zero, by modulus and phase. Source: Cephes j0.c and j1.c."""
    pp, pq, qp, qq = (horner(table, (5 / x) * (5 / x)) for table in tables)
    p, q = pp / pq, 5 / x * (qp / qq)
    turn = x - (0.25 + 0.5 * order) * math.pi
    scale = math.sqrt(2 / math.pi) / jnp.sqrt(x)
    sine, cosine = jnp.sin(turn), jnp.cos(turn)
    return scale * (p * cosine - q * sine), scale * (p * sine + q * cosine)


def bessel_j0(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The Bessel function J0. Source: Cephes j0.c, as in ATen/native/Math.h."""
    x = jnp.where(x < 0, -x, x)
    near = x <= 5
    at = jnp.where(near, x, 0)
    square = at * at
    zeros = (square - 5.78318596294678452118) * (square - 30.4712623436620863991)
    inner = zeros * horner(J0_RP, square) / horner(J0_RQ, square)
    inner = jnp.where(at < 1e-5, 1 - square / 4, inner)
    far, _ = bessel_asymptotes(jnp.where(near, 5, x), 0, (J0_PP, J0_PQ, J0_QP, J0_QQ))
    return jnp.where(near, inner, far)


def bessel_j1(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The Bessel function J1. Source: Cephes j1.c, as in ATen/native/Math.h."""
    size = jnp.where(x < 0, -x, x)
    near = size <= 5
    at = jnp.where(near, size, 0)
    square = at * at
    zeros = (square - 14.6819706421238932572) * (square - 49.2184563216946036703)
    inner = horner(J1_RP, square) / horner(J1_RQ, square) * at * zeros
    far, _ = bessel_asymptotes(jnp.where(near, 5, size), 1, (J1_PP, J1_PQ, J1_QP, J1_QQ))
    found = jnp.where(near, inner, far)
    return jnp.where(x < 0, -found, found)


def bessel_y0(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The Bessel function Y0. Source: Cephes j0.c, as in ATen/native/Math.h."""
    near = x <= 5
    at = jnp.where(near & (x > 0), x, 1)
    inner = horner(Y0_P, at * at) / horner(Y0_Q, at * at)
    inner = inner + 2 / math.pi * jnp.log(at) * bessel_j0(at)
    _, far = bessel_asymptotes(jnp.where(near, 5, x), 0, (J0_PP, J0_PQ, J0_QP, J0_QQ))
    found = jnp.where(near, inner, far)
    return jnp.where(x == 0, -jnp.inf, jnp.where(x < 0, jnp.nan, found))


def bessel_y1(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The Bessel function Y1. Source: Cephes j1.c, as in ATen/native/Math.h."""
    near = x <= 5
    at = jnp.where(near & (x > 0), x, 1)
    inner = at * (horner(Y1_P, at * at) / horner(Y1_Q, at * at))
    inner = inner + 2 / math.pi * (bessel_j1(at) * jnp.log(at) - 1 / at)
    _, far = bessel_asymptotes(jnp.where(near, 5, x), 1, (J1_PP, J1_PQ, J1_QP, J1_QQ))
    found = jnp.where(near, inner, far)
    return jnp.where(x == 0, -jnp.inf, jnp.where(x < 0, jnp.nan, found))


def modified_bessel_k0(x: Float[Array, "..."], scaled: bool = False) -> Float[Array, "..."]:
    """The modified Bessel function K0, times exp(x) if scaled. Source: Cephes k0.c, as in ATen/native/Math.h."""
    at = jnp.where((x > 0) & (x <= 2), x, 1)
    inner = chebyshev_series(K0_A, at * at - 2)
    inner = inner - jnp.log(0.5 * at) * jax.scipy.special.i0(at)
    return joined_bessel_k(x, inner * jnp.exp(at) if scaled else inner, K0_B, scaled)


def modified_bessel_k1(x: Float[Array, "..."], scaled: bool = False) -> Float[Array, "..."]:
    """The modified Bessel function K1, times exp(x) if scaled. Source: Cephes k1.c, as in ATen/native/Math.h."""
    at = jnp.where((x > 0) & (x <= 2), x, 1)
    inner = chebyshev_series(K1_A, at * at - 2) / at
    inner = inner + jnp.log(0.5 * at) * jax.scipy.special.i1(at)
    return joined_bessel_k(x, inner * jnp.exp(at) if scaled else inner, K1_B, scaled)


def joined_bessel_k(
    x: Float[Array, "..."],
    inner: Float[Array, "..."],
    coefficients: tuple[float, ...],
    scaled: bool,
) -> Float[Array, "..."]:
    """inner up to 2, and beyond it a Chebyshev series of 8 / x: infinite at 0, and not defined below."""
    near = x <= 2
    far = jnp.where(near, 2, x)
    outer = chebyshev_series(coefficients, 8 / far - 2) / jnp.sqrt(far)
    found = jnp.where(near, inner, outer if scaled else outer * jnp.exp(-far))
    return jnp.where(x == 0, jnp.inf, jnp.where(x < 0, jnp.nan, found))
