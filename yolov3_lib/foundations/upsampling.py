r"""Making a feature map larger: transposed convolution computed four ways, and nearest neighbor.

Every entry of the input puts a multiple of the kernel, a **stamp**, on the output, and moves it ``stride``
entries on for the next one. Along one axis, with i entries, a kernel of k taps, stride s and padding p,

.. math:: y_j = \sum_{s u + r - p = j} x_u w_r, \qquad o = (i - 1) s + k - 2 p + a

where a, the output padding, adds entries at the end only. `transposed_by_stamps` is that sentence;
`transposed_by_zeros`, `transposed_by_matrix` and `transposed_by_gradient` compute the same numbers in the
three ways that the literature explains them (Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning", 2016, chapter 4). All equal ``torch.nn.functional.conv_transpose2d``.

Feature maps are ``(N, C, H, W)`` floats. A weight is ``(C, O, kh, kw)``, C channels **in** and O out: the
layout of the convolution that leads the other way, from O channels to C. Stride, padding and output padding
are one number for both axes; there are no groups and no dilation. Numbers are taken to be finite: 0 · ∞ and
0 · NaN are NaN, so the two ways that multiply by zeros, `transposed_by_zeros` and `transposed_by_matrix`,
spread such numbers further than the other two and torch do.
"""

from numbers import Integral

import torch
from torch import Tensor
from torch.nn import functional as F

from yolov3_lib.foundations.convolution import conv_matrix

# --- Sizes ---


def output_size(
    size: int, kernel_size: int, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> int:
    """Side of the output, (size − 1)·stride + kernel_size − 2·padding + output_padding.

    Args:
        size: side of the input, at least 1.
        kernel_size: taps along that side, at least 1.
        stride: how far apart two neighbors' stamps lie, at least 1.
        padding: entries cut off at either end.
        output_padding: entries added at the end, fewer than ``stride``.

    Raises:
        ValueError: an argument out of its range, or an output without entries.
    """
    _check_whole(1, size=size, kernel_size=kernel_size, stride=stride)
    _check_whole(0, padding=padding, output_padding=output_padding)
    if output_padding >= stride:
        raise ValueError(
            f"output_padding is {output_padding}, but with stride {stride} it must be less than {stride}: it "
            f"chooses among the {stride} sizes that one convolution maps to the same"
        )
    side = (size - 1) * stride + kernel_size - 2 * padding + output_padding
    if side < 1:
        raise ValueError(
            f"the output would have {side} entries: padding {padding} cuts off all that an input of {size} "
            f"and a kernel of {kernel_size} give at stride {stride}; take less padding"
        )
    return side


def output_padding_back_to(size: int, kernel_size: int, stride: int = 1, padding: int = 0) -> int:
    """The output padding with which a transposed convolution undoes a convolution's change of size.

    A convolution maps up to ``stride`` sizes to one: at k = 3, s = 2, p = 1 both 7 and 8 become 4. What its
    rounding down left over, (size + 2·padding − kernel_size) mod stride, tells them apart.

    Args:
        size: side before the convolution, the one to come back to.
        kernel_size, stride, padding: the convolution's.

    Raises:
        ValueError: an argument out of its range, or a kernel larger than the padded input.
    """
    _check_whole(1, size=size, kernel_size=kernel_size, stride=stride)
    _check_whole(0, padding=padding)
    if kernel_size > size + 2 * padding:
        raise ValueError(
            f"a kernel of {kernel_size} doesn't fit into {size} entries with padding {padding}: pad more"
        )
    return (size + 2 * padding - kernel_size) % stride


def tap_counts(
    size: int, kernel_size: int, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Tensor:
    """How many of the kernel's taps reach each entry of the output: (o, o) int64 for a square input.

    Equal away from the border exactly when ``stride`` divides ``kernel_size``; else it is a checkerboard
    (Odena et al., "Deconvolution and Checkerboard Artifacts", 2016). Arguments and errors as for
    `output_size`.
    """
    side = output_size(size, kernel_size, stride, padding, output_padding)
    along = torch.zeros(side, dtype=torch.int64)
    for u in range(size):
        first = u * stride - padding
        along[max(first, 0) : max(first + kernel_size, 0)] += 1
    return along[:, None] * along


# --- Transposed convolution ---


def transposed_by_stamps(
    x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Tensor:
    """Each entry stamps the kernel on the output, ``stride`` entries from its neighbor's stamp; overlaps add.

    Args:
        x: (N, C, H, W) floats.
        weight: (C, O, kh, kw), of the same dtype.
        stride, padding, output_padding: as for `output_size`.

    Returns:
        (N, O, oh, ow), sides as `output_size` says.

    Raises:
        TypeError: not tensors of one floating-point dtype.
        ValueError: shapes that don't fit, or as for `output_size`.
    """
    height, width = _output_shape(x, weight, stride, padding, output_padding)
    (rows, columns), (kh, kw) = x.shape[2:], weight.shape[2:]
    # Room for what the padding cuts off at the start.
    canvas = x.new_zeros(len(x), weight.shape[1], height + 2 * padding, width + 2 * padding)
    for r in range(kh):
        for q in range(kw):
            # One tap of all stamps at once: they lie on a grid of step `stride`.
            stamped = torch.einsum("nchw,co->nohw", x, weight[:, :, r, q])
            ends = r + (rows - 1) * stride + 1, q + (columns - 1) * stride + 1
            canvas[:, :, r : ends[0] : stride, q : ends[1] : stride] += stamped
    return canvas[:, :, padding : padding + height, padding : padding + width]


def insert_zeros(x: Tensor, stride: int) -> Tensor:
    """``stride − 1`` zeros between neighbors: (..., H, W) → (..., (H − 1)·stride + 1, (W − 1)·stride + 1).

    Raises:
        TypeError: not a tensor of floats.
        ValueError: fewer than two axes, an axis without entries, or a stride below 1.
    """
    _check_whole(1, stride=stride)
    _check_map("x", x)
    height, width = x.shape[-2:]
    spread = x.new_zeros(*x.shape[:-2], (height - 1) * stride + 1, (width - 1) * stride + 1)
    spread[..., ::stride, ::stride] = x
    return spread


def transposed_by_zeros(
    x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Tensor:
    """Zeros between the entries, k − 1 − padding more around them, and a convolution of stride 1.

    The convolution is the one of deep learning, which doesn't flip its kernel; so the kernel is turned by
    180° first. Where padding exceeds k − 1, the "more around" is negative and cuts off. Arguments, result and
    errors as for `transposed_by_stamps`.
    """
    _output_shape(x, weight, stride, padding, output_padding)
    kh, kw = weight.shape[2:]
    top, left = kh - 1 - padding, kw - 1 - padding
    spread = F.pad(insert_zeros(x, stride), (left, left + output_padding, top, top + output_padding))
    turned = weight.flip(2, 3).transpose(0, 1)  # conv2d wants the output channels first
    return F.conv2d(spread, turned)


def transposed_by_matrix(
    x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Tensor:
    """The transpose of the matrix of the convolution that leads the other way, times x.

    Arguments and result as for `transposed_by_stamps`; so are errors, and a matrix of more than 50 million
    entries is refused.
    """
    height, width = _output_shape(x, weight, stride, padding, output_padding)
    matrix = conv_matrix(weight, (height, width), stride, padding)  # (C·H·W, O·oh·ow)
    # Each row of x.flatten(1) is one map lying down: the transpose of Mᵀx is xᵀM.
    return (x.flatten(1) @ matrix).reshape(len(x), weight.shape[1], height, width)


def transposed_by_gradient(
    x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Tensor:
    """What a convolution's backward pass gives its input, if x is the gradient that arrives at its output.

    Arguments, result and errors as for `transposed_by_stamps`.
    """
    height, width = _output_shape(x, weight, stride, padding, output_padding)
    with torch.inference_mode(False), torch.enable_grad():
        # The convolution is linear: its gradient is the same wherever it is taken.
        anywhere = x.new_zeros(len(x), weight.shape[1], height, width, requires_grad=True)
        if weight.is_inference():
            weight = weight.clone()  # autograd keeps no tensor that was made under inference_mode
        convolved = F.conv2d(anywhere, weight, stride=stride, padding=padding)
        further = x.requires_grad or weight.requires_grad
        (gradient,) = torch.autograd.grad(convolved, anywhere, x, create_graph=further)
    return gradient


# --- Without parameters ---


def nearest(x: Tensor, factor: int) -> Tensor:
    """Each entry becomes a block of factor × factor: (..., H, W) → (..., factor·H, factor·W).

    Entry (j, l) of the result is entry (⌊j / factor⌋, ⌊l / factor⌋) of x, as in Darknet's upsample layer and
    ``torch.nn.Upsample(scale_factor=factor)``. (torch's ``repeat`` lays whole copies side by side; that is
    another thing.)

    Raises:
        TypeError: not a tensor of floats.
        ValueError: fewer than two axes, an axis without entries, or a factor below 1.
    """
    _check_whole(1, factor=factor)
    _check_map("x", x)
    return x.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)


def nearest_weight(channels: int, factor: int) -> Tensor:
    """The kernel with which a transposed convolution of stride ``factor`` is nearest neighbor.

    Ones in each channel's own factor × factor kernel: (channels, channels, factor, factor) float32.
    """
    _check_whole(1, channels=channels, factor=factor)
    return torch.eye(channels)[:, :, None, None].expand(-1, -1, factor, factor).contiguous()


def bilinear_weight(channels: int, factor: int) -> Tensor:
    """The kernel with which a transposed convolution of stride ``factor`` interpolates linearly.

    Its taps rise and fall evenly, 2·factor of them where the factor is even and one fewer where it is odd.
    With padding ⌊factor / 2⌋ the map becomes ``factor`` times as large. Away from the border it is
    ``interpolate(mode="bilinear", align_corners=False)``. Long et al. (2015) start fully convolutional
    networks from it.

    Returns:
        (channels, channels, 2·factor − factor % 2, the same) float32.
    """
    _check_whole(1, channels=channels, factor=factor)
    taps = 2 * factor - factor % 2
    distance = (torch.arange(taps) - (taps - 1) / 2).abs()
    along = 1 - distance / factor
    return torch.eye(channels)[:, :, None, None] * (along[:, None] * along)


# --- Checks ---


def _check_whole(least: int, **numbers: int) -> None:
    for name, value in numbers.items():
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ValueError(f"{name} must be one whole number for both axes, not {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def _check_map(name: str, value: Tensor) -> None:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        given = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a tensor of floats, not {given}; use {name}.float()")
    if value.ndim < 2:
        raise ValueError(f"{name} must have at least two axes, (..., H, W), got shape {tuple(value.shape)}")
    if 0 in value.shape[-2:]:
        raise ValueError(f"{name} has no entries: shape {tuple(value.shape)}")


def _output_shape(
    x: Tensor, weight: Tensor, stride: int, padding: int, output_padding: int
) -> tuple[int, int]:
    """(oh, ow), after everything about the arguments of a transposed convolution has been checked."""
    for name, value, axes in (("x", x, "(N, C, H, W)"), ("weight", weight, "(C, O, kh, kw)")):
        if isinstance(value, Tensor) and value.ndim != 4:
            raise ValueError(f"{name} must be {axes}, got shape {tuple(value.shape)}")
        _check_map(name, value)
    if x.dtype != weight.dtype:
        raise TypeError(f"x is {x.dtype} and weight {weight.dtype}: make them one, with weight.to(x.dtype)")
    if x.shape[1] != weight.shape[0]:
        hint = ""
        if x.shape[1] == weight.shape[1]:
            hint = "; a transposed convolution's weight has its input channels first: weight.transpose(0, 1)"
        raise ValueError(
            f"x has {x.shape[1]} channels, but weight {tuple(weight.shape)} takes {weight.shape[0]}{hint}"
        )
    if 0 in weight.shape[:2]:
        raise ValueError(f"weight has no channels: shape {tuple(weight.shape)}")
    height, width = (
        output_size(side, taps, stride, padding, output_padding)
        for side, taps in zip(x.shape[2:], weight.shape[2:], strict=True)
    )
    return height, width
