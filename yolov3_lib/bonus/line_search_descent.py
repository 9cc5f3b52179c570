"""Going downhill with a line search at every step: on functions of numpy arrays, and as torch's optimizer.

Both see the function along one direction, as a `Line`, and any of `SEARCHES` finds the step on it.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from yolov3_lib.bonus.line_search import (
    Found,
    LineSearchError,
    backtracking,
    bracket,
    brent,
    golden_section,
    strong_wolfe,
)

# --- The searches by name ---


class Line(Protocol):
    """A function seen along a direction of descent: what a line search works on."""

    value0: float
    slope0: float

    def value(self, alpha: float) -> float:
        """phi(alpha)."""

    def value_and_slope(self, alpha: float) -> tuple[float, float]:
        """phi(alpha) and phi'(alpha)."""


def _golden(line: Line, step: float, **options: float) -> Found:
    start = bracket(line.value, step, line.value0)
    return _plus(golden_section(line.value, start, **options), start.evaluations)


def _brent(line: Line, step: float, **options: float) -> Found:
    start = bracket(line.value, step, line.value0)
    return _plus(brent(line.value, start, **options), start.evaluations)


def _backtracking(line: Line, step: float, **options: float) -> Found:
    return backtracking(line.value, line.value0, line.slope0, step, **options)


def _wolfe(line: Line, step: float, **options: float) -> Found:
    return strong_wolfe(line.value_and_slope, line.value0, line.slope0, step, **options)


def _plus(found: Found, evaluations: int) -> Found:
    return replace(found, evaluations=found.evaluations + evaluations)


SEARCHES: dict[str, Callable[..., Found]] = {
    "golden": _golden,
    "brent": _brent,
    "backtracking": _backtracking,
    "wolfe": _wolfe,
}
"""The searches by name, each called with a `Line`, a first step and its own options."""

_GROWTH = {"backtracking": 2.0}  # it only ever shrinks a step, so the next one starts longer


@dataclass(frozen=True)
class Descent:
    """The way that `steepest_descent` took.

    Attributes:
        points: (K + 1, n), from the start to the end.
        values: (K + 1,), the function at these points.
        steps: (K,), the step lengths.
        evaluations: of the function in all.
        gradients: of the gradient in all.
    """

    points: np.ndarray
    values: np.ndarray
    steps: np.ndarray
    evaluations: int
    gradients: int


@dataclass
class _ArrayLine:
    f: Callable[[np.ndarray], float]
    gradient: Callable[[np.ndarray], np.ndarray]
    x: np.ndarray
    value0: float
    direction: np.ndarray

    def __post_init__(self) -> None:
        self.slope0 = -float(self.direction @ self.direction)

    def value(self, alpha: float) -> float:
        return float(self.f(self.x - alpha * self.direction))

    def value_and_slope(self, alpha: float) -> tuple[float, float]:
        x = self.x - alpha * self.direction
        return float(self.f(x)), -float(self.gradient(x) @ self.direction)


def steepest_descent(
    f: Callable[[np.ndarray], float],
    gradient: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    search: str = "brent",
    max_steps: int = 100,
    gradient_tolerance: float = 1e-10,
    step: float = 1.0,
    relaxation: float = 1.0,
    **options: float,
) -> Descent:
    """Gradient descent whose every step is found by a line search.

    Args:
        f, gradient: a function of an (n,) array and its gradient.
        start: (n,).
        search: a key of `SEARCHES`.
        max_steps: how many steps at most.
        gradient_tolerance: it also ends where the gradient's length is at most this.
        step: the first step to try; later ones start from the last.
        relaxation: each step is this times what the search found.
        options: the search's own.

    Raises:
        ValueError: an unknown search.
        LineSearchError: as the search.
    """
    find = _search(search)
    x = np.array(start, dtype=float)
    points, values, steps = [x], [float(f(x))], []
    evaluations, gradients = 1, 0
    for _ in range(max_steps):
        direction = np.asarray(gradient(x), dtype=float)
        gradients += 1
        if np.linalg.norm(direction) <= gradient_tolerance:
            break
        found = find(_ArrayLine(f, gradient, x, values[-1], direction), step, **options)
        evaluations += found.evaluations
        gradients += found.gradients
        x = x - relaxation * found.x * direction
        if relaxation != 1:
            evaluations += 1
        points.append(x)
        values.append(found.value if relaxation == 1 else float(f(x)))
        steps.append(relaxation * found.x)
        step = found.x * _GROWTH.get(search, 1.0)
    return Descent(np.array(points), np.array(values), np.array(steps), evaluations, gradients)


def _search(name: str) -> Callable[..., Found]:
    if name not in SEARCHES:
        raise ValueError(f"unknown search {name!r}: choose from {', '.join(SEARCHES)}")
    return SEARCHES[name]


# --- As an optimizer of torch ---


@dataclass
class _ParameterLine:
    """A loss along its gradient. Each evaluation moves the parameters."""

    closure: Callable[[], Tensor]
    parameters: list[Tensor]
    origin: list[Tensor]
    direction: list[Tensor]
    value0: float
    slope0: float

    def move(self, alpha: float) -> None:
        for parameter, origin, direction in zip(self.parameters, self.origin, self.direction, strict=True):
            parameter.copy_(origin).sub_(direction, alpha=alpha)

    def value(self, alpha: float) -> float:
        self.move(alpha)
        value = float(self.closure())
        # A network that has left the range of its numbers is as bad as can be, and the search goes on.
        return math.inf if math.isnan(value) else value

    def value_and_slope(self, alpha: float) -> tuple[float, float]:
        self.move(alpha)
        value, gradient = _loss_and_gradient(self.closure, self.parameters)
        slope = -sum(float((g * d).sum()) for g, d in zip(gradient, self.direction, strict=True))
        return value, slope


class LineSearchDescent(torch.optim.Optimizer):
    """Gradient descent that looks for the length of each step.

    The closure gives the loss **of one and the same batch** each time it's called, and nothing else: no
    ``zero_grad``, no ``backward``. (torch's own L-BFGS wants a closure with both. Here most evaluations need
    no gradient, and so don't pay for one.) With a fresh batch, with dropout, or with anything else that draws
    random numbers in it, a search compares values of different functions. Batch norm in training mode updates
    its running averages at every evaluation, those at rejected steps included.

    The state, saved by ``state_dict``, stands in ``param_groups[0]``: ``evaluations`` and ``gradients``
    count what the steps cost (a gradient includes an evaluation), ``stalls`` the steps on which no better
    point was found and nothing moved, ``last_step`` is the last step's length and ``next_step`` the first to
    try in the next search.

    Args:
        params: the parameters, in one group, since one number scales the whole step.
        search: a key of `SEARCHES`.
        step: the first step that the first search tries.
        options: the search's own, ``tolerance`` or ``c1`` say. For "golden" and "brent" the tolerance is .01
            unless you say otherwise: the next step turns anyway, and digits cost evaluations.

    Raises:
        ValueError: an unknown search, a step that isn't positive, or more than one group.
    """

    def __init__(
        self, params: Iterable[Tensor], search: str = "brent", step: float = 1.0, **options: float
    ) -> None:
        _search(search)
        if not 0 < step < math.inf:
            raise ValueError(f"step: expected a positive, finite number, got {step}")
        if search in ("golden", "brent"):
            options = {"tolerance": 0.01, **options}
        counts = {"evaluations": 0, "gradients": 0, "stalls": 0, "last_step": 0.0}
        super().__init__(
            params, {"search": search, "first_step": step, "next_step": step, "options": options, **counts}
        )
        if len(self.param_groups) != 1:
            raise ValueError(f"{len(self.param_groups)} groups: one step length needs all parameters in one")

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> float:
        """Move by one step.

        Args:
            closure: gives the loss, a scalar tensor, of the same batch each time.

        Returns:
            The loss before the step.

        Raises:
            ValueError: the loss isn't finite to begin with.
            RuntimeError: the closure calls ``backward`` itself.
        """
        group = self.param_groups[0]
        parameters = [p for p in group["params"] if p.requires_grad]
        value0, gradient = _loss_and_gradient(closure, parameters)
        group["evaluations"] += 1
        group["gradients"] += 1
        slope0 = -sum(float(g.square().sum()) for g in gradient)
        if not math.isfinite(value0) or not math.isfinite(slope0):
            raise ValueError(f"before the step the loss is {value0}, its slope {slope0}: both must be finite")
        if slope0 == 0:
            return value0
        line = _ParameterLine(closure, parameters, [p.clone() for p in parameters], gradient, value0, slope0)
        counted = _CountedLine(line)
        try:
            found = _search(group["search"])(counted, group["next_step"], **group["options"])
        except LineSearchError:
            line.move(0.0)
            group["stalls"] += 1
            group["last_step"], group["next_step"] = 0.0, group["first_step"]
        except BaseException:  # Ctrl-C and an error in the closure included: no trial point is left behind
            line.move(0.0)
            raise
        else:
            line.move(found.x)
            group["last_step"] = found.x
            group["next_step"] = found.x * _GROWTH.get(group["search"], 1.0)
        group["evaluations"] += counted.evaluations
        group["gradients"] += counted.gradients
        return value0


class _CountedLine:
    """A line that counts what was asked of it, also where the search ends in an error."""

    def __init__(self, line: _ParameterLine) -> None:
        self.line, self.value0, self.slope0 = line, line.value0, line.slope0
        self.evaluations = self.gradients = 0

    def value(self, alpha: float) -> float:
        self.evaluations += 1
        return self.line.value(alpha)

    def value_and_slope(self, alpha: float) -> tuple[float, float]:
        self.evaluations += 1
        self.gradients += 1
        return self.line.value_and_slope(alpha)


def _loss_and_gradient(closure: Callable[[], Tensor], parameters: list[Tensor]) -> tuple[float, list[Tensor]]:
    with torch.enable_grad():
        loss = closure()
        try:
            gradient = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        except RuntimeError as error:
            if "second time" in str(error):
                raise RuntimeError(
                    "the closure must only compute the loss and return it: leave loss.backward() out"
                ) from error
            raise
    return float(loss.detach()), list(gradient)
