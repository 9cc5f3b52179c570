"""Chapter 06, leaky ReLU: what a right answer to its exercises does."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, tensor
from torch.overrides import TorchFunctionMode

from yolov3_lib.checks import demands, work
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind, show
from yolov3_lib.foundations import leaky_relu as twin

# The solutions call torch's selection by a condition: its name must not stand in any hint below.

_WHOLE = st.integers(-4, 4)
_ABOVE, _BELOW = st.integers(1, 4), st.integers(-4, -1)


def _values(reference: Callable[..., Tensor]) -> demands.Check:
    """A tensor equal to the reference's."""

    def check(student: Student, case: Case) -> str | None:
        return _near(reference(*case), demands.as_tensor(student(*case), reference(*case).shape), "entry")

    return check


def _near(expected: Tensor, got: Tensor, what: str) -> str | None:
    apart = ~((expected - got).abs() <= demands.TOLERANCE)
    for place in apart.nonzero().tolist():
        at = tuple(place)
        return f"{what} {list(at)}: {demands.differ(expected[at].item(), got[at].item())}"
    return None


# Exercise 6.2: the derivative from the output.


@st.composite
def _outputs(
    draw: st.DrawFn, inputs: SearchStrategy[int], slopes: tuple[float, ...], shape: tuple[int, ...] = (2,)
) -> Case:
    """Outputs of leaky ReLU, the slope, and derivatives from above that are no 0."""
    count = int(torch.tensor(shape).prod())
    z = tensor(draw(st.lists(inputs, min_size=count, max_size=count))).float().reshape(shape)
    slope = draw(st.sampled_from(slopes))
    upstream = st.integers(1, 3) | st.integers(-3, -1)
    above = tensor(draw(st.lists(upstream, min_size=count, max_size=count))).float().reshape(shape)
    return twin.leaky_relu(z, slope), slope, above


def _backward(y: Tensor, slope: float, upstream: Tensor) -> Tensor:
    return upstream * twin.gradient_from_output(y, slope)


_BACKWARD_INPUTS = ("y", "slope", "upstream")
_LEAKY_BACKWARD = Exercise(
    "leaky ReLU, backwards",
    _BACKWARD_INPUTS,
    (
        Property(
            "outputs above 0",
            _outputs(_ABOVE, (0.1,)),
            _values(_backward),
            "on this side the function is the identity: what comes from above goes through as it is.",
        ),
        Property(
            "outputs below 0",
            _outputs(_BELOW, (0.1,)),
            _values(_backward),
            "on this side a change of the input changes the output by the slope times as much. And the chain "
            "rule multiplies: what is the outer derivative here?",
        ),
        Property(
            "outputs of 0",
            _outputs(st.just(0), (0.1,)),
            _values(_backward),
            "an output of 0 comes from an input of 0, and (6.2) says to which side that belongs.",
        ),
        Property(
            "another slope",
            _outputs(_WHOLE, (0.01, 0.25, 0.5, 1.0, 2.0)),
            _values(_backward),
            "does your function use the slope that it is given, whatever its size?",
        ),
        Property(
            "ReLU, a slope of 0",
            _outputs(_WHOLE, (0.0,)),
            _values(_backward),
            "then negative inputs all gave an output of 0. Nothing goes back to them.",
        ),
        Property(
            "a batch of feature maps",
            _outputs(_WHOLE, (0.1,), (2, 2, 2, 1)),
            _values(_backward),
            "the shape doesn't matter, each number stands for itself.",
            tries=10,
        ),
        Property(
            "the inputs stay as they are",
            _outputs(_WHOLE, (0.1,)),
            demands.inputs_kept(_BACKWARD_INPUTS),
            "others still need the outputs and what came from above: make a new tensor.",
        ),
    ),
)


def leaky_backward(student: Callable) -> Verdict:
    """Checks the backward pass of leaky ReLU from its output.

    Args:
        student: a function of outputs ``(...)``, a slope of at least 0, and the loss's derivatives by the
            outputs ``(...)`` that gives the derivatives by the inputs ``(...)``.
    """
    return _LEAKY_BACKWARD.check(student)


# Exercise 6.3: the short form, and PReLU.


def _is_wrong(function: Callable, z: float, slope: float) -> str | None:
    """Whether a function differs from leaky ReLU at a pre-activation and a slope."""
    z, slope = (demands.as_number(value, "a number") for value in (z, slope))
    expected = twin.leaky_relu(tensor(z), slope).item()
    if abs(float(function(tensor(z), slope)) - expected) > demands.TOLERANCE:
        return None
    return f"at that z both give {expected:.4g}"


@st.composite
def _maps(draw: st.DrawFn, slopes: tuple[float, ...], channels: tuple[int, int] = (1, 2)) -> Case:
    """(N, C, 2, 2) pre-activations, none of them 0, and (C,) slopes."""
    n, c = draw(st.integers(1, 2)), draw(st.integers(*channels))
    number = _ABOVE | _BELOW
    z = draw(st.lists(number, min_size=4 * n * c, max_size=4 * n * c))
    chosen = draw(st.lists(st.sampled_from(slopes), min_size=c, max_size=c))
    return tensor(z).float().reshape(n, c, 2, 2), tensor(chosen).float()


def _prelu(z: Tensor, slopes: Tensor) -> Tensor:
    return twin.leaky_relu(z, slopes[:, None, None])


def _prelu_gradient(which: int) -> demands.Check:
    """The derivative of the sum of all outputs by z (0) or by the slopes (1)."""

    def check(student: Student, case: Case) -> str | None:
        z, slopes = case
        leaves = z.clone().requires_grad_(), slopes.clone().requires_grad_()
        value = student(*leaves)
        if not isinstance(value, Tensor) or not value.requires_grad:
            raise Fault(
                f"no gradient flows through it: yours gave {show(value)}",
                "float(…), .item() and .detach() cut the gradient off.",
            )
        try:
            found = torch.autograd.grad(value.sum(), leaves, allow_unused=True)[which]
        except RuntimeError as error:
            raise Fault(
                f"autograd can't go back through it: {str(error).split(';')[0]}",
                "does a line overwrite values that were used before?",
            ) from error
        if found is None:
            return f"no gradient reaches the {('pre-activations', 'slopes')[which]}"
        if which == 0:
            expected = twin.leaky_relu_gradient(z, slopes[:, None, None])
        else:
            expected = twin.prelu_gradient(z).sum(dim=(0, 2, 3))
        return _near(expected, found, "the gradient at")

    return check


_ACTIVATIONS = (
    {"relu", "relu6", "prelu", "leaky_relu", "rrelu", "elu", "celu", "threshold", "hardtanh"}
    | {"relu_", "leaky_relu_", "rrelu_", "elu_", "celu_", "threshold_", "hardtanh_"}
)  # fmt: skip


class _Names(TorchFunctionMode):
    """Notes which of torch's functions are called in its block."""

    def __init__(self) -> None:
        super().__init__()
        self.called: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.called.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def _own_work(student: Student, case: Case) -> str | None:
    """None of torch's own activation functions is called."""
    with _Names() as names:
        student(*case)
    borrowed = sorted(names.called & _ACTIVATIONS)
    return f"yours calls torch's own {borrowed[0]}" if borrowed else None


def _no_loop(student: Student, case: Case) -> str | None:
    """As many operations for many channels as for few."""
    z, slopes = case
    many = z.repeat(1, 10, 1, 1), slopes.repeat(10)
    few, lots = (work.calls_of_torch(student, each) for each in (case, many))
    if lots > few + work.SPARE_CALLS:
        return f"yours took {few} calls of torch for {len(slopes)} channels, and {lots} for {len(many[1])}"
    return None


_MILD, _ANY = (0.0, 0.1, 0.25, 0.5), (-1.0, -0.5, 0.1, 0.5, 1.5, 3.0)
_PRELU_INPUTS = ("z", "slopes")
_PRELU = Exercise(
    "PReLU",
    _PRELU_INPUTS,
    (
        Property(
            "one channel",
            _maps(_MILD, (1, 1)),
            _values(_prelu),
            "this is (6.1) for each number, with the slope of the only channel.",
        ),
        Property(
            "a slope above 1",
            _maps((1.5, 2.0, 3.0), (1, 1)),
            _values(_prelu),
            "here the left side is the steeper one. Which side a number is on depends on its own sign alone.",
        ),
        Property(
            "a negative slope",
            _maps((-1.0, -0.5), (1, 1)),
            _values(_prelu),
            "then both sides rise away from 0. Does your condition still ask for the sign of z?",
        ),
        Property(
            "each channel its own slope",
            _maps(_MILD, (2, 2)),
            _values(_prelu),
            "dimension 1 is the channel. If the slopes run along the width or the height, look at how shapes "
            "are matched: from the right.",
        ),
        Property(
            "more channels than places in a row",
            _maps(_ANY, (3, 4)),
            _values(_prelu),
            "the shape (C,) meets the width. Give the slopes two more dimensions behind.",
        ),
        Property(
            "your own work",
            _maps(_ANY, (2, 2)),
            _own_work,
            "comparing, multiplying and choosing are enough.",
            tries=2,
        ),
        Property(
            "no loop over the channels",
            _maps(_ANY, (2, 2)),
            _no_loop,
            "slopes of the right shape meet all channels at once.",
            tries=3,
        ),
        Property(
            "the inputs stay as they are",
            _maps(_ANY, (2, 2)),
            demands.inputs_kept(_PRELU_INPUTS),
            "with a learned slope the backward pass still needs z: make a new tensor.",
        ),
        Property(
            "the gradient of z",
            _maps(_ANY, (2, 3)),
            _prelu_gradient(0),
            "the values are right. It should be 1 on the right and the channel's slope on the left.",
        ),
        Property(
            "the gradient of the slopes",
            _maps(_ANY, (2, 3)),
            _prelu_gradient(1),
            "the slopes are to be learned: by (6.7) each gets the sum of its channel's negative numbers. "
            "Have they become plain numbers on the way?",
        ),
    ),
)


def prelu(student: Callable) -> Verdict:
    """Checks PReLU with one slope a channel, and its gradients.

    Args:
        student: a function of ``(N, C, H, W)`` pre-activations and ``(C,)`` slopes of any size and sign.
    """
    return _PRELU.check(student)


# Exercise 6.5: first aid.


@st.composite
def _neurons(
    draw: st.DrawFn, wanted: str, weights: SearchStrategy[int] = _ABOVE | _BELOW, level: int = 0
) -> Case:
    """(H,) weights and biases and (N,) different inputs; all neurons are "silent", "awake", or "any"."""
    x = tensor(draw(st.lists(st.integers(-3, 3), min_size=2, max_size=4, unique=True))).float() + level
    count = draw(st.integers(1, 3))
    weight, bias = [], []
    for _ in range(count):
        w = draw(weights)
        largest, smallest = (w * x).max().item(), (w * x).min().item()
        quiet = wanted == "silent" or (wanted == "any" and draw(st.booleans()))
        below = draw(st.integers(0, 3))
        # Awake: above 0 on one example at least; some of them on all.
        bias.append(-largest - below if quiet else -smallest + below - (largest - smallest) / 2)
        weight.append(w)
    return tensor(weight).float(), tensor(bias).float(), x


def _revived(student: Student, case: Case) -> str | None:
    weight, bias, x = case
    got = demands.as_tensor(student(*case), bias.shape)
    before = twin.silent(weight[:, None] * x + bias[:, None])
    after = weight.double()[:, None] * x.double() + got[:, None]
    for j, quiet in enumerate(before.tolist()):
        if not quiet:
            if abs(got[j].item() - bias[j].item()) > demands.TOLERANCE:
                return (
                    f"neuron {j} isn't silent, its bias was {show(bias[j])} and should stay; yours gave "
                    f"{show(got[j])}"
                )
            continue
        if not got[j].isfinite():
            return f"neuron {j}: yours gave the bias {got[j].item()}"
        # Rounding decides nothing: what is above 0 is so by a margin, or it's a kink exactly at an example.
        above = after[j] > demands.TOLERANCE
        if not above.any():
            return f"neuron {j} is still silent: its z are now {show(after[j].float())}"
        if above.all():
            return f"neuron {j} is above 0 on all examples: its z are now {show(after[j].float())}"
    return None


def _is_bias(student: Student, case: Case) -> str | None:
    got = student(*case)
    if not isinstance(got, Tensor):
        raise Fault(f"expected a tensor of {len(case[1])} biases, yours gave {kind(got)}")
    return _revived(student, case)


_REVIVE_INPUTS = ("weight", "bias", "x")
_REVIVE = Exercise(
    "first aid",
    _REVIVE_INPUTS,
    (
        Property(
            "nobody is silent",
            _neurons("awake"),
            _is_bias,
            "a neuron that is above 0 on some example gets no new bias, even if it is above 0 on all.",
        ),
        Property(
            "silent, with a positive weight",
            _neurons("silent", _ABOVE),
            _revived,
            "at its kink w·x + b is 0. Take a place between the smallest and the largest input, and solve "
            "for b. (A neuron whose largest z is exactly 0 is silent, too.)",
        ),
        Property(
            "silent, with a negative weight",
            _neurons("silent", _BELOW),
            _revived,
            "solving w·x + b = 0 for b turns a sign: does w keep its own in yours? And if your kink lies at "
            "an outermost input, no example lies on its other side.",
        ),
        Property(
            "inputs far from 0",
            _neurons("silent", level=20),
            _revived,
            "the data need not lie around 0. Is your kink among the inputs, or at a fixed place?",
        ),
        Property(
            "some are silent, some aren't",
            _neurons("any"),
            _revived,
            "each neuron for itself: the condition has one answer for each of the H.",
            tries=40,
        ),
        Property(
            "the inputs stay as they are",
            _neurons("silent"),
            demands.inputs_kept(_REVIVE_INPUTS),
            "return new biases, and leave the old ones alone.",
        ),
    ),
)


def revive(student: Callable) -> Verdict:
    """Checks the biases that bring silent neurons back.

    Args:
        student: a function of ``(H,)`` weights, ``(H,)`` biases and ``(N,)`` inputs that gives ``(H,)``
            biases: those of silent neurons such that each is above 0 on some examples and not on others, the
            rest as they were.
    """
    return _REVIVE.check(student)


# Exercise 6.1: one neuron by hand.

_X = tensor([-1.0, 0, 1, 2]).double()
_W, _B, _U = 2.0, -3.0, 0.5


def _bias_slope(bias: float, error: float) -> float:
    return (2 / len(_X) * error * _U * twin.leaky_relu_gradient(_W * _X + bias)).sum().item()


def _awake() -> float:
    """z for x = 2 after one step of size 1 with errors of −1, from the bias −4."""
    through = -2 / len(_X) * _U * twin.leaky_relu_gradient(_W * _X - 4.0)
    return (_W - (through * _X).sum().item()) * 2 - 4 - through.sum().item()


ANSWERS = {
    "6.1": (
        Question(
            "the output for x = −1",
            lambda: twin.leaky_relu(_W * _X[0] + _B).item(),
            "first z = w·x + b, then (6.1).",
            (
                Slip(lambda: -5.0, "that is z. The activation comes after it."),
                Slip(lambda: 0.0, "that is ReLU."),
                Slip(lambda: -0.25, "that is its contribution, times u. What does it put out itself?"),
            ),
        ),
        Question(
            "the kink",
            lambda: -_B / _W,
            "for which x is z = 0?",
            (Slip(lambda: _B / _W, "look at the sign: w·x + b should be 0 there."),),
        ),
        Question(
            "the jump of the slope",
            lambda: (1 - twin.SLOPE) * _U * abs(_W),
            "the slope of u·f(w·x + b) on the right of the kink minus that on the left.",
            (
                Slip(lambda: _U * abs(_W), "that is the slope on the right. On the left it isn't 0."),
                Slip(lambda: (1 - twin.SLOPE) * abs(_W), "the term has the factor u."),
                Slip(lambda: (1 + twin.SLOPE) * _U * abs(_W), "a jump is a difference of two slopes."),
            ),
        ),
        Question(
            "∂L/∂b",
            lambda: _bias_slope(_B, 1.0),
            "(6.5): a sum over four examples, each with its own f′.",
            (
                Slip(lambda: 0.25, "that is ReLU's: the other three examples count, too."),
                Slip(lambda: 0.325 / 2, "L is a mean of squares: there is a 2 in its derivative."),
                Slip(lambda: 0.325 * 4, "L is a mean over the four examples."),
                Slip(lambda: 0.65, "the derivative passes through u."),
            ),
        ),
        Question(
            "the largest bias that silences it",
            lambda: -(_W * _X).max().item(),
            "silent: z is at most 0 for all four. Which example is the last to go?",
            (
                Slip(lambda: 2.0, "with that bias one example still has a z above 0."),
                Slip(lambda: 4.0, "look at the sign."),
            ),
        ),
    ),
}

PREDICTIONS = {
    "6.1": (
        Question(
            "z for x = 2 after the step",
            _awake,
            "(6.5): every f′ is .1, and by w each example counts x times. Both move; then z = w·2 + b.",
            (
                Slip(lambda: 0.1, "the weight moves as well, and the derivatives have a 2 in front."),
                Slip(lambda: 0.3, "by w, each example has the factor x."),
                Slip(lambda: 0.4, "L is a mean over the four examples."),
                Slip(lambda: 1.325, "for x = 2, z is exactly 0: to which side does that belong?"),
                Slip(lambda: 0.0, "that is ReLU, which doesn't move."),
                Slip(lambda: -0.2, "a step goes against the gradient."),
            ),
        ),
    ),
}

EXAMPLES = {
    "6.3": Hunt(
        "the larger of z and a·z is leaky ReLU",
        _is_wrong,
        "the two lines cross at 0 only. Which of them is on top depends on which is the steeper.",
    ),
}

CHECKERS = (leaky_backward, prelu, revive)
