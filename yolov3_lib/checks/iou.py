"""Chapter 1, IoU: what a right answer to its exercises does."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, maximum, minimum, stack, tensor

from yolov3_lib import boxes as twin
from yolov3_lib.checks import cases, demands, drawing, work
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import show

_TWO = ("A", "B")


def _moved(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    shift = tensor([-30.0, 7.0, -30.0, 7.0])
    return a + shift, b + shift


Formula = Callable[[Tensor, Tensor], object]
_TINY = (
    "something treats numbers below 1 differently: a constant that is added, a max(…, 1), "
    "or a conversion to int."
)


def _shared_twice(a: Tensor, b: Tensor) -> Tensor:
    return twin.intersection(a, b) / (twin.area(a) + twin.area(b))


def _slips(measure: Formula, name: str) -> tuple[tuple[Formula, str], ...]:
    """What is easily done to a right number, with a sentence on each."""
    return (
        (lambda a, b: 100 * measure(a, b), f"that is the {name} in percent. A fraction of 1 is wanted."),
        (lambda a, b: round(float(measure(a, b)), 2), f"that is the {name}, rounded. Keep all its digits."),
        (
            lambda a, b: 1 - measure(a, b),
            f"that is 1 − {name}: a distance, which is small where boxes agree.",
        ),
    )


_IOU_SLIPS = (
    *_slips(twin.iou, "IoU"),
    (_shared_twice, "the denominator holds the shared part twice: once with A, once with B."),
)
_GIOU_SLIPS = (
    *_slips(twin.giou, "GIoU"),
    (twin.iou, "that is the IoU alone. What does the second term of (1.8) say here?"),
    (twin.diou, "that is DIoU, (1.9), about the distance of the centers. GIoU is about empty area."),
)
_WHOLE = "a whole number came. Is it one on purpose, or has an int, a round or a // cut it off?"


def _number(right: Formula, slips: tuple[tuple[Formula, str], ...]) -> demands.Check:
    """The right number; a hint of its own for the numbers that slips lead to."""

    def check(student: Student, case: Case) -> str | None:
        answer = student(*case)
        got = demands.as_number(answer)
        problem = demands.differ(demands.as_number(right(*case)), got)
        if problem is None:
            return None
        for formula, hint in slips:
            if demands.differ(demands.as_number(formula(*case)), got) is None:
                raise Fault(problem, hint)
        if isinstance(answer, int) or (isinstance(answer, Tensor) and not answer.is_floating_point()):
            raise Fault(problem, _WHOLE)
        return problem

    return check


_IOU = Exercise(
    "IoU of two boxes",
    _TWO,
    (
        Property(
            "overlapping boxes",
            cases.pairs("crossing"),
            _number(twin.iou, _IOU_SLIPS),
            "work out the shared area on paper first: where does it begin and end? Then the total.",
        ),
        Property(
            "one box inside the other",
            cases.nested_pairs(),
            demands.number(twin.iou),
            "which edges bound the shared part here? All four belong to one box.",
        ),
        Property(
            "a box and its copy",
            cases.equal_pairs(),
            demands.number(twin.iou),
            "two boxes in the same place agree fully. Is anything counted twice, or not taken away?",
        ),
        Property(
            "disjoint boxes",
            cases.pairs("apart"),
            demands.number(twin.iou),
            "look at the sign of the overlap's width and height before you multiply.",
        ),
        Property(
            "boxes apart along one axis only",
            cases.separated_on_one_axis(),
            demands.number(twin.iou),
            "one side of the overlap has a length here, the other hasn't. What should the area be?",
        ),
        Property(
            "boxes that only touch",
            cases.touching_pairs(),
            demands.number(twin.iou),
            "edges have no thickness: the shared part is a line or a point, and such a thing covers nothing.",
        ),
        Property(
            "boxes without area",
            cases.flat_pairs(),
            demands.number(twin.iou),
            "a line or a point covers nothing. Look at what you divide by when both boxes are like that.",
        ),
        Property(
            "tiny boxes, relative to the image",
            cases.tiny_pairs(),
            demands.number(twin.iou),
            _TINY,
        ),
        Property(
            "negative coordinates",
            cases.shifted_pairs(),
            demands.number(twin.iou),
            "a prediction may reach beyond the image. It's lengths that can't be negative; coordinates can.",
        ),
        Property(
            "swapping the boxes",
            cases.pairs("any"),
            demands.unmoved(lambda a, b: (b, a), "A and B swapped"),
            "A's agreement with B is B's agreement with A. Which of your steps treats them differently?",
        ),
        Property(
            "shifting both boxes",
            cases.pairs("any"),
            demands.unmoved(_moved, "both shifted by (-30, 7)"),
            "only lengths may enter the result, and lengths don't change when everything moves together.",
        ),
        Property(
            "the inputs stay as they are",
            cases.pairs("any"),
            demands.inputs_kept(_TWO),
            "assigning to a[0], and methods that end in an underscore, write into the caller's tensor.",
        ),
    ),
    drawing.draw_pair,
)


def iou(student: Callable) -> Verdict:
    """Checks an IoU of two boxes.

    Args:
        student: a function of two boxes, ``(4,)`` float32 tensors in ``xyxy``, that gives one number: a
            float or a tensor without dimensions. Boxes without area have an IoU of 0 with everything.
    """
    return _IOU.check(student)


def _all_pairs(source: str) -> Exercise:
    """The exercise for boxes in the format ``source``."""

    def written(boxes: SearchStrategy[tuple[Tensor, Tensor]]) -> SearchStrategy[tuple[Tensor, Tensor]]:
        return boxes.map(lambda pair: tuple(twin.convert(part, "xyxy", source) for part in pair))

    def one_each(pairs: SearchStrategy[tuple[Tensor, Tensor]]) -> SearchStrategy[tuple[Tensor, Tensor]]:
        return written(pairs.map(lambda pair: (pair[0][None], pair[1][None])))

    def edges(*sets: Tensor) -> tuple[Tensor, ...]:
        return tuple(twin.convert(boxes, source, "xyxy") for boxes in sets)

    def together(*pairs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        first, second = zip(*pairs, strict=True)
        return stack(first), stack(second)

    agrees = demands.matrix(lambda a, b: twin.pairwise_iou(*edges(a, b)), "A", "B")
    return Exercise(
        "IoU of all pairs",
        _TWO,
        (
            Property(
                "one box with one box",
                one_each(cases.pairs("crossing")),
                agrees,
                "start here: with N = M = 1 the result holds one number, in a matrix. What do the four "
                f"numbers of a box mean in {source}?",
            ),
            Property(
                "disjoint boxes",
                one_each(cases.pairs("apart")),
                agrees,
                "what you had to do for two boxes that are apart, you have to do for every pair.",
            ),
            Property(
                "boxes without area",
                one_each(cases.flat_pairs()),
                agrees,
                "0/0 in one entry is NaN in that entry. Which entries divide by nothing?",
            ),
            Property(
                "tiny boxes, relative to the image",
                one_each(cases.tiny_pairs()),
                agrees,
                "a union may be far below 1 and still not be 0. Which unions does your remedy change?",
            ),
            Property(
                "negative coordinates",
                one_each(cases.shifted_pairs()),
                agrees,
                "a prediction may reach beyond the image: coordinates can be negative, lengths can't.",
            ),
            Property(
                "N boxes with M boxes",
                written(cases.two_box_lists()),
                agrees,
                "row i belongs to box i of A, column j to box j of B. Write down the shape after every step.",
            ),
            Property(
                "some boxes without area among others",
                written(st.builds(together, cases.flat_pairs(), cases.pairs("crossing"))),
                agrees,
                "an empty union concerns its own entry. What happens to the others because of it?",
            ),
            Property(
                "no loop over the boxes",
                written(cases.two_box_lists()),
                work.no_loop(lambda a, b: (a.repeat(4, 1), b.repeat(4, 1))),
                "give A and B an extra dimension of length 1, in different places, and let them broadcast.",
            ),
            Property(
                "no boxes at all",
                written(cases.two_box_lists().map(lambda pair: (pair[0][:0], pair[1]))),
                agrees,
                "an image without detections is an ordinary image: N = 0 makes a matrix with no rows.",
            ),
            Property(
                "the inputs stay as they are",
                written(cases.two_box_lists()),
                demands.inputs_kept(_TWO),
                "+= and methods that end in an underscore write into the caller's tensor, views included.",
            ),
        ),
        lambda a, b: drawing.draw_sets(*edges(a, b)),
    )


_PAIRWISE_IOU = {source: _all_pairs(source) for source in twin.FORMATS}


def pairwise_iou(student: Callable, source: str = "xyxy") -> Verdict:
    """Checks an IoU of all pairs.

    Args:
        student: a function of ``(N, 4)`` and ``(M, 4)`` float32 boxes that gives an ``(N, M)`` tensor
            without a loop over the boxes.
        source: the boxes' format, ``"xyxy"``, ``"cxcywh"`` or ``"xywh"``.
    """
    return _PAIRWISE_IOU[source].check(student)


_GIOU = Exercise(
    "GIoU of two boxes",
    _TWO,
    (
        Property(
            "a box and its copy",
            cases.equal_pairs(),
            _number(twin.giou, _GIOU_SLIPS),
            "the smallest box around two equal boxes is that box: nothing of it is empty.",
        ),
        Property(
            "overlapping boxes",
            cases.pairs("crossing"),
            _number(twin.giou, _GIOU_SLIPS),
            "how much of the enclosing box belongs to neither A nor B? And relative to which area?",
        ),
        Property(
            "one box inside the other",
            cases.nested_pairs(),
            demands.number(twin.giou),
            "the enclosing box is the outer one, so none of it is empty.",
        ),
        Property(
            "disjoint boxes",
            cases.pairs("apart"),
            demands.number(twin.giou),
            "the overlap is nothing here, and yet the answer depends on how far apart the two are.",
        ),
        Property(
            "boxes apart along one axis only",
            cases.separated_on_one_axis(),
            demands.number(twin.giou),
            "check the union that you take from the enclosing box: is it right when the boxes don't meet?",
        ),
        Property(
            "from −1 to 1",
            cases.pairs("any"),
            demands.within(-1, 1),
            "the empty part is a fraction of the enclosing box. Which area do you divide by?",
        ),
        Property(
            "tiny boxes, relative to the image",
            cases.tiny_pairs(),
            demands.number(twin.giou),
            _TINY,
        ),
        Property(
            "swapping the boxes",
            cases.pairs("any"),
            demands.unmoved(lambda a, b: (b, a), "A and B swapped"),
            "the enclosing box doesn't care which box comes first.",
        ),
        Property(
            "the inputs stay as they are",
            cases.pairs("any"),
            demands.inputs_kept(_TWO),
            "assigning to a[0], and methods that end in an underscore, write into the caller's tensor.",
        ),
    ),
    drawing.draw_pair,
)


def giou(student: Callable) -> Verdict:
    """Checks a generalized IoU of two boxes.

    Args:
        student: a function of two boxes of positive area, ``(4,)`` float32 tensors in ``xyxy``, that gives
            one number: a float or a tensor without dimensions.
    """
    return _GIOU.check(student)


def _match(detections: Tensor, truths: Tensor, threshold: float) -> tuple[int, int, int]:
    overlaps = twin.pairwise_iou(detections, truths).tolist()
    found: set[int] = set()
    for row in overlaps:
        best = max(range(len(row)), key=row.__getitem__, default=None)
        if best is not None and row[best] >= threshold:
            # A truth already found stays found; the detection that finds it again is wrong.
            found.add(best)
    return len(found), len(overlaps) - len(found), len(truths) - len(found)


_BY_NAME = demands.counts(_match, ("right", "wrong", "missed"))


def _counts(student: Student, case: Case) -> str | None:
    problem = _BY_NAME(student, case)
    if problem and sorted(map(int, student(*case))) == sorted(_match(*case)):
        raise Fault(problem, "these are the right three numbers, in another order.")
    return problem


def _counts_afresh(student: Student, case: Case) -> str | None:
    problem, before = _counts(student, case), student(*case)
    # More objects than the function can remember from any call before
    other = tensor([[20.0 * i, 0, 20 * i + 9, 9] for i in range(int(max(before)) + 1)])
    student(other, other, 0.5)
    after = student(*case)
    if before != after:
        raise Fault(
            f"yours gave {show(before)}, and {show(after)} when called on the same image once more",
            "what does it remember of the calls before? A default value is made once, not at every call.",
        )
    return problem


_COUNT_MATCHES = Exercise(
    "matching detections to truths",
    ("detections", "truths", "threshold"),
    (
        Property(
            "every object found once",
            cases.matching(per_truth=(1, 1)),
            _counts_afresh,
            "each detection lies exactly on one truth: all right, none wrong, none missed.",
        ),
        Property(
            "nothing detected",
            cases.matching(per_truth=(0, 0)),
            _counts,
            "there is no best among no boxes. Which of the three counts is known anyway?",
        ),
        Property(
            "nothing there",
            cases.matching(per_truth=(1, 2)).map(lambda case: (case[0], case[1][:0], case[2])),
            _counts,
            "an image may hold no object at all. What is every detection then?",
        ),
        Property(
            "one object found twice",
            cases.matching(per_truth=(2, 2)),
            _counts,
            "an object can be found once. What do you remember about the truths that were taken? "
            "(Two tensors are never the same element of a set: use int(j).)",
        ),
        Property(
            "an IoU equal to the threshold",
            cases.half_found(),
            _counts,
            "read the rule once more: from which IoU on is a detection right?",
        ),
        Property(
            "detections a little off",
            cases.matching(per_truth=(0, 2), jitter=3),
            _counts,
            "how much is a little? The threshold decides which of these are right.",
        ),
        Property(
            "objects close together",
            cases.matching(per_truth=(0, 2), jitter=1, step=(1, 3)),
            _counts,
            "here a detection overlaps two truths by more than the threshold. For which does it compete?",
            tries=60,
        ),
        Property(
            "the inputs stay as they are",
            cases.matching(per_truth=(1, 2), jitter=1),
            demands.inputs_kept(("detections", "truths", "threshold")),
            "marking a truth as taken inside the caller's tensor changes the truths for everybody after you.",
        ),
    ),
    lambda detections, truths, threshold: drawing.draw_matching(detections, truths),
)


def count_matches(student: Callable) -> Verdict:
    """Checks the count of right, wrong and missed detections.

    Args:
        student: a function of ``(N, 4)`` detections, best first, ``(M, 4)`` truths, both float32 ``xyxy``,
            and an IoU threshold, that gives the counts ``(right, wrong, missed)``. A detection competes
            only for the truth that it overlaps most. It is right if their IoU reaches the threshold and no
            detection before it has taken that truth.
    """
    return _COUNT_MATCHES.check(student)


# Exercise 1.1: a box, and its copy moved right by half its width
_BOX, _HALF_OFF = tensor([0.0, 0.0, 6.0, 4.0]), tensor([3.0, 0.0, 9.0, 4.0])


def _doubled(box: Tensor) -> Tensor:
    center_and_size = twin.convert(box, "xyxy", "cxcywh")
    return twin.convert(center_and_size * tensor([1.0, 1.0, 2.0, 2.0]), "cxcywh", "xyxy")


def _off_by_one(side: float) -> float:
    box = tensor([0.0, 0.0, side, side])
    return twin.iou(box, box + 1).item()


PREDICTIONS = {
    "1.1": (
        Question(
            "IoU when half of each is shared",
            lambda: twin.iou(_BOX, _HALF_OFF).item(),
            "half of A is shared, and half of B. Is that half of everything that the two cover?",
        ),
    ),
}

ANSWERS = {
    "1.1": (
        Question(
            "intersection",
            lambda: twin.intersection(_BOX, _HALF_OFF).item(),
            "where does the shared part begin, and where does it end, along x and along y?",
            (
                Slip(
                    lambda: twin.area(_BOX).item(),
                    "that is the area of one whole box; B begins in the middle of A.",
                ),
            ),
        ),
        Question(
            "union",
            lambda: (twin.area(_BOX) + twin.area(_HALF_OFF) - twin.intersection(_BOX, _HALF_OFF)).item(),
            "the union is everything that at least one of the two covers.",
            (
                Slip(
                    lambda: (twin.area(_BOX) + twin.area(_HALF_OFF)).item(),
                    "the sum of the two areas counts the shared part twice.",
                ),
            ),
        ),
        Question(
            "IoU",
            lambda: twin.iou(_BOX, _HALF_OFF).item(),
            "you have both numbers; which one stands below the line?",
            (
                Slip(
                    lambda: 0.5, "one half is the shared part of A alone. Compare with the union, not with A."
                ),
            ),
        ),
        Question(
            "same center, twice as wide and high",
            lambda: twin.iou(_BOX, _doubled(_BOX)).item(),
            "A lies inside the large box. So what is their intersection, and what is their union?",
            (Slip(lambda: 0.5, "twice as wide and twice as high: how many times the area is that?"),),
        ),
        Question(
            "10-pixel box, one pixel off both ways",
            lambda: _off_by_one(10),
            "the shared part is one pixel narrower and one lower than the box.",
            (Slip(lambda: 0.81, "that is the shared part of one box. The union is more than one box."),),
        ),
    ),
}


def _lies_on(function: Callable, a: Tensor, b: Tensor) -> str | None:
    for name, box in zip(_TWO, (a, b), strict=True):
        if not isinstance(box, Tensor) or tuple(box.shape) != (4,):
            raise ValueError(f"{name} should be one box, tensor([x1, y1, x2, y2])")
        try:
            twin.validate(box, name)
        except ValueError as error:
            hint = "the four numbers of a box are its corners, not a corner, a width and a height."
            raise Fault(f"that can't be tried: {error}", hint) from error
    gave, right = demands.as_number(function(a.float(), b.float())), twin.iou(a, b).item()
    if demands.differ(right, gave) is not None:
        return None
    told = f"on these two boxes the function is right, it gives {show(gave)}"
    width, height = (minimum(a[2:], b[2:]) - maximum(a[:2], b[:2])).tolist()
    if width < 0 and height < 0 and width * height >= (twin.area(a) + twin.area(b)).item():
        raise Fault(
            f"{told}. Both factors are negative, well done",
            "but their product is larger than the two areas together, so the union is negative and the last "
            "line hides it. Move them closer.",
        )
    return told


EXAMPLES = {
    "1.3": Hunt(
        "this IoU is right",
        _lies_on,
        "when does the product of two numbers look fine although the numbers don't?",
    ),
}

CHECKERS = (iou, pairwise_iou, giou, count_matches)
