"""Chapter 11, the loss: what a right answer to its exercises does."""

import math
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor, tensor
from torch.nn import functional as F

from yolov3_lib import boxes as geometry
from yolov3_lib.anchors import best_anchor
from yolov3_lib.checks import cases, demands
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind, show
from yolov3_lib.loss import LossConfig, yolo_loss
from yolov3_lib.widgets.loss_scene import ANCHORS, STRIDES

# Exercise 11.2: who answers, and with what

_NINE = tensor(ANCHORS).float()
_STRIDES = tensor([stride for stride in STRIDES for _ in range(3)])
_ASSIGNED = ("boxes", "anchors", "strides", "net_size")
_NAMES = ("anchor", "column", "row")


def _assigned(boxes: Tensor, anchors: Tensor, strides: Tensor, net_size: int) -> tuple[Tensor, Tensor]:
    """(N, 3) anchor, column and row; (N, 4) x̂, ŷ, t̂_w, t̂_h."""
    sizes = boxes[:, 2:] * net_size
    best = best_anchor(sizes, anchors)
    cells = net_size // strides[best]
    scaled = boxes[:, :2] * cells[:, None]
    corner = torch.minimum(scaled.floor(), (cells[:, None] - 1).to(scaled.dtype))
    places = torch.cat((best[:, None], corner.long()), dim=1)
    return places, torch.cat((scaled - corner, (sizes / anchors[best]).log()), dim=1)


@st.composite
def _objects(
    draw: st.DrawFn,
    min_size: int = 1,
    max_size: int = 1,
    nets: tuple[int, ...] = (416,),
    factors: tuple[float, ...] = (0.875, 1.0, 1.0625),
    at_edge: bool = False,
) -> Case:
    """Objects near the shape of an anchor, their centers on eighths of a cell."""
    net = draw(st.sampled_from(nets))
    rows = []
    for _ in range(draw(st.integers(min_size, max_size))):
        w, h = ANCHORS[draw(st.integers(0, 8))]
        size = [w * draw(st.sampled_from(factors)) / net, h * draw(st.sampled_from(factors)) / net]
        # On the finest grid's eighths: never near an edge of a coarser cell but inside it.
        center = [(8 * draw(st.integers(0, net // 8 - 1)) + draw(st.integers(1, 7))) / net for _ in "xy"]
        if at_edge:
            center[draw(st.integers(0, 1))] = 1.0
        rows.append(center + size)
    return tensor(rows).float().reshape(-1, 4), _NINE.clone(), _STRIDES.clone(), net


def _places_and_goals(student: Student, case: Case) -> str | None:
    places, goals = _assigned(*case)
    answer = student(*case)
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise Fault(
            f"expected two things, places and goals; yours gave {kind(answer)}",
            "return both in one tuple, in this order.",
        )
    got = answer[0]
    if not isinstance(got, Tensor) or got.shape != places.shape:
        raise Fault(
            f"expected places of shape {tuple(places.shape)}, yours gave {kind(got)}",
            "one row for each object: anchor, column, row.",
        )
    if got.is_floating_point() and not torch.equal(got, got.floor()):
        raise Fault("expected whole numbers as places", "an anchor, a column and a row are indices.")
    for i, j in (got.long() != places).nonzero().tolist():
        return f"object {i}, {_NAMES[j]}: expected {places[i, j].item()}, yours gave {got[i, j].item():g}"
    found = demands.as_tensor(answer[1], goals.shape)
    for i, j in (~((found - goals.double()).abs() <= 1e-3)).nonzero().tolist():
        name = ("x̂", "ŷ", "t̂_w", "t̂_h")[j]
        return f"object {i}, {name}: {demands.differ(goals[i, j].item(), found[i, j].item(), 1e-3)}"
    return None


_TARGETS = Exercise(
    "who answers, and with what",
    _ASSIGNED,
    (
        Property(
            "an object in the shape of an anchor",
            _objects(factors=(1.0,)),
            _places_and_goals,
            "its shape IoU with that anchor is 1, so that anchor answers, and both logarithms are 0. Which "
            "unit has the box, and which the anchor? Column and x̂ come from x, row and ŷ from y, in cells of "
            "that anchor's grid.",
        ),
        Property(
            "one object",
            _objects(),
            _places_and_goals,
            "follow (11.1) and (11.2) by hand on this case. How many cells a side has the grid that "
            "answers? Column comes from x, row from y.",
            tries=60,
        ),
        Property(
            "another input size",
            _objects(nets=(320, 608)),
            _places_and_goals,
            "the anchors keep their pixels when the input changes. What do relative boxes do, and the grids?",
        ),
        Property(
            "several objects",
            _objects(min_size=2, max_size=4),
            _places_and_goals,
            "each row for itself. Does one object's grid serve for another?",
        ),
        Property(
            "a center on the right or lower edge",
            _objects(at_edge=True),
            _places_and_goals,
            "x = 1 lies on the edge of the last cell. Is there a cell behind it?",
        ),
        Property(
            "no objects",
            _objects(min_size=0, max_size=0),
            _places_and_goals,
            "nothing in, nothing out: places of shape (0, 3) and goals of shape (0, 4).",
        ),
        Property(
            "the inputs stay as they are",
            _objects(min_size=2, max_size=3),
            demands.inputs_kept(_ASSIGNED),
            "an operation that writes into the tensor it was given changes it for the caller too.",
        ),
    ),
)


def box_targets(student: Callable) -> Verdict:
    """Checks the assignment of objects to anchors and cells.

    Args:
        student: a function of ``(N, 4)`` boxes (float32, center format, relative to the input), ``(9, 2)``
            anchors in pixels, ``(9,)`` strides of their grids and the input's side in pixels. It gives
            ``(N, 3)`` anchor, column and row, and ``(N, 4)`` x̂, ŷ, t̂_w, t̂_h.
    """
    return _TARGETS.check(student)


# Exercise 11.3: whose objectness counts

_COUNTED = ("predicted", "truths", "positive", "threshold")


def _counts(predicted: Tensor, truths: Tensor, positive: Tensor, threshold: float) -> Tensor:
    return positive | (geometry.pairwise_iou(predicted, truths) <= threshold).all(dim=1)


@st.composite
def _judged(
    draw: st.DrawFn,
    predicted: tuple[int, int] = (1, 5),
    truths: tuple[int, int] = (1, 3),
    positive: bool | None = None,
    exact: bool = False,
) -> Case:
    """Predicted boxes and true ones on a few places, so that they overlap often."""

    def some(count: tuple[int, int]) -> Tensor:
        rows = []
        for _ in range(draw(st.integers(*count))):
            x, y = draw(st.integers(0, 3)), draw(st.integers(0, 3))
            rows.append([x, y, x + draw(st.integers(4, 7)), y + draw(st.integers(4, 7))])
        return tensor(rows).float().reshape(-1, 4)

    boxes = some(predicted)
    flags = [draw(st.booleans()) if positive is None else positive for _ in range(len(boxes))]
    threshold = draw(st.sampled_from(cases.EXACT_THRESHOLDS if exact else cases.THRESHOLDS))
    return boxes, some(truths), tensor(flags, dtype=torch.bool), threshold


@st.composite
def _half(draw: st.DrawFn) -> Case:
    """A prediction that is the left half of an object: an IoU of exactly 1/2."""
    width, height = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    boxes, true = tensor([[0.0, 0, width, height]]), tensor([[0.0, 0, 2 * width, height]])
    return boxes, true, tensor([False]), 0.5


def _same_mask(student: Student, case: Case) -> str | None:
    expected, got = _counts(*case), student(*case)
    if not isinstance(got, Tensor) or got.dtype != torch.bool or got.shape != expected.shape:
        raise Fault(
            f"expected True or False for each prediction, shape {tuple(expected.shape)}; "
            f"yours gave {kind(got)}",
            "a comparison of tensors gives a tensor of True and False.",
        )
    for i in (expected != got).nonzero()[:, 0].tolist():
        return f"prediction {i}: expected {bool(expected[i])}, yours gave {bool(got[i])}"
    return None


_MASK = Exercise(
    "whose objectness counts",
    _COUNTED,
    (
        Property(
            "one prediction, one object, not positive",
            _judged((1, 1), (1, 1), positive=False),
            _same_mask,
            "True means that it is asked. Is a box that overlaps the object well asked, or ignored?",
        ),
        Property(
            "positive predictions",
            _judged(positive=True),
            _same_mask,
            "in (11.3) the first case that fits decides. A prediction that answers is always asked.",
        ),
        Property(
            "several objects",
            _judged((1, 3), (2, 4), positive=False),
            _same_mask,
            "one object that it overlaps by more than the threshold is enough to be ignored.",
            tries=60,
        ),
        Property(
            "any mixture",
            _judged((2, 6), (1, 3)),
            _same_mask,
            "look at one prediction at a time: what are its overlaps, and is it positive?",
            tries=60,
        ),
        Property(
            "an IoU equal to the threshold",
            _half(),
            _same_mask,
            "ignored is who overlaps by more than the threshold. Is equal more?",
        ),
        Property(
            "no objects in the image",
            _judged(truths=(0, 0), positive=False),
            _same_mask,
            "an image without objects is all background. Which of your steps wants at least one?",
        ),
        Property(
            "the inputs stay as they are",
            _judged(),
            demands.inputs_kept(_COUNTED),
            "|= and an assignment to a slice write into the caller's tensor.",
        ),
    ),
)


def counted(student: Callable) -> Verdict:
    """Checks the mask of predictions whose objectness counts.

    Args:
        student: a function of ``(N, 4)`` predicted boxes and ``(M, 4)`` true ones (``xyxy``), ``(N,)`` bool,
            True where a prediction answers for an object, and an IoU threshold. It gives ``(N,)`` bool,
            False for the ignored.
    """
    return _MASK.check(student)


# Exercise 11.4: a loss that leaves its arguments alone

_MENDED = ("t", "goal", "anchor")
_TERMS = ("t_x", "t_y", "t_w", "t_h", "t_o")


def _right_mean(t: Tensor, goal: Tensor, anchor: Tensor) -> float:
    says = torch.cat((t[:, :2].sigmoid(), t[:, 2:]), dim=1).double()
    wants = torch.cat((goal[:, :2], (goal[:, 2:] / anchor).log()), dim=1).double()
    return ((says - wants) ** 2).mean().item() if len(t) else 0.0


@st.composite
def _logits_and_goals(draw: st.DrawFn, min_size: int = 1, max_size: int = 3) -> Case:
    count = draw(st.integers(min_size, max_size))
    halves = st.integers(-4, 4).map(lambda n: n / 2)
    t = [[draw(halves) for _ in range(4)] for _ in range(count)]
    goal = [
        [draw(st.integers(0, 4)) / 4 for _ in "xy"] + [float(draw(st.integers(1, 40)) * 5) for _ in "wh"]
        for _ in range(count)
    ]
    anchor = [float(draw(st.integers(2, 9)) * 10) for _ in "wh"]
    return tensor(t).float().reshape(-1, 4), tensor(goal).float().reshape(-1, 4), tensor(anchor)


def _called_twice(student: Student, case: Case) -> str | None:
    copies = tuple(value.clone() for value in case)
    first = demands.as_number(student(*copies))
    again = demands.as_number(student(*student.received))
    problem = demands.differ(first, again, 1e-3)
    return f"called again with what the first call left: {problem}" if problem else None


def _mended_gradient(student: Student, case: Case) -> str | None:
    t, goal, anchor = case
    says = t.sigmoid()
    factor = torch.cat((says[:, :2] * (1 - says[:, :2]), torch.ones_like(t[:, 2:])), dim=1)
    miss = torch.cat((says[:, :2] - goal[:, :2], t[:, 2:] - (goal[:, 2:] / anchor).log()), dim=1)
    slopes = _slopes(student, t, goal, anchor)
    for i, j in (~((slopes - 2 * miss * factor / t.numel()).abs() <= 1e-3)).nonzero().tolist():
        expected = (2 * miss * factor / t.numel())[i, j].item()
        return f"gradient at object {i}, {_TERMS[j]}: {demands.differ(expected, slopes[i, j].item(), 1e-3)}"
    return None


def _slopes(student: Student, watched: Tensor, *others: object) -> Tensor:
    """The gradient of what the student's function gives, with respect to its first argument."""
    leaf = watched.clone().requires_grad_()
    value = student(leaf, *others)
    if not isinstance(value, Tensor) or not value.requires_grad:
        raise Fault(
            f"no gradient flows through it: yours gave {show(value)}",
            "float(…), .item() and .detach() cut the gradient off. The result must be a tensor.",
        )
    try:
        (slopes,) = torch.autograd.grad(value, leaf)
    except RuntimeError as error:
        raise Fault(
            f"autograd can't go back through it: {str(error).split(';')[0]}",
            "does a line overwrite values that were used before, or lose the way back to the logits?",
        ) from error
    return slopes


@st.composite
def _spoiled(draw: st.DrawFn) -> Case:
    t, goal, anchor = draw(_logits_and_goals())
    t[0, draw(st.integers(0, 3))] = float("nan")
    return t, goal, anchor


def _nan_shows(student: Student, case: Case) -> str | None:
    got = demands.as_number(student(*case))
    return None if got != got else f"expected NaN, yours gave {show(got)}"


_MENDED_LOSS = Exercise(
    "a mended box loss",
    _MENDED,
    (
        Property(
            "the first call",
            _logits_and_goals(),
            demands.number(_right_mean),
            "keep the arithmetic of careless_loss: on the first call it is right.",
        ),
        Property(
            "the second call with the same tensors",
            _logits_and_goals(),
            _called_twice,
            "what do t and goal hold after the first call? Give each step's result a name of its own.",
        ),
        Property(
            "the inputs stay as they are",
            _logits_and_goals(),
            demands.inputs_kept(_MENDED),
            "a slice on the left of = writes into the caller's tensor; so does every operation whose name "
            "ends in _.",
        ),
        Property(
            "no objects",
            _logits_and_goals(0, 0),
            demands.number(_right_mean),
            "how many numbers does the mean divide by? With nothing to answer for, the loss is 0.",
        ),
        Property(
            "the gradient",
            _logits_and_goals(),
            _mended_gradient,
            "the value is right. Does a gradient reach all four logits of each row?",
        ),
        Property(
            "a NaN among the logits",
            _spoiled(),
            _nan_shows,
            "turning every NaN into a number hides broken logits too. Only without objects is the loss 0.",
        ),
    ),
)


def mended_loss(student: Callable) -> Verdict:
    """Checks the box loss of exercise 11.4 without its two bugs.

    Args:
        student: a function of ``(N, 4)`` logits, ``(N, 4)`` goals (x̂ and ŷ in cells, width and height in
            pixels) and a ``(2,)`` anchor in pixels, that gives the mean squared difference as a tensor of
            shape ``()``, 0 for N = 0.
    """
    return _MENDED_LOSS.check(student)


# Exercise 11.6: the loss of a scale

_WHOLE = ("head", "truth", "anchors", "mask", "net_size")
# Two scales of a toy detector with 32 pixels a side: 2 × 2 cells and 4 × 4, two anchors each, small first.
_TOY = tensor([[4.0, 6], [8, 6], [10, 16], [22, 14]])
_TOY_NET, _TOY_CELLS, _TOY_CLASSES = 32, 2, 2
_TOY_FINE_NET = 16  # with this input the fine scale has 2 × 2 cells, and the coarse one a single cell


def _scale_loss(head: Tensor, truth: Tensor, anchors: Tensor, mask: list[int], net_size: int) -> Tensor:
    """The library's loss of one scale of one image."""
    pairs = anchors.view(2, 2, 2).flip(0)
    cells = head.shape[1]
    scale = 0 if mask == [2, 3] else 1
    other = torch.zeros(1, 2, *((2 * cells,) * 2 if scale == 0 else (cells // 2,) * 2), head.shape[3])
    # Far below: what the other scale costs is nothing to speak of.
    other[..., 2:4], other[..., 4] = -9, -40
    heads = [head[None], other] if scale == 0 else [other, head[None]]
    strides = [net_size // one.shape[2] for one in heads]
    rows = torch.cat((torch.zeros(len(truth), 1), truth), dim=1)
    whole = yolo_loss(heads, rows, pairs, strides, LossConfig())
    quiet = head.detach().clone()
    quiet[..., 2:4], quiet[..., 4] = -9, -40
    heads[scale] = quiet[None]
    rest = _elsewhere(heads, rows, pairs, strides, scale)
    return whole.total - rest


def _elsewhere(heads: list[Tensor], rows: Tensor, pairs: Tensor, strides: list[int], scale: int) -> Tensor:
    """What objects of the other scale cost there."""
    sizes = rows[:, 3:5] * (heads[scale].shape[2] * strides[scale])
    mine = best_anchor(sizes, pairs.view(-1, 2)) // 2 == scale
    return yolo_loss(heads, rows * (~mine)[:, None], pairs, strides, LossConfig()).total


@st.composite
def _images(
    draw: st.DrawFn,
    objects: tuple[int, int] = (1, 1),
    shapes: tuple[int, ...] = (2, 3),
    together: bool = False,
    boxes: str = "small",
    padded: bool = False,
    fine: bool = False,
) -> Case:
    """A head of the coarse or the fine scale, logits in halves, and objects near the shape of an anchor.

    The predicted boxes are too "small" to be ignored, or those of the first "object", or of "any" size.
    """
    net, mask = (_TOY_FINE_NET, [0, 1]) if fine else (_TOY_NET, [2, 3])
    generator = torch.Generator().manual_seed(draw(st.integers(0, 30)))
    shape = 2, _TOY_CELLS, _TOY_CELLS, 5 + _TOY_CLASSES
    head = torch.randint(-3, 4, shape, generator=generator) / 2
    rows, spot, label = [], None, 0
    for _ in range(draw(st.integers(*objects))):
        if spot is None or not together:
            anchor = draw(st.sampled_from(shapes))
            column, row = (draw(st.integers(0, _TOY_CELLS - 1)) for _ in "xy")
            spot = column, row, *_TOY[anchor].tolist()
            label = draw(st.integers(0, _TOY_CLASSES - 1))
        else:
            label = (label + 1) % _TOY_CLASSES
        center = [(cell + draw(st.integers(1, 7)) / 8) / _TOY_CELLS for cell in spot[:2]]
        size = [side * draw(st.sampled_from((0.9, 1.0, 1.1))) / net for side in spot[2:]]
        rows.append([*center, *size, float(label)])
    if boxes == "small":
        head[..., 2:4] -= 2.5
    elif boxes == "object":
        # Where the first object lies in its cell, and as large: the other anchor there hits it too.
        x, y, w, h = (_TOY_CELLS * rows[0][0] % 1, _TOY_CELLS * rows[0][1] % 1, *rows[0][2:4])
        head[..., :2], head[..., 4] = tensor([x, y]).logit(), 1
        head[..., 2:4] = (tensor([w, h]) * net / _TOY[mask]).log()[:, None, None]
    if padded:
        rows.insert(0, [0.0] * 5)
        rows.append([0.0] * 5)
    return head, tensor(rows).float().reshape(-1, 5), _TOY.clone(), mask, net


def _right_value(student: Student, case: Case) -> str | None:
    expected = _scale_loss(*case).item()
    return demands.differ(expected, demands.as_number(student(*case)), 2e-3 + 1e-4 * expected)


def _right_gradient(student: Student, case: Case) -> str | None:
    expected = case[0].clone().requires_grad_()
    (wanted,) = torch.autograd.grad(_scale_loss(expected, *case[1:]), expected)
    slopes = _slopes(student, *case)
    for place in (~((slopes - wanted).abs() <= 1e-3)).nonzero().tolist():
        name = _TERMS[place[3]] if place[3] < 5 else f"t of class {place[3] - 5}"
        problem = demands.differ(wanted[tuple(place)].item(), slopes[tuple(place)].item(), 1e-3)
        return f"gradient at anchor {place[0]}, row {place[1]}, column {place[2]}, {name}: {problem}"
    return None


_SCALE_LOSS = Exercise(
    "Darknet's loss of one scale",
    _WHOLE,
    (
        Property(
            "nothing in the image",
            _images((0, 0)),
            _right_value,
            "without objects all is background, and each prediction costs BCE(t_o, 0).",
        ),
        Property(
            "one object",
            _images((1, 1)),
            _right_value,
            "compare the parts one by one: (2 − wh) times the box, objectness at the object, classes, "
            "background. Is somebody asked who should be ignored, or asked twice?",
            tries=40,
        ),
        Property(
            "an object that another scale answers for",
            _images((1, 1), shapes=(0, 1)),
            _right_value,
            "all anchors compete, not only those in the mask. If the winner isn't in it, this scale has no "
            "positive prediction for the object.",
        ),
        Property(
            "good predictions beside the one that answers",
            _images((1, 2), boxes="object"),
            _right_value,
            "who overlaps an object by more than .5 is ignored, unless it answers itself.",
            tries=40,
        ),
        Property(
            "padding among the objects",
            # On the fine scale: of the anchors, a size of 0 would choose the first, which that scale owns.
            _images((1, 2), shapes=(0, 1), padded=True, fine=True),
            _right_value,
            "a row with w = 0 is no object. (And the rows after it may be some.)",
        ),
        Property(
            "two objects on one cell and anchor",
            _images((2, 2), together=True),
            _right_value,
            "the later object owns the box, and its size gives the weight; the classes of both count; "
            "the prediction answers once.",
        ),
        Property(
            "any objects",
            _images((2, 4), shapes=(0, 1, 2, 3), boxes="any"),
            _right_value,
            "take this image apart: leave out one object after the other, and see when the difference goes.",
            tries=40,
        ),
        Property(
            "the gradient",
            _images((1, 3), boxes="any"),
            _right_gradient,
            "the value is right, so look for what autograd can't follow, or for a path that should carry no "
            "gradient: the IoU only decides.",
        ),
        Property(
            "the inputs stay as they are",
            _images((1, 2)),
            demands.inputs_kept(_WHOLE),
            "work on copies, or on new tensors.",
        ),
    ),
)


def scale_loss(student: Callable) -> Verdict:
    """Checks Darknet's loss of one scale of one image, its value and its gradient.

    Args:
        student: a function of a ``(A, S, S, 5 + C)`` head, ``(T, 5)`` truth (x, y, w, h relative to the
            input, class), all anchors in pixels, the list of those that the scale owns and the input's side
            in pixels. It gives the sum of all terms, a tensor of shape ``()``. The ignore threshold is .5.
    """
    return _SCALE_LOSS.check(student)


# Exercise 11.1: an object of 96 × 150 pixels at (250, 100) in 416 × 416

_OBJECT = tensor([[250 / 416, 100 / 416, 96 / 416, 150 / 416]])


def _hand(column: int, net: int = 416) -> Callable[[], float]:
    def value() -> float:
        places, goals = _assigned(_OBJECT, _NINE, _STRIDES, net)
        row = torch.cat((places[0].double(), goals[0].double()))
        return row[column].item()

    return value


def _overlap(index: int) -> Callable[[], float]:
    def value() -> float:
        w, h = ANCHORS[index]
        shared = min(w, 96) * min(h, 150)
        return shared / (w * h + 96 * 150 - shared)

    return value


ANSWERS = {
    "11.1": (
        Question(
            "shape IoU with 59 × 119",
            _overlap(5),
            "the anchor fits inside the object, so the overlap is the whole anchor.",
        ),
        Question(
            "shape IoU with 116 × 90",
            _overlap(6),
            "the overlap is as wide as the narrower and as high as the lower of the two.",
            (
                Slip(
                    lambda: 96 * 150 / (116 * 90),
                    "that is a ratio of areas. Which rectangle do the two share?",
                ),
            ),
        ),
        Question(
            "column",
            _hand(1),
            "how many cells a side has the grid that answers, and which one holds x?",
            (
                Slip(lambda: 250 // 16, "in cells of 16 pixels it is. Does that grid's anchor answer?"),
                Slip(lambda: 8, "columns are counted from 0."),
                Slip(lambda: 3, "the column comes from x, the row from y."),
            ),
        ),
        Question(
            "row",
            _hand(2),
            "how many cells a side has the grid that answers, and which one holds y?",
        ),
        Question(
            "x̂",
            _hand(3),
            "the center in cells, less the column.",
            (Slip(lambda: 250 / 32, "that is the center in cells. What does the cell itself see of it?"),),
        ),
        Question(
            "t̂_w",
            _hand(5),
            "the natural logarithm of width over anchor, both in pixels.",
            (
                Slip(lambda: 96 / 116, "that is the ratio; its logarithm is wanted."),
                Slip(lambda: math.log10(96 / 116), "the natural logarithm, not that to 10."),
                Slip(lambda: math.log(116 / 96), "the object is narrower than its anchor."),
                Slip(lambda: math.log(96 / 156), "that is against 156 × 198. Is its shape IoU the largest?"),
                Slip(lambda: math.log(96 / 59), "that is against 59 × 119. Is its shape IoU the largest?"),
            ),
            tolerance=0.01,
        ),
    ),
}

PREDICTIONS = {
    "11.1": (
        Question(
            "cells a side of the grid that answers at 608",
            lambda: 608.0 / _STRIDES[int(_hand(0, 608)())].item(),
            "how many pixels wide and high is the object in the larger input? And the anchors?",
        ),
    ),
    "11.5": (
        Question(
            "pull at t = 8",
            lambda: F.sigmoid(tensor(8.0)).item(),
            "(11.6) with a target of 0: what is left?",
            tolerance=0.01,
        ),
    ),
}


def _spoils(function: Callable, t: Tensor, goal: Tensor, anchor: Tensor) -> str | None:
    for name, value, width in (("t", t, 4), ("goal", goal, 4), ("anchor", anchor, 2)):
        dimensions = 1 if name == "anchor" else 2
        if not isinstance(value, Tensor) or value.ndim != dimensions or value.shape[-1] != width:
            wanted = "(2,)" if width == 2 else "(N, 4)"
            raise Fault(f"{name} should be a tensor of shape {wanted}, yours is {kind(value)}")
    if len(t) != len(goal) or len(t) == 0:
        raise Fault("t and goal should have one row for each object, and at least one")
    if not ((goal[:, 2:] > 0).all() and (anchor > 0).all()):
        raise Fault(
            "widths, heights and anchors are lengths: more than 0",
            "if you have called the loss with these tensors, it has written into them: build them anew.",
        )
    t, goal, anchor = (value.detach().clone().float() for value in (t, goal, anchor))
    values = [float(function(t, goal, anchor)) for _ in range(2)]
    if values[0] != values[0]:
        return "the first call gives NaN already"
    if values[1] != values[1]:
        return None
    return f"the second call gives {show(values[1])}, not NaN"


EXAMPLES = {
    "11.4": Hunt(
        "calling the loss again does no harm",
        _spoils,
        "the second call takes the logarithm of what the first one left in goal. When has that no logarithm?",
    ),
}

CHECKERS = (box_targets, counted, mended_loss, scale_loss)
