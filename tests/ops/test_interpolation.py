import pytest
import torch
import torch.nn.functional as F

from op_table.registry import Unsupported
from tests.ops.harness import check, lowered
from tests.ops.nn_checks import check_both

SIZES = {1: (11,), 2: (5, 8), 3: (3, 5, 4)}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
OPS = {1: "upsample_linear1d", 2: "upsample_bilinear2d", 3: "upsample_trilinear3d"}
TARGETS = [{"scale_factor": 2}, {"scale_factor": 1.7}, {"scale_factor": 0.6}, {"size": 7}, {"size": 1}]


def image(n):
    return torch.randn(2, 3, *SIZES[n])


@pytest.mark.parametrize("n, target", [(1, TARGETS[1]), *((2, t) for t in TARGETS[:4]), (3, TARGETS[2])], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest(n, target, mode):
    op = f"aten.upsample_nearest{n}d.vec" if mode == "nearest" else f"aten._upsample_nearest_exact{n}d.vec"
    check(lambda x: F.interpolate(x, mode=mode, **target), image(n), op=op)


@pytest.mark.parametrize("factor", [3, 5, 7, 49, 1 / 3, 1.1])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest_rounds_positions_as_torch_does(factor, mode):
    x = torch.arange(60.0).reshape(1, 1, 60)
    for run in (check, check_both):
        run(lambda x: F.interpolate(x, scale_factor=factor, mode=mode), x, op=None)
    check_both(lambda x: F.interpolate(x, size=int(60 * factor), mode=mode), x, op=None)


@pytest.mark.parametrize("n, target", [(1, TARGETS[1]), *((2, t) for t in TARGETS), (3, TARGETS[2])], ids=str)
@pytest.mark.parametrize("align", [False, True])
def test_linear(n, target, align):
    run = check_both if n == 2 else check
    run(lambda x: F.interpolate(x, mode=LINEAR[n], align_corners=align, **target), image(n), op=f"aten.{OPS[n]}.vec")


@pytest.mark.parametrize("target", [TARGETS[1], TARGETS[4], {"scale_factor": (1.5, 2)}, {"size": (3, 20)}], ids=str)
@pytest.mark.parametrize("align", [False, True])
def test_cubic(target, align):
    op = "aten.upsample_bicubic2d.vec"
    check_both(lambda x: F.interpolate(x, mode="bicubic", align_corners=align, **target), image(2), op=op)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("target", [{"scale_factor": 0.4}, {"size": (3, 13)}], ids=str)
@pytest.mark.parametrize("align", [False, True])
def test_antialias(mode, target, align):
    op = f"aten._upsample_{mode}2d_aa.vec"
    x = torch.randn(1, 2, 9, 11)
    check_both(lambda x: F.interpolate(x, mode=mode, antialias=True, align_corners=align, **target), x, op=op)


def test_area_and_recomputed_scale():
    check(lambda x: F.interpolate(x, size=(3, 5), mode="area"), image(2))
    check(lambda x: F.interpolate(x, scale_factor=1.3, mode="bilinear", recompute_scale_factor=True), image(2))


@pytest.mark.parametrize("name", ["upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d"])
@pytest.mark.parametrize("scales", [(), (1.7, 1.7)])
def test_overloads_by_size(name, scales):
    op = getattr(torch.ops.aten, name).default
    align = () if "nearest" in name else (False,)
    check(lambda x: op(x, [8, 13], *align, *scales), image(2), op=str(op))


def test_half_and_bytes():
    check(lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"), image(2).bfloat16())
    pixels = torch.randint(0, 256, (1, 3, 4, 5), dtype=torch.uint8)
    check(lambda x: F.interpolate(x, scale_factor=1.5), pixels)
    with pytest.raises(Unsupported, match="uint8"):
        lowered(lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"), pixels)


def test_doubling_is_a_repeat():
    pixels = torch.randint(0, 256, (1, 3, 4, 5), dtype=torch.uint8)
    check(lambda x: F.interpolate(x, scale_factor=(2, 4)), pixels)
    check(lambda x: F.interpolate(x, size=(8, 5)), pixels)
