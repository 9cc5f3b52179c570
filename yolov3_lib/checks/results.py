"""Chapter 14, results: what a right answer to its exercises does."""

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, tensor

from yolov3_lib import boxes as geometry
from yolov3_lib import evaluate as twin
from yolov3_lib.checks import demands, drawing
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind
from yolov3_lib.detections import Detections
from yolov3_lib.errors import IGNORED, RIGHT, confusion_matrix, sort_failures

# Average precision


def _ap(right: Tensor, count: int) -> float:
    return twin.average_precision(right.numpy(), count)[0]


def _flags(*right: bool, missed: int = 0) -> SearchStrategy[Case]:
    return st.integers(missed, missed + 2 * bool(missed)).map(
        lambda more: (tensor(right, dtype=torch.bool), sum(right) + more)
    )


def _any_flags(min_size: int = 1) -> SearchStrategy[Case]:
    flags = st.lists(st.booleans(), min_size=min_size, max_size=8)
    return st.builds(
        lambda right, missed: (tensor(right, dtype=torch.bool), max(1, sum(right) + missed)),
        flags,
        st.integers(0, 3),
    )


_CLIMBING = [[True, False, False, True, True], [False, True, True], [True, False, True, True]]
_AREA = demands.number(_ap)

_AVERAGE_PRECISION = Exercise(
    "average precision",
    ("right", "count"),
    (
        Property(
            "one object, found",
            _flags(True),
            _AREA,
            "precision and recall are 1 from the first detection on. What is the area?",
        ),
        Property(
            "objects that nothing finds",
            _flags(True, True, missed=1),
            _AREA,
            "each is a column of height 0. By what is the sum divided: by what was found, or what is there?",
        ),
        Property(
            "a wrong detection before a right one",
            _flags(False, True),
            _AREA,
            "after two detections, how many of them are right? Columns stand at right detections only.",
        ),
        Property(
            "wrong detections after the last right one",
            st.integers(1, 4).map(lambda n: (tensor([True] + [False] * n), 1)),
            _AREA,
            "does recall grow at a wrong detection? What does it add to the area?",
        ),
        Property(
            "precision that climbs again",
            st.sampled_from(_CLIMBING).map(lambda right: (tensor(right), sum(right))),
            _AREA,
            "a column reaches up to the best precision at its recall or a larger one. Which way do you look?",
        ),
        Property(
            "detections at random",
            _any_flags(),
            _AREA,
            "write precision and recall below one another on paper, then the envelope, from the right.",
            tries=60,
        ),
        Property(
            "no detections at all",
            st.integers(1, 3).map(lambda count: (torch.zeros(0, dtype=torch.bool), count)),
            _AREA,
            "there are objects, and nothing is found: an area of 0, not an error.",
        ),
        Property(
            "the inputs stay as they are",
            _any_flags(),
            demands.inputs_kept(("right", "count")),
            "your function writes into the flags that it was given.",
        ),
    ),
)


def average_precision(student: Callable) -> Verdict:
    """Checks the area under the monotone precision-recall curve.

    Args:
        student: a function of ``(D,)`` booleans, the detections that count, best first, and the number of
            objects to find, at least 1, that gives one number.
    """
    return _AVERAGE_PRECISION.check(student)


# Matching

_FAR = 200


@st.composite
def _scenes(
    draw: st.DrawFn,
    truths: tuple[int, int] = (1, 3),
    per_truth: tuple[int, int] = (0, 2),
    strays: int = 1,
    shifts: tuple[int, ...] = (0, 1, 2, 6),
    difficult: tuple[bool, ...] = (False, True),
    classes: int = 1,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Detections and their classes; objects, their classes, and which are difficult.

    The objects stand in a row, 10 wide and 20 apart, so that a detection reaches one at most.
    """
    objects, found = [], []
    for i in range(draw(st.integers(*truths))):
        left = 20 * i
        label, hard = draw(st.integers(0, classes - 1)), draw(st.sampled_from(difficult))
        objects.append(([left, 0, left + 10, 6], label, hard))
        for _ in range(draw(st.integers(*per_truth))):
            shift, said = draw(st.sampled_from(shifts)), draw(st.integers(0, classes - 1))
            found.append(([left + shift, 0, left + shift + 10, 6], said))
    for i in range(draw(st.integers(0, strays))):
        found.append(([_FAR + 20 * i, 0, _FAR + 20 * i + 10, 6], draw(st.integers(0, classes - 1))))
    found = draw(st.permutations(found))
    return (
        tensor([box for box, _ in found]).float().reshape(-1, 4),
        tensor([label for _, label in found]).long(),
        tensor([box for box, _, _ in objects]).float().reshape(-1, 4),
        tensor([label for _, label, _ in objects]).long(),
        tensor([hard for _, _, hard in objects]).bool(),
    )


class _Truths:
    def __init__(self, boxes: Tensor, classes: Tensor, difficult: Tensor) -> None:
        self.boxes, self.classes, self.difficult = boxes, classes, difficult


def _falling(count: int) -> Tensor:
    return torch.linspace(0.9, 0.1, count)


def _match(boxes: Tensor, truths: Tensor, difficult: Tensor) -> list[int]:
    """The library's verdicts: 1 right, 0 wrong, −1 ignored."""
    found = Detections(boxes, _falling(len(boxes)), torch.zeros(len(boxes), dtype=torch.int64))
    objects = _Truths(truths, torch.zeros(len(truths), dtype=torch.int64), difficult)
    kinds = sort_failures([found], [objects], ["thing"]).kinds
    return np.select([kinds == RIGHT, kinds == IGNORED], [1, -1], 0).tolist()


_VERDICT = "1, 0 or -1 in each place"


def _as_verdicts(answer: object, count: int) -> list[int]:
    values = answer.tolist() if isinstance(answer, Tensor | np.ndarray) else answer
    if not isinstance(values, list | tuple):
        raise Fault(
            f"expected a list with 1, 0 or -1 for each detection, yours gave {kind(answer)}",
            "one verdict for each detection, in their order.",
        )
    verdicts = []
    for value in values:
        try:
            number = demands.as_number(value, _VERDICT)
        except Fault as fault:
            raise Fault(str(fault), "the verdicts are numbers: 1 right, 0 wrong, -1 ignored.") from None
        if number not in (1, 0, -1):
            raise Fault(f"expected {_VERDICT}, yours gave {number:g}")
        verdicts.append(int(number))
    if len(verdicts) != count:
        raise Fault(
            f"expected {count} verdicts, one for each detection; yours gave {len(verdicts)}",
            "does every path through your loop give a verdict, and only one?",
        )
    return verdicts


def _verdicts(student: Student, case: Case) -> str | None:
    expected, got = _match(*case), _as_verdicts(student(*case), len(case[0]))
    for i, (wanted, given) in enumerate(zip(expected, got, strict=True)):
        if wanted != given:
            words = {1: "right (1)", 0: "wrong (0)", -1: "ignored (-1)"}
            return f"detection {i}: expected {words[wanted]}, yours gave {words[given]}"
    return None


def _to_match(scene: SearchStrategy) -> SearchStrategy[Case]:
    return scene.map(lambda s: (s[0], s[2], s[4]))


# Both objects are near enough, the second is the better fit, and one of the two is difficult.
_SIDE_BY_SIDE = st.builds(
    lambda shift, first_is_difficult: (
        tensor([[shift, 0, 10 + shift, 6]]).float(),
        tensor([[0, 0, 10 + 3 * shift, 6], [shift, 0, 10 + shift, 6]]).float(),
        tensor([first_is_difficult, not first_is_difficult]),
    ),
    st.integers(1, 3),
    st.booleans(),
)
_TAKEN = st.integers(1, 2).map(
    lambda shift: (
        tensor([[0, 0, 10, 6], [0, 0, 10, 6]]).float(),
        tensor([[0, 0, 10, 6], [0, 0, 10 + shift, 6]]).float(),
        tensor([False, False]),
    )
)
_HALF = st.integers(1, 5).map(
    lambda width: (
        tensor([[0, 0, width, 6]]).float(),
        tensor([[0, 0, 2 * width, 6]]).float(),
        tensor([False]),
    )
)
_EASY, _HARD = (False,), (True,)

_VOC_MATCH = Exercise(
    "VOC's matching",
    ("boxes", "truths", "difficult"),
    (
        Property(
            "one detection on its object",
            _to_match(_scenes((1, 1), (1, 1), 0, (0, 1), _EASY)),
            _verdicts,
            "their IoU is at least one half, and nobody came before: right.",
        ),
        Property(
            "a detection of nothing",
            _to_match(_scenes((1, 2), (0, 0), 2, (0,), _EASY)).filter(lambda case: len(case[0]) > 0),
            _verdicts,
            "even the object that it overlaps most is too far away. Where do you ask for the IoU?",
        ),
        Property(
            "a box too far off",
            _to_match(_scenes((1, 1), (1, 1), 0, (6,), _EASY)),
            _verdicts,
            "to touch an object isn't to find it.",
        ),
        Property(
            "an IoU of exactly one half",
            _HALF,
            _verdicts,
            "VOC's program says: at least .5.",
        ),
        Property(
            "a difficult object",
            _to_match(_scenes((1, 1), (1, 1), 0, (0, 1), _HARD)),
            _verdicts,
            "to find a difficult object is neither right nor wrong.",
        ),
        Property(
            "a box too far from a difficult object",
            _to_match(_scenes((1, 1), (1, 1), 0, (6,), _HARD)),
            _verdicts,
            "only a detection that reaches the difficult object is ignored.",
        ),
        Property(
            "an object found twice",
            _to_match(_scenes((1, 2), (2, 3), 0, (0, 1, 2), _EASY)),
            _verdicts,
            "the detections come best first. What has to be remembered from one to the next?",
        ),
        Property(
            "a difficult object, found twice",
            _to_match(_scenes((1, 1), (2, 3), 0, (0, 1, 2), _HARD)),
            _verdicts,
            "it isn't asked for, so nobody can use it up.",
        ),
        Property(
            "two objects, one a better fit",
            _SIDE_BY_SIDE,
            _verdicts,
            "which of the two does the detection overlap most? Only that one counts.",
        ),
        Property(
            "the best fit is taken, another is free",
            _TAKEN,
            _verdicts,
            "VOC looks for the object first, and asks afterwards whether it's free. It has no second choice.",
        ),
        Property(
            "no detections",
            _to_match(_scenes((1, 2), (0, 0), 0)),
            _verdicts,
            "there are objects, but nothing to judge: an empty list, not an error.",
        ),
        Property(
            "scenes at random",
            _to_match(_scenes(strays=2)),
            _verdicts,
            "take the detections one by one, and write down which object each one means.",
            tries=60,
        ),
        Property(
            "no objects at all",
            _to_match(_scenes((0, 0), strays=2)),
            _verdicts,
            "whatever is said about an empty image is wrong; and what is the best of no objects?",
        ),
        Property(
            "the inputs stay as they are",
            _to_match(_scenes()),
            demands.inputs_kept(("boxes", "truths", "difficult")),
            "remember in something of your own what is used up.",
        ),
    ),
    lambda boxes, truths, difficult: drawing.draw_matching(boxes, truths),
)


def voc_match(student: Callable) -> Verdict:
    """Checks VOC's matching in one image, of one class, at an IoU of at least .5.

    Args:
        student: a function of ``(N, 4)`` detections, best first, ``(M, 4)`` objects, both float32 ``xyxy``,
            and ``(M,)`` booleans that say which are difficult, that gives for each detection 1 (right), 0
            (wrong) or −1 (ignored), as a list or a tensor.
    """
    return _VOC_MATCH.check(student)


# Confusion matrix


def _confusion(boxes: Tensor, classes: Tensor, truths: Tensor, truth_classes: Tensor, size: int) -> Tensor:
    found = Detections(boxes, _falling(len(boxes)), classes)
    objects = _Truths(truths, truth_classes, torch.zeros(len(truths), dtype=torch.bool))
    names = [str(i) for i in range(size)]
    return torch.from_numpy(confusion_matrix([found], [objects], names, score_threshold=0.0))


def _same_matrix(student: Student, case: Case) -> str | None:
    expected, answer = _confusion(*case), student(*case)
    if isinstance(answer, np.ndarray):
        answer = torch.from_numpy(answer)
    if isinstance(answer, Tensor) and not answer.is_floating_point():
        answer = answer.double()
    got = demands.as_tensor(answer, expected.shape)
    if torch.equal(got, expected.double().T) and not torch.equal(got, expected.double()):
        raise Fault("rows and columns are exchanged", "a row for each class of objects, as in the chapter.")
    for i, j in (got != expected).nonzero().tolist():
        return f"row {i}, column {j}: {demands.differ(expected[i, j].item(), got[i, j].item())}"
    return None


def _to_confuse(scene: SearchStrategy, size: int = 3) -> SearchStrategy[Case]:
    return scene.map(lambda s: (*s[:4], size))


_CONFUSION_INPUTS = ("boxes", "classes", "truths", "truth_classes", "num_classes")

_CONFUSION = Exercise(
    "confusion matrix",
    _CONFUSION_INPUTS,
    (
        Property(
            "each object found once",
            _to_confuse(_scenes((1, 3), (1, 1), 0, (0, 1), _EASY, 3)),
            _same_matrix,
            "one entry for each pair: the object's class says which row, the detection's which column.",
        ),
        Property(
            "objects that nothing finds",
            _to_confuse(_scenes((1, 3), (0, 0), 0, (0,), _EASY, 3)),
            _same_matrix,
            "what isn't found goes into the last column, in the row of its class.",
        ),
        Property(
            "detections of nothing",
            _to_confuse(_scenes((0, 0), (0, 0), 2, (0,), _EASY, 3)),
            _same_matrix,
            "what isn't there goes into the last row, in the column of the detection's class.",
        ),
        Property(
            "boxes too far off",
            _to_confuse(_scenes((1, 2), (1, 1), 0, (6,), _EASY, 3)),
            _same_matrix,
            "below one half both are left over: a detection of nothing, and an object that isn't found.",
        ),
        Property(
            "an object found twice",
            _to_confuse(_scenes((1, 2), (2, 3), 0, (0, 1, 2), _EASY, 3)),
            _same_matrix,
            "each object is taken by the best detection alone; for the others it's gone.",
        ),
        Property(
            "two objects, one a better fit",
            _SIDE_BY_SIDE.map(lambda s: (s[0], tensor([0]), s[1], tensor([0, 1]), 3)),
            _same_matrix,
            "a detection takes the free object that it overlaps most, of its own class or not.",
        ),
        Property(
            "the best fit is taken, another is free",
            _TAKEN.map(lambda s: (s[0], tensor([0, 1]), s[1], tensor([0, 1]), 3)),
            _same_matrix,
            "unlike VOC's rule, the matrix gives a detection the best of the objects that are still free.",
        ),
        Property(
            "an IoU of exactly one half",
            _HALF.map(lambda s: (s[0], tensor([0]), s[1], tensor([1]), 3)),
            _same_matrix,
            "one half is enough.",
        ),
        Property(
            "scenes at random",
            _to_confuse(_scenes(strays=2, difficult=_EASY, classes=3)),
            _same_matrix,
            "add up each row: it should give the objects of that class. Which row or column is off?",
            tries=60,
        ),
        Property(
            "the inputs stay as they are",
            _to_confuse(_scenes(difficult=_EASY, classes=3)),
            demands.inputs_kept(_CONFUSION_INPUTS),
            "remember in something of your own what is used up.",
        ),
    ),
    lambda boxes, classes, truths, truth_classes, num_classes: drawing.draw_matching(boxes, truths),
)


def confusion(student: Callable) -> Verdict:
    """Checks a detector's confusion matrix in one image, at an IoU of at least .5.

    Args:
        student: a function of ``(N, 4)`` detections, best first, their ``(N,)`` classes, ``(M, 4)``
            objects, their ``(M,)`` classes and the number C of classes, that gives a (C + 1, C + 1) tensor:
            rows objects, columns detections, the background last.
    """
    return _CONFUSION.check(student)


# Exercise 14.1: six detections in order, of six objects, one of them difficult
_HAND, _HAND_COUNT = (True, True, False, False, True), 5


def _hand(right: tuple[bool, ...] = _HAND, count: int = _HAND_COUNT) -> tuple[float, float]:
    return twin.average_precision(np.array(right), count)


ANSWERS = {
    "14.1": (
        Question(
            "recall after the last detection",
            lambda: sum(_HAND) / _HAND_COUNT,
            "objects found, over objects to find. Which object isn't asked for?",
            (Slip(lambda: sum(_HAND) / 6, "six objects were drawn, but one of them is difficult."),),
        ),
        Question(
            "AP by area",
            lambda: _hand()[0],
            "a column for each right detection: as high as the envelope there, and 1 / G wide.",
            (
                Slip(lambda: _hand(count=6)[0], "the difficult object isn't asked for."),
                Slip(lambda: _hand(count=3)[0], "that divides by what is found, not by what is there."),
                Slip(
                    lambda: _hand((True, False, True, False, False, True))[0],
                    "the ignored detection is struck out: it counts as neither.",
                ),
            ),
        ),
        Question(
            "AP by eleven points",
            lambda: _hand()[1],
            "for each of 0, .1, …, 1: the best precision at that recall or more; 0 where it's never reached.",
            (Slip(lambda: _hand()[0], "that is the area. Sample the envelope at eleven recalls."),),
        ),
    ),
}

PREDICTIONS = {
    "14.1": (
        Question(
            "AP with a wrong detection at the end",
            lambda: _hand((*_HAND, False))[0],
            "at which of the columns does the envelope change?",
        ),
        Question(
            "AP with a wrong detection at the head",
            lambda: _hand((False, *_HAND))[0],
            "every precision after it is lower. Write the six of them down.",
        ),
    ),
}


def _goes_wrong(function: Callable, boxes: Tensor, truths: Tensor, difficult: Tensor) -> str | None:
    for name, value in (("boxes", boxes), ("truths", truths)):
        if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[1] != 4:
            raise ValueError(f"{name} should be a list or a tensor of boxes [x1, y1, x2, y2]")
        geometry.validate(value.float(), name)
    if not isinstance(difficult, Tensor) or difficult.shape != truths.shape[:1]:
        raise ValueError("difficult should be a list or tensor with True or False for each object")
    boxes, truths, difficult = boxes.float(), truths.float(), difficult.bool()
    gave = _as_verdicts(function(boxes, truths, difficult), len(boxes))
    if gave != _match(boxes, truths, difficult):
        return None
    return "on this image the function is right"


EXAMPLES = {
    "14.4": Hunt(
        "this matching is VOC's",
        _goes_wrong,
        "with ordinary objects it's right. What does it remember about the others?",
    ),
}

CHECKERS = (average_precision, voc_match, confusion)
