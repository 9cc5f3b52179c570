"""Chapter 7, optimizers: what a right answer to its exercises does."""

import math
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor, tensor

from yolov3_lib.checks import demands
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind, show
from yolov3_lib.foundations import optimizers as twin

# --- Exercise 7.2: momentum ---


class Slope:
    """The gradient of a bowl, as a function that says its formula and counts how often it's asked."""

    def __init__(self, curvatures: tuple[int, int], lowest: tuple[int, int]) -> None:
        (a, b), (p, q) = curvatures, lowest
        self.__name__ = f"(x, y) ↦ ({a} (x − {p}), {b} (y − {q}))"
        self.curvatures, self.lowest = tensor(curvatures).double(), tensor(lowest).double()
        self.asked = 0

    def __call__(self, point: Tensor) -> Tensor:
        self.asked += 1
        return self.curvatures * (point - self.lowest)


def _walks(
    steps: st.SearchStrategy[int], momentum: st.SearchStrategy[float]
) -> st.SearchStrategy[tuple[Slope, Tensor, float, float, int]]:
    """slope, start, lr, momentum, steps."""

    def build(curvatures, lowest, start, lr, momentum, steps) -> Case:
        return Slope(curvatures, lowest), tensor(start).double(), lr / 16, momentum, steps

    pair = st.tuples(st.integers(-3, 3), st.integers(-3, 3))
    return st.builds(
        build, st.tuples(st.integers(1, 3), st.integers(1, 5)), pair,
        st.tuples(st.integers(4, 9), st.integers(4, 9)), st.integers(1, 4), momentum, steps,
    )  # fmt: skip


def _momentum_points(slope: Slope, start: Tensor, lr: float, momentum: float, steps: int) -> Tensor:
    theta = start.clone().requires_grad_()
    optimizer, points = twin.Momentum([theta], lr=lr, momentum=momentum), [start]
    for _ in range(steps):
        theta.grad = slope.curvatures * (theta.detach() - slope.lowest)
        optimizer.step()
        points.append(theta.detach().clone())
    return torch.stack(points)


def _points(answer: object) -> Tensor:
    """The points (T + 1, 2) of a list, or of a tensor that has them as rows."""
    if isinstance(answer, Tensor) and answer.ndim == 2 and answer.shape[1] == 2:
        return answer
    if not isinstance(answer, (list, tuple)):
        raise Fault(f"expected a list of points, yours gave {kind(answer)}")
    for number, point in enumerate(answer):
        if not isinstance(point, Tensor):
            raise Fault(f"expected a tensor of shape (2,) for each point, point {number} is {kind(point)}")
        if tuple(point.shape) != (2,):
            raise Fault(f"expected points of shape (2,), point {number} is {kind(point)}")
    if len({point.data_ptr() for point in answer}) < len(answer):
        raise Fault(
            "some of your points are the same tensor",
            "one tensor that is changed in its place is one point, however often it's in the list.",
        )
    return torch.stack([point.double() for point in answer]) if answer else torch.zeros(0, 2)


def _same_walk(student: Student, case: Case) -> str | None:
    expected, answer = _momentum_points(*case), _points(student(*case))
    if len(answer) != len(expected):
        raise Fault(
            f"expected {len(expected)} points for {case[4]} steps, yours gave {len(answer)}",
            "the start is a point too, and it comes first.",
        )
    for number, (wanted, got) in enumerate(zip(expected, answer.double(), strict=True)):
        if not torch.allclose(wanted, got, rtol=1e-5, atol=1e-6):
            return f"point {number}: expected {show(wanted)}, yours gave {show(got)}"
    return None


def _asks_once(student: Student, case: Case) -> str | None:
    slope, steps = case[0], case[4]
    slope.asked = 0
    student(*case)
    if slope.asked <= steps:
        return None
    return f"yours asked for the gradient {slope.asked} times in {steps} steps"


_SEVERAL, _ROLLING = st.integers(3, 5), st.sampled_from([0.5, 0.75])
_WALK_ARGUMENTS = ("slope", "start", "lr", "momentum", "steps")
_MOMENTUM = Exercise(
    "a walk with momentum",
    _WALK_ARGUMENTS,
    (
        Property(
            "one step",
            _walks(st.just(1), _ROLLING),
            _same_walk,
            "before the first step the ball is at rest. Which way does it go then, and how far? In (7.6), "
            "what is g multiplied by?",
        ),
        Property(
            "no momentum",
            _walks(_SEVERAL, st.just(0.0)),
            _same_walk,
            "this is plain gradient descent. At which point do you ask for the gradient?",
        ),
        Property(
            "two steps",
            _walks(st.just(2), _ROLLING),
            _same_walk,
            "(7.6): what is multiplied by μ, what isn't, and which of the two lines comes first?",
        ),
        Property(
            "several steps",
            _walks(_SEVERAL, _ROLLING),
            _same_walk,
            "all earlier gradients live on in the velocity, not the last one alone.",
        ),
        Property(
            "one gradient a step",
            _walks(_SEVERAL, _ROLLING),
            _asks_once,
            "each gradient is a forward and a backward pass through a network.",
        ),
        Property(
            "the inputs stay as they are",
            _walks(_SEVERAL, _ROLLING),
            demands.inputs_kept(_WALK_ARGUMENTS),
            "does your walk move the tensor that it was given?",
        ),
    ),
)


def momentum_walk(student: Callable) -> Verdict:
    """Checks a walk with momentum.

    Args:
        student: a function of a gradient (a function of points), the start (n,), the learning rate, the
            momentum and the number of steps, that gives the points as a list, the start first.
    """
    return _MOMENTUM.check(student)


# --- Exercise 7.3: one step of Adam ---


def _adam_cases(
    t: st.SearchStrategy[int], size: float = 1.0, fresh: bool = False, eps: float = 1e-8
) -> st.SearchStrategy[Case]:
    """theta, g, m, s, t, lr, beta1, beta2, eps; the entries of g about ``size``."""

    def build(theta, g, m, s, step, beta1, beta2) -> Case:
        g = tensor(g).double() * size
        m = torch.zeros(2).double() if fresh else tensor(m).double() * size / 10
        s = torch.zeros(2).double() if fresh else tensor(s).double() * size**2 / 10
        return tensor(theta).double(), g, m, s, step, 0.5, beta1, beta2, eps

    def pair(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
        return st.tuples(st.integers(low, high), st.integers(low, high))

    return st.builds(
        build, pair(-3, 3), pair(1, 6), pair(1, 5), pair(1, 5), t,
        st.sampled_from([0.5, 0.8]), st.sampled_from([0.75, 0.875]),
    )  # fmt: skip


def _adam(
    theta: Tensor, g: Tensor, m: Tensor, s: Tensor, t: int, lr: float, beta1: float, beta2: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    theta = theta.clone().requires_grad_()
    optimizer = twin.Adam([theta], lr=lr, betas=(beta1, beta2), eps=eps)
    optimizer.state[theta] = {"m": m.clone(), "s": s.clone(), "t": t - 1}
    theta.grad = g.clone()
    optimizer.step()
    return theta.detach(), optimizer.state[theta]["m"], optimizer.state[theta]["s"]


def _parts(answer: object) -> list[Tensor]:
    if not isinstance(answer, (tuple, list)) or len(answer) != 3:
        raise Fault(
            f"expected three tensors (theta, m, s), yours gave {kind(answer)}",
            "return all three in one tuple, in this order.",
        )
    return [demands.as_tensor(part, (2,)) for part in answer]


def _same_parts(*wanted: int) -> demands.Check:
    """Some of theta, m and s equal the library's."""

    def check(student: Student, case: Case) -> str | None:
        expected, got = _adam(*case), _parts(student(*case))
        for part in wanted:
            if not torch.allclose(expected[part], got[part], rtol=1e-5, atol=1e-9):
                name = ("theta", "m", "s")[part]
                return f"{name}: expected {show(expected[part])}, yours gave {show(got[part])}"
        return None

    return check


_ADAM_ARGUMENTS = ("theta", "g", "m", "s", "t", "lr", "beta1", "beta2", "eps")
_ADAM = Exercise(
    "one step of Adam",
    _ADAM_ARGUMENTS,
    (
        Property(
            "the means",
            _adam_cases(st.integers(2, 4)),
            _same_parts(1, 2),
            "(7.11): how much of the old stays, how much of the new comes in, and which of the two is "
            "squared? What the next step needs isn't corrected.",
        ),
        Property(
            "the very first step",
            _adam_cases(st.just(1), fresh=True),
            _same_parts(0),
            "it should have the length of the learning rate, in each entry, against the sign of the "
            "gradient. Which number is missing or too many?",
        ),
        Property(
            "a later step",
            _adam_cases(st.integers(2, 6)),
            _same_parts(0),
            "(7.13): what stands above the fraction line? And by how much have the weights of a mean added "
            "up after t steps? Look at (7.12) once more.",
        ),
        Property(
            "tiny gradients",
            _adam_cases(st.integers(1, 3), size=1e-6),
            _same_parts(0),
            "where does ε stand? Inside the root, 10⁻⁸ is large beside the square of 10⁻⁶; and added before "
            "the correction, it's corrected, too.",
        ),
        Property(
            "an ε that isn't the usual one",
            _adam_cases(st.integers(1, 3), eps=0.5),
            _same_parts(0),
            "ε is an argument.",
        ),
        Property(
            "the inputs stay as they are",
            _adam_cases(st.integers(1, 3)),
            demands.inputs_kept(_ADAM_ARGUMENTS),
            "the caller still needs the tensors that it gave you.",
        ),
    ),
)


def adam_step(student: Callable) -> Verdict:
    """Checks one step of Adam.

    Args:
        student: a function of theta, g, m and s, each (n,), the step's number from 1, the learning rate, both
            betas and eps, that gives the new theta, m and s.
    """
    return _ADAM.check(student)


# --- Exercise 7.5: Adam for many parameters ---


def _tables(
    steps: st.SearchStrategy[int], parameters: st.SearchStrategy[int]
) -> st.SearchStrategy[tuple[Tensor, float]]:
    """gradients (T, P), lr."""

    def of_size(size: tuple[int, int]) -> st.SearchStrategy[Tensor]:
        rows, columns = size
        row = st.lists(st.sampled_from([-4, -2, -1, 1, 2, 4]), min_size=columns, max_size=columns)
        return st.lists(row, min_size=rows, max_size=rows).map(lambda table: tensor(table).float())

    return st.tuples(st.tuples(steps, parameters).flatmap(of_size), st.sampled_from([1.0, 0.5]))


def _adam_places(gradients: Tensor, lr: float) -> Tensor:
    theta = torch.zeros(gradients.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = twin.Adam([theta], lr=lr)
    for row in gradients.double():
        theta.grad = row.clone()
        optimizer.step()
    return theta.detach()


def _same_places(student: Student, case: Case) -> str | None:
    expected, answer = _adam_places(*case), student(*case)
    if isinstance(answer, (list, tuple)):
        answer = tensor([demands.as_number(part, "a number for each parameter") for part in answer])
    got = demands.as_tensor(answer, expected.shape)
    for i, (wanted, given) in enumerate(zip(expected.tolist(), got.tolist(), strict=True)):
        problem = demands.differ(wanted, given)
        if problem:
            return f"parameter {i}: {problem}"
    return None


_MANY_ARGUMENTS = ("gradients", "lr")
_MANY = Exercise(
    "Adam for several parameters",
    _MANY_ARGUMENTS,
    (
        Property(
            "one parameter, one step",
            _tables(st.just(1), st.just(1)),
            _same_places,
            "this was right before. Compare your version with the one that was given.",
        ),
        Property(
            "one parameter, several steps",
            _tables(st.integers(2, 5), st.just(1)),
            _same_places,
            "which t belongs to which step? It starts at 1 and grows with every row.",
        ),
        Property(
            "several parameters, one step",
            _tables(st.just(1), st.integers(2, 4)),
            _same_places,
            "in the first step every parameter's t is 1. What is yours for the last parameter?",
        ),
        Property(
            "several parameters, several steps",
            _tables(st.integers(2, 5), st.integers(2, 4)),
            _same_places,
            "every parameter has its own means, and all are at the same step.",
        ),
        Property(
            "the inputs stay as they are",
            _tables(st.integers(1, 4), st.integers(1, 3)),
            demands.inputs_kept(_MANY_ARGUMENTS),
            "the gradients are the caller's.",
        ),
    ),
)


def adam_of_many(student: Callable) -> Verdict:
    """Checks Adam for several parameters, with the usual betas and eps.

    Args:
        student: a function of gradients (T, P) and the learning rate, that gives where the P parameters stand
            after T steps from 0.
    """
    return _MANY.check(student)


# --- Exercise 7.6: noise ---


def _spread(lr: float, curvature: float, noise: float) -> float:
    """The deviation at which a step changes nothing any more, found by taking steps."""
    shrink = (1 - lr * curvature) ** 2
    if shrink >= 1:
        return math.inf
    variance = 0.0
    for _ in range(200):  # the cases' slowest forgets a quarter in each
        variance = shrink * variance + (lr * noise) ** 2
    return math.sqrt(variance)


def _noises(share: st.SearchStrategy[float], noise: st.SearchStrategy[int]) -> st.SearchStrategy[Case]:
    """lr, curvature, noise; ``share`` is lr times curvature."""

    def build(product: float, curvature: int, noise: int) -> Case:
        return product / curvature, float(curvature), float(noise)

    return st.builds(build, share, st.sampled_from([1, 2, 4]), noise)


def _same_spread(student: Student, case: Case) -> str | None:
    expected = _spread(*case)
    got = demands.as_number(student(*case))
    if math.isinf(expected):
        return None if got == math.inf else f"expected inf, yours gave {show(got)}"
    if abs(got - expected) <= 1e-6 + 1e-4 * expected:
        return None
    if abs(got - expected**2) <= 1e-6 + 1e-4 * expected**2 and abs(expected - 1) > 1e-3:
        raise Fault(
            f"expected {show(expected)}, yours gave {show(got)}",
            "that is the variance. The standard deviation is wanted.",
        )
    return demands.differ(expected, got, 0.0)


_SETTLING = st.sampled_from([0.125, 0.25, 0.5, 1.0])
_SPREAD = Exercise(
    "spread of noisy gradient descent",
    ("lr", "curvature", "noise"),
    (
        Property(
            "a bowl of curvature 1",
            st.builds(lambda lr: (lr, 1.0, 1.0), _SETTLING),
            _same_spread,
            "two things change the variance in a step: the factor in front of θ, and the new noise. "
            "Both come squared.",
        ),
        Property(
            "other curvatures",
            _noises(_SETTLING, st.just(1)),
            _same_spread,
            "the noise is part of the gradient: what is it multiplied by before it reaches θ?",
        ),
        Property(
            "other noise",
            _noises(_SETTLING, st.integers(2, 5)),
            _same_spread,
            "twice the noise, twice the spread.",
        ),
        Property(
            "no noise at all",
            _noises(_SETTLING, st.just(0)),
            _same_spread,
            "then the walk comes to rest.",
        ),
        Property(
            "a long step",
            _noises(st.sampled_from([1.5, 1.75, 1.875]), st.integers(1, 3)),
            _same_spread,
            "here the approximation for small rates is no longer good. Have you kept the squares?",
        ),
        Property(
            "a walk that never settles",
            _noises(st.sampled_from([2.0, 2.5, 4.0]), st.integers(1, 3)),
            _same_spread,
            "from which rate on does the factor in front of θ no longer shrink it? See (7.5).",
        ),
    ),
)


def noise_spread(student: Callable) -> Verdict:
    """Checks the spread of noisy gradient descent in a bowl.

    Args:
        student: a function of learning rate, curvature and standard deviation of the gradient's noise, that
            gives the standard deviation of the parameter in the long run.
    """
    return _SPREAD.check(student)


# --- Answers ---


def _velocities() -> list[float]:
    v, values = 0.0, []
    for g in (4, 4, -4):
        v = 0.5 * v + g
        values.append(v)
    return values


def _second_step() -> float:
    theta = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = twin.Adam([theta], lr=0.1, eps=0.0)
    places = []
    for g in (4.0, 0.0):
        theta.grad = torch.full((1,), g, dtype=torch.float64)
        optimizer.step()
        places.append(theta.item())
    return places[0] - places[1]


def _first_rmsprop_step() -> float:
    theta = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    theta.grad = torch.full((1,), -3.0, dtype=torch.float64)
    twin.RMSprop([theta], lr=0.1, beta=0.75, eps=0.0).step()
    return theta.item()


_CONSTANT = 0.1 * (0.36 / 0.1) / math.sqrt(0.015984 / 0.001)
ANSWERS = {
    "7.1": (
        Question(
            "velocity",
            lambda: _velocities()[-1],
            "one number a step: half of the old velocity, and the new gradient.",
            (
                Slip(lambda: 4.0, "the sign of the last gradient counts."),
                Slip(lambda: -2.0, "that is the last gradient and half of the one before. And the first?"),
                Slip(lambda: 0.1 * _velocities()[-1], "in (7.6) the learning rate isn't in the velocity."),
            ),
        ),
        Question(
            "place",
            lambda: 1 - 0.1 * sum(_velocities()),
            "every step moves θ by η times the velocity of that step.",
            (
                Slip(lambda: 1 - 0.1 * 4, "those are steps of gradient descent, without a velocity."),
                Slip(lambda: 1 - 0.1 * _velocities()[-1], "that is one step, the last. There were three."),
                Slip(lambda: 1 + 0.1 * sum(_velocities()), "downhill is against the gradient."),
            ),
        ),
        Question(
            "second step",
            _second_step,
            "m and s each keep a part of what they were, and get nothing new. Then correct both.",
            (
                Slip(lambda: 0.0, "the gradient is 0, the mean of the gradients isn't."),
                Slip(lambda: _CONSTANT, "that is the document's correction. What is t now?"),
                Slip(lambda: 0.1 * 0.36 / math.sqrt(0.015984), "correct both means first."),
                Slip(lambda: 10 * _second_step(), "and the learning rate?"),
            ),
            tolerance=0.0006,
        ),
        Question(
            "change",
            _first_rmsprop_step,
            "s is a quarter of the square, its root a half of the gradient's size.",
            (
                Slip(lambda: -_first_rmsprop_step(), "the gradient is negative: where is downhill?"),
                Slip(lambda: 10 * _first_rmsprop_step(), "and the learning rate?"),
                Slip(lambda: 0.1, "that would be so if s were the square itself. It started at 0."),
                Slip(lambda: 0.1 / math.sqrt(0.75), "which share of the square comes in, β or 1 − β?"),
            ),
        ),
        Question(
            "largest rate",
            lambda: 2 / 50,
            "which of the two curvatures sets the limit? See (7.5).",
            (
                Slip(lambda: 2 / 2, "that is the flat direction. The steep one explodes long before."),
                Slip(
                    lambda: 1 / 50,
                    "with that rate the steep direction is done in one step: not the limit yet.",
                ),
                Slip(lambda: 2 / 52, "that is the best rate, not the largest."),
            ),
            tolerance=0.0006,
        ),
    ),
}


def _long_run() -> float:
    right, constant = ((twin.bias(0.9, t), twin.bias(0.9999, t)) for t in (10**6, 1))
    return right[0] / constant[0] * math.sqrt(constant[1] / right[1])


PREDICTIONS = {
    "7.4": (
        Question(
            "length of a step in the long run",
            _long_run,
            "in the long run m is the gradient and s its square. What do the two divisions make of them?",
            (
                Slip(lambda: 1.0, "that would be right with the right correction."),
                Slip(lambda: 0.001, "have you taken the root?"),
                Slip(lambda: 10.0, "the divisor of s makes s larger, and s stands below."),
            ),
        ),
    ),
}


def _leads_astray(rule: Callable, gradients: object) -> str | None:
    if not isinstance(gradients, Tensor) or gradients.ndim != 2 or not gradients.numel():
        raise Fault(
            "expected a list of rows, one for each step, each with a number for each parameter",
            "two steps of three parameters look like [[1, 2, 3], [4, 5, 6]].",
        )
    if gradients.numel() > 200 or not gradients.isfinite().all():
        raise Fault("expected at most 200 finite numbers", "a small example will do.")
    apart = (rule(gradients, 1.0).double() - _adam_places(gradients, 1.0)).abs()
    if apart.max() > 0.1:
        return None
    return f"here every parameter ends within {show(apart.max().item())} η of where Adam leads it"


EXAMPLES = {
    "7.5": Hunt(
        "the function gives every parameter Adam's steps",
        _leads_astray,
        "with one parameter the function is right. What happens to t when there are two?",
    ),
}

CHECKERS = (momentum_walk, adam_step, adam_of_many, noise_spread)
