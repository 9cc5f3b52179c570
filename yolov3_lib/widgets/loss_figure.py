"""An object and a prediction to drag, and every term of Darknet's loss with its gradient beside them."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from yolov3_lib.boxes import validate
from yolov3_lib.plots import COLORS, box_axes, show_boxes
from yolov3_lib.widgets.base import Widget, build, case_buttons, element, number, reading
from yolov3_lib.widgets.loss_scene import ANCHORS, OWN, SIDE, STRIDES, TERMS, Box, Scene, readout
from yolov3_lib.widgets.pictures import in_book_style, rendered

STEP = 4
SMALLEST = 8
_SYMBOLS = {"x": "x", "y": "y", "w": "w", "h": "h", "o": "object"}

# Object, prediction, anchor of the prediction.
_CASES = {
    "Start": ((132, 96, 288, 296), (136, 108, 272, 288), OWN),
    "Perfect": ((132, 96, 288, 296), (132, 96, 288, 296), OWN),
    "Next cell": ((132, 96, 288, 296), (164, 96, 312, 296), OWN),
    "Other anchor": ((132, 96, 288, 296), (140, 96, 284, 288), 6),
    "Far off": ((132, 96, 288, 296), (292, 240, 400, 332), OWN),
    "Small object": ((196, 180, 224, 220), (200, 180, 224, 216), OWN),
}


def loss_explorer(
    truth: Sequence[float] = _CASES["Start"][0],
    prediction: Sequence[float] = _CASES["Start"][1],
    *,
    objectness: float = 0.6,
    alt: str | None = None,
) -> Widget:
    """One object and one prediction on YOLOv3's grid, to be dragged or walked with the arrow keys.

    Beside them stand, for each number of the prediction, what it says and should say, its term in Darknet's
    loss and the derivative by its logit. The anchor that answers for the object follows from its shape, and
    the grid is that of the prediction's scale. The prediction is positive, ignored or background.

    Args:
        truth: the object, xyxy in pixels of a 416 × 416 input.
        prediction: the predicted box, likewise.
        objectness: what the prediction says about an object being there, from .01 to .99.
        alt: what the figure shows, instead of a sentence made from the boxes.

    Raises:
        ValueError: a box that isn't valid, too small or outside, or an objectness out of range.
    """
    if not 0.01 <= objectness <= 0.99:
        raise ValueError(f"objectness: expected a number from .01 to .99, got {objectness}")
    scene = Scene(_checked(truth, "truth"), _checked(prediction, "prediction"), OWN, objectness)
    said = readout(scene)
    if alt is None:
        alt = (
            f"An object and a predicted box on a grid of {SIDE // scene.stride} × {SIDE // scene.stride} "
            f"cells. Their IoU is {said['overlap']}; the prediction is {said['state']}. "
            f"The terms of its loss add up to {said['total']}."
        )
    cases = {"Start": (scene.truth, scene.prediction, OWN)}
    cases |= {name: case for name, case in _CASES.items() if name != "Start"}
    state = {
        "truth": scene.truth, "prediction": scene.prediction, "objectness": objectness, "anchors": ANCHORS,
        "strides": STRIDES, "side": SIDE, "step": STEP, "smallest": SMALLEST, "cases": cases,
    }  # fmt: skip
    drawing = element("div", _drawing(scene, alt) + _hint(), class_="yv-scene")
    panel = element("div", _panel(scene, said), class_="yv-panel")
    return build(
        "loss",
        case_buttons(cases, "Notable cases") + element("div", drawing + panel, class_="yv-columns"),
        state,
        _picture(scene, said),
        alt=alt,
        description=f"Loss explorer: {said['state']}, IoU {said['overlap']}, loss {said['total']}",
    )


def _checked(box: Sequence[float], name: str) -> Box:
    box = tuple(float(value) for value in box)
    if len(box) != 4:
        raise ValueError(f"{name} has {len(box)} numbers: a box is (x1, y1, x2, y2)")
    validate(torch.tensor(box, dtype=torch.float64), name)
    if min(box[:2]) < 0 or max(box[2:]) > SIDE or min(box[2] - box[0], box[3] - box[1]) < SMALLEST:
        raise ValueError(
            f"{name} {box}: expected a box within {SIDE} × {SIDE} pixels, at least {SMALLEST} wide and high"
        )
    return box


# Markup.


def _frame(box: Sequence[float]) -> dict[str, str]:
    x1, y1, x2, y2 = box
    return {"x": number(x1), "y": number(y1), "width": number(x2 - x1), "height": number(y2 - y1)}


def _cell_box(scene: Scene, box: Box) -> Box:
    column, row = scene.cell(box)
    return tuple(scene.stride * edge for edge in (column, row, column + 1, row + 1))


def _anchor_box(scene: Scene) -> Box:
    x, y = ((scene.truth[axis] + scene.truth[axis + 2]) / 2 for axis in (0, 1))
    w, h = ANCHORS[scene.answering]
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def _drawing(scene: Scene, alt: str) -> str:
    lines = "".join(f"M{at} 0V{SIDE}M0 {at}H{SIDE}" for at in range(0, SIDE + 1, scene.stride))
    parts = (
        element("path", class_="yv-grid", d=lines),
        *(
            element("rect", class_="yv-cell", data_box=name, **_frame(_cell_box(scene, box)))
            for name, box in (("truth", scene.truth), ("prediction", scene.prediction))
        ),
        element("rect", class_="yv-anchor", **_frame(_anchor_box(scene))),
        _box("truth", "object", scene.truth),
        _box("prediction", "prediction", scene.prediction),
    )  # fmt: skip
    return element(
        "svg", "".join(parts), viewBox=f"-8 -8 {SIDE + 16} {SIDE + 16}", role="img", aria_label=alt
    )


def _box(name: str, label: str, box: Box) -> str:
    x1, y1, x2, y2 = box
    # The object is named above its box, the prediction below it.
    place = (x1 + 4, y1 - 5 if y1 > 20 else y1 + 16) if name == "truth" else (x1 + 4, y2 - 6)
    parts = (
        element("circle", class_="yv-reach", cx=number(x2), cy=number(y2), r=26),
        element("rect", class_="yv-ring", **_frame(box)),
        element("rect", class_="yv-body", **_frame(box)),
        element("circle", class_="yv-center", cx=number((x1 + x2) / 2), cy=number((y1 + y2) / 2), r=4.5),
        element("rect", class_="yv-knob", x=number(x2 - 5), y=number(y2 - 5), width=10, height=10, rx=2),
        element("text", label, class_="yv-name", x=number(place[0]), y=number(place[1])),
    )
    return element("g", "".join(parts), class_="yv-box", data_box=name)


def _panel(scene: Scene, said: dict[str, str]) -> str:
    options = element("option", "the object's own", value=OWN)
    for index, (w, h) in enumerate(ANCHORS):
        options += element("option", f"{w} × {h}", value=index)
    percent = round(scene.objectness * 100)
    slider = element(
        "input", type="range", min=1, max=99, value=percent, aria_label="Objectness of the prediction"
    )
    controls = element("label", "its anchor " + element("select", options), class_="yv-field")
    controls += element(
        "label", f"its objectness {element('output', f'{percent / 100:.2f}')}{slider}", class_="yv-field"
    )
    costs, slopes = scene.costs
    rows = [
        element("p", reading(said, "state"), class_="yv-state", data_state_name=scene.state),
        *(
            element("div", element("span", label) + reading(said, key), class_="yv-fact")
            for label, key in (
                ("IoU", "overlap"), ("answering anchor", "best"), ("the prediction's", "used"),
                ("weight 2 − wh", "weight"),
            )
        ),
        element("div", controls, class_="yv-live yv-controls"),
        element(
            "div", "".join(element("span", head) for head in ("", "says → goal", "loss", "", "gradient", "")),
            class_="yv-row yv-head",
        ),
        *(_row(name, said, cost, slope) for name, cost, slope in zip(TERMS, costs, slopes, strict=True)),
        element(
            "div", element("span", "sum") + element("span") + reading(said, "total"), class_="yv-row yv-sum"
        ),
        element("p", class_="yv-unseen", role="status"),
    ]  # fmt: skip
    return "".join(rows)


def _row(name: str, said: dict[str, str], cost: float, slope: float) -> str:
    """A term: its letter, what is said and wanted, its value and its derivative, each with a bar."""
    parts = (
        element("span", _SYMBOLS[name]),
        reading(said, f"{name}-terms"),
        reading(said, f"{name}-cost", "yv-value"),
        element("i", class_="yv-meter", data_meter=f"{name}-cost", style=meter(cost), aria_hidden="true"),
        reading(said, f"{name}-slope", "yv-value"),
        element("i", class_="yv-scale", data_meter=f"{name}-slope", style=meter(slope), aria_hidden="true"),
    )
    return element("div", "".join(parts), class_="yv-row", data_term=name)


def meter(value: float) -> str:
    """A bar's length: full at 2, on either side."""
    return f"--v:{min(max(value / 2, -1.0), 1.0):.4f}"


def _hint() -> str:
    hint = (
        "Drag a box, or its lower right corner. With the keyboard: arrows move the box in focus, Shift and "
        "an arrow that corner. Dashed: the anchor that answers for the object. Filled: the cells of the two "
        "centers."
    )
    return element("p", hint, class_="yv-hint yv-live")


# The still picture.


@in_book_style
def _picture(scene: Scene, said: dict[str, str]) -> Image.Image:
    figure = Figure(figsize=(7.2, 3.4), dpi=200, layout="constrained")
    axes, beside = figure.subplots(1, 2, width_ratios=(1, 1))
    box_axes(axes, (SIDE, SIDE), step=scene.stride)
    axes.set(xlabel="", ylabel="", xticklabels=[], yticklabels=[])
    axes.tick_params(length=0)
    for box, color in ((scene.truth, "truth"), (scene.prediction, "prediction")):
        x1, y1, x2, y2 = _cell_box(scene, box)
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, facecolor=COLORS[color], alpha=0.35))
    show_boxes(axes, _anchor_box(scene), color="suppressed", style="dashed", line_width=1.2)
    show_boxes(axes, scene.truth, ["object"], "truth")
    show_boxes(axes, scene.prediction, color="prediction")
    beside.set_axis_off()
    lines = [("", said["state"], "", ""), ("", "says → goal", "loss", "gradient")]
    lines += [
        (_SYMBOLS[name], said[f"{name}-terms"], said[f"{name}-cost"], said[f"{name}-slope"]) for name in TERMS
    ]
    lines.append(("sum", "", said["total"], ""))
    for row, line in enumerate(lines):
        for x, written in zip((0.0, 0.17, 0.6, 0.82), line, strict=True):
            beside.text(x, 0.86 - 0.1 * row, written, size=8, family="DejaVu Sans")
    return rendered(figure)
