"""The figure of chapter 3: what it holds, and that a browser convolves as the library does."""

import itertools
import json

import pytest
import torch
from bs4 import BeautifulSoup
from figure_page import PHONE, SAID, Visit, assert_accessible, assert_carries_everything, assert_fits_a_phone
from torch.nn import functional as F

from yolov3_lib.foundations import convolution
from yolov3_lib.widgets.base import number
from yolov3_lib.widgets.convolution_figure import (
    _KERNELS,
    PICTURES,
    Setting,
    convolution_explorer,
    output_of,
    readout,
)


@pytest.fixture(scope="module")
def explorer():
    return convolution_explorer()


def shown_values(tree: BeautifulSoup) -> list[str]:
    return [node.get_text() for node in tree.select("[data-role=output-drawing] text")]


def written(values: list[list[float]]) -> list[str]:
    return [number(value, 1) for row in values for value in row]


def test_the_first_state_is_the_librarys(explorer):
    tree = BeautifulSoup(explorer.html, "html.parser")
    x = torch.tensor(PICTURES["numbers"], dtype=torch.float32)[None, None]
    y = F.conv2d(x, convolution.KERNELS["edges, 4 neighbors"][None, None])[0, 0].tolist()
    assert shown_values(tree) == written(y)
    said = {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}
    assert said["sum"] == "sum: 1"
    assert said["p4"] == "4 · 4 = 16"
    assert said["size"] == "⌊(7 + 2·0 − 1·(3 − 1) − 1) / 1⌋ + 1 = 5"
    assert json.loads(tree.select_one(".yv")["data-state"])["stride"] == 1
    assert "sum: 1" in explorer.alt
    assert repr(explorer).startswith("Convolution explorer: numbers")


def test_the_kernels_are_the_documents():
    for name, kernel in convolution.KERNELS.items():
        entries, divisor = _KERNELS[name]
        assert torch.allclose(torch.tensor(entries).reshape(3, 3) / divisor, kernel)


def test_it_carries_everything_with_it_and_is_light(explorer):
    assert_carries_everything(explorer)
    assert len(explorer.html) < 60_000
    assert len(explorer.picture) < 30_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"picture": "cat"}, "picture is 'cat': choose from numbers, dot, step"),
        ({"kernel": "laplace"}, "kernel is 'laplace': choose from identity"),
        ({"stride": 4}, "stride is 4: choose from 1, 2, 3"),
        ({"padding": -1}, "padding is -1: choose from 0, 1, 2"),
        ({"dilation": 3}, "dilation is 3: choose from 1, 2"),
        ({"stride": 3, "place": (2, 0)}, r"place is \(2, 0\): the output has 2 rows and columns"),
    ],
)
def test_what_cant_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        convolution_explorer(**arguments)


# In a real browser.

SET = """(root, settings) => settings.map((setting) => {
  for (const [name, value] of Object.entries(setting)) {
    if (name === 'kernel') continue;
    const field = root.querySelector(`[data-role="${name}"]`);
    if (name === 'flip') field.checked = value; else field.value = value;
  }
  (setting.kernel || []).forEach((entry, i) => {
    root.querySelector(`[data-entry="${i}"]`).value = entry;
  });
  // Twice: the first settles how far the rows and columns go.
  for (const name of ['row', 'column', 'row']) {
    const field = root.querySelector(`[data-role="${name}"]`);
    field.value = setting[name];
    field.dispatchEvent(new Event('input', {bubbles: true}));
  }
  const all = (selector) => [...root.querySelectorAll(selector)];
  return {
    said: Object.fromEntries(all('[data-out]').map(n => [n.dataset.out, n.textContent])),
    output: all('[data-role="output-drawing"] text').map(n => n.textContent),
    entries: all('.yv-entry').map(n => n.textContent),
    box: root.querySelector('[data-role="output-drawing"]').getAttribute('viewBox'),
    under: root.querySelectorAll('.yv-under').length,
    here: root.querySelector('.yv-here').dataset.at,
  };
})"""


def settings_to_try() -> list[Setting]:
    found = []
    grid = itertools.product(PICTURES, ((1, 2, 3), (0, 1, 2), (1, 2)))
    for i, (picture, _) in enumerate(grid):
        stride, padding, dilation = ((1, 0, 1), (2, 1, 1), (3, 2, 2), (1, 2, 2), (2, 0, 2))[i % 5]
        side = convolution.output_size(7, 3, stride, padding, dilation)
        kernel, divisor = list(_KERNELS.values())[i % 6]
        found.append(
            Setting(picture, kernel, divisor, stride, padding, dilation, i % 2 == 1, side - 1, i % side)
        )
    return [*found, found[0]._replace(kernel=[0.5, -1.25, 0, 3, 0, 0, -2, 0, 7], divisor=3, flip=True)]


def test_the_page_convolves_as_the_library_does(browser, explorer, tmp_path):
    settings = settings_to_try()
    with Visit(browser, tmp_path, explorer) as tab:
        states = tab.locator(".yv-convolution").evaluate(SET, [s._asdict() for s in settings])
    for setting, state in zip(settings, states, strict=True):
        assert state["said"] == readout(setting)
        assert state["output"] == written(output_of(setting))
        laid = list(reversed(setting.kernel)) if setting.flip else setting.kernel
        assert state["entries"] == ["×" + number(entry) for entry in laid]
        assert (state["here"], state["under"]) == (f"{setting.row} {setting.column}", 9)
        side = len(output_of(setting))
        assert state["box"] == f"0 0 {40 * (7 + 2 * setting.padding)} {40 * side}"


def test_the_pages_markup_is_pythons(browser, tmp_path):
    """What the script draws at once is what stood there already."""
    figure = convolution_explorer("square", "1 to 9", stride=2, padding=1, flip=True, place=(1, 2))
    still = BeautifulSoup(figure.html, "html.parser")
    with Visit(browser, tmp_path, figure) as tab:
        alive = BeautifulSoup(
            tab.locator(".yv-convolution").evaluate("root => root.outerHTML"), "html.parser"
        )
    for role in ("picture-drawing", "output-drawing"):
        drawings = [tree.select_one(f"[data-role={role}]") for tree in (still, alive)]
        assert drawings[0]["aria-label"] == drawings[1]["aria-label"]
        kinds, texts = zip(
            *(
                ([n["class"] for n in d.find_all(True)], [t.get_text() for t in d.find_all("text")])
                for d in drawings
            ),
            strict=True,
        )
        assert kinds[0] == kinds[1]
        assert texts[0] == texts[1]
        numbers = [[float(n["x"]) for n in d.find_all(True)] for d in drawings]
        assert numbers[0] == numbers[1]


def test_buttons_keys_cells_and_fields(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer, explorer) as tab:
        figure, other = tab.locator(".yv-convolution").all()
        figure.get_by_role("button", name="box blur").click()
        assert figure.get_by_role("button", name="box blur").get_attribute("aria-pressed") == "true"
        assert figure.evaluate(SAID)["sum"] == "sum: 40, divided by 9: 4.44"
        figure.get_by_role("button", name="next place").click()
        assert figure.evaluate(SAID)["where"] == "row 0, column 1"
        figure.get_by_role("slider", name="output row").focus()
        tab.keyboard.press("ArrowRight")
        assert figure.evaluate(SAID)["where"] == "row 1, column 1"
        figure.locator("[data-at='4 4']").click()
        assert figure.evaluate(SAID)["where"] == "row 4, column 4"
        figure.get_by_role("button", name="next place").click()
        assert figure.evaluate(SAID)["where"] == "row 0, column 0"
        figure.locator("[data-at='4 4']").click()
        figure.get_by_label("stride").select_option("3")
        assert figure.evaluate(SAID)["where"] == "row 1, column 1"
        field = figure.get_by_label("Kernel, row 0, column 0")
        field.fill("")
        assert figure.locator("[data-role=output-drawing] text").count() == 4
        field.fill("-2")
        assert figure.evaluate(SAID)["p0"].endswith("· −2 = −2")
        figure.get_by_label("flip the kernel").check()
        assert "· −2 =" in figure.evaluate(SAID)["p8"]
        assert other.evaluate(SAID)["where"] == "row 0, column 0"
        assert other.evaluate(SAID)["sum"] == "sum: 1"
        figure.locator("[role=status]").get_by_text("row 1, column 1").wait_for(state="attached")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(browser, explorer, tmp_path, theme):
    with Visit(browser, tmp_path, explorer, theme=theme, **PHONE) as tab:
        tab.get_by_label("padding", exact=True).select_option("2")
        assert_fits_a_phone(tab)
        assert_accessible(tab)
        assert tab.locator(".yv-still >> visible=true").count() == 0


def test_it_is_complete_without_scripts(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer, java_script_enabled=False) as tab:
        assert tab.locator(".yv-convolution svg >> visible=true").count() == 2
        assert tab.locator(".yv-live >> visible=true").count() == 0
        assert tab.locator("[data-out=sum]").inner_text() == "sum: 1"
