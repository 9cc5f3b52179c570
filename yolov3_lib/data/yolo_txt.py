"""The layout that many detectors train on, and that Kaggle's VOC comes in: images, text labels, csv lists.

::

    PASCAL_VOC/images/000007.jpg
    PASCAL_VOC/labels/000007.txt    6 0.639 0.567833 0.718 0.840667
    PASCAL_VOC/train.csv            000007.jpg,000007.txt

A line of a label file is one object: class index, then center, width and height as parts of the image's
(cxcywh, relative). The format has no place for VOC's difficult and truncated flags, nor for the image's size:
read back, every object is neither, and the size comes from the image. So average precision by VOC's rules,
which leave difficult objects out, can't be measured on it exactly; take the VOCdevkit for that.
"""

import csv
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import torch
from PIL import Image

from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.data.dataset import DetectionDataset
from yolov3_lib.data.images import FORMATS, ImageError
from yolov3_lib.data.voc import SLACK, Annotation, AnnotationError

_EXIF_ORIENTATION = 0x0112
_LYING = (5, 6, 7, 8)  # the EXIF orientations that swap width and height
_WORDS = ("class", "x", "y", "w", "h")


class YoloTxtDataset:
    """Images and text labels as a csv file lists them; the interface is ``VOCDataset``'s.

    Args:
        root: the folder that holds ``images``, ``labels`` and the csv file.
        csv: the file's name in ``root``, or several names, read one after the other. A row is an image's and
            a label file's name; a first row without a ``.txt`` is taken for column titles.
        class_names: what the labels' class indices count into.

    Raises:
        FileNotFoundError: ``root`` or a csv isn't there, or a row names an image or a label file that isn't.
        AnnotationError: a csv is empty, a row doesn't have two names, a name leaves its folder, or an image
            is listed twice.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        csv: str | Sequence[str] = "train.csv",
        class_names: Sequence[str] = VOC_CLASSES,
    ) -> None:
        self.root = Path(root)
        self.class_names = tuple(class_names)
        self._rows: list[tuple[str, str]] = []
        seen: dict[str, str] = {}
        for name in [csv] if isinstance(csv, str) else csv:
            path = self.root / name
            rows = read_csv(path)
            for line, image, _ in rows:
                if image in seen:
                    raise AnnotationError(
                        f"{path}: line {line}: {image} is listed already, in {seen[image]}. "
                        "Remove one of the rows: an image that counts twice spoils training and metric."
                    )
                seen[image] = f"line {line} of {name}"
            self._require(path, "images", [(line, image) for line, image, _ in rows])
            self._require(path, "labels", [(line, label) for line, _, label in rows])
            self._rows += [(image, label) for _, image, label in rows]

    def _require(self, path: Path, folder: str, names: Sequence[tuple[int, str]]) -> None:
        """One listing of the folder instead of a question a file: a mounted dataset answers slowly."""
        parent = self.root / folder
        there = {entry.name for entry in os.scandir(parent)} if parent.is_dir() else set()
        missing = [
            (line, name)
            for line, name in names
            if name not in there and not ("/" in name and (parent / name).is_file())
        ]
        if missing:
            line, name = missing[0]
            others = f" {len(missing)} of its {len(names)} rows name such files." if len(missing) > 1 else ""
            raise FileNotFoundError(
                f"{path}: line {line} names {name}, which isn't in {parent}.{others} "
                "Copy the files there, or remove the rows. Was the archive unpacked to its end?"
            )

    @property
    def ids(self) -> list[str]:
        """The images' names without suffix, in the order of the rows."""
        return [str(PurePosixPath(image).with_suffix("")) for image, _ in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def image_path(self, index: int) -> Path:
        """The path of an image."""
        return self.root / "images" / self._rows[index][0]

    def label_path(self, index: int) -> Path:
        """The path of an image's label file."""
        return self.root / "labels" / self._rows[index][1]

    def annotation(self, index: int) -> Annotation:
        """The annotation of an image; nothing in it is difficult or truncated, the format can't say so.

        Raises:
            AnnotationError: as ``read_yolo_txt`` does.
            ImageError: the image's head, which tells its size, can't be read.
        """
        path = self.image_path(index)
        size = image_size(path)
        classes, boxes = read_yolo_txt(self.label_path(index), size, self.class_names)
        return Annotation(
            filename=path.name,
            size=size,
            boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            classes=torch.tensor(classes, dtype=torch.int64),
            names=tuple(self.class_names[index] for index in classes),
            difficult=torch.zeros(len(classes), dtype=torch.bool),
            truncated=torch.zeros(len(classes), dtype=torch.bool),
        )

    def annotation_errors(self, index: int) -> list[AnnotationError]:
        """Everything that is wrong with an image's label file."""
        try:
            size = image_size(self.image_path(index))
        except ImageError as error:
            return [AnnotationError(str(error))]
        return yolo_txt_errors(self.label_path(index), size, self.class_names)

    def __getitem__(self, index: int) -> tuple[Path, Annotation]:
        return self.image_path(index), self.annotation(index)

    def __iter__(self) -> Iterator[tuple[Path, Annotation]]:
        return (self[index] for index in range(len(self)))


def read_csv(path: str | os.PathLike) -> list[tuple[int, str, str]]:
    """The rows of a list of images: (line number, image, label file), titles and empty lines left out.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: no rows in it, it isn't text, a row doesn't have two names, or a name is absolute or
            climbs out of its folder.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except FileNotFoundError:
        there = ", ".join(sorted(other.name for other in path.parent.glob("*.csv")))
        raise FileNotFoundError(
            f"{path}: no such file. " + (f"There are: {there}." if there else "Check the folder.")
        ) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: not a csv file ({error}). Save it as text in UTF-8.") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if lines and not any(cell.lower().endswith(".txt") for cell in lines[0][1]):
        lines = lines[1:]
    if not lines:
        raise AnnotationError(f'{path}: lists no image. Write a row for each: "000001.jpg,000001.txt".')
    for number, cells in lines:
        if len(cells) != 2 or not all(cells) or not cells[1].lower().endswith(".txt"):
            raise AnnotationError(
                f"{path}: line {number} is {','.join(cells)!r}, expected an image and its label file: "
                '"000001.jpg,000001.txt".'
            )
        for cell in cells:
            if PurePosixPath(cell).is_absolute() or ".." in PurePosixPath(cell).parts:
                raise AnnotationError(
                    f"{path}: line {number}: {cell!r} leads out of its folder. "
                    "Write the name that the file has in images or labels."
                )
    return [(number, cells[0], cells[1]) for number, cells in lines]


def read_yolo_txt(
    path: str | os.PathLike, size: tuple[int, int], class_names: Sequence[str] = VOC_CLASSES
) -> tuple[list[int], list[tuple[float, float, float, float]]]:
    """Read a label file.

    An empty file means an image without objects. A box that reaches up to one pixel beyond the image is
    clipped to it.

    Args:
        path: the label file.
        size: (width, height) of the image in pixels.
        class_names: what the class indices count into.

    Returns:
        N class indices and N boxes, xyxy in pixels with continuous edges.

    Raises:
        AnnotationError: the file is missing or isn't text; a line doesn't hold five numbers; its class isn't
            a whole number or has no name; a number isn't finite; width or height isn't above 0; the box lies
            outside the image or reaches more than a pixel beyond it.
    """
    path = Path(path)
    objects = [_object(line, size, class_names, f"{path}: line {number}") for number, line in _lines(path)]
    return [index for index, _ in objects], [box for _, box in objects]


def yolo_txt_errors(
    path: str | os.PathLike, size: tuple[int, int], class_names: Sequence[str] = VOC_CLASSES
) -> list[AnnotationError]:
    """Everything that is wrong with a label file, where ``read_yolo_txt`` stops at the first mistake."""
    path = Path(path)
    try:
        lines = _lines(path)
    except AnnotationError as error:
        return [error]
    errors = []
    for number, line in lines:
        try:
            _object(line, size, class_names, f"{path}: line {number}")
        except AnnotationError as error:
            errors.append(error)
    return errors


def write_yolo_txt(path: str | os.PathLike, annotation: Annotation, keep_difficult: bool = False) -> None:
    """Write a label file; eight decimals hold a box to a thousandth of a pixel.

    Args:
        path: the label file; an existing one is replaced.
        annotation: what to write.
        keep_difficult: whether objects marked difficult are written, as objects like any other. Darknet's own
            conversion leaves them out, and so does this by default.

    Raises:
        AnnotationError: a box isn't finite, has no area or reaches more than a pixel beyond the image.
    """
    path = Path(path)
    width, height = annotation.size
    lines = []
    boxes, classes = annotation.boxes.double().tolist(), annotation.classes.tolist()
    columns = zip(boxes, classes, annotation.difficult.tolist(), strict=True)
    for number, (box, index, difficult) in enumerate(columns):
        if difficult and not keep_difficult:
            continue
        where = f"{path}: object[{number}] ({annotation.names[number]})"
        x1, y1, x2, y2 = _inside(box, annotation.size, where)
        relative = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        lines.append(" ".join([str(index), *(f"{value:.8f}" for value in relative)]) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def export_yolo_txt(
    dataset: DetectionDataset,
    root: str | os.PathLike,
    csv: str = "train.csv",
    keep_difficult: bool = False,
    progress: bool = False,
) -> Path:
    """Write any dataset in this layout: images copied as they are, labels written, the csv last.

    Several splits go into one ``root``, one csv each. An export that was interrupted has no csv; run again,
    it goes on, and images that are there already aren't copied twice.

    Args:
        dataset: what to write.
        root: the folder; made where it isn't there.
        csv: the name of the list.
        keep_difficult: as in ``write_yolo_txt``.
        progress: whether to show a bar.

    Returns:
        The path of the csv.

    Raises:
        ValueError: the dataset is empty, or two of its images have one name.
        FileExistsError: ``root`` holds another image of the same name.
        AnnotationError: an annotation can't be read or written, or names another size than the image has.
    """
    from tqdm import tqdm

    root = Path(root)
    if not len(dataset):
        raise ValueError("the dataset is empty: there is nothing to export")
    paths = [dataset.image_path(index) for index in range(len(dataset))]
    stem, times = Counter(path.stem for path in paths).most_common(1)[0]
    if times > 1:
        raise ValueError(
            f"{times} images are called {stem}: their label files would overwrite each other. "
            "Rename images, or export the splits into folders of their own."
        )
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index, path in enumerate(tqdm(paths, unit="image", disable=None if progress else True)):
        annotation = dataset.annotation(index)
        size = image_size(path)
        if size != annotation.size:
            raise AnnotationError(
                f"{path}: the image is {size[0]}×{size[1]} pixels, its annotation says "
                f"{annotation.size[0]}×{annotation.size[1]}. Correct <size>, or the boxes would move."
            )
        write_yolo_txt(root / "labels" / f"{path.stem}.txt", annotation, keep_difficult)
        _copy(path, root / "images" / path.name)
    return _write_csv(root / csv, [path.name for path in paths])


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """(width, height) of an image as ``load_image`` would return it, from its head alone.

    Raises:
        ImageError: the file is missing or its head isn't an image's.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            lying = image.getexif().get(_EXIF_ORIENTATION, 1) in _LYING
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file. Check the path, it counts from {Path.cwd()}.") from None
    except Exception as error:  # what a damaged head makes Pillow raise depends on the format
        raise ImageError(
            f"{path}: the image's size can't be read ({error}). Copy or download it again."
        ) from error
    return (height, width) if lying else (width, height)


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file. An image without objects has an empty one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: can't be read ({error}). Copy or write it again.") from error
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _object(
    line: str, size: tuple[int, int], class_names: Sequence[str], where: str
) -> tuple[int, tuple[float, float, float, float]]:
    words = line.split()
    if len(words) != 5:
        raise AnnotationError(f'{where}: {len(words)} words, expected five numbers: "{" ".join(_WORDS)}".')
    values = []
    for name, word in zip(_WORDS, words, strict=True):
        try:
            values.append(float(word))
        except ValueError:
            raise AnnotationError(f"{where}: {name} is {word!r}, expected a number.") from None
        if not math.isfinite(values[-1]):
            raise AnnotationError(f"{where}: {name} is {word}, expected a finite number.")
    index, x, y, w, h = values
    if not index.is_integer() or not 0 <= index < len(class_names):
        raise AnnotationError(
            f"{where}: class {words[0]}, expected a whole number from 0 to {len(class_names) - 1}. "
            "Correct it, or give the class_names that the labels were written with."
        )
    if w <= 0 or h <= 0:
        raise AnnotationError(f"{where}: w = {w:g}, h = {h:g}; width and height must be above 0.")
    width, height = size
    box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    return int(index), _inside(box, size, where)


def _inside(box: Sequence[float], size: tuple[int, int], where: str) -> tuple[float, float, float, float]:
    """The box clipped to the image, if it is a box and no more than a pixel of it is lost at any side."""
    if not all(map(math.isfinite, box)):
        raise AnnotationError(f"{where}: coordinates must be finite, got {tuple(box)}.")
    width, height = size
    x1, y1, x2, y2 = box
    image = f"the image of {width}×{height} pixels"
    pixels = ", ".join(f"{value:.1f}" for value in box)
    beyond = max(-x1, -y1, x2 - width, y2 - height)
    if beyond > SLACK + 1e-3:  # labels are rounded
        raise AnnotationError(
            f"{where}: the box ({pixels}) reaches {beyond:.1f} pixels beyond {image}. "
            "Are the numbers relative to the image's size, and is it the right image?"
        )
    left, top, right, bottom = max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)
    if left >= right or top >= bottom:
        raise AnnotationError(f"{where}: the box ({pixels}) has no area in {image}. Correct or remove it.")
    return left, top, right, bottom


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        if target.read_bytes() != source.read_bytes():
            raise FileExistsError(
                f"{target} is there already, and isn't {source}. Export into another folder, or remove it."
            )
        return
    # Aside and renamed: an interrupted copy would look like another image next time.
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    shutil.copyfile(source, partial)
    partial.replace(target)


def _write_csv(path: Path, images: Sequence[str]) -> Path:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows((image, f"{Path(image).stem}.txt") for image in images)
    partial.replace(path)
    return path
