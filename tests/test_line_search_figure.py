"""The figure of chapter 17: what it says is right, and a real browser computes the same."""

import json
import random
import re
from contextlib import ExitStack

import numpy as np
import pytest
from bs4 import BeautifulSoup
from figure_page import SAID, Visit, assert_accessible, assert_fits_a_phone

from yolov3_lib.bonus.line_search_descent import steepest_descent
from yolov3_lib.widgets.line_search_figure import KAPPAS, LONGEST, Walk, line_search_explorer, readout

DRAWN = """root => [...root.querySelectorAll('svg *')].map(node => [
  node.tagName, ...['rx', 'ry', 'cx', 'cy'].map(name => node.getAttribute(name)),
  (node.getAttribute('d') || '').match(/-?[\\d.]+/g)
])"""


@pytest.fixture
def visit(browser, tmp_path):
    """Opens a page with one figure; at the end no script may have failed and no request have left it."""
    with ExitStack() as pages:
        yield lambda widget, **options: pages.enter_context(Visit(browser, tmp_path, widget, **options))


def as_floats(drawn):
    """Numbers of a drawing, however they were written."""
    return [
        (tag, *(None if v is None else round(float(v), 2) for v in values), [float(n) for n in d or []])
        for tag, *values, d in drawn
    ]


@pytest.mark.parametrize("kappa", KAPPAS)
def test_taking_exact_steps_is_steepest_descent(kappa):
    walk = Walk.begin(kappa, 100)
    scale = np.array([1.0, kappa])
    way = steepest_descent(
        lambda x: float(x @ (scale * x)) / 2, lambda x: scale * x, walk.points[0], max_steps=4
    )
    for point in way.points[1:]:
        said = readout(walk)
        assert said["angle"] == "90°"
        walk = walk.take()
        np.testing.assert_allclose(walk.points[-1], point, atol=1e-5)
        assert readout(walk)["ratio"] == said["bound"]  # from this start the bound is reached


def test_what_is_said_about_the_step():
    walks = {share: readout(Walk.begin(5, share)) for share in (0, 99, 100, 101, 150, 151, 200, 220)}
    assert [said["armijo"] for said in walks.values()] == ["holds"] * 5 + ["fails"] * 3
    assert walks[0]["after"] == walks[0]["before"] == walks[200]["after"]
    assert walks[100]["slope"] == "0.00"
    assert walks[100]["alpha"] == "0.333"
    assert walks[99]["verdict"].startswith("Still going down")
    assert walks[101]["verdict"].startswith("Past the lowest")
    assert walks[200]["verdict"].startswith("As high as the start")


def test_at_the_minimum_there_is_nothing_to_search():
    said = readout(Walk(5, ((1.0, 0.2), (0.0, 0.0)), 40))
    assert said["verdict"] == "This is the minimum: no direction leads down."
    assert (said["alpha"], said["after"], said["angle"], said["ratio"]) == ("0.000", "0.000", "none", "0.000")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kappa": 3}, "kappa is 3: choose from 2, 5, 10, 30"),
        ({"share": LONGEST + 1}, "share is 221: choose a whole number from 0 to 220"),
    ],
)
def test_it_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        line_search_explorer(**arguments)


def test_the_bundle_is_small_complete_and_deterministic():
    widget = line_search_explorer()
    data, metadata = widget._repr_mimebundle_()
    assert set(data) == {"text/html", "image/png", "text/plain"}
    assert len(widget.html.encode()) < 40_000
    assert len(widget.picture) < 40_000
    assert len(metadata["image/png"]["alt"]) > 40
    assert line_search_explorer().html == widget.html
    tree = BeautifulSoup(widget.html, "html.parser")
    assert not tree.select("[id], link, script[src]")
    assert {node["data-out"]: node.get_text() for node in tree.select("[data-out]")} == readout(
        Walk.begin(5, 40)
    )
    assert json.loads(tree.select_one(".yv")["data-state"])["kappa"] == 5
    selectors = re.findall(r"^([^@{}]+)\{", re.sub(r"\([^()]*\)", "", tree.style.string), re.MULTILINE)
    assert all(".yv" in selector for selector in ",".join(selectors).split(","))
    assert line_search_explorer(alt="A step.").alt == "A step."


def test_the_script_changes_nothing_of_the_first_state(visit):
    widget = line_search_explorer(10, 70)
    alive = visit(widget).locator(".yv-line_search").evaluate(DRAWN)
    still = visit(widget, java_script_enabled=False)
    assert still.locator(".yv-still >> visible=true").count() == 0
    assert still.locator(".yv-live >> visible=true").count() == 0
    tree = BeautifulSoup(widget.html, "html.parser")
    names = ("rx", "ry", "cx", "cy")
    drawn = [
        [node.name, *(node.get(name) for name in names), re.findall(r"-?[\d.]+", node.get("d", ""))]
        for node in tree.select("svg *")
    ]
    assert as_floats(alive) == as_floats(drawn)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_a_browser_computes_what_python_computes(visit, kappa):
    rng = random.Random(kappa)
    tab = visit(line_search_explorer(5, 40))
    figure = tab.locator(".yv-line_search")
    figure.locator("select").select_option(str(kappa))
    walk = Walk.begin(kappa, 40)
    slider = figure.get_by_role("slider")
    for _ in range(12):
        walk = Walk(walk.kappa, walk.points, rng.choice((100, rng.randint(5, 150))))
        slider.fill(str(walk.share))
        assert figure.evaluate(SAID) == readout(walk)
        assert slider.get_attribute("aria-valuetext") == readout(walk)["alpha"]
        figure.get_by_role("button", name="Take the step").click(force=True)
        walk = walk.take()
        assert figure.evaluate(SAID) == readout(walk)


def test_buttons_and_keys(visit):
    tab = visit(line_search_explorer())
    figure = tab.locator(".yv-line_search")
    slider = figure.get_by_role("slider")
    figure.get_by_role("button", name="Exact").click()
    assert slider.input_value() == "100"
    figure.get_by_role("button", name="Halve").click()
    assert slider.input_value() == "50"
    slider.focus()
    tab.keyboard.press("ArrowRight")
    assert figure.evaluate(SAID) == readout(Walk.begin(5, 51))
    figure.get_by_role("button", name="Take the step").click()
    assert figure.evaluate(SAID)["steps"] == "1"
    figure.locator("[role=status]").get_by_text("Step 1 taken.").wait_for(state="attached")
    figure.get_by_role("button", name="Start again").click()
    assert figure.evaluate(SAID) == readout(Walk.begin(5, 51))
    slider.fill("0")
    take = figure.get_by_role("button", name="Take the step")
    assert take.get_attribute("aria-disabled") == "true"
    take.click(force=True)
    assert figure.evaluate(SAID)["steps"] == "0"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible_and_fits_a_phone(visit, theme):
    tab = visit(line_search_explorer(), theme=theme)
    assert_fits_a_phone(tab)
    assert_accessible(tab)
