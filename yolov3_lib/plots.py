"""How the course draws: one palette, boxes on photographs, boxes in figures.

Two families share the palette. `draw_detections` writes into a picture's own pixels: that is what
``python -m yolov3_lib detect --save`` writes. `show_image`, `box_axes` and `show_boxes` draw in matplotlib
axes. Boxes are xyxy in pixels with continuous edges: (0, 0, width, height) frames the whole picture.

The colors are those of Okabe and Ito (2008), chosen to stay apart in every common form of color blindness. A
meaning never rests on color alone: boxes carry labels, and a suppressed box is dashed.
"""

from collections.abc import Sequence
from typing import Literal

import matplotlib
import numpy as np
import torch
from matplotlib import font_manager, patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from yolov3_lib.boxes import validate
from yolov3_lib.data.images import ImageSource, load_image
from yolov3_lib.detections import Detections

COLORS: dict[str, str] = {
    "a": "#0072B2",
    "b": "#D55E00",
    "truth": "#0072B2",
    "prediction": "#D55E00",
    "overlap": "#009E73",
    "kept": "#009E73",
    "suppressed": "#7A7A7A",
    "grid": "#9AA0A6",
    "accent": "#CC79A7",
    "highlight": "#E69F00",
    "text": "#1A1A1A",
    "background": "#FFFFFF",
}
"""What each color means in every figure of the book."""

_OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
_BLACK, _WHITE = "#000000", "#FFFFFF"
_MIN_FONT_PX = 10


def class_color(index: int) -> str:
    """The color of a class, ``#RRGGBB``, the same in every picture.

    Seven hues, then the seven darkened, then lightened: 21 colors, so VOC's twenty classes all differ. Later
    indices start over; that is why a box also carries its class name.
    """
    shade, hue = divmod(index % (3 * len(_OKABE_ITO)), len(_OKABE_ITO))
    base = np.array(to_rgb(_OKABE_ITO[hue]))
    target, amount = ((0.0, 0.0), (0.0, 0.45), (1.0, 0.55))[shade]
    return to_hex(base + (target - base) * amount)


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colors by WCAG 2.1, from 1 (equal) to 21 (black and white)."""
    darker, lighter = sorted((_luminance(a), _luminance(b)))
    return (lighter + 0.05) / (darker + 0.05)


def text_color(background: str) -> str:
    """Black or white, whichever reads better on ``background``: the contrast is never below 4.5."""
    return max((_BLACK, _WHITE), key=lambda text: contrast(text, background))


def _luminance(color: str) -> float:
    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


# --- Into a picture's pixels ---


def draw_detections(
    image: ImageSource,
    detections: Detections,
    class_names: Sequence[str],
    line_width: int | None = None,
) -> Image.Image:
    """A copy of the picture with every detection outlined and named.

    A colored line between a dark and a light one shows on any background. Better detections are drawn over
    worse ones, labels over all boxes, each label where it covers the least of better ones. Lines and letters
    grow with the picture; a label that can't fit loses its score, and on a picture too small for the name the
    box stands alone, in the color of its class.

    Args:
        image: a path, a PIL image or an ``(H, W, 3)`` array, as `load_image` takes them.
        detections: boxes in pixels of the image.
        class_names: the names that ``detections.classes`` count in.
        line_width: in pixels; chosen from the picture's size by default.

    Returns:
        An RGB image of the same size.

    Raises:
        ImageError: the image can't be read.
        ValueError: a box that holds NaN or has x2 < x1, or a class that has no name.
    """
    picture = Image.fromarray(load_image(image))
    boxes = detections.boxes.detach().cpu()
    validate(boxes)
    scores, classes = detections.scores.tolist(), detections.classes.tolist()
    for i, index in enumerate(classes):
        if not 0 <= index < len(class_names):
            raise ValueError(f"classes[{i}] is {index}, but there are {len(class_names)} class names")

    frames = [_pixel_frame(box, picture.size) for box in boxes.tolist()]
    shown = [i for i, frame in enumerate(frames) if frame is not None]
    shown.sort(key=lambda i: -scores[i])
    scale = (picture.width * picture.height) ** 0.5
    line_width = line_width or max(1, round(scale / 170))
    draw = ImageDraw.Draw(picture)
    for i in reversed(shown):
        _draw_frame(draw, frames[i], class_color(classes[i]), line_width)

    font = _font(max(_MIN_FONT_PX, min(round(scale / 40), picture.height // 3)))
    chips, texts = np.zeros((len(shown), 4), dtype=np.int64), []
    for place, i in enumerate(shown):
        name = class_names[classes[i]]
        text, size = _fitting_text((f"{name} {scores[i]:.2f}", name), font, picture.size)
        chips[place] = _place(size, frames[i], picture.size, chips[:place])
        texts.append(text)
    for i, chip, text in reversed([*zip(shown, chips.tolist(), texts, strict=True)]):
        if text:
            _draw_label(draw, chip, text, class_color(classes[i]), font)
    return picture


def _font(size: int) -> ImageFont.FreeTypeFont:
    # The one that comes with matplotlib: Pillow's own has no accents, and class names may.
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


def _pixel_frame(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """First and last column and row that a box covers; None where it lies outside the picture."""
    width, height = size
    x1, y1, x2, y2 = box
    if x2 < 0 or y2 < 0 or x1 > width or y1 > height:
        return None
    left, top = (min(max(round(v), 0), n - 1) for v, n in ((x1, width), (y1, height)))
    right, bottom = (min(max(round(v), 1), n) - 1 for v, n in ((x2, width), (y2, height)))
    return left, top, max(left, right), max(top, bottom)


def _draw_frame(draw: ImageDraw.ImageDraw, frame: tuple[int, int, int, int], color: str, width: int) -> None:
    left, top, right, bottom = frame
    edge = max(1, width // 3)
    strokes = [(_BLACK, edge), (color, width), (_WHITE, edge)]
    if min(right - left, bottom - top) < 2 * (width + 2 * edge):
        strokes = [(color, 1)]  # three lines would fill so small a box, and its color is what tells the class
    for stroke, thickness in strokes:
        draw.rectangle((left, top, right, bottom), outline=stroke, width=thickness)
        left, top, right, bottom = left + thickness, top + thickness, right - thickness, bottom - thickness


def _padding(font: ImageFont.FreeTypeFont) -> int:
    return max(2, round(font.size / 5))


def _fitting_text(
    choices: Sequence[str], font: ImageFont.FreeTypeFont, size: tuple[int, int]
) -> tuple[str, tuple[int, int]]:
    """The first text whose chip fits in the picture and the chip's size; an empty one where none does."""
    pad = _padding(font)
    height = sum(font.getmetrics()) + pad
    for text in choices:
        width = int(np.ceil(font.getlength(text))) + 2 * pad
        if width <= size[0] and height <= size[1]:
            return text, (width, height)
    return "", (0, 0)


def _place(
    chip: tuple[int, int],
    frame: tuple[int, int, int, int],
    size: tuple[int, int],
    placed: np.ndarray,
) -> tuple[int, int, int, int]:
    """Where along its box a chip covers the least of the chips placed before; the upper edge comes first.

    A chip is (width, height), the chips placed are (K, 4) left, top, right and bottom, and so is the result.
    """
    (width, height), (left, top, right, bottom) = chip, frame
    rows = (top - height, top, bottom + 1, bottom + 1 - height)
    columns = (left, right + 1 - width, (left + right + 1 - width) // 2)
    corners = [(x, y) for y in rows for x in columns]
    beside = range(top, bottom + 1 - height, max(1, height))
    corners += [(x, y) for y in beside for x in (left - width, right + 1)]
    corners = np.array(corners).clip(0, (size[0] - width, size[1] - height))
    low = np.maximum(corners[:, None], placed[None, :, :2])
    high = np.minimum(corners[:, None] + chip, placed[None, :, 2:])
    covered = (high - low).clip(0).prod(-1).sum(-1)
    x, y = corners[covered.argmin()].tolist()
    return x, y, x + width, y + height


def _draw_label(
    draw: ImageDraw.ImageDraw,
    chip: Sequence[int],
    text: str,
    color: str,
    font: ImageFont.FreeTypeFont,
) -> None:
    left, top, right, bottom = chip
    draw.rectangle((left, top, right - 1, bottom - 1), fill=color, outline=_BLACK)
    pad = _padding(font)
    draw.text((left + pad, top + pad / 2), text, fill=text_color(color), font=font)


# --- Into matplotlib axes ---


def use_book_style() -> None:
    """Set matplotlib's defaults for the book's figures.

    The background stays white, in dark mode too: there a figure is a white card, and its colors keep the
    contrast that they were chosen for.
    """
    matplotlib.rcParams.update(
        {
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.labelsize": 11,
            "legend.fontsize": 10,
            "figure.figsize": (7.0, 4.0),
            "figure.dpi": 110,
            "figure.facecolor": COLORS["background"],
            "savefig.facecolor": COLORS["background"],
            "axes.facecolor": COLORS["background"],
            "text.color": COLORS["text"],
            "axes.labelcolor": COLORS["text"],
            "xtick.color": COLORS["text"],
            "ytick.color": COLORS["text"],
            "axes.edgecolor": COLORS["text"],
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": matplotlib.cycler(color=_OKABE_ITO[:-1]),
            "grid.color": COLORS["grid"],
            "grid.linewidth": 0.6,
            "grid.alpha": 0.6,
            "lines.linewidth": 2.0,
            "legend.frameon": False,
        }
    )


def show_image(image: ImageSource, ax: Axes) -> Axes:
    """Show a picture so that axis coordinates are its pixels with continuous edges, and hide the axes.

    Pixel (0, 0) covers (0, 0) to (1, 1), unlike matplotlib's own default, which centers it on (0, 0) and
    so shifts every box by half a pixel.
    """
    pixels = load_image(image)
    height, width = pixels.shape[:2]
    ax.imshow(pixels, extent=(0, width, height, 0))
    ax.set_axis_off()
    return ax


def box_axes(ax: Axes, size: tuple[float, float], step: float = 1.0) -> Axes:
    """Axes for boxes without a photograph: x to the right, y **down** as in images, with a grid.

    Args:
        ax: the axes to prepare.
        size: (width, height) that the axes show, from (0, 0).
        step: distance of the grid lines, in the units of the boxes.
    """
    width, height = size
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xlabel="x", ylabel="y")
    ax.set_xticks(np.arange(0, width + step / 2, step))
    ax.set_yticks(np.arange(0, height + step / 2, step))
    ax.set_axisbelow(True)
    ax.grid(True)
    return ax


def show_boxes(
    ax: Axes,
    boxes: ArrayLike,
    labels: Sequence[str] | None = None,
    color: str | Sequence[str] = "prediction",
    style: Literal["solid", "dashed"] = "solid",
    fill: bool | float = False,
    line_width: float = 2.0,
) -> list[Rectangle]:
    """Draw boxes in axes whose y points down: `show_image` or `box_axes` first.

    Args:
        ax: where to draw.
        boxes: ``(N, 4)`` or one box ``(4,)``, xyxy, in the units of the axes; tensor, array or lists.
        labels: one for each box, written above it, or inside where there's no room above.
        color: a key of `COLORS` or any matplotlib color; or one for each box.
        style: "dashed" is what the book draws for a suppressed box.
        fill: True, or the fill's opacity; True means .25.
        line_width: in points.

    Returns:
        The matplotlib rectangles, to change or to animate.

    Raises:
        ValueError: NaN, x2 < x1 or y2 < y1 in a box, or a number of labels or colors that isn't N.
    """
    boxes = torch.as_tensor(boxes).detach().cpu().reshape(-1, 4)
    validate(boxes)
    count = len(boxes)
    colors = [color] * count if isinstance(color, str) else list(color)
    for name, values in (("labels", labels), ("colors", colors)):
        if values is not None and len(values) != count:
            raise ValueError(f"{len(values)} {name} for {count} boxes: give one for each box")

    halo = [patheffects.Stroke(linewidth=line_width + 2.0, foreground=_WHITE), patheffects.Normal()]
    patches = []
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        edge = to_hex(COLORS.get(colors[i], colors[i]))
        opacity = 0.25 if fill is True else float(fill)
        patch = Rectangle(
            (x1, y1), x2 - x1, y2 - y1, edgecolor=edge, facecolor=(*to_rgb(edge), opacity),
            linewidth=line_width, linestyle=style, path_effects=halo,
        )  # fmt: skip
        patches.append(ax.add_patch(patch))
        if labels is not None:
            _annotate(ax, (x1, y1), labels[i], edge)
    return patches


def _annotate(ax: Axes, corner: tuple[float, float], text: str, color: str) -> None:
    points_above = (ax.bbox.y1 - ax.transData.transform(corner)[1]) * 72 / ax.figure.dpi
    above = points_above > 14
    ax.annotate(
        text, corner, xytext=(1.5, 3 if above else -3), textcoords="offset points", fontsize="small",
        va="bottom" if above else "top", color=text_color(color), annotation_clip=True,
        bbox={"boxstyle": "square,pad=0.15", "facecolor": color, "edgecolor": "none"},
    )  # fmt: skip
