"""What a dataset is: images by number, and what is in each."""

from pathlib import Path
from typing import Protocol

from yolov3_lib.data.voc import Annotation, AnnotationError


class DetectionDataset(Protocol):
    """Images with annotations; `yolov3_lib.data.voc.VOCDataset` is one, and so is anything with the same
    parts.

    Attributes:
        class_names: what the annotations' class indices mean.
        ids: the images' names without suffix, no two alike.
    """

    class_names: tuple[str, ...]

    @property
    def ids(self) -> list[str]: ...

    def __len__(self) -> int: ...

    def image_path(self, index: int) -> Path: ...

    def annotation(self, index: int) -> Annotation: ...


class CheckableDataset(DetectionDataset, Protocol):
    """A dataset that can list the mistakes in an annotation, instead of stopping at the first."""

    def annotation_errors(self, index: int) -> list[AnnotationError]: ...
