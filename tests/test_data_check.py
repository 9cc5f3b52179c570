"""The check finds each mistake put into a sound dataset, and nothing else; ``data`` on the command line."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.data.check import KINDS, Report, check_dataset, draw
from yolov3_lib.data.commands import add_data_commands
from yolov3_lib.data.find import find_dataset, open_dataset
from yolov3_lib.data.voc import Annotation, VOCDataset, write_annotation
from yolov3_lib.data.yolo_txt import YoloTxtDataset, export_yolo_txt

SIZE = (120, 80)
NOTES = ("unused",)  # a dataset of a few images lacks classes; the tests look at the other kinds


def picture(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Soft blobs, different for each number, which survive scaling and JPEG."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def annotation(image_id: str, *objects: tuple[str, list[float], bool]) -> Annotation:
    return Annotation(
        f"{image_id}.jpg",
        SIZE,
        torch.tensor([box for _, box, _ in objects], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([VOC_CLASSES.index(name) for name, _, _ in objects], dtype=torch.int64),
        tuple(name for name, _, _ in objects),
        torch.tensor([difficult for _, _, difficult in objects], dtype=torch.bool),
        torch.zeros(len(objects), dtype=torch.bool),
    )


DOG, BIRD = ("dog", [10.0, 10, 60, 60], False), ("bird", [70.0, 20, 100, 70], True)


@pytest.fixture
def year(tmp_path: Path) -> Path:
    """VOC2007 with four sound images in train and three in val."""
    folder = tmp_path / "VOC2007"
    for name in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True)
    for split, ids in (("train", "abcd"), ("val", "efg"), ("trainval", "abcdefg")):
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(ids) + "\n")
    for number, image_id in enumerate("abcdefg"):
        picture(number).save(folder / "JPEGImages" / f"{image_id}.jpg", quality=95)
        write_annotation(folder / "Annotations" / f"{image_id}.xml", annotation(image_id, DOG, BIRD))
    return folder


def check(year: Path, **options) -> Report:
    return check_dataset(
        {split: VOCDataset(year, [("2007", split)]) for split in ("train", "val")}, **options
    )


def kinds(report: Report) -> list[tuple[str, str, str]]:
    return [
        (problem.kind, problem.split, problem.image)
        for problem in report.problems
        if problem.kind not in NOTES
    ]


# Counting


def test_counts_of_a_sound_dataset(year: Path) -> None:
    write_annotation(year / "Annotations" / "a.xml", annotation("a", DOG, DOG, BIRD))
    report = check(year)
    train, val = report.splits
    dog, bird = VOC_CLASSES.index("dog"), VOC_CLASSES.index("bird")
    assert (train.name, train.images, val.images) == ("train", 4, 3)
    assert (train.objects[dog], train.images_with[dog], train.difficult[dog]) == (5, 4, 0)
    assert (train.objects[bird], train.images_with[bird], train.difficult[bird]) == (4, 4, 4)
    assert train.objects.sum() == 9
    assert train.sizes == {SIZE: 4}
    assert kinds(report) == []
    assert report.errors == []
    assert len(report.problems) == 2 * 18  # each split lacks the same classes
    assert report.boxes.shape == (15, 4)
    assert report.boxes[0] == pytest.approx([35 / 120, 35 / 80, 50 / 120, 50 / 80])
    assert report.classes[:3].tolist() == [dog, dog, bird]


def test_the_table_says_what_was_counted(year: Path) -> None:
    lines = check(year).table(listed=1).splitlines()
    assert lines[1].split()[:5] == ["train", "4", "8", "4", "0"]
    assert lines[1].endswith("100% of them 120×80")
    assert [line.split() for line in lines if line.startswith("dog")] == [["dog", *"440330"]]
    assert "note: 36 classes without an object" in lines
    assert lines[-1] == "  … and 35 more"
    report = check_dataset({"all": VOCDataset(year, [("2007", "val")], ("dog", "bird"))})
    assert report.table().endswith("\n\nno problems")


def test_a_dataset_alone_and_the_number_of_threads(year: Path) -> None:
    dataset = VOCDataset(year, [("2007", "train")])
    reports = [check_dataset(dataset, workers=workers).to_dict() for workers in (1, 3)]
    assert reports[0] == reports[1]
    assert reports[0]["splits"][0]["name"] == "all"
    assert json.loads(json.dumps(reports[0])) == reports[0]


def test_what_cannot_be_checked(year: Path) -> None:
    with pytest.raises(ValueError, match="no split"):
        check_dataset({})
    with pytest.raises(ValueError, match="a, b have different class names"):
        check_dataset({"a": VOCDataset(year, ()), "b": VOCDataset(year, (), ("dog",))})
    assert "no image could be read" in check_dataset(VOCDataset(year, ())).table()


# Finding


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def rewrite(old: str, new: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "spoil", "kind", "words"),
    [
        ("JPEGImages/b.jpg", Path.unlink, "image", "no such image"),
        ("JPEGImages/b.jpg", cut, "image", "cut short"),
        ("JPEGImages/b.jpg", lambda path: path.write_text("<html>"), "image", "isn't an image"),
        ("JPEGImages/b.jpg", lambda path: path.write_bytes(b""), "image", "empty"),
        ("JPEGImages/b.jpg", lambda path: picture(9, (60, 80)).save(path), "size", "60×80 pixels, its ann"),
        ("JPEGImages/b.jpg", lambda path: picture(9, (80, 120)).save(path), "size", "Was it turned"),
        ("Annotations/b.xml", Path.unlink, "annotation", "no such file"),
        ("Annotations/b.xml", cut, "annotation", "not well-formed"),
        ("Annotations/b.xml", rewrite("dog", "hound"), "annotation", "unknown class"),
        ("Annotations/b.xml", rewrite(">60<", ">160<"), "annotation", "40 pixels beyond"),
        ("Annotations/b.xml", rewrite(">60<", ">9<"), "annotation", "xmax (9) < xmin (11)"),
        ("Annotations/b.xml", rewrite(">60<", ">11<"), "tiny", "object[0] (dog)"),
        ("Annotations/b.xml", lambda path: write_annotation(path, annotation("b")), "empty", "no objects"),
    ],
)
def test_each_mistake_is_found_alone(year: Path, file: str, spoil, kind: str, words: str) -> None:
    spoil(year / file)
    report = check(year, near_duplicates=True)
    assert kinds(report) == [(kind, "train", "b")]
    (problem,) = (problem for problem in report.problems if problem.kind == kind)
    assert words in problem.message
    assert str(year / ("JPEGImages/b.jpg" if kind in ("tiny", "empty") else file)) in problem.message
    assert bool(report.errors) == (kind in ("image", "annotation", "size"))


def test_every_mistake_of_every_file_is_listed(year: Path) -> None:
    for image_id in "be":
        path = year / "Annotations" / f"{image_id}.xml"
        path.write_text(path.read_text().replace("dog", "hound").replace("<xmax>100", "<xmax>900"))
        cut(year / "JPEGImages" / f"{image_id}.jpg")
    assert kinds(check(year)) == [
        ("image", "train", "b"), ("image", "val", "e"),
        ("annotation", "train", "b"), ("annotation", "train", "b"),
        ("annotation", "val", "e"), ("annotation", "val", "e"),
    ]  # fmt: skip


def test_the_same_photograph_twice(year: Path) -> None:
    images = year / "JPEGImages"
    (images / "f.jpg").write_bytes((images / "b.jpg").read_bytes())
    (images / "d.jpg").write_bytes((images / "c.jpg").read_bytes())
    report = check(year, near_duplicates=True)
    assert kinds(report) == [("leak", "train", "b"), ("repeated", "train", "c")]
    assert [problem.is_error for problem in report.problems[:2]] == [True, False]
    assert f"{images / 'b.jpg'} (train), {images / 'f.jpg'} (val)" in report.problems[0].message


def test_look_alikes(year: Path) -> None:
    """b again, half as large and saved worse; c mirrored is another picture."""
    images = year / "JPEGImages"
    with Image.open(images / "b.jpg") as image:
        image.resize((60, 40)).save(images / "f.jpg", quality=50)
    with Image.open(images / "c.jpg") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(images / "g.jpg")
    assert [kind for kind, _, _ in kinds(check(year))] == ["size"]
    assert kinds(check(year, near_duplicates=True)) == [("size", "val", "f"), ("similar", "train", "b")]


def test_overlapping_splits_and_names_used_twice(year: Path, tmp_path: Path) -> None:
    train, both = (VOCDataset(year, [("2007", split)]) for split in ("train", "trainval"))
    assert kinds(check_dataset({"train": train, "trainval": both})) == [
        ("leak", "train", image_id) for image_id in "abcd"
    ]
    other = tmp_path / "other"
    export_yolo_txt(VOCDataset(year, [("2007", "val")]), other)
    (other / "train.csv").write_text("a.jpg,e.txt\n")
    picture(99).save(other / "images" / "a.jpg")
    report = check_dataset({"voc": train, "txt": YoloTxtDataset(other)})
    assert kinds(report) == [("same id", "voc", "a")]


def test_the_csv_layout(year: Path, tmp_path: Path) -> None:
    root = tmp_path / "txt"
    export_yolo_txt(VOCDataset(year, [("2007", "train")]), root, keep_difficult=True)
    report = check_dataset(YoloTxtDataset(root))
    assert kinds(report) == []
    assert report.splits[0].objects.sum() == 8
    assert report.splits[0].difficult.sum() == 0
    (root / "labels" / "b.txt").write_text("77 .5 .5 .1 .1\n11 .5 .5 2 .1\n3 .5 .5 .5 .5\n")
    (root / "images" / "c.jpg").write_text("not an image")
    report = check_dataset(YoloTxtDataset(root))
    assert kinds(report) == [("image", "all", "c"), ("annotation", "all", "b"), ("annotation", "all", "b")]
    assert "line 1: class 77" in report.problems[1].message
    assert "line 2: the box" in report.problems[2].message


def test_kinds_have_headings(year: Path) -> None:
    assert {problem.kind for problem in check(year).problems} <= KINDS.keys()


# Drawing


def test_the_picture_shows_the_counts(year: Path, tmp_path: Path) -> None:
    report = check(year)
    figure = draw(report)
    figure.savefig(tmp_path / "a.png", dpi=100)  # the book's style has its own
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1100, 700)
    classes, sizes, centers, *_ = figure.axes
    widths = [bar.get_width() for bar in classes.patches]
    assert widths == [*report.splits[0].objects, *report.splits[1].objects]
    assert [label.get_text() for label in classes.get_yticklabels()] == list(VOC_CLASSES)
    assert np.allclose(sizes.collections[0].get_offsets(), report.boxes[:, 2:])
    heat = centers.images[0].get_array()
    assert heat.sum() == len(report.boxes)
    row, column = (int(center * 25) for center in (35 / 80, 35 / 120))
    assert heat[row, column] == 7
    draw(check_dataset(VOCDataset(year, ()))).savefig(tmp_path / "empty.png")


# The command line


def run(*arguments: object) -> int:
    """The status that a command returns; argparse's own exits are one too."""
    parser = argparse.ArgumentParser(prog="yolov3")
    add_data_commands(parser.add_subparsers(required=True))
    try:
        args = parser.parse_args(["data", *map(str, arguments)])
    except SystemExit as leave:
        return leave.code
    return args.run(args)


def test_check_prints_writes_and_tells_by_its_status(year: Path, tmp_path: Path, capsys) -> None:
    assert run("check", year.parent, "--json", tmp_path / "a.json", "--save", tmp_path / "a.png") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].startswith("2007-train       4")
    assert "not checked, --split does: 2007-trainval" in err
    assert json.loads((tmp_path / "a.json").read_text())["splits"][1]["name"] == "2007-val"
    assert (tmp_path / "a.png").stat().st_size > 1000

    cut(year / "JPEGImages" / "e.jpg")
    assert run("check", year.parent) == 1
    assert "error: 1 images missing or broken" in capsys.readouterr().out
    assert run("check", year.parent, "--split", "train", "--json", "-") == 0
    assert [split["name"] for split in json.loads(capsys.readouterr().out)["splits"]] == ["train"]
    assert run("check", year.parent, "--split", "2007-train+2007-val") == 1
    assert "2007-train+2007-val       7" in capsys.readouterr().out


def test_commands_refuse_what_they_cannot_do(year: Path, tmp_path: Path, capsys) -> None:
    assert run("check", year.parent, "--json", "photo.jpg") == 2
    assert "expected a .json file or -, got 'photo.jpg'" in capsys.readouterr().err
    assert run("check", year.parent, "--save", "a.json") == 2
    assert run("get", "voc2010") == 2
    assert run("scenes", tmp_path, "--train", "-1") == 2
    assert run() == 2
    for arguments, error, words in (
        (("check", tmp_path / "nowhere"), FileNotFoundError, "no such folder"),
        (("check", year.parent, "--split", "test"), FileNotFoundError, "2007-val"),
        (
            ("check", year.parent, "--json", tmp_path / "no" / "a.json"),
            FileNotFoundError,
            "there is no folder",
        ),
        (("export", year.parent, "--to", tmp_path / "txt"), ValueError, "nothing to export"),
        (("scenes", tmp_path, "--train", 0, "--val", 0, "--heldout", 0), ValueError, "no scenes"),
        (("get", "voc2007", "--to", tmp_path, "--mirror", "file:///x"), ValueError, "http or https"),
    ):
        with pytest.raises(error, match=words):
            run(*arguments)


def test_get_reports_what_is_there(tmp_path: Path, year: Path, capsys) -> None:
    """Both archives unpacked already: nothing is fetched."""
    (tmp_path / "VOCtest_06-Nov-2007").mkdir()
    (tmp_path / "VOCtrainval_06-Nov-2007").mkdir()
    year.rename(tmp_path / "VOCtrainval_06-Nov-2007" / "VOC2007")
    assert run("get", "voc2007", "--to", tmp_path) == 0
    assert "2007-train (4 images)" in capsys.readouterr().out


def test_export_writes_both_lists(year: Path, tmp_path: Path, capsys) -> None:
    target = tmp_path / "txt"
    assert run("export", year.parent, "--to", target, "--train", "2007-train", "--test", "val") == 0
    assert f"{target / 'train.csv'}: 4 images" in capsys.readouterr().out
    assert find_dataset(target).splits == {"train.csv": 4, "test.csv": 3}
    assert open_dataset(target, "test").annotation(0).names == ("dog",)
    assert run("export", year.parent, "--to", target, "--test", "val", "--keep-difficult") == 0
    assert open_dataset(target, "test").annotation(0).names == ("dog", "bird")


def test_scenes_are_drawn_found_and_sound(tmp_path: Path, capsys) -> None:
    assert run("scenes", tmp_path, "--train", 3, "--val", 2, "--heldout", 0, "--seed", 7) == 0
    out = capsys.readouterr().out
    assert "scenes-train (3 images)" in out
    assert "scenes-val (2 images)" in out
    assert run("check", tmp_path) == 0


def test_help_is_quick_and_complete() -> None:
    """Neither OpenCV nor Pillow, matplotlib or pooch is imported to print it."""
    code = (
        "import argparse, sys\n"
        "from yolov3_lib.data.commands import add_data_commands\n"
        "parser = argparse.ArgumentParser()\n"
        "add_data_commands(parser.add_subparsers())\n"
        "print(*(name for name in ('cv2', 'matplotlib', 'pooch', 'PIL') if name in sys.modules))\n"
        "parser.parse_args(['data', '--help'])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    first, _, text = result.stdout.partition("\n")
    assert first == ""
    assert all(f"    {name}" in text for name in ("get", "check", "scenes", "export"))
