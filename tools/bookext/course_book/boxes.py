"""Block quotations that open with a bold label: boxes, the chapter card, the map, captions."""

import re
from collections.abc import Callable
from itertools import takewhile

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from .elements import figure_block, figure_caption, map_stage, map_strip

logger = logging.getLogger(__name__)

FIGURE = re.compile(r"Figure [\d.]+\d")
ARROW = re.compile(r"\s*→\s*")
NEXT_STRIP = re.compile(r"\s*·\s*")


class StyleQuotations(SphinxTransform):
    """Turn each labelled block quotation into what its label asks for."""

    default_priority = 210

    def apply(self) -> None:
        for quote in list(self.document.findall(nodes.block_quote)):
            label = _label(quote)
            if label is None:
                continue
            if FIGURE.fullmatch(label):
                _caption(quote, label)
            else:
                quote.replace_self(MAKERS.get(label, _box)(label, _rest(quote)))


def _label(quote: nodes.block_quote) -> str | None:
    """The bold words that open a quotation, without their full stop; None where there are none."""
    text = _bold_start(quote[0]) if len(quote) else ""
    return text[:-1] if text.endswith((".", ":")) else None


def _bold_start(paragraph: nodes.Node) -> str:
    """The text of the bold words that a paragraph opens with; empty where it opens otherwise."""
    if not isinstance(paragraph, nodes.paragraph):
        return ""
    while len(paragraph) and paragraph[0].astext() == "":  # the parser leaves an empty text before bold words
        paragraph.pop(0)
    return paragraph[0].astext().strip() if len(paragraph) and isinstance(paragraph[0], nodes.strong) else ""


def _rest(block: nodes.Element) -> list[nodes.Node]:
    """What a quotation or a list item holds besides its bold start."""
    first, *others = block.children
    first.pop(0)
    if len(first) and isinstance(first[0], nodes.Text):
        text = first[0].lstrip(" \n.:·–—")
        first[0:1] = [nodes.Text(text)] if text else []
    return [first, *others] if len(first) else others


def _box(label: str, body: list[nodes.Node]) -> nodes.Node:
    kind = f"course-box-{nodes.make_id(label)}"
    return nodes.admonition("", nodes.title("", label), *body, classes=["course-box", kind])


def _card(label: str, body: list[nodes.Node]) -> nodes.Node:
    """A list of bold terms, each with its text, becomes a definition list."""
    for index, block in enumerate(body):
        if isinstance(block, nodes.bullet_list):
            items = [_card_item(item) for item in block]
            body[index] = nodes.definition_list("", *items, classes=["course-card-list"])
    return nodes.admonition("", nodes.title("", label), *body, classes=["course-box", "course-card"])


def _card_item(item: nodes.list_item) -> nodes.definition_list_item:
    term = _bold_start(item[0]).rstrip(" .:")
    if not term:
        logger.warning("an item of a chapter card opens with a bold term", location=item)
    body = _rest(item) if term else item.children
    return nodes.definition_list_item("", nodes.term("", term), nodes.definition("", *body))


def _map(label: str, body: list[nodes.Node]) -> nodes.Node:
    """``image → **NMS** → detections · data → training`` becomes two strips of stages."""
    strips = [
        map_strip("", *[_stage(stage) for stage in _split(strip, ARROW)])
        for strip in _split(body[0].children, NEXT_STRIP)
    ]
    return nodes.container("", *strips, *body[1:], classes=["course-map-block"])


def _split(content: list[nodes.Node], separator: re.Pattern[str]) -> list[list[nodes.Node]]:
    """Cut a line of text, bold words and links wherever the text holds the separator."""
    parts: list[list[nodes.Node]] = [[]]
    for node in content:
        if not isinstance(node, nodes.Text):
            parts[-1].append(node)
            continue
        before, *after = separator.split(node)
        parts[-1].append(nodes.Text(before))
        parts += [[nodes.Text(text)] for text in after]
    return parts


def _stage(content: list[nodes.Node]) -> map_stage:
    return map_stage("", "", *content, here=any(isinstance(node, nodes.strong) for node in content))


MAKERS: dict[str, Callable[[str, list[nodes.Node]], nodes.Node]] = {"Chapter card": _card, "On the map": _map}


def _caption(quote: nodes.block_quote, label: str) -> None:
    """Move a caption, and the figure above it, into one ``<figure>``."""
    caption = figure_caption("", *quote.children)
    figures = _figure_above(quote)
    if not figures:
        logger.warning(f"{label}: this caption has no figure above it", location=quote)
        quote.replace_self(caption)
        return
    block = figure_block("", ids=[nodes.make_id(label.replace(".", "-"))])
    parent = figures[0].parent
    # Not replace_self: it would hand the picture's classes, such as only-light, to the figure.
    parent.insert(parent.index(figures[0]), block)
    for figure in figures:
        parent.remove(figure)
    quote.parent.remove(quote)
    block += [*figures, caption]


def _figure_above(quote: nodes.block_quote) -> list[nodes.Element]:
    """The picture just above a caption: an image, or one for light and one for dark pages, or the last rich
    output of a code cell."""
    before = quote.parent.children[: quote.parent.index(quote)]
    images = list(takewhile(lambda node: isinstance(node, nodes.image), reversed(before)))
    if images:
        return images[::-1]
    above = before[-1] if before else None
    if isinstance(above, nodes.paragraph):
        return [above] if any(above.findall(nodes.image)) else []
    if isinstance(above, nodes.container):
        outputs = [node for node in above.findall(nodes.container) if node.get("nb_element") == "mime_bundle"]
        return outputs[-1:]
    return []


def setup(app: Sphinx) -> None:
    app.add_transform(StyleQuotations)
