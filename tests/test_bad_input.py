"""What people really feed a detector: all kinds of bad input, through `Detector` and the command line.

The modules' own tests go into every detail; here it counts that nothing gets lost on the way: the message
names the file and the mend, and the exit status is right.
"""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from yolov3_lib import cli
from yolov3_lib.boxes import pairwise_iou
from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.data.images import ImageError
from yolov3_lib.data.voc import AnnotationError, VOCDataset
from yolov3_lib.detections import Detections
from yolov3_lib.evaluate import evaluate_voc
from yolov3_lib.models import WeightsError
from yolov3_lib.nms import nms
from yolov3_lib.plots import draw_detections
from yolov3_lib.predict import Detector


@pytest.fixture(scope="module")
def detector(tiny_weights_path) -> Detector:
    return Detector.load(tiny_weights_path, device="cpu")


@pytest.fixture(scope="module")
def dog(photos_dir) -> Path:
    return photos_dir / "dog.jpg"


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    status = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def boxes_by_class(detector: Detector, source: object) -> dict[str, torch.Tensor]:
    found = detector(source)
    rows = zip(found.classes.tolist(), found.boxes, strict=True)
    return {detector.class_names[c]: box for c, box in reversed([*rows])}


# --- Files that are no images ---

NO_IMAGES = {
    "missing.jpg": (None, "no such file. Check the path"),
    "empty.jpg": (lambda photo: b"", "the file is empty"),
    "text.jpg": (lambda photo: b"not an image", "this isn't an image"),
    "head.jpg": (lambda photo: photo[:100], "cut short or damaged|isn't an image"),
    "half.jpg": (lambda photo: photo[: len(photo) // 2], "cut short or damaged"),
    "page.png": (lambda photo: b"<html><body>404</body></html>", "this isn't an image"),
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_a_file_that_is_no_image_is_named_with_its_mend(detector, dog, tmp_path, capsys, name):
    content, message = NO_IMAGES[name]
    path = tmp_path / name
    if content:
        path.write_bytes(content(dog.read_bytes()))
    with pytest.raises(ImageError, match=rf"{name}: .*({message})"):
        detector(path)

    status, out, err = run(capsys, "detect", path, dog, "--json", "-", "--device", "cpu")
    bad, good = json.loads(out)["images"]
    assert status == 1
    assert name in bad["error"]
    assert {row["class"] for row in good["detections"]} >= {"dog", "bicycle"}
    assert f"1 of 2 images could not be used:\n  {path}" in err


# --- Images of an unusual kind ---


def as_rgba(image: Image.Image) -> Image.Image:
    image.putalpha(Image.new("L", image.size, 255))
    return image


def as_16_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.array(image.convert("L")).astype(np.uint16) * 257)


# how to make it, and the mode in which Pillow holds the same picture in 8 bits
KINDS = {
    "alpha.png": (as_rgba, "RGB"),
    "gray.png": (lambda image: image.convert("L"), "L"),
    "gray_alpha.png": (lambda image: image.convert("LA"), "L"),
    "sixteen_bits.png": (as_16_bits, "L"),
    "palette.png": (lambda image: image.quantize(256), "P"),
}


@pytest.mark.parametrize("name", KINDS)
def test_unusual_kinds_of_image_show_the_same_dog(detector, dog, tmp_path, capsys, name):
    make, plain_mode = KINDS[name]
    image = Image.open(dog)
    plain = make(image) if plain_mode == "P" else image.convert(plain_mode)
    expected = detector(np.array(plain.convert("RGB")))
    make(Image.open(dog)).save(tmp_path / name)
    found = detector(tmp_path / name)
    assert "dog" in boxes_by_class(detector, tmp_path / name)
    assert torch.equal(found.boxes, expected.boxes)

    status, out, _ = run(capsys, "detect", tmp_path / name, "--save", tmp_path / "drawn", "--device", "cpu")
    assert status == 0
    assert "dog" in out
    assert Image.open(tmp_path / "drawn" / name).mode == "RGB"


def test_a_cmyk_photograph_shows_the_dog(detector, dog, tmp_path):
    Image.open(dog).convert("CMYK").save(tmp_path / "cmyk.jpg")
    expected = boxes_by_class(detector, dog)["dog"]
    found = boxes_by_class(detector, tmp_path / "cmyk.jpg")["dog"]
    assert pairwise_iou(found[None], expected[None]) > 0.7


def test_transparent_pixels_are_white_not_what_lies_hidden_under_them(detector, dog, tmp_path):
    image = Image.open(dog)
    image.putalpha(Image.new("L", image.size, 0))
    image.save(tmp_path / "hidden.png")
    assert len(detector(tmp_path / "hidden.png")) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(detector, dog, tmp_path, orientation):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    image = Image.open(dog)
    stored = image.transpose(undo[orientation]) if orientation in undo else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    expected, found = boxes_by_class(detector, dog), boxes_by_class(detector, tmp_path / "turned.png")
    assert found.keys() == expected.keys()
    assert torch.equal(found["dog"], expected["dog"])


@pytest.mark.parametrize("size", [(1, 1), (10_000, 50), (50, 10_000), (1, 5000)])
@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_images_of_extreme_shape_are_detected_in_and_drawn(tmp_path, capsys, size, resize):
    path = tmp_path / "extreme.png"
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    status, out, err = run(
        capsys, "detect", path, "--resize", resize, "--score", 0.001, "--save", tmp_path / "drawn",
        "--json", "-", "--device", "cpu",
    )  # fmt: skip
    assert status == 0, err
    for row in json.loads(out)["images"][0]["detections"]:
        x1, y1, x2, y2 = row["box"]
        assert 0 <= x1 <= x2 <= size[0]
        assert 0 <= y1 <= y2 <= size[1]
    assert Image.open(tmp_path / "drawn" / "extreme.png").size == size


# --- A folder with one bad image ---


def test_a_folder_with_one_bad_image_reports_it_and_finishes_the_others(
    detector, photos_dir, tmp_path, capsys
):
    folder = tmp_path / "holiday"
    folder.mkdir()
    for name in ("dog", "eagle", "person"):
        shutil.copy(photos_dir / f"{name}.jpg", folder)
    (folder / "eagle.jpg").write_bytes((folder / "eagle.jpg").read_bytes()[:20_000])

    outcomes = {path.name: outcome for path, outcome in detector.detect_folder(folder)}
    assert list(outcomes) == ["dog.jpg", "eagle.jpg", "person.jpg"]
    assert isinstance(outcomes["eagle.jpg"], ImageError)
    assert len(outcomes["dog.jpg"]) >= 3
    assert len(outcomes["person.jpg"]) >= 3

    status, out, err = run(capsys, "detect", folder, "--save", tmp_path / "drawn", "--device", "cpu")
    assert status == 1
    assert "dog.jpg: " in out
    assert "person.jpg: " in out
    assert f"1 of 3 images could not be used:\n  {folder / 'eagle.jpg'}" in err
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["dog.jpg", "person.jpg"]


# --- Weights ---

TINY_COCO_BYTES = 35_434_956


def write_nan(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(TINY_COCO_BYTES - 4)
        file.write(struct.pack("<f", float("nan")))


def truncate(path: Path, size: int) -> None:
    with open(path, "r+b") as file:
        file.truncate(size)


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"\0" * 12)


BAD_WEIGHTS = {
    "cut short": (lambda path: truncate(path, 20_000_000), ["20000000", str(TINY_COCO_BYTES)]),
    "without its last byte": (
        lambda path: truncate(path, TINY_COCO_BYTES - 1), [str(TINY_COCO_BYTES - 1), str(TINY_COCO_BYTES)]
    ),
    "with trailing bytes": (append, [str(TINY_COCO_BYTES + 12), str(TINY_COCO_BYTES)]),
    "of another network": (lambda path: truncate(path, 162_482_580), ["162482580", "Darknet53"]),
    "shorter than a header": (lambda path: truncate(path, 7), ["7"]),
    "empty": (lambda path: truncate(path, 0), ["0"]),
    "with NaN": (write_nan, ["nan"]),
}  # fmt: skip


@pytest.mark.parametrize("how", BAD_WEIGHTS)
def test_darknet_weights_that_dont_fit_say_found_and_expected_bytes(
    tiny_weights_path, dog, tmp_path, capsys, how
):
    spoil, parts = BAD_WEIGHTS[how]
    path = tmp_path / "bad.weights"
    shutil.copy(tiny_weights_path, path)
    spoil(path)
    with pytest.raises(WeightsError, match=r"bad\.weights") as caught:
        Detector.load(path)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    status, out, err = run(capsys, "detect", dog, "--weights", path)
    assert (status, out) == (2, "")
    assert str(caught.value) in err


@pytest.mark.parametrize("size", [0, 4, 1000, 17_000_000])
def test_safetensors_cut_short_are_refused(dog, photos_dir, tmp_path, capsys, size):
    path = tmp_path / "bad.safetensors"
    whole = photos_dir.parent / "weights" / "yolov3-tiny-coco.safetensors"
    path.write_bytes(whole.read_bytes()[:size])
    with pytest.raises(WeightsError, match=rf"bad\.safetensors: .*\b{size} bytes"):
        Detector.load(path)
    status, _, err = run(capsys, "detect", dog, "--weights", path)
    assert status == 2
    assert "bad.safetensors" in err


def test_a_photograph_instead_of_weights_is_refused(dog, capsys):
    status, _, err = run(capsys, "detect", dog, "--weights", dog)
    assert status == 2
    assert "dog.jpg: expected a .safetensors file" in err


# --- Annotations ---

OBJECT = (
    "<object><name>{}</name>"
    "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)
IMAGE = "<annotation><size><width>768</width><height>576</height></size>{}</annotation>"
BOMB = """<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<annotation><size><width>768</width><height>576</height></size><filename>&c;</filename></annotation>"""

BAD_ANNOTATIONS = {
    "missing": (None, "dog.xml: no such file"),
    "broken": (IMAGE.format("<object>"), "dog.xml: not well-formed XML"),
    "empty": ("", "dog.xml: not well-formed XML"),
    "another format": ("<html></html>", "outermost element is <html>, expected VOC's <annotation>"),
    "an entity bomb": (BOMB, "dog.xml: defines XML entities"),
    "x2 < x1": (IMAGE.format(OBJECT.format("dog", 9, 5, 3, 9)), r"object[0] (dog): xmax (3) < xmin (9)"),
    "outside": (IMAGE.format(OBJECT.format("dog", 800, 5, 900, 9)), "lies outside the image of 768×576"),
    "beyond": (IMAGE.format(OBJECT.format("dog", 700, 5, 900, 9)), "reaches 132 pixels beyond the image"),
    "NaN": (
        IMAGE.format(OBJECT.format("dog", "nan", 5, 9, 9)),
        "object[0] (dog): coordinates must be finite",
    ),
    "unknown class": (
        IMAGE.format(OBJECT.format("unicorn", 1, 5, 9, 9)),
        "object[0] (unicorn): unknown class",
    ),
    "an object without a box": (
        IMAGE.format("<object><name>dog</name></object>"),
        "object[0] (dog): has no <bndbox>",
    ),
}


@pytest.fixture
def devkit(tmp_path, dog) -> Path:
    year = tmp_path / "VOCdevkit" / "VOC2007"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (year / name).mkdir(parents=True)
    shutil.copy(dog, year / "JPEGImages")
    (year / "ImageSets" / "Main" / "val.txt").write_text("dog\n")
    return tmp_path


@pytest.mark.parametrize("how", BAD_ANNOTATIONS)
def test_a_bad_annotation_stops_the_evaluation_with_file_and_object(devkit, capsys, how):
    content, message = BAD_ANNOTATIONS[how]
    if content is not None:
        (devkit / "VOCdevkit" / "VOC2007" / "Annotations" / "dog.xml").write_text(content)
    with pytest.raises(AnnotationError) as caught:
        VOCDataset(devkit).annotation(0)
    assert message in str(caught.value)
    status, out, err = run(capsys, "evaluate", "--data", devkit, "--device", "cpu")
    assert (status, out) == (2, "")
    assert message in err


def test_an_annotation_without_boxes_is_an_image_without_objects(devkit, capsys):
    (devkit / "VOCdevkit" / "VOC2007" / "Annotations" / "dog.xml").write_text(IMAGE.format(""))
    status, out, _ = run(capsys, "evaluate", "--data", devkit, "--json", "-", "--device", "cpu")
    assert status == 0
    content = json.loads(out)
    assert content["map_area"] is None  # nothing to find: no number is better than 0 or 1
    assert content["classes"]["dog"]["wrong"] >= 1


def test_an_image_that_the_split_lists_but_nobody_unpacked_is_named(devkit, capsys):
    (devkit / "VOCdevkit" / "VOC2007" / "Annotations" / "dog.xml").write_text(IMAGE.format(""))
    (devkit / "VOCdevkit" / "VOC2007" / "JPEGImages" / "dog.jpg").unlink()
    status, _, err = run(capsys, "evaluate", "--data", devkit, "--device", "cpu")
    assert status == 2
    assert "dog.jpg: no such image, but the split lists it" in err


# --- Boxes with NaN ---


def test_boxes_with_nan_are_refused_by_index_wherever_they_enter():
    boxes = torch.tensor([[0.0, 0.0, 5.0, 5.0], [0.0, float("nan"), 5.0, 5.0]])
    scores, classes = torch.tensor([0.9, 0.8]), torch.zeros(2, dtype=torch.int64)
    bad = Detections(boxes, scores, classes)
    with pytest.raises(ValueError, match=r"boxes\[1\]"):
        nms(boxes, scores)
    with pytest.raises(ValueError, match=r"boxes\[1\]"):
        draw_detections(Image.new("RGB", (9, 9)), bad, VOC_CLASSES)
    with pytest.raises(ValueError, match=r"image 0: boxes\[1\]"):
        evaluate_voc([bad], [Truth(boxes[:1], classes[:1], torch.zeros(1, dtype=torch.bool))], VOC_CLASSES)


class Truth:
    def __init__(self, boxes: torch.Tensor, classes: torch.Tensor, difficult: torch.Tensor) -> None:
        self.boxes, self.classes, self.difficult = boxes, classes, difficult
