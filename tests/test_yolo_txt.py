"""Images, text labels and csv lists: written and read back, and everything that can be wrong with them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.data.images import ImageError, load_image
from yolov3_lib.data.voc import Annotation, AnnotationError, VOCDataset, write_annotation
from yolov3_lib.data.yolo_txt import (
    YoloTxtDataset,
    export_yolo_txt,
    image_size,
    read_yolo_txt,
    write_yolo_txt,
    yolo_txt_errors,
)

DOG = VOC_CLASSES.index("dog")
SIZE = (100, 50)


def annotation(
    boxes: list, size: tuple[int, int] = SIZE, difficult: list | None = None, name="a.jpg"
) -> Annotation:
    n = len(boxes)
    return Annotation(
        name, size, torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.full((n,), DOG),
        ("dog",) * n, torch.tensor(difficult or [False] * n, dtype=torch.bool), torch.zeros(n).bool(),
    )  # fmt: skip


def make(root: Path, rows: str = "a.jpg,a.txt\n", labels: str = "11 0.5 0.5 0.2 0.4\n") -> Path:
    """A dataset of one gray image, a.jpg, of 100×50 pixels."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, "gray").save(root / "images" / "a.jpg")
    (root / "labels" / "a.txt").write_text(labels)
    (root / "train.csv").write_text(rows)
    return root


def make_voc(root: Path, year: str, split: str, found: dict[str, Annotation]) -> Path:
    folder = root / f"VOC{year}"
    for name in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(found) + "\n")
    rng = np.random.default_rng(len(found))
    for image_id, each in found.items():
        pixels = rng.integers(0, 256, (each.size[1], each.size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{image_id}.jpg")
        write_annotation(folder / "Annotations" / f"{image_id}.xml", each)
    return root


# Reading


def test_reads_what_is_there(tmp_path: Path) -> None:
    dataset = YoloTxtDataset(make(tmp_path, labels="11 0.5 0.5 0.2 0.4\n\n  14 0.25 0.5 0.5 1\n"))
    assert (len(dataset), dataset.ids, dataset.class_names) == (1, ["a"], VOC_CLASSES)
    ((path, read),) = dataset
    assert path == tmp_path / "images" / "a.jpg"
    assert (read.filename, read.size, read.names) == ("a.jpg", SIZE, ("dog", "person"))
    assert torch.allclose(read.boxes, torch.tensor([[40.0, 15, 60, 35], [0, 0, 50, 50]]))
    assert read.boxes.dtype == torch.float32
    assert read.classes.tolist() == [11, 14]
    assert read.classes.dtype == torch.int64
    assert not read.difficult.any()
    assert not read.truncated.any()


@pytest.mark.parametrize(
    "rows", ["image,label\na.jpg,a.txt\n", "\ufeffa.jpg,a.txt", '"a.jpg" , a.txt\r\n\r\n']
)
def test_titles_and_marks_and_empty_lines(tmp_path: Path, rows: str) -> None:
    assert YoloTxtDataset(make(tmp_path, rows)).ids == ["a"]


def test_the_first_row_is_kept_where_it_is_no_title(tmp_path: Path) -> None:
    """Read with a table reader's default, the first image of a csv without titles is lost."""
    make(tmp_path, "b.jpg,a.txt\na.jpg,a.txt\n")
    Image.new("RGB", SIZE).save(tmp_path / "images" / "b.jpg")
    assert YoloTxtDataset(tmp_path).ids == ["b", "a"]


def test_no_objects_in_an_empty_file(tmp_path: Path) -> None:
    read = YoloTxtDataset(make(tmp_path, labels=" \n")).annotation(0)
    assert (read.boxes.shape, read.classes.dtype, read.names) == ((0, 4), torch.int64, ())


def test_several_csv_files_and_folders_below(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "images" / "more").mkdir()
    Image.new("RGB", SIZE).save(tmp_path / "images" / "more" / "b.png")
    (tmp_path / "test.csv").write_text("more/b.png,a.txt\n")
    assert YoloTxtDataset(tmp_path, ("test.csv", "train.csv")).ids == ["more/b", "a"]
    with pytest.raises(AnnotationError, match=r"a\.jpg is listed already, in line 1 of train\.csv"):
        YoloTxtDataset(tmp_path, ("train.csv", "train.csv"))


def test_the_size_is_that_of_the_upright_image(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.jpg"
        Image.new("RGB", SIZE).save(path, exif=exif)
        height, width = load_image(path).shape[:2]
        assert image_size(path) == (width, height)
    assert image_size(tmp_path / "6.jpg") == (50, 100)


# What is wrong with a csv


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "lists no image"),
        ("image,label\n", "lists no image"),
        ("a.jpg,a.txt\na.jpg\n", "line 2 is 'a.jpg', expected an image and its label file"),
        ("a.jpg,a.txt\n\na.jpg,a.txt,dog\n", "line 3"),
        ("a.jpg,a.txt\na.jpg,a.jpg\n", "line 2"),
        ("a.jpg,a.txt\na.jpg,a.txt\n", "line 2: a.jpg is listed already"),
        ("a.jpg,a.txt\n../a.jpg,a.txt\n", "line 2: '../a.jpg' leads out of its folder"),
        ("a.jpg,/etc/a.txt\n", "'/etc/a.txt' leads out of its folder"),
        ("a.jpg,a.txt\n\x00", "line 2"),
    ],
)
def test_broken_lists(tmp_path: Path, rows: str, words: str) -> None:
    with pytest.raises(AnnotationError) as error:
        YoloTxtDataset(make(tmp_path, rows))
    assert str(error.value).startswith(str(tmp_path / "train.csv"))
    assert words in str(error.value)


def test_a_csv_that_is_no_text(tmp_path: Path) -> None:
    (make(tmp_path) / "train.csv").write_bytes(b"\xff\xfe\x00\x81a.jpg")
    with pytest.raises(AnnotationError, match="not a csv file"):
        YoloTxtDataset(tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train\.csv: no such file. Check the folder"):
        YoloTxtDataset(tmp_path)
    make(tmp_path, "a.jpg,a.txt\nb.jpg,a.txt\nc.jpg,a.txt\n")
    with pytest.raises(FileNotFoundError, match=r"test\.csv: no such file. There are: train\.csv"):
        YoloTxtDataset(tmp_path, "test.csv")
    with pytest.raises(
        FileNotFoundError, match=r"line 2 names b\.jpg, which isn't in .*images. 2 of its 3 rows"
    ):
        YoloTxtDataset(tmp_path)
    make(tmp_path, "a.jpg,b.txt\n")
    with pytest.raises(FileNotFoundError, match=r"line 1 names b\.txt, which isn't in .*labels"):
        YoloTxtDataset(tmp_path)


# What is wrong with a label file

BROKEN = [
    ("20 .5 .5 .2 .2", "class 20, expected a whole number from 0 to 19"),
    ("-1 .5 .5 .2 .2", "class -1"),
    ("1.5 .5 .5 .2 .2", "class 1.5"),
    ("dog .5 .5 .2 .2", "class is 'dog', expected a number"),
    ("1 .5 .5 .2", "4 words, expected five numbers"),
    ("1 .5 .5 .2 .2 .9", "6 words"),
    ("1,.5,.5,.2,.2", "1 words"),
    ("1 .5 x .2 .2", "y is 'x'"),
    ("1 nan .5 .2 .2", "x is nan, expected a finite number"),
    ("inf .5 .5 .2 .2", "class is inf"),
    ("1 .5 .5 0 .2", "width and height must be above 0"),
    ("1 .5 .5 .2 -.2", "width and height must be above 0"),
    ("1 .9 .5 .3 .2", "reaches 5.0 pixels beyond the image of 100×50"),
    ("1 .5 -.05 .2 .2", "reaches 7.5 pixels beyond"),
    ("1 50 25 20 20", "relative to the image's size"),
    ("1 1.004 .5 .002 .2", "no area"),
]


@pytest.mark.parametrize(("line", "words"), BROKEN)
def test_broken_lines(tmp_path: Path, line: str, words: str) -> None:
    dataset = YoloTxtDataset(make(tmp_path, labels=f"11 .5 .5 .1 .1\n\n{line}\n"))
    with pytest.raises(AnnotationError) as error:
        dataset.annotation(0)
    assert str(error.value).startswith(f"{tmp_path / 'labels' / 'a.txt'}: line 3: ")
    assert words in str(error.value)


def test_all_mistakes_of_a_file_at_once(tmp_path: Path) -> None:
    dataset = YoloTxtDataset(make(tmp_path, labels="".join(f"{line}\n11 .5 .5 1 1\n" for line, _ in BROKEN)))
    errors = dataset.annotation_errors(0)
    assert len(errors) == len(BROKEN)
    for number, (error, (_, words)) in enumerate(zip(errors, BROKEN, strict=True)):
        assert f"line {2 * number + 1}: " in str(error)
        assert words in str(error)
    assert YoloTxtDataset(make(tmp_path)).annotation_errors(0) == []


def test_a_pixel_beyond_is_clipped(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1 0.49 0.5 1 1.03\n")
    assert read_yolo_txt(path, SIZE)[1] == [(0, 0, pytest.approx(99), 50)]


def test_unreadable_labels_and_images(tmp_path: Path) -> None:
    dataset = YoloTxtDataset(make(tmp_path))
    (tmp_path / "labels" / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(AnnotationError, match=r"a\.txt: can't be read"):
        dataset.annotation(0)
    (tmp_path / "labels" / "a.txt").unlink()
    with pytest.raises(AnnotationError, match=r"a\.txt: no such file"):
        dataset.annotation(0)
    assert len(yolo_txt_errors(tmp_path / "labels" / "a.txt", SIZE)) == 1
    (tmp_path / "images" / "a.jpg").write_text("not an image")
    with pytest.raises(ImageError, match=r"a\.jpg: the image's size can't be read"):
        dataset.annotation(0)
    assert "a.jpg" in str(dataset.annotation_errors(0)[0])


# Writing


@st.composite
def boxes_in_images(draw: st.DrawFn) -> tuple[tuple[int, int], list[list[float]]]:
    size = (draw(st.integers(2, 6000)), draw(st.integers(2, 6000)))
    boxes = []
    for _ in range(draw(st.integers(0, 4))):
        low = [draw(st.floats(0, side - 1)) for side in size]
        high = [draw(st.floats(start + 0.5, side)) for start, side in zip(low, size, strict=True)]
        boxes.append([*low, *high])
    return size, boxes


@given(boxes_in_images())
def test_a_label_file_holds_boxes_to_a_thousandth_of_a_pixel(tmp_path_factory, drawn) -> None:
    size, boxes = drawn
    path = tmp_path_factory.getbasetemp() / "round_trip.txt"
    written = annotation(boxes, size)
    write_yolo_txt(path, written)
    classes, read = read_yolo_txt(path, size)
    assert classes == written.classes.tolist()
    read = torch.tensor(read, dtype=torch.float64).reshape(-1, 4)
    assert torch.allclose(read, written.boxes.double(), rtol=0, atol=1e-3)


def test_difficult_objects_are_left_out_unless_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    found = annotation([[0, 0, 9, 9], [5, 5, 20, 20]], difficult=[True, False])
    write_yolo_txt(path, found)
    assert read_yolo_txt(path, SIZE)[1] == [pytest.approx((5, 5, 20, 20))]
    write_yolo_txt(path, found, keep_difficult=True)
    assert len(read_yolo_txt(path, SIZE)[1]) == 2


@pytest.mark.parametrize("box", [[3, 3, 3, 9], [9, 3, 3, 9], [float("nan"), 3, 3, 9], [3, 3, 140, 9]])
def test_unwritable_boxes(tmp_path: Path, box: list[float]) -> None:
    with pytest.raises(AnnotationError, match=r"a\.txt: object\[0\] \(dog\)"):
        write_yolo_txt(tmp_path / "a.txt", annotation([box]))
    assert not (tmp_path / "a.txt").exists()


def test_voc_exported_and_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = {}
    for number in range(6):
        size = tuple(rng.integers(40, 300, 2).tolist())
        low = rng.uniform(0, np.array(size) - 20, (number, 2))
        high = low + rng.uniform(2, 20, (number, 2))
        boxes = np.concatenate([low, high], 1).round(2).tolist()
        found[f"{number:06}"] = annotation(boxes, size, [k % 3 == 2 for k in range(number)])
    voc = VOCDataset(make_voc(tmp_path / "voc", "2007", "val", found))
    path = export_yolo_txt(voc, tmp_path / "txt", "test.csv", keep_difficult=True)
    assert path.read_text().splitlines()[:2] == ["000000.jpg,000000.txt", "000001.jpg,000001.txt"]
    txt = YoloTxtDataset(tmp_path / "txt", "test.csv")
    assert txt.ids == voc.ids
    for (image, before), (copy, after) in zip(voc, txt, strict=True):
        assert copy.read_bytes() == image.read_bytes()
        assert (after.size, after.names) == (before.size, before.names)
        assert torch.allclose(after.boxes, before.boxes, rtol=0, atol=1e-3)
        assert torch.equal(after.classes, before.classes)
    export_yolo_txt(voc, tmp_path / "without", "test.csv")
    left = sum(len(each) for _, each in YoloTxtDataset(tmp_path / "without", "test.csv"))
    assert left == sum(int((~each.difficult).sum()) for _, each in voc)
    assert not [*(tmp_path / "txt").rglob("*.part")]


def test_an_interrupted_export_has_no_csv_and_goes_on(tmp_path: Path) -> None:
    found = {"a": annotation([[1, 1, 9, 9]]), "b": annotation([[1, 1, 9, 9]])}
    voc = VOCDataset(make_voc(tmp_path, "2007", "val", found))
    second = tmp_path / "VOC2007/Annotations/b.xml"
    whole = second.read_text()
    second.write_text(whole[:40])
    with pytest.raises(AnnotationError, match=r"b\.xml"):
        export_yolo_txt(voc, tmp_path / "txt")
    assert (tmp_path / "txt/images/a.jpg").is_file()
    assert not (tmp_path / "txt/train.csv").exists()
    second.write_text(whole)
    export_yolo_txt(voc, tmp_path / "txt")
    assert YoloTxtDataset(tmp_path / "txt").ids == ["a", "b"]


def test_exports_that_would_lose_something_are_refused(tmp_path: Path) -> None:
    voc = VOCDataset(make_voc(tmp_path, "2007", "val", {"a": annotation([[1, 1, 9, 9]])}))
    make(tmp_path / "txt")
    with pytest.raises(FileExistsError, match=r"a\.jpg is there already"):
        export_yolo_txt(voc, tmp_path / "txt")
    make_voc(tmp_path, "2012", "val", {"a": annotation([[1, 1, 9, 9]])})
    both = VOCDataset(tmp_path, [("2007", "val"), ("2012", "val")])
    with pytest.raises(ValueError, match="2 images are called a"):
        export_yolo_txt(both, tmp_path / "both")
    Image.new("RGB", (9, 9)).save(tmp_path / "VOC2007/JPEGImages/a.jpg")
    with pytest.raises(AnnotationError, match=r"a\.jpg: the image is 9×9 pixels, its annotation says 100×50"):
        export_yolo_txt(voc, tmp_path / "new")
    with pytest.raises(ValueError, match="empty"):
        export_yolo_txt(VOCDataset(tmp_path, ()), tmp_path / "new")


def test_the_real_thing(voc416: Path, tmp_path: Path) -> None:
    """Labels of every tenth photograph of VOC2007 val, through text and back."""
    dataset = VOCDataset(voc416)
    for index in range(0, len(dataset), 10):
        before = dataset.annotation(index)
        write_yolo_txt(tmp_path / "a.txt", before, keep_difficult=True)
        classes, boxes = read_yolo_txt(tmp_path / "a.txt", image_size(dataset.image_path(index)))
        assert classes == before.classes.tolist()
        assert torch.allclose(torch.tensor(boxes), before.boxes, rtol=0, atol=1e-3)
