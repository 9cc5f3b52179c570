"""The drawings of results show the numbers that they are given."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from test_evaluate import NAMES, detections, truths

from yolov3_lib.evaluate import evaluate_voc
from yolov3_lib.plots import COLORS
from yolov3_lib.result_plots import draw_ap, draw_bars, draw_confusion, draw_curve

BOX, FAR = (0, 0, 10, 10), (100, 100, 110, 110)


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(scope="module")
def result():
    objects = [truths((0, 0, *BOX), (0, 0, *FAR), (1, 0, 30, 0, 40, 10))]
    found = [detections((0, 0.9, *BOX), (0, 0.6, 50, 50, 60, 60), (0, 0.4, *FAR), (1, 0.5, 30, 0, 40, 10))]
    return evaluate_voc(found, objects, NAMES)


def test_the_steps_enclose_the_ap(ax, result):
    draw_curve(ax, result.curves[0], "ant", raw=True)
    raw, envelope = ax.get_lines()
    assert raw.get_ydata().tolist() == result.curves[0].precision.tolist()
    x, y = envelope.get_data()
    area = (np.diff(x) * y[1:]).sum()  # "pre": a step has the height of its right end
    assert area == pytest.approx(result.ap_area[0])
    assert envelope.get_drawstyle() == "steps-pre"


def test_an_empty_curve_can_be_drawn(ax):
    result = evaluate_voc([detections()], [truths((0, 0, *BOX))], NAMES)
    draw_curve(ax, result.curves[0])
    (line,) = ax.get_lines()
    assert len(line.get_xdata()) == len(line.get_ydata()) == 0
    assert ax.get_xlabel() == "recall"


def test_ap_is_sorted_and_leaves_out_what_is_nan(ax, result):
    draw_ap(ax, {"first": result, "second": result})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ant", "bee"]
    markers = [line for line in ax.get_lines() if len(line.get_xdata()) == 2 and line.get_marker() != "None"]
    assert markers[0].get_xdata().tolist() == result.ap_area[:2].tolist()
    assert markers[0].get_marker() != markers[1].get_marker()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["first", "second"]


def test_ap_compares_like_with_like(ax, result):
    other = evaluate_voc([], [], ("x",))
    with pytest.raises(ValueError, match="different classes"):
        draw_ap(ax, {"a": result, "b": other})
    with pytest.raises(ValueError, match="expected 1 to 4, got 0"):
        draw_ap(ax, {})


def test_confusion_writes_percent_of_the_row(ax):
    matrix = np.array([[8, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 3], [1, 0, 0, 0]])
    draw_confusion(ax, matrix, NAMES)
    written = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts}
    assert written == {(0, 0): "80", (0, 1): "10", (0, 3): "10", (2, 3): "100", (3, 0): "100"}
    assert ax.get_yticklabels()[-1].get_text() == "nothing"
    with pytest.raises(ValueError, match="expected shape"):
        draw_confusion(ax, matrix[:3], NAMES)


def test_bars_carry_their_values(ax):
    draw_bars(ax, {"one": {"a": 1200, "b": 0}, "two": {"a": 3, "b": 4}}, "how many")
    assert [text.get_text() for text in ax.texts] == ["1,200", "0", "3", "4"]
    assert sorted(bar.get_width() for bar in ax.patches) == [0, 3, 4, 1200]
    assert to_hex(ax.patches[0].get_facecolor()).upper() == COLORS["a"]
    assert ax.yaxis_inverted()
