"""yolov3_lib.anchors against boxes laid on one center, loops, all partitions, and scipy's k-means."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2

from yolov3_lib.anchors import (
    TINY_ANCHORS,
    YOLOV3_ANCHORS,
    best_anchor,
    kmeans_anchors,
    kmeans_step,
    mean_best_iou,
    shape_iou,
)
from yolov3_lib.boxes import pairwise_iou

sides = st.floats(0.125, 2000, width=32)
shapes = st.lists(st.tuples(sides, sides), min_size=1, max_size=8)


def test_anchors_are_those_of_the_cfg_files() -> None:
    fine_first = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
    flat = [value for scale in reversed(YOLOV3_ANCHORS) for anchor in scale for value in anchor]
    assert flat == [int(value) for value in fine_first.split(",")]
    tiny = [(10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319)]
    assert (tuple(tiny[3:6]), tuple(tiny[1:4])) == TINY_ANCHORS


@given(shapes, shapes)
def test_shape_iou_is_the_iou_of_boxes_on_one_center(a: list, b: list) -> None:
    a, b = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    on_origin = [torch.cat((-x / 2, x / 2), dim=1) for x in (a, b)]
    torch.testing.assert_close(shape_iou(a, b), pairwise_iou(*on_origin))


def test_shape_iou_by_hand() -> None:
    # 4×2 in 2×4: overlap 2×2, union 8 + 8 − 4
    assert shape_iou(torch.tensor([[4.0, 2.0]]), torch.tensor([[2.0, 4.0]])).item() == pytest.approx(4 / 12)


def test_shapes_without_area_have_iou_zero_and_a_finite_gradient() -> None:
    a = torch.zeros(2, 2, requires_grad=True)
    result = shape_iou(a, torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 2.0]]))
    assert result.tolist() == [[0, 0, 0]] * 2
    result.sum().backward()
    assert a.grad.isfinite().all()


@given(shapes)
def test_best_anchor_is_found_as_a_loop_finds_it(wanted: list) -> None:
    anchors = [anchor for scale in YOLOV3_ANCHORS for anchor in scale]
    expected = []
    for w, h in wanted:
        overlaps = []
        for anchor_w, anchor_h in anchors:
            overlap = min(w, anchor_w) * min(h, anchor_h)
            overlaps.append(overlap / (w * h + anchor_w * anchor_h - overlap))
        expected.append(max(overlaps))
    found = best_anchor(torch.tensor(wanted, dtype=torch.float64), anchors)
    all_overlaps = shape_iou(torch.tensor(wanted, dtype=torch.float64), torch.tensor(anchors).double())
    assert found.dtype == torch.int64
    assert all_overlaps.gather(1, found[:, None])[:, 0].tolist() == pytest.approx(expected, rel=1e-12)


def test_of_equal_anchors_the_first_is_best() -> None:
    assert best_anchor(torch.tensor([[5.0, 7.0]]), [(50, 1), (7, 5), (5, 7), (5, 7)]).tolist() == [2]


def test_every_anchor_is_its_own_best() -> None:
    anchors = torch.tensor(YOLOV3_ANCHORS, dtype=torch.float32).reshape(9, 2)
    assert best_anchor(anchors, anchors).tolist() == list(range(9))


def test_no_shapes_no_anchors_chosen() -> None:
    assert best_anchor(torch.zeros(0, 2), YOLOV3_ANCHORS[0]).shape == (0,)


# k-means


def iou_by_hand(a: tuple, b: tuple) -> float:
    shared = min(a[0], b[0]) * min(a[1], b[1])
    return shared / (a[0] * a[1] + b[0] * b[1] - shared)


def fit_by_hand(wanted: list, anchors: list) -> float:
    return sum(max(iou_by_hand(shape, anchor) for anchor in anchors) for shape in wanted) / len(wanted)


def mean_by_hand(group: list) -> tuple[float, float]:
    return sum(w for w, _ in group) / len(group), sum(h for _, h in group) / len(group)


def best_of_all_partitions(wanted: list, k: int) -> float:
    """The best fit that the means of any k groups reach."""
    best = 0.0
    for labels in itertools.product(range(k), repeat=len(wanted)):
        if len(set(labels)) == k:
            groups = [[s for s, label in zip(wanted, labels, strict=True) if label == g] for g in range(k)]
            best = max(best, fit_by_hand(wanted, list(map(mean_by_hand, groups))))
    return best


whole = st.tuples(st.integers(1, 60), st.integers(1, 60))
some_shapes = st.lists(whole, min_size=3, max_size=30)


@given(some_shapes, st.lists(whole, min_size=1, max_size=5))
def test_mean_best_iou_is_what_a_loop_finds(wanted: list, anchors: list) -> None:
    got = mean_best_iou(torch.tensor(wanted), anchors)
    assert isinstance(got, float)
    assert got == pytest.approx(fit_by_hand(wanted, anchors), rel=1e-12)


@given(some_shapes, st.lists(whole, min_size=1, max_size=5, unique=True))
def test_a_step_is_what_a_loop_does(wanted: list, anchors: list) -> None:
    groups = [[] for _ in anchors]
    for shape in wanted:
        overlaps = [iou_by_hand(shape, anchor) for anchor in anchors]
        groups[overlaps.index(max(overlaps))].append(shape)
    expected = [
        mean_by_hand(group) if group else anchor for group, anchor in zip(groups, anchors, strict=True)
    ]
    before = torch.tensor(anchors, dtype=torch.float64)
    got = kmeans_step(torch.tensor(wanted, dtype=torch.float64), before)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))
    assert before.tolist() == [list(map(float, anchor)) for anchor in anchors]


def test_rounds_may_go_in_circles() -> None:
    """Why `kmeans_anchors` has a patience. Found by a random search over shapes odder than any object's."""
    rows = [
        [5475, 161], [12426, 590], [2842, 4466], [3513, 136], [241, 222], [4, 5], [6593, 55], [2971, 131],
        [68, 18008], [18594, 3817], [10, 151], [3257, 10221], [123, 2], [74, 5087], [127, 35751],
        [430, 56069], [55, 866],
    ]  # fmt: skip
    odd = torch.tensor(rows, dtype=torch.float64)
    anchors, rounds = odd[:2], []
    while not any(torch.equal(anchors, before) for before in rounds):
        rounds.append(anchors)
        anchors = kmeans_step(odd, anchors)
    start = next(i for i, before in enumerate(rounds) if torch.equal(anchors, before))
    assert (len(odd), len(rounds) - start) == (17, 18)


def test_whole_numbers() -> None:
    whole, others = torch.tensor([[10, 10], [20, 20]]), torch.tensor([[20, 20], [9, 12]])
    torch.testing.assert_close(shape_iou(whole, others), shape_iou(whole.float(), others.float()))
    assert best_anchor(whole, [[20.5, 20], [9.5, 12]]).tolist() == [1, 0]
    with pytest.raises(TypeError, match="one floating-point type"):
        kmeans_step(whole, others.float())


def test_one_anchor_is_the_mean_shape_where_nothing_fits_better() -> None:
    assert kmeans_anchors(torch.tensor([[2, 4], [4, 4], [6, 4]]), 1).tolist() == [[4, 4]]


@settings(max_examples=12, deadline=None)
@given(st.lists(whole, min_size=4, max_size=6, unique=True), st.integers(2, 3))
def test_it_is_no_worse_than_a_hair_below_the_best_of_all_partitions(wanted: list, k: int) -> None:
    shapes = torch.tensor(wanted, dtype=torch.float64)
    found = mean_best_iou(shapes, kmeans_anchors(shapes, k, starts=20))
    assert found >= best_of_all_partitions(wanted, k) - 0.03


def test_of_well_separated_groups_it_finds_the_means_as_scipy_does() -> None:
    rng = np.random.default_rng(3)
    means = np.array([[12.0, 30], [60, 60], [200, 90]])
    groups = [mean * rng.uniform(0.95, 1.05, (40, 2)) for mean in means]
    shapes = np.concatenate(groups)
    expected, _ = kmeans2(shapes, means, minit="matrix")
    got = kmeans_anchors(torch.from_numpy(shapes), 3)
    np.testing.assert_allclose(got, expected[expected.prod(axis=1).argsort()], rtol=1e-9)
    np.testing.assert_allclose(got, [group.mean(axis=0) for group in groups], rtol=1e-9)


def test_euclidean_distance_serves_small_boxes_worse() -> None:
    """The reason for 1 − IoU: YOLO9000's table 1, in small."""
    rng = np.random.default_rng(0)
    shapes = np.exp(rng.normal(3.5, 1.0, (600, 2)))
    euclidean, _ = kmeans2(shapes, shapes[:5], minit="matrix")
    shapes = torch.from_numpy(shapes)
    assert mean_best_iou(shapes, kmeans_anchors(shapes, 5)) > mean_best_iou(shapes, euclidean) + 0.02


@settings(max_examples=12, deadline=None)
@given(some_shapes, st.integers(1, 4), st.randoms())
@example([(5, 5)] * 20 + [(50, 50), (9, 9)], 3, None)
def test_order_copies_and_unit_change_nothing(wanted: list, k: int, random) -> None:
    if len(set(wanted)) < k:
        return
    shapes = torch.tensor(wanted, dtype=torch.float64)
    anchors = kmeans_anchors(shapes, k)
    again = list(wanted)
    if random is not None:
        random.shuffle(again)
    assert torch.equal(kmeans_anchors(torch.tensor(again, dtype=torch.float64), k), anchors)
    assert torch.equal(kmeans_anchors(torch.cat((shapes, shapes)), k), anchors)
    assert torch.equal(kmeans_anchors(shapes / 256, k), anchors / 256)
    areas = anchors.prod(dim=1)
    assert anchors.shape == (k, 2)
    assert (areas[:-1] <= areas[1:]).all()
    assert (anchors >= shapes.amin(dim=0)).all()
    assert (anchors <= shapes.amax(dim=0)).all()


def test_a_shape_that_comes_often_weighs_more() -> None:
    small, large = torch.tensor([[10.0, 10]]), torch.tensor([[20.0, 20]])
    for common, rare in ((small, large), (large, small)):
        (anchor,) = kmeans_anchors(torch.cat((common.repeat(9, 1), rare)), 1)
        assert shape_iou(common.double(), anchor[None]) > shape_iou(rare.double(), anchor[None])


@settings(max_examples=20, deadline=None)
@given(st.lists(whole, min_size=1, max_size=8, unique=True))
def test_as_many_anchors_as_shapes_fit_perfectly(wanted: list) -> None:
    shapes = torch.tensor(wanted)
    anchors = kmeans_anchors(shapes, len(wanted))
    assert mean_best_iou(shapes, anchors) == 1
    assert sorted(anchors.tolist()) == sorted(map(list, wanted))


def test_the_seed_decides_and_nothing_else() -> None:
    shapes = torch.from_numpy(np.exp(np.random.default_rng(1).normal(4, 0.8, (100, 2))))
    torch.manual_seed(1)
    first = kmeans_anchors(shapes, 6, starts=1)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(kmeans_anchors(shapes, 6, starts=1), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(kmeans_anchors(shapes, 6, seed=1, starts=1), first)
    fits = [mean_best_iou(shapes, kmeans_anchors(shapes, 6, starts=starts)) for starts in (1, 3, 9)]
    assert fits == sorted(fits)


def test_an_anchor_without_shapes_is_put_where_the_fit_is_worst(monkeypatch) -> None:
    """Two equal anchors to begin with: the first takes all, the other none."""
    from yolov3_lib import anchors as module

    shapes = torch.tensor([[10.0, 10], [11, 10], [100, 100], [105, 100]])
    monkeypatch.setattr(module, "_first_anchors", lambda *_: torch.tensor([[50.0, 50], [50, 50]]).double())
    assert kmeans_anchors(shapes, 2).tolist() == [[10.5, 10], [102.5, 100]]


def test_shapes_that_differ_by_a_rounding_can_still_be_told_apart() -> None:
    shape = torch.tensor([1.0, 1.0], dtype=torch.float64)
    shapes = torch.stack((shape, shape * (1 + 2**-52), shape * (1 + 2**-51)))
    assert len(torch.unique(kmeans_anchors(shapes, 3), dim=0)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1, 2], [1, 2], [3, 4]], 3), "3 anchors need at least 3 different shapes, these have 2"),
        (([[1, 2]], 0), "k: expected at least 1, got 0"),
        (([[1, 2]], 1, -1), "seed: expected a number ≥ 0, got -1"),
        (([[1, 2]], 1, 0, 0), "starts: expected at least 1, got 0"),
        (([[1, 2]], 1, 0, 1, 0), "max_rounds: expected at least 1, got 0"),
        (([], 1), r"shapes: expected \(N, 2\).* got \(0,\)"),
        (([[1, 2, 3]], 1), r"shapes: expected \(N, 2\)"),
        (([[1, 2], [0, 3]], 1), r"shapes\[1\]: width 0, height 3; both must be finite and above 0"),
        (([[1, 2], [3, float("nan")]], 1), r"shapes\[1\]: width 3, height nan"),
        (([[float("inf"), 2]], 1), r"shapes\[0\]: width inf"),
    ],
)
def test_kmeans_refuses(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kmeans_anchors(*arguments)


def test_mean_best_iou_refuses() -> None:
    with pytest.raises(ValueError, match=r"shapes: expected \(N, 2\)"):
        mean_best_iou(torch.zeros(0, 2), [[1, 2]])
    with pytest.raises(ValueError, match=r"anchors\[0\]: width -1"):
        mean_best_iou(torch.ones(1, 2), [[-1, 2]])
