"""Pixels for the still pictures: figures, fewer colors, several frames as one."""

import io
import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import matplotlib
import matplotlib.style
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from yolov3_lib.plots import use_book_style

P, R = ParamSpec("P"), TypeVar("R")

_WIDTH, _GAP, _FONT_PX, _LINE_PX = 1280, 32, 24, 32


def in_book_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw in the style of the book, whatever matplotlib is set to, and leave that alone."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.style.context("default"):
            use_book_style()
            return draw(*args, **kwargs)

    return drawn


def rendered(figure: Figure) -> Image.Image:
    """A figure's pixels on white, at its own resolution."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    picture = Image.open(buffer)
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")


def few_colors(picture: Image.Image) -> Image.Image:
    """A drawing in 64 colors of its own: it compresses to a fraction, and the eye hardly sees it."""
    # Without k-means the palette spends itself on the large pale areas, and thin lines lose their color.
    return picture.quantize(64, kmeans=3, dither=Image.Dither.NONE)


def filmstrip(pictures: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """All frames in one picture, at most three in a row, each with its numbered caption below."""
    columns = min(len(pictures), 2 if len(pictures) == 4 else 3)
    width = (_WIDTH - (columns - 1) * _GAP) // columns
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), _FONT_PX)
    letters = int(width / font.getlength("n"))
    cells = [
        _cell(picture, f"{i}. {caption}", width, letters, font)
        for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True), start=1)
    ]
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    strip = Image.new("RGB", (_WIDTH, sum(heights) + (len(rows) - 1) * _GAP), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for i, cell in enumerate(row):
            strip.paste(cell, (i * (width + _GAP), top))
        top += height + _GAP
    return strip


def _cell(
    picture: Image.Image, caption: str, width: int, letters: int, font: ImageFont.FreeTypeFont
) -> Image.Image:
    lines = textwrap.wrap(caption, letters)
    scaled = picture.resize(
        (width, max(1, width * picture.height // picture.width)), Image.Resampling.LANCZOS
    )
    cell = Image.new("RGB", (width, scaled.height + _LINE_PX * (len(lines) + 1)), "white")
    cell.paste(scaled)
    draw = ImageDraw.Draw(cell)
    for i, line in enumerate(lines):
        draw.text((0, scaled.height + _LINE_PX * (i + 0.5)), line, font=font, fill="#1A1A1A")
    return cell
