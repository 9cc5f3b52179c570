"""Ground truth in one file: what is written comes back, what is broken is named. And VOC2007 val's own."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.data.truths import load_truths, save_truths
from yolov3_lib.data.voc import VOCDataset, read_annotation
from yolov3_lib.evaluate import evaluate_voc
from yolov3_lib.predict import load_predictions

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module")
def photos() -> dict:
    paths = sorted((DATA / "photos").glob("*.xml"))
    return {path.stem: read_annotation(path, unknown="skip") for path in paths}


def same(a, b) -> bool:
    tensors = ("boxes", "classes", "difficult", "truncated")
    equal = all(torch.equal(getattr(a, name), getattr(b, name)) for name in tensors)
    return equal and (a.size, a.names, a.filename) == (b.size, b.names, b.filename)


@pytest.mark.parametrize("name", ["truths.json", "truths.json.gz"])
def test_what_is_written_comes_back(photos, tmp_path, name):
    save_truths(tmp_path / name, list(photos), list(photos.values()), VOC_CLASSES, {"data": "photos"})
    back, content = load_truths(tmp_path / name)
    assert list(back) == list(photos)
    assert all(same(back[key], photos[key]) for key in photos)
    assert any(each.difficult.any() for each in back.values())
    assert any(len(each) == 0 for each in back.values())
    assert content == {"class_names": list(VOC_CLASSES), "settings": {"data": "photos"}}


def test_the_same_truths_give_the_same_bytes(photos, tmp_path):
    for name in ("a.json.gz", "b.json.gz"):
        save_truths(tmp_path / name, list(photos), list(photos.values()), VOC_CLASSES)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


def test_ids_must_differ_and_fit(photos, tmp_path):
    two = list(photos.values())[:2]
    with pytest.raises(ValueError, match="only 1 different ids"):
        save_truths(tmp_path / "x.json", ["a", "a"], two, VOC_CLASSES)
    with pytest.raises(ValueError, match="zip"):
        save_truths(tmp_path / "x.json", ["a"], two, VOC_CLASSES)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([[0, 0, 1, 2, 3]], r"image 7: objects\[0\]: expected \[class, flags, x1, y1, x2, y2\]"),
        ([[0, 0, 1, 2, 3, 4], "x"], r"objects\[1\]: expected"),
        ([[0, 0, 1, 2, 3, float("nan")]], r"objects\[0\]: expected .* finite"),
        ([[2, 0, 1, 2, 3, 4]], r"objects\[0\]: class 2 isn't an index from 0 to 1"),
        ([[0.5, 0, 1, 2, 3, 4]], r"objects\[0\]: class 0.5 isn't"),
        ([[0, 4, 1, 2, 3, 4]], r"objects\[0\]: flags 4"),
        ([[0, 0, 5, 2, 3, 4]], r"objects\[0\]: x2 < x1"),
    ],
)
def test_a_bad_object_is_named(tmp_path, objects, message):
    path = tmp_path / "bad.json"
    content = {"class_names": ["a", "b"], "images": {"7": {"size": [9, 9], "objects": objects}}}
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        load_truths(path)
    assert "bad.json" in str(error.value)


def test_a_file_that_is_none_is_named(photos, tmp_path):
    path = tmp_path / "bad.json.gz"
    save_truths(path, list(photos), list(photos.values()), VOC_CLASSES)
    whole = path.read_bytes()
    for data in (whole[:-40], b"no gzip", gzip.compress(b"[]"), gzip.compress(b'{"images": 3}'), b""):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"bad\.json\.gz: not a file of truths"):
            load_truths(path)
    with pytest.raises(FileNotFoundError):
        load_truths(tmp_path / "absent.json")


# The file that comes with the course


@pytest.fixture(scope="module")
def voc2007val():
    return load_truths(DATA / "voc2007val_truths.json.gz")[0]


def test_voc2007_val_is_complete(voc2007val):
    assert len(voc2007val) == 2508
    assert sum(map(len, voc2007val.values())) == 7812
    assert sum(int(each.difficult.sum()) for each in voc2007val.values()) == 1511
    assert all(max(each.size) <= 416 for each in voc2007val.values())


def test_the_recorded_map_follows_from_two_files(voc2007val):
    run = DATA / "runs/yolov3_tiny_coco"
    saved, content = load_predictions(run / "voc2007val_predictions.json.gz")
    found = [saved[name] for name in voc2007val]
    result = evaluate_voc(found, list(voc2007val.values()), content["class_names"])
    assert result.to_dict()["classes"] == json.loads((run / "voc2007val.json").read_text())["classes"]


@pytest.mark.slow
def test_voc2007_val_is_what_its_annotations_say(voc2007val, voc416):
    dataset = VOCDataset(voc416, [("2007", "val")])
    assert list(voc2007val) == dataset.ids
    for i, each in enumerate(voc2007val.values()):
        annotation = dataset.annotation(i)
        assert torch.allclose(each.boxes, annotation.boxes, atol=1e-4)
        assert torch.equal(each.classes, annotation.classes)
        assert torch.equal(each.difficult, annotation.difficult)
        assert torch.equal(each.truncated, annotation.truncated)
        assert (each.size, each.filename) == (annotation.size, annotation.filename)
