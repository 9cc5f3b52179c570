"""The figure of chapter 6: what it holds, and that the page trains as the library does."""

import json
import re
from dataclasses import asdict, replace
from functools import cache

import pytest
from bs4 import BeautifulSoup
from figure_page import PHONE, SAID, Visit, assert_accessible, assert_carries_everything, assert_fits_a_phone

from yolov3_lib.widgets.leaky_relu_figure import (
    CASES,
    NEURONS,
    RATES,
    STOPS,
    Setting,
    neuron_explorer,
    readout,
    states,
    train,
)


@pytest.fixture(scope="module")
def explorer():
    return neuron_explorer()


@cache
def history(setting: Setting):
    """3,000 steps; whatever is looked at, they are the same."""
    return train(setting)


def said_by(setting: Setting) -> dict[str, str]:
    return readout(setting, history(replace(setting, at=0)))


# What it holds.


def test_the_first_state_is_the_librarys(explorer):
    tree = BeautifulSoup(explorer.html, "html.parser")
    state = json.loads(tree.select_one(".yv")["data-state"])
    setting = CASES["Shifted, with a leak"]
    assert state["setting"] == asdict(setting)
    said = {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}
    assert said == said_by(setting)
    assert said["loss"] in explorer.alt
    assert said["silent"] in repr(explorer)
    kinds = [node["class"][1].removeprefix("yv-") for node in tree.select(".yv-kink")]
    _, network = history(replace(setting, at=0))[setting.at]
    assert kinds == states(network, "leaky")
    assert f"{kinds.count('silent')} of {NEURONS}" == said["silent"]


def test_the_cases_show_what_they_are_called():
    relu = said_by(CASES["Shifted down"])
    leaky = said_by(CASES["Shifted, with a leak"])
    assert int(relu["silent"].split()[0]) > int(leaky["silent"].split()[0])
    assert float(relu["loss"]) > 10 * float(leaky["loss"])
    assert float(said_by(CASES["Well started"])["loss"]) < 0.05
    quiet = said_by(replace(CASES["Too fast"], at=0)), said_by(CASES["Too fast"])
    assert [int(said["silent"].split()[0]) for said in quiet] == [0, 9]
    far = CASES["Far away, smooth"]
    stuck = said_by(far)
    assert float(stuck["loss"]) > 0.4
    # All silent: a leak finds the best straight line, and rests there.
    leaky = [said_by(replace(far, activation="leaky", at=at)) for at in (1000, 3000)]
    assert {said["silent"] for said in leaky} == {f"{NEURONS} of {NEURONS}"}
    assert leaky[0]["loss"] == leaky[1]["loss"] < stuck["loss"]


def test_a_run_that_diverges_ends_before_it_does():
    wild = Setting("prelu", 1.0, 0.5, 6.0, 3000)
    steps = len(history(replace(wild, at=0)))
    assert steps < 3000
    assert said_by(wild)["loss"] == f"diverged at step {steps}"
    assert len(neuron_explorer("Too fast").html) < 60_000


def test_it_carries_everything_with_it(explorer):
    assert_carries_everything(explorer)
    assert len(explorer.html.encode()) < 60_000
    assert len(explorer.picture) < 40_000
    with pytest.raises(ValueError, match="start: expected one of Well started"):
        neuron_explorer("none")


# In a real browser.

SET = """(root, [setting, stops, rates]) => {
  const sent = (node, value) => {
    node.value = value; node.dispatchEvent(new Event('input', {bubbles: true}));
  };
  sent(root.querySelector('select'), setting.activation);
  const place = {at: stops.indexOf(setting.at), rate: rates.indexOf(setting.rate)};
  for (const name of ['slope', 'rate', 'shift', 'at']) {
    sent(root.querySelector(`[data-name=${name}]`), place[name] ?? setting[name]);
  }
}"""
STEP = "document.querySelector('.yv-leaky_relu [data-out=step]')"
DRAWN = """root => [...root.querySelectorAll('svg path:not(.yv-axis)')].map(
  (node) => [node.getAttribute('class'), node.getAttribute('d')]
)"""


@pytest.fixture(scope="module")
def figure(browser, explorer, tmp_path_factory):
    with Visit(browser, tmp_path_factory.mktemp("figure"), explorer) as tab:
        yield tab.locator(".yv-leaky_relu")


@pytest.mark.parametrize(
    "setting",
    [
        Setting("relu", 0.1, 0.05, 1.5, 3000),
        Setting("leaky", 0.3, 0.1, 0.5, 500),
        Setting("prelu", 0.25, 0.02, 1.0, 1000),
        Setting("silu", 0.1, 0.05, 3.0, 3000),
        Setting("mish", 0.1, 0.02, 0.0, 480),
        Setting("relu", 0.1, 0.5, 0.0, 7),
        Setting("prelu", 1.0, 0.5, 6.0, 2000),
        Setting("leaky", 0.0, 0.005, 4.0, 0),
    ],
    ids=lambda setting: f"{setting.activation}-{setting.shift}",
)
def test_the_page_trains_as_the_library_does(figure, setting):
    figure.evaluate(SET, [asdict(setting), STOPS, RATES])
    assert figure.evaluate(SAID) == said_by(setting)
    assert figure.locator("[data-name=slope]").is_enabled() == (setting.activation in ("leaky", "prelu"))


@pytest.mark.parametrize("case", ["Well started", "Shifted, with a leak"])
def test_the_page_draws_as_the_library_does(figure, case):
    figure.get_by_role("button", name=case, exact=True).click()
    tree = BeautifulSoup(neuron_explorer(case).html, "html.parser")
    expected = [(" ".join(node["class"]), node["d"]) for node in tree.select("svg path:not(.yv-axis)")]
    for (name, line), (wanted, target) in zip(figure.evaluate(DRAWN), expected, strict=True):
        assert name == wanted
        numbers = [[float(n) for n in re.findall(r"-?[\d.]+", d)] for d in (line, target)]
        # The two round a half differently now and then.
        assert numbers[0] == pytest.approx(numbers[1], abs=0.11)


def test_steps_by_keys_and_buttons_and_playing(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer, explorer) as tab:
        figure, other = tab.locator(".yv-leaky_relu").all()
        before = other.evaluate(SAID)
        step = figure.locator("[data-out=step]")
        slider = figure.get_by_role("slider", name="Step")
        slider.focus()
        tab.keyboard.press("Home")
        assert step.inner_text() == "step 0"
        assert figure.get_by_role("button", name="Back").is_disabled()
        tab.keyboard.press("ArrowRight")
        assert slider.get_attribute("aria-valuetext") == "step 1"
        figure.get_by_role("button", name="Next").click()
        assert step.inner_text() == "step 2"
        assert figure.evaluate(SAID) == said_by(replace(CASES["Shifted, with a leak"], at=2))
        figure.get_by_role("button", name="Play").click()
        tab.wait_for_function(f"Number({STEP}.textContent.split(' ')[1]) >= 5")
        figure.get_by_role("button", name="Pause").click()
        stopped = step.inner_text()
        tab.wait_for_timeout(300)
        assert step.inner_text() == stopped
        assert other.evaluate(SAID) == before
        figure.locator("[role=status]").get_by_text("bend the line").wait_for(state="attached")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(browser, explorer, tmp_path, theme):
    with Visit(browser, tmp_path, explorer, theme=theme, **PHONE) as tab:
        assert_fits_a_phone(tab)
        assert_accessible(tab)
        assert tab.locator(".yv-still >> visible=true").count() == 0


def test_it_is_complete_without_scripts(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer, java_script_enabled=False) as tab:
        figure = tab.locator(".yv-leaky_relu")
        assert figure.locator(".yv-live >> visible=true").count() == 0
        assert figure.locator("[data-out=silent]").inner_text() == "4 of 12"
