"""foundations/convolution.py and receptive_field.py against torch, SciPy and the networks of the library."""

import itertools

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from yolov3_lib.data.images import load_image
from yolov3_lib.foundations import convolution as conv
from yolov3_lib.foundations.receptive_field import Window, costs, receptive_field
from yolov3_lib.models import Darknet53, YOLOv3, YOLOv3Tiny


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def matrices(draw, most: int = 6) -> torch.Tensor:
    """Of small whole numbers, so that every sum is exact."""
    rows, columns, seed = draw(st.integers(1, most)), draw(st.integers(1, most)), draw(st.integers(0, 999))
    return random(rows, columns, seed=seed).mul(3).round()


@st.composite
def layers(draw, largest: int = 3):
    """An input, a kernel, a bias, and the options of a layer; each direction has its own numbers."""
    pair = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(2))  # noqa: E731
    groups, seed = draw(st.integers(1, 3)), draw(st.integers(0, 999))
    kernel, padding, dilation = pair(1, largest), pair(0, 2), pair(1, 2)
    size = tuple(
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 7))
        for k, p, d in zip(kernel, padding, dilation, strict=True)
    )
    batch, inputs, outputs = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    x = random(batch, inputs * groups, *size, seed=seed)
    weight = random(outputs * groups, inputs, *kernel, seed=seed + 1)
    bias = draw(st.sampled_from([None, random(outputs * groups, seed=seed + 2)]))
    options = {"stride": pair(1, 3), "padding": padding, "dilation": dilation, "groups": groups}
    return x, weight, bias, options


# --- One kernel ---


@given(matrices(), matrices())
def test_convolution_is_scipys(f, g):
    assert np.array_equal(conv.convolve(f, g), scipy.signal.convolve2d(f, g))


@given(matrices(), matrices())
def test_correlation_is_scipys(f, g):
    # SciPy exchanges the two where the second is larger in both directions.
    assume(all(a >= b for a, b in zip(f.shape, g.shape, strict=True)))
    assert np.array_equal(conv.correlate(f, g), scipy.signal.correlate2d(f, g, "valid"))
    assert torch.equal(conv.correlate(f, g), F.conv2d(f[None, None], g[None, None])[0, 0])


@given(matrices(), matrices(), matrices(3))
def test_convolution_commutes_associates_and_has_a_neutral_kernel(f, g, h):
    assert torch.equal(conv.convolve(f, g), conv.convolve(g, f))
    assert torch.equal(conv.convolve(conv.convolve(f, g), h), conv.convolve(f, conv.convolve(g, h)))
    assert torch.equal(conv.convolve(f, torch.ones(1, 1, dtype=f.dtype)), f)


@given(matrices(), matrices(3))
def test_correlation_is_convolution_with_the_kernel_flipped(f, g):
    rows, columns = g.shape
    assume(f.shape[0] >= rows and f.shape[1] >= columns)
    full = conv.convolve(f, conv.flip(g))
    inside = full[rows - 1 : f.shape[0], columns - 1 : f.shape[1]]
    assert torch.equal(inside, conv.correlate(f, g))


def test_a_dot_shows_the_kernel_and_correlation_shows_it_turned():
    dot, kernel = torch.zeros(5, 5), torch.arange(1.0, 10).reshape(3, 3)
    dot[2, 2] = 1
    assert torch.equal(conv.convolve(dot, kernel)[2:5, 2:5], kernel)
    assert torch.equal(conv.correlate(dot, kernel), conv.flip(kernel))


def test_the_documents_kernels():
    kernels = conv.KERNELS
    assert [kernel.sum().round(decimals=4).item() for kernel in kernels.values()] == [1, 0, 0, 1, 1]
    assert torch.equal(kernels["sharpen"], kernels["identity"] + kernels["edges, 4 neighbors"])
    assert torch.allclose(kernels["edges, 8 neighbors"], 9 * (kernels["identity"] - kernels["box blur"]))
    assert all(torch.equal(kernel, conv.flip(kernel)) for kernel in kernels.values())


@pytest.mark.parametrize("name", conv.KERNELS)
def test_a_photograph_is_filtered_as_scipy_does(photos_dir, name):
    image = load_image(photos_dir / "chelsea.jpg")[50:110, 100:180]
    kernel = conv.KERNELS[name]
    color = conv.filter_image(image, kernel)
    for channel in range(3):
        expected = scipy.ndimage.convolve(image[..., channel].astype(float), kernel.numpy(), mode="nearest")
        assert np.allclose(color[..., channel], expected, atol=1e-3)
        assert np.allclose(conv.filter_image(image[..., channel], kernel), expected, atol=1e-3)
    assert color.dtype == np.float32


def test_filtering_flips_and_takes_any_odd_kernel():
    image, kernel = np.arange(42.0).reshape(6, 7) ** 1.5, random(3, 5)
    expected = scipy.ndimage.convolve(image, kernel.numpy(), mode="nearest")
    assert np.allclose(conv.filter_image(image, kernel), expected, atol=1e-3)


# --- A layer ---


@settings(max_examples=25)
@given(layers(largest=2))
def test_loops_are_torchs(layer):
    x, weight, bias, options = layer
    assume(x.numel() < 120)
    assert torch.allclose(
        conv.conv2d_loops(x, weight, bias, **options), F.conv2d(x, weight, bias, **options), atol=1e-10
    )


@given(layers())
def test_the_product_is_torchs(layer):
    x, weight, bias, options = layer
    expected = F.conv2d(x, weight, bias, **options)
    assert torch.allclose(conv.conv2d(x, weight, bias, **options), expected, atol=1e-10)
    names = ("stride", "padding", "dilation")
    for axis in (0, 1):
        chosen = {name: options[name][axis] for name in names}
        size = conv.output_size(x.shape[2 + axis], weight.shape[2 + axis], **chosen)
        assert size == expected.shape[2 + axis]


@settings(max_examples=40)
@given(layers())
def test_the_matrix_is_the_layer(layer):
    x, weight, _, options = layer
    matrix = conv.conv_matrix(weight, x.shape[2:], **options)
    expected = F.conv2d(x, weight, **options)
    assert torch.allclose(x.flatten(1) @ matrix.T, expected.flatten(1), atol=1e-10)


@given(layers())
def test_columns_are_torchs_there_and_back(layer):
    x, weight, _, options = layer
    options.pop("groups")
    columns = conv.im2col(x, tuple(weight.shape[2:]), **options)
    assert torch.equal(columns, F.unfold(x, weight.shape[2:], **options))
    back = conv.col2im(columns, tuple(x.shape[2:]), tuple(weight.shape[2:]), **options)
    assert torch.allclose(back, F.fold(columns, x.shape[2:], weight.shape[2:], **options), atol=1e-10)
    # The transpose: <A x, y> = <x, Aᵀ y>.
    other = random(*columns.shape, seed=5)
    returned = conv.col2im(other, tuple(x.shape[2:]), tuple(weight.shape[2:]), **options)
    assert torch.allclose((columns * other).sum(), (x * returned).sum(), atol=1e-9)


@settings(max_examples=40)
@given(layers())
def test_the_gradients_are_autograds(layer):
    x, weight, _, options = layer
    bias = torch.zeros(len(weight), dtype=x.dtype)
    given_ = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
    y = F.conv2d(*given_, **options)
    of_output = random(*y.shape, seed=7)
    expected = torch.autograd.grad(y, given_, of_output)
    found = conv.gradients(x, weight, of_output, **options)
    for name, ours, torchs in zip(found._fields, found, expected, strict=True):
        assert torch.allclose(ours, torchs, atol=1e-9), name


def test_our_own_forward_pass_is_differentiable():
    x, weight, bias = (random(*shape).requires_grad_() for shape in ((2, 4, 5, 4), (2, 2, 3, 2), (2,)))
    layer = lambda *given_: conv.conv2d(*given_, stride=2, padding=1, groups=2)  # noqa: E731
    assert torch.autograd.gradcheck(layer, (x, weight, bias))


@settings(max_examples=25)
@given(layers())
def test_nothing_given_is_changed(layer):
    x, weight, bias, options = layer
    before = [tensor.clone() for tensor in (x, weight)]
    y = conv.conv2d(x, weight, bias, **options)
    conv.gradients(x, weight, torch.ones_like(y), **options)
    conv.conv_matrix(weight, x.shape[2:], **options)
    assert all(map(torch.equal, before, (x, weight)))


def test_an_empty_batch_stays_empty_and_float32_stays_float32():
    y = conv.conv2d(torch.zeros(0, 3, 5, 5), torch.zeros(4, 3, 3, 3), padding=1)
    assert (y.shape, y.dtype) == ((0, 4, 5, 5), torch.float32)
    found = conv.gradients(torch.zeros(0, 3, 5, 5), torch.zeros(4, 3, 3, 3), y, padding=1)
    assert [tuple(part.shape) for part in found] == [(0, 3, 5, 5), (4, 3, 3, 3), (4,)]
    assert not found.weight.any()
    assert not found.bias.any()


def test_sizes_of_yolov3():
    assert [conv.output_size(416, 3, 2, 1), conv.output_size(416, 3, 1, 1), conv.output_size(13, 1)] == [
        208, 416, 13,
    ]  # fmt: skip


# --- Cost and receptive field ---


@pytest.mark.parametrize(("classes", "billions"), [(20, 65.428), (80, 65.864)])
def test_the_operations_of_yolov3_are_darknets(classes, billions):
    found = costs(YOLOv3(classes), 416, 416)
    assert len(found) == 75
    assert 2 * sum(cost.multiply_adds for cost in found) / 1e9 == pytest.approx(billions, abs=6e-4)


def test_costs_leave_the_network_alone_and_are_in_order_of_use():
    model = YOLOv3Tiny(20)
    found = costs(model, 416, 416)
    assert next(model.parameters()).device.type == "cpu"
    assert (found[0].name, found[0].output, found[0].kernel) == (
        "backbone.conv1.conv",
        (16, 416, 416),
        (3, 3),
    )
    assert (found[0].weights, found[0].multiply_adds) == (432, 432 * 416 * 416)
    assert sum(cost.weights for cost in found) == sum(
        module.weight.numel() for module in model.modules() if isinstance(module, nn.Conv2d)
    )


def seen_by_gradient(layers: list[Window], size: int, q: int) -> tuple[int, int]:
    """The first and the last pixel that output q depends on, found by torch's gradients in one direction."""
    x = torch.ones(1, 1, size, dtype=torch.float64, requires_grad=True)
    y = x
    for kernel, stride, padding, dilation in layers:
        y = F.conv1d(y, torch.ones(1, 1, kernel, dtype=y.dtype), None, stride, padding, dilation)
    (gradient,) = torch.autograd.grad(y[0, 0, q], x)
    touched = gradient[0, 0].nonzero().flatten()
    return int(touched[0]), int(touched[-1])


@given(
    st.lists(
        st.builds(Window, st.integers(1, 3), st.integers(1, 2), st.integers(0, 1), st.integers(1, 2)),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_the_receptive_field_is_where_gradients_arrive(layers):
    field, size = receptive_field(layers), 120
    q = (60 - field.start) // field.jump  # far enough from both edges
    first, last = seen_by_gradient(layers, size, q)
    # Holes of a dilation aside, the outermost pixels of a field always count.
    assert first == field.start + q * field.jump
    assert last == first + field.size - 1


def test_the_receptive_field_of_darknet53():
    windows = [
        Window(m.kernel_size[0], m.stride[0], m.padding[0])
        for m in Darknet53().modules() if isinstance(m, nn.Conv2d)
    ]  # fmt: skip
    assert len(windows) == 52
    assert receptive_field(windows)[:2] == (725, 32)
    assert receptive_field([])[:] == (1, 1, 0)


# --- What is refused ---

IMAGE, KERNEL, DOT = torch.zeros(1, 3, 5, 5), torch.zeros(4, 3, 3, 3), torch.zeros(1, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((IMAGE[0], KERNEL), ValueError, r"x: expected four dim.*\(3, 5, 5\); for one, write x\[None\]"),
        ((IMAGE, KERNEL[0, 0]), ValueError, r"weight: expected four dimensions \(O, C / groups, kh, kw\)"),
        ((IMAGE.int(), KERNEL), TypeError, r"tensor of floats, got dtype torch.int32; try x.float"),
        (("x", KERNEL), TypeError, "x: expected a tensor of floats, got str"),
        ((IMAGE, KERNEL.double()), TypeError, "weight: expected x's dtype torch.float32, got torch.float64"),
        ((IMAGE[:, :2], KERNEL), ValueError, r"with 1 groups wants 3 input channels, x \(1, 2, 5, 5\) has 2"),
        ((IMAGE, KERNEL, torch.zeros(3)), ValueError, r"bias: expected one number for each of 4 outputs"),
        ((IMAGE, KERNEL, [0.0] * 4), TypeError, "bias: expected a tensor of floats, got list"),
        ((IMAGE, KERNEL, torch.zeros(4).double()), TypeError, "bias: expected x's dtype torch.float32"),
        ((IMAGE, KERNEL, None, 0), ValueError, "stride: expected at least 1, got 0"),
        ((IMAGE, KERNEL, None, 1.5), TypeError, "stride: expected a whole number or a pair"),
        ((IMAGE, KERNEL, None, (1, 1, 1)), TypeError, "stride: expected a whole number or a pair"),
        ((IMAGE, KERNEL, None, 1, "same"), TypeError, "padding: expected a whole number or a pair"),
        ((IMAGE, KERNEL, None, 1, -1), ValueError, "padding: expected at least 0, got -1"),
        ((IMAGE, KERNEL, None, 1, 0, 3), ValueError, "dilation 3 span 7, but the padded input has only 5"),
        ((IMAGE, KERNEL, None, 1, 0, 1, 1.0), TypeError, "groups: expected a whole number, got 1.0"),
        ((IMAGE, KERNEL, None, 1, 0, 1, 3), ValueError, "groups: 3 doesn't divide the 4 output channels"),
    ],
)  # fmt: skip
def test_a_layer_that_cant_be_is_refused_in_words(arguments, error, message):
    for function in (conv.conv2d, conv.conv2d_loops):
        with pytest.raises(error, match=message):
            function(*arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: conv.convolve(torch.zeros(3), DOT), ValueError, "f: expected rows and columns"),
        (lambda: conv.convolve(torch.zeros(3, 0), DOT), ValueError, "f: expected rows and col"),
        (lambda: conv.convolve(torch.zeros(3, 3), DOT.long()), TypeError, "g: expected a tensor"),
        (lambda: conv.convolve(torch.zeros(3, 3), DOT.double()), TypeError, "g: expected f's dtype"),
        (lambda: conv.correlate(torch.zeros(2, 2), torch.zeros(3, 3)), ValueError, "kernel: 3 entries"),
        (lambda: conv.filter_image(np.zeros((3, 3)), torch.zeros(2, 3)), ValueError, "kernel: .* odd"),
        (lambda: conv.filter_image(np.zeros(3), torch.zeros(3, 3)), ValueError, "image: expected"),
        (lambda: conv.output_size(0, 3), ValueError, "size: expected at least 1, got 0"),
        (lambda: conv.output_size(416, 3, 2.0), TypeError, "stride: expected a whole number, got 2.0"),
        (lambda: conv.col2im([1], (3, 3), 3), TypeError, "columns: expected a tensor"),
        (lambda: conv.col2im(torch.zeros(1, 9, 3), (3, 3), 3), ValueError, r"expected \(N, C·9, 1\)"),
        (lambda: conv.im2col(torch.zeros(3, 3), 3), ValueError, "x: expected four dimensions"),
        (lambda: conv.im2col([1], 3), TypeError, "x: expected a tensor"),
        (lambda: conv.gradients(IMAGE, KERNEL, IMAGE), ValueError, "of_output: expected the output's shape"),
        (lambda: conv.gradients(IMAGE, KERNEL, IMAGE.double()), TypeError, "of_output: expected x's dtype"),
        (lambda: conv.conv_matrix(KERNEL, (416, 416)), ValueError, "take a smaller picture"),
        (lambda: conv.conv_matrix(KERNEL, (10**6, 10**6)), ValueError, "take a smaller picture"),
        (lambda: receptive_field([Window(3), Window(3, 0)]), ValueError, r"layers\[1\]: expected a kernel"),
    ],
)  # fmt: skip
def test_what_cant_be_is_refused_in_words(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_all_options_on_one_layer():
    """Every combination of small options, not only those that Hypothesis happens to draw."""
    x, weight = random(1, 1, 7, 6), random(1, 1, 3, 3)
    for stride, padding, dilation in itertools.product((1, 2, 3), (0, 1, 2), (1, 2)):
        expected = F.conv2d(x, weight, None, stride, padding, dilation)
        assert torch.allclose(conv.conv2d(x, weight, None, stride, padding, dilation), expected)
