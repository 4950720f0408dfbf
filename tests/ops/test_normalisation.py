import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from op_table.registry import Unsupported
from tests.ops.harness import check, lowered
from tests.ops.nn_checks import as_double, check_both

IMAGE = torch.randn(2, 6, 4, 5) * 2 + 3
CHANNELS = [torch.randn(6), torch.randn(6)]
STATISTICS = [torch.randn(6), torch.rand(6) + 0.1]


@pytest.mark.parametrize("shape, affine", [((5,), "both"), ((5,), "bias"), ((4, 5), "weight"), ((6, 4, 5), "")])
def test_layer_norm(shape, affine):
    weight = torch.randn(shape) if affine in ("weight", "both") else None
    bias = torch.randn(shape) if affine in ("bias", "both") else None
    given = [p for p in (weight, bias) if p is not None]

    def run(x, *params):
        params = iter(params)
        w, b = (None if p is None else next(params) for p in (weight, bias))
        return F.layer_norm(x, shape, w, b, 1e-12)

    (check_both if shape == (5,) else check)(run, IMAGE, *given, op="aten.layer_norm.default")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    x, w, b = (IMAGE + 50).to(dtype), torch.randn(5, dtype=dtype), torch.randn(5, dtype=dtype)
    check(lambda x, w, b: F.layer_norm(x, (5,), w, b), x, w, b, op="aten.layer_norm.default")
    check(lambda x, w: F.rms_norm(x, (5,), w), x, w, op="aten.rms_norm.default")
    w, b = torch.randn(6, dtype=dtype), torch.randn(6, dtype=dtype)
    check(lambda x, w, b: F.group_norm(x, 3, w, b), x, w, b, op="aten.group_norm.default")
    check(lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b), x, w + 50, b.abs(), w, b, op="aten.batch_norm.default")


def test_half_input_beside_float32_parameters():
    x, w = IMAGE.bfloat16(), torch.randn(5)
    check(lambda x, w: F.layer_norm(x, (5,), w, w), x, w, op="aten.layer_norm.default")
    check(lambda x, w: F.rms_norm(x, (5,), w), x, w, op="aten.rms_norm.default")


@pytest.mark.parametrize("eps", [None, 1e-6])
@pytest.mark.parametrize("shape", [(5,), (4, 5)])
def test_rms_norm(shape, eps):
    small = IMAGE * 1e-3
    check_both(lambda x, w: F.rms_norm(x, shape, w, eps), small, torch.randn(shape), op="aten.rms_norm.default")
    check(lambda x: F.rms_norm(x, shape, None, eps), small, op="aten.rms_norm.default")
    check(lambda x: F.rms_norm(x, shape, None, eps), torch.complex(small, small.sin()), op="aten.rms_norm.default")


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_group_norm(groups):
    check_both(lambda x, w, b: F.group_norm(x, groups, w, b, 1e-3), IMAGE, *CHANNELS, op="aten.group_norm.default")
    check(lambda x: F.group_norm(x, groups), IMAGE[:, :, 0, 0], op="aten.group_norm.default")


@pytest.mark.parametrize("x", [IMAGE, IMAGE[:, :, 0], IMAGE[..., None]], ids=["2d", "1d", "3d"])
def test_instance_norm(x):
    check_both(lambda x, w, b: F.instance_norm(x, None, None, w, b), x, *CHANNELS, op="aten.instance_norm.default")


def test_instance_norm_with_running_statistics():
    op = "aten.instance_norm.default"
    check_both(lambda x, m, v: F.instance_norm(x, m, v, use_input_stats=False), IMAGE, *STATISTICS, op=op)
    layer = nn.InstanceNorm2d(6, track_running_stats=True).train()
    with pytest.raises(Unsupported, match="running statistics"):
        lowered(layer, IMAGE)


@pytest.mark.parametrize("x", [IMAGE, IMAGE[:, :, 0], IMAGE[:, :, 0, 0], IMAGE[..., None], IMAGE[:0]])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm(x, affine):
    params = CHANNELS if affine else []
    check_both(lambda x, *p: F.batch_norm(x, *p, eps=1e-3), x, *STATISTICS, *params, op="aten.batch_norm.default")


def test_batch_norm_without_running_statistics_uses_the_batch():
    layer = nn.BatchNorm2d(6, track_running_stats=False).eval()
    check(layer, IMAGE, op="aten.batch_norm.default")
    check(lambda x: F.batch_norm(x, None, None, training=True), IMAGE.bfloat16(), op="aten.batch_norm.default")


def test_batch_norm_in_training_is_refused():
    op = torch.ops.aten.batch_norm.default
    with pytest.raises(Unsupported, match="training"):
        lowered(lambda x, m, v: op(x, None, None, m, v, True, 0.1, 1e-5, False), IMAGE, *STATISTICS)


@pytest.mark.parametrize("x", [IMAGE, IMAGE.double()], ids=["float32", "float64"])
def test_native_forms(x):
    aten = torch.ops.aten
    params = [p.to(x.dtype) for p in (*CHANNELS, *STATISTICS)]
    inner = torch.randn(5, dtype=x.dtype)
    check(lambda x, w: aten.native_layer_norm(x, [5], w, w, 1e-5), x, inner, op="aten.native_layer_norm.default")
    check(lambda x, w, b: aten.native_group_norm(x, w, b, 2, 6, 20, 3, 1e-5), x, *params[:2])
    check(lambda x, *p: aten._native_batch_norm_legit_no_training(x, *p, 0.1, 1e-5), x, *params)
    check(lambda x, w, b: aten._native_batch_norm_legit.no_stats(x, w, b, True, 0.1, 1e-5), x, *params[:2])


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_weight_norm(dim):
    v = torch.randn(4, 3, 2)
    g = torch.randn([4 if dim == 0 else 1, 3 if dim == 1 else 1, 1] if dim != -1 else [1])
    check_both(lambda v, g: torch._weight_norm(v, g, dim), v, g, op="aten._weight_norm.default")


@pytest.mark.parametrize("dim", [0, 2])
def test_weight_norm_interface(dim):
    v = torch.randn(4, 3, 2)
    g = torch.rand([4, 1, 1] if dim == 0 else [1, 1, 2])
    op = torch.ops.aten._weight_norm_interface.default
    check(lambda v, g: op(v, g, dim), v, g, op=str(op))


def test_modules():
    check(nn.LocalResponseNorm(3), IMAGE)
    check(torch.nn.utils.parametrizations.weight_norm(nn.Linear(5, 3)), as_double(IMAGE).float())


@pytest.mark.parametrize("training", [True, False])
def test_functional_batch_norm_gives_the_new_statistics(training):
    aten = torch.ops.aten
    x = torch.randn(4, 6, 5)
    op = aten._native_batch_norm_legit_functional
    check(lambda *a: op(*a, training, 0.3, 1e-5)[3 - 3 * training :], x, *CHANNELS, *STATISTICS)
    check(lambda *a: op(*a, training, 0.3, 1e-5)[0], x.bfloat16(), *CHANNELS, *STATISTICS)
    if training:
        update = aten._batch_norm_with_update_functional
        check(lambda *a: [update(*a, 0.3, 1e-5)[i] for i in (0, 1, 2, 4, 5)], x, *CHANNELS, *STATISTICS)


def test_native_batch_norm_without_statistics():
    op = torch.ops.aten.native_batch_norm
    check(lambda x: op(x, None, None, None, None, True, 0.1, 1e-5), IMAGE, op="aten.native_batch_norm.default")
