"""Darknet's weights files, read and written.

A file is a header and then float32 values, little-endian, without names or shapes::

    int32 major, minor, revision
    int64 seen                      images trained on; int32 where 10·major + minor < 2

    per convolution, in the order of the cfg file:
        β, γ, running mean, running variance    (or the bias, where there is no batch normalization)
        weights, (out_channels, in_channels, k, k)

So the network has to be known beforehand, and only the file's length tells whether it's the right one.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .blocks import ConvBlock
from .files import WeightsError, atomic_path

DETECTOR_VALUES: dict[str, tuple[int, int]] = {
    "YOLOv3": (61_570_957, 5_385),
    "YOLOv3Tiny": (8_673_934, 2_310),
}
"""Float32 values in a detector's file: those that any number of classes needs, and those per class."""


def value_count(architecture: str, num_classes: int) -> int:
    """How many float32 values the weights file of ``"YOLOv3"`` or ``"YOLOv3Tiny"`` holds."""
    fixed, per_class = DETECTOR_VALUES[architecture]
    return fixed + per_class * num_classes


KNOWN_NETWORKS: dict[str, int] = {
    **{f"{name} with {c} classes": value_count(name, c) for name in DETECTOR_VALUES for c in (20, 80)},
    "Darknet53, the backbone (darknet53.conv.74)": 40_620_640,
    "Darknet53Classifier with 1000 classes": 41_645_640,
}
"""Float32 values in the files of common networks, to tell which one a file may belong to."""


@dataclass(frozen=True)
class DarknetHeader:
    """The first bytes of a weights file.

    Attributes:
        major, minor, revision: version of the format; 0.2.0 in the files of YOLOv3.
        seen: how many images the network was trained on.
    """

    major: int = 0
    minor: int = 2
    revision: int = 0
    seen: int = 0

    @property
    def format(self) -> str:
        """The header's layout for `struct`: Darknet's rule, with its guard against nonsense versions."""
        long = 10 * self.major + self.minor >= 2 and self.major < 1000 and self.minor < 1000
        return "<iiiq" if long else "<iiii"

    @property
    def size(self) -> int:
        """Length in bytes: 20, or 16 in the old format."""
        return struct.calcsize(self.format)

    def to_bytes(self) -> bytes:
        return struct.pack(self.format, self.major, self.minor, self.revision, self.seen)

    @staticmethod
    def from_bytes(data: bytes) -> "DarknetHeader":
        """The header that ``data`` starts with.

        Raises:
            struct.error: ``data`` is too short to hold one.
        """
        version = struct.unpack_from("<iii", data)
        *_, seen = struct.unpack_from(DarknetHeader(*version).format, data)
        return DarknetHeader(*version, seen)


def darknet_arrays(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of every array that a weights file holds for ``module``, in the file's order.

    Raises:
        ValueError: a block's batch normalization has been folded away.
    """
    if isinstance(module, ConvBlock):
        if module.is_folded:
            raise ValueError(
                f"{prefix or 'the block'} has no batch normalization any more, but Darknet's format needs it:"
                " use the model from before fold_batch_norm"
            )
        bn = module.bn
        yield f"{prefix}.bn.bias", bn.bias
        yield f"{prefix}.bn.weight", bn.weight
        yield f"{prefix}.bn.running_mean", bn.running_mean
        yield f"{prefix}.bn.running_var", bn.running_var
        yield f"{prefix}.conv.weight", module.conv.weight
    elif isinstance(module, (nn.Conv2d, nn.Linear)):
        yield f"{prefix}.bias", module.bias
        yield f"{prefix}.weight", module.weight
    else:
        for name, child in module.named_children():
            yield from darknet_arrays(child, f"{prefix}.{name}" if prefix else name)


def read_darknet(model: nn.Module, path: str | os.PathLike) -> DarknetHeader:
    """Fill ``model`` from a Darknet weights file.

    Args:
        model: `YOLOv3`, `YOLOv3Tiny`, `Darknet53Classifier`, or `Darknet53` for the backbone alone
            (``darknet53.conv.74``: read it into ``model.backbone``). Unchanged if the file is refused.
        path: the file.

    Returns:
        The file's header.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: the file belongs to another network, is cut short, has bytes left over, or holds values
            that no trained network has (NaN, infinity, a negative variance).
    """
    path = Path(path)
    arrays = list(darknet_arrays(model))
    header = read_header(path)
    _check_size(path, header, sum(tensor.numel() for _, tensor in arrays), _description(model))

    values = np.fromfile(path, dtype="<f4", offset=header.size)
    chunks = np.split(values, np.cumsum([tensor.numel() for _, tensor in arrays[:-1]]))
    for (name, _), chunk in zip(arrays, chunks, strict=True):
        _check_values(path, name, chunk)
    with torch.no_grad():
        for (_, tensor), chunk in zip(arrays, chunks, strict=True):
            tensor.copy_(torch.from_numpy(chunk.astype(np.float32, copy=False)).view(tensor.shape))
    return header


def write_darknet(model: nn.Module, path: str | os.PathLike, header: DarknetHeader | None = None) -> None:
    """Write ``model`` as a Darknet weights file; the file appears complete or not at all.

    Args:
        model: as in `read_darknet`.
        path: the file; its folder must exist.
        header: version and images seen; by default version 0.2.0 and none seen.

    Raises:
        ValueError: batch normalization has been folded away.
    """
    header = header or DarknetHeader()
    arrays = list(darknet_arrays(model))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(header.to_bytes())
        for _, tensor in arrays:
            file.write(tensor.detach().cpu().float().contiguous().numpy().astype("<f4", copy=False).tobytes())


def read_header(path: str | os.PathLike) -> DarknetHeader:
    """The header of a Darknet weights file.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: too short to hold a header.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            return DarknetHeader.from_bytes(file.read(20))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such weights file; check the path") from None
    except struct.error:
        raise WeightsError(
            f"{path}: {path.stat().st_size} bytes can't hold the header of a Darknet weights file; "
            "download it again"
        ) from None


def matching_networks(path: str | os.PathLike) -> list[str]:
    """Names of the `KNOWN_NETWORKS` whose values would fill the file exactly, whichever header it has."""
    size = Path(path).stat().st_size
    return [name for name, count in KNOWN_NETWORKS.items() if size - 4 * count in (16, 20)]


def _description(model: nn.Module) -> str:
    name = type(model).__name__
    return f"{name} with {model.num_classes} classes" if hasattr(model, "num_classes") else name


def _check_size(path: Path, header: DarknetHeader, count: int, network: str) -> None:
    expected, found = header.size + 4 * count, path.stat().st_size
    if expected == found:
        return
    matches = [name for name in matching_networks(path) if KNOWN_NETWORKS[name] != count]
    if matches:
        mend = f"its size fits {' or '.join(matches)}: build that network"
    else:
        wrong = "is cut short" if found < expected else "has bytes left over"
        mend = f"it {wrong}, or belongs to another network: download it again, or build that network"
    raise WeightsError(f"{path}: expected {expected} bytes for {network}, found {found}; {mend}")


def _check_values(path: Path, name: str, values: np.ndarray) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        index = int(np.argmin(finite))
        raise WeightsError(
            f"{path}: value {index} of {name} is {values[index]}; the file is damaged, or its training "
            "diverged: use another"
        )
    if name.endswith("running_var") and values.min() < 0:
        index = int(np.argmin(values))
        raise WeightsError(
            f"{path}: value {index} of {name} is {values[index]}, but a variance can't be negative; "
            "the file is damaged or belongs to another network of the same size"
        )
