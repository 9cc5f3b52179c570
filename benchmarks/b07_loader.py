"""Row 7: a training sample at 416: a JPEG of 500 × 375 decoded and augmented, with its boxes, on one core.

The baseline does the same steps with the same random numbers, its colors in floating point, as Darknet does.
"""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from harness import Row

import yolov3_lib.data.augment as augmentation
from yolov3_lib.data.augment import AugmentConfig, DistortColor, augment
from yolov3_lib.data.images import load_image

PHOTOS = Path(__file__).parent.parent / "data" / "photos"
NET_SIZE = 416
SAMPLES = 45
Sample = tuple[np.ndarray, np.ndarray, np.ndarray]


def rows() -> list[Row]:
    cv2.setNumThreads(1)
    files = [jpeg(path) for path in sorted(PHOTOS.glob("*.jpg"))]
    return [
        row(files, "letterbox only", AugmentConfig.none(), "none: what decoding and scaling alone take"),
        row(files, "Darknet's augmentation", AugmentConfig.darknet(), "≥ 300 images/s"),
        row(files, "mosaic of four", AugmentConfig.modern(), "≥ 120 images/s"),
    ]


def row(files: list[bytes], what: str, recipe: AugmentConfig, bar: str) -> Row:
    candidates = {"ours": partial(samples, files, recipe)}
    if recipe.saturation > 1:
        candidates["colors in floating point"] = partial(samples_by_float, files, recipe)
    return Row(
        number=7,
        title=f"500 × 375 JPEG → sample of {NET_SIZE} × {NET_SIZE}, {what}",
        bar=bar,
        ours="ours",
        candidates=candidates,
        check=check,
        unit="images/s",
        scale=SAMPLES,
        per_second=True,
    )


def jpeg(path: Path) -> bytes:
    """The photograph at VOC's usual size and quality."""
    image = cv2.resize(cv2.imread(str(path)), (500, 375), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def samples(files: list[bytes], recipe: AugmentConfig) -> list[Sample]:
    boxes = np.array([[50, 60, 300, 300], [10, 10, 490, 370], [100, 100, 130, 160]], np.float32)

    def load(index: int) -> Sample:
        return load_image(files[index]), boxes, np.arange(3)

    return [
        augment(recipe, k % len(files), load, len(files), np.random.default_rng([0, 0, k]), NET_SIZE)
        for k in range(SAMPLES)
    ]


def samples_by_float(files: list[bytes], recipe: AugmentConfig) -> list[Sample]:
    """The same with `FloatColor` in place of `DistortColor`."""
    augmentation._pipeline.cache_clear()
    augmentation.DistortColor = FloatColor
    try:
        return samples(files, recipe)
    finally:
        augmentation.DistortColor = DistortColor
        augmentation._pipeline.cache_clear()


class FloatColor(DistortColor):
    """Darknet's ``distort_image`` in float32, on whole arrays: to HSV, change it, back, and cut off."""

    def apply(self, img: np.ndarray, shift: float, saturate: float, expose: float, **_) -> np.ndarray:
        rgb = img.astype(np.float32) / 255
        value, least = rgb.max(axis=2), rgb.min(axis=2)
        chroma = value - least
        safe = np.where(chroma > 0, chroma, 1)
        red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
        hue = np.select(
            [value == red, value == green],
            [(green - blue) / safe % 6, (blue - red) / safe + 2],
            (red - green) / safe + 4,
        )
        hue = (hue + 6 * round(180 * shift) / 180) % 6
        saturation = np.minimum(chroma / np.maximum(value, 1e-9) * saturate, 1)
        channels = []
        for start in (5, 3, 1):
            position = (hue + start) % 6
            weight = np.clip(np.minimum(position, 4 - position), 0, 1)
            channels.append(value * (1 - saturation * weight) * expose)
        return np.rint(255 * np.stack(channels, axis=2).clip(0, 1)).astype(np.uint8)


def check(answers: dict[str, list[Sample]]) -> None:
    """The same boxes; pixels that differ by what rounding to 180 hues does, a level or so on average."""
    for ours in answers["ours"]:
        assert ours[0].shape == (NET_SIZE, NET_SIZE, 3)
    for name, answer in answers.items():
        for ours, theirs in zip(answers["ours"], answer, strict=True):
            assert np.array_equal(ours[1], theirs[1]), f"{name}: other boxes"
            assert np.array_equal(ours[2], theirs[2]), f"{name}: other classes"
            difference = np.abs(ours[0].astype(int) - theirs[0])
            assert difference.mean() < 1.5, f"{name}: pixels differ by {difference.mean():.2f} on average"
