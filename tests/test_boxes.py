"""boxes.py against exact arithmetic with fractions, finite differences, and properties of the measures."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yolov3_lib.boxes import (
    Letterbox,
    area,
    ciou,
    clip,
    comparable,
    convert,
    diou,
    giou,
    intersection,
    iou,
    pairwise,
    pairwise_iou,
    validate,
)

MEASURES = [iou, giou, diou, ciou]
DTYPES = [torch.float32, torch.float64]


# The reference: exact fractions, one pair at a time.


def exact_sizes(box):
    x1, y1, x2, y2 = (Fraction(v) for v in box)
    return x2 - x1, y2 - y1


def exact_area(box):
    width, height = exact_sizes(box)
    return width * height


def exact_intersection(a, b):
    width = min(Fraction(a[2]), Fraction(b[2])) - max(Fraction(a[0]), Fraction(b[0]))
    height = min(Fraction(a[3]), Fraction(b[3])) - max(Fraction(a[1]), Fraction(b[1]))
    return max(width, Fraction(0)) * max(height, Fraction(0))


def exact_iou(a, b):
    shared = exact_intersection(a, b)
    union = exact_area(a) + exact_area(b) - shared
    return shared / union if union else Fraction(0)


def exact_enclosing(a, b):
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def exact_giou(a, b):
    enclosing = exact_area(exact_enclosing(a, b))
    union = exact_area(a) + exact_area(b) - exact_intersection(a, b)
    return exact_iou(a, b) - ((enclosing - union) / enclosing if enclosing else 0)


def exact_diou(a, b):
    width, height = exact_sizes(exact_enclosing(a, b))
    diagonal = width**2 + height**2
    a, b = [Fraction(v) for v in a], [Fraction(v) for v in b]
    distance = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    return exact_iou(a, b) - (distance / diagonal if diagonal else 0)


def nearly_exact_ciou(a, b):
    angle_a, angle_b = (math.atan2(*exact_sizes(box)) for box in (a, b))
    v = 4 / math.pi**2 * (angle_b - angle_a) ** 2
    weight = v / (1 - float(exact_iou(a, b)) + v) if v else 0
    return float(exact_diou(a, b)) - weight * v


EXACT = {iou: exact_iou, giou: exact_giou, diou: exact_diou, ciou: nearly_exact_ciou}

# A coarse grid makes touching, nested, identical and empty boxes common.
grid = st.integers(-8, 8).map(lambda quarter: quarter / 4)


@st.composite
def boxes_from(draw, coordinate):
    x = sorted([draw(coordinate), draw(coordinate)])
    y = sorted([draw(coordinate), draw(coordinate)])
    return [x[0], y[0], x[1], y[1]]


grid_boxes = boxes_from(grid)
any_float32 = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
any_boxes = boxes_from(any_float32)
pixel_boxes = boxes_from(st.floats(0, 1000).map(lambda pixels: round(pixels, 3)))


def tensors(*boxes, dtype=torch.float64, requires_grad=False):
    return [torch.tensor(box, dtype=dtype, requires_grad=requires_grad) for box in boxes]


# The measures' values


def test_by_hand():
    a, b = tensors([0, 0, 4, 3], [2, 1, 6, 5])
    assert area(a) == 12
    assert intersection(a, b) == 4
    assert iou(a, b).item() == pytest.approx(4 / 24)
    # enclosing box 6 × 5, of which 24 is covered; centers (2, 1.5) and (4, 3)
    assert giou(a, b).item() == pytest.approx(4 / 24 - 6 / 30)
    assert diou(a, b).item() == pytest.approx(4 / 24 - (2**2 + 1.5**2) / (6**2 + 5**2))
    v = 4 / math.pi**2 * (math.atan(4 / 4) - math.atan(4 / 3)) ** 2
    assert ciou(a, b).item() == pytest.approx(diou(a, b).item() - v / (1 - 4 / 24 + v) * v)


PAIRS = {
    "apart on both axes": ([0, 0, 1, 1], [2, 2, 3, 3], 0),
    "apart on one axis": ([0, 0, 1, 1], [2, 0, 3, 1], 0),
    "touching edges": ([0, 0, 1, 1], [1, 0, 2, 1], 0),
    "touching corners": ([0, 0, 1, 1], [1, 1, 2, 2], 0),
    "nested": ([0, 0, 4, 4], [1, 1, 3, 3], 1 / 4),
    "nested, sharing a corner": ([0, 0, 4, 4], [0, 0, 2, 2], 1 / 4),
    "identical": ([1, 2, 3, 5], [1, 2, 3, 5], 1),
    "crossing": ([0, 1, 3, 2], [1, 0, 2, 3], 1 / 5),
    "a line in a box": ([1, 0, 1, 4], [0, 0, 2, 4], 0),
    "a point in a box": ([1, 1, 1, 1], [0, 0, 2, 2], 0),
    "identical lines": ([0, 1, 5, 1], [0, 1, 5, 1], 0),
    "crossing lines": ([0, 1, 2, 1], [1, 0, 1, 2], 0),
    "identical points": ([3, 3, 3, 3], [3, 3, 3, 3], 0),
    "different points": ([0, 0, 0, 0], [3, 4, 3, 4], 0),
    "negative coordinates": ([-4, -3, 0, 0], [-2, -2, 2, 2], 4 / 24),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PAIRS)
def test_named_pairs(name, dtype):
    a, b, expected = PAIRS[name]
    box_a, box_b = tensors(a, b, dtype=dtype)
    assert iou(box_a, box_b).item() == pytest.approx(expected, rel=1e-6)
    for measure in MEASURES:
        assert measure(box_a, box_b).dtype == dtype
        assert measure(box_a, box_b).item() == pytest.approx(float(EXACT[measure](a, b)), abs=2e-7)


def test_points_are_as_far_apart_as_can_be():
    a, b = tensors([0, 0, 0, 0], [3, 4, 3, 4])
    assert giou(a, b) == diou(a, b) == -1


@pytest.mark.parametrize("measure", MEASURES)
@given(a=grid_boxes, b=grid_boxes)
def test_against_fractions(measure, a, b):
    expected = float(EXACT[measure](a, b))
    assert measure(*tensors(a, b)).item() == pytest.approx(expected, abs=1e-14)
    assert measure(*tensors(a, b, dtype=torch.float32)).item() == pytest.approx(expected, abs=1e-6)


@given(a=grid_boxes, b=grid_boxes)
def test_areas_are_exact_on_the_grid(a, b):
    box_a, box_b = tensors(a, b, dtype=torch.float32)
    assert area(box_a).item() == exact_area(a)
    assert intersection(box_a, box_b).item() == exact_intersection(a, b)
    # One rounding, that of the division: thresholds are decided as exact arithmetic decides them.
    assert iou(box_a, box_b).item() == np.float32(exact_iou(a, b))


@pytest.mark.parametrize("measure", MEASURES)
@given(a=pixel_boxes, b=pixel_boxes)
def test_properties(measure, a, b):
    a, b = tensors(a, b, dtype=torch.float32)
    value = measure(a, b).item()
    assert measure(b, a).item() == pytest.approx(value, abs=1e-6), "symmetric"
    lowest = {iou: 0, giou: -1, diou: -1, ciou: -2}[measure]
    assert lowest - 1e-6 <= value <= 1 + 1e-6
    assert measure(a * 0.3, b * 0.3).item() == pytest.approx(value, abs=1e-3), "a matter of proportions"
    if area(a) > 0:
        assert measure(a, a).item() == pytest.approx(1, abs=1e-6)


@given(a=grid_boxes, b=grid_boxes, shift=st.tuples(grid, grid))
def test_translation_changes_nothing(a, b, shift):
    a, b = tensors(a, b)
    dx_dy_dx_dy = torch.tensor(shift * 2, dtype=torch.float64)
    for measure in MEASURES:
        assert measure(a, b).item() == pytest.approx(
            measure(a + dx_dy_dx_dy, b + dx_dy_dx_dy).item(), abs=1e-14
        )


@given(a=any_boxes, b=any_boxes)
def test_the_order_of_the_measures(a, b):
    a, b = tensors(a, b, dtype=torch.float32)
    assert 0 <= iou(a, b) <= 1
    assert giou(a, b) <= iou(a, b) + 1e-6
    assert ciou(a, b) <= diou(a, b) <= iou(a, b)


# Gradients


@pytest.mark.parametrize("measure", MEASURES)
@given(a=any_boxes, b=any_boxes)
def test_finite_everywhere(measure, a, b):
    a, b = tensors(a, b, dtype=torch.float32, requires_grad=True)
    value = measure(a, b)
    value.backward()
    assert value.isfinite()
    assert a.grad.isfinite().all(), a.grad
    assert b.grad.isfinite().all(), b.grad


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", PAIRS)
def test_gradients_of_named_pairs_are_finite_and_bounded(name, measure, dtype):
    a, b = tensors(*PAIRS[name][:2], dtype=dtype, requires_grad=True)
    measure(a, b).backward()
    # The sides are 1 to 5 long: a step of 1 can't be worth more than a few.
    assert a.grad.abs().max() <= 4
    assert b.grad.abs().max() <= 4


@pytest.mark.parametrize("measure", [area, lambda a: intersection(a, a + 0.25), *MEASURES])
def test_gradients_against_finite_differences(measure):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(20, 2, 2, generator=generator, dtype=torch.float64) * 4
    boxes = torch.cat([corners.min(1).values, corners.max(1).values + 0.5], dim=-1)
    if measure not in MEASURES:
        assert torch.autograd.gradcheck(measure, boxes.requires_grad_())
        return
    a, b = boxes[:10].clone().requires_grad_(), boxes[10:].clone().requires_grad_()
    if measure is not ciou:
        assert torch.autograd.gradcheck(measure, (a, b))
        return
    # CIoU's weight is a constant for the gradient, but not for a finite difference: hold it fixed there.
    weight = (diou(a, b) - ciou(a, b)).detach() / aspect_term(a, b).detach()
    for expected, actual in zip(
        torch.autograd.grad((diou(a, b) - weight * aspect_term(a, b)).sum(), (a, b)),
        torch.autograd.grad(ciou(a, b).sum(), (a, b)),
        strict=True,
    ):
        torch.testing.assert_close(actual, expected)
    assert torch.autograd.gradcheck(lambda a, b: diou(a, b) - weight * aspect_term(a, b), (a, b))


def aspect_term(a, b):
    ratio_a, ratio_b = ((box[..., 2] - box[..., 0]) / (box[..., 3] - box[..., 1]) for box in (a, b))
    return 4 / math.pi**2 * (ratio_a.atan() - ratio_b.atan()) ** 2


def test_only_iou_is_blind_when_boxes_are_apart():
    target = torch.tensor([10.0, 10, 14, 14])
    for measure, moves in ((iou, False), (giou, True), (diou, True), (ciou, True)):
        box = torch.tensor([0.0, 0, 3, 5], requires_grad=True)
        measure(box, target).backward()
        assert bool(box.grad.any()) is moves
        if moves:
            assert measure((box + 0.1 * box.grad).detach(), target) > measure(box, target)


# Numbers of every kind


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e18, 1e30, 5e37])
def test_size_does_not_matter(measure, size):
    a, b = torch.tensor([0.0, 0, 4, 3]), torch.tensor([2.0, 1, 6, 5])
    assert measure(a * size, b * size).item() == pytest.approx(measure(a, b).item(), abs=1e-6)


def test_one_huge_box_leaves_the_others_alone():
    boxes = torch.tensor([[0.0, 0, 4, 3], [2, 1, 6, 5], [-1e36, -1e36, 1e36, 1e36]])
    assert torch.equal(pairwise_iou(boxes, boxes)[:2, :2], pairwise_iou(boxes[:2], boxes[:2]))
    assert pairwise_iou(boxes, boxes)[2].tolist() == [0, 0, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8, torch.int16, torch.int64])
def test_other_numbers_are_converted(dtype):
    a, b = torch.tensor([0, 0, 240, 180]).to(dtype), torch.tensor([120, 60, 255, 250]).to(dtype)
    assert area(a).item() == 43200  # more than float16 or uint8 can hold
    assert iou(a, b).dtype == torch.float32
    assert iou(a, b) == iou(a.float(), b.float())


def test_mixed_precision_takes_the_finer():
    a, b = torch.tensor([0.0, 0, 4, 3]), torch.tensor([2.0, 1, 6, 5], dtype=torch.float64)
    assert iou(a, b).dtype == torch.float64
    assert iou(a, b).item() == 4 / 24


@pytest.mark.parametrize("dtype", [torch.bool, torch.complex64])
def test_what_is_no_number_is_refused(dtype):
    with pytest.raises(TypeError, match=r"a has dtype torch\.\w+: expected floating-point or integer"):
        iou(torch.zeros(4, dtype=dtype), torch.zeros(4))


@pytest.mark.parametrize(
    "function", [area, lambda boxes: iou(boxes, boxes), validate, lambda b: clip(b, (1, 1))]
)
@pytest.mark.parametrize("shape", [(), (5,), (4, 3)])
def test_wrong_shapes_are_refused(function, shape):
    with pytest.raises(ValueError, match="last dimension must be 4"):
        function(torch.zeros(shape))


# Shapes


@pytest.mark.parametrize("measure", [intersection, *MEASURES])
def test_broadcasting_and_pairwise(measure):
    generator = torch.Generator().manual_seed(1)
    a = convert(torch.rand(2, 5, 4, generator=generator), "xywh", "xyxy")
    b = convert(torch.rand(2, 3, 4, generator=generator), "xywh", "xyxy")
    table = pairwise(a, b, measure)
    assert table.shape == (2, 5, 3)
    for k in range(2):
        for n in range(5):
            for m in range(3):
                torch.testing.assert_close(table[k, n, m], measure(a[k, n], b[k, m]))
    torch.testing.assert_close(measure(a[0], b[0, 1]), table[0, :, 1])
    torch.testing.assert_close(pairwise(a[0], b[0], measure), table[0])


@pytest.mark.parametrize("measure", [intersection, *MEASURES])
def test_empty_sets(measure):
    none, some = torch.zeros(0, 4), torch.rand(3, 4)
    assert measure(none, none).shape == (0,)
    assert pairwise(none, some, measure).shape == (0, 3)
    assert pairwise(some, none, measure).shape == (3, 0)
    assert pairwise_iou(none, none).shape == (0, 0)
    assert area(none).shape == (0,)


def test_comparable_leaves_ordinary_boxes_as_they_are():
    boxes = torch.tensor([[0.1, 0.2, 415.7, 300.3]])
    assert torch.equal(comparable(boxes, boxes)[0], boxes)


# Formats


def test_convert_by_hand():
    corners = torch.tensor([[2.0, 1, 6, 4]])
    assert convert(corners, "xyxy", "cxcywh").tolist() == [[4, 2.5, 4, 3]]
    assert convert(corners, "xyxy", "xywh").tolist() == [[2, 1, 4, 3]]
    assert convert(torch.tensor([[4, 2.5, 4, 3]]), "cxcywh", "xyxy").tolist() == corners.tolist()
    assert convert(torch.tensor([[4, 2.5, 4, 3]]), "cxcywh", "xywh").tolist() == [[2, 1, 4, 3]]
    assert convert(torch.tensor([[2.0, 1, 4, 3]]), "xywh", "cxcywh").tolist() == [[4, 2.5, 4, 3]]


@given(
    box=grid_boxes,
    first=st.sampled_from(["xyxy", "cxcywh", "xywh"]),
    second=st.sampled_from(["xyxy", "cxcywh"]),
)
def test_convert_there_and_back(box, first, second):
    box = torch.tensor(box)
    there = convert(convert(box, "xyxy", first), first, second)
    assert torch.equal(convert(there, second, "xyxy"), box)


def test_convert_integers_and_shapes():
    assert convert(torch.tensor([0, 0, 3, 5]), "xyxy", "cxcywh").tolist() == [1.5, 2.5, 3, 5]
    assert convert(torch.zeros(2, 0, 3, 4), "xyxy", "xywh").shape == (2, 0, 3, 4)
    assert convert(torch.zeros(4).half(), "xyxy", "xywh").dtype == torch.float16


@pytest.mark.parametrize(("source", "target"), [("xyxy", "yxyx"), ("cxcy", "xyxy")])
def test_convert_unknown_format(source, target):
    with pytest.raises(ValueError, match=r"unknown box format '(yxyx|cxcy)': choose from xyxy, cxcywh, xywh"):
        convert(torch.zeros(4), source, target)


def test_clip():
    boxes = torch.tensor([[-5.0, 3, 20, 8], [1, 2, 3, 4], [30, 30, 40, 40], [-9, -9, -1, -1]])
    assert clip(boxes, (10, 6)).tolist() == [[0, 3, 10, 6], [1, 2, 3, 4], [10, 6, 10, 6], [0, 0, 0, 0]]
    assert clip(torch.zeros(0, 4), (10, 6)).shape == (0, 4)


# Validation


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([20, 0, 10, 5], "boxes[3]: x2 (10.0) < x1 (20.0)"),
        ([0, 7, 10, 5], "boxes[3]: y2 (5.0) < y1 (7.0)"),
        ([0, math.nan, 10, 5], "boxes[3]: y1 is nan"),
        ([0, 0, math.inf, 5], "boxes[3]: x2 is inf"),
        ([-math.inf, 0, 1, 5], "boxes[3]: x1 is -inf"),
    ],
)
def test_validate_names_the_first_bad_box(bad, message):
    boxes = torch.tensor([[0, 0, 1, 1], [2, 2, 2, 2], [0, 0, 5, 5], bad, [9, 9, 0, 0]], dtype=torch.float32)
    with pytest.raises(ValueError) as error:
        validate(boxes)
    assert str(error.value) == message


def test_validate_other_shapes_and_names():
    validate(torch.zeros(0, 4))
    validate(torch.tensor([[0, 0, 0, 0], [1, 2, 3, 4]]))
    with pytest.raises(ValueError, match=r"^truth: x2 \(1\) < x1 \(2\)$"):
        validate(torch.tensor([2, 0, 1, 5]), "truth")
    batch = torch.zeros(2, 3, 4)
    batch[1, 2, 0] = 1
    with pytest.raises(ValueError, match=r"^boxes\[1, 2\]: x2"):
        validate(batch)


# Letterbox


def darknet_letterbox(image_size, net_size):
    """New size and the shifts of pixels and boxes, in the C code's own types: int and float."""
    (w, h), (net_w, net_h) = image_size, net_size
    if np.float32(net_w) / np.float32(w) < np.float32(net_h) / np.float32(h):
        new_w, new_h = net_w, (h * net_w) // w
    else:
        new_w, new_h = (w * net_h) // h, net_h
    return (
        (new_w, new_h),
        ((net_w - new_w) // 2, (net_h - new_h) // 2),
        ((net_w - new_w) / 2, (net_h - new_h) / 2),
    )


@pytest.mark.parametrize(
    ("image_size", "net_size", "new_size", "paste", "shift"),
    [
        ((500, 375), 416, (416, 312), (0, 52), (0, 52)),
        ((375, 500), 416, (312, 416), (52, 0), (52, 0)),
        ((416, 416), 416, (416, 416), (0, 0), (0, 0)),
        ((768, 576), 608, (608, 456), (0, 76), (0, 76)),
        ((500, 333), 416, (416, 277), (0, 69), (0, 69.5)),
        ((1, 1), 416, (416, 416), (0, 0), (0, 0)),
        ((10000, 50), 416, (416, 2), (0, 207), (0, 207)),
        ((10000, 10), 416, (416, 1), (0, 207), (0, 207.5)),
        ((1, 5000), 320, (1, 320), (159, 0), (159.5, 0)),
        ((640, 480), (416, 320), (416, 312), (0, 4), (0, 4)),
    ],
)
def test_letterbox_by_hand(image_size, net_size, new_size, paste, shift):
    letterbox = Letterbox.fit(image_size, net_size)
    assert letterbox.new_size == new_size
    assert letterbox.paste_offset == paste
    assert letterbox.box_offset == shift
    whole_image = torch.tensor([0.0, 0, *image_size])
    expected = [shift[0], shift[1], shift[0] + new_size[0], shift[1] + new_size[1]]
    assert letterbox.apply(whole_image).tolist() == pytest.approx(expected)
    assert letterbox.invert(torch.tensor(expected)).tolist() == pytest.approx(whole_image.tolist(), abs=1e-2)


sides = st.integers(1, 4000)
net_sides = st.integers(1, 19).map(lambda n: 32 * n)


@given(image_size=st.tuples(sides, sides), net_size=st.tuples(net_sides, net_sides))
def test_letterbox_is_darknets(image_size, net_size):
    new_size, paste, shift = darknet_letterbox(image_size, net_size)
    letterbox = Letterbox.fit(image_size, net_size)
    assert letterbox.image_size == image_size
    assert letterbox.net_size == net_size
    if min(new_size) > 0:  # Darknet itself fails at 0
        assert (letterbox.new_size, letterbox.paste_offset, letterbox.box_offset) == (new_size, paste, shift)
    assert min(letterbox.new_size) >= 1
    assert all(new <= net for new, net in zip(letterbox.new_size, net_size, strict=True))


@given(image_size=st.tuples(sides, sides), net=net_sides, box=boxes_from(st.floats(0, 1)))
def test_letterbox_there_and_back(image_size, net, box):
    letterbox = Letterbox.fit(image_size, net)
    boxes = torch.tensor([box], dtype=torch.float64) * torch.tensor(image_size * 2)
    inside = letterbox.apply(boxes)
    validate(inside)
    torch.testing.assert_close(clip(inside, (net, net)), inside)
    torch.testing.assert_close(letterbox.invert(inside), boxes, atol=1e-6, rtol=1e-9)


def test_letterbox_undoes_as_correct_yolo_boxes_does():
    image_size, net = (500, 333), 416
    (new_w, new_h), _, _ = darknet_letterbox(image_size, (net, net))
    x, y, w, h = 0.3, 0.6, 0.25, 0.125  # relative to the network's input
    x = (x - (net - new_w) / 2 / net) / (new_w / net) * image_size[0]
    y = (y - (net - new_h) / 2 / net) / (new_h / net) * image_size[1]
    w, h = w * net / new_w * image_size[0], h * net / new_h * image_size[1]
    boxes = convert(torch.tensor([0.3, 0.6, 0.25, 0.125], dtype=torch.float64) * net, "cxcywh", "xyxy")
    found = convert(Letterbox.fit(image_size, net).invert(boxes), "xyxy", "cxcywh")
    assert found.tolist() == pytest.approx([x, y, w, h])


@pytest.mark.parametrize(("image_size", "net_size"), [((0, 5), 416), ((5, -1), 416), ((5, 5), (416, 0))])
def test_letterbox_without_pixels_is_refused(image_size, net_size):
    with pytest.raises(ValueError, match=r"(image|net)_size \(.*\): both sides must be at least 1 pixel"):
        Letterbox.fit(image_size, net_size)
