"""Nodes that are one HTML element each."""

from collections.abc import Callable
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


class fold(nodes.General, nodes.Element):
    """``<details>``: a `fold_summary`, then a `fold_body`."""


class fold_summary(nodes.General, nodes.TextElement):
    """``<summary>``."""


class fold_body(nodes.General, nodes.Element):
    """What a fold hides."""


class figure_block(nodes.General, nodes.Element):
    """``<figure>``: an output or an image, then a `figure_caption`."""


class figure_caption(nodes.General, nodes.Element):
    """``<figcaption>``."""


class map_strip(nodes.General, nodes.Element):
    """The stages of YOLOv3, a list of `map_stage`."""


class map_stage(nodes.General, nodes.TextElement):
    """One stage; its attribute ``here`` says that the chapter is about it."""


Visitor = Callable[[Any, nodes.Element], None]


def _element(tag: str, css_class: str = "", **attributes: str) -> tuple[Visitor, Visitor]:
    """What opens and what closes an HTML element."""

    def visit(translator: Any, node: nodes.Element) -> None:
        marks = {"aria-current": "true"} if node.get("here") else {}
        translator.body.append(translator.starttag(node, tag, "", CLASS=css_class, **attributes, **marks))

    def depart(translator: Any, node: nodes.Element) -> None:
        translator.body.append(f"</{tag}>\n")

    return visit, depart


def setup(app: Sphinx) -> None:
    app.add_node(fold, html=_element("details", "course-fold"))
    app.add_node(fold_summary, html=_element("summary"))
    app.add_node(fold_body, html=_element("div", "course-fold-body"))
    app.add_node(figure_block, html=_element("figure", "course-figure"))
    app.add_node(figure_caption, html=_element("figcaption"))
    where = {"aria-label": "Where this chapter stands in YOLOv3"}
    app.add_node(map_strip, html=_element("ol", "course-map", **where))
    app.add_node(map_stage, html=_element("li"))
