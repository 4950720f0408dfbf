"""Repeats, mirrors, shifts, diagonals, triangles and windows."""

import torch
from torch.nn import functional as F

from tests.ops.tables import check_table

torch.manual_seed(0)
X = torch.randn(2, 3, 4)
SQUARE = torch.randn(2, 4, 4)
IMAGE = torch.randn(2, 3, 7, 8)


def test_repeats():
    check_table(
        [
            ("aten.repeat.default", lambda x: x.repeat(2, 1, 3), [X]),
            ("aten.repeat.default", lambda x: x.repeat(2, 1, 1, 3), [X]),
            ("aten.repeat.default", lambda x: x.repeat(1, 1, 1), [X]),
            ("aten.repeat.default", lambda x: x.repeat(3), [torch.tensor(1)]),
            ("aten.tile.default", lambda x: x.tile(2), [X]),
            ("aten.tile.default", lambda x: x.tile(2, 1, 1, 2), [X]),
            ("aten.repeat_interleave.self_int", lambda x: x.repeat_interleave(2, 1), [X]),
            ("aten.repeat_interleave.self_int", lambda x: x.repeat_interleave(2, -1), [X]),
            ("aten.repeat_interleave.self_int", lambda x: x.repeat_interleave(3), [X]),
            (
                "aten.repeat_interleave.self_Tensor",
                lambda x, r: x.repeat_interleave(r, 1, output_size=6),
                [X, torch.tensor([1, 3, 2])],
            ),
        ]
    )


def test_mirrors_and_shifts():
    check_table(
        [
            ("aten.flip.default", lambda x: x.flip(0), [X]),
            ("aten.flip.default", lambda x: x.flip(-1, 1), [X]),
            ("aten.fliplr.default", torch.fliplr, [X]),
            ("aten.flipud.default", torch.flipud, [X]),
            ("aten.rot90.default", lambda x: torch.rot90(x, 1, (1, 2)), [X]),
            ("aten.rot90.default", lambda x: torch.rot90(x, -1), [X]),
            ("aten.roll.default", lambda x: x.roll(1), [X]),
            ("aten.roll.default", lambda x: x.roll(1, 2), [X]),
            ("aten.roll.default", lambda x: x.roll((1, -2), (0, -1)), [X]),
        ]
    )


def test_diagonals_and_triangles():
    check_table(
        [
            ("aten.diagonal.default", lambda x: x.diagonal(), [X]),
            ("aten.diagonal.default", lambda x: x.diagonal(1, -2, -1), [X]),
            ("aten.diagonal.default", lambda x: x.diagonal(-1, 0, 2), [X]),
            ("aten.diag.default", lambda x: torch.diag(x, 1), [X[0, 0]]),
            ("aten.diag.default", torch.diag, [X[0]]),
            ("aten.diag_embed.default", torch.diag_embed, [X]),
            ("aten.diag_embed.default", lambda x: torch.diag_embed(x, -1, 0, 2), [X]),
            ("aten.diag_embed.default", lambda x: torch.diag_embed(x, 2, 2, 1), [X]),
            ("aten.diagonal_scatter.default", torch.diagonal_scatter, [SQUARE[0], X[0, 0]]),
            ("aten.diagonal_scatter.default", lambda x, y: x.diagonal_scatter(y, 1, -2, -1), [SQUARE, X[:, 0, :3]]),
            ("aten.trace.default", torch.trace, [X[0]]),
            ("aten.trace.default", torch.trace, [(X[0] * 99).int().byte()]),
            ("aten.tril.default", torch.tril, [X]),
            ("aten.tril.default", lambda x: torch.tril(x, -1), [X]),
            ("aten.triu.default", lambda x: torch.triu(x, diagonal=1), [X > 0]),
            ("aten.triu.default", torch.triu, [X]),
            ("aten.block_diag.default", torch.block_diag, [X[0], SQUARE[0]]),
            ("aten.cartesian_prod.default", torch.cartesian_prod, [X[0, 0], X[0, 1, :2]]),
        ]
    )


def test_windows():
    options = dict(kernel_size=(2, 3), dilation=(2, 1), padding=(1, 2), stride=(2, 1))
    check_table(
        [
            ("aten.unfold.default", lambda x: x.unfold(2, 3, 2), [IMAGE]),
            ("aten.unfold.default", lambda x: x.unfold(-1, 2, 1), [IMAGE]),
            ("aten.im2col.default", lambda x: F.unfold(x, 3), [IMAGE]),
            ("aten.im2col.default", lambda x: F.unfold(x, **options), [IMAGE]),
            ("aten.im2col.default", lambda x: F.unfold(x, 2, stride=2), [IMAGE[0]]),
            ("aten.col2im.default", lambda x: F.fold(F.unfold(x, **options), (7, 8), **options), [IMAGE]),
            ("aten.col2im.default", lambda x: F.fold(F.unfold(x, 2, stride=2), (7, 8), 2, stride=2), [IMAGE[0]]),
        ]
    )
