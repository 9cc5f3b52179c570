"""Sprites: cut-out drawings with alpha, loaded, and turned into the body that a scene shows.

The files lie in ``data/sprites/STYLE``, named ``CLASS_NUMBER.webp``; the README.md there names their sources.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.paths import find_data

STYLES = ("fluent", "noto")

_MEND = (
    'Restore them with "git checkout data/sprites data/textures", '
    "or make them again with tools/make_sprites.py."
)

# People and animals have the colors they have; what is made and painted comes in any.
_PAINTED = frozenset(VOC_CLASSES) - {"bird", "cat", "cow", "dog", "horse", "person", "pottedplant", "sheep"}


def find_assets(name: str) -> Path:
    """The folder ``data/NAME`` of sprites or textures.

    Raises:
        FileNotFoundError: it isn't there; the message says where it was looked for, and how to get it.
    """
    try:
        return find_data(name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}\n{_MEND}") from None


def load_sprites(style: str) -> dict[str, tuple[np.ndarray, ...]]:
    """The sprites of a style by class name, VOC's twenty classes in their order.

    Returns:
        For each class at least one (H, W, 4) uint8 array, RGB and alpha not premultiplied, which must not be
        written to.

    Raises:
        ValueError: no such style.
        FileNotFoundError: the folder, or every sprite of a class, is missing.
    """
    if style not in STYLES:
        raise ValueError(f"style {style!r}: there are {' and '.join(STYLES)}.")
    return _load_sprites(find_assets(f"sprites/{style}"))


@lru_cache(maxsize=8)
def _load_sprites(folder: Path) -> dict[str, tuple[np.ndarray, ...]]:
    sprites = {}
    for name in VOC_CLASSES:
        files = sorted(folder.glob(f"{name}_*.webp"))
        if not files:
            raise FileNotFoundError(f"{folder}: no sprite of the class {name} ({name}_1.webp). {_MEND}")
        sprites[name] = tuple(_read_rgba(file) for file in files)
    return sprites


def _read_rgba(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        pixels = np.array(image.convert("RGBA"))
    pixels.flags.writeable = False  # the cache gives the same array to everybody
    return pixels


def assets_digest() -> str:
    """A digest of all sprites and textures: scenes drawn from other files are other scenes."""
    digest = hashlib.sha256()
    for name in (*(f"sprites/{style}" for style in STYLES), "textures"):
        for file in sorted(find_assets(name).glob("*.webp")):
            digest.update(f"{name}/{file.name}".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def transform_sprite(
    sprite: np.ndarray, class_name: str, longer_side: float, rng: np.random.Generator
) -> np.ndarray:
    """A sprite as a scene shows it: scaled, stretched a little, mirrored, tilted, in other light and colors.

    Args:
        sprite: (H, W, 4) uint8, as ``load_sprites`` gives it.
        class_name: decides how far colors may change.
        longer_side: in pixels, before the tilt.
        rng: where the changes come from.

    Returns:
        (h, w, 4) float32 in [0, 1], colors premultiplied by alpha, trimmed to where alpha isn't zero.
    """
    stretch = np.exp(rng.uniform(-0.14, 0.14))
    mirrored, tilted = rng.random() < 0.5, rng.random() < 0.7
    angle = float(np.clip(rng.normal(0, 7), -20, 20)) if tilted else 0.0
    colored = _recolor(sprite, class_name, rng)
    if mirrored:
        colored = colored[:, ::-1]
    premultiplied = colored.astype(np.float32) / 255
    premultiplied[:, :, :3] *= premultiplied[:, :, 3:]

    height, width = sprite.shape[:2]
    scale = longer_side / max(height, width * stretch)
    size = (max(2, round(width * stretch * scale)), max(2, round(height * scale)))
    # A linear filter would skip pixels when shrinking, and thin parts, spokes say, would break.
    method = cv2.INTER_AREA if size[0] < width else cv2.INTER_CUBIC
    scaled = np.clip(cv2.resize(premultiplied, size, interpolation=method), 0, 1)
    return _trim(_rotate(scaled, angle) if angle else scaled)


def _recolor(sprite: np.ndarray, class_name: str, rng: np.random.Generator) -> np.ndarray:
    hue, saturation, value = cv2.split(
        cv2.cvtColor(np.ascontiguousarray(sprite[:, :, :3]), cv2.COLOR_RGB2HSV)
    )
    painted = class_name in _PAINTED and rng.random() < 0.6
    turn = rng.integers(0, 180) if painted else rng.integers(-5, 6)  # OpenCV's hue runs to 180
    hue = ((hue.astype(np.int32) + turn) % 180).astype(np.uint8)
    saturation = np.clip(saturation * rng.uniform(0.55, 1.25), 0, 255).astype(np.uint8)
    contrast, brightness = rng.uniform(0.75, 1.2), rng.uniform(-35, 30)
    value = np.clip((value.astype(np.float32) - 128) * contrast + 128 + brightness, 0, 255).astype(np.uint8)
    rgb = cv2.cvtColor(cv2.merge((hue, saturation, value)), cv2.COLOR_HSV2RGB)
    return np.dstack((rgb, sprite[:, :, 3]))


def _rotate(sprite: np.ndarray, degrees: float) -> np.ndarray:
    height, width = sprite.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (
        int(np.ceil(width * cosine + height * sine)) + 2,
        int(np.ceil(width * sine + height * cosine)) + 2,
    )
    matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    return cv2.warpAffine(sprite, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))


def _trim(sprite: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(sprite[:, :, 3] > 0)
    return np.ascontiguousarray(sprite[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
