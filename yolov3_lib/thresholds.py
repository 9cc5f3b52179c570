"""What a score threshold makes of a detector: precision, recall and F1 at each, and which one to use.

mAP ranks detections and needs no threshold; whoever shows or counts them does. A threshold is chosen on
images that the result isn't reported on, or the report flatters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolov3_lib.evaluate import VocResult


@dataclass(frozen=True)
class OperatingPoints:
    """A detector at T thresholds: detections that score **more** count.

    Attributes:
        thresholds: (T,) float64.
        right: (T,) int64, detections that found an object.
        wrong: (T,) int64, the others; those of difficult objects count as neither.
        truths: objects to find.
    """

    thresholds: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    truths: int

    @property
    def precision(self) -> np.ndarray:
        """(T,) the share of the detections that is right; NaN where there are none."""
        return _share(self.right, self.right + self.wrong)

    @property
    def recall(self) -> np.ndarray:
        """(T,) the share of the objects that is found; NaN where there are none."""
        return _share(self.right, np.full_like(self.right, self.truths))

    @property
    def f1(self) -> np.ndarray:
        """(T,) the harmonic mean of precision and recall, 2·right / (detections + objects); NaN for 0/0."""
        return _share(2 * self.right, self.right + self.wrong + self.truths)

    @property
    def best(self) -> int:
        """Where F1 is largest; of equal ones the lowest threshold.

        Raises:
            ValueError: F1 is NaN everywhere: no detections and no objects.
        """
        if np.isnan(self.f1).all():
            raise ValueError("no detections and no objects: no threshold is better than another")
        return int(np.nanargmax(self.f1))


def operating_points(
    result: VocResult, thresholds: Sequence[float] | np.ndarray, class_name: str | None = None
) -> OperatingPoints:
    """A detector's precision and recall at score thresholds, from the result of ``evaluate_voc``.

    Args:
        result: with its curves.
        thresholds: T numbers.
        class_name: of one class; by default all classes are counted together, so that frequent ones weigh
            more.

    Raises:
        ValueError: the result has no class of that name.
    """
    if class_name is not None and class_name not in result.class_names:
        raise ValueError(f"no class {class_name!r} here: choose from {', '.join(result.class_names)}")
    chosen = [c for c, name in enumerate(result.class_names) if class_name in (None, name)]
    thresholds = np.asarray(thresholds, dtype=np.float64)
    right, wrong = np.zeros((2, len(thresholds)), dtype=np.int64)
    for c in chosen:
        curve = result.curves[c]
        count = len(curve.scores) - np.searchsorted(curve.scores[::-1], thresholds, side="right")
        # Precision is found / seen, so that its product with seen is a whole number again.
        found = np.rint(curve.precision * np.arange(1, len(curve.scores) + 1)).astype(np.int64)
        found = np.concatenate(([0], found))[count]
        right += found
        wrong += count - found
    return OperatingPoints(thresholds, right, wrong, int(result.truths[chosen].sum()))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
