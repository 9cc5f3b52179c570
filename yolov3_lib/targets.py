r"""What the network should have said: each object's cell, anchor and box.

YOLOv3 (Redmon and Farhadi 2018, section 2.1) gives every object to **one** of its nine anchors, the one
whose shape fits best, wherever it lies. That anchor's scale trains on the object, in the cell that holds
the object's center; the other scales learn nothing about its box or class. With an object's center
:math:`(x, y)` and size :math:`(w, h)` relative to the input, a grid of :math:`S` cells a side, an input of
:math:`n` pixels and an anchor of :math:`p_w \times p_h` pixels the targets are

.. math::

    \hat{x} = xS - \lfloor xS \rfloor, \quad \hat{y} = yS - \lfloor yS \rfloor, \quad
    \hat{t}_w = \ln(wn / p_w), \quad \hat{t}_h = \ln(hn / p_h)

the inverse of `yolov3_lib.decode`. The rules for objects that meet in one cell are Darknet's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yolov3_lib.anchors import shape_iou

IMAGE, X, Y, W, H, CLASS = range(6)
"""Columns of a batch's truths: (M, 6), one row an object."""


@dataclass(frozen=True)
class ScaleTargets:
    """What one scale should say about a batch's M objects. A row that isn't responsible means nothing.

    Attributes:
        image: (M,) int64, the object's image in the batch.
        anchor: (M,) int64, its anchor among the scale's A.
        row: (M,) int64, its cell, from the top.
        column: (M,) int64, its cell, from the left.
        responsible: (M,) bool, the scale trains on this object's box. Of several objects on one cell and
            anchor that is the last.
        offset: (M, 2) float32, the center within the cell, x̂ and ŷ, in cells, from 0 to 1.
        log_size: (M, 2) float32, t̂_w and t̂_h, the logarithm of width and height in anchors.
        box: (M, 4) float32, xyxy in pixels of the network's input.
        relative_area: (M,) float32, w·h, the share of the input that the object's box covers.
        classes: (M, C) float32, 1 for the object's class, and for those of the objects on its cell and
            anchor.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    responsible: Tensor
    offset: Tensor
    log_size: Tensor
    box: Tensor
    relative_area: Tensor
    classes: Tensor

    @property
    def cell(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What picks the objects' predictions out of a head: ``head[targets.cell]`` is (M, 5 + C)."""
        return self.image, self.anchor, self.row, self.column

    def objectness(self, batch_size: int, num_anchors: int, rows: int, columns: int) -> Tensor:
        """(B, A, H, W) float32: 1 where a prediction is responsible for an object, 0 elsewhere."""
        target = torch.zeros(batch_size, num_anchors, rows, columns, device=self.box.device)
        # Added, not written: several objects may share a cell, and of two writes to one place either may win.
        return target.index_put_(self.cell, self.responsible.to(target.dtype), accumulate=True)


def assign(
    truths: Tensor,
    anchors: Tensor | Sequence[Sequence[Sequence[float]]],
    grids: Sequence[tuple[int, int]],
    net_size: tuple[int, int],
    num_classes: int,
) -> list[ScaleTargets]:
    """Give each object its anchor, its scale and its cell; all scales and images at once.

    Args:
        truths: (M, 6): image, x, y, w, h (center format, relative to the network's input), class. Rows
            without width or height are padding, and train nothing.
        anchors: (S, A, 2) widths and heights in pixels of the network's input, coarse scale first.
        grids: (rows, columns) of each scale.
        net_size: (width, height) of the network's input in pixels. Anchors stay what they are when it
            changes.
        num_classes: C.

    Returns:
        One `ScaleTargets` for each scale. No value is read back to the host, so that none is checked: images
        count from 0, classes lie below C, centers within the input.

    Raises:
        ValueError: a shape that doesn't fit.

    An anchor shape that two scales share (YOLOv3-tiny's 81 × 82) trains on both, as in Darknet.
    """
    if truths.ndim != 2 or truths.shape[1] != 6:
        raise ValueError(
            f"truths: expected (M, 6), image, x, y, w, h, class of each object; got {tuple(truths.shape)}"
        )
    truths = truths.to(torch.float32)
    anchors = torch.as_tensor(anchors, dtype=torch.float32, device=truths.device)
    if anchors.ndim != 3 or anchors.shape[2] != 2 or len(anchors) != len(grids):
        raise ValueError(
            f"anchors: expected ({len(grids)}, A, 2) for {len(grids)} scales, got {tuple(anchors.shape)}"
        )
    net = truths.new_tensor(net_size)
    image, classes = truths[:, IMAGE].long(), truths[:, CLASS].long()
    centers, sizes = truths[:, X : Y + 1], truths[:, W : H + 1] * net

    best = _best_shapes(sizes, anchors)
    anchor = best.to(torch.uint8).argmax(dim=2)
    here = best.any(dim=2) & (sizes > 0).all(dim=1)
    shapes = anchors.gather(1, anchor[:, :, None].expand(-1, -1, 2))
    # For padding; and after the division, whose result may be rounded to 0 where it is smaller than this.
    log_sizes = (sizes / shapes).clamp(min=torch.finfo(sizes.dtype).tiny).log()

    # Columns before rows, as x comes before y. A center on the input's edge belongs to the last cell.
    grid = truths.new_tensor([(columns, rows) for rows, columns in grids])[:, None]
    cells = torch.minimum((centers * grid).floor(), grid - 1).clamp(min=0)
    column, row = cells.long().unbind(dim=2)
    offsets = centers * grid - cells

    one_hot = (classes[:, None] == torch.arange(num_classes, device=classes.device)).to(torch.float32)
    responsible, united = _meet(image, anchor, row, column, here, one_hot)

    corners = torch.cat((centers * net - sizes / 2, centers * net + sizes / 2), dim=1)
    relative_area = truths[:, W] * truths[:, H]
    return [
        ScaleTargets(
            image, anchor[s], row[s], column[s], responsible[s], offsets[s], log_sizes[s],
            corners, relative_area, united[s],
        )
        for s in range(len(grids))
    ]  # fmt: skip


def pack_truths(boxes: Sequence[Tensor], classes: Sequence[Tensor]) -> Tensor:
    """The objects of a batch's images in one table, as `assign` and the loss take it.

    Args:
        boxes: for each image (N, 4), center format, relative to the network's input.
        classes: for each image (N,) class indices.

    Returns:
        (M, 6) float32: image, x, y, w, h, class.
    """
    rows = [
        torch.cat((torch.full((len(c), 1), float(i)), b.float(), c.float()[:, None]), dim=1)
        for i, (b, c) in enumerate(zip(boxes, classes, strict=True))
    ]
    return torch.cat(rows) if rows else torch.zeros(0, 6)


def _best_shapes(sizes: Tensor, anchors: Tensor) -> Tensor:
    """(S, M, A) bool: whether this anchor has the shape that fits the object best."""
    scales, per_scale, _ = anchors.shape
    # Darknet counts anchors from the fine scale on: of two that fit equally well the finer one wins.
    flat = anchors.flip(0).reshape(-1, 2)
    winner = flat[shape_iou(sizes, flat).argmax(dim=1)]
    mine = (flat[None] == winner[:, None]).all(dim=2)
    return mine.view(-1, scales, per_scale).flip(1).transpose(0, 1)


def _meet(
    image: Tensor, anchor: Tensor, row: Tensor, column: Tensor, here: Tensor, one_hot: Tensor
) -> tuple[Tensor, Tensor]:
    """Where objects meet on one cell and anchor: (S, M) bool, the last of them; (S, M, C), all their classes.

    ``anchor``, ``row``, ``column`` and ``here`` are (S, M), ``image`` (M,), ``one_hot`` (M, C).
    """
    # Each of the four fits in 15 bits, so that one number says where an object is.
    place = ((image << 15 | anchor) << 15 | row) << 15 | column
    # Sorted, those that meet are neighbors. Stable, so that they stay in the order of the image's objects.
    place, order = torch.where(here, place, -1).sort(dim=1, stable=True)
    step = place[:, 1:] != place[:, :-1]
    edge = torch.ones_like(here[:, :1])
    last = torch.cat((step, edge), dim=1)
    group = torch.cat((edge, step), dim=1).cumsum(dim=1) - 1

    back = order.argsort(dim=1)
    responsible = last.gather(1, back) & here
    group = group.gather(1, back)[:, :, None].expand(-1, -1, one_hot.shape[1])
    one_hot = one_hot * here[:, :, None]
    united = torch.zeros_like(one_hot).scatter_add_(1, group, one_hot)
    return responsible, united.gather(1, group).clamp_(max=1)
