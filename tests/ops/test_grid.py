import pytest
import torch
import torch.nn.functional as F

from tests.ops.harness import check
from tests.ops.nn_checks import check_both

IMAGE = torch.randn(2, 3, 5, 6)
# Places beyond the image on both sides, by up to more than one reflection.
GRID = torch.rand(2, 4, 7, 2) * 7 - 3.5
OP = "aten.grid_sampler.default"


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [False, True])
def test_grid_sample(mode, padding, align):
    run = check_both if align else check
    run(lambda x, g: F.grid_sample(x, g, mode, padding, align), IMAGE, GRID, op=OP)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "reflection"])
def test_grid_sample_of_a_volume(mode, padding):
    x, grid = torch.randn(2, 3, 3, 4, 5), torch.rand(2, 2, 3, 4, 3) * 4 - 2
    check_both(lambda x, g: F.grid_sample(x, g, mode, padding, False), x, grid, op=OP)


def test_grid_sample_of_an_image_of_one_pixel():
    x = torch.randn(2, 3, 1, 1)
    check_both(lambda x, g: F.grid_sample(x, g, "bilinear", "reflection", True), x, GRID, op=OP)


@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 3, 1, 5), (2, 3, 2, 3, 4)])
@pytest.mark.parametrize("align", [False, True])
def test_affine_grid(size, align):
    theta = torch.randn(2, len(size) - 2, len(size) - 1)
    check_both(lambda t: F.affine_grid(t, size, align), theta, op="aten.affine_grid_generator.default")
