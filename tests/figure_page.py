"""A page that holds interactive figures, in a real browser; and what every such page must keep."""

import re
from pathlib import Path

from bs4 import BeautifulSoup

from yolov3_lib.widgets import Widget

SAID = """root => Object.fromEntries(
  [...root.querySelectorAll('[data-out]')].map(node => [node.dataset.out, node.textContent])
)"""
THUMBS = """
  [...document.querySelectorAll('.yv :is(button, select, input:not([type=checkbox]), .yv-check)')]
  .filter(node => node.checkVisibility()).map(node => node.getBoundingClientRect().height)
"""
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


class Visit:
    """A page that holds figures, opened from a file; complaints and requests fail the test at its end."""

    def __init__(self, browser, folder: Path, *figures: Widget, theme: str = "light", **context) -> None:
        context.setdefault("viewport", {"width": 1000, "height": 900})
        self.context = browser.new_context(**context)
        self.tab = self.context.new_page()
        self.troubles: list[str] = []
        self.tab.on("console", lambda message: self.troubles.append(message.text))
        self.tab.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.tab.on("request", self._asked)
        body = "\n<hr>\n".join(figure.html for figure in figures)
        page = folder / "page.html"
        page.write_text(
            f'<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Figures</title>'
            # What the book's Bootstrap does, and what a figure has to live with.
            "<style>[hidden] { display: none !important } body { margin: 16px }</style></head>"
            f"<body><main><h1>Figures</h1>{body}</main></body></html>",
            encoding="utf-8",
        )
        self.tab.goto(page.as_uri())

    def _asked(self, request) -> None:
        if not request.url.startswith(("data:", "file:")):
            self.troubles.append(request.url)

    def __enter__(self):
        return self.tab

    def __exit__(self, kind, *_) -> None:
        self.context.close()
        if kind is None:
            assert self.troubles == []


def assert_carries_everything(figure: Widget) -> None:
    """It loads nothing, every picture has words, and its style reaches nothing else on the page."""
    tree = BeautifulSoup(figure.html, "html.parser")
    assert not tree.select("script[src], link, [id]")
    for node in tree.select("[src], [href]"):
        assert node.get("src", node.get("href")).startswith("data:image/")
    for picture in tree.select("img, svg"):
        assert picture.get("alt") or picture["aria-label"]
    selectors = re.findall(r"^([^@{}]+)\{", re.sub(r"\([^()]*\)", "", tree.style.string), re.MULTILINE)
    assert all(".yv" in selector for selector in ",".join(selectors).split(","))


def assert_accessible(tab) -> None:
    """axe-core finds nothing to complain about."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"resultTypes": ["violations"], "preload": False}  # it would fetch style sheets, in vain
    violations = Axe().run(tab, options=options).response["violations"]
    assert [(v["id"], node["html"][:200]) for v in violations for node in v["nodes"]] == []


def assert_fits_a_phone(tab, *widths: int) -> None:
    """Nothing is wider than a phone, and every control is large enough for a thumb."""
    before = tab.viewport_size
    for width in widths or (390, 360, 320):
        tab.set_viewport_size({"width": width, "height": 844})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert min(tab.evaluate(THUMBS)) >= 40
    tab.set_viewport_size(before)
