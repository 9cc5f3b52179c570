"""The book's Sphinx extension, on small pages: what it makes of good Markdown, and what it says of bad."""

import base64
import io
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools" / "bookext"))

pytest.importorskip("sphinx")
from course_book.folds import spread_folds  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.util.docutils import docutils_namespace  # noqa: E402

SETTINGS = {
    "extensions": ["myst_nb", "sphinxcontrib.bibtex", "course_book"],
    "myst_enable_extensions": ["dollarmath"],
    "nb_execution_mode": "off",
    "bibtex_bibfiles": ["references.bib"],
    "bibtex_cite_id": "{key}",
    "nitpicky": True,
    "root_doc": "index",
    "html_theme": "basic",
}
REFERENCES = "# References\n\n```{bibliography}\n:all:\n:list: bullet\n```\n"
BIBLIOGRAPHY = "@misc{redmon2018, author={Redmon, Joseph}, title={YOLOv3}, year={2018}}\n"


def picture() -> str:
    file = io.BytesIO()
    Image.new("RGB", (4, 3)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def output(alt: str | None = None, html: str | None = None) -> dict:
    """A code cell with a picture, and maybe the same as HTML."""
    data = {"image/png": picture()} | ({"text/html": html} if html else {})
    return {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {"mystnb": {"image": {"alt": alt}}} if alt else {},
        "source": "show()",
        "outputs": [{"output_type": "display_data", "metadata": {}, "data": data}],
    }


@pytest.fixture
def build(tmp_path):
    """Builds a book of one notebook; gives the HTML of its article and the warnings."""

    def run(*cells: str | dict, references: str = REFERENCES, **settings) -> tuple[str, str]:
        source = tmp_path / "source"
        source.mkdir()
        notebook = {
            "nbformat": 4,
            "nbformat_minor": 4,
            "metadata": {
                "kernelspec": {"name": "python3", "display_name": "Python 3"},
                "language_info": {"name": "python", "pygments_lexer": "ipython3"},
            },
            "cells": [
                {"cell_type": "markdown", "metadata": {}, "source": cell} if isinstance(cell, str) else cell
                for cell in ("# Title", *cells)
            ],
        }
        (source / "page.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
        (source / "index.md").write_text("# Index\n\n```{toctree}\npage\nreferences\n```\n", encoding="utf-8")
        (source / "references.md").write_text(references, encoding="utf-8")
        (source / "references.bib").write_text(BIBLIOGRAPHY, encoding="utf-8")
        warnings = io.StringIO()
        folders = [str(source), None, str(tmp_path / "html"), str(tmp_path / "doctrees")]
        with docutils_namespace():
            Sphinx(*folders, "html", SETTINGS | settings, status=None, warning=warnings).build()
        page = (tmp_path / "html" / "page.html").read_text(encoding="utf-8")
        article = page.partition('role="main"')[2].partition("sphinxsidebar")[0]
        return " ".join(article.split()), re.sub(r"\x1b\[\d*(;\d+)*m", "", warnings.getvalue())

    return run


# -- before parsing


def test_fold_on_one_line_is_spread():
    assert spread_folds("<details><summary>Hint</summary>Mind $w$.</details>").split("\n\n") == [
        "",
        "<details>",
        "Hint",
        "Mind $w$.",
        "</details>",
        "",
    ]


def test_fold_in_a_list_or_quotation_keeps_its_place():
    in_list = spread_folds("1. Why?\n   <details><summary>Answer</summary>So.</details>")
    assert "\n   <details>\n\n   Answer\n" in re.sub(r" +\n", "\n", in_list)
    quoted = spread_folds("> <details><summary>Hint</summary>Here.</details>")
    assert all(line.startswith(">") for line in quoted.splitlines() if line)


def test_numbered_summary_is_no_list():
    assert "1\\. Why?" in spread_folds("<details><summary>1. Why?</summary>So.</details>")


@pytest.mark.parametrize("code", ["```html\n<details><summary>x</summary>y</details>\n```", "`</details>`"])
def test_code_is_left_alone(code):
    assert spread_folds(code) == code


# -- in the page


def test_boxes_card_and_map(build):
    html, warnings = build(
        "> **Chapter card.**\n> - **Time** 50 minutes\n> - **You need:** `torch`",
        "> **On the map.** image → decode → **NMS** → boxes · data → **loss**",
        "> **Predict.** What is $1/27$?",
        "> An ordinary quotation.",
    )
    assert warnings == ""
    assert re.search(r"<dt>Time</dt><dd><p>50 minutes</p>", html)
    assert re.search(r"<dt>You need</dt><dd><p><code[^>]*>.*torch", html)
    assert html.count('<ol aria-label="Where this chapter stands in YOLOv3"') == 2
    assert re.findall(r'<li aria-current="true"><strong>(\w+)</strong>', html) == ["NMS", "loss"]
    assert 'class="course-box course-box-predict admonition"' in html
    assert '<p class="admonition-title">Predict</p>' in html
    assert html.count("<blockquote>") == 1


def test_fold_holds_markdown_and_mathematics(build):
    html, warnings = build("<details><summary>Hint **1**</summary>Mind $w$ and `h`.\n\n- twice\n\n</details>")
    assert warnings == ""
    fold = re.search(r'<details class="course-fold">(.*?)</details>', html)[1]
    assert "<summary>Hint <strong>1</strong></summary>" in fold
    assert r"\(w\)" in fold
    assert "<code" in fold
    assert "<li>" in fold


def test_caption_joins_the_output_above(build):
    html, warnings = build(output(alt="Two boxes"), "> **Figure 1.2.** *Two* boxes.")
    assert warnings == ""
    figure = re.search(r'<figure class="course-figure" id="figure-1-2">(.*?)</figure>', html)[1]
    assert 'alt="Two boxes"' in figure
    assert re.search(r"<figcaption>.*Figure 1.2.*<em>Two</em>", figure)


def test_interactive_figure_shows_its_html(build):
    html, warnings = build(output(html="<div id='alive'></div>"), "> **Figure 1.2.** Alive.")
    assert warnings == ""
    assert "<div id='alive'></div>" in html
    assert "<img" not in html


def test_tagged_equation_is_passed_on_whole(build):
    html, warnings = build("$$\\begin{aligned} a &= b \\\\ c &= d \\end{aligned} \\tag{1.2}$$")
    assert warnings == ""
    assert r"\[\begin{aligned} a &amp;= b \\ c &amp;= d \end{aligned} \tag{1.2}\]" in html


def test_citation_leads_to_its_entry(build):
    html, warnings = build("As [Redmon 2018](references.md#redmon2018) has it.")
    assert warnings == ""
    assert 'href="references.html#redmon2018"' in html


def test_library_names_lead_to_their_entries(build):
    reference = "```{eval-rst}\n.. automodule:: yolov3_lib.boxes\n   :members: iou, giou\n```"
    html, warnings = build(
        "`boxes.iou`, `boxes.iou(a, b)`, `yolov3_lib.boxes.iou`, `iou`, `boxes`.",
        "`yolov3_lib.boxes`: `giou`, `diou`.",
        references=REFERENCES + reference,
        nitpick_ignore_regex=[("py:.*", ".*")],
    )
    assert warnings == ""
    assert html.count('href="references.html#yolov3_lib.boxes.iou"') == 3
    assert html.count('href="references.html#yolov3_lib.boxes.giou"') == 1
    assert html.count("course-api") == 5


# -- complaints


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ([output()], "image without alt text"),
        (["![](missing.png)"], "image without alt text"),
        (["Text.", "> **Figure 1.2.** Of nothing."], "Figure 1.2: this caption has no figure above it"),
        (["<details><summary>Hint</summary>\n\nNever closed."], "<details> has no partner"),
        (["> **Chapter card.**\n> - no term"], "opens with a bold term"),
        (["[Nobody 1900](references.md#nobody1900)"], "'nobody1900'"),
    ],
)
def test_what_is_wrong_is_said(build, cells, complaint):
    _, warnings = build(*cells)
    assert complaint in warnings
    assert "page.ipynb" in warnings


# -- buttons


def test_kaggle_and_colab_need_a_repository(build, tmp_path):
    theme = {"launch_buttons": {"colab_url": "https://colab.research.google.com"}}
    extensions = [*SETTINGS["extensions"], "sphinx_book_theme"]
    settings = {"html_theme": "sphinx_book_theme", "extensions": extensions, "html_theme_options": theme}
    build(**settings)
    page = (tmp_path / "html" / "page.html").read_text(encoding="utf-8")
    assert "kaggle.com" not in page
    assert "colab.research" not in page


def test_kaggle_and_colab_with_a_repository(build, tmp_path):
    theme = {
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
        "repository_url": "https://github.com/someone/course",
        "repository_branch": "main",
    }
    extensions = [*SETTINGS["extensions"], "sphinx_book_theme"]
    build(html_theme="sphinx_book_theme", extensions=extensions, html_theme_options=theme)
    page = (tmp_path / "html" / "page.html").read_text(encoding="utf-8")
    notebook = "github.com/someone/course/blob/main/page.ipynb"
    assert f"https://kaggle.com/kernels/welcome?src=https://{notebook}" in page
    assert "colab.research.google.com/github/someone/course/blob/main/page.ipynb" in page
