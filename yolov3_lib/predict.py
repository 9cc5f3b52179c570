"""Images in, detections out: everything between a photograph and its boxes, in one object::

    detector = Detector.load("data/weights/yolov3-tiny-coco.safetensors")
    detections = detector("photo.jpg")

An image is fitted into the network's input, the network runs, its predictions are decoded, thresholded and
thinned by NMS, and the boxes are taken back to the image's own pixels.
"""

import copy
import gzip
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Literal, TypeVar

import cv2
import torch
from torch import Tensor

from yolov3_lib.boxes import Letterbox, area, clip
from yolov3_lib.classes import class_mapping
from yolov3_lib.data.images import ImageError, ImageSource, letterbox_image, load_image
from yolov3_lib.decode import decode
from yolov3_lib.detections import Detections
from yolov3_lib.models import fold_batch_norm, load_model
from yolov3_lib.models.head import GridDetector
from yolov3_lib.nms import postprocess

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2")
"""Files of a folder that count as images."""

Source = TypeVar("Source", bound=ImageSource)


class Detector:
    """A network with all that turns it into a detector: ``detector(image)`` gives the image's `Detections`.

    Args:
        model: `YOLOv3` or `YOLOv3Tiny`. The detector works on a copy with batch norm folded in, so the model
            itself keeps its mode, its device and its weights.
        class_names: what the model's classes are called, in the order of its outputs.
        net_size: side of the network's square input in pixels, a multiple of 32.
        score_threshold: detections score more than this, objectness × class probability.
        iou_threshold: of two boxes of one class that overlap by more than this, NMS keeps the better.
        device: where the network runs; a GPU where there is one by default.
        resize: "letterbox" keeps the image's proportions and fills the rest with gray, as Darknet does;
            "stretch" fills the input.
        max_output: at most so many detections an image, the best; None for all.
        autocast: compute in bfloat16 (float16 on GPUs before Ampere); CUDA only.
        name: what error messages call the model, its file as a rule.

    Raises:
        ValueError: an option out of its range, or a number of names that isn't the model's number of classes.
    """

    def __init__(
        self,
        model: GridDetector,
        class_names: Sequence[str],
        net_size: int = 416,
        score_threshold: float = 0.25,
        iou_threshold: float = 0.45,
        device: torch.device | str | None = None,
        *,
        resize: Literal["letterbox", "stretch"] = "letterbox",
        max_output: int | None = None,
        autocast: bool = False,
        name: str | None = None,
    ) -> None:
        self.name = name or type(model).__name__
        if len(class_names) != model.num_classes:
            raise ValueError(
                f"{self.name} has {model.num_classes} classes, but {len(class_names)} class names were given"
            )
        if net_size < 32 or net_size % 32:
            raise ValueError(f"net_size: expected a multiple of 32, got {net_size}")
        for option, value in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f"{option}: expected a number from 0 to 1, got {value}")
        if resize not in ("letterbox", "stretch"):
            raise ValueError(f'resize: expected "letterbox" or "stretch", got {resize!r}')
        self.device = _usable_device(device)
        if autocast and self.device.type != "cuda":
            raise ValueError(f"autocast needs a CUDA device, this detector runs on {self.device}")

        self.model_classes = tuple(class_names)
        self.class_names = self.model_classes
        self.net_size = net_size
        self.score_threshold = score_threshold
        self.iou_threshold = iou_threshold
        self.resize = resize
        self.max_output = max_output
        self.autocast = autocast
        self._mapping: dict[int, int] | None = None
        # channels_last computes the same, in an order of memory that most kernels run faster in.
        self._model = fold_batch_norm(model).to(self.device, memory_format=torch.channels_last)

    @classmethod
    def load(
        cls, weights: str | os.PathLike, class_names: Sequence[str] | None = None, **options
    ) -> "Detector":
        """A detector from a weights file, Darknet's ``.weights`` or this project's ``.safetensors``.

        Args:
            weights: the file.
            class_names: for a file that doesn't hold them and has neither 20 nor 80 classes.
            **options: as for the class. ``net_size`` is by default what the file says.

        Raises:
            FileNotFoundError: no such file.
            WeightsError: the file can't be used; the message says why.
        """
        model, info = load_model(weights, class_names)
        options.setdefault("net_size", info.net_size)
        return cls(model, info.class_names, name=os.fspath(weights), **options)

    def with_classes(
        self, class_names: Sequence[str], mapping: Mapping[int, int] | None = None
    ) -> "Detector":
        """The same detector reporting other classes, say a COCO model that reports VOC's twenty.

        Classes of the model that have no counterpart are dropped before NMS. Where several become one, its
        probability is the largest of theirs. The two detectors share one network.

        Args:
            class_names: the classes to report.
            mapping: index of the model's class → index in ``class_names``; by default, equal names.

        Raises:
            ValueError: no class of the model has a counterpart, or an index is out of range.
        """
        names = tuple(class_names)
        other = copy.copy(self)
        other.class_names, other._mapping = names, None
        if mapping is None and names == self.model_classes:
            return other
        mapping = class_mapping(self.model_classes, names) if mapping is None else dict(mapping)
        if not mapping:
            raise ValueError(f"{self.name}: none of its {len(self.model_classes)} classes is among {names}")
        for source, target in mapping.items():
            if not (0 <= source < len(self.model_classes) and 0 <= target < len(names)):
                raise ValueError(
                    f"mapping {source} → {target}: the model has {len(self.model_classes)} classes, "
                    f"{len(names)} were named"
                )
        other._mapping = mapping
        return other

    def __call__(self, image: ImageSource) -> Detections:
        """What is in one image.

        Args:
            image: a path, a PIL image, an ``(H, W, 3)`` uint8 array or anything else that `load_image` takes.

        Returns:
            Detections, best first, on the CPU; boxes xyxy in pixels of the upright image, clipped to it.

        Raises:
            ImageError: the image can't be used.
            FloatingPointError: the network's outputs aren't finite.
        """
        return self._detect([self._prepare(image)])[0]

    def detect_many(
        self, sources: Iterable[Source], batch_size: int = 8
    ) -> Iterator[tuple[Source, Detections | ImageError]]:
        """Each source with its detections, in order; or with its error, and the rest goes on.

        Images are read ahead in threads, so at most three batches are in memory, however many there are.

        Args:
            sources: paths, PIL images or arrays.
            batch_size: how many images go through the network at once.

        Raises:
            FloatingPointError: the network's outputs aren't finite.
        """
        if isinstance(sources, str | os.PathLike):
            raise TypeError(f"detect_many takes several images; for the folder {sources} use detect_folder")
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        return self._detect_many(sources, batch_size)

    def detect_folder(
        self, folder: str | os.PathLike, batch_size: int = 8
    ) -> Iterator[tuple[Path, Detections | ImageError]]:
        """`detect_many` of the images in a folder, sorted by name.

        Raises:
            ImageError: no such folder, or no image in it.
        """
        return self.detect_many(list_images(folder), batch_size)

    def _detect_many(
        self, sources: Iterable[Source], batch_size: int
    ) -> Iterator[tuple[Source, Detections | ImageError]]:
        for batch, futures in self._read_ahead(sources, batch_size):
            outcomes = [future.result() for future in futures]
            inputs = [outcome for outcome in outcomes if not isinstance(outcome, ImageError)]
            found = iter(self._detect(inputs) if inputs else [])
            for source, outcome in zip(batch, outcomes, strict=True):
                yield source, outcome if isinstance(outcome, ImageError) else next(found)

    def _read_ahead(
        self, sources: Iterable[Source], batch_size: int
    ) -> Iterator[tuple[list[Source], list[Future]]]:
        remaining = iter(sources)
        waiting: deque = deque()
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            while batch := list(islice(remaining, batch_size)):
                waiting.append((batch, [pool.submit(self._prepare_or_error, source) for source in batch]))
                if len(waiting) > 2:
                    yield waiting.popleft()
            yield from waiting

    def _prepare_or_error(self, source: ImageSource) -> tuple[Tensor, Letterbox] | ImageError:
        try:
            return self._prepare(source)
        except ImageError as error:
            return error

    def _prepare(self, source: ImageSource) -> tuple[Tensor, Letterbox]:
        image = load_image(source)
        if self.resize == "letterbox":
            return letterbox_image(image, self.net_size)
        size = (self.net_size, self.net_size)
        height, width = image.shape[:2]
        shrinks = width > size[0] or height > size[1]
        stretched = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        # A "letterbox" that leaves no bars takes the boxes back, each axis by its own scale.
        return letterbox_image(stretched, self.net_size)[0], Letterbox((width, height), size, size)

    def _detect(self, inputs: Sequence[tuple[Tensor, Letterbox]]) -> list[Detections]:
        images = torch.stack([image for image, _ in inputs]).to(self.device)
        found = self._infer(images)
        return [_in_image(each, letterbox) for each, (_, letterbox) in zip(found, inputs, strict=True)]

    @torch.inference_mode()
    def _infer(self, images: Tensor) -> list[Detections]:
        with self._precision():
            heads = self._model(images)
        # Asked of the logits: a sigmoid hides infinity.
        if not all(head.isfinite().all() for head in heads):
            raise FloatingPointError(
                f"{self.name}: the network's outputs hold NaN or infinity, so its weights are damaged or its "
                "training diverged. Load an earlier checkpoint, or get the file again."
            )
        predictions = self._report_classes(decode(heads, self._model.anchors, self._model.strides))
        return postprocess(predictions, self.score_threshold, self.iou_threshold, self.max_output)

    def _precision(self) -> AbstractContextManager:
        if not self.autocast:
            return nullcontext()
        ampere = torch.cuda.get_device_capability(self.device) >= (8, 0)
        return torch.autocast("cuda", dtype=torch.bfloat16 if ampere else torch.float16)

    def _report_classes(self, predictions: Tensor) -> Tensor:
        """(B, N, 5 + C of the model) → (B, N, 5 + C to report)."""
        if self._mapping is None:
            return predictions
        sources = torch.tensor(list(self._mapping), device=predictions.device)
        targets = torch.tensor(list(self._mapping.values()), device=predictions.device)
        probabilities = predictions[..., 5:].index_select(-1, sources)
        reported = predictions.new_zeros(*predictions.shape[:-1], len(self.class_names))
        reported.scatter_reduce_(-1, targets.expand_as(probabilities), probabilities, "amax")
        return torch.cat((predictions[..., :5], reported), dim=-1)


def list_images(folder: str | os.PathLike) -> list[Path]:
    """The images of a folder, by their suffix, sorted by name; hidden files and subfolders are passed over.

    Raises:
        ImageError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder. Check the path, it counts from {Path.cwd()}.")
    images = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not images:
        raise ImageError(f"{folder}: no images in this folder. Looked for {' '.join(SUFFIXES)}.")
    return images


def save_predictions(
    path: str | os.PathLike,
    ids: Sequence[str],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    settings: Mapping[str, object] | None = None,
) -> None:
    """Write the detections in a set of images, so that a score can be computed again without the network.

    The file is JSON: ``class_names``, ``settings``, and under ``images`` for each image a list of
    ``[class index, score, x1, y1, x2, y2]``. Nine digits hold a float32 exactly.

    Args:
        path: the file; compressed if it ends in ``.gz``.
        ids: one name for each image, no two alike.
        detections: one for each image.
        class_names: what the class indices mean.
        settings: whatever says how the detections came about.
    """
    images = {name: _rows(found) for name, found in zip(ids, detections, strict=True)}
    if len(images) != len(detections):
        raise ValueError(f"{len(detections)} images have only {len(images)} different ids")
    content = {"class_names": list(class_names), "settings": dict(settings or {}), "images": images}
    with _open_text(path, "wt") as file:
        json.dump(content, file, separators=(",", ":"))


def load_predictions(path: str | os.PathLike) -> tuple[dict[str, Detections], dict]:
    """Read what `save_predictions` wrote.

    Returns:
        The detections of each image by its id, in the order they were written; and ``class_names`` and
        ``settings`` as a dictionary.

    Raises:
        ValueError: the file isn't one of these.
    """
    with _open_text(path, "rt") as file:
        try:
            content = json.load(file)
            images = {name: _from_rows(rows) for name, rows in content.pop("images").items()}
        except (ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
            raise ValueError(f"{path}: not a file of predictions, or cut short ({error!r})") from error
    return images, content


def _rows(found: Detections) -> list[list[float]]:
    table = torch.cat((found.scores[:, None], found.boxes), dim=1).tolist()
    classes = found.classes.tolist()
    return [[c, *(float(f"{v:.9g}") for v in row)] for c, row in zip(classes, table, strict=True)]


def _from_rows(rows: Sequence[Sequence[float]]) -> Detections:
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return Detections(table[:, 2:].float(), table[:, 1].float(), table[:, 0].long())


def _open_text(path: str | os.PathLike, mode: Literal["rt", "wt"]) -> IO[str]:
    opener = gzip.open if os.fspath(path).endswith(".gz") else open
    return opener(path, mode, encoding="utf-8")


def _in_image(found: Detections, letterbox: Letterbox) -> Detections:
    """From network pixels, wherever they were computed, to the image's pixels on the CPU."""
    boxes = clip(letterbox.invert(found.boxes.cpu()), letterbox.image_size)
    # clone: tensors made under inference_mode can't take part in autograd, ordinary ones can
    detections = Detections(boxes, found.scores.cpu().clone(), found.classes.cpu().clone())
    # What lay in the gray bars alone has no area left.
    return detections[area(boxes) > 0]


def _usable_device(device: torch.device | str | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=device)
    except Exception as error:  # each backend has its own way to say that it isn't there
        problem = str(error).splitlines()[0]
        raise ValueError(
            f"device {device}: can't be used here ({problem}). Leave the device out, or use cpu."
        ) from error
    return torch.device(device)
