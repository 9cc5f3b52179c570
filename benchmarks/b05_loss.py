"""Row 5: the loss of 64 images at 416 × 416, and its gradient with respect to the three heads.

The baseline computes the same, with its ignore rule, from dense targets and image by image. The course
document's loss is another, cheaper one (it asks no prediction whether it overlaps an object); it is timed as
it stands, on copies, since it writes into what it is given.
"""

from functools import partial

import torch
from b04_targets import IMAGES, STRIDES, dense
from b06_inference import PEER, peer_module
from harness import Row
from objects import NET_SIZE, NUM_CLASSES, truths_of
from torch import Tensor
from torch.nn import functional as F

from yolov3_lib.anchors import YOLOV3_ANCHORS
from yolov3_lib.loss import LossConfig, yolo_loss

Answer = tuple[Tensor, list[Tensor]]
OTHER = "the document's (another rule)"


def row() -> Row:
    torch.manual_seed(0)
    truths = truths_of(IMAGES)
    anchors = torch.tensor(YOLOV3_ANCHORS, dtype=torch.float32)
    sizes = [NET_SIZE // stride for stride in STRIDES]
    heads = [torch.randn(IMAGES, 3, size, size, 5 + NUM_CLASSES) * 0.5 for size in sizes]
    candidates = {
        "ours": partial(ours, heads, truths, anchors),
        "ours, CIoU for the box": partial(ours, heads, truths, anchors, name="ciou"),
        "dense targets, image by image": partial(by_image, heads, truths, anchors),
    }
    if PEER.exists():
        candidates[OTHER] = partial(document, heads, truths, anchors)
    return Row(
        number=5,
        title=f"loss and gradient, {IMAGES} images at {NET_SIZE} × {NET_SIZE}, {len(truths)} objects",
        bar="≤ 80 ms with the exact ignore rule",
        ours="ours",
        candidates=candidates,
        check=check,
    )


def ours(heads: list[Tensor], truths: Tensor, anchors: Tensor, name: str = "darknet") -> Answer:
    leaves = [head.detach().requires_grad_() for head in heads]
    loss = yolo_loss(leaves, truths, anchors, STRIDES, LossConfig(name=name)).total
    loss.backward()
    return loss.detach(), [leaf.grad for leaf in leaves]


def by_image(heads: list[Tensor], truths: Tensor, anchors: Tensor) -> Answer:
    leaves = [head.detach().requires_grad_() for head in heads]
    targets = dense(truths, anchors)
    loss = torch.zeros(())
    for image in range(IMAGES):
        objects = truths[truths[:, 0] == image, 1:5] * NET_SIZE
        corners = torch.cat((objects[:, :2] - objects[:, 2:] / 2, objects[:, :2] + objects[:, 2:] / 2), dim=1)
        for leaf, target, shapes, stride in zip(leaves, targets, anchors, STRIDES, strict=True):
            loss = loss + image_loss(leaf[image], target[image], corners, shapes, stride)
    (loss / IMAGES).backward()
    return loss.detach() / IMAGES, [leaf.grad for leaf in leaves]


def image_loss(head: Tensor, target: Tensor, truth: Tensor, shapes: Tensor, stride: int) -> Tensor:
    """One image and scale: (A, H, W, 5 + C) logits and targets, (N, 4) objects' corners in pixels."""
    positive = target[..., 4] == 1
    with torch.no_grad():
        rows, columns = torch.meshgrid(*map(torch.arange, head.shape[1:3]), indexing="ij")
        center = (head[..., :2].sigmoid() + torch.stack((columns, rows), dim=-1)) * stride
        size = head[..., 2:4].exp() * shapes[:, None, None]
        boxes = torch.cat((center - size / 2, center + size / 2), dim=-1).view(-1, 1, 4)
        sides = torch.minimum(boxes[..., 2:], truth[:, 2:]) - torch.maximum(boxes[..., :2], truth[:, :2])
        overlap = sides.clamp(min=0).prod(dim=-1)
        area = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)
        union = area + (truth[:, 2:] - truth[:, :2]).prod(dim=-1) - overlap
        ignored = (overlap > 0.5 * union).any(dim=1).view(positive.shape)
    asked = positive | ~ignored
    bce = partial(F.binary_cross_entropy_with_logits, reduction="sum")
    loss = bce(head[..., 4][asked], target[..., 4][asked])
    logits, wanted = head[positive], target[positive]
    size = wanted[:, 2:4].exp() * shapes[positive.nonzero()[:, 0]] / NET_SIZE
    weight = (2 - size.prod(dim=1))[:, None]
    loss = loss + bce(logits[:, :2], wanted[:, :2], weight.expand(-1, 2))
    loss = loss + (weight * (logits[:, 2:4] - wanted[:, 2:4]).square()).sum() / 2
    return loss + bce(logits[:, 5:], wanted[:, 5:])


def document(heads: list[Tensor], truths: Tensor, anchors: Tensor) -> Answer:
    leaves = [head.detach().requires_grad_() for head in heads]
    # Copied, or its in-place sigmoid would be refused on a leaf. Its columns: objectness, box, classes.
    order = [4, 0, 1, 2, 3, *range(5, 5 + NUM_CLASSES)]
    loss = document_loss([leaf[..., order] for leaf in leaves], truths, anchors)
    loss.backward()
    return loss.detach(), [leaf.grad for leaf in leaves]


def document_loss(heads: list[Tensor], truths: Tensor, anchors: Tensor) -> Tensor:
    """The course document's loss. It takes dense targets: objectness, center, size in cells, class index.

    A scale without objects, whose loss would be NaN, is left out.
    """
    criterion, terms = peer_module().YOLOLoss(), []
    for head, target, shapes, stride in zip(
        heads, dense(truths, anchors, len(heads[0])), anchors, STRIDES, strict=True
    ):
        cells = shapes / stride
        sizes = target[..., 2:4].exp() * cells[:, None, None]
        label = target[..., 5:].argmax(dim=-1, keepdim=True).float()
        wanted = torch.cat((target[..., 4:5], target[..., :2], sizes, label), dim=-1)
        if target[..., 4].any():
            terms.append(criterion(head, wanted, cells))
    return sum(terms)


def check(answers: dict[str, Answer]) -> None:
    loss, gradients = answers["ours"]
    expected, wanted = answers["dense targets, image by image"]
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    for gradient, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-7)
    for name, (value, parts) in answers.items():
        assert torch.isfinite(value), f"{name}: loss {value}"
        assert all(torch.isfinite(part).all() for part in parts), f"{name}: gradient not finite"
