"""Where the course's photographs and weights lie: in a checkout, beside a notebook, or on Kaggle."""

import os
from collections.abc import Iterator
from pathlib import Path


def _roots() -> Iterator[Path]:
    """Folders that may hold the course's ``data/``, the likeliest first."""
    if "YOLOV3_DATA" in os.environ:
        yield Path(os.environ["YOLOV3_DATA"])
    for folder in (Path.cwd(), *Path.cwd().parents):
        yield folder / "data"
    yield Path(__file__).parent.parent / "data"
    # Kaggle mounts a dataset at <slug>/, <owner>/<slug>/ or datasets/<owner>/<slug>/: search, don't guess.
    kaggle = Path("/kaggle/input")
    if kaggle.is_dir():
        for depth in ("*", "*/*", "*/*/*", "*/*/*/*"):
            yield from sorted(folder for folder in kaggle.glob(depth) if folder.is_dir())


def find_data(relative: str | Path) -> Path:
    """The path of a file or folder of the course's data, say ``photos/dog.jpg``.

    Looked for in ``$YOLOV3_DATA``, in ``data/`` of the working folder and of the folders above it, in the
    checkout that the package runs from, and under ``/kaggle/input``.

    Raises:
        FileNotFoundError: with the places that were looked at.
    """
    tried = []
    for root in _roots():
        candidate = root / relative
        if candidate.exists():
            return candidate
        tried.append(str(root))
    looked = "\n  ".join(dict.fromkeys(tried))
    raise FileNotFoundError(
        f"{relative} is in none of these folders:\n  {looked}\n"
        "Run from the course's checkout, or set YOLOV3_DATA to its data folder."
    )


def find_weights(weights: str | os.PathLike) -> Path:
    """A weights file by its path, or by its name among the course's weights.

    Raises:
        FileNotFoundError: neither; the message says where it was looked for.
    """
    if Path(weights).is_file():
        return Path(weights)
    for suffix in ("", ".safetensors", ".weights"):
        try:
            return find_data(f"weights/{weights}{suffix}")
        except FileNotFoundError:
            continue
    raise FileNotFoundError(
        f"{weights}: no such weights file, nor one of that name in the course's data/weights. "
        "Give the path of a .safetensors, .weights or darknet53.conv.74 file."
    )
