"""Chapter 8, upsampling: what a right answer to its exercises does."""

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor, tensor
from torch.nn import functional as F

from yolov3_lib.checks import demands, work
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Student
from yolov3_lib.foundations import upsampling as twin

# Cases: small whole numbers as float32, so that every sum is exact and can be checked by hand.


@st.composite
def _numbers(draw: st.DrawFn, *shape: int) -> Tensor:
    count = int(tensor(shape).prod())
    values = draw(st.lists(st.integers(-4, 9), min_size=count, max_size=count))
    return tensor(values).float().reshape(shape)


@st.composite
def _maps(
    draw: st.DrawFn,
    sizes: Sequence[tuple[int, int]],
    kernels: Sequence[tuple[int, int]],
    strides: Sequence[int] = (1,),
    paddings: Sequence[int] = (0,),
) -> Case:
    """A map, a kernel, a stride and a padding that leaves something."""
    size, kernel, stride = (draw(st.sampled_from(choices)) for choices in (sizes, kernels, strides))
    shortest = min((n - 1) * stride + k for n, k in zip(size, kernel, strict=True))
    padding = draw(st.sampled_from([p for p in paddings if 2 * p < shortest]))
    return draw(_numbers(*size)), draw(_numbers(*kernel)), stride, padding


def _place(expected: Tensor, got: Tensor, names: Sequence[str]) -> str | None:
    """What is wrong at the first entry that is."""
    for place in (~((expected - got).abs() <= demands.TOLERANCE)).nonzero().tolist():
        where = ", ".join(f"{name} {number}" for name, number in zip(names, place, strict=True))
        return f"{where}: {demands.differ(expected[tuple(place)].item(), got[tuple(place)].item())}"
    return None


# Exercise 8.2: transposed convolution, and 8.3: the one that is to be mended.


def _transposed(x: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    return twin.transposed_by_stamps(x[None, None], kernel[None, None], stride, padding)[0, 0]


def _map(student: Student, case: Case) -> str | None:
    expected = _transposed(*case)
    return _place(expected, demands.as_tensor(student(*case), expected.shape), ("row", "column"))


_MAP_INPUTS = ("x", "kernel", "stride", "padding")
_TRANSPOSED = Exercise(
    "a transposed convolution",
    _MAP_INPUTS,
    (
        Property(
            "one entry",
            _maps(((1, 1),), ((2, 2), (1, 3))),
            _map,
            "one stamp: the kernel as it lies there, times the entry. Neither turned nor mirrored.",
        ),
        Property(
            "neighbors whose stamps don't meet",
            _maps(((2, 2),), ((1, 1), (2, 2)), strides=(2, 3)),
            _map,
            "how far apart do the stamps of two neighbors begin? And what stands where no stamp lies?",
        ),
        Property(
            "stamps that overlap",
            _maps(((2, 2), (3, 3)), ((2, 2), (3, 3)), strides=(1, 2)),
            _map,
            "where two stamps lie on one place, both count. Work out the overlap of two neighbors by hand.",
        ),
        Property(
            "padding",
            _maps(((3, 3),), ((3, 3), (2, 2)), strides=(2,), paddings=(1,)),
            _map,
            "padding makes the output smaller, by as much at the start as at the end.",
        ),
        Property(
            "more padding than taps",
            _maps(((3, 3),), ((1, 1), (2, 2)), strides=(3,), paddings=(2, 3)),
            _map,
            "a padding may cut off more than one stamp is wide. With zeros inserted, what does a negative "
            "number of further zeros mean?",
        ),
        Property(
            "a stride beyond the kernel",
            _maps(((2, 2), (3, 3)), ((1, 1), (2, 2)), strides=(4, 5)),
            _map,
            "then there are gaps. Is the side (i − 1) s + k?",
        ),
        Property(
            "rows and columns that differ",
            _maps(((2, 4), (3, 2)), ((1, 3), (3, 2)), strides=(1, 2), paddings=(0,)),
            _map,
            "does each number of rows come from the rows of map and kernel, each of columns from columns?",
        ),
        Property(
            "your own work",
            _maps(((2, 2),), ((2, 2),)),
            work.without("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
            "it should be done without torch's own function for it.",
            tries=2,
        ),
        Property(
            "the inputs stay as they are",
            _maps(((2, 2),), ((2, 2),), strides=(2,)),
            demands.inputs_kept(_MAP_INPUTS),
            "adding in place changes the tensor that you add to. Whose is it?",
        ),
    ),
)


def transposed_convolution(student: Callable) -> Verdict:
    """Checks a transposed convolution of one map with one kernel.

    Args:
        student: a function of an ``(H, W)`` map, a ``(kh, kw)`` kernel (float32), a stride and a padding,
            that gives ``((H − 1)·stride + kh − 2·padding, …)``; without ``conv_transpose2d``.
    """
    return _TRANSPOSED.check(student)


# Exercise 8.4: the gradient of nearest neighbor.


def _summed(gradient: Tensor, m: int) -> Tensor:
    return F.avg_pool2d(gradient, m) * m**2


def _blocks(student: Student, case: Case) -> str | None:
    expected = _summed(*case)
    got = demands.as_tensor(student(*case), expected.shape)
    return _place(expected, got, ("picture", "channel", "row", "column"))


def _no_loop(student: Student, case: Case) -> str | None:
    """As many operations for many blocks as for few."""
    gradient, m = case
    sizes = (gradient, gradient.repeat(2, 2, 3, 3))
    for unit, measure, spare in (
        ("calls of torch", work.calls_of_torch, work.SPARE_CALLS),
        ("steps of Python", work.steps_of_python, work.SPARE_STEPS),
    ):
        few, many = (measure(student, (one, m)) for one in sizes)
        if many > few + spare:
            blocks = [one.numel() // m**2 for one in sizes]
            return f"yours took {few} {unit} for {blocks[0]} blocks, and {many} for {blocks[1]}"
    return None


@st.composite
def _arriving(draw: st.DrawFn, shapes: Sequence[tuple[int, ...]], factors: Sequence[int]) -> Case:
    """A gradient at the output, from (N, C, H, W) at the input and a factor; and the factor."""
    (batch, channels, height, width), m = draw(st.sampled_from(shapes)), draw(st.sampled_from(factors))
    return draw(_numbers(batch, channels, m * height, m * width)), m


_GRADIENT_INPUTS = ("gradient", "m")
_NEAREST_GRADIENT = Exercise(
    "the gradient of nearest neighbor",
    _GRADIENT_INPUTS,
    (
        Property(
            "one block",
            _arriving(((1, 1, 1, 1),), (2, 3)),
            _blocks,
            "all of the block's entries are copies of one number. What does a nudge of that number do to the "
            "loss, through all of them together?",
        ),
        Property(
            "a factor of 1",
            _arriving(((1, 1, 2, 2),), (1,)),
            _blocks,
            "then nothing was enlarged, and the gradient passes as it is.",
        ),
        Property(
            "several blocks",
            _arriving(((1, 1, 2, 2), (1, 1, 3, 3)), (2,)),
            _blocks,
            "which entries lie in the block at the top left? Print them, and see whether you took those.",
        ),
        Property(
            "rows and columns that differ",
            _arriving(((1, 1, 1, 3), (1, 1, 3, 2)), (2, 3)),
            _blocks,
            "does each number of rows come from the rows, and each number of columns from the columns?",
        ),
        Property(
            "pictures and channels",
            _arriving(((2, 3, 1, 1), (3, 2, 2, 1)), (2,)),
            _blocks,
            "blocks lie within one channel of one picture. Do yours stay apart?",
        ),
        Property(
            "no loop over blocks",
            _arriving(((1, 1, 2, 2),), (2,)),
            _no_loop,
            "more axes, and one operation along two of them.",
            tries=2,
        ),
        Property(
            "your own work",
            _arriving(((1, 1, 2, 2),), (2,)),
            work.without("backward", "grad"),
            "you know what the gradient is: write that, instead of asking torch to differentiate.",
            tries=2,
        ),
        Property(
            "the inputs stay as they are",
            _arriving(((1, 1, 2, 2),), (2,)),
            demands.inputs_kept(_GRADIENT_INPUTS),
            "the gradient belongs to the layer that sent it.",
        ),
    ),
)


def nearest_gradient(student: Callable) -> Verdict:
    """Checks the backward pass of nearest-neighbor upsampling.

    Args:
        student: a function of an ``(N, C, m·H, m·W)`` gradient (float32) and m, that gives ``(N, C, H, W)``;
            without a loop over the blocks, and without torch's differentiation.
    """
    return _NEAREST_GRADIENT.check(student)


# Exercise 8.6: nearest neighbor and a convolution as one transposed convolution.


def _acts_alike(student: Student, case: Case) -> str | None:
    weight, m = case
    outputs, inputs, k, _ = weight.shape
    merged = demands.as_tensor(student(*case), (inputs, outputs, m + k - 1, m + k - 1))
    margin = (k - 1) // 2
    # All inputs there are, up to factors and sums: a single 1 in each channel, away from the border.
    single = torch.zeros(inputs, inputs, 5, 5, dtype=torch.float64)
    single[range(inputs), range(inputs), 2, 2] = 1
    expected = F.conv2d(twin.nearest(single, m), weight.double(), padding=margin)
    got = F.conv_transpose2d(single, merged, stride=m, padding=margin)
    problem = _place(expected, got, ("input channel", "output channel", "row", "column"))
    return f"for an input of a single 1, the output at {problem}" if problem else None


@st.composite
def _weights(draw: st.DrawFn, shapes: Sequence[tuple[int, int, int]], factors: Sequence[int]) -> Case:
    """The weight of a convolution from (O, C, k), and a factor."""
    outputs, inputs, k = draw(st.sampled_from(shapes))
    return draw(_numbers(outputs, inputs, k, k)), draw(st.sampled_from(factors))


_MERGED_INPUTS = ("weight", "m")
_MERGED = Exercise(
    "one kernel for two layers",
    _MERGED_INPUTS,
    (
        Property(
            "a convolution of one tap",
            _weights(((1, 1, 1),), (2, 3)),
            _acts_alike,
            "a 1 × 1 convolution multiplies the block. What is the stamp then?",
        ),
        Property(
            "nothing to enlarge",
            _weights(((1, 1, 3),), (1,)),
            _acts_alike,
            "with m = 1 only the convolution is left. Which stamp does a single 1 leave behind? It isn't the "
            "kernel as it stands.",
        ),
        Property(
            "a factor of two",
            _weights(((1, 1, 3),), (2,)),
            _acts_alike,
            "do it along one direction, on paper: which of a, b, c see the block (1, 1) at each place?",
        ),
        Property(
            "other sides",
            _weights(((1, 1, 3), (1, 1, 5)), (3, 4)),
            _acts_alike,
            "is the side m + k − 1, for every m and k? Where does each number in your code come from?",
        ),
        Property(
            "several outputs",
            _weights(((2, 1, 3), (3, 1, 1)), (2,)),
            _acts_alike,
            "in the weight of a transposed convolution, which channels come first?",
        ),
        Property(
            "channels on both sides",
            _weights(((2, 3, 3), (3, 2, 1)), (2,)),
            _acts_alike,
            "every pair of an input and an output channel has a stamp of its own. Are two of them swapped?",
        ),
        Property(
            "the inputs stay as they are",
            _weights(((2, 1, 3),), (2,)),
            demands.inputs_kept(_MERGED_INPUTS),
            "the weight belongs to a network that is still in use.",
        ),
    ),
)


def merged_kernel(student: Callable) -> Verdict:
    """Checks the kernel that does the work of nearest neighbor and the convolution after it.

    Args:
        student: a function of an ``(O, C, k, k)`` weight (float32, k odd) and m, that gives
            ``(C, O, m + k − 1, m + k − 1)``, for a transposed convolution of stride m, padding (k − 1) / 2.
    """
    return _MERGED.check(student)


# Exercise 8.1: sides and stamps by hand.

_ROW, _TAPS = tensor([2.0, -1, 3]), tensor([1.0, 2, 3])


def _entry(taps: Tensor, cut: int, place: int) -> float:
    stamped = twin.transposed_by_stamps(_ROW[None, None, None], taps[None, None, None], 2)
    return float(stamped[0, 0, 0, cut + place])


def _reach(extreme: Callable[[Tensor], Tensor]) -> Callable[[], float]:
    return lambda: float(extreme(twin.tap_counts(6, 5, 3)[5:11, 5:11]))


ANSWERS = {
    "8.1": (
        Question(
            "the side of the output",
            lambda: float(twin.output_size(5, 4, 3, 1)),
            "(8.2): how many steps are there between the first and the last of five stamps?",
            (
                Slip(lambda: 16.0, "the padding is still there. Does it make the output larger or smaller?"),
                Slip(lambda: 18.0, "padding makes the output of a transposed convolution smaller."),
                Slip(lambda: 17.0, "five entries have four steps between them."),
                Slip(lambda: 15.0, "the padding goes off at either end."),
                Slip(lambda: 2.0, "that is the side after a convolution. This is the other way."),
            ),
        ),
        Question(
            "the output padding",
            lambda: float(twin.output_padding_back_to(104, 3, 2, 1)),
            "what does (8.2) give without it, and what is missing?",
            (Slip(lambda: 103.0, "that is the side without it. What is missing to 104?"),),
        ),
        Question(
            "the side with zeros between",
            lambda: float(twin.insert_zeros(torch.ones(5, 5), 3).shape[0]),
            "(8.5): four gaps, and how many zeros in each?",
            (
                Slip(lambda: 9.0, "that is what the document's formula gives. It holds for one stride only."),
                Slip(lambda: 15.0, "are there zeros after the last entry?"),
                Slip(lambda: 17.0, "with stride 3, how many places lie between two neighbors?"),
            ),
        ),
        Question(
            "the entry at place 1",
            lambda: _entry(_TAPS, 1, 1),
            "three stamps of three numbers, each two places further on; count places from 0, after the cut.",
            (
                Slip(lambda: _entry(_TAPS, 0, 1), "is one entry cut off at the start?"),
                Slip(lambda: _entry(_TAPS.flip(0), 1, 1), "a stamp isn't turned round."),
                Slip(lambda: 6.0, "two stamps meet there."),
            ),
        ),
    ),
}

PREDICTIONS = {
    "8.1": (
        Question(
            "the fewest taps",
            _reach(torch.min),
            "sort the taps 0 to 4 by their remainder modulo 3; then rows and columns multiply.",
        ),
        Question(
            "the most taps",
            _reach(torch.max),
            "sort the taps 0 to 4 by their remainder modulo 3; then rows and columns multiply.",
        ),
    ),
}


# Exercise 8.3: where the function without the turn goes wrong.


def _goes_wrong(function: Callable, x: Tensor, kernel: Tensor, stride: float, padding: float) -> str | None:
    for name, value in (("the map", x), ("the kernel", kernel)):
        if not isinstance(value, Tensor) or value.ndim != 2 or value.numel() == 0:
            raise ValueError(f"{name} should be a tensor of rows and columns")
    x, kernel = x.float(), kernel.float()
    expected = _transposed(x, kernel, stride, padding)
    got = demands.as_tensor(function(x, kernel, stride, padding), expected.shape)
    if (expected - got).abs().max() > demands.TOLERANCE:
        return None
    return "on this map and kernel the function is right"


EXAMPLES = {
    "8.3": Hunt(
        "four steps give the transposed convolution",
        _goes_wrong,
        "both kernels that were tried look the same when you turn them by 180°.",
    ),
}

CHECKERS = (transposed_convolution, nearest_gradient, merged_kernel)
