"""Backgrounds of the generated scenes: crops of pictures, textures made by code, a ground below a sky.

A detector that learns on them must not learn "what isn't smooth is an object". So there is much to see that
has no name: grain, stripes, tiles, blobs, and shapes that are pasted as objects are.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from yolov3_lib.data.images import load_image
from yolov3_lib.data.scenes_sprites import find_assets


def draw_background(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """A background without any object: (height, width, 3) float32, RGB in [0, 1], all random by ``rng``."""
    kind = rng.random()
    if kind < 0.4:
        image = _picture(width, height, rng)
    elif kind < 0.65:
        image = _ground_and_sky(width, height, rng)
    else:
        image = _TEXTURES[rng.integers(len(_TEXTURES))](width, height, rng)
    for _ in range(rng.integers(0, 4)):
        _paste_shape(image, rng)
    return image


def _random_color(rng: np.random.Generator) -> np.ndarray:
    """Any brightness, and mostly dull, as the world is: (3,) float32 in [0, 1]."""
    gray = rng.uniform(0.08, 0.95)
    return np.clip(gray + rng.normal(0, 0.14, 3), 0, 1).astype(np.float32)


def _between(share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values in [0, 1], (H, W), as shades between two random colors, (H, W, 3)."""
    first, second = _random_color(rng), _random_color(rng)
    return first + share[:, :, None].astype(np.float32) * (second - first)


# --- Pictures ---


@lru_cache(maxsize=4)
def _load_pictures(folder: Path) -> tuple[np.ndarray, ...]:
    files = sorted(folder.glob("*.webp"))
    if not files:
        raise FileNotFoundError(f"{folder}: no *.webp. Make them again with tools/make_sprites.py.")
    return tuple(load_image(file) for file in files)


def _picture(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """A random window of a random picture, mirrored, in other colors."""
    pictures = _load_pictures(find_assets("textures"))
    picture = pictures[rng.integers(len(pictures))]
    # The largest window of the wanted shape, or a part of it: never less than about 100 pixels.
    largest = min(picture.shape[1] / width, picture.shape[0] / height)
    scale = largest * rng.uniform(min(1.0, 0.35 / largest), 1.0) if largest > 0.35 else largest
    wide, high = max(1, int(width * scale)), max(1, int(height * scale))
    left = rng.integers(0, picture.shape[1] - wide + 1)
    top = rng.integers(0, picture.shape[0] - high + 1)
    window = picture[top : top + high, left : left + wide]
    if rng.random() < 0.5:
        window = window[:, ::-1]
    method = cv2.INTER_AREA if wide > width else cv2.INTER_LINEAR
    image = (
        cv2.resize(np.ascontiguousarray(window), (width, height), interpolation=method).astype(np.float32)
        / 255
    )
    if np.ptp(image, axis=2).max() < 0.03:  # gray: tinted, as if the stones were of that color
        return np.clip(_between(image[:, :, 0], rng) * 0.6 + image * 0.4, 0, 1)
    gain, offset = rng.uniform(0.7, 1.3, 3), rng.uniform(-0.08, 0.12)
    return np.clip(image * gain.astype(np.float32) + np.float32(offset), 0, 1)


# --- Made by code ---


def _clouds(width: int, height: int, rng: np.random.Generator, roughness: float | None = None) -> np.ndarray:
    """Noise with more power in coarse than in fine structures, as nature has it: (H, W) float32 in [0, 1]."""
    persistence = rng.uniform(0.35, 0.75) if roughness is None else roughness
    total = np.zeros((height, width), dtype=np.float32)
    for octave in range(1, 7):
        cells = 2**octave
        grid = rng.random((cells + 1, cells + 1), dtype=np.float32)
        total += persistence**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(total, None, 0, 1, cv2.NORM_MINMAX)


def _coordinates(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Position along a random direction, in units of the longer side: (H, W) float32."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(width, height)
    return x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))


def _gradient(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    share = cv2.normalize(_coordinates(width, height, rng), None, 0, 1, cv2.NORM_MINMAX)
    return _between(share, rng)


def _cloudy(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    return _between(_clouds(width, height, rng), rng)


def _stripes(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    wave = np.sin(_coordinates(width, height, rng) * np.float32(rng.uniform(12, 120)))
    share = 0.5 + 0.5 * np.clip(wave * rng.uniform(0.6, 6), -1, 1)
    return _between(0.8 * share + 0.2 * _clouds(width, height, rng), rng)


def _wood(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    bend = _clouds(width, height, rng, roughness=0.4) * rng.uniform(0.1, 0.5)
    rings = np.sin((_coordinates(width, height, rng) + bend) * np.float32(rng.uniform(30, 110)))
    return _between(0.6 * (0.5 + 0.5 * rings) + 0.4 * _clouds(width, height, rng, roughness=0.8), rng)


def _tiles(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    across, down = int(rng.integers(3, 16)), int(rng.integers(3, 16))
    shades = rng.random((down, across), dtype=np.float32) if rng.random() < 0.5 else (
        np.indices((down, across)).sum(axis=0) % 2).astype(np.float32)  # fmt: skip
    share = cv2.resize(shades, (width, height), interpolation=cv2.INTER_NEAREST)
    return _between(0.75 * share + 0.25 * _clouds(width, height, rng), rng)


def _blobs(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    image = _gradient(width, height, rng)
    for _ in range(rng.integers(4, 22)):
        center = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = tuple(int(value) for value in rng.integers(6, max(7, max(width, height) // 4), 2))
        color = tuple(float(value) for value in _random_color(rng))
        cv2.ellipse(image, center, axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA)
    sigma = float(rng.uniform(0.5, 9))
    return cv2.GaussianBlur(image, (0, 0), sigma)


def _ground_and_sky(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """A wall or a sky above, a floor or a meadow below."""
    horizon = int(height * rng.uniform(0.25, 0.75))
    upper = _gradient(width, height, rng) if rng.random() < 0.5 else _cloudy(width, height, rng)
    lower = _picture(width, height, rng) if rng.random() < 0.5 else _wood(width, height, rng)
    edge = horizon + (_clouds(width, 2, rng)[0] - 0.5) * rng.uniform(0, 40)
    rows = np.arange(height, dtype=np.float32)[:, None]
    share = np.clip((rows - edge[None]) / rng.uniform(1, 5) + 0.5, 0, 1)[:, :, None].astype(np.float32)
    return upper * (1 - share) + lower * share


_TEXTURES: tuple[Callable[[int, int, np.random.Generator], np.ndarray], ...] = (
    _gradient, _cloudy, _stripes, _wood, _tiles, _blobs,
)  # fmt: skip


def _paste_shape(image: np.ndarray, rng: np.random.Generator) -> None:
    """Paste a nameless body, textured, with sharp edges, as objects are: an edge alone is no object."""
    height, width = image.shape[:2]
    side = min(height, width) * np.exp(rng.uniform(np.log(0.06), np.log(0.45)))
    reach = int(side)  # no corner is farther from the center than 0.7 side, and the rest is for blur
    x, y = (int(value) for value in rng.uniform((0, 0), (width, height)))
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
    radii = side * rng.uniform(0.3, 0.7, len(angles))
    corners = reach + np.stack((np.cos(angles), np.sin(angles)), axis=1) * radii[:, None]
    mask = np.zeros((2 * reach, 2 * reach), dtype=np.uint8)
    cv2.fillPoly(mask, [corners.round().astype(np.int32)], 255, cv2.LINE_AA)
    if rng.random() < 0.5:  # without corners
        mask = cv2.GaussianBlur(mask, (0, 0), float(max(1.0, side * 0.06)))
        mask = np.clip((mask.astype(np.float32) - 96) * 4, 0, 255).astype(np.uint8)
    share = mask[:, :, None].astype(np.float32) / 255
    texture = _TEXTURES[rng.integers(len(_TEXTURES))](2 * reach, 2 * reach, rng)
    canvas, own = overlap(x - reach, y - reach, mask.shape, (width, height))
    image[canvas] += share[own] * (texture[own] - image[canvas])


def overlap(
    left: int, top: int, shape: tuple[int, int], canvas: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a patch meets a canvas.

    Args:
        left, top: the patch's corner on the canvas, in pixels; it may be outside.
        shape: (height, width) of the patch.
        canvas: (width, height).

    Returns:
        The rows and columns that both cover: slices of the canvas, and slices of the patch.
    """
    x1, x2 = np.clip((left, left + shape[1]), 0, canvas[0]).tolist()
    y1, y2 = np.clip((top, top + shape[0]), 0, canvas[1]).tolist()
    return (slice(y1, y2), slice(x1, x2)), (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
