"""Operating points against counting by hand, detection by detection."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from test_evaluate import NAMES, detections, scenes, truths

from yolov3_lib.errors import IGNORED, RIGHT, sort_failures
from yolov3_lib.evaluate import evaluate_voc
from yolov3_lib.thresholds import operating_points

BOX, FAR = (0, 0, 10, 10), (100, 100, 110, 110)


@settings(max_examples=50)
@given(scenes())
def test_counts_are_those_of_the_detections_above(scene) -> None:
    found, objects = scene
    thresholds = [0.0, 0.25, 0.3, 0.5, 0.75, 1.0]  # scores are quarters: some stand right on a threshold
    result, judged = evaluate_voc(found, objects, NAMES), sort_failures(found, objects, NAMES)
    for name in (None, *NAMES):
        points = operating_points(result, thresholds, name)
        mine = np.isin(judged.found.classes, [c for c, n in enumerate(NAMES) if name in (None, n)])
        for t, right, wrong in zip(thresholds, points.right, points.wrong, strict=True):
            above = mine & (judged.found.scores > t)
            assert right == (above & (judged.kinds == RIGHT)).sum()
            assert right + wrong == (above & (judged.kinds != IGNORED)).sum()


def test_precision_recall_and_f1_by_hand() -> None:
    objects = [truths((0, 0, *BOX), (0, 0, *FAR))]
    found = [detections((0, 0.9, *BOX), (0, 0.6, 50, 50, 60, 60), (0, 0.4, *FAR))]
    points = operating_points(evaluate_voc(found, objects, NAMES), [0.1, 0.5, 0.7, 0.95])
    assert points.precision.tolist()[:3] == pytest.approx([2 / 3, 1 / 2, 1])
    assert math.isnan(points.precision[3])
    assert points.recall.tolist() == [1, 0.5, 0.5, 0]
    assert points.f1.tolist() == pytest.approx([4 / 5, 2 / 4, 2 / 3, 0])
    assert points.best == 0


def test_of_equal_f1_the_lowest_threshold_is_best_and_nothing_has_none() -> None:
    result = evaluate_voc([detections((0, 0.9, *BOX))], [truths((0, 0, *BOX))], NAMES)
    assert operating_points(result, [0.2, 0.5, 0.95]).best == 0
    nothing = operating_points(result, [0.2, 0.5], "bee")
    assert np.isnan(nothing.f1).all()
    with pytest.raises(ValueError, match="no detections and no objects"):
        nothing.best  # noqa: B018


def test_an_unknown_class_is_named() -> None:
    result = evaluate_voc([], [], NAMES)
    with pytest.raises(ValueError, match="no class 'cow' here: choose from ant, bee, cat"):
        operating_points(result, [0.5], "cow")
