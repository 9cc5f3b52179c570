"""yolov3_lib.anchors against boxes laid on one center, and against loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yolov3_lib.anchors import TINY_ANCHORS, YOLOV3_ANCHORS, best_anchor, shape_iou
from yolov3_lib.boxes import pairwise_iou

sides = st.floats(0.125, 2000, width=32)
shapes = st.lists(st.tuples(sides, sides), min_size=1, max_size=8)


def test_anchors_are_those_of_the_cfg_files() -> None:
    fine_first = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
    flat = [value for scale in reversed(YOLOV3_ANCHORS) for anchor in scale for value in anchor]
    assert flat == [int(value) for value in fine_first.split(",")]
    tiny = [(10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319)]
    assert (tuple(tiny[3:6]), tuple(tiny[1:4])) == TINY_ANCHORS


@given(shapes, shapes)
def test_shape_iou_is_the_iou_of_boxes_on_one_center(a: list, b: list) -> None:
    a, b = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    on_origin = [torch.cat((-x / 2, x / 2), dim=1) for x in (a, b)]
    torch.testing.assert_close(shape_iou(a, b), pairwise_iou(*on_origin))


def test_shape_iou_by_hand() -> None:
    # 4×2 in 2×4: overlap 2×2, union 8 + 8 − 4
    assert shape_iou(torch.tensor([[4.0, 2.0]]), torch.tensor([[2.0, 4.0]])).item() == pytest.approx(4 / 12)


def test_shapes_without_area_have_iou_zero_and_a_finite_gradient() -> None:
    a = torch.zeros(2, 2, requires_grad=True)
    result = shape_iou(a, torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 2.0]]))
    assert result.tolist() == [[0, 0, 0]] * 2
    result.sum().backward()
    assert a.grad.isfinite().all()


@given(shapes)
def test_best_anchor_is_found_as_a_loop_finds_it(wanted: list) -> None:
    anchors = [anchor for scale in YOLOV3_ANCHORS for anchor in scale]
    expected = []
    for w, h in wanted:
        overlaps = []
        for anchor_w, anchor_h in anchors:
            overlap = min(w, anchor_w) * min(h, anchor_h)
            overlaps.append(overlap / (w * h + anchor_w * anchor_h - overlap))
        expected.append(max(overlaps))
    found = best_anchor(torch.tensor(wanted, dtype=torch.float64), anchors)
    all_overlaps = shape_iou(torch.tensor(wanted, dtype=torch.float64), torch.tensor(anchors).double())
    assert found.dtype == torch.int64
    assert all_overlaps.gather(1, found[:, None])[:, 0].tolist() == pytest.approx(expected, rel=1e-12)


def test_of_equal_anchors_the_first_is_best() -> None:
    assert best_anchor(torch.tensor([[5.0, 7.0]]), [(50, 1), (7, 5), (5, 7), (5, 7)]).tolist() == [2]


def test_every_anchor_is_its_own_best() -> None:
    anchors = torch.tensor(YOLOV3_ANCHORS, dtype=torch.float32).reshape(9, 2)
    assert best_anchor(anchors, anchors).tolist() == list(range(9))


def test_no_shapes_no_anchors_chosen() -> None:
    assert best_anchor(torch.zeros(0, 2), YOLOV3_ANCHORS[0]).shape == (0,)
