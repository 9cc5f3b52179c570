"""``python -m yolov3_lib`` as people and scripts meet it: text, JSON, pictures, exit status."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from yolov3_lib import cli
from yolov3_lib.classes import COCO_CLASSES, VOC_CLASSES
from yolov3_lib.data.voc import VOCDataset
from yolov3_lib.evaluate import evaluate_voc
from yolov3_lib.models import YOLOv3Tiny, save_safetensors, write_darknet
from yolov3_lib.predict import Detector, load_predictions


def run(*arguments: object) -> int:
    """The exit status; argparse's own exits are one too."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as leave:
        return leave.code


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A network of three classes with random weights, which sees things everywhere."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_safetensors(YOLOv3Tiny(3), path, ["cat", "dog", "person"], net_size=64)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two images and a file that only looks like one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "a.png")
    Image.fromarray(255 - noise).save(folder / "c.jpg")
    (folder / "b.jpg").write_text("not an image")
    return folder


@pytest.fixture
def devkit(tmp_path, photos_dir) -> Path:
    """Three of the course's photographs as VOC2007 val."""
    year = tmp_path / "data" / "VOCdevkit" / "VOC2007"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (year / name).mkdir(parents=True)
    names = ("dog", "person", "horses")
    for name in names:
        (year / "JPEGImages" / f"{name}.jpg").write_bytes((photos_dir / f"{name}.jpg").read_bytes())
        (year / "Annotations" / f"{name}.xml").write_bytes((photos_dir / f"{name}.xml").read_bytes())
    (year / "ImageSets" / "Main" / "val.txt").write_text("\n".join(names) + "\n")
    return tmp_path / "data"


# --- detect ---


def test_a_newcomer_needs_nothing_but_a_photograph(photos_dir):
    """No --weights: those that come with the course. In a process of its own, as typed."""
    result = subprocess.run(
        [sys.executable, "-m", "yolov3_lib", "detect", photos_dir / "dog.jpg", "--device", "cpu"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no bar where no person watches
    words = result.stdout.split()
    assert {"dog", "bicycle", "car"} <= set(words)


def test_json_on_stdout_is_nothing_but_json(tiny_weights_path, photos_dir, capsys):
    photo = photos_dir / "dog.jpg"
    assert run("detect", photo, "--weights", tiny_weights_path, "--json", "-", "--device", "cpu") == 0
    content = json.loads(capsys.readouterr().out)
    (image,) = content["images"]
    assert image["file"] == str(photo)
    assert content["net_size"] == 416
    assert content["class_names"] == list(COCO_CLASSES)
    expected = Detector.load(tiny_weights_path, device="cpu")(photo).to_dicts(COCO_CLASSES)
    for found, row in zip(image["detections"], expected, strict=True):
        assert found["class"] == row["class"]
        assert found["score"] == pytest.approx(row["score"], abs=1e-4)
        assert found["box"] == pytest.approx(row["box"], abs=0.01)


def test_a_folder_with_one_bad_image_is_finished_and_it_is_named_at_the_end(
    weights, folder, tmp_path, capsys
):
    out = tmp_path / "out.json"
    status = run(
        "detect", folder, "--weights", weights, "--score", 0.1, "--json", out, "--save", tmp_path / "drawn"
    )
    assert status == 1
    captured = capsys.readouterr()
    images = json.loads(out.read_text())["images"]
    assert [Path(image["file"]).name for image in images] == ["a.png", "b.jpg", "c.jpg"]
    assert [("detections" in image, "error" in image) for image in images] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert "a.png: " in captured.out
    assert "c.jpg: " in captured.out
    assert "1 of 3 images could not be used:" in captured.err
    assert "b.jpg: this isn't an image" in captured.err
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a.png", "c.jpg"]


def test_saved_pictures_show_the_boxes(weights, folder, tmp_path):
    assert run("detect", folder / "a.png", "--weights", weights, "--score", 0.1, "--save", tmp_path) == 0
    before, after = (np.array(Image.open(path)) for path in (folder / "a.png", tmp_path / "a.png"))
    assert after.shape == before.shape
    assert (after != before).any()


def test_images_of_one_name_are_saved_under_two(weights, folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes((folder / "a.png").read_bytes())
    images = (folder / "a.png", other / "a.png")
    assert run("detect", *images, "--weights", weights, "--save", tmp_path / "drawn") == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a-2.png", "a.png"]


def test_a_photograph_is_never_overwritten(weights, folder, capsys):
    before = (folder / "a.png").read_bytes()
    assert run("detect", folder / "a.png", "--weights", weights, "--save", folder) == 2
    assert "would overwrite" in capsys.readouterr().err
    assert run("detect", folder / "c.jpg", "--weights", weights, "--json", folder / "a.png") == 2
    assert "expected a .json file or -" in capsys.readouterr().err
    assert (folder / "a.png").read_bytes() == before


def test_the_options_reach_the_detector(weights, folder, capsys):
    def found(*options: object) -> dict:
        assert run("detect", folder / "a.png", "--weights", weights, "--json", "-", *options) == 0
        return json.loads(capsys.readouterr().out)

    low, high = found("--score", 0.1), found("--score", 0.2)
    rows = low["images"][0]["detections"]
    assert len(rows) > len(high["images"][0]["detections"])
    assert high["score_threshold"] == 0.2
    assert found()["net_size"] == 64  # what the file says
    assert found("--size", 96)["net_size"] == 96
    assert len(found("--score", 0.1, "--iou", 1)["images"][0]["detections"]) > len(rows)
    assert found("--score", 0.1, "--resize", "stretch")["images"][0]["detections"] != rows


def test_classes_to_report(weights, folder, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("person\ncat\n")
    command = ("detect", folder / "a.png", "--weights", weights, "--score", 0.1, "--json", "-")
    assert run(*command, "--classes", names) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["class_names"] == ["person", "cat"]
    assert {row["class"] for row in content["images"][0]["detections"]} == {"person", "cat"}
    assert run(*command, "--classes", "voc") == 0
    assert json.loads(capsys.readouterr().out)["class_names"] == list(VOC_CLASSES)


def test_names_for_darknet_weights_of_other_classes(folder, tmp_path, capsys):
    torch.manual_seed(0)
    write_darknet(YOLOv3Tiny(3), tmp_path / "mine.weights")
    (tmp_path / "mine.names").write_text("ant\nbee\nwasp\n")
    command = (
        "detect",
        folder / "a.png",
        "--weights",
        tmp_path / "mine.weights",
        "--size",
        64,
        "--score",
        0.1,
    )
    assert run(*command, "--names", tmp_path / "mine.names", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["class_names"] == ["ant", "bee", "wasp"]
    assert run(*command) == 2
    assert "mine.weights: found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"), [("", "no class names in it"), ("a\nb\na\n", "'a' stands there twice")]
)
def test_a_bad_list_of_names_is_refused(weights, folder, tmp_path, capsys, text, message):
    (tmp_path / "names.txt").write_text(text)
    assert run("detect", folder, "--weights", weights, "--classes", tmp_path / "names.txt") == 2
    assert message in capsys.readouterr().err


def test_the_order_is_kept_and_nothing_is_detected_twice(weights, folder, capsys):
    images = (folder / "c.jpg", folder / "a.png", folder / "c.jpg")
    assert run("detect", *images, "--weights", weights, "--json", "-", "--batch-size", 1) == 0
    files = [Path(image["file"]).name for image in json.loads(capsys.readouterr().out)["images"]]
    assert files == ["c.jpg", "a.png"]


# --- What can't be done ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "required: COMMAND"),
        (("detect",), "required: IMAGE"),
        (("evaluate",), "required: --data"),
        (("detect", "x.jpg", "--score", "2"), "expected a number from 0 to 1, got '2'"),
        (("detect", "x.jpg", "--iou", "nan"), "expected a number from 0 to 1, got 'nan'"),
        (("detect", "x.jpg", "--size", "100"), "expected a multiple of 32, got '100'"),
        (("detect", "x.jpg", "--batch-size", "0"), "expected a whole number above 0, got '0'"),
        (("detect", "x.jpg", "--weights", "nowhere.weights"), "nowhere.weights: no such weights file"),
        (("detect", "x.jpg", "--classes", "nowhere.txt"), "nowhere.txt: expected a text file"),
        (("detect", "x.jpg", "--device", "toaster"), "device toaster: can't be used here"),
        (("detect", "x.jpg", "--json", "nowhere/out.json"), "there is no folder nowhere"),
        (("evaluate", "--data", "nowhere"), "nowhere: no VOC2007"),
        (("evaluate", "--data", ".", "--save", "x.txt"), "expected a .json or .json.gz file"),
    ],
)
def test_usage_errors_say_what_is_expected_and_leave_with_2(arguments, message, capsys):
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_an_empty_folder_is_an_error_before_any_work(weights, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run("detect", tmp_path / "empty", "--weights", weights) == 2
    assert "empty: no images in this folder. Looked for .jpg" in capsys.readouterr().err


def test_interrupting_is_no_traceback(monkeypatch, weights, folder, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Detector, "detect_many", interrupt)
    assert run("detect", folder, "--weights", weights) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_stops_reading_is_no_traceback(weights, folder):
    command = [sys.executable, "-m", "yolov3_lib", "detect", folder / "a.png", "--weights", weights]
    process = subprocess.Popen([*command, "--json", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()  # before anything was written
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 1
    assert errors == ""


# --- evaluate ---


def test_evaluate_prints_what_it_measured_and_how(tiny_weights_path, devkit, capsys):
    assert run("evaluate", "--data", devkit, "--weights", tiny_weights_path, "--device", "cpu") == 0
    text = capsys.readouterr().out
    for part in (
        str(tiny_weights_path), "VOC2007 val, 3 images", "416 px, letterbox, score > 0.005, NMS at IoU 0.45",
        "VOC AP at IoU 0.5, difficult objects ignored", "(area)", "(11-point)",
    ):  # fmt: skip
        assert part in text
    assert all(name in text for name in VOC_CLASSES)


def test_evaluate_is_the_librarys_own_number_and_its_predictions_reproduce_it(
    tiny_weights_path, devkit, tmp_path, capsys
):
    saved = tmp_path / "p.json.gz"
    arguments = ("--data", devkit, "--weights", tiny_weights_path, "--device", "cpu", "--match-iou", 0.4)
    assert run("evaluate", *arguments, "--json", "-", "--save", saved) == 0
    content = json.loads(capsys.readouterr().out)

    dataset = VOCDataset(devkit, [("2007", "val")])
    detector = Detector.load(tiny_weights_path, device="cpu", score_threshold=0.005).with_classes(VOC_CLASSES)
    truths = [annotation for _, annotation in dataset]
    found = [found for _, found in detector.detect_many([path for path, _ in dataset])]
    expected = evaluate_voc(found, truths, VOC_CLASSES, iou_threshold=0.4)
    assert 0.3 < expected.map_area < 1
    assert content["map_area"] == expected.map_area
    assert content["map_11"] == expected.map_11
    assert content["classes"]["dog"]["ap_area"] == expected.ap_area[VOC_CLASSES.index("dog")]

    loaded, header = load_predictions(saved)
    assert header["settings"]["data"] == "VOC2007 val"
    again = evaluate_voc([loaded[i] for i in dataset.ids], truths, VOC_CLASSES, iou_threshold=0.4)
    assert again.map_area == expected.map_area


def test_objects_of_an_unreadable_image_count_as_missed(tiny_weights_path, devkit, capsys):
    arguments = ("--data", devkit, "--weights", tiny_weights_path, "--device", "cpu", "--json", "-")
    assert run("evaluate", *arguments) == 0
    whole = json.loads(capsys.readouterr().out)
    broken = devkit / "VOCdevkit" / "VOC2007" / "JPEGImages" / "dog.jpg"
    broken.write_bytes(broken.read_bytes()[:3000])
    assert run("evaluate", *arguments) == 1
    captured = capsys.readouterr()
    content = json.loads(captured.out)
    assert "1 of 3 images could not be used" in captured.err
    assert "dog.jpg" in captured.err
    assert len(content["failed"]) == 1
    assert content["classes"]["bicycle"]["truths"] == whole["classes"]["bicycle"]["truths"] == 1
    assert whole["classes"]["bicycle"]["ap_area"] > content["classes"]["bicycle"]["ap_area"] == 0


def test_a_split_that_isnt_there_names_those_that_are(weights, devkit, capsys):
    assert run("evaluate", "--data", devkit, "--split", "test", "--weights", weights) == 2
    assert "VOC2007 has the splits val" in capsys.readouterr().err
