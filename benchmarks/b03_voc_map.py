"""Row 3: VOC mAP, 11-point and area together, of as many images, objects and detections as VOC2007 test has.

Generated data: objects of random size and class, a fifth of them difficult; detections that are jittered
copies of objects, some with a wrong class, their scores rounded so that many are equal.
"""

from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import torch
from harness import Row

from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.detections import Detections
from yolov3_lib.evaluate import BoxTable, evaluate_voc

IMAGES, OBJECTS, DETECTIONS = 4952, 12_032, 50_000


def generate() -> tuple[BoxTable, BoxTable]:
    """Detections and truths, both sorted by image."""
    rng = np.random.default_rng(0)
    images = np.sort(rng.integers(0, IMAGES, OBJECTS))
    corners = rng.uniform(0, 300, (OBJECTS, 2))
    boxes = np.hstack([corners, corners + rng.uniform(20, 200, (OBJECTS, 2))])
    classes = rng.integers(0, len(VOC_CLASSES), OBJECTS)
    truths = BoxTable(boxes, images, classes, np.zeros(OBJECTS), rng.random(OBJECTS) < 0.2)

    seen = np.sort(rng.integers(0, OBJECTS, DETECTIONS))
    jittered = boxes[seen] + rng.normal(0, 12, (DETECTIONS, 4))
    jittered[:, 2:] = np.maximum(jittered[:, 2:], jittered[:, :2])
    guessed = np.where(rng.random(DETECTIONS) < 0.7, classes[seen], rng.integers(0, 20, DETECTIONS))
    scores = rng.random(DETECTIONS).round(3)
    return BoxTable(jittered, images[seen], guessed, scores, np.zeros(DETECTIONS, dtype=bool)), truths


def as_lists(found: BoxTable, truths: BoxTable) -> tuple[list[Detections], list[SimpleNamespace]]:
    """What a detector and a data set give: one object for each image."""

    def split(table: BoxTable) -> list[tuple[torch.Tensor, ...]]:
        counts = np.bincount(table.images, minlength=IMAGES).tolist()
        columns = (table.boxes, table.scores, table.classes, table.difficult)
        return list(zip(*(torch.from_numpy(column).split(counts) for column in columns), strict=True))

    detections = [Detections(boxes, scores, classes) for boxes, scores, classes, _ in split(found)]
    objects = [SimpleNamespace(boxes=b, classes=c, difficult=d) for b, _, c, d in split(truths)]
    return detections, objects


def curve_to_ap(right: list[bool], total: int) -> tuple[float, float]:
    """Area and 11-point AP by walking down the ranking."""
    precision, recall, found = [], [], 0
    for rank, is_right in enumerate(right, start=1):
        found += is_right
        precision.append(found / rank)
        recall.append((found, total))
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    area, previous = 0.0, 0
    for value, (found, _) in zip(precision, recall, strict=True):
        area += value * (found - previous) / total
        previous = found
    eleven = 0.0
    for k in range(11):
        for value, (found, _) in zip(precision, recall, strict=True):
            if found * 10 >= k * total:
                eleven += value / 11
                break
    return area, eleven


def with_loops(found: BoxTable, truths: BoxTable, best_truth) -> np.ndarray:
    """The usual evaluation code: class by class, detection by detection. (20, 2) area and 11-point."""
    objects = defaultdict(list)
    for row, key in enumerate(zip(truths.images.tolist(), truths.classes.tolist(), strict=True)):
        objects[key].append(row)
    rows_of = defaultdict(list)
    for row, label in enumerate(found.classes.tolist()):
        rows_of[label].append(row)
    results = []
    for label in range(len(VOC_CLASSES)):
        ranking = sorted(rows_of[label], key=lambda row: -found.scores[row])
        taken, right = set(), []
        for row in ranking:
            overlap, best = best_truth(row, objects.get((int(found.images[row]), label), ()))
            if overlap < 0.5:
                right.append(False)
            elif not truths.difficult[best]:
                right.append(best not in taken)
                taken.add(best)
        total = int((~truths.difficult[truths.classes == label]).sum())
        results.append(curve_to_ap(right, total))
    return np.array(results)


def python_loops(found: BoxTable, truths: BoxTable) -> np.ndarray:
    boxes, object_boxes = found.boxes.tolist(), truths.boxes.tolist()

    def best_truth(row: int, candidates: list[int]) -> tuple[float, int]:
        ax1, ay1, ax2, ay2 = boxes[row]
        best_overlap, best = 0.0, -1
        for candidate in candidates:
            bx1, by1, bx2, by2 = object_boxes[candidate]
            width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
            if width > 0 and height > 0:
                shared = width * height
                overlap = shared / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared)
                if overlap > best_overlap:
                    best_overlap, best = overlap, candidate
        return best_overlap, best

    return with_loops(found, truths, best_truth)


def numpy_per_detection(found: BoxTable, truths: BoxTable) -> np.ndarray:
    def best_truth(row: int, candidates: list[int]) -> tuple[float, int]:
        if not len(candidates):
            return 0.0, -1
        box, others = found.boxes[row], truths.boxes[candidates]
        shared = (np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])).clip(0).prod(1)
        union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - shared
        overlap = shared / union
        best = int(overlap.argmax())
        return float(overlap[best]), candidates[best]

    return with_loops(found, truths, best_truth)


def ours(detections, truths) -> np.ndarray:
    result = evaluate_voc(detections, truths, VOC_CLASSES)
    return np.stack([result.ap_area, result.ap_11], axis=1)


def check(answers: dict[str, np.ndarray]) -> None:
    reference = answers["python loops"]
    assert reference.shape == (20, 2)
    assert (reference > 0.05).all()
    assert (reference < 0.95).all()
    for name, answer in answers.items():
        assert np.allclose(answer, reference, rtol=0, atol=1e-12), name


def row() -> Row:
    found, truths = generate()
    detections, objects = as_lists(found, truths)
    return Row(
        number=3,
        title="VOC mAP, 4,952 images, 12,032 objects, 50,000 detections",
        bar="≤ 200 ms, area and 11-point together, difficult handled",
        ours="yolov3_lib, a list of images",
        candidates={
            "yolov3_lib, a list of images": lambda: ours(detections, objects),
            "yolov3_lib, flat tables": lambda: ours(found, truths),
            "numpy, detection by detection": lambda: numpy_per_detection(found, truths),
            "python loops": lambda: python_loops(found, truths),
        },
        check=check,
    )
