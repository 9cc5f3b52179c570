"""Links that plain Markdown can't say: to one entry of the references, to one function of the library."""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python import ObjectEntry
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

PACKAGE = "yolov3_lib"
# `boxes.iou`, `yolov3_lib.boxes.iou`, `boxes.iou(a, b)`
NAME = re.compile(rf"(?P<package>{PACKAGE}\.)?(?P<name>[a-z_]\w*(?:\.\w+)*)(?:\([^()]*\))?")


def anchor_references(app: Sphinx, env: BuildEnvironment) -> None:
    """Let ``references.md#key`` mean the entry ``key`` of the bibliography.

    MyST resolves ``page.md#slug`` by the slugs of the page's headings. Each entry of the bibliography, whose
    HTML id is its key (``bibtex_cite_id``), joins them.
    """
    for bibliography, value in env.get_domain("cite").bibliographies.items():
        slugs = env.metadata[bibliography.docname].setdefault("myst_slugs", {})
        for key, entry in value.citation_nodes.items():
            slugs[key] = (value.line, entry["ids"][0], key)


class LinkLibraryNames(SphinxPostTransform):
    """Link inline code that is exactly a public name of the library to its entry in the API reference.

    After a module, the names of what it holds will do: "`yolov3_lib.boxes`: `iou`, `giou`". Elsewhere a bare
    `boxes` may well be a variable, and links to nothing.
    """

    default_priority = 300

    def run(self) -> None:
        entries = self.env.get_domain("py").objects
        for paragraph in self.document.findall(nodes.paragraph):
            module = ""
            for literal in [node for node in paragraph if isinstance(node, nodes.literal)]:
                name = next((name for name in _full_names(literal.astext(), module) if name in entries), None)
                if name:
                    module = name if entries[name].objtype == "module" else module
                    self._link(literal, entries[name])

    def _link(self, literal: nodes.literal, entry: ObjectEntry) -> None:
        page = self.env.docname
        if entry.docname != page:
            link = make_refnode(self.app.builder, page, entry.docname, entry.node_id, literal.deepcopy())
            link["classes"].append("course-api")
            literal.replace_self(link)


def _full_names(text: str, module: str) -> list[str]:
    """What a piece of code may name, the likeliest first."""
    match = NAME.fullmatch(text)
    if match is None:
        return []
    within = [f"{module}.{match['name']}"] if module else []
    return [*within, f"{PACKAGE}.{match['name']}"] if match["package"] or "." in match["name"] else within


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinxcontrib.bibtex")
    app.connect("env-updated", anchor_references)
    app.add_post_transform(LinkLibraryNames)
