"""The Airy function, the scaled complementary error function and the spherical Bessel function, as torch.special has them."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

AIRY_AN = (
    0.346538101525629,
    12.007595273964581,
    76.27960536152345,
    168.08922493463058,
    159.75639135016442,
    70.53609068404442,
    14.026469116338967,
    1.0,
)
AIRY_AD = (
    0.5675945326387702,
    14.75625625848472,
    84.51389701414746,
    177.31808814540045,
    164.2346928715297,
    71.47784008255756,
    14.095913560783403,
    1.0,
)
AIRY_AFN = (
    -0.1316963234183318,
    -0.6264565444319123,
    -0.6931580360369335,
    -0.2797799815451191,
    -0.04919001326095003,
    -0.004062659235948854,
    -0.0001592764962392621,
    -2.776491081552329e-06,
    -1.6778769848911465e-08,
)
AIRY_AFD = (
    13.356042070655324,
    32.682503279522464,
    26.736704094149957,
    9.187074029072596,
    1.4752914677166642,
    0.11568717379518804,
    0.004402916416152112,
    7.547203482874142e-05,
    4.5185009297058035e-07,
)
AIRY_AGN = (
    0.01973399320916857,
    0.39110302961568827,
    1.0657989759959559,
    0.9391692298166502,
    0.35146565610554764,
    0.06338889196289255,
    0.005858041130483885,
    0.000282851600836737,
    6.98793669997261e-06,
    8.117892395543892e-08,
    3.415517847659236e-10,
)
AIRY_AGD = (
    9.30892908077442,
    19.835292871831214,
    15.564662893286462,
    5.476860694229755,
    0.9542936116189619,
    0.08645808263523921,
    0.004126565238242226,
    0.00010125908511650914,
    1.1716673321441352e-06,
    4.9183457006293e-09,
)
# 1 / sqrt(pi), and Ai(0) and -Ai'(0).
AIRY_SCALE = 5.64189583547756286948e-01
AIRY_AT_ZERO = (0.355028053887817239260, 0.258819403792806798405)
ERFCX = (
    5.068148904796111e-17,
    7.418235256624044e-17,
    -1.2507950530688648e-15,
    -1.864562880419313e-15,
    3.3478119482868056e-14,
    3.25254814814874e-14,
    -9.65469674843344e-13,
    1.9455868545777347e-13,
    2.86879501093067e-11,
    -6.318088340886684e-11,
    -7.754400208831351e-10,
    4.521959811218287e-09,
    1.076499946567091e-08,
    -2.1886401049234397e-07,
    7.74038306619849e-07,
    4.13902798607301e-06,
    -6.916973302501207e-05,
    0.0004907758365258086,
    -0.002413163540417608,
    0.009074997670705265,
    -0.026658668435305753,
    0.05920993999819189,
    -0.08424913336651792,
    -0.004590054580646478,
    2.3551578691348034,
)


def horner(coefficients: Sequence[float], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The polynomial with these coefficients, that of the highest power first."""
    total = jnp.zeros_like(x)
    for coefficient in coefficients:
        total = total * x + coefficient
    return total


def chebyshev_series(coefficients: Sequence[float], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The sum of c[k] T[k](x / 2), the highest degree first and half of the last coefficient, by Clenshaw's recurrence."""
    before, last, total = (jnp.zeros_like(x) for _ in range(3))
    for coefficient in coefficients:
        before, last = last, total
        total = x * last - before + coefficient
    return 0.5 * (total - before)


def airy_ai(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The Airy function Ai.

    Source: Cephes airy.c, as in ATen/native/Math.h: asymptotic series beyond 2.09 of zero, Taylor's within.
    """
    low, high = x < -2.09, x >= 2.09

    at = jnp.where(low, -x, 2.09)
    root = jnp.sqrt(at)
    zeta = 2 * at * root / 3
    z = 1 / zeta
    even = 1 + z * z * horner(AIRY_AFN, z * z) / horner(AIRY_AFD, z * z)
    odd = z * horner(AIRY_AGN, z * z) / horner(AIRY_AGD, z * z)
    turn = zeta + 0.25 * jnp.pi
    waves = AIRY_SCALE / jnp.sqrt(root) * (jnp.sin(turn) * even - jnp.cos(turn) * odd)

    at = jnp.where(high, x, 2.09)
    root = jnp.sqrt(at)
    zeta = 2 * at * root / 3
    ratio = horner(AIRY_AN, 1 / zeta) / horner(AIRY_AD, 1 / zeta)
    decay = jnp.where(x > 103.892, 0, 0.5 * AIRY_SCALE * ratio / jnp.sqrt(root) * jnp.exp(-zeta))

    at = jnp.where(low | high, 0, x)
    z = at * at * at
    f = g = jnp.ones_like(x)
    for k in range(39, 0, -3):
        f, g = 1 + z / (k * (k - 1)) * f, 1 + z / (k * (k + 1)) * g
    near = AIRY_AT_ZERO[0] * f - AIRY_AT_ZERO[1] * at * g

    found = jnp.where(low, waves, jnp.where(high, decay, near))
    return jnp.where(jnp.isinf(x), jnp.nan, found)


def erfcx(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """exp(x**2) * erfc(x), with all digits where one of the two has none.

    Source: M. M. Shepherd and J. G. Laframboise, Math. Comp. 36 (1981): (1 + 2x) erfcx(x) as one series in
    (x - 3.75) / (x + 3.75). Its coefficients were computed with mpmath.
    """
    size = jnp.where(x < 0, -x, x)
    above = chebyshev_series(ERFCX, 2 - 15 / (size + 3.75)) / (1 + 2 * size)
    below = jnp.where(x < 0, x, 0)
    return jnp.where(x < 0, 2 * jnp.exp(below * below) - above, above)


def spherical_bessel_j0(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sin(x) / x, by its Taylor series near zero. Source: ATen/native/Math.h."""
    near = jnp.abs(x) < 0.5
    inner = jnp.where(near, x, 0)
    square = inner * inner
    series = jnp.ones_like(x)
    for k in range(12, 0, -2):
        series = 1 - square / (k * (k + 1)) * series
    far = jnp.where(near | jnp.isinf(x), 1, x)
    return jnp.where(near, series, jnp.where(jnp.isinf(x), 0, jnp.sin(far) / far))
