"""Two boxes to drag, and every number of chapter 01 alive beside them."""

import math
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from yolov3_lib.boxes import validate
from yolov3_lib.plots import COLORS, box_axes, show_boxes
from yolov3_lib.widgets.base import Widget, build, case_buttons, element, number, reading
from yolov3_lib.widgets.iou_scene import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Box,
    Scene,
    enclosing,
    listed,
    readout,
    signed,
)
from yolov3_lib.widgets.pictures import in_book_style, rendered

_ROOM = 56  # drawing units; an overlap that is smaller has its size written beside it

# In a grid of 10 × 8; other grids get them scaled.
_CASES = {
    "Identical": ((2, 2, 6, 5), (2, 2, 6, 5)),
    "Nested": ((1, 1, 8, 7), (3, 2, 6, 5)),
    "Tiny in big": ((0.5, 0.5, 9.5, 7.5), (4.5, 3.5, 5.5, 4.5)),
    "Touching": ((1, 1.5, 4, 6), (4, 3, 8, 7)),
    "Apart on one axis": ((1, 2, 4, 6), (6, 3, 9, 7)),
    "Apart on both axes": ((0, 0, 4, 3), (5, 4, 9, 8)),
}


def iou_explorer(
    a: Sequence[float] = (0, 0, 4, 3),
    b: Sequence[float] = (2, 1, 6, 5),
    *,
    size: tuple[float, float] = (10, 8),
    snap: float = 0.5,
    without_clamp: bool = False,
    alt: str | None = None,
) -> Widget:
    """Two boxes on a grid, to be dragged, walked with the arrow keys or typed in, with their IoU alive.

    Shown are the overlap's width and height before the clamp, areas, union, IoU, GIoU, DIoU and CIoU, the
    enclosing box and the line between the centers. A switch sets the value without the clamp beside the right
    one and draws the gap that it takes for an overlap; buttons lead to the notable cases.

    Args:
        a: box A, xyxy, in grid units; at most two decimals are shown.
        b: box B.
        size: (width, height) of the grid; y points down, as in images.
        snap: boxes move and grow in steps of this many units.
        without_clamp: the switch starts switched on.
        alt: what the figure shows, instead of a sentence made from the boxes.

    Raises:
        ValueError: a box that isn't valid or leaves the grid, or a step that isn't positive.
    """
    if not snap > 0:
        raise ValueError(f"snap is {snap}: boxes need a step larger than 0 to move")
    scene = Scene(_checked(a, "a", size), _checked(b, "b", size), size, snap, without_clamp)
    said = readout(scene.a, scene.b)
    if alt is None:
        alt = (
            f"Box A {listed(scene.a)} and box B {listed(scene.b)} on a grid, each given by its corners. "
            f"Their overlap is {number(scene.values['w'])} wide and {number(scene.values['h'])} high, "
            f"their IoU {said['iou']}."
        )
    cases = {"Start": (scene.a, scene.b)} | {name: _scaled(pair, size, snap) for name, pair in _CASES.items()}
    state = {
        "a": scene.a, "b": scene.b, "size": size, "step": snap, "cases": cases,
        "unit": scene.unit, "left": LEFT, "top": TOP,
    }  # fmt: skip
    drawing = element("div", _drawing(scene, alt) + _hint(), class_="yv-scene")
    panel = element("div", _panel(scene, said), class_="yv-panel")
    return build(
        "iou",
        case_buttons(cases, "Notable cases") + element("div", drawing + panel, class_="yv-columns"),
        state,
        _picture(scene, said),
        alt=alt,
        description=f"IoU explorer: A {listed(scene.a)}, B {listed(scene.b)}, IoU {said['iou']}",
    )


def _checked(box: Sequence[float], name: str, size: tuple[float, float]) -> Box:
    box = tuple(float(value) for value in box)
    if len(box) != 4:
        raise ValueError(f"{name} has {len(box)} numbers: a box is (x1, y1, x2, y2)")
    validate(torch.tensor(box, dtype=torch.float64), name)
    if box[0] < 0 or box[1] < 0 or box[2] > size[0] or box[3] > size[1]:
        raise ValueError(f"{name} {listed(box)} leaves the grid of {number(size[0])} × {number(size[1])}")
    return box


def _scaled(pair: tuple[Box, Box], size: tuple[float, float], snap: float) -> tuple[Box, ...]:
    """A case for another grid, on its steps."""
    scale = (size[0] / 10, size[1] / 8) * 2

    def place(value: float, axis: int) -> float:
        return min(math.floor(value * scale[axis] / snap + 0.5) * snap, size[axis % 2])

    return tuple(tuple(place(value, axis) for axis, value in enumerate(box)) for box in pair)


# Markup: the drawing.


def _drawing(scene: Scene, alt: str) -> str:
    m, between, apart = scene.values, scene.between, scene.apart
    (ax, ay), (bx, by), (x, y) = (scene.center(box) for box in (scene.a, scene.b, between))
    if not apart and min(m["w"], m["h"]) * scene.unit < _ROOM:
        y = round(scene.y(between[3]) + (14 if between[3] < scene.size[1] else -_ROOM), 2)

    def shown_if(condition: bool) -> str | None:
        return None if condition else "display:none"

    overlapping = m["shared"] > 0
    ghost = apart and scene.without_clamp
    parts = (
        _grid(scene),
        element("rect", class_="yv-enclosing", **scene.frame(enclosing(scene.a, scene.b), margin=6)),
        element("rect", class_="yv-overlap", **scene.frame(between), style=shown_if(overlapping)),
        element("rect", class_="yv-ghost", **scene.frame(between), style=shown_if(ghost)),
        _box(scene, "a", scene.a),
        _box(scene, "b", scene.b),
        element("line", class_="yv-centers", x1=ax, y1=ay, x2=bx, y2=by),
        element(
            "text",
            f"{signed(m['w'])} × {signed(m['h'])}",
            class_="yv-dims",
            x=x,
            y=round(y + 5, 2),
            style=shown_if(ghost if apart else overlapping),
        ),
    )
    box = f"0 0 {scene.x(scene.size[0]) + RIGHT:g} {scene.y(scene.size[1]) + BOTTOM:g}"
    return element("svg", "".join(parts), viewBox=box, role="img", aria_label=alt)


def _grid(scene: Scene) -> str:
    columns, rows = scene.size
    step = 1 if columns <= 12 else math.ceil(columns / 10)
    xs, ys = range(0, int(columns) + 1, step), range(0, int(rows) + 1, step)
    lines = [f"M{scene.x(x)} {TOP}V{scene.y(rows)}" for x in xs]
    lines += [f"M{LEFT} {scene.y(y)}H{scene.x(columns)}" for y in ys]
    places = [(x, scene.x(x), TOP - 12) for x in xs] + [(y, LEFT - 14, scene.y(y) + 4) for y in ys]
    ticks = [element("text", str(value), class_="yv-tick", x=x, y=y) for value, x, y in places]
    return element("path", class_="yv-grid", d="".join(lines)) + "".join(ticks)


def _box(scene: Scene, name: str, box: Box) -> str:
    frame = scene.frame(box)
    left, top, right, bottom = scene.x(box[0]), scene.y(box[1]), scene.x(box[2]), scene.y(box[3])
    corners = ((right, bottom), (left, top), (right, top), (left, bottom))
    center = scene.center(box)
    # A at its upper left, B at its lower right, so that two boxes on one another keep both names legible.
    label = (left + 7, top + 21) if name == "a" else (right - 20, bottom - 8)
    parts = (
        *(element("circle", class_="yv-reach", cx=x, cy=y, r=30) for x, y in corners),
        element("rect", class_="yv-ring", **frame),
        element("rect", class_="yv-body", **frame),
        element("circle", class_="yv-center", cx=center[0], cy=center[1], r=4.5),
        *(element("rect", class_="yv-knob", x=x - 5, y=y - 5, width=10, height=10, rx=2) for x, y in corners),
        element("text", name.upper(), class_="yv-name", x=label[0], y=label[1]),
    )
    return element("g", "".join(parts), class_="yv-box", data_box=name)


# Markup: the numbers.


def _panel(scene: Scene, said: dict[str, str]) -> str:
    headings = "".join(element("span", name) for name in ("", "x₁", "y₁", "x₂", "y₂"))
    fields = headings + _fields(scene, "a", scene.a) + _fields(scene, "b", scene.b)
    toggle = element("input", type="checkbox", checked="" if scene.without_clamp else None)
    rows = (
        *(_wide_row(name, said) for name in ("width", "height", "overlap", "union")),
        _row("IoU", "iou", said, scene.values, class_="yv-row yv-first"),
        element("label", toggle + "without the clamp", class_="yv-check yv-live"),
        _row("no clamp", "bug", said, scene.values, class_="yv-row yv-bug", off=not scene.without_clamp),
        *(_row(name, name.lower(), said, scene.values) for name in ("GIoU", "DIoU", "CIoU")),
        element("p", class_="yv-unseen", role="status"),
    )
    return element("div", fields, class_="yv-coordinates") + "".join(rows)


def _fields(scene: Scene, name: str, box: Box) -> str:
    fields = [
        element(
            "input",
            type="number",
            value=number(value),
            min=0,
            max=number(scene.size[i % 2]),
            step=number(scene.snap, 6),
            data_box=name,
            data_edge=edge,
            aria_label=f"{name.upper()} {edge}",
            readonly="",
        )
        for i, (edge, value) in enumerate(zip(("x1", "y1", "x2", "y2"), box, strict=True))
    ]
    return element("span", name.upper(), data_box=name) + "".join(fields)


def _wide_row(name: str, said: dict[str, str]) -> str:
    return element("div", element("span", name) + reading(said, name), class_="yv-row yv-wide")


def _row(
    label: str,
    key: str,
    said: dict[str, str],
    values: dict[str, float],
    class_: str = "yv-row",
    off: bool = False,
) -> str:
    """A line of the panel: name, terms, value and, for a measure, a bar from −1 to 1."""
    scale = ""
    if key in values:
        clamped = max(-1.0, min(1.0, values[key]))
        scale = element(
            "i", class_="yv-scale", data_scale=key, style=f"--v:{clamped:.4f}", aria_hidden="true"
        )
    content = element("span", label) + reading(said, f"{key}-terms") + reading(said, key, "yv-value") + scale
    return element("div", content, class_=class_, data_off="" if off else None)


def _hint() -> str:
    hint = (
        "Drag a box or one of its corners. With the keyboard: arrows move the box in focus, "
        "Shift and an arrow its lower right corner."
    )
    return element("p", hint, class_="yv-hint yv-live")


# The still picture.


@in_book_style
def _picture(scene: Scene, said: dict[str, str]) -> Image.Image:
    """The first state as pixels, drawn by matplotlib in the style of the book."""
    figure = Figure(figsize=(6.6, 3.2), dpi=200, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    axes, beside = figure.subplots(1, 2, width_ratios=(3, 2))
    box_axes(axes, scene.size, step=1 if scene.size[0] <= 12 else math.ceil(scene.size[0] / 10))
    axes.set(xlabel="", ylabel="")
    axes.tick_params(labelsize=8, length=0, labeltop=True, labelbottom=False)
    axes.grid(color=COLORS["grid"], linewidth=0.6, alpha=0.5)
    axes.spines[:].set_visible(False)
    show_boxes(axes, [scene.a, scene.b], ["A", "B"], color=["a", "b"], fill=0.13)
    if scene.values["shared"] > 0:
        corner, width, height = scene.between[:2], scene.values["w"], scene.values["h"]
        axes.add_patch(Rectangle(corner, width, height, facecolor=COLORS["overlap"], alpha=0.5))
    beside.set_axis_off()
    lines = [(name, said[name]) for name in ("width", "height", "overlap", "union")]
    lines.append(("IoU", f"{said['iou-terms']} = {said['iou']}"))
    if scene.without_clamp:
        lines.append(("no clamp", said["bug"]))
    lines += [(name, said[name.lower()]) for name in ("GIoU", "DIoU", "CIoU")]
    for row, line in enumerate(lines):
        for x, written in zip((0.0, 0.24), line, strict=True):
            beside.text(x, 0.87 - 0.1 * row, written, size=8, family="DejaVu Sans")
    return rendered(figure)
