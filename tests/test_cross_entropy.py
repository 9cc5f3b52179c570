"""foundations/cross_entropy.py against torch, SciPy, exact arithmetic and autograd."""

import math
from decimal import Decimal, localcontext

import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, tensor
from torch.nn import functional as F

from yolov3_lib.foundations import cross_entropy as ce

# From nearly undecided to absurdly sure.
SCALES = (1e-3, 1.0, 10.0, 1e3, 1e6)


@st.composite
def logits_and_seed(draw, dtype: torch.dtype = torch.float64) -> tuple[Tensor, torch.Generator]:
    shape = [draw(st.integers(1, 4)) for _ in range(draw(st.integers(1, 3)))]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    values = torch.randn(*shape, generator=generator, dtype=torch.float64) * draw(st.sampled_from(SCALES))
    return values.to(dtype), generator


def distributions(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Random distributions, some of them with a class of probability 0."""
    raw = torch.rand(*shape, generator=generator, dtype=torch.float64)
    raw[..., :-1] *= torch.rand(shape[:-1], generator=generator)[..., None] > 0.3
    return raw / raw.sum(dim=-1, keepdim=True)


# Against torch and SciPy.


@given(logits_and_seed())
def test_probabilities_are_torchs(case):
    logits, _ = case
    assert torch.allclose(ce.sigmoid(logits), logits.sigmoid(), rtol=1e-12, atol=1e-300)
    assert torch.allclose(ce.softmax(logits), logits.softmax(dim=-1), rtol=1e-12, atol=1e-300)
    assert torch.allclose(ce.log_softmax(logits), logits.log_softmax(dim=-1), rtol=1e-12, atol=1e-12)
    assert torch.allclose(ce.log_sum_exp(logits), tensor(scipy.special.logsumexp(logits.numpy(), axis=-1)))
    assert torch.allclose(ce.softmax(logits).sum(dim=-1), torch.ones(()).double())


@given(logits_and_seed())
def test_the_losses_are_torchs(case):
    logits, generator = case
    yes = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    expected = F.binary_cross_entropy_with_logits(logits, yes, reduction="none")
    assert torch.allclose(ce.binary_cross_entropy(logits, yes), expected, rtol=1e-12, atol=1e-12)

    flat = logits.reshape(-1, logits.shape[-1])
    for targets in (
        distributions(flat.shape, generator),
        torch.randint(flat.shape[1], flat.shape[:1], generator=generator),
    ):
        expected = F.cross_entropy(flat, targets, reduction="none")
        assert torch.allclose(ce.categorical_cross_entropy(flat, targets), expected, rtol=1e-12, atol=1e-12)


def test_leading_dimensions_are_kept():
    logits, classes = torch.randn(2, 3, 4, 5), torch.randint(5, (2, 3, 4))
    expected = F.cross_entropy(logits.movedim(-1, 1), classes, reduction="none")
    assert torch.allclose(ce.categorical_cross_entropy(logits, classes), expected, atol=1e-6)
    one_hot = F.one_hot(classes, 5).double()
    assert torch.allclose(
        ce.categorical_cross_entropy(logits.double(), one_hot), expected.double(), atol=1e-6
    )


@given(logits_and_seed())
def test_entropy_and_its_place_below_cross_entropy(case):
    logits, generator = case
    targets = distributions(logits.shape, generator)
    floor = ce.entropy(targets)
    expected = scipy.stats.entropy(targets.numpy(), axis=-1)
    assert torch.allclose(floor, tensor(expected).double(), atol=1e-12)
    loss = ce.categorical_cross_entropy(logits, targets)
    assert (loss >= floor - 1e-9 * (1 + loss.abs())).all()
    # Equal where the prediction is the target itself.
    reached = ce.categorical_cross_entropy(targets.clamp(min=1e-300).log(), targets)
    assert torch.allclose(reached, floor, atol=1e-9)
    # What lies between them is the Kullback-Leibler divergence, where its probabilities are numbers at all.
    predicted = logits.softmax(dim=-1)
    divergence = tensor(scipy.special.rel_entr(targets.numpy(), predicted.numpy()).sum(axis=-1))
    sound = ((predicted > 1e-290) | (targets == 0)).all(dim=-1)
    assert torch.allclose((loss - floor)[sound], divergence[sound], rtol=1e-9, atol=1e-9)


@given(logits_and_seed())
def test_two_classes_are_one_yes_or_no(case):
    logits, generator = case
    pair = torch.stack((logits, torch.zeros_like(logits)), dim=-1)
    yes = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    both = torch.stack((yes, 1 - yes), dim=-1)
    assert torch.allclose(ce.softmax(pair)[..., 0], ce.sigmoid(logits))
    assert torch.allclose(ce.categorical_cross_entropy(pair, both), ce.binary_cross_entropy(logits, yes))


@given(logits_and_seed(), st.floats(-1e3, 1e3))
def test_a_softmax_sees_differences_only(case, shift):
    logits, _ = case
    assert torch.allclose(ce.softmax(logits + shift), ce.softmax(logits), atol=1e-9)


@given(logits_and_seed(), st.sampled_from((0.0, 0.5, 1.0, 2.0, 5.0)))
def test_the_focal_loss_is_its_formula(case, gamma):
    logits, generator = case
    logits = logits.clamp(-30, 30)  # where the formula itself can be computed
    targets = (torch.rand(logits.shape, generator=generator) > 0.5).double()
    wrong = torch.where(targets == 1, (-logits).sigmoid(), logits.sigmoid())
    formula = -(wrong**gamma) * torch.where(targets == 1, logits, -logits).sigmoid().log()
    assert torch.allclose(ce.focal_loss(logits, targets, gamma), formula, rtol=1e-9, atol=1e-12)
    weighted = ce.focal_loss(logits, targets, gamma, alpha=0.25)
    assert torch.allclose(weighted, formula * (0.75 - 0.5 * targets), rtol=1e-9, atol=1e-12)
    if gamma == 0:
        assert torch.allclose(
            ce.focal_loss(logits, targets, 0.0), ce.binary_cross_entropy(logits, targets), atol=1e-12
        )


@given(logits_and_seed(), st.floats(0, 1))
def test_smoothed_labels_stay_distributions(case, amount):
    logits, generator = case
    targets = distributions(logits.shape, generator)
    smooth = ce.smooth_labels(targets, amount)
    assert torch.allclose(smooth.sum(dim=-1), torch.ones(()).double())
    classes = targets.argmax(dim=-1).reshape(-1)
    flat = logits.reshape(-1, logits.shape[-1])
    hard = F.one_hot(classes, flat.shape[1]).double()
    expected = F.cross_entropy(flat, classes, reduction="none", label_smoothing=amount)
    got = ce.categorical_cross_entropy(flat, ce.smooth_labels(hard, amount))
    assert torch.allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_smoothing_a_yes_gives_each_logit_an_end():
    target = ce.smooth_labels(tensor([1.0, 0.0]), 0.1, num_classes=2)
    assert torch.allclose(target, tensor([0.95, 0.05]))
    best = target.logit().requires_grad_()
    (slope,) = torch.autograd.grad(ce.binary_cross_entropy(best, target).sum(), best)
    assert torch.allclose(slope, torch.zeros(2), atol=1e-6)
    assert best[0].item() == pytest.approx(math.log(19), abs=1e-5)


# Gradients.


@given(logits_and_seed())
def test_gradients_are_what_autograd_finds(case):
    logits, generator = case
    logits = logits.requires_grad_()
    yes = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    (slope,) = torch.autograd.grad(ce.binary_cross_entropy(logits, yes).sum(), logits)
    assert torch.allclose(ce.binary_gradient(logits, yes), slope, atol=1e-12)
    targets = distributions(logits.shape, generator)
    (slope,) = torch.autograd.grad(ce.categorical_cross_entropy(logits, targets).sum(), logits)
    assert torch.allclose(ce.categorical_gradient(logits, targets), slope, atol=1e-12)
    assert slope.isfinite().all()


def test_gradients_are_slopes():
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(3, 4, generator=generator, dtype=torch.float64)).requires_grad_()
    logits.data[0, 0] = 0  # where a careless maximum has a kink
    yes = torch.rand(3, 4, generator=generator, dtype=torch.float64)
    targets = distributions(torch.Size((3, 4)), generator)
    for function in (
        ce.sigmoid,
        ce.softmax,
        ce.log_softmax,
        ce.log_sum_exp,
        lambda t: ce.binary_cross_entropy(t, yes),
        lambda t: ce.categorical_cross_entropy(t, targets),
        lambda t: ce.focal_loss(t, (yes > 0.5).double(), 2.0, 0.25),
    ):
        assert torch.autograd.gradcheck(function, logits)


def test_the_gradient_at_a_logit_of_zero():
    """Where a head often starts, and where max(t, 0) by clamp or relu gives half of the answer wrong."""
    logits = torch.zeros(2, requires_grad=True)
    targets = tensor([1.0, 0.0])
    for loss in (ce.binary_cross_entropy, lambda t, y: ce.focal_loss(t, y, 0.0)):
        (slope,) = torch.autograd.grad(loss(logits, targets).sum(), logits)
        assert slope.tolist() == [-0.5, 0.5]


# Numbers with limited digits.


def exact_softplus(t: float) -> float:
    with localcontext() as context:
        context.prec = 60
        return float((1 + Decimal(t).exp()).ln())


@pytest.mark.parametrize("t", [-1e4, -200.0, -50.0, -1e-3, 0.0, 1e-3, 9.0, 17.0, 50.0, 200.0, 1e4])
def test_float32_is_right_where_the_formula_as_it_stands_is_not(t):
    logit = tensor(t, requires_grad=True)
    for target in (0.0, 1.0):
        loss = ce.binary_cross_entropy(logit, tensor(target))
        expected = exact_softplus(-t if target else t)
        assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-44)
        (slope,) = torch.autograd.grad(loss, logit)
        # σ(t) − 1 = −σ(−t), and ln σ(t) is minus a softplus.
        size = math.exp(-exact_softplus(t if target else -t))
        assert slope.item() == pytest.approx(-size if target else size, rel=1e-5, abs=1e-44)
        assert ce.focal_loss(logit, tensor(target)).isfinite()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("size", [20.0, 1e3, 3e4])
def test_sure_answers_stay_finite_in_every_precision(dtype, size):
    logits = (tensor([[1.0, -1, 0], [-1, -1, -1]]) * size).to(dtype).requires_grad_()
    targets = tensor([[0.0, 1, 0], [0, 0, 1]], dtype=dtype)
    for loss in (
        ce.binary_cross_entropy(logits, targets),
        ce.categorical_cross_entropy(logits, targets),
        ce.focal_loss(logits, targets),
    ):
        assert loss.isfinite().all()
        (slope,) = torch.autograd.grad(loss.sum(), logits)
        assert slope.isfinite().all()
        assert slope.dtype == dtype


@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 4e4), (torch.float32, 3e38)])
def test_logits_further_apart_than_the_dtype_reaches(dtype, size):
    logits = tensor([size, -size], dtype=dtype, requires_grad=True)
    for targets in (tensor(0), tensor([1.0, 0.0])):
        loss = ce.categorical_cross_entropy(logits, targets)
        assert loss.item() == 0
        (slope,) = torch.autograd.grad(loss, logits)
        assert slope.tolist() == [0, 0]
    # The true loss, 2 · size, can't be written.
    assert ce.categorical_cross_entropy(logits, tensor(1)).item() == math.inf


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_focal_weight_keeps_the_dtype(dtype):
    logits, targets = torch.zeros(2, dtype=dtype), tensor([1.0, 0.0])
    loss = ce.focal_loss(logits, targets, 0.0, alpha=0.1)
    assert loss.dtype == dtype
    expected = tensor([0.1, 0.9], dtype=torch.float64) * math.log(2)
    assert torch.allclose(loss.double(), expected, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_large_logits_keep_their_digits():
    logits = tensor([9999.0, 9998.0])
    loss = ce.categorical_cross_entropy(logits, tensor(0))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-1)), rel=1e-6)


# Bad input: each message names the argument, and how to mend it.

TWO, THREE = torch.zeros(2), torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ce.sigmoid([1.0]), TypeError, r"logits: expected a tensor of floats, got list. Use"),
        (lambda: ce.softmax(tensor([1, 2])), TypeError, r"logits: .* got dtype torch.int64. Use .float\(\)"),
        (lambda: ce.sigmoid(tensor([0, math.nan])), ValueError, r"logits\[1\]: nan isn't a finite number"),
        (lambda: ce.softmax(tensor([[0, math.inf]])), ValueError, r"logits\[0, 1\]: inf isn't a finite"),
        (lambda: ce.log_sum_exp(tensor(1.0)), ValueError, r"logits: expected \(..., C\).* got \(\)\. For a"),
        (lambda: ce.softmax(torch.zeros(3, 0)), ValueError, r"C > 0; got \(3, 0\)"),
        (lambda: ce.binary_cross_entropy(TWO, 1.0), TypeError, "targets: expected a tensor, got float"),
        (lambda: ce.binary_cross_entropy(TWO, THREE), ValueError, r"shape \(2,\), got \(2, 3\); one target"),
        (
            lambda: ce.binary_cross_entropy(TWO, tensor([0, 1.5])),
            ValueError,
            r"targets\[1\]: 1.5 lies outside \[0, 1\]",
        ),
        (lambda: ce.binary_gradient(TWO, tensor([0, math.nan])), ValueError, r"targets\[1\]: nan lies"),
        (
            lambda: ce.categorical_cross_entropy(THREE, 1),
            TypeError,
            "targets: expected a tensor, got int",
        ),
        (
            lambda: ce.categorical_cross_entropy(THREE, tensor([0, 3])),
            ValueError,
            r"targets\[1\]: class 3, but logits have 3 classes, 0 to 2",
        ),
        (lambda: ce.categorical_gradient(THREE, tensor([-1, 0])), ValueError, r"targets\[0\]: class -1"),
        (
            lambda: ce.categorical_cross_entropy(THREE, tensor([0])),
            ValueError,
            r"class indices are expected in the shape \(2,\), got \(1,\); probabilities are floats: use",
        ),
        (
            lambda: ce.categorical_cross_entropy(THREE, tensor([0.0, 1])),
            ValueError,
            r"probabilities are expected in the shape \(2, 3\), got \(2,\); class indices are whole numbers",
        ),
        (
            lambda: ce.categorical_cross_entropy(THREE, tensor([[1.0, 0, 0], [1, 1, 0]])),
            ValueError,
            r"targets\[1\]: 2 is the sum over the classes, and should be 1.*binary_cross_entropy",
        ),
        (lambda: ce.entropy(tensor([0.5, 0.4])), ValueError, r"probabilities: 0.9 is the sum"),
        (lambda: ce.entropy(tensor(1.0)), ValueError, r"probabilities: expected \(..., C\)"),
        (lambda: ce.entropy(tensor([2.0, -1])), ValueError, r"probabilities\[0\]: 2 lies outside"),
        (lambda: ce.smooth_labels(TWO, 1.2), ValueError, "amount: expected a number from 0 to 1, got 1.2"),
        (lambda: ce.smooth_labels(tensor(1.0), 0.1), ValueError, "num_classes: .* Give 2 for a yes or no"),
        (lambda: ce.smooth_labels(TWO, 0.1, 0), ValueError, "num_classes: expected at least 1, got 0"),
        (lambda: ce.smooth_labels(TWO + 2, 0.1), ValueError, r"targets\[0\]: 2 lies outside"),
        (lambda: ce.smooth_labels(tensor([1, 0]), 0.1), TypeError, "targets: expected a tensor of floats"),
        (lambda: ce.focal_loss(TWO, TWO + 0.5), ValueError, "targets: .* 0 and 1 only"),
        (lambda: ce.focal_loss(TWO, TWO, -1.0), ValueError, "gamma: .* got -1"),
        (lambda: ce.focal_loss(TWO, TWO, math.inf), ValueError, "gamma: expected a finite .* got inf"),
        (lambda: ce.focal_loss(TWO, TWO, 2.0, 1.5), ValueError, "alpha: .* got 1.5"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_no_input_is_changed_and_no_examples_give_no_losses():
    logits, targets = torch.randn(4, 3), torch.eye(3)[[0, 1, 2, 0]]
    before = logits.clone(), targets.clone()
    for function in (ce.categorical_cross_entropy, ce.binary_cross_entropy, ce.focal_loss):
        function(logits, targets)
        assert function(torch.zeros(0, 3), torch.zeros(0, 3)).numel() == 0
    ce.smooth_labels(targets, 0.1)
    assert torch.equal(logits, before[0])
    assert torch.equal(targets, before[1])
