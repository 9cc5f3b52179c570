"""The loss explorer: its numbers are the library's, and a real browser computes the same."""

import json
import random

import pytest
import torch
from bs4 import BeautifulSoup
from figure_page import SAID, Visit, assert_accessible, assert_fits_a_phone
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov3_lib.anchors import YOLOV3_ANCHORS
from yolov3_lib.loss import yolo_loss
from yolov3_lib.widgets import loss_explorer
from yolov3_lib.widgets.loss_scene import ANCHORS, OWN, SIDE, STRIDES, Scene, readout


def shown(html: str) -> dict[str, str]:
    tree = BeautifulSoup(html, "html.parser")
    return {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}


fours = st.integers(0, SIDE // 4).map(lambda n: 4.0 * n)


@st.composite
def pixel_boxes(draw):
    """Boxes on the steps of the figure, at least 8 pixels wide and high."""
    (x1, x2), (y1, y2) = (sorted((draw(fours), draw(fours))) for _ in range(2))
    x1, y1 = min(x1, SIDE - 8), min(y1, SIDE - 8)
    return x1, y1, max(x2, x1 + 8), max(y2, y1 + 8)


@settings(max_examples=40)
@given(pixel_boxes(), pixel_boxes(), st.booleans(), st.integers(OWN, 8), st.integers(1, 99))
def test_the_gradients_are_those_of_the_librarys_loss(truth, prediction, near, anchor, percent):
    if near:
        prediction = (truth[0], truth[1], max(truth[2] - 8, truth[0] + 8), truth[3])
    scene = Scene(truth, prediction, anchor, percent / 100)
    # The prediction in its cell; everything else says nothing, far from every object.
    heads = [torch.zeros(1, 3, SIDE // s, SIDE // s, 6) for s in sorted(STRIDES, reverse=True)]
    for head in heads:
        head[..., 2:4] = -9
        head[..., 4:] = -30
    scale, number = 2 - scene.used // 3, scene.used % 3
    column, row = scene.cell(prediction)
    says = torch.tensor(scene.says)
    heads[scale][0, number, row, column, :5] = torch.cat((says[:2].logit(), says[2:4], says[4:].logit()))
    heads = [head.requires_grad_() for head in heads]
    x1, y1, x2, y2 = truth
    truths = torch.tensor([[0, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 0]])
    truths[:, 1:5] /= SIDE
    total = yolo_loss(heads, truths, YOLOV3_ANCHORS, (32, 16, 8)).total
    (gradient,) = torch.autograd.grad(total, heads[scale])
    inside = [min(max(value, 0.01), 0.99) == value for value in scene._as_numbers(prediction)[:2]]
    if all(inside) and abs(scene.overlap - 0.5) > 1e-3:
        got = gradient[0, number, row, column, :5].tolist()
        assert got == pytest.approx(scene.costs[1], abs=2e-3)


def test_the_three_states():
    truth = (132.0, 96, 288, 296)
    assert Scene(truth, truth).state == "positive"
    assert Scene(truth, (164.0, 96, 312, 296)).state == "ignored"
    assert Scene(truth, truth, 6).state == "ignored"
    assert Scene(truth, (292.0, 240, 400, 332)).state == "background"
    # Positive outweighs ignored, and needs no overlap at all.
    assert Scene(truth, (206.0, 192, 214, 200)).state == "positive"


def test_it_starts_with_the_scenes_numbers_and_says_them_everywhere():
    widget = loss_explorer()
    scene = Scene((132.0, 96, 288, 296), (136.0, 108, 272, 288), OWN, 0.6)
    assert shown(widget.html) == readout(scene)
    assert scene.state == "positive"
    assert readout(scene)["total"] in repr(widget)
    assert "positive" in widget.alt
    assert loss_explorer(alt="Two boxes.").alt == "Two boxes."
    assert loss_explorer().html == widget.html


def test_it_is_small_and_self_contained():
    widget = loss_explorer()
    assert len(widget.html.encode()) < 45_000
    assert len(widget.picture) < 40_000
    tree = BeautifulSoup(widget.html, "html.parser")
    assert not tree.select("[id], link, script[src]")
    assert all(node["src"].startswith("data:image/") for node in tree.select("[src]"))
    for control in tree.select("input, select, button"):
        assert control.get("aria-label") or control.get_text(strip=True) or control.find_parent("label")
    state = json.loads(tree.select_one(".yv")["data-state"])
    expected = {"Perfect": "positive", "Next cell": "ignored", "Other anchor": "ignored"}
    expected |= {"Start": "positive", "Far off": "background", "Small object": "positive"}
    found = {}
    for name, (truth, prediction, anchor) in state["cases"].items():
        found[name] = Scene(tuple(truth), tuple(prediction), anchor).state
    assert found == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"truth": (0, 0, 5)}, "truth has 3 numbers"),
        ({"truth": (50, 0, 20, 90)}, r"truth: x2 \(20.0\) < x1 \(50.0\)"),
        ({"prediction": (0, 0, 4, 90)}, "prediction .* at least 8 wide and high"),
        ({"prediction": (0, 0, 420, 90)}, "expected a box within 416 × 416 pixels"),
        ({"objectness": 1.0}, "objectness: expected a number from .01 to .99, got 1.0"),
    ],
)
def test_it_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        loss_explorer(**arguments)


# In a browser.

BOXES = """root => Object.fromEntries([...root.querySelectorAll('g[data-box]')].map(g => {
    const body = g.querySelector('.yv-body');
    const [x, y, w, h] = ['x', 'y', 'width', 'height'].map(name => Number(body.getAttribute(name)));
    return [g.dataset.box, [x, y, x + w, y + h]];
}))"""


@pytest.fixture(scope="module")
def tab(browser, tmp_path_factory):
    with Visit(browser, tmp_path_factory.mktemp("figure"), loss_explorer()) as tab:
        yield tab


def same_as_python(figure, anchor: int, percent: int) -> None:
    boxes = figure.evaluate(BOXES)
    scene = Scene(tuple(boxes["truth"]), tuple(boxes["prediction"]), anchor, percent / 100)
    assert figure.evaluate(SAID) == readout(scene)


def test_the_page_computes_what_the_library_does(tab):
    figure = tab.locator(".yv-loss[data-alive]")
    figure.wait_for()
    rng = random.Random(0)
    for name in ("Start", "Perfect", "Next cell", "Other anchor", "Far off", "Small object"):
        figure.get_by_role("button", name=name, exact=True).click()
        anchor = 6 if name == "Other anchor" else OWN
        percent = rng.randint(1, 99)
        figure.get_by_role("slider").fill(str(percent))
        same_as_python(figure, anchor, percent)
        for box in ("truth", "prediction"):
            figure.locator(f"g[data-box={box}]").focus()
            for key in rng.choices(("ArrowLeft", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowUp"), k=5):
                tab.keyboard.press(key)
        same_as_python(figure, anchor, percent)
    for anchor in range(len(ANCHORS)):
        figure.locator("select").select_option(str(anchor))
        same_as_python(figure, anchor, percent)


def test_a_box_is_dragged_by_its_middle_and_by_its_corner_and_stays_inside(tab):
    figure = tab.locator(".yv-loss[data-alive]")
    figure.get_by_role("button", name="Far off", exact=True).click()
    body = figure.locator("g[data-box=prediction] .yv-body").bounding_box()
    x, y, w, h = (body[name] for name in ("x", "y", "width", "height"))
    before = figure.evaluate(BOXES)["prediction"]
    scale = w / (before[2] - before[0])

    def drag(start, by):
        tab.mouse.move(*start)
        tab.mouse.down()
        tab.mouse.move(start[0] + by[0] * scale, start[1] + by[1] * scale, steps=4)
        tab.mouse.up()

    drag((x + w / 3, y + h / 3), (-40, 20))
    moved = figure.evaluate(BOXES)["prediction"]
    assert moved == [before[0] - 40, before[1] + 20, before[2] - 40, before[3] + 20]
    drag((x + w - 40 * scale, y + h + 20 * scale), (-20, 12))
    assert figure.evaluate(BOXES)["prediction"] == [*moved[:2], moved[2] - 20, moved[3] + 12]
    drag((x + w / 3 - 40 * scale, y + h / 3 + 20 * scale), (900, 900))
    assert figure.evaluate(BOXES)["prediction"][2:] == [SIDE, SIDE]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(tab, theme):
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    assert_accessible(tab)
    assert_fits_a_phone(tab)
