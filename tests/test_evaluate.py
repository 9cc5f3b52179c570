"""The metric against its definition in plain loops, against pycocotools, and against sums done by hand."""

import math
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.detections import Detections
from yolov3_lib.evaluate import (
    COCO_METRICS,
    BoxTable,
    average_precision,
    evaluate_coco,
    evaluate_voc,
)

NAMES = ("ant", "bee", "cat")


def detections(*rows: tuple) -> Detections:
    """Rows of (class, score, x1, y1, x2, y2)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return Detections(table[:, 2:], table[:, 1], table[:, 0].long())


def truths(*rows: tuple) -> SimpleNamespace:
    """Rows of (class, difficult, x1, y1, x2, y2)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return SimpleNamespace(boxes=table[:, 2:], classes=table[:, 0].long(), difficult=table[:, 1].bool())


# The definition, word for word, in loops and exact fractions


def exact_iou(a: list[float], b: list[float], edge: int) -> Fraction:
    a, b = [Fraction(x) for x in a], [Fraction(x) for x in b]
    width = min(a[2], b[2]) - max(a[0], b[0]) + edge
    height = min(a[3], b[3]) - max(a[1], b[1]) + edge
    shared = max(width, Fraction(0)) * max(height, Fraction(0))
    areas = [(box[2] - box[0] + edge) * (box[3] - box[1] + edge) for box in (a, b)]
    union = sum(areas) - shared
    return shared / union if union else Fraction(0)


def ap_by_definition(found, objects, wanted: int, threshold: Fraction, edge: int = 0):
    """(area, 11-point, verdicts by rank) of one class; None for the APs where there is nothing to find."""
    ranked = []
    for image, item in enumerate(found):
        for box, score, label in zip(
            item.boxes.tolist(), item.scores.tolist(), item.classes.tolist(), strict=True
        ):
            if label == wanted:
                ranked.append((score, image, box))
    ranked.sort(key=lambda entry: -entry[0])  # Python's sort is stable
    total = sum(
        label == wanted and not difficult
        for item in objects
        for label, difficult in zip(item.classes.tolist(), item.difficult.tolist(), strict=True)
    )
    taken, verdicts = set(), []
    for _, image, box in ranked:
        best, best_overlap = None, Fraction(-1)
        item = objects[image]
        for j in range(len(item.classes)):
            if item.classes[j] == wanted:
                overlap = exact_iou(box, item.boxes[j].tolist(), edge)
                if overlap > best_overlap:
                    best, best_overlap = j, overlap
        if best is None or best_overlap < threshold:
            verdicts.append("wrong")
        elif item.difficult[best]:
            verdicts.append("ignored")
        elif (image, best) in taken:
            verdicts.append("wrong")
        else:
            taken.add((image, best))
            verdicts.append("right")
    if total == 0:
        return None, None, verdicts
    points, right, wrong = [], 0, 0
    for verdict in verdicts:
        right += verdict == "right"
        wrong += verdict == "wrong"
        if verdict != "ignored":
            points.append((Fraction(right, total), Fraction(right, right + wrong)))

    def best_precision(recall: Fraction) -> Fraction:
        return max((p for r, p in points if r >= recall), default=Fraction(0))

    recalls = sorted({Fraction(0), *(recall for recall, _ in points)})
    area = sum((high - low) * best_precision(high) for low, high in pairwise(recalls))
    eleven = sum(best_precision(Fraction(k, 10)) for k in range(11)) / 11
    return area, eleven, verdicts


@st.composite
def scenes(draw: st.DrawFn, apart: bool = False, with_difficult: bool = True):
    """A few images: objects, and detections on them, beside them and on nothing; scores with many ties.

    Coordinates are small whole numbers, so that IoUs of exactly 1/2 and equal IoUs are common. ``apart`` lays
    the objects so far from one another that no detection reaches two.
    """
    found, objects = [], []
    for _ in range(draw(st.integers(1, 4))):
        object_rows, found_rows = [], []
        for k in range(draw(st.integers(0, 4))):
            x, y = (40 * k, 0) if apart else (draw(st.integers(0, 12)), draw(st.integers(0, 12)))
            w, h = draw(st.integers(4 if apart else 0, 12)), draw(st.integers(4 if apart else 0, 12))
            label = draw(st.integers(0, 1))
            difficult = with_difficult and draw(st.integers(0, 3)) == 0
            object_rows.append((label, difficult, x, y, x + w, y + h))
            for _ in range(draw(st.integers(0, 3))):
                dx, dy, dw, dh = (draw(st.integers(-2, 2)) for _ in range(4))
                box = (x + dx, y + dy, x + dx + max(0, w + dw), y + dy + max(0, h + dh))
                found_rows.append(
                    (draw(st.sampled_from([label, label, 2])), draw(st.integers(1, 4)) / 4, *box)
                )
        for _ in range(draw(st.integers(0, 2))):
            x, y = draw(st.integers(0, 20)), 0 if not apart else 1000
            found_rows.append((draw(st.integers(0, 2)), draw(st.integers(1, 4)) / 4, x, y, x + 5, y + 5))
        objects.append(truths(*object_rows))
        found.append(detections(*draw(st.permutations(found_rows))))
    return found, objects


@settings(max_examples=300)
@given(scenes(), st.sampled_from([Fraction(1, 2), Fraction(1, 4), Fraction(1)]), st.booleans())
def test_agrees_with_the_definition(scene, threshold: Fraction, pixel_inclusive: bool) -> None:
    found, objects = scene
    result = evaluate_voc(found, objects, NAMES, float(threshold), pixel_inclusive=pixel_inclusive)
    for c in range(len(NAMES)):
        area, eleven, verdicts = ap_by_definition(found, objects, c, threshold, edge=int(pixel_inclusive))
        assert (result.right[c], result.wrong[c], result.ignored[c]) == tuple(
            verdicts.count(verdict) for verdict in ("right", "wrong", "ignored")
        )
        if area is None:
            assert math.isnan(result.ap_area[c])
            assert math.isnan(result.ap_11[c])
        else:
            assert result.ap_area[c] == pytest.approx(float(area), abs=1e-12)
            assert result.ap_11[c] == pytest.approx(float(eleven), abs=1e-12)


@settings(max_examples=100)
@given(st.lists(st.booleans(), max_size=60), st.integers(0, 40))
def test_average_precision_alone(right: list[bool], missed: int) -> None:
    total = sum(right) + missed
    area, eleven = average_precision(np.array(right, dtype=bool), total)
    if total == 0:
        assert math.isnan(area)
        assert math.isnan(eleven)
        return
    points = [
        (Fraction(sum(right[:n]), total), Fraction(sum(right[:n]), n)) for n in range(1, len(right) + 1)
    ]
    best = [max((p for r, p in points if r >= Fraction(k, 10)), default=Fraction(0)) for k in range(11)]
    assert eleven == pytest.approx(float(sum(best) / 11), abs=1e-12)
    steps = [max(p for r, p in points if r >= Fraction(k, total)) for k in range(1, sum(right) + 1)]
    assert area == pytest.approx(float(sum(steps) / total) if steps else 0.0, abs=1e-12)


def test_average_precision_by_hand() -> None:
    """Right, wrong, right, of four: precisions 1, 1/2, 2/3. The area is (1 + 2/3) / 4; the 11 points are
    1 up to recall .2 and 2/3 up to recall .5."""
    area, eleven = average_precision(np.array([True, False, True]), 4)
    assert area == pytest.approx(5 / 12)
    assert eleven == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)
    with pytest.raises(ValueError, match="2 detections are right, but there are 1"):
        average_precision(np.array([True, True]), 1)


def test_eleven_points_at_a_recall_of_three_tenths() -> None:
    """3 * 0.1 > 3 / 10 in floating point: common code misses the point at recall .3 here."""
    assert 3 * 0.1 > 3 / 10
    _, eleven = average_precision(np.array([True] * 3), 10)
    assert eleven == pytest.approx(4 / 11)


# One rule at a time

BOX = (0, 0, 10, 10)


def test_a_second_detection_of_one_object_is_wrong_even_beside_a_free_one() -> None:
    objects = [truths((0, 0, 0, 0, 10, 10), (0, 0, 0, 0, 10, 12))]
    result = evaluate_voc([detections((0, 0.9, *BOX), (0, 0.8, *BOX))], objects, NAMES)
    assert (result.right[0], result.wrong[0]) == (1, 1)


def test_the_best_score_wins_wherever_it_stands() -> None:
    found = [detections((0, 0.3, *BOX), (0, 0.9, *BOX), (0, 0.5, *BOX))]
    result = evaluate_voc(found, [truths((0, 0, *BOX))], NAMES)
    assert result.curves[0].precision.tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    assert result.curves[0].scores.tolist() == [0.9, 0.5, 0.3]
    assert result.curves[0].envelope.tolist() == pytest.approx([1, 1 / 2, 1 / 3])


def test_equal_scores_keep_their_order() -> None:
    """The right one of two equal scores comes first in one order and second in the other."""
    hit, miss = (0, 0.5, *BOX), (0, 0.5, 50, 50, 60, 60)
    objects = [truths((0, 0, *BOX))]
    assert evaluate_voc([detections(hit, miss)], objects, NAMES).ap_area[0] == 1
    assert evaluate_voc([detections(miss, hit)], objects, NAMES).ap_area[0] == 0.5
    empty = truths()
    assert evaluate_voc([detections(hit), detections(miss)], [*objects, empty], NAMES).ap_area[0] == 1
    assert evaluate_voc([detections(miss), detections(hit)], [empty, *objects], NAMES).ap_area[0] == 0.5


def test_difficult_objects_are_neither_right_nor_wrong_nor_missed() -> None:
    far = (100, 100, 110, 110)
    objects = [truths((0, 1, *BOX), (0, 0, *far))]
    result = evaluate_voc([detections((0, 0.9, *BOX), (0, 0.8, *BOX), (0, 0.7, *far))], objects, NAMES)
    assert (result.truths[0], result.difficult[0]) == (1, 1)
    assert (result.right[0], result.wrong[0], result.ignored[0]) == (1, 0, 2)
    assert result.ap_area[0] == 1


def test_of_two_objects_overlapped_alike_the_first_is_taken() -> None:
    hard, easy = (0, 1, 0, 0, 10, 8), (0, 0, 0, 2, 10, 10)
    found = [detections((0, 1, *BOX))]
    assert evaluate_voc(found, [truths(hard, easy)], NAMES).ignored[0] == 1
    assert evaluate_voc(found, [truths(easy, hard)], NAMES).right[0] == 1


def test_iou_of_exactly_the_threshold_counts() -> None:
    objects = [truths((0, 0, 0, 0, 10, 10))]
    assert evaluate_voc([detections((0, 1, 0, 0, 10, 5))], objects, NAMES).right[0] == 1
    assert evaluate_voc([detections((0, 1, 0, 0, 10, 4.999))], objects, NAMES).right[0] == 0


def test_pixel_inclusive_gives_every_width_one_more() -> None:
    """Pixels 1 … 10 and 1 … 5: 50 of 100 pixels. As edges they would be 9 × 9 and 9 × 4."""
    objects = [truths((0, 0, 1, 1, 10, 10))]
    found = [detections((0, 1, 1, 1, 10, 5))]
    assert evaluate_voc(found, objects, NAMES).right[0] == 0
    assert evaluate_voc(found, objects, NAMES, pixel_inclusive=True).right[0] == 1


def test_another_class_or_image_doesn_t_count() -> None:
    objects = [truths((0, 0, *BOX)), truths()]
    assert evaluate_voc([detections((1, 1, *BOX)), detections()], objects, NAMES).right.sum() == 0
    assert evaluate_voc([detections(), detections((0, 1, *BOX))], objects, NAMES).right.sum() == 0


def test_classes_without_truths_are_left_out_of_the_mean() -> None:
    objects = [truths((0, 0, *BOX), (1, 1, 50, 50, 60, 60))]
    result = evaluate_voc([detections((0, 1, *BOX), (2, 1, *BOX))], objects, NAMES)
    assert result.ap_area[0] == 1
    assert np.isnan(result.ap_area[1:]).all()
    assert np.isnan(result.ap_11[1:]).all()
    assert result.map_area == result.map_11 == 1
    assert result.without_truths == ["bee", "cat"]
    assert "left out of the mean, nothing to find: bee, cat" in result.table()
    assert result.to_dict()["classes"]["bee"]["ap_area"] is None


def test_nothing_at_all() -> None:
    for found, objects in (([], []), ([detections()], [truths()]), ([detections((0, 1, *BOX))], [truths()])):
        result = evaluate_voc(found, objects, NAMES)
        assert math.isnan(result.map_area)
        assert result.to_dict()["map_11"] is None
        assert "n/a" in result.table()
    result = evaluate_voc([detections()], [truths((0, 0, *BOX))], NAMES)
    assert (result.ap_area[0], result.ap_11[0]) == (0, 0)


def test_zero_area_boxes_match_nothing() -> None:
    point = (3, 3, 3, 3)
    assert evaluate_voc([detections((0, 1, *point))], [truths((0, 0, *point))], NAMES).right[0] == 0


def test_half_precision_and_tables() -> None:
    found, objects = [detections((0, 0.5, *BOX)), detections()], [truths((0, 0, *BOX)), truths()]
    half = [Detections(d.boxes.half(), d.scores.bfloat16(), d.classes.int()) for d in found]
    assert evaluate_voc(half, objects, NAMES).map_area == 1
    table = BoxTable.of_detections(found)
    assert evaluate_voc(table, BoxTable.of_truths(objects), NAMES).map_area == 1
    renamed = BoxTable(table.boxes, table.images + 7, table.classes, table.scores, table.difficult)
    assert evaluate_voc(renamed, objects, NAMES).map_area == 0
    with pytest.raises(ValueError, match="scores: expected shape"):
        BoxTable(table.boxes, table.images, table.classes, table.scores[:0], table.difficult)


# What is rejected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0, 0.5, math.nan, 0, 1, 1), r"detections of image 1: boxes\[1\] isn't finite"),
        ((0, 0.5, 0, 0, math.inf, 1), r"detections of image 1: boxes\[1\] isn't finite"),
        ((0, math.nan, 0, 0, 1, 1), r"detections of image 1: scores\[1\] isn't finite"),
        ((0, 0.5, 5, 0, 1, 1), r"detections of image 1: boxes\[1\] has x2 < x1 or y2 < y1: \[5"),
        ((3, 0.5, 0, 0, 1, 1), r"detections of image 1: classes\[1\] isn't an index from 0 to 2: 3"),
        ((-1, 0.5, 0, 0, 1, 1), r"detections of image 1: classes\[1\]"),
    ],
)
def test_bad_detections_are_named(row: tuple, message: str) -> None:
    found = [detections((0, 1, *BOX)), detections((0, 1, *BOX), row)]
    for evaluate in (evaluate_voc, evaluate_coco):
        with pytest.raises(ValueError, match=message):
            evaluate(found, [truths(), truths()], NAMES)


def test_other_bad_input() -> None:
    with pytest.raises(ValueError, match=r"truths of image 0: boxes\[0\] has x2 < x1"):
        evaluate_voc([detections()], [truths((0, 0, 9, 0, 1, 1))], NAMES)
    with pytest.raises(ValueError, match="2 images, but truths of 1"):
        evaluate_voc([detections(), detections()], [truths()], NAMES)
    for threshold in (0, -1, 1.5, math.nan):
        with pytest.raises(ValueError, match="iou_threshold"):
            evaluate_voc([], [], NAMES, iou_threshold=threshold)


# pycocotools


@settings(max_examples=80)
@given(scenes(apart=True, with_difficult=False))
def test_curve_agrees_with_pycocotools(scene) -> None:
    """Without difficult objects, and where no detection reaches two objects, the two metrics rank and judge
    alike. COCO then reads the same curve at 101 recalls; AP50 is the mean over classes that have truths."""
    found, objects = scene
    result = evaluate_voc(found, objects, NAMES)
    per_class = []
    for curve, total in zip(result.curves, result.truths, strict=True):
        if total:
            places = np.searchsorted(curve.recall, np.linspace(0, 1, 101))
            per_class.append(curve.envelope[places[places < len(curve.recall)]].sum() / 101)
    coco = evaluate_coco(found, objects, NAMES)["AP50"]
    if per_class:
        assert coco == pytest.approx(np.mean(per_class), abs=1e-9)
    else:
        assert math.isnan(coco)


def test_coco_numbers_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """One object found with IoU .8: right at the seven thresholds from .5 to .8, so AP is .7."""
    objects = [truths((0, 0, 0, 0, 40, 100)), truths()]
    numbers = evaluate_coco([detections((0, 0.9, 0, 0, 40, 80)), detections()], objects, NAMES)
    assert tuple(numbers) == COCO_METRICS
    assert numbers["AP"] == pytest.approx(0.7)
    assert numbers["AP50"] == numbers["AP75"] == pytest.approx(1)
    assert numbers["AR_1"] == numbers["AR_100"] == pytest.approx(0.7)
    assert numbers["AP_medium"] == pytest.approx(0.7)
    assert math.isnan(numbers["AP_small"])
    assert math.isnan(numbers["AP_large"])
    assert capsys.readouterr().out == ""


def test_coco_ignores_what_lies_in_a_difficult_object() -> None:
    far = (200, 0, 240, 40)
    objects = [truths((0, 1, 0, 0, 40, 40), (0, 0, *far))]
    found = [detections((0, 0.9, 0, 0, 40, 40), (0, 0.8, 0, 0, 10, 10), (0, 0.7, *far))]
    assert evaluate_coco(found, objects, NAMES)["AP50"] == pytest.approx(1)
    voc = evaluate_voc(found, objects, NAMES)
    assert (voc.right[0], voc.wrong[0], voc.ignored[0]) == (1, 1, 1)


def test_coco_of_nothing() -> None:
    for found, objects in (([], []), ([detections()], [truths()]), ([detections((0, 1, *BOX))], [truths()])):
        assert all(math.isnan(value) for value in evaluate_coco(found, objects, NAMES).values())


def test_a_large_random_set_in_both_implementations() -> None:
    """200 images, VOC's classes: jittered detections of well separated objects, and false ones."""
    rng = np.random.default_rng(0)
    found, objects = [], []
    for _ in range(200):
        n = int(rng.integers(0, 6))
        corner = np.stack([np.arange(n) * 200.0, rng.uniform(0, 50, n)], axis=1)
        boxes = np.hstack([corner, corner + rng.uniform(20, 100, (n, 2))])
        labels = rng.integers(0, 20, n)
        objects.append(truths(*np.column_stack([labels, np.zeros(n), boxes]).tolist()))
        again = rng.integers(0, n, 2 * n) if n else np.zeros(0, dtype=int)
        jittered = boxes[again] + rng.normal(0, 6, (len(again), 4))
        jittered[:, 2:] = np.maximum(jittered[:, 2:], jittered[:, :2])
        rows = np.column_stack([labels[again], rng.random(len(again)).round(2), jittered])
        found.append(detections(*rows.tolist()))
    result = evaluate_voc(found, objects, VOC_CLASSES)
    assert 0.3 < result.map_area < 0.95
    places = [np.searchsorted(curve.recall, np.linspace(0, 1, 101)) for curve in result.curves]
    ours = np.mean(
        [
            curve.envelope[at[at < len(curve.recall)]].sum() / 101
            for curve, at in zip(result.curves, places, strict=True)
        ]
    )
    assert evaluate_coco(found, objects, VOC_CLASSES)["AP50"] == pytest.approx(ours, abs=1e-9)
    table = result.table()
    assert f"{result.map_area:.3f}" in table
    assert all(name in table for name in VOC_CLASSES)
