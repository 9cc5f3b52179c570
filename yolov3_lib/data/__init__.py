"""Images and annotations: from files to batches.

=============  ===============================================================================
`images`       photographs read, and fitted into the network's square
`dataset`      what a dataset is
`voc`          Pascal VOC annotations and the folders of a VOCdevkit
`yolo_txt`     the images/labels/train.csv layout found on Kaggle
`find`         datasets looked up in a folder or under ``/kaggle/input``, opened by split
`download`     Pascal VOC from its hosts, verified and unpacked
`check`        what is in a dataset, and what is wrong with it
`scenes`       generated scenes of VOC's twenty classes: the data that needs no download
`augment`      Darknet's augmentation, and mosaic
`truths`       a dataset's objects in one compact file
`loader`       samples, batches, and the order in which they come
=============  ===============================================================================

Each is imported when it is first used.
"""

import importlib

_SUBMODULES = (
    "augment", "check", "dataset", "download", "find", "images", "loader", "scenes", "truths", "voc",
    "yolo_txt",
)  # fmt: skip

__all__ = list(_SUBMODULES)


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
