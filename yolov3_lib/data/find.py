"""Where a dataset lies, and which splits it has: in a folder, beside the notebook, or somewhere on Kaggle.

Kaggle mounts what is attached to a notebook at ``<slug>/``, ``<owner>/<slug>/`` or
``datasets/<owner>/<slug>/`` of ``/kaggle/input``, and uploaders add folders of their own. So this module
looks for what a dataset is like, not for a path: a folder with ImageSets and JPEGImages, or one with images,
labels and a csv.
"""

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.data.voc import AnnotationError, VOCDataset
from yolov3_lib.data.yolo_txt import YoloTxtDataset, read_csv

KAGGLE_INPUT = "/kaggle/input"
ENVIRONMENT = "YOLOV3_DATASETS"

# Bounds of the search. /kaggle/input/datasets/<owner>/<slug>/<archive>/VOCdevkit/VOC2007 is six deep. Folders
# of files are left alone: a folder with tens of thousands of entries holds images, not datasets.
_MAX_DEPTH = 7
_MAX_ENTRIES = 5_000
_MAX_FOLDERS = 5_000
_NOT_INSIDE = {
    "images", "labels", "jpegimages", "annotations", "imagesets", "segmentationclass", "segmentationobject",
    "node_modules", "__pycache__", "site-packages",
}  # fmt: skip


@dataclass(frozen=True)
class FoundDataset:
    """A dataset that was found, not yet opened.

    Attributes:
        kind: ``"voc"`` for a VOCdevkit, ``"yolo_txt"`` for images, labels and csv lists.
        root: the folder; for VOC the one that holds the years' folders, at whatever depth.
        splits: number of images by the split's name: ``"2007-train"``, or ``"train.csv"``.
        folders: for VOC, the year's folder of each split.
        unusable: csv files that don't list images, and why not.
    """

    kind: Literal["voc", "yolo_txt"]
    root: Path
    splits: dict[str, int]
    folders: dict[str, Path]
    unusable: dict[str, str]

    def __str__(self) -> str:
        splits = ", ".join(
            f"{name} ({count:,} {'image' if count == 1 else 'images'})" for name, count in self.splits.items()
        )
        return "\n    ".join([f"{self.root}: {splits or 'no split'}", *self.unusable.values()])

    def main_splits(self) -> list[str]:
        """The splits that together hold everything once: ``trainval`` is left out where ``train`` and ``val``
        are there, and of csv files all but ``train.csv``, ``val.csv`` and ``test.csv``, if it has these."""
        if self.kind == "yolo_txt":
            main = [name for name in ("train.csv", "val.csv", "valid.csv", "test.csv") if name in self.splits]
            return main or list(self.splits)
        return [
            name
            for name in self.splits
            if not (
                name.endswith("-trainval")
                and {name.removesuffix("val"), name.replace("-trainval", "-val")} <= self.splits.keys()
            )
        ]


def find_dataset(
    where: str | os.PathLike | None = None, kaggle_input: str | os.PathLike = KAGGLE_INPUT
) -> FoundDataset:
    """The first dataset of ``find_datasets`` that has a split.

    Raises:
        FileNotFoundError: none is there; the message says where was looked, and what to do.
    """
    empty = []
    for found in find_datasets(where, kaggle_input):
        if found.splits:
            return found
        empty.append(f"\n  {found}")
    raise FileNotFoundError(_nothing(where, kaggle_input) + "".join(empty))


def find_datasets(
    where: str | os.PathLike | None = None, kaggle_input: str | os.PathLike = KAGGLE_INPUT
) -> Iterator[FoundDataset]:
    """Every dataset within reach, the likeliest first.

    All VOC years that lie in one of the places count as one dataset, so that 2007 and 2012 may come from two
    archives. The search is bounded: seven folders deep, and never into folders of images.

    Args:
        where: look in this folder only. By default: the folders in ``$YOLOV3_DATASETS`` (separated as in
            ``$PATH``), ``data`` and ``VOCdevkit`` in the working folder and those above it, ``kaggle_input``.
        kaggle_input: where Kaggle mounts its datasets.

    Raises:
        FileNotFoundError: ``where`` is no folder.
    """
    if where is not None and not Path(where).is_dir():
        raise FileNotFoundError(
            f"{where}: no such folder. Give the one that holds VOCdevkit, or images, labels and train.csv."
        )
    seen: set[Path] = set()
    for place in _places(where, kaggle_input):
        folders = [folder for folder in _walk(place) if folder.resolve() not in seen]
        seen.update(folder.resolve() for folder in folders)
        years = _voc([folder for folder in folders if _is_voc_year(folder)])
        if years:
            yield years
        for folder in folders:
            if _is_yolo_txt(folder) and not _is_voc_year(folder):
                yield from _yolo_txt(folder)


def open_dataset(
    where: str | os.PathLike | FoundDataset | None,
    split: str,
    class_names: Sequence[str] = VOC_CLASSES,
    kaggle_input: str | os.PathLike = KAGGLE_INPUT,
) -> VOCDataset | YoloTxtDataset:
    """Open the splits of a dataset as one.

    Args:
        where: as in ``find_datasets``, whose first dataset that has the splits is taken; or one of them.
        split: names of splits joined by ``+`` or a comma, read in this order:
            ``"2007-trainval+2012-trainval"``, ``"scenes-train"``, ``"train.csv"``. The year may be left out
            where only one has such a split, and so may ``.csv``: ``"train"``.
        class_names: as in ``VOCDataset``.

    Raises:
        FileNotFoundError: no dataset there has all the splits; the message lists what there is.
        ValueError: ``split`` is empty, names a split twice, or leaves open which year is meant.
        AnnotationError: as ``YoloTxtDataset`` does.
    """
    names = [name.strip() for name in re.split(r"[+,]", split)]
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(
            f'split {split!r}: give different names joined by +, as in "2007-trainval+2012-trainval".'
        )
    candidates = [where] if isinstance(where, FoundDataset) else list(find_datasets(where, kaggle_input))
    for found in candidates:
        resolved = [_resolve(name, found) for name in names]
        if None in resolved:
            continue
        if found.kind == "yolo_txt":
            return YoloTxtDataset(found.root, resolved, class_names)
        places = [(found.folders[name], name.rpartition("-")[2]) for name in resolved]
        return VOCDataset.from_folders(places, class_names)
    if not candidates:
        raise FileNotFoundError(_nothing(where, kaggle_input))
    there = "\n  ".join(map(str, candidates))
    raise FileNotFoundError(f"no dataset here has the split {split}. There is:\n  {there}")


def _resolve(name: str, found: FoundDataset) -> str | None:
    """The full name of a split, None where the dataset hasn't got it."""
    if name in found.splits:
        return name
    if found.kind == "yolo_txt":
        return f"{name}.csv" if f"{name}.csv" in found.splits else None
    possible = [full for full in found.splits if full.endswith(f"-{name}")]
    if len(possible) > 1:
        raise ValueError(f"split {name!r}: which of {', '.join(possible)}? Join several by +.")
    return possible[0] if possible else None


def _places(where: str | os.PathLike | None, kaggle_input: str | os.PathLike) -> list[Path]:
    if where is not None:
        return [Path(where)]
    places = [Path(entry) for entry in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if entry]
    for folder in (Path.cwd(), *Path.cwd().parents):
        places += [folder / "data", folder / "VOCdevkit"]
    return [place for place in (*places, Path(kaggle_input)) if place.is_dir()]


def _nothing(where: str | os.PathLike | FoundDataset | None, kaggle_input: str | os.PathLike) -> str:
    looked = "\n  ".join(map(str, _places(where, kaggle_input))) or "(none of the usual places exists)"
    return (
        "no dataset found: neither a VOCdevkit nor images, labels and a csv list. "
        f"Looked up to {_MAX_DEPTH} folders deep in:\n  {looked}\n"
        "On Kaggle, attach a dataset (Add Input). Elsewhere `python -m yolov3_lib data get voc2007` "
        "downloads VOC, and `python -m yolov3_lib data scenes DIR` draws scenes. "
        f"Or give the folder, or set ${ENVIRONMENT} to it."
    )


def _walk(place: Path) -> Iterator[Path]:
    """Folders by depth, ``place`` first; nothing below a dataset, nor below folders of files."""
    level, seen, count = [place], set(), 0
    for _ in range(_MAX_DEPTH + 1):
        below = []
        for folder in level:
            if count == _MAX_FOLDERS:
                return
            count += 1
            yield folder
            if not (_is_voc_year(folder) or _is_yolo_txt(folder)):
                below += _subfolders(folder, seen)
        level = below


def _subfolders(folder: Path, seen: set[Path]) -> list[Path]:
    """``seen`` holds where links have led, so that a link upwards doesn't lead in a circle."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in itertools.islice(entries, _MAX_ENTRIES)
                if entry.is_dir() and not entry.name.startswith(".") and entry.name.lower() not in _NOT_INSIDE
            ]
    except OSError:  # a folder that may not be read isn't where the data is
        return []
    found = []
    for name in sorted(names):
        real = (folder / name).resolve()
        if real not in seen:
            seen.add(real)
            found.append(folder / name)
    return found


def _is_voc_year(folder: Path) -> bool:
    return (folder / "ImageSets" / "Main").is_dir() and (folder / "JPEGImages").is_dir()


def _is_yolo_txt(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "labels").is_dir()


def _voc(years: Sequence[Path]) -> FoundDataset | None:
    splits: dict[str, int] = {}
    folders: dict[str, Path] = {}
    for folder in years:
        for path in sorted((folder / "ImageSets" / "Main").glob("*.txt")):
            name = f"{_year(folder)}-{path.stem}"
            count = 0 if name in splits else _count_images(path)
            if count:
                splits[name], folders[name] = count, folder
    if not splits:
        return None
    used = list(dict.fromkeys(folders.values()))
    root = used[0].parent if len(used) == 1 else Path(os.path.commonpath(used))
    return FoundDataset("voc", root, splits, folders, {})


def _year(folder: Path) -> str:
    """``2007`` of VOC2007 or VOC2007_test, ``scenes`` of VOCscenes; the whole name where it isn't VOC's."""
    match = re.fullmatch(r"VOC[_-]?(\d{4}|.+?)(?:(?<=\d{4})\D.*)?", folder.name, re.IGNORECASE)
    return match[1] if match else folder.name


def _count_images(path: Path) -> int:
    """The number of images that a list holds; 0 for the list of a single class, which isn't a split."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return 0
    words = [len(line) for line in lines if line]
    return len(words) if words and max(words) == 1 else 0


def _yolo_txt(folder: Path) -> Iterator[FoundDataset]:
    splits, unusable = {}, {}
    for path in sorted(folder.glob("*.csv")):
        try:
            splits[path.name] = len(read_csv(path))
        except (AnnotationError, OSError) as error:
            unusable[path.name] = str(error)
    if splits or unusable:
        yield FoundDataset("yolo_txt", folder, splits, {}, unusable)
