import pytest
import torch
import torch.nn.functional as F

from tests.ops.harness import check
from tests.ops.nn_checks import check_both

X, Y = torch.randn(4, 5) * 2, torch.randn(4, 5) * 2
SIGNS = torch.tensor([1, -1, -1, 1])
CLASSES = torch.tensor([2, 0, 4, 0])
WEIGHT = torch.rand(5) + 0.1
REDUCTIONS = ["none", "mean", "sum"]

# loss -> the further arguments that it is tested with.
ELEMENTWISE = {
    "mse_loss": [{}],
    "l1_loss": [{}],
    "smooth_l1_loss": [{}, {"beta": 0.5}],
    "huber_loss": [{}, {"delta": 0.5}],
    "soft_margin_loss": [{}],
    "binary_cross_entropy_with_logits": [{}],
    "kl_div": [{}, {"log_target": True}],
    "poisson_nll_loss": [{}, {"log_input": False, "full": True}],
    "hinge_embedding_loss": [{}, {"margin": 0.5}],
}


def targets(name, options):
    if name in ("soft_margin_loss", "hinge_embedding_loss"):
        return Y.sign()
    if name == "kl_div" and not options:
        probabilities = Y.softmax(-1)
        probabilities[0, 0] = 0
        return probabilities
    return Y.abs() if name in ("poisson_nll_loss", "binary_cross_entropy_with_logits") else Y


@pytest.mark.parametrize("name, options", [(n, o) for n, variants in ELEMENTWISE.items() for o in variants], ids=str)
def test_elementwise(name, options):
    x = X.abs() if options.get("log_input") is False else X
    function, y, op = getattr(F, name), targets(name, options), f"aten.{name}.default"
    check_both(lambda x, y: function(x, y, reduction="none", **options), x, y, op=op)
    check(lambda x, y: function(x, y, **options), x, y, op=op)


def test_sum():
    check(lambda x, y: F.mse_loss(x, y, reduction="sum"), X, Y, op="aten.mse_loss.default")


def test_smooth_l1_without_a_smooth_part():
    op = torch.ops.aten.smooth_l1_loss.default
    check(lambda x, y: op(x, y, 1, 0.0), X, Y, op=str(op))


def test_binary_cross_entropy():
    x, y, w = torch.rand(4, 5), torch.rand(4, 5), torch.rand(5)
    x[0, 0], x[0, 1] = 0, 1
    op = "aten.binary_cross_entropy.default"
    check_both(F.binary_cross_entropy, x, y, op=op)
    check(lambda x, y, w: F.binary_cross_entropy(x, y, w, reduction="sum"), x, y, w.expand(4, 5).clone(), op=op)
    op = "aten.binary_cross_entropy_with_logits.default"
    check_both(lambda x, y, w: F.binary_cross_entropy_with_logits(x, y, w, pos_weight=w), X * 50, y, w, op=op)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignored", [-100, 0])
def test_cross_entropy(reduction, weighted, smoothing, ignored):
    def loss(x, y, *w):
        return F.cross_entropy(x, y, *w, reduction=reduction, label_smoothing=smoothing, ignore_index=ignored)

    run = check_both if weighted and smoothing else check
    run(loss, X, CLASSES, *([WEIGHT] if weighted else []), op="aten.cross_entropy_loss.default")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_images_and_of_one_example(reduction):
    op = "aten.cross_entropy_loss.default"
    pixels, classes = torch.randn(2, 5, 3, 4), torch.randint(5, (2, 3, 4))
    check(lambda x, y: F.cross_entropy(x, y, reduction=reduction, label_smoothing=0.2), pixels, classes, op=op)
    check(lambda x, y: F.cross_entropy(x, y, reduction=reduction), X[0], CLASSES[0], op=op)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "x, y", [(X, Y.softmax(1)), (X[0], Y[0].softmax(0)), (torch.randn(2, 5, 3), torch.rand(2, 5, 3))]
)
def test_cross_entropy_with_probabilities(reduction, x, y):
    op = "aten.cross_entropy_loss.default"
    check(lambda x, y, w: F.cross_entropy(x, y, w, reduction=reduction, label_smoothing=0.1), x, y, WEIGHT, op=op)
    if reduction == "mean":
        check_both(F.cross_entropy, x, y, op=op)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignored", [-100, 0])
def test_nll_loss(reduction, ignored):
    def loss(x, y, *w):
        return F.nll_loss(x, y, *w, reduction=reduction, ignore_index=ignored)

    check(loss, X, CLASSES, op="aten.nll_loss_nd.default")
    # Of log-probabilities, which do not cancel in the sum.
    images = F.log_softmax(torch.randn(2, 5, 3, 4), dim=1)
    check(loss, images, torch.randint(5, (2, 3, 4)), WEIGHT, op="aten.nll_loss_nd.default")
    code = REDUCTIONS.index(reduction)
    op = torch.ops.aten.nll_loss_forward.default
    check(lambda x, y, w: op(x, y, w, code, ignored), X, CLASSES, WEIGHT, op=str(op))


def test_all_targets_ignored_is_nan():
    check(lambda x, y: F.cross_entropy(x, y), X, torch.full((4,), -100))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_of_classes(reduction):
    op = "aten.multi_margin_loss.default"
    check(lambda x, y: F.multi_margin_loss(x, y, reduction=reduction), X, CLASSES, op=op)
    check_both(lambda x, y, w: F.multi_margin_loss(x, y, 2, 0.5, w, reduction=reduction), X, CLASSES, WEIGHT, op=op)
    labels = torch.tensor([[3, 0, -1, 1, 2], [-1, 0, 0, 0, 0], [0, 1, 2, 3, 4], [2, -1, -1, 3, 3]])
    op = "aten.multilabel_margin_loss.default"
    check_both(lambda x, y: F.multilabel_margin_loss(x, y, reduction=reduction), X, labels, op=op)
    check_both(lambda x, y: F.multilabel_margin_loss(x, y, reduction=reduction), X[0], labels[0], op=op)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_of_pairs_and_triplets(reduction):
    check(
        lambda x, y, t: F.margin_ranking_loss(x, y, t, 0.3, reduction=reduction),
        X[:, 0], Y[:, 0], SIGNS, op="aten.margin_ranking_loss.default",
    )  # fmt: skip
    check_both(
        lambda x, y, t: F.cosine_embedding_loss(x, y, t, 0.2, reduction=reduction),
        X, Y, SIGNS, op="aten.cosine_embedding_loss.default",
    )  # fmt: skip
    for swap in (False, True):
        check(
            lambda x, y, z: F.triplet_margin_loss(x, y, z, swap=swap, p=3, reduction=reduction),  # noqa: B023
            X, Y, X.flip(0), op="aten.triplet_margin_loss.default",
        )  # fmt: skip


def test_zero_dimensional_margins():
    check(F.multi_margin_loss, torch.tensor(0.5), torch.tensor(0), op="aten.multi_margin_loss.default")
    check(F.multilabel_margin_loss, torch.tensor(0.5), torch.tensor(0), op="aten.multilabel_margin_loss.default")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_linear_cross_entropy_in_chunks(reduction):
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    target = torch.tensor([0, 4, 2, 2, -100, 1])
    form = "_no_reduction" if reduction == "none" else ""
    check(
        lambda x, w, b: F.linear_cross_entropy(x, w, target, linear_bias=b, reduction=reduction, options=options),
        torch.randn(6, 4),
        torch.randn(5, 4),
        torch.randn(5),
        op=f"torch_nn._linear_cross_entropy_batch_chunked{form}.default",
    )
