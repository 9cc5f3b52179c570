r"""Convolution: the definition with its flip; a layer as loops, as one product, as a matrix, and backwards.

Two operations share a name. `convolve` is the convolution of mathematics, whose kernel is read backwards;
`correlate` slides the kernel as it is, and so does everything below it here, as in torch and Darknet.

Feature maps are ``(N, C, H, W)`` float tensors: images in the batch, channels, rows, columns. Kernels of a
layer are ``(O, C / groups, kh, kw)``: output channels, input channels of a group, rows, columns. Whatever
has two directions takes one whole number for both, or a pair (down, across): strides, padding (zeros on
each side), dilation (rows or columns from one kernel entry to the next). With :math:`u, v` counting rows
and columns of the output, s, p and d for stride, padding and dilation, and :math:`x = 0` outside the picture,

.. math:: y_{n,o,u,v} = b_o + \sum_{c,i,j} w_{o,c,i,j} \; x_{n,\,c,\,us + id - p,\,vs + jd - p}

Source of the output size: Dumoulin and Visin (2016).
"""

import math
from collections.abc import Iterable
from itertools import product
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Pair = int | tuple[int, int]
_LARGEST_MATRIX = 50_000_000  # entries: 200 MB of float32

KERNELS: dict[str, Tensor] = {
    "identity": torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "edges, 4 neighbors": torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]),
    "edges, 8 neighbors": torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "sharpen": torch.tensor([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "box blur": torch.ones(3, 3) / 9,
}
"""The document's table of 3 × 3 kernels."""


# --- Two dimensions, one kernel ---


def convolve(f: Tensor, g: Tensor) -> Tensor:
    """The convolution f ∗ g of mathematics, wherever it isn't zero by necessity.

    Each entry of g puts a copy of f, shifted by its place and scaled by its value, and the copies add up.

    Args:
        f: (H, W) floats.
        g: (kh, kw) floats.

    Returns:
        (H + kh − 1, W + kw − 1), the "full" result of SciPy's ``convolve2d``.

    Raises:
        TypeError: not tensors of floats of one dtype.
        ValueError: not two dimensions each, or an empty one.
    """
    _check_matrices(f, g)
    (height, width), (rows, columns) = f.shape, g.shape
    total = f.new_zeros(height + rows - 1, width + columns - 1)
    for i, j in product(range(rows), range(columns)):
        total[i : i + height, j : j + width] += g[i, j] * f
    return total


def correlate(f: Tensor, g: Tensor) -> Tensor:
    """The cross-correlation: at each place where g fits into f, the sum of products of what lies together.

    Args:
        f: (H, W) floats.
        g: (kh, kw) floats, no larger than f.

    Returns:
        (H − kh + 1, W − kw + 1), the "valid" result of SciPy's ``correlate2d``.

    Raises:
        TypeError: not tensors of floats of one dtype.
        ValueError: not two dimensions each, an empty one, or g larger than f.
    """
    _check_matrices(f, g)
    return conv2d(f[None, None], g[None, None])[0, 0]


def flip(kernel: Tensor) -> Tensor:
    """The kernel read backwards in both directions, which is turned by half a turn: (..., kh, kw)."""
    return kernel.flip(-2, -1)


def filter_image(image: np.ndarray, kernel: Tensor) -> np.ndarray:
    """A photograph convolved with a kernel, each channel for itself; beyond its edge the last pixels repeat.

    Args:
        image: (H, W) or (H, W, 3), any numbers.
        kernel: (kh, kw) floats, kh and kw odd.

    Returns:
        float32 of the image's shape. Values may leave the image's range: nothing is rounded or clipped.

    Raises:
        ValueError: wrong dimensions, or a kernel without a middle.
    """
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"image: expected (H, W) or (H, W, channels), got {image.shape}")
    if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise ValueError(
            f"kernel: expected (kh, kw), both odd, got {tuple(kernel.shape)}; add a row or column of zeros"
        )
    around = [(side // 2, side // 2) for side in kernel.shape]
    padded = np.pad(image.astype(np.float32), around + [(0, 0)] * (image.ndim - 2), mode="edge")
    planes = torch.from_numpy(padded.reshape(*padded.shape[:2], -1)).permute(2, 0, 1)
    filtered = conv2d(planes[:, None], flip(kernel.float())[None, None])[:, 0]
    return filtered.permute(1, 2, 0).reshape(image.shape).numpy()


# --- A layer: sizes ---


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Places of a kernel along a side: ⌊(size + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1.

    Raises:
        TypeError: a number that isn't whole.
        ValueError: a number out of range, or a kernel that finds no place at all.
    """
    least = {"size": 1, "kernel": 1, "stride": 1, "padding": 0, "dilation": 1}
    for (name, smallest), value in zip(least.items(), (size, kernel, stride, padding, dilation), strict=True):
        if not _is_whole(value):
            raise TypeError(f"{name}: expected a whole number, got {value!r}")
        if value < smallest:
            raise ValueError(f"{name}: expected at least {smallest}, got {value}")
    span = dilation * (kernel - 1) + 1
    if span > size + 2 * padding:
        raise ValueError(
            f"kernel: {kernel} entries with dilation {dilation} span {span}, but the padded input has only "
            f"{size + 2 * padding}; pad more, or take a smaller kernel"
        )
    return (size + 2 * padding - span) // stride + 1


class _Layout(NamedTuple):
    """Everything along both directions, as pairs (down, across)."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    output: tuple[int, int]


def _layout(size: Iterable[int], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> _Layout:
    names = ("kernel_size", "stride", "padding", "dilation")
    pairs = [
        _pair(value, name) for value, name in zip((kernel, stride, padding, dilation), names, strict=True)
    ]
    size = tuple(size)
    return _Layout(size, *pairs, tuple(map(output_size, size, *pairs)))


# --- A layer: three ways ---


def conv2d_loops(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """A convolutional layer in plain loops, one multiply-add at a time. For small tensors: it is slow.

    Arguments, result and errors are those of `conv2d`.
    """
    at = _checked_layer(x, weight, bias, stride, padding, dilation, groups)
    (height, width), (rows, columns) = at.size, at.output
    (down, across), (top, left), (apart, aside) = at.stride, at.padding, at.dilation
    outputs, inputs = len(weight), weight.shape[1]
    y = x.new_zeros(len(x), outputs, rows, columns)
    for n, o, u, v in product(range(len(x)), range(outputs), range(rows), range(columns)):
        first = o // (outputs // groups) * inputs  # the first channel of this output's group
        for c, i, j in product(range(inputs), range(at.kernel[0]), range(at.kernel[1])):
            row, column = u * down + i * apart - top, v * across + j * aside - left
            if 0 <= row < height and 0 <= column < width:
                y[n, o, u, v] += weight[o, c, i, j] * x[n, first + c, row, column]
    return y if bias is None else y + bias[:, None, None]


def im2col(x: Tensor, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> Tensor:
    """What the kernel sees at each place, as one column each.

    Args:
        x: (N, C, H, W), any dtype.
        kernel_size: kh and kw.
        stride, padding, dilation: as for `conv2d`.

    Returns:
        (N, C·kh·kw, L): L places, row by row; the entries of a column channel by channel, each row by row.

    Raises:
        TypeError: not a tensor, or a number that isn't whole.
        ValueError: not four dimensions, or a kernel that finds no place.
    """
    _check_four(x, "x")
    at = _layout(x.shape[2:], kernel_size, stride, padding, dilation)
    padded = x.new_zeros(
        *x.shape[:2], *(side + 2 * pad for side, pad in zip(at.size, at.padding, strict=True))
    )
    padded[:, :, at.padding[0] : at.padding[0] + at.size[0], at.padding[1] : at.padding[1] + at.size[1]] = x
    rows, columns = (  # (kh, out): which row the kernel's row i meets at place u
        at.dilation[d] * torch.arange(at.kernel[d])[:, None] + at.stride[d] * torch.arange(at.output[d])
        for d in (0, 1)
    )
    patches = padded[:, :, rows[:, None, :, None], columns[None, :, None, :]]  # (N, C, kh, kw, out, out)
    return patches.reshape(len(x), x.shape[1] * math.prod(at.kernel), math.prod(at.output))


def col2im(
    columns: Tensor,
    size: tuple[int, int],
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """The transpose of `im2col`: every entry goes back to its pixel, and what meets there adds up.

    Args:
        columns: (N, C·kh·kw, L), as `im2col` makes them from a picture of ``size``.
        size: (H, W) of that picture.
        kernel_size, stride, padding, dilation: as there.

    Returns:
        (N, C, H, W).

    Raises:
        TypeError: not a tensor, or a number that isn't whole.
        ValueError: columns that `im2col` wouldn't make from such a picture.
    """
    if not isinstance(columns, Tensor):
        raise TypeError(f"columns: expected a tensor (N, C·kh·kw, L), got {type(columns).__name__}")
    at = _layout(size, kernel_size, stride, padding, dilation)
    entries, places = math.prod(at.kernel), math.prod(at.output)
    if columns.ndim != 3 or columns.shape[1] % entries or columns.shape[2] != places:
        raise ValueError(
            f"columns: expected (N, C·{entries}, {places}) for a {at.size[0]} × {at.size[1]} picture, "
            f"got {tuple(columns.shape)}"
        )
    patches = columns.reshape(len(columns), columns.shape[1] // entries, *at.kernel, *at.output)
    (top, left), (height, width) = at.padding, at.size
    padded = columns.new_zeros(*patches.shape[:2], height + 2 * top, width + 2 * left)
    for i, j in product(range(at.kernel[0]), range(at.kernel[1])):
        # The pixels that this kernel entry meets, place by place.
        down, across = (
            slice(d * e, d * e + s * (out - 1) + 1, s)
            for e, d, s, out in zip((i, j), at.dilation, at.stride, at.output, strict=True)
        )
        padded[:, :, down, across] += patches[:, :, i, j]
    return padded[:, :, top : top + height, left : left + width]


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """A convolutional layer as one matrix product, equal to ``torch.nn.functional.conv2d``.

    Args:
        x: (N, C, H, W) floats.
        weight: (O, C / groups, kh, kw), the dtype of x.
        bias: (O,), the dtype of x, or None.
        stride: rows and columns from one place to the next, at least 1.
        padding: rows and columns of zeros on each side.
        dilation: rows and columns from one kernel entry to the next, at least 1.
        groups: inputs and outputs are divided into so many groups, in order, that don't see each other.

    Returns:
        (N, O, H', W'), H' and W' by `output_size`.

    Raises:
        TypeError: not tensors of floats of one dtype, or a number that isn't whole.
        ValueError: shapes that don't go together; the message says which, and what would.
    """
    at = _checked_layer(x, weight, bias, stride, padding, dilation, groups)
    columns = im2col(x, at.kernel, at.stride, at.padding, at.dilation)
    columns = columns.unflatten(1, (groups, -1))
    matrices = weight.reshape(groups, len(weight) // groups, -1)
    y = (matrices @ columns).reshape(len(x), len(weight), *at.output)
    return y if bias is None else y + bias[:, None, None]


def conv_matrix(
    weight: Tensor,
    size: tuple[int, int],
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """The layer, without its bias, as the matrix that it is: ``(y.flatten(1) == x.flatten(1) @ matrix.T)``.

    Args:
        weight: (O, C / groups, kh, kw) floats.
        size: (H, W) of the input.
        stride, padding, dilation, groups: as for `conv2d`.

    Returns:
        (O·H'·W', C·H·W), nearly all zeros.

    Raises:
        ValueError: as `conv2d`, or a matrix of more than 50 million entries.
    """
    inputs = weight.shape[1] * groups if weight.ndim == 4 else 0
    # Only its shape and dtype are looked at: on "meta" it takes no memory, however large the picture.
    x = weight.new_empty(1, inputs, *size, device="meta")
    at = _checked_layer(x, weight, None, stride, padding, dilation, groups)
    places, pixels = math.prod(at.output), inputs * math.prod(at.size)
    if len(weight) * places * pixels > _LARGEST_MATRIX:
        raise ValueError(
            f"size: {at.size} makes a matrix of {len(weight) * places} × {pixels} entries; "
            "take a smaller picture"
        )
    # Which pixel each entry of each column is; the padding is number 0.
    numbers = torch.arange(1, pixels + 1).reshape(1, inputs, *at.size)
    pixel = im2col(numbers, at.kernel, at.stride, at.padding, at.dilation)[0].T  # (L, C·kh·kw)
    matrix = weight.new_zeros(len(weight), places, pixels + 1)
    entries = _all_channels(weight, groups).flatten(1)[:, None, :].expand(-1, places, -1)
    matrix.scatter_add_(2, pixel.expand(len(weight), -1, -1).to(weight.device), entries)
    return matrix[:, :, 1:].reshape(len(weight) * places, pixels)


def _all_channels(weight: Tensor, groups: int) -> Tensor:
    """The kernel that sees all C channels, with zeros where groups keep it from looking: (O, C, kh, kw)."""
    outputs, inputs, *kernel = weight.shape
    whole = weight.new_zeros(groups, outputs // groups, groups, inputs, *kernel)
    for group, part in enumerate(weight.reshape(groups, -1, inputs, *kernel)):
        whole[group, :, group] = part
    return whole.reshape(outputs, groups * inputs, *kernel)


# --- A layer, backwards ---


class Gradients(NamedTuple):
    """How a number computed from a layer's output changes with what the layer was given.

    Attributes:
        x: (N, C, H, W).
        weight: (O, C / groups, kh, kw).
        bias: (O,).
    """

    x: Tensor
    weight: Tensor
    bias: Tensor


def gradients(
    x: Tensor,
    weight: Tensor,
    of_output: Tensor,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Gradients:
    """The backward pass of `conv2d`: two matrix products with the matrices of the forward pass, transposed.

    Args:
        of_output: (N, O, H', W'), the gradient with respect to the layer's output.
        x, weight, stride, padding, dilation, groups: as in the forward pass.

    Raises:
        TypeError, ValueError: as `conv2d`, or a gradient that isn't of the output's shape and dtype.
    """
    at = _checked_layer(x, weight, None, stride, padding, dilation, groups)
    _check_like(of_output, x, "of_output")
    expected = (len(x), len(weight), *at.output)
    if of_output.shape != expected:
        raise ValueError(f"of_output: expected the output's shape {expected}, got {tuple(of_output.shape)}")
    columns = im2col(x, at.kernel, at.stride, at.padding, at.dilation)
    grouped = columns.unflatten(1, (groups, -1))
    matrices = weight.reshape(groups, len(weight) // groups, -1)
    sent_back = of_output.reshape(len(x), groups, len(weight) // groups, math.prod(at.output))
    of_columns = (matrices.mT @ sent_back).reshape(columns.shape)
    return Gradients(
        col2im(of_columns, at.size, at.kernel, at.stride, at.padding, at.dilation),
        (sent_back @ grouped.mT).sum(0).reshape(weight.shape),
        of_output.sum((0, 2, 3)),
    )


# --- Checks ---


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _pair(value: Pair, name: str) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(map(_is_whole, pair)):
        raise TypeError(f"{name}: expected a whole number or a pair (down, across), got {value!r}")
    return pair


def _check_floats(tensor: object, name: str) -> None:
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        what = f"dtype {tensor.dtype}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name}: expected a tensor of floats, got {what}; try {name}.float()")


def _check_four(tensor: object, name: str, axes: str = "(N, C, H, W)") -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor {axes}, got {type(tensor).__name__}")
    if tensor.ndim != 4:
        mend = f"; for one, write {name}[None]" if tensor.ndim == 3 else ""
        raise ValueError(f"{name}: expected four dimensions {axes}, got {tuple(tensor.shape)}{mend}")


def _check_like(tensor: object, first: Tensor, name: str, first_name: str = "x") -> None:
    _check_floats(tensor, name)
    if tensor.dtype != first.dtype:
        raise TypeError(
            f"{name}: expected {first_name}'s dtype {first.dtype}, got {tensor.dtype}; "
            f"try {name}.to({first_name}.dtype)"
        )


def _check_matrices(f: object, g: object) -> None:
    for matrix, name in ((f, "f"), (g, "g")):
        _check_floats(matrix, name)
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise ValueError(
                f"{name}: expected rows and columns, at least one of each, got {tuple(matrix.shape)}"
            )
    _check_like(g, f, "g", "f")


def _checked_layer(
    x: object, weight: object, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> _Layout:
    for tensor, name, axes in ((x, "x", "(N, C, H, W)"), (weight, "weight", "(O, C / groups, kh, kw)")):
        _check_floats(tensor, name)
        _check_four(tensor, name, axes)
    _check_like(weight, x, "weight")
    outputs, inputs = weight.shape[:2]
    if not _is_whole(groups):
        raise TypeError(f"groups: expected a whole number, got {groups!r}")
    if groups < 1 or outputs % groups or outputs == 0:
        raise ValueError(f"groups: {groups} doesn't divide the {outputs} output channels of weight")
    if x.shape[1] != inputs * groups or inputs == 0:
        raise ValueError(
            f"weight: {tuple(weight.shape)} with {groups} groups wants {inputs * groups} input channels, "
            f"x {tuple(x.shape)} has {x.shape[1]}"
        )
    if bias is not None:
        _check_like(bias, x, "bias")
        if bias.shape != (outputs,):
            raise ValueError(
                f"bias: expected one number for each of {outputs} outputs, got {tuple(bias.shape)}"
            )
    return _layout(x.shape[2:], tuple(weight.shape[2:]), stride, padding, dilation)
