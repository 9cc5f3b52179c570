"""Non-maximum suppression: of the boxes that lie on one object, keep the best.

Boxes are ``xyxy`` in any one unit. One box suppresses another when their IoU is **greater** than the
threshold. Among equal scores the box that comes first in the input counts as the better. Boxes without area
have IoU 0 with everything: they neither suppress nor are suppressed. Everything is computed on the device
of the boxes.

How the exact greedy result comes out of a few large tensor operations
    One box at a time means ten thousand tiny steps. Three facts allow big ones.

    1. *Groups are independent.* Boxes of different classes or images never meet, so that many groups, each
       sorted best first, are rows of one padded tensor.
    2. *A block settles itself.* Among the best boxes of a group, greedy NMS is the rule "kept if and only
       if no better kept box overlaps it". Start with all kept and apply the rule to all at once, again and
       again. The best box is right from the start; once the first k are right, the next pass makes the
       first k + 1 right and leaves the k as they are. So the passes end where nothing changes, and only the
       greedy result is left as it is by the rule. There are at most as many as the longest chain of overlaps
       has boxes, and one to confirm; in practice a few. (Known as Cluster-NMS: Zheng et al., *Enhancing
       Geometric Factors*, IEEE Transactions on Cybernetics 2022.)
    3. *The rest needs only the kept.* What a kept box of the block overlaps is gone; a suppressed box
       suppresses nothing. The survivors close ranks, and the next block begins.

    Nothing is approximate: the IoU that is compared is the number that `yolov3_lib.boxes.iou` gives, to the
    bit.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from yolov3_lib.boxes import area, comparable, iou, pairwise_iou, validate
from yolov3_lib.detections import Detections

# The best boxes of a group that are settled together. More means fewer passes over the rest, and more pairs
# compared that suppression would have spared.
BLOCK = 64
# Pairs of boxes compared at once: as many as a CPU's cache holds, or enough to fill a GPU.
PAIRS_ON_CPU = 2**20
PAIRS_ON_GPU = 2**25


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float = 0.45, max_output: int | None = None) -> Tensor:
    """Greedy NMS over all boxes, whatever their class.

    Take the box of highest score, drop all that overlap it, and go on with the best of those left.

    Args:
        boxes: (N, 4), ``xyxy``.
        scores: (N,).
        iou_threshold: a box goes when its IoU with a better kept one is greater than this, in [0, 1].
        max_output: how many boxes to return at most; all by default.

    Returns:
        (K,) int64 indices of the boxes kept, best first.

    Raises:
        ValueError: naming the first box or score that is NaN, infinite or inverted; for shapes that don't
            match, or a threshold or limit out of range.
    """
    return class_nms(boxes, scores, torch.zeros_like(scores, dtype=torch.int64), iou_threshold, max_output)


def class_nms(
    boxes: Tensor, scores: Tensor, classes: Tensor, iou_threshold: float = 0.45, max_output: int | None = None
) -> Tensor:
    """Greedy NMS for each class by itself: boxes of different classes never suppress each other.

    The rule of Darknet's ``do_nms_sort``.

    Args:
        boxes: (N, 4), ``xyxy``.
        scores: (N,).
        classes: (N,) integers.
        iou_threshold: as for `nms`.
        max_output: how many boxes to return at most, over all classes together; all by default.

    Returns:
        (K,) int64 indices of the boxes kept, best first over all classes.

    Raises:
        ValueError: as `nms`.
    """
    _check(boxes, scores, iou_threshold, max_output)
    if classes.shape != scores.shape:
        raise ValueError(
            f"classes have shape {tuple(classes.shape)}, scores {tuple(scores.shape)}: expected the same"
        )
    return _group_nms(boxes, scores, classes, iou_threshold)[:max_output]


def pairwise_nms(boxes: Tensor, scores: Tensor, iou_threshold: float = 0.45) -> Tensor:
    """A box goes if **any** box of strictly higher score overlaps it, be that one kept or not.

    This is what the pseudo-code of the course's document (its Fig. 8) says. It isn't greedy NMS: in a chain
    A–B–C, where B is suppressed by A, B still suppresses C. Used on purpose it is called Fast NMS (Bolya et
    al., *YOLACT*, ICCV 2019).

    Args:
        boxes: (N, 4), ``xyxy``.
        scores: (N,).
        iou_threshold: as for `nms`.

    Returns:
        (K,) int64 indices of the boxes kept, best first. All of them are among those that `nms` keeps,
        except that boxes of equal score don't suppress each other here.

    Raises:
        ValueError: as `nms`.
    """
    _check(boxes, scores, iou_threshold)
    best_first = scores.argsort(descending=True, stable=True)
    boxes, scores = boxes.detach()[best_first], scores[best_first]
    kept = torch.empty_like(best_first, dtype=torch.bool)
    rows = max(1, _pairs_at_once(boxes.device) // max(1, len(boxes)))
    for start in range(0, len(boxes), rows):
        some = slice(start, start + rows)
        overlap = pairwise_iou(boxes[some], boxes) > iou_threshold
        better = scores > scores[some, None]
        kept[some] = ~(overlap & better).any(dim=1)
    return best_first[kept]


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    method: str = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float = 0.45,
    score_threshold: float = 0.001,
) -> tuple[Tensor, Tensor]:
    r"""Soft-NMS: an overlapped box isn't dropped, its score is lowered.

    Take the box of highest score, multiply the scores of all that are left by a factor that falls with
    their IoU
    :math:`u` with it, and go on with the box that is best now. The factor is :math:`e^{-u^2/\sigma}`
    (``"gaussian"``), or :math:`1 - u` where :math:`u \ge` ``iou_threshold`` and 1 elsewhere (``"linear"``).

    Each step depends on the one before, so this takes N steps, and on a GPU a wait in each: meant for the
    boxes of one class and image.

    Args:
        boxes: (N, 4), ``xyxy``.
        scores: (N,).
        method: ``"gaussian"`` or ``"linear"``.
        sigma: width of the Gaussian, greater than 0.
        iou_threshold: where the linear factor sets in, in [0, 1]. As in the paper, and unlike in `nms`, an
            IoU equal to it counts.
        score_threshold: stop when no score is greater. Scores only fall, so nothing above it is missed.

    Returns:
        (K,) int64 indices in the order in which the boxes were taken, and (K,) lowered scores, which fall
        from first to last.

    Raises:
        ValueError: as `nms`, and for an unknown method, sigma ≤ 0 or a negative ``score_threshold``.

    Source: Bodla et al., *Soft-NMS*, ICCV 2017, Fig. 2 and the two rescoring functions of its section 3.
    """
    _check(boxes, scores, iou_threshold)
    if method not in ("gaussian", "linear"):
        raise ValueError(f"unknown method {method!r}: choose gaussian or linear")
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}: it must be greater than 0")
    if not score_threshold >= 0:
        raise ValueError(f"score_threshold is {score_threshold}: it must be at least 0")
    boxes = boxes.detach()
    scores = scores.detach().clone()
    taken, rescored = [], []
    while len(taken) < len(scores):
        best = scores.argmax()
        if scores[best] <= score_threshold:
            break
        taken.append(best)
        rescored.append(scores[best].clone())
        overlap = iou(boxes[best], boxes)
        if method == "gaussian":
            scores *= torch.exp(-(overlap**2) / sigma)
        else:
            scores *= torch.where(overlap >= iou_threshold, 1 - overlap, 1)
        # Scores that count are greater than 0, so 0 takes a box out of the running.
        scores[best] = 0
    if not taken:
        return torch.zeros_like(scores[:0], dtype=torch.int64), scores[:0]
    return torch.stack(taken), torch.stack(rescored)


def postprocess(
    predictions: Tensor,
    score_threshold: float = 0.005,
    iou_threshold: float = 0.45,
    max_output: int | None = None,
) -> list[Detections]:
    """The detections in each image of a batch, from the boxes that `yolov3_lib.decode` gives.

    score = objectness × class probability. Every (box, class) whose score is greater than the threshold is a
    candidate, so that one box may carry several classes; then comes greedy NMS for each class. Nothing is
    dropped silently: without ``max_output`` all that is kept comes back, however long it takes.

    Args:
        predictions: (B, N, 5 + C): x1, y1, x2, y2 in pixels of the network's input, objectness, C class
            probabilities.
        score_threshold: the default is what VOC's mAP is measured with; to show pictures take .25 or more.
        iou_threshold: as for `nms`.
        max_output: how many detections an image to return at most, best first; all by default.

    Returns:
        B `Detections`, best first, with boxes in pixels of the network's input.

    Raises:
        ValueError: naming the first prediction whose score is NaN or infinite, or that is a candidate with a
            NaN, infinite or inverted box; for a wrong shape, or a threshold or limit out of range.
    """
    if predictions.ndim != 3 or predictions.shape[-1] < 6:
        raise ValueError(f"predictions have shape {tuple(predictions.shape)}: expected (B, N, 5 + C)")
    _check_limits(iou_threshold, max_output)
    predictions = predictions.detach()
    if predictions.dtype != torch.float64:
        predictions = predictions.float()
    all_scores = predictions[..., 4:5] * predictions[..., 5:]
    _check_finite(all_scores, "score of predictions")
    is_candidate = all_scores > score_threshold
    validate(predictions[..., :4].masked_fill(~is_candidate.any(-1, keepdim=True), 0), "predictions")

    images, rows, classes = is_candidate.nonzero(as_tuple=True)
    boxes, scores = predictions[images, rows, :4], all_scores[images, rows, classes]
    groups = images * all_scores.shape[-1] + classes
    kept = _group_nms(boxes, scores, groups, iou_threshold)
    kept = kept[images[kept].argsort(stable=True)]
    per_image = torch.bincount(images[kept], minlength=len(predictions)).tolist()
    results = []
    for kept_in_image in kept.split(per_image):
        best = kept_in_image[:max_output]
        results.append(Detections(boxes[best], scores[best], classes[best]))
    return results


def _group_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Indices that greedy NMS within each group keeps, best first over all groups."""
    best_first = scores.argsort(descending=True, stable=True)
    by_group = best_first[groups[best_first].argsort(stable=True)]
    sorted_boxes = boxes.detach().index_select(0, by_group)
    sorted_boxes, _ = comparable(sorted_boxes, sorted_boxes)
    # What `iou` takes for a box without area must overlap nothing here, either.
    without_area = area(sorted_boxes) < torch.finfo(sorted_boxes.dtype).tiny
    sorted_boxes = sorted_boxes.masked_fill(without_area[:, None], 0)
    kept = torch.empty_like(by_group, dtype=torch.bool)
    kept[by_group] = _greedy(sorted_boxes, groups[by_group], iou_threshold)
    return best_first[kept[best_first]]


def _greedy(boxes: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Which boxes greedy NMS keeps: (N, 4) sorted by group and best first in each, (N,) → (N,) bool."""
    # Row N is an empty box. It pads the shorter groups, and overlaps nothing.
    nothing = len(boxes)
    edges = torch.cat([boxes, boxes.new_zeros(1, 4)]).T.contiguous()
    kept = torch.zeros(nothing + 1, dtype=torch.bool, device=boxes.device)
    chunks = list(_padded_groups(groups, nothing, _pairs_at_once(boxes.device)))
    # One piece of memory for all: fresh memory costs a CPU more than the arithmetic.
    workspace = boxes.new_empty(3, BLOCK * max((chunk.numel() for chunk in chunks), default=0))
    for left in chunks:
        while left.shape[1] > 0:
            block, rest = left[:, :BLOCK], left[:, BLOCK:]
            edges_left = edges.index_select(1, left.flatten()).view(4, *left.shape)
            overlaps = _overlaps(edges_left[..., :BLOCK], edges_left, iou_threshold, workspace)
            among_block, with_rest = overlaps.split([block.shape[1], rest.shape[1]], dim=2)
            kept_in_block = _settle(among_block)
            kept[block] = kept_in_block > 0
            suppressed = torch.bmm(kept_in_block[:, None], with_rest)[:, 0] > 0
            left = _close_ranks(rest, (rest != nothing) & ~suppressed, nothing)
    return kept[:-1]


def _settle(overlaps: Tensor) -> Tensor:
    """Greedy NMS in a block: 1 for the boxes kept. overlaps (G, n, n), 1 or 0, best first → (G, n)."""
    by_better = overlaps.triu(diagonal=1)
    kept = overlaps.new_ones(len(overlaps), 1, overlaps.shape[2])
    while True:
        suppressors = torch.bmm(kept, by_better)  # how many kept and better boxes overlap each
        update = (suppressors == 0).to(kept.dtype)
        if torch.equal(update, kept):
            return kept[:, 0]
        kept = update


def _overlaps(a: Tensor, b: Tensor, iou_threshold: float, workspace: Tensor) -> Tensor:
    """1 where the IoU is greater than the threshold, else 0: (4, G, n) × (4, G, m) → (G, n, m).

    The arithmetic of `yolov3_lib.boxes.iou`, step for step, in three arrays that are used again and again.
    """
    _, groups, n = a.shape
    m = b.shape[2]
    result, other, spare = workspace[:, : groups * n * m].view(3, groups, n, m)
    ax1, ay1, ax2, ay2 = a.unsqueeze(3)
    bx1, by1, bx2, by2 = b.unsqueeze(2)

    torch.minimum(ax2, bx2, out=result).sub_(torch.maximum(ax1, bx1, out=spare)).clamp_(min=0)
    torch.minimum(ay2, by2, out=other).sub_(torch.maximum(ay1, by1, out=spare))
    # A negative height may stay: it makes the intersection negative, and so less than any threshold.
    intersection = result.mul_(other)
    union = torch.add((ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1), out=other).sub_(intersection)
    # Two boxes without area give 0/0, NaN, which isn't greater than anything.
    return intersection.div_(union).gt_(iou_threshold)


def _padded_groups(groups: Tensor, nothing: int, pairs_at_once: int) -> Iterator[Tensor]:
    """Positions of each group's members, as rows of (G, K) tensors filled up with ``nothing``, largest first.

    Each tensor holds as many groups as may be compared with their blocks at once.
    """
    counts = torch.unique_consecutive(groups, return_counts=True)[1]
    starts = counts.cumsum(0) - counts
    counts, order = counts.sort(descending=True)
    starts = starts[order]
    sizes = counts.tolist()
    done = 0
    while done < len(sizes):
        chunk = slice(done, done + max(1, pairs_at_once // (BLOCK * sizes[done])))
        place = torch.arange(sizes[done], device=groups.device)
        yield torch.where(place < counts[chunk, None], starts[chunk, None] + place, nothing)
        done = chunk.stop


def _close_ranks(rows: Tensor, alive: Tensor, nothing: int) -> Tensor:
    """The entries that are alive, moved to the front of their row in order: (G, K) → (G, longest row)."""
    place = alive.cumsum(1)
    longest = int(place[:, -1].max()) if rows.numel() else 0
    moved = rows.new_full((len(rows), longest + 1), nothing)
    # Those that are gone all land in a last column, which is cut off.
    moved.scatter_(1, torch.where(alive, place - 1, longest), rows)
    moved = moved[:, :longest]
    return moved[(moved != nothing).any(1)]


def _pairs_at_once(device: torch.device) -> int:
    return PAIRS_ON_CPU if device.type == "cpu" else PAIRS_ON_GPU


def _check(boxes: Tensor, scores: Tensor, iou_threshold: float, max_output: int | None = None) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise ValueError(
            f"boxes have shape {tuple(boxes.shape)}, scores {tuple(scores.shape)}: expected (N, 4) and (N,)"
        )
    _check_limits(iou_threshold, max_output)
    validate(boxes)
    _check_finite(scores, "scores")


def _check_limits(iou_threshold: float, max_output: int | None) -> None:
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold is {iou_threshold}: it must be in [0, 1]")
    if max_output is not None and max_output < 0:
        raise ValueError(f"max_output is {max_output}: it must be at least 0, or None for no limit")


def _check_finite(scores: Tensor, name: str) -> None:
    finite = scores.isfinite()
    if not finite.all():
        index = (~finite).nonzero()[0].tolist()
        raise ValueError(f"{name}{index} is {scores[tuple(index)].item()}")
