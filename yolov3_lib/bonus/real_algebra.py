"""All real solutions of polynomial equations with rational coefficients, exactly.

The way is classical. A Gröbner basis tells whether the equations have finitely many complex solutions. If so,
polynomials modulo the equations form a vector space over the rational numbers, of finite dimension. Splitting
it along the factors of minimal polynomials turns it into number fields Q(α), each with one irreducible
polynomial for α, and every coordinate becomes a polynomial in α. The real solutions are the real roots α:
none is missed, and each can be told from its neighbors.

In Q(α) everything that we ask is decidable: zero is tested by division, a sign by closing in on α.
Sources: Cox, Little & O'Shea, *Ideals, Varieties, and Algorithms*; Seidenberg's lemma for the radical.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, count

import sympy
from sympy import QQ, Expr, Poly
from sympy.polys.densearith import dup_rem
from sympy.polys.densebasic import dup_strip
from sympy.polys.groebnertools import groebner
from sympy.polys.polyclasses import ANP
from sympy.polys.rings import PolyElement, PolyRing

_T = sympy.Symbol("t")


class RealRoot:
    """A real root α of an irreducible polynomial, and with it the numbers of Q(α), which are ``ANP`` objects.

    Args:
        modulus: coefficients of the polynomial, rational, the highest first.
        low, high: rational ends of an interval that holds this root and no other.
    """

    def __init__(self, modulus: Sequence, low: object, high: object) -> None:
        self.modulus = list(modulus)
        self.low, self.high = QQ.convert(low), QQ.convert(high)
        self._sign_at_low = _horner(self.modulus, self.low) > 0

    def number(self, coefficients: Sequence) -> ANP:
        """The polynomial in α with these coefficients, the highest first."""
        return ANP(dup_rem(dup_strip(list(coefficients)), self.modulus, QQ), self.modulus, QQ)

    def halve(self) -> None:
        """Close in on α by a factor of two. An irreducible polynomial is never 0 at a rational middle."""
        if self.low == self.high:
            return
        middle = (self.low + self.high) / 2
        if (_horner(self.modulus, middle) > 0) == self._sign_at_low:
            self.low = middle
        else:
            self.high = middle

    def interval(self, number: ANP) -> tuple[object, object]:
        """Rational bounds of a number, as narrow as the interval of α makes them."""
        low = high = QQ(0)
        for coefficient in number.to_list():
            ends = [a * b for a in (low, high) for b in (self.low, self.high)]
            low, high = min(ends) + coefficient, max(ends) + coefficient
        return low, high

    def sign(self, number: ANP) -> int:
        """−1, 0 or 1, exactly: a number that isn't the zero of Q(α) has bounds that in the end exclude 0."""
        if not number:
            return 0
        while True:
            low, high = self.interval(number)
            if low > 0 or high < 0:
                return 1 if low > 0 else -1
            self.halve()

    def exact(self, number: ANP) -> Expr:
        """A number as sympy writes it: rational, with a square root, or a root of its minimal polynomial."""
        digits = number.to_list()
        if len(digits) <= 1:
            return QQ.to_sympy(digits[0]) if digits else sympy.Integer(0)
        size, powers = len(self.modulus) - 1, _powers(number, self.number([QQ(1)]))
        relation = first_relation(_padded(power.to_list(), size) for power in powers)
        minimal = Poly(relation[::-1], _T, domain=QQ)
        places = [(QQ.convert(low), QQ.convert(high)) for (low, high), _ in minimal.intervals()]
        while True:
            low, high = self.interval(number)
            met = [k for k, (start, end) in enumerate(places) if start <= high and low <= end]
            if len(met) == 1:
                return sympy.rootof(minimal, met[0])  # sympy counts real roots first, from the left
            self.halve()


def is_below(root: RealRoot, number: ANP, other_root: RealRoot, other: ANP) -> bool:
    """Whether a number is less than one of another field. It ends only if the two are different."""
    while True:
        (low, high), (other_low, other_high) = root.interval(number), other_root.interval(other)
        if high < other_low or other_high < low:
            return high < other_low
        root.halve()
        other_root.halve()


class RealPoint:
    """One real solution.

    Attributes:
        root: the α in whose field the coordinates lie.
        coordinates: N numbers of Q(α).
        exact: the same as N sympy numbers; equal points have equal ones.
    """

    def __init__(self, root: RealRoot, coordinates: Sequence[ANP]) -> None:
        self.root, self.coordinates = root, tuple(coordinates)
        self.exact = tuple(root.exact(number) for number in self.coordinates)

    def at(self, polynomial: PolyElement) -> ANP:
        """A polynomial's value here, a number of Q(α)."""
        total = self.root.number([])
        for powers, coefficient in polynomial.terms():
            term = self.root.number([coefficient])
            for number, power in zip(self.coordinates, powers, strict=True):
                term = term * number**power
            total = total + term
        return total

    def sign(self, polynomial: PolyElement) -> int:
        """The sign of a polynomial's value here: −1, 0 or 1."""
        return self.root.sign(self.at(polynomial))


def real_solutions(
    equations: Iterable[PolyElement], ring: PolyRing
) -> tuple[list[RealPoint], list[list[PolyElement]]]:
    """Where all the polynomials are zero: the solutions, and whatever of them isn't finite.

    Args:
        equations: polynomials of the ring. None at all means every point of the space.
        ring: polynomials over QQ, in a graded order.

    Returns:
        Points: every real solution outside the families, each once.
        Families: bases of equations, each with infinitely many complex solutions. Their real solutions may
        be a curve, single points or none: this function doesn't say.
    """
    finite, families = [], []
    for basis in _branches([p for p in equations if p], ring):
        (finite if _is_finite(basis, ring) else families).append(basis)
    families = [a for i, a in enumerate(families) if not _covered(a, families[:i], families[i + 1 :])]
    points: dict[tuple[Expr, ...], RealPoint] = {}
    for basis in finite:
        for modulus, coordinates in _fields(basis, ring):
            for (low, high), _ in Poly(modulus, _T, domain=QQ).intervals():
                root = RealRoot(modulus, low, high)
                point = RealPoint(root, [root.number(c) for c in coordinates])
                if not any(all(point.sign(p) == 0 for p in family) for family in families):
                    points.setdefault(point.exact, point)
    return list(points.values()), families


def dimension(basis: Sequence[PolyElement], ring: PolyRing) -> int:
    """The complex dimension of a basis's solutions: 0 for points, 1 for curves; −1 where there are none."""
    if any(p.is_ground for p in basis):
        return -1
    supports = [{i for i, power in enumerate(p.leading_expv()) if power} for p in basis]
    for size in range(ring.ngens, -1, -1):
        for free in map(set, combinations(range(ring.ngens), size)):
            if not any(support <= free for support in supports):
                return size
    return -1


def first_relation(vectors: Iterable[Sequence]) -> list:
    """Coefficients of the first vector that depends on those before it: their sum is 0, its own is 1."""
    rows: list[tuple[int, list, list]] = []
    for k, vector in enumerate(vectors):
        vector, combination = list(vector), [QQ(0)] * k + [QQ(1)]
        for pivot, row, used in rows:
            factor = vector[pivot]
            if factor:
                vector = [v - factor * r for v, r in zip(vector, row, strict=True)]
                used = used + [QQ(0)] * (k + 1 - len(used))
                combination = [c - factor * u for c, u in zip(combination, used, strict=True)]
        pivot = next((i for i, value in enumerate(vector) if value), None)
        if pivot is None:
            return combination
        scale = vector[pivot]
        rows.append((pivot, [v / scale for v in vector], [c / scale for c in combination]))
    raise ValueError("the vectors are independent")


def _branches(equations: list[PolyElement], ring: PolyRing) -> Iterator[list[PolyElement]]:
    """Gröbner bases whose solutions together are those of the equations; no element has two factors."""
    waiting, seen = [equations], set()
    while waiting:
        known = waiting.pop()
        basis = groebner(known, ring) if known else []
        if any(p.is_ground for p in basis) or frozenset(basis) in seen:
            continue
        seen.add(frozenset(basis))
        for i, element in enumerate(basis):
            factors = element.factor_list()[1]
            if len(factors) > 1 or factors[0][1] > 1:
                # A product is 0 where one of its factors is.
                waiting += [[*basis[:i], *basis[i + 1 :], factor] for factor, _ in factors]
                break
        else:
            yield basis


def _is_finite(basis: list[PolyElement], ring: PolyRing) -> bool:
    return dimension(basis, ring) == 0


def _covered(basis: list[PolyElement], before: list[list], after: list[list]) -> bool:
    """Whether another family holds all solutions of this one; of two that are equal, the first stays."""

    def inside(one: list[PolyElement], other: list[PolyElement]) -> bool:
        return all(not p.rem(one) for p in other)

    return any(inside(basis, other) for other in before) or any(
        inside(basis, other) and not inside(other, basis) for other in after
    )


def _fields(basis: list[PolyElement], ring: PolyRing) -> Iterator[tuple[list, list[list]]]:
    """The number fields that finitely many solutions live in: α's polynomial, and the coordinates in α."""
    waiting = [basis]
    while waiting:
        basis = waiting.pop()
        if any(p.is_ground for p in basis):
            continue
        monomials = _standard_monomials(basis, ring)
        for form in _linear_forms(ring):
            powers = _powers(form, ring.one, basis)
            relation = first_relation(_vector(power, monomials) for power in powers)
            factors = Poly(relation[::-1], _T, domain=QQ).factor_list()[1]
            if len(factors) > 1 or factors[0][1] > 1:
                for factor, _ in factors:
                    waiting.append(groebner([*basis, _horner(factor.rep.to_list(), form, basis)], ring))
                break
            # Irreducible and of full degree: modulo the equations, every polynomial is one in this form.
            if len(relation) - 1 == len(monomials):
                yield relation[::-1], [_in_powers(x, form, basis, monomials) for x in ring.gens]
                break


def _in_powers(x: PolyElement, form: PolyElement, basis: list, monomials: list) -> list:
    """Coefficients of x as a polynomial in the form, modulo the basis; the highest first."""
    powers = _powers(form, form.ring.one, basis)
    vectors = [_vector(power, monomials) for power, _ in zip(powers, monomials, strict=False)]
    relation = first_relation([*vectors, _vector(x.rem(basis), monomials)])
    return [-c for c in relation[:-1]][::-1]


def _standard_monomials(basis: list[PolyElement], ring: PolyRing) -> list[tuple[int, ...]]:
    """The monomials that no leading term of the basis divides: a basis of the quotient space."""
    leading = [p.leading_expv() for p in basis]
    found, waiting = set(), [(0,) * ring.ngens]
    while waiting:
        monomial = waiting.pop()
        divisible = any(all(a <= b for a, b in zip(lead, monomial, strict=True)) for lead in leading)
        if monomial in found or divisible:
            continue
        found.add(monomial)
        waiting += [(*monomial[:i], power + 1, *monomial[i + 1 :]) for i, power in enumerate(monomial)]
    return sorted(found)


def _linear_forms(ring: PolyRing) -> Iterator[PolyElement]:
    """The variables, then sums of them; all but finitely many of these tell the solutions apart."""
    yield from ring.gens
    for k in count(1):
        yield sum((x * k**i for i, x in enumerate(ring.gens)), ring.zero)


def _powers(base: object, one: object, basis: list[PolyElement] | None = None) -> Iterator:
    power = one
    while True:
        yield power
        power = power * base
        if basis is not None:
            power = power.rem(basis)


def _vector(polynomial: PolyElement, monomials: list[tuple[int, ...]]) -> list:
    return [polynomial.get(monomial, QQ(0)) for monomial in monomials]


def _padded(digits: list, size: int) -> list:
    return [QQ(0)] * (size - len(digits)) + digits


def _horner(coefficients: Sequence, x: object, basis: list[PolyElement] | None = None) -> object:
    value = 0 * x
    for coefficient in coefficients:
        value = value * x + coefficient
        if basis is not None:
            value = value.rem(basis)
    return value
