r"""From the network's numbers to boxes: grid cells, anchors, sigmoids (Redmon and Farhadi 2018, section 2.1).

On a scale of stride :math:`s`, the cell in column :math:`c_x` and row :math:`c_y` with an anchor of
:math:`p_w \times p_h` pixels predicts logits :math:`t_x, t_y, t_w, t_h, t_o`, and one per class. They mean
(their figure 2)

.. math::

    b_x = s\,(\sigma(t_x) + c_x), \quad b_y = s\,(\sigma(t_y) + c_y), \quad
    b_w = p_w e^{t_w}, \quad b_h = p_h e^{t_h}

a center, a width and a height in pixels of the network's input; :math:`\sigma(t_o)` is the objectness and
:math:`\sigma` of a class logit that class's probability, given an object. The sigmoid keeps a box's center
inside the cell that predicts it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

MAX_LOG_SIZE = 16.0
"""Bound on t_w and t_h: nine million times the anchor is wider than any image, yet the area stays finite."""


def cell_offsets(
    rows: int, columns: int, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The upper left corner of every grid cell, in cells.

    Returns:
        (rows, columns, 2): ``[row, column]`` holds (c_x, c_y) = (column, row).
    """
    c_y, c_x = torch.meshgrid(
        torch.arange(rows, device=device, dtype=dtype),
        torch.arange(columns, device=device, dtype=dtype),
        indexing="ij",
    )
    return torch.stack((c_x, c_y), dim=-1)


def decode_scale(head: Tensor, anchors: Tensor | Sequence[Sequence[float]], stride: int) -> Tensor:
    """One scale's logits as boxes and probabilities.

    Args:
        head: (B, A, H, W, 5 + C) logits: t_x, t_y, t_w, t_h, objectness, classes.
        anchors: (A, 2) widths and heights, in pixels of the network's input.
        stride: pixels to a cell's side.

    Returns:
        (B, H·W·A, 5 + C), ordered by row, column, anchor: x1, y1, x2, y2 in pixels of the network's input,
        then objectness and class probabilities. At least float32, whatever the head's precision.
    """
    batch, num_anchors, rows, columns, values = head.shape
    logits = head.permute(0, 2, 3, 1, 4)
    # e^t overflows half precision at t = 11, and eleven bits don't hold a pixel of a 608-pixel image.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    anchors = torch.as_tensor(anchors, dtype=logits.dtype, device=logits.device)
    if anchors.shape != (num_anchors, 2):
        raise ValueError(
            f"anchors: expected shape ({num_anchors}, 2) for this head, got {tuple(anchors.shape)}"
        )
    offsets = cell_offsets(rows, columns, device=logits.device, dtype=logits.dtype)

    centers = (logits[..., 0:2].sigmoid() + offsets[:, :, None]) * stride
    sizes = logits[..., 2:4].clamp(max=MAX_LOG_SIZE).exp() * anchors
    probabilities = logits[..., 4:].sigmoid()
    decoded = torch.cat((centers - sizes / 2, centers + sizes / 2, probabilities), dim=-1)
    return decoded.reshape(batch, rows * columns * num_anchors, values)


def decode(
    heads: Sequence[Tensor],
    anchors: Tensor | Sequence[Sequence[Sequence[float]]],
    strides: Sequence[int],
) -> Tensor:
    """All scales' logits as one list of predictions per image.

    Args:
        heads: one (B, A, H_s, W_s, 5 + C) tensor of logits per scale.
        anchors: (S, A, 2) widths and heights, in pixels of the network's input.
        strides: S strides, in pixels.

    Returns:
        (B, N, 5 + C) with N = Σ A·H_s·W_s, ordered by scale, row, column, anchor: Darknet's order.
        The values are those of `decode_scale`.

    Raises:
        ValueError: the numbers of heads, anchor sets and strides differ.
    """
    if not len(heads) == len(anchors) == len(strides):
        raise ValueError(f"got {len(heads)} heads, {len(anchors)} sets of anchors and {len(strides)} strides")
    scales = zip(heads, anchors, strides, strict=True)
    return torch.cat([decode_scale(head, shapes, stride) for head, shapes, stride in scales], dim=1)
