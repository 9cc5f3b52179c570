"""Chapter 3, convolution: what a right answer to its exercises does."""

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, tensor

from yolov3_lib.checks import demands, work
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind
from yolov3_lib.foundations import convolution as twin
from yolov3_lib.foundations.receptive_field import Window
from yolov3_lib.foundations.receptive_field import receptive_field as _twin_field

# Cases: small whole numbers as float64, so that every sum is exact and can be checked by hand.


@st.composite
def _numbers(draw: st.DrawFn, *shape: int) -> Tensor:
    count = int(torch.tensor(shape).prod())
    values = draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count))
    return tensor(values).double().reshape(shape)


@st.composite
def _layer(
    draw: st.DrawFn,
    sizes: Sequence[tuple[int, int]],
    kernels: Sequence[tuple[int, int]],
    batch: int = 1,
    inputs: int = 1,
    outputs: int = 1,
    strides: Sequence[int] = (1,),
    paddings: Sequence[int] = (0,),
) -> Case:
    """An input, a weight, a stride, a padding."""
    x = draw(_numbers(batch, inputs, *draw(st.sampled_from(sizes))))
    weight = draw(_numbers(outputs, inputs, *draw(st.sampled_from(kernels))))
    return x, weight, draw(st.sampled_from(strides)), draw(st.sampled_from(paddings))


# Exercise 3.2: a layer, and 3.3: the one that is to be mended.


def _at(place: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in zip(names, place, strict=True))


def _first_difference(expected: Tensor, got: Tensor, names: Sequence[str]) -> str | None:
    for place in (~((expected - got).abs() <= demands.TOLERANCE)).nonzero().tolist():
        entry = tuple(place)
        return f"{_at(place, names)}: {demands.differ(expected[entry].item(), got[entry].item())}"
    return None


def _output(student: Student, case: Case) -> str | None:
    x, weight, stride, padding = case
    expected = twin.conv2d(x, weight, stride=stride, padding=padding)
    got = demands.as_tensor(student(*case), expected.shape)
    return _first_difference(expected, got, ("picture", "channel", "row", "column"))


def _no_loop_over_places(student: Student, case: Case) -> str | None:
    """As many operations for many places as for few."""
    x, *rest = case
    large = x.repeat(1, 1, 3, 3)
    few, many = (work.calls_of_torch(student, (one, *rest)) for one in (x, large))
    if many > few + work.SPARE_CALLS:
        sizes = [" × ".join(map(str, one.shape[2:])) for one in (x, large)]
        return f"yours took {few} calls of torch for {sizes[0]} pixels, and {many} for {sizes[1]}"
    return None


_SQUARE, _ANY = ((3, 3), (4, 4)), ((3, 4), (5, 3), (4, 6))
_LAYER_INPUTS = ("x", "weight", "stride", "padding")
_CONV2D = Exercise(
    "a convolutional layer",
    _LAYER_INPUTS,
    (
        Property(
            "a kernel of one pixel",
            _layer(_SQUARE, ((1, 1),)),
            _output,
            "every pixel, times one number. What is the shape of your result?",
        ),
        Property(
            "one row, one column",
            _layer(((1, 4), (4, 1)), ((1, 1),)),
            _output,
            "does your number of rows come from the rows, and that of columns from the columns?",
        ),
        Property(
            "a kernel of 2 × 2",
            _layer(((2, 2), (3, 3)), ((2, 2),)),
            _output,
            "work out the value at the top left by hand, with (3.4). Which entry of the kernel lies on which "
            "pixel? Nothing is flipped, nothing is transposed.",
        ),
        Property(
            "rows and columns of different length",
            _layer(_ANY, ((1, 2), (2, 1), (3, 2))),
            _output,
            "pictures and kernels needn't be square: each direction has a size of its own.",
        ),
        Property(
            "several channels in",
            _layer(_SQUARE, ((2, 2),), inputs=3),
            _output,
            "one output adds up the products of all input channels, each with its own plane of the kernel.",
        ),
        Property(
            "several channels out",
            _layer(_SQUARE, ((2, 2),), inputs=2, outputs=3),
            _output,
            "each output channel has a kernel of its own: the first dimension of the weight.",
        ),
        Property(
            "several pictures",
            _layer(_SQUARE, ((2, 2),), batch=2, inputs=2, outputs=2),
            _output,
            "the pictures of a batch don't see each other.",
        ),
        Property(
            "padding",
            _layer(((2, 2), (3, 2)), ((2, 2), (3, 3)), paddings=(1, 2)),
            _output,
            "zeros on all four sides, of the picture and not of its channels; and (3.5) has 2p in it.",
        ),
        Property(
            "stride",
            _layer(((5, 5), (5, 7)), ((1, 1), (3, 3)), strides=(2,)),
            _output,
            "the kernel stands on every second row and every second column; its entries stay side by side.",
        ),
        Property(
            "a stride that leaves some pixels over",
            _layer(((5, 6), (6, 4), (7, 5)), ((2, 2), (3, 2)), strides=(2, 3)),
            _output,
            "(3.5) rounds down: a kernel that doesn't fit any more isn't counted.",
        ),
        Property(
            "everything at once",
            _layer(_ANY, ((3, 3), (2, 3)), batch=2, inputs=2, outputs=3, strides=(1, 2), paddings=(1, 2)),
            _output,
            "padding comes first. Where does the kernel stand at place u then, and which row meets entry i?",
        ),
        Property(
            "no loop over places",
            _layer(((7, 7),), ((3, 3),), inputs=2, outputs=2, paddings=(1,)),
            _no_loop_over_places,
            "loop over the kernel's entries. What one entry meets at all places is the picture itself, "
            "moved and thinned out.",
            tries=3,
        ),
        Property(
            "without torch's convolution",
            _layer(_SQUARE, ((2, 2),)),
            work.without("conv*", "F.unfold", "im2col"),
            "the point is to write it yourself. Indexing, sums and products are all it takes.",
            tries=3,
        ),
        Property(
            "the inputs stay as they are",
            _layer(_SQUARE, ((2, 2),), paddings=(0, 1)),
            demands.inputs_kept(_LAYER_INPUTS),
            "the caller still needs the picture, and without padding yours may be the very same tensor.",
        ),
    ),
)


def conv2d(student: Callable) -> Verdict:
    """Checks a convolutional layer.

    Args:
        student: a function of x ``(N, C, H, W)``, weight ``(O, C, kh, kw)`` (both float64), stride and
            padding (whole numbers), that gives the layer's output ``(N, O, H', W')``; no loop over places.
    """
    return _CONV2D.check(student)


# Exercise 3.4: backwards.


@st.composite
def _backward(draw: st.DrawFn, sizes: Sequence[tuple[int, int]], kernels: Sequence[tuple[int, int]]) -> Case:
    """A picture, a kernel that fits into it, and the gradient with respect to their correlation."""
    (height, width), (rows, columns) = draw(st.sampled_from(sizes)), draw(st.sampled_from(kernels))
    delta = draw(_numbers(height - rows + 1, width - columns + 1))
    return draw(_numbers(height, width)), draw(_numbers(rows, columns)), delta


def _both_gradients(student: Student, case: Case) -> str | None:
    x, weight, delta = case
    answer = student(*case)
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise Fault(
            f"expected two gradients, yours gave {kind(answer)}",
            "return both in one tuple, that with respect to the picture first.",
        )
    expected = twin.gradients(x[None, None], weight[None, None], delta[None, None])
    for name, right, given in (
        ("picture", expected.x[0, 0], answer[0]),
        ("kernel", expected.weight[0, 0], answer[1]),
    ):
        try:
            got = demands.as_tensor(given, right.shape)
        except Fault as fault:
            hint = fault.hint or "a gradient has the shape of what it belongs to."
            raise Fault(f"with respect to the {name}: {fault.message}", hint) from None
        problem = _first_difference(right, got, ("row", "column"))
        if problem:
            return f"with respect to the {name}, {problem}"
    return None


_BACKWARD_INPUTS = ("x", "weight", "delta")
_CONV_GRADIENTS = Exercise(
    "the gradients of a convolution",
    _BACKWARD_INPUTS,
    (
        Property(
            "a kernel of one pixel",
            _backward(((2, 2), (2, 3)), ((1, 1),)),
            _both_gradients,
            "y is x times one number: what is y's derivative with respect to each of the two?",
        ),
        Property(
            "one place",
            st.one_of(_backward((size,), (size,)) for size in ((2, 2), (3, 2))),
            _both_gradients,
            "write y out as a sum of products. Each weight has one partner, each pixel too.",
        ),
        Property(
            "a row",
            _backward(((1, 3), (1, 4)), ((1, 2),)),
            _both_gradients,
            "which outputs does the first pixel take part in, and which the second? A pixel that is seen "
            "twice gets two contributions.",
        ),
        Property(
            "a picture",
            _backward(((3, 3), (4, 4)), ((2, 2), (3, 3))),
            _both_gradients,
            "look at (3.9) and (3.10) once more: in which of the two do the indices run against each other?",
        ),
        Property(
            "rows and columns of different length",
            _backward(((3, 5), (5, 4)), ((2, 3), (3, 1))),
            _both_gradients,
            "each direction has a size of its own.",
        ),
        Property(
            "without autograd",
            _backward(((3, 3),), ((2, 2),)),
            work.without("backward", "grad", "convolution_backward"),
            "write down what each weight collects and what it sends back: products and sums do it.",
            tries=3,
        ),
        Property(
            "the inputs stay as they are",
            _backward(((3, 3),), ((2, 2),)),
            demands.inputs_kept(_BACKWARD_INPUTS),
            "add up in a tensor of your own.",
        ),
    ),
)


def conv_gradients(student: Callable) -> Verdict:
    """Checks the backward pass of a convolution with one channel, stride 1 and no padding.

    Args:
        student: a function of x ``(H, W)``, weight ``(kh, kw)`` and delta ``(H − kh + 1, W − kw + 1)`` (all
            float64), that gives the gradients with respect to x and to weight, in this order.
    """
    return _CONV_GRADIENTS.check(student)


# Exercise 3.6: the receptive field.


def _stacks(
    count: tuple[int, int],
    kernels: Sequence[int] = (1, 2, 3),
    strides: Sequence[int] = (1,),
    dilations: Sequence[int] = (1,),
) -> SearchStrategy[Case]:
    """A list of layers, each (kernel, stride, dilation)."""
    layer = st.tuples(*map(st.sampled_from, (kernels, strides, dilations)))
    return st.tuples(st.lists(layer, min_size=count[0], max_size=count[1]))


def _field_of(layers: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    return _twin_field(Window(k, s, 0, d) for k, s, d in layers)[:2]


_FIELD = demands.counts(_field_of, ("the receptive field", "the jump"))
_RECEPTIVE_FIELD = Exercise(
    "the receptive field",
    ("layers",),
    (
        Property(
            "one layer",
            _stacks((1, 1), (1, 3, 5)),
            _FIELD,
            "an output sees what lies under its kernel. The field comes first, then the jump.",
        ),
        Property(
            "two layers",
            _stacks((2, 2), (2, 3)),
            _FIELD,
            "draw two layers of 3 × 1 below each other, and follow the lines down from one output.",
        ),
        Property(
            "one layer with a stride",
            _stacks((1, 1), (1, 2, 3), (2, 3)),
            _FIELD,
            "a stride doesn't change what one output sees. It moves the next output's field away.",
        ),
        Property(
            "a layer after a stride",
            st.tuples(_stacks((1, 1), (2, 3), (2,)), _stacks((1, 1), (2, 3))).map(
                lambda two: ([*two[0][0], *two[1][0]],)
            ),
            _FIELD,
            "neighboring outputs of the first layer look at pixels that lie further apart, and those of the "
            "second do so too.",
        ),
        Property(
            "several strides",
            _stacks((3, 5), (1, 2, 3), (1, 2, 3)),
            _FIELD,
            "the jump after two strides of 2: is it 2, 4 or 8?",
        ),
        Property(
            "dilation",
            _stacks((1, 3), (1, 2, 3), (1, 2), (2, 3)),
            _FIELD,
            "three entries with dilation 2 reach over five inputs. And does dilation change the jump?",
        ),
        Property(
            "no layer at all",
            _stacks((0, 0)),
            _FIELD,
            "before the first layer, a pixel sees itself.",
        ),
    ),
)  # fmt: skip


def receptive_field(student: Callable) -> Verdict:
    """Checks the receptive field of several layers in a row.

    Args:
        student: a function of a list of layers, each a tuple (kernel, stride, dilation), the first one first,
            that gives two whole numbers: the side of the receptive field in pixels, and the jump.
    """
    return _RECEPTIVE_FIELD.check(student)


# Exercise 3.1: by hand.

_PICTURE = tensor([[2.0, 1, 0], [3, 1, 1], [0, 2, 4]])
_KERNEL = tensor([[1.0, -1], [2, 4]])


def _top_left(change: Callable[[Tensor], Tensor] = lambda kernel: kernel) -> Callable[[], float]:
    return lambda: twin.correlate(_PICTURE, change(_KERNEL))[0, 0].item()


def _twice_blurred() -> Tensor:
    blur = twin.KERNELS["box blur"]
    return twin.convolve(blur, blur)


ANSWERS = {
    "3.1": (
        Question(
            "the cross-correlation at the top left",
            _top_left(),
            "four products: what lies together, times each other.",
            (
                Slip(_top_left(twin.flip), "is anything flipped in (3.3)?"),
                Slip(_top_left(lambda kernel: kernel.T), "rows on rows, columns on columns."),
            ),
        ),
        Question(
            "the convolution over the same four pixels",
            _top_left(twin.flip),
            "first write the kernel down as it is laid on the picture.",
            (
                Slip(_top_left(), "(3.1) reads the kernel backwards."),
                Slip(_top_left(lambda kernel: kernel.flip(1)), "backwards in both directions."),
                Slip(_top_left(lambda kernel: kernel.flip(0)), "backwards in both directions."),
                Slip(_top_left(lambda kernel: kernel.T), "a turn by 180°, not a reflection at the diagonal."),
            ),
        ),
        Question(
            "the rows of the output",
            lambda: float(twin.output_size(26, 3, 2, 1)),
            "put the numbers into (3.5), and mind what the brackets do.",
            (
                Slip(lambda: 12.0, "the places are counted from 0. How many are there?"),
                Slip(lambda: 13.5, "half a place doesn't exist."),
                Slip(lambda: 14.0, "round down, not up."),
            ),
        ),
        Question(
            "the weights of the layer",
            lambda: float(256 * 128 * 9),
            "how many kernels, with how many planes each, of how many entries?",
            (
                Slip(lambda: 256.0 * 9, "how many planes has one kernel?"),
                Slip(lambda: 128.0 * 9, "that is one kernel. How many are there?"),
                Slip(lambda: 256.0 * 128 * 9 + 256, "there's no bias here."),
                Slip(lambda: 256.0 * 128 * 3, "a kernel is 3 high and 3 wide."),
            ),
        ),
        Question(
            "the receptive field",
            lambda: float(_twin_field([Window(3), Window(3, 2), Window(3)]).size),
            "write r and j down after each layer.",
            (
                Slip(lambda: 7.0, "that would be so without the stride."),
                Slip(lambda: 11.0, "the stride of a layer matters to the layers after it, not to itself."),
            ),
        ),
    ),
}

PREDICTIONS = {
    "3.1": (
        Question(
            "the rows of the one kernel",
            lambda: float(len(_twice_blurred())),
            "how far does the second blur carry what the first has already spread?",
        ),
        Question(
            "its middle entry, times 81",
            lambda: 81 * _twice_blurred()[2, 2].item(),
            "on how many ways does a pixel get back to where it started?",
        ),
    ),
}


# Counterexamples.


def _matrix_of(value: object, name: str) -> Tensor:
    if not isinstance(value, Tensor) or value.ndim != 2:
        raise ValueError(f"the {name} should be rows and columns of numbers, such as [[1, 2], [3, 4]]")
    if not value.double().isfinite().all():
        raise ValueError(f"the {name} should hold finite numbers")
    return value.double()


def _goes_wrong(function: Callable, picture: object, kernel: object) -> str | None:
    picture, kernel = _matrix_of(picture, "picture"), _matrix_of(kernel, "kernel")
    expected = twin.conv2d(picture[None, None], kernel[None, None])
    got = function(picture[None, None], kernel[None, None])
    if got.shape != expected.shape or not torch.allclose(got, expected):
        return None
    return "on this picture, with this kernel, the function is right"


def _is_split(kernel: object) -> str | None:
    kernel = _matrix_of(kernel, "kernel")
    if kernel.shape != (3, 3):
        raise ValueError(f"a 3 × 3 kernel is wanted, this one is {' × '.join(map(str, kernel.shape))}")
    # A list of decimals arrives as float32: 0.1, 0.2, 0.3 times 3 isn't quite 0.3, 0.6, 0.9.
    if torch.linalg.matrix_rank(kernel, rtol=1e-6) > 1:
        return None
    return "this kernel is a column times a row"


EXAMPLES = {
    "3.3": Hunt(
        "this is a convolutional layer",
        _goes_wrong,
        "what do the five kernels have in common that another one might not have?",
    ),
    "3.5": Hunt(
        "every 3 × 3 kernel is a column times a row",
        _is_split,
        "if K = a bᵀ, each row of K is b, scaled. Write down a kernel whose rows aren't.",
    ),
}

CHECKERS = (conv2d, conv_gradients, receptive_field)
