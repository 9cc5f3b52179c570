"""One generated scene: sprites pasted on a background, and their exact boxes.

The sprites get what makes detection hard: any size, tilt, mirroring, light and color, shadows, bodies that
hide one another or leave the picture, blur and noise. Because the scene is drawn, its boxes are exact: they
hold all of the sprite that lies in the image, hidden parts too.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.data.scenes_backgrounds import draw_background, overlap
from yolov3_lib.data.scenes_sprites import load_sprites, transform_sprite
from yolov3_lib.data.voc import Annotation

SPLIT_STYLES: dict[str, str] = {"train": "fluent", "val": "fluent", "heldout": "noto"}
"""The splits that can be drawn, and the style of the sprites in each."""

IMAGE_SIZE = (320, 416)

OPAQUE = 0.3  # alpha above this belongs to the object
TRUNCATED = 0.15  # flagged when a larger share lies outside the image
DIFFICULT = 0.35  # flagged when a smaller share can be seen
HIDDEN = 0.10  # no scene shows less of an object than this
TINY = 144.0  # square pixels; a smaller box is flagged difficult

# One stream of random numbers for each purpose, so that more of one never changes another.
_SCENE, _CLASSES, _FILE = 1, 2, 3
_BLOCK = 20  # scenes that share decks of classes


# --- One scene ---


def draw_scene(
    seed: int, split: str, index: int, image_size: tuple[int, int] = IMAGE_SIZE
) -> tuple[np.ndarray, Annotation]:
    """Draw a scene: a pure function of its arguments, on one installation.

    Args:
        seed: 0 or larger.
        split: ``"train"``, ``"val"`` or ``"heldout"``; scenes of different splits have nothing in common.
        index: 0 or larger, the scene's place in its split; how many others there are doesn't matter.
        image_size: the smallest and the largest width and height in pixels.

    Returns:
        The image, (H, W, 3) uint8 RGB, and its annotation: one to eight objects, from far to near. A box
        frames the sprite's opaque pixels in the image (alpha above `OPAQUE`), hidden by others or not.
        ``truncated``: more than `TRUNCATED` of the opaque pixels lie outside the image. ``difficult``: less
        than `DIFFICULT` of them can be seen, or the box is smaller than `TINY`.

    Raises:
        ValueError: an argument out of range.
        FileNotFoundError: sprites or backgrounds are missing; the message says how to get them.
    """
    image, bodies, rng = _compose(seed, split, index, image_size)
    _paint(image, bodies, rng)
    height, width = image.shape[:2]
    return _photograph(image, rng), _annotate(bodies, (width, height), f"{scene_name(split, index)}.jpg")


def _compose(
    seed: int, split: str, index: int, image_size: tuple[int, int]
) -> tuple[np.ndarray, "list[_Body]", np.random.Generator]:
    """A background, (H, W, 3) float32, the bodies in their places, and the random numbers to go on with."""
    seed, index = natural("seed", seed), natural("index", index)
    low, high = check_image_size(image_size)
    if split not in SPLIT_STYLES:
        raise ValueError(f"split {split!r}: scenes have the splits {', '.join(SPLIT_STYLES)}.")
    sprites = load_sprites(SPLIT_STYLES[split])
    rng = _stream(_SCENE, seed, split, index)
    width, height = (int(side) for side in rng.integers(low, high + 1, 2))
    background = draw_background(width, height, rng)
    bodies = _bodies(_classes_of(seed, split, index), sprites, (width, height), rng)
    return background, _arrange(bodies, rng), rng


@dataclass
class _Body:
    """A sprite in a scene. ``pixels``: (h, w, 4) float32, premultiplied; ``left``, ``top``: of its corner."""

    name: str
    pixels: np.ndarray
    canvas: tuple[int, int]
    left: int = 0
    top: int = 0

    def __post_init__(self) -> None:
        self.opaque = self.pixels[:, :, 3] > OPAQUE
        self.area = max(1, int(self.opaque.sum()))

    @property
    def bottom(self) -> int:
        return self.top + self.pixels.shape[0]

    def window(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns inside the image, and the same ones counted from the body's corner."""
        return overlap(self.left, self.top, self.opaque.shape, self.canvas)


def _bodies(
    names: list[str],
    sprites: Mapping[str, tuple[np.ndarray, ...]],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> list[_Body]:
    """The objects of a scene, not yet in their places."""
    bodies = []
    for name in names:
        choice = sprites[name][rng.integers(len(sprites[name]))]
        # Every doubling of the size is equally likely, from 6% to 80% of the shorter side.
        longer_side = min(size) * np.exp(rng.uniform(np.log(0.06), np.log(0.8)))
        bodies.append(_Body(name, transform_sprite(choice, name, longer_side, rng), size))
    return bodies


def _arrange(bodies: list[_Body], rng: np.random.Generator) -> list[_Body]:
    """Place the bodies, large ones first, and return them from far to near: the lower, the nearer.

    A place is taken when every body can still be seen well enough; one that finds no place is left out.
    """
    placed: list[_Body] = []
    for body in sorted(bodies, key=lambda body: -body.area):
        leaves_image = rng.random() < 0.35
        wanted = 0.12 if rng.random() < 0.35 else 0.6
        for attempt in range(24):
            patient = attempt < 12
            _place(body, leaves_image and patient, rng)
            scene = sorted([*placed, body], key=lambda body: body.bottom)
            if min(_visible_shares(scene)) >= (wanted if patient else HIDDEN):
                placed = scene
                break
    return placed


def _place(body: _Body, leaves_image: bool, rng: np.random.Generator) -> None:
    """Anywhere inside; or, when it may leave the image, with its center anywhere in it."""
    corner = []
    for length, canvas in zip(body.opaque.shape[::-1], body.canvas, strict=True):
        free = canvas - length
        low, high = (-length // 2, canvas - length // 2) if leaves_image else (min(0, free), max(0, free))
        corner.append(int(rng.integers(low, high + 1)))
    body.left, body.top = corner


def _visible_shares(bodies: list[_Body]) -> list[float]:
    """For each body, far to near, the share of its opaque pixels that is inside the image and not covered."""
    width, height = bodies[0].canvas
    nearest = np.full((height, width), len(bodies), dtype=np.uint8)
    for number, body in enumerate(bodies):
        canvas, own = body.window()
        nearest[canvas][body.opaque[own]] = number
    seen = np.bincount(nearest.ravel(), minlength=len(bodies))
    return [seen[number] / body.area for number, body in enumerate(bodies)]


def _annotate(bodies: list[_Body], size: tuple[int, int], filename: str) -> Annotation:
    boxes, difficult, truncated = [], [], []
    for body, visible in zip(bodies, _visible_shares(bodies), strict=True):
        canvas, own = body.window()
        inside = body.opaque[own]
        truncated.append(1 - inside.sum() / body.area > TRUNCATED)
        rows, columns = np.nonzero(inside.any(axis=1))[0], np.nonzero(inside.any(axis=0))[0]
        x1, x2 = (canvas[1].start + int(column) for column in (columns[0], columns[-1] + 1))
        y1, y2 = (canvas[0].start + int(row) for row in (rows[0], rows[-1] + 1))
        boxes.append((x1, y1, x2, y2))
        difficult.append(visible < DIFFICULT or (x2 - x1) * (y2 - y1) < TINY)
    names = tuple(body.name for body in bodies)
    return Annotation(
        filename=filename,
        size=size,
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        classes=torch.tensor([VOC_CLASSES.index(name) for name in names], dtype=torch.int64),
        names=names,
        difficult=torch.tensor(difficult, dtype=torch.bool),
        truncated=torch.tensor(truncated, dtype=torch.bool),
    )


# --- Light ---


def _paint(image: np.ndarray, bodies: list[_Body], rng: np.random.Generator, shadows: bool = True) -> None:
    """Paint the bodies into ``image``, (H, W, 3) float32, from far to near, each after its shadow."""
    # One sun for all: how far shadows fall, in heights of the body, and how dark they are.
    fall = rng.uniform((-0.12, 0.0), (0.12, 0.1))
    darkness = rng.uniform(0.1, 0.6) if shadows and rng.random() < 0.8 else 0.0
    for body in bodies:
        if darkness:
            _paint_shadow(image, body, fall, darkness)
        canvas, own = body.window()
        pixels = body.pixels[own]
        image[canvas] = image[canvas] * (1 - pixels[:, :, 3:]) + pixels[:, :, :3]


def _paint_shadow(image: np.ndarray, body: _Body, fall: np.ndarray, darkness: float) -> None:
    height = body.opaque.shape[0]
    soft = max(1, round(0.05 * max(body.opaque.shape)))
    mask = cv2.copyMakeBorder(body.pixels[:, :, 3], *[3 * soft] * 4, cv2.BORDER_CONSTANT)
    # A box filter applied twice is nearly a Gaussian, and as fast for a large body as for a small one.
    mask = cv2.blur(cv2.blur(mask, (2 * soft + 1,) * 2), (2 * soft + 1,) * 2)
    left, top = body.left - 3 * soft + round(fall[0] * height), body.top - 3 * soft + round(fall[1] * height)
    canvas, own = overlap(left, top, mask.shape, body.canvas)
    image[canvas] *= 1 - np.float32(darkness) * mask[own][:, :, None]


def _photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a camera adds to the whole picture: exposure, a color cast, blur and noise; (H, W, 3) uint8."""
    image = np.clip(image, 0, 1) ** np.float32(rng.uniform(0.8, 1.25))
    image *= rng.uniform(0.92, 1.06, 3).astype(np.float32)
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.6:
        image += np.float32(rng.uniform(0, 0.035)) * rng.standard_normal(image.shape, dtype=np.float32)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


# --- Which classes ---


def _classes_of(seed: int, split: str, index: int) -> list[str]:
    """The class names of a scene's objects, one to eight.

    Twenty scenes are dealt shuffled decks that hold each class once, so that classes are equally frequent. In
    a quarter of the scenes the first class comes several times: a herd, which suppression must not thin out.
    """
    rng = _stream(_CLASSES, seed, split, index // _BLOCK)
    hands = rng.integers(1, 6, _BLOCK)
    copies = np.where(rng.random(_BLOCK) < 0.25, rng.integers(1, 5, _BLOCK), 0)
    decks = [rng.permutation(len(VOC_CLASSES)) for _ in range(-(-int(hands.sum()) // len(VOC_CLASSES)))]
    place = index % _BLOCK
    start = int(hands[:place].sum())
    hand = [VOC_CLASSES[card] for card in np.concatenate(decks)[start : start + hands[place]]]
    return (hand + [hand[0]] * int(copies[place]))[:8]


def _stream(purpose: int, seed: int, split: str, number: int) -> np.random.Generator:
    return np.random.default_rng([purpose, seed, list(SPLIT_STYLES).index(split), number])


# --- Arguments and names ---


def scene_name(split: str, index: int) -> str:
    return f"{split}_{index:06d}"


def jpeg_quality(seed: int, split: str, index: int) -> int:
    """The quality, 60 to 95, that the scene's file is saved with: artifacts of any strength."""
    return int(_stream(_FILE, seed, split, index).integers(60, 96))


def natural(name: str, value: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, not {value!r}.") from None
    if number < 0:
        raise ValueError(f"{name} must be 0 or larger, not {number}.")
    return number


def check_image_size(image_size: tuple[int, int]) -> tuple[int, int]:
    try:
        low, high = (natural("image_size", side) for side in image_size)
    except (TypeError, ValueError) as error:
        raise ValueError(f"image_size must be two whole numbers, not {image_size!r} ({error})") from None
    if not 96 <= low <= high <= 4096:
        raise ValueError(f"image_size {image_size}: needs 96 <= smallest <= largest <= 4096 pixels.")
    return low, high
