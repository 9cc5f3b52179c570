"""The figure of chapter 7: what it says is the library's, and a real browser computes the same."""

import json
import math
import random
import re
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from bs4 import BeautifulSoup
from figure_page import SAID, Visit, assert_accessible, assert_fits_a_phone

from yolov3_lib.foundations.landscapes import LANDSCAPES
from yolov3_lib.widgets import optimizers_explorer
from yolov3_lib.widgets.optimizers_figure import MEMORIES, RATES, RULES, STEPS, Race, Runner, readout

DRAWN = """root => [...root.querySelectorAll('svg .yv-later, svg .yv-walked, svg .yv-dots, svg circle')].map(
  node => [...['d', 'cx', 'cy'].map(name => node.getAttribute(name))])"""


@pytest.fixture
def visit(browser, tmp_path):
    """Opens a page with one figure; at the end no script may have failed and no request have left it."""
    with ExitStack() as pages:
        yield lambda widget, **options: pages.enter_context(Visit(browser, tmp_path, widget, **options))


def opening():
    return Race.begin("valley", "gradient descent", "momentum", 20)


@pytest.mark.parametrize(
    ("rule", "twin"),
    [
        ("gradient descent", lambda p, lr, b: torch.optim.SGD(p, lr)),
        ("momentum", lambda p, lr, b: torch.optim.SGD(p, lr, momentum=b)),
        ("RMSprop", lambda p, lr, b: torch.optim.RMSprop(p, lr, alpha=b)),
        ("Adam", lambda p, lr, b: torch.optim.Adam(p, lr, betas=(b, 0.999))),
    ],
)
def test_the_walks_are_those_of_torchs_optimizers(rule, twin):
    runner = Runner.of(rule)
    walk = runner.walk("valley", (-4.0, 1.0))
    point = torch.tensor([-4.0, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = twin([point], RATES[runner.lr], MEMORIES[runner.beta])
    for step in range(STEPS + 1):
        assert walk[step] == pytest.approx(point.tolist(), abs=1e-9)
        optimizer.zero_grad()
        ((point[0] ** 2 + 25 * point[1] ** 2) / 2).backward()
        optimizer.step()


def test_what_is_said_of_gradient_descent_in_the_valley():
    race = Race.begin("valley", "gradient descent", "gradient descent", 1)
    race = replace(race, runners=(Runner("gradient descent", RATES.index(0.04), 8), race.runners[1]))
    said = readout(race)
    assert said["a_at"] == "(−3.84, 0.00)"
    assert said["a_height"] == "7.373"  # 3.84² / 2
    assert said["a_length"] == "1.013"  # √(.16² + 1)
    assert said["a_beta"] == "none"
    # 4 · .96ᵗ falls below √.41 at t = 45
    assert said["a_arrived"] == "after 45"
    assert said["step"] == "1 of 60"
    assert said["verdict"] == "The first is lower."


def test_a_walk_that_has_left_says_so():
    runners = (Runner("gradient descent", len(RATES) - 1, 0), Runner("gradient descent", len(RATES) - 1, 0))
    said = readout(Race("valley", (-4.0, 1.0), runners, 30))
    assert said["a_at"] == "has left"
    assert said["a_height"] == said["a_length"] == "none"
    assert said["a_arrived"] == "not in 60 steps"
    assert said["verdict"].startswith("Both have left")


def test_two_equal_runners_are_equally_low():
    assert readout(Race.begin("saddle", "Adam", "Adam", 12))["verdict"] == "Both are equally low."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"place": "hill"}, "place: expected one of valley; saddle; noisy bowl; two hollows, got 'hill'"),
        ({"first": "SGD"}, "first: expected one of gradient descent; momentum"),
        ({"second": ""}, "second: expected one of"),
        ({"step": 61}, "step: expected a whole number from 0 to 60, got 61"),
    ],
)
def test_it_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        optimizers_explorer(**arguments)


def test_the_bundle_is_small_complete_and_deterministic():
    widget = optimizers_explorer()
    data, metadata = widget._repr_mimebundle_()
    assert set(data) == {"text/html", "image/png", "text/plain"}
    assert len(widget.html.encode()) < 60_000
    assert len(widget.picture) < 60_000
    assert len(metadata["image/png"]["alt"]) > 40
    assert optimizers_explorer().html == widget.html
    tree = BeautifulSoup(widget.html, "html.parser")
    assert not tree.select("[id], link, script[src]")
    shown = {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}
    assert shown == readout(opening())
    state = json.loads(tree.select_one(".yv")["data-state"])
    assert state["pulls"] == LANDSCAPES["noisy bowl"].pulls.tolist()
    assert list(state["places"]) == list(LANDSCAPES)
    for path in tree.select("svg path"):
        assert re.fullmatch(r"[ML\d. h-]*", path["d"])
    selectors = re.findall(r"^([^@{}]+)\{", re.sub(r"\([^()]*\)", "", tree.style.string), re.MULTILINE)
    assert all(".yv" in selector for selector in ",".join(selectors).split(","))
    assert optimizers_explorer(alt="Two walks.").alt == "Two walks."


def test_contours_lie_where_the_height_is_the_same():
    tree = BeautifulSoup(optimizers_explorer().html, "html.parser")
    for name, landscape in LANDSCAPES.items():
        x0, x1, y0, y1 = landscape.window
        paths = tree.select_one(f'g[data-place="{name}"] path')["d"].split("M")[1:]
        assert len(paths) >= 8
        for path in paths:
            points = torch.tensor([[float(v) for v in pair.split()] for pair in path.split("L")]).double()
            points = points / torch.tensor([520.0, 330.0])
            places = torch.stack([x0 + points[:, 0] * (x1 - x0), y1 - points[:, 1] * (y1 - y0)], dim=1)
            heights = landscape.height(places)
            span = landscape.height(torch.tensor([x0, y0]).double()) - landscape.height(
                torch.tensor(landscape.lowest[0]).double()
            )
            assert heights.max() - heights.min() < 0.03 * span


# In a browser.


def test_the_script_changes_nothing_of_the_first_state(visit):
    widget = optimizers_explorer("noisy bowl", "RMSprop", "Adam, the document's", 33)
    alive = visit(widget).locator(".yv-optimizers")
    tree = BeautifulSoup(widget.html, "html.parser")
    drawn = [
        [node.get(name) for name in ("d", "cx", "cy")]
        for node in tree.select("svg .yv-later, svg .yv-walked, svg .yv-dots, svg circle")
    ]
    assert alive.evaluate(DRAWN) == drawn
    assert alive.evaluate(SAID) == {n["data-out"]: n.get_text() for n in tree.select("[data-out]")}
    still = visit(widget, java_script_enabled=False)
    assert still.locator(".yv-still >> visible=true").count() == 0
    assert still.locator(".yv-live >> visible=true").count() == 0


@pytest.mark.parametrize("place", LANDSCAPES)
def test_a_browser_computes_what_python_computes(visit, place):
    rng = random.Random(place)
    tab = visit(optimizers_explorer())
    figure = tab.locator(".yv-optimizers")
    figure.locator("[data-do=place]").select_option(place)
    race = replace(opening(), place=place, start=LANDSCAPES[place].start)
    assert figure.evaluate(SAID) == readout(race)
    x0, x1, y0, y1 = LANDSCAPES[place].window
    for rule in RULES:
        first = Runner(rule, rng.randrange(18), rng.randrange(10))
        second = Runner.of(rng.choice(list(RULES)))
        start = round(rng.uniform(x0, x1), 2), round(rng.uniform(y0, y1), 2)
        race = Race(place, start, (first, second), rng.randint(1, STEPS))
        figure.locator("[data-do=a_rule]").select_option(rule)
        figure.locator("[data-do=a_lr]").fill(str(first.lr))
        if RULES[rule].memory:
            figure.locator("[data-do=a_beta]").fill(str(first.beta))
        figure.locator("[data-do=b_rule]").select_option(second.rule)
        figure.locator("[data-do=step]").fill(str(race.step))
        for axis, value in zip("xy", start, strict=True):
            figure.locator(f"[data-do=start_{axis}]").fill(str(round(100 * value)))
        assert figure.evaluate(SAID) == readout(race)


def test_keys_the_map_and_what_a_rule_does_not_have(visit):
    tab = visit(optimizers_explorer())
    figure = tab.locator(".yv-optimizers")
    assert figure.locator("[data-do=a_beta]").is_disabled()
    assert figure.locator("[data-letter=b_beta]").text_content() == "μ"
    slider = figure.locator("[data-do=step]")
    slider.focus()
    tab.keyboard.press("ArrowRight")
    assert figure.evaluate(SAID) == readout(replace(opening(), step=21))
    assert slider.get_attribute("aria-valuetext") == "21 of 60"
    figure.locator("[role=status]").get_by_text("Step 21 of 60.").wait_for(state="attached")

    figure.locator("[data-do=a_rule]").select_option("Adam")
    assert figure.locator("[data-do=a_beta]").is_enabled()
    assert figure.locator("[data-letter=a_beta]").text_content() == "β₁"

    drawing = figure.locator("svg")
    box = drawing.bounding_box()
    drawing.click(position={"x": box["width"] / 2, "y": box["height"] / 4})
    x, y = (float(v) for v in figure.evaluate(SAID)["start"].replace("−", "-").strip("()").split(","))
    x0, x1, y0, y1 = LANDSCAPES["valley"].window
    assert math.dist((x, y), ((x0 + x1) / 2, y1 - (y1 - y0) / 4)) < 0.03
    assert figure.locator("[data-do=start_x]").input_value() == str(round(100 * x))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible_and_fits_a_phone(visit, theme):
    tab = visit(optimizers_explorer(), theme=theme)
    assert_accessible(tab)
    assert_fits_a_phone(tab)
