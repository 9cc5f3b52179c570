"""The interactive figures: what a bundle holds, and that a real browser computes what the library does."""

import base64
import io
import json
import math
import os
import random
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from figure_page import PHONE, SAID, THUMBS, Visit, assert_accessible
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from yolov3_lib import boxes as measures
from yolov3_lib import nms as rules
from yolov3_lib.plots import COLORS
from yolov3_lib.widgets import Widget, iou_explorer, nms_explorer, nms_steps, stepper
from yolov3_lib.widgets.base import _read, fixed, number
from yolov3_lib.widgets.iou_scene import readout
from yolov3_lib.widgets.nms_scene import RULES, keep

ROOT = Path(__file__).resolve().parent.parent
CHAIN = torch.tensor([[0.0, 0, 4, 3], [1.5, 0.5, 5.5, 3.5], [3, 1, 7, 4]])
CHAIN_SCORES = torch.tensor([0.9, 0.8, 0.7])


def detections(count: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Raw detections on a coarse grid with few scores, so that IoUs and scores tie all the time."""
    rng = random.Random(seed)
    boxes = []
    for _ in range(count):
        x, y = rng.randrange(0, 14), rng.randrange(0, 9)
        boxes.append([20.0 * v for v in (x, y, x + rng.randint(1, 6), y + rng.randint(1, 5))])
    scores = [rng.choice((0.02, 0.1, 0.25, 0.3, 0.45, 0.5, 0.77, 0.9)) for _ in boxes]
    classes = [rng.choice((0, 0, 0, 2, 3)) for _ in boxes]
    return torch.tensor(boxes), torch.tensor(scores), torch.tensor(classes)


NAMES = ("dog", "unused", "<b>&\"'", "car")


def photograph(width: int = 400, height: int = 300) -> Image.Image:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    noise = np.random.default_rng(0).integers(0, 40, (height, width))
    return Image.fromarray(np.stack([x % 256, y % 256, noise + 100], -1).astype(np.uint8))


@pytest.fixture(scope="module")
def widgets() -> dict[str, Widget]:
    return {
        "iou": iou_explorer(without_clamp=True),
        "nms": nms_explorer(photograph(), *detections(), NAMES),
        "plain": nms_explorer(None, *detections(30), NAMES, size=(400, 300)),
        "steps": nms_steps(CHAIN, CHAIN_SCORES, 0.3),
    }


def soup(widget: Widget) -> BeautifulSoup:
    return BeautifulSoup(widget.html, "html.parser")


def shown(widget: Widget) -> dict[str, str]:
    """What the finished markup says, by the name of each place."""
    return {node["data-out"]: node.get_text() for node in soup(widget).select("[data-out]")}


# What the bundle holds.


@pytest.mark.parametrize("name", ["iou", "nms", "plain", "steps"])
def test_bundle_has_page_picture_and_text(widgets, name):
    widget = widgets[name]
    data, metadata = widget._repr_mimebundle_()
    picture_type = "image/jpeg" if name == "nms" else "image/png"
    assert set(data) == {"text/html", picture_type, "text/plain"}
    assert "\n" not in data["text/plain"]
    assert data["text/plain"] == repr(widget)
    picture = Image.open(io.BytesIO(base64.b64decode(data[picture_type])))
    assert picture.get_format_mimetype() == picture_type
    assert len(picture.convert("RGB").resize((64, 64)).getcolors(4096)) > 5  # something is drawn
    assert metadata[picture_type]["alt"] == widget.alt
    ratio = metadata[picture_type]["width"] / metadata[picture_type]["height"]
    assert ratio == pytest.approx(picture.width / picture.height, rel=0.02)
    json.dumps([data, metadata])


def test_widgets_are_small(widgets):
    for name in ("iou", "plain", "steps"):
        assert len(widgets[name].html.encode()) < 40_000
        assert len(widgets[name].picture) < 40_000


def test_photographs_are_small_however_large_they_come():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8))
    boxes, scores, classes = detections()
    widget = nms_explorer(noise, boxes, scores, classes, NAMES)
    (address,) = re.findall(r'href="(data:[^"]+)"', widget.html)
    assert len(address) <= 80_100
    kept = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
    assert max(kept.size) == 640
    assert soup(widget).svg["viewbox"] == "0 0 2000 1500"  # boxes stay in pixels of the original


def test_figures_are_deterministic(widgets):
    again = nms_explorer(photograph(), *detections(), NAMES)
    assert again.html == widgets["nms"].html
    assert again.picture == widgets["nms"].picture
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 20, "figure.constrained_layout.use": True, "axes.grid": True}):
        changed = dict(matplotlib.rcParams)
        # A picture comes out the same whatever the notebook has set, and changes nothing of that.
        assert iou_explorer(without_clamp=True)._repr_mimebundle_() == widgets["iou"]._repr_mimebundle_()
        assert nms_steps(CHAIN, CHAIN_SCORES, 0.3).picture == widgets["steps"].picture
        assert dict(matplotlib.rcParams) == changed
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", ["iou", "nms", "plain", "steps"])
def test_html_is_self_contained_and_may_stand_twice(widgets, name):
    tree = soup(widgets[name])
    assert not tree.select("[id]")
    for node in tree.select("[src], [href]"):
        assert node.get("src", node.get("href")).startswith("data:image/")
    assert not tree.select("script[src], link")
    style = tree.style.string
    assert "@import" not in style
    assert "url(" not in style
    # Every rule is about our own elements: nothing else on the page changes its look.
    selectors = re.findall(r"^([^@{}]+)\{", re.sub(r"\([^()]*\)", "", style), re.MULTILINE)
    assert len(selectors) > 20
    for selector in ",".join(selectors).split(","):
        assert ".yv" in selector, selector


@pytest.mark.parametrize("name", ["iou", "nms", "plain", "steps"])
def test_picture_stands_in_where_styles_and_scripts_are_stripped(widgets, name):
    """A sanitizer drops style, script and svg, and keeps attributes that have a value."""
    figure, still = soup(widgets[name]).select(".yv, .yv-still")
    assert figure["hidden"] == "hidden"
    assert still.name == "img"
    assert still["alt"] == widgets[name].alt
    assert still.find_previous(class_="yv") is figure
    assert still.find_parent(class_="yv") is None


@pytest.mark.parametrize("name", ["iou", "nms", "plain", "steps"])
def test_static_state_has_words(widgets, name):
    tree = soup(widgets[name])
    assert len(tree.select_one(".yv")["aria-label"]) > 40
    for image in tree.select("img, svg"):
        assert image.get("alt") or image["aria-label"]
    for control in tree.select("input, select, button"):
        assert control.get("aria-label") or control.get_text(strip=True) or control.find_parent("label")


def test_alt_text_can_be_given():
    assert iou_explorer(alt="Two boxes.").alt == "Two boxes."
    assert nms_explorer(None, *detections(), NAMES, alt="Boxes.").alt == "Boxes."
    assert 'aria-label="Three boxes."' in nms_steps(CHAIN, CHAIN_SCORES, alt="Three boxes.").html


def test_colors_are_the_books():
    light = (_read("core.css") + _read("nms.css")).split("@media screen")[0].lower()
    for meaning in ("a", "b", "kept", "suppressed", "accent", "highlight", "grid"):
        assert COLORS[meaning].lower() in light


@given(st.floats(-1e4, 1e4), st.integers(0, 4))
def test_numbers_are_written_half_up_and_without_minus_zero(value, digits):
    written = fixed(value, digits)
    back = float(written.replace("−", "-"))
    assert abs(back - value) <= 0.5 * 10**-digits + 1e-9
    assert written != "−" + fixed(0, digits)
    assert float(number(value, digits).replace("−", "-")) == back


def test_number_examples():
    assert fixed(0.0625) == "0.063"  # a tie: Python's own formatting would give 0.062
    assert fixed(-0.0004) == "0.000"
    assert (number(2.5), number(4.0), number(-1), number(100)) == ("2.5", "4", "−1", "100")


# IoU explorer.

steps_of_half = st.integers(0, 16).map(lambda n: n / 2)


@st.composite
def grid_boxes(draw):
    (x1, x2), (y1, y2) = (sorted((draw(steps_of_half), draw(steps_of_half))) for _ in range(2))
    return (x1, y1, x2, y2)


@given(grid_boxes(), grid_boxes())
def test_readout_agrees_with_plain_python(a, b):
    said = readout(a, b)
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    shared = w * h if w > 0 and h > 0 else 0
    union = area_a + area_b - shared
    assert said["width"].endswith(f" = {number(w)}")
    assert said["height"].endswith(f" = {number(h)}")
    assert said["overlap"].endswith(f" = {number(shared)}")
    assert said["union"].endswith(f" = {number(union)}")
    assert said["iou"] == fixed(shared / union if union else 0)
    if area_a + area_b != w * h:
        assert said["bug"] == fixed(w * h / (area_a + area_b - w * h))
    for name in ("iou", "giou", "diou", "ciou"):
        tensors = (torch.tensor(box, dtype=torch.float64) for box in (a, b))
        assert said[name] == fixed(float(getattr(measures, name)(*tensors)))


def test_readout_shows_what_a_missing_clamp_does():
    said = readout((0, 0, 4, 3), (5, 4, 9, 8))
    assert said["iou"] == "0.000"
    assert said["bug-terms"] == "(−1) × (−1) = 1\n1 / (12 + 16 − 1)"
    assert said["bug"] == fixed(1 / 27)
    assert readout((0, 0, 1, 1), (2, 3, 3, 4))["bug"] == "∞"  # 1 + 1 − (−1)(−2) = 0
    assert readout((0, 0, 0, 0), (0, 0, 0, 0))["bug"] == "0/0"


def test_iou_explorer_starts_with_the_librarys_numbers(widgets):
    said = shown(widgets["iou"])
    assert said == readout((0, 0, 4, 3), (2, 1, 6, 5))
    assert said["iou"] == fixed(4 / 24)
    state = json.loads(soup(widgets["iou"]).select_one(".yv")["data-state"])
    assert state["cases"]["Start"] == [[0, 0, 4, 3], [2, 1, 6, 5]]
    for a, b in state["cases"].values():
        for box in (a, b):
            assert 0 <= box[0] < box[2] <= 10
            assert 0 <= box[1] < box[3] <= 8


def test_cases_fit_other_grids():
    widget = iou_explorer((0, 0, 8, 8), (2, 2, 6, 6), size=(20, 30), snap=1)
    state = json.loads(soup(widget).select_one(".yv")["data-state"])
    for a, b in state["cases"].values():
        assert all(value == int(value) for value in [*a, *b])
        assert max(a[2], b[2]) <= 20
        assert max(a[3], b[3]) <= 30
    apart = state["cases"]["Apart on both axes"]
    assert apart[0][2] < apart[1][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": (4, 0, 0, 3)}, r"a: x2 \(0.0\) < x1 \(4.0\)"),
        ({"b": (0, 0, math.nan, 3)}, "b: x2 is nan"),
        ({"b": (0, 0, 11, 3)}, r"b \(0, 0, 11, 3\) leaves the grid of 10 × 8"),
        ({"a": (0, 0, 1)}, "a has 3 numbers"),
        ({"snap": 0}, "snap is 0"),
    ],
)
def test_iou_explorer_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        iou_explorer(**arguments)


# NMS explorer.


def test_nms_explorer_starts_with_what_the_library_keeps(widgets):
    boxes, scores, classes = detections()
    candidates = (scores > 0.25).nonzero()[:, 0]
    kept = candidates[rules.class_nms(boxes[candidates], scores[candidates], classes[candidates], 0.45)]
    tree = soup(widgets["nms"])
    assert sorted(int(g["data-index"]) for g in tree.select(".yv-kept > g")) == sorted(kept.tolist())
    assert [int(tag["data-index"]) for tag in tree.select(".yv-tag")] == kept.tolist()
    said = shown(widgets["nms"])
    assert said["kept"] == str(len(kept))
    assert said["candidates"] == f"{len(candidates)} candidates"
    assert tree.select_one(".yv-gone path")["d"].count("M") == len(candidates) - len(kept)


def test_class_names_are_escaped(widgets):
    html = widgets["nms"].html
    assert "<b>&\"'" not in html
    tree = soup(widgets["nms"])
    assert any(tag.get_text().startswith("<b>&\"' 0.") for tag in tree.select(".yv-tag"))
    assert json.loads(tree.select_one(".yv")["data-state"])["names"] == ["dog", "<b>&\"'", "car"]


def test_thresholds_start_where_the_sliders_can_stand():
    widget = nms_explorer(None, *detections(), NAMES, score_threshold=0.2512, iou_threshold=0.4549)
    assert [field["value"] for field in soup(widget).select("input[type=range]")] == ["0.25", "0.45"]
    assert shown(widget) == shown(nms_explorer(None, *detections(), NAMES))


def test_nms_explorer_without_boxes():
    none = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    widget = nms_explorer(photograph(), *none, NAMES)
    assert shown(widget)["kept"] == "0"
    assert "none" in widget.alt


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": torch.tensor([[3.0, 0, 1, 1]])}, r"boxes\[0\]: x2"),
        ({"scores": torch.tensor([0.5, 0.5])}, "don't match"),
        ({"classes": torch.tensor([7])}, r"classes\[0\] is 7, but there are 4 class names"),
        ({"rule": "fast"}, "unknown rule 'fast': choose from greedy, pairwise"),
        ({"iou_threshold": 1.5}, "iou_threshold is 1.5"),
    ],
)
def test_nms_explorer_refuses(change, message):
    arguments = {
        "boxes": torch.tensor([[0.0, 0, 1, 1]]), "scores": torch.tensor([0.5]), "classes": torch.tensor([0]),
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        nms_explorer(None, class_names=NAMES, **{**arguments, **change})


def test_nms_explorer_refuses_a_flood():
    with pytest.raises(ValueError, match="401 boxes make a page slow"):
        nms_explorer(None, *detections(401), NAMES)


# Steppers.


@st.composite
def scored_boxes(draw):
    boxes = draw(st.lists(grid_boxes(), min_size=1, max_size=7))
    scores = draw(st.lists(st.sampled_from((0.3, 0.5, 0.8)), min_size=len(boxes), max_size=len(boxes)))
    return torch.tensor(boxes, dtype=torch.float64), torch.tensor(scores, dtype=torch.float64)


@pytest.mark.parametrize(("rule", "suppress"), [("greedy", rules.nms), ("pairwise", rules.pairwise_nms)])
@given(scored=scored_boxes(), threshold=st.sampled_from((0.0, 0.25, 0.5)))
def test_walk_ends_where_the_library_does(rule, suppress, scored, threshold):
    from yolov3_lib.widgets.nms_walk import walk_through

    steps = walk_through(*scored, threshold, rule=rule)
    roles, caption = steps[-1]
    kept = suppress(*scored, threshold).tolist()
    assert sorted(i for i, role in roles.items() if role == "keep") == sorted(kept)
    assert set(roles.values()) <= {"keep", "drop"}
    for i in kept:
        assert "ABCDEFG"[i] in caption.split("Kept: ")[1]


def test_walks_through_the_chain():
    greedy = nms_steps(CHAIN, CHAIN_SCORES, 0.3)
    pairwise = nms_steps(CHAIN, CHAIN_SCORES, 0.3, rule="pairwise")
    overlap = fixed(float(measures.iou(CHAIN[0], CHAIN[1])), 2)
    captions = [p.get_text() for p in soup(greedy).select(".yv-frame p")]
    assert captions[2].startswith(f"IoU with A: B {overlap}, C ")
    assert captions[2].endswith("More than 0.30: B goes.")
    assert captions[-1].endswith("Kept: A and C.")
    captions = [p.get_text() for p in soup(pairwise).select(".yv-frame p")]
    assert f"{overlap}. C goes, though B itself is gone." in captions[3]
    assert captions[-1].endswith("Kept: A.")


def small_figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [0, 1])
    return figure


def test_stepper_takes_figures_bytes_and_svg():
    figure = small_figure()
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png")
    figure.savefig(svg, format="svg", metadata={"Date": None})
    text = svg.getvalue()[svg.getvalue().index("<svg") :]
    picture = Image.open(io.BytesIO(png.getvalue()))
    widget = stepper(
        [figure, png.getvalue(), text, text.replace("#1f77b4", "#000000")],
        ["one", "two & <three>", "four", "five"],
        "A line that rises.",
        pictures=[picture] * 4,
    )
    tree = soup(widget)
    assert [p.get_text() for p in tree.select(".yv-frame p")] == ["one", "two & <three>", "four", "five"]
    assert [image["alt"] for image in tree.select(".yv-frame img")] == ["one", "two & <three>"]
    ids = [node["id"] for node in tree.select("[id]")]
    assert len(ids) > 4
    assert len(set(ids)) == len(ids)
    references = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', widget.html)
    assert references
    assert {one or other for one, other in references} <= set(ids)


@pytest.mark.parametrize(
    ("frames", "captions", "error", "message"),
    [
        ([], [], ValueError, "frames is empty"),
        ([b"\x89PNG"], ["a", "b"], ValueError, "2 captions for 1 frames"),
        (["<p>no</p>"], ["a"], ValueError, r"frames\[0\] starts with '<p>no</p>'"),
        (["<svg></svg>"], ["a"], ValueError, r"frames\[0\] is SVG: give its pixels"),
        ([3], ["a"], TypeError, r"frames\[0\] is a int"),
    ],
)
def test_stepper_refuses(frames, captions, error, message):
    with pytest.raises(error, match=message):
        stepper(frames, captions, "alt")


# In a real browser.


@pytest.fixture
def visit(browser, tmp_path):
    return lambda *figures, **options: Visit(browser, tmp_path, *figures, **options)


CORNERS = """(root, name) =>
  [...root.querySelectorAll(`input[data-box=${name}]`)].map(input => input.valueAsNumber)
"""
TYPE_IN = """(root, pairs) => {
  const inputs = [...root.querySelectorAll('input[data-edge]')];
  const set = (input, value) => {
    input.value = value;
    input.dispatchEvent(new Event('input', {bubbles: true}));
  };
  return pairs.map(([a, b]) => {
    // Outermost first, so that no state on the way has its corners crossed.
    [0, 0, 10, 8, 0, 0, 10, 8].forEach((value, i) => set(inputs[i], value));
    [...a, ...b].forEach((value, i) => set(inputs[i], value));
    return Object.fromEntries(
      [...root.querySelectorAll('[data-out]')].map(node => [node.dataset.out, node.textContent])
    );
  });
}"""
DRAWN = """root => [...root.querySelectorAll('svg *')].map(node => [
  node.tagName, node.textContent, node.style.display,
  ...['x', 'y', 'width', 'height', 'cx', 'cy', 'x1', 'y1', 'x2', 'y2', 'd'].map(
    name => node.getAttribute(name))
])"""


def corners(figure, name: str) -> tuple[float, ...]:
    return tuple(figure.evaluate(CORNERS, name))


def random_box(rng: random.Random, step: float = 0.5) -> tuple[float, ...]:
    x1, x2 = sorted(rng.randrange(0, int(10 / step) + 1) * step for _ in range(2))
    y1, y2 = sorted(rng.randrange(0, int(8 / step) + 1) * step for _ in range(2))
    return (x1, y1, x2, y2)


def test_iou_in_the_page_is_the_librarys(visit, widgets):
    rng = random.Random(1)
    pairs = [tuple(random_box(rng, 0.5 if trial < 150 else 0.25) for _ in range(2)) for trial in range(200)]
    with visit(widgets["iou"]) as tab:
        figure = tab.locator(".yv-iou")
        said = figure.evaluate(TYPE_IN, pairs)
        assert (corners(figure, "a"), corners(figure, "b")) == pairs[-1]
    for (a, b), page in zip(pairs, said, strict=True):
        assert page == readout(a, b)


def test_script_draws_what_python_drew(visit):
    """The finished markup and what the script makes of it are one picture: nothing jumps as a page loads."""
    rng = random.Random(2)
    figures = [
        iou_explorer(random_box(rng), random_box(rng), without_clamp=trial % 2 == 0) for trial in range(6)
    ]
    with visit(*figures, java_script_enabled=False) as tab:
        before = [figure.evaluate(DRAWN) for figure in tab.locator(".yv-iou").all()]
    with visit(*figures) as tab:
        after = [figure.evaluate(DRAWN) for figure in tab.locator(".yv-iou").all()]
        for figure, live in zip(figures, tab.locator(".yv-iou").all(), strict=True):
            assert shown(figure) == live.evaluate(SAID)

    def as_numbers(node):
        return [float(v) if re.fullmatch(r"-?[\d.]+", v or "") else v for v in node]

    for drawn, redrawn in zip(before, after, strict=True):
        assert len(drawn) == len(redrawn) > 40
        for one, other in zip(drawn, redrawn, strict=True):
            for v, w in zip(as_numbers(one), as_numbers(other), strict=True):
                assert v == w or v == pytest.approx(w, abs=0.011), (one, other)


def test_boxes_are_dragged_by_body_and_corner(visit, widgets):
    rng = random.Random(3)
    with visit(widgets["iou"]) as tab:
        figure = tab.locator(".yv-iou")
        unit = tab.locator(".yv-grid").bounding_box()["width"] / 10
        for trial in range(24):
            figure.get_by_role("button", name="Start").click()
            name, (x1, y1, x2, y2) = ("a", (0, 0, 4, 3)) if trial % 2 else ("b", (2, 1, 6, 5))
            frame = figure.locator(f"g[data-box={name}] .yv-body").bounding_box()
            dx, dy = rng.randint(-12, 12) * 0.5, rng.randint(-12, 12) * 0.5
            by_corner = trial % 4 < 2
            # B's lower right corner, or a place where the boxes don't overlap.
            grip = (x2, y2) if by_corner and name == "b" else (x1, y2) if by_corner else None
            if grip is None:
                grip = (1, 1) if name == "a" else (5, 4)
            start = frame["x"] + (grip[0] - x1) * unit, frame["y"] + (grip[1] - y1) * unit
            tab.mouse.move(*start)
            tab.mouse.down()
            tab.mouse.move(start[0] + dx * unit / 2, start[1] + dy * unit / 2)
            tab.mouse.move(start[0] + dx * unit, start[1] + dy * unit)
            tab.mouse.up()
            if not by_corner:
                left, top = (
                    min(max(v, 0), limit) for v, limit in ((x1 + dx, 10 - x2 + x1), (y1 + dy, 8 - y2 + y1))
                )
                expected = (left, top, left + x2 - x1, top + y2 - y1)
            elif name == "b":
                expected = (x1, y1, min(max(x2 + dx, x1 + 0.5), 10), min(max(y2 + dy, y1 + 0.5), 8))
            else:
                expected = (min(max(x1 + dx, 0), x2 - 0.5), y1, x2, min(max(y2 + dy, y1 + 0.5), 8))
            assert corners(figure, name) == pytest.approx(expected)
            other = "b" if name == "a" else "a"
            assert corners(figure, other) == {"a": (0, 0, 4, 3), "b": (2, 1, 6, 5)}[other]
            assert figure.evaluate(SAID) == readout(corners(figure, "a"), corners(figure, "b"))


def test_boxes_walk_by_keyboard(visit, widgets):
    with visit(widgets["iou"]) as tab:
        figure = tab.locator(".yv-iou")
        figure.get_by_role("button", name="Apart on both axes").focus()
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.dataset.box") == "a"
        for key in (
            "ArrowRight",
            "ArrowRight",
            "ArrowDown",
            "ArrowLeft",
            "Shift+ArrowRight",
            "Shift+ArrowUp",
        ):
            tab.keyboard.press(key)
        assert corners(figure, "a") == (0.5, 0.5, 5, 3)
        tab.keyboard.press("Tab")
        for _ in range(30):
            tab.keyboard.press("ArrowLeft")  # stops at the edge
        assert corners(figure, "b") == (0, 1, 4, 5)
        assert figure.locator("g[data-box=b]").get_attribute("aria-label") == "Box B (0, 1, 4, 5)"
        status = figure.locator("[role=status]")
        status.get_by_text("IoU").wait_for(state="attached")
        assert f"IoU {readout(corners(figure, 'a'), corners(figure, 'b'))['iou']}" in status.inner_text()
        assert tab.evaluate("scrollY") == 0  # the arrows were the figure's, not the page's


def test_switch_buttons_and_wrong_input(visit):
    with visit(iou_explorer()) as tab:
        figure = tab.locator(".yv-iou")
        bug = figure.locator(".yv-bug")
        assert not bug.is_visible()
        figure.get_by_role("button", name="Apart on both axes").click()
        figure.get_by_label("without the clamp").check()
        assert bug.is_visible()
        assert figure.locator(".yv-ghost").is_visible()
        assert bug.locator("[data-out=bug]").inner_text() == fixed(1 / 27)
        field = figure.get_by_label("A x2")
        for wrong in ("99", "-1", ""):
            field.fill(wrong)
            assert field.get_attribute("aria-invalid") == "true"
            assert figure.evaluate(SAID) == readout((0, 0, 4, 3), (5, 4, 9, 8))
        figure.get_by_label("B y1").focus()
        tab.wait_for_function("field => field.value === '4'", arg=field.element_handle())
        assert field.get_attribute("aria-invalid") is None


KEPT = """root =>
  [...root.querySelectorAll('.yv-tag')].map(tag => [Number(tag.dataset.index), tag.textContent])
"""
TRY = """(root, settings) => {
  const [first, second] = root.querySelectorAll('input[type=range]');
  return settings.map(([score, iou]) => {
    first.value = score;
    second.value = iou;
    first.dispatchEvent(new Event('input', {bubbles: true}));
    return {
      kept: [...root.querySelectorAll('.yv-tag')].map(tag => [Number(tag.dataset.index), tag.textContent]),
      drawn: [...root.querySelectorAll('.yv-kept > g')].map(group => Number(group.dataset.index)),
      gone: root.querySelector('.yv-gone path').getAttribute('d').split('M').length - 1,
      said: [...root.querySelectorAll('.yv-outcome b')].map(node => node.textContent),
    };
  });
}"""


@pytest.mark.parametrize("rule", RULES)
def test_nms_in_the_page_keeps_what_the_library_keeps(visit, rule):
    rng = random.Random(4)
    sets = [detections(70, seed) for seed in range(2)]
    figures = [nms_explorer(None, *one, NAMES, size=(400, 300), rule=rule) for one in sets]
    # On such a grid IoUs of 1/4, 1/3 and 1/2 are common, and scores stand right on the thresholds.
    settings = [
        (rng.choice((0, 0.1, 0.25, 0.5, 0.77)), rng.choice((0, 0.2, 0.25, 0.33, 0.5, 0.6, 0.9)))
        for _ in range(30)
    ]
    with visit(*figures) as tab:
        pages = [figure.evaluate(TRY, settings) for figure in tab.locator(".yv-nms").all()]
    for (boxes, scores, classes), page in zip(sets, pages, strict=True):
        boxes, scores = boxes.double(), scores.double().round(decimals=4)
        for (score, iou), state in zip(settings, page, strict=True):
            kept = keep(boxes, scores, classes, score, iou, rule)
            candidates = int((scores > score).sum())
            assert state["kept"] == [[i, f"{NAMES[classes[i]]} {fixed(value, 2)}"] for i, value in kept]
            assert sorted(state["drawn"]) == sorted(i for i, _ in kept)
            assert state["gone"] == candidates - len(kept)
            assert state["said"] == [str(len(kept)), f"{candidates} candidates"]


def test_sliders_rule_and_highlight(visit, widgets):
    boxes, scores, classes = detections()
    with visit(widgets["nms"]) as tab:
        figure = tab.locator(".yv-nms")
        figure.get_by_role("slider", name="Score above").focus()
        tab.keyboard.press("ArrowRight")
        assert figure.locator("output").first.inner_text() == "0.26"
        figure.get_by_role("slider", name="Score above").fill("0.05")
        figure.locator("select").select_option("pairwise")
        kept = keep(boxes.double(), scores.double().round(decimals=4), classes, 0.05, 0.45, "pairwise")
        assert [i for i, _ in figure.evaluate(KEPT)] == [i for i, _ in kept]
        assert "greedy per class keeps" in figure.locator(".yv-outcome").inner_text()

        # By keyboard to the best box, and on to the next.
        figure.locator("select").select_option("greedy")
        figure.locator(".yv-kept [tabindex='0']").focus()
        tab.keyboard.press("ArrowRight")
        tab.keyboard.press("ArrowLeft")
        best = figure.evaluate(KEPT)[0][0]
        assert figure.locator(".yv-kept [data-active]").get_attribute("data-index") == str(best)
        mine = (classes == classes[best]) & (scores > 0.05) & (scores <= scores[best])
        mine[best] = False
        overlap = measures.iou(boxes[best], boxes)
        won = mine & (overlap > 0.45)
        assert won.sum() >= 1
        assert figure.locator(".yv-won path").first.get_attribute("d").count("M") == won.sum()
        low, high = fixed(float(overlap[won].min()), 2), fixed(float(overlap[won].max()), 2)
        assert f"(IoU {low} to {high})" in figure.locator(".yv-detail").inner_text()

        figure.get_by_label("show suppressed").uncheck()
        assert not figure.locator(".yv-gone").is_visible()
        figure.locator("select").select_option("soft")
        assert figure.get_by_role("slider", name="Suppress at IoU above").is_disabled()


def test_stepper_walks(visit, widgets):
    with visit(widgets["steps"]) as tab:
        figure = tab.locator(".yv-stepper")
        current = figure.locator("[data-current] p")
        first = current.inner_text()
        figure.get_by_role("button", name="Back").click(force=True)  # says that it's disabled
        assert current.inner_text() == first
        for _ in range(9):
            figure.get_by_role("button", name="Next").click(force=True)
        assert current.inner_text().endswith("Kept: A and C.")
        assert figure.locator("output").inner_text() == "5 / 5"
        figure.get_by_role("slider", name="Step").focus()
        tab.keyboard.press("ArrowLeft")
        assert figure.locator("output").inner_text() == "4 / 5"
        assert figure.locator(".yv-frame >> visible=true").count() == 1
        figure.locator("[role=status]").get_by_text("Step 4 of 5").wait_for(state="attached")


def test_two_of_a_kind_live_side_by_side(visit, widgets):
    with visit(widgets["iou"], widgets["steps"], widgets["iou"], widgets["plain"]) as tab:
        one, other = tab.locator(".yv-iou").all()
        before = other.evaluate(SAID)
        one.get_by_role("button", name="Nested").click()
        assert other.evaluate(SAID) == before
        other.get_by_role("button", name="Identical").click()
        assert other.evaluate(SAID)["iou"] == "1.000"
        assert one.evaluate(SAID)["iou"] == fixed(9 / 42)
        assert tab.locator(".yv[data-alive]").count() == 4
        assert tab.locator(".yv-still >> visible=true").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible(visit, widgets, theme):
    with visit(*(widgets[name] for name in ("iou", "nms", "plain", "steps")), theme=theme) as tab:
        ground = tab.locator(".yv").first.evaluate("root => getComputedStyle(root).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (theme == "light")
        assert_accessible(tab)


def test_page_without_a_theme_follows_the_system(visit, widgets):
    for scheme, ground in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(27, 31, 36)")):
        with visit(widgets["iou"], color_scheme=scheme) as tab:
            tab.evaluate("document.documentElement.removeAttribute('data-theme')")
            style = tab.locator(".yv").evaluate("root => getComputedStyle(root).backgroundColor")
            assert style == ground
            # JupyterLab says which theme it has, whatever the system wants.
            tab.evaluate("document.body.dataset.jpThemeLight = 'true'")
            style = tab.locator(".yv").evaluate("root => getComputedStyle(root).backgroundColor")
            assert style == "rgb(255, 255, 255)"


def test_complete_without_scripts(visit, widgets):
    with visit(*(widgets[name] for name in ("iou", "nms", "steps")), java_script_enabled=False) as tab:
        assert tab.locator(".yv >> visible=true").count() == 3
        assert tab.locator(".yv-still >> visible=true").count() == 0
        assert tab.locator(".yv-live >> visible=true").count() == 0  # nothing that would do nothing
        assert tab.locator(".yv-frame >> visible=true").count() == 5


def test_fits_a_phone_and_thumbs(visit, widgets):
    everything = [widgets[name] for name in ("iou", "nms", "plain", "steps")]
    for width in (390, 360, 320):
        with visit(*everything, **{**PHONE, "viewport": {"width": width, "height": 800}}) as tab:
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            sizes = tab.evaluate(THUMBS)
            assert len(sizes) > 20
            assert min(sizes) >= 40
            reach = tab.locator(".yv-reach").first.bounding_box()
            assert min(reach["width"], reach["height"]) >= (40 if width >= 360 else 35)


def test_touch_drags_boxes_and_scrolls_beside_them(visit, widgets):
    with visit(widgets["iou"], widgets["nms"], **PHONE) as tab:
        figure = tab.locator(".yv-iou")
        session = tab.context.new_cdp_session(tab)

        def swipe(start, end, steps=8):
            def touch(kind, points):
                session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

            touch("touchStart", [{"x": start[0], "y": start[1]}])
            for i in range(1, steps + 1):
                x, y = (s + (e - s) * i / steps for s, e in zip(start, end, strict=True))
                touch("touchMove", [{"x": x, "y": y}])
            touch("touchEnd", [])

        frame = figure.locator("g[data-box=b] .yv-body").bounding_box()
        unit = frame["width"] / 4
        grip = frame["x"] + 3 * unit, frame["y"] + 3 * unit
        swipe(grip, (grip[0] + 2 * unit, grip[1] + unit))
        assert corners(figure, "b") == (4, 2, 8, 6)
        assert tab.evaluate("scrollY") == 0
        assert figure.evaluate(SAID) == readout((0, 0, 4, 3), (4, 2, 8, 6))

        grid = figure.locator(".yv-grid").bounding_box()
        empty = grid["x"] + 0.6 * unit, grid["y"] + 7 * unit
        swipe(empty, (empty[0], empty[1] - 200))
        assert tab.evaluate("scrollY") > 50
        assert corners(figure, "b") == (4, 2, 8, 6)

        nms = tab.locator(".yv-nms")
        nms.scroll_into_view_if_needed()
        best = nms.locator(".yv-kept > g").last
        best.tap()
        assert best.get_attribute("data-active") == ""
        assert "suppresses" in nms.locator(".yv-detail").inner_text()


# In JupyterLab.


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab of our own, with two notebooks: one to run, one that somebody else ran."""
    folder = tmp_path_factory.mktemp("lab")
    source = "from yolov3_lib.widgets import iou_explorer\niou_explorer()"
    data, metadata = iou_explorer()._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data, execution_count=1, metadata=metadata)
    for name, outputs in (("fresh", []), ("foreign", [output])):
        cell = nbformat.v4.new_code_cell(source, outputs=outputs)
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
        nbformat.write(notebook, folder / f"{name}.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {
        f"JUPYTER_{place}": str(folder / place.lower()) for place in ("DATA_DIR", "CONFIG_DIR", "RUNTIME_DIR")
    }
    places |= {f"JUPYTERLAB_{place}_DIR": str(folder / place.lower()) for place in ("SETTINGS", "WORKSPACES")}
    options = [
        "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
        "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    log = folder / "log.txt"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env={**os.environ, **places},
            cwd=folder,
            stdout=stream,
            stderr=stream,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            if server.poll() is not None:
                pytest.fail(f"JupyterLab ended:\n{log.read_text()[-2000:]}")
            try:
                urlopen(f"{address}/api/status", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.slow
def test_alive_in_jupyterlab(browser, lab):
    tab = browser.new_page()
    tab.set_default_timeout(90_000)
    tab.goto(f"{lab}/lab/tree/fresh.ipynb?reset")
    tab.locator(".jp-CodeCell .cm-content").click()
    tab.get_by_text("| Idle").wait_for()
    tab.keyboard.press("Control+Enter")
    figure = tab.locator(".yv-iou[data-alive]")
    figure.wait_for()
    assert tab.locator(".yv-still >> visible=true").count() == 0
    figure.locator("g[data-box=b]").focus()
    # In a notebook "a" is a command that adds a cell, "x" one that cuts it, and an arrow chooses another.
    for key in ("ArrowRight", "ArrowDown", "a", "x", "ArrowRight"):
        tab.keyboard.press(key)
    assert tab.locator(".jp-CodeCell").count() == 1
    assert corners(figure, "b") == (3, 1.5, 7, 5.5)
    assert figure.evaluate(SAID) == readout((0, 0, 4, 3), (3, 1.5, 7, 5.5))
    tab.close()


@pytest.mark.slow
def test_untrusted_notebook_shows_the_picture(browser, lab):
    tab = browser.new_page()
    tab.set_default_timeout(90_000)
    tab.goto(f"{lab}/lab/tree/foreign.ipynb?reset")
    still = tab.locator(".jp-OutputArea-output .yv-still")
    still.wait_for()
    assert still.is_visible()
    assert still.get_attribute("alt").startswith("Box A (0, 0, 4, 3)")
    assert still.bounding_box()["width"] > 300
    output = tab.locator(".jp-OutputArea-output")
    assert output.inner_text().strip() == ""  # nothing of the markup that lost its drawing
    assert output.locator("script, style, svg").count() == 0
    tab.close()
