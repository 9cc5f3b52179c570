"""yolov3_lib: a readable YOLOv3 in PyTorch, the library that the course teaches.

Modules follow the chapters, and the way of an image through the detector::

    data → targets → loss → train
    image → models → decode → nms → predict → evaluate → plots

``import yolov3_lib`` costs no more than ``import torch``: submodules are imported when they are first used.
"""

import importlib

import torch  # noqa: F401  everything here needs it; importing it once, here, keeps the first use of a module quick

__version__ = "0.1.0"

_SUBMODULES = (
    "anchors", "boxes", "checks", "classes", "data", "decode", "detections", "evaluate", "loss",
    "models", "nms", "notebook", "paths", "plots", "predict", "targets", "train", "training", "widgets",
)  # fmt: skip

__all__ = ["__version__", *_SUBMODULES]


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
