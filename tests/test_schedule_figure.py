"""The schedule explorer: its numbers are the library's, and a real browser computes the same."""

import random
from dataclasses import replace

import pytest
from bs4 import BeautifulSoup
from figure_page import SAID, Visit, assert_accessible, assert_fits_a_phone

from yolov3_lib.training.config import recipe
from yolov3_lib.training.optimizer import learning_rate
from yolov3_lib.widgets.schedule_figure import CASES, TOTAL, Schedule, readout, schedule_explorer


def test_darknets_case_is_the_recipe_on_a_scale_of_a_thousand_steps():
    darknet, steps = recipe("darknet"), 50_200
    rates = CASES["Darknet"].rates()
    for step in range(0, TOTAL, 7):
        # Around a step of the schedule the two grids may differ.
        nearby = {learning_rate(darknet, max(0, s), steps) / 1e-3 for s in (50 * step - 60, 50 * step + 160)}
        assert min(nearby) - 1e-2 <= rates[step] <= max(nearby) + 1e-2, step


def test_the_readout_is_worked_out_by_hand_for_a_constant_rate():
    said = readout(Schedule("constant", warmup=0, at=499))
    assert said == {
        "at": "step 499 of 1000", "rate": "1.0000", "behind": "50.0 %", "last": "10.0 %", "mean": "1.000",
    }  # fmt: skip
    # Two falls to a tenth: 800 + 20 · 0.1·… = 800·1 + 100·.1 + 100·.01 = 811
    said = readout(Schedule("step", warmup=0, milestone=800, at=799))
    assert (said["rate"], said["behind"], said["mean"]) == ("1.0000", "98.6 %", "0.811")
    said = readout(Schedule("constant", warmup=100, power=4, at=49))
    assert said["rate"] == "0.0625"


def test_it_starts_with_the_schedules_numbers_and_is_self_contained():
    widget = schedule_explorer()
    tree = BeautifulSoup(widget.html, "html.parser")
    shown = {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}
    assert shown == readout(CASES["Darknet"])
    assert shown["rate"] in widget.alt
    assert schedule_explorer(alt="A curve.").alt == "A curve."
    assert len(widget.html.encode()) < 45_000
    assert len(widget.picture) < 40_000
    assert not tree.select("[id], link, script[src]")
    for control in tree.select("input, select, button"):
        assert control.get("aria-label") or control.get_text(strip=True) or control.find_parent("label")
    with pytest.raises(ValueError, match="start: expected one of Darknet"):
        schedule_explorer("none")


# In a browser.

PATHS = "root => [...root.querySelectorAll('.yv-curve, .yv-area')].map(node => node.getAttribute('d'))"


@pytest.fixture(scope="module")
def tab(browser, tmp_path_factory):
    with Visit(browser, tmp_path_factory.mktemp("figure"), schedule_explorer()) as tab:
        yield tab


def test_the_page_draws_its_first_state_again(tab):
    figure = tab.locator(".yv-schedule[data-alive]")
    figure.wait_for()
    tree = BeautifulSoup(schedule_explorer().html, "html.parser")
    assert figure.evaluate(PATHS) == [tree.select_one(name)["d"] for name in (".yv-area", ".yv-curve")]


def test_the_page_computes_what_the_library_does(tab):
    figure = tab.locator(".yv-schedule[data-alive]")
    figure.wait_for()
    rng = random.Random(0)
    for name in CASES:
        figure.get_by_role("button", name=name, exact=True).click()
        schedule = replace(CASES[name])
        for field, low, high in (("at", 0, 999), ("warmup", 0, 40), ("power", 1, 4), ("milestone", 300, 950),
                                 ("final", 0, 50)):  # fmt: skip
            slider = figure.locator(f"input[data-name={field}]")
            value = rng.randint(low, high) * (5 if field == "warmup" else 1)
            if slider.is_enabled():
                slider.fill(str(value))
                schedule = replace(schedule, **{field: value})
        assert figure.evaluate(SAID) == readout(schedule)
    for kind in ("step", "constant", "cosine"):
        figure.locator("select").select_option(kind)
        schedule = replace(schedule, kind=kind)
        assert figure.evaluate(SAID) == readout(schedule)


def test_the_scale_changes_and_the_keyboard_moves_the_cursor(tab):
    figure = tab.locator(".yv-schedule[data-alive]")
    figure.get_by_role("button", name="Darknet", exact=True).click()
    before = figure.evaluate(PATHS)
    figure.get_by_role("checkbox").check()
    assert figure.evaluate(PATHS) != before
    figure.get_by_role("checkbox").uncheck()
    slider = figure.locator("input[data-name=at]")
    slider.fill("500")
    slider.focus()
    tab.keyboard.press("ArrowRight")
    assert figure.evaluate(SAID)["at"] == "step 501 of 1000"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(tab, theme):
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    assert_accessible(tab)
    assert_fits_a_phone(tab)
