"""Pascal VOC's annotations: one XML file an image, and the folders of a VOCdevkit.

VOC counts pixels from 1 and a box includes its last pixel, so that ``xmin`` = ``xmax`` = 1 is one pixel wide.
Here a box has continuous edges, and this module is the only place that knows of the difference: reading
subtracts 1 from ``xmin`` and ``ymin``, writing adds it again. Decimal coordinates, which some files hold, are
treated alike.
"""

import math
import os
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import defusedxml.ElementTree
import torch
from defusedxml import DefusedXmlException
from torch import Tensor

from yolov3_lib.classes import VOC_CLASSES

# A box may reach this far beyond the image: annotators' tools round. It is clipped; more is a mistake.
SLACK = 1.0

_COORDINATES = ("xmin", "ymin", "xmax", "ymax")


class AnnotationError(ValueError):
    """An annotation that can't be used; the message names file and object, and says how to mend it."""


@dataclass(frozen=True)
class Annotation:
    """What is in one image.

    Attributes:
        filename: of the image, without a folder.
        size: (width, height) of the image in pixels.
        boxes: (N, 4) float32, xyxy in pixels, continuous edges: the file's (xmin − 1, ymin − 1, xmax, ymax).
        classes: (N,) int64, indices into the class names that it was read with.
        names: N class names.
        difficult: (N,) bool, too hard to be asked for; the metric ignores these objects.
        truncated: (N,) bool, the box holds only a part of the object.
    """

    filename: str
    size: tuple[int, int]
    boxes: Tensor
    classes: Tensor
    names: tuple[str, ...]
    difficult: Tensor
    truncated: Tensor

    def __post_init__(self) -> None:
        n = len(self.names)
        shapes = {"boxes": (n, 4), "classes": (n,), "difficult": (n,), "truncated": (n,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {tuple(getattr(self, name).shape)}")

    def __len__(self) -> int:
        return len(self.names)


def read_annotation(
    path: str | os.PathLike,
    class_names: Sequence[str] = VOC_CLASSES,
    unknown: Literal["error", "skip"] = "error",
) -> Annotation:
    """Read a VOC annotation.

    ``difficult`` and ``truncated`` may be absent, which means 0. Parts of objects (a person's head, hands and
    feet in some of VOC's files) aren't objects and aren't read. An image without objects is fine. A box that
    reaches up to one pixel beyond the image is clipped to it.

    Args:
        path: the XML file.
        class_names: the classes that the returned indices count into.
        unknown: what to do about an object of another class: ``"error"``, or ``"skip"`` to leave it out.

    Raises:
        AnnotationError: the file is missing, empty, not XML, defines entities (an entity bomb), or has no
            size; an object has no name or an unknown one, no box, a coordinate that is no finite number,
            xmax < xmin, a box outside the image or more than a pixel beyond it, or a flag other than 0 and 1.
    """
    if unknown not in ("error", "skip"):
        raise ValueError(f'unknown must be "error" or "skip", not {unknown!r}')
    path = Path(path)
    root = _parse(path)
    size = _size(root, path)
    index_of = {name: index for index, name in enumerate(class_names)}
    objects = [
        _object(element, size, _where(path, number, element), index_of, unknown)
        for number, element in enumerate(root.findall("object"))
    ]
    rows = [row for row in objects if row is not None]
    return Annotation(
        filename=(root.findtext("filename") or "").strip() or f"{path.stem}.jpg",
        size=size,
        boxes=torch.tensor([box for _, box, _, _ in rows], dtype=torch.float32).reshape(-1, 4),
        classes=torch.tensor([index_of[name] for name, _, _, _ in rows], dtype=torch.int64),
        names=tuple(name for name, _, _, _ in rows),
        difficult=torch.tensor([difficult for _, _, difficult, _ in rows], dtype=torch.bool),
        truncated=torch.tensor([truncated for _, _, _, truncated in rows], dtype=torch.bool),
    )


def annotation_errors(
    path: str | os.PathLike,
    class_names: Sequence[str] = VOC_CLASSES,
    unknown: Literal["error", "skip"] = "error",
) -> list[AnnotationError]:
    """Everything that is wrong with an annotation, where ``read_annotation`` stops at the first mistake.

    Args:
        path, class_names, unknown: as in ``read_annotation``.

    Returns:
        One error for the file where it can't be read at all, else one for each unusable object; none where
        ``read_annotation`` reads the file.
    """
    path = Path(path)
    try:
        root = _parse(path)
        size = _size(root, path)
    except AnnotationError as error:
        return [error]
    index_of = {name: index for index, name in enumerate(class_names)}
    errors = []
    for number, element in enumerate(root.findall("object")):
        try:
            _object(element, size, _where(path, number, element), index_of, unknown)
        except AnnotationError as error:
            errors.append(error)
    return errors


def write_annotation(path: str | os.PathLike, annotation: Annotation, database: str = "Unknown") -> None:
    """Write a VOC annotation in the official layout; ``read_annotation`` gives the same back.

    Args:
        path: the XML file; an existing one is replaced.
        annotation: what to write; its boxes' edges become 1-based inclusive pixels again, whole or with up to
            four decimals.
        database: where the image comes from, for the element of that name.

    Raises:
        AnnotationError: a box isn't finite, is less than a pixel wide or high (inclusive pixels can't say
            that), or reaches more than a pixel beyond the image.
    """
    path = Path(path)
    root = ElementTree.Element("annotation")
    _add(root, "folder", path.absolute().parent.name)
    _add(root, "filename", annotation.filename)
    _add(_add(root, "source"), "database", database)
    size = _add(root, "size")
    for name, value in zip(("width", "height", "depth"), (*annotation.size, 3), strict=True):
        _add(size, name, value)
    _add(root, "segmented", 0)
    for number, (name, box) in enumerate(zip(annotation.names, annotation.boxes.tolist(), strict=True)):
        where = f"{path}: object[{number}] ({name})"
        inclusive = [round(value, 4) for value in (box[0] + 1, box[1] + 1, box[2], box[3])]
        _check_box(inclusive, annotation.size, where)
        element = _add(root, "object")
        _add(element, "name", name)
        _add(element, "pose", "Unspecified")
        _add(element, "truncated", int(annotation.truncated[number]))
        _add(element, "difficult", int(annotation.difficult[number]))
        bounds = _add(element, "bndbox")
        for key, value in zip(_COORDINATES, inclusive, strict=True):
            _add(bounds, key, f"{value:.4f}".rstrip("0").rstrip("."))
    ElementTree.indent(root, "\t")
    path.write_text(ElementTree.tostring(root, encoding="unicode") + "\n", encoding="utf-8")


class VOCDataset:
    """Images and annotations of a VOCdevkit.

    The year's folder, ``VOC2007`` say, may lie up to three folders deep in ``root``, so that ``root`` can be
    VOCdevkit, what holds it, or where archives were unpacked side by side: each split is taken from the first
    such folder that lists it.

    Indexing and iterating give (image path, ``Annotation``) pairs; files are read when they are asked for.

    Args:
        root: where to look; or one year's folder.
        splits: (year, split) pairs, read one after the other: ``[("2007", "train"), ("2012", "trainval")]``.
        class_names, unknown: as in ``read_annotation``.

    Raises:
        FileNotFoundError: a split's list isn't there; the message says where it was looked for.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        splits: Sequence[tuple[str, str]] = (("2007", "val"),),
        class_names: Sequence[str] = VOC_CLASSES,
        unknown: Literal["error", "skip"] = "error",
    ) -> None:
        self.root = Path(root)
        self.class_names = tuple(class_names)
        self.unknown: Literal["error", "skip"] = unknown
        self._places: list[tuple[Path, str]] = []
        for year, split in splits:
            folder = _find_year(self.root, str(year), split)
            self._places += [(folder, image_id) for image_id in _read_split(folder, split)]

    @classmethod
    def from_folders(
        cls,
        places: Sequence[tuple[str | os.PathLike, str]],
        class_names: Sequence[str] = VOC_CLASSES,
        unknown: Literal["error", "skip"] = "error",
    ) -> "VOCDataset":
        """A dataset of splits whose folders are known, whatever they are called and wherever they lie.

        Args:
            places: (folder, split) pairs; the folder holds ImageSets, JPEGImages and Annotations.
            class_names, unknown: as in ``read_annotation``.

        Raises:
            FileNotFoundError: a folder doesn't list its split.
            ValueError: ``places`` is empty, or an image stands in two of the splits.
        """
        if not places:
            raise ValueError("places is empty: give at least one (folder, split) pair")
        dataset = cls(places[0][0], (), class_names, unknown)
        for folder, split in places:
            dataset._places += [(Path(folder), image_id) for image_id in _read_split(Path(folder), split)]
        twice = [place for place, times in Counter(dataset._places).items() if times > 1]
        if twice:
            folder, image_id = twice[0]
            lists = ", ".join(f"{Path(folder).name} {split}" for folder, split in places)
            raise ValueError(
                f"{folder}: {len(twice)} images stand twice in {lists}, for one {image_id}. "
                "Take splits that don't overlap: trainval is train and val together."
            )
        return dataset

    @property
    def ids(self) -> list[str]:
        """The images' names without suffix, in the order of the lists."""
        return [image_id for _, image_id in self._places]

    def __len__(self) -> int:
        return len(self._places)

    def image_path(self, index: int) -> Path:
        """The path of an image.

        Raises:
            FileNotFoundError: the list names an image that isn't there.
        """
        folder, image_id = self._places[index]
        path = folder / "JPEGImages" / f"{image_id}.jpg"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such image, but the split lists it. Was the archive unpacked to its end?"
            )
        return path

    def annotation(self, index: int) -> Annotation:
        """The annotation of an image. Raises ``AnnotationError`` as ``read_annotation`` does."""
        folder, image_id = self._places[index]
        return read_annotation(folder / "Annotations" / f"{image_id}.xml", self.class_names, self.unknown)

    def annotation_errors(self, index: int) -> list[AnnotationError]:
        """Everything that is wrong with the annotation of an image."""
        folder, image_id = self._places[index]
        return annotation_errors(folder / "Annotations" / f"{image_id}.xml", self.class_names, self.unknown)

    def __getitem__(self, index: int) -> tuple[Path, Annotation]:
        return self.image_path(index), self.annotation(index)

    def __iter__(self) -> Iterator[tuple[Path, Annotation]]:
        return (self[index] for index in range(len(self)))


def _parse(path: Path) -> ElementTree.Element:
    try:
        root = defusedxml.ElementTree.fromstring(path.read_bytes())
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file. Check the path, it counts from {Path.cwd()}.") from None
    except OSError as error:
        raise AnnotationError(f"{path}: can't be read ({error}). Give the path of one XML file.") from error
    except DefusedXmlException as error:
        raise AnnotationError(
            f"{path}: defines XML entities, which no annotation needs and which can fill the memory. "
            "Remove its <!DOCTYPE …>, or don't trust the file."
        ) from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last two: odd encodings
        raise AnnotationError(
            f"{path}: not well-formed XML ({error}). Correct it or copy it again."
        ) from error
    if root.tag != "annotation":
        raise AnnotationError(f"{path}: the outermost element is <{root.tag}>, expected VOC's <annotation>.")
    return root


def _size(root: ElementTree.Element, path: Path) -> tuple[int, int]:
    values = []
    for name in ("width", "height"):
        text = (root.findtext(f"size/{name}") or "").strip()
        if not text.isdecimal() or int(text) == 0:
            raise AnnotationError(
                f"{path}: <size> has no usable <{name}> ({text or 'missing'}). "
                "Write the image's width and height in pixels there."
            )
        values.append(int(text))
    return values[0], values[1]


def _where(path: Path, number: int, element: ElementTree.Element) -> str:
    name = (element.findtext("name") or "").strip()
    return f"{path}: object[{number}]" + (f" ({name})" if name else "")


def _object(
    element: ElementTree.Element,
    size: tuple[int, int],
    where: str,
    index_of: Mapping[str, int],
    unknown: Literal["error", "skip"],
) -> tuple[str, tuple[float, float, float, float], bool, bool] | None:
    """Name, box, difficult and truncated of an object; None for one that is to be left out."""
    name = (element.findtext("name") or "").strip()
    if not name:
        raise AnnotationError(f"{where} has no <name>. Add one of: {', '.join(index_of)}.")
    if name not in index_of:
        if unknown == "skip":
            return None
        raise AnnotationError(
            f"{where}: unknown class. Correct the name, read the file with class_names that hold it, "
            f'or leave such objects out with unknown="skip". Known: {", ".join(index_of)}.'
        )
    box = _box(element, size, where)
    return name, box, _flag(element, "difficult", where), _flag(element, "truncated", where)


def _box(
    element: ElementTree.Element, size: tuple[int, int], where: str
) -> tuple[float, float, float, float]:
    """The continuous edges of an object's box, inside the image."""
    values = []
    for key in _COORDINATES:
        text = (element.findtext(f"bndbox/{key}") or "").strip()
        try:
            values.append(float(text))
        except ValueError:
            problem = f"{key} isn't a number ({text})" if text else f"has no <bndbox> with <{key}>"
            raise AnnotationError(f"{where}: {problem}. Write its pixels there.") from None
    _check_box(values, size, where)
    xmin, ymin, xmax, ymax = values
    width, height = size
    return max(xmin - 1, 0), max(ymin - 1, 0), min(xmax, width), min(ymax, height)


def _check_box(inclusive: Sequence[float], size: tuple[int, int], where: str) -> None:
    """Raise for a box in VOC's inclusive pixels that is no box, or isn't in the image."""
    if not all(map(math.isfinite, inclusive)):
        raise AnnotationError(f"{where}: coordinates must be finite, got {tuple(inclusive)}.")
    xmin, ymin, xmax, ymax = inclusive
    for low, high, axis in ((xmin, xmax, "x"), (ymin, ymax, "y")):
        if high < low:
            raise AnnotationError(
                f"{where}: {axis}max ({high:g}) < {axis}min ({low:g}). "
                f"Correct or swap them; {axis}min = {axis}max is one pixel."
            )
    width, height = size
    image = f"the image of {width}×{height} pixels"
    mend = "Correct the box, or <size> if that is wrong."
    if xmin > width or ymin > height or xmax < 1 or ymax < 1:
        raise AnnotationError(f"{where}: the box {tuple(inclusive)} lies outside {image}. {mend}")
    beyond = max(1 - xmin, 1 - ymin, xmax - width, ymax - height)
    if beyond > SLACK:
        raise AnnotationError(
            f"{where}: the box {tuple(inclusive)} reaches {beyond:g} pixels beyond {image}. {mend}"
        )


def _flag(element: ElementTree.Element, name: str, where: str) -> bool:
    text = (element.findtext(name) or "0").strip()
    if text not in ("0", "1"):
        raise AnnotationError(f"{where}: <{name}> must be 0 or 1, not {text!r}.")
    return text == "1"


def _add(parent: ElementTree.Element, tag: str, value: object = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, tag)
    child.text = None if value is None else str(value)
    return child


def _find_year(root: Path, year: str, split: str) -> Path:
    """The folder VOC<year> that lists the split."""
    name = f"VOC{year}"
    folders = [root] if root.name == name else []
    for depth in range(4):
        folders += sorted(root.glob("*/" * depth + name))
    for folder in folders:
        if _split_file(folder, split).is_file():
            return folder
    there = sorted(
        {path.stem for folder in folders for path in _split_file(folder, "*").parent.glob("*.txt")}
    )
    raise FileNotFoundError(
        f"{root}: no {_split_file(Path(name), split)} in it, nor in its folders. "
        + (f"{name} has the splits {', '.join(there)}." if there else "Give the folder that holds VOCdevkit.")
    )


def _split_file(folder: Path, split: str) -> Path:
    return folder / "ImageSets" / "Main" / f"{split}.txt"


def _read_split(folder: Path, split: str) -> list[str]:
    path = _split_file(folder, split)
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    for number, line in enumerate(lines, start=1):
        if len(line) > 1:
            raise AnnotationError(
                f"{path}: line {number} has {len(line)} words, expected one image name. "
                "Lists of a single class (dog_train.txt) aren't splits: take train, val, trainval or test."
            )
    return [line[0] for line in lines if line]
