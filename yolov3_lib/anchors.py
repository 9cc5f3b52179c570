"""Anchors: the box shapes that YOLOv3 starts from, and how a shape finds its anchor.

An anchor is a width and a height in pixels of the network's input, with no position. YOLOv3 has nine, found
by k-means on COCO's boxes, three for each of its three scales; a large anchor belongs to a coarse grid.
"""

from collections.abc import Sequence

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
    return torch.where(union > 0, overlap / union.clamp(min=torch.finfo(union.dtype).tiny), 0.0)


def best_anchor(shapes: Tensor, anchors: Tensor | Sequence[Sequence[float]]) -> Tensor:
    """The anchor that fits each shape best, by `shape_iou`.

    Args:
        shapes: (N, 2) widths and heights, in pixels of the network's input.
        anchors: (K, 2) widths and heights, in the same pixels.

    Returns:
        (N,) int64, index of the anchor; of equally good ones the first, as in Darknet.
    """
    anchors = torch.as_tensor(anchors, dtype=shapes.dtype, device=shapes.device)
    return shape_iou(shapes, anchors).argmax(dim=1)
