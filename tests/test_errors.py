"""Kinds of failures, the price of each, and the confusion matrix, against their definitions in loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from test_evaluate import NAMES, detections, exact_iou, scenes, truths

from yolov3_lib.errors import IGNORED, KINDS, RIGHT, confusion_matrix, sort_failures
from yolov3_lib.evaluate import BoxTable, evaluate_voc

BOX, FAR = (0, 0, 10, 10), (100, 100, 110, 110)


def kinds(found, objects, **options) -> list[str]:
    failures = sort_failures([found], [objects], NAMES, **options)
    names = (*KINDS, "right", "ignored")
    return [names[kind] for kind in failures.kinds]


# One kind at a time


@pytest.mark.parametrize(
    ("box", "label", "kind"),
    [
        (BOX, 0, "right"),
        ((0, 0, 10, 5), 0, "right"),  # an IoU of exactly 1/2
        ((0, 0, 10, 4), 0, "localization"),
        ((0, 0, 10, 1), 0, "background"),  # exactly 1/10 isn't more than 1/10
        ((0, 0, 10, 1.1), 0, "localization"),
        (FAR, 0, "background"),
        (BOX, 1, "class"),
        ((0, 0, 10, 5), 1, "class"),
        ((0, 0, 10, 4), 1, "both"),
        ((0, 0, 10, 1), 1, "background"),
    ],
)
def test_a_detection_by_itself(box, label, kind) -> None:
    assert kinds(detections((label, 0.5, *box)), truths((0, 0, *BOX))) == [kind]


def test_the_second_on_one_object_is_a_duplicate() -> None:
    objects = truths((0, 0, *BOX))
    found = detections((0, 0.5, *BOX), (0, 0.9, 0, 0, 10, 9))
    assert kinds(found, objects) == ["duplicate", "right"]


def test_a_poor_box_of_the_right_name_goes_before_a_good_one_of_a_wrong_name() -> None:
    objects = truths((0, 0, 0, 0, 10, 4), (1, 0, *BOX))
    failures = sort_failures([detections((0, 0.5, *BOX))], [objects], NAMES)
    assert KINDS[failures.kinds[0]] == "localization"
    assert failures.about[0] == 0
    assert failures.overlap[0] == pytest.approx(0.4)
    assert failures.missed.tolist() == [False, True]


def test_difficult_objects_are_neither_missed_nor_background() -> None:
    objects = truths((0, 1, *BOX))
    found = detections((0, 0.9, *BOX), (0, 0.8, 0, 0, 10, 4), (1, 0.7, *BOX))
    assert kinds(found, objects) == ["ignored", "localization", "class"]
    assert not sort_failures([found], [objects], NAMES).missed.any()


def test_an_object_is_missed_only_if_nothing_is_about_it() -> None:
    objects = truths(*((0, 0, 30 * i, 0, 30 * i + 10, 10) for i in range(5)))
    found = detections(
        (0, 0.9, 0, 0, 10, 10),  # right
        (0, 0.8, 30, 0, 40, 4),  # localization
        (1, 0.7, 60, 0, 70, 10),  # class
        (1, 0.6, 90, 0, 100, 4),  # both: mending it finds nothing
    )
    failures = sort_failures([found], [objects], NAMES)
    assert failures.missed.tolist() == [False, False, False, True, True]
    assert failures.counts() == {
        "localization": 1, "class": 1, "both": 1, "duplicate": 0, "background": 0, "missed": 2,
    }  # fmt: skip
    assert failures.counts(score=0.7)["class"] == 0
    assert failures.by_class().tolist() == [[1, 0, 0, 0, 0, 2], [0, 1, 1, 0, 0, 0], [0] * 6]


# The definition in loops


def kinds_by_definition(found, objects) -> tuple[list[str], set]:
    """Kinds in the order given, and the (image, number) of the missed objects."""
    ranked = sorted(
        ((i, j) for i, item in enumerate(found) for j in range(len(item))),
        key=lambda place: -float(found[place[0]].scores[place[1]]),
    )
    taken, verdict, reached = set(), {}, set()
    for i, j in ranked:
        label, box = int(found[i].classes[j]), found[i].boxes[j].tolist()
        own, other = (0, None), (0, None)
        for k, (truth, name) in enumerate(
            zip(objects[i].boxes.tolist(), objects[i].classes.tolist(), strict=True)
        ):
            overlap = exact_iou(box, truth, 0)
            if name == label and overlap > own[0]:
                own = (overlap, k)
            if name != label and overlap > other[0]:
                other = (overlap, k)
        if 2 * own[0] >= 1:
            if objects[i].difficult[own[1]]:
                verdict[i, j] = "ignored"
            elif (i, own[1]) in taken:
                verdict[i, j] = "duplicate"
            else:
                taken.add((i, own[1]))
                verdict[i, j] = "right"
        elif 10 * own[0] > 1:
            verdict[i, j] = "localization"
            reached.add((i, own[1]))
        elif 2 * other[0] >= 1:
            verdict[i, j] = "class"
        elif 10 * max(own[0], other[0]) <= 1:
            verdict[i, j] = "background"
        else:
            verdict[i, j] = "both"
    flat = [verdict[i, j] for i, item in enumerate(found) for j in range(len(item))]
    return flat, taken | reached


@settings(max_examples=80)
@given(scenes())
def test_kinds_agree_with_the_definition(scene) -> None:
    found, objects = scene
    failures = sort_failures(found, objects, NAMES)
    expected, reached = kinds_by_definition(found, objects)
    names = (*KINDS, "right", "ignored")
    assert [names[kind] for kind in failures.kinds] == expected
    places = [(i, k) for i, item in enumerate(objects) for k in range(len(item.classes))]
    for place, missed, difficult in zip(places, failures.missed, failures.objects.difficult, strict=True):
        if difficult or place in reached:
            assert not missed
        elif missed:  # the others are missed unless a class error is about them
            assert place not in reached
        else:
            row = places.index(place)
            assert (failures.kinds[failures.about == row] == KINDS.index("class")).any()


@settings(max_examples=50)
@given(scenes())
def test_mean_ap_is_that_of_the_metric_and_no_gain_is_negative(scene) -> None:
    found, objects = scene
    failures, result = sort_failures(found, objects, NAMES), evaluate_voc(found, objects, NAMES)
    if math.isnan(result.map_area):
        assert math.isnan(failures.mean_ap())
        return
    assert failures.mean_ap() == pytest.approx(result.map_area, abs=1e-12)
    assert (failures.kinds == RIGHT).sum() == result.right.sum()
    assert (failures.kinds == IGNORED).sum() == result.ignored.sum()
    gains = failures.gains()
    assert list(gains) == list(KINDS)
    for gain in gains.values():
        assert -1e-12 <= gain <= 1 - failures.mean_ap() + 1e-12


# What mending gives, by hand


def gain(kind: str, found, objects) -> tuple[float, float]:
    failures = sort_failures([found], [objects], NAMES)
    return failures.mean_ap(), failures.gains()[kind]


def test_a_mended_box_finds_its_object() -> None:
    two = truths((0, 0, *BOX), (0, 0, *FAR))
    found = detections((0, 0.9, 0, 0, 10, 4), (0, 0.8, *FAR))
    # Before: wrong, right: 1/2 at recall 1/2. After: right, right.
    assert gain("localization", found, two) == (pytest.approx(1 / 4), pytest.approx(3 / 4))


def test_of_several_the_best_is_mended_and_none_whose_object_is_found() -> None:
    one = truths((0, 0, *BOX))
    found = detections((0, 0.9, 0, 0, 10, 4), (0, 0.8, 0, 0, 10, 4), (0, 0.7, *BOX))
    # The object is found by the third: mending removes the two before it.
    assert gain("localization", found, one) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    # Not found: the best becomes right, the second goes.
    assert gain("localization", found[:2], one) == (0, pytest.approx(1))


def test_a_mended_class_moves_to_another_curve() -> None:
    objects = truths((0, 0, *BOX), (1, 0, *FAR))
    found = detections((1, 0.9, *BOX), (1, 0.8, *FAR))
    # Before: ant 0, bee 1/2. After: both 1.
    assert gain("class", found, objects) == (pytest.approx(1 / 4), pytest.approx(3 / 4))


def test_duplicates_and_background_are_removed_and_the_missed_not_asked_for() -> None:
    objects = truths((0, 0, *BOX), (0, 0, *FAR), (0, 0, 200, 0, 210, 10))
    found = detections((0, 0.9, *BOX), (0, 0.8, *BOX), (0, 0.7, 50, 50, 60, 60), (0, 0.6, *FAR))
    assert gain("duplicate", found, objects) == (pytest.approx(1.5 / 3), pytest.approx((2 / 3 - 1 / 2) / 3))
    assert gain("background", found, objects)[1] == pytest.approx((2 / 3 - 1 / 2) / 3)
    assert gain("missed", found, objects)[1] == pytest.approx(1.5 / 2 - 1.5 / 3)
    # A class of which nothing is found keeps its 0.
    assert gain("missed", detections(), truths((0, 0, *BOX))) == (0, 0)


def test_a_box_moved_onto_a_difficult_object_is_no_hit() -> None:
    objects = truths((0, 1, *BOX), (0, 0, *FAR))
    found = detections((0, 0.9, 0, 0, 10, 4), (0, 0.8, *FAR))
    assert gain("localization", found, objects) == (pytest.approx(1 / 2), pytest.approx(1 / 2))


# Confusion matrix


def confusion_by_definition(found, objects, threshold: float = 0.5, score: float = 0.3) -> np.ndarray:
    nothing = len(NAMES)
    matrix = np.zeros((nothing + 1, nothing + 1), dtype=int)
    for item, there in zip(found, objects, strict=True):
        taken = set()
        for j in sorted(range(len(item)), key=lambda j: -float(item.scores[j])):
            if item.scores[j] <= score:
                continue
            overlap = [float(exact_iou(item.boxes[j].tolist(), box, 0)) for box in there.boxes.tolist()]
            free = [k for k in range(len(overlap)) if overlap[k] >= threshold and k not in taken]
            if free:
                best = max(free, key=lambda k: overlap[k])
                taken.add(best)
                if not there.difficult[best]:
                    matrix[there.classes[best], item.classes[j]] += 1
                continue
            nearest = max(range(len(overlap)), key=lambda k: overlap[k], default=None)
            ignored = nearest is not None and overlap[nearest] >= threshold and there.difficult[nearest]
            matrix[nothing, item.classes[j]] += not ignored
        for k, label in enumerate(there.classes.tolist()):
            matrix[label, nothing] += k not in taken and not bool(there.difficult[k])
    return matrix


@settings(max_examples=60)
@given(scenes())
def test_confusion_agrees_with_the_definition(scene) -> None:
    found, objects = scene
    matrix = confusion_matrix(found, objects, NAMES, score_threshold=0.3)
    assert matrix.tolist() == confusion_by_definition(found, objects).tolist()


def test_rows_are_objects_and_columns_detections() -> None:
    objects = truths((0, 0, *BOX), (1, 0, *FAR), (2, 0, 50, 50, 60, 60), (1, 1, 200, 0, 210, 10))
    found = detections((0, 0.9, *BOX), (2, 0.8, *FAR), (1, 0.7, 300, 0, 310, 10), (1, 0.6, 200, 0, 210, 10))
    matrix = confusion_matrix([found], [objects], NAMES)
    assert matrix.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    easy = [1, 1, 1]
    assert matrix[:-1].sum(axis=1).tolist() == easy
    assert confusion_matrix([found], [objects], NAMES, score_threshold=0.9).sum() == 3


def test_an_object_is_taken_once_whatever_the_class() -> None:
    matrix = confusion_matrix([detections((1, 0.9, *BOX), (0, 0.8, *BOX))], [truths((0, 0, *BOX))], NAMES)
    assert matrix[0].tolist() == [0, 1, 0, 0]
    assert matrix[-1].tolist() == [1, 0, 0, 0]


# Tables, and what is rejected


def test_tables_do_as_well() -> None:
    found, objects = [detections((0, 0.5, *BOX))], [truths((0, 0, *BOX))]
    tables = BoxTable.of_detections(found), BoxTable.of_truths(objects)
    assert sort_failures(*tables, NAMES).kinds.tolist() == [RIGHT]
    assert confusion_matrix(*tables, NAMES)[0, 0] == 1
    empty = sort_failures([], [], NAMES)
    assert math.isnan(empty.mean_ap())
    assert empty.counts() == dict.fromkeys(KINDS, 0)


def test_bad_input_is_named() -> None:
    bad = [detections((0, math.nan, *BOX))]
    for function in (sort_failures, confusion_matrix):
        with pytest.raises(ValueError, match=r"detections of image 0: scores\[0\] isn't finite"):
            function(bad, [truths()], NAMES)
        with pytest.raises(ValueError, match="2 images, but truths of 1"):
            function([detections()] * 2, [truths()], NAMES)
    with pytest.raises(ValueError, match="background_iou < iou_threshold"):
        sort_failures([], [], NAMES, iou_threshold=0.1, background_iou=0.1)
    with pytest.raises(ValueError, match="iou_threshold must be"):
        confusion_matrix([], [], NAMES, iou_threshold=0)
    half = [detections((0, 0.5, *BOX)).to("cpu")]
    assert sort_failures(half, [truths((0, 0, *BOX))], NAMES).kinds.tolist() == [RIGHT]
    assert torch.is_tensor(half[0].boxes)
