"""A photograph at every rank: chapter 15, alive. The page computes the decomposition itself."""

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from yolov3_lib.bonus import low_rank
from yolov3_lib.data.images import ImageSource, load_image
from yolov3_lib.plots import COLORS
from yolov3_lib.widgets.base import Widget, build, data_uri, element, encode, fixed
from yolov3_lib.widgets.pictures import in_book_style, rendered

_SHORT_SIDE = 120  # pixels: a phone decomposes three such channels in about a second
_CHART = {"width": 320, "height": 150, "left": 34, "right": 10, "top": 10, "bottom": 34}


def rank_explorer(image: ImageSource, k: int = 10, *, alt: str | None = None) -> Widget:
    """A photograph beside its approximation of rank k, channel by channel, with a slider for k.

    Below: the error against k, how many numbers are kept and whether that pays, the singular value that comes
    next, and how many values don't round to 0, ..., 255. A switch shows what becomes of those unclipped.

    Args:
        image: a photograph; its shorter side is scaled down to 120 pixels.
        k: where the slider starts.
        alt: what the figure shows, instead of a sentence made from its first state.

    Raises:
        ValueError: k isn't between 1 and the shorter side of the scaled photograph.
        ImageError: the photograph can't be read.
    """
    pixels = _scaled(load_image(image))
    height, width = pixels.shape[:2]
    largest = min(height, width)
    if not 1 <= k <= largest:
        raise ValueError(f"k is {k}: the photograph, scaled to {width} × {height}, allows 1 to {largest}")
    parts = low_rank.svd(torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1))
    said = readout(parts, k)
    if alt is None:
        alt = (
            f"A photograph of {width} × {height} pixels, and beside it the same with each channel reduced to "
            f"rank {k}: {said['share']} of the numbers, and an error of {said['error']} gray levels."
        )
    errors = mean_errors(parts).tolist()
    approximation = _approximation(parts, k)
    body = (
        element("div", _photographs(pixels, approximation, k), class_="yv-pair")
        + _slider(k, largest, height)
        + element("div", _chart(errors, k, said) + _table(said), class_="yv-columns")
        + element("p", class_="yv-unseen", role="status")
    )
    state = {"k": k, "chart": _CHART, "top": errors[1]}
    return build(
        "rank",
        body,
        state,
        _picture(pixels, approximation, errors, k),
        alt=alt,
        description=f"Rank explorer: {width} × {height} pixels, k = {k}, error {said['error']} gray levels",
        photograph=True,
    )


def readout(parts: low_rank.SVD, k: int) -> dict[str, str]:
    """What the figure says at rank k, by the name of each place; ``parts`` hold all three channels."""
    (channels, height, _), width = parts.u.shape, parts.vt.shape[-1]
    kept = low_rank.numbers_kept(height, width, k)
    share = 100 * kept / (height * width)
    values = low_rank.SVD(parts.u[..., :k], parts.s[..., :k], parts.vt[..., :k, :]).matrix()
    outside = int(((values < -0.5) | (values >= 255.5)).sum())
    following = float(parts.s[:, k].max()) if k < parts.s.shape[-1] else 0.0
    return {
        "k": str(k),
        "numbers": f"{kept} of {height * width} a channel",
        "share": f"{fixed(share, 0)}%",
        "pays": "yes" if k <= low_rank.largest_paying_rank(height, width) else "no",
        "error": fixed(float(mean_errors(parts)[k]), 2),
        "next": fixed(following, 1),
        "outside": f"{outside} of {channels * height * width}",
    }


def mean_errors(parts: low_rank.SVD) -> torch.Tensor:
    """Root mean squared error in gray levels over all channels, for k = 0, ..., r."""
    _, frobenius = low_rank.errors(parts.s)
    count = parts.s.shape[0] * parts.u.shape[-2] * parts.vt.shape[-1]
    return (frobenius.square().sum(0) / count).sqrt()


def _scaled(pixels: np.ndarray) -> np.ndarray:
    photograph = Image.fromarray(pixels)
    scale = _SHORT_SIDE / min(photograph.size)
    if scale < 1:
        size = tuple(round(side * scale) for side in photograph.size)
        photograph = photograph.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(photograph)


def _approximation(parts: low_rank.SVD, k: int) -> np.ndarray:
    values = low_rank.SVD(parts.u[..., :k], parts.s[..., :k], parts.vt[..., :k, :]).matrix()
    return low_rank.to_bytes(values.permute(1, 2, 0).numpy())


# Markup.


def _photographs(pixels: np.ndarray, approximation: np.ndarray, k: int) -> str:
    """The original without losses, since the script decomposes its pixels; the approximation with some."""
    height, width = pixels.shape[:2]
    original = encode(Image.fromarray(pixels), "WEBP", lossless=True, quality=75, method=4)
    reduced = encode(Image.fromarray(approximation), "WEBP", quality=75, method=4)
    shown = (
        (original, "yv-original", "The photograph", "all of it"),
        (reduced, "yv-reduced", "The same at rank k", f"k = {k}"),
    )
    figures = []
    for picture, name, described, caption in shown:
        size = {"width": width, "height": height}
        image = element("img", class_=name, src=data_uri(picture), alt=described, **size)
        figures.append(element("div", image + element("span", caption, class_="yv-caption")))
    return "".join(figures)


def _slider(k: int, largest: int, height: int) -> str:
    field = element("input", type="range", min=1, max=largest, step=1, value=k, aria_label="Rank k")
    named = element("span", "Rank k") + element("output", str(k))
    label = element("label", named + field, class_="yv-slider")
    chosen = sorted({rank for rank in (1, 10, 20, 50, 90, height // 10) if 1 <= rank <= largest})
    buttons = "".join(element("button", f"k = {rank}", type="button", data_k=rank) for rank in chosen)
    wrap = element("input", type="checkbox") + "without clipping: 256 becomes 0, −1 becomes 255"
    bar = element("div", buttons + element("label", wrap, class_="yv-check"), class_="yv-bar")
    return element("div", label + bar, class_="yv-controls yv-live")


def place(k: int, error: float, largest: int, top: float) -> tuple[float, float]:
    """Where rank k and its error stand in the chart."""
    wide = _CHART["width"] - _CHART["left"] - _CHART["right"]
    high = _CHART["height"] - _CHART["top"] - _CHART["bottom"]
    x = _CHART["left"] + wide * (k - 1) / max(largest - 1, 1)
    return round(x, 2), round(_CHART["top"] + high * (1 - error / (top or 1)), 2)


def _chart(errors: list[float], k: int, said: dict[str, str]) -> str:
    largest, top = len(errors) - 1, errors[1]
    points = [place(rank, errors[rank], largest, top) for rank in range(1, largest + 1)]
    bottom = place(1, 0, largest, top)[1]
    ticks = [
        element("text", str(rank), class_="yv-tick", x=points[rank - 1][0], y=bottom + 15)
        for rank in (1, *range(20, largest + 1, 20))
    ]
    x, y = points[k - 1]
    middle = (_CHART["left"] + _CHART["width"] - _CHART["right"]) / 2
    drawn = (
        element("path", class_="yv-axis", d=f"M{_CHART['left']} {_CHART['top']}V{bottom}H{points[-1][0]}")
        + element("path", class_="yv-curve", d="M" + "L".join(f"{px:g} {py:g}" for px, py in points))
        + "".join(ticks)
        + element("text", fixed(top, 0), class_="yv-tick", x=_CHART["left"] - 14, y=_CHART["top"] + 5)
        + element("text", "0", class_="yv-tick", x=_CHART["left"] - 14, y=bottom + 4)
        + element("text", "k", class_="yv-tick", x=middle, y=bottom + 30)
        + element("circle", class_="yv-marker", cx=x, cy=y, r=5)
    )
    words = (
        f"The error in gray levels falls from {fixed(top, 0)} at rank 1 to 0 at rank {largest}; "
        f"it is {said['error']} at rank {k}."
    )
    box = f"0 0 {_CHART['width']} {_CHART['height']}"
    svg = element("svg", drawn, viewBox=box, role="img", aria_label=words)
    return element("div", element("p", "Error in gray levels", class_="yv-hint") + svg, class_="yv-scene")


def _table(said: dict[str, str]) -> str:
    rows = (
        ("error", "error, root mean square, in gray levels"),
        ("next", "the singular value that comes next, largest of the three channels"),
        ("numbers", "numbers kept, k (m + n + 1) of m n"),
        ("share", "the same in percent"),
        ("pays", "fewer than the pixels?"),
        ("outside", "values that don't round to 0 … 255"),
    )
    lines = [
        element("div", element("span", label) + element("b", said[name], data_out=name), class_="yv-row")
        for name, label in rows
    ]
    return element("div", "".join(lines), class_="yv-panel")


# The still picture.


@in_book_style
def _picture(pixels: np.ndarray, approximation: np.ndarray, errors: list[float], k: int) -> Image.Image:
    figure = Figure(figsize=(12.8, 3.6), dpi=100, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, picture, title in ((left, pixels, "all of it"), (middle, approximation, f"k = {k}")):
        axes.imshow(picture)
        axes.set_axis_off()
        axes.set_title(title)
    right.plot(range(1, len(errors)), errors[1:], color=COLORS["a"])
    right.plot([k], [errors[k]], "o", color=COLORS["b"])
    right.set(xlabel="k", ylabel="error in gray levels", ylim=(0, None))
    return rendered(figure)
