"""Detections in a whole dataset and their mAP, over one process or several."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from tqdm import tqdm

from yolov3_lib.data.dataset import DetectionDataset
from yolov3_lib.data.images import ImageError
from yolov3_lib.detections import Detections
from yolov3_lib.evaluate import VocResult, evaluate_voc
from yolov3_lib.models import GridDetector
from yolov3_lib.predict import Detector

SCORE_THRESHOLD = 0.005
"""Detections below it can't move mAP by much; Darknet's value."""


def validate(
    model: GridDetector,
    dataset: DetectionDataset,
    class_names: Sequence[str],
    net_size: int = 416,
    batch_size: int = 8,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> tuple[VocResult, list[Detections]]:
    """Detect in every image of a dataset, and measure.

    Several processes share the work batch by batch, so that each batch is the one that a single process would
    have seen, and every image is in exactly one of them.

    Args:
        model: the network; it stays as it is.
        dataset: images with annotations.
        class_names: C names.
        net_size: side of the network's input in pixels.
        batch_size: images at a time.
        device: where to run.
        progress: show a bar; by default where there is a terminal.

    Returns:
        The result and the detections of each image in the dataset's order: the same in every process.

    Raises:
        ImageError: an image can't be read; without it the score would be of another set of images.
    """
    world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    detector = Detector(
        model, class_names, net_size, SCORE_THRESHOLD, device=device, name="the model in training"
    )
    batches = [range(i, min(i + batch_size, len(dataset))) for i in range(0, len(dataset), batch_size)]
    mine = [index for batch in batches[rank::world] for index in batch]
    paths = [dataset.image_path(index) for index in mine]
    bar = tqdm(
        detector.detect_many(paths, batch_size),
        total=len(paths),
        desc="validate",
        unit="image",
        leave=False,
        disable=bar_disabled(progress, main=rank == 0),
    )
    found = {}
    for index, (_, outcome) in zip(mine, bar, strict=True):
        if isinstance(outcome, ImageError):
            raise outcome
        found[index] = outcome
    if world > 1:
        parts: list[dict[int, Detections] | None] = [None] * world
        dist.all_gather_object(parts, found)
        found = {index: each for part in parts for index, each in (part or {}).items()}
    detections = [found[index] for index in range(len(dataset))]
    truths = [dataset.annotation(index) for index in range(len(dataset))]
    return evaluate_voc(detections, truths, class_names), detections


def bar_disabled(progress: bool | None, main: bool) -> bool | None:
    """tqdm's ``disable``: None hides the bar where there's no terminal. Only the main process shows one."""
    if not main:
        return True
    return None if progress is None else not progress
