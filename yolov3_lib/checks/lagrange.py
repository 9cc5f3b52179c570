"""Chapter 16, Lagrange multipliers and KKT: what a right answer to its exercises does."""

from collections.abc import Callable

import torch
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, tensor

from yolov3_lib.checks import demands
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind, show

_TOLERANCE = 1e-6


def _matrix(rows: int, columns: int, low: int = -3, high: int = 3) -> SearchStrategy[Tensor]:
    entries = st.lists(st.integers(low, high), min_size=rows * columns, max_size=rows * columns)
    return entries.map(lambda values: tensor(values, dtype=torch.float64).reshape(rows, columns))


def _rank(matrix: Tensor) -> int:
    return int(torch.linalg.matrix_rank(matrix)) if matrix.numel() else 0


# A quadratic function on a plane


def _solve_quadratic(
    hessian: Tensor, linear: Tensor, normals: Tensor, offsets: Tensor
) -> tuple[Tensor, Tensor]:
    corner = torch.zeros(len(offsets), len(offsets), dtype=hessian.dtype)
    bordered = torch.cat([torch.cat([hessian, normals.T], 1), torch.cat([normals, corner], 1)])
    both = torch.linalg.solve(bordered, torch.cat([-linear, offsets]))
    return both[: len(linear)], both[len(linear) :]


@st.composite
def _quadratics(draw: Callable, n: int, m: int, definite: bool = True) -> Case:
    half, linear, normals, offsets = (draw(_matrix(*shape)) for shape in ((n, n), (n, 1), (m, n), (m, 1)))
    hessian = half.T @ half + torch.eye(n, dtype=torch.float64) if definite else half + half.T
    corner = torch.zeros(m, m, dtype=torch.float64)
    bordered = torch.cat([torch.cat([hessian, normals.T], 1), torch.cat([normals, corner], 1)])
    assume(bordered.det().abs() > 0.5)  # whole numbers: the next possible value is 0
    return hessian, linear[:, 0], normals, offsets[:, 0]


def _same_pair(student: Student, case: Case) -> str | None:
    answer = student(*case)
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise Fault(
            f"expected two tensors, x and the multipliers; yours gave {kind(answer)}",
            "return both in one tuple, in this order.",
        )
    for name, expected, given in zip(("x", "multipliers"), _solve_quadratic(*case), answer, strict=True):
        got = demands.as_tensor(given, expected.shape)
        wrong = (~((expected - got).abs() <= demands.TOLERANCE)).nonzero()[:, 0].tolist()
        if not wrong:
            continue
        i = wrong[0]
        problem = f"{name}[{i}]: {demands.differ(expected[i].item(), got[i].item())}"
        if name == "multipliers" and ((expected + got).abs() <= demands.TOLERANCE).all():
            raise Fault(problem, "all have the opposite sign: here the gradients add up to 0.")
        off = case[2] @ demands.as_tensor(answer[0], case[1].shape) - case[3]
        if (off.abs() > demands.TOLERANCE).any():
            raise Fault(
                problem, "your x doesn't satisfy the equations. Which rows of your system say that it should?"
            )
        return problem
    return None


_QUADRATIC_INPUTS = ("hessian", "linear", "normals", "offsets")
_QUADRATIC = Exercise(
    "a quadratic function on a plane",
    _QUADRATIC_INPUTS,
    (
        Property(
            "one variable, no equation",
            _quadratics(1, 0),
            _same_pair,
            "without an equation only the gradient is left: where is it 0? No multipliers: an empty tensor.",
        ),
        Property(
            "two variables, one equation",
            _quadratics(2, 1),
            _same_pair,
            "three unknowns, three equations: two say that the gradients add up to 0, one is the constraint.",
        ),
        Property(
            "three variables, two equations",
            _quadratics(3, 2),
            _same_pair,
            "each equation has a multiplier of its own, and its gradient is a row of normals.",
        ),
        Property(
            "a saddle",
            _quadratics(2, 1, definite=False),
            _same_pair,
            "nothing in the system asks for a minimum: a stationary point of any kind is its solution.",
        ),
        Property(
            "the inputs stay as they are",
            _quadratics(2, 1),
            demands.inputs_kept(_QUADRATIC_INPUTS),
            "an assignment into a slice writes into the tensor that the slice was taken from.",
        ),
    ),
)


def quadratic_on_plane(student: Callable) -> Verdict:
    """Checks the stationary point of ½ xᵀHx + cᵀx on A x = b.

    Args:
        student: a function of H ``(N, N)``, c ``(N,)``, A ``(M, N)`` and b ``(M,)``, all float64, that gives
            x ``(N,)`` and the multipliers ``(M,)`` with Hx + c + Aᵀλ = 0.
    """
    return _QUADRATIC.check(student)


# The kind of a point


def _curvature(hessian: Tensor, normals: Tensor) -> Tensor:
    _, _, directions = torch.linalg.svd(normals)
    tangent = directions[len(normals) :].T
    return torch.linalg.eigvalsh(tangent.T @ hessian @ tangent)


def _kind(hessian: Tensor, normals: Tensor) -> str:
    curvature = _curvature(hessian, normals)
    up, down = bool((curvature > _TOLERANCE).any()), bool((curvature < -_TOLERANCE).any())
    if up and down:
        return "saddle"
    if bool((curvature.abs() <= _TOLERANCE).any()):
        return "undecided"
    return "minimum" if up else "maximum"


@st.composite
def _points(draw: Callable, n: int, m: int, wanted: str | None = None) -> Case:
    half, normals = draw(_matrix(n, n)), draw(_matrix(m, n))
    hessian = half + half.T
    assume(_rank(normals) == m)
    found = _kind(hessian, normals)
    assume(found == wanted if wanted else found != "undecided")
    return hessian, normals


@st.composite
def _flat(draw: Callable, signs: tuple[int, ...]) -> Case:
    """A Hessian with these signs along the axes, seen on a plane across the first axis, all turned."""
    n = len(signs)
    turn = torch.linalg.qr(draw(_matrix(n, n)) + 7 * torch.eye(n, dtype=torch.float64))[0]
    values = tensor([5.0 * s for s in signs], dtype=torch.float64)
    return turn @ torch.diag(values) @ turn.T, turn[:, :1].T.contiguous()


def _same_kind(student: Student, case: Case) -> str | None:
    answer, expected = student(*case), _kind(*case)
    if not isinstance(answer, str):
        raise Fault(f"expected a word, yours gave {kind(answer)}", "which word? The exercise lists four.")
    if answer.strip().lower() == expected:
        return None
    curvature = ", ".join(f"{value:.3g}" for value in _curvature(*case).tolist())
    return (
        f"expected {expected!r}, yours gave {answer!r}; the curvatures along the constraints are {curvature}"
    )


_KIND_INPUTS = ("hessian", "normals")
_KIND = Exercise(
    "the kind of a stationary point",
    _KIND_INPUTS,
    (
        Property(
            "no equations",
            _points(2, 0),
            _same_kind,
            "with no equation every direction is open, and the signs of all eigenvalues count.",
        ),
        Property(
            "two variables, one equation",
            _points(2, 1),
            _same_kind,
            "one direction is left, along the line. What happens across it doesn't count.",
        ),
        Property(
            "a minimum by the constraint only",
            _points(3, 1, "minimum").filter(lambda case: _kind(case[0], case[1][:0]) == "saddle"),
            _same_kind,
            "the Hessian has a negative eigenvalue, but is that direction open?",
        ),
        Property(
            "three variables, two equations",
            _points(3, 2),
            _same_kind,
            "how many directions are left when two equations hold?",
        ),
        Property(
            "a flat direction",
            _flat((-1, 0, 1)),
            _same_kind,
            "a curvature that is 0 decides nothing, and computed it is rarely exactly 0.",
        ),
        Property(
            "up, down and flat",
            _flat((1, 1, -1, 0)),
            _same_kind,
            "one direction goes up and another down. Can a third one change what that makes of the point?",
        ),
        Property(
            "the inputs stay as they are",
            _points(2, 1),
            demands.inputs_kept(_KIND_INPUTS),
            "work on a copy, or without assigning into what you were given.",
        ),
    ),
)


def constrained_kind(student: Callable) -> Verdict:
    """Checks the test by curvatures on the tangent space.

    Args:
        student: a function of the Lagrangian's Hessian ``(N, N)`` and the constraints' gradients ``(M, N)``,
            independent rows with M < N, float64, that gives "minimum", "maximum", "saddle" or "undecided".
            Curvatures of at most 1e-6 in size count as 0.
    """
    return _KIND.check(student)


# The KKT conditions


def _is_kkt(gradient: Tensor, normals: Tensor, values: Tensor, multipliers: Tensor) -> bool:
    rest = gradient + multipliers @ normals
    broken = (
        (rest.abs() > _TOLERANCE).any(),
        (values > _TOLERANCE).any(),
        (multipliers < -_TOLERANCE).any(),
        ((multipliers * values).abs() > _TOLERANCE).any(),
    )
    return not any(map(bool, broken))


@st.composite
def _conditions(draw: Callable, broken: str = "", count: int = 2) -> Case:
    """Two variables and some inequalities, where every condition holds but the one that is named."""
    normals = draw(_matrix(count, 2))
    active = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    sizes = draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
    values = [0.0 if a else -float(s) for a, s in zip(active, sizes, strict=True)]
    multipliers = [float(s - 1) if a else 0.0 for a, s in zip(active, sizes, strict=True)]
    place = draw(st.integers(0, max(0, count - 1)))
    if broken == "feasible":
        values[place], multipliers[place] = float(sizes[place]), 0.0
    if broken == "sign":
        values[place], multipliers[place] = 0.0, -float(sizes[place])
    if broken == "slack":
        values[place], multipliers[place] = -float(sizes[place]), 1.0
    values, multipliers = tensor(values, dtype=torch.float64), tensor(multipliers, dtype=torch.float64)
    gradient = -(multipliers @ normals)
    if broken == "stationary":
        off = draw(_matrix(1, 2))[0]
        assume(off.any())
        gradient = gradient + off
    return gradient, normals, values, multipliers


@st.composite
def _rounded(draw: Callable) -> Case:
    """All conditions hold, but as computed numbers do: up to a billionth."""
    gradient, normals, values, multipliers = draw(_conditions())
    slip = draw(st.sampled_from((1e-9, -1e-9)))
    return gradient + slip, normals, values + slip, multipliers + slip


def _same_truth(student: Student, case: Case) -> str | None:
    answer, expected = student(*case), _is_kkt(*case)
    if isinstance(answer, Tensor) and answer.ndim == 0:
        answer = answer.item()
    if not isinstance(answer, bool) and type(answer).__name__ not in ("bool_", "bool"):
        raise Fault(
            f"expected True or False, yours gave {kind(answer)}", "all conditions together make one answer."
        )
    return None if bool(answer) == expected else f"expected {expected}, yours gave {bool(answer)}"


_KKT_INPUTS = ("gradient", "normals", "values", "multipliers")
_CONDITIONS = Exercise(
    "the KKT conditions",
    _KKT_INPUTS,
    (
        Property(
            "all conditions hold",
            _conditions(),
            _same_truth,
            "which of your conditions says no here? Compute each by itself.",
        ),
        Property(
            "not stationary",
            _conditions("stationary"),
            _same_truth,
            "the gradient of f and the weighted ones of the constraints must add up to 0, in each component.",
        ),
        Property(
            "infeasible",
            _conditions("feasible"),
            _same_truth,
            "values are those of g, and g ≤ 0 is asked of each of them.",
        ),
        Property(
            "a negative multiplier",
            _conditions("sign"),
            _same_truth,
            "a negative multiplier means that f falls when you step back from the edge.",
        ),
        Property(
            "a multiplier on an inactive constraint",
            _conditions("slack"),
            _same_truth,
            "an edge that isn't touched can't push. What does that say about its multiplier?",
        ),
        Property(
            "rounded numbers",
            _rounded(),
            _same_truth,
            "all are off by a billionth, as computed numbers are. Is there a comparison without the 1e-6?",
        ),
        Property(
            "no constraints",
            _conditions(count=0),
            _same_truth,
            "what remains is the gradient. Which of your steps wants at least one row?",
        ),
        Property(
            "the inputs stay as they are",
            _conditions(),
            demands.inputs_kept(_KKT_INPUTS),
            "work on a copy, or without assigning into what you were given.",
        ),
    ),
)


def kkt_conditions(student: Callable) -> Verdict:
    """Checks the four KKT conditions.

    Args:
        student: a function of ∇f ``(N,)``, the gradients of K inequalities ``(K, N)``, their values ``(K,)``
            and multipliers ``(K,)``, float64, that says whether all four hold, each up to 1e-6.
    """
    return _CONDITIONS.check(student)


# The nearest probabilities


def _nearest_probabilities(scores: Tensor) -> Tensor:
    ordered = scores.sort(descending=True).values
    shifts = (ordered.cumsum(0) - 1) / torch.arange(1, len(scores) + 1)
    return (scores - shifts[int((ordered > shifts).sum()) - 1]).clamp(min=0)


def _score_lists(low: int, high: int, least: int, most: int) -> SearchStrategy[Case]:
    """Lists of quarters, so that whole distances and ties occur."""
    quarters = st.lists(st.integers(4 * low, 4 * high), min_size=least, max_size=most)
    return quarters.map(lambda values: (tensor(values, dtype=torch.float64) / 4,))


def _same_point(student: Student, case: Case) -> str | None:
    expected = _nearest_probabilities(*case)
    got = demands.as_tensor(student(*case), expected.shape)
    total, least = got.sum().item(), got.min().item()
    if least < -demands.TOLERANCE:
        raise Fault(
            f"yours has the entry {show(least)}", "no probability is negative: which KKT case is that?"
        )
    if abs(total - 1) > demands.TOLERANCE:
        raise Fault(
            f"yours adds up to {show(total)}", "the equation says 1. Which number have you still to choose?"
        )
    i = int((expected - got).abs().argmax())
    return (
        None
        if (problem := demands.differ(expected[i].item(), got[i].item())) is None
        else f"entry {i}: {problem}"
    )


_PROBABILITIES = Exercise(
    "the nearest probabilities",
    ("scores",),
    (
        Property(
            "one score",
            _score_lists(-3, 3, 1, 1),
            _same_point,
            "a single probability has no choice.",
        ),
        Property(
            "scores that are probabilities",
            st.sampled_from([(0.25, 0.75), (1.0, 0.0), (0.5, 0.25, 0.25), (0.0, 0.5, 0.0, 0.5)]).map(
                lambda values: (tensor(values, dtype=torch.float64),)
            ),
            _same_point,
            "what is a probability vector already is nearest to itself.",
        ),
        Property(
            "two scores",
            _score_lists(-1, 1, 2, 2),
            _same_point,
            "both shifted by the same amount, or one of them 0 and the other 1.",
        ),
        Property(
            "several scores",
            _score_lists(-1, 1, 3, 6),
            _same_point,
            "those above 0 are shifted by one common number. How many of them are there?",
            tries=60,
        ),
        Property(
            "scores far apart",
            _score_lists(-40, 40, 2, 6),
            _same_point,
            "a low score stays at 0, however low. Does it still move your common shift?",
        ),
        Property(
            "the inputs stay as they are",
            _score_lists(-1, 1, 2, 5),
            demands.inputs_kept(("scores",)),
            "a method whose name ends in an underscore writes into the caller's tensor.",
        ),
    ),
)


def nearest_probabilities(student: Callable) -> Verdict:
    """Checks the projection onto the probabilities.

    Args:
        student: a function of scores ``(N,)``, float64, that gives the nearest point ``(N,)`` with entries
            that are at least 0 and add up to 1.
    """
    return _PROBABILITIES.check(student)


# Exercise 16.1: x₁² + 2x₂² on x₁ + x₂ = 3
_BY_HAND = tuple(
    tensor(part, dtype=torch.float64) for part in ([[2.0, 0.0], [0.0, 4.0]], [0.0, 0.0], [[1.0, 1.0]], [3.0])
)


def _by_hand() -> list[float]:
    x, multipliers = _solve_quadratic(*_BY_HAND)
    return [*x.tolist(), *multipliers.tolist(), (x @ _BY_HAND[0] @ x / 2).item()]


ANSWERS = {
    "16.1": (
        Question(
            "x₁",
            lambda: _by_hand()[0],
            "both components of ∇f + λ∇g are 0. Eliminate λ, then use the equation.",
            (Slip(lambda: 1.5, "that is the middle of the segment. Is f equally steep in both variables?"),
             Slip(lambda: _by_hand()[1], "look again which variable has the factor 2."),),
        ),
        Question("x₂", lambda: _by_hand()[1], "the two coordinates add up to 3."),
        Question(
            "λ",
            lambda: _by_hand()[2],
            "put your point into one component of ∇f + λ∇g = 0.",
            (Slip(lambda: -_by_hand()[2], "the size is right. On which side of the equals sign is λ∇g?"),),
        ),
        Question("f there", lambda: _by_hand()[3], "put your point into f."),
    ),
}  # fmt: skip

PREDICTIONS = {
    "16.1": (
        Question(
            "the smallest value with ≤", lambda: 0.0, "is the edge touched at all? Look where f is smallest."
        ),
    ),
}


def _fools(
    function: Callable, gradient: Tensor, normals: Tensor, values: Tensor, multipliers: Tensor
) -> str | None:
    case = tuple(
        part.double() if isinstance(part, Tensor) else part
        for part in (gradient, normals, values, multipliers)
    )
    if not all(isinstance(part, Tensor) for part in case):
        raise ValueError("gradient, normals, values and multipliers should all be lists or tensors")
    n, k = case[0].numel(), case[2].numel()
    if case[0].ndim != 1 or case[1].shape != (k, n) or case[2].shape != (k,) or case[3].shape != (k,):
        raise ValueError("gradient has N numbers, values and multipliers K each, normals K rows of N")
    if not function(*case):
        return "the function says False here"
    if _is_kkt(*case):
        return "the function says True here, and rightly so: all four conditions hold"
    return None


EXAMPLES = {
    "16.4": Hunt(
        "this function checks the KKT conditions",
        _fools,
        "four conditions should be checked. Count those in the function, and break the one that is missing.",
    ),
}

CHECKERS = (quadratic_on_plane, constrained_kind, kkt_conditions, nearest_probabilities)
