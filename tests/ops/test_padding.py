"""Padding: every mode, and constants of every sign."""

import pytest
import torch
from torch.nn import functional as F

from tests.ops.tables import check_table

torch.manual_seed(0)
aten = torch.ops.aten
X = torch.randn(2, 3, 5, 6)
INTS = torch.arange(6).reshape(2, 3)


def test_constant():
    pad = "aten.pad.default"
    check_table(
        [
            (pad, lambda x: F.pad(x, (1, 2)), [X]),
            (pad, lambda x: F.pad(x, (1, 2, 0, 3), value=1.5), [X]),
            (pad, lambda x: F.pad(x, (-1, 2, 3, -2)), [X]),
            (pad, lambda x: F.pad(x, (-1, -1)), [X]),
            (pad, lambda x: F.pad(x, (0, 0)), [X]),
            (pad, lambda x: F.pad(x, (0, 0, 0, 0, 1, 1), value=float("-inf")), [X]),
            (pad, lambda x: F.pad(x, (1, 0), value=-1), [INTS]),
            (pad, lambda x: F.pad(x, (1, 0), value=True), [INTS > 2]),
            (pad, lambda x: F.pad(x, (1, 0), value=torch.finfo(torch.float16).min), [X.half()]),
            ("aten.constant_pad_nd.default", lambda x: aten.constant_pad_nd(x, [1, 1], 2.0), [X]),
        ]
    )


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_modes(mode):
    pad = "aten.pad.default"
    rows = [
        (pad, lambda x: F.pad(x, (2, 1), mode=mode), [X[0]]),
        (pad, lambda x: F.pad(x, (2, 1, 0, 3), mode=mode), [X]),
        (pad, lambda x: F.pad(x, (2, 1, 3, 0, 1, 1), mode=mode), [X[None]]),
    ]
    if mode == "replicate":
        rows.append((pad, lambda x: F.pad(x, (8, 9), mode=mode), [X[0]]))
    check_table(rows)


def test_low_level_names():
    check_table(
        [
            ("aten.reflection_pad2d.default", lambda x: aten.reflection_pad2d(x, [1, 2, 3, 0]), [X]),
            ("aten.replication_pad1d.default", lambda x: aten.replication_pad1d(x, [1, 2]), [X[0]]),
            ("aten._pad_circular.default", lambda x: aten._pad_circular(x, [1, 2]), [X[0]]),
        ]
    )


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_negative_widths_cut(mode):
    rows = [(-2, 3), (3, -2), (-1, -1), (2, -3)]
    check_table([("aten.pad.default", lambda x, w=widths: F.pad(x, w, mode=mode), [X[0]]) for widths in rows])
