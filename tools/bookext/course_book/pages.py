"""What goes around the text: MathJax from a wheel, chapters' numbers, alt text, the buttons of a page."""

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)

# Of MathJax's 10 MB, what tex-mml-chtml.js loads: itself, its fonts, and TeX packages on demand.
MATHJAX_PARTS = ("tex-mml-chtml.js", "output/chtml/fonts", "input/tex/extensions")
KAGGLE = "https://kaggle.com/kernels/welcome?src="


class AskForAltText(SphinxTransform):
    """Warn about images that say nothing to a reader who can't see them."""

    default_priority = 220

    def apply(self) -> None:
        for image in self.document.findall(nodes.image):
            if not image.get("alt", "").strip() and not _hidden_by_html(image):
                mend = 'cell metadata {"mystnb": {"image": {"alt": "…"}}} or ![…](…)'
                logger.warning(f"image without alt text; say what it shows in {mend}", location=image)


def _hidden_by_html(image: nodes.image) -> bool:
    """Whether an image is the fallback of an interactive figure, whose HTML the book shows instead."""
    bundle = image.parent.parent or []
    return any(node.get("mime_type") == "text/html" for node in bundle if isinstance(node, nodes.container))


class NumberChapter(SphinxTransform):
    """A chapter's number before its title: that of its file, since chapters still to come leave gaps."""

    default_priority = 200

    def apply(self) -> None:
        chapter = re.fullmatch(r"notebooks/(\d\d)_\w+", self.env.docname)
        title = next(self.document.findall(nodes.title), None)
        if chapter and title is not None:
            title.insert(0, nodes.Text(f"{int(chapter[1])}. "))


def refresh_static_files(app: Sphinx, env: BuildEnvironment, *_changes: set[str]) -> list[str]:
    """Have one page written when a static file is newer than its copy: only then does Sphinx copy any."""
    for folder in app.config.html_static_path:
        for source in (Path(app.srcdir) / folder).rglob("*.*"):
            copy = Path(app.outdir) / "_static" / source.name
            if copy.exists() and copy.stat().st_mtime < source.stat().st_mtime:
                return [app.config.root_doc]
    return []


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Put MathJax beside the pages, so that formulas need no network."""
    source = Path(importlib.util.find_spec("mathjax").origin).parent / "static/mathjax/es5"
    target = Path(app.outdir) / "assets/mathjax"
    if error or target.exists():
        return
    for part in MATHJAX_PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (source / part).is_dir() else shutil.copy2
        copy(source / part, target / part)


def visit_displayed_math(translator: Any, node: nodes.math_block) -> None:
    r"""Pass a formula on as it is: Sphinx would wrap ``\\`` in a ``split``, where ``\tag`` is an error."""
    translator.body.append(translator.starttag(node, "div", "", CLASS="math notranslate nohighlight"))
    translator.body.append(rf"\[{translator.encode(node.astext())}\]</div>")
    raise nodes.SkipNode


def drop_dead_buttons(app: Sphinx, config: Config) -> None:
    """Without a repository a launch button has nowhere to go, and the theme fails on it."""
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.pop("launch_buttons", None)


def add_kaggle_button(app: Sphinx, page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Offer a notebook on Kaggle, beside the theme's button for Colab."""
    theme = app.config.html_theme_options
    notebook = f"{theme.get('repository_url')}/blob/{theme.get('repository_branch')}/{page}.ipynb"
    button = {"type": "link", "text": "Kaggle", "tooltip": "Launch on Kaggle", "icon": "fas fa-cube"}
    for group in context.get("header_buttons", []):
        if group.get("label") == "launch-buttons":
            group["buttons"].append({**button, "url": KAGGLE + notebook})


def setup(app: Sphinx) -> None:
    app.add_css_file("course.css")
    app.add_js_file("course.js", loading_method="defer")
    app.add_transform(AskForAltText)
    app.add_transform(NumberChapter)
    app.add_node(nodes.math_block, override=True, html=(visit_displayed_math, None))
    app.connect("config-inited", drop_dead_buttons, priority=100)
    app.connect("html-page-context", add_kaggle_button, priority=600)
    app.connect("env-get-outdated", refresh_static_files)
    app.connect("build-finished", copy_mathjax)
