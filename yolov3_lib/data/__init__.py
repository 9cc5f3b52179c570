"""Images and annotations: from files to arrays.

``data.images`` reads photographs and fits them into the network's square, ``data.voc`` reads and writes
Pascal VOC annotations. Both are imported when they are first used.
"""

import importlib

_SUBMODULES = ("images", "voc")

__all__ = list(_SUBMODULES)


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
