"""yolov3_lib.targets against loops over objects, and by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from yolov3_lib.anchors import TINY_ANCHORS, YOLOV3_ANCHORS
from yolov3_lib.decode import decode_scale
from yolov3_lib.targets import ScaleTargets, assign, pack_truths

STRIDES = {len(YOLOV3_ANCHORS): (32, 16, 8), len(TINY_ANCHORS): (32, 16)}
CLASSES = 4


def grids_of(anchors, net: tuple[int, int]) -> list[tuple[int, int]]:
    return [(net[1] // stride, net[0] // stride) for stride in STRIDES[len(anchors)]]


def targets_of(truths, anchors=YOLOV3_ANCHORS, net=(416, 416)) -> list[ScaleTargets]:
    return assign(torch.as_tensor(truths), anchors, grids_of(anchors, net), net, CLASSES)


# The rules once more, one object at a time, as Darknet's text has them.


def loop_assign(truths: list, anchors, net: tuple[int, int]) -> list[dict]:
    """For each scale: (image, anchor, row, column) → what the prediction there should say."""
    flat = [(shape, scale, place) for scale, row in enumerate(anchors) for place, shape in enumerate(row)]
    grids = grids_of(anchors, net)
    places: list[dict] = [{} for _ in anchors]
    for image, x, y, w, h, c in truths:
        if w <= 0 or h <= 0:
            continue
        overlaps = []
        for (anchor_w, anchor_h), _, _ in flat:
            overlap = min(w * net[0], anchor_w) * min(h * net[1], anchor_h)
            overlaps.append(overlap / (w * net[0] * h * net[1] + anchor_w * anchor_h - overlap))
        shape = flat[max(range(len(flat)), key=overlaps.__getitem__)][0]
        for (anchor_w, anchor_h), scale, place in flat:
            if (anchor_w, anchor_h) != shape:
                continue
            rows, columns = grids[scale]
            row, column = min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)
            before = places[scale].get((int(image), place, row, column))
            places[scale][int(image), place, row, column] = {
                "offset": (x * columns - column, y * rows - row),
                "log_size": (math.log(w * net[0] / anchor_w), math.log(h * net[1] / anchor_h)),
                "area": w * h,
                "classes": {int(c)} | (before["classes"] if before else set()),
            }
    return places


@st.composite
def crowds(draw, anchors, net: tuple[int, int]) -> list[list[float]]:
    """Objects of two images that often meet, some rows of padding between them."""
    finest = STRIDES[len(anchors)][-1]
    columns, rows = net[0] // finest, net[1] // finest
    shapes = [shape for scale in anchors for shape in scale]
    truths = []
    for _ in range(draw(st.integers(0, 12))):
        column, row = draw(st.integers(0, columns - 1)), draw(st.integers(0, min(rows - 1, 5)))
        # Not on a cell's edge, and a shape near one anchor: single precision never decides a case.
        inner = st.sampled_from((0.125, 0.375, 0.625, 0.875))
        factor = st.sampled_from((0.875, 0.9375, 1.0, 1.0625))
        w, h = draw(st.sampled_from(shapes))
        size = (w * draw(factor) / net[0], h * draw(factor) / net[1])
        if draw(st.integers(0, 5)) == 0:
            size = (0.0, 0.0)
        center = ((column + draw(inner)) / columns, (row + draw(inner)) / rows)
        truths.append([draw(st.integers(0, 1)), *center, *size, draw(st.integers(0, CLASSES - 1))])
    return truths


def check_against_loops(truths: list, anchors, net: tuple[int, int]) -> None:
    tensor = torch.tensor(truths).reshape(-1, 6)
    for found, expected in zip(
        targets_of(tensor, anchors, net), loop_assign(tensor.tolist(), anchors, net), strict=True
    ):
        mine = [i for i in range(len(truths)) if found.responsible[i]]
        cells = [tuple(int(part[i]) for part in found.cell) for i in mine]
        assert sorted(cells) == sorted(expected)
        for i, cell in zip(mine, cells, strict=True):
            wanted = expected[cell]
            assert found.offset[i].tolist() == pytest.approx(wanted["offset"], abs=1e-5)
            assert found.log_size[i].tolist() == pytest.approx(wanted["log_size"], abs=1e-5)
            assert found.relative_area[i].item() == pytest.approx(wanted["area"], rel=1e-5)
            assert set(found.classes[i].nonzero().flatten().tolist()) == wanted["classes"]


@given(crowds(YOLOV3_ANCHORS, (416, 416)))
def test_assign_is_the_loop_over_objects(truths: list) -> None:
    check_against_loops(truths, YOLOV3_ANCHORS, (416, 416))


@given(crowds(TINY_ANCHORS, (160, 96)))
def test_assign_is_the_loop_with_a_shared_anchor_on_a_wide_input(truths: list) -> None:
    check_against_loops(truths, TINY_ANCHORS, (160, 96))


# By hand


def test_an_object_by_hand() -> None:
    # 100 × 80 pixels at (208, 104): anchor 116 × 90, stride 32, cell (row 3, column 6) of 13.
    coarse, middle, fine = targets_of([[0, 208 / 416, 104 / 416, 100 / 416, 80 / 416, 2]])
    assert not middle.responsible.any()
    assert not fine.responsible.any()
    assert [int(part) for part in coarse.cell] == [0, 0, 3, 6]
    assert coarse.offset[0].tolist() == pytest.approx([0.5, 0.25], abs=1e-6)
    assert coarse.log_size[0].tolist() == pytest.approx([math.log(100 / 116), math.log(80 / 90)], abs=1e-6)
    assert coarse.box[0].tolist() == pytest.approx([158, 64, 258, 144], abs=1e-4)
    assert coarse.relative_area.item() == pytest.approx(8000 / 416**2)
    assert coarse.classes.tolist() == [[0, 0, 1, 0]]


@pytest.mark.parametrize("scale", range(3))
@pytest.mark.parametrize("anchor", range(3))
def test_an_object_in_the_shape_of_an_anchor_is_that_anchors(scale: int, anchor: int) -> None:
    w, h = YOLOV3_ANCHORS[scale][anchor]
    found = targets_of([[0, 0.3, 0.6, w / 416, h / 416, 1]])
    assert [bool(targets.responsible) for targets in found] == [number == scale for number in range(3)]
    assert int(found[scale].anchor) == anchor
    assert found[scale].log_size[0].tolist() == pytest.approx([0, 0], abs=1e-6)


def test_the_anchor_depends_on_the_networks_size_not_the_scale_alone() -> None:
    truths = [[0, 0.5, 0.5, 0.18, 0.18, 0]]  # 58 pixels of 320, 109 of 608
    small, large = targets_of(truths, net=(320, 320)), targets_of(truths, net=(608, 608))
    assert [bool(t.responsible) for t in small] == [False, True, False]
    assert [bool(t.responsible) for t in large] == [True, False, False]


def test_targets_put_into_a_head_decode_to_the_boxes() -> None:
    net, stride = (416, 320), 32
    # The middle of a cell would have the logit 0; these don't.
    truths = torch.tensor([[0, 0.31, 0.27, 0.3, 0.3, 0], [1, 0.81, 0.93, 0.9, 0.8, 3]])
    coarse = targets_of(truths, net=net)[0]
    assert coarse.responsible.all()
    head = torch.zeros(2, 3, 10, 13, 5 + CLASSES)
    head[coarse.cell] = torch.cat((coarse.offset.logit(), coarse.log_size, torch.zeros(2, 1 + CLASSES)), 1)
    boxes = decode_scale(head, YOLOV3_ANCHORS[0], stride).view(2, 10, 13, 3, -1)[..., :4]
    decoded = boxes[coarse.image, coarse.row, coarse.column, coarse.anchor]
    torch.testing.assert_close(decoded, coarse.box, rtol=1e-5, atol=1e-3)


def test_rows_are_rows_and_columns_columns() -> None:
    coarse = targets_of([[0, 0.9, 0.1, 0.3, 0.5, 0]], net=(416, 320))[0]
    assert (int(coarse.row), int(coarse.column)) == (int(0.1 * 10), int(0.9 * 13))


def test_a_center_on_the_inputs_edge_belongs_to_the_last_cell() -> None:
    coarse = targets_of([[0, 1.0, 0.0, 0.3, 0.3, 0]])[0]
    assert (int(coarse.row), int(coarse.column)) == (0, 12)
    assert coarse.offset[0].tolist() == pytest.approx([1, 0], abs=1e-5)


# Objects that meet

CELL = (0.5, 0.5, 116 / 416, 90 / 416)


def test_of_objects_on_one_cell_and_anchor_the_last_owns_the_box_and_the_classes_unite() -> None:
    shifted = (CELL[0] + 0.01, *CELL[1:])
    coarse = targets_of([[0, *CELL, 0], [0, *shifted, 3], [0, *CELL, 1]])[0]
    assert coarse.responsible.tolist() == [False, False, True]
    assert coarse.classes[2].tolist() == [1, 1, 0, 1]
    assert coarse.objectness(1, 3, 13, 13).sum() == 1


def test_the_same_class_twice_counts_once() -> None:
    coarse = targets_of([[0, *CELL, 2], [0, *CELL, 2]])[0]
    assert coarse.classes[1].tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    "other",
    [
        [1, *CELL, 1],  # another image
        [0, 0.5, 0.5, 156 / 416, 198 / 416, 1],  # another anchor
        [0, 0.6, 0.5, *CELL[2:], 1],  # another column
        [0, 0.5, 0.6, *CELL[2:], 1],  # another row
    ],
)
def test_objects_apart_leave_each_other_alone(other: list) -> None:
    coarse = targets_of([[0, *CELL, 0], other])[0]
    assert coarse.responsible.all()
    assert coarse.classes.sum(dim=1).tolist() == [1, 1]
    assert coarse.objectness(2, 3, 13, 13).sum() == 2


def test_yolov3_gives_an_object_one_anchor_and_the_tiny_models_shared_shape_two() -> None:
    truths = torch.tensor([[0, 0.5, 0.5, 81 / 416, 82 / 416, 0], [0, 0.2, 0.2, 37 / 416, 58 / 416, 0]])
    coarse, fine = targets_of(truths, TINY_ANCHORS)
    assert coarse.responsible.tolist() == [True, False]
    assert fine.responsible.tolist() == [True, True]
    assert (int(coarse.anchor[0]), int(fine.anchor[0])) == (0, 2)
    assert sum(t.responsible.long() for t in targets_of(truths)).tolist() == [1, 1]


# Padding, emptiness, inputs


def test_padding_trains_nothing_and_changes_nothing() -> None:
    truths = torch.tensor([[0, *CELL, 0], [0, 0.0, 0.0, 0.02, 0.03, 1]])
    padding = torch.tensor([[0, 0.0, 0.0, 0.0, 0.0, 0], [0, *CELL[:2], 0.0, 0.2, 1], [0, *CELL[:3], 0.0, 2]])
    mixed = torch.cat((padding[:1], truths[:1], padding[1:], truths[1:], padding.repeat(200, 1)))
    at = [1, 4]
    for plain, padded in zip(targets_of(truths), targets_of(mixed), strict=True):
        assert padded.responsible.sum() == plain.responsible.sum()
        for name in ("anchor", "row", "column", "responsible", "offset", "log_size", "box", "classes"):
            assert torch.equal(getattr(plain, name), getattr(padded, name)[at]), name
        assert torch.equal(plain.objectness(1, 3, 52, 52), padded.objectness(1, 3, 52, 52))
        assert all(getattr(padded, name).isfinite().all() for name in ("offset", "log_size", "box"))


def test_padding_stays_finite_where_the_processor_rounds_the_smallest_numbers_to_zero() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor keeps them")
    try:
        found = targets_of(torch.zeros(3, 6))
    finally:
        torch.set_flush_denormal(False)
    assert all(targets.log_size.isfinite().all() for targets in found)


@pytest.mark.parametrize("truths", [torch.zeros(0, 6), torch.zeros(5, 6)], ids=["none", "padding"])
def test_images_without_objects_have_no_targets(truths: torch.Tensor) -> None:
    for targets in targets_of(truths):
        assert not targets.responsible.any()
        assert targets.classes.sum() == 0
        assert targets.objectness(2, 3, 13, 13).sum() == 0


def test_assign_leaves_its_inputs_alone_and_takes_any_precision() -> None:
    truths = torch.tensor([[0, *CELL, 1]], dtype=torch.float64)
    anchors = torch.tensor(YOLOV3_ANCHORS, dtype=torch.int64)
    before = truths.clone(), anchors.clone()
    double = assign(truths, anchors, [(13, 13), (26, 26), (52, 52)], (416, 416), CLASSES)[0]
    assert torch.equal(truths, before[0])
    assert torch.equal(anchors, before[1])
    assert double.offset.dtype == torch.float32
    assert torch.equal(double.offset, targets_of(truths.float())[0].offset)


def test_nothing_is_read_back_from_the_device() -> None:
    """A tensor without values has none to give: reading one, or a shape that depends on one, would raise."""
    with FakeTensorMode() as mode:
        truths = mode.from_tensor(torch.rand(7, 6))
        found = targets_of(truths)
        assert [targets.objectness(2, 3, 13, 13).shape for targets in found] == [(2, 3, 13, 13)] * 3
        assert found[0].classes.shape == (7, CLASSES)


# Bad input


@pytest.mark.parametrize("shape", [(3, 5), (6,), (2, 3, 6)])
def test_truths_of_another_shape_are_refused(shape: tuple) -> None:
    with pytest.raises(ValueError, match=r"truths: expected \(M, 6\), image, x, y, w, h, class"):
        targets_of(torch.zeros(shape))


@pytest.mark.parametrize("anchors", [YOLOV3_ANCHORS[:2], YOLOV3_ANCHORS[0], torch.zeros(3, 3, 3)])
def test_anchors_that_dont_fit_the_scales_are_refused(anchors) -> None:
    with pytest.raises(ValueError, match=r"anchors: expected \(3, A, 2\) for 3 scales, got"):
        assign(torch.zeros(0, 6), anchors, [(13, 13), (26, 26), (52, 52)], (416, 416), CLASSES)


# pack_truths


def test_pack_truths_writes_the_images_number_before_each_object() -> None:
    boxes = [torch.tensor([[0.5, 0.5, 0.2, 0.1]]), torch.zeros(0, 4), torch.rand(2, 4)]
    classes = [torch.tensor([3]), torch.zeros(0, dtype=torch.long), torch.tensor([1, 0])]
    packed = pack_truths(boxes, classes)
    assert packed.dtype == torch.float32
    assert packed[:, 0].tolist() == [0, 2, 2]
    assert packed[:, 5].tolist() == [3, 1, 0]
    assert torch.equal(packed[:, 1:5], torch.cat(boxes))


def test_pack_truths_of_nothing_is_an_empty_table() -> None:
    assert pack_truths([], []).shape == (0, 6)
    assert pack_truths([torch.zeros(0, 4)], [torch.zeros(0)]).shape == (0, 6)


def test_pack_truths_needs_classes_for_every_image() -> None:
    with pytest.raises(ValueError, match="zip"):
        pack_truths([torch.zeros(1, 4)], [])
