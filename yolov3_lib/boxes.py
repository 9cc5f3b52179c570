"""Boxes: formats, overlap measures, and the letterbox that takes them from image to network and back.

A box is four numbers. Unless a name says otherwise they are ``xyxy``: the left, top, right and bottom
**edges** in continuous coordinates, with x1 ≤ x2 and y1 ≤ y2. A pixel is one unit wide, so a box from 10 to
10 is empty. Leading dimensions are free; the last one has length 4.

The measures compute in float32 or float64: integers and half-precision numbers are converted first. They are
finite, and so are their gradients, for all valid boxes: apart, touching, nested, identical or without area.
`validate` tells whether boxes are valid; the measures don't look, because on a GPU that would mean to wait.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from numbers import Integral

import torch
from torch import Tensor

FORMATS = ("xyxy", "cxcywh", "xywh")


def convert(boxes: Tensor, source: str, target: str) -> Tensor:
    """Boxes in another format.

    Args:
        boxes: (..., 4) numbers in the format ``source``, in any unit.
        source: ``"xyxy"`` (two corners), ``"cxcywh"`` (center, width, height) or ``"xywh"`` (top-left corner,
            width, height).
        target: one of the same three.

    Returns:
        (..., 4) in the format ``target`` and the same unit. Integers become floating-point numbers, because a
        center may lie between two of them.

    Raises:
        ValueError: for an unknown format, or a last dimension that isn't 4.
    """
    for name in (source, target):
        if name not in FORMATS:
            raise ValueError(f"unknown box format {name!r}: choose from {', '.join(FORMATS)}")
    boxes = _floating(boxes, keep_half=True)
    if source == target:
        return boxes

    first, second = boxes[..., :2], boxes[..., 2:]
    if source == "xyxy":
        top_left, bottom_right = first, second
    elif source == "xywh":
        top_left, bottom_right = first, first + second
    else:
        top_left, bottom_right = first - second / 2, first + second / 2

    if target == "xyxy":
        return torch.cat([top_left, bottom_right], dim=-1)
    size = bottom_right - top_left
    return torch.cat([top_left if target == "xywh" else top_left + size / 2, size], dim=-1)


def area(boxes: Tensor) -> Tensor:
    """Width × height of ``xyxy`` boxes: (..., 4) → (...), in squared units."""
    return _area(_floating(boxes))


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Area that two ``xyxy`` boxes share, 0 where they are apart: (..., 4) × (..., 4) → (...), broadcast."""
    return _intersection(*_common_dtype(a, b))


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union (the Jaccard index), element by element.

    Args:
        a: (..., 4) boxes, ``xyxy``, in any unit.
        b: boxes of the same kind; the leading dimensions broadcast. `pairwise` compares all with all.

    Returns:
        (...) in [0, 1]. The IoU with a box of zero area is 0, even that of two identical ones.

    Raises:
        ValueError: if a last dimension isn't 4.
        TypeError: for numbers that are neither floating-point nor integer.
    """
    return _overlap_and_union(*comparable(a, b))[0]


def giou(a: Tensor, b: Tensor) -> Tensor:
    r"""Generalized IoU, which still tells how far apart two boxes are when their IoU is 0.

    .. math:: \mathrm{GIoU} = \mathrm{IoU} - \frac{|C| - |A \cup B|}{|C|},\quad C = \text{enclosing box}

    Shapes, units and errors are those of `iou`. The value is in [−1, 1] and at most the IoU. Where the
    enclosing box has no area, the fraction counts as 0.

    Source: Rezatofighi et al., *Generalized Intersection over Union*, CVPR 2019, Algorithm 1.
    """
    a, b = comparable(a, b)
    overlap, union = _overlap_and_union(a, b)
    width, height = _enclosing_size(a, b)
    enclosing_area = width * height
    return overlap - _ratio(enclosing_area - union, enclosing_area)


def diou(a: Tensor, b: Tensor) -> Tensor:
    r"""Distance IoU: IoU minus the squared distance of the centers, relative to the enclosing box's diagonal.

    .. math:: \mathrm{DIoU} = \mathrm{IoU} - \rho^2 / c^2

    Shapes, units and errors are those of `iou`. The value is in (−1, 1] and at most the IoU. Where both
    boxes are one and the same point, the fraction counts as 0.

    Source: Zheng et al., *Distance-IoU Loss*, AAAI 2020, eq. 6 and 7 (one minus the loss).
    """
    a, b = comparable(a, b)
    return _overlap_and_union(a, b)[0] - _center_distance(a, b)


def ciou(a: Tensor, b: Tensor) -> Tensor:
    r"""Complete IoU: DIoU minus a term for different aspect ratios.

    .. math::

        \mathrm{CIoU} = \mathrm{DIoU} - \alpha v,\quad
        v = \frac{4}{\pi^2}\Bigl(\arctan\frac{w_b}{h_b} - \arctan\frac{w_a}{h_a}\Bigr)^2,\quad
        \alpha = \frac{v}{(1 - \mathrm{IoU}) + v}

    Shapes, units and errors are those of `iou`. The value is in (−2, 1] and at most the DIoU. No gradient
    flows through α, a weight. A box without height has the angle π/2, a point the angle 0.

    Source: Zheng et al., *Distance-IoU Loss*, AAAI 2020, eq. 8 to 11.
    """
    a, b = comparable(a, b)
    overlap, _ = _overlap_and_union(a, b)
    v = 4 / pi**2 * (_aspect_angle(b) - _aspect_angle(a)) ** 2
    with torch.no_grad():
        alpha = _ratio(v, 1 - overlap + v)
    return overlap - _center_distance(a, b) - alpha * v


def pairwise(a: Tensor, b: Tensor, measure: Callable[[Tensor, Tensor], Tensor] = iou) -> Tensor:
    """A measure of every box of ``a`` with every box of ``b``: (..., N, 4) × (..., M, 4) → (..., N, M)."""
    return measure(a.unsqueeze(-2), b.unsqueeze(-3))


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """`iou` of every box of ``a`` with every box of ``b``: (..., N, 4) × (..., M, 4) → (..., N, M)."""
    return pairwise(a, b, iou)


def clip(boxes: Tensor, size: tuple[float, float]) -> Tensor:
    """The part of each box inside an image: ``xyxy`` (..., 4), ``size`` = (width, height) in the boxes' unit.

    A box wholly outside becomes a box of zero area on the border.
    """
    _require_four(boxes)
    width, height = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack(
        [x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], dim=-1
    )


def validate(boxes: Tensor, name: str = "boxes") -> None:
    """Check that ``xyxy`` boxes (..., 4) are finite, with x1 ≤ x2 and y1 ≤ y2. On a GPU this waits for it.

    Raises:
        ValueError: naming the first bad box, such as ``boxes[3]: x2 (10.0) < x1 (20.0)``.
        TypeError: for numbers that are neither floating-point nor integer.
    """
    x1, y1, x2, y2 = _floating(boxes, name, keep_half=True).unbind(-1)
    # A comparison with NaN is False, so that asking for what is right finds NaN too.
    good = (x1 <= x2) & (y1 <= y2) & boxes.isfinite().all(-1)
    if good.all():
        return
    index = (~good).nonzero()[0].tolist()
    box = boxes[tuple(index)].tolist()
    place = f"{name}{index}" if index else name
    for value, coordinate in zip(box, ("x1", "y1", "x2", "y2"), strict=True):
        if not -float("inf") < value < float("inf"):
            raise ValueError(f"{place}: {coordinate} is {value}")
    axis = 0 if box[2] < box[0] else 1
    low, high = ("x1", "x2") if axis == 0 else ("y1", "y2")
    raise ValueError(f"{place}: {high} ({box[axis + 2]}) < {low} ({box[axis]})")


@dataclass(frozen=True)
class Letterbox:
    """How an image of any shape is fitted into the network's input without being stretched.

    The image is scaled until one side fills the input, and laid in the middle of it; the rest is gray bars.
    The new size is rounded down by Darknet's integer arithmetic (``letterbox_image``), so that the two axes
    may be scaled by slightly different factors: `apply` and `invert` scale each by its own.

    Where the bars are an odd number of pixels, Darknet's own functions differ by half a pixel: pixels are
    pasted at the integer `paste_offset`, boxes are taken back by the fractional `box_offset`. We do the
    same, since its weights and published numbers came about that way.

    Attributes:
        image_size: (width, height) of the image, in pixels.
        net_size: (width, height) of the network's input, in pixels.
        new_size: (width, height) of the scaled image, in pixels of the network's input.
    """

    image_size: tuple[int, int]
    net_size: tuple[int, int]
    new_size: tuple[int, int]

    @classmethod
    def fit(cls, image_size: tuple[int, int], net_size: int | tuple[int, int]) -> "Letterbox":
        """The letterbox of an image of ``image_size`` = (width, height) in a network of ``net_size`` pixels.

        Raises:
            ValueError: if a side is less than 1 pixel.
        """
        width, height = (int(side) for side in image_size)
        net_width, net_height = (net_size, net_size) if isinstance(net_size, Integral) else net_size
        for name, size in (("image_size", (width, height)), ("net_size", (net_width, net_height))):
            if min(size) < 1:
                raise ValueError(f"{name} {size}: both sides must be at least 1 pixel")
        # Whole numbers on both sides: net_width / width < net_height / height, without rounding.
        if net_width * height < net_height * width:
            new_size = (net_width, max(1, height * net_width // width))
        else:
            new_size = (max(1, width * net_height // height), net_height)
        return cls((width, height), (int(net_width), int(net_height)), new_size)

    @property
    def paste_offset(self) -> tuple[int, int]:
        """(left, top), in whole pixels, where the scaled image lies in the network's input."""
        return (self.net_size[0] - self.new_size[0]) // 2, (self.net_size[1] - self.new_size[1]) // 2

    @property
    def box_offset(self) -> tuple[float, float]:
        """(left, top) that boxes are shifted by; half a pixel past `paste_offset` where the bars are odd."""
        return (self.net_size[0] - self.new_size[0]) / 2, (self.net_size[1] - self.new_size[1]) / 2

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y) factors from image pixels to network pixels."""
        return self.new_size[0] / self.image_size[0], self.new_size[1] / self.image_size[1]

    def apply(self, boxes: Tensor) -> Tensor:
        """``xyxy`` boxes (..., 4) in pixels of the image → pixels of the network's input."""
        (scale_x, scale_y), (left, top) = self.scale, self.box_offset
        x1, y1, x2, y2 = _floating(boxes, keep_half=True).unbind(-1)
        return torch.stack(
            [x1 * scale_x + left, y1 * scale_y + top, x2 * scale_x + left, y2 * scale_y + top], -1
        )

    def invert(self, boxes: Tensor) -> Tensor:
        """``xyxy`` boxes (..., 4) in pixels of the network's input → pixels of the image. Doesn't clip."""
        (scale_x, scale_y), (left, top) = self.scale, self.box_offset
        x1, y1, x2, y2 = _floating(boxes, keep_half=True).unbind(-1)
        return torch.stack(
            [(x1 - left) / scale_x, (y1 - top) / scale_y, (x2 - left) / scale_x, (y2 - top) / scale_y], -1
        )


def comparable(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two sets of ``xyxy`` boxes as the measures need them: in float32 or float64, and of tame size.

    Beyond 2⁶⁰ (float32) a product of two lengths would overflow to ∞, and a ratio of areas be NaN. Where any
    coordinate is that large, all are scaled down by one power of two, which changes no digit and no ratio.
    """
    a, b = _common_dtype(a, b)
    largest = [boxes.detach().abs().amax() for boxes in (a, b) if boxes.numel()]
    if not largest:
        return a, b
    exponent = torch.frexp(torch.stack(largest).amax()).exponent
    limit = 60 if a.dtype == torch.float32 else 508
    scale = torch.exp2((limit - exponent).clamp(max=0).to(a.dtype))
    return a * scale, b * scale


def _edges(boxes: Tensor) -> tuple[Tensor, ...]:
    """x1, y1, x2, y2, each in one piece: a CPU reads that several times faster than every fourth number."""
    return boxes.movedim(-1, 0).contiguous().unbind(0)


def _area(boxes: Tensor) -> Tensor:
    x1, y1, x2, y2 = _edges(boxes)
    return (x2 - x1) * (y2 - y1)


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    ax1, ay1, ax2, ay2 = _edges(a)
    bx1, by1, bx2, by2 = _edges(b)
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    return width * height


def _overlap_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The IoU, and the area of the union that it was divided by."""
    shared = _intersection(a, b)
    union = _area(a) + _area(b) - shared
    return _ratio(shared, union), union


def _enclosing_size(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height of the smallest box that holds both."""
    ax1, ay1, ax2, ay2 = _edges(a)
    bx1, by1, bx2, by2 = _edges(b)
    width = torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)
    height = torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    return width, height


def _center_distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of the centers over the squared diagonal of the enclosing box."""
    width, height = _enclosing_size(a, b)
    ax1, ay1, ax2, ay2 = _edges(a)
    bx1, by1, bx2, by2 = _edges(b)
    dx = (ax1 + ax2) / 2 - (bx1 + bx2) / 2
    dy = (ay1 + ay2) / 2 - (by1 + by2) / 2
    return _ratio(dx**2 + dy**2, width**2 + height**2)


def _aspect_angle(boxes: Tensor) -> Tensor:
    """arctan(width / height), with a finite gradient also where both are 0."""
    x1, y1, x2, y2 = _edges(boxes)
    width, height = x2 - x1, y2 - y1
    # The angle depends on the ratio alone. Dividing both by the longer side keeps the sum of their squares,
    # which the gradient divides by, between 1 and 2.
    longer = torch.maximum(width, height).detach()
    point = longer < torch.finfo(longer.dtype).tiny
    longer = longer.masked_fill(point, 1)
    return torch.atan2((width / longer).masked_fill(point, 0), (height / longer).masked_fill(point, 1))


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and 0 with zero gradient where the denominator is 0, or too small a number."""
    # Replacing the result alone would leave 0 · ∞ = NaN in the gradient: the division must be harmless.
    empty = (denominator < torch.finfo(denominator.dtype).tiny).to(denominator.dtype)
    return numerator * (1 - empty) / (denominator + empty)


def _require_four(boxes: Tensor, name: str = "boxes") -> None:
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise ValueError(f"{name} has shape {tuple(boxes.shape)}: the last dimension must be 4")


def _floating(boxes: Tensor, name: str = "boxes", keep_half: bool = False) -> Tensor:
    """The boxes in float32 or float64 (or, with ``keep_half``, in the 16-bit format that they have)."""
    _require_four(boxes, name)
    if boxes.is_complex() or boxes.dtype == torch.bool:
        raise TypeError(f"{name} has dtype {boxes.dtype}: expected floating-point or integer numbers")
    if not boxes.is_floating_point():
        return boxes.to(torch.get_default_dtype())
    return boxes if keep_half or boxes.dtype == torch.float64 else boxes.float()


def _common_dtype(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _floating(a, "a"), _floating(b, "b")
    dtype = torch.promote_types(a.dtype, b.dtype)
    return a.to(dtype), b.to(dtype)
