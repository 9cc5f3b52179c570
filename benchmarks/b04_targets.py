"""Row 4: the targets of a batch of 64 images at three scales, by Darknet's rule of nine anchors.

The baseline is the rule as a tutorial writes it: object by object, anchor by anchor, into dense tensors.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from harness import Row
from objects import NET_SIZE, NUM_CLASSES, truths_of
from torch import Tensor

from yolov3_lib.anchors import YOLOV3_ANCHORS
from yolov3_lib.targets import ScaleTargets, assign

IMAGES = 64
TIMES = 20
STRIDES = (32, 16, 8)
GRIDS = [(NET_SIZE // stride, NET_SIZE // stride) for stride in STRIDES]


def row() -> Row:
    truths = truths_of(IMAGES)
    anchors = torch.tensor(YOLOV3_ANCHORS, dtype=torch.float32)
    return Row(
        number=4,
        title=f"targets of {IMAGES} images at {NET_SIZE} × {NET_SIZE}, {len(truths)} objects, nine anchors",
        bar="≤ 1 ms",
        ours="ours",
        candidates={
            name: partial(repeated, candidate)
            for name, candidate in {
                "ours": partial(assign, truths, anchors, GRIDS, (NET_SIZE, NET_SIZE), NUM_CLASSES),
                "ours, made dense": partial(dense, truths, anchors),
                "loops over objects and anchors": partial(loops, truths.tolist(), anchors.tolist()),
            }.items()
        },
        check=check,
        scale=1000 / TIMES,
        notes=[f"{TIMES} batches in a row"],
    )


def repeated(candidate: Callable[[], object]) -> object:
    """A single batch is too short a work for the clock: what it took would be the caches' filling."""
    for _ in range(TIMES):
        answer = candidate()
    return answer


def dense(truths: Tensor, anchors: Tensor, images: int = IMAGES) -> list[Tensor]:
    """For each scale (B, A, H, W, 5 + C): x̂, ŷ, t̂_w, t̂_h, 1, classes where responsible, 0 elsewhere."""
    targets = assign(truths, anchors, GRIDS, (NET_SIZE, NET_SIZE), NUM_CLASSES)
    return [as_dense(target, images, *grid) for target, grid in zip(targets, GRIDS, strict=True)]


def as_dense(target: ScaleTargets, images: int, rows: int, columns: int) -> Tensor:
    scale = torch.zeros(images, 3, rows, columns, 5 + NUM_CLASSES)
    own = target.responsible
    values = torch.cat((target.offset, target.log_size, torch.ones(len(own), 1), target.classes), dim=1)
    scale[tuple(index[own] for index in target.cell)] = values[own]
    return scale


def loops(truths: list[list[float]], anchors: list[list[list[float]]]) -> list[Tensor]:
    scales = [torch.zeros(IMAGES, 3, *grid, 5 + NUM_CLASSES) for grid in GRIDS]
    for image, x, y, w, h, label in truths:
        best, place = -1.0, None
        for scale in range(len(STRIDES)):
            for number, (width, height) in enumerate(anchors[scale]):
                overlap = min(w * NET_SIZE, width) * min(h * NET_SIZE, height)
                union = w * h * NET_SIZE**2 + width * height - overlap
                # ≥: a tie goes to the finer scale, which comes later here and first in Darknet.
                if overlap / union >= best:
                    best, place = overlap / union, (scale, number)
        scale, number = place
        rows, columns = GRIDS[scale]
        row, column = min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)
        cell = scales[scale][int(image), number, row, column]
        width, height = anchors[scale][number]
        cell[0], cell[1] = x * columns - column, y * rows - row
        cell[2], cell[3] = math.log(w * NET_SIZE / width), math.log(h * NET_SIZE / height)
        cell[4] = 1
        cell[5 + int(label)] = 1
    return scales


def check(answers: dict[str, object]) -> None:
    ours = answers["ours, made dense"]
    for number, (scale, expected) in enumerate(
        zip(ours, answers["loops over objects and anchors"], strict=True)
    ):
        torch.testing.assert_close(
            scale, expected, atol=1e-4, rtol=0, msg=lambda m, n=number: f"scale {n}: {m}"
        )
    assert sum(int(target.responsible.sum()) for target in answers["ours"]) == sum(
        int(scale[..., 4].sum()) for scale in ours
    )
