import pytest
import torch

from op_table.registry import Unsupported
from tests.ops.harness import lowered
from tests.ops.tables import check_both

X = torch.arange(24.0).reshape(4, 6)
AS_STRIDED, SCATTER, RESIZE = "aten.as_strided.default", "aten.as_strided_scatter.default", "aten.resize.default"


def test_memory_by_strides():
    check_both(
        [
            (AS_STRIDED, lambda x: x.as_strided((3, 3), (1, 2)), [X]),
            (AS_STRIDED, lambda x: x.as_strided((2, 2, 2), (0, 6, 1), 3), [X]),
            (AS_STRIDED, lambda x: x.as_strided((), (), 5), [X]),
            (SCATTER, lambda x, s: torch.as_strided_scatter(x, s, (2, 3), (6, 2), 1), [X, -X[:2, :3].clone()]),
            ("aten.as_strided_copy.default", lambda x: torch.as_strided_copy(x, (2, 2), (6, 1)), [X]),
        ]
    )


def test_what_memory_does_not_show_is_refused():
    with pytest.raises(Unsupported, match="memory"):
        lowered(lambda x: x[1:].as_strided((2, 2), (6, 1)), X)
    with pytest.raises(Unsupported, match="memory"):
        lowered(lambda x: x.t().as_strided((2, 2), (6, 1)), X)
    with pytest.raises(Unsupported, match="twice"):
        lowered(lambda x, s: torch.as_strided_scatter(x, s, (2, 3), (1, 1)), X, X[:2, :3].clone())


def test_bits_as_another_dtype():
    check_both([("aten.view.dtype", lambda x: x.float().view(torch.int32), [X])])
    with pytest.raises(Unsupported, match="64 bits"):
        lowered(lambda x: x.view(torch.int64), X.double())
