"""NMS one decision at a time, on a handful of boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from yolov3_lib.boxes import pairwise_iou, validate
from yolov3_lib.plots import show_boxes
from yolov3_lib.widgets.base import Widget, element, fixed, text
from yolov3_lib.widgets.pictures import in_book_style, rendered
from yolov3_lib.widgets.steps import stepper

# Roles of a box in a frame: not looked at yet, being looked at, kept, suppressed.
_COLORS = {"wait": "grid", "now": "highlight", "keep": "kept", "drop": "suppressed"}
_STATES = {"wait": "waiting", "now": "under consideration", "keep": "kept", "drop": "suppressed"}
_WIDTH, _MARGIN, _BELOW = 440, 26, 8

Roles = dict[int, str]
Step = tuple[Roles, str]


def nms_steps(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float = 0.45,
    *,
    rule: str = "greedy",
    labels: Sequence[str] | None = None,
    alt: str | None = None,
) -> Widget:
    """A stepper that walks through NMS, decision by decision, and says the reason of each.

    Args:
        boxes: (N, 4), xyxy, in any unit; a few, so that the figure stays legible.
        scores: (N,).
        iou_threshold: a box goes if it overlaps a better one by more than this.
        rule: "greedy" (only a box that is kept suppresses) or "pairwise" (the document's Fig. 8: every better
            box does, also one that is itself suppressed).
        labels: names of the boxes; A, B, C, … by default.
        alt: what the frames show, instead of a sentence made from the boxes.

    Raises:
        ValueError: boxes that aren't valid, none or more than 12 of them, shapes that don't match or an
            unknown rule.
    """
    case = _case(boxes, scores, iou_threshold, labels)
    steps = _steps(case, rule)
    kept = [i for i in case.order if steps[-1][0][i] == "keep"]
    return stepper(
        [_svg(case, roles) for roles, _ in steps],
        [caption for _, caption in steps],
        alt or f"{len(case.order)} boxes; step by step, {rule} suppression keeps {case.names(kept)}.",
        pictures=[_pixels(case, roles) for roles, _ in steps],
    )


def walk_through(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float = 0.45,
    *,
    rule: str = "greedy",
    labels: Sequence[str] | None = None,
) -> list[Step]:
    """What `nms_steps` shows, without its drawings: the role of each box and a caption, step by step.

    A role is "wait", "now", "keep" or "drop".
    """
    return _steps(_case(boxes, scores, iou_threshold, labels), rule)


def _case(boxes: Tensor, scores: Tensor, iou_threshold: float, labels: Sequence[str] | None) -> "_Case":
    boxes, scores = torch.as_tensor(boxes).double(), torch.as_tensor(scores).double()
    count = len(boxes)
    validate(boxes)
    if not 1 <= count <= 12:
        raise ValueError(f"{count} boxes: a walk needs at least 1 and stays legible up to 12")
    labels = list(ascii_uppercase[:count]) if labels is None else list(labels)
    if len(labels) != count or scores.shape != (count,):
        raise ValueError(f"{len(labels)} labels and scores {tuple(scores.shape)} for {count} boxes")
    return _Case(
        boxes.tolist(),
        scores.tolist(),
        labels,
        scores.argsort(descending=True, stable=True).tolist(),
        pairwise_iou(boxes, boxes).tolist(),
        iou_threshold,
    )


@dataclass(frozen=True)
class _Case:
    boxes: list[list[float]]
    scores: list[float]
    labels: list[str]
    order: list[int]  # best first
    ious: list[list[float]]
    threshold: float

    def title(self, i: int) -> str:
        return f"{self.labels[i]} {fixed(self.scores[i], 2)}"

    def names(self, indices: Sequence[int]) -> str:
        return _listed([self.labels[i] for i in indices])

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The smallest box that holds all; never without area, because we divide by its sides."""
        x1, y1, x2, y2 = zip(*self.boxes, strict=True)
        left, top, right, bottom = min(x1), min(y1), max(x2), max(y2)
        return left, top, right if right > left else left + 1, bottom if bottom > top else top + 1


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# The two rules.


def _steps(case: _Case, rule: str) -> list[Step]:
    if rule not in ("greedy", "pairwise"):
        raise ValueError(f'unknown rule {rule!r}: choose "greedy" or "pairwise"')
    return _greedy(case) if rule == "greedy" else _pairwise(case)


def _greedy(case: _Case) -> list[Step]:
    limit = fixed(case.threshold, 2)
    roles = dict.fromkeys(case.order, "wait")
    steps = [(dict(roles), _opening(case))]
    left = case.order
    while left:
        best, *left = left
        score = fixed(case.scores[best], 2)
        caption = f"{case.labels[best]} scores best of what is left ({score}): keep it."
        steps.append(({**roles, best: "now"}, caption))
        roles[best] = "keep"
        if not left:
            break
        gone = [i for i in left if case.ious[best][i] > case.threshold]
        compared = ", ".join(f"{case.labels[i]} {fixed(case.ious[best][i], 2)}" for i in left)
        verdict = f"None is more than {limit}: nothing goes."
        if gone:
            verdict = f"More than {limit}: {case.names(gone)} {'goes' if len(gone) == 1 else 'go'}."
        roles |= dict.fromkeys(gone, "drop")
        left = [i for i in left if i not in gone]
        steps.append((dict(roles), f"IoU with {case.labels[best]}: {compared}. {verdict}"))
    return [*steps, (dict(roles), _closing(case, roles))]


def _pairwise(case: _Case) -> list[Step]:
    roles = dict.fromkeys(case.order, "wait")
    steps = [(dict(roles), _opening(case))]
    for i in case.order:
        better = [
            j for j in case.order if case.scores[j] > case.scores[i] and case.ious[i][j] > case.threshold
        ]
        steps.append(({**roles, i: "now"}, _verdict(case, roles, i, better)))
        roles[i] = "drop" if better else "keep"
    return [*steps, (dict(roles), _closing(case, roles))]


def _verdict(case: _Case, roles: Roles, i: int, better: list[int]) -> str:
    name, limit = case.labels[i], fixed(case.threshold, 2)
    if not better:
        return f"{name}: no box that scores higher overlaps it by more than {limit}. It stays."
    strongest = max(better, key=lambda j: case.ious[i][j])
    other = case.labels[strongest]
    reason = f"{name}: {other} scores higher, and their IoU is {fixed(case.ious[i][strongest], 2)}."
    if all(roles[j] == "drop" for j in better):
        return f"{reason} {name} goes, though {other} itself is gone."
    return f"{reason} {name} goes."


def _opening(case: _Case) -> str:
    if len(case.order) == 1:
        return f"One box, {case.labels[0]}."
    return f"{len(case.order)} boxes of one class. From the best score down: {case.names(case.order)}."


def _closing(case: _Case, roles: Roles) -> str:
    return f"Nothing is left to decide. Kept: {case.names([i for i in case.order if roles[i] == 'keep'])}."


# One frame, as SVG and as pixels. The best box lies on top.


def _svg(case: _Case, roles: Roles) -> str:
    left, top, right, bottom = case.extent
    scale = _WIDTH / max(right - left, 1.6 * (bottom - top))
    items = []
    for i in reversed(case.order):
        x1, y1, x2, y2 = case.boxes[i]
        x, y = _MARGIN + (x1 - left) * scale, _MARGIN + (y1 - top) * scale
        frame = element(
            "rect",
            x=f"{x:.1f}",
            y=f"{y:.1f}",
            width=f"{(x2 - x1) * scale:.1f}",
            height=f"{(y2 - y1) * scale:.1f}",
        )
        label = element("text", text(case.title(i)), x=f"{x + 2:.1f}", y=f"{y - 7:.1f}")
        items.append(element("g", frame + label, class_=f"yv-item yv-{roles[i]}"))
    width, height = (right - left) * scale + 2 * _MARGIN, (bottom - top) * scale + _MARGIN + _BELOW
    states = ", ".join(f"{case.labels[i]} {_STATES[roles[i]]}" for i in sorted(case.order))
    return element(
        "svg", "".join(items), viewBox=f"0 0 {width:.1f} {height:.1f}", role="img", aria_label=states
    )


@in_book_style
def _pixels(case: _Case, roles: Roles) -> Image.Image:
    left, top, right, bottom = case.extent
    margin = 0.12 * max(right - left, bottom - top)
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    figure = Figure(figsize=(3, 3 * height / width), dpi=200, layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left - margin, right + margin), ylim=(bottom + margin, top - margin), aspect="equal")
    axes.set_axis_off()
    for i in reversed(case.order):
        gone = roles[i] == "drop"
        show_boxes(
            axes,
            case.boxes[i],
            [case.title(i)],
            color=_COLORS[roles[i]],
            style="dashed" if gone else "solid",
            fill=0 if gone else 0.12,
            line_width=1.2 if gone else 2,
        )
    return rendered(figure)
