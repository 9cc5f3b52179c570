"""VOC annotations: what the official files hold, what annotators' tools make of it, and what is broken."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yolov3_lib.classes import COCO_CLASSES, VOC_CLASSES
from yolov3_lib.data.images import load_image
from yolov3_lib.data.voc import Annotation, AnnotationError, VOCDataset, read_annotation, write_annotation

OBJECT = """
  <object>
    <name>{name}</name>
    <pose>Left</pose>
    {flags}
    <bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>
  </object>"""
SIZE = "<size><width>100</width><height>50</height><depth>3</depth></size>"


def one_object(box=(1, 2, 30, 40), name: str = "dog", flags: str = "") -> str:
    return OBJECT.format(name=name, box=box, flags=flags)


def document(*objects: str, size: str = SIZE) -> str:
    return f"<annotation>\n<filename>a.jpg</filename>\n{size}{''.join(objects)}\n</annotation>\n"


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "a.xml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


# Reading


def test_one_based_inclusive_becomes_continuous(write) -> None:
    """xmin = xmax is one pixel, and the box of the whole image is (0, 0, width, height)."""
    read = read_annotation(write(document(one_object((1, 1, 100, 50)), one_object((7, 8, 7, 8)))))
    assert read.boxes.tolist() == [[0, 0, 100, 50], [6, 7, 7, 8]]
    assert read.boxes.dtype == torch.float32
    assert read.size == (100, 50)
    assert read.filename == "a.jpg"
    assert len(read) == 2


def test_decimal_coordinates(write) -> None:
    read = read_annotation(write(document(one_object((45.70000076293945, 2.5, 60.25, "4e1")))))
    assert read.boxes[0].tolist() == pytest.approx([44.7, 1.5, 60.25, 40])


def test_flags_are_optional(write) -> None:
    flags = "<truncated>1</truncated><difficult>0</difficult>"
    read = read_annotation(
        write(document(one_object(), one_object(flags=flags), one_object(flags="<difficult> 1 </difficult>")))
    )
    assert read.difficult.tolist() == [False, False, True]
    assert read.truncated.tolist() == [False, True, False]
    assert read.difficult.dtype == torch.bool


def test_parts_are_not_objects(write) -> None:
    box = "<bndbox><xmin>9</xmin><ymin>9</ymin><xmax>12</xmax><ymax>12</ymax></bndbox>"
    part = f"<part><name>head</name>{box}</part>"
    read = read_annotation(write(document(one_object(name="person", flags=part))))
    assert read.names == ("person",)
    assert read.boxes.tolist() == [[0, 1, 30, 40]]


def test_no_objects(write) -> None:
    read = read_annotation(write(document()))
    assert read.boxes.shape == (0, 4)
    assert read.classes.shape == (0,)
    assert read.classes.dtype == torch.int64
    assert read.names == ()


def test_classes_count_into_the_given_names(write) -> None:
    path = write(document(one_object(name=" giraffe "), one_object()))
    assert read_annotation(path, COCO_CLASSES).names == ("giraffe", "dog")
    assert read_annotation(path, COCO_CLASSES).classes.tolist() == [23, 16]
    skipped = read_annotation(path, VOC_CLASSES, unknown="skip")
    assert (skipped.names, skipped.classes.tolist(), len(skipped.boxes)) == (("dog",), [11], 1)
    with pytest.raises(ValueError, match="unknown must be"):
        read_annotation(path, unknown="ignore")


def test_encodings_and_missing_filename(write) -> None:
    text = f'<?xml version="1.0" encoding="utf-16"?><annotation>{SIZE}{one_object()}</annotation>'
    assert read_annotation(write(text.encode("utf-16"))).filename == "a.jpg"
    text = document(one_object()).replace("a.jpg", "Käse.jpg")
    assert read_annotation(write(text)).filename == "Käse.jpg"


def test_up_to_a_pixel_beyond_the_image_is_clipped(write) -> None:
    """As annotators' tools write it that count from 0."""
    read = read_annotation(write(document(one_object((0, 0, 101, 50.5)))))
    assert read.boxes.tolist() == [[0, 0, 100, 50]]


# Errors: each names the file, the object and the mend


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((30, 2, 20, 40), ("object[1] (dog)", "xmax (20) < xmin (30)", "swap")),
        ((3, 40, 20, 39.5), ("object[1] (dog)", "ymax (39.5) < ymin (40)", "swap")),
        ((101, 2, 120, 40), ("object[1] (dog)", "outside the image of 100×50 pixels", "<size>")),
        ((100.5, 2, 101, 40), ("object[1] (dog)", "outside the image")),
        ((-20, 2, 0.5, 40), ("object[1] (dog)", "outside the image")),
        ((-20, 2, 30, 40), ("object[1] (dog)", "21 pixels beyond the image of 100×50", "<size>")),
        ((1, 2, 30, 52), ("object[1] (dog)", "2 pixels beyond")),
        ((math.nan, 2, 30, 40), ("object[1] (dog)", "finite")),
        ((1, 2, math.inf, 40), ("object[1] (dog)", "finite")),
        ((1, "two", 30, 40), ("object[1] (dog)", "ymin isn't a number (two)")),
        ((1, 2, "", 40), ("object[1] (dog)", "no <bndbox> with <xmax>")),
    ],
)
def test_bad_boxes(write, box: tuple, words: tuple[str, ...]) -> None:
    path = write(document(one_object(name="cat"), one_object(box)))
    with pytest.raises(AnnotationError) as error:
        read_annotation(path)
    for word in (str(path), *words):
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        (one_object(name="dgo"), ("object[0] (dgo): unknown class", 'unknown="skip"', "tvmonitor")),
        (one_object(name=" "), ("object[0] has no <name>", "aeroplane")),
        ("<object><name>dog</name></object>", ("object[0] (dog): has no <bndbox>",)),
        (one_object(flags="<difficult>maybe</difficult>"), ("object[0] (dog): <difficult> must be 0 or 1",)),
        (one_object(flags="<truncated>2</truncated>"), ("<truncated> must be 0 or 1, not '2'",)),
    ],
)
def test_bad_objects(write, objects: str, words: tuple[str, ...]) -> None:
    path = write(document(objects))
    with pytest.raises(AnnotationError) as error:
        read_annotation(path)
    for word in (str(path), *words):
        assert word in str(error.value)


@pytest.mark.parametrize(
    "size",
    [
        "",
        "<size></size>",
        "<size><width>100</width></size>",
        "<size><width>0</width><height>50</height></size>",
        "<size><width>-100</width><height>50</height></size>",
        "<size><width>big</width><height>50</height></size>",
    ],
)
def test_bad_size(write, size: str) -> None:
    path = write(document(one_object(), size=size))
    with pytest.raises(AnnotationError, match="Write the image's width and height") as error:
        read_annotation(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not well-formed XML"),
        (document(one_object())[:-20].encode(), "not well-formed XML"),
        (b"\xff\xd8\xff\xe0 a photograph", "not well-formed XML"),
        (b"<?xml version='1.0' encoding='klingon'?><annotation/>", "not well-formed XML"),
        (b"<html/>", "outermost element is <html>"),
    ],
)
def test_broken_xml(write, text: bytes, words: str) -> None:
    path = write(text)
    with pytest.raises(AnnotationError) as error:
        read_annotation(path)
    assert str(path) in str(error.value)
    assert words in str(error.value)


def test_entity_bombs_and_outside_files_are_refused(write, tmp_path: Path) -> None:
    layers = "".join(f'<!ENTITY b{k} "{f"&b{k - 1};" * 10}">' for k in range(1, 10))
    bomb = f'<!DOCTYPE a [<!ENTITY b0 "boom">{layers}]><annotation><filename>&b9;</filename></annotation>'
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    outside = f'<!DOCTYPE a [<!ENTITY s SYSTEM "file://{secret}">]><annotation><filename>&s;</filename></annotation>'
    for text in (bomb, outside):
        path = write(text)
        with pytest.raises(AnnotationError, match="entities") as error:
            read_annotation(path)
        assert str(path) in str(error.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"b\.xml: no such file"):
        read_annotation(tmp_path / "b.xml")
    with pytest.raises(AnnotationError, match="can't be read"):
        read_annotation(tmp_path)


# Writing


@st.composite
def annotations(draw: st.DrawFn) -> Annotation:
    size = (draw(st.integers(8, 2000)), draw(st.integers(8, 2000)))
    boxes, names = [], []
    step = draw(st.sampled_from([1, 8, 64]))  # whole pixels, or a part that float32 and four decimals hold
    for _ in range(draw(st.integers(0, 5))):
        x1, y1 = (draw(st.integers(0, (side - 1) * step)) for side in size)
        x2 = draw(st.integers(x1 + step, size[0] * step))
        y2 = draw(st.integers(y1 + step, size[1] * step))
        boxes.append([x1 / step, y1 / step, x2 / step, y2 / step])
        names.append(draw(st.sampled_from(VOC_CLASSES)))
    flags = st.lists(st.booleans(), min_size=len(names), max_size=len(names))
    return Annotation(
        filename=draw(st.sampled_from(["a.jpg", "Käse & Wein <1>.jpg"])),
        size=size,
        boxes=torch.tensor(boxes).reshape(-1, 4),
        classes=torch.tensor([VOC_CLASSES.index(name) for name in names], dtype=torch.int64),
        names=tuple(names),
        difficult=torch.tensor(draw(flags), dtype=torch.bool),
        truncated=torch.tensor(draw(flags), dtype=torch.bool),
    )


@given(annotations())
def test_what_is_written_is_read_back(tmp_path_factory, annotation: Annotation) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.xml"
    write_annotation(path, annotation)
    read = read_annotation(path)
    assert (read.filename, read.size, read.names) == (annotation.filename, annotation.size, annotation.names)
    assert torch.allclose(read.boxes, annotation.boxes, rtol=0, atol=1e-4)
    for name in ("classes", "difficult", "truncated"):
        assert torch.equal(getattr(read, name), getattr(annotation, name))
    again = path.read_text(encoding="utf-8")
    write_annotation(path, read)
    assert path.read_text(encoding="utf-8") == again


def test_the_official_layout(tmp_path: Path) -> None:
    annotation = Annotation(
        "dog.jpg", (100, 50), torch.tensor([[0, 1, 30.5, 40]]), torch.tensor([11]), ("dog",),
        torch.tensor([True]), torch.tensor([False]),
    )  # fmt: skip
    path = tmp_path / "photos" / "dog.xml"
    path.parent.mkdir()
    write_annotation(path, annotation, database="a shoe box")
    assert path.read_text(encoding="utf-8").split() == [
        "<annotation>", "<folder>photos</folder>", "<filename>dog.jpg</filename>",
        "<source>", "<database>a", "shoe", "box</database>", "</source>",
        "<size>", "<width>100</width>", "<height>50</height>", "<depth>3</depth>", "</size>",
        "<segmented>0</segmented>",
        "<object>", "<name>dog</name>", "<pose>Unspecified</pose>",
        "<truncated>0</truncated>", "<difficult>1</difficult>",
        "<bndbox>", "<xmin>1</xmin>", "<ymin>2</ymin>", "<xmax>30.5</xmax>", "<ymax>40</ymax>", "</bndbox>",
        "</object>", "</annotation>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("box", "word"),
    [
        ([3.0, 3, 3.5, 9], "xmax"),
        ([9.0, 3, 3, 9], "xmax"),
        ([math.nan, 3, 3, 9], "finite"),
        ([3.0, 3, 9, 60], "10 pixels beyond"),
        ([200.0, 3, 209, 9], "outside"),
    ],
)
def test_unwritable_boxes(tmp_path: Path, box: list[float], word: str) -> None:
    annotation = Annotation(
        "a.jpg", (100, 50), torch.tensor([box]), torch.tensor([11]), ("dog",),
        torch.tensor([False]), torch.tensor([False]),
    )  # fmt: skip
    with pytest.raises(AnnotationError, match=word) as error:
        write_annotation(tmp_path / "a.xml", annotation)
    assert "object[0] (dog)" in str(error.value)
    assert not (tmp_path / "a.xml").exists()


def test_an_annotation_checks_its_shapes() -> None:
    with pytest.raises(ValueError, match=r"boxes: expected shape \(1, 4\), got \(4,\)"):
        Annotation(
            "a.jpg",
            (9, 9),
            torch.zeros(4),
            torch.tensor([1]),
            ("dog",),
            torch.tensor([False]),
            torch.tensor([False]),
        )


# VOCdevkit


def make_year(folder: Path, split: str, ids: list[str]) -> None:
    for name in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(ids) + "\n")
    for image_id in ids:
        (folder / "JPEGImages" / f"{image_id}.jpg").write_bytes(b"not read here")
        (folder / "Annotations" / f"{image_id}.xml").write_text(document(one_object()))


@pytest.mark.parametrize(
    ("place", "root"),
    [
        ("VOC2007", "VOC2007"),
        ("VOC2007", "."),
        ("VOCdevkit/VOC2007", "."),
        ("slug/archive/VOCdevkit/VOC2007", "."),
    ],
)
def test_layouts(tmp_path: Path, place: str, root: str) -> None:
    make_year(tmp_path / place, "val", ["000005", "000007"])
    dataset = VOCDataset(tmp_path / root)
    assert len(dataset) == 2
    assert dataset.ids == ["000005", "000007"]
    assert [path.name for path, _ in dataset] == ["000005.jpg", "000007.jpg"]
    assert all(annotation.names == ("dog",) for _, annotation in dataset)
    assert dataset.image_path(-1).name == "000007.jpg"


def test_splits_in_order_from_archives_side_by_side(tmp_path: Path) -> None:
    make_year(tmp_path / "test/VOCdevkit/VOC2007", "test", ["000001"])
    make_year(tmp_path / "trainval/VOCdevkit/VOC2007", "trainval", ["000005"])
    make_year(tmp_path / "trainval/VOCdevkit/VOC2012", "trainval", ["2008_000002"])
    splits = [("2012", "trainval"), ("2007", "test"), ("2007", "trainval")]
    assert VOCDataset(tmp_path, splits).ids == ["2008_000002", "000001", "000005"]


def test_missing_pieces_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Give the folder that holds VOCdevkit"):
        VOCDataset(tmp_path)
    make_year(tmp_path / "VOCdevkit/VOC2007", "val", ["000005"])
    with pytest.raises(FileNotFoundError, match=r"VOC2007/ImageSets/Main/test\.txt.*has the splits val"):
        VOCDataset(tmp_path, [("2007", "test")])
    dataset = VOCDataset(tmp_path)
    (tmp_path / "VOCdevkit/VOC2007/JPEGImages/000005.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000005\.jpg: no such image, but the split lists it"):
        dataset.image_path(0)
    (tmp_path / "VOCdevkit/VOC2007/Annotations/000005.xml").unlink()
    with pytest.raises(AnnotationError, match=r"000005\.xml: no such file"):
        dataset.annotation(0)
    with pytest.raises(IndexError):
        dataset.annotation(1)


def test_the_list_of_a_class_is_no_split(tmp_path: Path) -> None:
    make_year(tmp_path / "VOC2007", "val", ["000005"])
    (tmp_path / "VOC2007/ImageSets/Main/dog_val.txt").write_text("000005 -1\n")
    with pytest.raises(AnnotationError, match=r"dog_val\.txt: line 1 has 2 words"):
        VOCDataset(tmp_path, [("2007", "dog_val")])


def test_empty_lines_and_other_classes(tmp_path: Path) -> None:
    make_year(tmp_path / "VOC2007", "val", ["000005", "", "000007"])
    dataset = VOCDataset(tmp_path, class_names=("cat",))
    assert len(dataset) == 2
    with pytest.raises(AnnotationError, match="unknown class"):
        dataset.annotation(0)
    assert len(VOCDataset(tmp_path, class_names=("cat",), unknown="skip").annotation(0)) == 0


def test_the_real_thing(voc416: Path) -> None:
    """The held-out images of VOC2007 val, as the sample's own notes count them."""
    dataset = VOCDataset(voc416)
    assert len(dataset) == 2508
    annotations = [dataset.annotation(index) for index in range(len(dataset))]
    assert sum(map(len, annotations)) == 7812
    assert sum(int(annotation.difficult.sum()) for annotation in annotations) == 1511
    assert set().union(*(annotation.names for annotation in annotations)) == set(VOC_CLASSES)
    boxes = torch.cat([annotation.boxes for annotation in annotations])
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert dataset.image_path(0).is_file()


def test_the_photographs_that_come_with_the_course(photos_dir: Path) -> None:
    """Each has an annotation of its own size that writes back to the same file, and a line on its license."""
    photographs = sorted(photos_dir.glob("*.jpg"))
    assert {path.stem for path in photographs} == {path.stem for path in photos_dir.glob("*.xml")}
    table = (photos_dir / "README.md").read_text(encoding="utf-8")
    for path in photographs:
        annotation = read_annotation(path.with_suffix(".xml"), COCO_CLASSES)
        assert annotation.filename == path.name
        height, width = load_image(path).shape[:2]
        assert annotation.size == (width, height)
        assert f"| `{path.name}` |" in table
        assert f"| {width}×{height} |" in table
    dog = read_annotation(photos_dir / "dog.xml")
    assert dog.names == ("dog", "bicycle", "car", "motorbike")
    assert dog.difficult.tolist() == [False, False, False, True]
    assert len(read_annotation(photos_dir / "giraffe.xml", unknown="skip")) == 0
