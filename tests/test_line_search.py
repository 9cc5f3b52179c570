"""Line search: against SciPy on functions that Hypothesis draws, against theory, and as torch's optimizer."""

import inspect
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from yolov3_lib.bonus.line_search import (
    GOLDEN,
    Bracket,
    LineSearchError,
    Point,
    backtracking,
    bracket,
    brent,
    golden_section,
    parabola_step,
    strong_wolfe,
)
from yolov3_lib.bonus.line_search_descent import SEARCHES, LineSearchDescent, steepest_descent

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

SHAPES = {
    "parabola": lambda t: t * t,
    "quartic": lambda t: t**4 + t * t,
    "hyperbolic": lambda t: math.cosh(min(abs(t), 300)) - 1,
    "pointed": lambda t: abs(t),
    "between": lambda t: abs(t) ** 1.5,
    "skewed": lambda t: math.exp(min(t, 300)) - t - 1,
    "narrow": lambda t: math.log1p(9 * t * t),
}
SMOOTH = ("parabola", "quartic", "hyperbolic", "skewed", "narrow")


@st.composite
def valleys(draw, shapes=tuple(SHAPES)):
    """A function with one valley, its lowest place (right of 0), and a first step to try."""
    shape = SHAPES[draw(st.sampled_from(shapes))]
    lowest = draw(st.floats(0.5, 20))
    width, height = draw(st.floats(0.3, 10)), draw(st.floats(0.1, 10))
    return (lambda x: height * shape((x - lowest) / width)), lowest, draw(st.floats(0.1, 30))


def counted(function):
    def f(x):
        f.calls.append(x)
        return function(x)

    f.calls = []
    return f


# Bracketing


@given(valleys())
def test_a_bracket_encloses_the_valley_and_counts_right(case):
    function, lowest, step = case
    f = counted(function)
    found = bracket(f, step)
    assert found.evaluations == len(f.calls)
    assert 0 <= found.left.x <= lowest <= found.right.x
    assert found.left.value >= found.middle.value <= found.right.value
    assert all(point.value == function(point.x) for point in (found.left, found.middle, found.right))
    assert min(f.calls) >= 0  # a step back is no step
    share = (found.middle.x - found.left.x) / (found.right.x - found.left.x)
    assert share == pytest.approx(1 - GOLDEN)


def test_a_bracket_needs_no_value_that_is_known_already():
    f = counted(lambda x: (x - 3) ** 2)
    assert bracket(f, 1.0, phi0=9.0).evaluations == len(f.calls)
    assert 0.0 not in f.calls
    # 1, then 1 + 1.618 = 2.618, then 5.236
    assert f.calls == pytest.approx([1, 1 + 1 / GOLDEN, 1 + 1 / GOLDEN + (1 / GOLDEN) ** 2])


def test_a_cliff_is_stepped_back_from():
    found = bracket(lambda x: (x - 1) ** 2 if x < 2 else math.inf, 1000.0)
    assert found.left.x <= 1 <= found.right.x
    assert brent(lambda x: (x - 1) ** 2 if x < 2 else math.inf, found).x == pytest.approx(1)


@pytest.mark.parametrize(
    ("function", "step", "error", "message"),
    [
        (lambda x: -x, 1.0, LineSearchError, "still falls at"),
        (lambda x: x, 1.0, LineSearchError, "is it a direction of descent"),
        (lambda x: 1.0, 1.0, LineSearchError, "is it a direction of descent"),
        (lambda x: math.nan, 1.0, ValueError, "the function is NaN at 0; give inf"),
        (lambda x: x, 0.0, ValueError, "step: expected a positive, finite number, got 0"),
        (lambda x: x, math.inf, ValueError, "step: expected a positive, finite number, got inf"),
    ],
)
def test_a_bracket_that_is_not_there(function, step, error, message):
    with pytest.raises(error, match=message):
        bracket(function, step)


def test_three_points_that_enclose_nothing_are_refused():
    with pytest.raises(ValueError, match="expected left < middle < right, got 0, 2, 1"):
        Bracket(Point(0, 1), Point(2, 0), Point(1, 1))
    with pytest.raises(ValueError, match="the middle value 2 lies above that of an end, 3 or 1"):
        Bracket(Point(0, 3), Point(1, 2), Point(2, 1))


# Golden section and Brent, against SciPy


def as_scipy(found):
    return found.left.x, found.middle.x, found.right.x


@given(valleys(), st.sampled_from([1e-2, 1e-5, 1.5e-8]))
def test_golden_section_is_scipys(case, tolerance):
    function, lowest, step = case
    start = bracket(function, step)
    f = counted(function)
    mine = golden_section(f, start, tolerance)
    assert mine.evaluations == len(f.calls)
    assert all(start.left.x < x < start.right.x for x in f.calls)
    theirs, _, calls = scipy.optimize.golden(function, brack=as_scipy(start), tol=tolerance, full_output=True)
    # SciPy evaluates the three points of the bracket again, and the middle one a third time. It doesn't add
    # 1e-11 to the tolerance, and so may need one turn more.
    assert calls - 4 - mine.evaluations in (0, 1)
    close = 2 * tolerance * lowest + 1e-10
    flat = 3e-7 * max(1, lowest) if tolerance < 1e-7 else 0  # where values differ by rounding only
    assert mine.x == pytest.approx(theirs, abs=close + flat, rel=1e-6)
    assert mine.x == pytest.approx(lowest, abs=close + flat, rel=1e-6)
    assert mine.value == function(mine.x)


@given(valleys(), st.sampled_from([1e-2, 1e-5, 1.5e-8]))
def test_brent_is_scipys(case, tolerance):
    function, lowest, step = case
    start = bracket(function, step)
    f = counted(function)
    mine = brent(f, start, tolerance)
    assert mine.evaluations == len(f.calls)
    assert all(start.left.x <= x <= start.right.x for x in f.calls)
    theirs, _, _, calls = scipy.optimize.brent(
        function, brack=as_scipy(start), tol=tolerance, full_output=True
    )
    # The same steps. Where values differ by rounding only, either may wander about for some more.
    assert abs(mine.evaluations - (calls - 3)) <= (3 if tolerance > 1e-6 else 25)
    close = 4 * tolerance * lowest + 1e-10
    flat = 3e-7 * max(1, lowest) if tolerance < 1e-7 else 0
    assert mine.x == pytest.approx(theirs, abs=close + flat, rel=1e-6)
    assert mine.x == pytest.approx(lowest, abs=close + flat, rel=1e-6)


@given(valleys(SMOOTH))
def test_both_reach_what_minimize_scalar_reaches_and_brent_is_cheaper(case):
    function, _, step = case
    start = bracket(function, step)
    bounds = (start.left.x, start.right.x)
    theirs = scipy.optimize.minimize_scalar(function, bounds=bounds, method="bounded")
    golden, parabolic = golden_section(function, start), brent(function, start)
    for mine in (golden, parabolic):
        assert mine.value <= theirs.fun + 1e-9 * max(1, abs(theirs.fun))
    assert parabolic.evaluations < golden.evaluations


@given(st.floats(-5, 5), st.floats(-3, 3), st.integers(1, 4))
def test_on_a_function_with_several_valleys_both_find_one_of_them(phase, tilt, waves):
    def f(x):
        return math.cos(waves * x + phase) + tilt * x / 10 + x * x / 100

    points = [Point(x, f(x)) for x in np.linspace(0, 10, 101).tolist()]
    inner = [t for t in zip(points, points[1:], points[2:], strict=False) if t[0][1] > t[1][1] < t[2][1]]
    assume(inner)
    start = Bracket(*inner[0])
    for search in (golden_section, brent):
        found = search(f, start)
        assert start.left.x < found.x < start.right.x
        slope = -waves * math.sin(waves * found.x + phase) + tilt / 10 + found.x / 50
        assert abs(slope) < 1e-5


def test_one_evaluation_shrinks_the_interval_by_the_golden_ratio():
    start = bracket(lambda x: (x - 3) ** 2, 1.0)
    width = start.right.x - start.left.x
    for tolerance in (1e-2, 1e-4, 1e-6):
        shrinks = math.log(2 * (tolerance * 3 + 1e-11) / width) / math.log(GOLDEN)
        # The first evaluation makes the second inner point and shrinks nothing yet.
        found = golden_section(lambda x: (x - 3) ** 2, start, tolerance)
        assert found.evaluations == math.ceil(shrinks) + 1


def test_a_minimum_at_zero_ends_too():
    start = Bracket(Point(-1, 1), Point(0.3, 0.09), Point(1, 1))
    for search in (golden_section, brent):
        found = search(lambda x: x * x, start)
        assert abs(found.x) < 1e-9
        assert found.evaluations < 80


def test_searches_stop_at_their_limit_and_refuse_nan():
    start = bracket(lambda x: (x - 3) ** 2, 1.0)
    for search in (golden_section, brent):
        assert search(lambda x: (x - 3) ** 2, start, max_evaluations=4).evaluations == 4
        with pytest.raises(ValueError, match="the function is NaN at"):
            search(lambda x: math.nan, start)


@given(st.tuples(*[st.integers(-20, 20)] * 3), st.integers(1, 9), st.integers(-9, 9), st.integers(-9, 9))
def test_the_vertex_of_a_parabola_is_found_in_one_step(places, a, b, c):
    assume(len(set(places)) == 3)

    def f(x):
        return a * x * x + b * x + c

    p, q, r = (Point(x, f(x)) for x in places)
    assert p.x + parabola_step(p, q, r) == pytest.approx(-b / (2 * a), abs=1e-9)


def test_three_points_on_a_line_have_no_vertex():
    assert math.isnan(parabola_step(Point(0.0, 1.0), Point(1.0, 2.0), Point(2.0, 3.0)))
    assert math.isnan(parabola_step(Point(0.0, 1.0), Point(1.0, math.inf), Point(2.0, math.inf)))


# Well enough


@given(valleys(), st.sampled_from([1e-4, 0.1, 0.4]), st.sampled_from([0.3, 0.5, 0.9]))
def test_backtracking_gives_the_first_step_that_is_good_enough(case, c1, shrink):
    function, _, step = case
    slope = scipy.optimize.approx_fprime(np.zeros(1), lambda x: function(float(x[0])), 1e-7)[0]
    assume(slope < -1e-6)
    f = counted(function)
    found = backtracking(f, function(0), slope, step, shrink, c1)
    assert found.evaluations == len(f.calls)
    assert f.calls == pytest.approx([step * shrink**i for i in range(len(f.calls))])
    enough = [function(x) <= function(0) + c1 * x * slope for x in f.calls]
    assert enough == [False] * (len(f.calls) - 1) + [True]
    assert found.value == function(found.x)


def test_backtracking_steps_back_from_nan():
    found = backtracking(lambda x: x * x - x if x < 0.4 else math.nan, 0.0, -1.0, 8.0)
    assert found.x == 0.25


@given(valleys(SMOOTH), st.sampled_from([0.1, 0.5, 0.9]))
def test_strong_wolfe_keeps_its_conditions_where_scipys_does(case, c2):
    function, _, step = case

    def slope(x):
        h = 1e-6 * max(1.0, abs(x))
        return (function(x + h) - function(x - h)) / (2 * h)

    phi0, slope0 = function(0), slope(0)
    assume(slope0 < -1e-3 and math.isfinite(phi0))
    found = strong_wolfe(lambda x: (function(x), slope(x)), phi0, slope0, step, 1e-4, c2)
    assert found.value <= phi0 + 1e-4 * found.x * slope0
    assert abs(slope(found.x)) <= c2 * abs(slope0) * (1 + 1e-9)
    alpha, *_ = scipy.optimize.line_search(
        lambda x: function(float(x[0])), lambda x: np.array([slope(float(x[0]))]), np.zeros(1), np.ones(1),
        gfk=np.array([slope0]), old_fval=phi0, c1=1e-4, c2=c2,
    )  # fmt: skip
    if alpha is not None:
        assert abs(slope(alpha)) <= c2 * abs(slope0) * (1 + 1e-6)


def test_a_strict_wolfe_search_is_an_exact_one():
    def phi(x):
        return (x - 3) ** 4 + (x - 3) ** 2, 4 * (x - 3) ** 3 + 2 * (x - 3)

    assert strong_wolfe(phi, *phi(0), c1=1e-9, c2=1e-8).x == pytest.approx(3, abs=1e-5)


@pytest.mark.parametrize(
    "search", [backtracking, lambda phi, *rest, **o: strong_wolfe(lambda x: (phi(x), 1.0), *rest, **o)]
)
@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0.0, 1.0), {}, ValueError, "slope0 is 1.0: along a direction of descent it's negative"),
        ((0.0, math.nan), {}, ValueError, "slope0 is nan"),
        ((0.0, -1.0), {"step": -1.0}, ValueError, "step: expected a positive"),
        ((0.0, -1.0), {"c1": 1.0}, ValueError, "c1: expected a number between 0 and 1"),
        ((0.0, -1.0), {}, LineSearchError, "no s"),
    ],
)  # fmt: skip
def test_modest_searches_refuse(search, arguments, options, error, message):
    with pytest.raises(error, match=message):
        search(lambda x: x, *arguments, **options)


def test_a_factor_that_does_not_shrink_and_wolfe_numbers_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="shrink: expected a number between 0 and 1, got 2"):
        backtracking(lambda x: x, 0.0, -1.0, shrink=2)
    with pytest.raises(ValueError, match=r"c2: expected a number between c1 = 0.5 and 1, got 0.1"):
        strong_wolfe(lambda x: (x, 1.0), 0.0, -1.0, c1=0.5, c2=0.1)


# Steepest descent


def quadratic(curvatures, rotate=0):
    """½ xᵀAx with these eigenvalues, its gradient, and A; ``rotate`` seeds the eigenvectors."""
    count = len(curvatures)
    q, _ = np.linalg.qr(np.random.default_rng(rotate).normal(size=(count, count)))
    matrix = q @ np.diag(curvatures) @ q.T
    return (lambda x: float(x @ matrix @ x) / 2), (lambda x: matrix @ x), matrix, q


curvatures = st.lists(st.floats(0.1, 30), min_size=2, max_size=5)


@given(curvatures, st.integers(0, 5))
def test_an_exact_step_on_a_quadratic_is_the_formula_and_turns_by_a_right_angle(values, seed):
    f, gradient, matrix, _ = quadratic(values, seed)
    start = np.random.default_rng(seed).normal(size=len(values)) + 1
    g = gradient(start)
    way = steepest_descent(f, gradient, start, "brent", max_steps=1)
    assert way.steps[0] == pytest.approx((g @ g) / (g @ matrix @ g), rel=1e-5)
    turned = gradient(way.points[1])
    assert abs(turned @ g) <= 1e-5 * (g @ g)


@given(curvatures, st.integers(0, 5))
def test_the_known_rate_is_never_exceeded(values, seed):
    f, gradient, _, _ = quadratic(values, seed)
    kappa = max(values) / min(values)
    start = np.random.default_rng(seed).normal(size=len(values)) + 1
    way = steepest_descent(f, gradient, start, "brent", max_steps=10)
    ratios = way.values[1:][way.values[1:] > 1e-12] / way.values[:-1][: (way.values[1:] > 1e-12).sum()]
    assert (ratios <= ((kappa - 1) / (kappa + 1)) ** 2 * (1 + 1e-6) + 1e-9).all()


@pytest.mark.parametrize("kappa", [2.0, 10.0, 100.0])
def test_and_it_is_reached_from_the_worst_start(kappa):
    f, gradient, _, q = quadratic([1.0, kappa])
    way = steepest_descent(f, gradient, q @ [kappa, 1.0], "brent", max_steps=12)
    assert way.values[1:] / way.values[:-1] == pytest.approx(((kappa - 1) / (kappa + 1)) ** 2, rel=1e-5)


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_reaches_the_minimum_and_counts_right(search):
    f, gradient, _, _ = quadratic([1.0, 3.0, 10.0])
    f, gradient = counted(f), counted(gradient)
    way = steepest_descent(f, gradient, np.array([3.0, -1.0, 2.0]), search, 300, 1e-6)
    assert np.linalg.norm(gradient(way.points[-1])) <= 1e-6
    assert way.evaluations == len(f.calls)
    assert way.gradients == len(gradient.calls) - 1
    assert (np.diff(way.values) < 0).all()
    moved = way.points[:-1] - way.steps[:, None] * np.array([gradient(x) for x in way.points[:-1]])
    np.testing.assert_allclose(moved, way.points[1:], atol=1e-12)


def test_shorter_than_best_is_better_in_the_long_run():
    f, gradient, _, q = quadratic([1.0, 100.0])
    start = q @ [100.0, 1.0]
    exact, short = (
        len(steepest_descent(f, gradient, start, "brent", 3000, 1e-6, relaxation=r).steps) for r in (1, 0.8)
    )
    assert exact > 500
    assert short < exact / 4


def test_steepest_descent_stands_still_at_a_minimum_and_leaves_the_start_alone():
    f, gradient, _, _ = quadratic([1.0, 2.0])
    start = np.zeros(2)
    way = steepest_descent(f, gradient, start)
    assert way.points.shape == (1, 2)
    assert len(way.steps) == 0
    start = np.ones(2)
    steepest_descent(f, gradient, start)
    assert start.tolist() == [1, 1]
    with pytest.raises(ValueError, match="unknown search 'newton': choose from golden, brent"):
        steepest_descent(f, gradient, start, "newton")


# The optimizer


def task(seed=0):
    """A small network, and its closure on one batch; the closure counts its calls."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(64, 3, generator=generator)
    wanted = (inputs[:, :1] * inputs[:, 1:2] > 0).float()
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def closure():
        closure.calls += 1
        return nn.functional.binary_cross_entropy_with_logits(network(inputs), wanted)

    closure.calls = 0
    return network, closure


def gradient_of(network, closure):
    return torch.cat([g.flatten() for g in torch.autograd.grad(closure(), list(network.parameters()))])


def position(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()]).clone()


@pytest.mark.parametrize("search", SEARCHES)
def test_the_optimizer_goes_down_every_step_along_the_gradient_and_counts_right(search):
    network, closure = task()
    optimizer = LineSearchDescent(network.parameters(), search)
    group = optimizer.param_groups[0]
    losses = []
    for _ in range(8):
        before, gradient = position(network), gradient_of(network, closure)
        closure.calls, done = 0, group["evaluations"]
        losses.append(optimizer.step(closure))
        assert group["evaluations"] - done == closure.calls
        moved = before - group["last_step"] * gradient
        torch.testing.assert_close(position(network), moved, rtol=1e-5, atol=1e-6)
    losses.append(closure().item())
    assert (np.diff(losses) < 0).all()
    assert group["gradients"] == (group["evaluations"] if search == "wolfe" else 8)
    assert group["stalls"] == 0
    assert all(p.grad is None for p in network.parameters())


def test_it_walks_as_steepest_descent_does():
    _, _, matrix, _ = quadratic([1.0, 4.0, 9.0])
    x = nn.Parameter(torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64))
    a = torch.from_numpy(matrix)
    optimizer = LineSearchDescent([x], "brent", tolerance=1e-8)
    way = steepest_descent(
        lambda v: float(v @ matrix @ v) / 2, lambda v: matrix @ v, x.detach().numpy().copy(),
        max_steps=10, tolerance=1e-8,
    )  # fmt: skip
    for point in way.points[1:]:
        optimizer.step(lambda: x @ a @ x / 2)
        np.testing.assert_allclose(x.detach().numpy(), point, atol=1e-6)


def test_an_exact_step_leaves_no_slope_along_the_old_gradient():
    network, closure = task()
    network.double()
    inner = closure
    batch = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    closure = lambda: network(batch).square().mean() + network(batch[:9]).mean()  # noqa: E731
    before = gradient_of(network, closure)
    LineSearchDescent(network.parameters(), "brent", tolerance=1e-8).step(closure)
    after = gradient_of(network, closure)
    assert abs(before @ after) < 1e-4 * before.norm() * after.norm()
    assert inner.calls == 0


def test_no_progress_leaves_the_parameters_and_is_counted():
    x = nn.Parameter(torch.tensor([1.0]))
    optimizer = LineSearchDescent([x], "backtracking")

    class Lying(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.sum()

        @staticmethod
        def backward(ctx, gradient):
            return -gradient.expand(1)  # uphill

    assert optimizer.step(lambda: Lying.apply(x)) == 1.0
    assert x.item() == 1.0
    assert optimizer.param_groups[0]["stalls"] == 1
    assert optimizer.param_groups[0]["next_step"] == 1.0
    assert optimizer.param_groups[0]["evaluations"] == 61


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_search_leaves_no_trial_step_behind(search, error):
    x = nn.Parameter(torch.tensor([1.0]))
    calls = []

    def closure():
        calls.append(x.item())
        if len(calls) == 2:
            raise error
        return x.square().sum()

    optimizer = LineSearchDescent([x], search)
    with pytest.raises(error):
        optimizer.step(closure)
    assert calls[1] != 1.0
    assert x.item() == 1.0


def test_at_a_minimum_nothing_moves_and_parameters_without_a_gradient_stay():
    x, unused = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.ones(1))
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    optimizer = LineSearchDescent([x, unused, frozen])
    assert optimizer.step(lambda: (x * frozen).square().sum()) == 0.0
    assert x.tolist() == [0, 0]
    x.data += 1
    optimizer.step(lambda: (x * frozen).square().sum())
    assert x.detach().abs().max() < 0.05
    assert unused.item() == 1
    assert frozen.tolist() == [1, 1]


def test_a_network_that_overflows_is_stepped_back_from():
    x = nn.Parameter(torch.tensor([1.0]))
    for search in SEARCHES:
        x.data.fill_(1.0)
        optimizer = LineSearchDescent([x], search, step=1e12)
        optimizer.step(lambda: (x**4).sum() + (x - x).sum() * (x**4).sum())
        assert 0 <= abs(x.item()) < 1, search


def test_state_is_saved_and_restored():
    network, closure = task()
    optimizer = LineSearchDescent(network.parameters(), "brent")
    for _ in range(3):
        optimizer.step(closure)
    other = LineSearchDescent(network.parameters(), "golden", step=7.0)
    other.load_state_dict(optimizer.state_dict())
    weights = position(network)
    optimizer.step(closure)
    expected = position(network)
    nn.utils.vector_to_parameters(weights, network.parameters())
    other.step(closure)
    assert torch.equal(position(network), expected)
    for key in ("evaluations", "gradients", "last_step", "next_step", "search"):
        assert other.param_groups[0][key] == optimizer.param_groups[0][key]


def test_batch_norm_sees_every_trial():
    """What the docstring warns of, and the chapter shows."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    inputs = torch.randn(32, 3)
    optimizer = LineSearchDescent(network.parameters(), "brent")
    optimizer.step(lambda: network(inputs).square().mean())
    assert int(network[1].num_batches_tracked) == optimizer.param_groups[0]["evaluations"] > 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: LineSearchDescent([p], "newton"), "unknown search 'newton'"),
        (lambda p: LineSearchDescent([p], step=0), "step: expected a positive, finite number, got 0"),
        (lambda p: LineSearchDescent([{"params": [p]}, {"params": [p.detach().clone()]}]), "2 groups"),
        (lambda p: LineSearchDescent([p]).step(lambda: p.sum() * math.inf), "before the step the loss is"),
    ],
)
def test_the_optimizer_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make(nn.Parameter(torch.ones(1)))


def test_a_closure_written_for_another_optimizer_is_told():
    x = nn.Parameter(torch.ones(1))

    def closure():
        loss = (x**2 * torch.sin(x)).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match=r"leave loss.backward\(\) out"):
        LineSearchDescent([x]).step(closure)
    assert "backward" in inspect.getdoc(LineSearchDescent)
