"""The built book: what stands in its pages, and what a real browser makes of them.

The browser opens every page from the file system, as a reader without a network does, in light and in dark.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "_build" / "html"
STRICT = bool(os.environ.get("CI"))
if not BOOK.exists() and not STRICT:
    pytest.skip("there is no built book: run `make book` first", allow_module_level=True)

PAGES = sorted(str(path.relative_to(BOOK)) for path in BOOK.glob("[!_]*/**/*.html"))
CHAPTERS = [page for page in PAGES if re.fullmatch(r"notebooks/\d\d_\w+\.html", page)]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


class Page(HTMLParser):
    """The elements of a page, in order: (tag, attributes); and its text outside code and formulas."""

    VOID = frozenset({"img", "link", "meta", "input", "br", "hr", "rect", "path", "line", "circle"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._hidden: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        classes = attributes.get("class", "").split()
        code = tag in ("script", "style", "pre", "code") or "math" in classes or "sig" in classes
        if tag not in self.VOID and (code or self._hidden):
            self._hidden.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._hidden and tag in self._hidden:
            while self._hidden.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def ids(self) -> set[str]:
        return {attributes["id"] for _, attributes in self.elements if attributes.get("id")}


@cache
def parsed(page: str) -> Page:
    return Page(BOOK / page)


# -- what stands in the files


def pages_of_contents(entry: dict) -> Iterator[str]:
    """Every page that the table of contents names."""
    for key in ("root", "file"):
        if key in entry:
            yield entry[key]
    for key in ("parts", "chapters", "sections"):
        for below in entry.get(key, []):
            yield from pages_of_contents(below)


def test_every_page_of_the_contents_is_built():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    assert sorted(f"{page}.html" for page in pages_of_contents(contents)) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    broken = [link["href"] for link in parsed(page).all("a") if not resolves(link.get("href", ""), page)]
    assert not broken


def resolves(href: str, page: str) -> bool:
    """Whether a link within the book leads to a file, and to an element where it names one."""
    url = urlsplit(href)
    if url.scheme or url.netloc:
        return True
    folder = posixpath.dirname(page)
    target = posixpath.normpath(posixpath.join(folder, unquote(url.path))) if url.path else page
    if not (BOOK / target).is_file():
        return False
    return not url.fragment or unquote(url.fragment) in parsed(target).ids()


@pytest.mark.parametrize("page", PAGES)
def test_every_image_says_what_it_shows(page):
    silent = [
        image.get("src", "?")[:80] for image in parsed(page).all("img") if not image.get("alt", "").strip()
    ]
    assert not silent


@pytest.mark.parametrize("page", PAGES)
def test_no_markup_is_left_over(page):
    text = parsed(page).text
    for pattern in (
        r"\$\$",
        r"\\(frac|max|min|tag|mathrm)\b",
        r"\{[a-z-]+\}`",
        r":::",
        r"^>\s",
        r"\*\*\w[^*\n]*\*\*",
        r"```",
    ):
        found = re.search(pattern, text, re.MULTILINE)
        assert not found, f"{found.group()!r} in {text[found.start() - 40 : found.end() + 40]!r}"


@pytest.mark.parametrize("page", CHAPTERS)
def test_chapter_is_dressed(page):
    """The plain Markdown of a chapter has become what the extension makes of it."""
    chapter = parsed(page)
    classes = [" ".join(attributes.get("class", "").split()) for _, attributes in chapter.elements]
    boxes = {name for value in classes for name in value.split() if name.startswith("course-")}
    assert {"course-map", "course-card", "course-fold", "course-figure"} <= boxes
    assert {"course-box-predict", "course-box-by-hand", "course-box-where-sources-disagree"} <= boxes
    assert sum("aria-current" in stage and tag == "li" for tag, stage in chapter.elements) >= 1
    links = [link.get("href", "") for link in chapter.all("a")]
    assert any("references.html#" in link for link in links), "cites nothing"
    assert any("api.html#" in link for link in links), "links to no function of the library"


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("notebooks/")])
def test_notebook_can_be_downloaded_as_it_is(page):
    source = page.replace(".html", ".ipynb")
    folder = "../" * page.count("/")
    assert f"{folder}_sources/{source}" in [link.get("href") for link in parsed(page).all("a")]
    assert (BOOK / "_sources" / source).read_bytes() == (ROOT / source).read_bytes()


def test_no_button_leads_nowhere():
    """Without the repository's address there is nothing that Kaggle or Colab could open."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    hosts = ("kaggle.com/kernels/welcome", "colab.research.google.com")
    for page in CHAPTERS:
        links = " ".join(link.get("href", "") for link in parsed(page).all("a"))
        for host in hosts:
            assert (host in links) == bool(config["repository"]["url"])


# -- what a browser makes of them


class Visit:
    """A page in a browser tab, with what it asked for and what it complained about."""

    def __init__(self, browser, page: str, scheme: str = "light", viewport: dict = DESKTOP) -> None:
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)
        self.tab = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", self._hear)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("requestfailed", lambda request: self.complaints.append(f"not found: {request.url}"))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.goto((BOOK / page).as_uri())
        self.tab.wait_for_function("!window.MathJax || !MathJax.startup || MathJax.startup.promise")
        self.tab.evaluate("window.MathJax && MathJax.startup && MathJax.startup.promise")

    def _hear(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *_) -> None:
        self.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_page_reads_offline(browser, page, scheme):
    with Visit(browser, page, scheme) as visit:
        tab = visit.tab
        assert tab.evaluate("document.documentElement.dataset.theme") == scheme
        assert tab.locator("merror, mjx-merror").all_inner_texts() == []
        formulas = tab.locator("article .math").count()
        assert tab.locator("article .math mjx-container").count() == formulas
        serious = [
            f"{violation['id']}: {node['html'][:160]}"
            for violation in inspect(tab)
            for node in violation["nodes"]
        ]
        assert serious == []
        assert visit.complaints == []
        assert [url for url in visit.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def inspect(tab) -> list[dict]:
    """What axe-core holds against a page, if it is serious."""
    from axe_playwright_python.sync_playwright import Axe

    options = {
        "resultTypes": ["violations"],
        "preload": False,
    }  # it would fetch style sheets, in vain from a file
    violations = Axe().run(tab, options=options).response["violations"]
    return [violation for violation in violations if violation["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("page", PAGES)
def test_page_fits_a_phone(browser, page):
    with Visit(browser, page, viewport=PHONE) as visit:
        assert visit.tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_formula_begins_where_it_can_be_read(browser, page):
    """However wide it is: its left end is in view, and the rest is reached by scrolling."""
    with Visit(browser, page, viewport=PHONE) as visit:
        visit.tab.wait_for_function("window.MathJax?.startup?.promise !== undefined")
        visit.tab.evaluate("MathJax.startup.promise.then(() => null)")
        overhangs = visit.tab.evaluate(
            """[...document.querySelectorAll('div.math')].map(formula =>
              formula.getBoundingClientRect().left -
              Math.min(...[...formula.querySelectorAll('mjx-c')].map(c => c.getBoundingClientRect().left)))"""
        )
        assert len(overhangs) > 3
        assert max(overhangs) <= 0.5


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_has_the_number_of_its_file(page):
    number = int(re.search(r"/(\d\d)_", page)[1])
    text = (BOOK / page).read_text(encoding="utf-8")
    assert re.search(rf"<h1>{number}\. \w", text)
    assert re.search(rf'<a class="[^"]*" href="#">\s*{number}\. \w', text), "the navigation says another"


@pytest.mark.parametrize("page", CHAPTERS[:1])
def test_folds_open_by_keyboard_and_on_paper(browser, page):
    with Visit(browser, page) as visit:
        fold = visit.tab.locator("details.course-fold").first
        body = fold.locator(".course-fold-body")
        assert not body.is_visible()
        fold.locator("summary").focus()
        visit.tab.keyboard.press("Enter")
        assert body.is_visible()
        visit.tab.keyboard.press("Enter")
        visit.tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert visit.tab.locator("details:not([open])").count() == 0
        visit.tab.evaluate("dispatchEvent(new Event('afterprint'))")
        assert not body.is_visible()


def test_front_door_leads_to_the_preface(browser):
    with Visit(browser, "index.html") as visit:
        visit.tab.wait_for_url("**/book/index.html")
        assert "mathematics" in visit.tab.title()


def test_search_finds_without_a_network(browser):
    with Visit(browser, "search.html") as visit:
        visit.tab.goto((BOOK / "search.html").as_uri() + "?q=suppression")
        results = visit.tab.locator("#search-results li a")
        results.first.wait_for()
        assert results.count() >= 2
        assert visit.complaints == []
