"""One threshold, two views: which boxes a photograph shows, and where the detector stands on its curve."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from yolov3_lib.data.images import ImageSource, load_image
from yolov3_lib.detections import Detections
from yolov3_lib.plots import COLORS, draw_detections
from yolov3_lib.thresholds import OperatingPoints
from yolov3_lib.widgets.base import Widget, build, data_uri, element, fixed, jpeg_within, text
from yolov3_lib.widgets.pictures import in_book_style, rendered
from yolov3_lib.widgets.threshold_scene import (
    BOTTOM,
    HEIGHT,
    LEFT,
    WIDTH,
    Scene,
    named,
    path,
    place,
    readout,
)

_PHOTOGRAPH_SIDE, _PHOTOGRAPH_CHARACTERS = 480, 50_000


def threshold_explorer(
    image: ImageSource,
    detections: Detections,
    class_names: Sequence[str],
    curves: Mapping[str, OperatingPoints],
    *,
    threshold: float = 0.25,
    alt: str | None = None,
) -> Widget:
    """A photograph's detections beside a precision-recall curve, with one slider for the score threshold.

    Boxes count in pixels of the photograph, rounded to a tenth, scores to four digits.

    Args:
        image: the photograph.
        detections: (N, 4) boxes after NMS, with scores down to almost 0; at most 200.
        class_names: names of the classes.
        curves: a detector's counts at the thresholds 0, .01, …, .99 on some set of images, by the name under
            which the reader chooses them; from ``thresholds.operating_points(result, THRESHOLDS, …)``.
        threshold: where the slider starts, to hundredths.
        alt: what the figure shows, instead of a sentence made from its first state.

    Raises:
        ValueError: boxes that aren't valid or too many, a class without a name, no curves or ones at other
            thresholds, or a threshold outside [0, 1).
        ImageError: the photograph can't be read.
    """
    if not 0 <= round(threshold, 2) < 1:
        raise ValueError(f"threshold is {threshold}: it lies in [0, 1)")
    step = round(100 * threshold)
    scene = Scene.of(load_image(image), detections, class_names, curves)
    first = next(iter(curves))
    said = readout(scene, step, first)
    alt = alt or _alt(said, len(scene.boxes), first)
    body = (
        element("div", _stage(scene, step) + _chart(scene, step, first), class_="yv-columns")
        + _outcome(said)
        + _controls(scene, step)
        + element("p", class_="yv-unseen", role="status")
    )
    state = {key: getattr(scene, key) for key in ("boxes", "scores", "classes", "names", "colors", "size")}
    state["curves"] = {
        name: {"right": points.right.tolist(), "wrong": points.wrong.tolist(), "truths": points.truths}
        for name, points in scene.curves.items()
    }
    state["chart"] = [LEFT, BOTTOM, WIDTH, HEIGHT]
    return build(
        "threshold",
        body,
        state,
        _picture(scene, detections, class_names, step, first),
        alt=alt,
        description=f"Threshold explorer: score > {said['threshold']}, {said['shown']} of {len(scene.boxes)} "
        f"detections shown, precision {said['precision']}, recall {said['recall']}",
        photograph=True,
    )


def _alt(said: Mapping[str, str], count: int, curve: str) -> str:
    return (
        f"Left: a photograph with the {said['shown']} of {count} detections that score above "
        f"{said['threshold']}. Right: the precision-recall curve of {curve}, at that threshold "
        f"precision {said['precision']}, recall {said['recall']}."
    )


# Markup.


def _stage(scene: Scene, step: int) -> str:
    width, height = scene.size
    photograph = Image.fromarray(scene.pixels)
    photograph.thumbnail((_PHOTOGRAPH_SIDE, _PHOTOGRAPH_SIDE), Image.Resampling.LANCZOS)
    ground = element(
        "image", href=data_uri(jpeg_within(photograph, _PHOTOGRAPH_CHARACTERS)), width=width, height=height,
        preserveAspectRatio="none",
    )  # fmt: skip
    shown = scene.shown(step)
    with_name = named(scene, shown)
    found = element("g", "".join(_box(scene, i, i in with_name) for i in shown), class_="yv-found")
    svg = element(
        "svg", ground + found, viewBox=f"0 0 {width} {height}", role="img",
        aria_label="The photograph and its detections", style=f"--u:{max(width, height) / 100:g}px",
    )  # fmt: skip
    return element("div", svg, class_="yv-stage")


def _box(scene: Scene, i: int, with_name: bool) -> str:
    x1, y1, x2, y2 = scene.boxes[i]
    color = scene.colors[scene.classes[i]]
    frame = element("rect", x=f"{x1:g}", y=f"{y1:g}", width=f"{x2 - x1:.1f}", height=f"{y2 - y1:.1f}")
    unit = max(scene.size) / 100
    words = element(
        "text", text(f"{scene.names[scene.classes[i]]} {fixed(scene.scores[i], 2)}"),
        x=f"{x1 + unit:.1f}", y=f"{y1 + 4 * unit:.1f}",
    )  # fmt: skip
    return element("g", frame * 2 + (words if with_name else ""), style=f"--c:{color}")


def _chart(scene: Scene, step: int, first: str) -> str:
    right, top = LEFT + WIDTH, BOTTOM - HEIGHT
    grid = "".join(
        f"M{LEFT + WIDTH * k / 4:g} {top}V{BOTTOM}M{LEFT} {BOTTOM - HEIGHT * k / 4:g}H{right}"
        for k in range(5)
    )
    ticks = "".join(
        element("text", fixed(k / 4, 2), class_="yv-tick", x=f"{LEFT + WIDTH * k / 4:g}", y=BOTTOM + 16)
        + element(
            "text",
            fixed(k / 4, 2),
            class_="yv-tick yv-side",
            x=LEFT - 6,
            y=f"{BOTTOM - HEIGHT * k / 4 + 4:g}",
        )
        for k in range(5)
    )
    names = element("text", "recall", class_="yv-axis", x=LEFT + WIDTH / 2, y=BOTTOM + 34)
    names += element(
        "text", "precision", class_="yv-axis", transform=f"translate(11 {BOTTOM - HEIGHT / 2:g}) rotate(-90)"
    )
    points = scene.curves[first]
    here = place(points, step)
    x, y = here or (LEFT, BOTTOM)
    cross = element("path", class_="yv-cross", d=f"M{x:g} {BOTTOM}V{y:g}H{LEFT}")
    dot = element("circle", class_="yv-dot", cx=f"{x:g}", cy=f"{y:g}", r=7, data_none=None if here else "")
    svg = element(
        "svg",
        element("path", class_="yv-grid", d=grid) + ticks + names + cross
        + element("path", class_="yv-curve", d=path(points)) + dot,
        viewBox=f"0 0 {right + 12} {BOTTOM + 40}", role="img", aria_label="Precision-recall curve",
    )  # fmt: skip
    return element("div", svg, class_="yv-chart")


def _outcome(said: Mapping[str, str]) -> str:
    def value(name: str) -> str:
        return element("b", said[name], data_out=name)

    first = f"Here: {value('shown')} detections score above {value('threshold')}. On the whole set: "
    first += f"precision {value('precision')}, recall {value('recall')}, F1 {value('f1')}."
    second = f"{value('right')} right, {value('wrong')} wrong, {value('missed')} objects not found."
    return element("p", first, class_="yv-outcome") + element("p", second, class_="yv-hint")


def _controls(scene: Scene, step: int) -> str:
    slider = element(
        "input", type="range", min=0, max=0.99, step=0.01, value=fixed(step / 100, 2),
        aria_label="Score above",
    )  # fmt: skip
    slider = element(
        "label", element("span", "Score above") + element("output", fixed(step / 100, 2)) + slider,
        class_="yv-slider",
    )  # fmt: skip
    options = "".join(element("option", text(name), value=name) for name in scene.curves)
    choice = element("label", element("span", "Curve of") + element("select", options), class_="yv-choice")
    return element("div", slider + choice, class_="yv-controls yv-live")


# The still picture.


@in_book_style
def _picture(
    scene: Scene, detections: Detections, class_names: Sequence[str], step: int, first: str
) -> Image.Image:
    shown = torch.tensor(scene.shown(step), dtype=torch.int64)
    figure = Figure(figsize=(9, 3.9), dpi=200, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    left.imshow(np.asarray(draw_detections(scene.pixels, detections[shown], class_names)))
    left.set_axis_off()
    points = scene.curves[first]
    right.plot(points.recall, points.precision, color=COLORS["a"])
    right.plot(points.recall[step], points.precision[step], "o", color=COLORS["b"], markersize=9)
    right.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    right.set_title(f"{first}: score > {fixed(step / 100, 2)}")
    right.grid(True)
    return rendered(figure)
