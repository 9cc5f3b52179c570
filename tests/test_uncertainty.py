"""The bootstrap against resampling by hand: the same images written out so often and measured anew."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_evaluate import NAMES, detections, scenes, truths

from yolov3_lib.detections import Detections
from yolov3_lib.evaluate import evaluate_voc
from yolov3_lib.uncertainty import bootstrap_map, weighted_map

BOX = (0, 0, 10, 10)


def without_ties(found):
    """The same detections with scores of their own: the order among equal scores is another question."""
    count = sum(map(len, found))
    ranks, start, made = np.random.default_rng(0).permutation(count), 0, []
    for item in found:
        scores = item.scores.new_tensor((ranks[start : start + len(item)] + 1) / (count + 1))
        made.append(Detections(item.boxes, scores, item.classes))
        start += len(item)
    return made


@settings(max_examples=50)
@given(scenes(), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_weights_are_images_written_out_so_often(scene, times) -> None:
    found, objects = without_ties(scene[0]), scene[1]
    times = np.array(times[: len(objects)])
    drawn = np.repeat(np.arange(len(objects)), times)
    expected = evaluate_voc([found[i] for i in drawn], [objects[i] for i in drawn], NAMES).map_area
    (got,) = weighted_map(found, objects, NAMES, times[None])
    assert got == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_each_image_once_is_the_map_itself() -> None:
    found = [detections((0, 0.9, *BOX)), detections((0, 0.8, 50, 0, 60, 10), (1, 0.7, *BOX))]
    objects = [truths((0, 0, *BOX)), truths((0, 0, *BOX), (1, 0, *BOX))]
    (once,) = weighted_map(found, objects, NAMES, np.ones((1, 2)))
    assert once == evaluate_voc(found, objects, NAMES).map_area
    twice = weighted_map(found, objects, NAMES, np.full((1, 2), 2))
    assert twice[0] == pytest.approx(once)


def test_the_spread_is_that_of_a_share() -> None:
    """One object an image, found for sure or not at all: AP is the share found, with its known spread."""
    found = [detections((0, 1, *BOX)) if i % 2 else detections() for i in range(400)]
    values = bootstrap_map(found, [truths((0, 0, *BOX))] * 400, NAMES, resamples=400)
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert values.std() == pytest.approx(math.sqrt(0.25 / 400), rel=0.15)


def test_one_seed_draws_the_same_images_for_every_detector() -> None:
    objects = [truths((0, 0, *BOX))] * 20
    good = [detections((0, 1, *BOX))] * 20
    bad = [detections((0, 1, *BOX)) if i % 3 else detections((0, 1, 50, 0, 60, 10)) for i in range(20)]
    first = bootstrap_map(bad, objects, NAMES, 30, seed=1)
    assert np.array_equal(first, bootstrap_map(bad, objects, NAMES, 30, seed=1))
    assert not np.array_equal(first, bootstrap_map(bad, objects, NAMES, 30, seed=2))
    assert (bootstrap_map(good, objects, NAMES, 30, seed=1) >= first).all()


def test_a_set_without_objects_has_no_map() -> None:
    values = weighted_map([detections()] * 2, [truths(), truths((0, 0, *BOX))], NAMES, np.eye(2))
    assert math.isnan(values[0])
    assert values[1] == 0


def test_bad_input_is_named() -> None:
    found, objects = [detections()], [truths()]
    with pytest.raises(ValueError, match="resamples: expected at least 1, got 0"):
        bootstrap_map(found, objects, NAMES, resamples=0)
    with pytest.raises(ValueError, match="no images"):
        bootstrap_map([], [], NAMES)
    with pytest.raises(ValueError, match=r"expected \(R, 1\)"):
        weighted_map(found, objects, NAMES, np.ones((2, 3)))
    with pytest.raises(ValueError, match="less than 0 times"):
        weighted_map(found, objects, NAMES, -np.ones((1, 1)))
    with pytest.raises(ValueError, match="2 images, but truths of 1"):
        weighted_map(found * 2, objects, NAMES, np.ones((1, 1)))
