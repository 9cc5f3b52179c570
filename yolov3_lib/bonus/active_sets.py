"""All candidates for a minimum with conditions: one set of active inequalities after the other.

`lagrange.kkt` checks its input and hands it to a `Problem`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, cmp_to_key

import sympy
from sympy import QQ, Expr, Symbol
from sympy.polys.orderings import grevlex
from sympy.polys.polyclasses import ANP
from sympy.polys.rings import PolyElement, PolyRing

from yolov3_lib.bonus.exact_linear import combination, eliminated, signature
from yolov3_lib.bonus.fritz_john import (
    feasible_point,
    fritz_john,
    gradient_at,
    is_affine,
    multiplier_signs,
    subsets,
)
from yolov3_lib.bonus.real_algebra import RealPoint, dimension, is_below
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
        met: dict[tuple[Expr, ...], RealPoint] = {}
        continua: dict[tuple[Expr, ...], Continuum] = {}
        for active in subsets(range(len(self.inequalities))):
            constraints = self.equalities + [self.inequalities[j] for j in active]
            found, families = fritz_john(self.f, constraints, self.ring)
            for basis in families:
                equations = tuple(p.as_expr() for p in basis)
                if equations in continua:
                    continue
                continuum, unclear = self.continuum(basis, active)
                if continuum:
                    continua[equations] = continuum
                found = found + unclear
            for point in found:
                met.setdefault(point.exact, point)
        described = [(point, self.describe(point)) for point in met.values()]
        by_value = [shown for _, shown in sorted(described, key=cmp_to_key(self.order))]
        holding = tuple(point for point in by_value if not point.failed)
        failing = tuple(point for point in by_value if point.failed)
        feasible = True if holding else self.can_be_met(continua)
        return Solution(holding, tuple(continua.values()), failing, feasible)

    def order(self, one: tuple[RealPoint, StationaryPoint], two: tuple[RealPoint, StationaryPoint]) -> int:
        """−1, 0 or 1, by the value of f and then by the coordinates, exactly."""
        (a, shown_a), (b, shown_b) = one, two
        names = zip((shown_a.value, *shown_a.x), (shown_b.value, *shown_b.x), strict=True)
        numbers = zip((a.at(self.f), *a.coordinates), (b.at(self.f), *b.coordinates), strict=True)
        for (name_a, name_b), (number_a, number_b) in zip(names, numbers, strict=True):
            if name_a != name_b:
                return -1 if is_below(a.root, number_a, b.root, number_b) else 1
        return 0

    def can_be_met(self, continua: dict) -> bool | None:
        """Whether any point satisfies the constraints: the one nearest to some place would be stationary."""
        if any(continuum.witness for continuum in continua.values()):
            return True
        witness, _, complete = feasible_point(self.equalities, self.inequalities, self.ring, codimension=None)
        return True if witness else (False if complete else None)

    # What a candidate is.

    def describe(self, point: RealPoint) -> StationaryPoint:
        signs = [point.sign(g) for g in self.inequalities]
        active = tuple(j for j, sign in enumerate(signs) if sign == 0)
        exact = point.root.exact
        normals = self.equalities + [self.inequalities[j] for j in active]
        rank = len(eliminated([gradient_at(point, g) for g in normals])[1])
        licq = rank == len(normals)
        infeasible = next((j for j, sign in enumerate(signs) if sign > 0), None)
        if infeasible is not None:
            failed = (
                f"infeasible: inequality {infeasible} is {exact(point.at(self.inequalities[infeasible]))} > 0"
            )
            return StationaryPoint(
                point.exact, exact(point.at(self.f)), "rejected", None, None, active, licq, failed
            )
        multipliers, failed = self.multipliers(point, active, licq or all(map(is_affine, normals)))
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
        for chosen in sorted(subsets(active), key=len, reverse=True):
            normals = self.equalities + [self.inequalities[j] for j in chosen]
            solved = combination([gradient_at(point, g) for g in normals], gradient_at(point, self.f))
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
            return signature(hessian, [gradient_at(point, g) for g in normals], point.root)

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
        """A family of candidates, None where surely no minimum is on it; and points of it that may be alone.

        A minimum that needs other inequalities to be active for its multipliers is met with that set.
        """
        conditions = self.inequalities + multiplier_signs(
            self.f, self.equalities, [self.inequalities[j] for j in active]
        )
        if basis:
            conditions = [p.rem(basis) for p in conditions]
        if any(p.is_ground and p.LC > 0 for p in conditions):
            return None, []
        conditions = [p for p in conditions if not p.is_ground]
        codimension = len(self.variables) - dimension(basis, self.ring)
        witness, unclear, complete = feasible_point(basis, conditions, self.ring, codimension)
        if witness is None and complete:
            return None, []
        rest = self.f.rem(basis) if basis else self.f
        value = QQ.to_sympy(rest.coeff(1)) if rest.is_ground else None
        described = self.describe(witness) if witness else None
        return Continuum(tuple(p.as_expr() for p in basis), active, value, described), unclear
