"""Checkpoints: a detector's weights with all that is needed to build it again, as one safetensors file.

A safetensors file holds named tensors and a table of strings, and nothing that runs when it's loaded. The
table says which architecture the weights are for, the names of its classes, its anchors and the input size,
and whatever the writer wants a later reader to know about where the weights come from.
"""

import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from yolov3_lib.classes import COCO_CLASSES, VOC_CLASSES

from .darknet_weights import matching_networks, read_darknet, read_header, value_count
from .files import WeightsError, atomic_path
from .fold import is_folded
from .head import GridDetector
from .yolov3 import YOLOv3
from .yolov3_tiny import YOLOv3Tiny

FORMAT = "yolov3_lib"
FORMAT_VERSION = 1
FORMAT_FIELDS = (
    "format", "format_version", "architecture", "num_classes", "class_names", "anchors", "net_size",
    "precision",
)  # fmt: skip
ARCHITECTURES: dict[str, type[GridDetector]] = {"YOLOv3": YOLOv3, "YOLOv3Tiny": YOLOv3Tiny}


@dataclass(frozen=True)
class ModelInfo:
    """What a weights file says about its model.

    Attributes:
        architecture: ``"YOLOv3"`` or ``"YOLOv3Tiny"``.
        class_names: C names, by class index.
        net_size: side of the square input that the model is meant for, in pixels.
        provenance: where the weights come from, in the writer's words: dataset, recipe, metric, license, …
    """

    architecture: str
    class_names: tuple[str, ...]
    net_size: int = 416
    provenance: dict[str, str] = field(default_factory=dict)


def save_safetensors(
    model: GridDetector,
    path: str | os.PathLike,
    /,
    class_names: Sequence[str],
    half: bool = False,
    net_size: int = 416,
    **provenance: object,
) -> None:
    """Write a detector as safetensors; the file appears complete or not at all.

    Args:
        model: `YOLOv3` or `YOLOv3Tiny`, not folded.
        path: the file; its folder must exist.
        class_names: C names, by class index.
        half: store float16, half the size, batch normalization's statistics included.
        net_size: side of the square input that the model is meant for, in pixels.
        **provenance: anything worth knowing about the weights; what isn't a string is stored as JSON.

    Raises:
        ValueError: not as many names as classes, a folded model, NaN, a value that float16 can't hold, or a
            provenance field with the name of one of the format's own.
        TypeError: not one of the two architectures.
    """
    for name in provenance:
        if name in FORMAT_FIELDS:
            raise ValueError(f"provenance field {name!r} is one of the format's own: choose another name")
    metadata = _metadata(model, class_names, net_size, half)
    metadata |= {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in provenance.items()
    }
    tensors = {name: _stored(name, tensor, half) for name, tensor in model.state_dict().items()}
    header, values = _serialized(tensors, metadata)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(header)
        file.write(values)


def load_model(
    path: str | os.PathLike, class_names: Sequence[str] | None = None
) -> tuple[GridDetector, ModelInfo]:
    """Build the detector that a weights file is for, and fill it.

    Args:
        path: ``.safetensors`` of ours, or Darknet's ``.weights`` or ``.backup``. Those don't say what they
            are for: their size tells YOLOv3 from YOLOv3-tiny, and the number of classes.
        class_names: names by class index. By default those in the file; for Darknet's, VOC's for 20 classes
            and COCO's for 80.

    Returns:
        The model, float32, on the CPU, in eval mode, and what the file says about it.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: another format, cut short, damaged, or not for one of our architectures.
        ValueError: ``class_names`` doesn't have as many names as the model has classes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file; check the path")
    if path.suffix == ".safetensors":
        model, info = _load_safetensors(path)
    elif path.suffix in (".weights", ".backup"):
        model, info = _load_darknet(path, class_names)
    else:
        matches = matching_networks(path)
        mend = (
            f"its size fits {' or '.join(matches)}: use read_darknet" if matches else "use save_safetensors"
        )
        raise WeightsError(f"{path}: expected a .safetensors file, or Darknet's .weights or .backup; {mend}")
    if class_names is not None:
        _check_names(class_names, model.num_classes)
        info = ModelInfo(info.architecture, tuple(class_names), info.net_size, info.provenance)
    return model.eval(), info


def _check_names(class_names: Sequence[str], num_classes: int) -> None:
    if len(class_names) != num_classes:
        raise ValueError(f"class_names: expected {num_classes} names, one per class, got {len(class_names)}")


def _metadata(model: GridDetector, class_names: Sequence[str], net_size: int, half: bool) -> dict[str, str]:
    architecture = type(model).__name__
    if ARCHITECTURES.get(architecture) is not type(model):
        raise TypeError(f"model: expected {' or '.join(ARCHITECTURES)}, got {architecture}")
    if is_folded(model):
        raise ValueError(
            "model: batch normalization has been folded; save the model from before fold_batch_norm"
        )
    _check_names(class_names, model.num_classes)
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "architecture": architecture,
        "num_classes": str(model.num_classes),
        "class_names": json.dumps(list(class_names)),
        "anchors": json.dumps(model.anchors.tolist()),
        "net_size": str(net_size),
        "precision": "float16" if half else "float32",
    }


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        return tensor
    if not tensor.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinity: the training diverged, there is nothing to save")
    if not half:
        return tensor.float()
    if tensor.abs().max() > torch.finfo(torch.float16).max:
        raise ValueError(
            f"{name} reaches {tensor.abs().max():.0f}, more than float16 can hold: use half=False"
        )
    return tensor.half()


def _serialized(tensors: dict[str, Tensor], metadata: dict[str, str]) -> tuple[bytes, memoryview]:
    """A safetensors file's header and values. The same weights always give the same bytes."""
    data = save(tensors, metadata)
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    # safetensors writes the metadata in random order.
    header["__metadata__"] = dict(sorted(metadata.items()))
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded, memoryview(data)[8 + length :]


def _load_safetensors(path: Path) -> tuple[GridDetector, ModelInfo]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except SafetensorError as error:
        expected, found = _expected_size(path), path.stat().st_size
        wrong = (
            f"expected {expected} bytes, found {found} bytes"
            if expected
            else f"no header in its {found} bytes"
        )
        raise WeightsError(
            f"{path}: not a complete safetensors file ({error}): {wrong}; download or save it again"
        ) from error
    model, info = _build(path, metadata)
    _check_tensors(path, tensors, model.state_dict(), info.architecture)
    model.load_state_dict(tensors)
    return model, info


def _expected_size(path: Path) -> int | None:
    """How long a safetensors file says that it is, if its header can still be read."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, path.stat().st_size)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return 8 + length + max(ends, default=0)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        return None


def _build(path: Path, metadata: dict[str, str]) -> tuple[GridDetector, ModelInfo]:
    """The model that the metadata describes, not yet filled, and the description."""
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path}: a safetensors file, but not one of {FORMAT}'s: it names no architecture")
    version, architecture = metadata.get("format_version"), metadata.get("architecture")
    if version != str(FORMAT_VERSION) or architecture not in ARCHITECTURES:
        raise WeightsError(
            f"{path}: {architecture} in format version {version}; this library reads "
            f"{' and '.join(ARCHITECTURES)} in version {FORMAT_VERSION}: update yolov3_lib"
        )
    try:
        num_classes, net_size = int(metadata["num_classes"]), int(metadata["net_size"])
        class_names = tuple(json.loads(metadata["class_names"]))
        _check_names(class_names, num_classes)
        model = ARCHITECTURES[architecture](num_classes, json.loads(metadata["anchors"]))
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path}: metadata is damaged ({error!r}): save it again") from error
    provenance = {name: value for name, value in metadata.items() if name not in FORMAT_FIELDS}
    return model, ModelInfo(architecture, class_names, net_size, provenance)


def _check_tensors(path: Path, found: dict[str, Tensor], expected: dict[str, Tensor], name: str) -> None:
    missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or extra:
        first = f"no {min(missing)}" if missing else f"an unknown {min(extra)}"
        raise WeightsError(
            f"{path}: not the tensors of {name}: {first} ({len(missing)} missing, {len(extra)} too many)"
        )
    for key, tensor in found.items():
        if tensor.shape != expected[key].shape:
            raise WeightsError(
                f"{path}: {key} has shape {tuple(tensor.shape)}, {name} expects {tuple(expected[key].shape)}"
            )
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(f"{path}: {key} holds NaN or infinity; the file is damaged: use another")


def _load_darknet(path: Path, class_names: Sequence[str] | None) -> tuple[GridDetector, ModelInfo]:
    """Fill the architecture whose file would be as long as this one, for VOC, COCO or the names given."""
    header, size = read_header(path), path.stat().st_size
    choices = [VOC_CLASSES, COCO_CLASSES] + ([tuple(class_names)] if class_names is not None else [])
    for architecture, build in ARCHITECTURES.items():
        for names in choices:
            if size == header.size + 4 * value_count(architecture, len(names)):
                model = build(len(names))
                read_darknet(model, path)
                return model, ModelInfo(architecture, names, provenance={"images_seen": str(header.seen)})
    matches = matching_networks(path)
    if matches:
        mend = f"its size fits {' or '.join(matches)}: build that network and use read_darknet"
    else:
        mend = "if the classes are neither VOC's nor COCO's, give class_names; otherwise download it again"
    sizes = ", ".join(
        f"{header.size + 4 * value_count(name, len(names))} ({name}, {len(names)} classes)"
        for name in ARCHITECTURES
        for names in choices
    )
    raise WeightsError(f"{path}: found {size} bytes, expected one of {sizes}; {mend}")
