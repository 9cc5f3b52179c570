"""Linear algebra in exact arithmetic: over rational numbers and number fields; minors of polynomials too."""

from itertools import combinations, pairwise

from sympy import QQ
from sympy.polys.polyclasses import ANP
from sympy.polys.rings import PolyElement

from yolov3_lib.bonus.real_algebra import RealRoot


def minors(rows: list[list[PolyElement]], size: int) -> list[PolyElement]:
    columns = range(len(rows[0]))
    if size > len(rows) or size > len(columns):
        return []
    return [
        determinant([[row[j] for j in chosen] for row in some])
        for some in combinations(rows, size)
        for chosen in combinations(columns, size)
    ]


def determinant(matrix: list[list]) -> object:
    """By the first row: without division, for polynomials can't be divided."""
    if len(matrix) == 1:
        return matrix[0][0]
    rest = matrix[1:]
    cofactors = [determinant([row[:j] + row[j + 1 :] for row in rest]) for j in range(len(matrix))]
    terms = [entry * cofactor for entry, cofactor in zip(matrix[0], cofactors, strict=True)]
    return sum(terms[2::2], terms[0]) - sum(terms[3::2], terms[1])


def eliminated(rows: list[list]) -> tuple[list[list], list[int]]:
    """The reduced row echelon form without its zero rows, and the pivots' columns."""
    rows, pivots = [list(row) for row in rows], []
    for column in range(len(rows[0]) if rows else 0):
        top = len(pivots)
        pivot = next((i for i in range(top, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[top], rows[pivot] = rows[pivot], rows[top]
        inverse = rows[top][column] ** -1
        rows[top] = [inverse * value for value in rows[top]]
        for i, row in enumerate(rows):
            if i != top and row[column]:
                factor = row[column]
                rows[i] = [a - factor * b for a, b in zip(row, rows[top], strict=True)]
        pivots.append(column)
    return rows[: len(pivots)], pivots


def combination(vectors: list[list[ANP]], target: list[ANP]) -> list[ANP] | None:
    """Numbers with target + Σ number · vector = 0, 0 for a vector not needed; None if there are none."""
    columns = [*vectors, [-1 * value for value in target]]
    rows, pivots = eliminated([list(row) for row in zip(*columns, strict=True)])
    if len(vectors) in pivots:
        return None
    numbers = [0 * target[0]] * len(vectors)
    for row, pivot in zip(rows, pivots, strict=True):
        numbers[pivot] = row[-1]
    return numbers


def signature(matrix: list[list[ANP]], normals: list[list[ANP]], root: RealRoot) -> tuple[int, int, int]:
    """How many eigenvalues of a symmetric matrix on {d: normal · d = 0} are positive, negative, zero."""
    n, one, zero = len(matrix), root.number([QQ(1)]), root.number([])
    rows, pivots = eliminated(normals)
    basis = []
    for free in (j for j in range(n) if j not in pivots):
        direction = [one if j == free else zero for j in range(n)]
        for row, pivot in zip(rows, pivots, strict=True):
            direction[pivot] = -1 * row[free]
        basis.append(direction)

    def form(u: list[ANP], v: list[ANP]) -> ANP:
        return sum((u[i] * matrix[i][j] * v[j] for i in range(n) for j in range(n)), zero)

    coefficients = _characteristic_polynomial([[form(u, v) for v in basis] for u in basis], one)
    signs = [root.sign(c) for c in coefficients]
    nonzero = [sign for sign in signs if sign]
    # Descartes' rule counts positive roots exactly where all roots are real, as a symmetric matrix's are.
    positive = sum(a != b for a, b in pairwise(nonzero))
    null = next(i for i, sign in enumerate(reversed(signs)) if sign)
    return positive, len(basis) - positive - null, null


def _characteristic_polynomial(matrix: list[list[ANP]], one: ANP) -> list[ANP]:
    """Coefficients of det(zI − matrix), the highest first, by Faddeev and LeVerrier."""
    size, coefficients = len(matrix), [one]
    power = [[0 * one] * size for _ in range(size)]
    for k in range(1, size + 1):
        for i in range(size):
            power[i][i] += coefficients[-1]
        power = [
            [sum((matrix[i][h] * power[h][j] for h in range(size)), 0 * one) for j in range(size)]
            for i in range(size)
        ]
        trace = sum((power[i][i] for i in range(size)), 0 * one)
        coefficients.append(trace * QQ(-1, k))
    return coefficients
