"""The figure of chapter 16: what it holds, and that a browser computes the same gradients as the library."""

import json
import math
import re

import pytest
import sympy
from bs4 import BeautifulSoup
from figure_page import SAID, Visit, assert_accessible, assert_carries_everything, assert_fits_a_phone

from yolov3_lib.widgets.lagrange_figure import lagrange_explorer, readout, state_at


@pytest.fixture(scope="module")
def explorer():
    return lagrange_explorer(20)


def test_the_numbers_are_those_of_the_second_example():
    x, y = sympy.symbols("x y")
    f = x**4 + 2 * x**2 * y + x**2 + 4 * y**2 + 6 * y
    for angle, radius in ((0.3, 1.0), (2.0, 0.7), (4.1, 1.25)):
        s = state_at(angle, radius)
        place = {x: radius * math.cos(angle), y: radius * math.sin(angle)}
        assert s["f"] == pytest.approx(float(f.subs(place)))
        assert (s["fx"], s["fy"]) == pytest.approx([float(f.diff(v).subs(place)) for v in (x, y)])
        step = 1e-6
        ahead, behind = state_at(angle + step, radius)["f"], state_at(angle - step, radius)["f"]
        assert s["slope"] == pytest.approx((ahead - behind) / (2 * step * radius), abs=1e-6)


def test_the_buttons_lead_to_the_stationary_points(explorer):
    places = [float(b["data-angle"]) for b in BeautifulSoup(explorer.html, "html.parser").select("button")]
    height = float(sympy.CRootOf("2*z**3 - 3*z**2 + z + 4", 0))
    below = math.degrees(math.asin(height))
    assert places == pytest.approx([180 - below, 360 + below, 270, 90], abs=0.051)
    said = [readout(angle, 1) for angle in places]
    assert [one["multiplier"] for one in said] == ["0.02", "0.02", "−1.00", "−7.00"]
    assert ["positive" in one["verdict"] for one in said] == [True, True, False, False]
    assert readout(20, 1)["multiplier"] == "none here"


def test_the_first_state_is_complete(explorer):
    tree = BeautifulSoup(explorer.html, "html.parser")
    assert {node["data-out"]: node.get_text() for node in tree.select("[data-out]")} == readout(20, 1)
    assert json.loads(tree.select_one(".yv")["data-state"])
    assert_carries_everything(explorer)
    assert len(explorer.html.encode()) < 60_000
    assert len(explorer.picture) < 60_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((-1, 1), "0 to 360"), ((361, 1), "0 to 360"), ((0, 0.4), "0.5"), ((0, 2), "0.5")],
)
def test_what_the_sliders_cannot_show_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        lagrange_explorer(*arguments)


# In a real browser.

TRY = """(root, pairs) => pairs.map(([angle, radius]) => {
  for (const [role, value] of [['angle', angle], ['radius', radius]]) {
    const slider = root.querySelector(`input[data-role=${role}]`);
    slider.value = value;
    slider.dispatchEvent(new Event('input', {bubbles: true}));
  }
  return Object.fromEntries(
    [...root.querySelectorAll('[data-out]')].map(node => [node.dataset.out, node.textContent])
  );
})"""
DRAWN = """root => [...root.querySelectorAll('svg *')].map(node => [node.tagName, node.textContent,
  ...['x', 'y', 'cx', 'cy', 'r'].map(a => node.hasAttribute(a) ? Number(node.getAttribute(a)) : null),
  node.getAttribute('d')])"""


@pytest.fixture(scope="module")
def tab(browser, tmp_path_factory, explorer):
    with Visit(browser, tmp_path_factory.mktemp("figure"), explorer) as tab:
        yield tab


def test_the_script_draws_what_the_markup_held(tab, explorer):
    still = BeautifulSoup(explorer.html, "html.parser")
    drawn = tab.locator(".yv-lagrange").evaluate(DRAWN)
    nodes = still.select("svg *")
    assert len(nodes) == len(drawn)
    for node, (name, text, *numbers, path) in zip(nodes, drawn, strict=True):
        assert (node.name, node.get_text()) == (name, text)
        for attribute, value in zip(("x", "y", "cx", "cy", "r"), numbers, strict=True):
            assert float(node.get(attribute, "nan")) == pytest.approx(
                value or math.nan, abs=0.02, nan_ok=True
            )
        if path and "constraint" not in node.get("class", []):
            written, expected = (
                [float(v) for v in re.findall(r"-?[\d.]+", text)] for text in (path, node["d"])
            )
            assert written == pytest.approx(expected, abs=0.02)


def test_a_browser_says_what_the_library_says(tab):
    pairs = [(a, r) for a in (0, 12.5, 89.9, 90, 187.3, 235.7, 270, 304.3, 360) for r in (0.5, 0.85, 1, 1.3)]
    said = tab.locator(".yv-lagrange").evaluate(TRY, pairs)
    assert said == [readout(*pair) for pair in pairs]


def test_buttons_keys_and_pointer(tab):
    figure = tab.locator(".yv-lagrange")
    figure.get_by_role("button", name="lowest, left").click()
    assert figure.evaluate(SAID) == readout(235.7, 1)
    figure.locator("input[data-role=angle]").focus()
    tab.keyboard.press("ArrowRight")
    assert figure.evaluate(SAID) == readout(235.8, 1)
    figure.get_by_role("button", name="top").click()
    dot, frame = (figure.locator(s).bounding_box() for s in (".yv-dot", ".yv-constraint"))
    tab.mouse.move(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(frame["x"] + frame["width"], frame["y"] + frame["height"] / 2, steps=5)
    tab.mouse.up()
    angle = figure.locator("input[data-role=angle]").evaluate("node => node.valueAsNumber")
    assert min(angle, 360 - angle) < 2
    assert figure.evaluate(SAID) == readout(angle, 1)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(tab, theme):
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    assert_accessible(tab)
    assert_fits_a_phone(tab)
