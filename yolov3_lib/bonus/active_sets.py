"""All candidates for a minimum with conditions: one set of active inequalities after the other.

`lagrange.kkt` checks its input and hands it to a `Problem`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import sympy
from sympy import QQ, Expr, Symbol
from sympy.polys.orderings import grevlex
from sympy.polys.polyclasses import ANP
from sympy.polys.rings import PolyElement, PolyRing

from yolov3_lib.bonus.exact_linear import combination, eliminated, minors, signature
from yolov3_lib.bonus.real_algebra import RealPoint, dimension, real_solutions
from yolov3_lib.bonus.solution import Continuum, Solution, StationaryPoint


@dataclass(frozen=True)
class Problem:
    variables: tuple[Symbol, ...]
    objective: Expr
    equality_expressions: tuple[Expr, ...]
    inequality_expressions: tuple[Expr, ...]

    @cached_property
    def ring(self) -> PolyRing:
        return PolyRing(self.variables, QQ, grevlex)

    @cached_property
    def f(self) -> PolyElement:
        return self.ring.from_expr(sympy.expand(self.objective))

    @cached_property
    def equalities(self) -> list[PolyElement]:
        return [self.ring.from_expr(sympy.expand(e)) for e in self.equality_expressions]

    @cached_property
    def inequalities(self) -> list[PolyElement]:
        return [self.ring.from_expr(sympy.expand(e)) for e in self.inequality_expressions]

    def solve(self) -> Solution:
        points: dict[tuple[Expr, ...], StationaryPoint] = {}
        places: dict[tuple[Expr, ...], list] = {}
        continua: dict[tuple[Expr, ...], Continuum] = {}
        for active in _subsets(range(len(self.inequalities))):
            constraints = self.equalities + [self.inequalities[j] for j in active]
            found, families = _fritz_john(self.f, constraints, self.ring)
            for point in found:
                if point.exact not in points:
                    points[point.exact] = self.describe(point)
                    places[point.exact] = self.place(point)
            for basis in families:
                equations = tuple(p.as_expr() for p in basis)
                if equations in continua:
                    continue
                continuum, singular = self.continuum(basis, active)
                if continuum:
                    continua[equations] = continuum
                for point in singular:
                    points.setdefault(point.exact, self.describe(point))
                    places[point.exact] = self.place(point)
        by_value = [points[x] for x in sorted(points, key=places.get)]
        holding = tuple(point for point in by_value if not point.failed)
        failing = tuple(point for point in by_value if point.failed)
        feasible = True if holding else self.can_be_met(continua)
        return Solution(holding, tuple(continua.values()), failing, feasible)

    def place(self, point: RealPoint) -> list:
        """The value of f and the coordinates, near enough to sort by."""
        return [point.root.approximation(number) for number in (point.at(self.f), *point.coordinates)]

    def can_be_met(self, continua: dict) -> bool | None:
        """Whether any point satisfies the constraints: the one nearest to some place would be stationary."""
        if any(continuum.witness for continuum in continua.values()):
            return True
        witness, _, complete = _feasible_point(
            self.equalities, self.inequalities, self.ring, codimension=None
        )
        return True if witness else (False if complete else None)

    # What a candidate is.

    def describe(self, point: RealPoint) -> StationaryPoint:
        signs = [point.sign(g) for g in self.inequalities]
        active = tuple(j for j, sign in enumerate(signs) if sign == 0)
        exact = point.root.exact
        infeasible = next((j for j, sign in enumerate(signs) if sign > 0), None)
        if infeasible is not None:
            failed = (
                f"infeasible: inequality {infeasible} is {exact(point.at(self.inequalities[infeasible]))} > 0"
            )
            return StationaryPoint(
                point.exact, exact(point.at(self.f)), "rejected", None, None, active, True, failed
            )
        normals = self.equalities + [self.inequalities[j] for j in active]
        rank = len(eliminated([_gradient_at(point, g) for g in normals])[1])
        licq = rank == len(normals)
        multipliers, failed = self.multipliers(point, active, licq or all(map(_is_affine, normals)))
        kind = "undecided" if multipliers is None or failed else self.kind(point, active, multipliers, licq)
        m = len(self.equalities)
        shown = None if multipliers is None else tuple(exact(number) for number in multipliers)
        return StationaryPoint(
            x=point.exact,
            value=exact(point.at(self.f)),
            kind="rejected" if failed else kind,
            multipliers=None if shown is None else shown[:m],
            inequality_multipliers=None if shown is None else shown[m:],
            active=active,
            licq=licq,
            failed=failed,
        )

    def multipliers(
        self, point: RealPoint, active: tuple[int, ...], qualified: bool
    ) -> tuple[list[ANP] | None, str]:
        """Multipliers (λ, μ) with μ ≥ 0; else some of the wrong sign, and why; else None."""
        m, zero = len(self.equalities), point.root.number([])
        wrong = None
        # If any multipliers will do, then also some whose gradients are independent (Carathéodory).
        for chosen in sorted(_subsets(active), key=len, reverse=True):
            normals = self.equalities + [self.inequalities[j] for j in chosen]
            solved = combination([_gradient_at(point, g) for g in normals], _gradient_at(point, self.f))
            if solved is None:
                continue
            numbers = solved[:m] + [zero] * len(self.inequalities)
            for j, number in zip(chosen, solved[m:], strict=True):
                numbers[m + j] = number
            negative = [j for j in chosen if point.root.sign(numbers[m + j]) < 0]
            if not negative:
                return numbers, ""
            wrong = wrong or (numbers, f"the multiplier of inequality {negative[0]} is negative")
        if wrong is None or not qualified:
            return None, ""
        return wrong

    def kind(self, point: RealPoint, active: tuple[int, ...], multipliers: list[ANP], licq: bool) -> str:
        """By the Lagrangian's Hessian, in the directions that the constraints leave open."""
        mu = multipliers[len(self.equalities) :]
        strong = [j for j in active if mu[j]]
        weak = [j for j in active if not mu[j]]
        hessian = self.lagrangian_hessian(point, multipliers)

        def curvature(held: Sequence[int]) -> tuple[int, int, int]:
            normals = self.equalities + [self.inequalities[j] for j in held]
            return signature(hessian, [_gradient_at(point, g) for g in normals], point.root)

        positive, negative, zero = curvature(strong)
        if not negative and not zero:
            # That suffices without any constraint qualification.
            return "minimum" if positive or strong else "isolated"
        if not positive and not zero and not strong:
            return "maximum"
        if not licq:
            return "undecided"
        # A weakly active inequality halves the open directions; a quadratic form is the same on both
        # halves. Two or more leave a wedge: surely open are the directions along all of them.
        sure = curvature(strong if len(weak) <= 1 else active)
        return "saddle" if sure[1] and (strong or sure[0]) else "undecided"

    def lagrangian_hessian(self, point: RealPoint, multipliers: list[ANP]) -> list[list[ANP]]:
        n, zero = len(self.variables), point.root.number([])
        total = [[zero] * n for _ in range(n)]
        weights = [point.root.number([QQ(1)]), *multipliers]
        for weight, function in zip(weights, [self.f, *self.equalities, *self.inequalities], strict=True):
            for i in range(n):
                for j in range(n):
                    total[i][j] += weight * point.at(function.diff(i).diff(j))
        return total

    def continuum(
        self, basis: list[PolyElement], active: tuple[int, ...]
    ) -> tuple[Continuum | None, list[RealPoint]]:
        """A family of candidates, None where surely nothing of it is real and feasible; singular points."""
        codimension = len(self.variables) - dimension(basis, self.ring)
        witness, singular, complete = _feasible_point(basis, self.inequalities, self.ring, codimension)
        if witness is None and complete:
            return None, []
        rest = self.f.rem(basis) if basis else self.f
        value = QQ.to_sympy(rest.coeff(1)) if rest.is_ground else None
        described = self.describe(witness) if witness else None
        return Continuum(tuple(p.as_expr() for p in basis), active, value, described), singular


def _fritz_john(
    f: PolyElement, constraints: list[PolyElement], ring: PolyRing
) -> tuple[list[RealPoint], list[list[PolyElement]]]:
    """Where all constraints are 0 and their gradients together with that of f are linearly dependent.

    That holds at every local minimum and maximum, whether or not the constraints' own gradients are
    independent: all minors of the gradients' matrix vanish. No multiplier is an unknown here, so one that
    isn't unique can't make infinitely many solutions of one point.
    """
    rows = [_gradient(g) for g in (f, *_without_repetition(constraints))]
    return real_solutions([*constraints, *minors(rows, len(rows))], ring)


def _without_repetition(constraints: list[PolyElement]) -> list[PolyElement]:
    """Leaves out a linear constraint whose gradient depends on linear ones before it: it adds nothing."""
    kept, rows = [], []
    for constraint in constraints:
        if _is_affine(constraint):
            row = [p.coeff(1) for p in _gradient(constraint)]
            if len(eliminated([*rows, row])[1]) == len(rows):
                continue
            rows.append(row)
        kept.append(constraint)
    return kept


def _feasible_point(
    equations: list[PolyElement], inequalities: list[PolyElement], ring: PolyRing, codimension: int | None
) -> tuple[RealPoint | None, list[RealPoint], bool]:
    """A real solution of the equations that satisfies the inequalities, if one is found.

    A closed set that isn't empty has a point nearest to any given one, and that is stationary for the
    distance.

    Args:
        codimension: of the equations' solutions, if a smooth point of them is wanted; None for any point.

    Returns:
        The point; where there is none, those that aren't smooth; and whether the search was complete.
    """
    complete, singular = False, []
    for k in range(3):
        anchor = [QQ(0) if k == 0 else QQ(i + k, 1 + 2 * i + k) for i in range(ring.ngens)]
        distance = sum(((x - a) ** 2 for x, a in zip(ring.gens, anchor, strict=True)), ring.zero)
        whole = True
        for active in _subsets(range(len(inequalities))):
            constraints = equations + [inequalities[j] for j in active]
            if codimension is None:
                points, families = _fritz_john(distance, constraints, ring)
            else:
                # A basis may hold more equations than its solutions have codimensions.
                rows = [_gradient(p) for p in (distance, *constraints)]
                dependent = minors(rows, codimension + len(active) + 1)
                points, families = real_solutions([*constraints, *dependent], ring)
            whole = whole and not families
            for point in points:
                smooth = codimension in (
                    None,
                    len(eliminated([_gradient_at(point, p) for p in equations])[1]),
                )
                if all(point.sign(g) <= 0 for g in inequalities):
                    if smooth:
                        return point, [], True
                    singular.append(point)
                    whole = False
        # With several equations a part of lower dimension might hide from the minors.
        complete = complete or (whole and (codimension is None or len(equations) == codimension))
    return None, singular, complete


def _subsets(items: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for size in range(len(items) + 1):
        yield from combinations(items, size)


def _is_affine(polynomial: PolyElement) -> bool:
    return all(sum(powers) <= 1 for powers in polynomial)


def _gradient(polynomial: PolyElement) -> list[PolyElement]:
    return [polynomial.diff(i) for i in range(polynomial.ring.ngens)]


def _gradient_at(point: RealPoint, polynomial: PolyElement) -> list[ANP]:
    return [point.at(p) for p in _gradient(polynomial)]
