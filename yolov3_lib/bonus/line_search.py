r"""How long a step? Minimizing :math:`\varphi(\alpha) = f(x - \alpha\nabla f(x))` over one number.

Two answers to that question. The exact one encloses a minimum (`bracket`) and closes in on it
(`golden_section`, `brent`). The modest one takes the first step that lowers the function enough
(`backtracking`, `strong_wolfe`). `yolov3_lib.bonus.line_search_descent` walks downhill with either.

Everything is counted in evaluations, because an evaluation is what costs: for a network, a forward pass.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

GOLDEN = (math.sqrt(5) - 1) / 2
"""The larger part of a unit length cut in golden section, 0.618: its square is the smaller part."""

TOLERANCE = math.sqrt(sys.float_info.epsilon)
"""Closer than this, relative to x, the values of a smooth function can't tell two points apart."""

TINY = 1e-11
"""What the tolerance is near x = 0, where a relative one would ask for ever more."""


class LineSearchError(ValueError):
    """No step to be found: the function falls without end, or doesn't fall at all."""


class Point(NamedTuple):
    """A place on the line and the function's value there."""

    x: float
    value: float


@dataclass(frozen=True)
class Bracket:
    """Three points in order, the middle one not above either end: a continuous function has a local minimum
    between the ends.

    Attributes:
        left, middle, right: the points.
        evaluations: how many the search for them took.
    """

    left: Point
    middle: Point
    right: Point
    evaluations: int = 0

    def __post_init__(self) -> None:
        if not self.left.x < self.middle.x < self.right.x:
            raise ValueError(
                f"expected left < middle < right, got {self.left.x}, {self.middle.x}, {self.right.x}"
            )
        if not self.middle.value <= min(self.left.value, self.right.value):
            raise ValueError(
                f"the middle value {self.middle.value} lies above that of an end, "
                f"{self.left.value} or {self.right.value}: nothing says that a minimum is between them"
            )


@dataclass(frozen=True)
class Found:
    """Where a search ended.

    Attributes:
        x: the place; for a line search the step length.
        value: the function there.
        evaluations: of the function's value, without those that the caller had made before.
        gradients: how many of them were asked for the slope too.
    """

    x: float
    value: float
    evaluations: int
    gradients: int = 0


class _Counted:
    """A function of one number that counts how often it's asked and refuses NaN."""

    def __init__(self, function: Callable[[float], float]) -> None:
        self.function = function
        self.evaluations = 0

    def __call__(self, x: float) -> Point:
        self.evaluations += 1
        value = float(self.function(x))
        if math.isnan(value):
            raise ValueError(f"the function is NaN at {x:g}; give inf where it isn't defined")
        return Point(x, value)


# --- Exactly ---


def bracket(
    phi: Callable[[float], float], step: float = 1.0, phi0: float | None = None, max_evaluations: int = 100
) -> Bracket:
    """Enclose a minimum to the right of 0, where ``phi`` falls at first.

    While ``phi(step)`` isn't below ``phi(0)`` the step is too long: it's cut to its smaller golden part. Else
    the interval grows by the golden ratio until ``phi`` rises. Either way the middle point ends in golden
    section, where `golden_section` wants it.

    Args:
        phi: the function; inf is a value like another, only large.
        step: the first step to try.
        phi0: ``phi(0)``, if it's known.
        max_evaluations: when to give up.

    Raises:
        ValueError: ``step`` isn't positive and finite, or ``phi`` is NaN.
        LineSearchError: no step is better than 0, or ``phi`` keeps falling.
    """
    if not 0 < step < math.inf:
        raise ValueError(f"step: expected a positive, finite number, got {step}")
    f = _Counted(phi)
    left = f(0.0) if phi0 is None else Point(0.0, phi0)
    middle, right = f(step), None
    while middle.value >= left.value:
        if f.evaluations >= max_evaluations or middle.x < 1e-300:
            raise LineSearchError(
                f"no step down to {middle.x:.3g} leads below {left.value:.6g}: is it a direction of descent?"
            )
        middle, right = f((1 - GOLDEN) * middle.x), middle
    if right is not None:
        return Bracket(left, middle, right, f.evaluations)
    right = f(middle.x + (middle.x - left.x) / GOLDEN)
    while right.value < middle.value:
        if f.evaluations >= max_evaluations or right.x > 1e300:
            raise LineSearchError(f"the function still falls at {right.x:.3g}: it may have no minimum")
        left, middle = middle, right
        right = f(middle.x + (middle.x - left.x) / GOLDEN)
    return Bracket(left, middle, right, f.evaluations)


def golden_section(
    phi: Callable[[float], float], start: Bracket, tolerance: float = TOLERANCE, max_evaluations: int = 500
) -> Found:
    """Close in on a minimum by the factor .618 with each evaluation, whatever the function's shape.

    Args:
        phi: the function.
        start: three points that enclose a minimum.
        tolerance: half the width of the interval that is left, in units of \\|x\\|; below `TOLERANCE` it asks
            for more than floating-point numbers hold.
        max_evaluations: when to stop in any case.

    Source: Kiefer 1953.
    """
    f = _Counted(phi)
    a, c = start.left.x, start.right.x
    one = two = start.middle
    if c - one.x > one.x - a:
        two = f(one.x + (1 - GOLDEN) * (c - one.x))
    else:
        one = f(two.x - (1 - GOLDEN) * (two.x - a))
    while f.evaluations < max_evaluations:
        if c - a <= _closeness(one.x, tolerance) + _closeness(two.x, tolerance):
            break
        if one.value < two.value:
            c, two = two.x, one
            one = f(two.x - (1 - GOLDEN) * (two.x - a))
        else:
            a, one = one.x, two
            two = f(one.x + (1 - GOLDEN) * (c - one.x))
    best = min(one, two, key=lambda point: point.value)
    return Found(best.x, best.value, f.evaluations)


def parabola_step(p: Point, q: Point, r: Point) -> float:
    """From ``p`` to the vertex of the parabola through three points; NaN where they lie on a line."""
    left = (p.x - q.x) * (p.value - r.value)
    right = (p.x - r.x) * (p.value - q.value)
    below = 2 * (right - left)
    return ((p.x - q.x) * left - (p.x - r.x) * right) / below if below else math.nan


def brent(
    phi: Callable[[float], float], start: Bracket, tolerance: float = TOLERANCE, max_evaluations: int = 500
) -> Found:
    """Close in by parabolas where they help, by golden section where they don't.

    A parabola's vertex is trusted if it lies inside the interval and the move is less than half of the move
    before last; so a run of bad parabolas can't go on for long.

    Args:
        phi, start, max_evaluations: as in `golden_section`.
        tolerance: how near to the minimum, in units of \\|x\\|.

    Source: Brent 1973, chapter 5.
    """
    f = _Counted(phi)
    a, c = start.left.x, start.right.x
    best = second = third = start.middle
    move = before = 0.0
    while f.evaluations < max_evaluations:
        center, close = (a + c) / 2, _closeness(best.x, tolerance)
        if abs(best.x - center) <= 2 * close - (c - a) / 2:
            break
        before, limit = move, abs(before) / 2
        move = parabola_step(best, second, third)
        # A NaN fails this comparison, as it should.
        if 2 * limit > close and abs(move) < limit and a < best.x + move < c:
            if min(best.x + move - a, c - best.x - move) < 2 * close:
                move = math.copysign(close, center - best.x)
        else:
            before = (a if best.x >= center else c) - best.x
            move = (1 - GOLDEN) * before
        # Nearer than that, the two values would differ by rounding only.
        new = f(best.x + (move if abs(move) >= close else math.copysign(close, move)))
        if new.value <= best.value:
            a, c = (best.x, c) if new.x >= best.x else (a, best.x)
            best, second, third = new, best, second
        else:
            a, c = (new.x, c) if new.x < best.x else (a, new.x)
            if new.value <= second.value or second.x == best.x:
                second, third = new, second
            elif new.value <= third.value or third.x in (best.x, second.x):
                third = new
    return Found(best.x, best.value, f.evaluations)


def _closeness(x: float, tolerance: float) -> float:
    return tolerance * abs(x) + TINY


# --- Well enough ---


def backtracking(
    phi: Callable[[float], float],
    phi0: float,
    slope0: float,
    step: float = 1.0,
    shrink: float = 0.5,
    c1: float = 1e-4,
    max_evaluations: int = 60,
) -> Found:
    """The first of step, step·shrink, step·shrink², … with ``phi(α) <= phi(0) + c1·α·slope0``.

    Args:
        phi: the function; NaN and inf count as too high.
        phi0, slope0: its value and its slope at 0; the slope must be negative.
        step: the longest step to try.
        shrink: by what a step that is too long is multiplied.
        c1: which part of the decrease that the slope promises is enough.
        max_evaluations: when to give up.

    Raises:
        ValueError: the slope isn't negative, or ``step``, ``shrink`` or ``c1`` makes no sense.
        LineSearchError: no step was good enough.

    Source: Armijo 1966.
    """
    _check_descent(slope0, step, c1)
    if not 0 < shrink < 1:
        raise ValueError(f"shrink: expected a number between 0 and 1, got {shrink}")
    for evaluations in range(1, max_evaluations + 1):
        value = float(phi(step))
        # Near rounding the promise vanishes beside phi0; no decrease at all isn't one.
        if value <= phi0 + c1 * step * slope0 and value < phi0:
            return Found(step, value, evaluations)
        step *= shrink
    raise LineSearchError(f"no step down to {step:.3g} lowers the function as its slope promises")


def strong_wolfe(
    phi: Callable[[float], tuple[float, float]],
    phi0: float,
    slope0: float,
    step: float = 1.0,
    c1: float = 1e-4,
    c2: float = 0.9,
    max_evaluations: int = 60,
) -> Found:
    """A step that lowers the function enough and flattens it: \\|phi'(α)\\| <= c2·\\|phi'(0)\\|.

    Args:
        phi: gives value and slope.
        phi0, slope0, step, c1, max_evaluations: as in `backtracking`; here a step may also grow.
        c2: how flat the function must have become; from c1 (nearly exact) to 1.

    Raises:
        ValueError: as `backtracking`, or not c1 < c2 < 1.
        LineSearchError: no such step was found.

    Source: Wolfe 1969; Nocedal and Wright 2006, algorithms 3.5 and 3.6.
    """
    _check_descent(slope0, step, c1)
    if not c1 < c2 < 1:
        raise ValueError(f"c2: expected a number between c1 = {c1} and 1, got {c2}")
    low, high = (0.0, phi0, slope0), None
    for evaluations in range(1, max_evaluations + 1):
        value, slope = phi(step)
        new = (step, value, slope)
        # NaN isn't <= anything: it counts as too high.
        if not value <= phi0 + c1 * step * slope0 or value >= low[1]:
            high = new
        elif abs(slope) <= -c2 * slope0:
            return Found(step, value, evaluations, evaluations)
        else:
            ahead = 1.0 if high is None else high[0] - low[0]
            if slope * ahead >= 0:
                high = low
            low = new
        step = 2 * step if high is None else _between(low, high)
    raise LineSearchError(f"no step that meets the strong Wolfe conditions in {max_evaluations} evaluations")


def _between(low: tuple[float, float, float], high: tuple[float, float, float]) -> float:
    """Vertex of the parabola through both ends that has the lower one's slope, kept off the ends."""
    width = high[0] - low[0]
    bend = high[1] - low[1] - low[2] * width
    share = -low[2] * width / (2 * bend) if math.isfinite(bend) and bend > 0 else 0.5
    return low[0] + width * min(max(share, 0.1), 0.9)


def _check_descent(slope0: float, step: float, c1: float) -> None:
    if not slope0 < 0:
        raise ValueError(f"slope0 is {slope0}: along a direction of descent it's negative")
    if not 0 < step < math.inf:
        raise ValueError(f"step: expected a positive, finite number, got {step}")
    if not 0 < c1 < 1:
        raise ValueError(f"c1: expected a number between 0 and 1, got {c1}")
