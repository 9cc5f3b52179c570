"""The threshold explorer: its numbers are the library's, and a real browser computes the same."""

import json
from pathlib import Path

import pytest
import torch
from bs4 import BeautifulSoup
from figure_page import Visit, assert_accessible, assert_fits_a_phone

from yolov3_lib.data.voc import read_annotation
from yolov3_lib.detections import Detections
from yolov3_lib.evaluate import evaluate_voc
from yolov3_lib.thresholds import operating_points
from yolov3_lib.widgets.threshold_figure import threshold_explorer
from yolov3_lib.widgets.threshold_scene import THRESHOLDS, Scene, named, place, readout

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("dog", "<b>&\"'", "car")
PHOTO = ROOT / "data/photos/dog.jpg"


def some_detections(count: int = 30) -> Detections:
    draw = torch.Generator().manual_seed(0)
    corner, size = (torch.rand(count, 2, generator=draw) * side + 20 for side in (400, 150))
    scores = (torch.rand(count, generator=draw) * 20).round() / 20  # many stand right on a threshold
    scores, order = scores.clamp(0.01, 0.99).sort(descending=True, stable=True)
    boxes = torch.cat([corner, corner + size], dim=1)[order]
    return Detections(boxes, scores, torch.arange(count) % 3)


@pytest.fixture(scope="module")
def curves():
    truth = read_annotation(PHOTO.with_suffix(".xml"))
    boxes = torch.cat([truth.boxes, truth.boxes + 300, truth.boxes / 2])
    scores = torch.linspace(0.95, 0.05, len(boxes))
    found = Detections(boxes, scores, truth.classes.repeat(3))
    result = evaluate_voc([found], [truth], [str(i) for i in range(20)])
    empty = evaluate_voc([Detections.none()], [truth], [str(i) for i in range(20)])
    return {"all": operating_points(result, THRESHOLDS), "nothing": operating_points(empty, THRESHOLDS)}


@pytest.fixture(scope="module")
def scene(curves):
    from yolov3_lib.data.images import load_image

    return Scene.of(load_image(PHOTO), some_detections(), NAMES, curves)


@pytest.fixture(scope="module")
def widget(curves):
    return threshold_explorer(PHOTO, some_detections(), NAMES, curves)


def test_it_starts_with_the_scenes_numbers_and_says_them_everywhere(widget, scene):
    tree = BeautifulSoup(widget.html, "html.parser")
    said = {node["data-out"]: node.get_text() for node in tree.select("[data-out]")}
    assert said == readout(scene, 25, "all")
    points = scene.curves["all"]
    assert said["precision"] == f"{points.precision[25]:.3f}"
    assert said["recall"] == f"{points.recall[25]:.3f}"
    assert said["shown"] == str(int((some_detections().scores > 0.25).sum()))
    assert f"precision {said['precision']}" in widget.alt
    dot = tree.select_one(".yv-dot")
    assert (float(dot["cx"]), float(dot["cy"])) == pytest.approx(place(points, 25))
    assert len(tree.select(".yv-found > g")) == int(said["shown"])
    assert len(tree.select(".yv-found text")) == len(named(scene, scene.shown(25)))


def test_it_is_small_and_self_contained(widget, curves):
    assert len(widget.html.encode()) < 150_000
    assert len(widget.picture) < 150_000
    tree = BeautifulSoup(widget.html, "html.parser")
    assert not tree.select("[id], script[src], link")
    for node in tree.select("[src], [href]"):
        assert node.get("src", node.get("href")).startswith("data:image/")
    assert "url(" not in tree.style.string
    assert "<b>&\"'" not in widget.html
    assert json.loads(tree.select_one(".yv")["data-state"])["names"] == list(NAMES)
    again = threshold_explorer(PHOTO, some_detections(), NAMES, curves)
    assert (again.html, again.picture) == (widget.html, widget.picture)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.0}, "threshold is 1.0"),
        ({"curves": {}}, "curves is empty"),
        ({"class_names": ("dog",)}, r"classes\[1\] is 1, but there are 1 class names"),
        ({"detections": some_detections(201)}, "201 boxes make a page slow"),
    ],
)
def test_it_refuses(curves, change, message):
    arguments = {"detections": some_detections(), "class_names": NAMES, "curves": curves} | change
    with pytest.raises(ValueError, match=message):
        threshold_explorer(PHOTO, **arguments)


def test_points_at_other_thresholds_are_refused(curves):
    result = evaluate_voc([], [], NAMES)
    with pytest.raises(ValueError, match="its points must be at the thresholds"):
        threshold_explorer(PHOTO, some_detections(), NAMES, {"x": operating_points(result, [0.5])})


@pytest.fixture
def tab(browser, widget, tmp_path):
    with Visit(browser, tmp_path, widget) as tab:
        yield tab


TRY = """(root, tries) => tries.map(([step, curve]) => {
  const slider = root.querySelector('input'), choice = root.querySelector('select');
  slider.value = step / 100;
  choice.value = curve;
  slider.dispatchEvent(new Event('input', {bubbles: true}));
  const dot = root.querySelector('.yv-dot');
  return {
    said: Object.fromEntries(
      [...root.querySelectorAll('[data-out]')].map(node => [node.dataset.out, node.textContent])),
    drawn: root.querySelectorAll('.yv-found > g').length,
    names: root.querySelectorAll('.yv-found text').length,
    dot: dot.hasAttribute('data-none') ? null : ['cx', 'cy'].map(name => Number(dot.getAttribute(name))),
  };
})"""


def test_the_page_computes_what_the_library_does(tab, scene):
    tries = [(step, curve) for curve in scene.curves for step in range(0, 100, 3 if curve == "all" else 25)]
    pages = tab.locator(".yv-threshold").evaluate(TRY, tries)
    for (step, curve), page in zip(tries, pages, strict=True):
        assert page["said"] == readout(scene, step, curve)
        assert page["drawn"] == len(scene.shown(step))
        assert page["names"] == len(named(scene, scene.shown(step)))
        assert page["dot"] == pytest.approx(place(scene.curves[curve], step), abs=0.011)


def test_the_keyboard_moves_it_and_a_screen_reader_hears(tab, scene):
    figure = tab.locator(".yv-threshold")
    figure.get_by_role("slider", name="Score above").focus()
    tab.keyboard.press("ArrowRight")
    assert figure.locator("output").inner_text() == "0.26"
    figure.locator("[role=status]").get_by_text("precision").wait_for(state="attached")
    figure.get_by_label("Curve of").select_option("nothing")
    assert figure.locator("[data-out=precision]").inner_text() == "–"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(tab, theme):
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    assert_accessible(tab)
    assert_fits_a_phone(tab)
