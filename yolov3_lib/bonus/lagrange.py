"""Minima with conditions, exactly: Lagrange multipliers for equations, the KKT conditions for inequalities.

``lagrange`` and ``kkt`` take polynomials with rational coefficients and give every real point that can be a
minimum: a system of polynomial equations whose real solutions `real_algebra` finds completely. All decisions
(is a point feasible, which sign has its multiplier, is a quadratic form positive) are exact as well.

A point that is found is a *local* matter. What follows globally is said at `Solution.lowest`.

Sources: the course's document, section 8.2; Nocedal & Wright, *Numerical Optimization*, chapter 12.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import sympy
from numpy.typing import ArrayLike
from sympy import QQ, Expr, Poly, Symbol
from sympy.polys.matrices import DomainMatrix

from yolov3_lib.bonus.active_sets import Problem
from yolov3_lib.bonus.solution import Continuum, Solution, StationaryPoint
from yolov3_lib.bonus.time_limit import run_within

__all__ = [
    "Continuum", "Solution", "StationaryPoint",
    "bordered_polynomial", "kkt", "lagrange", "tangent_eigenvalues",
]  # fmt: skip

# What a symbol may promise beyond being real; nothing here would make use of it.
_UNUSED = (
    "positive",
    "negative",
    "zero",
    "nonpositive",
    "nonnegative",
    "integer",
    "rational",
    "irrational",
    "nonzero",
    "extended_positive",
    "extended_negative",
    "extended_nonpositive",
    "extended_nonnegative",
    "extended_nonzero",
    "transcendental",
)
_HIGHEST = 1000  # a power: beyond it, sympy's dense polynomials fill the memory before any time is up
_ADVICE = (
    "Exact algebra gets hard quickly: lower the degrees, use fewer variables or constraints, or give it more "
    "time with seconds=…; scipy.optimize.minimize gives approximate answers of any size."
)


def lagrange(
    f: Expr, variables: Sequence[Symbol], equalities: Sequence[Expr] = (), *, seconds: float | None = 60
) -> Solution:
    """Every real stationary point of f where all the equalities are 0.

    Points where the constraints' gradients are dependent are found as well: a minimum there may have no
    multipliers. (A constraint that is a square, or follows from others, makes them dependent everywhere; for
    the search it counts without the square, or not at all.)

    Args:
        f: a polynomial with rational coefficients.
        variables: N symbols; all that f and the constraints hold.
        equalities: M polynomials that shall be 0, or ``sympy.Eq``.
        seconds: after this time it gives up. None computes in this process, without a limit.

    Returns:
        The points by value of f, with one multiplier λ for each equality: ∇f + Σ λ ∇g = 0.

    Raises:
        ValueError: something that isn't a polynomial with rational coefficients in the variables.
        TimeoutError: time is up.
    """
    return kkt(f, variables, equalities, (), seconds=seconds)


def kkt(
    f: Expr,
    variables: Sequence[Symbol],
    equalities: Sequence[Expr] = (),
    inequalities: Sequence[Expr] = (),
    *,
    seconds: float | None = 60,
) -> Solution:
    """Every point that can be a minimum of f where the equalities are 0 and the inequalities at most 0.

    Each set of inequalities is taken for active in turn: 2ᵏ sets for k of them.

    Args:
        f, variables, equalities, seconds: as in `lagrange`.
        inequalities: polynomials that shall be ≤ 0, or relations with ``<=`` and ``>=``.

    Returns:
        ``points``: feasible, ∇f + Σ λ ∇h + Σ μ ∇g = 0, μ ≥ 0, and μ = 0 where g < 0; or without
        multipliers, where the constraints' gradients are dependent. ``rejected``: stationary for some active
        set, but infeasible or with a negative μ.

    Raises:
        ValueError, TimeoutError: as in `lagrange`.
    """
    problem = Problem(*_checked(f, variables, equalities, inequalities))
    if seconds is None:
        return _solved(problem)
    return run_within(seconds, _solved, problem, advice=_ADVICE)


def bordered_polynomial(hessian: sympy.Matrix, jacobian: sympy.Matrix, z: Symbol) -> Poly:
    """det([[H − zI, Aᵀ], [A, 0]]), by whose roots the document judges a stationary point.

    Its roots are the eigenvalues of H on the tangent space {d: A d = 0}; its degree is N − M if A has full
    rank, and it is 0 if not.

    Args:
        hessian: H, (N, N), of the Lagrangian.
        jacobian: A, (M, N), the constraints' gradients as rows.
        z: the unknown.
    """
    n, m = hessian.rows, jacobian.rows
    shifted = hessian - z * sympy.eye(n)
    border = sympy.Matrix.vstack(shifted.row_join(jacobian.T), jacobian.row_join(sympy.zeros(m, m)))
    entries = DomainMatrix.from_Matrix(border)
    if entries.domain.is_EX:  # numbers such as π, of which sympy knows no field
        return Poly(border.det(method="berkowitz"), z)
    # Elimination over a field of fractions is much quicker than expanding the determinant.
    fractions = entries.to_field()
    return Poly(sympy.cancel(fractions.domain.to_sympy(fractions.det())), z)


def tangent_eigenvalues(hessian: ArrayLike, jacobian: ArrayLike) -> np.ndarray:
    """Eigenvalues of H on the tangent space {d: A d = 0}, as floats, ascending.

    Args:
        hessian: H, (N, N), symmetric.
        jacobian: A, (M, N); the rank is found by numpy's own tolerance.
    """
    hessian, jacobian = np.asarray(hessian, float), np.asarray(jacobian, float)
    _, sizes, directions = np.linalg.svd(jacobian.reshape(-1, len(hessian)))
    tolerance = max(jacobian.shape) * np.finfo(float).eps * sizes.max(initial=0)
    tangent = directions[(sizes > tolerance).sum() :].T
    return np.linalg.eigvalsh(tangent.T @ hessian @ tangent)


def _solved(problem: Problem) -> Solution:
    """Expanding a power can take any time: that too belongs to the process that has a limit."""
    for name, expression in _named(
        problem.objective, problem.equality_expressions, problem.inequality_expressions
    ):
        _check_polynomial(expression, name, problem.variables)
    return problem.solve()


# --- The input ---


def _checked(f: object, variables: object, equalities: object, inequalities: object) -> tuple:
    """The problem as (variables, f, equalities, inequalities), expressions all. Raises ValueError."""
    variables = tuple(variables) if isinstance(variables, Iterable) else (variables,)
    if (
        not variables
        or not all(isinstance(v, Symbol) for v in variables)
        or len({*variables}) < len(variables)
    ):
        raise ValueError(f"variables: expected different sympy symbols, at least one, got {variables}")
    for v in variables:
        said = [word for word in _UNUSED if getattr(v, f"is_{word}")] + ["not real"] * (v.is_real is False)
        if said:
            raise ValueError(
                f"the symbol {v} is declared {said[0]}, which isn't used here: declare it real, and write "
                "what you know of its sign as an inequality"
            )
    for name, given in (("equalities", equalities), ("inequalities", inequalities)):
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ValueError(f"{name}: expected a list, such as [x + y - 1], got {given}")
    h = tuple(_side(g, f"equalities[{i}]", sympy.Eq) for i, g in enumerate(equalities))
    g = tuple(_side(g, f"inequalities[{i}]", sympy.Le, sympy.Ge) for i, g in enumerate(inequalities))
    f = _side(f, "f")
    for name, expression in _named(f, h, g):
        _check_holding(expression, name, variables)
    return variables, f, h, g


def _named(f: Expr, equalities: Sequence[Expr], inequalities: Sequence[Expr]) -> list[tuple[str, Expr]]:
    named = [("f", f)]
    named += [(f"equalities[{i}]", e) for i, e in enumerate(equalities)]
    named += [(f"inequalities[{i}]", e) for i, e in enumerate(inequalities)]
    return named


def _side(given: object, name: str, *relations: type) -> Expr:
    """A constraint as one expression that shall be 0, or at most 0."""
    if isinstance(given, sympy.core.relational.Relational):
        if not isinstance(given, relations):
            raise ValueError(f"{name} is {given}: expected an expression, for inequalities also <= or >=")
        difference = given.lhs - given.rhs
        return -difference if isinstance(given, sympy.Ge) else difference
    if isinstance(given, bool) or given in (sympy.true, sympy.false):
        raise ValueError(f"{name} is {given}, not an expression: == compares; write the difference instead")
    try:
        return sympy.sympify(given, strict=True)
    except (sympy.SympifyError, TypeError, AttributeError):
        raise ValueError(f"{name} is {given!r}: expected a sympy expression") from None


def _check_holding(expression: Expr, name: str, variables: tuple[Symbol, ...]) -> None:
    strangers = sorted(map(str, getattr(expression, "free_symbols", set()) - set(variables)))
    if strangers:
        raise ValueError(
            f"{name} holds {strangers[0]}, which isn't among the variables: give it a number. "
            "(Symbols of one name with different assumptions are different symbols.)"
        )
    if expression.has(sympy.Float):
        raise ValueError(f"{name} holds a decimal fraction, {expression}: write Rational(1, 10) for 0.1")
    if any(power.exp.is_Integer and power.exp > _HIGHEST for power in expression.atoms(sympy.Pow)):
        raise ValueError(f"{name} holds a power above {_HIGHEST}, too high for exact algebra")


def _check_polynomial(expression: Expr, name: str, variables: tuple[Symbol, ...]) -> None:
    try:
        polynomial = Poly(expression, *variables, domain=QQ)
    except (sympy.PolynomialError, sympy.CoercionFailed):
        raise ValueError(
            f"{name} is {expression}, no polynomial with rational coefficients, and only of those are all "
            "solutions found. A root or a quotient can often be replaced by a new variable with an equation"
        ) from None
    if name != "f" and not polynomial.total_degree() > 0:
        raise ValueError(f"{name} is {expression}, which depends on no variable: leave it out, or mend it")
