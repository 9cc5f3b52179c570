"""What the augmentation explorer computes: where an image and its boxes come to lie; the twin of augment.js.

The rule is that of `yolov3_lib.data.augment.Placement`, with the random numbers set by hand. Placement also
rounds the edges of a cropped image to its whole pixels, which may move a box by less than a pixel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from yolov3_lib.anchors import YOLOV3_ANCHORS
from yolov3_lib.widgets.base import fixed, number

SIDE = 416
STRIDES = (8, 16, 32)
# Fine scale first, as Darknet counts them: of two that fit equally well the finer one wins.
ANCHORS = tuple(anchor for scale in reversed(YOLOV3_ANCHORS) for anchor in scale)
SMALLEST = 2  # pixels of the input, as AugmentConfig.min_side

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Settings:
    """What a reader sets.

    Attributes:
        aspect: factor on the image's ratio of width to height.
        size: factor on the size that fills the input.
        x, y: where it lies, from 0 (left, top) to 1, of the room that it leaves or that it exceeds.
        flip: whether the input is mirrored.
        hue: shift in parts of the color circle.
        saturation, exposure: factors.
        visible: the least part of a box that must be left.
    """

    aspect: float = 1.0
    size: float = 1.0
    x: float = 0.5
    y: float = 0.5
    flip: bool = False
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    visible: float = 0.2


RANGES: dict[str, tuple[str, float, float, float]] = {
    "aspect": ("aspect ratio ×", 0.54, 1.86, 0.02),
    "size": ("size ×", 0.5, 1.8, 0.02),
    "x": ("place, left to right", 0, 1, 0.02),
    "y": ("place, top to bottom", 0, 1, 0.02),
    "hue": ("hue +", -0.1, 0.1, 0.01),
    "saturation": ("saturation ×", 0.66, 1.5, 0.02),
    "exposure": ("exposure ×", 0.66, 1.5, 0.02),
    "visible": ("least visible part", 0, 0.9, 0.05),
}
"""Each slider's label, least and most value, and step. A jitter of .3 reaches the first one's ends."""

CASES: dict[str, Settings] = {
    "Letterbox": Settings(),
    "Narrow": Settings(aspect=0.62, x=0.2),
    "Wide and dark": Settings(aspect=1.4, y=0.9, exposure=0.7),
    "Mirrored": Settings(flip=True, hue=0.06, saturation=1.4),
    "Cropped": Settings(size=1.7, x=0.94, y=0.8),
    "Small": Settings(size=0.5, x=0.9, y=0.1),
}


@dataclass(frozen=True)
class Placed:
    """One object in the input: its whole box, what is seen of it, how much, and whether it stays."""

    whole: Box
    seen: Box
    share: float
    kept: bool


def frame(image_size: Sequence[int], settings: Settings) -> Box:
    """The image's edges in the input, before the mirror; beyond 0 and SIDE where it is cropped."""
    ratio = image_size[0] * settings.aspect / image_size[1]
    side = SIDE * settings.size
    width, height = (side * ratio, side) if ratio < 1 else (side, side / ratio)
    width, height = _nearest(width), _nearest(height)
    left, top = _nearest((SIDE - width) * settings.x), _nearest((SIDE - height) * settings.y)
    return left, top, left + width, top + height


def place(boxes: Sequence[Box], image_size: Sequence[int], settings: Settings) -> list[Placed]:
    """Each object of the image in the input."""
    left, top, right, bottom = frame(image_size, settings)
    scale_x, scale_y = (right - left) / image_size[0], (bottom - top) / image_size[1]
    placed = []
    for x1, y1, x2, y2 in boxes:
        whole = (x1 * scale_x + left, y1 * scale_y + top, x2 * scale_x + left, y2 * scale_y + top)
        if settings.flip:
            whole = (SIDE - whole[2], whole[1], SIDE - whole[0], whole[3])
        seen = tuple(min(max(edge, 0.0), SIDE) for edge in whole)
        width, height = seen[2] - seen[0], seen[3] - seen[1]
        share = width * height / ((whole[2] - whole[0]) * (whole[3] - whole[1]))
        kept = share >= settings.visible - 1e-6 and min(width, height) >= SMALLEST
        placed.append(Placed(whole, seen, share, kept))
    return placed


def readout(placed: Sequence[Placed]) -> dict[str, str]:
    """What the figure says of each object."""
    said = {}
    for index, each in enumerate(placed):
        percent = f"{fixed(100 * each.share, 0)}% left"
        state = "whole" if each.share > 0.999 else f"clipped, {percent}"
        said[f"state-{index}"] = state if each.kept else f"dropped, {percent}"
        said[f"anchor-{index}"] = _anchor(each.seen) if each.kept else "trains nothing"
    return said


def with_steps(settings: Settings) -> Settings:
    """On the sliders' steps and in their ranges."""
    changes = {}
    for name, (_, low, high, step) in RANGES.items():
        steps = math.floor((getattr(settings, name) - low) / step + 0.5)
        changes[name] = round(min(max(low + steps * step, low), high), 4)
    return replace(settings, **changes)


def _anchor(box: Box) -> str:
    width, height = box[2] - box[0], box[3] - box[1]
    overlaps = []
    for w, h in ANCHORS:
        shared = min(w, width) * min(h, height)
        overlaps.append(shared / (w * h + width * height - shared))
    best = overlaps.index(max(overlaps))
    stride = STRIDES[best // 3]
    column, row = (
        min(math.floor((box[axis] + box[axis + 2]) / 2 / stride), SIDE // stride - 1) for axis in (0, 1)
    )
    cells, (w, h) = SIDE // stride, ANCHORS[best]
    return (
        f"{number(width, 0)} × {number(height, 0)} px: anchor {w} × {h}, "
        f"row {row}, column {column} of {cells} × {cells}"
    )


def _nearest(value: float) -> int:
    return math.floor(value + 0.5)
