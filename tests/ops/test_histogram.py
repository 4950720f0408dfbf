import torch

from tests.ops.harness import check
from tests.ops.tables import check_table

torch.manual_seed(0)
X = torch.randn(4, 6)
HOLES = torch.tensor([0.0, float("nan"), 2, 5])
NONE = torch.randn(0)
EVEN = torch.arange(-8, 9) / 8


def test_histc():
    rows = [
        ("aten.histc.default", lambda x: torch.histc(x, 5, -1, 1), [EVEN]),
        ("aten.histc.default", lambda x: torch.histc(x, 4, -2, 2.5), [EVEN * 2]),
        ("aten.histc.default", lambda x: torch.histc(x, 2, 0, 2), [HOLES]),
        ("aten.histc.default", lambda x: torch.histc(x, 5), [X]),
        ("aten.histc.default", lambda x: torch.histc(x, 3), [torch.ones(4)]),
        ("aten.histc.default", lambda x: torch.histc(x, 3), [NONE]),
        ("aten.histc.default", lambda x: torch.histc(x, 4), [X.half()]),
    ]
    check_table(rows)


def test_histogram():
    edges = torch.tensor([-1.0, 0, 0.5, 2])
    rows = []
    for options in ({}, {"density": True}, {"weight": X.abs()}, {"weight": X.abs(), "density": True}):
        rows += [
            ("aten.histogram.bin_ct", lambda x, o=options: torch.histogram(x, 4, **o), [X]),
            ("aten.histogram.bin_ct", lambda x, o=options: torch.histogram(x, 4, range=(-1.0, 1.0), **o), [X]),
            ("aten.histogram.bins_tensor", lambda x, b, o=options: torch.histogram(x, b, **o), [X, edges]),
        ]
    rows += [("aten.histogram.bin_ct", lambda x: torch.histogram(x, 3), [same]) for same in (torch.ones(4), NONE)]
    check_table(rows)


def test_bins_of_several_axes():
    edges = [torch.tensor([-1.0, 0, 2]), torch.tensor([-2.0, -0.5, 0.5, 1])]
    points, weight = torch.randn(3, 5, 2), torch.rand(3, 5)
    ops = torch.ops.aten
    for density in (False, True):
        check(
            lambda x, w, d=density: ops._histogramdd_from_bin_cts(x, [2, 3], weight=w, density=d),
            points,
            weight,
            op="aten._histogramdd_from_bin_cts.default",
        )
        check(
            lambda x, a, b, d=density: ops._histogramdd_from_bin_tensors(x, [a, b], density=d),
            points,
            *edges,
            op="aten._histogramdd_from_bin_tensors.default",
        )
    check(lambda x: ops._histogramdd_bin_edges(x, [2, 3]), points, op="aten._histogramdd_bin_edges.default")
    ranges = [-1.0, 1.0, 0.0, 2.0]
    check(
        lambda x: ops._histogramdd_bin_edges(x, [2, 3], range=ranges), points, op="aten._histogramdd_bin_edges.default"
    )
