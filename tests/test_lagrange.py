"""Lagrange and KKT: exact results, degenerate cases, the limit of time, and scipy on random problems."""

import os
import runpy
import subprocess
import sys
import threading
import time
from itertools import product

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sympy import QQ, Matrix, Rational, cos, exp, sqrt, symbols
from sympy.polys.orderings import grevlex
from sympy.polys.rings import PolyRing

from yolov3_lib.bonus.lagrange import bordered_polynomial, kkt, lagrange, tangent_eigenvalues
from yolov3_lib.bonus.real_algebra import RealRoot, dimension, first_relation, real_solutions
from yolov3_lib.bonus.time_limit import run_within

x, y, z = symbols("x y z", real=True)
CIRCLE = x**2 + y**2 - 1
F = (
    x**2 + x * y + 2 * y**2 + 2 * y + 3,
    x**4 + 2 * x**2 * y + x**2 + 4 * y**2 + 6 * y,
    x**2 * y**2 + 113 * x * y - 1,
)
G = (x + y - 1, CIRCLE, 4 * x + 3 * y - 1)


def equal(f, variables=(x, y), equalities=()):
    return lagrange(f, variables, equalities, seconds=None)


def at_most(f, inequalities, equalities=(), variables=(x, y)):
    return kkt(f, variables, equalities, inequalities, seconds=None)


def numbers(values):
    return np.array([float(value) for value in values])


# The document's examples.


def test_first_example():
    (point,) = equal(F[0], equalities=[G[0]]).points
    assert point.x == (Rational(5, 4), Rational(-1, 4))
    assert (point.value, point.kind, point.multipliers) == (Rational(31, 8), "minimum", (Rational(-9, 4),))

    solution = at_most(F[0], [G[0]])
    (point,) = solution.points
    assert point.x == (Rational(2, 7), Rational(-4, 7))
    assert (point.kind, point.active, point.inequality_multipliers) == ("minimum", (), (0,))
    (point,) = solution.rejected
    assert point.x == (Rational(5, 4), Rational(-1, 4))
    assert "negative" in point.failed


def test_second_example():
    solution = equal(F[1], equalities=[G[1]])
    assert [point.kind for point in solution.points] == ["minimum", "minimum", "maximum", "maximum"]
    left, right, below, above = solution.points
    cubic = 2 * z**3 - 3 * z**2 + z + 4
    assert left.x[1] == right.x[1] == sympy.CRootOf(cubic, 0)
    assert abs(left.x[0].evalf(40) + right.x[0].evalf(40)) < 1e-30
    assert abs(left.x[0].evalf(40) ** 2 + left.x[1].evalf(40) ** 2 - 1) < 1e-30
    assert (below.x, below.value, above.x, above.value) == ((0, -1), -2, (0, 1), 10)
    assert solution.lowest == (left, right)

    solution = at_most(F[1], [G[1]])
    assert [point.kind for point in solution.points] == ["minimum", "minimum", "saddle"]
    assert solution.points[2].x == (0, Rational(-3, 4))
    assert all(float(point.inequality_multipliers[0]) > 0 for point in solution.lowest)
    reasons = [point.failed.split(":")[0].split(" is ")[0] for point in solution.rejected]
    assert reasons.count("infeasible") == 2
    assert reasons.count("the multiplier of inequality 0") == 2


def test_third_example():
    solution = equal(F[2], equalities=[G[2]])
    assert [point.kind for point in solution.points] == ["minimum", "minimum", "maximum"]
    low, high = solution.points[0], solution.points[2]
    assert low.x == (Rational(1, 8) - sqrt(2713) / 8, Rational(1, 6) + sqrt(2713) / 6)
    assert (low.value, low.multipliers) == (Rational(-12773, 4), (0,))
    assert (high.x, high.value) == ((Rational(1, 8), Rational(1, 6)), Rational(3121, 2304))

    solution = at_most(F[2], [G[2]])
    (curve,) = solution.continua
    assert curve.equations == (x * y + Rational(113, 2),)
    assert curve.value == Rational(-12773, 4)
    assert curve.witness is not None
    assert [point.kind for point in solution.points] == ["undecided", "undecided", "saddle"]


@pytest.mark.parametrize("k", range(3))
@pytest.mark.parametrize("kind", ["eq", "ineq"])
def test_examples_against_slsqp_from_many_starts(k, kind):
    f, g = (sympy.lambdify((x, y), e) for e in (F[k], G[k]))
    gradient = sympy.lambdify((x, y), [F[k].diff(x), F[k].diff(y)])
    sign = 1 if kind == "eq" else -1  # scipy's inequalities are g >= 0
    constraint = {"type": kind, "fun": lambda v: sign * g(*v)}
    best = np.inf
    for start in product((-12.0, -1, 0.3, 1, 9), repeat=2):
        found = minimize(lambda v: f(*v), start, jac=lambda v: gradient(*v), constraints=constraint)
        if found.success and sign * g(*found.x) >= -1e-6:
            best = min(best, found.fun)
    solution = equal(F[k], equalities=[G[k]]) if kind == "eq" else at_most(F[k], [G[k]])
    assert float(solution.lowest[0].value) == pytest.approx(best, abs=1e-4)


# Random problems.

SMALL = st.integers(-4, 4)


def matrices(rows, columns):
    return st.lists(st.lists(SMALL, min_size=columns, max_size=columns), min_size=rows, max_size=rows).map(
        lambda lists: Matrix(rows, columns, [v for row in lists for v in row])
    )


@st.composite
def quadratic_problems(draw):
    n = draw(st.integers(1, 3))
    m = draw(st.integers(0, n))
    half = draw(matrices(n, n))
    return half + half.T, draw(matrices(n, 1)), draw(matrices(m, n)), draw(matrices(m, 1))


@given(quadratic_problems())
@settings(max_examples=60)
def test_quadratics_on_planes_are_one_linear_system(problem):
    hessian, linear, normals, offsets = problem
    n, m = hessian.rows, normals.rows
    assume(normals.rank() == m)
    variables = symbols(f"v:{n}", real=True)
    v = Matrix(variables)
    f = (v.T * hessian * v)[0] / 2 + (linear.T * v)[0]
    solution = equal(f, variables, list(normals * v - offsets))
    bordered = Matrix(sympy.BlockMatrix([[hessian, normals.T], [normals, sympy.zeros(m)]]))
    if bordered.rank() < n + m:
        assert not solution.points  # none, or a continuum of them
        return
    (point,) = solution.points
    expected = bordered.LUsolve(Matrix([-linear, offsets]))
    assert list(point.x) + list(point.multipliers) == list(expected)
    curvature = tangent_eigenvalues(hessian, normals) if m else np.linalg.eigvalsh(np.array(hessian, float))
    expected = (
        "isolated" if m == n
        else "minimum" if (curvature > 0).all()
        else "maximum" if (curvature < 0).all()
        else "saddle"
    )  # fmt: skip
    assert point.kind == expected
    assert point.licq


@given(matrices(2, 2), matrices(2, 1), matrices(3, 2), st.lists(st.integers(0, 4), min_size=3, max_size=3))
@settings(max_examples=30)
def test_convex_programs_with_inequalities_against_slsqp(half, linear, normals, room):
    assume(all(any(normals.row(i)) for i in range(3)))
    hessian = half.T * half + sympy.eye(2)
    v = Matrix([x, y])
    f = (v.T * hessian * v)[0] / 2 + (linear.T * v)[0]
    solution = at_most(f, list(normals * v - Matrix(room)))  # the origin is feasible
    (point,) = solution.points
    assert point.kind == "minimum"
    assert all(mu >= 0 for mu in point.inequality_multipliers)
    matrix, slope, sides, room = (np.array(part, float) for part in (hessian, linear, normals, room))
    found = minimize(
        lambda v: v @ matrix @ v / 2 + slope[:, 0] @ v,
        [0.0, 0.0],
        jac=lambda v: matrix @ v + slope[:, 0],
        constraints={"type": "ineq", "fun": lambda v: room - sides @ v, "jac": lambda v: -sides},
        options={"ftol": 1e-12},
    )
    assert numbers(point.x) == pytest.approx(found.x, abs=1e-4)
    gradient = matrix @ numbers(point.x) + slope[:, 0] + numbers(point.inequality_multipliers) @ sides
    assert gradient == pytest.approx(np.zeros(2), abs=1e-9)


MONOMIALS = [x**i * y**j for i in range(4) for j in range(4 - i)]


@given(st.lists(SMALL, min_size=10, max_size=10))
@settings(max_examples=20)
def test_cubics_on_the_circle_against_a_fine_walk_around_it(coefficients):
    f = sum(c * m for c, m in zip(coefficients, MONOMIALS, strict=True))
    solution = equal(f, equalities=[CIRCLE])
    angles = np.linspace(0, 2 * np.pi, 20001)
    values = sympy.lambdify((x, y), f + 0 * x)(np.cos(angles), np.sin(angles)) * np.ones_like(angles)
    if solution.continua:
        assert np.ptp(values) < 1e-9  # f is constant on the circle
        return
    assert float(solution.points[0].value) == pytest.approx(values.min(), abs=1e-5)
    assert float(solution.points[-1].value) == pytest.approx(values.max(), abs=1e-5)
    kinds = [point.kind for point in solution.points]
    if "undecided" not in kinds:
        assert kinds.count("minimum") == kinds.count("maximum")  # they take turns
    for point in solution.points:
        a, b = numbers(point.x)
        assert a**2 + b**2 == pytest.approx(1, abs=1e-12)
        (multiplier,) = numbers(point.multipliers)
        slope = [float(f.diff(v).subs({x: a, y: b})) for v in (x, y)]
        assert slope + 2 * multiplier * np.array([a, b]) == pytest.approx([0, 0], abs=1e-9)


VALUES = st.sets(st.integers(-3, 3), min_size=1, max_size=3)


@given(VALUES, VALUES, st.integers(-3, 3), st.integers(1, 2))
@settings(max_examples=40)
def test_all_solutions_are_found_whatever_the_coordinates(first, second, shear, power):
    ring = PolyRing((x, y), QQ, grevlex)
    a, b = ring.gens[0] + shear * ring.gens[1], ring.gens[1] - 2 * ring.gens[0]  # invertible: 1 + 2 shear ≠ 0
    equations = [ring.one, ring.one]
    for value in first:
        equations[0] = equations[0] * (a**2 - value) ** power
    for value in second:
        equations[1] = equations[1] * (b - value)
    points, families = real_solutions(equations, ring)
    assert not families
    expected = set()
    for value, other in product(first, second):
        for root in {sqrt(value), -sqrt(value)} if value >= 0 else ():
            # a = x + s y, b = y − 2 x
            expected.add(((root - shear * other) / (1 + 2 * shear), (2 * root + other) / (1 + 2 * shear)))
    assert {tuple(map(sympy.expand, point.exact)) for point in points} == {
        tuple(map(sympy.expand, point)) for point in expected
    }


@given(st.lists(SMALL, min_size=3, max_size=5), st.lists(SMALL, min_size=1, max_size=3))
@settings(max_examples=40)
def test_numbers_of_a_field_have_the_right_sign_and_name(coefficients, digits):
    polynomial = sympy.Poly(coefficients, z, domain=QQ)
    assume(polynomial.degree() >= 1)
    factor = polynomial.factor_list()[1][0][0]
    for (low, high), _ in factor.intervals():
        root = RealRoot(factor.rep.to_list(), low, high)
        number = root.number([QQ(d) for d in digits])
        alpha = root.exact(root.number([QQ(1), QQ(0)]))
        assert abs(factor.as_expr().subs(z, alpha).evalf(30)) < 1e-20
        value = sympy.Poly(digits, z).as_expr().subs(z, alpha).evalf(40)
        assert abs(root.exact(number).evalf(40) - value) < 1e-30
        assert root.sign(number) == (0 if abs(value) < 1e-30 else sympy.sign(value))


def test_dimension_and_relation():
    ring = PolyRing((x, y), QQ, grevlex)
    a, b = ring.gens
    assert [dimension(basis, ring) for basis in ([], [a], [a, b**2], [ring.one])] == [2, 1, 0, -1]
    vectors = [[QQ(1), QQ(0)], [QQ(2), QQ(1)], [QQ(4), QQ(3)]]
    assert first_relation(vectors) == [2, -3, 1]
    with pytest.raises(ValueError, match="independent"):
        first_relation(vectors[:2])


# The kind of a point.


@given(quadratic_problems())
@settings(max_examples=60)
def test_the_documents_roots_are_the_eigenvalues_on_the_tangent_space(problem):
    hessian, _, normals, _ = problem
    m, n = normals.shape
    assume(0 < m < n and normals.rank() == m)
    polynomial = bordered_polynomial(hessian, normals, z)
    assert polynomial.degree() == n - m
    roots = np.sort(np.roots(numbers(polynomial.all_coeffs())).real)
    assert roots == pytest.approx(tangent_eigenvalues(hessian, normals), abs=1e-6)


def test_the_documents_polynomial_takes_any_exact_numbers():
    hessian, normals = Matrix([[sqrt(2), 0], [0, sympy.pi]]), Matrix([[1, 1]])
    (root,) = sympy.roots(bordered_polynomial(hessian, normals, z))
    assert float(root) == pytest.approx((np.sqrt(2) + np.pi) / 2)
    assert bordered_polynomial(Matrix([[2]]), sympy.zeros(0, 1), z).as_expr() == 2 - z
    assert bordered_polynomial(Matrix([[2]]), Matrix([[1]]), z).degree() == 0


def test_positive_negative_and_zero_curvature_is_a_saddle():
    # One root of the document's test is 0, so it says "undefined"; the other two leave no doubt.
    (point,) = equal(x**2 - y**2 + z**4, (x, y, z)).points
    assert point.kind == "saddle"
    w = symbols("w", real=True)
    (point,) = equal(x**2 - y**2 + z**4 + w, (x, y, z, w), [w]).points
    assert point.kind == "saddle"


@pytest.mark.parametrize(
    ("f", "inequalities", "kind"),
    [
        (x**2 + y**2, [y], "minimum"),  # weakly active, curved up
        (-(x**2) - y**2, [y], "maximum"),
        (x**2 - y**2, [y], "saddle"),  # downhill along −y
        (x**2 + y, [-y], "minimum"),
        (-(x**2) + y, [-y], "saddle"),  # downhill along the edge, uphill across it
        (x**4 + y, [-y], "undecided"),
        (x + y, [-x, -y], "minimum"),  # a corner
        (x * y, [-x, -y], "undecided"),  # two weakly active: xy is positive in the wedge, not in the plane
        (x**2 + y**2, [-x, -y], "minimum"),
        (x**2 - y**2, [-x, x - 2], "saddle"),  # one of the two is active, and weakly
    ],
)
def test_kinds_at_the_edge(f, inequalities, kind):
    at_origin = [point for point in at_most(f, inequalities).points if point.x == (0, 0)]
    assert [point.kind for point in at_origin] == [kind]


# Degenerate cases.


def test_no_point_satisfies_the_constraints():
    solution = equal(x, equalities=[x**2 + y**2 + 1])
    assert solution.points == solution.continua == ()
    assert solution.feasible is False
    assert "no point satisfies" in str(solution)
    assert at_most(x, [x + 1, 1 - x]).feasible is False
    assert equal(x, equalities=[x, x - 1]).feasible is False


def test_without_end_there_is_no_stationary_point():
    solution = equal(x, equalities=[y])
    assert (solution.points, solution.feasible) == ((), True)
    assert "no smallest value" in str(solution)
    assert solution.lowest == ()


def test_a_continuum_is_told_and_described():
    solution = equal(x**2 + y**2, equalities=[CIRCLE])
    (circle,) = solution.continua
    assert circle.equations == (CIRCLE,)
    assert (circle.value, circle.witness.multipliers) == (1, (-1,))
    assert "a continuum: x**2 + y**2 - 1 = 0; f = 1" in str(solution)
    everything = equal(sympy.Integer(3)).continua[0]
    assert (everything.equations, everything.value) == ((), 3)
    assert "every point" in str(everything)


def test_complex_continua_do_not_pass_for_real_ones():
    solution = equal((x**2 + y**2 + 1) ** 2)
    assert [point.x for point in solution.points] == [(0, 0)]
    assert not solution.continua  # x² + y² + 1 = 0 has no real point, and that is proved
    solution = equal((x**2 + y**2) ** 2)
    assert [point.x for point in solution.points] == [(0, 0)]
    assert solution.continua[0].witness is None
    assert "over the complex numbers" in str(solution)


def test_a_continuum_outside_the_constraints_is_none():
    assert at_most((x * y - 9) ** 2, [x**2 + y**2 - 1]).continua == ()
    assert at_most((x * y - 9) ** 2, [x**2 + y**2 - 100]).continua[0].witness is not None


def test_a_cusp_is_found_though_it_has_no_multiplier():
    for solution in (equal(x, equalities=[y**2 - x**3]), at_most(x, [y**2 - x**3])):
        (point,) = solution.points
        assert point.x == (0, 0)
        assert (point.multipliers, point.licq, point.kind) == (None, False, "undecided")
        assert "no multipliers" in str(point)
        assert "dependent" in str(point)


def test_repeated_constraints():
    (point,) = equal(x**2 + y**2, equalities=[y, 2 * y]).points
    assert (point.x, point.kind, point.licq) == ((0, 0), "minimum", False)
    solution = at_most((x - 1) ** 2 + (y - 2) ** 2, [y, 2 * y])
    (point,) = solution.points
    assert (point.x, point.kind) == ((1, 0), "minimum")
    assert not solution.continua
    # Squared, a constraint has a gradient of zero wherever it holds.
    solution = equal(x**2 + y**2, equalities=[(x + y - 1) ** 2])
    (point,) = solution.points
    assert (point.x, point.licq, point.multipliers) == ((Rational(1, 2), Rational(1, 2)), False, None)
    assert not solution.continua


@pytest.mark.parametrize("again", [CIRCLE, -3 * CIRCLE, x * CIRCLE, CIRCLE**2])
def test_constraints_that_follow_from_others_hide_nothing(again):
    solution = equal(x, equalities=[CIRCLE, again])
    assert [(point.x, point.kind) for point in solution.points] == [((-1, 0), "minimum"), ((1, 0), "maximum")]
    assert not solution.continua
    solution = at_most(x, [CIRCLE, again])
    assert (solution.points[0].x, solution.points[0].kind) == ((-1, 0), "minimum")
    if again != x * CIRCLE:
        assert not solution.continua


def test_a_family_with_one_feasible_point_is_no_continuum():
    for f, inequalities, kind in [
        (y**2, [x, -x, x - 1], "undecided"),
        (y**2, [x**2 + y**2], "undecided"),
        (-x - y, [x, y, x + y], "minimum"),  # x + y = 0 touches the quadrant in its corner
    ]:
        solution = at_most(f, inequalities)
        (point,) = solution.points
        assert (point.x, point.kind) == ((0, 0), kind)
        assert all(continuum.witness is None for continuum in solution.continua)
    assert "wasn't shown" in str(solution)


def test_a_family_whose_multipliers_are_negative_is_no_continuum():
    solution = at_most(x**2 + y**2, [CIRCLE])
    (point,) = solution.points
    assert (point.x, point.kind, solution.continua) == ((0, 0), "minimum", ())
    # On the circle, where f = 0, its multiplier is x: one half of it can be lowest, the other can't.
    (half,) = at_most(-x * CIRCLE, [CIRCLE], [z], (x, y, z)).continua
    assert half.value == 0
    assert not half.witness.failed
    assert half.witness.inequality_multipliers[0] >= 0
    # A negative one is no reason to reject where another inequality helps.
    assert at_most(x**2 + y**2, [CIRCLE, -CIRCLE]).continua


def test_what_follows_from_the_family_does_not_hide_that_it_is_infeasible():
    assert at_most(x, [CIRCLE, 5 - x]).feasible is False
    solution = at_most(x**2, [1 - x * y, -x])
    assert (solution.points, solution.continua, solution.feasible) == ((), (), True)


def test_values_are_ordered_however_near():
    for hundredths in (141, 142):
        tiny, other = Rational(1, 10**40), Rational(hundredths, 100)
        f = tiny * (x + y * (other - x))  # √2 or the other
        values = [point.value for point in at_most(f, [-x], [x**2 - 2, y * (y - 1)]).points]
        assert values == sorted([tiny * sqrt(2), tiny * other])


def test_multipliers_that_are_not_unique():
    # Three half-planes meet in the corner: it's the minimum, with many multipliers.
    solution = at_most(x + y, [-x, -y, -x - y])
    (point,) = solution.points
    assert (point.x, point.kind, point.licq, point.active) == ((0, 0), "minimum", False, (0, 1, 2))
    assert all(mu >= 0 for mu in point.inequality_multipliers)


def test_an_isolated_point():
    (point,) = equal(x, equalities=[x - 2, y - 3]).points
    assert (point.x, point.kind, point.multipliers) == ((2, 3), "isolated", (-1, 0))


def test_relations_as_constraints():
    by_hand = at_most(F[0], [1 - x, y - 5], [x + y - 3])
    assert kkt(F[0], (x, y), [sympy.Eq(x + y, 3)], [x >= 1, y <= 5], seconds=None) == by_hand


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((exp(x), (x, y)), r"f is exp\(x\), no polynomial"),
        ((x, (x, y), [cos(y)]), r"equalities\[0\] is cos\(y\), no polynomial"),
        ((x, (x, y), [], [1 / x]), r"inequalities\[0\] is 1/x, no polynomial"),
        ((sqrt(2) * x, (x, y)), "rational coefficients"),
        ((sympy.I * x, (x, y)), "rational coefficients"),
        ((x * sympy.nan, (x, y)), "rational coefficients"),
        ((x**y, (x, y)), "no polynomial"),
        ((0.5 * x, (x, y)), "decimal fraction"),
        ((x * z, (x, y)), "f holds z, which isn't among the variables"),
        ((x, (x, y), [sympy.Integer(3)]), "depends on no variable"),
        ((x, (x, y), [sympy.Integer(0)]), "depends on no variable"),
        ((x, (x, y), [x == y]), "== compares"),
        ((x, (x, y), CIRCLE), "expected a list"),
        ((x, (x, y), [x <= y]), "expected an expression"),
        ((x, (x, y), [], [x < 1]), "expected an expression"),
        (("x", (x, y)), "expected a sympy expression"),
        ((x, (x, y), None), "expected a list"),
        ((x**1001, (x, y)), "a power above 1000"),
        ((x, ()), "at least one"),
        ((x, 3), "sympy symbols"),
        ((x, (x, x)), "different"),
        ((x, ("x",)), "sympy symbols"),
        ((x, (symbols("x", positive=True),)), "declared positive"),
        ((x, (symbols("x", integer=True),)), "declared integer"),
        ((x, (symbols("x", extended_positive=True),)), "declared extended_positive"),
        ((x, (symbols("x", imaginary=True),)), "not real"),
    ],
)
def test_what_cannot_be_solved_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kkt(*arguments, seconds=None)


# The limit of time.

HARD = (x**7 * y - y**9 + x * y**3, (x, y), [x**8 * y + y**9 - x * y**4 - 1])


def test_another_process_gives_the_same_answer():
    assert lagrange(F[1], (x, y), [CIRCLE]) == equal(F[1], equalities=[CIRCLE])


def test_a_hard_problem_ends_in_a_thread_too():
    said = []

    def attempt():
        try:
            lagrange(*HARD, seconds=2)
        except TimeoutError as error:
            said.append(str(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join(60)
    assert said
    assert "within 2 seconds" in said[0]
    assert "lower the degrees" in said[0]


def test_expanding_a_power_ends_as_well():
    with pytest.raises(TimeoutError):
        lagrange((x + y + z) ** 900, (x, y, z), seconds=2)


def test_the_other_process_is_ended(tmp_path):
    script = tmp_path / "endless.py"
    script.write_text(
        f"import os, time, pathlib\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "while True: time.sleep(0.1)\n"
    )
    with pytest.raises(TimeoutError):
        run_within(3, runpy.run_path, str(script))
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(OSError):
        os.kill(pid, 0)


def test_the_other_process_outlives_a_killed_caller_by_no_more_than_its_time(tmp_path):
    script, sign = tmp_path / "endless.py", tmp_path / "sign of life"
    script.write_text(
        f"import time, pathlib\nsign = pathlib.Path({str(sign)!r})\n"
        "while True: sign.write_text(str(time.time())); time.sleep(0.1)\n"
    )
    call = "import runpy, sys; from yolov3_lib.bonus.time_limit import run_within as r"
    caller = subprocess.Popen([sys.executable, "-c", f"{call}; r(4, runpy.run_path, sys.argv[1])", script])
    while not sign.exists():
        assert caller.poll() is None
        time.sleep(0.1)
    caller.kill()
    caller.wait()
    for _ in range(30):
        before = sign.read_text()
        time.sleep(2)
        if sign.read_text() == before:
            return
    pytest.fail("the process goes on after its time")


def test_results_exceptions_prints_and_deaths_come_back(capfd):
    assert run_within(30, divmod, 7, 2) == (3, 1)
    assert run_within(30, print, "hello") is None
    assert capfd.readouterr().out == ""
    with pytest.raises(ZeroDivisionError):
        run_within(30, divmod, 1, 0)
    with pytest.raises(RuntimeError, match="ended with code 3"):
        run_within(30, os._exit, 3)


def test_a_limit_must_be_one_and_the_function_importable():
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="above 0"):
            run_within(seconds, time.sleep, 1)
    with pytest.raises(ValueError, match="at the top"):
        run_within(1, lambda: 1)
