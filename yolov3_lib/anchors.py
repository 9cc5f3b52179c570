"""Anchors: the box shapes that YOLOv3 starts from, and how a shape finds its anchor.

An anchor is a width and a height in pixels of the network's input, with no position. YOLOv3 has nine, found
by k-means on COCO's boxes, three for each of its three scales; a large anchor belongs to a coarse grid.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Anchors = tuple[tuple[tuple[int, int], ...], ...]

YOLOV3_ANCHORS: Anchors = (
    ((116, 90), (156, 198), (373, 326)),  # stride 32
    ((30, 61), (62, 45), (59, 119)),  # stride 16
    ((10, 13), (16, 30), (33, 23)),  # stride 8
)
"""YOLOv3's nine anchors, (width, height) in pixels, by scale, coarse first: those of ``yolov3-voc.cfg``."""

TINY_ANCHORS: Anchors = (
    ((81, 82), (135, 169), (344, 319)),  # stride 32
    ((23, 27), (37, 58), (81, 82)),  # stride 16
)
"""YOLOv3-tiny's anchors, (width, height) in pixels, by scale, coarse first.

Darknet's own ``yolov3-tiny.cfg`` gives the fine scale the mask 0,1,2, that is (10, 14), (23, 27), (37, 58).
The published weights were trained with 1,2,3, which stands here: on 400 photographs of VOC, boxes of the fine
scale overlap objects of their class with a mean IoU of .68; with the other mask, about half as wide, of .30.
"""

_PATIENCE = 10  # rounds of k-means


def shape_iou(shapes: Tensor, others: Tensor) -> Tensor:
    """IoU of every shape with every other, as if their centers lay on one point.

    Only the shapes count, so the overlap is ``min(w, w')·min(h, h')``. This is the measure behind YOLOv3's
    k-means and behind the rule "each object trains the anchor that fits it best"
    (Redmon and Farhadi 2017, "YOLO9000", section 2; 2018, section 2.1).

    Args:
        shapes: (N, 2) widths and heights, in any unit.
        others: (K, 2) widths and heights in the same unit.

    Returns:
        (N, K) in [0, 1]. Two shapes without area have IoU 0.
    """
    overlap = torch.minimum(shapes[:, None], others[None]).prod(dim=-1)
    union = shapes.prod(dim=-1)[:, None] + others.prod(dim=-1)[None] - overlap
    # Divided by 1 where there's no union, since 0/0 would be a NaN in the gradient of the other branch.
    return torch.where(union > 0, overlap / torch.where(union > 0, union, 1), 0.0)


def best_anchor(shapes: Tensor, anchors: Tensor | Sequence[Sequence[float]]) -> Tensor:
    """The anchor that fits each shape best, by `shape_iou`.

    Args:
        shapes: (N, 2) widths and heights, in pixels of the network's input.
        anchors: (K, 2) widths and heights, in the same pixels.

    Returns:
        (N,) int64, index of the anchor; of equally good ones the first, as in Darknet.
    """
    dtype = shapes.dtype if shapes.is_floating_point() else None
    anchors = torch.as_tensor(anchors, dtype=dtype, device=shapes.device)
    return shape_iou(shapes, anchors).argmax(dim=1)


def mean_best_iou(shapes: Tensor, anchors: Tensor | Sequence[Sequence[float]]) -> float:
    """How well anchors fit: each shape's IoU with the anchor that fits it best, on average.

    Args:
        shapes: (N, 2) widths and heights, at least one.
        anchors: (K, 2) widths and heights in the same unit, at least one.

    Returns:
        A number in [0, 1]; YOLO9000's table 1 calls it "Avg IOU".

    Raises:
        ValueError: shapes or anchors that aren't (N, 2), N ≥ 1, of positive finite sides.
    """
    shapes = _sides(shapes, "shapes")
    return shape_iou(shapes, _sides(anchors, "anchors")).amax(dim=1).mean().item()


def kmeans_step(shapes: Tensor, anchors: Tensor) -> Tensor:
    """One round of k-means: each shape joins its `best_anchor`, each anchor becomes the mean of its shapes.

    Args:
        shapes: (N, 2) floating-point widths and heights.
        anchors: (K, 2) widths and heights in the same unit and of the same type.

    Returns:
        (K, 2) the new anchors, in the order of the old. One that no shape chose stays as it was.

    Raises:
        TypeError: shapes and anchors aren't of one floating-point type; a mean of whole numbers isn't one.
    """
    if not shapes.is_floating_point() or shapes.dtype != anchors.dtype:
        raise TypeError(
            f"shapes are {shapes.dtype}, anchors {anchors.dtype}: expected one floating-point type. "
            "Convert both with .double()."
        )
    return _step(shapes, torch.ones_like(shapes[:, 0]), anchors)[0]


def kmeans_anchors(shapes: Tensor, k: int, seed: int = 0, starts: int = 5, max_rounds: int = 200) -> Tensor:
    """Anchors for a data set: k-means on its shapes, with the distance 1 − IoU.

    With Euclidean distance large boxes would make larger errors than small ones, and draw the anchors to them
    (Redmon and Farhadi 2017, "YOLO9000", section 2, "Dimension Clusters"). The mean of a cluster isn't the
    shape of the best IoU with it, so a round may also make things worse: of all rounds of all starts, the
    anchors with the best `mean_best_iou` are returned. The first anchors are shapes of the data, drawn one by
    one in proportion to how badly those before fit (as k-means++ does, by Arthur and Vassilvitskii, 2007).

    Args:
        shapes: (N, 2) widths and heights, in pixels of the network's input or any other unit. Neither their
            order nor their unit changes the result; a shape that comes twice counts twice.
        k: the number of anchors.
        seed: the same seed gives the same anchors.
        starts: how often to begin anew.
        max_rounds: a start ends when it comes to rest, after ten rounds without a better fit, or here.

    Returns:
        (k, 2) float64, by increasing area, as Darknet's cfg files list them.

    Raises:
        ValueError: shapes that aren't (N, 2) of positive finite sides; fewer different ones than k; a number
            out of its range.
    """
    for name, value in (("k", k), ("starts", starts), ("max_rounds", max_rounds)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if seed < 0:
        raise ValueError(f"seed: expected a number ≥ 0, got {seed}")
    different, counts = torch.unique(_sides(shapes, "shapes"), dim=0, return_counts=True)
    if len(different) < k:
        raise ValueError(
            f"{k} anchors need at least {k} different shapes, these have {len(different)}. "
            "Take a smaller k, or more boxes."
        )
    weights = counts.to(different.dtype)
    best, best_fit = different[:k], -1.0
    for start in range(starts):
        anchors = _first_anchors(different, weights, k, np.random.default_rng([seed, start]))
        best_here, best_round = -1.0, 0
        for round_ in range(max_rounds):
            moved, members, fit = _step(different, weights, anchors)
            if fit > best_here:
                best_here, best_round = fit, round_
            if fit > best_fit:
                best, best_fit = anchors, fit
            if torch.equal(moved, anchors) or round_ - best_round >= _PATIENCE:
                break
            anchors = _fill_empty(different, members, moved)
    return best[best.prod(dim=1).argsort(stable=True)]


def _sides(sides: Tensor | Sequence[Sequence[float]], name: str) -> Tensor:
    sides = torch.as_tensor(sides).detach().cpu().to(torch.float64)
    if sides.ndim != 2 or sides.shape[1] != 2 or not len(sides):
        raise ValueError(
            f"{name}: expected (N, 2), a width and a height each, N ≥ 1; got {tuple(sides.shape)}"
        )
    for index in (~(sides.isfinite() & (sides > 0)).all(dim=1)).nonzero().flatten().tolist():
        raise ValueError(
            f"{name}[{index}]: width {sides[index, 0]:g}, height {sides[index, 1]:g}; both must be finite "
            "and above 0. Leave out boxes without area."
        )
    return sides


def _step(shapes: Tensor, weights: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, float]:
    """The means of the shapes that chose each anchor, how many these are, the mean IoU before the move."""
    overlap, chosen = shape_iou(shapes, anchors).max(dim=1)
    members = torch.zeros(len(anchors), dtype=shapes.dtype).index_add_(0, chosen, weights)
    sums = torch.zeros_like(anchors).index_add_(0, chosen, shapes * weights[:, None])
    moved = torch.where(members[:, None] > 0, sums / members[:, None].clamp(min=1), anchors)
    return moved, members, ((overlap * weights).sum() / weights.sum()).item()


def _first_anchors(shapes: Tensor, weights: Tensor, k: int, rng: np.random.Generator) -> Tensor:
    """(k, 2) different shapes of the data."""
    chances = weights.clone()
    indices: list[int] = []
    for _ in range(k):
        if not chances.sum() > 0:  # what's left differs from the chosen by less than a rounding
            chances = weights.clone()
            chances[indices] = 0
        # By the running sum, since numpy's own choice depends on how its sum rounds.
        running = chances.cumsum(0)
        indices.append(int(torch.searchsorted(running, rng.random() * running[-1], right=True)))
        misfit = 1 - shape_iou(shapes, shapes[indices]).amax(dim=1)
        misfit[indices] = 0
        chances = weights * misfit
    return shapes[indices]


def _fill_empty(shapes: Tensor, members: Tensor, anchors: Tensor) -> Tensor:
    """Anchors without members go where the fit is worst."""
    anchors = anchors.clone()
    for index in (members == 0).nonzero().flatten().tolist():
        anchors[index] = shapes[shape_iou(shapes, anchors).amax(dim=1).argmin()]
    return anchors
