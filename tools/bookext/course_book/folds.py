"""``<details><summary>…</summary>…</details>``: folds whose inside is Markdown.

To CommonMark, ``<details>`` opens a block of raw HTML that ends at the next blank line, so that what stands
on the same lines is not read as Markdown. Two steps mend this: before parsing, blank lines go around a tag,
and the summary becomes a paragraph; after parsing, the nodes between the two tags move into a fold.
"""

import json
import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from .elements import fold, fold_body, fold_summary

logger = logging.getLogger(__name__)

OPENED = "<details>"
CLOSED = "</details>"
TAG = re.compile(r"[ \t]*(?:<details>\s*<summary>(?P<summary>.*?)</summary>|</details>)[ \t]*", re.DOTALL)
# A code block, or code within a line: what looks like a tag there is none.
CODE = re.compile(
    r"^[ >]*(?P<fence>```+|~~~+).*?^[ >]*(?P=fence)\s*$|(?P<tick>`+).+?(?P=tick)", re.DOTALL | re.MULTILINE
)
# What would make a list of a summary: "1. Why …?"
LIST_MARKER = re.compile(r"^(\d*)([-+*.)] )")
# What a line of a quotation or of a list item begins with.
MARKERS = re.compile(r"(?:[ >]|[-*+] |\d+[.)] )*")


def spread_folds(markdown: str) -> str:
    """The same Markdown with blank lines around the tags of each fold."""
    code = [match.span() for match in CODE.finditer(markdown)]

    def replace(tag: re.Match[str]) -> str:
        if any(start <= tag.start() < stop for start, stop in code):
            return tag.group()
        line = markdown[markdown.rfind("\n", 0, tag.start()) + 1 :]
        # Repeat "> ", but only indent under a list marker: a second marker would open a second item.
        prefix = re.sub(r"[^ >]", " ", MARKERS.match(line).group())
        gap = f"\n{prefix.rstrip()}\n{prefix}"
        if tag["summary"] is None:
            return f"{gap}{CLOSED}{gap}"
        summary = LIST_MARKER.sub(r"\1\\\2", " ".join(tag["summary"].split()))
        return f"{gap}{OPENED}{gap}{summary}{gap}"

    return TAG.sub(replace, markdown)


def prepare_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """`spread_folds` for a page, or for each Markdown cell of a notebook, whose setup cell folds too."""
    if not str(app.env.doc2path(docname)).endswith(".ipynb"):
        source[0] = spread_folds(source[0])
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = spread_folds("".join(cell["source"]))
        elif "setup" in cell["metadata"].get("tags", []):
            cell["metadata"]["tags"].append("hide-input")
    source[0] = json.dumps(notebook)


class GatherFolds(SphinxTransform):
    """Move what stands between a fold's two tags into a `fold` node."""

    default_priority = 200

    def apply(self) -> None:
        for closing in [tag for tag in self.document.findall(_is_tag) if tag.astext().strip() == CLOSED]:
            self._gather(closing)
        for stray in self.document.findall(_is_tag):
            logger.warning(f"{stray.astext().strip()} has no partner beside it", location=stray)

    def _gather(self, closing: nodes.raw) -> None:
        block = closing.parent
        stop = block.index(closing)
        tags = [index for index in range(stop) if _is_tag(block[index])]
        if not tags or block[tags[-1]].astext().strip() != OPENED:
            return
        start = tags[-1]
        summary, *body = block[start + 1 : stop]
        block[start : stop + 1] = [fold("", fold_summary("", "", *summary.children), fold_body("", *body))]


def _is_tag(node: nodes.Node) -> bool:
    return isinstance(node, nodes.raw) and node.astext().strip() in (OPENED, CLOSED)


def setup(app: Sphinx) -> None:
    app.connect("source-read", prepare_source)
    app.add_transform(GatherFolds)
