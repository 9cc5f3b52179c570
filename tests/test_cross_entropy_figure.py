"""The figure of chapter 5: what it holds, and that the page computes as the library does."""

import json

import pytest
from bs4 import BeautifulSoup
from figure_page import PHONE, SAID, Visit, assert_accessible, assert_carries_everything, assert_fits_a_phone
from torch import tensor
from torch.nn import functional as F

from yolov3_lib.widgets.cross_entropy_figure import entropy_explorer, numbers, readout


@pytest.fixture(scope="module")
def explorer():
    return entropy_explorer()


def test_the_first_state_is_the_librarys(explorer):
    tree = BeautifulSoup(explorer.html, "html.parser")
    state = json.loads(tree.select_one(".yv")["data-state"])
    said = {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}
    assert said == readout(state["logits"], state["targets"])
    t = tensor(state["logits"]).double()
    assert float(said["soft-loss"]) == pytest.approx(F.cross_entropy(t, tensor(2)).item(), abs=6e-4)
    y = tensor(state["targets"]).double()
    expected = F.binary_cross_entropy_with_logits(t, y, reduction="sum").item()
    assert float(said["sig-loss"]) == pytest.approx(expected, abs=6e-4)
    assert [int("checked" in node.attrs) for node in tree.select("[data-target]")] == state["targets"]
    assert said["2-soft-slope"].startswith("−")
    assert "horse" in explorer.alt
    assert said["soft-loss"] in repr(explorer)


def test_the_numbers_are_what_they_mean():
    two = numbers([2.0, -3, 1, 0], [1, 0, 1, 0])
    assert sum(two["soft"]) == pytest.approx(1)
    assert sum(two["soft-slope"]) == pytest.approx(0, abs=1e-12)
    assert two["soft-loss"] > two["floor"] == pytest.approx(0.6931472)
    nothing = numbers([-3.0, -4], [0, 0])
    assert nothing["soft-loss"] is nothing["soft-slope"] is nothing["floor"] is None
    assert readout([-3.0, -4], [0, 0])["soft-loss"] == "not defined"
    assert nothing["sig-slope"] == nothing["sig"]


def test_it_carries_everything_with_it(explorer):
    assert_carries_everything(explorer)
    assert len(explorer.html) < 60_000
    assert len(explorer.picture) < 40_000


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        ((0.0, 9.0), (0, 1), r"logits\[1\] is 9.0: the sliders go from -8 to 8"),
        ((0.0, float("nan")), (0, 1), r"logits\[1\] is nan"),
        ((0.0, 1.0), (0, 2), r"targets\[1\] is 2: 1 where the class is true, else 0"),
        ((0.0,), (0, 1), "2 names, 1 logits and 2 targets"),
    ],
)
def test_what_cant_be_shown_is_refused(logits, targets, message):
    with pytest.raises(ValueError, match=message):
        entropy_explorer(logits, targets, class_names=("cat", "dog"))


# In a real browser.

SET = """(root, [logits, targets]) => {
  const sent = (node) => node.dispatchEvent(new Event('input', {bubbles: true}));
  logits.forEach((t, i) => {
    const node = root.querySelector(`[data-logit="${i}"]`); node.value = t; sent(node);
  });
  targets.forEach((y, i) => {
    const node = root.querySelector(`[data-target="${i}"]`); node.checked = y === 1; sent(node);
  });
}"""
BARS = """root => Object.fromEntries([...root.querySelectorAll('[data-bar]')].map(
  (node) => [node.dataset.bar, Number(node.style.getPropertyValue('--v'))]
))"""


def test_the_page_computes_as_the_library_does(browser, explorer, tmp_path):
    states = [
        ([0.5, -1.0, 2.0, 1.0], [0, 0, 1, 0]),
        ([8.0, -8.0, 8.0, -8.0], [0, 1, 0, 1]),
        ([-8.0, -8.0, -8.0, -8.0], [1, 1, 1, 1]),
        ([0.0, 0.0, 0.0, 0.0], [0, 0, 0, 0]),
        ([3.37, -2.21, 0.08, -6.5], [1, 0, 1, 1]),
    ]
    with Visit(browser, tmp_path, explorer) as tab:
        figure = tab.locator(".yv-cross_entropy")
        for logits, targets in states:
            figure.evaluate(SET, [logits, targets])
            assert figure.evaluate(SAID) == readout(logits, targets)
            found, bars = numbers(logits, targets), figure.evaluate(BARS)
            for i in range(4):
                assert bars[f"{i}-soft"] == pytest.approx(found["soft"][i], abs=1e-4)
                assert bars[f"{i}-sig-slope"] == pytest.approx(found["sig-slope"][i], abs=1e-4)
                slope = found["soft-slope"][i] if any(targets) else 0
                assert bars[f"{i}-soft-slope"] == pytest.approx(slope, abs=1e-4)
            step = figure.get_by_role("button", name="Step of the softmax")
            assert step.is_enabled() == any(targets)


def test_steps_go_down_to_the_floor(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer) as tab:
        figure = tab.locator(".yv-cross_entropy")
        figure.get_by_role("button", name="Two labels").click()
        logits, targets = [2.0, -3.0, 1.0, 0.0], [1, 0, 1, 0]
        assert figure.evaluate(SAID) == readout(logits, targets)
        for _ in range(5):
            figure.get_by_role("button", name="Step of the softmax").click()
            logits = [t - g for t, g in zip(logits, numbers(logits, targets)["soft-slope"], strict=True)]
        assert figure.evaluate(SAID) == readout(logits, targets)
        for _ in range(40):
            figure.get_by_role("button", name="Step of the sigmoids").click()
            slopes = numbers(logits, targets)["sig-slope"]
            logits = [min(max(t - g, -8), 8) for t, g in zip(logits, slopes, strict=True)]
        assert figure.evaluate(SAID) == readout(logits, targets)
        assert numbers(logits, targets)["sig-loss"] < 0.2


def test_keys_check_boxes_and_two_on_a_page(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer, explorer) as tab:
        figure, other = tab.locator(".yv-cross_entropy").all()
        figure.get_by_role("slider", name="Logit of person").focus()
        tab.keyboard.press("ArrowRight")
        assert figure.locator("[data-out='0-logit']").inner_text() == "0.51"
        figure.get_by_role("checkbox", name="person").focus()
        tab.keyboard.press("Space")
        assert figure.evaluate(SAID) == readout([0.51, -1, 2, 1], [1, 0, 1, 0])
        assert other.evaluate(SAID) == readout([0.5, -1, 2, 1], [0, 0, 1, 0])
        figure.locator("[role=status]").get_by_text("Softmax loss").wait_for(state="attached")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(browser, explorer, tmp_path, theme):
    with Visit(browser, tmp_path, explorer, theme=theme, **PHONE) as tab:
        assert_fits_a_phone(tab)
        assert_accessible(tab)
        assert tab.locator(".yv-still >> visible=true").count() == 0


def test_it_is_complete_without_scripts(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer, java_script_enabled=False) as tab:
        figure = tab.locator(".yv-cross_entropy")
        assert figure.locator(".yv-live >> visible=true").count() == 0
        assert figure.locator("[data-out='2-soft']").inner_text() == "0.609"
