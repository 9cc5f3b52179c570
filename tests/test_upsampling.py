"""foundations/upsampling.py against torch, SciPy and counting."""

import re

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from yolov3_lib.foundations import upsampling as up

WAYS = [up.transposed_by_stamps, up.transposed_by_zeros, up.transposed_by_matrix, up.transposed_by_gradient]
KERNEL = torch.tensor([[1.0, 2, 4], [1, 1, 3], [1, 2, 4]])
INPUT = torch.tensor([[3.0, 3, 3, 6], [7, 4, 3, 2], [7, 2, 8, 5], [1, 7, 3, 1]])
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def cases(draw) -> tuple[torch.Tensor, torch.Tensor, dict[str, int]]:
    """A map, a weight and numbers that go together, with more padding than taps now and then."""
    batch, inputs, outputs, height, width, kh, kw = (draw(st.integers(1, n)) for n in (2, 3, 3, 4, 4, 4, 4))
    stride, seed = draw(st.integers(1, 4)), draw(st.integers(0, 10_000))
    padding, extra = draw(st.integers(0, 4)), draw(st.integers(0, stride - 1))
    sides = [(n - 1) * stride + k - 2 * padding + extra for n, k in ((height, kh), (width, kw))]
    assume(min(sides) >= 1)
    numbers = {"stride": stride, "padding": padding, "output_padding": extra}
    return (
        normal(batch, inputs, height, width, seed=seed),
        normal(inputs, outputs, kh, kw, seed=seed + 1),
        numbers,
    )


@each_way
@given(cases())
@settings(max_examples=60)
def test_every_way_is_torchs(way, case):
    x, weight, numbers = case
    expected = F.conv_transpose2d(x, weight, **numbers)
    got = way(x, weight, **numbers)
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, atol=1e-12)
    sides = zip(x.shape[2:], weight.shape[2:], strict=True)
    assert tuple(got.shape[2:]) == tuple(up.output_size(n, k, **numbers) for n, k in sides)


@each_way
def test_every_way_can_be_differentiated_in_both_arguments(way):
    x, weight = normal(1, 2, 3, 2).requires_grad_(), normal(2, 2, 3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: way(a, b, 2, 1, 1), (x, weight))


@each_way
def test_every_way_keeps_dtype_and_leaves_its_arguments_alone(way):
    x, weight = normal(1, 2, 3, 3).float(), normal(2, 1, 3, 3).float()
    before = x.clone(), weight.clone()
    with torch.no_grad():
        got = way(x, weight, 2, 1)
    assert got.dtype == torch.float32
    assert not got.requires_grad
    assert torch.equal(x, before[0])
    assert torch.equal(weight, before[1])


@each_way
def test_every_way_works_under_inference_mode_and_without_pictures(way):
    with torch.inference_mode():
        x, weight = normal(2, 2, 3, 3), normal(2, 1, 3, 3)
        assert torch.allclose(way(x, weight, 2, 1), F.conv_transpose2d(x, weight, None, 2, 1), atol=1e-12)
    assert way(normal(0, 2, 3, 3), normal(2, 1, 3, 3), 2, 1).shape == (0, 1, 5, 5)


@given(cases())
@settings(max_examples=40)
def test_it_is_the_adjoint_of_the_convolution_that_leads_the_other_way(case):
    """⟨convolution(z), x⟩ = ⟨z, transposed(x)⟩ for every z: what "transposed" means."""
    x, weight, numbers = case
    transposed = up.transposed_by_zeros(x, weight, **numbers)
    z = normal(*transposed.shape, seed=7)
    convolved = F.conv2d(z, weight, stride=numbers["stride"], padding=numbers["padding"])
    assert convolved.shape == x.shape
    assert torch.allclose((convolved * x).sum(), (z * transposed).sum())


# The document's example.


def test_the_documents_sizes():
    assert up.transposed_by_zeros(INPUT[None, None], KERNEL[None, None], 2, 1).shape == (1, 1, 7, 7)
    small = F.conv2d(INPUT[None, None], KERNEL[None, None])
    assert small.flatten().tolist() == [84, 84, 87, 60]
    back = up.transposed_by_matrix(small, KERNEL[None, None])[0, 0]
    assert back[0].tolist() == [84, 252, 504, 336]


def test_stride_one_is_scipys_full_convolution():
    got = up.transposed_by_stamps(INPUT[None, None], KERNEL[None, None])[0, 0]
    assert np.allclose(got, scipy.signal.convolve2d(INPUT.numpy(), KERNEL.numpy(), mode="full"))


def test_it_does_not_undo_a_convolution():
    convolved = F.conv2d(INPUT[None, None], KERNEL[None, None])
    back = up.transposed_by_matrix(convolved, KERNEL[None, None])[0, 0]
    assert back.shape == INPUT.shape
    assert not torch.allclose(back, INPUT)


# Sizes and counts.


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 5), st.integers(0, 3))
def test_the_output_padding_leads_back_to_every_size(size, kernel_size, stride, padding):
    assume(size + 2 * padding >= kernel_size)
    small = (size + 2 * padding - kernel_size) // stride + 1
    extra = up.output_padding_back_to(size, kernel_size, stride, padding)
    assert 0 <= extra < stride
    assert up.output_size(small, kernel_size, stride, padding, extra) == size


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 3))
def test_counts_are_a_transposed_convolution_of_ones(size, kernel_size, stride, padding):
    assume((size - 1) * stride + kernel_size - 2 * padding >= 1)
    ones = torch.ones(1, 1, size, size), torch.ones(1, 1, kernel_size, kernel_size)
    counted = F.conv_transpose2d(*ones, stride=stride, padding=padding)[0, 0]
    assert torch.equal(up.tap_counts(size, kernel_size, stride, padding), counted.long())


@given(st.integers(1, 7), st.integers(1, 4))
def test_counts_are_even_inside_exactly_when_the_stride_divides_the_kernel(kernel_size, stride):
    counts = up.tap_counts(8, kernel_size, stride)
    inside = counts[kernel_size:-kernel_size, kernel_size:-kernel_size]
    assume(len(inside) >= stride)
    assert (inside.unique().numel() == 1) == (kernel_size % stride == 0)


def test_the_documents_size_of_the_spread_map_holds_for_stride_two_alone():
    sides = {s: up.insert_zeros(torch.ones(4, 4), s).shape[0] for s in (1, 2, 3)}
    assert sides == {1: 4, 2: 7, 3: 10}
    assert [side == 2 * 4 - 1 for side in sides.values()] == [False, True, False]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_inserted_zeros_can_be_taken_out_again(height, width, stride):
    x = normal(2, height, width)
    spread = up.insert_zeros(x, stride)
    assert torch.equal(spread[..., ::stride, ::stride], x)
    assert int((spread != 0).sum()) == x.numel()


# Nearest neighbor.


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_nearest_is_torchs_numpys_and_a_transposed_convolution(height, width, factor):
    x = normal(2, 3, height, width).float()
    got = up.nearest(x, factor)
    assert torch.equal(got, torch.nn.Upsample(scale_factor=factor)(x))
    assert np.array_equal(got, x.numpy().repeat(factor, -2).repeat(factor, -1))
    assert np.array_equal(got[0, 0], np.kron(x[0, 0], np.ones((factor, factor))))
    weight = up.nearest_weight(3, factor)
    assert torch.allclose(up.transposed_by_zeros(x, weight, factor), got)


def test_the_documents_block_example():
    got = up.nearest(torch.tensor([[1.0, 2], [3, 4]]), 3)
    assert got.tolist() == [[1, 1, 1, 2, 2, 2]] * 3 + [[3, 3, 3, 4, 4, 4]] * 3


def test_the_gradient_of_nearest_sums_each_block():
    x = normal(1, 2, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: up.nearest(a, 3), x)
    arriving = normal(1, 2, 9, 6, seed=1)
    (gradient,) = torch.autograd.grad(up.nearest(x, 3), x, arriving)
    assert torch.allclose(gradient, F.avg_pool2d(arriving, 3) * 9)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
def test_bilinear_is_torchs_away_from_the_border(factor):
    x = normal(1, 2, 6, 6).float()
    weight = up.bilinear_weight(2, factor)
    got = up.transposed_by_stamps(x, weight, factor, factor // 2)
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    assert got.shape == expected.shape
    inside = (..., slice(factor, -factor), slice(factor, -factor))
    assert torch.allclose(got[inside], expected[inside], atol=1e-6)


# Bad input.

MAP, WEIGHT = torch.zeros(1, 2, 3, 3), torch.zeros(2, 3, 3, 3)


@each_way
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((MAP[0], WEIGHT), ValueError, "x must be (N, C, H, W), got shape (2, 3, 3)"),
        ((MAP, WEIGHT[0]), ValueError, "weight must be (C, O, kh, kw), got shape (3, 3, 3)"),
        ((MAP.long(), WEIGHT), TypeError, "x must be a tensor of floats, not torch.int64; use x.float()"),
        ((MAP.numpy(), WEIGHT), TypeError, "x must be a tensor of floats, not ndarray"),
        ((MAP, WEIGHT.double()), TypeError, "x is torch.float32 and weight torch.float64: make them one"),
        ((MAP, WEIGHT.transpose(0, 1)), ValueError, "input channels first: weight.transpose(0, 1)"),
        ((MAP, WEIGHT[:1]), ValueError, "x has 2 channels, but weight (1, 3, 3, 3) takes 1"),
        ((MAP[..., :0], WEIGHT), ValueError, "x has no entries: shape (1, 2, 3, 0)"),
        ((MAP[:, :0], WEIGHT[:0]), ValueError, "weight has no channels: shape (0, 3, 3, 3)"),
        ((MAP, WEIGHT[:, :0]), ValueError, "weight has no channels: shape (2, 0, 3, 3)"),
        ((MAP, WEIGHT, 0), ValueError, "stride must be at least 1, not 0"),
        ((MAP, WEIGHT, 2, -1), ValueError, "padding must be at least 0, not -1"),
        ((MAP, WEIGHT, (2, 2)), ValueError, "stride must be one whole number for both axes, not (2, 2)"),
        ((MAP, WEIGHT, 2.0), ValueError, "stride must be one whole number for both axes, not 2.0"),
        ((MAP, WEIGHT, 2, 1, 2), ValueError, "with stride 2 it must be less than 2"),
        ((MAP, WEIGHT, 1, 3), ValueError, "the output would have -1 entries"),
    ],
)
def test_arguments_that_dont_fit_are_refused(way, arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        way(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: up.nearest(MAP, 0), "factor must be at least 1, not 0"),
        (lambda: up.nearest(torch.zeros(3), 2), "x must have at least two axes, (..., H, W), got shape (3,)"),
        (lambda: up.insert_zeros(MAP, 0), "stride must be at least 1"),
        (lambda: up.nearest_weight(0, 2), "channels must be at least 1"),
        (lambda: up.bilinear_weight(1, 0), "factor must be at least 1"),
        (lambda: up.output_size(0, 3), "size must be at least 1"),
        (
            lambda: up.output_padding_back_to(3, 6, 2, 1),
            "a kernel of 6 doesn't fit into 3 entries with padding 1",
        ),
        (lambda: up.tap_counts(4, 3, 2, True), "padding must be one whole number for both axes, not True"),
    ],
)
def test_numbers_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
