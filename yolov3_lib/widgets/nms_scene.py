"""The state of the NMS explorer: raw detections, two thresholds, and what a rule keeps of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from yolov3_lib import nms as rules
from yolov3_lib.boxes import validate
from yolov3_lib.detections import Detections
from yolov3_lib.plots import class_color, text_color
from yolov3_lib.widgets.base import fixed

RULES = {
    "greedy": "Greedy, class by class",
    "pairwise": "Fig. 8: every better box suppresses",
    "agnostic": "Greedy, all classes together",
    "soft": "Soft-NMS, Gaussian",
}
"""The rules that a reader can choose, and their names in the figure."""

_MOST_BOXES = 400


def keep(
    boxes: Tensor, scores: Tensor, classes: Tensor, score_threshold: float, iou_threshold: float, rule: str
) -> list[tuple[int, float]]:
    """What a rule keeps of those that score above a threshold: indices and final scores, best first.

    ``nms.js`` does the same in the page. Equal scores: the lower index first.
    """
    candidates = (scores > score_threshold).nonzero()[:, 0]
    if rule == "agnostic":
        kept = candidates[rules.nms(boxes[candidates], scores[candidates], iou_threshold)]
        return [(i, float(scores[i])) for i in kept.tolist()]

    found: list[tuple[int, float]] = []
    for c in classes[candidates].unique():
        mine = candidates[classes[candidates] == c]
        if rule == "soft":
            kept, rescored = rules.soft_nms(boxes[mine], scores[mine], score_threshold=score_threshold)
        else:
            suppress = {"greedy": rules.nms, "pairwise": rules.pairwise_nms}[rule]
            kept = suppress(boxes[mine], scores[mine], iou_threshold)
            rescored = scores[mine][kept]
        found += zip(mine[kept].tolist(), rescored.tolist(), strict=True)
    return sorted(found, key=lambda one: (-one[1], one[0]))


def checked(boxes: Tensor, scores: Tensor, classes: Tensor, class_names: Sequence[str]) -> Detections:
    """The raw detections in double precision, or an error that names what is wrong with them."""
    boxes = torch.as_tensor(boxes).detach().cpu().double()
    scores = torch.as_tensor(scores).detach().cpu().double()
    classes = torch.as_tensor(classes).detach().cpu().long()
    detections = Detections(boxes, scores, classes)
    count = len(detections)
    if count > _MOST_BOXES:
        raise ValueError(
            f"{count} boxes make a page slow: give at most {_MOST_BOXES}, those that score above .01 say"
        )
    validate(boxes)
    for i, c in enumerate(classes.tolist()):
        if not 0 <= c < len(class_names):
            raise ValueError(f"classes[{i}] is {c}, but there are {len(class_names)} class names")
    return detections


@dataclass(frozen=True)
class Scene:
    """The figure's first state. Classes count in ``names``: only those that occur."""

    pixels: np.ndarray | None
    size: tuple[float, float]
    boxes: list[list[float]]
    scores: list[float]
    classes: list[int]
    names: list[str]
    colors: list[tuple[str, str]]  # of the class, and of letters on it
    candidates: list[int]
    kept: list[tuple[int, float]]

    @classmethod
    def of(
        cls,
        pixels: np.ndarray | None,
        size: tuple[float, float] | None,
        detections: Detections,
        class_names: Sequence[str],
        thresholds: tuple[float, float],
        rule: str,
    ) -> "Scene":
        """The scene of raw detections, rounded as the page reads them; thresholds of score and IoU."""
        boxes, scores, classes = detections.boxes, detections.scores, detections.classes
        if pixels is not None:
            size = (pixels.shape[1], pixels.shape[0])
        elif size is None:
            size = tuple(boxes[:, 2:].amax(0).ceil().clamp(min=1).tolist()) if len(boxes) else (1.0, 1.0)
        boxes = _rounded(boxes, 1 if max(size) >= 100 else 3)
        scores = _rounded(scores, 4)
        used = classes.unique().tolist()
        return cls(
            pixels=pixels,
            size=size,
            boxes=_plain(boxes),
            scores=_plain(scores),
            classes=[used.index(c) for c in classes.tolist()],
            names=[class_names[c] for c in used],
            colors=[(class_color(c), text_color(class_color(c))) for c in used],
            candidates=(scores > thresholds[0]).nonzero()[:, 0].tolist(),
            kept=keep(boxes, scores, classes, *thresholds, rule),
        )

    @property
    def kept_indices(self) -> list[int]:
        return [i for i, _ in self.kept]

    @property
    def gone(self) -> list[int]:
        return sorted(set(self.candidates) - set(self.kept_indices))

    def title(self, index: int, score: float) -> str:
        return f"{self.names[self.classes[index]]} {fixed(score, 2)}"


def _rounded(values: Tensor, digits: int) -> Tensor:
    """Rounded as the page reads them: to the number nearest to the short decimal."""
    return torch.from_numpy(np.round(values.numpy(), digits))


def _plain(values: Tensor) -> list:
    """Nested lists in which a whole number is an int: shorter, and the same in JSON."""

    def short(value):
        if isinstance(value, list):
            return [short(one) for one in value]
        return int(value) if value == int(value) else value

    return short(values.tolist())
