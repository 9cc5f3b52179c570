"""Counterexamples, drawn: boxes as a small SVG that reads in light and dark."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from torch import Tensor

# The book's palette (`plots.COLORS`), repeated so that a checker needs no matplotlib.
A, B, KEPT, SUPPRESSED = "#0072B2", "#D55E00", "#009E73", "#7A7A7A"
INK, PAPER = "#1A1A1A", "#FFFFFF"
SIDE, MARGIN, LETTER = 200, 22, 7.5


class Shape(NamedTuple):
    """A box to draw: xyxy in the case's own unit, its label, its color, and whether its edge is dashed."""

    box: Sequence[float]
    label: str
    color: str
    dashed: bool = False


def draw(shapes: Iterable[Shape]) -> str:
    """An SVG of the boxes, x to the right and y down, the same scale on both axes; empty without boxes."""
    shapes = list(shapes)
    if not shapes:
        return ""
    left, top = (min(shape.box[axis] for shape in shapes) for axis in (0, 1))
    right, bottom = (max(shape.box[axis + 2] for shape in shapes) for axis in (0, 1))
    scale = SIDE / (max(right - left, bottom - top) or 1)

    drawn, names = [], []
    for shape in shapes:
        x1, x2 = ((x - left) * scale + MARGIN for x in shape.box[0::2])
        y1, y2 = ((y - top) * scale + MARGIN for y in shape.box[1::2])
        drawn.append(_rectangle((x1, y1, x2, y2), shape))
        # Dashed boxes are named below, so that the two names of equal boxes don't meet.
        names.append(_place(shape.label, x1, y2 + 15 if shape.dashed else y1 - 6, names))
    drawn += [name.svg() for name in names]

    width = max((right - left) * scale + 2 * MARGIN, *(name.end for name in names))
    height = (bottom - top) * scale + 2 * MARGIN
    words = "; ".join(f"{s.label} ({', '.join(f'{v:g}' for v in s.box)})" for s in shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="The case, drawn: {escape(words)}" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.1f} {height:.1f}" '
        f'style="max-width: 100%"><rect width="100%" height="100%" rx="4" fill="{PAPER}"/>'
        f"{''.join(drawn)}</svg>"
    )


def draw_pair(a: Tensor, b: Tensor) -> str:
    """A solid, B dashed."""
    return draw([Shape(a.tolist(), "A", A), Shape(b.tolist(), "B", B, dashed=True)])


def draw_sets(a: Tensor, b: Tensor) -> str:
    """The boxes of A solid, those of B dashed, numbered from 0."""
    solid = [Shape(box, f"A{i}", A) for i, box in enumerate(a.tolist())]
    dashed = [Shape(box, f"B{i}", B, dashed=True) for i, box in enumerate(b.tolist())]
    return draw(solid + dashed)


def draw_matching(detections: Tensor, truths: Tensor) -> str:
    """Truths solid, detections dashed, numbered from 0."""
    solid = [Shape(box, f"truth {i}", A) for i, box in enumerate(truths.tolist())]
    dashed = [Shape(box, f"{i}", B, dashed=True) for i, box in enumerate(detections.tolist())]
    return draw(solid + dashed)


def draw_scored(boxes: Tensor, scores: Tensor, kept: Sequence[int]) -> str:
    """Boxes with index and score: those that should stay solid, the others dashed."""
    shapes = []
    for i, (box, score) in enumerate(zip(boxes.tolist(), scores.tolist(), strict=True)):
        stays = i in kept
        shapes.append(Shape(box, f"{i}: {score:.2g}", KEPT if stays else SUPPRESSED, not stays))
    return draw(shapes)


def _rectangle(corners: tuple[float, float, float, float], shape: Shape) -> str:
    x1, y1, x2, y2 = corners
    dash = ' stroke-dasharray="6 4"' if shape.dashed else ""
    return (
        f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" fill="{shape.color}" '
        f'fill-opacity="0.15" stroke="{shape.color}" stroke-width="2"{dash}/>'
    )


class _Name(NamedTuple):
    text: str
    x: float
    y: float

    @property
    def end(self) -> float:
        return self.x + LETTER * len(self.text) + 8

    def svg(self) -> str:
        return (
            f'<text x="{self.x:.1f}" y="{self.y:.1f}" font-family="sans-serif" font-size="13" fill="{INK}">'
            f"{escape(self.text)}</text>"
        )


def _place(text: str, x: float, y: float, others: Sequence[_Name]) -> _Name:
    """The name at its place, or right of the names that lie there."""
    for other in sorted(others, key=lambda name: name.x):
        if abs(other.y - y) < 14 and other.x < x + LETTER * len(text) and x < other.end:
            x = other.end
    return _Name(text, x, y)
