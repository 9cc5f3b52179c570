"""Real detections under two thresholds and four rules of suppression: chapter 02, alive."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from yolov3_lib.data.images import ImageSource, load_image
from yolov3_lib.detections import Detections
from yolov3_lib.plots import COLORS, draw_detections
from yolov3_lib.widgets.base import Widget, build, data_uri, element, fixed, jpeg_within, text
from yolov3_lib.widgets.nms_scene import RULES, Scene, checked

_PHOTOGRAPH_SIDE, _PHOTOGRAPH_CHARACTERS = 640, 80_000


def nms_explorer(
    image: ImageSource | None,
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    class_names: Sequence[str],
    *,
    score_threshold: float = 0.25,
    iou_threshold: float = 0.45,
    rule: str = "greedy",
    size: tuple[float, float] | None = None,
    alt: str | None = None,
) -> Widget:
    """Raw detections on their photograph, with sliders for both thresholds and a choice of rules.

    Kept boxes are solid and named, suppressed ones thin and dashed; pointing at a kept box shows what it
    suppressed. Coordinates are rounded to a tenth of a pixel and scores to four digits first: what the page
    keeps is what `yolov3_lib.nms` keeps of the rounded numbers.

    Args:
        image: the photograph, or None for a scene without one.
        boxes: (N, 4) raw boxes, xyxy, in pixels of the image; at most 400.
        scores: (N,) objectness × class probability.
        classes: (N,) indices into ``class_names``.
        class_names: names of the classes.
        score_threshold: where the score slider starts, to hundredths; candidates score more than it.
        iou_threshold: where the IoU slider starts; a box goes if it overlaps by more than it.
        rule: a key of `RULES`, chosen first.
        size: (width, height) of the scene, where there is no photograph.
        alt: what the figure shows, instead of a sentence made from its first state.

    Raises:
        ValueError: boxes that aren't valid, shapes that don't match, too many boxes, a class without a name,
            an unknown rule or a threshold outside [0, 1).
        ImageError: the photograph can't be read.
    """
    detections = checked(boxes, scores, classes, class_names)
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}: choose from {', '.join(RULES)}")
    # The sliders stand on hundredths, and so must the first state.
    score_threshold, iou_threshold = round(score_threshold, 2), round(iou_threshold, 2)
    for name, value in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
        if not 0 <= value < 1:
            raise ValueError(f"{name} is {value}: a threshold lies in [0, 1)")
    pixels = None if image is None else load_image(image)
    scene = Scene.of(pixels, size, detections, class_names, (score_threshold, iou_threshold), rule)

    limits = f"score > {fixed(score_threshold, 2)}, IoU > {fixed(iou_threshold, 2)}"
    alt = alt or _alt(scene, score_threshold, iou_threshold)
    controls = _controls(score_threshold, iou_threshold, rule)
    return build(
        "nms",
        _stage(scene, alt) + _outcome(scene) + controls + _counts(scene),
        {key: getattr(scene, key) for key in ("size", "boxes", "scores", "classes", "names", "colors")},
        _picture(scene, class_names, detections.classes),
        alt=alt,
        description=f"NMS explorer: {len(scene.boxes)} raw detections, {limits}, "
        f"{len(scene.kept)} of {len(scene.candidates)} kept",
        photograph=pixels is not None,
    )


def _alt(scene: Scene, score_threshold: float, iou_threshold: float) -> str:
    found = ", ".join(scene.title(i, score) for i, score in scene.kept[:6]) or "none"
    more = f" and {len(scene.kept) - 6} more" if len(scene.kept) > 6 else ""
    place = "a plain scene" if scene.pixels is None else "a photograph"
    return (
        f"{len(scene.boxes)} raw detections on {place}. "
        f"{len(scene.candidates)} score above {fixed(score_threshold, 2)}; suppression at IoU "
        f"{fixed(iou_threshold, 2)} keeps {len(scene.kept)}: {found}{more}."
    )


# Markup.

# The tags' letters are a fixed size on the screen, so that they stay legible on a phone. Without a script we
# take the stage to be this wide.
_ASSUMED_WIDTH, _TAG_LETTER, _TAG_PADDING, _TAG_HEIGHT = 640, 7, 12, 20


def _stage(scene: Scene, alt: str) -> str:
    width, height = scene.size
    outlines = element("path", d=_outline([scene.boxes[i] for i in scene.gone])) * 2
    # Small boxes last, so that they lie above the large ones that they are in.
    stacked = sorted(scene.kept_indices, key=lambda i: (-_area(scene.boxes[i]), i))
    groups = "".join(_kept(i, scene.boxes[i], scene.colors[scene.classes[i]][0]) for i in stacked)
    svg = element(
        "svg",
        _ground(scene.pixels, scene.size)
        + element("g", outlines, class_="yv-gone")
        + element("g", groups, class_="yv-kept")
        + element("g", element("path", d="") * 2, class_="yv-won"),
        viewBox=f"0 0 {width:g} {height:g}",
        role="group",
        aria_label=alt,
    )
    return element("div", svg + _tags(scene), class_="yv-stage")


def _ground(pixels: np.ndarray | None, size: tuple[float, float]) -> str:
    width, height = size
    if pixels is None:
        paper = element("rect", class_="yv-paper", width=f"{width:g}", height=f"{height:g}")
        step = max(size) / 10
        lines = [f"M{x * step:g} 0V{height:g}" for x in range(1, int(width / step) + 1)]
        lines += [f"M0 {y * step:g}H{width:g}" for y in range(1, int(height / step) + 1)]
        return paper + element("path", class_="yv-squares", d="".join(lines))
    photograph = Image.fromarray(pixels)
    photograph.thumbnail((_PHOTOGRAPH_SIDE, _PHOTOGRAPH_SIDE), Image.Resampling.LANCZOS)
    return element(
        "image",
        href=data_uri(jpeg_within(photograph, _PHOTOGRAPH_CHARACTERS)),
        width=f"{width:g}",
        height=f"{height:g}",
        preserveAspectRatio="none",
    )


def _outline(boxes: Sequence[Sequence[float]]) -> str:
    return "".join(f"M{x1} {y1}H{x2}V{y2}H{x1}Z" for x1, y1, x2, y2 in boxes)


def _area(box: Sequence[float]) -> float:
    x1, y1, x2, y2 = box
    return (x2 - x1) * (y2 - y1)


def _kept(index: int, box: Sequence[float], color: str) -> str:
    x1, y1, x2, y2 = box
    frame = element("rect", x=x1, y=y1, width=f"{x2 - x1:g}", height=f"{y2 - y1:g}")
    return element("g", frame * 2, data_index=index, style=f"--c:{color}")


def _tags(scene: Scene) -> str:
    """A tag above each kept box, or inside where there is no room; away where a better one stands."""
    scale = _ASSUMED_WIDTH / scene.size[0]
    placed: list[tuple[float, float, float]] = []
    tags = []
    for i, score in scene.kept:
        color, ink = scene.colors[scene.classes[i]]
        written = scene.title(i, score)
        width = len(written) * _TAG_LETTER + _TAG_PADDING
        x, y = scene.boxes[i][0] * scale, scene.boxes[i][1] * scale
        above = y >= _TAG_HEIGHT
        left, top = max(0.0, min(x, _ASSUMED_WIDTH - width)), y - _TAG_HEIGHT if above else max(0.0, y)
        crowded = any(
            left < px + pw and px < left + width and abs(top - py) < _TAG_HEIGHT for px, py, pw in placed
        )
        if not crowded:
            placed.append((left, top, width))
        place = (
            f"left:max(0%,min({100 * x / _ASSUMED_WIDTH:.2f}%,100% - {width}px));"
            f"top:{max(0.0, 100 * scene.boxes[i][1] / scene.size[1]):.2f}%;"
            f"margin-top:{-_TAG_HEIGHT if above else 0}px;"
        )
        tags.append(
            element(
                "span", text(written), class_="yv-tag", data_index=i, aria_hidden="true",
                data_crowded="" if crowded else None, style=f"{place}--c:{color};--t:{ink}",
            )
        )  # fmt: skip
    return "".join(tags)


def _outcome(scene: Scene) -> str:
    plural = "" if len(scene.candidates) == 1 else "s"
    count = element("b", str(len(scene.kept)), data_out="kept") + " kept of "
    outcome = count + element("b", f"{len(scene.candidates)} candidate{plural}", data_out="candidates")
    detail = "Point at a kept box, or tap it, to see what it suppresses. With the keyboard: Tab, then arrows."
    return (
        element("p", outcome + element("span", "", data_out="compared"), class_="yv-outcome")
        + element("p", detail, class_="yv-detail yv-live")
        + element("p", class_="yv-unseen", role="status")
    )


def _controls(score_threshold: float, iou_threshold: float, rule: str) -> str:
    def slider(label: str, value: float) -> str:
        field = element(
            "input", type="range", min=0, max=0.99, step=0.01, value=fixed(value, 2), aria_label=label
        )
        return element(
            "label", element("span", label) + element("output", fixed(value, 2)) + field, class_="yv-slider"
        )

    options = "".join(
        element("option", text(name), value=key, selected="" if key == rule else None)
        for key, name in RULES.items()
    )
    choice = element("label", element("span", "Rule") + element("select", options), class_="yv-choice")
    shown = element("input", type="checkbox", checked="") + "show suppressed boxes"
    controls = (
        slider("Score above", score_threshold)
        + slider("Suppress at IoU above", iou_threshold)
        + choice
        + element("label", shown, class_="yv-check")
    )
    return element("div", controls, class_="yv-controls yv-live")


def _counts(scene: Scene) -> str:
    items = []
    for c, (name, (color, _)) in enumerate(zip(scene.names, scene.colors, strict=True)):
        candidates = sum(scene.classes[i] == c for i in scene.candidates)
        kept = sum(scene.classes[i] == c for i in scene.kept_indices)
        count = f"{text(name)} {element('b', str(kept))} of {element('span', str(candidates))}"
        swatch = element("i", style=f"--c:{color}", aria_hidden="true")
        items.append(element("li", swatch + count, data_class=c, data_none=None if candidates else ""))
    return element("ul", "".join(items), class_="yv-classes", aria_label="Kept boxes of each class")


# The still picture.


def _picture(scene: Scene, class_names: Sequence[str], classes: Tensor) -> Image.Image:
    """The first state as pixels, twice as many as are shown."""
    scale = 2 * _PHOTOGRAPH_SIDE / max(scene.size)
    width, height = (max(1, round(side * scale)) for side in scene.size)
    if scene.pixels is None:
        ground = Image.new("RGB", (width, height), "white")
    else:
        ground = Image.fromarray(scene.pixels).resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(ground)
    for i in scene.gone:
        _draw_dashed(draw, [value * scale for value in scene.boxes[i]])
    kept = torch.tensor(scene.kept_indices, dtype=torch.int64)
    found = Detections(
        torch.tensor(scene.boxes, dtype=torch.float64).reshape(-1, 4)[kept] * scale,
        torch.tensor([score for _, score in scene.kept]),
        classes[kept],
    )
    return draw_detections(ground, found, class_names)


def _draw_dashed(draw: ImageDraw.ImageDraw, box: Sequence[float], dash: float = 8) -> None:
    """A thin outline in dashes of two grays, one of which shows on any background."""
    x1, y1, x2, y2 = box
    draw.rectangle((x1, y1, x2, y2), outline=COLORS["suppressed"], width=3)
    for start in np.arange(x1, x2, 2 * dash):
        for y in (y1, y2):
            draw.line((start, y, min(start + dash, x2), y), fill=COLORS["background"], width=2)
    for start in np.arange(y1, y2, 2 * dash):
        for x in (x1, x2):
            draw.line((x, start, x, min(start + dash, y2)), fill=COLORS["background"], width=2)
