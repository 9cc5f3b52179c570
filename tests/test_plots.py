"""Pictures are looked at by people; these tests hold what a program can see of them."""

import itertools

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image

from yolov3_lib import plots
from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.data.images import ImageError
from yolov3_lib.detections import Detections

matplotlib.use("Agg")


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return Detections(table[:, :4].float(), table[:, 4].float(), table[:, 5].long())


def lab(color: str) -> np.ndarray:
    """CIELAB (D65), in which distances are about what an eye sees."""
    c = np.array(to_rgb(color))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(xyz / (0.9505, 1.0, 1.089))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.fixture
def figure():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


# --- Colors ---


def test_voc_classes_have_colors_that_an_eye_tells_apart():
    pairs = itertools.combinations([lab(plots.class_color(i)) for i in range(20)], 2)
    # 2.3 is a just noticeable difference
    assert min(float(np.linalg.norm(a - b)) for a, b in pairs) > 10


def test_class_colors_are_stable_and_defined_for_any_index():
    assert plots.class_color(0) == "#0072b2"
    assert plots.class_color(21) == plots.class_color(0)
    assert all(len(plots.class_color(i)) == 7 for i in range(200))


@pytest.mark.parametrize(("a", "b", "ratio"), [("#000", "#fff", 21.0), ("#777777", "#ffffff", 4.48)])
def test_contrast_is_that_of_wcag(a, b, ratio):
    assert plots.contrast(a, b) == pytest.approx(ratio, abs=0.01)
    assert plots.contrast(b, a) == plots.contrast(a, b)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_text_is_legible_on_any_color(rgb):
    color = "#{:02x}{:02x}{:02x}".format(*rgb)
    assert plots.contrast(color, plots.text_color(color)) >= 4.5


# --- Pictures ---


@pytest.mark.parametrize("background", [0, 60, 128, 200, 255])
@pytest.mark.parametrize("index", range(20))
def test_a_box_stands_out_from_any_background(background, index):
    gray = "#" + f"{background:02x}" * 3
    picture = plots.draw_detections(
        Image.new("RGB", (300, 200), gray), detections((60, 60, 220, 160, 0.5, index)), VOC_CLASSES
    )
    # the colors that a line across the left edge of the box meets
    crossing = {"#{:02x}{:02x}{:02x}".format(*rgb) for rgb in np.array(picture)[120, 50:80].tolist()}
    assert plots.class_color(index) in crossing
    assert max(plots.contrast(color, gray) for color in crossing) > 3


def test_the_original_is_left_alone_and_the_size_kept():
    image = np.full((50, 80, 3), 200, dtype=np.uint8)
    picture = plots.draw_detections(image, detections((5, 5, 60, 40, 0.9, 1)), VOC_CLASSES)
    assert (image == 200).all()
    assert picture.size == (80, 50)
    assert picture.mode == "RGB"
    assert (np.array(picture) != 200).any()


def test_nothing_detected_is_the_same_picture():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert (np.array(plots.draw_detections(image, Detections.none(), VOC_CLASSES)) == image).all()


def test_the_line_lies_on_the_edges_of_the_box():
    picture = plots.draw_detections(
        Image.new("RGB", (100, 100)), detections((20, 30, 70, 80, 0.9, 0)), VOC_CLASSES, line_width=1
    )
    blue = (np.array(picture) == [0x00, 0x72, 0xB2]).all(-1)
    rows, columns = np.nonzero(blue[45:])  # below the label
    # the outermost pixels, 20 and 69, are the dark line; the color is one further in
    assert (columns.min(), columns.max()) == (21, 68)
    assert rows.max() + 45 == 78


def test_a_line_width_can_be_chosen():
    thin, thick = (
        plots.draw_detections(
            Image.new("RGB", (200, 200)), detections((20, 60, 170, 180, 0.9, 0)), VOC_CLASSES, line_width=w
        )
        for w in (1, 9)
    )
    blue = [int((np.array(p)[120] == [0x00, 0x72, 0xB2]).all(-1).sum()) for p in (thin, thick)]
    assert blue == [2, 18]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (10, 10), (50, 10_000), (10_000, 50), (416, 312)])
def test_pictures_of_any_size(size):
    width, height = size
    found = detections(
        (0, 0, width, height, 0.9, 3), (width / 2, height / 2, width, height, 0.5, 14), (0, 0, 0, 0, 0.4, 2)
    )
    before = Image.new("RGB", size, "gray")
    picture = plots.draw_detections(before, found, VOC_CLASSES)
    assert picture.size == size
    assert (np.array(picture) != np.array(before)).any()


@given(
    st.lists(
        st.tuples(
            st.floats(-50, 350), st.floats(-50, 250), st.floats(0, 300), st.floats(0, 300),
            st.floats(0, 1), st.integers(0, 19),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_labels_lie_inside_the_picture_wherever_the_boxes_lie(rows):
    size = (300, 200)
    placed = []
    for x, y, w, h, _, _ in rows:
        frame = plots._pixel_frame((x, y, x + w, y + h), size)
        if frame is None:
            assert x + w < 0 or y + h < 0 or x > 300 or y > 200
            continue
        left, top, right, bottom = frame
        assert 0 <= left <= right < 300
        assert 0 <= top <= bottom < 200
        chip = plots._place((90, 16), frame, size, np.array(placed).reshape(-1, 4))
        assert chip[0] >= 0
        assert chip[1] >= 0
        assert chip[2] <= 300
        assert chip[3] <= 200
        placed.append(chip)
    boxes = [(x, y, x + w, y + h, s, c) for x, y, w, h, s, c in rows]
    plots.draw_detections(Image.new("RGB", size), detections(*boxes), VOC_CLASSES)


def test_labels_of_boxes_on_one_object_dont_cover_each_other():
    frame = (100, 100, 250, 300)
    placed: list[tuple[int, int, int, int]] = []
    for _ in range(12):
        placed.append(plots._place((80, 18), frame, (768, 576), np.array(placed).reshape(-1, 4)))
    for a, b in itertools.combinations(placed, 2):
        assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])


def test_the_best_label_is_on_top_and_the_scores_need_no_order():
    rows = [(10, 30, 150, 150, 0.3, 2), (10, 30, 150, 150, 0.9, 0), (10, 30, 150, 150, 0.6, 1)]
    pictures = [
        np.array(plots.draw_detections(Image.new("RGB", (160, 160)), detections(*order), VOC_CLASSES))
        for order in itertools.permutations(rows)
    ]
    assert all((picture == pictures[0]).all() for picture in pictures)
    # the frame of the best is the one that shows
    assert (pictures[0][100] == [0x00, 0x72, 0xB2]).all(-1).any()
    assert not (pictures[0][100] == [0x00, 0x9E, 0x73]).all(-1).any()


def test_accents_in_class_names_are_drawn():
    def drawn(name: str) -> np.ndarray:
        found = detections((10, 40, 190, 90, 0.5, 0))
        return np.array(plots.draw_detections(Image.new("RGB", (200, 100)), found, [name]))

    # a font without these letters would draw the same empty rectangle for both
    assert (drawn("é") != drawn("ü")).any()


def test_a_box_with_nan_is_refused_by_its_index():
    found = detections((0, 0, 5, 5, 0.9, 0), (0, float("nan"), 5, 5, 0.8, 0))
    with pytest.raises(ValueError, match=r"boxes\[1\]: y1 is nan"):
        plots.draw_detections(Image.new("RGB", (9, 9)), found, VOC_CLASSES)


def test_a_class_without_a_name_is_refused():
    with pytest.raises(ValueError, match=r"classes\[0\] is 20, but there are 20 class names"):
        plots.draw_detections(Image.new("RGB", (9, 9)), detections((0, 0, 5, 5, 0.9, 20)), VOC_CLASSES)


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"nope\.jpg"):
        plots.draw_detections(tmp_path / "nope.jpg", Detections.none(), VOC_CLASSES)


# --- Figures ---


def test_show_image_puts_pixels_between_whole_numbers(figure):
    plots.show_image(np.zeros((30, 40, 3), dtype=np.uint8), figure)
    assert figure.get_xlim() == (0, 40)
    assert figure.get_ylim() == (30, 0)


def test_box_axes_point_down_with_a_grid(figure):
    plots.box_axes(figure, (8, 6), step=2)
    assert figure.get_ylim() == (6, 0)
    assert figure.get_aspect() == 1
    assert figure.get_xticks().tolist() == [0, 2, 4, 6, 8]


def test_show_boxes_draws_what_it_is_given(figure):
    plots.box_axes(figure, (10, 10))
    boxes = torch.tensor([[1.0, 2.0, 4.0, 6.0], [5.0, 5.0, 5.0, 9.0]])
    first, second = plots.show_boxes(figure, boxes, ["a", "b"], ["truth", "#D55E00"], "dashed", fill=0.4)
    assert first.get_bbox().extents.tolist() == [1, 2, 4, 6]
    assert second.get_bbox().extents.tolist() == [5, 5, 5, 9]
    assert first.get_edgecolor() == (*to_rgb(plots.COLORS["truth"]), 1.0)
    assert first.get_facecolor() == (*to_rgb(plots.COLORS["truth"]), 0.4)
    assert first.get_linestyle() in ("--", "dashed")
    assert [text.get_text() for text in figure.texts] == ["a", "b"]


def test_show_boxes_takes_one_box_and_plain_lists(figure):
    (patch,) = plots.show_boxes(figure, [0, 0, 1, 1], fill=True)
    assert patch.get_facecolor()[3] == 0.25
    (patch,) = plots.show_boxes(figure, [[0, 0, 1, 1]])
    assert patch.get_facecolor()[3] == 0
    assert plots.show_boxes(figure, torch.zeros(0, 4)) == []


@pytest.mark.parametrize(
    ("boxes", "labels", "message"),
    [
        ([[0, 0, 1, 1]], ["a", "b"], "2 labels for 1 boxes"),
        ([[3, 0, 1, 1]], None, r"boxes\[0\]: x2 \(1.0\) < x1 \(3.0\)"),
    ],
)
def test_show_boxes_says_what_is_wrong(figure, boxes, labels, message):
    with pytest.raises(ValueError, match=message):
        plots.show_boxes(figure, torch.tensor(boxes, dtype=torch.float32), labels)


def test_labels_of_boxes_at_the_top_move_inside(figure):
    plots.box_axes(figure, (10, 10))
    plots.show_boxes(figure, [[1, 0, 4, 4], [1, 5, 4, 9]], ["top", "low"])
    top, low = figure.texts
    assert top.get_verticalalignment() == "top"
    assert low.get_verticalalignment() == "bottom"


def test_the_book_style_is_legible():
    with matplotlib.rc_context():
        plots.use_book_style()
        params = matplotlib.rcParams
        assert params["font.sans-serif"][0] == "DejaVu Sans"
        assert params["figure.constrained_layout.use"]
        assert plots.contrast(params["text.color"], params["figure.facecolor"]) > 7
        assert params["savefig.facecolor"] == "#FFFFFF"
