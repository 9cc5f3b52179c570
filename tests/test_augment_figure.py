"""The augmentation explorer: its boxes are the library's, and a real browser computes the same."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from figure_page import SAID, Visit, assert_accessible, assert_fits_a_phone
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov3_lib.anchors import best_anchor
from yolov3_lib.data.augment import Placement, Rectangle
from yolov3_lib.data.images import load_image
from yolov3_lib.data.voc import read_annotation
from yolov3_lib.paths import find_data
from yolov3_lib.widgets import augment_explorer
from yolov3_lib.widgets.augment_scene import (
    ANCHORS,
    CASES,
    RANGES,
    SIDE,
    Settings,
    frame,
    place,
    readout,
    with_steps,
)

DOG = read_annotation(find_data("photos/dog.xml"))


@pytest.fixture(scope="module")
def widget():
    return augment_explorer(find_data("photos/dog.jpg"), DOG.boxes, DOG.names)


def shown(html: str) -> dict[str, str]:
    tree = BeautifulSoup(html, "html.parser")
    return {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}


def slider(name: str):
    _, low, high, step = RANGES[name]
    return st.integers(0, round((high - low) / step)).map(lambda n: round(low + n * step, 4))


some_settings = st.builds(
    Settings, flip=st.booleans(), **{n: slider(n) for n in ("aspect", "size", "x", "y", "visible")}
)
sizes = st.tuples(st.integers(40, 700), st.integers(40, 700))
parts = st.tuples(*[st.floats(0, 0.6)] * 2, *[st.floats(0.1, 0.4)] * 2)


@settings(max_examples=60, deadline=None)
@given(sizes, st.lists(parts, min_size=1, max_size=4), some_settings)
def test_boxes_lie_where_the_library_puts_them(size, objects, chosen):
    chosen = replace(chosen, size=min(chosen.size, 1.0))  # uncropped: the placement is exact
    width, height = size
    boxes = [(x * width, y * height, (x + w) * width, (y + h) * height) for x, y, w, h in objects]
    whole_image = Placement(Rectangle(0, 0, width, height), Rectangle(*frame(size, chosen)))
    rows = np.array([(*box, i) for i, box in enumerate(boxes)], np.float64)
    expected = whole_image.move(rows, chosen.visible)
    placed = place(boxes, size, chosen)
    got = np.array([each.seen for each in placed])
    assert all(each.share == pytest.approx(1) for each in placed)
    # Uncropped, an object goes only if its box is too small to train on.
    assert [each.kept for each in placed] == (np.minimum(*(got[:, 2:] - got[:, :2]).T) >= 2).tolist()
    if chosen.flip:
        got[:, [0, 2]] = SIDE - got[:, [2, 0]]
    np.testing.assert_allclose(got, expected[:, :4], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(sizes, st.lists(parts, min_size=1, max_size=4), some_settings)
def test_the_anchor_is_the_librarys_and_shares_are_shares(size, objects, chosen):
    width, height = size
    boxes = [(x * width, y * height, (x + w) * width, (y + h) * height) for x, y, w, h in objects]
    placed = place(boxes, size, chosen)
    said = readout(placed)
    for index, each in enumerate(placed):
        assert 0 <= each.share <= 1 + 1e-9
        assert each.kept or each.share < chosen.visible or min(np.subtract(each.seen[2:], each.seen[:2])) < 2
        if each.kept:
            sides = torch.tensor([each.seen[2] - each.seen[0], each.seen[3] - each.seen[1]]).double()
            w, h = ANCHORS[int(best_anchor(sides[None], ANCHORS))]
            assert f"anchor {w} × {h}," in said[f"anchor-{index}"]


def test_the_letterbox_is_the_test_time_placement():
    for size in ((768, 576), (300, 451), (416, 416)):
        # Letterbox cuts fractions of a pixel off, Placement.draw rounds them.
        np.testing.assert_allclose(frame(size, Settings()), Placement.letterbox(size, SIDE).target, atol=1)


def test_it_starts_with_the_settings_and_says_them_everywhere(widget):
    size = load_image(find_data("photos/dog.jpg")).shape[1::-1]
    boxes = [[round(v, 2) for v in box] for box in DOG.boxes.double().tolist()]
    said = readout(place(boxes, size, Settings()))
    assert shown(widget.html) == said
    assert all(said[f"state-{i}"] == "whole" for i in range(len(DOG)))
    assert "dog: whole" in repr(widget)
    assert "dog: whole" in widget.alt
    cropped = augment_explorer(find_data("photos/dog.jpg"), DOG.boxes, DOG.names, CASES["Cropped"])
    assert "dropped" in cropped.description
    assert "clipped" in cropped.description


def test_it_is_small_and_self_contained(widget):
    assert len(widget.html.encode()) < 100_000
    assert len(widget.picture) < 120_000
    tree = BeautifulSoup(widget.html, "html.parser")
    assert not tree.select("[id], link, script[src]")
    assert all(node["src"].startswith("data:image/") for node in tree.select("[src]"))
    for control in tree.select("input, select, button"):
        assert control.get("aria-label") or control.get_text(strip=True) or control.find_parent("label")
    state = json.loads(tree.select_one(".yv")["data-state"])
    assert set(state["cases"]) == set(CASES)
    assert all(with_steps(case) == case for case in CASES.values())


@pytest.mark.parametrize(
    ("boxes", "names", "message"),
    [
        ([[0, 0, 5, 5]], ["a", "b"], "2 names for 1 boxes"),
        ([], [], "0 boxes: the figure shows 1 to 6"),
        ([[0, 0, 5, 5]] * 7, ["a"] * 7, "7 boxes"),
        ([[0, 0, 900, 5]], ["a"], r"boxes\[0\].*inside the image of 768 × 576"),
        ([[5, 0, 5, 5]], ["a"], "a box with area"),
        ([[50, 0, 20, 90]], ["a"], r"x2 \(20.0\) < x1 \(50.0\)"),
    ],
)
def test_it_refuses(boxes, names, message):
    with pytest.raises(ValueError, match=message):
        augment_explorer(find_data("photos/dog.jpg"), torch.tensor(boxes), names)


# In a browser.

SETTINGS = """root => ({flip: root.querySelector('[type=checkbox]').checked, ...Object.fromEntries(
    [...root.querySelectorAll('[type=range]')].map(node => [node.dataset.name, Number(node.value)]))})"""
PHOTO = """root => {
    const [a, b] = ['.yv-photo', '.yv-stage'].map(s => root.querySelector(s).getBoundingClientRect());
    return [a.left - b.left, a.top - b.top, a.right - b.left, a.bottom - b.top].map(v => v / b.width);
}"""


@pytest.fixture(scope="module")
def tab(browser, tmp_path_factory, widget):
    with Visit(browser, tmp_path_factory.mktemp("figure"), widget) as tab:
        yield tab


def same_as_python(figure) -> Settings:
    chosen = Settings(**figure.evaluate(SETTINGS))
    state = json.loads(figure.get_attribute("data-state"))
    assert figure.evaluate(SAID) == readout(place(state["boxes"], state["size"], chosen))
    left, top, right, bottom = frame(state["size"], chosen)
    if chosen.flip:
        left, right = SIDE - right, SIDE - left
    expected = [edge / SIDE for edge in (left, top, right, bottom)]
    assert figure.evaluate(PHOTO) == pytest.approx(expected, abs=0.004)
    return chosen


def test_the_page_computes_what_the_library_does(tab):
    figure = tab.locator(".yv-augment[data-alive]")
    figure.wait_for()
    for name, case in CASES.items():
        figure.get_by_role("button", name=name, exact=True).click()
        assert same_as_python(figure) == case
    figure.get_by_role("checkbox").check()
    for name, keys in (
        ("aspect", "End"),
        ("size", "Home"),
        ("x", "Home"),
        ("y", "ArrowRight"),
        ("visible", "End"),
    ):
        figure.locator(f"[data-name={name}]").focus()
        tab.keyboard.press(keys)
        assert same_as_python(figure).flip


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(tab, theme):
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    assert_accessible(tab)
    assert_fits_a_phone(tab)
