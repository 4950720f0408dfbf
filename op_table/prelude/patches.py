"""Windows over an array, and diagonals: what torch does with strides is indexing here."""

import jax.numpy as jnp
from jaxtyping import Array, Shaped


def diag_embed(x: Shaped[Array, "*batch n"], offset: int, axis1: int, axis2: int) -> Array:
    """torch.diag_embed: matrices with x on a diagonal, their rows and columns at the given axes."""
    size = x.shape[-1] + abs(offset)
    places = jnp.arange(x.shape[-1])
    square = jnp.zeros((*x.shape[:-1], size, size), x.dtype)
    square = square.at[..., places + max(-offset, 0), places + max(offset, 0)].set(x)
    return jnp.moveaxis(square, (-2, -1), (axis1, axis2))


def diagonal_scatter(
    x: Shaped[Array, "..."], src: Shaped[Array, "..."], offset: int, axis1: int, axis2: int
) -> Array:
    """torch.diagonal_scatter: x with a diagonal of its matrices replaced by src."""
    square = jnp.moveaxis(x, (axis1, axis2), (-2, -1))
    places = jnp.arange(src.shape[-1])
    square = square.at[..., places + max(-offset, 0), places + max(offset, 0)].set(
        src.astype(x.dtype)
    )
    return jnp.moveaxis(square, (-2, -1), (axis1, axis2))


def windows_along(x: Shaped[Array, "..."], axis: int, size: int, step: int) -> Array:
    """torch.Tensor.unfold: windows along an axis, laid out along a new last axis."""
    starts = jnp.arange(0, x.shape[axis] - size + 1, step)
    windows = jnp.take(x, starts[:, None] + jnp.arange(size), axis=axis)
    return jnp.moveaxis(windows, axis + 1, -1)


def patch_places(
    length: int, kernel: int, dilation: int, padding: int, stride: int
) -> Shaped[Array, "kernel patches"]:
    """The places along a padded axis that each tap of a kernel reads, for each patch."""
    last = length + 2 * padding - dilation * (kernel - 1)
    return jnp.arange(kernel)[:, None] * dilation + jnp.arange(0, last, stride)


def im2col(
    x: Shaped[Array, "*batch channels height width"],
    kernel: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
    stride: tuple[int, int],
) -> Shaped[Array, "*batch taps patches"]:
    """torch.nn.functional.unfold: the patches that a convolution reads, as columns."""
    height, width = x.shape[-2:]
    rows = patch_places(height, kernel[0], dilation[0], padding[0], stride[0])
    columns = patch_places(width, kernel[1], dilation[1], padding[1], stride[1])
    lead = [(0, 0)] * (x.ndim - 2)
    padded = jnp.pad(x, [*lead, (padding[0], padding[0]), (padding[1], padding[1])])
    patches = padded[..., rows[:, None, :, None], columns[None, :, None, :]]
    taps = x.shape[-3] * kernel[0] * kernel[1]
    return patches.reshape(*x.shape[:-3], taps, rows.shape[1] * columns.shape[1])


def col2im(
    x: Shaped[Array, "*batch taps patches"],
    size: tuple[int, int],
    kernel: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
    stride: tuple[int, int],
) -> Shaped[Array, "*batch channels height width"]:
    """torch.nn.functional.fold: patches added up where they lie in the image."""
    height, width = size
    rows = patch_places(height, kernel[0], dilation[0], padding[0], stride[0])
    columns = patch_places(width, kernel[1], dilation[1], padding[1], stride[1])
    channels = x.shape[-2] // (kernel[0] * kernel[1])
    patches = x.reshape(*x.shape[:-2], channels, *kernel, rows.shape[1], columns.shape[1])
    padded = jnp.zeros(
        (*x.shape[:-2], channels, height + 2 * padding[0], width + 2 * padding[1]), x.dtype
    )
    padded = padded.at[..., rows[:, None, :, None], columns[None, :, None, :]].add(patches)
    return padded[..., padding[0] : padding[0] + height, padding[1] : padding[1] + width]
