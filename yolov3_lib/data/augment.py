"""Augmentation: a photograph becomes the network's square input, another one each time it's shown.

An `AugmentConfig` says what may happen, `augment` does it, with albumentations. Where this package has a
transform that computes what we want we use it; placement, the mosaic and Darknet's color distortion are
transforms of our own, below.

An image comes into the input by a `Placement`: a rectangle of its pixels is scaled to a rectangle of the
input's. Both have whole numbers for edges, and boxes are mapped by exactly these rectangles. So boxes and
pixels can't disagree, not even by the rounding of a scale.
"""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

# albumentations asks a server for its newest version when it's imported. A training run needs no network.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np

from yolov3_lib.boxes import Letterbox

GRAY = 128
"""What fills the input where no image lies: Darknet's .5, as a byte."""

MIXUP_BETA = 8.0
"""Both parameters of the Beta distribution of mixup's weights: most lie between .3 and .7."""

ROUNDING = 1e-3
"""Pixels that a side may lack through rounding, of ``min_side``."""

Image = np.ndarray
Objects = tuple[Image, np.ndarray, np.ndarray]
Load = Callable[[int], Objects]


@dataclass(frozen=True)
class AugmentConfig:
    """What may happen to an image. `none`, `darknet` and `modern` are recipes; ``replace`` varies them.

    Attributes:
        random_place: place the image anywhere in the input; otherwise in its middle, as `Letterbox` does.
        jitter: the image's width and height are changed by up to this part before their ratio is taken.
        scale: (least, most) factor on the size that fills the input. Beyond 1 the image is cropped.
        hue: the hue is shifted by up to this part of the color circle, either way.
        saturation, exposure: factors for these are drawn from 1 to this, and half of them inverted.
        flip: probability of a horizontal mirror image.
        mosaic: probability that four images share the input.
        mosaic_scale: as ``scale``, for the images of a mosaic.
        mosaic_center: where the four meet, (least, most) part of the input's side, on each axis.
        mixup: probability that two augmented images are laid over each other, with the objects of both.
        min_visibility: an object is dropped if less than this part of its box's area is left by cropping.
        min_side: an object is dropped if its box is narrower or lower than this, in pixels of the input.

    Raises:
        ValueError: a value out of its range; the message says which.
    """

    random_place: bool = False
    jitter: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    flip: float = 0.0
    mosaic: float = 0.0
    mosaic_scale: tuple[float, float] = (0.5, 1.2)
    mosaic_center: tuple[float, float] = (0.3, 0.7)
    mixup: float = 0.0
    min_visibility: float = 0.2
    min_side: float = 2.0

    @classmethod
    def none(cls) -> "AugmentConfig":
        """The image in the middle of the input, and nothing else: what a detector sees."""
        return cls()

    @classmethod
    def darknet(cls) -> "AugmentConfig":
        """What YOLOv3 was trained with.

        Source: Darknet, ``load_data_detection`` in data.c, with jitter, hue, saturation and exposure of
        yolov3-voc.cfg.
        """
        return cls(random_place=True, jitter=0.3, hue=0.1, saturation=1.5, exposure=1.5, flip=0.5)

    @classmethod
    def modern(cls) -> "AugmentConfig":
        """Mosaics of four images, with milder colors; objects come small, cropped, and in new company.

        Source: the mosaic is that of Bochkovskiy et al., *YOLOv4*, 2020, section 3.3; the numbers are ours.
        """
        return cls(
            random_place=True,
            jitter=0.2,
            scale=(0.6, 1.4),
            hue=0.02,
            saturation=1.4,
            exposure=1.3,
            flip=0.5,
            mosaic=1.0,
        )

    def __post_init__(self) -> None:
        for name in ("flip", "mosaic", "mixup", "min_visibility"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter: expected a number from 0 to less than 1, got {self.jitter}")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue: expected a number from 0 to .5 (half the circle), got {self.hue}")
        for name in ("saturation", "exposure"):
            if not 1 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: expected a number ≥ 1, got {getattr(self, name)}")
        for name in ("scale", "mosaic_scale", "mosaic_center"):
            # A list, which JSON makes of a tuple, couldn't be looked up among the pipelines.
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("scale", "mosaic_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high < float("inf"):
                raise ValueError(f"{name}: expected 0 < least ≤ most, got {low, high}")
        low, high = self.mosaic_center
        if not 0 <= low <= high <= 1:
            raise ValueError(f"mosaic_center: expected 0 ≤ least ≤ most ≤ 1, got {low, high}")
        if not 0 < self.min_side < float("inf"):
            raise ValueError(f"min_side: expected a number of pixels > 0, got {self.min_side}")


def augment(
    recipe: AugmentConfig, index: int, load: Load, count: int, rng: np.random.Generator, net_size: int
) -> Objects:
    """One augmented sample.

    Args:
        recipe: what may happen.
        index: the image.
        load: ``load(index)`` gives (image (H, W, 3) uint8 RGB; boxes (N, 4), xyxy in pixels of the image;
            classes (N,)). It's asked for further images where the recipe wants a mosaic or mixup.
        count: there are images 0 to ``count`` − 1.
        rng: the only source of randomness.
        net_size: side S of the network's input, in pixels.

    Returns:
        image (S, S, 3) uint8, RGB; boxes (N, 4) float32, xyxy in its pixels, inside it; classes (N,) int64.
        Objects keep their order; those without area, too small or cropped away are gone.
    """
    sample = _compose(recipe, index, load, count, rng, net_size)
    if recipe.mixup and rng.random() < recipe.mixup:
        other = _compose(recipe, int(rng.integers(count)), load, count, rng, net_size)
        sample = _blend(sample, other, rng.beta(MIXUP_BETA, MIXUP_BETA))
    return sample


def apply(
    recipe: AugmentConfig,
    image: Image,
    boxes: np.ndarray,
    classes: np.ndarray,
    rng: np.random.Generator,
    net_size: int = 416,
) -> Objects:
    """`augment` for a single image that's at hand. Where a mosaic wants three more, it's this one again."""
    return augment(recipe, 0, lambda _: (image, boxes, classes), 1, rng, net_size)


def _compose(
    recipe: AugmentConfig, index: int, load: Load, count: int, rng: np.random.Generator, net_size: int
) -> Objects:
    is_mosaic = recipe.mosaic > 0 and rng.random() < recipe.mosaic
    others = [_load(load, other) for other in rng.integers(count, size=3).tolist()] if is_mosaic else []
    image, rows = _load(load, index)
    pipeline = _pipeline(recipe, net_size, is_mosaic)
    # The transforms draw from our generator, those of albumentations in part from Python's, seeded by ours.
    pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    result = pipeline(image=image, bboxes=rows, **({"others": others} if is_mosaic else {}))
    rows = result["bboxes"]
    boxes = np.ascontiguousarray(rows[:, :4], np.float32).clip(0, net_size)
    return result["image"], boxes, rows[:, 4:].reshape(-1).astype(np.int64)


def _load(load: Load, index: int) -> tuple[Image, np.ndarray]:
    """An image and its objects as rows: (N, 5) float32, xyxy inside the image, and class."""
    image, boxes, classes = load(index)
    rows = np.empty((len(boxes), 5), np.float32)
    rows[:, :4] = boxes
    rows[:, 4] = classes
    height, width = image.shape[:2]
    rows[:, :4] = rows[:, :4].clip(0, (width, height, width, height))
    return image, rows[(rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])]


@lru_cache(maxsize=64)  # multi-scale training asks for ten sizes
def _pipeline(recipe: AugmentConfig, net_size: int, is_mosaic: bool) -> A.Compose:
    place = PlaceFour(recipe, net_size) if is_mosaic else PlaceOne(recipe, net_size)
    transforms = [place]
    if recipe.hue or recipe.saturation > 1 or recipe.exposure > 1:
        transforms.append(DistortColor(recipe.hue, recipe.saturation, recipe.exposure))
    if recipe.flip:
        transforms.append(A.HorizontalFlip(p=recipe.flip))
    # Clipping: a box that touches an edge may overshoot it by a rounding, which would be an error.
    boxes = A.BboxParams(
        "pascal_voc",
        min_width=recipe.min_side - ROUNDING,
        min_height=recipe.min_side - ROUNDING,
        clip=True,
        filter_invalid_bboxes=True,
    )
    return A.Compose(transforms, bbox_params=boxes)


def _blend(a: Objects, b: Objects, weight: float) -> Objects:
    image = cv2.addWeighted(a[0], weight, b[0], 1 - weight, 0)
    return image, np.concatenate([a[1], b[1]]), np.concatenate([a[2], b[2]])


class Rectangle(NamedTuple):
    """Edges in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


@dataclass(frozen=True)
class Placement:
    """Which pixels of an image come where in the input.

    Attributes:
        source: of the image.
        target: of the input; ``source`` is scaled to it.
    """

    source: Rectangle
    target: Rectangle

    @classmethod
    def letterbox(cls, image_size: tuple[int, int], net_size: int) -> "Placement":
        """The whole image in the middle, as large as it fits. ``image_size`` is (width, height)."""
        fit = Letterbox.fit(image_size, net_size)
        (left, top), (width, height) = fit.paste_offset, fit.new_size
        return cls(Rectangle(0, 0, *image_size), Rectangle(left, top, left + width, top + height))

    @classmethod
    def draw(
        cls,
        image_size: tuple[int, int],
        net_size: int,
        window: Rectangle,
        jitter: float,
        scale: tuple[float, float],
        rng: np.random.Generator,
    ) -> "Placement":
        """A random one inside ``window``.

        The image gets a jittered aspect ratio, and the size with which it would just fit into the whole
        input, times a factor. Where it's smaller than the window it lies anywhere in it, where it's larger
        any part of it is seen: the two axes by themselves.

        Source: Darknet, ``load_data_detection`` in data.c, whose window is the whole input.
        """
        width, height = image_size
        ratio = width * (1 + rng.uniform(-jitter, jitter)) / (height * (1 + rng.uniform(-jitter, jitter)))
        side = net_size * rng.uniform(*scale)
        new_size = (side * ratio, side) if ratio < 1 else (side, side / ratio)
        left, right, from_x, to_x = _draw_axis(width, round(new_size[0]), window.left, window.right, rng)
        top, bottom, from_y, to_y = _draw_axis(height, round(new_size[1]), window.top, window.bottom, rng)
        return cls(Rectangle(from_x, from_y, to_x, to_y), Rectangle(left, top, right, bottom))

    def paste(self, image: Image, canvas: Image) -> None:
        """Scale the source's pixels into the target's, in place."""
        source, target = self.source, self.target
        if not target.width or not target.height:
            return
        part = image[source.top : source.bottom, source.left : source.right]
        # A linear filter reads two pixels on each axis. Shrunk further than to half, it would leave some out.
        halved = source.width > 2 * target.width or source.height > 2 * target.height
        method = cv2.INTER_AREA if halved else cv2.INTER_LINEAR
        place = canvas[target.top : target.bottom, target.left : target.right]
        # OpenCV writes into the canvas itself, which saves a new array and a copy.
        cv2.resize(part, (target.width, target.height), dst=place, interpolation=method)

    def move(self, rows: np.ndarray, min_visibility: float) -> np.ndarray:
        """Objects (N, 5), xyxy in pixels of the image and class → those left, in pixels of the input."""
        source, target = self.source, self.target
        if not target.width or not target.height:
            return rows[:0]
        scale = np.array([target.width / source.width, target.height / source.height] * 2)
        boxes = (rows[:, :4] - (*source[:2], *source[:2])) * scale + (*target[:2], *target[:2])
        seen = boxes.clip((*target[:2], *target[:2]), (*target[2:], *target[2:]))
        sides, seen_sides = boxes[:, 2:] - boxes[:, :2], seen[:, 2:] - seen[:, :2]
        kept = (seen_sides > 0).all(1) & (seen_sides.prod(1) >= min_visibility * sides.prod(1) - 1e-6)
        moved = rows[kept].copy()
        moved[:, :4] = seen[kept]
        return moved


def _draw_axis(
    length: int, new_length: int, low: int, high: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """One axis of a placement: the target's edges inside [low, high], and the source's inside [0, length]."""
    new_length = max(new_length, 1)
    room = high - low - new_length
    start = low + int(rng.integers(min(room, 0), max(room, 0), endpoint=True))
    target = max(start, low), min(start + new_length, high)
    source_start = min(int((target[0] - start) * length / new_length), length - 1)
    source_end = min(-int(-(target[1] - start) * length // new_length), length)
    return *target, source_start, max(source_end, source_start + 1)


class _Place(A.DualTransform):
    """What `PlaceOne` and `PlaceFour` share: images by their placements on a canvas, boxes likewise.

    ``get_params_dependent_on_data`` of the subclass draws the placements, the image's own first.
    """

    def __init__(self, recipe: AugmentConfig, net_size: int) -> None:
        super().__init__(p=1.0)
        self.recipe = recipe
        self.net_size = net_size

    def apply(self, img: Image, placements: Sequence[Placement], others: Sequence, **_) -> Image:
        canvas = np.empty((self.net_size, self.net_size, 3), np.uint8)
        canvas.fill(GRAY)
        for placement, image in zip(placements, (img, *(image for image, _ in others)), strict=True):
            placement.paste(image, canvas)
        return canvas

    def apply_to_bboxes(
        self, bboxes: np.ndarray, placements: Sequence[Placement], others: Sequence, shape: tuple, **_
    ) -> np.ndarray:
        # albumentations hands boxes over relative to the image, and wants them relative to the input.
        height, width = shape[:2]
        rows = np.empty((len(bboxes), 5), np.float32)
        if len(bboxes):  # where there's none, their class is missing too
            rows[:] = bboxes * (width, height, width, height, 1)
        all_rows = (rows, *(rows for _, rows in others))
        moved = np.concatenate(
            [
                placement.move(rows, self.recipe.min_visibility)
                for placement, rows in zip(placements, all_rows, strict=True)
            ]
        )
        moved[:, :4] /= self.net_size
        return moved


class PlaceOne(_Place):
    """One image in the input: in the middle, or by Darknet's rule."""

    def get_params_dependent_on_data(self, params: dict, data: dict) -> dict:
        size = params["shape"][1], params["shape"][0]
        recipe, net_size = self.recipe, self.net_size
        if recipe.random_place:
            window = Rectangle(0, 0, net_size, net_size)
            place = Placement.draw(size, net_size, window, recipe.jitter, recipe.scale, self.random_generator)
        else:
            place = Placement.letterbox(size, net_size)
        return {"placements": [place], "others": []}


class PlaceFour(_Place):
    """A mosaic: four images, each in its quarter around a random center, scaled and cropped.

    albumentations has a ``Mosaic`` too, with cells of one size, filled by each image. Here every image has a
    scale and a ratio of its own, and what the quarter hides of an object counts as hidden.
    """

    @property
    def targets_as_params(self) -> list[str]:
        return ["others"]

    def get_params_dependent_on_data(self, params: dict, data: dict) -> dict:
        recipe, net_size, rng = self.recipe, self.net_size, self.random_generator
        x, y = (round(net_size * rng.uniform(*recipe.mosaic_center)) for _ in range(2))
        windows = [
            Rectangle(left, top, right, bottom)
            for top, bottom in ((0, y), (y, net_size))
            for left, right in ((0, x), (x, net_size))
        ]
        shapes = [params["shape"], *(image.shape for image, _ in data["others"])]
        placements = [
            Placement.draw(
                (width, height), net_size, windows[quarter], recipe.jitter, recipe.mosaic_scale, rng
            )
            for quarter, (height, width, _) in zip(rng.permutation(4).tolist(), shapes, strict=True)
        ]
        return {"placements": placements, "others": data["others"]}


class DistortColor(A.ImageOnlyTransform):
    """Darknet's color distortion: the hue shifted, saturation and exposure multiplied.

    albumentations' ``HueSaturationValue`` adds where this multiplies, its ``ColorJitter`` mixes with gray.

    Exposure multiplies R, G and B alike, and what exceeds white is cut off there, as Darknet does. Saturation
    is cut off at 1 already in HSV, Darknet lets it exceed 1 until RGB is reached.

    Source: Darknet, ``random_distort_image`` and ``distort_image`` in image.c.
    """

    def __init__(self, hue: float, saturation: float, exposure: float) -> None:
        super().__init__(p=1.0)
        self.hue, self.saturation, self.exposure = hue, saturation, exposure
        self._scratch = np.empty((0, 0, 3), np.uint8)

    def get_params(self) -> dict:
        rng = self.random_generator
        return {
            "shift": rng.uniform(-self.hue, self.hue),
            "saturate": _factor(self.saturation, rng),
            "expose": _factor(self.exposure, rng),
        }

    def apply(self, img: Image, shift: float, saturate: float, expose: float, **_) -> Image:
        if self._scratch.shape != img.shape:
            self._scratch = np.empty_like(img)
        # One array for all steps, kept from sample to sample. Arrays of this size come fresh from the
        # operating system, which takes longer to hand them over than OpenCV to fill them.
        hsv = cv2.cvtColor(img, cv2.COLOR_RGB2HSV, dst=self._scratch)
        values = np.arange(256)
        table = np.empty((1, 256, 3), np.uint8)
        # The circle has 180 steps. OpenCV's variant with 256 comes back with 255, another hue.
        table[0, :, 0] = (values + round(180 * shift)) % 180
        table[0, :, 1] = np.rint(values * saturate).clip(0, 255)
        table[0, :, 2] = values
        hsv = cv2.LUT(hsv, table, dst=hsv)
        rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=np.empty_like(img))
        return cv2.convertScaleAbs(rgb, dst=rgb, alpha=expose)


def _factor(most: float, rng: np.random.Generator) -> float:
    """From 1 to ``most``, or one over that, with equal probability."""
    factor = rng.uniform(1, most)
    return factor if rng.random() < 0.5 else 1 / factor
