"""Short-time Fourier transforms."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Inexact


def stft(
    x: Inexact[Array, "*batch time"],
    window: Inexact[Array, " n"],
    hop: int,
    *,
    normalized: bool = False,
    onesided: bool = True,
) -> Complex[Array, "*batch frequencies frames"]:
    """torch.stft without padding: the spectrum of each frame of the window's length."""
    starts = jnp.arange(0, x.shape[-1] - window.shape[0] + 1, hop)
    frames = x[..., starts[:, None] + jnp.arange(window.shape[0])] * window
    transform = jnp.fft.rfft if onesided else jnp.fft.fft
    return transform(frames, norm="ortho" if normalized else None).swapaxes(-1, -2)


def istft(
    x: Complex[Array, "*batch frequencies frames"],
    window: Inexact[Array, " n"],
    hop: int,
    *,
    center: bool = True,
    normalized: bool = False,
    onesided: bool = True,
    length: int | None = None,
) -> Inexact[Array, "*batch time"]:
    """torch.istft: frames added up where they lie, over the square of the windows there. A two-sided signal is complex."""
    n = window.shape[0]
    transform = jnp.fft.irfft if onesided else jnp.fft.ifft
    frames = transform(x.swapaxes(-1, -2), n, norm="ortho" if normalized else None) * window
    places = jnp.arange(frames.shape[-2])[:, None] * hop + jnp.arange(n)
    time = (frames.shape[-2] - 1) * hop + n
    signal = jnp.zeros((*frames.shape[:-2], time), frames.dtype).at[..., places].add(frames)
    weight = jnp.zeros(time, window.dtype).at[places].add(window**2)
    start = n // 2 if center else 0
    end = start + length if length is not None else time - start
    part = signal[..., start:end] / weight[start:end]
    missing = end - start - part.shape[-1]
    return jnp.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, missing)])
