"""The state of the IoU explorer: every number that it shows, and where things lie in its drawing."""

from dataclasses import dataclass
from functools import cached_property

import torch

from yolov3_lib import boxes as measures
from yolov3_lib.widgets.base import fixed, number

Box = tuple[float, ...]

# Drawing units. The grid is 400 wide whatever its size, so that letters and handles keep theirs.
_GRID_WIDTH = 400
LEFT, TOP, RIGHT, BOTTOM = 26, 26, 10, 10


def readout(a: Box, b: Box) -> dict[str, str]:
    """What the panel says about two boxes, by the name of each place; ``iou.js`` says the same."""
    m = measure(a, b)
    areas = f"{number(m['area_a'])} + {number(m['area_b'])}"

    def axis(low: int, high: int) -> str:
        return f"min({number(a[high])}, {number(b[high])}) − max({number(a[low])}, {number(b[low])})"

    # The formula as one writes it first: nothing keeps a width and a height below zero from multiplying.
    product = m["w"] * m["h"]
    whole = m["area_a"] + m["area_b"] - product
    return {
        "width": f"{axis(0, 2)} = {number(m['w'])}",
        "height": f"{axis(1, 3)} = {number(m['h'])}",
        "overlap": f"{number(max(m['w'], 0))} × {number(max(m['h'], 0))} = {number(m['shared'])}",
        "union": f"{areas} − {number(m['shared'])} = {number(m['union'])}",
        "iou-terms": f"{number(m['shared'])} / {number(m['union'])}",
        "iou": fixed(m["iou"]),
        "bug-terms": f"{signed(m['w'])} × {signed(m['h'])} = {number(product)}\n"
        f"{number(product)} / ({areas} − {signed(product)})",
        "bug": fixed(product / whole) if whole else _over_zero(product),
        "giou-terms": f"{fixed(m['iou'])} − {number(m['outer'] - m['union'])} / {number(m['outer'])}",
        "giou": fixed(m["giou"]),
        "diou-terms": f"{fixed(m['iou'])} − {number(m['distance'])} / {number(m['diagonal'])}",
        "diou": fixed(m["diou"]),
        "ciou-terms": f"{fixed(m['diou'])} − {fixed(m['diou'] - m['ciou'])}",
        "ciou": fixed(m["ciou"]),
    }


@dataclass(frozen=True)
class Scene:
    """The figure's first state, and where it lies in the drawing."""

    a: Box
    b: Box
    size: tuple[float, float]
    snap: float
    without_clamp: bool

    @cached_property
    def values(self) -> dict[str, float]:
        return measure(self.a, self.b)

    @property
    def apart(self) -> bool:
        return self.values["w"] < 0 or self.values["h"] < 0

    @property
    def between(self) -> Box:
        """The overlap or, where the boxes are apart, the gap that the unclamped formula takes for it."""
        left, top = max(self.a[0], self.b[0]), max(self.a[1], self.b[1])
        right, bottom = left + self.values["w"], top + self.values["h"]
        return min(left, right), min(top, bottom), max(left, right), max(top, bottom)

    @property
    def unit(self) -> float:
        return _GRID_WIDTH / self.size[0]

    def x(self, value: float) -> float:
        return round(LEFT + value * self.unit, 2)

    def y(self, value: float) -> float:
        return round(TOP + value * self.unit, 2)

    def frame(self, box: Box, margin: float = 0) -> dict[str, float]:
        """A box as the attributes of an SVG rectangle."""
        return {
            "x": round(self.x(box[0]) - margin, 2),
            "y": round(self.y(box[1]) - margin, 2),
            "width": round((box[2] - box[0]) * self.unit + 2 * margin, 2),
            "height": round((box[3] - box[1]) * self.unit + 2 * margin, 2),
        }

    def center(self, box: Box) -> tuple[float, float]:
        return self.x((box[0] + box[2]) / 2), self.y((box[1] + box[3]) / 2)


def measure(a: Box, b: Box) -> dict[str, float]:
    """Every number of the figure; the measures are the library's own, in double precision as in the page."""
    tensors = torch.tensor([a, b], dtype=torch.float64)
    outer = enclosing(a, b)
    area_a, area_b, area_outer = ((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b, outer))
    shared = float(measures.intersection(*tensors))
    return {
        "w": min(a[2], b[2]) - max(a[0], b[0]),
        "h": min(a[3], b[3]) - max(a[1], b[1]),
        "area_a": area_a,
        "area_b": area_b,
        "shared": shared,
        "union": area_a + area_b - shared,
        "outer": area_outer,
        "distance": ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2,
        "diagonal": (outer[2] - outer[0]) ** 2 + (outer[3] - outer[1]) ** 2,
        "iou": float(measures.iou(*tensors)),
        "giou": float(measures.giou(*tensors)),
        "diou": float(measures.diou(*tensors)),
        "ciou": float(measures.ciou(*tensors)),
    }


def enclosing(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def listed(box: Box) -> str:
    return f"({', '.join(number(value) for value in box)})"


def signed(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)


def _over_zero(value: float) -> str:
    return "0/0" if value == 0 else "∞" if value > 0 else "−∞"
