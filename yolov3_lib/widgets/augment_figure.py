"""A photograph to distort, place and mirror, and its boxes that move along."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from yolov3_lib.boxes import validate
from yolov3_lib.data.images import ImageSource, load_image
from yolov3_lib.plots import class_color, show_boxes
from yolov3_lib.widgets.augment_scene import (
    ANCHORS,
    CASES,
    RANGES,
    SIDE,
    SMALLEST,
    STRIDES,
    Placed,
    Settings,
    frame,
    place,
    readout,
    with_steps,
)
from yolov3_lib.widgets.base import (
    Widget,
    build,
    case_buttons,
    data_uri,
    element,
    jpeg_within,
    number,
    reading,
    text,
)
from yolov3_lib.widgets.pictures import in_book_style, rendered

MOST = 6
_PHOTOGRAPH_SIDE, _PHOTOGRAPH_CHARACTERS = 360, 40_000


def augment_explorer(
    image: ImageSource,
    boxes: Tensor,
    names: Sequence[str],
    settings: Settings | None = None,
    *,
    alt: str | None = None,
) -> Widget:
    """The network's square input, with sliders for what augmentation draws at random.

    Shown are the whole box of each object, what is left of it in the input, whether it is kept or dropped by
    visible area, and the anchor and cell that it trains. Colors are the browser's own filters, which come
    close to Darknet's and aren't the same.

    Args:
        image: the photograph.
        boxes: (N, 4) objects, xyxy in pixels of the image; 1 to 6.
        names: what they are.
        settings: what the figure starts with; the letterbox by default.
        alt: what the figure shows, instead of a sentence made from its first state.

    Raises:
        ValueError: boxes that aren't valid, without area or outside the image, none or too many, a number of
            names that isn't N.
        ImageError: the photograph can't be read.
    """
    pixels = load_image(image)
    size = pixels.shape[1], pixels.shape[0]
    objects = _checked(boxes, names, size)
    settings = with_steps(settings or Settings())
    placed = place(objects, size, settings)
    said = readout(placed)
    states = "; ".join(f"{name}: {said[f'state-{i}']}" for i, name in enumerate(names))
    alt = alt or f"A photograph in the network's square input, with the boxes of its objects. {states}."
    photograph = Image.fromarray(pixels)
    photograph.thumbnail((_PHOTOGRAPH_SIDE, _PHOTOGRAPH_SIDE), Image.Resampling.LANCZOS)
    state = {
        "boxes": objects, "size": size, "settings": asdict(settings),
        "cases": {name: asdict(case) for name, case in CASES.items()},
        "anchors": ANCHORS, "strides": STRIDES, "side": SIDE, "smallest": SMALLEST,
    }  # fmt: skip
    uri = data_uri(jpeg_within(photograph, _PHOTOGRAPH_CHARACTERS))
    stage = element("div", _stage(uri, placed, frame(size, settings), settings, alt), class_="yv-scene")
    panel = element("div", _panel(names, said, settings), class_="yv-panel")
    return build(
        "augment",
        case_buttons(CASES, "Examples") + element("div", stage + panel, class_="yv-columns"),
        state,
        _picture(pixels, placed, frame(size, settings), settings, names, said),
        alt=alt,
        description=f"Augmentation explorer: {states}",
        photograph=True,
    )


def _checked(boxes: Tensor, names: Sequence[str], size: tuple[int, int]) -> list[list[float]]:
    boxes = torch.as_tensor(boxes).detach().cpu().double().reshape(-1, 4)
    validate(boxes)
    if not 1 <= len(boxes) <= MOST:
        raise ValueError(f"{len(boxes)} boxes: the figure shows 1 to {MOST}")
    if len(names) != len(boxes):
        raise ValueError(f"{len(names)} names for {len(boxes)} boxes: give one for each box")
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        if x1 < 0 or y1 < 0 or x2 > size[0] or y2 > size[1] or x1 == x2 or y1 == y2:
            raise ValueError(
                f"boxes[{i}] {x1, y1, x2, y2}: expected a box with area, "
                f"inside the image of {size[0]} × {size[1]} pixels"
            )
    return [[round(value, 2) for value in box] for box in boxes.tolist()]


# Markup.


def image_style(edges: Sequence[float], settings: Settings) -> str:
    """The photograph's place in the stage, in percent of it, and the browser's filter for its colors."""
    left, top, right, bottom = edges
    if settings.flip:
        left, right = SIDE - right, SIDE - left
    places = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    style = "".join(f"{name}:{number(100 * value / SIDE, 3)}%;" for name, value in places.items())
    color = (
        f"filter:hue-rotate({number(360 * settings.hue)}deg) saturate({number(settings.saturation)}) "
        f"brightness({number(settings.exposure)})"
    )
    # CSS wants the hyphen for a minus.
    return f"{style}transform:scaleX({-1 if settings.flip else 1});{color}".replace("−", "-")


def _stage(uri: str, placed: Sequence[Placed], edges: Sequence[float], settings: Settings, alt: str) -> str:
    photograph = element(
        "img", class_="yv-photo", src=uri, alt="The photograph.", style=image_style(edges, settings)
    )
    lines = "".join(f"M{at} 0V{SIDE}M0 {at}H{SIDE}" for at in range(0, SIDE + 1, 32))
    groups = "".join(_object(i, each) for i, each in enumerate(placed))
    svg = element(
        "svg",
        element("path", class_="yv-grid", d=lines) + groups,
        viewBox=f"0 0 {SIDE} {SIDE}",
        role="img",
        aria_label=alt,
    )
    return element("div", photograph + svg, class_="yv-stage")


def _object(index: int, placed: Placed) -> str:
    parts = (
        element("rect", class_="yv-whole", **_rectangle(placed.whole)),
        element("rect", class_="yv-halo", **_rectangle(placed.seen)),
        element("rect", class_="yv-seen", **_rectangle(placed.seen)),
    )
    return element(
        "g",
        "".join(parts),
        data_object=index,
        data_gone=None if placed.kept else "",
        style=f"--c:{class_color(index)}",
    )


def _rectangle(box: Sequence[float]) -> dict[str, str]:
    x1, y1, x2, y2 = box
    values = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
    return {name: number(value).replace("−", "-") for name, value in values.items()}


def _panel(names: Sequence[str], said: dict[str, str], settings: Settings) -> str:
    rows = "".join(_row(i, name, said) for i, name in enumerate(names))
    sliders = "".join(_slider(name, settings) for name in RANGES)
    box = element("input", type="checkbox", checked="checked" if settings.flip else None)
    flip = element("label", box + "mirrored", class_="yv-check")
    hint = (
        "Dashed: the whole box. Solid: what of it is trained on. Lines: the 13 × 13 cells. Darknet draws the "
        "aspect ratio, the place, the colors and the mirror, and leaves the size at 1."
    )
    return "".join(
        (
            element("div", rows, class_="yv-list"),
            element("div", sliders + flip, class_="yv-live yv-sliders"),
            element("p", hint, class_="yv-hint yv-live"),
            element("p", class_="yv-unseen", role="status"),
        )
    )


def _row(index: int, name: str, said: dict[str, str]) -> str:
    parts = (
        element("i", class_="yv-chip", style=f"--c:{class_color(index)}", aria_hidden="true"),
        element("b", text(name)),
        reading(said, f"state-{index}"),
        element("small", text(said[f"anchor-{index}"]), data_out=f"anchor-{index}"),
    )
    return element("div", "".join(parts), class_="yv-row")


def _slider(name: str, settings: Settings) -> str:
    label, low, high, step = RANGES[name]
    value = getattr(settings, name)
    shown = element("output", number(value), data_value=name)
    slider = element(
        "input", type="range", min=low, max=high, step=step, value=value, data_name=name,
        aria_label=label.rstrip(" ×+"),
    )  # fmt: skip
    return element("label", f"{text(label)} {shown}{slider}", class_="yv-field")


# The still picture.


@in_book_style
def _picture(
    pixels: np.ndarray,
    placed: Sequence[Placed],
    edges: Sequence[float],
    settings: Settings,
    names: Sequence[str],
    said: dict[str, str],
) -> Image.Image:
    figure = Figure(figsize=(7.2, 3.6), dpi=200, layout="constrained")
    axes, beside = figure.subplots(1, 2, width_ratios=(1, 1))
    left, top, right, bottom = edges
    if settings.flip:
        left, right, pixels = SIDE - right, SIDE - left, pixels[:, ::-1]
    axes.set_facecolor("#808080")
    axes.imshow(pixels, extent=(left, right, bottom, top))
    axes.set(xlim=(0, SIDE), ylim=(SIDE, 0), aspect="equal", xticks=[], yticks=[])
    for i, each in enumerate(placed):
        show_boxes(axes, each.whole, color=class_color(i), style="dashed", line_width=1.0)
        if each.kept:
            show_boxes(axes, each.seen, color=class_color(i))
    beside.set_axis_off()
    for i, name in enumerate(names):
        beside.text(0, 0.9 - 0.15 * i, f"{name}: {said[f'state-{i}']}", size=9, color=class_color(i))
        beside.text(0, 0.85 - 0.15 * i, said[f"anchor-{i}"], size=7)
    return rendered(figure)
