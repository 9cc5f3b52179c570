"""yolov3_lib.decode against the paper's formulas written as loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from yolov3_lib.anchors import TINY_ANCHORS, YOLOV3_ANCHORS
from yolov3_lib.decode import cell_offsets, decode, decode_scale


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def decode_in_loops(head: Tensor, anchors: list, stride: int) -> list:
    """Redmon and Farhadi 2018, figure 2, one prediction at a time, in Darknet's order."""
    batch, num_anchors, rows, columns, _ = head.shape
    images = []
    for b in range(batch):
        predictions = []
        for row in range(rows):
            for column in range(columns):
                for a in range(num_anchors):
                    t_x, t_y, t_w, t_h, *rest = head[b, a, row, column].tolist()
                    b_x, b_y = (sigmoid(t_x) + column) * stride, (sigmoid(t_y) + row) * stride
                    b_w, b_h = anchors[a][0] * math.exp(t_w), anchors[a][1] * math.exp(t_h)
                    corners = [b_x - b_w / 2, b_y - b_h / 2, b_x + b_w / 2, b_y + b_h / 2]
                    predictions.append(corners + [sigmoid(t) for t in rest])
        images.append(predictions)
    return images


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(
        st.integers(1, 2), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(5, 8)
    ),
    stride=st.sampled_from([8, 16, 32]),
)
def test_decode_scale_equals_the_formulas(seed: int, shape: tuple, stride: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    head = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    anchors = [(10, 13), (156, 198), (33, 23)][: shape[1]]
    expected = torch.tensor(decode_in_loops(head, anchors, stride), dtype=torch.float64)
    torch.testing.assert_close(decode_scale(head, anchors, stride), expected, rtol=1e-12, atol=1e-9)


def test_all_logits_zero_by_hand() -> None:
    # cell in row 1, column 2 of stride 32: center ((2 + .5)·32, (1 + .5)·32) = (80, 48); size = anchor
    decoded = decode_scale(torch.zeros(1, 1, 2, 3, 6), [(20, 10)], 32)
    assert decoded.shape == (1, 6, 6)
    assert decoded[0, 1 * 3 + 2].tolist() == [70, 43, 90, 53, 0.5, 0.5]


def test_cell_offsets_are_column_and_row() -> None:
    offsets = cell_offsets(2, 3)
    assert offsets.shape == (2, 3, 2)
    assert offsets[1, 2].tolist() == [2, 1]


def test_scales_follow_each_other_coarse_first() -> None:
    heads = [torch.randn(2, 3, 3, 5, 7), torch.randn(2, 3, 6, 10, 7), torch.randn(2, 3, 12, 20, 7)]
    decoded = decode(heads, YOLOV3_ANCHORS, (32, 16, 8))
    assert decoded.shape == (2, 3 * (15 + 60 + 240), 7)
    for head, anchors, stride, part in zip(
        heads, YOLOV3_ANCHORS, (32, 16, 8), decoded.split([45, 180, 720], dim=1), strict=True
    ):
        torch.testing.assert_close(part, decode_scale(head, anchors, stride), rtol=0, atol=0)


def test_anchors_as_tensor_and_as_numbers_agree() -> None:
    heads = [torch.randn(1, 3, 2, 2, 6), torch.randn(1, 3, 4, 4, 6)]
    torch.testing.assert_close(
        decode(heads, torch.tensor(TINY_ANCHORS), (32, 16)), decode(heads, TINY_ANCHORS, (32, 16))
    )


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_a_center_never_leaves_its_cell(t_x: float, t_y: float) -> None:
    head = torch.zeros(1, 1, 3, 4, 5, dtype=torch.float64)
    head[..., 0], head[..., 1] = t_x, t_y
    boxes = decode_scale(head, [(30, 30)], 16)[0, :, :4]
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    cells = 16 * cell_offsets(3, 4, dtype=torch.float64).reshape(-1, 2)
    assert (centers >= cells - 1e-9).all()
    assert (centers <= cells + 16 + 1e-9).all()


@pytest.mark.parametrize("size", [1e3, float("inf")])
def test_absurd_sizes_give_finite_boxes_and_areas(size: float) -> None:
    head = torch.zeros(1, 1, 1, 1, 5)
    head[..., 2:4] = size
    x1, y1, x2, y2 = decode_scale(head, [(373, 326)], 32)[0, 0, :4]
    assert math.isfinite((x2 - x1) * (y2 - y1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_decoded_in_float32(dtype: torch.dtype) -> None:
    head = torch.randn(1, 3, 4, 4, 6).to(dtype)
    decoded = decode_scale(head, YOLOV3_ANCHORS[0], 32)
    assert decoded.dtype == torch.float32
    torch.testing.assert_close(decoded, decode_scale(head.float(), YOLOV3_ANCHORS[0], 32))


def test_gradients_reach_every_logit() -> None:
    head = torch.randn(1, 3, 2, 2, 7, requires_grad=True)
    decode_scale(head, YOLOV3_ANCHORS[0], 32).square().sum().backward()
    assert head.grad.isfinite().all()
    assert (head.grad != 0).all()


def test_a_batch_of_no_images() -> None:
    assert decode_scale(torch.zeros(0, 3, 2, 2, 6), YOLOV3_ANCHORS[0], 32).shape == (0, 12, 6)


def test_wrong_numbers_of_scales_or_anchors_are_refused() -> None:
    head = torch.zeros(1, 3, 2, 2, 6)
    with pytest.raises(ValueError, match="1 heads, 2 sets of anchors and 2 strides"):
        decode([head], TINY_ANCHORS, (32, 16))
    with pytest.raises(ValueError, match=r"expected shape \(3, 2\) for this head, got \(2, 2\)"):
        decode_scale(head, [(1, 2), (3, 4)], 32)
