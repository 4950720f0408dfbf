"""torch's ops that copy what another op views: nothing sets them apart where arrays cannot be written to."""

from __future__ import annotations

from op_table import parts, rearrange, shape
from op_table.registry import lowers

COPIES = {
    "alias_copy.default": shape.identity,
    "detach_copy.default": shape.identity,
    "diagonal_copy.default": rearrange.diagonal,
    "expand_copy.default": shape.expand,
    "permute_copy.default": shape.permute,
    "select_copy.int": parts.select,
    "slice_copy.Tensor": parts.slice_,
    "split_copy.Tensor": parts.split,
    "split_with_sizes_copy.default": parts.split_with_sizes,
    "squeeze_copy.default": shape.squeeze,
    "squeeze_copy.dim": shape.squeeze_dims,
    "squeeze_copy.dims": shape.squeeze_dims,
    "t_copy.default": shape.t,
    "transpose_copy.int": shape.transpose,
    "unbind_copy.int": parts.unbind,
    "unfold_copy.default": rearrange.unfold,
    "unsqueeze_copy.default": shape.unsqueeze,
    "view_copy.default": shape.reshape,
}

for _name, _rule in COPIES.items():
    lowers(f"aten.{_name}")(_rule)
