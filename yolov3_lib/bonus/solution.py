"""What the bonus chapter on Lagrange multipliers finds: points, continua, and the whole of a solution."""

from collections.abc import Sequence
from dataclasses import dataclass

from sympy import Expr


@dataclass(frozen=True)
class StationaryPoint:
    """A point that may be a minimum, and what the conditions say of it. Numbers are exact sympy numbers.

    Attributes:
        x: the N coordinates, in the order of the variables.
        value: of f.
        kind: "minimum", "maximum" (both strict and local), "saddle" (neither), "isolated" (the equations
            leave no other point nearby), "undecided" by derivatives up to the second; or "rejected".
        multipliers: one for each equation; None where no multipliers exist.
        inequality_multipliers: one for each inequality, 0 where it isn't active; None as above.
        active: the positions of the inequalities that are equations here.
        licq: whether the gradients of the equations and the active inequalities are linearly independent. If
            they aren't, multipliers may be missing at a minimum, or not be the only ones.
        failed: the condition that fails, in words; empty where all hold.
    """

    x: tuple[Expr, ...]
    value: Expr
    kind: str
    multipliers: tuple[Expr, ...] | None
    inequality_multipliers: tuple[Expr, ...] | None
    active: tuple[int, ...]
    licq: bool
    failed: str = ""

    def __str__(self) -> str:
        parts = [f"x = {_listed(self.x)}", f"f = {self.value}", self.failed or self.kind]
        for letter, numbers in (("λ", self.multipliers), ("μ", self.inequality_multipliers)):
            parts += [f"{letter} = {_listed(numbers)}"] if numbers else []
        parts += ["no multipliers"] if self.multipliers is None and not self.failed else []
        parts += [] if self.licq else ["the constraints' gradients are dependent"]
        return "; ".join(parts)


@dataclass(frozen=True)
class Continuum:
    """Stationary points without number: a curve or a surface, given by its equations.

    Attributes:
        equations: all zero there, and nowhere else.
        active: the inequalities that were taken as equations to find it.
        value: f, where it's the same on all of it by algebra; else None.
        witness: one real and feasible point of it near which there are infinitely many; None where none was
            found. Then the complex solutions are infinitely many; of the real and feasible ones, those that
            were met stand among the points, and more isn't known.
    """

    equations: tuple[Expr, ...]
    active: tuple[int, ...]
    value: Expr | None
    witness: StationaryPoint | None

    def __str__(self) -> str:
        where = ", ".join(f"{equation} = 0" for equation in self.equations) or "every point"
        value = f"; f = {self.value}" if self.value is not None else ""
        if self.witness is None:
            found = "that it has infinitely many real feasible points wasn't shown"
            return f"a continuum over the complex numbers: {where}{value}; {found}"
        return f"a continuum: {where}{value}; on it {self.witness}"


@dataclass(frozen=True)
class Solution:
    """What `lagrange` and `kkt` find.

    Attributes:
        points: those where the conditions hold, and those that no condition can judge, by value.
        continua: infinitely many such points at a time. Those where a condition surely fails all along are
            left out.
        rejected: stationary points of `kkt` where a condition fails, which ``failed`` names.
        feasible: whether any point satisfies the constraints; None where that wasn't decided.
    """

    points: tuple[StationaryPoint, ...]
    continua: tuple[Continuum, ...]
    rejected: tuple[StationaryPoint, ...]
    feasible: bool | None

    @property
    def lowest(self) -> tuple[StationaryPoint, ...]:
        """The points with the smallest value of f.

        If f has a smallest value on the constraints at all, it's taken at one of these, or on a continuum. On
        a closed and bounded set it has one (Weierstrass). Else it may have none: f may fall without end.
        """
        return tuple(point for point in self.points if point.value == self.points[0].value)

    def __str__(self) -> str:
        lines = [str(point) for point in self.points] + [str(continuum) for continuum in self.continua]
        if not lines and self.feasible is False:
            lines = ["no point satisfies the constraints"]
        elif not lines:
            condition = "" if self.feasible else "if any point satisfies the constraints, "
            lines = [f"no stationary point: {condition}f has no smallest value there"]
        return "\n".join([*lines, *(f"rejected: {point}" for point in self.rejected)])


def _listed(numbers: Sequence[Expr]) -> str:
    return f"({', '.join(map(str, numbers))})"
