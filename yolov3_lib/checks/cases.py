"""Cases to try: Hypothesis strategies for boxes, pairs of boxes, and scored boxes.

Coordinates are small whole numbers, so that a counterexample can be checked by hand; only tiny boxes are
fractions of the image. Tensors are float32.
"""

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, tensor

from yolov3_lib.boxes import pairwise_iou

# IoU thresholds that no IoU of boxes with small whole numbers equals, so that rounding never decides a case.
THRESHOLDS = (0.3141, 0.4567, 0.6543)
# Thresholds that an IoU may equal: these are exact in binary, and so is an IoU that equals one of them.
EXACT_THRESHOLDS = (0.25, 0.5, 0.75)

Span = tuple[float, float]


def as_box(x: Span, y: Span) -> Tensor:
    """A (4,) xyxy box from its extents along x and y."""
    return tensor([x[0], y[0], x[1], y[1]]).float()


_NUMBERS = st.tuples(
    st.integers(0, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.booleans()
)


def spans(relation: str) -> SearchStrategy[tuple[Span, Span]]:
    """Two intervals, "apart", "touching", "crossing" or "any", either one first; or the second "nested"."""

    def build(numbers: tuple[int, int, int, int, bool]) -> tuple[Span, Span]:
        start, size, other, extra, swap = numbers
        end = start + size
        if relation == "apart":
            a, b = (start, end), (end + 1 + extra, end + 1 + extra + other)
        elif relation == "touching":
            a, b = (start, end), (end, end + other)
        elif relation == "crossing":
            a, b = (start, end + 1), (start + 1 + extra % size, end + 1 + other)
        elif relation == "nested":
            first = start + extra % (other + 1)
            return (start, end + other), (first, first + size)
        else:
            a, b = (start, end), (extra, extra + other)
        return (b, a) if swap else (a, b)

    return _NUMBERS.map(build)


def pairs(x: str, y: str | None = None) -> SearchStrategy[tuple[Tensor, Tensor]]:
    """Two boxes whose extents along x and along y are related as `spans` says; y like x unless given."""

    def build(spans_x: tuple[Span, Span], spans_y: tuple[Span, Span]) -> tuple[Tensor, Tensor]:
        return as_box(spans_x[0], spans_y[0]), as_box(spans_x[1], spans_y[1])

    return st.builds(build, spans(x), spans(y or x))


def nested_pairs() -> SearchStrategy[tuple[Tensor, Tensor]]:
    """One box inside the other, A or B outside."""
    return st.one_of(pairs("nested"), pairs("nested").map(lambda pair: pair[::-1]))


def separated_on_one_axis() -> SearchStrategy[tuple[Tensor, Tensor]]:
    """Two boxes that overlap along one axis and are apart along the other."""
    return st.one_of(pairs("apart", "crossing"), pairs("crossing", "apart"))


def touching_pairs() -> SearchStrategy[tuple[Tensor, Tensor]]:
    """Two boxes with a common edge or a common corner."""
    return st.one_of(pairs("touching", "crossing"), pairs("crossing", "touching"), pairs("touching"))


def boxes() -> SearchStrategy[Tensor]:
    """One box with whole coordinates from 0 to 18 and sides of at least 1."""
    return pairs("any").map(lambda pair: pair[0])


def equal_pairs() -> SearchStrategy[tuple[Tensor, Tensor]]:
    """A box and its copy."""
    return boxes().map(lambda box: (box, box.clone()))


def flat_pairs() -> SearchStrategy[tuple[Tensor, Tensor]]:
    """Two boxes, at least one of them without area: a line or a point."""

    def flatten(box: Tensor, width: int, height: int) -> Tensor:
        return as_box((box[0], box[0] + width), (box[1], box[1] + height))

    flat = st.one_of(
        st.builds(flatten, boxes(), st.just(0), st.integers(0, 5)),
        st.builds(flatten, boxes(), st.integers(0, 5), st.just(0)),
    )
    return st.one_of(
        flat.map(lambda box: (box, box.clone())),
        st.tuples(flat, boxes()),
        st.tuples(boxes(), flat),
        st.tuples(flat, flat),
    )


def tiny_pairs() -> SearchStrategy[tuple[Tensor, Tensor]]:
    """Overlapping boxes in coordinates relative to the image: 1/128 is 3 pixels of 416."""
    return st.one_of(equal_pairs(), pairs("crossing")).map(lambda pair: (pair[0] / 128, pair[1] / 128))


def shifted_pairs() -> SearchStrategy[tuple[Tensor, Tensor]]:
    """Overlapping boxes that reach beyond the image's left and top edge, where coordinates are negative."""
    return pairs("crossing").map(lambda pair: (pair[0] - 20, pair[1] - 20))


def box_lists(min_size: int = 0, max_size: int = 5) -> SearchStrategy[Tensor]:
    """(N, 4) boxes with whole coordinates."""
    sizes = st.lists(boxes(), min_size=min_size, max_size=max_size)
    return sizes.map(lambda rows: tensor([row.tolist() for row in rows]).float().reshape(-1, 4))


def two_box_lists(min_size: int = 1) -> SearchStrategy[tuple[Tensor, Tensor]]:
    """(N, 4) and (M, 4) boxes."""
    return st.tuples(box_lists(min_size), box_lists(min_size))


@st.composite
def matching(
    draw: st.DrawFn, per_truth: tuple[int, int], jitter: int = 0, step: tuple[int, int] = (10, 15)
) -> tuple[Tensor, Tensor, float]:
    """Detections, truths, an IoU threshold: each truth detected so often, up to ``jitter`` pixels off.

    The truths stand in a row, each ``step`` pixels right of the one before. No detection overlaps two truths
    equally, for then it would be open which of them it competes for.
    """
    truths, detections, left = [], [], 0
    for _ in range(draw(st.integers(1, 3))):
        width = draw(st.integers(4, 9))
        truth = [left, 0, left + width, 6]
        truths.append(truth)
        left += draw(st.integers(*step))
        for _ in range(draw(st.integers(*per_truth))):
            offset = draw(st.integers(0, jitter))
            detections.append([truth[0] + offset, truth[1], truth[2] + offset, truth[3]])
    order = draw(st.permutations(range(len(detections))))
    found, there = tensor([detections[i] for i in order]).float().reshape(-1, 4), tensor(truths).float()
    if len(truths) > 1:
        first, second = pairwise_iou(found, there).topk(2).values.unbind(1)
        assume(not ((first > 0) & (first - second < 1e-3)).any())
    return found, there, draw(st.sampled_from(EXACT_THRESHOLDS))


def half_found() -> SearchStrategy[tuple[Tensor, Tensor, float]]:
    """One detection, the left half of one truth, and a threshold of 1/2."""

    def build(width: int, height: int) -> tuple[Tensor, Tensor, float]:
        return tensor([[0.0, 0, width, height]]), tensor([[0.0, 0, 2 * width, height]]), 0.5

    return st.builds(build, st.integers(1, 5), st.integers(1, 5))


@st.composite
def scored_boxes(
    draw: st.DrawFn, min_size: int = 1, max_size: int = 6, ties: bool = False
) -> tuple[Tensor, Tensor]:
    """(N, 4) boxes that overlap often, and their (N,) scores in no order: all different, or many equal."""
    corners = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(3, 8), st.integers(3, 8))
    rows = draw(st.lists(corners, min_size=min_size, max_size=max_size))
    boxes = tensor([[x, y, x + width, y + height] for x, y, width, height in rows]).float().reshape(-1, 4)
    percent = st.integers(1, 3) if ties else st.integers(1, 99)
    scores = draw(st.lists(percent, min_size=len(rows), max_size=len(rows), unique=not ties))
    return boxes, tensor(scores).float() / (4 if ties else 100)


def for_nms(min_size: int = 1, max_size: int = 6, ties: bool = False) -> SearchStrategy[tuple]:
    """Boxes, scores and an IoU threshold."""
    return st.builds(
        lambda scored, threshold: (*scored, threshold),
        scored_boxes(min_size, max_size, ties),
        st.sampled_from(THRESHOLDS),
    )


@st.composite
def row_of_boxes(draw: st.DrawFn, shift: int, count: int = 3, threshold: float = 0.5) -> tuple:
    """Boxes 9 wide, each ``shift`` to the right of the one before, best first, then shuffled."""
    height = draw(st.integers(1, 5))
    boxes = tensor([[i * shift, 0, i * shift + 9, height] for i in range(count)]).float()
    scores = tensor([0.9 - 0.1 * i for i in range(count)])
    order = list(draw(st.permutations(range(count))))
    return boxes[order], scores[order], threshold


def flat_for_nms() -> SearchStrategy[tuple]:
    """Boxes, scores and an IoU threshold; the first box, and some more, without width."""

    def flatten(case: tuple, also: list[bool]) -> tuple:
        boxes, scores, threshold = case
        flat = tensor([True, *also])[: len(boxes)]
        boxes[flat, 2] = boxes[flat, 0]
        return boxes, scores, threshold

    # Drawn afresh for every case, so that writing into the boxes changes nothing else.
    return st.builds(flatten, for_nms(1, 4), st.lists(st.booleans(), min_size=3, max_size=3))


@st.composite
def classed_boxes(
    draw: st.DrawFn, min_size: int = 1, scale: int = 1, offset: int = 0
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Boxes, scores, classes from 0 to 2 and an IoU threshold; boxes scaled, then moved by ``offset``."""
    boxes, scores = draw(scored_boxes(min_size))
    classes = draw(st.lists(st.integers(0, 2), min_size=len(scores), max_size=len(scores)))
    return boxes * scale + offset, scores, tensor(classes).long(), draw(st.sampled_from(THRESHOLDS))


@st.composite
def highly_classed_boxes(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, float]:
    """Small boxes some way into the image, of few classes out of many (LVIS has 1203)."""
    boxes, scores, _, threshold = draw(classed_boxes(min_size=2))
    classes = draw(st.lists(st.sampled_from((1202, 79, 0)), min_size=len(scores), max_size=len(scores)))
    return boxes + 100, scores, tensor(classes).long(), threshold
