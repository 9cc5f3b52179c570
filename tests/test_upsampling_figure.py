"""The figure of chapter 8: what it holds, and that a browser computes what the library computes."""

import json
from itertools import product

import pytest
import torch
from bs4 import BeautifulSoup
from figure_page import PHONE, Visit, assert_accessible, assert_carries_everything, assert_fits_a_phone
from torch.nn import functional as F

from yolov3_lib.widgets.base import number
from yolov3_lib.widgets.upsampling_figure import Walk, readout, upsampling_explorer

IMAGE = [[3, 3, 3, 6], [7, 4, 3, 2], [7, 2, 8, 5], [1, 7, 3, 1]]
KERNEL = [[1, 2, 4], [1, 1, 3], [1, 2, 4]]
CELLS = """svg => [...svg.querySelectorAll('text')].map(node => node.textContent)"""
CHOOSE = """(root, [set, value]) => {
  const field = root.querySelector(`[data-set=${set}]`);
  field.value = value;
  field.dispatchEvent(new Event('change', {bubbles: true}));
  return [...field.options].map(option => option.value);
}"""
STATE = """root => ({
  said: Object.fromEntries([...root.querySelectorAll('[data-out]')].map(n => [n.dataset.out, n.textContent])),
  cells: Object.fromEntries([...root.querySelectorAll('[data-panel]')].map(svg => [svg.dataset.panel,
    [...svg.querySelectorAll('text')].map(node => node.textContent)])),
})"""


@pytest.fixture(scope="module")
def explorer():
    return upsampling_explorer(IMAGE, KERNEL)


def walk(kernel=KERNEL, stride=2, padding=1, extra=0, at=(1, 1), image=IMAGE) -> Walk:
    return Walk(torch.tensor(image).float(), torch.tensor(kernel).float(), stride, padding, extra, at)


def written(values: torch.Tensor) -> list[str]:
    return [number(value) for value in values.flatten().tolist()]


def test_the_first_state_is_the_librarys(explorer):
    tree = BeautifulSoup(explorer.html, "html.parser")
    said = {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}
    assert said == readout(walk())
    assert said["sum"] == "Row 1, column 1: 3 · 4 + 3 · 1 + 7 · 4 + 4 · 1 = 47"
    assert said["formula"].endswith("= (4 − 1) · 2 + 3 − 2 · 1 + 0 = 7")
    assert said["taps"].endswith("1, 2, 4")
    panels = {svg["data-panel"]: [t.get_text() for t in svg.select("text")] for svg in tree.select("svg")}
    x, w = torch.tensor(IMAGE).float()[None, None], torch.tensor(KERNEL).float()[None, None]
    assert panels["output"] == written(F.conv_transpose2d(x, w, stride=2, padding=1))[:9]
    assert panels["nearest"] == written(F.interpolate(x, scale_factor=2))
    assert panels["kernel"] == ["4", "2", "1", "3", "1", "1", "4", "2", "1"]
    assert len(panels["spread"]) == 81
    assert "4 × 4 input" in explorer.alt
    assert "4 × 4 → 7 × 7" in repr(explorer)


@pytest.mark.parametrize(("stride", "padding", "extra"), [(1, 0, 0), (2, 2, 1), (3, 0, 2)])
def test_the_sum_under_the_window_is_the_output(stride, padding, extra):
    side = len(walk(stride=stride, padding=padding, extra=extra).output)
    for at in product(range(side), repeat=2):
        now = walk(stride=stride, padding=padding, extra=extra, at=at)
        assert sum(x * w for x, w in now.terms()) == now.output[at]
        assert len(now.terms()) == now.taps[at]


def test_it_carries_everything_with_it_and_is_light(explorer):
    tree = BeautifulSoup(explorer.html, "html.parser")
    assert_carries_everything(explorer)
    assert len(explorer.html) < 90_000
    assert len(explorer.picture) < 60_000
    assert json.loads(tree.select_one(".yv")["data-state"])["step"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], KERNEL), r"image must be square, 2 × 2 to 5 × 5, not \(2,\)"),
        ((IMAGE, [[1]]), r"kernel must be square, 2 × 2 to 4 × 4, not \(1, 1\)"),
        ((IMAGE, KERNEL, 4), "stride must be 1, 2 or 3, not 4"),
        ((IMAGE, [[1, 1], [1, 1]], 2, 2), "padding must be 0, 1 or 2 and less than the kernel's 2, not 2"),
        ((IMAGE, KERNEL, 2, 1, 2), "output_padding is 2, but with stride 2 it must be less than 2"),
    ],
)
def test_what_it_cannot_show_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        upsampling_explorer(*arguments)


# In a real browser.

SETTINGS = [
    ("3 × 3", 1, 0, 0, 7), ("3 × 3", 2, 1, 1, 63), ("3 × 3", 3, 2, 2, 0),
    ("2 × 2, ones", 2, 0, 0, 20), ("4 × 4, linear", 2, 1, 0, 27), ("4 × 4, linear", 3, 2, 1, 50),
]  # fmt: skip


def test_the_page_computes_as_the_library_does(browser, explorer, tmp_path):
    kernels = {"3 × 3": KERNEL, "2 × 2, ones": [[1, 1], [1, 1]]}
    rise = [1, 3, 3, 1]
    kernels["4 × 4, linear"] = [[a * b for b in rise] for a in rise]
    with Visit(browser, tmp_path, explorer) as tab:
        figure = tab.locator(".yv-upsampling")
        for kernel, stride, padding, extra, step in SETTINGS:
            for pair in (["kernel", kernel], ["stride", stride], ["padding", padding], ["extra", extra]):
                options = figure.evaluate(CHOOSE, [pair[0], str(pair[1])])
                assert str(pair[1]) in options
            figure.get_by_role("slider").evaluate(
                "(s, at) => { s.value = at + 1; s.dispatchEvent(new Event('input')) }", step
            )
            state = figure.evaluate(STATE)
            side = len(walk(kernels[kernel], stride, padding, extra).output)
            expected = walk(kernels[kernel], stride, padding, extra, divmod(step, side))
            assert state["said"] == readout(expected)
            assert state["cells"]["output"] == written(expected.output)[: step + 1]
            assert state["cells"]["taps"] == written(expected.taps)
            assert len(state["cells"]["spread"]) == expected.side**2
            nearest = F.interpolate(expected.image[None, None], scale_factor=stride)
            assert state["cells"]["nearest"] == written(nearest)
            figure.get_by_role("button", name="All").click(force=True)
            assert figure.locator("output").inner_text() == f"{side**2} / {side**2}"


def test_negative_numbers_and_fractions_are_written_alike(browser, tmp_path):
    image, kernel = [[-1, 0.5], [2, -0.25]], [[1, -2], [0.5, 3]]
    with Visit(browser, tmp_path, upsampling_explorer(image, kernel, 1, 0)) as tab:
        state = tab.locator(".yv-upsampling").evaluate(STATE)
    expected = walk(kernel, 1, 0, 0, (1, 1), image)
    assert state["said"] == readout(expected)
    assert "(−2)" in state["said"]["sum"]
    assert state["cells"]["output"] == written(expected.output)[:5]


def test_a_choice_that_no_longer_exists_is_replaced(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer) as tab:
        figure = tab.locator(".yv-upsampling")
        figure.evaluate(CHOOSE, ["padding", "2"])
        figure.evaluate(CHOOSE, ["stride", "3"])
        figure.evaluate(CHOOSE, ["extra", "2"])
        figure.evaluate(CHOOSE, ["kernel", "2 × 2, ones"])
        figure.evaluate(CHOOSE, ["stride", "2"])
        for name, options in (("padding", ["0", "1"]), ("extra", ["0", "1"])):
            field = figure.locator(f"[data-set={name}]")
            assert field.locator("option").all_inner_texts() == options
            assert field.input_value() == "1"
        assert figure.evaluate(STATE)["said"]["formula"].endswith("= (4 − 1) · 2 + 2 − 2 · 1 + 1 = 7")


def test_buttons_keys_and_a_second_figure(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer, explorer) as tab:
        figure, other = tab.locator(".yv-upsampling").all()
        figure.get_by_role("button", name="Next").click()
        assert figure.locator("output").inner_text() == "10 / 49"
        figure.get_by_role("slider", name="Output entry").focus()
        tab.keyboard.press("ArrowLeft")
        tab.keyboard.press("ArrowLeft")
        assert figure.locator("output").inner_text() == "8 / 49"
        figure.get_by_role("button", name="All").click()
        assert len(figure.locator("[data-panel=output]").evaluate(CELLS)) == 49
        assert figure.get_by_role("button", name="Next").get_attribute("aria-disabled") == "true"
        figure.get_by_role("button", name="Next").click(force=True)
        assert figure.locator("output").inner_text() == "49 / 49"
        figure.locator("[role=status]").get_by_text("Row 6, column 6").wait_for(state="attached")
        assert other.locator("output").inner_text() == "9 / 49"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(browser, explorer, tmp_path, theme):
    with Visit(browser, tmp_path, explorer, theme=theme, **PHONE) as tab:
        tab.locator(".yv-upsampling").evaluate(CHOOSE, ["stride", "3"])
        assert_fits_a_phone(tab)
        assert_accessible(tab)
        assert tab.locator(".yv-still >> visible=true").count() == 0


def test_it_is_complete_without_scripts(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer, java_script_enabled=False) as tab:
        assert tab.locator(".yv-upsampling svg >> visible=true").count() == 5
        assert tab.locator(".yv-live >> visible=true").count() == 0
        assert tab.locator("[data-out=sum]").inner_text().endswith("= 47")
