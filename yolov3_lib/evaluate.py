"""How good is a detector? Pascal VOC's average precision, and COCO's through pycocotools.

VOC's metric step by step (Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010,
section 4.2, and the challenge's development kit):

1. Every detection looks for the ground truth of its own image and class that it overlaps most.
2. With an IoU of at least .5 it has found that object, otherwise it is wrong. A **difficult** object makes it
   neither right nor wrong. Of several detections that find one object, the best-scoring one is right and the
   others are wrong, even where a second object would have been free.
3. All detections of a class, over all images, best score first, draw a precision-recall curve. AP is the area
   under it, after precision has been made monotone: each value is raised to the highest one at its own or any
   larger recall. VOC2007 took the mean of that at the 11 recalls 0, .1, …, 1 instead.

Which object a detection looks for doesn't depend on the other detections, so that step 1 runs for all images
at once.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from yolov3_lib.detections import Detections


class GroundTruth(Protocol):
    """The objects of one image; ``data.voc.Annotation`` is one.

    Attributes:
        boxes: (N, 4) xyxy, in pixels of the image.
        classes: (N,) integers, indices into the class names.
        difficult: (N,) booleans.
    """

    boxes: Tensor
    classes: Tensor
    difficult: Tensor


@dataclass(frozen=True)
class BoxTable:
    """The boxes of many images in one flat table, a row for each box.

    Attributes:
        boxes: (N, 4) float64, xyxy, in pixels of their images.
        images: (N,) int64, which image; any numbers.
        classes: (N,) int64, indices into the class names.
        scores: (N,) float64; zeros for ground truth.
        difficult: (N,) bool; False for detections.

    Raises:
        ValueError: for other shapes.
    """

    boxes: np.ndarray
    images: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    difficult: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.images)
        for name, shape in (("boxes", (n, 4)), ("classes", (n,)), ("scores", (n,)), ("difficult", (n,))):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {getattr(self, name).shape}")

    @staticmethod
    def of_detections(items: Sequence[Detections]) -> "BoxTable":
        """The detections of images 0, 1, … one below the other."""
        scores = _join([item.scores for item in items], torch.float64)
        return BoxTable(*_common_columns(items), scores, np.zeros(len(scores), dtype=bool))

    @staticmethod
    def of_truths(items: Sequence[GroundTruth]) -> "BoxTable":
        """The objects of images 0, 1, … one below the other."""
        difficult = _join([item.difficult for item in items], torch.bool)
        return BoxTable(*_common_columns(items), np.zeros(len(difficult)), difficult)


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one class, a point for each detection that counts, best score first.

    Attributes:
        scores: (D,) float64, descending.
        recall: (D,) float64, the share of the objects found so far; NaN where there are none to find.
        precision: (D,) float64, the share of the detections so far that are right.
    """

    scores: np.ndarray
    recall: np.ndarray
    precision: np.ndarray

    @property
    def envelope(self) -> np.ndarray:
        """(D,) float64, precision made monotone, that is the highest at this or any later detection."""
        return _envelope(self.precision)


@dataclass(frozen=True)
class VocResult:
    """VOC's average precision of a set of images.

    Attributes:
        class_names: the C names.
        iou_threshold: what a detection must reach to find an object.
        ap_area: (C,) float64, area under the monotone curve (VOC2010 and later); NaN where there is no truth.
        ap_11: (C,) float64, mean of 11 points of it (VOC2007); NaN where there is no truth.
        curves: C precision-recall curves.
        truths: (C,) int64, objects to find; the difficult ones are not among them.
        difficult: (C,) int64, difficult objects.
        right: (C,) int64, detections that found an object.
        wrong: (C,) int64, detections of nothing, or of an object that a better-scoring one has found.
        ignored: (C,) int64, detections that found a difficult object.
    """

    class_names: tuple[str, ...]
    iou_threshold: float
    ap_area: np.ndarray
    ap_11: np.ndarray
    curves: tuple[Curve, ...]
    truths: np.ndarray
    difficult: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    ignored: np.ndarray

    @property
    def map_area(self) -> float:
        """Mean of ``ap_area`` over the classes that have truths; NaN if none has."""
        return _mean_of_finite(self.ap_area)

    @property
    def map_11(self) -> float:
        """Mean of ``ap_11`` over the classes that have truths; NaN if none has."""
        return _mean_of_finite(self.ap_11)

    @property
    def without_truths(self) -> list[str]:
        """The classes that the means leave out, because there is nothing to find."""
        return [name for name, count in zip(self.class_names, self.truths, strict=True) if count == 0]

    def table(self) -> str:
        """One line a class, the means below, as text."""
        width = max(map(len, (*self.class_names, "class", "mean")))
        head = f"{'class':{width}}  truths  difficult  right  wrong  ignored  AP area  AP 11-pt"
        lines = [head, "-" * len(head)]
        for i, name in enumerate(self.class_names):
            counts = f"{self.truths[i]:6}  {self.difficult[i]:9}  {self.right[i]:5}  {self.wrong[i]:5}"
            precisions = f"{_cell(self.ap_area[i]):>7}  {_cell(self.ap_11[i]):>8}"
            lines.append(f"{name:{width}}  {counts}  {self.ignored[i]:7}  {precisions}")
        counts = (
            f"{self.truths.sum():6}  {self.difficult.sum():9}  {self.right.sum():5}  {self.wrong.sum():5}"
        )
        means = f"{_cell(self.map_area):>7}  {_cell(self.map_11):>8}"
        lines += [lines[1], f"{'mean':{width}}  {counts}  {self.ignored.sum():7}  {means}"]
        if self.without_truths:
            lines.append(f"left out of the mean, nothing to find: {', '.join(self.without_truths)}")
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Plain values for JSON; ``None`` stands for NaN."""
        per_class = {
            name: {
                "ap_area": _or_none(self.ap_area[i]),
                "ap_11": _or_none(self.ap_11[i]),
                **{
                    key: int(getattr(self, key)[i])
                    for key in ("truths", "difficult", "right", "wrong", "ignored")
                },
            }
            for i, name in enumerate(self.class_names)
        }
        return {
            "iou_threshold": self.iou_threshold,
            "map_area": _or_none(self.map_area),
            "map_11": _or_none(self.map_11),
            "classes": per_class,
        }


def evaluate_voc(
    detections: Sequence[Detections] | BoxTable,
    truths: Sequence[GroundTruth] | BoxTable,
    class_names: Sequence[str],
    iou_threshold: float = 0.5,
    pixel_inclusive: bool = False,
) -> VocResult:
    """VOC's average precision, 11-point and area, of the detections in a set of images.

    Detections of equal score keep the order in which they are given.

    Args:
        detections: one ``Detections`` for each image, boxes (N, 4) xyxy in pixels of the image; or a table.
        truths: one ``GroundTruth`` for each image, in the same order; or a table.
        class_names: the C names that the class indices of both count into.
        iou_threshold: a detection finds an object when their IoU is at least this; in (0, 1].
        pixel_inclusive: False for continuous edges, as everywhere in this library. True if **both** hold the
            first and the last pixel, as VOC's own files do: then every width is x2 − x1 + 1.

    Returns:
        A ``VocResult``. A class without truths (difficult ones don't count) has NaN for its AP and is left
        out of the mean.

    Raises:
        ValueError: for NaN or infinite values, x2 < x1, y2 < y1, a class out of range, or lists of different
            lengths; the message names image and index.
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in (0, 1], not {iou_threshold}")
    found, objects = as_tables(detections, truths, len(class_names))
    best, overlap = best_truths(found, objects, len(class_names), edge=float(pixel_inclusive))
    ranking = np.lexsort((-found.scores, found.classes))  # by class, then by score; stable
    right, ignored = judge(ranking, overlap >= iou_threshold, best, objects.difficult)

    ranking = ranking[~ignored[ranking]]
    ends = np.searchsorted(found.classes[ranking], np.arange(len(class_names) + 1))
    ranked = [ranking[ends[c] : ends[c + 1]] for c in range(len(class_names))]

    def count(classes: np.ndarray) -> np.ndarray:
        return np.bincount(classes, minlength=len(class_names))

    easy = count(objects.classes[~objects.difficult])
    ap = [average_precision(right[rows], easy[c]) for c, rows in enumerate(ranked)]
    return VocResult(
        class_names=tuple(class_names),
        iou_threshold=iou_threshold,
        ap_area=np.array([area for area, _ in ap]),
        ap_11=np.array([eleven for _, eleven in ap]),
        curves=tuple(_curve(found.scores[rows], right[rows], easy[c]) for c, rows in enumerate(ranked)),
        truths=easy,
        difficult=count(objects.classes[objects.difficult]),
        right=count(found.classes[right]),
        wrong=count(found.classes[~right & ~ignored]),
        ignored=count(found.classes[ignored]),
    )


def average_precision(right: np.ndarray, truths: int) -> tuple[float, float]:
    """AP of one class: the area under the monotone precision-recall curve, and VOC2007's 11 points of it.

    Recall grows by 1 / ``truths`` at each right detection and nowhere else, so the area is a sum of
    rectangles of that width. A recall of k / 10 is reached with ⌈k · truths / 10⌉ objects: whole numbers,
    because 3 / 10 and 3 · .1 differ as floating-point numbers, and a class of ten objects could miss a point.

    Args:
        right: (D,) booleans, the detections that count, best score first.
        truths: how many objects there are to find.

    Returns:
        (area, 11-point), each in [0, 1]; (NaN, NaN) if ``truths`` is 0.

    Raises:
        ValueError: if more detections are right than there are objects.
    """
    right = np.asarray(right, dtype=bool)
    found = np.cumsum(right)
    if len(found) and found[-1] > truths:
        raise ValueError(f"{found[-1]} detections are right, but there are {truths} objects to find")
    if truths == 0:
        return float("nan"), float("nan")
    envelope = _envelope(found / np.arange(1, len(found) + 1))
    area = envelope[right].sum() / truths
    needed = -(-np.arange(11) * truths // 10)
    reached = np.searchsorted(found, needed)
    eleven = envelope[reached[reached < len(found)]].sum() / 11
    return float(area), float(eleven)


def evaluate_coco(
    detections: Sequence[Detections] | BoxTable,
    truths: Sequence[GroundTruth] | BoxTable,
    class_names: Sequence[str],
) -> dict[str, float]:
    """COCO's twelve numbers, computed by pycocotools: a second opinion.

    COCO differs from VOC: AP is the mean at 101 recalls, ``AP`` averages it over the IoUs .5, .55, …, .95, a
    detection whose best object is taken may take another that it overlaps enough, and only the 100 best
    detections of a class count in an image.

    COCO knows no difficult objects; they are handed over as crowds, which any number of detections may
    match unpunished. A crowd's overlap is measured by the share of the **detection** that it covers, so a box
    inside a difficult object is ignored here and wrong in ``evaluate_voc``.

    Args:
        detections, truths, class_names: as in ``evaluate_voc``, with continuous edges.

    Returns:
        A value for each of ``COCO_METRICS``. AP is over all IoUs, at .5, at .75, of small (up to 32² pixels),
        medium and large objects (from 96²); AR is recall with 1, 10 and 100 detections an image, and by size.
        NaN where there is nothing to find.

    Raises:
        ValueError: as in ``evaluate_voc``.
    """
    from pycocotools.cocoeval import COCOeval

    found, objects = as_tables(detections, truths, len(class_names))
    images = np.union1d(found.images, objects.images).tolist()
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation = COCOeval(_coco(objects, images, class_names), _coco(found, images, class_names), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        name: float(value) if value >= 0 else float("nan")  # -1 is pycocotools' way to say "none"
        for name, value in zip(COCO_METRICS, evaluation.stats, strict=True)
    }


COCO_METRICS = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip


def as_tables(
    detections: Sequence[Detections] | BoxTable, truths: Sequence[GroundTruth] | BoxTable, num_classes: int
) -> tuple[BoxTable, BoxTable]:
    """Detections and objects as tables, checked.

    Raises:
        ValueError: not as many of one as of the other; a class, box or score that makes no sense, by its
            index.
    """
    listed = not isinstance(detections, BoxTable) and not isinstance(truths, BoxTable)
    if listed and len(detections) != len(truths):
        raise ValueError(
            f"detections of {len(detections)} images, but truths of {len(truths)}: "
            "give one of each for every image, Detections.none() where nothing was found"
        )
    found = detections if isinstance(detections, BoxTable) else BoxTable.of_detections(detections)
    objects = truths if isinstance(truths, BoxTable) else BoxTable.of_truths(truths)
    _validate("detections", found, num_classes)
    _validate("truths", objects, num_classes)
    return found, objects


def _validate(name: str, table: BoxTable, num_classes: int) -> None:
    def reject(bad: np.ndarray, column: str, problem: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            image = table.images[row]
            index = np.count_nonzero(table.images[:row] == image)
            value = getattr(table, column)[row].tolist()
            raise ValueError(f"{name} of image {image}: {column}[{index}] {problem}: {value}")

    reject(~np.isfinite(table.boxes).all(axis=1), "boxes", "isn't finite")
    reject((table.boxes[:, 2:] < table.boxes[:, :2]).any(axis=1), "boxes", "has x2 < x1 or y2 < y1")
    reject(~np.isfinite(table.scores), "scores", "isn't finite")
    out_of_range = (table.classes < 0) | (table.classes >= num_classes)
    reject(out_of_range, "classes", f"isn't an index from 0 to {num_classes - 1}")


def _common_columns(items: Sequence[Detections] | Sequence[GroundTruth]) -> tuple[np.ndarray, ...]:
    """boxes, images, classes"""
    lengths = np.array([item.classes.numel() for item in items], dtype=np.int64)
    images = np.repeat(np.arange(len(items)), lengths)
    boxes = _join([item.boxes for item in items], torch.float64).reshape(-1, 4)
    return boxes, images, _join([item.classes for item in items], torch.int64)


def _join(parts: list[Tensor], dtype: torch.dtype) -> np.ndarray:
    """One array of many tensors; those on a GPU come over in one transfer."""
    return torch.cat(parts).to("cpu", dtype).numpy() if parts else torch.zeros(0, dtype=dtype).numpy()


def best_truths(
    found: BoxTable, objects: BoxTable, num_classes: int, edge: float
) -> tuple[np.ndarray, np.ndarray]:
    """For each detection the truth of its image and class that it overlaps most, and their IoU.

    Where there is no truth the index is 0 and the IoU is 0. Of truths with equal IoU the first is taken.
    """
    by_group = np.argsort(objects.images * num_classes + objects.classes, kind="stable")
    truth_group = (objects.images * num_classes + objects.classes)[by_group]
    group = found.images * num_classes + found.classes
    start = np.searchsorted(truth_group, group, side="left")
    count = np.searchsorted(truth_group, group, side="right") - start

    # All pairs of a detection and a truth of its group, one after the other in a flat list.
    pair_start = np.cumsum(count) - count
    detection = np.repeat(np.arange(len(group)), count)
    truth = by_group[np.arange(len(detection)) + np.repeat(start - pair_start, count)]
    overlap = paired_iou(found.boxes[detection], objects.boxes[truth], edge)

    best, best_overlap = np.zeros(len(group), dtype=np.int64), np.zeros(len(group))
    if len(detection):
        best_overlap[count > 0] = np.maximum.reduceat(overlap, pair_start[count > 0])
        winners = np.flatnonzero(overlap == best_overlap[detection])
        owners, first = np.unique(detection[winners], return_index=True)
        best[owners] = truth[winners[first]]
    return best, best_overlap


def judge(
    ranking: np.ndarray, hit: np.ndarray, best: np.ndarray, difficult: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections are right, and which are ignored; the rest is wrong. (D,) booleans each."""
    ignored = np.zeros(len(hit), dtype=bool)
    ignored[hit] = difficult[best[hit]]
    right = np.zeros(len(hit), dtype=bool)
    claims = ranking[(hit & ~ignored)[ranking]]
    # ``unique`` names the first claim to each object, which in this order is the best-scoring one.
    _, first = np.unique(best[claims], return_index=True)
    right[claims[first]] = True
    return right, ignored


def paired_iou(a: np.ndarray, b: np.ndarray, edge: float) -> np.ndarray:
    """IoU row by row, 0 for two empty boxes; ``edge`` is 1 where coordinates are the first and last pixel."""
    shared = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + edge
    intersection = shared.clip(min=0).prod(axis=1)
    union = (
        (a[:, 2:] - a[:, :2] + edge).prod(axis=1) + (b[:, 2:] - b[:, :2] + edge).prod(axis=1) - intersection
    )
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def _envelope(precision: np.ndarray) -> np.ndarray:
    return np.maximum.accumulate(precision[::-1])[::-1]


def _curve(scores: np.ndarray, right: np.ndarray, truths: int) -> Curve:
    found = np.cumsum(right)
    recall = found / truths if truths else np.full(len(found), np.nan)
    return Curve(scores, recall, found / np.arange(1, len(found) + 1))


def _coco(table: BoxTable, images: list[int], class_names: Sequence[str]):
    """A pycocotools ``COCO`` that holds these boxes."""
    from pycocotools.coco import COCO

    sizes = table.boxes[:, 2:] - table.boxes[:, :2]
    rows = zip(
        table.images.tolist(), table.classes.tolist(), np.hstack([table.boxes[:, :2], sizes]).tolist(),
        sizes.prod(axis=1).tolist(), table.scores.tolist(), table.difficult.tolist(), strict=True,
    )  # fmt: skip
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in images],
        "categories": [{"id": i, "name": name} for i, name in enumerate(class_names)],
        # Ids start at 1: in pycocotools an id of 0 means "matched with nothing".
        "annotations": [
            {
                "id": i, "image_id": image, "category_id": category, "bbox": box, "area": area,
                "score": score, "iscrowd": int(crowd),
            }
            for i, (image, category, box, area, score, crowd) in enumerate(rows, start=1)
        ],
    }  # fmt: skip
    coco.createIndex()
    return coco


def _mean_of_finite(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _cell(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:.3f}"


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
