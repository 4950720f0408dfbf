"""Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_table.axes import given
from op_table.dtypes import DEFAULT_FLOAT, is_complex, written
from op_table.expr import Expr, Value, jnp, prelude
from op_table.prelude import spectral
from op_table.registry import Unsupported, lowers

ONE_AXIS = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
TWO_AXES = ("fft2", "ifft2", "rfft2", "irfft2")
ALL_AXES = ("fftn", "ifftn", "rfftn", "irfftn")
SHIFTS = ("fftshift", "ifftshift")
FREQUENCIES = ("fftfreq", "rfftfreq")


def _along_one(function: Expr):
    def rule(x: Expr, n: Any = None, dim: int = -1, norm: str | None = None) -> Expr:
        return function(x, **given(n=n, axis=None if dim == -1 else dim, norm=norm))

    return rule


def _options(s: list | None, dim: list | None, norm: str | None) -> dict[str, Any]:
    if s is not None and any(isinstance(size, int) and size == -1 for size in s):
        raise Unsupported("a transform of several axes, some of whose sizes are -1")
    return given(s=None if s is None else tuple(s), axes=None if dim is None else tuple(dim), norm=norm)


def _along_several(function: Expr):
    def rule(x: Value, s: list | None = None, dim: list | None = None, norm: str | None = None) -> Expr:
        return function(x, **_options(s, dim, norm))

    return rule


def _along_two(two: Expr, several: Expr):
    """torch's functions of two axes take any number of them."""

    def rule(x: Value, s: list | None = None, dim: list | None = None, norm: str | None = None) -> Expr:
        dim = [-2, -1] if dim is None else dim
        usual = list(dim) == [-2, -1]
        return (two if len(dim) == 2 else several)(x, **_options(s, None if usual else dim, norm))

    return rule


# Which norm a Hermitian transform has as a real one that goes the other way.
_OTHER_NORM = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _hermitian(x: Expr, s: list | None, dim: list | None, norm: str | None) -> Expr:
    x = x.conj() if is_complex(x.dtype) else x
    return jnp.fft.irfftn(x, **_options(s, dim, _OTHER_NORM[norm]))


@lowers("aten.fft_hfftn.default")
def hfftn(x: Value, s: list | None = None, dim: list | None = None, norm: str | None = None) -> Expr:
    return _hermitian(x, s, dim, norm)


@lowers("aten.fft_hfft2.default")
def hfft2(x: Value, s: list | None = None, dim: list = (-2, -1), norm: str | None = None) -> Expr:
    return _hermitian(x, s, dim, norm)


@lowers("aten.fft_ihfftn.default")
def ihfftn(x: Value, s: list | None = None, dim: list | None = None, norm: str | None = None) -> Expr:
    return jnp.fft.rfftn(x, **_options(s, dim, _OTHER_NORM[norm])).conj()


@lowers("aten.fft_ihfft2.default")
def ihfft2(x: Value, s: list | None = None, dim: list = (-2, -1), norm: str | None = None) -> Expr:
    return ihfftn(x, s, dim, norm)


def _shift(function: Expr):
    def rule(x: Expr, dim: list | None = None) -> Expr:
        return function(x, **given(axes=None if dim is None else tuple(dim)))

    return rule


def _frequencies(function: Expr):
    def rule(n: Any, d: float = 1.0, *, dtype: np.dtype | None = None) -> Expr:
        options = {"dtype": written(dtype)} if dtype not in (None, DEFAULT_FLOAT) else {}
        return function(n, **({} if d == 1 else {"d": d}), **options)

    return rule


for _name in ONE_AXIS:
    lowers(f"aten.fft_{_name}.default")(_along_one(getattr(jnp.fft, _name)))
for _name in TWO_AXES:
    lowers(f"aten.fft_{_name}.default")(_along_two(getattr(jnp.fft, _name), getattr(jnp.fft, _name.replace("2", "n"))))
for _name in ALL_AXES:
    lowers(f"aten.fft_{_name}.default")(_along_several(getattr(jnp.fft, _name)))
for _name in SHIFTS:
    lowers(f"aten.fft_{_name}.default")(_shift(getattr(jnp.fft, _name)))
for _name in FREQUENCIES:
    lowers(f"aten.fft_{_name}.default")(_frequencies(getattr(jnp.fft, _name)))


def _window(window: Expr | None, n_fft: int, win_length: int | None) -> Expr:
    """The window, or ones, with zeros at both ends up to the transform's length."""
    length = n_fft if win_length is None else win_length
    window = jnp.ones(length) if window is None else window
    before = (n_fft - length) // 2
    return window if length == n_fft else jnp.pad(window, (before, n_fft - length - before))


@lowers("aten.stft.default")
def stft(
    x: Value,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Expr | None = None,
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Expr:
    if align_to_window:
        raise Unsupported("stft aligned to the window")
    options = {"normalized": True} if normalized else {}
    # Of what is real the other half of the spectrum says nothing new, and torch leaves it out unless asked.
    real = not is_complex(x.dtype) and (window is None or not is_complex(window.dtype))
    if not (real if onesided is None else onesided):
        options["onesided"] = False
    hop = n_fft // 4 if hop_length is None else hop_length
    spectrum = prelude(spectral.stft)(x, _window(window, n_fft, win_length), hop, **options)
    as_complex = not real if return_complex is None else return_complex
    return spectrum if as_complex else jnp.stack([spectrum.real, spectrum.imag], axis=-1)


@lowers("aten.istft.default")
def istft(
    x: Value,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Expr | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: Any = None,
    return_complex: bool = False,
) -> Expr:
    options = given(normalized=normalized, length=length) | ({} if center else {"center": False})
    if return_complex:
        options["onesided"] = False
    hop = n_fft // 4 if hop_length is None else hop_length
    return prelude(spectral.istft)(x, _window(window, n_fft, win_length), hop, **options)
