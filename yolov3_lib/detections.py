"""What a detector says about one image."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Detections:
    """The detections in one image, best score first.

    Attributes:
        boxes: (N, 4) float, xyxy, in pixels of the image they belong to.
        scores: (N,) float, objectness × class probability.
        classes: (N,) int64, index into the detector's class names.

    One box may stand here several times, once for each class that it carries: YOLOv3's classes are
    independent sigmoids.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.classes.shape != (n,):
            raise ValueError(
                f"boxes {tuple(self.boxes.shape)}, scores {tuple(self.scores.shape)} and "
                f"classes {tuple(self.classes.shape)} don't match: expected (N, 4), (N,), (N,)"
            )

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Tensor | slice) -> "Detections":
        """The detections that an index tensor, a mask or a slice chooses."""
        return Detections(self.boxes[index], self.scores[index], self.classes[index])

    def above(self, score: float) -> "Detections":
        """Those that score more than ``score``."""
        return self[self.scores > score]

    def to(self, device: torch.device | str) -> "Detections":
        return Detections(self.boxes.to(device), self.scores.to(device), self.classes.to(device))

    def to_dicts(self, class_names: Sequence[str]) -> list[dict]:
        """Plain values for JSON: ``{"class", "score", "box"}``, the box as x1, y1, x2, y2 in pixels."""
        rows = zip(self.classes.tolist(), self.scores.tolist(), self.boxes.tolist(), strict=True)
        return [{"class": class_names[c], "score": s, "box": box} for c, s, box in rows]

    @staticmethod
    def none(device: torch.device | str = "cpu") -> "Detections":
        """An image in which nothing was found."""
        return Detections(
            torch.zeros(0, 4, device=device),
            torch.zeros(0, device=device),
            torch.zeros(0, dtype=torch.int64, device=device),
        )
