"""Ground truth of a set of images in one small file, so that a score can be computed without the images.

`predict.save_predictions` keeps what a detector said, this module what it should have said. Both files
together are all that mAP needs: no photograph, no network.

The file is JSON: ``class_names``, ``settings``, and under ``images`` for each image its ``size`` (width,
height) and its ``objects``, a list of ``[class index, flags, x1, y1, x2, y2]``: boxes xyxy in pixels of the
image with continuous edges; flags are the sum of 1 for difficult and 2 for truncated.
"""

import gzip
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import IO

import torch

from yolov3_lib.data.voc import Annotation

_DIFFICULT, _TRUNCATED = 1, 2


def save_truths(
    path: str | os.PathLike,
    ids: Sequence[str],
    annotations: Sequence[Annotation],
    class_names: Sequence[str],
    settings: Mapping[str, object] | None = None,
) -> None:
    """Write the annotations of a set of images into one file.

    Args:
        path: the file; compressed if it ends in ``.gz``. The same truths give the same bytes.
        ids: one name for each image, no two alike; the image's file name is the id and ``.jpg``.
        annotations: one for each image, with boxes (N, 4) xyxy in pixels. Coordinates keep four decimals.
        class_names: what the class indices mean.
        settings: whatever says where the truths come from.

    Raises:
        ValueError: two ids are alike, or there isn't one annotation for each.
    """
    images = {name: _to_plain(each) for name, each in zip(ids, annotations, strict=True)}
    if len(images) != len(annotations):
        raise ValueError(f"{len(annotations)} images have only {len(images)} different ids")
    content = {"class_names": list(class_names), "settings": dict(settings or {}), "images": images}
    data = json.dumps(content, separators=(",", ":")).encode()
    if os.fspath(path).endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    with open(path, "wb") as file:
        file.write(data)


def load_truths(path: str | os.PathLike) -> tuple[dict[str, Annotation], dict]:
    """Read what `save_truths` wrote.

    Returns:
        The annotation of each image by its id, in the order they were written; and ``class_names`` and
        ``settings`` as a dictionary.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file isn't one of these, or is cut short; or an object isn't six numbers, has a class
            without a name, an unknown flag, a coordinate that isn't finite, or x2 < x1 or y2 < y1. The
            message names file, image and object.
    """
    with _open(path) as file:
        try:
            content = json.load(file)
            images, names = content.pop("images"), content["class_names"]
            plain = {name: (tuple(image["size"]), list(image["objects"])) for name, image in images.items()}
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError) as error:
            raise ValueError(
                f"{path}: not a file of truths, or cut short ({error!r}). Write it again with save_truths."
            ) from error
    return {
        name: _from_plain(size, rows, names, f"{path}: image {name}", f"{name}.jpg")
        for name, (size, rows) in plain.items()
    }, content


def _to_plain(annotation: Annotation) -> dict:
    flags = _DIFFICULT * annotation.difficult.long() + _TRUNCATED * annotation.truncated.long()
    rows = zip(annotation.classes.tolist(), flags.tolist(), annotation.boxes.tolist(), strict=True)
    return {
        "size": list(annotation.size),
        "objects": [[c, flag, *(_short(value) for value in box)] for c, flag, box in rows],
    }


def _short(value: float) -> float | int:
    value = round(value, 4)
    return int(value) if value == int(value) else value


def _from_plain(
    size: tuple[int, int], rows: list, class_names: Sequence[str], where: str, filename: str
) -> Annotation:
    for number, row in enumerate(rows):
        _check(row, len(class_names), f"{where}: objects[{number}]")
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    classes, flags = table[:, 0].long(), table[:, 1].long()
    return Annotation(
        filename=filename,
        size=size,
        boxes=table[:, 2:].float(),
        classes=classes,
        names=tuple(class_names[c] for c in classes.tolist()),
        difficult=(flags & _DIFFICULT).bool(),
        truncated=(flags & _TRUNCATED).bool(),
    )


def _check(row: object, num_classes: int, where: str) -> None:
    numbers = isinstance(row, list) and len(row) == 6
    if not numbers or not all(isinstance(v, int | float) and math.isfinite(v) for v in row):
        raise ValueError(f"{where}: expected [class, flags, x1, y1, x2, y2], six finite numbers, not {row}")
    label, flags, x1, y1, x2, y2 = row
    if label not in range(num_classes):
        raise ValueError(f"{where}: class {label} isn't an index from 0 to {num_classes - 1}")
    if flags not in range(4):
        raise ValueError(f"{where}: flags {flags}: expected 1 for difficult, plus 2 for truncated")
    if x2 < x1 or y2 < y1:
        raise ValueError(f"{where}: x2 < x1 or y2 < y1: {row[2:]}. Boxes are two corners, xyxy.")


def _open(path: str | os.PathLike) -> IO[str]:
    opener = gzip.open if os.fspath(path).endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8")
