"""How sure is a score? Confidence intervals of mAP, from drawing the images anew.

The 2,508 photographs of VOC2007 val are a sample: others from the same source would have given another mAP.
The bootstrap (Efron 1979) asks how much it would move: draw as many images as there are, with replacement,
measure again, a thousand times. What a detection found in its image doesn't depend on the other images, so
matching is done once; drawing an image k times gives its detections and objects the weight k, and a
resample is a weighted precision-recall curve.
"""

from collections.abc import Sequence

import numpy as np

from yolov3_lib.detections import Detections
from yolov3_lib.errors import IGNORED, RIGHT, sort_failures
from yolov3_lib.evaluate import GroundTruth

_RESAMPLES_AT_ONCE = 50


def bootstrap_map(
    detections: Sequence[Detections],
    truths: Sequence[GroundTruth],
    class_names: Sequence[str],
    resamples: int = 500,
    seed: int = 0,
    iou_threshold: float = 0.5,
) -> np.ndarray:
    """mAP of resamples of the images: their spread is the sampling error of mAP.

    Give two detectors the same seed and they see the same resamples, so that the difference of the two
    results is a paired comparison.

    Args:
        detections: one ``Detections`` for each image, boxes (N, 4) xyxy in pixels of the image.
        truths: one ``GroundTruth`` for each image, in the same order.
        class_names: the C names that the class indices of both count into.
        resamples: R, how many sets of images to draw.
        seed: of the drawing.
        iou_threshold: a detection finds an object when their IoU is at least this.

    Returns:
        (R,) float64, mean area under the monotone curve over the classes that have objects in the resample.
        They lie a little high, since a right detection counts in its own precision and, drawn twice, counts
        there twice: their spread is what they're for, not their mean.

    Raises:
        ValueError: as in ``evaluate_voc``; or fewer than one resample; or no images.
    """
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, got {resamples}")
    if len(truths) == 0:
        raise ValueError("no images to draw from: give at least one")
    drawn = np.random.default_rng(seed).integers(len(truths), size=(resamples, len(truths)))
    weights = np.stack([np.bincount(images, minlength=len(truths)) for images in drawn])
    return weighted_map(detections, truths, class_names, weights, iou_threshold)


def weighted_map(
    detections: Sequence[Detections],
    truths: Sequence[GroundTruth],
    class_names: Sequence[str],
    weights: np.ndarray,
    iou_threshold: float = 0.5,
) -> np.ndarray:
    """mAP of sets of images in which each image stands several times, once, or not at all.

    Args:
        detections, truths, class_names, iou_threshold: as in `bootstrap_map`.
        weights: (R, images) whole numbers from 0, how often each image stands in each of R sets.

    Returns:
        (R,) float64: what ``evaluate_voc`` gives for the images written out so often, side by side.

    Raises:
        ValueError: as in ``evaluate_voc``; or weights of another shape, or below 0.
    """
    weights = np.asarray(weights)
    if weights.ndim != 2 or weights.shape[1] != len(truths):
        raise ValueError(f"weights: expected (R, {len(truths)}), one for each image; got {weights.shape}")
    if (weights < 0).any():
        raise ValueError("weights: an image can't stand in a set less than 0 times")
    judged = sort_failures(detections, truths, class_names, iou_threshold, background_iou=0.0)
    found, objects = judged.found, judged.objects
    ranking = np.lexsort((-found.scores, found.classes))
    ranking = ranking[judged.kinds[ranking] != IGNORED]
    ends = np.searchsorted(found.classes[ranking], np.arange(len(class_names) + 1))
    aps = np.full((len(weights), len(class_names)), np.nan)
    for c in range(len(class_names)):
        rows = ranking[ends[c] : ends[c + 1]]
        asked = objects.images[(objects.classes == c) & ~objects.difficult]
        for start in range(0, len(weights), _RESAMPLES_AT_ONCE):
            some = slice(start, start + _RESAMPLES_AT_ONCE)
            there = weights[some].astype(np.float64)
            aps[some, c] = _average_precisions(
                there[:, found.images[rows]], judged.kinds[rows] == RIGHT, there[:, asked].sum(axis=1)
            )
    known = ~np.isnan(aps)
    total = np.where(known, aps, 0.0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full(len(aps), np.nan), where=known.any(axis=1))


def _average_precisions(weights: np.ndarray, right: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(R, D) weights of one class's detections, best first, (D,) right, (R,) objects → (R,) AP or NaN."""
    found, seen = np.cumsum(weights * right, axis=1), np.cumsum(weights, axis=1)
    precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
    # At a detection that isn't drawn the curve stands still, so it adds nothing to the envelope.
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area = (envelope * weights)[:, right].sum(axis=1)
    return np.divide(area, asked, out=np.full(len(asked), np.nan), where=asked > 0)
