"""What every interactive figure is made of: one HTML output, and a picture where scripts don't run.

A notebook output must be alive in the built book (from file:// too), in JupyterLab, Kaggle, Colab and
VS Code, with no kernel and no network. So each carries its own style and script, and holds its first state as
finished markup: the script only enlivens it.

Where a host strips styles and scripts, as JupyterLab does in a notebook that isn't trusted, the markup keeps
its ``hidden`` attribute and the picture after it shows. The style, where it arrives, turns that round.
"""

import base64
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from html import escape
from importlib import resources

from PIL import Image

from yolov3_lib.widgets.pictures import few_colors


@dataclass(frozen=True, repr=False)
class Widget:
    """An interactive figure. As the last value of a notebook cell it shows itself.

    Attributes:
        html: the figure with its style and script, complete in itself.
        picture: the same as a still picture, PNG or JPEG bytes, for hosts that show no HTML.
        picture_size: (width, height) to show the picture at, in CSS pixels.
        alt: what the picture shows, in words.
        description: one line with the state that it starts in.
    """

    html: str
    picture: bytes
    picture_size: tuple[int, int]
    alt: str
    description: str

    def __repr__(self) -> str:
        return self.description

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict[str, str], dict[str, dict]]:
        picture_type = _mime_type(self.picture)
        width, height = self.picture_size
        data = {
            "text/html": self.html,
            picture_type: base64.b64encode(self.picture).decode("ascii"),
            "text/plain": self.description,
        }
        return data, {picture_type: {"width": width, "height": height, "alt": self.alt}}


def build(
    kind: str,
    body: str,
    state: Mapping[str, object],
    picture: Image.Image,
    *,
    alt: str,
    description: str,
    picture_alt: str | None = None,
    photograph: bool = False,
) -> Widget:
    """A widget from its parts.

    Args:
        kind: names the script (``<kind>.js``), the style (``<kind>.css``) and the CSS class (``yv-<kind>``).
        body: the markup of the figure's first state.
        state: what the script starts from; anything JSON can hold.
        picture: the still picture, at twice the pixels that it is shown at.
        alt: what the figure shows, in words.
        description: one line, for ``text/plain``.
        picture_alt: the same for the still picture, where that shows more.
        photograph: the picture holds a photograph, so that it's stored with small losses.
    """
    picture_alt = picture_alt or alt
    shown = (picture.width // 2, picture.height // 2)
    figure = element(
        "div",
        body,
        class_=f"yv yv-{kind}",
        role="figure",
        aria_label=alt,
        data_state=json.dumps(state, separators=(",", ":"), ensure_ascii=False),
        hidden="hidden",  # an empty value would not survive JupyterLab's sanitizer
    )
    still = element(
        "img",
        class_="yv-still",
        src=data_uri(_still_bytes(picture, photograph)),
        alt=picture_alt,
        width=shown[0],
        height=shown[1],
    )
    html = f"<style>{_style(kind)}</style>\n{figure}\n{still}\n<script>{_script(kind)}</script>"
    return Widget(html, _picture_bytes(picture, photograph), shown, picture_alt, description)


# Markup.

_VOID = {"img", "input"}


def element(tag: str, content: str = "", **attributes: object) -> str:
    """One HTML or SVG element. Attribute values are escaped, the content isn't: escape text with `text`.

    ``class_`` stands for ``class``, an underscore for a hyphen; an attribute that is None is left out.
    """
    pairs = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{pairs}>" if tag in _VOID else f"<{tag}{pairs}>{content}</{tag}>"


def text(content: object) -> str:
    """Text for the content of an element: ``<`` and ``&`` mean themselves."""
    return escape(str(content), quote=False)


def fixed(value: float, digits: int = 3) -> str:
    """``value`` with ``digits`` decimals, exactly as the scripts write it: half up, a true minus, no −0."""
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return ("−" if rounded < 0 else "") + str(abs(rounded))


def number(value: float, digits: int = 2) -> str:
    """Like `fixed`, without trailing zeros: 2.50 is written 2.5, and 4.00 is written 4."""
    written = fixed(value, digits)
    return written.rstrip("0").rstrip(".") if "." in written else written


def reading(said: Mapping[str, str], key: str, class_: str | None = None) -> str:
    """One of the values that a figure says, where its script finds and renews it."""
    return element("span", text(said[key]), data_out=key, class_=class_)


def case_buttons(cases: Iterable[str], label: str) -> str:
    """A bar of buttons, one for each named state of a figure; ``label`` says what they are."""
    buttons = "".join(element("button", name, type="button", data_case=name) for name in cases)
    return element("div", buttons, class_="yv-bar yv-live", role="group", aria_label=label)


def data_uri(image: bytes) -> str:
    """The bytes of a PNG, JPEG or WebP as a ``data:`` address."""
    return f"data:{_mime_type(image)};base64,{base64.b64encode(image).decode('ascii')}"


# Pictures.


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as the bytes of a file of that kind, without metadata."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg_within(picture: Image.Image, limit: int) -> bytes:
    """The best JPEG of a picture whose base64 text is at most ``limit`` characters.

    Raises:
        ValueError: if even quality 20 is too large.
    """
    for quality in range(85, 15, -5):
        encoded = encode(picture, "JPEG", quality=quality, optimize=True, progressive=True)
        if len(encoded) * 4 / 3 <= limit:
            return encoded
    raise ValueError(
        f"a {picture.width}×{picture.height} photograph doesn't fit into {limit} characters: make it smaller"
    )


def _still_bytes(picture: Image.Image, photograph: bool) -> bytes:
    """What stands in the HTML itself. It is seen seldom and carried always: small matters most."""
    if photograph:
        return encode(_halved(picture), "WEBP", quality=60, method=5)
    return encode(few_colors(_halved(picture)).convert("RGB"), "WEBP", lossless=True, quality=75, method=4)


def _picture_bytes(picture: Image.Image, photograph: bool) -> bytes:
    if photograph:
        return encode(_halved(picture), "JPEG", quality=80, optimize=True)
    return encode(few_colors(picture), "PNG", optimize=True)


def _halved(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


def _mime_type(image: bytes) -> str:
    if image.startswith(b"\x89PNG"):
        return "image/png"
    if image.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    raise ValueError(f"neither PNG nor JPEG nor WebP: the bytes start with {image[:8]!r}")


# Style and script.


@cache
def _style(kind: str) -> str:
    return _compact(_read("core.css") + _read(f"{kind}.css"))


@cache
def _script(kind: str) -> str:
    return '(() => {\n"use strict";\n' + _compact(_read("core.js") + _read(f"{kind}.js")) + "\n})();"


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _compact(source: str) -> str:
    """Without indentation and whole-line comments: every output carries a copy."""
    lines = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/*")))
