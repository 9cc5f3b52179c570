"""What is in a dataset, and what is wrong with it, before it costs a night of training.

Every image is decoded and every annotation read; nothing stops at the first mistake. What makes an image or
an object unusable, or puts one photograph into two splits, is an error; what is only odd is a note.
"""

import hashlib
import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from yolov3_lib.data.dataset import CheckableDataset
from yolov3_lib.data.images import ImageError, load_image
from yolov3_lib.data.voc import Annotation, AnnotationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS: dict[str, str] = {
    "image": "images missing or broken",
    "annotation": "mistakes in annotations",
    "size": "annotations that name another size than the image has",
    "leak": "photographs in two splits",
    "repeated": "photographs twice in one split",
    "same id": "names that stand for different images in two splits",
    "similar": "images in two splits that look the same",
    "tiny": "boxes of which the network sees next to nothing",
    "unused": "classes without an object",
    "empty": "images without objects",
}
"""Every kind of problem, and its heading in the report."""

ERRORS = ("image", "annotation", "size", "leak")

# The shorter side of a box, in pixels of the network's input of 416: half a cell of the finest scale's grid.
_TINY, _NET_SIZE = 4.0, 416
_SIMILAR_BITS = 24  # of 256 that may differ, see _look


@dataclass(frozen=True)
class Problem:
    """Something wrong or odd: its kind (a key of ``KINDS``), where, and a sentence that names the file."""

    kind: str
    split: str
    image: str
    message: str

    @property
    def is_error(self) -> bool:
        return self.kind in ERRORS


@dataclass(frozen=True)
class Split:
    """The counts of one split.

    Attributes:
        name: of the split.
        images: how many it lists.
        objects, difficult, images_with: (C,) int64, by class: objects, those of them marked difficult, and
            images that hold at least one.
        without_objects: images whose annotation has no object.
        sizes: number of images by (width, height).
    """

    name: str
    images: int
    objects: np.ndarray
    difficult: np.ndarray
    images_with: np.ndarray
    without_objects: int
    sizes: Counter[tuple[int, int]]


@dataclass(frozen=True)
class Report:
    """What ``check_dataset`` found.

    Attributes:
        class_names: C names.
        splits: the counts of each.
        problems: all of them, errors first.
        boxes: (N, 4) float32, cxcywh relative to the image, of every usable object.
        classes: (N,) int64.
    """

    class_names: tuple[str, ...]
    splits: tuple[Split, ...]
    problems: tuple[Problem, ...]
    boxes: np.ndarray
    classes: np.ndarray

    @property
    def errors(self) -> list[Problem]:
        """The problems that have to be mended."""
        return [problem for problem in self.problems if problem.is_error]

    def table(self, listed: int = 10) -> str:
        """The report as text: a table of splits, one of classes, then the problems by kind.

        Args:
            listed: how many problems of a kind are written out.
        """
        return "\n\n".join([_split_table(self), _class_table(self), _problem_list(self, listed)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with every problem."""
        return {
            "class_names": list(self.class_names),
            "splits": [
                {
                    "name": split.name,
                    "images": split.images,
                    "without_objects": split.without_objects,
                    "objects": split.objects.tolist(),
                    "difficult": split.difficult.tolist(),
                    "images_with": split.images_with.tolist(),
                    "sizes": [[*size, count] for size, count in split.sizes.most_common()],
                }
                for split in self.splits
            ],
            "problems": [
                {
                    "kind": problem.kind,
                    "error": problem.is_error,
                    "split": problem.split,
                    "image": problem.image,
                    "message": problem.message,
                }
                for problem in self.problems
            ],
        }


def check_dataset(
    data: CheckableDataset | Mapping[str, CheckableDataset],
    near_duplicates: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Report:
    """Decode every image, read every annotation, compare the splits.

    Args:
        data: a dataset, or several by the names of their splits.
        near_duplicates: whether to look for images in two splits that aren't the same file but look the same:
            scaled or saved anew.
        workers: threads that decode; as many as there are cores by default.
        progress: whether to show a bar.

    Raises:
        ValueError: no split, or splits with different class names.
    """
    splits = dict(data) if isinstance(data, Mapping) else {"all": data}
    if not splits:
        raise ValueError("no split to check")
    names = {dataset.class_names for dataset in splits.values()}
    if len(names) > 1:
        raise ValueError(f"the splits {', '.join(splits)} have different class names: check them one by one")
    (class_names,) = names

    seen = _inspect_all(splits, near_duplicates, workers, progress)
    problems = [problem for view in seen for problem in view.problems]
    problems += _duplicates(seen)
    if near_duplicates:
        problems += _similar(seen)
    counts = tuple(
        _count(name, [view for view in seen if view.split == name], class_names) for name in splits
    )
    problems += _unused(counts, class_names)
    order = list(KINDS)
    annotated = [view.annotation for view in seen if view.annotation is not None]
    return Report(
        class_names=class_names,
        splits=counts,
        problems=tuple(sorted(problems, key=lambda problem: order.index(problem.kind))),
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *map(_relative, annotated)]),
        classes=np.concatenate([np.zeros(0, np.int64), *(found.classes.numpy() for found in annotated)]),
    )


def draw(report: Report) -> "Figure":
    """Objects by class and split; widths and heights; where the centers lie.

    Returns:
        A matplotlib figure of 11×7 inches with three axes, in that order.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from yolov3_lib.plots import COLORS

    figure = Figure(figsize=(11, 7), layout="constrained", facecolor=COLORS["background"])
    grid = figure.add_gridspec(2, 2, width_ratios=(1.2, 1))
    _draw_classes(figure.add_subplot(grid[:, 0]), report)
    _draw_sizes(figure.add_subplot(grid[0, 1]), report.boxes)
    centers = figure.add_subplot(grid[1, 1])
    counts, _, _ = np.histogram2d(report.boxes[:, 1], report.boxes[:, 0], bins=25, range=((0, 1), (0, 1)))
    # Photographers aim. So the middle is one cell, hence an odd number of them, and colors go by the square
    # root, or it would outshine everything else.
    image = centers.imshow(counts, extent=(0, 1, 1, 0), cmap="cividis", norm=PowerNorm(0.5))
    figure.colorbar(image, ax=centers, label="objects", ticks=MaxNLocator(nbins=6, integer=True))
    centers.set(title="Where the centers lie", xlabel="x (relative)", ylabel="y (relative)")
    return figure


# --- One image ---


@dataclass(frozen=True)
class _Seen:
    """One image of one split. What couldn't be read is None or empty."""

    split: str
    image: str
    path: Path | None
    digest: bytes | None
    look: np.ndarray | None
    size: tuple[int, int] | None
    annotation: Annotation | None
    problems: tuple[Problem, ...]


def _inspect_all(
    splits: Mapping[str, CheckableDataset], near_duplicates: bool, workers: int | None, progress: bool
) -> list[_Seen]:
    from tqdm import tqdm

    jobs = [
        (name, dataset, index, image)
        for name, dataset in splits.items()
        for index, image in enumerate(dataset.ids)
    ]
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        views = pool.map(lambda job: _inspect(*job, near_duplicates), jobs)
        return list(tqdm(views, total=len(jobs), unit="image", disable=None if progress else True))


def _inspect(split: str, dataset: CheckableDataset, index: int, image: str, near_duplicates: bool) -> _Seen:
    found: list[tuple[str, str]] = []
    path = digest = look = size = annotation = None
    try:
        path = dataset.image_path(index)
        data = path.read_bytes()
        digest = hashlib.blake2b(data, digest_size=16).digest()
        pixels = load_image(data) if data else load_image(path)
        size = (pixels.shape[1], pixels.shape[0])
        look = _look(pixels) if near_duplicates else None
    except (OSError, ImageError) as error:
        text = str(error)
        found.append(("image", text if path is None or str(path) in text else f"{path}: {text}"))
    try:
        annotation = dataset.annotation(index)
    except AnnotationError as error:
        found += [("annotation", str(each)) for each in dataset.annotation_errors(index) or [error]]
    except ImageError:  # an annotation that needs the image's size; the image is reported above
        pass
    if annotation is not None:
        found += _odd(annotation, size, path or Path(annotation.filename))
    problems = tuple(Problem(kind, split, image, message) for kind, message in found)
    return _Seen(split, image, path, digest, look, size, annotation, problems)


def _odd(annotation: Annotation, size: tuple[int, int] | None, path: Path) -> Iterator[tuple[str, str]]:
    """(kind, message) for whatever a readable annotation has that it shouldn't."""
    width, height = annotation.size
    if size is not None and size != annotation.size:
        turned = " Was it turned, by its EXIF orientation say?" if size == (height, width) else ""
        yield (
            "size",
            f"{path}: the image is {size[0]}×{size[1]} pixels, its annotation says {width}×{height}.{turned} "
            "Correct the size, and the boxes if they were drawn on another version of the image.",
        )
    if not len(annotation):
        yield "empty", f"{path}: no objects"
    scale = _NET_SIZE / max(annotation.size)
    sides = (annotation.boxes[:, 2:] - annotation.boxes[:, :2]).amin(1) * scale
    for number in (sides < _TINY).nonzero().flatten().tolist():
        box = ", ".join(f"{value:g}" for value in annotation.boxes[number].tolist())
        yield (
            "tiny",
            f"{path}: object[{number}] ({annotation.names[number]}), box ({box}): its shorter side is "
            f"{sides[number]:.1f} pixels in a network input of {_NET_SIZE}",
        )


def _look(pixels: np.ndarray) -> np.ndarray:
    """What an image looks like in 256 bits, (4,) uint64: which of 16×16 spots are darker than the next one.

    Of VOC2007's photographs, halved and saved as JPEG of quality 60, 98 of 100 change 24 bits or fewer; the
    two most alike in different splits differ in 40.
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    spots = cv2.resize(gray, (17, 16), interpolation=cv2.INTER_AREA)
    return np.packbits(spots[:, :-1] < spots[:, 1:]).view(np.uint64)


def _relative(annotation: Annotation) -> np.ndarray:
    """(N, 4) float32, cxcywh relative to the image."""
    corners = annotation.boxes.numpy() / np.array(annotation.size * 2, dtype=np.float32)
    return np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)


# --- All images ---


def _duplicates(seen: Sequence[_Seen]) -> Iterator[Problem]:
    by_digest, by_id = defaultdict(list), defaultdict(list)
    for view in seen:
        if view.digest is not None:
            by_digest[view.digest].append(view)
            by_id[view.image].append(view)
    for views in by_digest.values():
        if len(views) == 1:
            continue
        where = ", ".join(f"{view.path} ({view.split})" for view in views)
        if len({view.split for view in views}) > 1:
            advice = "Keep it in one: a metric on images that were trained on flatters."
            yield Problem("leak", views[0].split, views[0].image, f"the same bytes: {where}. {advice}")
        else:
            yield Problem("repeated", views[0].split, views[0].image, f"the same bytes: {where}")
    for views in by_id.values():
        if len({view.split for view in views}) > 1 and len({view.digest for view in views}) > 1:
            where = ", ".join(f"{view.path} ({view.split})" for view in views)
            yield Problem("same id", views[0].split, views[0].image, f"different images: {where}")


def _similar(seen: Sequence[_Seen]) -> Iterator[Problem]:
    """Pairs from two splits whose looks differ in a few bits, but not pairs of the same bytes."""
    by_split = defaultdict(list)
    for view in seen:
        # A picture of one color looks like any other such picture.
        if view.look is not None and 8 <= np.bitwise_count(view.look).sum() <= 248:
            by_split[view.split].append(view)
    for first, second in itertools.combinations(by_split.values(), 2):
        looks = np.stack([view.look for view in second])
        for view in first:
            differing = np.bitwise_count(looks ^ view.look).sum(1)
            for index in np.flatnonzero(differing <= _SIMILAR_BITS).tolist():
                other = second[index]
                if other.digest != view.digest:
                    message = (
                        f"{view.path} ({view.split}) and {other.path} ({other.split}) look the same "
                        f"({differing[index]} of 256 bits differ). Look at them; keep them in one split."
                    )
                    yield Problem("similar", view.split, view.image, message)


def _count(name: str, views: Sequence[_Seen], class_names: tuple[str, ...]) -> Split:
    objects, difficult, images_with = (np.zeros(len(class_names), np.int64) for _ in range(3))
    without_objects = 0
    for view in views:
        if view.annotation is None:
            continue
        classes = view.annotation.classes.numpy()
        np.add.at(objects, classes, 1)
        np.add.at(difficult, classes[view.annotation.difficult.numpy()], 1)
        images_with[np.unique(classes)] += 1
        without_objects += not len(classes)
    sizes = Counter(view.size for view in views if view.size is not None)
    return Split(name, len(views), objects, difficult, images_with, without_objects, sizes)


def _unused(splits: Sequence[Split], class_names: tuple[str, ...]) -> Iterator[Problem]:
    for split in splits:
        for index in np.flatnonzero(split.objects == 0).tolist():
            yield Problem("unused", split.name, "", f"{split.name}: no object of class {class_names[index]}")


# --- Text ---


def _split_table(report: Report) -> str:
    rows = [("split", "images", "objects", "difficult", "without", "image sizes in pixels")]
    for split in report.splits:
        numbers = (split.images, split.objects.sum(), split.difficult.sum(), split.without_objects)
        rows.append((split.name, *(f"{number:,}" for number in numbers), _sizes_in_words(split.sizes)))
    return _align(rows, slice(1, -1))


def _sizes_in_words(sizes: Counter[tuple[int, int]]) -> str:
    if not sizes:
        return "no image could be read"
    widths, heights = zip(*sizes, strict=True)
    (width, height), count = sizes.most_common(1)[0]
    share = 100 * count / sizes.total()
    return (
        f"{min(widths)}–{max(widths)} × {min(heights)}–{max(heights)}, {share:.0f}% of them {width}×{height}"
    )


def _class_table(report: Report) -> str:
    rows = [("class", *(title for split in report.splits for title in (split.name, "images", "difficult")))]
    for index, name in enumerate(report.class_names):
        counts = [
            counts[index]
            for split in report.splits
            for counts in (split.objects, split.images_with, split.difficult)
        ]
        rows.append((name, *(f"{count:,}" for count in counts)))
    return _align(rows, slice(1, None))


def _align(rows: Sequence[Sequence[str]], numbers: slice) -> str:
    """Columns of text; the cells of those in ``numbers`` to the right, the others to the left."""
    right = range(len(rows[0]))[numbers]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _problem_list(report: Report, listed: int) -> str:
    if not report.problems:
        return "no problems"
    blocks = []
    for kind, group in itertools.groupby(report.problems, key=lambda problem: problem.kind):
        messages = [problem.message for problem in group]
        level = "error" if kind in ERRORS else "note"
        lines = [f"{level}: {len(messages):,} {KINDS[kind]}", *(f"  {text}" for text in messages[:listed])]
        if len(messages) > listed:
            lines.append(f"  … and {len(messages) - listed:,} more")
        blocks.append("\n".join(lines))
    return "\n".join(blocks)


# --- Pictures ---


def _draw_classes(axes, report: Report) -> None:
    from yolov3_lib.plots import class_color

    places = np.arange(len(report.class_names))
    start = np.zeros(len(places))
    for number, split in enumerate(report.splits):
        axes.barh(
            places, split.objects, left=start, label=split.name,
            color=class_color(number), edgecolor="white", linewidth=0.6,
        )  # fmt: skip
        start += split.objects
    axes.set_yticks(places, report.class_names)
    axes.invert_yaxis()
    axes.set(title="Objects of each class", xlabel="objects")
    axes.spines[["top", "right"]].set_visible(False)
    if len(report.splits) > 1:
        axes.legend(frameon=False)


def _draw_sizes(axes, boxes: np.ndarray) -> None:
    from yolov3_lib.plots import COLORS

    axes.scatter(
        boxes[:, 2], boxes[:, 3], s=4, alpha=min(1.0, 300 / max(len(boxes), 1) ** 0.85 + 0.03),
        color=COLORS["truth"], linewidths=0, rasterized=True,
    )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title="Box sizes")
    axes.set(xlabel="width (relative)", ylabel="height (relative)")
    axes.spines[["top", "right"]].set_visible(False)
