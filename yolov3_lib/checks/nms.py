"""Chapter 2, non-maximum suppression: what a right answer to its exercises does."""

from collections.abc import Callable

import torch
from torch import Tensor, tensor

from yolov3_lib import boxes as geometry
from yolov3_lib import nms as twin
from yolov3_lib.checks import cases, demands, drawing
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Fault

_INPUTS = ("boxes", "scores", "threshold")
_KEPT = demands.indices(twin.nms)
_BY_ITSELF = "does the best box leave the list by itself, or only because it overlaps itself?"


def _draw(boxes: Tensor, scores: Tensor, threshold: float) -> str:
    return drawing.draw_scored(boxes, scores, twin.nms(boxes, scores, threshold).tolist())


_NMS = Exercise(
    "greedy NMS",
    _INPUTS,
    (
        Property(
            "one box",
            cases.for_nms(1, 1),
            _KEPT,
            "a box alone has no rival. What should come back is its index.",
        ),
        Property(
            "two boxes",
            cases.for_nms(2, 2),
            _KEPT,
            "the better of two either leaves the other alone or removes it. Which one do you look at first?",
        ),
        Property(
            "boxes apart, in any order",
            cases.row_of_boxes(shift=20),
            _KEPT,
            "all stay. The best comes first, and each index points into the list as it was given to you.",
        ),
        Property(
            "a chain: neighbors overlap, the ends don't",
            cases.row_of_boxes(shift=2, count=4),
            _KEPT,
            "a box that has been removed is out of the game. Whom can it still remove?",
        ),
        Property(
            "several boxes on one spot",
            cases.row_of_boxes(shift=0, count=4),
            _KEPT,
            "the best must be compared with every box that is left, not with the next one only.",
        ),
        Property(
            "boxes at random",
            cases.for_nms(3, 7),
            _KEPT,
            "follow your loop on this case by hand, and write down after each turn which boxes are left.",
            tries=60,
        ),
        Property(
            "an IoU equal to the threshold",
            cases.row_of_boxes(shift=3, count=2),
            _KEPT,
            "the rule removes a box whose IoU is more than the threshold. Is equal more?",
        ),
        Property(
            "equal scores",
            cases.for_nms(2, 6, ties=True),
            _KEPT,
            "of two equal scores the first in the input goes first. Does your sort promise that?",
        ),
        Property(
            "boxes without area",
            cases.flat_for_nms(),
            _KEPT,
            "a box without area has an IoU of 0 with every box, itself included. It stays, and once.",
            endless=_BY_ITSELF,
        ),
        Property(
            "a threshold of 1",
            cases.row_of_boxes(shift=0, threshold=1.0),
            _KEPT,
            "no IoU is more than 1, so nothing is removed, not even the copy of a box.",
        ),
        Property(
            "no boxes at all",
            cases.for_nms(0, 0),
            _KEPT,
            "an image in which nothing was found is an ordinary image: nothing in, nothing out.",
        ),
        Property(
            "the inputs stay as they are",
            cases.for_nms(2, 5),
            demands.inputs_kept(_INPUTS),
            "setting a score to 0 to mark a box as done writes into the caller's tensor.",
        ),
    ),
    _draw,
)


def nms(student: Callable) -> Verdict:
    """Checks greedy NMS.

    Args:
        student: a function of ``(N, 4)`` boxes (float32, ``xyxy``), ``(N,)`` scores and an IoU threshold,
            that gives the indices of the boxes that stay, best first, as a list or an integer tensor. A box
            goes if its IoU with a better box that stays is more than the threshold; of equal scores the
            first is better.
    """
    return _NMS.check(student)


def _one_class(case: tuple) -> tuple:
    boxes, scores, classes, threshold = case
    return boxes, scores, torch.full_like(classes, 2), threshold


def _own_class(case: tuple) -> tuple:
    boxes, scores, classes, threshold = case
    return boxes, scores, torch.arange(len(classes)), threshold


def _draw_classes(boxes: Tensor, scores: Tensor, classes: Tensor, threshold: float) -> str:
    return drawing.draw_scored(boxes, scores, twin.class_nms(boxes, scores, classes, threshold).tolist())


_CLASS_KEPT = demands.indices(twin.class_nms)
_CLASS_INPUTS = ("boxes", "scores", "classes", "threshold")

_CLASS_NMS = Exercise(
    "NMS per class",
    _CLASS_INPUTS,
    (
        Property(
            "all of one class",
            cases.classed_boxes().map(_one_class),
            _CLASS_KEPT,
            "with a single class nothing should change against NMS without classes.",
        ),
        Property(
            "every box its own class",
            cases.classed_boxes().map(_own_class),
            _CLASS_KEPT,
            "boxes of different classes never remove each other, however much they overlap.",
        ),
        Property(
            "several classes",
            cases.classed_boxes(min_size=3),
            _CLASS_KEPT,
            "the indices count in the whole input, and the best comes first over all classes.",
            tries=60,
        ),
        Property(
            "large boxes",
            cases.classed_boxes(min_size=3, scale=5000),
            _CLASS_KEPT,
            "if you move each class to a place of its own: does it lie beyond every box of the class before?",
            tries=60,
        ),
        Property(
            "a high class number",
            cases.highly_classed_boxes(),
            _CLASS_KEPT,
            "do you know how many classes there are? And after a shift as large as yours, does float32 still "
            "tell neighboring pixels apart?",
            tries=60,
        ),
        Property(
            "negative coordinates",
            cases.classed_boxes(min_size=3, offset=-8),
            _CLASS_KEPT,
            "a box may reach beyond the image. How far apart must two classes lie then?",
        ),
        Property(
            "no boxes at all",
            cases.classed_boxes().map(lambda case: (*(part[:0] for part in case[:3]), case[3])),
            _CLASS_KEPT,
            "nothing in, nothing out. Which of your steps wants at least one box?",
        ),
        Property(
            "the inputs stay as they are",
            cases.classed_boxes(min_size=2),
            demands.inputs_kept(_CLASS_INPUTS),
            "+= on a tensor writes into the tensor that the caller still uses.",
        ),
    ),
    _draw_classes,
)


def class_nms(student: Callable) -> Verdict:
    """Checks NMS per class.

    Args:
        student: a function of ``(N, 4)`` boxes (float32, ``xyxy``), ``(N,)`` scores, ``(N,)`` int64 classes
            and an IoU threshold, that gives the indices of the boxes that stay, best first over all
            classes, as a list or an integer tensor.
    """
    return _CLASS_NMS.check(student)


_SOFT = demands.rescored(
    lambda boxes, scores, threshold: twin.soft_nms(boxes, scores, "linear", iou_threshold=threshold)
)

_SOFT_NMS = Exercise(
    "linear soft-NMS",
    _INPUTS,
    (
        Property(
            "one box",
            cases.for_nms(1, 1),
            _SOFT,
            "a box alone keeps its score. What comes back is its index and that score.",
        ),
        Property(
            "boxes apart, in any order",
            cases.row_of_boxes(shift=20),
            _SOFT,
            "without overlap no score changes. The best comes first.",
        ),
        Property(
            "two boxes",
            cases.for_nms(2, 2),
            _SOFT,
            "only the worse of the two can be weakened, and only from the threshold on. By which factor?",
        ),
        Property(
            "an IoU equal to the threshold",
            cases.row_of_boxes(shift=3, count=2),
            _SOFT,
            "in greedy NMS equal isn't more, so it leaves a box alone. Here equal counts: (2.5) says ≥.",
        ),
        Property(
            "a chain: neighbors overlap, the ends don't",
            cases.row_of_boxes(shift=2, count=4),
            _SOFT,
            "scores change on the way. Is the next box the best by the new scores, or by the old ones?",
        ),
        Property(
            "scores that fade away",
            cases.row_of_boxes(shift=1, count=6).map(lambda case: (case[0], case[1] / 50, case[2])),
            _SOFT,
            "a box whose score has sunk to 0.001 or less is let go.",
        ),
        Property(
            "boxes at random",
            cases.for_nms(3, 6),
            _SOFT,
            "each box that is taken weakens those that are left, again and again. Follow one score by hand.",
            tries=60,
        ),
        Property(
            "no boxes at all",
            cases.for_nms(0, 0),
            _SOFT,
            "nothing in, nothing out: two empty lists.",
        ),
        Property(
            "the inputs stay as they are",
            cases.for_nms(2, 5),
            demands.inputs_kept(_INPUTS),
            "weakening a score in place weakens it for the caller too.",
        ),
    ),
    lambda boxes, scores, threshold: drawing.draw_scored(boxes, scores, range(len(scores))),
)


def soft_nms(student: Callable) -> Verdict:
    """Checks linear soft-NMS.

    Args:
        student: a function of ``(N, 4)`` boxes (float32, ``xyxy``), ``(N,)`` scores and an IoU threshold,
            that gives the indices in the order in which they are taken, and their new scores. A taken box
            multiplies the score of each box left by 1 − IoU where the IoU reaches the threshold. A box whose
            score sinks to 0.001 or less is let go.
    """
    return _SOFT_NMS.check(student)


# Exercise 2.1: five boxes in a row, 10 wide and 4 high
_LEFT = {"A": 0.0, "B": 3.0, "C": 6.0, "D": 20.0, "E": 22.0}
_ROW = tensor([[x, 0.0, x + 10.0, 4.0] for x in _LEFT.values()])
_SCORES = tensor([0.9, 0.8, 0.7, 0.6, 0.65])


def _named(kept: Tensor) -> str:
    return "".join(list(_LEFT)[index] for index in kept.tolist())


PREDICTIONS = {
    "2.1": (
        Question(
            "greedy NMS at 0.6",
            lambda: _named(twin.nms(_ROW, _SCORES, 0.6)),
            "which of the overlaps that removed a box at 0.5 is still more than 0.6?",
        ),
    ),
}

ANSWERS = {
    "2.1": (
        Question(
            "IoU of neighbors A and B",
            lambda: geometry.iou(_ROW[0], _ROW[1]).item(),
            "the heights are equal, so they cancel: shared width over covered width.",
            (
                Slip(
                    lambda: 0.7, "that is the shared part of one box. Divide by what the two cover together."
                ),
            ),
        ),
        Question(
            "greedy NMS at 0.5",
            lambda: _named(twin.nms(_ROW, _SCORES, 0.5)),
            "take the best box, cross out what it removes, and go on with the best of the rest.",
            (
                Slip(
                    lambda: _named(twin.pairwise_nms(_ROW, _SCORES, 0.5)),
                    "that is the other rule. In the greedy one, can a crossed-out box cross out another?",
                ),
                Slip(lambda: "ACD", "D stands before E in the list. Does it also come before E in score?"),
            ),
        ),
        Question(
            "the pairwise rule at 0.5",
            lambda: _named(twin.pairwise_nms(_ROW, _SCORES, 0.5)),
            "for each box by itself: is there any better box, crossed out or not, that overlaps it too much?",
            (
                Slip(
                    lambda: _named(twin.nms(_ROW, _SCORES, 0.5)),
                    "that is the greedy result. Here every better box counts, also one that goes itself.",
                ),
            ),
        ),
    ),
}


def _check_scored(boxes: object, scores: object) -> None:
    if not isinstance(boxes, Tensor) or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError("boxes should be a tensor of rows [x1, y1, x2, y2]")
    if not isinstance(scores, Tensor) or scores.shape != boxes.shape[:1]:
        raise ValueError("scores should be a tensor with one number for each box")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError(
            "boxes are written as corners (x1, y1, x2, y2), not as a corner, a width and a height"
        )
    geometry.validate(boxes)


def _goes_wrong(function: Callable, boxes: Tensor, scores: Tensor, threshold: float) -> str | None:
    _check_scored(boxes, scores)
    gave = demands.as_indices(function(boxes.float(), scores.float(), threshold), len(boxes))
    if gave != twin.nms(boxes, scores, threshold).tolist():
        return None
    return "on these boxes the function is right"


def _loses_a_box(boxes: Tensor, scores: Tensor, low: float, high: float) -> str | None:
    _check_scored(boxes, scores)
    if not 0 <= low < high <= 1:
        raise ValueError("the thresholds should be two numbers from 0 to 1, the lower one first")
    if len(set(scores.tolist())) < len(scores):
        raise Fault("two scores are equal: use different ones, so that no rule for ties is needed")
    before, after = (set(twin.nms(boxes, scores, threshold).tolist()) for threshold in (low, high))
    if before - after:
        return None
    return (
        f"no box is lost: {len(before)} stay at the lower threshold, and they all stay at the higher one too"
    )


EXAMPLES = {
    "2.3": Hunt(
        "this NMS is right",
        _goes_wrong,
        "two boxes never show it. How does a loop go on when something is taken out of its list?",
    ),
    "2.5": Hunt(
        "a higher threshold keeps every box that a lower one keeps",
        _loses_a_box,
        "a box can be saved by the removal of its rival. What happens to it when the rival survives?",
    ),
}

CHECKERS = (nms, class_nms, soft_nms)
