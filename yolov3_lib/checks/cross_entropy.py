"""Chapter 05, cross-entropy: what a right answer to its exercises does."""

import math
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, tensor

from yolov3_lib.checks import demands, work
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import show
from yolov3_lib.foundations import cross_entropy as twin

# Cases. Logits are small whole numbers unless a property is about large ones; float32, as networks have them.


@st.composite
def _one_of_several(
    draw: st.DrawFn, examples: tuple[int, int], classes: tuple[int, int], scale: int = 1, level: int = 0
) -> Case:
    """(N, C) logits and (N,) right classes; ``level`` moves all logits of an example by up to so much."""
    n, c = draw(st.integers(*examples)), draw(st.integers(*classes))
    rows = draw(st.lists(st.lists(st.integers(-4, 4), min_size=c, max_size=c), min_size=n, max_size=n))
    shifts = draw(st.lists(st.sampled_from((-level, 0, level)), min_size=n, max_size=n))
    right = draw(st.lists(st.integers(0, c - 1), min_size=n, max_size=n))
    return scale * tensor(rows).float() + tensor(shifts)[:, None], tensor(right)


def _questions(
    logits: SearchStrategy[int], targets: SearchStrategy[float], longest: int = 3
) -> SearchStrategy[Case]:
    """As many logits as targets, (N,) both."""
    pairs = st.lists(st.tuples(logits, targets), min_size=1, max_size=longest)
    return pairs.map(
        lambda pairs: (tensor([t for t, _ in pairs]).float(), tensor([y for _, y in pairs]).float())
    )


_SMALL, _HARD = st.integers(-4, 4), st.sampled_from((0.0, 1.0))
_SURE = st.sampled_from((-300, -120, -40, -20, 20, 40, 120, 300))


# What is demanded.


def _near(expected: Tensor, got: Tensor, what: str) -> str | None:
    """What is wrong with the first wrong number; large ones may be off by a ten-thousandth of themselves."""
    apart = ~((expected - got).abs() <= demands.TOLERANCE * (1 + expected.abs()))
    for place in apart.nonzero().tolist():
        at = tuple(place)
        where = ", ".join(f"{what} {i}" if n == 0 else f"class {i}" for n, i in enumerate(place))
        return f"{where}: {demands.differ(expected[at].item(), got[at].item(), 0)}"
    return None


def _values(reference: Callable[..., Tensor], what: str) -> demands.Check:
    """A tensor equal to the reference's, which is computed in float64."""

    def check(student: Student, case: Case) -> str | None:
        expected = reference(case[0].double(), *case[1:])
        return _near(expected, demands.as_tensor(student(*case), expected.shape), what)

    return check


def _gradient(reference: Callable[..., Tensor], what: str) -> demands.Check:
    """The gradient of the values' sum by the logits, equal to the reference's."""

    def check(student: Student, case: Case) -> str | None:
        expected = reference(case[0].double(), *case[1:])
        return _near(expected, _slopes(student, *case).double(), f"the gradient at {what}")

    return check


def _slopes(student: Student, logits: Tensor, *others: object) -> Tensor:
    leaf = logits.clone().requires_grad_()
    value = student(leaf, *others)
    if not isinstance(value, Tensor) or not value.requires_grad:
        raise Fault(
            f"no gradient flows through it: yours gave {show(value)}",
            "float(…), .item() and .detach() cut the gradient off. The result must be made of the logits.",
        )
    try:
        return torch.autograd.grad(value.sum(), leaf)[0]
    except RuntimeError as error:
        raise Fault(
            f"autograd can't go back through it: {str(error).split(';')[0]}",
            "does a line overwrite values that were used before?",
        ) from error


def _no_loop(student: Student, case: Case) -> str | None:
    """As many operations for many examples as for few."""
    logits, right = case
    many = logits.repeat(20, 1), right.repeat(20)
    few, lots = (work.calls_of_torch(student, each) for each in (case, many))
    if lots > few + work.SPARE_CALLS:
        return f"yours took {few} calls of torch for {len(right)} examples, and {lots} for {len(many[1])}"
    return None


# Exercise 5.2: one of C classes.

_INPUTS = ("logits", "right")
_LOSSES = _values(twin.categorical_cross_entropy, "example")
_CLASS_ENTROPY = Exercise(
    "the categorical cross-entropy",
    _INPUTS,
    (
        Property(
            "one example, two classes",
            _one_of_several((1, 1), (2, 2)),
            _LOSSES,
            "turn the two logits into probabilities by (5.4), and take that of the right class. Then (5.5): "
            "natural logarithm, and the sign. One loss for one example.",
        ),
        Property(
            "several classes",
            _one_of_several((1, 1), (3, 5)),
            _LOSSES,
            "the denominator of (5.4) holds all classes, and only the right one is left of the sum in (5.5).",
        ),
        Property(
            "several examples",
            _one_of_several((2, 4), (2, 4)),
            _LOSSES,
            "each row is an example of its own. Along which dimension do your sums go, and which class does "
            "each row take?",
        ),
        Property(
            "large logits",
            _one_of_several((1, 1), (2, 3), scale=100),
            _LOSSES,
            "e to the 89 is more than float32 holds, and a probability can be too small for it: the loss "
            "isn't. (5.13) is the way round, and the logarithm of (5.4) is a difference.",
        ),
        Property(
            "examples on different levels",
            _one_of_several((2, 3), (2, 3), level=500),
            _LOSSES,
            "what you take out of one row says nothing about the next: each has its own.",
        ),
        Property(
            "no loop over examples",
            _one_of_several((2, 2), (3, 3)),
            _no_loop,
            "a tensor can be indexed by two lists at once: rows, and a column for each.",
            tries=3,
        ),
        Property(
            "nothing borrowed",
            _one_of_several((2, 2), (3, 3)),
            work.without("*cross_entropy*", "nll_loss*", "*log_softmax*", "logsumexp"),
            "the largest logit, powers, a sum and a logarithm are enough.",
            tries=3,
        ),
        Property(
            "the inputs stay as they are",
            _one_of_several((2, 2), (2, 3)),
            demands.inputs_kept(_INPUTS),
            "the logits belong to the network: make new tensors.",
        ),
        Property(
            "the gradient",
            _one_of_several((1, 3), (2, 4)),
            _gradient(twin.categorical_gradient, "example"),
            "the values are right. It should be (5.8): which step can autograd not follow?",
        ),
    ),
)


def class_entropy(student: Callable) -> Verdict:
    """Checks the categorical cross-entropy of each example.

    Args:
        student: a function of ``(N, C)`` logits and ``(N,)`` right classes that gives ``(N,)`` losses, for
            logits of any size, without a loop.
    """
    return _CLASS_ENTROPY.check(student)


# Exercise 5.3: the clamp that stops the pull.

_PAIR = ("t", "y")
_BINARY = _values(twin.binary_cross_entropy, "question")
_BINARY_SLOPE = _gradient(twin.binary_gradient, "question")
_YES_NO_ENTROPY = Exercise(
    "the mended binary cross-entropy",
    _PAIR,
    (
        Property(
            "small logits",
            _questions(_SMALL, _HARD),
            _BINARY,
            "where the original was right, yours must agree with it. Is it (5.2), for each logit by itself?",
        ),
        Property(
            "targets between 0 and 1",
            _questions(_SMALL, st.sampled_from((0.1, 0.25, 0.5, 0.9))),
            _BINARY,
            "both terms of (5.2) count here, each with its weight.",
        ),
        Property(
            "sure answers",
            _questions(_SURE, _HARD),
            _BINARY,
            "a logit of 40 where the target is 0 costs 40. Start from −ln(1 − σ(t)) = ln(1 + eᵗ), and from "
            "(5.12).",
        ),
        Property(
            "nothing borrowed",
            _questions(_SMALL, _HARD),
            work.without("*cross_entropy*"),
            "the two terms of (5.2) are yours to write, each by (5.12).",
            tries=3,
        ),
        Property(
            "the inputs stay as they are",
            _questions(_SMALL, _HARD),
            demands.inputs_kept(_PAIR),
            "make new tensors: the logits are the network's.",
        ),
        Property(
            "the gradient",
            _questions(st.integers(1, 4) | st.integers(-4, -1), st.sampled_from((0.0, 0.3, 1.0))),
            _BINARY_SLOPE,
            "it should be (5.7), whatever the way to the value.",
        ),
        Property(
            "the gradient of sure answers",
            _questions(_SURE, _HARD),
            _BINARY_SLOPE,
            "who is sure and wrong should be pulled with a strength of 1. What does autograd make of a "
            "bound, of inf · 0, of a value that has been cut?",
        ),
        Property(
            "the gradient at a logit of 0",
            _questions(st.just(0), st.sampled_from((0.0, 0.5, 1.0))),
            _BINARY_SLOPE,
            "the answer is one half, so the slope is ½ − y. A function with a kink at 0 may choose another.",
        ),
    ),
)


def yes_no_entropy(student: Callable) -> Verdict:
    """Checks the binary cross-entropy of each logit, its values and its gradient.

    Args:
        student: a function of ``(N,)`` logits and ``(N,)`` targets from 0 to 1 that gives ``(N,)`` losses,
            for logits of any size.
    """
    return _YES_NO_ENTROPY.check(student)


def _is_wrong(function: Callable, t: float, y: float) -> str | None:
    """Whether a function's gradient at a logit and a target is far from p − y."""
    logit, target = (demands.as_number(value, "a number") for value in (t, y))
    if not 0 <= target <= 1:
        raise ValueError(f"the target is {target:g}: it lies between 0 and 1")
    leaf = tensor(logit, requires_grad=True)
    (slope,) = torch.autograd.grad(function(leaf, tensor(target)).sum(), leaf)
    expected = twin.binary_gradient(leaf.detach(), tensor(target)).item()
    if not abs(slope.item() - expected) <= 0.5:
        return None
    return f"at that logit the gradient is {slope.item():.4g}, which is right to within a half"


# Exercise 5.6: the focal loss's slope.

_FOCAL_INPUTS = ("t", "y", "gamma")


def _focal_slope(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    leaf = logits.clone().requires_grad_()
    (slope,) = torch.autograd.grad(twin.focal_loss(leaf, targets, gamma).sum(), leaf)
    return slope


def _focal_cases(
    logits: SearchStrategy[int], targets: SearchStrategy[float], gammas: tuple[float, ...]
) -> SearchStrategy[Case]:
    return st.tuples(_questions(logits, targets), st.sampled_from(gammas)).map(
        lambda pair: (*pair[0], pair[1])
    )


_PULLS = _values(_focal_slope, "question")
_FOCAL_SLOPE = Exercise(
    "the slope of the focal loss",
    _FOCAL_INPUTS,
    (
        Property(
            "γ = 0",
            _focal_cases(_SMALL, _HARD, (0.0,)),
            _PULLS,
            "then it's cross-entropy, and its slope is p − y.",
        ),
        Property(
            "an object",
            _focal_cases(_SMALL, st.just(1.0), (1.0, 2.0)),
            _PULLS,
            "here q = p. Two factors depend on p, so the product rule gives two terms; then the chain rule: "
            "the derivative of p by t.",
        ),
        Property(
            "background",
            _focal_cases(_SMALL, st.just(0.0), (1.0, 2.0)),
            _PULLS,
            "here q = 1 − p, the probability of a yes at −t. What does that do to the sign of the slope?",
        ),
        Property(
            "any γ",
            _focal_cases(_SMALL, _HARD, (0.5, 1.5, 3.0, 5.0)),
            _PULLS,
            "is γ both a factor and an exponent in your formula, and which exponent stands where?",
        ),
        Property(
            "sure answers",
            _focal_cases(_SURE, _HARD, (0.5, 2.0)),
            _PULLS,
            "0 · ln 0 isn't a number, and neither is 1 / 0. Which powers cancel before you compute, and what "
            "holds for ln q at any logit?",
        ),
        Property(
            "without autograd",
            _focal_cases(_SMALL, _HARD, (2.0,)),
            work.without("grad", "backward"),
            "differentiate on paper: the product rule and the chain rule do it.",
            tries=3,
        ),
        Property(
            "the inputs stay as they are",
            _focal_cases(_SMALL, _HARD, (2.0,)),
            demands.inputs_kept(_FOCAL_INPUTS),
            "make new tensors.",
        ),
    ),
)


def focal_slope(student: Callable) -> Verdict:
    """Checks the derivative of the focal loss by each logit.

    Args:
        student: a function of ``(N,)`` logits, ``(N,)`` targets (0 or 1) and γ that gives the ``(N,)``
            derivatives of −(1 − q)^γ ln q, for logits of any size.
    """
    return _FOCAL_SLOPE.check(student)


# Exercise 5.1: logits ln 5, ln 4, 0 by hand.

_BY_HAND = tensor([5.0, 4.0, 1.0]).double().log()
_YES = tensor(0.25).double().log()  # t = −ln 4
_ONE = torch.ones((), dtype=torch.float64)


def _by_hand_gradient(k: int) -> float:
    return twin.categorical_gradient(_BY_HAND, tensor(1))[k].item()


ANSWERS = {
    "5.1": (
        Question(
            "the second class's probability",
            lambda: twin.softmax(_BY_HAND)[1].item(),
            "three powers of e, and their sum.",
            (
                Slip(lambda: twin.sigmoid(_BY_HAND)[1].item(), "that is its sigmoid. The three share 1."),
                Slip(lambda: math.log(4) / math.log(20), "those are the logits. Take their powers first."),
            ),
        ),
        Question(
            "the loss if the second class is right",
            lambda: twin.categorical_cross_entropy(_BY_HAND, tensor(1)).item(),
            "minus the natural logarithm of the probability that the truth was given.",
            (
                Slip(lambda: -math.log10(0.4), "that is the logarithm to base 10."),
                Slip(lambda: math.log(0.4), "look at the sign: a loss isn't negative here."),
                Slip(lambda: -math.log2(0.4), "that is in bits. This course counts in nats."),
            ),
        ),
        Question(
            "the gradient by the first logit",
            lambda: _by_hand_gradient(0),
            "(5.8): what it says minus what it should say. The second class is right, not the first.",
            (
                Slip(lambda: -_by_hand_gradient(0), "the other way round."),
                Slip(lambda: _by_hand_gradient(0) - 1, "is the first class the right one?"),
            ),
        ),
        Question(
            "the binary cross-entropy of t = −ln 4 and y = 1",
            lambda: twin.binary_cross_entropy(_YES, _ONE).item(),
            "the odds are 1 to 4. What is the probability of a yes?",
            (
                Slip(lambda: -math.log(0.25), "odds aren't a probability: 1 to 4 is one of five."),
                Slip(lambda: -math.log(0.8), "that is the loss of the other truth."),
            ),
        ),
        Question(
            "its derivative by t",
            lambda: twin.binary_gradient(_YES, _ONE).item(),
            "(5.7). Which sign has it, if the logit is too low?",
            (Slip(lambda: -twin.binary_gradient(_YES, _ONE).item(), "the sign: too low is negative."),),
        ),
    ),
    "5.4": (
        Question(
            "the loss with all logits 0",
            lambda: 10_647 * math.log(2),
            "every question is undecided. What does one of them cost?",
            (
                Slip(lambda: math.log(10_647), "that is one choice among so many, a softmax's loss."),
                Slip(lambda: 10_647.0, "an undecided yes or no costs less than 1."),
            ),
            tolerance=1.0,
        ),
        Question(
            "the bias",
            lambda: math.log(3 / 10_644),
            "which probability is best if it's the same for all? Then (5.1).",
            (
                Slip(lambda: 3 / 10_647, "that is the probability. The bias is its logit."),
                Slip(lambda: -math.log(3 / 10_644), "the sign: objects are rare."),
                Slip(lambda: math.log10(3 / 10_644), "that is the logarithm to base 10."),
            ),
        ),
        Question(
            "the loss with that bias",
            lambda: 10_647 * twin.entropy(tensor([3 / 10_647, 10_644 / 10_647]).double()).item(),
            "3 terms −ln p, and 10,644 terms −ln(1 − p), each of them tiny.",
            (Slip(lambda: 3 * math.log(10_647 / 3), "the background costs a little too: 10,644 times."),),
            tolerance=0.06,
        ),
    ),
}

PREDICTIONS = {
    "5.1": (
        Question(
            "the first class's probability, all logits doubled",
            lambda: twin.softmax(2 * _BY_HAND)[0].item(),
            "doubling a logit squares its power.",
            (Slip(lambda: 0.5, "adding a number to all logits changes nothing. Doubling isn't adding."),),
        ),
    ),
    "5.4": (
        Question(
            "the slope by the bias, at that bias",
            lambda: 0.0,
            "the slope is the sum of p − y over all predictions. Remember how the bias was chosen.",
        ),
    ),
}

EXAMPLES = {
    "5.3": Hunt(
        "the clamp only prevents the logarithm of 0",
        _is_wrong,
        "what is the slope of a function that has been cut off at a bound, beyond the bound? And who has "
        "probabilities beyond it?",
    ),
}

CHECKERS = (class_entropy, yes_no_entropy, focal_slope)
