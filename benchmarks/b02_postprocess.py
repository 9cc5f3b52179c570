"""Row 2: from the raw predictions of 8 images to detections, score > .005, about 37,000 candidates an image.

Scores are products of two random sigmoids, set so that about that many of the 10,647 × 20 pass. The boxes
are of three kinds: spread at random, as a network's grid and anchors put them, and heaped on objects.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from b01_nms import (
    BOXES,
    CLASSES,
    SIZE,
    THRESHOLD,
    clustered_boxes,
    import_torchvision,
    numpy_loop,
    opencv_by_class,
    uniform_boxes,
)
from harness import Row
from torch import Tensor

from yolov3_lib.anchors import YOLOV3_ANCHORS
from yolov3_lib.nms import postprocess

IMAGES, SCORE_THRESHOLD = 8, 0.005
Answer = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def anchor_boxes(n: int, generator: torch.Generator) -> Tensor:
    """What a network at the start of its training gives: each anchor in each cell, moved and scaled a bit."""
    scales = []
    for stride, anchors in zip((32, 16, 8), YOLOV3_ANCHORS, strict=True):
        cells = torch.arange(SIZE // stride)
        y, x = torch.meshgrid(cells, cells, indexing="ij")
        corners = torch.stack([x, y], dim=-1)[:, :, None].expand(-1, -1, 3, -1)
        centers = stride * (corners + torch.rand(corners.shape, generator=generator))
        sizes = torch.tensor(anchors) * torch.exp(0.5 * torch.randn(corners.shape, generator=generator))
        scales.append(torch.cat([centers - sizes / 2, centers + sizes / 2], dim=-1).reshape(-1, 4))
    boxes = torch.cat(scales)
    assert len(boxes) == n
    return boxes


def rows() -> list[Row]:
    return [
        one_row("spread at random", uniform_boxes, seed=0),
        one_row("on a network's grid and anchors", anchor_boxes, seed=1),
        one_row("half of them heaped on 20 objects", clustered_boxes, seed=2),
    ]


def one_row(kind: str, make_boxes: Callable[[int, torch.Generator], Tensor], seed: int) -> Row:
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.stack([make_boxes(BOXES, generator) for _ in range(IMAGES)])
    objectness = torch.sigmoid(2 * torch.randn(IMAGES, BOXES, 1, generator=generator) - 4.96)
    probabilities = torch.sigmoid(2 * torch.randn(IMAGES, BOXES, CLASSES, generator=generator) - 2.5)
    predictions = torch.cat([boxes, objectness, probabilities], dim=-1)
    found = (objectness * probabilities > SCORE_THRESHOLD).sum().item() / IMAGES

    candidates: dict[str, Callable[[], object]] = {
        "yolov3_lib": lambda: [
            (d.boxes.numpy(), d.scores.numpy(), d.classes.numpy())
            for d in postprocess(predictions, SCORE_THRESHOLD, THRESHOLD)
        ],
        "numpy, box by box": partial(image_by_image, predictions, numpy_loop),
        "OpenCV, class by class": partial(image_by_image, predictions, opencv_by_class),
    }
    torchvision = import_torchvision()
    if torchvision is not None:
        batched = torchvision.ops.batched_nms
        candidates["torchvision, batched_nms"] = partial(
            image_by_image,
            predictions,
            lambda boxes, scores, classes: batched(
                *map(torch.from_numpy, (boxes, scores, classes)), THRESHOLD
            ),
        )
    return Row(
        number=2,
        title=f"raw {tuple(predictions.shape)} → detections, score > {SCORE_THRESHOLD}, "
        f"{found:,.0f} candidates an image, boxes {kind}",
        bar="≤ 100 ms an image, nothing dropped",
        ours="yolov3_lib",
        candidates=candidates,
        check=check,
        unit="ms/image",
        scale=1000 / IMAGES,
        notes=[] if torchvision else ["torchvision can't be imported here"],
    )


def image_by_image(predictions: Tensor, nms: Callable[..., object]) -> Answer:
    """Scores, threshold and NMS for one image after the other."""
    results = []
    for image in predictions.numpy():
        scores = image[:, 4:5] * image[:, 5:]
        rows, classes = np.nonzero(scores > SCORE_THRESHOLD)
        boxes, scores = image[rows, :4], scores[rows, classes]
        kept = np.asarray(nms(boxes, scores, classes))
        results.append((boxes[kept], scores[kept], classes[kept]))
    return results


def check(answers: dict[str, Answer]) -> None:
    def as_sets(answer: Answer) -> list[set]:
        return [
            set(zip(map(tuple, boxes.tolist()), scores.tolist(), classes.tolist(), strict=True))
            for boxes, scores, classes in answer
        ]

    expected = as_sets(answers["numpy, box by box"])
    assert all(expected)
    for name, answer in answers.items():
        for image, (found, wanted) in enumerate(zip(as_sets(answer), expected, strict=True)):
            assert found == wanted, f"{name}, image {image}: {len(found)} detections, expected {len(wanted)}"
