"""The model that a run starts from: random, a pretrained backbone, or a whole detector with other classes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from yolov3_lib.anchors import Anchors
from yolov3_lib.classes import class_mapping
from yolov3_lib.models import GridDetector, WeightsError, YOLOv3, load_model, read_darknet
from yolov3_lib.models.checkpoint import ARCHITECTURES
from yolov3_lib.models.head import Head
from yolov3_lib.paths import find_weights

BACKBONE_VALUES = 40_620_640  # float32 values in darknet53.conv.74


@dataclass(frozen=True)
class Start:
    """A model to train and where its weights come from.

    Attributes:
        model: on the CPU, in training mode.
        origin: one sentence for the run's record.
        new_classes: classes whose outputs start from random weights, because the file doesn't know them.
    """

    model: GridDetector
    origin: str
    new_classes: tuple[str, ...]


def build_model(
    architecture: str,
    class_names: Sequence[str],
    weights: str | os.PathLike | None = None,
    anchors: Anchors | None = None,
    seed: int = 0,
) -> Start:
    """A model for some classes, its weights random or from a file.

    Args:
        architecture: ``"YOLOv3"`` or ``"YOLOv3Tiny"``.
        class_names: the C classes to detect.
        weights: a path, or a name among the course's weights: ``darknet53.conv.74`` fills YOLOv3's
            backbone; a ``.weights`` or ``.safetensors`` file of the same architecture fills the model.
            Where it was trained on other classes, its heads' outputs are taken over for the classes of the
            same name (COCO's spelling included), and the others stay random.
        anchors: instead of the file's or the architecture's own.
        seed: of the random weights.

    Raises:
        FileNotFoundError: no such weights.
        WeightsError: a file of another architecture or format, or damaged.
        ValueError: no such architecture, or no class names.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture: expected {' or '.join(ARCHITECTURES)}, got {architecture!r}")
    if not class_names:
        raise ValueError("class_names: expected at least one class to train on")
    path = None if weights is None else find_weights(weights)
    if path is None or _is_backbone(path):
        model = _random(architecture, len(class_names), anchors, seed)
        if path is None:
            return Start(model.train(), "random weights", tuple(class_names))
        if not isinstance(model, YOLOv3):
            raise WeightsError(f"{path}: the backbone of YOLOv3, not of {architecture}; train YOLOv3 with it")
        read_darknet(model.backbone, path)
        return Start(model.train(), f"backbone from {path.name}", tuple(class_names))

    pretrained, info = load_model(path)
    if info.architecture != architecture:
        raise WeightsError(
            f"{path}: the weights of a {info.architecture}; to train it, choose that architecture"
        )
    model = _random(architecture, len(class_names), anchors or pretrained.anchors.tolist(), seed)
    if model.anchors.shape != pretrained.anchors.shape:
        raise WeightsError(
            f"{path}: has {pretrained.num_anchors} anchors a scale, the model {model.num_anchors}"
        )
    mapping = class_mapping(tuple(info.class_names), tuple(class_names))
    if not mapping:
        raise WeightsError(
            f"{path}: none of its classes ({', '.join(info.class_names[:3])}, …) is among "
            f"those to train on ({', '.join(class_names[:3])}, …); rename them, or start from the backbone"
        )
    _take_over(model, pretrained, mapping)
    new = tuple(name for index, name in enumerate(class_names) if index not in mapping.values())
    kept = f"{len(class_names) - len(new)} of {len(class_names)} classes"
    return Start(model.train(), f"{path.name}, its heads for {kept}", new)


def _is_backbone(path: Path) -> bool:
    """Whether the file's length is that of darknet53.conv.74, with a header of the old or the new kind."""
    return path.suffix != ".safetensors" and path.stat().st_size - 4 * BACKBONE_VALUES in (16, 20)


def _random(architecture: str, num_classes: int, anchors: Anchors | None, seed: int) -> GridDetector:
    # A generator of its own: what else draws random numbers must not decide the weights.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        build = ARCHITECTURES[architecture]
        return build(num_classes) if anchors is None else build(num_classes, anchors)


@torch.no_grad()
def _take_over(model: GridDetector, pretrained: GridDetector, mapping: dict[int, int]) -> None:
    """Copy everything but the heads' outputs, and of those the boxes, objectness and known classes."""
    ours = model.state_dict()
    for name, tensor in pretrained.state_dict().items():
        if ".logits." not in name:
            ours[name].copy_(tensor)
    sources, targets = (torch.tensor(list(side)) for side in (mapping.keys(), mapping.values()))
    for mine, other in zip(_heads(model), _heads(pretrained), strict=True):
        for new, old in ((mine.logits.weight, other.logits.weight), (mine.logits.bias, other.logits.bias)):
            # Output channels lie anchor by anchor: 5 + C each.
            new, old = (values.view(model.num_anchors, -1, *values.shape[1:]) for values in (new, old))
            new[:, :5] = old[:, :5]
            new[:, 5 + targets] = old[:, 5 + sources]


def _heads(model: nn.Module) -> list[Head]:
    return [module for module in model.modules() if isinstance(module, Head)]
