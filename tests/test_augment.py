"""Augmentation: boxes follow the pixels, whatever happens to them, and one seed gives one sample."""

import colorsys
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yolov3_lib.boxes import Letterbox
from yolov3_lib.data.augment import (
    GRAY,
    AugmentConfig,
    DistortColor,
    Placement,
    Rectangle,
    apply,
    augment,
)
from yolov3_lib.data.images import letterbox_image, load_image

DARKNET, MODERN, NONE = AugmentConfig.darknet(), AugmentConfig.modern(), AugmentConfig.none()
ZOOM = replace(MODERN, mosaic=0.0)
RECIPES = {"none": NONE, "darknet": DARKNET, "modern": MODERN, "zoom": ZOOM}
EMPTY = np.zeros((0, 4), np.float32)


def painted(size: tuple[int, int], box: tuple[int, int, int, int], hue: float) -> np.ndarray:
    """A black image with one rectangle in a pure color; ``hue`` in parts of the circle."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = np.rint(255 * np.array(colorsys.hsv_to_rgb(hue, 1, 1)))
    return image


def found(image: np.ndarray, hue: float, within: float) -> np.ndarray | None:
    """The box around the pixels of about this hue; gray and black have none. None where there's no pixel."""
    chroma = np.ptp(image.astype(int), axis=2)
    colored = chroma > chroma.max() / 2 if chroma.max() > 50 else np.zeros_like(chroma, bool)
    rows, columns = np.nonzero(colored)
    pixels = image[rows, columns].tolist()
    hues = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in pixels])
    near = np.abs((hues - hue + 0.5) % 1 - 0.5) < within
    rows, columns = rows[near], columns[near]
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def random_scene(rng: np.random.Generator, hue: float) -> tuple[np.ndarray, np.ndarray]:
    size = tuple(rng.integers(40, 300, 2).tolist())
    left, top = (int(rng.integers(side // 2)) for side in size)
    box = (
        left,
        top,
        *(int(rng.integers(low + 12, side + 1)) for low, side in zip((left, top), size, strict=True)),
    )
    return painted(size, box, hue), np.array([box], np.float32)


# Boxes follow the pixels


@pytest.mark.parametrize("name", ["none", "darknet", "zoom"])
def test_box_follows_the_pixels(name: str) -> None:
    recipe = replace(RECIPES[name], min_visibility=0.0)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        image, boxes = random_scene(rng, hue=0.0)
        out, moved, classes = apply(recipe, image, boxes, np.array([7]), rng, 128)
        # A bright color that is cut off at white changes its hue further than the recipe shifts it.
        where = found(out, hue=0.0, within=0.2)
        if not len(moved):
            assert where is None or (where[2:] - where[:2]).min() <= 3, (
                f"seed {seed}: the object is still seen"
            )
            continue
        np.testing.assert_allclose(moved[0], where, atol=1.5, err_msg=f"seed {seed}")
        assert classes.tolist() == [7]


def test_boxes_follow_the_pixels_of_a_mosaic() -> None:
    """Each of the four images has a color of its own, which is also its class."""
    recipe = replace(MODERN, min_visibility=0.0)
    several, dropped = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        loaded = []

        def load(index: int, rng=rng, loaded=loaded):
            loaded.append(index)
            color = len(loaded) - 1
            return *random_scene(rng, color / 4), np.array([color])

        out, boxes, classes = augment(recipe, 3, load, 1000, rng, 128)
        assert len(loaded) == 4
        assert 3 in loaded
        for color in range(4):
            where = found(out, color / 4, within=0.12)
            if color in classes:
                box = boxes[classes.tolist().index(color)]
                np.testing.assert_allclose(box, where, atol=1.5, err_msg=f"seed {seed}, image {color}")
            else:
                dropped += 1
                assert where is None or (where[2:] - where[:2]).min() <= 3, f"seed {seed}, image {color}"
        several += len(classes) > 2
    assert several > 20
    assert dropped > 5


def test_mosaic_shows_four_quarters() -> None:
    recipe = AugmentConfig(mosaic=1.0, mosaic_scale=(1.0, 1.0))
    values = iter((10, 20, 30, 40))

    def load(index: int):
        return np.full((50, 50, 3), next(values), np.uint8), EMPTY, np.zeros(0, np.int64)

    image, boxes, classes = augment(recipe, 0, load, 9, np.random.default_rng(0), 64)
    # Squares as large as the input fill their quarters, so that no gray is left.
    assert sorted(np.unique(image)) == [10, 20, 30, 40]
    assert sorted({image[0, 0, 0], image[0, -1, 0], image[-1, 0, 0], image[-1, -1, 0]}) == [10, 20, 30, 40]
    assert boxes.shape == (0, 4)
    assert classes.shape == (0,)


def test_mixup_lays_two_images_over_each_other() -> None:
    scenes = {
        0: (np.full((40, 40, 3), 200, np.uint8), np.array([[0, 0, 20, 40]], np.float32), np.array([1])),
        1: (np.zeros((40, 40, 3), np.uint8), np.array([[5, 5, 40, 30]], np.float32), np.array([2])),
    }
    seen = set()
    for seed in range(12):
        image, boxes, classes = augment(
            replace(NONE, mixup=1.0), 0, scenes.get, 2, np.random.default_rng(seed), 32
        )
        assert classes[0] == 1
        seen.add(int(classes[1]))
        if classes[1] == 2:
            assert np.ptp(image) == 0
            assert 0 < image[0, 0, 0] < 200
            np.testing.assert_allclose(boxes, [[0, 0, 16, 32], [4, 4, 32, 24]], atol=1e-3)
    assert seen == {1, 2}


def test_none_is_the_detectors_letterbox(photos_dir) -> None:
    """What training sees without augmentation is what `Detector` feeds to the network."""
    photo = load_image(photos_dir / "dog.jpg")[:200, :310]  # enlarged: both interpolate linearly
    box = np.array([[20, 30, 200, 180]], np.float32)
    image, boxes, _ = apply(NONE, photo, box, np.array([0]), np.random.default_rng(0), 416)
    expected, letterbox = letterbox_image(photo, 416)
    assert np.abs(image / 255 - expected.permute(1, 2, 0).numpy()).max() < 0.003
    # Darknet's boxes lie half a pixel beside its pixels where the bars are odd.
    np.testing.assert_allclose(boxes, letterbox.apply(torch.from_numpy(box)), atol=0.5)


# Darknet's recipe


def test_darknets_placement() -> None:
    """The whole image, its aspect ratio jittered, anywhere in the input."""
    window = Rectangle(0, 0, 416, 416)
    tops, ratios = [], []
    for seed in range(300):
        place = Placement.draw((500, 375), 416, window, 0.3, (1.0, 1.0), np.random.default_rng(seed))
        assert place.source == (0, 0, 500, 375)
        target = place.target
        assert max(target.width, target.height) == 416
        assert target.left >= 0
        assert target.top >= 0
        assert target.right <= 416
        assert target.bottom <= 416
        ratios.append(target.width / target.height)
        if target.height < 400:
            tops.append(target.top / (416 - target.height))
    least, most = 4 / 3 * 0.7 / 1.3, 4 / 3 * 1.3 / 0.7
    assert least - 0.01 <= min(ratios) < least * 1.2
    assert most / 1.2 < max(ratios) <= most + 0.01
    assert min(tops) < 0.05
    assert max(tops) > 0.95
    assert 0.4 < np.mean(tops) < 0.6


def test_darknets_colors() -> None:
    """Against Darknet's rule in floating point, pixel by pixel."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    shift, saturate, expose = 13 / 180, 0.8, 1.4
    ours = DistortColor(0.1, 1.5, 1.5).apply(pixels, shift=shift, saturate=saturate, expose=expose)
    for (y, x), _ in np.ndenumerate(pixels[..., 0]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixels[y, x] / 255))
        rgb = np.array(colorsys.hsv_to_rgb((hue + shift) % 1, saturation * saturate, 1)) * value * expose
        # 180 hues are 2° apart: a rounded one is up to 4.3 of 255 off in a channel, before exposure.
        assert np.abs(rgb.clip(0, 1) * 255 - ours[y, x]).max() < 7


def test_color_factors() -> None:
    """Half of them from 1 to 1.5, half one over that."""
    transform = DistortColor(0.1, 1.5, 1.5)
    transform.set_random_state(np.random.default_rng(0), random.Random(0))
    drawn = [transform.get_params() for _ in range(2000)]
    for name in ("saturate", "expose"):
        factors = np.array([params[name] for params in drawn])
        assert 1 / 1.5 <= factors.min() < 0.7
        assert 1.45 < factors.max() <= 1.5
        assert 0.45 < (factors > 1).mean() < 0.55
        # Inverting U(1, 1.5) isn't U(.67, 1): its median is one over 1.25.
        assert np.median(factors[factors < 1]) == pytest.approx(0.8, abs=0.01)
    shifts = np.array([params["shift"] for params in drawn])
    assert -0.1 <= shifts.min() < -0.09
    assert 0.09 < shifts.max() <= 0.1


def test_colors_leave_neutral_values_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    same = DistortColor(0, 1, 1).apply(pixels, shift=0.0, saturate=1.0, expose=1.0)
    assert np.abs(same.astype(int) - pixels).max() <= 5
    gray = np.full((8, 8, 3), GRAY, np.uint8)
    assert (DistortColor(0.1, 1.5, 1.5).apply(gray, shift=0.1, saturate=1.5, expose=1.0) == GRAY).all()


def test_half_are_flipped() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16] = 255
    recipe = AugmentConfig(flip=0.5)
    flipped = [
        apply(recipe, image, EMPTY, np.zeros(0), np.random.default_rng(seed), 32)[0][0, 0, 0] == 0
        for seed in range(200)
    ]
    assert 70 < sum(flipped) < 130


# What is left of a box


def test_visible_share() -> None:
    """The right half of the image is shown, twice as large."""
    place = Placement(Rectangle(50, 0, 100, 50), Rectangle(0, 0, 100, 100))
    rows = np.array(
        [[40, 0, 90, 50, 1], [0, 0, 60, 50, 2], [10, 10, 50, 20, 3], [60, 10, 70, 20, 4]], np.float32
    )
    moved = place.move(rows, min_visibility=0.2)
    # 80% of the first are seen, 17% of the second, nothing of the third, all of the fourth.
    assert moved.tolist() == [[0, 0, 80, 100, 1], [20, 20, 40, 40, 4]]
    assert place.move(rows, min_visibility=0.1)[:, 4].tolist() == [1, 2, 4]
    assert rows[0, 0] == 40


def test_exactly_the_least_visible_share_stays() -> None:
    place = Placement(Rectangle(50, 0, 100, 50), Rectangle(0, 0, 50, 50))
    half = np.array([[40, 0, 60, 50, 0]], np.float32)
    assert len(place.move(half, min_visibility=0.5)) == 1
    assert len(place.move(half, min_visibility=0.51)) == 0


def test_small_and_empty_boxes_are_dropped_and_the_order_stays() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    boxes = np.array(
        [[50, 50, 90, 90], [5, 5, 5, 30], [0, 0, 1.9, 50], [10, 10, 12, 12], [0, 0, 100, 100]], np.float32
    )
    _, moved, classes = apply(NONE, image, boxes, np.arange(5), np.random.default_rng(0), 100)
    np.testing.assert_allclose(moved, boxes[[0, 3, 4]], atol=1e-4)
    assert classes.tolist() == [0, 3, 4]


@pytest.mark.parametrize("name", RECIPES)
def test_images_without_objects(name: str) -> None:
    image = np.zeros((40, 70, 3), np.uint8)
    out, boxes, classes = apply(RECIPES[name], image, EMPTY, np.zeros(0, int), np.random.default_rng(0), 64)
    assert out.shape == (64, 64, 3)
    assert (boxes.shape, boxes.dtype) == ((0, 4), np.float32)
    assert (classes.shape, classes.dtype) == ((0,), np.int64)


def test_only_the_others_of_a_mosaic_have_objects() -> None:
    image = np.zeros((50, 50, 3), np.uint8)

    def load(index: int):
        whole = np.array([[0, 0, 50, 50]], np.float32)
        return (image, EMPTY, np.zeros(0)) if index == 0 else (image, whole, np.array([index]))

    recipe = replace(MODERN, min_visibility=0.0)
    kinds = {
        c for s in range(5) for c in augment(recipe, 0, load, 5, np.random.default_rng(s), 64)[2].tolist()
    }
    assert kinds
    assert kinds <= {1, 2, 3, 4}


coordinate = st.one_of(st.sampled_from([-0.5, 0, 1e-6, 0.999, 1, 1.00001, 1.01]), st.floats(-0.02, 1.02))


@settings(max_examples=150)
@given(
    name=st.sampled_from(sorted(RECIPES)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    corners=st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=6),
    seed=st.integers(0, 2**32),
    net_size=st.sampled_from([32, 64, 96]),
)
@example(name="darknet", size=(90, 1), corners=[(0, 0, 1, 1)], seed=0, net_size=32)
@example(name="modern", size=(1, 90), corners=[(0, 0, 1, 1)], seed=0, net_size=32)
def test_any_boxes(name, size, corners, seed, net_size) -> None:
    """Boxes that touch or overshoot an edge, or have no area: no exception, and what's left is sound."""
    relative = np.array(corners, np.float32).reshape(-1, 2, 2)
    boxes = (np.sort(relative, axis=1) * np.array(size, np.float32)).reshape(-1, 4)
    before = boxes.copy()
    recipe = RECIPES[name]
    image = np.zeros((size[1], size[0], 3), np.uint8)
    classes = np.arange(len(boxes))
    out, moved, kept = apply(recipe, image, boxes, classes, np.random.default_rng(seed), net_size)
    assert (out.shape, out.dtype) == ((net_size, net_size, 3), np.uint8)
    assert (moved.dtype, kept.dtype) == (np.float32, np.int64)
    assert len(moved) == len(kept)
    assert (moved >= 0).all()
    assert (moved <= net_size).all()
    assert (moved[:, 2:] - moved[:, :2] >= recipe.min_side - 1e-3).all()
    assert set(kept.tolist()) <= set(classes.tolist())
    np.testing.assert_array_equal(boxes, before)
    if name in ("none", "darknet"):
        # Nothing is cropped: only what becomes too small may go.
        letterbox = Letterbox.fit(size, net_size)
        whole = boxes.clip(0, [*size, *size])
        sides = (whole[:, 2:] - whole[:, :2]) * (min(letterbox.scale) * (0.5 if name == "darknet" else 1))
        assert set(np.nonzero((sides > recipe.min_side + 0.1).all(1))[0]) <= set(kept.tolist())


# Randomness


@pytest.mark.parametrize("name", RECIPES)
def test_same_generator_same_sample(name: str, photos_dir) -> None:
    photo = load_image(photos_dir / "dog.jpg")
    box = np.array([[100, 100, 400, 400]], np.float32)
    np_state, py_state = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002

    def sample(seed: int):
        return apply(RECIPES[name], photo, box, np.array([0]), np.random.default_rng([3, seed]), 64)

    first, other, again = sample(0), sample(1), sample(0)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[0] == other[0]).all() == (name == "none")
    assert (np.random.get_state()[1] == np_state).all()  # noqa: NPY002
    assert random.getstate() == py_state


def test_input_is_left_alone(photos_dir) -> None:
    photo = load_image(photos_dir / "dog.jpg")
    before = photo.copy()
    for recipe in RECIPES.values():
        apply(recipe, photo, EMPTY, np.zeros(0), np.random.default_rng(0), 64)
    np.testing.assert_array_equal(photo, before)


def test_samples_do_not_share_memory() -> None:
    image = np.full((64, 64, 3), 90, np.uint8)
    first = apply(DARKNET, image, EMPTY, np.zeros(0), np.random.default_rng(0), 64)[0]
    before = first.copy()
    apply(DARKNET, image, EMPTY, np.zeros(0), np.random.default_rng(1), 64)
    np.testing.assert_array_equal(first, before)


# The configuration


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flip", 1.1),
        ("mosaic", -0.1),
        ("mixup", float("nan")),
        ("min_visibility", 2),
        ("jitter", 1.0),
        ("hue", 0.6),
        ("saturation", 0.9),
        ("exposure", float("inf")),
        ("scale", (0.0, 1.0)),
        ("scale", (2.0, 1.0)),
        ("mosaic_scale", (0.5, float("inf"))),
        ("mosaic_center", (0.5, 1.1)),
        ("min_side", 0),
    ],
)
def test_values_out_of_range(name: str, value) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        AugmentConfig(**{name: value})


def test_lists_of_a_json_file_will_do() -> None:
    recipe = AugmentConfig(scale=[0.5, 1.0], random_place=True)
    assert recipe == AugmentConfig(scale=(0.5, 1.0), random_place=True)
    image = np.zeros((40, 40, 3), np.uint8)
    assert apply(recipe, image, EMPTY, np.zeros(0), np.random.default_rng(0), 32)[0].shape == (32, 32, 3)
