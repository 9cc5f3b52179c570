"""nms.py against plain Python loops, OpenCV, and Darknet's own detections before and after NMS."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import yolov3_lib.nms as nms_module
from yolov3_lib.boxes import convert, pairwise_iou
from yolov3_lib.nms import class_nms, nms, pairwise_nms, postprocess, soft_nms

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


# The references: loops over Python numbers.


def plain_iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0


def best_first(scores):
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


def plain_nms(boxes, scores, classes, threshold, iou=plain_iou):
    kept = []
    for i in best_first(scores):
        if all(classes[k] != classes[i] or iou(boxes[k], boxes[i]) <= threshold for k in kept):
            kept.append(i)
    return kept


def plain_pairwise_nms(boxes, scores, threshold):
    def discarded(i):
        return any(
            plain_iou(boxes[i], boxes[j]) > threshold and scores[j] > scores[i] for j in range(len(boxes))
        )

    return [i for i in best_first(scores) if not discarded(i)]


def plain_soft_nms(boxes, scores, method, sigma, iou_threshold, score_threshold):
    left, scores, taken = set(range(len(boxes))), list(scores), []
    while left:
        best = min(left, key=lambda i: (-scores[i], i))
        left.remove(best)
        taken.append(best)
        for i in left:
            overlap = plain_iou(boxes[best], boxes[i])
            if method == "gaussian":
                scores[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= iou_threshold:
                scores[i] *= 1 - overlap
    taken = [i for i in taken if scores[i] > score_threshold]
    return taken, [scores[i] for i in taken]


# Coordinates and scores from a few values: ties, duplicates, empty boxes and long chains are common.
coordinates = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted)
boxes_on_a_grid = st.tuples(coordinates, coordinates).map(lambda xy: (xy[0][0], xy[1][0], xy[0][1], xy[1][1]))
candidates = st.lists(
    st.tuples(boxes_on_a_grid, st.integers(0, 8).map(lambda n: n / 8), st.integers(-1, 2)), max_size=40
)
# Thresholds that such boxes meet exactly are the hard ones.
thresholds = st.sampled_from([0.0, 1 / 4, 1 / 3, 0.45, 1 / 2, 2 / 3, 1.0])


def columns(rows, dtype=torch.float64):
    boxes, scores, classes = zip(*rows, strict=True) if rows else ((), (), ())
    return (
        torch.tensor(boxes, dtype=dtype).reshape(-1, 4),
        torch.tensor(scores, dtype=dtype),
        torch.tensor(classes, dtype=torch.int64),
    )


def random_boxes(n, seed, spread=100.0, classes=3):
    generator = torch.Generator().manual_seed(seed)
    centers = torch.rand(n, 2, generator=generator) * spread
    sizes = 1 + torch.rand(n, 2, generator=generator) * 30
    boxes = convert(torch.cat([centers, sizes], dim=1), "cxcywh", "xyxy")
    # Scores in steps of 1/64, so that many are equal.
    scores = (torch.rand(n, generator=generator) * 64).round() / 64
    return boxes, scores, torch.randint(classes, (n,), generator=generator)


@pytest.fixture(params=[(1, 1), (3, 20), (64, 2**20)], ids=["block of 1", "block of 3", "as shipped"])
def block_sizes(request, monkeypatch):
    """Small blocks and chunks, so that a few boxes already go through many of them."""
    block, pairs = request.param
    monkeypatch.setattr(nms_module, "BLOCK", block)
    monkeypatch.setattr(nms_module, "PAIRS_ON_CPU", pairs)


# Greedy


def test_greedy_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30], [0, 0, 10, 9]])
    scores = torch.tensor([0.8, 0.9, 0.3, 0.7])
    assert nms(boxes, scores).tolist() == [1, 2]
    assert nms(boxes, scores, iou_threshold=0.8).tolist() == [1, 0, 2]
    assert nms(boxes, scores, iou_threshold=1).tolist() == [1, 0, 3, 2]
    assert nms(boxes, scores, max_output=1).tolist() == [1]
    assert nms(boxes, scores, max_output=0).tolist() == []


def test_chain_tells_greedy_from_pairwise():
    # B lies between A and C, which are apart.
    boxes = torch.tensor([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    assert nms(boxes, scores).tolist() == [0, 2]
    assert pairwise_nms(boxes, scores).tolist() == [0]


def test_threshold_itself_does_not_suppress():
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1]])  # IoU 1/2, exactly
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, iou_threshold=0.5).tolist() == [0, 1]
    assert nms(boxes, scores, iou_threshold=0.49999).tolist() == [0]


def test_classes_do_not_meet():
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(4, 1)
    scores = torch.tensor([0.5, 0.9, 0.7, 0.8])
    assert class_nms(boxes, scores, torch.tensor([0, 0, 7, -3])).tolist() == [1, 3, 2]
    assert nms(boxes, scores).tolist() == [1]


@given(rows=candidates, threshold=thresholds)
def test_greedy_against_loops(rows, threshold):
    boxes, scores, classes = columns(rows)
    plain = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    assert class_nms(boxes, scores, classes, threshold).tolist() == plain_nms(*plain, threshold)
    one_class = [0] * len(rows)
    assert nms(boxes, scores, threshold).tolist() == plain_nms(*plain[:2], one_class, threshold)


@pytest.mark.usefixtures("block_sizes")
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 200, 400])
@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.45, 0.9])
def test_greedy_in_blocks_against_loops(n, threshold):
    boxes, scores, classes = random_boxes(n, seed=n)
    table = pairwise_iou(boxes, boxes).tolist()
    numbers = range(n)
    expected = plain_nms(numbers, scores.tolist(), classes.tolist(), threshold, iou=lambda i, j: table[i][j])
    assert class_nms(boxes, scores, classes, threshold).tolist() == expected


@pytest.mark.usefixtures("block_sizes")
def test_longest_possible_chain():
    # Each box overlaps the next only, so that box k hangs on all before it.
    left = torch.arange(150.0) * 3
    boxes = torch.stack([left, torch.zeros(150), left + 10, torch.ones(150)], dim=1)
    scores = torch.linspace(1, 0.1, 150)
    assert nms(boxes, scores, iou_threshold=0.5).tolist() == list(range(0, 150, 2))


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.45, 0.7])
def test_greedy_against_opencv(threshold):
    boxes, _, _ = random_boxes(800, seed=5)
    boxes = (boxes * 16).round() / 16  # exact in either's arithmetic
    scores = torch.randperm(800, generator=torch.Generator().manual_seed(6)) / 800 + 0.001  # no ties
    expected = cv2.dnn.NMSBoxes(
        convert(boxes.double(), "xyxy", "xywh").tolist(), scores.tolist(), 0.0, threshold
    )
    assert nms(boxes, scores, threshold).tolist() == list(expected)


def test_kept_boxes_do_not_overlap_and_dropped_ones_do():
    boxes, scores, classes = random_boxes(1500, seed=9, spread=200)
    kept = class_nms(boxes, scores, classes)
    overlap = (pairwise_iou(boxes, boxes) > 0.45) & (classes[:, None] == classes)
    assert not overlap[kept][:, kept].fill_diagonal_(False).any()
    dropped = torch.ones(1500, dtype=torch.bool).index_fill(0, kept, False)
    by_better = overlap[:, kept] & (scores[kept] >= scores[:, None])
    assert by_better[dropped].any(dim=1).all()
    assert (scores[kept].diff() <= 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_duplicates_and_ties_keep_the_first(dtype):
    boxes = torch.tensor([[0, 0, 3, 3], [5, 5, 8, 8]], dtype=dtype).repeat(200, 1)
    scores = torch.full((400,), 0.5, dtype=dtype)
    assert nms(boxes, scores).tolist() == [0, 1]
    assert pairwise_nms(boxes, scores).tolist() == list(range(400))


@pytest.mark.parametrize("scale", [1e-25, 1e30])
def test_boxes_of_absurd_size(scale):
    boxes, scores, classes = random_boxes(300, seed=3)
    large = class_nms(boxes * max(scale, 1), scores, classes)
    assert torch.equal(large, class_nms(boxes, scores, classes))
    # Areas that float32 can't tell from 0: nothing overlaps, as `iou` has it.
    if scale < 1:
        assert len(class_nms(boxes * scale, scores, classes)) == 300


@pytest.mark.parametrize("device", DEVICES)
def test_empty_and_single(device):
    none, one = torch.zeros(0, 4, device=device), torch.tensor([[1.0, 2, 3, 4]], device=device)
    for function in (nms, pairwise_nms):
        assert function(none, none[:, 0]).tolist() == []
        assert function(none, none[:, 0]).dtype == torch.int64
        assert function(one, one[:, 0]).tolist() == [0]
    assert class_nms(none, none[:, 0], torch.zeros(0, dtype=torch.int64, device=device)).tolist() == []
    assert [len(part) for part in soft_nms(none, none[:, 0])] == [0, 0]


@pytest.mark.parametrize("device", DEVICES)
def test_devices_agree(device):
    boxes, scores, classes = random_boxes(2000, seed=4, spread=200)
    expected = class_nms(boxes, scores, classes)
    actual = class_nms(boxes.to(device), scores.to(device), classes.to(device))
    assert actual.device.type == device
    assert actual.tolist() == expected.tolist()


def test_gradients_and_inputs_are_left_alone():
    boxes, scores, classes = random_boxes(50, seed=2)
    copies = [tensor.clone() for tensor in (boxes, scores, classes)]
    boxes.requires_grad_()
    scores.requires_grad_()
    class_nms(boxes, scores, classes)
    pairwise_nms(boxes, scores)
    soft_nms(boxes, scores)
    for tensor, copy in zip((boxes, scores, classes), copies, strict=True):
        assert torch.equal(tensor, copy)


# Pairwise (Fig. 8)


@given(rows=candidates, threshold=thresholds)
def test_pairwise_against_loops(rows, threshold):
    boxes, scores, _ = columns(rows)
    expected = plain_pairwise_nms(boxes.tolist(), scores.tolist(), threshold)
    assert pairwise_nms(boxes, scores, threshold).tolist() == expected


@pytest.mark.parametrize("pairs", [1, 1000, 2**20])
def test_pairwise_in_pieces(pairs, monkeypatch):
    monkeypatch.setattr(nms_module, "PAIRS_ON_CPU", pairs)
    boxes, scores, _ = random_boxes(150, seed=1)
    expected = plain_pairwise_nms(boxes.double().tolist(), scores.tolist(), 0.4501)
    assert pairwise_nms(boxes, scores, 0.4501).tolist() == expected


def test_pairwise_keeps_a_part_of_greedy():
    boxes, _, _ = random_boxes(300, seed=8)
    scores = torch.randperm(300, generator=torch.Generator().manual_seed(8)) / 300
    greedy, pairwise = nms(boxes, scores).tolist(), pairwise_nms(boxes, scores).tolist()
    assert set(pairwise) < set(greedy)


# Soft


@pytest.mark.parametrize("method", ["gaussian", "linear"])
@given(rows=candidates, threshold=thresholds, sigma=st.sampled_from([0.1, 0.5, 2.0]))
def test_soft_against_loops(method, rows, threshold, sigma):
    boxes, scores, _ = columns(rows)
    options = {"method": method, "sigma": sigma, "iou_threshold": threshold, "score_threshold": 0.001}
    expected, expected_scores = plain_soft_nms(boxes.tolist(), scores.tolist(), **options)
    kept, rescored = soft_nms(boxes, scores, **options)
    # Scores that are equal on paper may differ in the last digit, and so may the order of such boxes.
    assert rescored.tolist() == pytest.approx(expected_scores, rel=1e-9)
    by_index = dict(zip(kept.tolist(), rescored.tolist(), strict=True))
    assert by_index == pytest.approx(dict(zip(expected, expected_scores, strict=True)), rel=1e-9)
    assert (rescored.diff() <= 0).all()


def test_soft_by_hand():
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1], [5, 5, 6, 6]])  # IoU of the first two: 1/2
    scores = torch.tensor([0.9, 0.8, 0.5])
    kept, rescored = soft_nms(boxes, scores, method="linear", iou_threshold=0.5)
    assert kept.tolist() == [0, 2, 1]
    assert rescored.tolist() == pytest.approx([0.9, 0.5, 0.8 * 0.5])
    kept, rescored = soft_nms(boxes, scores, method="linear", iou_threshold=0.51)
    assert rescored.tolist() == pytest.approx([0.9, 0.8, 0.5])
    kept, rescored = soft_nms(boxes, scores, sigma=0.5)
    assert kept.tolist() == [0, 2, 1]
    assert rescored.tolist() == pytest.approx([0.9, 0.5, 0.8 * math.exp(-0.25 / 0.5)])
    assert soft_nms(boxes, scores, score_threshold=0.49)[0].tolist() == [0, 2]
    assert soft_nms(boxes, scores, score_threshold=0.95)[0].tolist() == []


def test_soft_ties_take_the_first():
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 10, 10]])
    assert soft_nms(boxes, torch.tensor([0.5, 0.7, 0.7]))[0].tolist() == [1, 2, 0]


# From raw predictions


def random_predictions(batch=3, n=120, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.stack([random_boxes(n, seed=seed + image)[0] for image in range(batch)])
    return torch.cat([boxes, torch.rand(batch, n, 1 + classes, generator=generator) ** 2], dim=-1)


def plain_postprocess(image, score_threshold, iou_threshold):
    found = []
    for row in image.tolist():
        for c, probability in enumerate(row[5:]):
            score = (torch.tensor(row[4]) * torch.tensor(probability)).item()  # rounded to float32
            if score > score_threshold:
                found.append((row[:4], score, c))
    kept = plain_nms(*zip(*found, strict=True), iou_threshold) if found else []
    return [found[i] for i in kept]


@pytest.mark.parametrize("score_threshold", [0.005, 0.3, 0.99])
def test_postprocess_against_loops(score_threshold):
    predictions = random_predictions()
    results = postprocess(predictions, score_threshold, iou_threshold=0.4501)
    assert len(results) == len(predictions)
    for image, detections in zip(predictions, results, strict=True):
        expected = plain_postprocess(image, score_threshold, 0.4501)
        assert detections.boxes.tolist() == [box for box, _, _ in expected]
        assert detections.scores.tolist() == [score for _, score, _ in expected]
        assert detections.classes.tolist() == [c for _, _, c in expected]


def test_postprocess_images_do_not_meet():
    predictions = random_predictions()
    together = postprocess(predictions)
    for image, detections in zip(predictions, together, strict=True):
        (alone,) = postprocess(image[None])
        assert torch.equal(alone.boxes, detections.boxes)
        assert torch.equal(alone.scores, detections.scores)


def test_postprocess_one_box_may_carry_several_classes():
    predictions = torch.tensor([[[0.0, 0, 10, 10, 0.9, 0.8, 0.7, 0.001]]])
    (detections,) = postprocess(predictions)
    assert detections.classes.tolist() == [0, 1]
    assert detections.scores.tolist() == pytest.approx([0.72, 0.63])


def test_postprocess_limits_only_when_told():
    predictions = random_predictions(n=400)
    everything = postprocess(predictions)
    for limit in (0, 1, 25):
        for all_of_them, some in zip(everything, postprocess(predictions, max_output=limit), strict=True):
            assert torch.equal(some.scores, all_of_them.scores[:limit])


@pytest.mark.parametrize("shape", [(0, 10, 25), (2, 0, 25), (2, 10, 6)])
def test_postprocess_nothing_found(shape):
    results = postprocess(torch.zeros(shape))
    assert [len(detections) for detections in results] == [0] * shape[0]
    assert all(detections.boxes.shape == (0, 4) for detections in results)


def test_postprocess_half_precision():
    (detections,) = postprocess(random_predictions(batch=1).half())
    assert detections.scores.dtype == torch.float32
    assert len(detections) > 0


def test_darknets_detections(golden_dir):
    golden = np.load(golden_dir / "darknet_forward.npz")
    raw, expected = golden["dets_raw"], golden["dets_nms"]
    rows, classes = np.nonzero(raw[:, 5:])
    boxes = convert(torch.from_numpy(raw[rows, :4].astype(np.float32)), "cxcywh", "xyxy")
    scores = torch.from_numpy(raw[rows, 5 + classes].astype(np.float32))
    kept = class_nms(boxes, scores, torch.from_numpy(classes), iou_threshold=0.45).numpy()
    assert 0 < len(kept) < len(rows)

    def as_set(detections, rows, classes):
        return {
            (*detections[row, :4], c, detections[row, 5 + c]) for row, c in zip(rows, classes, strict=True)
        }

    assert as_set(raw, rows[kept], classes[kept]) == as_set(expected, *np.nonzero(expected[:, 5:]))


# Bad input


@pytest.mark.parametrize("function", [nms, pairwise_nms, soft_nms])
def test_bad_input_is_named(function):
    boxes, scores, _ = random_boxes(5, seed=0)
    for bad, message in [
        (torch.tensor([0, math.nan, 1, 1]), r"^boxes\[2\]: y1 is nan$"),
        (torch.tensor([0, 0, math.inf, 1]), r"^boxes\[2\]: x2 is inf$"),
        (torch.tensor([3.0, 0, 1, 1]), r"^boxes\[2\]: x2 \(1\.0\) < x1 \(3\.0\)$"),
    ]:
        with pytest.raises(ValueError, match=message):
            function(boxes.index_put((torch.tensor(2),), bad), scores)
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match=rf"^scores\[3\] is {bad}$"):
            function(boxes, scores.index_fill(0, torch.tensor(3), bad))
    with pytest.raises(ValueError, match=r"boxes have shape \(5, 4\), scores \(4,\): expected \(N, 4\) and"):
        function(boxes, scores[:4])
    with pytest.raises(ValueError, match=r"boxes have shape \(4,\)"):
        function(boxes[0], scores)
    for threshold in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"iou_threshold is .*: it must be in \[0, 1\]"):
            function(boxes, scores, iou_threshold=threshold)


def test_bad_options_are_named():
    boxes, scores, classes = random_boxes(5, seed=0)
    with pytest.raises(ValueError, match="max_output is -1"):
        nms(boxes, scores, max_output=-1)
    with pytest.raises(ValueError, match=r"classes have shape \(4,\), scores \(5,\)"):
        class_nms(boxes, scores, classes[:4])
    with pytest.raises(ValueError, match="unknown method 'hard': choose gaussian or linear"):
        soft_nms(boxes, scores, method="hard")
    with pytest.raises(ValueError, match="sigma is 0"):
        soft_nms(boxes, scores, sigma=0)
    with pytest.raises(ValueError, match=r"score_threshold is -0\.5"):
        soft_nms(boxes, scores, score_threshold=-0.5)
    with pytest.raises(ValueError, match=r"predictions have shape \(5, 4\): expected \(B, N, 5 \+ C\)"):
        postprocess(boxes)


def test_bad_predictions_are_named():
    predictions = random_predictions()
    for column, message in [
        (0, r"^predictions\[1, 7\]: x1 is nan$"),
        (4, r"score of predictions\[1, 7, 0\] is nan$"),
    ]:
        bad = predictions.clone()
        bad[1, 7, column] = math.nan
        with pytest.raises(ValueError, match=message):
            postprocess(bad)
    unlikely = predictions.clone()
    unlikely[1, 7, :5] = torch.tensor(
        [math.inf, 0, math.inf, 0, 0]
    )  # no candidate: nobody will look at the box
    assert len(postprocess(unlikely)) == 3
