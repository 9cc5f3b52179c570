"""bonus/low_rank.py against numpy, SciPy and torch's own convolutions."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from yolov3_lib.bonus import low_rank
from yolov3_lib.data.images import load_image
from yolov3_lib.models import ConvBlock, fold_batch_norm, load_model

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = torch.tensor([[1.0, 2], [3, 4], [5, 6]], dtype=torch.float64)


def random_matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def falling(rows: int, columns: int, seed: int = 0, power: float = 1.0) -> torch.Tensor:
    """A matrix whose singular values are 1, 1/2, 1/3, ... to a power."""
    u, v = (torch.linalg.qr(random_matrix(side, min(rows, columns), seed=seed + i)).Q
            for i, side in enumerate((rows, columns)))  # fmt: skip
    return (u * torch.arange(1, min(rows, columns) + 1, dtype=torch.float64) ** -power) @ v.T


@st.composite
def matrices(draw) -> torch.Tensor:
    """Random matrices, tall, wide and square; some of low rank, some zero, some scaled far up or down."""
    rows, columns, inner = (draw(st.integers(1, 9)) for _ in range(3))
    seed, scale = draw(st.integers(0, 10_000)), draw(st.sampled_from((1.0, 0.0, 1e-6, 1e6)))
    return scale * random_matrix(rows, inner, seed=seed) @ random_matrix(inner, columns, seed=seed + 1)


# The decomposition.


@given(matrices())
def test_svd_is_a_decomposition_and_its_values_are_scipys(matrix):
    u, s, vt = low_rank.svd(matrix)
    rank = min(matrix.shape)
    scale = max(float(s[0]), 1e-12)
    assert (u.shape, s.shape, vt.shape) == ((len(matrix), rank), (rank,), (rank, matrix.shape[1]))
    assert torch.allclose(u.T @ u, torch.eye(rank, dtype=u.dtype), atol=1e-12)
    assert torch.allclose(vt @ vt.T, torch.eye(rank, dtype=u.dtype), atol=1e-12)
    assert (s >= 0).all()
    assert (s.diff() <= 0).all()
    assert np.allclose(s / scale, scipy.linalg.svdvals(matrix.numpy()) / scale, atol=1e-12)
    assert torch.allclose((u * s) @ vt / scale, matrix / scale, atol=1e-12)


def test_the_documents_matrix():
    u, s, vt = low_rank.svd(DOCUMENT)
    # A^T A = [[35, 44], [44, 56]]: its eigenvalues are the squares, the roots of x² − 91x + 24.
    root = math.sqrt(91**2 - 4 * 24)
    assert torch.allclose(s**2, torch.tensor([(91 + root) / 2, (91 - root) / 2], dtype=torch.float64))
    assert torch.allclose(DOCUMENT @ vt.T, u * s)
    reference = scipy.linalg.svd(DOCUMENT.numpy(), full_matrices=False)
    assert np.allclose(np.abs(reference[0]), u.abs())
    assert np.allclose(np.abs(reference[2]), vt.abs())


@given(matrices(), st.integers(0, 8))
def test_signs_dont_depend_on_the_library(matrix, seed):
    u, s, vt = low_rank.svd(matrix)
    for row in vt:
        assert row[row.abs().argmax()] > 0
    flips = torch.from_numpy(np.random.default_rng(seed).choice((-1.0, 1.0), len(s)))
    again = low_rank._with_signs(low_rank.SVD(u * flips, s, flips[:, None] * vt))
    assert torch.equal(again.u, u)
    assert torch.equal(again.vt, vt)


def test_batches_dtypes_and_gradients():
    stack = random_matrix(2, 3, 6, 4)
    parts = low_rank.svd(stack, 2)
    for i, j in itertools.product(range(2), range(3)):
        assert torch.allclose(low_rank.rank_k(stack[i, j], 2), parts.matrix()[i, j])
    single = low_rank.rank_k(stack.float(), 2)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), parts.matrix(), atol=1e-5)
    assert low_rank.svd(torch.zeros(0, 3)).s.shape == (0,)


# The best approximation.


@given(matrices(), st.data())
def test_no_other_matrix_of_that_rank_is_nearer(matrix, data):
    """Eckart and Young in both norms, against random rivals and against the optimum pushed a little."""
    s = low_rank.svd(matrix).s
    k = data.draw(st.integers(0, len(s)))
    best = low_rank.rank_k(matrix, k)
    spectral, frobenius = low_rank.errors(s)
    scale = max(float(s[0]), 1e-12)
    assert torch.linalg.matrix_norm(matrix - best, 2) / scale == pytest.approx(
        float(spectral[k]) / scale, abs=1e-12
    )
    assert torch.linalg.matrix_norm(matrix - best) / scale == pytest.approx(
        float(frobenius[k]) / scale, abs=1e-12
    )
    left, right = random_matrix(len(matrix), k, seed=1), random_matrix(k, matrix.shape[1], seed=2)
    projected = left @ torch.linalg.pinv(left) @ matrix
    parts = low_rank.svd(matrix, k)
    pushed = (parts.u * parts.s + 0.01 * scale * left) @ (parts.vt + 0.01 * right)
    for rival in (scale * left @ right, projected, pushed):
        gap = matrix - rival
        assert torch.linalg.matrix_norm(gap, 2) >= spectral[k] - 1e-9 * scale
        assert torch.linalg.matrix_norm(gap) >= frobenius[k] - 1e-9 * scale


def test_errors_keep_a_tiny_tail():
    spectral, frobenius = low_rank.errors(torch.tensor([1e8, 3e-9, 4e-9], dtype=torch.float64))
    assert frobenius.tolist() == pytest.approx([1e8, 5e-9, 4e-9, 0], rel=1e-12)
    assert spectral.tolist() == pytest.approx([1e8, 3e-9, 4e-9, 0], rel=1e-12)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_errors_of_huge_and_of_tiny_values(unit):
    _, frobenius = low_rank.errors(torch.tensor([12.0, 4, 3], dtype=torch.float64) * unit)
    assert frobenius.tolist() == pytest.approx([13 * unit, 5 * unit, 3 * unit, 0], rel=1e-12, abs=0)


def test_errors_of_no_value_and_of_zeros():
    assert [errors.tolist() for errors in low_rank.errors(torch.zeros(0))] == [[0], [0]]
    assert [errors.tolist() for errors in low_rank.errors(torch.zeros(2))] == [[0, 0, 0], [0, 0, 0]]


@given(st.integers(1, 400), st.integers(1, 400))
def test_the_largest_paying_rank_is_where_it_stops_to_pay(rows, columns):
    k = low_rank.largest_paying_rank(rows, columns)
    assert low_rank.numbers_kept(rows, columns, k) < rows * columns
    assert low_rank.numbers_kept(rows, columns, k + 1) >= rows * columns
    assert k < min(rows, columns)


# Photographs.


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_bytes_are_the_nearest_gray_levels(values):
    got = low_rank.to_bytes(np.array(values))
    assert got.dtype == np.uint8
    for value, byte in zip(values, got.tolist(), strict=True):
        assert abs(min(max(value, 0), 255) - byte) <= 0.5


def documents_loop(channel: np.ndarray, k: int) -> np.ndarray:
    """The sum of k outer products, one after the other: what the document asks to do without iterations."""
    u, s, vt = scipy.linalg.svd(channel)
    total = np.zeros(channel.shape)
    for i in range(k):
        total += s[i] * np.outer(u[:, i], vt[i])
    return total


@pytest.mark.parametrize("k", [1, 10, 30])
def test_a_photograph_is_the_documents_sum(photos_dir, k):
    image = load_image(photos_dir / "chelsea.jpg")[::3, ::3]
    expected = np.stack([documents_loop(image[..., c].astype(float), k) for c in range(3)], axis=-1)
    got = low_rank.approximate_photograph(image, k)
    assert (got.shape, got.dtype) == (image.shape, np.uint8)
    # A sum that lies between two gray levels may be rounded either way.
    assert (np.abs(got - expected.clip(0, 255)) < 0.5 + 1e-6).all()
    assert np.array_equal(low_rank.approximate_photograph(image[..., 1], k), got[..., 1])


def test_full_rank_gives_the_photograph_back_and_rank_0_is_black(photos_dir):
    image = load_image(photos_dir / "chelsea.jpg")[::6, ::6]
    assert np.array_equal(low_rank.approximate_photograph(image, min(image.shape[:2])), image)
    assert not low_rank.approximate_photograph(image, 0).any()


# The randomized decomposition.


@given(matrices(), st.integers(0, 3))
def test_randomized_is_exact_where_the_rank_is_low_enough(matrix, iterations):
    k = min(matrix.shape)
    generator = torch.Generator().manual_seed(0)
    parts = low_rank.randomized_svd(matrix, k, power_iterations=iterations, generator=generator)
    scale = max(float(low_rank.svd(matrix).s[0]), 1e-12)
    assert torch.allclose(parts.matrix() / scale, matrix / scale, atol=1e-10)


def test_randomized_comes_near_the_best_and_power_iterations_help():
    matrix, k = falling(300, 200, power=0.7), 20
    best = low_rank.errors(low_rank.svd(matrix).s)[1][k]
    worse = []
    for iterations in (0, 1, 2, 4):
        generator = torch.Generator().manual_seed(1)
        parts = low_rank.randomized_svd(matrix, k, power_iterations=iterations, generator=generator)
        assert torch.allclose(parts.u.T @ parts.u, torch.eye(k, dtype=torch.float64), atol=1e-12)
        assert torch.allclose(parts.vt @ parts.vt.T, torch.eye(k, dtype=torch.float64), atol=1e-12)
        worse.append(float(torch.linalg.matrix_norm(matrix - parts.matrix()) / best))
    assert worse == sorted(worse, reverse=True)
    assert worse[0] > 1.05
    assert 1 <= worse[2] < 1.01


def test_randomized_is_as_good_as_torchs():
    matrix, k = falling(200, 150, power=0.5), 15
    torch.manual_seed(0)
    u, s, v = torch.svd_lowrank(matrix, q=k + 10, niter=2)
    theirs = torch.linalg.matrix_norm(matrix - (u[:, :k] * s[:k]) @ v[:, :k].T)
    ours = torch.linalg.matrix_norm(matrix - low_rank.randomized_svd(matrix, k).matrix())
    assert float(ours / theirs) == pytest.approx(1, abs=0.01)


def test_randomized_repeats_itself_and_takes_batches():
    stack = random_matrix(3, 30, 20)
    first, second = (
        low_rank.randomized_svd(stack, 5, generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first.u, second.u)
    assert first.matrix().shape == stack.shape
    assert low_rank.randomized_svd(stack, 0).s.shape == (3, 0)


# Convolutions.


@settings(max_examples=30)
@given(
    st.sampled_from(("channels", "space")),
    st.tuples(*[st.integers(1, 5)] * 2, *[st.sampled_from((1, 2, 3))] * 2),
    st.tuples(*[st.integers(1, 2)] * 2, *[st.integers(0, 2)] * 2),
    st.booleans(),
)
def test_two_convolutions_at_full_rank_are_the_one(split, shape, layout, bias):
    (outputs, inputs, *kernel), (*stride, above, beside) = shape, layout
    conv = nn.Conv2d(inputs, outputs, kernel, stride, (above, beside), bias=bias).double()
    full = min(low_rank.kernel_matrix(conv.weight, split).shape)
    halves = low_rank.split_convolution(conv, full, split)
    images = random_matrix(2, inputs, 7, 6)
    assert torch.allclose(halves(images), conv(images), atol=1e-12)
    assert halves[0].out_channels == full
    # Counted by torch: every output of a convolution takes one multiply-add for each weight of its filter.
    counted, through = 0, images[:1]
    for part in halves:
        through = part(through)
        counted += through.numel() * part.weight[0].numel()
    assert low_rank.multiply_adds(halves, 7, 6) == counted


@pytest.mark.parametrize("split", ["channels", "space"])
def test_a_split_kernel_is_the_best_of_its_rank(split):
    conv = nn.Conv2d(6, 8, 3, padding=1).double()
    halves = low_rank.split_convolution(conv, 4, split)
    # The impulse response of the two in a row is the kernel that they stand for.
    impulses = torch.zeros(6, 6, 7, 7, dtype=torch.float64)
    impulses[range(6), range(6), 3, 3] = 1
    with torch.no_grad():
        response = halves(impulses) - halves(torch.zeros_like(impulses))
        kernel = response[:, :, 2:5, 2:5].flip(-1, -2).transpose(0, 1)
        assert torch.allclose(response.sum(), kernel.sum())  # nothing lies outside 3 × 3
        gap = low_rank.kernel_matrix(conv.weight - kernel, split)
        values = low_rank.svd(low_rank.kernel_matrix(conv.weight, split)).s
    assert float(torch.linalg.matrix_norm(gap)) == pytest.approx(float(low_rank.errors(values)[1][4]))


def test_the_original_stays_and_the_halves_look_like_it():
    conv = nn.Conv2d(4, 6, 3, bias=False).half()
    before = conv.weight.clone()
    halves = low_rank.split_convolution(conv, 3).eval()
    assert {p.dtype for p in halves.parameters()} == {torch.float16}
    assert all(part.bias is None for part in halves)
    with torch.no_grad():
        halves[0].weight.zero_()
    assert torch.equal(conv.weight, before)


def test_a_layer_of_a_network_is_replaced_in_a_copy():
    torch.manual_seed(0)
    model = fold_batch_norm(nn.ModuleDict({"neck": nn.Sequential(ConvBlock(3, 8, 3), ConvBlock(8, 6, 1))}))
    changed = low_rank.with_low_rank(model, "neck.1.conv", 6)
    assert isinstance(model["neck"][1].conv, nn.Conv2d)
    assert isinstance(changed["neck"][1].conv, nn.Sequential)
    again = fold_batch_norm(changed)  # as a Detector does it: folded layers are left alone
    images = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        outputs = [network["neck"](images) for network in (model, changed, again)]
    assert torch.allclose(outputs[0], outputs[1], atol=1e-5)
    assert torch.equal(outputs[1], outputs[2])


def test_the_layer_of_the_chapter_is_the_largest_and_its_count_is_right():
    model, _ = load_model(ROOT / "data" / "weights" / "yolov3-tiny-coco.safetensors")
    sizes = {name: m.weight.numel() for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    assert max(sizes, key=sizes.get) == "backbone.conv7.conv"
    conv = model.backbone.conv7.conv
    assert low_rank.multiply_adds(conv, 13, 13) == 13 * 13 * 1024 * 512 * 9
    assert low_rank.kernel_matrix(conv.weight).shape == (1024, 4608)
    assert low_rank.kernel_matrix(conv.weight, "space").shape == (1536, 3072)


@pytest.mark.parametrize("dilation", [1, 2])
def test_multiply_adds_are_counted_at_every_place_of_the_output(dilation):
    conv = nn.Conv2d(3, 4, 3, stride=2, padding=1, dilation=dilation)
    places = conv(torch.zeros(1, 3, 11, 8))[0, 0].numel()
    assert low_rank.multiply_adds(conv, 11, 8) == places * conv.weight.numel()


# What is refused.

CONV = nn.Conv2d(2, 2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: low_rank.svd(np.eye(2)), TypeError, "matrix: expected a tensor of floats, got ndarray"),
        (lambda: low_rank.svd(torch.eye(2).int()), TypeError, r"torch.int32; try matrix.double\(\)"),
        (lambda: low_rank.svd(torch.ones(3)), ValueError, r"expected \(..., m, n\), got \(3,\)"),
        (lambda: low_rank.svd(torch.full((2, 2), math.nan)), ValueError, "4 of its numbers are NaN"),
        (lambda: low_rank.rank_k(DOCUMENT, 3), ValueError, "expected 0 to 2 for a 3 × 2 matrix, got 3"),
        (lambda: low_rank.rank_k(DOCUMENT, -1), ValueError, "got -1"),
        (lambda: low_rank.to_bytes(np.array([math.nan])), ValueError, "NaN"),
        (lambda: low_rank.approximate_photograph(np.zeros((2, 2)), 1), ValueError, r"got \(2, 2\) float64"),
        (lambda: low_rank.approximate_photograph(np.zeros((2, 2, 4), "u1"), 1), ValueError, "uint8, got"),
        (lambda: low_rank.randomized_svd(DOCUMENT, 1, oversampling=-1), ValueError, "oversampling"),
        (lambda: low_rank.randomized_svd(DOCUMENT, 1, power_iterations=-1), ValueError, "power_iterations"),
        (lambda: low_rank.kernel_matrix(torch.ones(2, 2)), ValueError, "weight: expected"),
        (lambda: low_rank.split_convolution(CONV, 1, "time"), ValueError, 'split: expected "channels"'),
        (lambda: low_rank.split_convolution(CONV, 0), ValueError, "rank: expected at least 1"),
        (lambda: low_rank.split_convolution(CONV, 3), ValueError, "rank: expected 0 to 2"),
        (lambda: low_rank.split_convolution(nn.Conv2d(2, 2, 3, groups=2), 1), ValueError, "without groups"),
        (lambda: low_rank.split_convolution(nn.Conv2d(2, 2, 3, padding="same"), 1), ValueError, "in numbers"),
        (lambda: low_rank.with_low_rank(nn.Sequential(CONV), "1", 1), ValueError, "'1' is none of .*: 0"),
        (lambda: low_rank.with_low_rank(CONV, "", 1), ValueError, "'' is none of"),
    ],
)  # fmt: skip
def test_bad_input_is_told(call, error, message):
    with pytest.raises(error, match=message):
        call()
