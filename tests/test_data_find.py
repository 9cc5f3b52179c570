"""Datasets are found wherever Kaggle mounts them; asked for a missing split, it names those there are."""

import os
from pathlib import Path

import pytest
from PIL import Image

from yolov3_lib.data import find
from yolov3_lib.data.find import find_dataset, find_datasets, open_dataset
from yolov3_lib.data.voc import VOCDataset
from yolov3_lib.data.yolo_txt import YoloTxtDataset

XML = "<annotation><size><width>20</width><height>10</height></size></annotation>"


def make_year(folder: Path, **splits: str) -> Path:
    for name in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for split, ids in splits.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(ids.split()) + "\n")
        for image_id in ids.split():
            Image.new("RGB", (20, 10)).save(folder / "JPEGImages" / f"{image_id}.jpg")
            (folder / "Annotations" / f"{image_id}.xml").write_text(XML)
    return folder


def make_csv(folder: Path, **splits: str) -> Path:
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for split, ids in splits.items():
        (folder / f"{split}.csv").write_text("".join(f"{each}.jpg,{each}.txt\n" for each in ids.split()))
        for image_id in ids.split():
            Image.new("RGB", (20, 10)).save(folder / "images" / f"{image_id}.jpg")
            (folder / "labels" / f"{image_id}.txt").write_text("")
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and nothing in the environment."""
    folder = tmp_path / "working"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv(find.ENVIRONMENT, raising=False)
    return folder


@pytest.mark.parametrize("mount", ["slug", "owner/slug", "datasets/owner/slug"])
@pytest.mark.parametrize("inside", ["VOC2007", "VOCdevkit/VOC2007", "archive/VOCdevkit/VOC2007"])
def test_voc_on_kaggle(elsewhere: Path, tmp_path: Path, mount: str, inside: str) -> None:
    kaggle = tmp_path / "input"
    make_year(kaggle / mount / inside, train="a b", val="c")
    found = find_dataset(kaggle_input=kaggle)
    assert (found.kind, found.splits) == ("voc", {"2007-train": 2, "2007-val": 1})
    dataset = open_dataset(None, "2007-val+2007-train", kaggle_input=kaggle)
    assert isinstance(dataset, VOCDataset)
    assert dataset.ids == ["c", "a", "b"]
    assert dataset[0][1].size == (20, 10)


@pytest.mark.parametrize("mount", ["slug", "owner/slug", "datasets/owner/slug"])
def test_csv_lists_on_kaggle(elsewhere: Path, tmp_path: Path, mount: str) -> None:
    kaggle = tmp_path / "input"
    make_csv(kaggle / mount / "PASCAL_VOC", train="a b", test="c", **{"2examples": "a b"})
    found = find_dataset(kaggle_input=kaggle)
    assert (found.kind, found.root) == ("yolo_txt", kaggle / mount / "PASCAL_VOC")
    assert found.splits == {"train.csv": 2, "test.csv": 1, "2examples.csv": 2}
    assert found.main_splits() == ["train.csv", "test.csv"]
    for split in ("train", "train.csv"):
        dataset = open_dataset(None, split, kaggle_input=kaggle)
        assert isinstance(dataset, YoloTxtDataset)
        assert dataset.ids == ["a", "b"]
    assert open_dataset(None, "test+train", kaggle_input=kaggle).ids == ["c", "a", "b"]


def test_years_from_two_archives_are_one_dataset(tmp_path: Path) -> None:
    make_year(tmp_path / "datasets/one/voc2007/VOCtrainval/VOCdevkit/VOC2007", trainval="a b")
    make_year(tmp_path / "datasets/one/voc2007/VOCtest/VOCdevkit/VOC2007", test="c")
    make_year(tmp_path / "datasets/two/voc-2012/VOC2012_train_val", trainval="d", train="d")
    make_year(tmp_path / "mine/VOCscenes", train="e")
    found = find_dataset(tmp_path)
    assert set(found.splits) == {"2007-trainval", "2007-test", "2012-trainval", "2012-train", "scenes-train"}
    assert open_dataset(found, "2007-trainval + 2012-trainval, scenes-train").ids == ["a", "b", "d", "e"]
    assert open_dataset(tmp_path, "test").ids == ["c"]


@pytest.mark.parametrize(
    ("name", "year"),
    [("VOC2012", "2012"), ("VOC2012_train_val", "2012"), ("voc_2007-test", "2007"), ("VOCscenes", "scenes"),
     ("street", "street")],
)  # fmt: skip
def test_the_year_in_a_folders_name(tmp_path: Path, name: str, year: str) -> None:
    make_year(tmp_path / name, train="a")
    assert [*find_dataset(tmp_path).splits] == [f"{year}-train"]
    assert find_dataset(tmp_path / name).splits == find_dataset(tmp_path).splits


def test_lists_of_a_class_and_empty_ones_are_no_splits(tmp_path: Path) -> None:
    make_year(tmp_path / "VOC2007", train="a", val="b", trainval="a b", test="")
    (tmp_path / "VOC2007/ImageSets/Main/dog_train.txt").write_text("a -1\nb  1\n")
    found = find_dataset(tmp_path)
    assert found.splits == {"2007-train": 1, "2007-trainval": 2, "2007-val": 1}
    assert found.main_splits() == ["2007-train", "2007-val"]


def test_the_order_of_the_places(elsewhere: Path, tmp_path: Path, monkeypatch) -> None:
    kaggle = tmp_path / "input"
    make_year(kaggle / "slug/VOC2007", train="kaggle")
    assert open_dataset(None, "train", kaggle_input=kaggle).ids == ["kaggle"]
    make_year(elsewhere / "VOCdevkit/VOC2007", train="devkit")
    assert open_dataset(None, "train", kaggle_input=kaggle).ids == ["devkit"]
    make_year(tmp_path / "data/VOC2012", test="above")
    assert open_dataset(None, "2012-test", kaggle_input=kaggle).ids == ["above"]
    make_year(elsewhere / "data/x/VOC2007", train="data")
    assert open_dataset(None, "train", kaggle_input=kaggle).ids == ["data"]
    make_csv(tmp_path / "set", train="environment")
    monkeypatch.setenv(find.ENVIRONMENT, os.pathsep.join(map(str, (tmp_path / "nowhere", tmp_path / "set"))))
    assert open_dataset(None, "train", kaggle_input=kaggle).ids == ["environment"]
    assert open_dataset(kaggle, "train").ids == ["kaggle"]
    assert len([*find_datasets(None, kaggle)]) == 5


def test_what_is_missing_is_answered_with_what_is_there(elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    with pytest.raises(FileNotFoundError, match=r"(?s)no dataset found.*input.*data get voc2007"):
        find_dataset(kaggle_input=tmp_path / "input")
    with pytest.raises(FileNotFoundError, match="no dataset found"):
        open_dataset(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_dataset(tmp_path / "nowhere")
    make_year(tmp_path / "VOC2007", train="a", val="b c")
    make_csv(tmp_path / "txt", test="a")
    with pytest.raises(FileNotFoundError, match=r"(?s)2012-train. There.*val \(2 images\).*csv \(1 image\)"):
        open_dataset(tmp_path, "2007-train+2012-train")


@pytest.mark.parametrize("split", ["", "2007-train+", "2007-train,2007-train"])
def test_unusable_splits(tmp_path: Path, split: str) -> None:
    make_year(tmp_path / "VOC2007", train="a")
    with pytest.raises(ValueError, match="give different names"):
        open_dataset(tmp_path, split)


def test_ambiguous_and_overlapping_splits(tmp_path: Path) -> None:
    make_year(tmp_path / "VOC2007", train="a", trainval="a b")
    make_year(tmp_path / "VOC2012", train="a")
    with pytest.raises(ValueError, match="which of 2007-train, 2012-train"):
        open_dataset(tmp_path, "train")
    with pytest.raises(ValueError, match="twice in VOC2007 train, VOC2007 trainval, for one a"):
        open_dataset(tmp_path, "2007-train+2007-trainval")
    assert len(open_dataset(tmp_path, "2007-train+2012-train")) == 2


def test_a_broken_csv_is_named_not_passed_over(tmp_path: Path) -> None:
    make_csv(tmp_path, train="a")
    (tmp_path / "train.csv").write_text("a.jpg,a.txt\nb.jpg\n")
    for look in (find_dataset, lambda where: open_dataset(where, "train")):
        with pytest.raises(FileNotFoundError, match=r"train\.csv: line 2 is 'b\.jpg'"):
            look(tmp_path)


def test_the_search_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never into folders of images, not below a dataset, not in circles, not for ever."""
    make_year(tmp_path / "VOC2007", train="a")
    make_csv(tmp_path / "txt/images", train="hidden")
    make_year(tmp_path / "1/2/3/4/5/6/7/VOC2012", train="too_deep")
    (tmp_path / "txt/loop").symlink_to(tmp_path, target_is_directory=True)
    looked_in = []
    scandir = find.os.scandir
    monkeypatch.setattr(find.os, "scandir", lambda path: looked_in.append(Path(path)) or scandir(path))
    found = [*find_datasets(tmp_path)]
    assert [each.splits for each in found] == [{"2007-train": 1}]
    assert not [path for path in looked_in if {"JPEGImages", "images"} & {*path.parts}]
    assert len(looked_in) < 20
    assert [*find_dataset(tmp_path / "1").splits] == ["2012-train"]
    monkeypatch.setattr(find, "_MAX_FOLDERS", 3)
    looked_in.clear()
    list(find_datasets(tmp_path))
    assert len(looked_in) <= 3


def test_the_real_thing(voc416: Path) -> None:
    found = find_dataset(voc416)
    assert found.splits["2007-val"] == 2508
    assert len(open_dataset(found, "val" if len(found.splits) == 1 else "2007-val")) == 2508
