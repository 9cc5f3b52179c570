"""The figure of chapter 15: what it holds, and that a browser decomposes a photograph as the library does."""

import json
import re

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from figure_page import PHONE, Visit, assert_accessible, assert_carries_everything, assert_fits_a_phone

from yolov3_lib.bonus import low_rank
from yolov3_lib.data.images import load_image
from yolov3_lib.widgets.rank_figure import mean_errors, rank_explorer, readout


@pytest.fixture(scope="module")
def image(photos_dir) -> np.ndarray:
    return load_image(photos_dir / "chelsea.jpg")[60:240:4, 60:360:5]  # 45 × 60 pixels


@pytest.fixture(scope="module")
def explorer(image):
    return rank_explorer(image, 5)


def parts_of(image: np.ndarray) -> low_rank.SVD:
    return low_rank.svd(torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1))


def test_the_first_state_is_the_librarys(explorer, image):
    tree = BeautifulSoup(explorer.html, "html.parser")
    said = {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}
    expected = readout(parts_of(image), 5)
    assert said == {name: text for name, text in expected.items() if name != "k"}
    assert (expected["numbers"], expected["share"], expected["pays"]) == (
        "530 of 2700 a channel",
        "20%",
        "yes",
    )
    gap = low_rank.svd(parts_of(image).matrix(), 5).matrix().permute(1, 2, 0).numpy() - image
    assert float(expected["error"]) == pytest.approx(np.sqrt(np.square(gap).mean()), abs=0.0051)
    assert json.loads(tree.select_one(".yv")["data-state"])["k"] == 5
    assert "rank 5" in explorer.alt
    assert "error" in repr(explorer)


def test_it_carries_everything_with_it(explorer):
    assert_carries_everything(explorer)


def test_the_chapters_figure_is_light(photos_dir):
    widget = rank_explorer(photos_dir / "coffee.jpg")
    assert len(widget.html) < 100_000
    assert len(widget.picture) < 40_000


def test_a_rank_that_isnt_there_is_refused(image):
    with pytest.raises(ValueError, match="k is 46: the photograph, scaled to 60 × 45, allows 1 to 45"):
        rank_explorer(image, 46)


# In a real browser.

TRY = """async (root, ranks) => {
  const slider = root.querySelector('input[type=range]');
  await root.querySelector('.yv-original').decode();
  return ranks.map((k) => {
    slider.value = k;
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    const canvas = root.querySelector('canvas');
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext('2d', {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const said = [...root.querySelectorAll('[data-out]')].map(node => [node.dataset.out, node.textContent]);
    const marker = root.querySelector('.yv-marker');
    return {said: Object.fromEntries(said), pixels: [...pixels], size: [canvas.width, canvas.height],
            marker: [Number(marker.getAttribute('cx')), Number(marker.getAttribute('cy'))],
            points: root.querySelector('.yv-curve').getAttribute('d').slice(1).split('L')};
  });
}"""


def picture_in(state: dict) -> np.ndarray:
    width, height = state["size"]
    return np.array(state["pixels"], dtype=np.uint8).reshape(height, width, 4)[..., :3]


@pytest.mark.parametrize("upright", [False, True])
def test_the_page_decomposes_as_the_library_does(browser, image, tmp_path, upright):
    image = np.ascontiguousarray(image.transpose(1, 0, 2)) if upright else image
    parts, ranks = parts_of(image), [1, 5, 20, 44, 45]
    with Visit(browser, tmp_path, rank_explorer(image, 5)) as tab:
        states = tab.locator(".yv-rank").evaluate(TRY, ranks)
    for k, state in zip(ranks, states, strict=True):
        assert state["said"] == {name: text for name, text in readout(parts, k).items() if name != "k"}
        gap = np.abs(picture_in(state).astype(int) - low_rank.approximate_photograph(image, k))
        assert gap.max() <= 1  # a value between two gray levels may be rounded either way
        assert (gap > 0).mean() < 1e-3
        point = [float(number) for number in state["points"][k - 1].split()]
        assert state["marker"] == pytest.approx(point, abs=0.02)
    assert np.array_equal(picture_in(states[-1]), image)
    assert float(mean_errors(parts)[-1]) == 0


def test_buttons_keys_and_the_switch(browser, explorer, image, tmp_path):
    with Visit(browser, tmp_path, explorer, explorer) as tab:
        figure, other = tab.locator(".yv-rank").all()
        figure.get_by_role("button", name="k = 10").click()
        assert figure.locator("output").inner_text() == "10"
        assert figure.get_by_role("button", name="k = 10").get_attribute("aria-pressed") == "true"
        figure.get_by_role("slider", name="Rank k").focus()
        tab.keyboard.press("ArrowRight")
        assert figure.locator("output").inner_text() == "11"
        assert other.locator("output").inner_text() == "5"
        assert figure.locator("canvas").get_attribute("aria-label") == "The photograph at rank 11"
        clipped = figure.evaluate(TRY, [3])[0]
        figure.get_by_label("without clipping").check()
        wrapped = figure.evaluate(TRY, [3])[0]
        values = low_rank.rank_k(parts_of(image).matrix(), 3).permute(1, 2, 0).numpy()
        assert (picture_in(wrapped) == np.trunc(values).astype(np.int64).astype(np.uint8)).mean() > 0.999
        assert not np.array_equal(picture_in(wrapped), picture_in(clipped))
        figure.locator("[role=status]").get_by_text("Rank 3").wait_for(state="attached")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(browser, explorer, tmp_path, theme):
    with Visit(browser, tmp_path, explorer, theme=theme, **PHONE) as tab:
        tab.locator(".yv-rank").evaluate(TRY, [7])
        assert_fits_a_phone(tab)
        assert_accessible(tab)
        assert tab.locator(".yv-still >> visible=true").count() == 0


def test_it_is_complete_without_scripts(browser, explorer, tmp_path):
    with Visit(browser, tmp_path, explorer, java_script_enabled=False) as tab:
        assert tab.locator(".yv-rank img >> visible=true").count() == 2
        assert tab.locator(".yv-live >> visible=true").count() == 0
        assert re.fullmatch(r"\d+\.\d\d", tab.locator("[data-out=error]").inner_text())
