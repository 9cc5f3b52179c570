"""Chapter 4, batch normalization: what a right answer to its exercises does."""

from collections.abc import Callable, Sequence

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor, tensor

from yolov3_lib.checks import demands, work
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind
from yolov3_lib.foundations import batch_norm as twin

_SMALL, _LARGE = 1e-5, (0.5, 2.0)  # ε: one that hardly shows, and some whose place shows

# Cases.


@st.composite
def _whole(draw: st.DrawFn, *shape: int, low: int = -4, high: int = 4) -> Tensor:
    """Small whole numbers as float64."""
    count = int(torch.tensor(shape).prod())
    numbers = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
    return tensor(numbers).double().reshape(shape)


@st.composite
def _maps(draw: st.DrawFn, *shapes: tuple[int, int, int, int]) -> Tensor:
    """Maps of one of the shapes, in which every channel varies: by a variance far above a small ε."""
    x = draw(_whole(*draw(st.sampled_from(shapes))))
    assume((twin.statistics(x).variance > 0.1).all())
    return x


@st.composite
def _for_forward(
    draw: st.DrawFn, *shapes: tuple, plain: bool = False, epsilon: Sequence[float] = (_SMALL,)
) -> Case:
    """x, γ, β and ε; γ = 1 and β = 0 where ``plain``."""
    x = draw(_maps(*shapes))
    channels = x.shape[1]
    gamma = torch.ones(channels).double() if plain else draw(_whole(channels))
    beta = torch.zeros(channels).double() if plain else draw(_whole(channels))
    return x, gamma, beta, draw(st.sampled_from(epsilon))


@st.composite
def _constant(draw: st.DrawFn) -> Case:
    """A channel that never changes."""
    x = torch.full((2, 1, 1, 2), float(draw(st.integers(-4, 4)))).double()
    return x, draw(_whole(1, low=1)), draw(_whole(1)), _SMALL


@st.composite
def _far_from_zero(draw: st.DrawFn) -> Case:
    """Values whose squares have no digits left for the variance."""
    x, *others = draw(_for_forward((1, 1, 1, 2), (1, 1, 1, 3), plain=True))
    return x + 1e8, *others


@st.composite
def _for_update(draw: st.DrawFn, *shapes: tuple, momentum: Sequence[float] = (0.1, 0.25, 0.75)) -> Case:
    """Running mean and variance, a batch, a momentum."""
    x = draw(_maps(*shapes))
    running = draw(_whole(x.shape[1])), draw(_whole(x.shape[1], low=0))
    return *running, x, draw(st.sampled_from(momentum))


@st.composite
def _for_rms(draw: st.DrawFn, *shapes: tuple, g: str = "any", epsilon: Sequence[float] = (_SMALL,)) -> Case:
    """x, g and ε; g is any, 1 at a single place, or along x."""
    x = draw(_maps(*shapes))
    if g == "single":
        gradient = torch.zeros(x.numel()).double()
        gradient[draw(st.integers(0, x.numel() - 1))] = 1
        gradient = gradient.reshape(x.shape)
    else:
        gradient = 3 * x if g == "along" else draw(_whole(*x.shape))
    return x, gradient, draw(st.sampled_from(epsilon))


@st.composite
def _for_fold(
    draw: st.DrawFn,
    *shapes: tuple,
    scales: bool = True,
    shifts: bool = True,
    epsilon: Sequence[float] = (_SMALL,),
) -> Case:
    """A convolution's weight and bias, γ, β, mean and variance of its input, ε."""
    weight = draw(_whole(*draw(st.sampled_from(shapes))))
    outputs, inputs = weight.shape[:2]
    ones, zeros = torch.ones(inputs).double(), torch.zeros(inputs).double()
    gamma, variance = (draw(_whole(inputs, low=1)) for _ in range(2)) if scales else (ones, ones)
    beta, mean = (draw(_whole(inputs)) for _ in range(2)) if shifts else (zeros, zeros)
    return weight, draw(_whole(outputs)), gamma, beta, mean, variance, draw(st.sampled_from(epsilon))


@st.composite
def _for_pooling(
    draw: st.DrawFn,
    batches: tuple[int, int] = (2, 4),
    channels: tuple[int, int] = (1, 1),
    means: tuple[int, int] = (-4, 4),
    variances: tuple[int, int] = (0, 5),
    equal_counts: bool = False,
    equal_means: bool = False,
) -> Case:
    """Means, variances and counts of several batches."""
    shape = draw(st.integers(*batches)), draw(st.integers(*channels))
    found = draw(_whole(*shape, low=means[0], high=means[1]))
    if equal_means:
        found = found[:1].expand(shape).clone()
    counts = draw(_whole(shape[0], low=2, high=9))
    if equal_counts:
        counts = torch.full_like(counts, 4)
    return found, draw(_whole(*shape, low=variances[0], high=variances[1])), counts


# Demands.


def _tensors(reference: Callable[..., Sequence[Tensor]], names: Sequence[str], only: int | None = None):
    """Tensors of any shape, equal to the reference's: one alone, or several in a tuple.

    Args:
        reference: gives all of them.
        names: what each is called.
        only: the one that is looked at; all of them by default.
    """

    def check(student: Student, case: Case) -> str | None:
        expected, answer = reference(*case), student(*case)
        if len(names) == 1:
            answer = (answer,)
        elif not isinstance(answer, (tuple, list)) or len(answer) != len(names):
            wanted = " and ".join(names)
            raise Fault(
                f"expected {wanted}, yours gave {kind(answer)}", "return both in one tuple, in this order."
            )
        for i, (name, wanted, given) in enumerate(zip(names, expected, answer, strict=True)):
            got = demands.as_tensor(given, wanted.shape)
            if only is not None and i != only:
                continue
            for place in (~((wanted - got).abs() <= demands.TOLERANCE)).nonzero().tolist():
                entry = tuple(place)
                where = f"{name}[{', '.join(map(str, entry))}]"
                return f"{where}: {demands.differ(wanted[entry].item(), got[entry].item())}"
        return None

    return check


# Exercise 4.2: the forward pass.


def _no_loop(student: Student, case: Case) -> str | None:
    """As many operations for many channels as for few."""
    x, gamma, beta, epsilon = case
    many = x.repeat(1, 20, 1, 1), gamma.repeat(20), beta.repeat(20), epsilon
    few, lots = (work.calls_of_torch(student, each) for each in (case, many))
    if lots > few + work.SPARE_CALLS:
        return f"yours took {few} calls of torch for {len(gamma)} channels, and {lots} for {len(many[1])}"
    return None


_ONE_CHANNEL = (1, 1, 1, 2), (1, 1, 1, 3)
_SIGHT = "print the shapes of what you divide by and what you subtract. What do they meet in x?"
_Y = _tensors(lambda *case: (twin.forward(*case)[0],), ("y",))
_FORWARD_INPUTS = ("x", "gamma", "beta", "epsilon")
_BATCH_NORM = Exercise(
    "batch normalization in training",
    _FORWARD_INPUTS,
    (
        Property(
            "a handful of values",
            _for_forward(*_ONE_CHANNEL, plain=True),
            _Y,
            "one image, one channel, γ = 1, β = 0: the distance from the middle, divided by the root of what "
            "(4.1) has on its right. By how many do you divide there?",
        ),
        Property(
            "several images",
            _for_forward((2, 1, 1, 2), (3, 1, 1, 1), plain=True),
            _Y,
            "the statistics are those of the whole batch, not of each image.",
        ),
        Property(
            "whole maps",
            _for_forward((1, 1, 2, 2), (2, 1, 2, 3), plain=True),
            _Y,
            "all places of a map share one middle and one spread.",
        ),
        Property(
            "several channels",
            _for_forward((1, 2, 1, 2), (2, 2, 2, 2), (1, 3, 1, 3), plain=True),
            _Y,
            f"every channel by itself. {_SIGHT}",
        ),
        Property(
            "a large ε",
            _for_forward(*_ONE_CHANNEL, plain=True, epsilon=_LARGE),
            _Y,
            "where in (4.2) does ε stand? Added to what?",
        ),
        Property(
            "scaled and shifted",
            _for_forward(*_ONE_CHANNEL, (2, 1, 2, 1)),
            _Y,
            "equation (4.3), after everything else: first the factor, then the summand.",
        ),
        Property(
            "as many columns as channels",
            _for_forward((1, 2, 1, 2), (2, 2, 2, 2)),
            _Y,
            f"here two dimensions are equally long, and lining up the wrong one raises nothing. {_SIGHT}",
        ),
        Property(
            "your own work",
            _for_forward((1, 2, 1, 2)),
            work.without("*batch_norm*", "*instance_norm*", "*group_norm*", "*layer_norm*"),
            "the exercise asks for (4.1) to (4.3) in your own words: a mean, a variance, a root.",
            tries=3,
        ),
        Property(
            "no loop over the channels",
            _for_forward((1, 2, 1, 2)),
            _no_loop,
            "sums and means take several dimensions at once; what is left has one value a channel.",
            tries=3,
        ),
        Property(
            "a channel that never changes",
            _constant(),
            _Y,
            "its spread is 0. What is ε there for?",
        ),
        Property(
            "values far from 0",
            _far_from_zero(),
            _Y,
            "all values near a hundred million, a few units apart: the squares keep no digit of that. The "
            "chapter's short cut has this fault; (4.1) hasn't, for it takes the mean away before it squares.",
        ),
        Property(
            "the inputs stay as they are",
            _for_forward((2, 2, 1, 2)),
            demands.inputs_kept(_FORWARD_INPUTS),
            "the layer before may need x again, for its gradient.",
        ),
    ),
)


def batch_norm(student: Callable) -> Verdict:
    """Checks the forward pass of batch normalization in training.

    Args:
        student: a function of x, ``(N, C, H, W)`` float64, gamma and beta, ``(C,)``, and epsilon, that
            gives y of the shape of x.
    """
    return _BATCH_NORM.check(student)


# Exercise 4.3: running averages.


def _updated(
    running_mean: Tensor, running_variance: Tensor, x: Tensor, momentum: float
) -> tuple[Tensor, Tensor]:
    return twin.update_running(running_mean, running_variance, twin.statistics(x), momentum)


_NAMES = ("the running mean", "the running variance")
_FIRST, _SECOND = (_tensors(_updated, _NAMES, only=i) for i in range(2))
_BOTH = _tensors(_updated, _NAMES)
_SIZES = (1, 1, 1, 3), (2, 1, 1, 2), (1, 1, 2, 2)
_UPDATE_INPUTS = ("running_mean", "running_variance", "x", "momentum")
_UPDATE = Exercise(
    "running averages",
    _UPDATE_INPUTS,
    (
        Property(
            "the first average, by a momentum",
            _for_update(*_SIZES),
            _FIRST,
            "equation (4.8), on the left: which of the two, old or new, gets the momentum's share?",
        ),
        Property(
            "the second average, all new",
            _for_update(*_SIZES, momentum=(1.0,)),
            _SECOND,
            "with momentum 1 nothing of the old is left, so this is the batch's own variance. Which of "
            "the two kinds is remembered?",
        ),
        Property(
            "the second average, by a momentum",
            _for_update(*_SIZES),
            _SECOND,
            "equation (4.8), on the right. Is everything in it squared that should be, and from this batch?",
        ),
        Property(
            "several channels",
            _for_update((2, 2, 1, 2), (1, 3, 2, 1)),
            _BOTH,
            "how many values go into one channel's statistics? The other channels' don't count.",
        ),
        Property(
            "a momentum of 0",
            _for_update(*_SIZES, momentum=(0.0,)),
            _BOTH,
            "then the batch leaves no trace.",
        ),
        Property(
            "the inputs stay as they are",
            _for_update((2, 2, 1, 2)),
            demands.inputs_kept(_UPDATE_INPUTS),
            "give new tensors back; the old averages may be in use elsewhere.",
        ),
    ),
)


def running_update(student: Callable) -> Verdict:
    """Checks the update of running averages.

    Args:
        student: a function of the running mean and variance, ``(C,)`` float64, a batch ``(N, C, H, W)`` with
            at least two values a channel, and a momentum, that gives the two averages afterwards.
    """
    return _UPDATE.check(student)


# Exercise 4.4: the gradient without the mean.


def _rms_gradient(x: Tensor, g: Tensor, epsilon: float) -> tuple[Tensor]:
    x = x.clone().requires_grad_()
    with torch.enable_grad():
        y = x * (x.square().mean(dim=(0, 2, 3), keepdim=True) + epsilon).rsqrt()
        return torch.autograd.grad(y, x, g)


_GRADIENT = _tensors(_rms_gradient, ("the gradient",))
_RMS_INPUTS = ("x", "g", "epsilon")
_RMS_BACKWARD = Exercise(
    "the gradient through a root mean square",
    _RMS_INPUTS,
    (
        Property(
            "a loss that looks at one output",
            _for_rms((1, 1, 1, 2), (1, 1, 1, 3), g="single"),
            _GRADIENT,
            "which values does r depend on? All of them move this output. Mind both paths, and what is "
            "averaged over how many.",
        ),
        Property(
            "a large ε",
            _for_rms((1, 1, 1, 2), (1, 1, 1, 3), g="single", epsilon=_LARGE),
            _GRADIENT,
            "ε is part of r everywhere, so also of y. Nowhere else.",
        ),
        Property(
            "any loss",
            _for_rms((1, 1, 1, 3), (1, 1, 2, 2)),
            _GRADIENT,
            "try g = x: then the loss wants all outputs stretched alike, and they can't be.",
        ),
        Property(
            "a loss along x",
            _for_rms((1, 1, 1, 3), g="along"),
            _GRADIENT,
            "stretching x stretches r. What is left of the gradient?",
        ),
        Property(
            "several images",
            _for_rms((2, 1, 1, 2), (3, 1, 1, 1)),
            _GRADIENT,
            "r is made of all images of the batch, so the gradient goes to all of them.",
        ),
        Property(
            "several channels",
            _for_rms((1, 2, 1, 2), (2, 3, 1, 2), (2, 2, 2, 2)),
            _GRADIENT,
            "every channel has an r of its own, and nothing of one gets into another.",
        ),
        Property(
            "without autograd",
            _for_rms((1, 1, 1, 3)),
            work.without("grad", "backward"),
            "write down the derivative of your own: the direct path, and the one through r.",
            tries=3,
        ),
        Property(
            "the inputs stay as they are",
            _for_rms((2, 2, 1, 2)),
            demands.inputs_kept(_RMS_INPUTS),
            "x and g belong to the layers around.",
        ),
    ),
)


def rms_backward(student: Callable) -> Verdict:
    """Checks the gradient through a division by the root mean square.

    Args:
        student: a function of x and g, ``(N, C, H, W)`` float64, and epsilon, that gives the gradient with
            respect to x, where g is the one with respect to x / √(mean of x² + ε), channel by channel.
    """
    return _RMS_BACKWARD.check(student)


# Exercise 4.5: folded into the convolution behind.


def _behind(
    weight: Tensor, bias: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    scale, shift = twin.scale_and_shift(gamma, beta, mean, variance, epsilon)
    return weight * scale[:, None, None], bias + torch.einsum("ocyx,c->o", weight, shift)


_FOLDED = _tensors(_behind, ("the weight", "the bias"))
_FOLD_INPUTS = ("weight", "bias", "gamma", "beta", "mean", "variance", "epsilon")
_FOLD_BEHIND = Exercise(
    "a normalization folded into the convolution behind it",
    _FOLD_INPUTS,
    (
        Property(
            "one weight",
            _for_fold((1, 1, 1, 1), shifts=False),
            _FOLDED,
            "with mean and β at 0 the normalization is one factor. Which one is it, by (4.11)? And does it "
            "come before the convolution's own bias or after?",
        ),
        Property(
            "a large ε",
            _for_fold((1, 1, 1, 1), shifts=False, epsilon=_LARGE),
            _FOLDED,
            "ε stands under the root, with the variance.",
        ),
        Property(
            "one weight and a shift",
            _for_fold((1, 1, 1, 1)),
            _FOLDED,
            "what does the convolution make of the part of its input that is the same everywhere?",
        ),
        Property(
            "several inputs",
            _for_fold((1, 2, 1, 1), (1, 3, 1, 1)),
            _FOLDED,
            "each input channel has a factor and a summand of its own, and an output adds up what they "
            "contribute.",
        ),
        Property(
            "as many outputs as inputs",
            _for_fold((2, 2, 1, 1), (3, 3, 1, 1)),
            _FOLDED,
            "outputs and inputs are equally many here, and taking one for the other raises nothing. What "
            "was normalized, the convolution's input or its output?",
        ),
        Property(
            "kernels of several places",
            _for_fold((1, 1, 1, 3), (2, 1, 2, 3), (3, 2, 3, 3)),
            _FOLDED,
            "the constant part stands at every place under the kernel.",
        ),
        Property(
            "the inputs stay as they are",
            _for_fold((2, 2, 1, 1)),
            demands.inputs_kept(_FOLD_INPUTS),
            "whoever folds wants to keep the network that is trained on.",
        ),
    ),
)


def fold_behind(student: Callable) -> Verdict:
    """Checks batch normalization folded into the convolution behind it.

    Args:
        student: a function of the convolution's weight ``(O, C, kh, kw)`` and bias ``(O,)`` (float64), of
            gamma, beta, mean and variance ``(C,)`` of its input, and epsilon, that gives the new weight and
            the new bias.
    """
    return _FOLD_BEHIND.check(student)


# Exercise 4.6: statistics of several batches as one.


def _together(means: Tensor, variances: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """By raw moments: another way than the one that the exercise leads to."""
    weights = (counts / counts.sum())[:, None]
    mean = (weights * means).sum(0)
    return mean, (weights * (variances + means.square())).sum(0) - mean.square()


_COMMON = ("the mean", "the variance")
_MEAN, _VARIANCE = (_tensors(_together, _COMMON, only=i) for i in range(2))
_POOL_INPUTS = ("means", "variances", "counts")
_POOLED = Exercise(
    "mean and variance of several batches together",
    _POOL_INPUTS,
    (
        Property(
            "one batch",
            _for_pooling(batches=(1, 1)),
            _tensors(_together, _COMMON),
            "the statistics of one batch are its own, unchanged: biased, as they came.",
        ),
        Property(
            "the mean of batches of different sizes",
            _for_pooling(),
            _MEAN,
            "a batch of 9 values has a say of 9, one of 2 a say of 2.",
        ),
        Property(
            "batches with equal means",
            _for_pooling(equal_means=True),
            _VARIANCE,
            "where all batches agree in the middle, each contributes its own spread, by its size.",
        ),
        Property(
            "batches that don't vary",
            _for_pooling(variances=(0, 0), equal_counts=True),
            _VARIANCE,
            "the prediction above: no batch varies within itself, and yet the values differ, from batch to "
            "batch.",
        ),
        Property(
            "batches that differ in everything",
            _for_pooling(),
            _VARIANCE,
            "both parts of the spread go by the sizes of the batches.",
        ),
        Property(
            "several channels",
            _for_pooling(channels=(2, 4)),
            _tensors(_together, _COMMON),
            "channels have nothing to do with each other. Along which dimension do the batches lie?",
        ),
        Property(
            "the inputs stay as they are",
            _for_pooling(channels=(2, 2)),
            demands.inputs_kept(_POOL_INPUTS),
            "the statistics may be wanted again.",
        ),
    ),
)


def pooled_statistics(student: Callable) -> Verdict:
    """Checks mean and variance of several batches together.

    Args:
        student: a function of ``(B, C)`` means, ``(B, C)`` biased variances and ``(B,)`` counts (float64)
            that gives mean and biased variance of all values, ``(C,)`` each.
    """
    return _POOLED.check(student)


# Exercises 4.1 and 4.6 by hand, and 4.3's batch.

_FOUR = tensor([2.0, 4, 4, 10]).double().reshape(2, 1, 1, 2)


def _by_hand(gamma: float = 6.0, beta: float = 2.0) -> tuple[Tensor, twin.Saved]:
    # ε as small as float64 lets it be, since the exercise leaves it out.
    return twin.forward(_FOUR, tensor([gamma]).double(), tensor([beta]).double(), 1e-15)


def _gradient_at_the_last() -> float:
    g = torch.zeros_like(_FOUR)
    g[-1, -1, -1, -1] = 1
    return twin.backward(g, _by_hand()[1]).x[-1, -1, -1, -1].item()


ANSWERS = {
    "4.1": (
        Question("the mean", lambda: twin.statistics(_FOUR).mean.item(), "all four values, both images."),
        Question(
            "the variance",
            lambda: twin.statistics(_FOUR).variance.item(),
            "the four squared distances, and their mean.",
            (
                Slip(lambda: 12.0, "that one is remembered. Which one normalizes?"),
                Slip(lambda: 3.0, "that's the deviation, its root."),
                Slip(lambda: 36.0, "those are the squares added up; how many are they?"),
            ),
        ),
        Question(
            "what becomes of the 10",
            lambda: _by_hand()[0][-1, -1, -1, -1].item(),
            "first x̂, then times γ, then plus β.",
            (
                Slip(lambda: 6 * 5 / 9 + 2, "you divided by the variance; (4.2) has a root."),
                Slip(lambda: 10.0, "nearly: what does β add?"),
                Slip(lambda: 5 / 3, "that's x̂. γ and β are still to come."),
            ),
        ),
        Question(
            "the running variance",
            lambda: 0.99 + 0.01 * twin.statistics(_FOUR).unbiased.item(),
            "equation (4.8), on the right: mostly the old value.",
            (
                Slip(lambda: 1.08, "this takes the variance that normalizes. The other one is remembered."),
                Slip(lambda: 0.01 + 0.99 * 12, "the momentum is the share of the new one here."),
            ),
        ),
        Question(
            "the gradient at the value 10",
            _gradient_at_the_last,
            "in (4.7), the bracket first: 1, less the mean of g, less x̂ times the mean of g x̂.",
            (
                Slip(lambda: 2.0, "that holds the mean and the deviation fixed. But the 10 moves both."),
                Slip(lambda: 1.5, "the mean moves, and so does the deviation: one term is missing."),
                Slip(lambda: 11 / 18, "the deviation moves, and so does the mean: one term is missing."),
                Slip(lambda: 1 / 54, "γ stands in front of the bracket."),
            ),
        ),
    ),
}

PREDICTIONS = {
    "4.1": (
        Question(
            "y of a channel that never changes",
            lambda: (
                twin.forward(torch.full((2, 1, 1, 1), 7.0), tensor([3.0]), tensor([-2.0]))[0].max().item()
            ),
            "how far is each value from the mean?",
        ),
    ),
    "4.6": (
        Question(
            "the variance of both batches together",
            lambda: _together(tensor([[0.0], [4]]), torch.zeros(2, 1), tensor([5.0, 5]))[1].item(),
            "write down four of the values, two of each batch, and their mean.",
        ),
    ),
}


def _remembers_too_little(function: Callable, x: Tensor) -> str | None:
    if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != 1:
        shape = tuple(x.shape) if isinstance(x, Tensor) else kind(x)
        return f"a batch of shape (N, 1, H, W) is wanted, yours is {shape}"
    x = x.double()
    if x.numel() < 2:
        return "with fewer than two values there is no variance that torch could remember"
    if not x.isfinite().all():
        return "its values should be finite numbers"
    theirs = twin.statistics(x).unbiased.item()
    if theirs == 0:
        return "all its values are equal: both variances are 0"
    ours = function(torch.zeros(1).double(), torch.ones(1).double(), x, 1.0)[1].item()
    if ours < 0.7 * theirs:
        return None
    return f"the function remembers {ours:.4g} and torch {theirs:.4g}, which is {ours / theirs:.2f} of it"


EXAMPLES = {
    "4.3": Hunt(
        "with maps it makes no difference which variance is remembered",
        _remembers_too_little,
        "the two differ by a factor that depends on one thing: how many values a channel has in the batch.",
    ),
}

CHECKERS = (batch_norm, running_update, rms_backward, fold_behind, pooled_statistics)
