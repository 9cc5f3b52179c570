r"""YOLOv3's loss, as Darknet computes it, and three others to compare it with.

Every prediction has a logit for objectness, four for its box and one for each class; :func:`yolo_loss` says
how wrong they are. With :math:`\mathrm{BCE}(t, \hat{p}) = -\hat{p} \ln \sigma(t) - (1 - \hat{p}) \ln(1 -
\sigma(t))`, one object of relative size :math:`w \times h` on its cell and anchor costs

.. math::

    (2 - wh)\left[\mathrm{BCE}(t_x, \hat{x}) + \mathrm{BCE}(t_y, \hat{y})
        + \tfrac{1}{2}(t_w - \hat{t}_w)^2 + \tfrac{1}{2}(t_h - \hat{t}_h)^2\right]
        + \mathrm{BCE}(t_o, 1) + \sum_c \mathrm{BCE}(t_c, \hat{p}_c)

and every other prediction costs :math:`\mathrm{BCE}(t_o, 0)`, unless its box overlaps some object of its
image by more than the ignore threshold: it is then neither asked for nor held against the network. Source:
Redmon and Farhadi 2018, section 2.1, and Darknet's ``yolo_layer.c``, whose gradients this reproduces.

No function here changes its inputs or waits for the device, and a batch without objects has a finite loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from yolov3_lib.boxes import ciou, iou
from yolov3_lib.decode import MAX_LOG_SIZE, cell_offsets
from yolov3_lib.targets import ScaleTargets, assign

LossName = Literal["darknet", "ciou", "figure20", "document"]


@dataclass(frozen=True)
class LossParts:
    """A loss and what it is made of, each a scalar tensor: the mean over the batch's images.

    Attributes:
        box: how wrong the responsible predictions' boxes are.
        objectness: how wrong "an object here" is, wherever it's asked.
        classes: how wrong the responsible predictions' classes are.
    """

    box: Tensor
    objectness: Tensor
    classes: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimized."""
        return self.box + self.objectness + self.classes

    def __add__(self, other: "LossParts") -> "LossParts":
        return LossParts(
            self.box + other.box, self.objectness + other.objectness, self.classes + other.classes
        )

    def __truediv__(self, number: float) -> "LossParts":
        return LossParts(self.box / number, self.objectness / number, self.classes / number)


@dataclass(frozen=True)
class LossConfig:
    """Which loss, and its numbers.

    Attributes:
        name: ``"darknet"``, YOLOv3's own; ``"ciou"``, the same with 1 − CIoU for the box; ``"figure20"``,
            the formula that the document gives as YOLOv3's (YOLOv1's squares of x, y, √w and √h, signs and
            λ's put right); ``"document"``, the code of its section 5.2 with its mistakes mended.
        ignore_threshold: predictions that overlap an object by a larger IoU don't count as background
            ("darknet" and "ciou"); .5 in ``yolov3-voc.cfg``, .7 in ``yolov3.cfg``.
        lambda_coord: weight of the box in "figure20"; 5 in Redmon et al. 2016.
        lambda_noobj: weight of background in "figure20"; .5 in Redmon et al. 2016.
        ciou_weight: weight of 1 − CIoU in "ciou".
    """

    name: LossName = "darknet"
    ignore_threshold: float = 0.5
    lambda_coord: float = 5.0
    lambda_noobj: float = 0.5
    ciou_weight: float = 2.0

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, got {self.name!r}")
        if not 0 <= self.ignore_threshold <= 1:
            raise ValueError(f"ignore_threshold: expected a number from 0 to 1, got {self.ignore_threshold}")
        for weight in ("lambda_coord", "lambda_noobj", "ciou_weight"):
            if not getattr(self, weight) >= 0:
                raise ValueError(
                    f"{weight}: expected a number that isn't negative, got {getattr(self, weight)}"
                )


def yolo_loss(
    heads: Sequence[Tensor],
    truths: Tensor,
    anchors: Tensor | Sequence[Sequence[Sequence[float]]],
    strides: Sequence[int],
    config: LossConfig | None = None,
) -> LossParts:
    """How wrong the heads' logits are about the objects of their images.

    Args:
        heads: for each scale (B, A, H, W, 5 + C) logits: t_x, t_y, t_w, t_h, objectness, classes.
        truths: (M, 6): image, x, y, w, h (center format, relative to the network's input), class. A row
            with w = 0 is padding. The order within an image matters where objects meet in one cell: the
            last owns the box.
        anchors: (S, A, 2) widths and heights in pixels of the network's input, coarse scale first.
        strides: pixels to a cell's side, for each scale.
        config: which loss; Darknet's by default.

    Returns:
        The parts, float32 whatever the heads' precision, summed over the scales. "darknet", "ciou" and
        "figure20" are means over the batch's images of sums over an image's predictions; "document"
        averages each term over the predictions that it concerns, whichever image they are in.

    Raises:
        ValueError: heads, anchors, strides or truths don't fit together.
    """
    config = config or LossConfig()
    net_size = _net_size(heads, anchors, strides)
    num_classes = heads[0].shape[-1] - 5
    anchors = torch.as_tensor(anchors, dtype=torch.float32, device=heads[0].device)
    # Half precision can't hold a sum over ten thousand predictions, nor a logarithm's small differences.
    with torch.autocast(heads[0].device.type, enabled=False):
        grids = [(head.shape[2], head.shape[3]) for head in heads]
        targets = assign(truths, anchors, grids, net_size, num_classes)
        scales = [
            LOSSES[config.name](head.float(), target, shapes, stride, config)
            for head, target, shapes, stride in zip(heads, targets, anchors, strides, strict=True)
        ]
    return sum(scales[1:], start=scales[0])


def ignored(head: Tensor, targets: ScaleTargets, anchors: Tensor, stride: int, threshold: float) -> Tensor:
    """Predictions whose box overlaps some object of their image by more than ``threshold``, of any class or
    scale.

    Args:
        head: (B, A, H, W, 5 + C) logits.
        targets: the scale's targets.
        anchors: (A, 2) widths and heights in pixels of the network's input.
        stride: pixels to a cell's side.
        threshold: of the IoU.

    Returns:
        (B, A, H, W) bool.
    """
    x1, y1, x2, y2 = (edge.flatten(1) for edge in _edges(head.detach(), anchors, stride))
    area = (x2 - x1) * (y2 - y1)
    hits = torch.zeros_like(area)
    # A few objects at a time: what they are compared with stays in the processor's cache.
    at_once = 16 if head.device.type == "cpu" else 1024
    for boxes, image in zip(targets.box.split(at_once), targets.image.split(at_once), strict=True):
        left, top, right, bottom = (edge[:, None] for edge in boxes.unbind(dim=1))
        width = (torch.minimum(x2[image], right) - torch.maximum(x1[image], left)).clamp_(min=0)
        height = (torch.minimum(y2[image], bottom) - torch.maximum(y1[image], top)).clamp_(min=0)
        overlap = width.mul_(height)
        union = area[image] + (right - left) * (bottom - top) - overlap
        hits.index_add_(0, image, (overlap > threshold * union).to(hits.dtype))
    return (hits > 0).view(head.shape[:4])


def _darknet(
    head: Tensor, targets: ScaleTargets, anchors: Tensor, stride: int, config: LossConfig
) -> LossParts:
    logits, objectness = _Pick.apply(head, *targets.cell)
    responsible = targets.responsible.float()
    # A pixel's error matters more on a small object.
    weight = responsible * (2 - targets.relative_area)
    center = _bce(logits[:, 0:2], targets.offset).sum(dim=1)
    size = (logits[:, 2:4] - targets.log_size).square().sum(dim=1) / 2
    return LossParts(
        box=(weight * (center + size)).sum(),
        objectness=_objectness(objectness, head, targets, anchors, stride, config),
        classes=(responsible * _bce(logits[:, 5:], targets.classes).sum(dim=1)).sum(),
    ) / len(head)


def _ciou(head: Tensor, targets: ScaleTargets, anchors: Tensor, stride: int, config: LossConfig) -> LossParts:
    logits, objectness = _Pick.apply(head, *targets.cell)
    responsible = targets.responsible.float()
    weight = config.ciou_weight * responsible * (2 - targets.relative_area)
    predicted = _boxes_at(logits, targets, anchors, stride)
    # Padding has no box; its place is taken by the prediction itself, whose loss is 0 and finite.
    truth = torch.where(targets.responsible[:, None], targets.box, predicted.detach())
    return LossParts(
        box=(weight * (1 - ciou(predicted, truth))).sum(),
        objectness=_objectness(objectness, head, targets, anchors, stride, config),
        classes=(responsible * _bce(logits[:, 5:], targets.classes).sum(dim=1)).sum(),
    ) / len(head)


def _figure20(
    head: Tensor, targets: ScaleTargets, anchors: Tensor, stride: int, config: LossConfig
) -> LossParts:
    logits, objectness = _Pick.apply(head, *targets.cell)
    responsible = targets.responsible.float()
    net = head.new_tensor((head.shape[3], head.shape[2])) * stride
    # √(p·eᵗ) as √p·eᵗᐟ²: where eᵗ rounds to 0, a root has an infinite slope.
    root_size = (logits[:, 2:4].clamp(max=MAX_LOG_SIZE) / 2).exp() * (anchors[targets.anchor] / net).sqrt()
    true_size = (targets.box[:, 2:] - targets.box[:, :2]) / net
    center = (logits[:, 0:2].sigmoid() - targets.offset).square().sum(dim=1)
    root = (root_size - true_size.sqrt()).square().sum(dim=1)
    positive = targets.objectness(*head.shape[:4])
    weight = torch.where(positive > 0, 1.0, config.lambda_noobj)
    return LossParts(
        box=config.lambda_coord * (responsible * (center + root)).sum(),
        objectness=(weight * _bce(objectness, positive)).sum(),
        classes=(responsible * _bce(logits[:, 5:], targets.classes).sum(dim=1)).sum(),
    ) / len(head)


def _document(
    head: Tensor, targets: ScaleTargets, anchors: Tensor, stride: int, config: LossConfig
) -> LossParts:
    logits, objectness = _Pick.apply(head, *targets.cell)
    responsible = targets.responsible.float()
    # At least one: the mean over no object at all is 0, not NaN.
    count = responsible.sum().clamp(min=1)
    with torch.no_grad():
        overlap = iou(_boxes_at(logits, targets, anchors, stride), targets.box)
    objects = (logits[:, 4].sigmoid() - overlap).square()
    positive = targets.objectness(*head.shape[:4])
    empty = 1 - positive
    background = (empty * _bce(objectness, positive)).sum() / empty.sum().clamp(min=1)
    center = (logits[:, 0:2].sigmoid() - targets.offset).square().sum(dim=1)
    size = (logits[:, 2:4] - targets.log_size).square().sum(dim=1)
    # A softmax's probabilities add up to 1: where objects of two classes share a cell, these share it.
    own = targets.classes / targets.classes.sum(dim=1, keepdim=True).clamp(min=1)
    return LossParts(
        box=(responsible * (center + size)).sum() / (4 * count),
        objectness=(responsible * objects).sum() / count + background,
        classes=(responsible * F.cross_entropy(logits[:, 5:], own, reduction="none")).sum() / count,
    )


LOSSES: dict[str, Callable[[Tensor, ScaleTargets, Tensor, int, LossConfig], LossParts]] = {
    "darknet": _darknet,
    "ciou": _ciou,
    "figure20": _figure20,
    "document": _document,
}


class _Pick(torch.autograd.Function):
    """The logits in the objects' cells, (M, 5 + C), and every prediction's objectness, (B, A, H, W).

    What ``head[targets.cell]`` and ``head[..., 4]`` give. Autograd would answer each of the two with a
    gradient as large as the head, almost all zeros, and add them; here they share one. That is half of the
    loss's time.
    """

    @staticmethod
    def forward(ctx, head: Tensor, *cell: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(head, *cell)
        return head[cell], head[..., 4].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, at_objects: Tensor, objectness: Tensor) -> tuple[Tensor | None, ...]:
        head, *cell = ctx.saved_tensors
        gradient = torch.zeros_like(head)
        gradient[..., 4] = objectness
        gradient.index_put_(tuple(cell), at_objects, accumulate=True)
        return gradient, None, None, None, None


def _objectness(
    objectness: Tensor,
    head: Tensor,
    targets: ScaleTargets,
    anchors: Tensor,
    stride: int,
    config: LossConfig,
) -> Tensor:
    """Sum of the objectness terms: a responsible prediction is asked even where it would be ignored."""
    positive = targets.objectness(*head.shape[:4])
    counts = positive.bool() | ~ignored(head, targets, anchors, stride, config.ignore_threshold)
    return F.binary_cross_entropy_with_logits(objectness, positive, counts.float(), reduction="sum")


def _bce(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def _edges(head: Tensor, anchors: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x1, y1, x2, y2 of every prediction's box, each (B, A, H, W), in pixels of the network's input."""
    column, row = cell_offsets(head.shape[2], head.shape[3], head.device).unbind(dim=-1)
    half = anchors[:, :, None, None] / 2
    x = (head[..., 0].sigmoid() + column) * stride
    y = (head[..., 1].sigmoid() + row) * stride
    half_width = head[..., 2].clamp(max=MAX_LOG_SIZE).exp() * half[:, 0]
    half_height = head[..., 3].clamp(max=MAX_LOG_SIZE).exp() * half[:, 1]
    return x - half_width, y - half_height, x + half_width, y + half_height


def _boxes_at(logits: Tensor, targets: ScaleTargets, anchors: Tensor, stride: int) -> Tensor:
    """(M, 4) xyxy in pixels of the network's input: the boxes predicted in the objects' cells."""
    corner = torch.stack((targets.column, targets.row), dim=1)
    center = (logits[:, 0:2].sigmoid() + corner) * stride
    half = logits[:, 2:4].clamp(max=MAX_LOG_SIZE).exp() * anchors[targets.anchor] / 2
    return torch.cat((center - half, center + half), dim=1)


def _net_size(
    heads: Sequence[Tensor], anchors: Tensor | Sequence[Sequence[Sequence[float]]], strides: Sequence[int]
) -> tuple[int, int]:
    """(width, height) of the network's input, the same by every scale."""
    if not len(heads) == len(anchors) == len(strides) > 0:
        raise ValueError(f"got {len(heads)} heads, {len(anchors)} sets of anchors and {len(strides)} strides")
    sizes = set()
    for number, (head, shapes, stride) in enumerate(zip(heads, anchors, strides, strict=True)):
        if head.ndim != 5 or head.shape[1] != len(shapes) or head.shape[4] < 6:
            raise ValueError(
                f"heads[{number}]: expected (B, {len(shapes)}, H, W, 5 + C), C > 0, got {tuple(head.shape)}"
            )
        sizes.add((head.shape[3] * stride, head.shape[2] * stride))
    if len(sizes) > 1 or len({(head.shape[0], head.shape[4]) for head in heads}) > 1:
        raise ValueError(
            "heads: the scales belong to different inputs or classes: "
            + ", ".join(
                f"{tuple(head.shape)} at stride {stride}" for head, stride in zip(heads, strides, strict=True)
            )
        )
    return sizes.pop()
