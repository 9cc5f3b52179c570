"""What kinds of mistakes a detector makes, what each kind costs in mAP, and which classes it confuses.

Sorting wrong detections by their cause goes back to Hoiem et al., "Diagnosing Error in Object Detectors"
(ECCV 2012); the kinds here and the way to price them are those of Bolya et al., "TIDE: A General Toolbox
for Identifying Object Detection Errors" (ECCV 2020). Every detection that VOC's metric calls wrong gets the
first kind that fits, every object that no detection found may be **missed**:

============= ========================================================== ==================================
kind          a wrong detection …                                        mended by
============= ========================================================== ==================================
duplicate     reaches the hit threshold with an object of its class that removing it
              a better-scoring one has found
localization  overlaps an object of its class, but too little            giving it that object's box
class         reaches the threshold with an object of another class      giving it that object's class
background    overlaps no object by more than ``background_iou``         removing it
both          anything else: too little, and with another class          removing it
missed        (an object, not found, and with no localization or class   taking it off the list of objects
              error about it)
============= ========================================================== ==================================

A detection whose object is already found isn't made right but removed, and of several about one object the
best becomes right: what is mended doesn't turn into a duplicate. Objects marked difficult are neither
missed nor found, but a detection may be about one, so that it isn't called background.

TIDE's program differs in three points: it matches by COCO's rule, it asks for class before duplicate, and to
it no detection is about an object to ignore.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolov3_lib.detections import Detections
from yolov3_lib.evaluate import (
    BoxTable,
    GroundTruth,
    as_tables,
    average_precision,
    best_truths,
    judge,
    paired_iou,
)

KINDS = ("localization", "class", "both", "duplicate", "background", "missed")
"""The kinds of failures; all but the last are kinds of wrong detections."""

RIGHT, IGNORED = len(KINDS), len(KINDS) + 1
"""What ``Failures.kinds`` holds for a detection that found an object, or a difficult one."""

_LOCALIZATION, _CLASS, _BOTH, _DUPLICATE, _BACKGROUND = range(5)


@dataclass(frozen=True)
class Failures:
    """Every detection with what became of it, and the objects that were missed.

    Attributes:
        found: D detections, images one below the other.
        objects: T objects.
        class_names: the C names that both count in.
        kinds: (D,) int64, an index into `KINDS`, or `RIGHT` or `IGNORED`.
        about: (D,) int64, the row in ``objects`` that a detection found, or that its failure is about; −1 for
            none.
        overlap: (D,) float64, the IoU with that object; 0 for none.
        missed: (T,) bool.
    """

    found: BoxTable
    objects: BoxTable
    class_names: tuple[str, ...]
    kinds: np.ndarray
    about: np.ndarray
    overlap: np.ndarray
    missed: np.ndarray

    def counts(self, score: float = 0.0) -> dict[str, int]:
        """How many failures there are of each kind, among the detections that score more than ``score``.

        The objects missed are those that are missed with all detections, whatever ``score`` is.
        """
        among = np.bincount(self.kinds[self.found.scores > score], minlength=len(KINDS))
        return {kind: int(n) for kind, n in zip(KINDS[:-1], among, strict=False)} | {
            "missed": int(self.missed.sum())
        }

    def by_class(self, score: float = 0.0) -> np.ndarray:
        """(C, 6) int64, the same for each class: that which a detection names, or that of a missed object."""
        table = np.zeros((len(self.class_names), len(KINDS)), dtype=np.int64)
        wrong = (self.kinds < RIGHT) & (self.found.scores > score)
        np.add.at(table, (self.found.classes[wrong], self.kinds[wrong]), 1)
        table[:, -1] = np.bincount(self.objects.classes[self.missed], minlength=len(table))
        return table

    def mean_ap(self) -> float:
        """mAP as it is: mean area under the monotone curve, over the classes that have objects to find."""
        return self._mean_ap(self.found.classes, self.kinds == RIGHT, self.kinds != IGNORED)

    def gains(self) -> dict[str, float]:
        """How much mAP would rise if the failures of one kind, and of that kind alone, were mended.

        No gain is below 0: removing what is wrong, adding what is right and asking for less can only lift a
        precision-recall curve. The gains don't add up to what is lacking to 1, for a failure may hide behind
        another.
        """
        before = self.mean_ap()
        gains = {kind: self._mended(number) - before for number, kind in enumerate(KINDS[:-1])}
        right, counted = self.kinds == RIGHT, self.kinds != IGNORED
        gains["missed"] = self._mean_ap(self.found.classes, right, counted, without=self.missed) - before
        return gains

    def _mended(self, kind: int) -> float:
        rows = np.flatnonzero(self.kinds == kind)
        right, classes = self.kinds == RIGHT, self.found.classes
        counted = self.kinds != IGNORED
        counted[rows] = False
        if kind in (_LOCALIZATION, _CLASS):
            open_objects = ~self.objects.difficult
            open_objects[self.about[right]] = False
            rows = rows[open_objects[self.about[rows]]]
            rows = rows[np.argsort(-self.found.scores[rows], kind="stable")]
            _, best = np.unique(self.about[rows], return_index=True)
            rows = rows[best]
            right[rows] = counted[rows] = True
            classes = classes.copy()
            classes[rows] = self.objects.classes[self.about[rows]]
        return self._mean_ap(classes, right, counted)

    def _mean_ap(
        self, classes: np.ndarray, right: np.ndarray, counted: np.ndarray, without: np.ndarray | None = None
    ) -> float:
        easy = ~self.objects.difficult
        size = len(self.class_names)
        asked = np.bincount(self.objects.classes[easy], minlength=size)
        left = (
            asked if without is None else asked - np.bincount(self.objects.classes[without], minlength=size)
        )
        ranking = np.lexsort((-self.found.scores, classes))
        ranking = ranking[counted[ranking]]
        ends = np.searchsorted(classes[ranking], np.arange(size + 1))
        # A class of which nothing is left to find found nothing before either: its AP stays 0.
        aps = [
            average_precision(right[ranking[ends[c] : ends[c + 1]]], left[c])[0] if left[c] else 0.0
            for c in np.flatnonzero(asked)
        ]
        return float(np.mean(aps)) if aps else float("nan")


def sort_failures(
    detections: Sequence[Detections] | BoxTable,
    truths: Sequence[GroundTruth] | BoxTable,
    class_names: Sequence[str],
    iou_threshold: float = 0.5,
    background_iou: float = 0.1,
) -> Failures:
    """Judge detections as ``evaluate_voc`` does, and sort what is wrong by kind.

    Args:
        detections: one ``Detections`` for each image, boxes (N, 4) xyxy in pixels of the image; or a table.
        truths: one ``GroundTruth`` for each image, in the same order; or a table.
        class_names: the C names that the class indices of both count into.
        iou_threshold: a detection finds an object when their IoU is at least this.
        background_iou: a detection that overlaps no object by more than this is about none.

    Raises:
        ValueError: as in ``evaluate_voc``; or thresholds other than 0 ≤ background_iou < iou_threshold ≤ 1.
    """
    if not 0 <= background_iou < iou_threshold <= 1:
        raise ValueError(
            f"expected 0 ≤ background_iou < iou_threshold ≤ 1, got {background_iou} and {iou_threshold}"
        )
    found, objects = as_tables(detections, truths, len(class_names))
    own, own_overlap = best_truths(found, objects, len(class_names), edge=0.0)
    nearest, nearest_overlap = best_truths(_one_class(found), _one_class(objects), 1, edge=0.0)
    ranking = np.lexsort((-found.scores, found.classes))
    hit = own_overlap >= iou_threshold
    right, ignored = judge(ranking, hit, own, objects.difficult)

    kinds = np.full(len(hit), _BOTH)
    kinds[nearest_overlap <= background_iou] = _BACKGROUND
    kinds[nearest_overlap >= iou_threshold] = _CLASS
    # Asked before class, as TIDE's program does: a poor box of the right name is a poor box.
    kinds[(own_overlap > background_iou) & ~hit] = _LOCALIZATION
    kinds[hit] = _DUPLICATE
    kinds[right], kinds[ignored] = RIGHT, IGNORED

    about, overlap = np.where(own_overlap > background_iou, own, nearest), nearest_overlap.copy()
    closer = own_overlap > background_iou
    overlap[closer] = own_overlap[closer]
    about[kinds == _BACKGROUND] = -1
    missed = ~objects.difficult
    missed[about[np.isin(kinds, (_LOCALIZATION, _CLASS, RIGHT))]] = False
    return Failures(found, objects, tuple(class_names), kinds, about, overlap, missed)


def confusion_matrix(
    detections: Sequence[Detections] | BoxTable,
    truths: Sequence[GroundTruth] | BoxTable,
    class_names: Sequence[str],
    iou_threshold: float = 0.5,
    score_threshold: float = 0.25,
) -> np.ndarray:
    """Which class is taken for which, with the background as one more.

    Matching ignores the class and is greedy: detections that score more than ``score_threshold``, best first,
    each take the free object of their image that they overlap most, if by at least ``iou_threshold``. A
    detection left over whose best overlap is with a difficult object is ignored, and so is a difficult
    object left over or taken.

    Args:
        detections, truths, class_names, iou_threshold: as in ``evaluate_voc``.
        score_threshold: a confusion matrix, unlike AP, needs one.

    Returns:
        (C + 1, C + 1) int64. Row: the object's class; column: the class detected. The last row counts
        detections of nothing, the last column objects that weren't detected; the last entry is 0.

    Raises:
        ValueError: as in ``evaluate_voc``.
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in (0, 1], not {iou_threshold}")
    found, objects = as_tables(detections, truths, len(class_names))
    nothing = len(class_names)
    matrix = np.zeros((nothing + 1, nothing + 1), dtype=np.int64)
    order = np.lexsort((-found.scores, found.images))
    order = order[found.scores[order] > score_threshold]
    by_image = np.argsort(objects.images, kind="stable")
    starts, stops = (
        np.searchsorted(objects.images[by_image], found.images[order], side=side)
        for side in ("left", "right")
    )
    taken = np.zeros(len(by_image), dtype=bool)
    for row, start, stop in zip(order, starts, stops, strict=True):
        here = by_image[start:stop]
        overlap = paired_iou(np.broadcast_to(found.boxes[row], (len(here), 4)), objects.boxes[here], edge=0.0)
        reached = overlap >= iou_threshold
        free = np.where(reached & ~taken[here], overlap, -1.0)
        if (free >= 0).any():
            match = here[free.argmax()]
            taken[match] = True
            if not objects.difficult[match]:
                matrix[objects.classes[match], found.classes[row]] += 1
        elif not (reached.any() and objects.difficult[here[overlap.argmax()]]):
            matrix[nothing, found.classes[row]] += 1
    left_over = ~taken & ~objects.difficult
    np.add.at(matrix, (objects.classes[left_over], nothing), 1)
    return matrix


def _one_class(table: BoxTable) -> BoxTable:
    return BoxTable(table.boxes, table.images, np.zeros_like(table.classes), table.scores, table.difficult)
