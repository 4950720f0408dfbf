"""Products, and the functions of torch.nn."""

from __future__ import annotations

from tests.fuzz.draw import Draw
from tests.fuzz.program import EXACT, NORMALIZES, SUMS

PRODUCTS = [
    "{t2} @ {same}.mT", "torch.matmul({t1}, {same})", "{t2} @ {same}[..., 0, :]", "torch.einsum('...i,...i->...', {t1}, {same})", "torch.einsum('...ij,...kj->...ik', {t2}, {same})",
    "torch.bmm({t2}.reshape(1, *{same}.shape[-2:]), {same}.mT.reshape(1, *{same}.mT.shape[-2:]))", "F.linear({f1}, {f1})", "F.linear({t2}, {same})", "torch.dot({t1}.flatten(), {same}.flatten())",
    "torch.addmm({f}, {t2}, {same}.T, beta=0.5, alpha=2)", "torch.baddbmm({f}, {t2}, {same}.mT)", "torch.tensordot({t2}, {same}, dims=1)", "torch.inner({t1}, {same})", "torch.mv({t2}, {same}[0])",
    "F.mse_loss({f}, {same})", "F.l1_loss({f}, {same}, reduction='none')", "F.smooth_l1_loss({f}, {same})",
    "F.scaled_dot_product_attention({f1}.nan_to_num(), {same}, {same})", "F.bilinear({t2}, {same}, torch.ones(2, {same}.shape[-1], {same}.shape[-1]))", "torch.vdot({t1}.flatten(), {same}.flatten())", "torch.linalg.multi_dot([{t2}, {same}.T, {same}])",
]  # fmt: skip


def norms(draw: Draw) -> bool:
    name = draw.pick(lambda t: t.is_floating_point() and t.ndim > 1 and t.numel() > 1)
    last = draw.env[name].shape[-1]
    channels = draw.env[name].shape[1]
    scale = f"torch.arange(1, {last + 1}).to({name}.dtype)"
    code = draw.choose(
        [
            f"F.layer_norm({name}, ({last},))",
            f"F.layer_norm({name}, ({last},), {scale}, {scale}, 1e-3)",
            f"F.layer_norm({name}, {name}.shape[-2:])",
            f"F.rms_norm({name}, ({last},), {scale}, 1e-3)",
            f"F.group_norm({name}, 1, eps=1e-2)",
            f"F.instance_norm({name}, eps=0.1)",
            f"F.batch_norm({name}, torch.zeros({channels}), torch.ones({channels}))",
            f"F.local_response_norm({name}, 2)",
            f"F.glu({name}, {draw.dim(name)})",
            f"F.dropout({name}, 0.5, False)",
        ]
    )
    return draw.add("norms", code, NORMALIZES)


def images(draw: Draw) -> bool:
    """Padding, pooling, convolution and interpolation over the last axes."""
    name = draw.pick(lambda t: t.is_floating_point() and t.ndim in (3, 4) and 0 < t.numel() < 200)
    tensor = draw.env[name]
    flat = tensor.ndim == 3
    n, channels = ("1d" if flat else "2d"), tensor.shape[1]
    kernel = draw.integer(1, 2)
    weight = f"({name}.new_ones(2, {channels}, {', '.join(['2'] * (1 if flat else 2))}) / 2)"
    transposed = weight.replace(f"(2, {channels}", f"({channels}, 2")
    # torch computes 0 times what lies beside a place, where it lies on one: of infinity that is NaN.
    finite = f"torch.nan_to_num({name}, posinf=9.0, neginf=-9.0)"
    lows = draw.integer(0, 1), draw.integer(-1, 2)
    code = draw.choose(
        [
            f"F.pad({name}, {lows})",
            f"F.pad({name}, {(1, *lows, 0)}, value={draw.scalar('f')})",
            f"F.pad({name}, {(1, 1) if flat else (1, 1, 0, 1)}, mode='{draw.choose(['reflect', 'replicate', 'circular'])}')",
            f"F.max_pool{n}({name}, {kernel}, {draw.integer(1, 3)}, ceil_mode={draw.choose(['True', 'False'])})",
            f"F.max_pool{n}({name}, 2, 1, 1, return_indices=True)[1]",
            f"F.avg_pool{n}({name}, 2, 2, {draw.integer(0, 1)}, ceil_mode=True, count_include_pad={draw.choose(['True', 'False'])})",
            f"F.adaptive_avg_pool{n}({name}, {draw.integer(1, 3)})",
            f"F.adaptive_max_pool{n}({name}, {draw.integer(1, 3)})",
            f"F.lp_pool{n}({name}, 2, 2)",
            f"F.conv{n}({name}, {name}.new_ones({channels}, 1, {', '.join(['2'] * (1 if flat else 2))}), padding={draw.integer(0, 2)}, groups={channels})",
            f"F.conv{n}({name}, {weight}[..., :1{'' if flat else ', :1'}], stride={draw.integer(1, 2)})",
            f"F.conv{n}({name}, {weight}, stride={draw.integer(1, 2)}, padding={draw.integer(0, 2)}, dilation={draw.integer(1, 2)})",
            f"F.conv{n}({name}, {weight}, padding='same')",
            f"F.conv_transpose{n}({name}, {transposed}, stride=2, padding={draw.integer(0, 1)}, output_padding={draw.integer(0, 1)})",
            f"F.interpolate({name}, scale_factor={draw.choose([2, 0.5, 1.6])}, mode='{draw.choose(['nearest', 'nearest-exact'])}')",
            f"F.interpolate({finite}, size={draw.integer(1, 5)}, mode='{'linear' if flat else 'bilinear'}', align_corners={draw.choose(['True', 'False'])})",
            f"F.pixel_shuffle({name}, 1)",
            f"F.unfold({name}, 2)",
            f"torch.nn.functional.channel_shuffle({name}, {draw.choose([k for k in range(1, channels + 1) if channels % k == 0])})",
        ]
    )
    return draw.add("images", code, SUMS)


FAMILIES = [norms, images]
COUNT = len(PRODUCTS) + 10 + 17

__all__ = ["COUNT", "EXACT", "FAMILIES", "PRODUCTS"]
