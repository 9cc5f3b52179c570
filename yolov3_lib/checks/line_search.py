"""Chapter 17, line search: what a right answer to its exercises does."""

import math
from collections.abc import Callable
from typing import NoReturn

import torch
from hypothesis import strategies as st
from torch import Tensor

from yolov3_lib.bonus import line_search as twin
from yolov3_lib.checks import demands
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind, show

C1 = 0.25  # of the exercise on backtracking


class Recorded:
    """A function of one number that says its formula and remembers where it was asked."""

    def __init__(self, formula: str, function: Callable[[float], float]) -> None:
        self.__name__ = formula
        self.function = function
        self.asked: list[float] = []

    def __call__(self, x: float) -> float:
        self.asked.append(float(x))
        return self.function(float(x))


# --- Golden section ---


def _parabola(lowest: float, height: int) -> Recorded:
    return Recorded(f"x ↦ {height} (x − {lowest:g})²", lambda x: height * (x - lowest) ** 2)


def _lopsided(lowest: float, left: int, right: int) -> Recorded:
    formula = f"x ↦ max({left} ({lowest:g} − x), {right} (x − {lowest:g}))"
    return Recorded(formula, lambda x: max(left * (lowest - x), right * (x - lowest)))


def _rising(slope: int) -> Recorded:
    return Recorded(f"x ↦ {slope} x", lambda x: slope * x)


_TOLERANCES = st.sampled_from([0.1, 0.01])


@st.composite
def _valleys(draw: st.DrawFn, lopsided: bool = False, tolerance: float | None = None) -> Case:
    """A function with one valley, an interval around it, a tolerance."""
    left = draw(st.integers(-3, 3))
    width = draw(st.integers(2, 9))
    lowest = left + width * draw(st.integers(1, 7)) / 8
    steep = draw(st.integers(1, 3))
    f = _lopsided(lowest, steep, 4 - steep) if lopsided else _parabola(lowest, steep)
    return f, left, left + width, tolerance or draw(_TOLERANCES)


@st.composite
def _slopes(draw: st.DrawFn) -> Case:
    left = draw(st.integers(-3, 3))
    return _rising(draw(st.sampled_from([-1, 1, 2]))), left, left + draw(st.integers(1, 9)), draw(_TOLERANCES)


def _lowest(f: Recorded, left: float, right: float) -> float:
    start = twin.Bracket(*(twin.Point(x, f.function(x)) for x in (left, _low_inside(f, left, right), right)))
    return twin.golden_section(f.function, start).x


def _low_inside(f: Recorded, left: float, right: float) -> float:
    places = [left + (right - left) * i / 64 for i in range(1, 64)]
    return min(places, key=f.function)


def _near(student: Student, case: Case) -> str | None:
    f, left, right, tolerance = case
    f.asked.clear()
    got = demands.as_number(student(*case), "a place on the interval, one number")
    seen = {f.function(x) for x in f.asked} - set(f.asked)
    if f.__name__.endswith(" x"):
        expected = left if f.function(left) < f.function(right) else right
    else:
        expected = _lowest(f, left, right)
    if abs(got - expected) <= tolerance * (1 + 1e-6):
        return None
    wanted = f"expected something within {tolerance:g} of {show(round(expected, 6))}"
    if got in seen:
        raise Fault(f"{wanted}, yours gave {show(got)}", "that looks like a value of f. The place is wanted.")
    return f"{wanted}, yours gave {show(got)}"


def _stays_inside(student: Student, case: Case) -> str | None:
    f, left, right, _ = case
    f.asked.clear()
    student(*case)
    outside = [x for x in f.asked if not left - 1e-9 <= x <= right + 1e-9]
    return f"yours asked for f({show(outside[0])})" if outside else None


def _frugal(student: Student, case: Case) -> str | None:
    f, left, right, tolerance = case
    f.asked.clear()
    student(*case)
    most = math.ceil(math.log((right - left) / tolerance) / -math.log(twin.GOLDEN)) + 4
    if len(f.asked) <= most:
        return None
    return f"yours asked for f {len(f.asked)} times, and {most} are plenty"


_GOLDEN = Exercise(
    "golden section",
    ("f", "left", "right", "tolerance"),
    (
        Property(
            "a parabola",
            _valleys(),
            _near,
            "draw the four places. If f is lower at the left inner one, in which part can the valley not be?",
            endless="does the interval get shorter in each turn, on both branches?",
        ),
        Property(
            "a lopsided valley",
            _valleys(lopsided=True),
            _near,
            "after a turn, does each of your two values still belong to the place beside it?",
        ),
        Property(
            "the lowest place is an end",
            _slopes(),
            _near,
            "here every turn throws away the same side. Follow three turns with a pencil.",
        ),
        Property(
            "a fine tolerance",
            _valleys(tolerance=1e-4),
            _near,
            "what ends your loop: the number of turns, or the length that is left?",
        ),
        Property(
            "never outside the interval",
            _valleys(),
            _stays_inside,
            "f may not be defined out there: a network overflows, a logarithm ends.",
        ),
        Property(
            "one new evaluation a turn",
            _valleys(tolerance=1e-3),
            _frugal,
            "that is what the ratio is for: an old inner place is an inner place of the new interval, too. "
            "And the loop ends as soon as the interval is short enough.",
        ),
    ),
)


def golden_minimum(student: Callable) -> Verdict:
    """Checks golden section.

    Args:
        student: a function of ``f``, ``left``, ``right`` and ``tolerance`` that gives a place within
            ``tolerance`` of the minimum of ``f``, which has one valley between the ends.
    """
    return _GOLDEN.check(student)


# --- Backtracking ---


def _bowl(lowest: int, height: int) -> tuple[Recorded, float]:
    """phi and its slope at 0."""
    phi = Recorded(f"α ↦ {height} (α − {lowest})²", lambda alpha: height * (alpha - lowest) ** 2)
    return phi, -2.0 * height * lowest


def _cut_off(lowest: int, height: int, beyond: float) -> tuple[Recorded, float]:
    inner, slope = _bowl(lowest, height)
    formula = f"{inner.__name__}, and {beyond} for α > {2 * lowest}"
    return Recorded(formula, lambda a: inner.function(a) if a <= 2 * lowest else beyond), slope


def _bowls(times: st.SearchStrategy[float]) -> st.SearchStrategy[Case]:
    """phi, slope, and a first step so many times as long as the best."""

    def build(lowest: int, height: int, factor: float) -> Case:
        return (*_bowl(lowest, height), lowest * factor)

    return st.builds(build, st.integers(1, 6), st.integers(1, 5), times)


def _cliffs() -> st.SearchStrategy[Case]:
    def build(lowest: int, height: int, factor: int, beyond: float) -> Case:
        return (*_cut_off(lowest, height, beyond), float(lowest * factor))

    return st.builds(
        build, st.integers(1, 4), st.integers(1, 5), st.sampled_from([4, 8, 64]),
        st.sampled_from([math.nan, math.inf]),
    )  # fmt: skip


def _armijo(phi: Recorded, slope: float, step: float) -> float:
    return twin.backtracking(phi.function, phi.function(0.0), slope, step, 0.5, C1).x


def _same_step(student: Student, case: Case) -> str | None:
    return demands.differ(_armijo(*case), demands.as_number(student(*case), "a step length, one number"))


def _no_more_than_needed(student: Student, case: Case) -> str | None:
    phi, _, step = case
    phi.asked.clear()
    student(*case)
    most = round(math.log2(step / _armijo(*case))) + 2
    if len(phi.asked) <= most:
        return None
    return f"yours asked for φ {len(phi.asked)} times; φ(0) and each step tried make {most}"


_BACKTRACKING = Exercise(
    "backtracking",
    ("phi", "slope", "step"),
    (
        Property(
            "the first step is good enough",
            _bowls(st.sampled_from([0.25, 0.5, 1.0])),
            _same_step,
            "then it is the answer, as it came. What do you do before you look at it?",
            endless="no step is good enough for your demand, not the best one. Does it grow with the step?",
        ),
        Property(
            "a first step far too long",
            _bowls(st.sampled_from([4.0, 8.0, 40.0])),
            _same_step,
            "write down the steps that you try, one after the other, and the line that each is held against.",
            endless="does the step get shorter in every turn, and the demand smaller with it?",
        ),
        Property(
            "lower than the start, but not by enough",
            _bowls(st.sampled_from([1.625, 1.75, 1.875])),
            _same_step,
            "being lower is not the demand. The demand grows with the step: draw the line.",
        ),
        Property(
            "exactly on the line",
            _bowls(st.just(1.5)),
            _same_step,
            "the rule says at most, so a value on the line will do.",
        ),
        Property(
            "nothing there, or infinity",
            _cliffs(),
            _same_step,
            "how does NaN compare with a number? Ask for what you want, not for what you don't.",
        ),
        Property(
            "one evaluation for each step tried",
            _bowls(st.sampled_from([8.0, 40.0])),
            _no_more_than_needed,
            "each evaluation is a forward pass. Which value do you ask for again and again?",
        ),
    ),
)


def backtracked(student: Callable) -> Verdict:
    """Checks backtracking with Armijo's rule, c1 = 1/4, halving.

    Args:
        student: a function of ``phi``, its slope at 0 and the first step, that gives the first of step,
            step/2, step/4, … with ``phi(alpha) <= phi(0) + alpha * slope / 4``.
    """
    return _BACKTRACKING.check(student)


# --- Steepest descent ---


@st.composite
def _quadratics(
    draw: st.DrawFn, steps: int | None = None, centered: bool = True, relaxation: float = 1.0
) -> Case:
    """A, b, start, steps, relaxation: two unknowns, whole numbers."""
    # Two different curvatures, and a start off their axes: so no walk comes to rest by chance.
    p = draw(st.integers(1, 5))
    q, cross = p + draw(st.integers(1, 4)), draw(st.integers(0, 1))
    matrix = torch.tensor([[p, cross], [cross, q]]).double()
    b = torch.zeros(2) if centered else torch.tensor([draw(st.integers(1, 4)), draw(st.integers(-4, 4))])
    start = torch.tensor([draw(st.integers(5, 9)), draw(st.integers(5, 9))])
    count = draw(st.integers(3, 6)) if steps is None else steps
    return matrix, b.double(), start.double(), count, relaxation


def _at_rest() -> st.SearchStrategy[Case]:
    def build(case: Case) -> Case:
        matrix, _, start, steps, relaxation = case
        return matrix, matrix @ start, start, steps, relaxation

    return _quadratics().map(build)


def _reference(matrix: Tensor, b: Tensor, start: Tensor, steps: int, relaxation: float) -> Tensor:
    points = [start]
    for _ in range(steps):
        gradient = matrix @ points[-1] - b
        bend = gradient @ matrix @ gradient
        length = (gradient @ gradient) / bend if bend > 1e-30 else 0.0
        points.append(points[-1] - relaxation * length * gradient)
    return torch.stack(points)


def _same_points(student: Student, case: Case) -> str | None:
    expected, answer = _reference(*case), student(*case)
    if not isinstance(answer, Tensor):
        answer = _stacked(answer)
    if answer.shape != expected.shape:
        _miscounted(answer, expected, case[3])
    for number, (wanted, got) in enumerate(zip(expected, answer, strict=True)):
        # A tiny number added to the denominator, against 0/0, is a fair answer too.
        if not torch.allclose(wanted, got.double(), rtol=1e-6, atol=1e-5):
            # A start that isn't the start was mostly changed later: the list holds the tensor, not a copy.
            hint = "" if number else "the start comes first. Or has a later line changed it in its place?"
            raise Fault(f"point {number}: expected {show(wanted)}, yours gave {show(got)}", hint)
    return None


def _stacked(points: object) -> Tensor:
    """A list of points as a tensor with a row each."""
    if not isinstance(points, (list, tuple)):
        raise Fault(f"expected a list of points, yours gave {kind(points)}")
    strange = next((point for point in points if not isinstance(point, Tensor)), None)
    if strange is not None:
        raise Fault(
            f"expected a list of tensors, one of yours is {kind(strange)}", "put the points in as they are."
        )
    shapes = {tuple(point.shape) for point in points}
    if shapes and shapes != {(2,)}:
        raise Fault(f"expected points of shape (2,), yours have the shapes {sorted(shapes)}")
    return torch.stack([point.double() for point in points]) if points else torch.empty(0, 2)


def _miscounted(answer: Tensor, expected: Tensor, steps: int) -> NoReturn:
    rows = answer.ndim == 2
    gave = f"{len(answer)}" if rows else f"a tensor of shape {tuple(answer.shape)}"
    one_off = not rows or abs(len(answer) - len(expected)) == 1
    hint = "the start comes first, and each step adds one point." if one_off else ""
    raise Fault(f"expected {len(expected)} points for steps = {steps}, yours gave {gave}", hint)


_ARGUMENTS = ("A", "b", "start", "steps", "relaxation")
_DESCENT = Exercise(
    "steepest descent on a quadratic",
    _ARGUMENTS,
    (
        Property(
            "one step",
            _quadratics(steps=1),
            _same_points,
            "first the gradient: which way is down? Then (17.7): which of its two parts has A in it?",
        ),
        Property(
            "several steps",
            _quadratics(),
            _same_points,
            "the gradient turns after each step, and the best length changes with it.",
        ),
        Property(
            "a b that isn't zero",
            _quadratics(centered=False),
            _same_points,
            "the gradient of ½ xᵀAx − bᵀx has two terms.",
        ),
        Property(
            "a start at the minimum",
            _at_rest(),
            _same_points,
            "there the formula is 0/0. Where should a step go when the gradient is zero? It is still a step.",
        ),
        Property(
            "shortened steps",
            _quadratics(relaxation=0.5),
            _same_points,
            "the relaxation multiplies each step, and changes nothing else.",
        ),
        Property(
            "the inputs stay as they are",
            _quadratics(),
            demands.inputs_kept(_ARGUMENTS),
            "a point that is changed in its place is changed for the caller, and in the list, too.",
        ),
    ),
)


def exact_descent(student: Callable) -> Verdict:
    """Checks steepest descent with exact steps on ½ xᵀAx − bᵀx.

    Args:
        student: a function of A (n, n), b (n,), the start (n,), the number of steps and a factor for each
            step, that gives the points as a list, the start first.
    """
    return _DESCENT.check(student)


# --- Answers ---

_WIDTH, _SMALLER = 8.0, 1 - twin.GOLDEN


def _evaluations(width: float, wanted: float) -> int:
    """Two for the first pair, then one for each shrinking; the pair shrinks the interval once."""
    return 1 + math.ceil(math.log(width / wanted) / -math.log(twin.GOLDEN))


_RATIO = "the golden ratio cuts a length into .618 and .382 of it."
ANSWERS = {
    "17.1": (
        Question(
            "left inner place",
            lambda: _WIDTH * _SMALLER,
            _RATIO,
            (
                Slip(lambda: _WIDTH / 3, "those are thirds: no old place could be used again."),
                Slip(lambda: _WIDTH * twin.GOLDEN, "that is the right one of the two."),
            ),
        ),
        Question(
            "right inner place",
            lambda: _WIDTH * twin.GOLDEN,
            _RATIO,
            (Slip(lambda: _WIDTH * 2 / 3, "those are thirds: no old place could be used again."),),
        ),
        Question(
            "third place",
            lambda: _WIDTH * twin.GOLDEN * _SMALLER,
            "which part goes? The old inner place that is left is the right one of the new interval.",
            (
                Slip(
                    lambda: _WIDTH * (_SMALLER + twin.GOLDEN * twin.GOLDEN),
                    "compare the two values again: on which side is f lower?",
                ),
            ),
        ),
        Question(
            "number of evaluations",
            lambda: float(_evaluations(_WIDTH, 0.01)),
            "by which factor is the interval shorter after each evaluation but the first?",
            (
                Slip(
                    lambda: float(_evaluations(_WIDTH, 0.01) - 1),
                    "that many times it shrinks. The first shrinking takes two evaluations.",
                ),
                Slip(
                    lambda: float(_evaluations(_WIDTH, 0.01) + 1),
                    "after the last cut nobody needs a new place; the chapter's loop still asks for one.",
                ),
            ),
        ),
    ),
}


def _left_after_two() -> float:
    f = torch.tensor([1.0, 9.0]).double()
    points = _reference(torch.diag(f), torch.zeros(2).double(), torch.tensor([9.0, 1.0]).double(), 2, 1.0)
    values = (points * points @ torch.diag(f)).sum(dim=1)
    return (values[2] / values[0]).item()


PREDICTIONS = {
    "17.4": (
        Question(
            "what is left after two steps",
            _left_after_two,
            "what is κ? And the rate of (17.9) is for one step.",
            (Slip(lambda: math.sqrt(_left_after_two()), "that is one step."),),
        ),
    ),
}


def _barely_moves(rule: Callable, start: float, step: float) -> str | None:
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in (start, step)):
        raise ValueError("start and step should be two numbers")
    if start == 0 or step < 0.5:
        raise Fault("start somewhere else than at the minimum, with a first step of at least 0.5")
    if not 1e-9 < abs(start) < 1e9 or step > 1e9:
        raise Fault("take numbers between a billionth and a billion: others lose their digits when squared")
    x = float(start)
    for count in range(1, 51):
        slope = 2 * x
        x -= rule(lambda alpha, x=x, slope=slope: (x - alpha * slope) ** 2, step) * slope
        # Every step lowers f, so this is settled; and at the minimum itself the rule would halve forever.
        if x * x <= start * start / 2:
            left = x * x / (start * start)
            return f"after step {count} of 50, f is down to {show(left)} of its first value"
    return None


EXAMPLES = {
    "17.3": Hunt(
        "50 steps that each lower f = x² bring it below a half of its first value",
        _barely_moves,
        "a step can land on the other side of the valley. How high may it land there and still be accepted?",
    ),
}

CHECKERS = (golden_minimum, backtracked, exact_descent)
