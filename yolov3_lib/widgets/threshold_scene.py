"""The state of the threshold explorer: detections in one photograph, and a detector's counts at 100
thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from yolov3_lib.boxes import validate
from yolov3_lib.detections import Detections
from yolov3_lib.plots import class_color
from yolov3_lib.thresholds import OperatingPoints
from yolov3_lib.widgets.base import fixed

THRESHOLDS = np.arange(100) / 100
"""Where the slider can stand; the points of a curve are given at these."""

# The chart, in drawing units: where recall 0 and precision 0 lie, and how long the axes are.
LEFT, BOTTOM, WIDTH, HEIGHT = 46, 252, 300, 236
_MOST_BOXES = 200


@dataclass(frozen=True)
class Scene:
    """The figure's data, rounded as the page reads them. Classes count in ``names``: those that occur."""

    pixels: np.ndarray
    boxes: list[list[float]]
    scores: list[float]
    classes: list[int]
    names: list[str]
    colors: list[str]
    curves: dict[str, OperatingPoints]

    @classmethod
    def of(
        cls,
        pixels: np.ndarray,
        detections: Detections,
        class_names: Sequence[str],
        curves: Mapping[str, OperatingPoints],
    ) -> "Scene":
        """The scene, or a ``ValueError`` that names what is wrong."""
        if len(detections) > _MOST_BOXES:
            raise ValueError(f"{len(detections)} boxes make a page slow: give at most {_MOST_BOXES}")
        if not curves:
            raise ValueError("curves is empty: give at least one, by its name")
        for name, points in curves.items():
            if not np.array_equal(points.thresholds, THRESHOLDS):
                raise ValueError(f"curve {name!r}: its points must be at the thresholds 0, .01, …, .99")
        validate(detections.boxes)
        used = detections.classes.unique().tolist()
        for i, c in enumerate(detections.classes.tolist()):
            if not 0 <= c < len(class_names):
                raise ValueError(f"classes[{i}] is {c}, but there are {len(class_names)} class names")
        return cls(
            pixels=pixels,
            boxes=np.round(detections.boxes.double().numpy(), 1).tolist(),
            scores=np.round(detections.scores.double().numpy(), 4).tolist(),
            classes=[used.index(c) for c in detections.classes.tolist()],
            names=[class_names[c] for c in used],
            colors=[class_color(c) for c in used],
            curves=dict(curves),
        )

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def shown(self, step: int) -> list[int]:
        """The detections above threshold number ``step``, worst first, so that the best are drawn on top."""
        above = [i for i, score in enumerate(self.scores) if score > THRESHOLDS[step]]
        return sorted(above, key=lambda i: (self.scores[i], -i))


def named(scene: Scene, shown: Sequence[int]) -> set[int]:
    """Those of the shown detections whose name is written: not where a better one's name stands."""
    unit, written = max(scene.size) / 100, []
    for i in reversed(shown):
        x, y = scene.boxes[i][:2]
        if all(abs(x - u) >= 22 * unit or abs(y - v) >= 4 * unit for _, u, v in written):
            written.append((i, x, y))
    return {i for i, _, _ in written}


def readout(scene: Scene, step: int, curve: str) -> dict[str, str]:
    """What the figure says at threshold number ``step``, by the name of each place; ``threshold.js`` says
    it."""
    points = scene.curves[curve]
    right, wrong = int(points.right[step]), int(points.wrong[step])
    return {
        "threshold": fixed(step / 100, 2),
        "shown": str(len(scene.shown(step))),
        "precision": ratio(right, right + wrong),
        "recall": ratio(right, points.truths),
        "f1": ratio(2 * right, right + wrong + points.truths),
        "right": str(right),
        "wrong": str(wrong),
        "missed": str(points.truths - right),
    }


def ratio(part: int, whole: int) -> str:
    return fixed(part / whole) if whole else "–"


def place(points: OperatingPoints, step: int) -> tuple[float, float] | None:
    """Where a threshold's point lies in the chart; None where precision or recall is 0/0."""
    right, count = int(points.right[step]), int(points.right[step] + points.wrong[step])
    if not count or not points.truths:
        return None
    x, y = LEFT + WIDTH * right / points.truths, BOTTOM - HEIGHT * right / count
    return round(x, 2), round(y, 2)


def path(points: OperatingPoints) -> str:
    """The curve through the points of all thresholds."""
    places = [place(points, step) for step in range(len(THRESHOLDS))]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in filter(None, places)) if any(places) else ""
