"""Chapter 12, data: what a right answer to its exercises does."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, tensor

from yolov3_lib import anchors as twin
from yolov3_lib.boxes import Letterbox, convert
from yolov3_lib.checks import cases, demands, drawing
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind

Size = tuple[int, int]
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_EDGES = ("x1", "y1", "x2", "y2")
_RELATIVE = ("x", "y", "w", "h")


def _table(reference: Callable[..., Tensor], row: str, columns: Sequence[str]) -> demands.Check:
    """A table equal to the reference's; a wrong entry is told by its row's number and its column's name."""

    def check(student: Student, case: Case) -> str | None:
        return _entries(reference(*case), student(*case), row, columns)

    return check


def _entries(expected: Tensor, answer: object, row: str, columns: Sequence[str]) -> str | None:
    expected = expected.double()
    got = demands.as_tensor(answer, expected.shape)
    for i, j in (~((expected - got).abs() <= demands.TOLERANCE)).nonzero().tolist():
        return f"{row} {i}, {columns[j]}: {demands.differ(expected[i, j].item(), got[i, j].item())}"
    return None


# VOC ↔ YOLO


def _to_yolo(corners: Tensor, size: Size) -> Tensor:
    edges = corners.double() - tensor([1.0, 1, 0, 0])
    return convert(edges, "xyxy", "cxcywh") / tensor([*size, *size])


def _to_voc(relative: Tensor, size: Size) -> Tensor:
    edges = convert(relative.double() * tensor([*size, *size]), "cxcywh", "xyxy")
    return edges + tensor([1.0, 1, 0, 0])


@st.composite
def _voc_boxes(draw: st.DrawFn, least: int, most: int, square: bool = False, pixel: bool = False) -> Case:
    """Boxes in VOC's inclusive pixels, and their image's (width, height)."""
    width = draw(st.integers(4, 40))
    height = width if square else draw(st.integers(4, 40).filter(lambda n: n != width))
    rows = []
    for _ in range(draw(st.integers(least, most))):
        spans = [sorted(draw(st.tuples(st.integers(1, n), st.integers(1, n)))) for n in (width, height)]
        if pixel:
            spans = [[low, low] for low, _ in spans]
        rows.append([low for low, _ in spans] + [high for _, high in spans])
    return tensor(rows).float().reshape(-1, 4), (width, height)


def _full() -> SearchStrategy[Case]:
    return st.integers(2, 40).map(lambda n: (tensor([[1.0, 1, n, n]]), (n, n)))


def _relative(strategy: SearchStrategy[Case]) -> SearchStrategy[Case]:
    return strategy.map(lambda case: (_to_yolo(*case).float(), case[1]))


_YOLO = _table(_to_yolo, "box", _RELATIVE)
_VOC_TO_YOLO = Exercise(
    "VOC's pixels → YOLO's numbers",
    ("corners", "size"),
    (
        Property(
            "a box that fills a square image",
            _full(),
            _YOLO,
            "the first pixel is number 1, the last one is included. How wide is it, and where does it begin?",
        ),
        Property(
            "a single pixel",
            _voc_boxes(1, 1, square=True, pixel=True),
            _YOLO,
            "xmin = xmax is one pixel wide, not zero.",
        ),
        Property(
            "a box in a square image",
            _voc_boxes(1, 1, square=True),
            _YOLO,
            "x and y are the middle of the box, w and h its sides; all four are parts of the image's side.",
        ),
        Property(
            "an image wider or higher than a square",
            _voc_boxes(1, 1),
            _YOLO,
            "which of the four numbers are parts of the width, and which of the height?",
        ),
        Property(
            "several boxes",
            _voc_boxes(2, 4),
            _YOLO,
            "one row in, one row out, in the same order.",
        ),
        Property(
            "no boxes at all",
            _voc_boxes(0, 0),
            _YOLO,
            "an image without objects is an ordinary image: shape (0, 4) in, shape (0, 4) out.",
        ),
        Property(
            "the inputs stay as they are",
            _voc_boxes(1, 3),
            demands.inputs_kept(("corners", "size")),
            "subtracting in place changes the caller's annotation: the next epoch would shift it again.",
        ),
    ),
)


def voc_to_yolo(student: Callable) -> Verdict:
    """Checks the way from VOC's pixels to a label line's numbers.

    Args:
        student: a function of ``(N, 4)`` corners (float32; xmin, ymin, xmax, ymax, counted from 1, both ends
            included) and the image's (width, height), that gives ``(N, 4)`` x, y, w, h relative to the image.
    """
    return _VOC_TO_YOLO.check(student)


_BACK = _table(_to_voc, "box", _CORNERS)
_YOLO_TO_VOC = Exercise(
    "YOLO's numbers → VOC's pixels",
    ("relative", "size"),
    (
        Property(
            "a box that fills a square image",
            _relative(_full()),
            _BACK,
            "VOC's first pixel is number 1. And which number has the last pixel of an image 10 pixels wide?",
        ),
        Property(
            "a single pixel",
            _relative(_voc_boxes(1, 1, square=True, pixel=True)),
            _BACK,
            "one pixel wide means xmin = xmax.",
        ),
        Property(
            "a box in a square image",
            _relative(_voc_boxes(1, 1, square=True)),
            _BACK,
            "from the middle it is half a side to each edge.",
        ),
        Property(
            "an image wider or higher than a square",
            _relative(_voc_boxes(1, 1)),
            _BACK,
            "which of the four numbers were parts of the width, and which of the height?",
        ),
        Property("several boxes", _relative(_voc_boxes(2, 4)), _BACK, "one row in, one row out."),
        Property(
            "no boxes at all",
            _relative(_voc_boxes(0, 0)),
            _BACK,
            "shape (0, 4) in, shape (0, 4) out.",
        ),
        Property(
            "the inputs stay as they are",
            _relative(_voc_boxes(1, 3)),
            demands.inputs_kept(("relative", "size")),
            "*= writes into the tensor that the caller still uses.",
        ),
    ),
)


def yolo_to_voc(student: Callable) -> Verdict:
    """Checks the way back.

    Args:
        student: a function of ``(N, 4)`` x, y, w, h relative to the image (float32) and the image's
            (width, height), that gives ``(N, 4)`` corners in VOC's pixels.
    """
    return _YOLO_TO_VOC.check(student)


# k-means

_SIDE = st.integers(2, 40)
_SHAPE = st.tuples(_SIDE, _SIDE)


def _shapes(rows: Sequence[tuple[int, int]]) -> Tensor:
    return tensor(rows).float().reshape(-1, 2)


@st.composite
def _clusters(draw: st.DrawFn, anchors: int, idle: bool = False) -> Case:
    """Shapes and anchors, no shape between two anchors; of one or two anchors each is chosen.

    With ``idle`` there is one anchor more, and none chooses it.
    """
    shapes = _shapes(draw(st.lists(_SHAPE, min_size=2, max_size=6)))
    chosen = _shapes(draw(st.lists(_SHAPE, min_size=anchors, max_size=anchors, unique=True)))
    if idle:
        chosen = torch.cat((chosen, tensor([[900.0, 800]])))
    if len(chosen) > 1:
        best, who = twin.shape_iou(shapes, chosen).topk(2, dim=1)
        assume(bool((best[:, 0] - best[:, 1] > 1e-3).all()))
        # With more anchors than that hardly a random case would be left.
        assume(anchors > 2 or len(who[:, 0].unique()) == anchors)
    return shapes, chosen


def _far_in_pixels() -> SearchStrategy[Case]:
    """A shape whose better anchor is the one that is farther in pixels, and one more for the other."""

    def build(half: int) -> Case:
        side = 2.0 * half
        return tensor([[side, side], [side / 2, side / 2]]), tensor([[side / 2, side / 2], [1.8 * side] * 2])

    return st.integers(2, 20).map(build)


def _equal_anchors() -> SearchStrategy[Case]:
    return _clusters(1).map(lambda case: (case[0], case[1].repeat(2, 1)))


_STEP = _table(twin.kmeans_step, "anchor", ("width", "height"))
_KMEANS_STEP = Exercise(
    "one round of k-means",
    ("shapes", "anchors"),
    (
        Property(
            "one anchor",
            _clusters(1),
            _STEP,
            "with a single anchor all shapes are its own: what is their average width, and height?",
        ),
        Property(
            "close in shape, farther in pixels",
            _far_in_pixels(),
            _STEP,
            "the best anchor is the one with the largest IoU of the shapes, not the nearest in pixels.",
        ),
        Property(
            "two anchors",
            _clusters(2),
            _STEP,
            "each shape counts for one anchor only, and an anchor moves to the average of its own shapes.",
            tries=60,
        ),
        Property(
            "an anchor that no shape chooses",
            _clusters(2, idle=True),
            _STEP,
            "an average of nothing is 0/0. Such an anchor stays where it was.",
        ),
        Property(
            "several anchors",
            _clusters(4),
            _STEP,
            "the rows come back in the order in which they came.",
            tries=60,
        ),
        Property(
            "two equal anchors",
            _equal_anchors(),
            _STEP,
            "of equally good anchors the first gets the shape, and only that one.",
        ),
        Property(
            "the inputs stay as they are",
            _clusters(2),
            demands.inputs_kept(("shapes", "anchors")),
            "writing the new anchors into the old ones spoils them for the shapes that come after.",
        ),
    ),
)


def kmeans_step(student: Callable) -> Verdict:
    """Checks one round of k-means with the distance 1 − IoU.

    Args:
        student: a function of ``(N, 2)`` shapes and ``(K, 2)`` anchors, widths and heights (float32), that
            gives the ``(K, 2)`` anchors after one round; one without shapes stays as it was.
    """
    return _KMEANS_STEP.check(student)


# The mirror


def _flipped(boxes: Tensor, width: float) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack((width - x2, y1, width - x1, y2), dim=1)


@st.composite
def _in_width(draw: st.DrawFn, least: int, most: int) -> Case:
    boxes = draw(cases.box_lists(least, most))
    reach = int(boxes[:, 2].max()) if len(boxes) else 0
    return boxes, reach + draw(st.integers(1, 6))


def _in_the_middle() -> SearchStrategy[Case]:
    return cases.boxes().map(lambda box: (box[None], int(box[0] + box[2])))


def _draw_flip(boxes: Tensor, width: float) -> str:
    solid = [drawing.Shape(box, f"{i}", drawing.A) for i, box in enumerate(boxes.tolist())]
    mirrored = _flipped(boxes, width).tolist()
    dashed = [drawing.Shape(box, f"{i} mirrored", drawing.B, True) for i, box in enumerate(mirrored)]
    return drawing.draw(solid + dashed)


_MIRROR = _table(_flipped, "box", _EDGES)
_FLIP = Exercise(
    "boxes of a mirrored image",
    ("boxes", "width"),
    (
        Property(
            "a box in the middle",
            _in_the_middle(),
            _MIRROR,
            "a box in the middle of the image looks the same in the mirror, and y never changes.",
        ),
        Property(
            "one box",
            _in_width(1, 1),
            _MIRROR,
            "the left edge of the mirrored box was the right edge of the box. And is each edge computed from "
            "the old numbers?",
        ),
        Property(
            "several boxes", _in_width(2, 4), _MIRROR, "all boxes are mirrored, and they keep their order."
        ),
        Property("no boxes at all", _in_width(0, 0), _MIRROR, "shape (0, 4) in, shape (0, 4) out."),
        Property(
            "the inputs stay as they are",
            _in_width(1, 3),
            demands.inputs_kept(("boxes", "width")),
            "the annotation is used again in the next epoch. Write the new edges into a tensor of your own.",
        ),
    ),
    _draw_flip,
)


def flip_boxes(student: Callable) -> Verdict:
    """Checks the mirror.

    Args:
        student: a function of ``(N, 4)`` boxes (float32, ``xyxy``) and the image's width, all in pixels, that
            gives the boxes of the mirrored image.
    """
    return _FLIP.check(student)


# The window

_CLIP_INPUTS = ("boxes", "classes", "window", "visibility")


def _clipped(boxes: Tensor, classes: Tensor, window: tuple, visibility: float) -> tuple[Tensor, Tensor]:
    from yolov3_lib.data.augment import Placement, Rectangle

    rows = torch.cat((boxes, classes[:, None].float()), dim=1).double().numpy()
    moved = torch.from_numpy(Placement(Rectangle(*window), Rectangle(*window)).move(rows, visibility))
    return moved[:, :4], moved[:, 4].long()


@st.composite
def _windowed(
    draw: st.DrawFn, where: str = "any", least: int = 1, most: int = 4, corner: bool = False
) -> Case:
    """Boxes, classes, a window and a least visible part that no box hits exactly.

    ``where`` says how the boxes lie: "inside", "outside" (the window's right and below), "cut" or "any".
    """
    left, top = draw(st.tuples(st.integers(1, 9), st.integers(1, 9))) if corner else (0, 0)
    width, height = draw(st.integers(6, 12)), draw(st.integers(6, 12))
    rows = []
    for _ in range(draw(st.integers(least, most))):
        if where == "inside":
            x, y = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
            w, h = draw(st.integers(1, width - x)), draw(st.integers(1, height - y))
        elif where == "outside":
            x, y = draw(st.sampled_from(((width + 1, 0), (0, height + 1), (width + 2, height + 2))))
            w, h = draw(st.integers(1, 5)), draw(st.integers(1, 5))
        elif where == "cut":
            x, y = width - draw(st.integers(2, 5)), draw(st.integers(0, 2))
            w, h = draw(st.integers(6, 9)), draw(st.integers(1, 4))
        else:
            x, y = draw(st.integers(-8, width + 3)), draw(st.integers(-8, height + 3))
            w, h = draw(st.integers(1, 12)), draw(st.integers(1, 12))
        rows.append([left + x, top + y, left + x + w, top + y + h])
    classes = draw(st.lists(st.integers(0, 19), min_size=len(rows), max_size=len(rows), unique=True))
    visibility = draw(st.sampled_from((0.1234, 0.2345, *cases.THRESHOLDS)))
    window = (left, top, left + width, top + height)
    return tensor(rows).float().reshape(-1, 4), tensor(classes).long(), window, visibility


def _nothing_asked() -> SearchStrategy[Case]:
    return _windowed("outside").map(lambda case: (*case[:3], 0.0))


def _exactly() -> SearchStrategy[Case]:
    """A box of which exactly the least part is left."""

    def build(side: int, quarters: int) -> Case:
        box = [8 - quarters * side, 1, 8 + (4 - quarters) * side, 3]
        return tensor([box]).float(), tensor([7]), (0, 0, 8, 8), quarters / 4

    return st.builds(build, st.integers(1, 2), st.integers(1, 3))


def _in_window(student: Student, case: Case) -> str | None:
    boxes, classes = _clipped(*case)
    answer = student(*case)
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise Fault(
            f"expected two things, the boxes and the classes that are left; yours gave {kind(answer)}",
            "return both in one tuple, in this order.",
        )
    if isinstance(answer[0], Tensor) and answer[0].ndim == 2 and len(answer[0]) != len(boxes):
        return f"expected {len(boxes)} boxes to be left, yours gave {len(answer[0])}"
    problem = _entries(boxes, answer[0], "box", _EDGES)
    if problem:
        return problem
    if not isinstance(answer[1], Tensor) or answer[1].tolist() != classes.tolist():
        got = answer[1].tolist() if isinstance(answer[1], Tensor) else kind(answer[1])
        raise Fault(
            f"expected the classes {classes.tolist()}, yours gave {got}",
            "what goes out with a box? Its class has to leave or stay with it.",
        )
    return None


def _draw_window(boxes: Tensor, classes: Tensor, window: tuple, visibility: float) -> str:
    shapes = [drawing.Shape(window, "window", drawing.SUPPRESSED)]
    shapes += [drawing.Shape(box, f"{i}", drawing.A, True) for i, box in enumerate(boxes.tolist())]
    return drawing.draw(shapes)


_CLIP = Exercise(
    "boxes in a window",
    _CLIP_INPUTS,
    (
        Property(
            "boxes inside",
            _windowed("inside"),
            _in_window,
            "nothing of these boxes is hidden: they stay as they are, and so do their classes.",
        ),
        Property(
            "boxes outside",
            _windowed("outside"),
            _in_window,
            "nothing of these is left. What do the sides of the overlap look like then, and what does their "
            "product hide?",
        ),
        Property(
            "boxes cut by an edge",
            _windowed("cut"),
            _in_window,
            "the visible part is what is left of the box, divided by what the box was before it was cut.",
            tries=40,
        ),
        Property(
            "boxes anywhere",
            _windowed(),
            _in_window,
            "draw the window and this box. Which part of it is visible, and is that enough?",
            tries=60,
        ),
        Property(
            "a window that doesn't begin at 0",
            _windowed(corner=True),
            _in_window,
            "a quarter of a mosaic has four edges of its own: (left, top, right, bottom).",
            tries=60,
        ),
        Property(
            "exactly the least part",
            _exactly(),
            _in_window,
            "a box is dropped if *less* than the least part is visible.",
        ),
        Property(
            "outside, and a least part of 0",
            _nothing_asked(),
            _in_window,
            "zero isn't less than zero. But a box of which nothing is visible goes as well.",
        ),
        Property(
            "no boxes at all",
            _windowed(least=0, most=0),
            _in_window,
            "shapes (0, 4) and (0,) in, the same out.",
        ),
        Property(
            "the inputs stay as they are",
            _windowed("cut"),
            demands.inputs_kept(_CLIP_INPUTS),
            "cutting in place would shorten the annotation for all epochs to come.",
        ),
    ),
    _draw_window,
)


def clip_to_window(student: Callable) -> Verdict:
    """Checks clipping by visible area.

    Args:
        student: a function of ``(N, 4)`` boxes (float32, ``xyxy``), ``(N,)`` int64 classes, a window
            (left, top, right, bottom) and the least visible part of a box's area, that gives the boxes left,
            clipped to the window, and their classes, in the order of the input.
    """
    return _CLIP.check(student)


# The data set check

_CHECK_INPUTS = ("labels", "sizes", "contents", "splits")
_KINDS = ("class", "sides", "outside", "empty", "leak")


def _problems(labels: Tensor, sizes: list, contents: list, splits: list) -> set[tuple[int, str]]:
    found = set()
    for image, index, x, y, w, h in labels.double().tolist():
        width, height = sizes[int(image)]
        if index not in range(20):
            found.add((int(image), "class"))
        if w <= 0 or h <= 0:
            found.add((int(image), "sides"))
        else:
            beyond = max((w / 2 - x) * width, (x + w / 2 - 1) * width)
            beyond = max(beyond, (h / 2 - y) * height, (y + h / 2 - 1) * height)
            if beyond > 1:
                found.add((int(image), "outside"))
    for image, content in enumerate(contents):
        if image not in labels[:, 0]:
            found.add((image, "empty"))
        twins = {split for other, split in zip(contents, splits, strict=True) if other == content}
        if len(twins) > 1:
            found.add((image, "leak"))
    return found


@st.composite
def _labelled(draw: st.DrawFn, planted: str = "") -> Case:
    """Two or three images with one or two objects each; with one error of the kind that is named."""
    images = draw(st.integers(2, 3))
    sizes = [(draw(st.sampled_from((100, 600))), draw(st.sampled_from((80, 500)))) for _ in range(images)]
    contents = [f"photo {image}" for image in range(images)]
    splits = ["train", *(draw(st.sampled_from(("train", "test", "val"))) for _ in range(images - 1))]
    rows = []
    for image in range(images):
        for _ in range(draw(st.integers(1, 2))):
            row = [image, draw(st.integers(0, 19)), *draw(st.sampled_from(_GOOD))]
            rows.append(row)
    row = draw(st.sampled_from(rows))
    if planted == "class":
        row[1] = draw(st.sampled_from((-1, 20, 2.5)))
    elif planted == "sides":
        row[draw(st.sampled_from((4, 5)))] = draw(st.sampled_from((0.0, -0.25)))
    elif planted in ("outside", "a rounding"):
        axis, end = draw(st.integers(0, 1)), draw(st.booleans())
        beyond = (3 if planted == "outside" else 0.5) / sizes[row[0]][axis]
        row[2 + axis] = 1 - row[4 + axis] / 2 + beyond if end else row[4 + axis] / 2 - beyond
    elif planted == "empty":
        rows = [other for other in rows if other[0] != row[0]]
    elif planted in ("leak", "a copy"):
        first, second = sorted(draw(st.permutations(range(images)))[:2])
        contents[second] = contents[first]
        others = [split for split in ("test", "val", "train") if split != splits[first]]
        splits[second] = draw(st.sampled_from(others)) if planted == "leak" else splits[first]
    return tensor(rows).float().reshape(-1, 6), sizes, contents, splits


_GOOD = ((0.5, 0.5, 0.5, 0.5), (0.25, 0.5, 0.5, 0.25), (0.5, 0.75, 0.25, 0.5), (0.5, 0.5, 1.0, 1.0))


def _planted(student: Student, case: Case) -> str | None:
    expected, answer = _problems(*case), student(*case)
    if not isinstance(answer, (set, frozenset, list, tuple)):
        raise Fault(f"expected a set of (image, kind) pairs, yours gave {kind(answer)}")
    got = set()
    for pair in answer:
        if not isinstance(pair, tuple) or len(pair) != 2 or pair[1] not in _KINDS:
            raise Fault(
                f"expected pairs such as (0, 'leak'), yours holds {pair!r}",
                f"an image's number and one of these kinds: {', '.join(_KINDS)}.",
            )
        got.add((int(demands.as_number(pair[0], "an image's number")), pair[1]))
    if got == expected:
        return None
    missing, false = sorted(expected - got), sorted(got - expected)
    told = f"it misses {missing[0]}" if missing else f"it reports {false[0]}, where nothing is wrong"
    return f"{told}; yours gave {sorted(got)}"


def _planting(name: str, planted: str, hint: str) -> Property:
    return Property(name, _labelled(planted), _planted, hint, tries=30)


_FIND = Exercise(
    "a data set's problems",
    _CHECK_INPUTS,
    (
        _planting("nothing wrong", "", "these images are in order, a box that fills its image too."),
        _planting("a class that doesn't exist", "class", "VOC's classes are whole numbers from 0 to 19."),
        _planting("a box without area", "sides", "width and height must be more than 0, both."),
        _planting(
            "a box beyond the image",
            "outside",
            "there are four edges to look at, and the numbers are parts of the image: how many pixels is it?",
        ),
        _planting(
            "a box beyond by a rounding",
            "a rounding",
            "half a pixel is what rounding does. More than one pixel is a mistake: of which width or height?",
        ),
        _planting("an image without objects", "empty", "which images does the first column never name?"),
        _planting(
            "one photograph in two splits", "leak", "both images of such a pair are part of the problem."
        ),
        _planting(
            "one photograph twice in one split", "a copy", "a repetition is odd, but no leak: who is misled?"
        ),
        Property(
            "the inputs stay as they are",
            _labelled(),
            demands.inputs_kept(_CHECK_INPUTS),
            "a check reports, it changes nothing.",
        ),
    ),
)


def find_problems(student: Callable) -> Verdict:
    """Checks a data set check.

    Args:
        student: a function of ``(M, 6)`` labels (image, class, x, y, w, h, relative), the images' sizes
            ``[(width, height), …]``, contents (equal strings are equal photographs) and splits, that gives a
            set of (image, kind) pairs; kinds are class, sides, outside, empty and leak.
    """
    return _FIND.check(student)


# Exercise 12.1: one box by hand
_SIZE = (400, 300)
_BOX = tensor([[101.0, 51, 200, 150]])
_LINE = _to_yolo(_BOX, _SIZE)[0].tolist()


def _in_the_input() -> tuple[float, float, float, float]:
    edges = _BOX - tensor([1.0, 1, 0, 0])
    return tuple(Letterbox.fit(_SIZE, 416).apply(edges)[0].tolist())


def _row_of_cell() -> int:
    _, y1, _, y2 = _in_the_input()
    return int((y1 + y2) / 2 // 32)


def _cells() -> int:
    x1, y1, x2, y2 = _in_the_input()
    flat = [anchor for scale in twin.YOLOV3_ANCHORS for anchor in scale]
    best = int(twin.best_anchor(tensor([[x2 - x1, y2 - y1]]), flat))
    return 416 // (32, 16, 8)[best // 3]


PREDICTIONS = {
    "12.1": (
        Question(
            "cells a side",
            _cells,
            "compare its width and height with those of the nine anchors. Whose scale is it?",
        ),
    ),
}

ANSWERS = {
    "12.1": (
        Question(
            "x",
            lambda: _LINE[0],
            "the middle of the continuous edges, as a part of the image's width.",
            (
                Slip(lambda: 150.5 / 400, "that is the middle of VOC's own numbers. Where is the left edge?"),
                Slip(lambda: 0.25, "that is the left edge. The label wants the middle."),
                Slip(lambda: 0.5, "that is a part of the height."),
            ),
            tolerance=0.0005,
        ),
        Question(
            "y",
            lambda: _LINE[1],
            "as x, along the other side.",
            (
                Slip(lambda: 100.5 / 300, "that is the middle of VOC's own numbers. Where is the top edge?"),
                Slip(lambda: 0.25, "that is a part of the width."),
            ),
            tolerance=0.0005,
        ),
        Question(
            "w",
            lambda: _LINE[2],
            "how many pixels are there from 101 to 200, both included?",
            (Slip(lambda: 99 / 400, "both ends are included: count 1 to 2 on your fingers."),),
            tolerance=0.0005,
        ),
        Question(
            "h",
            lambda: _LINE[3],
            "how many pixels are there from 51 to 150, both included?",
            (
                Slip(lambda: 99 / 300, "both ends are included: count 1 to 2 on your fingers."),
                Slip(lambda: 0.25, "the height is a part of the image's height."),
            ),
            tolerance=0.0005,
        ),
        Question(
            "row of the cell",
            _row_of_cell,
            "enlarge the center's y by 416/400, add the gray bar above, and count cells of 32 pixels from 0.",
            (
                Slip(lambda: 3, "that is without the gray bar above the image."),
                Slip(lambda: 5, "rows are counted from 0."),
            ),
        ),
    ),
}


def _rows(name: str, value: object, row: str) -> Tensor:
    value = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[1] != row.count(",") + 1:
        raise ValueError(f"{name} should be rows {row}")
    return value.float()


def _lowers(shapes: object, anchors: object) -> str | None:
    shapes, anchors = (
        _rows(name, value, "[width, height]") for name, value in (("shapes", shapes), ("anchors", anchors))
    )
    before = twin.mean_best_iou(shapes, anchors)
    after = twin.mean_best_iou(shapes, twin.kmeans_step(shapes.double(), anchors.double()))
    if after < before - 1e-6:
        return None
    return f"here the round takes the mean best IoU from {before:.3f} to {after:.3f}"


def _mirrors_wrongly(function: Callable, boxes: object, width: object) -> str | None:
    boxes, width = _rows("boxes", boxes, "[x1, y1, x2, y2]"), demands.as_number(width, "the width")
    if (boxes[:, 2:] <= boxes[:, :2]).any() or (boxes[:, 0] < 0).any() or (boxes[:, 2] > width).any():
        raise ValueError("each box should have area and lie between 0 and the width")
    expected = _flipped(boxes, width)
    got = function(boxes.clone(), width)
    if isinstance(got, Tensor) and got.shape == expected.shape and torch.allclose(got, expected):
        return "on these boxes the function is right"
    return None


EXAMPLES = {
    "12.3": Hunt(
        "a round of k-means never makes the anchors fit worse",
        _lowers,
        "two shapes and one anchor are enough. Where would you put the anchor, if not in the middle?",
    ),
    "12.4": Hunt(
        "this mirror is right",
        _mirrors_wrongly,
        "follow the two lines with numbers. Which value does the second one read?",
    ),
}

CHECKERS = (voc_to_yolo, yolo_to_voc, kmeans_step, flip_boxes, clip_to_window, find_problems)
