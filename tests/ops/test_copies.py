"""Ops that copy what others view."""

import torch

from tests.ops.tables import check_table

X = torch.randn(2, 1, 6)


def test_copies():
    ops = torch.ops.aten
    calls = {
        "alias_copy.default": ops.alias_copy,
        "detach_copy.default": ops.detach_copy,
        "diagonal_copy.default": lambda x: ops.diagonal_copy(x, 1, 0, 2),
        "expand_copy.default": lambda x: ops.expand_copy(x, [2, 3, 6]),
        "permute_copy.default": lambda x: ops.permute_copy(x, [2, 0, 1]),
        "select_copy.int": lambda x: ops.select_copy(x, 2, -1),
        "slice_copy.Tensor": lambda x: ops.slice_copy(x, 2, 1, 5, 2),
        "split_copy.Tensor": lambda x: ops.split_copy(x, 4, 2),
        "split_with_sizes_copy.default": lambda x: ops.split_with_sizes_copy(x, [1, 5], 2),
        "squeeze_copy.default": ops.squeeze_copy,
        "squeeze_copy.dim": lambda x: ops.squeeze_copy(x, 1),
        "squeeze_copy.dims": lambda x: ops.squeeze_copy(x, [0, 1]),
        "transpose_copy.int": lambda x: ops.transpose_copy(x, 0, 2),
        "unbind_copy.int": lambda x: ops.unbind_copy(x, 2),
        "unfold_copy.default": lambda x: ops.unfold_copy(x, 2, 3, 2),
        "unsqueeze_copy.default": lambda x: ops.unsqueeze_copy(x, 1),
        "view_copy.default": lambda x: ops.view_copy(x, [3, 4]),
    }
    rows = [(f"aten.{op}", call, [X]) for op, call in calls.items()]
    check_table([*rows, ("aten.t_copy.default", ops.t_copy, [X[:, 0]])])
