"""A walk through precomputed frames, and one of them ready-made: NMS box by box."""

import hashlib
import io
import re
from collections.abc import Sequence

from matplotlib.figure import Figure
from PIL import Image

from yolov3_lib.widgets.base import Widget, build, data_uri, element, encode, text
from yolov3_lib.widgets.pictures import few_colors, filmstrip, rendered

Frame = str | bytes | Figure


def stepper(
    frames: Sequence[Frame],
    captions: Sequence[str],
    alt: str,
    *,
    pictures: Sequence[Image.Image] | None = None,
) -> Widget:
    """Frames to step through with buttons, a slider or the keyboard; each has its caption.

    Without a script the frames stand one below the other; in print, too. The still picture shows them side by
    side.

    Args:
        frames: matplotlib figures, or the bytes of PNG, JPEG or WebP images, or SVG text (``<svg …>``), which
            follows light and dark where it uses ``currentColor`` or the style's variables, ``var(--yv-ink)``.
        captions: a sentence for each frame.
        alt: what the frames show together.
        pictures: for SVG frames, the same as pixels: nothing here turns SVG into them.

    Raises:
        ValueError: no frames, a number of captions or pictures that isn't the number of frames, an image of
            another kind, or SVG frames without ``pictures``.
        TypeError: a frame that is none of these.
    """
    if not frames:
        raise ValueError("frames is empty: give at least one")
    for name, values in (("captions", captions), ("pictures", pictures)):
        if values is not None and len(values) != len(frames):
            raise ValueError(f"{len(values)} {name} for {len(frames)} frames: give one for each frame")

    drawn, pixels = [], []
    for i, (frame, caption) in enumerate(zip(frames, captions, strict=True)):
        markup, picture = _frame(frame, f"frames[{i}]", caption)
        if pictures is not None:
            picture = pictures[i]
        if picture is None:
            raise ValueError(f"frames[{i}] is SVG: give its pixels too, in `pictures`")
        drawn.append(element("div", markup + element("p", text(caption)), class_="yv-frame"))
        pixels.append(picture)

    body = element("div", "".join(drawn), class_="yv-frames") + _walk(len(frames))
    walk = " ".join(f"{i}. {caption}" for i, caption in enumerate(captions, start=1))
    return build(
        "stepper",
        body,
        {},
        filmstrip(pixels, captions),
        alt=alt,
        picture_alt=f"{alt} {walk}",
        description=f"Stepper, {len(frames)} frames: {alt}",
    )


def _frame(frame: Frame, name: str, caption: str) -> tuple[str, Image.Image | None]:
    """The markup of one frame and, where we have them, its pixels."""
    if isinstance(frame, str):
        if not frame.lstrip().startswith("<svg"):
            raise ValueError(f"{name} starts with {frame[:20]!r}: SVG text starts with <svg")
        return _with_own_ids(frame.strip()), None
    if isinstance(frame, Figure):
        picture = rendered(frame)
        frame = encode(few_colors(picture).convert("RGB"), "WEBP", lossless=True, quality=75, method=4)
    elif isinstance(frame, bytes):
        picture = Image.open(io.BytesIO(frame)).convert("RGB")
    else:
        raise TypeError(f"{name} is a {type(frame).__name__}: expected a figure, image bytes or SVG text")
    width, height = picture.size
    return element("img", src=data_uri(frame), alt=caption, width=width, height=height), picture


def _with_own_ids(svg: str) -> str:
    """The SVG with ids that no other frame has: matplotlib, for one, gives all its pictures the same."""
    prefix = "yv" + hashlib.sha256(svg.encode()).hexdigest()[:8] + "-"
    for before in (r'\bid="', r"\burl\(#", r'\bhref="#'):
        svg = re.sub(before, lambda match: match.group() + prefix, svg)
    return svg


def _walk(count: int) -> str:
    slider = element("input", type="range", min=1, max=count, step=1, value=1, aria_label="Step")
    parts = (
        element("button", "Back", type="button")
        + slider
        + element("output", f"1 / {count}")
        + element("button", "Next", type="button")
    )
    return element("div", parts, class_="yv-walk yv-live") + element("p", class_="yv-unseen", role="status")
