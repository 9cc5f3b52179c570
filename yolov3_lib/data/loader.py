"""From a dataset to batches: which image comes when, at which size, augmented by whom, in what form.

Everything random is a pure function of numbers that a checkpoint can hold. An epoch's order follows from
(seed, epoch), a batch's input size from (seed, its number), a sample's augmentation from (seed, epoch, its
index). No generator is carried along, so that it doesn't matter how many workers there are, how many
processes share a batch, or whether the run was interrupted: the same numbers give the same batches.
"""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from yolov3_lib.data.augment import AugmentConfig, augment
from yolov3_lib.data.dataset import DetectionDataset
from yolov3_lib.data.images import ImageError, load_image

# Seeds are (seed, epoch, index, purpose), so that no two purposes ever draw the same numbers. A sample's
# purpose is 0, which numpy also assumes where the fourth number is missing.
_ORDER, _SIZE = 1, 2

PREFETCH = 4
"""Batches that each worker prepares ahead."""


class Request(NamedTuple):
    """What a sampler asks a training set for: image ``index``, as augmented in ``epoch``, at ``net_size``."""

    index: int
    epoch: int
    net_size: int


class Sample(NamedTuple):
    """One augmented image.

    Attributes:
        image: (S, S, 3) uint8, RGB.
        boxes: (N, 4) float32, xyxy in pixels of the S × S input, inside it.
        classes: (N,) int64.
        id: the image's name.
    """

    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    id: str


@dataclass(frozen=True)
class Batch:
    """Samples of one size, ready for the network and the loss.

    Attributes:
        images: (B, 3, S, S) uint8, RGB. They are to be divided by 255 on the device: bytes travel faster. The
            memory is in channels_last order, as images are decoded.
        truths: (M, 6) float32: position of the image in the batch; x, y, w, h of the box, center format,
            relative to the network's input; class. Ordered by image, then as in the annotation.
        ids: B names, for error messages.
    """

    images: Tensor
    truths: Tensor
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def pin_memory(self) -> "Batch":
        """The same in page-locked memory, from where copies to a GPU needn't be waited for."""
        return Batch(self.images.pin_memory(), self.truths.pin_memory(), self.ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same on another device."""
        return Batch(
            self.images.to(device, non_blocking=non_blocking),
            self.truths.to(device, non_blocking=non_blocking),
            self.ids,
        )


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples → `Batch`.

    Raises:
        ValueError: no samples, or images of different sizes.
    """
    if not samples:
        raise ValueError("collate: a batch needs at least one sample")
    sizes = sorted({sample.image.shape for sample in samples})
    if len(sizes) > 1:
        raise ValueError(f"collate: a batch's images must have one size, got {sizes}")
    net_size = samples[0].image.shape[0]
    truths = np.zeros((sum(len(sample.boxes) for sample in samples), 6), np.float32)
    start = 0
    for position, (_, boxes, classes, _) in enumerate(samples):
        rows = truths[start : start + len(boxes)]
        rows[:, 0] = position
        rows[:, 1:3] = (boxes[:, :2] + boxes[:, 2:]) / (2 * net_size)
        rows[:, 3:5] = (boxes[:, 2:] - boxes[:, :2]) / net_size
        rows[:, 5] = classes
        start += len(boxes)
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    return Batch(images.permute(0, 3, 1, 2), torch.from_numpy(truths), tuple(sample.id for sample in samples))


class TrainingSet(Dataset):
    """Augmented samples of a dataset: ``training_set[Request(index, epoch, net_size)]`` gives a `Sample`.

    All annotations are read at once, so that a mistake in one is found now and not after an hour of training.
    Images are read when they are asked for.

    Args:
        dataset: what to train on.
        augment: how to augment; Darknet's recipe by default.
        seed: together with the epoch and the index it determines a sample's augmentation.
        use_difficult: train on objects marked difficult too. Darknet doesn't.
        cache: read all image files now and keep their bytes, encoded as they are: for a slow disk, and at the
            cost of memory as large as the files. Worker processes share it where they are forked (Linux);
            where they are spawned each gets a copy.

    Raises:
        ValueError: the dataset has no images, or not a single object to train on.
        AnnotationError, FileNotFoundError: an annotation can't be used or an image is missing; its path is in
            the message.
        ImageError: with ``cache``, a file can't be read.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        use_difficult: bool = False,
        cache: bool = False,
    ) -> None:
        self.recipe = AugmentConfig.darknet() if augment is None else augment
        self.seed = _check_seed(seed)
        self.ids = tuple(dataset.ids)
        if not self.ids:
            raise ValueError(
                "the dataset is empty: there's no image to train on. Check its folder and split."
            )
        self.paths = [dataset.image_path(index) for index in range(len(self))]
        annotations = [dataset.annotation(index) for index in range(len(self))]
        wanted = [
            torch.ones_like(annotation.difficult) if use_difficult else ~annotation.difficult
            for annotation in annotations
        ]
        # A few large arrays instead of thousands of small ones: forked workers share their memory.
        self._starts = np.cumsum([0, *(int(mask.sum()) for mask in wanted)])
        pairs = list(zip(annotations, wanted, strict=True))
        self._boxes = torch.cat([annotation.boxes[mask] for annotation, mask in pairs]).numpy()
        self._classes = torch.cat([annotation.classes[mask] for annotation, mask in pairs]).numpy()
        self._sizes = np.array([annotation.size for annotation in annotations])
        if not len(self._boxes):
            hint = (
                ""
                if use_difficult
                else " (objects marked difficult don't count; use_difficult=True keeps them)"
            )
            raise ValueError(
                f"none of the dataset's {len(self)} images has an object to train on{hint}. "
                "Check its annotations and class names."
            )
        self._bytes = _read_all(self.paths) if cache else None

    @property
    def objects(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All objects that are trained on: where each image's begin, (images + 1,); boxes, (M, 4) xyxy in
        pixels of their images; classes, (M,)."""
        return self._starts, self._boxes, self._classes

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, request: Request) -> Sample:
        """The sample that is asked for.

        Raises:
            ImageError: an image file can't be read, or its size isn't what the annotation says; the message
                has its path.
        """
        rng = np.random.default_rng([self.seed, request.epoch, request.index])
        image, boxes, classes = augment(
            self.recipe, request.index, self.load, len(self), rng, request.net_size
        )
        return Sample(image, boxes, classes, self.ids[request.index])

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """An image as it is, with its objects: (H, W, 3) uint8 RGB; (N, 4) xyxy pixels; (N,) classes.

        Raises:
            ImageError: as for indexing.
        """
        path = self.paths[index]
        if self._bytes is None:
            image = load_image(path)
        else:
            try:
                image = load_image(self._bytes[index])
            except ImageError as error:
                raise ImageError(f"{path}: {error}") from None
        height, width = image.shape[:2]
        if (width, height) != tuple(self._sizes[index]):
            raise ImageError(
                f"{path}: the image is {width}×{height} pixels, but its annotation says "
                f"{self._sizes[index][0]}×{self._sizes[index][1]}, so that its boxes can't be trusted. "
                "Was the image scaled or rotated after it was annotated? Correct the annotation."
            )
        objects = slice(self._starts[index], self._starts[index + 1])
        return image, self._boxes[objects], self._classes[objects]


class RequestSampler:
    """Batches of requests, for ``DataLoader(batch_sampler=…)``.

    Iterating gives the rest of an epoch, from the position that was set with `set_position`; at first that is
    the beginning of epoch 0. It doesn't move the position: set it before each epoch.

    Several processes split each batch among them: process ``rank`` takes every ``world_size``-th request from
    the ``rank``-th. Together they see what one process with the same ``batch_size`` sees.

    Args:
        num_images: of the training set.
        batch_size: images in a batch, over all processes.
        seed: determines the order of each epoch, together with its number, and the sizes.
        sizes: the sides of the network's input to choose from, in pixels, multiples of 32.
        size_every: a new size is drawn every so many batches.
        rank, world_size: this process's number, and how many there are.
        drop_last: leave the last batch of an epoch out if it would be smaller than the others. The images
            that this leaves out are others in each epoch.

    Raises:
        ValueError: an argument out of its range; fewer images than a batch with ``drop_last``; a batch that
            can't be divided among the processes.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        seed: int = 0,
        sizes: Sequence[int] = (416,),
        size_every: int = 10,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = True,
    ) -> None:
        for name, value in (
            ("num_images", num_images),
            ("batch_size", batch_size),
            ("size_every", size_every),
            ("world_size", world_size),
        ):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank: expected 0 to {world_size - 1}, got {rank}")
        if not sizes or any(size < 32 or size % 32 for size in sizes):
            raise ValueError(f"sizes: expected multiples of 32, got {tuple(sizes)}")
        if batch_size % world_size:
            raise ValueError(
                f"batch_size {batch_size} can't be divided among {world_size} processes. "
                f"Take a multiple of {world_size}."
            )
        if drop_last and num_images < batch_size:
            raise ValueError(
                f"{num_images} images don't fill one batch of {batch_size}. "
                f"Take batch_size ≤ {num_images}, or drop_last=False."
            )
        if not drop_last and 0 < num_images % batch_size < world_size:
            raise ValueError(
                f"an epoch's last batch would have {num_images % batch_size} image(s) for {world_size} "
                "processes. Take drop_last=True or another batch_size."
            )
        self.num_images = num_images
        self.batch_size = batch_size
        self.seed = _check_seed(seed)
        self.sizes = tuple(sizes)
        self.size_every = size_every
        self.rank = rank
        self.world_size = world_size
        self.drop_last = drop_last
        self.epoch = 0
        self.batch = 0

    def set_position(self, epoch: int, batch: int = 0) -> None:
        """Let the next iteration begin with this batch of this epoch, both counted from 0.

        ``batch`` = ``len(self)`` is the end of the epoch: nothing is left of it.

        Raises:
            ValueError: there's no such epoch or batch.
        """
        if epoch < 0 or not 0 <= batch <= len(self):
            raise ValueError(f"no batch {batch} of epoch {epoch}: an epoch has {len(self)} batches")
        self.epoch, self.batch = epoch, batch

    def __len__(self) -> int:
        """Batches of a whole epoch, wherever the position is."""
        whole, rest = divmod(self.num_images, self.batch_size)
        return whole if self.drop_last else whole + bool(rest)

    def __iter__(self) -> Iterator[list[Request]]:
        epoch = self.epoch
        order = self.order(epoch)
        for batch in range(self.batch, len(self)):
            net_size = self.net_size(epoch, batch)
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [
                Request(index, epoch, net_size) for index in indices[self.rank :: self.world_size].tolist()
            ]

    def order(self, epoch: int) -> np.ndarray:
        """The indices of all images in the order of an epoch: (num_images,) int64."""
        return np.random.default_rng([self.seed, epoch, 0, _ORDER]).permutation(self.num_images)

    def net_size(self, epoch: int, batch: int) -> int:
        """The side of the network's input, in pixels, for a batch of an epoch."""
        draw = (epoch * len(self) + batch) // self.size_every
        return int(np.random.default_rng([self.seed, draw, 0, _SIZE]).choice(self.sizes))


def training_loader(
    training_set: TrainingSet,
    sampler: RequestSampler,
    workers: int = 0,
    pin_memory: bool = False,
    persistent: bool = False,
) -> DataLoader:
    """A loader of batches (`Batch`): iterating gives what is left of the sampler's epoch.

    The batches don't depend on the number of workers. An exception of a worker reaches the caller with its
    message, which names the file. Ctrl-C is left to the main process: it stops its workers.

    Args:
        training_set, sampler: what to read, in which order.
        workers: processes that read and augment; 0 does it in this one.
        pin_memory: put batches into page-locked memory, for a GPU.
        persistent: keep the workers from epoch to epoch instead of starting them anew.

    Raises:
        ValueError: the sampler was made for another number of images.
    """
    if sampler.num_images != len(training_set):
        raise ValueError(
            f"the sampler was made for {sampler.num_images} images, the training set has {len(training_set)}"
        )
    return _Loader(
        training_set,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        persistent_workers=persistent and workers > 0,
        prefetch_factor=PREFETCH if workers else None,
        # Its own generator: DataLoader would draw a number from torch's global one in every epoch, and a
        # resumed run that skips the loader's start would no longer equal the uninterrupted one.
        generator=torch.Generator(),
    )


class _Loader(DataLoader):
    """A DataLoader that starts its workers under `_safe_to_fork`."""

    def __iter__(self) -> Iterator[Batch]:
        with _safe_to_fork() if self.num_workers else nullcontext():
            return super().__iter__()


@contextmanager
def _safe_to_fork() -> Iterator[None]:
    """For as long as processes are started: no threads in OpenCV, and Ctrl-C is held back.

    A fork copies locks, but not the threads that hold them. Whatever thread of OpenCV's pool was busy at that
    moment, the worker would wait for it forever: at its first call of ``cv2.setNumThreads``, now and then.
    And until a worker has come to ignore Ctrl-C, it would die of one with a traceback of its own.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    can_hold = hasattr(signal, "pthread_sigmask")  # not on Windows
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if can_hold else None
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        if can_hold:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _start_worker(worker: int) -> None:
    # Ctrl-C goes to every process of the terminal; the workers' tracebacks would bury the main one's message.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Each worker is a process of its own: threads inside it would only fight for the same cores.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _read_all(paths: Sequence[Path]) -> list[bytes]:
    """The files' bytes; several are read at once, since a network disk makes each wait."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(_read, paths))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error}). Check the path and its permissions.") from error


def _check_seed(seed: int) -> int:
    if seed < 0:
        raise ValueError(f"seed: expected a number ≥ 0, got {seed}")
    return seed
