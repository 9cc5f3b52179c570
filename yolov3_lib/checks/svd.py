"""Chapter 15, singular values: what a right answer to its exercises does."""

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, tensor

from yolov3_lib.bonus import low_rank as twin
from yolov3_lib.checks import demands, work
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind

# How far apart the k-th and the next singular value are at least, as a part of the first: where they are
# equal, the best approximation isn't the only one.
_GAP = 0.05


# Cases.


@st.composite
def _matrices(draw: st.DrawFn, *shape: int) -> Tensor:
    """A matrix, or a stack of them, of small whole numbers, as float64."""
    count = int(torch.tensor(shape).prod())
    numbers = draw(st.lists(st.integers(-4, 4), min_size=count, max_size=count))
    return tensor(numbers).double().reshape(shape)


def _has_one_best(matrix: Tensor, k: int) -> bool:
    values = torch.linalg.svdvals(matrix)
    if not 0 < k < values.shape[-1]:
        return True
    return bool((values[..., k - 1] - values[..., k] > _GAP * values[..., 0].clamp(min=1)).all())


def _to_approximate(shapes: tuple, ranks: tuple[int, ...]) -> SearchStrategy[Case]:
    """A matrix of one of the shapes, and a k that leaves no choice."""
    cases = st.tuples(
        st.sampled_from(shapes).flatmap(lambda shape: _matrices(*shape)), st.sampled_from(ranks)
    )
    return cases.filter(lambda case: _has_one_best(*case))


def _of_full_rank(shapes: tuple) -> SearchStrategy[Case]:
    """A matrix of one of the shapes without a singular value of 0, and the k of all its pieces."""
    matrices = st.sampled_from(shapes).flatmap(lambda shape: _matrices(*shape))
    matrices = matrices.filter(lambda matrix: torch.linalg.svdvals(matrix)[-1] > _GAP)
    return matrices.map(lambda matrix: (matrix, min(matrix.shape)))


@st.composite
def _of_rank_one(draw: st.DrawFn) -> Case:
    """A matrix of rank 1 at most, and k = 2."""
    return draw(_matrices(3, 1)) @ draw(_matrices(1, 4)), 2


@st.composite
def _falling_values(draw: st.DrawFn, count: tuple[int, int], equal: bool = False) -> Case:
    """Singular values, largest first, and a tolerance that none of the errors meets exactly."""
    size = draw(st.integers(*count))
    numbers = [draw(st.integers(1, 9))] * size if equal else [draw(st.integers(1, 9)) for _ in range(size)]
    values = tensor(sorted(numbers, reverse=True)).double()
    tolerance = draw(st.sampled_from((0.1, 0.3, 0.5, 0.7, 0.9)))
    errors = twin.errors(values)[1]
    assume(((errors / errors[0] - tolerance).abs() > 1e-3).all())
    return values, tolerance


def _met_exactly() -> SearchStrategy[Case]:
    """Equal values, the last quarter of which is half of the whole: numbers that no rounding touches."""
    return st.builds(
        lambda count, value: (torch.full((count,), value).double(), 0.5),
        st.sampled_from((4, 16)),
        st.sampled_from((1.0, 2.0, 4.0)),
    )


@st.composite
def _kernels(draw: st.DrawFn, shapes: tuple, full: bool = False) -> Case:
    """A convolution's kernel, and a k: the full rank, or less with no choice."""
    weight = draw(_matrices(*draw(st.sampled_from(shapes))))
    matrix = twin.kernel_matrix(weight, "space")
    most = min(matrix.shape)
    k = most if full else draw(st.integers(1, max(1, most - 1)))
    assume(_has_one_best(matrix, k))
    return weight, k


# Exercise 15.2: rank k.


def _entries(reference: Callable[..., Tensor]) -> demands.Check:
    """A tensor of any shape, equal to the reference's; the first entry that isn't is named."""

    def check(student: Student, case: Case) -> str | None:
        expected = reference(*case)
        got = demands.as_tensor(student(*case), expected.shape)
        for place in (~((expected - got).abs() <= demands.TOLERANCE)).nonzero().tolist():
            entry = tuple(place)
            return f"entry {tuple(place)}: {demands.differ(expected[entry].item(), got[entry].item())}"
        return None

    return check


def _no_loop(student: Student, case: Case) -> str | None:
    """As many operations for many pieces as for few."""
    matrix, _ = case
    few, many = (work.calls_of_torch(student, (matrix, k)) for k in (1, min(matrix.shape)))
    if many > few + work.SPARE_CALLS:
        return f"yours took {few} calls of torch for 1 piece, and {many} for {min(matrix.shape)}"
    return None


_INPUTS = ("matrix", "k")
_BEST = _entries(twin.rank_k)
_RANK_K = Exercise(
    "the best approximation of rank k",
    _INPUTS,
    (
        Property(
            "two rows, one piece",
            _to_approximate(((2, 2),), (1,)),
            _BEST,
            "one column times one row, times one value. Which of the two factors that come back holds its "
            "vectors in columns, and which in rows?",
        ),
        Property(
            "all pieces",
            _of_full_rank(((3, 3), (4, 2), (2, 4))),
            _BEST,
            "all pieces together are the matrix itself, tall or wide. Where is each factor cut?",
        ),
        Property(
            "some of the pieces",
            _to_approximate(((3, 3), (4, 3), (3, 5)), (1, 2)),
            _BEST,
            "print the shapes of your factors: (m, k), (k,) and (k, n). Do the largest values stay?",
        ),
        Property(
            "a matrix of low rank",
            _of_rank_one(),
            _BEST,
            "a matrix whose rank is low enough is its own nearest. Some singular values are 0 here.",
        ),
        Property(
            "no piece",
            _to_approximate(((2, 3),), (0,)),
            _BEST,
            "the sum of no pieces is the matrix of zeros, and its shape stays.",
        ),
        Property(
            "three channels at once",
            _to_approximate(((3, 2, 4), (3, 4, 3)), (1, 2)),
            _BEST,
            "the first dimension counts channels. On which dimensions do your slices and your product work?",
        ),
        Property(
            "no loop over pieces",
            _to_approximate(((12, 12),), (1,)),
            _no_loop,
            "the sum of the pieces is one matrix product.",
            tries=3,
        ),
        Property(
            "the inputs stay as they are",
            _to_approximate(((2, 3),), (1,)),
            demands.inputs_kept(_INPUTS),
            "writing into the matrix writes into the caller's photograph.",
        ),
    ),
)


def rank_k(student: Callable) -> Verdict:
    """Checks the best approximation of rank k.

    Args:
        student: a function of a ``(..., m, n)`` tensor (float64) and k, from 0 to min(m, n), that gives the
            nearest matrix of rank k at most, of the same shape; without a loop over the pieces.
    """
    return _RANK_K.check(student)


# Exercise 15.3: the smallest rank that is good enough.


def _smallest(values: Tensor, tolerance: float) -> int:
    errors = twin.errors(values)[1]
    return int((errors / errors[0] > tolerance).sum())


def _whole(student: Student, case: Case) -> str | None:
    got = demands.as_number(student(*case), "one whole number")
    if not got.is_integer():
        raise Fault(f"expected a whole number, yours gave {got:g}", "k counts pieces.")
    return demands.differ(_smallest(*case), got)


_RANK_INPUTS = ("singular_values", "tolerance")
_SMALLEST_RANK = Exercise(
    "the smallest rank that is good enough",
    _RANK_INPUTS,
    (
        Property(
            "one value",
            _falling_values((1, 1)),
            _whole,
            "without its only piece all is lost, which is more than the tolerance; with it, nothing.",
        ),
        Property(
            "two values",
            _falling_values((2, 2)),
            _whole,
            "leave out the second. By (15.4), which part of the whole norm is that? Mind squares and roots.",
        ),
        Property(
            "equal values",
            _falling_values((3, 6), equal=True),
            _whole,
            "each piece weighs the same. How many may go before the root of what has gone is too much?",
        ),
        Property(
            "values at random",
            _falling_values((3, 7)),
            _whole,
            "write down for k = 0, 1, 2, ... what is left out, and take the first k that is good enough.",
            tries=80,
        ),
        Property(
            "an error as large as the tolerance",
            _met_exactly(),
            _whole,
            "at most the tolerance: an error that is just as large is good enough.",
        ),
        Property(
            "another unit",
            _falling_values((2, 5)).map(lambda case: (case[0] * 1000, case[1])),
            _whole,
            "the tolerance is a part of the whole. Values a thousand times as large need the same k.",
        ),
        Property(
            "the inputs stay as they are",
            _falling_values((2, 5)),
            demands.inputs_kept(_RANK_INPUTS),
            "take a copy before you write.",
        ),
    ),
)


def smallest_rank(student: Callable) -> Verdict:
    """Checks the smallest k whose error is within a tolerance.

    Args:
        student: a function of ``(r,)`` singular values (float64, largest first, not all 0) and a tolerance
            between 0 and 1, that gives the smallest k whose best approximation misses the matrix by at most
            that part of its Frobenius norm.
    """
    return _SMALLEST_RANK.check(student)


# Exercise 15.5: one convolution as a tall and a wide one.


def _composed(weight: Tensor, k: int) -> Tensor:
    outputs, inputs, height, width = weight.shape
    best = twin.rank_k(twin.kernel_matrix(weight, "space"), k)
    return best.reshape(inputs, height, outputs, width).permute(2, 0, 1, 3)


def _two_kernels(student: Student, case: Case) -> str | None:
    weight, k = case
    outputs, inputs, height, width = weight.shape
    answer = student(*case)
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise Fault(
            f"expected two kernels, yours gave {kind(answer)}",
            "return both in one tuple, the tall one first.",
        )
    tall = demands.as_tensor(answer[0], (k, inputs, height, 1))
    wide = demands.as_tensor(answer[1], (outputs, k, 1, width))
    # What the two do one after the other: sum over the k channels between them.
    together = torch.einsum("kcy,okx->ocyx", tall[..., 0], wide[:, :, 0])
    expected = _composed(weight, k)
    for o, c, y, x in (~((expected - together).abs() <= demands.TOLERANCE)).nonzero().tolist():
        problem = demands.differ(expected[o, c, y, x].item(), together[o, c, y, x].item())
        return f"together, the weight of output {o} for input {c} at row {y}, column {x}: {problem}"
    return None


_SPLIT_INPUTS = ("weight", "k")
_SPLIT_KERNEL = Exercise(
    "a convolution split into a tall and a wide one",
    _SPLIT_INPUTS,
    (
        Property(
            "one channel in, one out",
            _kernels(((1, 1, 3, 3), (1, 1, 2, 2))),
            _two_kernels,
            "with one channel the kernel is a matrix by itself: columns go into the tall kernels, rows into "
            "the wide ones, and each value into one of the two.",
        ),
        Property(
            "taller than wide",
            _kernels(((1, 1, 3, 2), (1, 1, 2, 3), (1, 1, 1, 3))),
            _two_kernels,
            "the first convolution looks along the height, the second along the width.",
        ),
        Property(
            "several inputs",
            _kernels(((1, 3, 2, 2), (1, 2, 3, 2))),
            _two_kernels,
            "a row of the matrix is one input channel at one height. Which dimensions have to stand side by "
            "side before you make two of four?",
        ),
        Property(
            "several outputs",
            _kernels(((2, 1, 3, 2), (3, 1, 3, 2))),
            _two_kernels,
            "a column of the matrix is one output channel at one width. Which dimensions have to stand side "
            "by side before you make two of four?",
        ),
        Property(
            "channels on both sides",
            _kernels(((2, 3, 2, 2), (3, 2, 3, 2))),
            _two_kernels,
            "take a kernel that is 1 at a single place, and follow where that place goes in your matrix.",
        ),
        Property(
            "full rank",
            _kernels(((2, 3, 2, 2), (3, 2, 1, 3)), full=True),
            _two_kernels,
            "with all pieces the two are the one.",
        ),
        Property(
            "the inputs stay as they are",
            _kernels(((2, 2, 2, 2),)),
            demands.inputs_kept(_SPLIT_INPUTS),
            "the kernel that you are given belongs to a network that is still in use.",
        ),
    ),
)


def split_kernel(student: Callable) -> Verdict:
    """Checks the split of a convolution into a vertical and a horizontal one.

    Args:
        student: a function of an ``(O, C, kh, kw)`` kernel (float64) and k, that gives two kernels,
            ``(k, C, kh, 1)`` and ``(O, k, 1, kw)``, whose convolutions one after the other come as near to
            the one as rank k allows.
    """
    return _SPLIT_KERNEL.check(student)


# Exercise 15.1: [[3, 0], [4, 5]] by hand, and ranks of pictures.

_SMALL = tensor([[3.0, 0], [4, 5]]).double()


def _value(i: int) -> Callable[[], float]:
    return lambda: torch.linalg.svdvals(_SMALL)[i].item()


def _rank(picture: Callable[[], Tensor]) -> Callable[[], float]:
    return lambda: float(torch.linalg.matrix_rank(picture()))


def _chessboard() -> Tensor:
    return (torch.arange(8)[:, None] + torch.arange(8)).remainder(2).double()


_EIGENVALUE_OF_A = "that is an eigenvalue of A itself. The σ come from another matrix."
_DECIMALS = "you are on the way: give two decimals."

ANSWERS = {
    "15.1": (
        Question(
            "the larger singular value",
            _value(0),
            "first the matrix transposed times itself, then the eigenvalues, from trace and determinant.",
            (
                Slip(lambda: _value(0)() ** 2, "that is the eigenvalue. What is missing on the way to σ?"),
                Slip(lambda: 5.0, _EIGENVALUE_OF_A),
                Slip(_value(1), "that is the smaller one."),
                Slip(lambda: round(_value(0)(), 1), _DECIMALS),
            ),
        ),
        Question(
            "the smaller singular value",
            _value(1),
            "the product of the two eigenvalues is the determinant.",
            (
                Slip(lambda: _value(1)() ** 2, "that is the eigenvalue. What is missing on the way to σ?"),
                Slip(lambda: 3.0, _EIGENVALUE_OF_A),
                Slip(_value(0), "that is the larger one."),
                Slip(lambda: round(_value(1)(), 1), _DECIMALS),
            ),
        ),
        Question(
            "the entry at the bottom right of the best rank-1 approximation",
            lambda: twin.rank_k(_SMALL, 1)[1, 1].item(),
            "A v is σ u, so the first piece is A times v, as a column, times v, as a row.",
            (
                Slip(
                    lambda: (_SMALL - twin.rank_k(_SMALL, 1))[1, 1].item(),
                    "that is the entry of what is left out.",
                ),
                Slip(lambda: 9.0, "v has length 1: did you divide by the root of 2 both times?"),
            ),
        ),
        Question(
            "the largest k that pays at 480 × 640",
            lambda: float(twin.largest_paying_rank(480, 640)),
            "count the numbers of one piece: a column, a row, and one more.",
            (
                Slip(lambda: 480 * 640 / (480 + 640 + 1), "pieces come whole: round down."),
                Slip(lambda: 275.0, "at that k the pieces take more numbers than the pixels."),
                Slip(lambda: 240.0, "half the height is the rule for squares. This picture isn't one."),
            ),
        ),
    ),
}

PREDICTIONS = {
    "15.1": (
        Question(
            "a chessboard of 0 and 1",
            _rank(_chessboard),
            "how many different rows does it have, and is any of them a multiple of another?",
        ),
        Question(
            "vertical stripes",
            _rank(lambda: torch.arange(8).remainder(2).double().expand(8, 8)),
            "how many different rows does it have?",
        ),
        Question(
            "a diagonal line",
            _rank(lambda: torch.eye(8).double()),
            "can any row be put together from the others?",
        ),
    ),
}


def _goes_wrong(function: Callable, values: Tensor | np.ndarray, tolerance: float) -> str | None:
    if isinstance(values, np.ndarray):
        values = torch.from_numpy(values)
    if not isinstance(values, Tensor) or values.ndim != 1 or len(values) == 0:
        raise ValueError("the singular values should be a list of numbers")
    if not values.isfinite().all():
        raise ValueError("singular values are finite numbers")
    if (values < 0).any() or (values.diff() > 0).any() or values[0] <= 0:
        raise ValueError("singular values are never negative, come largest first, and not all are 0")
    if not 0 < demands.as_number(tolerance, "a number for the tolerance") < 1:
        raise ValueError("the tolerance should lie between 0 and 1")
    if demands.as_number(function(values.double(), tolerance)) != _smallest(values.double(), tolerance):
        return None
    return "on these values the function is right"


EXAMPLES = {
    "15.3": Hunt(
        "this finds the smallest rank that is good enough",
        _goes_wrong,
        "two values are enough. What does the function add up, and what does (15.4) add up?",
    ),
}

CHECKERS = (rank_k, smallest_rank, split_kernel)
