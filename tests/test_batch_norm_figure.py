"""The batch-norm explorer: its numbers are the library's and torch's, and so are a real browser's."""

import random
from dataclasses import replace

import pytest
import torch
from bs4 import BeautifulSoup
from figure_page import SAID, Visit, assert_accessible, assert_fits_a_phone
from torch import nn

from yolov3_lib.foundations import batch_norm
from yolov3_lib.widgets import batch_norm_explorer
from yolov3_lib.widgets.batch_norm_figure import BATCHES, Setting, _drawing, measure, members, readout

SPREADS, CENTERS = torch.tensor([5.0, 9, 20])[:, None], torch.tensor([-5.0, 12, -24])[:, None]
DRAWS = torch.randn(36, 3, 9, generator=torch.Generator().manual_seed(0)).double()
VALUES = (DRAWS * SPREADS + CENTERS).mul(100).round() / 100
ROWS = VALUES.tolist()


def batch_of(setting: Setting, number: int) -> torch.Tensor:
    """(N, 3, 1, V), as the library takes it."""
    return VALUES[members(len(VALUES), setting.size, number)][:, :, None]


def test_a_batch_holds_the_first_image_and_goes_round_the_others():
    assert members(36, 1, 5) == [0]
    assert members(36, 3, 1) == [0, 1, 2]
    assert members(36, 3, 2) == [0, 3, 4]
    for size in range(1, 17):
        for number in range(1, BATCHES + 1):
            found = members(36, size, number)
            assert len(set(found)) == size
            assert set(found) <= set(range(36))
        seen = [i for number in range(1, BATCHES + 1) for i in members(36, size, number)[1:]]
        assert len(set(seen)) == (35 if size > 1 else 0)


@pytest.mark.parametrize("size", [1, 2, 5, 16])
@pytest.mark.parametrize("mode", ["training", "inference"])
def test_the_numbers_are_the_librarys_and_torchs(size, mode):
    setting = Setting(mode, size, 37, 0.03, 1, (0.5, -1.5, 2.0), (1.0, 0.3, -2.0))
    layer = nn.BatchNorm2d(3, eps=1e-5, momentum=setting.momentum).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(setting.gamma, dtype=torch.float64))
        layer.bias.copy_(torch.tensor(setting.beta, dtype=torch.float64))
        mean, variance = torch.zeros(3).double(), torch.ones(3).double()
        for number in range(1, setting.batch + 1):
            y = layer(batch_of(setting, number))
            mean, variance = batch_norm.update_running(
                mean, variance, batch_norm.statistics(batch_of(setting, number)), setting.momentum
            )
        if mode == "inference":
            y = layer.eval()(batch_of(setting, setting.batch))
    for channel in range(3):
        found = measure(ROWS, setting, channel)
        assert found.running_mean == pytest.approx(layer.running_mean[channel].item())
        assert found.running_variance == pytest.approx(layer.running_var[channel].item())
        assert found.running_mean == pytest.approx(mean[channel].item())
        assert found.running_variance == pytest.approx(variance[channel].item())
        assert found.y == pytest.approx(y[:, channel].flatten().tolist())
        assert found.x == batch_of(setting, setting.batch)[:, channel].flatten().tolist()


def test_what_is_followed_wanders_in_training_and_less_in_large_batches():
    def width(size: int) -> float:
        followed = measure(ROWS, Setting(size=size), 0).followed
        return max(followed) - min(followed)

    assert width(1) == 0
    assert width(2) > width(8) > 0


def test_it_starts_with_its_numbers_and_is_self_contained():
    widget = batch_norm_explorer(VALUES)
    tree = BeautifulSoup(widget.html, "html.parser")
    shown = {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}
    assert shown == readout(measure(ROWS, Setting(), 0), Setting())
    assert shown["y"] in widget.alt
    assert batch_norm_explorer(VALUES, alt="Three channels.").alt == "Three channels."
    assert len(widget.html.encode()) < 60_000
    assert len(widget.picture) < 50_000
    assert not tree.select("[id], link, script[src]")
    for control in tree.select("input, select, button"):
        assert control.get("aria-label") or control.get_text(strip=True) or control.find_parent("label")


def test_it_asks_for_what_it_needs():
    with pytest.raises(ValueError, match=r"values: expected \(images, 3, V\), got \(36, 27\)"):
        batch_norm_explorer(VALUES.flatten(1))
    with pytest.raises(ValueError, match="at least 16 images, got 15"):
        batch_norm_explorer(VALUES[:15])
    with pytest.raises(ValueError, match="NaN or infinite"):
        batch_norm_explorer(VALUES / 0)


# In a browser.

FIGURE = ".yv-batch_norm[data-alive]"
DRAWN = """root => [...root.querySelectorAll('.yv-bars, .yv-dot, .yv-means, .yv-running, .yv-now')].map(
  node => [node.getAttribute('d') || node.getAttribute('cx'), node.hasAttribute('data-chosen')])"""


@pytest.fixture(scope="module")
def tab(browser, tmp_path_factory):
    with Visit(browser, tmp_path_factory.mktemp("figure"), batch_norm_explorer(VALUES)) as tab:
        tab.locator(FIGURE).wait_for()
        yield tab


def drawn(setting: Setting) -> list[list]:
    markup = _drawing(ROWS, [measure(ROWS, setting, channel) for channel in range(3)], setting, "")
    tree = BeautifulSoup(markup, "html.parser")
    nodes = tree.select(".yv-bars, .yv-dot, .yv-means, .yv-running, .yv-now")
    return [[node.get("d") or node.get("cx"), node.has_attr("data-chosen")] for node in nodes]


def test_the_page_computes_and_draws_what_the_library_does(tab):
    figure = tab.locator(FIGURE)
    assert figure.evaluate(DRAWN) == drawn(Setting())
    rng = random.Random(0)
    setting = Setting()
    for turn in range(8):
        channel, size, batch = turn % 3, rng.randint(1, 16), rng.randint(1, BATCHES)
        numbers = {"size": size, "batch": batch, "momentum": rng.randint(1, 100) / 100}
        gamma, beta = rng.randint(-20, 30) / 10, rng.randint(-40, 40) / 10
        mode = ("training", "inference")[turn % 2]
        figure.get_by_role("button", name=mode.capitalize()).click()
        figure.locator("select").select_option(str(channel))
        for name, value in {**numbers, "gamma": gamma, "beta": beta}.items():
            figure.locator(f"input[data-name={name}]").fill(str(value))
        gammas, betas = list(setting.gamma), list(setting.beta)
        gammas[channel], betas[channel] = gamma, beta
        setting = replace(
            setting, mode=mode, channel=channel, gamma=tuple(gammas), beta=tuple(betas), **numbers
        )
        assert figure.evaluate(SAID) == readout(measure(ROWS, setting, channel), setting)
        assert figure.evaluate(DRAWN) == drawn(setting)


def test_company_changes_the_dot_in_training_only(tab):
    figure = tab.locator(FIGURE)
    figure.locator("select").select_option("0")
    figure.locator("input[data-name=momentum]").fill("0.01")
    figure.locator("input[data-name=size]").fill("2")
    figure.locator("input[data-name=gamma]").fill("2")
    wandering = {}
    for mode in ("Training", "Inference"):
        figure.get_by_role("button", name=mode).click()
        pressed = figure.locator("[data-mode][aria-pressed=true]").text_content()
        assert pressed == mode
        found = []
        for batch in (116, 117, 118, 119):
            figure.locator("input[data-name=batch]").fill(str(batch))
            found.append(float(figure.evaluate(SAID)["y"].replace("−", "-")))
        wandering[mode] = max(found) - min(found)
    assert wandering["Training"] > 5 * wandering["Inference"]


def test_the_keyboard_moves_a_slider_and_a_reader_is_told(tab):
    figure = tab.locator(FIGURE)
    slider = figure.locator("input[data-name=batch]")
    slider.fill("50")
    slider.focus()
    before = figure.evaluate(SAID)
    tab.keyboard.press("ArrowRight")
    assert figure.locator("[data-value=batch]").text_content() == "51"
    assert figure.evaluate(SAID) != before
    assert "batch 51 of" in figure.locator("svg").get_attribute("aria-label")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(tab, theme):
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    assert_accessible(tab)
    assert_fits_a_phone(tab)
