"""The state of the loss explorer: one object, one prediction, and what Darknet's loss says of the two."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn import functional as F

from yolov3_lib.anchors import YOLOV3_ANCHORS, shape_iou
from yolov3_lib.boxes import iou
from yolov3_lib.widgets.base import fixed, number

Box = tuple[float, ...]

SIDE = 416
IGNORE_THRESHOLD = 0.5
STRIDES = (8, 16, 32)
# As Darknet counts them, from the smallest: of two that fit equally well the first is taken.
ANCHORS = tuple(shape for row in reversed(YOLOV3_ANCHORS) for shape in row)
OWN = -1  # in place of an anchor's number: the one that answers for the object
TERMS = ("x", "y", "w", "h", "o")
# A sigmoid never reaches the cell's edge; a box that is dragged does.
_EDGE = 0.01


@dataclass(frozen=True)
class Scene:
    """An object, a prediction (both xyxy in pixels of a 416 × 416 input), its anchor and its objectness."""

    truth: Box
    prediction: Box
    anchor: int = OWN
    objectness: float = 0.5

    @cached_property
    def overlaps(self) -> list[float]:
        """The IoU of the object's shape with each of the nine anchors'."""
        size = torch.tensor([[self.truth[2] - self.truth[0], self.truth[3] - self.truth[1]]])
        return shape_iou(size.double(), torch.tensor(ANCHORS).double())[0].tolist()

    @property
    def answering(self) -> int:
        return self.overlaps.index(max(self.overlaps))

    @property
    def used(self) -> int:
        """The anchor that the prediction belongs to."""
        return self.answering if self.anchor == OWN else self.anchor

    @property
    def stride(self) -> int:
        """Of the scale that the prediction belongs to; the grid that is drawn."""
        return STRIDES[self.used // 3]

    def cell(self, box: Box) -> tuple[int, int]:
        """(column, row) of the cell that holds a box's center."""
        last = SIDE // self.stride - 1
        return tuple(
            min(int((box[axis] + box[axis + 2]) / 2 / self.stride), last) for axis in (0, 1)
        )  # fmt: skip

    @cached_property
    def overlap(self) -> float:
        return float(iou(*torch.tensor([self.prediction, self.truth], dtype=torch.float64)))

    @property
    def state(self) -> str:
        """What the prediction is to the loss: "positive", "ignored" or "background"."""
        if self.used == self.answering and self.cell(self.truth) == self.cell(self.prediction):
            return "positive"
        return "ignored" if self.overlap > IGNORE_THRESHOLD else "background"

    @cached_property
    def goals(self) -> list[float]:
        """What t_x, t_y (after the sigmoid), t_w, t_h and objectness should be."""
        return [*self._as_numbers(self.truth), 1.0 if self.state == "positive" else 0.0]

    @cached_property
    def says(self) -> list[float]:
        """What the prediction says in their place."""
        x, y, w, h = self._as_numbers(self.prediction)
        inside = (min(max(value, _EDGE), 1 - _EDGE) for value in (x, y))
        return [*inside, w, h, self.objectness]

    @property
    def weight(self) -> float:
        """2 − w·h, of relative sizes."""
        x1, y1, x2, y2 = self.truth
        return 2 - (x2 - x1) * (y2 - y1) / SIDE**2

    @cached_property
    def costs(self) -> tuple[list[float], list[float]]:
        """The five terms of the loss, and its derivatives by the five logits."""
        says = torch.tensor(self.says, dtype=torch.float64)
        goals = torch.tensor(self.goals, dtype=torch.float64)
        logits = torch.cat((says[:2].logit(), says[2:4], says[4:].logit())).requires_grad_()
        entropy = F.binary_cross_entropy_with_logits(
            logits[[0, 1, 4]], goals[[0, 1, 4]], reduction="none"
        )  # fmt: skip
        squares = (logits[2:4] - goals[2:4]) ** 2 / 2
        terms = torch.cat((self.weight * entropy[:2], self.weight * squares, entropy[2:]))
        counts = {"positive": [1, 1, 1, 1, 1], "background": [0, 0, 0, 0, 1], "ignored": [0] * 5}
        terms = terms * torch.tensor(counts[self.state])
        (slopes,) = torch.autograd.grad(terms.sum(), logits)
        return terms.tolist(), slopes.tolist()

    def _as_numbers(self, box: Box) -> tuple[float, float, float, float]:
        """Center within its cell, in cells, and the logarithms of width and height in anchors."""
        column, row = self.cell(box)
        w, h = ANCHORS[self.used]
        return (
            (box[0] + box[2]) / 2 / self.stride - column,
            (box[1] + box[3]) / 2 / self.stride - row,
            math.log((box[2] - box[0]) / w),
            math.log((box[3] - box[1]) / h),
        )


def readout(scene: Scene) -> dict[str, str]:
    """What the panel says, by the name of each place; ``loss.js`` says the same."""
    costs, slopes = scene.costs
    best, used = ANCHORS[scene.answering], ANCHORS[scene.used]
    state = {
        "positive": "positive: it answers for the object",
        "ignored": f"ignored: IoU {fixed(scene.overlap, 2)} > {number(IGNORE_THRESHOLD)}",
        "background": "background: asked to say “nothing here”",
    }[scene.state]
    said = {
        "state": state,
        "overlap": fixed(scene.overlap, 2),
        "best": f"{best[0]} × {best[1]}, shape IoU {fixed(max(scene.overlaps), 2)}",
        "used": f"{used[0]} × {used[1]}, {SIDE // scene.stride} × {SIDE // scene.stride} cells",
        "weight": fixed(scene.weight, 2),
        "total": fixed(sum(costs)),
    }
    for name, goal, says, cost, slope in zip(TERMS, scene.goals, scene.says, costs, slopes, strict=True):
        asked = scene.state == "positive" or (name == "o" and scene.state == "background")
        said[f"{name}-terms"] = f"{fixed(says, 2)} → {fixed(goal, 2)}" if asked else "not asked"
        said[f"{name}-cost"] = fixed(cost)
        said[f"{name}-slope"] = fixed(slope)
    return said
