"""Row 1: exact greedy NMS of one image's 10,647 boxes of 20 classes, at IoU .45.

The table doesn't say how the boxes lie, and the work depends on it, so there are two kinds of generated
boxes: spread at random, where most survive, and heaped on a few objects, where few do.
"""

import importlib
import math
from collections.abc import Callable
from types import ModuleType

import cv2
import numpy as np
import torch
from harness import Row
from torch import Tensor

from yolov3_lib.nms import class_nms

BOXES, CLASSES, SIZE, THRESHOLD = 10_647, 20, 416, 0.45


def uniform_boxes(n: int, generator: torch.Generator) -> Tensor:
    """Centers anywhere in the image; sides from 10 to 300 pixels, short ones more often."""
    centers = torch.rand(n, 2, generator=generator) * SIZE
    sizes = 10 * torch.exp(torch.rand(n, 2, generator=generator) * math.log(30))
    return torch.cat([centers - sizes / 2, centers + sizes / 2], dim=1)


def clustered_boxes(n: int, generator: torch.Generator, objects: int = 20) -> Tensor:
    """Half of them around twenty objects, as a detector's are, and the other half anywhere."""
    truth = uniform_boxes(objects, generator)[torch.randint(objects, (n,), generator=generator)]
    centers, sizes = (truth[:, :2] + truth[:, 2:]) / 2, truth[:, 2:] - truth[:, :2]
    centers = centers + 0.1 * sizes * torch.randn(n, 2, generator=generator)
    sizes = sizes * torch.exp(0.2 * torch.randn(n, 2, generator=generator))
    boxes = torch.cat([centers - sizes / 2, centers + sizes / 2], dim=1)
    anywhere = torch.rand(n, 1, generator=generator) < 0.5
    return torch.where(anywhere, uniform_boxes(n, generator), boxes)


def rows() -> list[Row]:
    return [
        one_row("spread at random", uniform_boxes, seed=0),
        one_row("half of them heaped on 20 objects", clustered_boxes, seed=1),
    ]


def one_row(kind: str, make_boxes: Callable[[int, torch.Generator], Tensor], seed: int) -> Row:
    generator = torch.Generator().manual_seed(seed)
    boxes = make_boxes(BOXES, generator)
    # No two scores are equal: peers order equal ones differently.
    scores = (1 + torch.randperm(BOXES, generator=generator)) / (BOXES + 1)
    classes = torch.randint(CLASSES, (BOXES,), generator=generator)
    arrays = [tensor.numpy() for tensor in (boxes, scores, classes)]

    candidates = {
        "yolov3_lib": lambda: class_nms(boxes, scores, classes, THRESHOLD),
        "numpy, box by box": lambda: numpy_loop(*arrays),
        "Python lists, as in tutorials": lambda: python_lists(*arrays),
        "OpenCV, NMSBoxesBatched": lambda: opencv_batched(*arrays),
        "OpenCV, class by class": lambda: opencv_by_class(*arrays),
    }
    torchvision = import_torchvision()
    if torchvision is not None:
        offset = torchvision.ops.boxes._batched_nms_coordinate_trick
        by_class = torchvision.ops.boxes._batched_nms_vanilla
        candidates["torchvision, class-offset trick"] = lambda: offset(boxes, scores, classes, THRESHOLD)
        candidates["torchvision, class by class"] = lambda: by_class(boxes, scores, classes, THRESHOLD)
    return Row(
        number=1,
        title=f"exact NMS, {BOXES:,} boxes of {CLASSES} classes, IoU {THRESHOLD}, {kind}",
        bar="≤ 25 ms, the same boxes kept",
        ours="yolov3_lib",
        candidates=candidates,
        check=check,
        notes=[] if torchvision else ["torchvision can't be imported here"],
    )


def check(answers: dict[str, object]) -> None:
    expected = set(np.asarray(answers["Python lists, as in tutorials"]).tolist())
    assert 100 < len(expected) < BOXES
    for name, kept in answers.items():
        indices = np.asarray(kept).tolist()
        assert len(indices) == len(expected), f"{name} keeps {len(indices)} boxes, not {len(expected)}"
        assert set(indices) == expected, f"{name} keeps other boxes"


def import_torchvision() -> ModuleType | None:
    """torchvision, where it is installed and fits the torch that is."""
    try:
        return importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        return None


def numpy_loop(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> list[int]:
    """For each class: take the best box, compare it with all that are left, go on."""
    kept = []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for c in np.unique(classes):
        left = np.flatnonzero(classes == c)
        left = left[np.argsort(-scores[left], kind="stable")]
        while left.size:
            best, left = left[0], left[1:]
            kept.append(best)
            x1, y1 = np.maximum(boxes[best, :2], boxes[left, :2]).T
            x2, y2 = np.minimum(boxes[best, 2:], boxes[left, 2:]).T
            shared = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
            left = left[shared / (areas[best] + areas[left] - shared) <= THRESHOLD]
    return kept


def python_lists(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> list[int]:
    """One list of boxes, filtered anew for every box that is kept."""
    left = sorted(zip(scores.tolist(), classes.tolist(), boxes.tolist(), range(len(boxes)), strict=True))
    kept = []
    while left:
        best = left.pop()
        kept.append(best[3])
        left = [box for box in left if box[1] != best[1] or plain_iou(box[2], best[2]) <= THRESHOLD]
    return kept


def plain_iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def opencv_batched(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> list[int]:
    return cv2.dnn.NMSBoxesBatched(corner_and_size(boxes), scores, classes.astype(np.int32), 0.0, THRESHOLD)


def opencv_by_class(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> list[int]:
    boxes, kept = corner_and_size(boxes), []
    for c in np.unique(classes):
        members = np.flatnonzero(classes == c)
        kept.extend(members[cv2.dnn.NMSBoxes(boxes[members], scores[members], 0.0, THRESHOLD)])
    return kept


def corner_and_size(boxes: np.ndarray) -> np.ndarray:
    """What OpenCV wants, in double precision, so that it compares the same boxes."""
    return np.hstack([boxes[:, :2], boxes[:, 2:].astype(float) - boxes[:, :2]])
