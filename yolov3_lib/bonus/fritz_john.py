"""Where a minimum with conditions can be: Fritz John's points; and whether a set has a feasible point."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from sympy import QQ
from sympy.polys.groebnertools import groebner
from sympy.polys.polyclasses import ANP
from sympy.polys.rings import PolyElement, PolyRing

from yolov3_lib.bonus.exact_linear import determinant, eliminated, minors
from yolov3_lib.bonus.real_algebra import RealPoint, real_solutions


def fritz_john(
    f: PolyElement, constraints: list[PolyElement], ring: PolyRing
) -> tuple[list[RealPoint], list[list[PolyElement]]]:
    """Where all constraints are 0 and their gradients together with that of f are linearly dependent.

    That holds at every local minimum and maximum, whether or not the constraints' own gradients are
    independent: all minors of the gradients' matrix vanish. No multiplier is an unknown here, so one that
    isn't unique can't make infinitely many solutions of one point.
    """
    needed = _without_repetition(constraints, ring)
    rows = [gradient(g) for g in (f, *needed)]
    return real_solutions([*needed, *minors(rows, len(rows))], ring)


def _without_repetition(constraints: list[PolyElement], ring: PolyRing) -> list[PolyElement]:
    """Polynomials that are 0 on the same set, without squares and without those that follow from others.

    Either would make the gradients dependent everywhere, though the set is as smooth as before.
    """
    kept, basis = [], []
    for constraint in constraints:
        simple = ring.one
        for factor, _ in constraint.factor_list()[1]:
            simple = simple * factor
        if not basis or simple.rem(basis):
            kept.append(simple)
            basis = groebner(kept, ring)
    return kept


def feasible_point(
    equations: list[PolyElement], inequalities: list[PolyElement], ring: PolyRing, codimension: int | None
) -> tuple[RealPoint | None, list[RealPoint], bool]:
    """A real solution of the equations that satisfies the inequalities, if one is found.

    A closed set that isn't empty has a point nearest to any given one, and that is stationary for the
    distance.

    Args:
        equations, inequalities: polynomials, to be 0 and at most 0.
        ring: theirs.
        codimension: of the equations' solutions, if a point is wanted near which there are infinitely many;
            None for any point.

    Returns:
        The point; where there is none, those about whose neighborhood nothing is known; and whether the
        search was complete.
    """
    unclear = []
    for k in range(3):
        anchor = [QQ(0) if k == 0 else QQ(i + k, 1 + 2 * i + k) for i in range(ring.ngens)]
        distance = sum(((x - a) ** 2 for x, a in zip(ring.gens, anchor, strict=True)), ring.zero)
        whole = True
        for active in subsets(range(len(inequalities))):
            constraints = equations + [inequalities[j] for j in active]
            if codimension is None:
                points, families = fritz_john(distance, constraints, ring)
            else:
                # A basis may hold more equations than its solutions have codimensions.
                rows = [gradient(p) for p in (distance, *constraints)]
                dependent = minors(rows, codimension + len(active) + 1)
                points, families = real_solutions([*constraints, *dependent], ring)
            whole = whole and not families
            for point in points:
                signs = [point.sign(g) for g in inequalities]
                if any(sign > 0 for sign in signs):
                    continue
                tight = [g for g, sign in zip(inequalities, signs, strict=True) if sign == 0]
                if codimension is None or _is_roomy(point, equations, tight, codimension):
                    return point, [], True
                unclear.append(point)
                whole = False
        # With several equations a part of lower dimension might hide from the minors.
        if whole and (codimension is None or len(equations) == codimension):
            return None, [], True
    return None, unclear, False


def _is_roomy(
    point: RealPoint, equations: list[PolyElement], tight: list[PolyElement], codimension: int
) -> bool:
    """Whether the equations' solutions are smooth here and the tight inequalities cut off only a part."""
    smooth = len(eliminated([gradient_at(point, p) for p in equations])[1]) == codimension
    normals = [gradient_at(point, p) for p in (*equations, *tight)]
    return smooth and len(eliminated(normals)[1]) == codimension + len(tight)


def multiplier_signs(
    f: PolyElement, equalities: list[PolyElement], active: list[PolyElement]
) -> list[PolyElement]:
    """One polynomial for each active inequality, at most 0 where its multiplier is at least 0.

    With G the Gram matrix of all gradients, G · multipliers = −(gradients · ∇f): Cramer's rule, and det G > 0
    where the gradients are independent. Where they are dependent, and ∇f depends on them, all are 0.
    """
    normals = [gradient(g) for g in (*equalities, *active)]
    if len(normals) > f.ring.ngens:
        return []
    gram = [[_dot(u, v) for v in normals] for u in normals]
    slopes = [_dot(u, gradient(f)) for u in normals]
    return [
        determinant([[*row[:j], slope, *row[j + 1 :]] for row, slope in zip(gram, slopes, strict=True)])
        for j in range(len(equalities), len(normals))
    ]


def subsets(items: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for size in range(len(items) + 1):
        yield from combinations(items, size)


def is_affine(polynomial: PolyElement) -> bool:
    return all(sum(powers) <= 1 for powers in polynomial)


def gradient(polynomial: PolyElement) -> list[PolyElement]:
    return [polynomial.diff(i) for i in range(polynomial.ring.ngens)]


def gradient_at(point: RealPoint, polynomial: PolyElement) -> list[ANP]:
    return [point.at(p) for p in gradient(polynomial)]


def _dot(u: list[PolyElement], v: list[PolyElement]) -> PolyElement:
    return sum((a * b for a, b in zip(u, v, strict=True)), u[0].ring.zero)
