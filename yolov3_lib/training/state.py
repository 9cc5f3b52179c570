"""A run's state on disk. It is there whole or not at all, and a damaged file is recognized.

A state file is one line that names the format, one with the SHA-256 of what follows, and what `torch.save`
wrote. The state before the last one is kept beside it: whatever happens while one is written, one is good.
"""

import hashlib
import io
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

MAGIC = b"yolov3_lib run state 1\n"
LAST, PREVIOUS = "last.state", "previous.state"


class StateError(ValueError):
    """A run's state that can't be used; the message names the file and what to do."""


def save_state(run_dir: str | os.PathLike, state: dict[str, Any]) -> Path:
    """Write a run's state; the last good one is untouched until the new one is safely on disk.

    Args:
        run_dir: the run's folder; it must exist.
        state: what `torch.load` with ``weights_only=True`` can read: tensors, numbers, strings, lists, dicts.

    Raises:
        OSError: the disk is full, or the folder can't be written to. The last good state is still there,
            and the message says how much room was wanted.
    """
    folder = Path(run_dir)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    temporary = folder / f".tmp.{os.getpid()}.{LAST}"
    last = folder / LAST
    try:
        with open(temporary, "wb") as file:
            file.write(MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n")
            file.write(payload)
            file.flush()
            # Without this a power cut may leave the new name on an empty file.
            os.fsync(file.fileno())
        if last.exists():
            # A second name for the old state, and then the first name for the new one: no moment without
            # both.
            backup = folder / f".tmp.{os.getpid()}.{PREVIOUS}"
            backup.unlink(missing_ok=True)
            _link(last, backup)
            os.replace(backup, folder / PREVIOUS)
        os.replace(temporary, last)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{last}: the run's state ({len(payload) / 1e6:.0f} MB) can't be written ({error.strerror}). "
            "The last good state is still there: make room and resume",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(folder)
    return last


def load_state(
    run_dir: str | os.PathLike, device: torch.device | str = "cpu"
) -> tuple[dict[str, Any], list[str]]:
    """The newest good state of a run.

    Returns:
        The state, and what is worth telling: that the last file was damaged and the one before was taken.

    Raises:
        FileNotFoundError: the folder holds no state.
        StateError: none that is whole.
    """
    folder = Path(run_dir)
    problems = []
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.is_file():
            continue
        try:
            return _read(path, device), problems
        except StateError as error:
            problems.append(f"{error}; taking the state before it")
    if problems:
        raise StateError(f"{folder}: no state of this run is whole. " + " ".join(problems))
    raise FileNotFoundError(f"{folder}: no state to resume from in it ({LAST}); start the run without resume")


def random_state() -> dict[str, Any]:
    """Where the global generators of Python, numpy and torch stand."""
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  the global one
    return {
        "python": random.getstate(),
        "numpy": [kind, keys.tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Set the global generators to where `random_state` found them."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))  # noqa: NPY002  the global one
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and state["cuda"]:
        torch.cuda.set_rng_state_all([each.cpu() for each in state["cuda"]])


def _read(path: Path, device: torch.device | str) -> dict[str, Any]:
    data = path.read_bytes()
    head = len(MAGIC) + 65
    if not data.startswith(MAGIC):
        raise StateError(f"{path}: not a state of this library's version, or its head is damaged")
    digest, payload = data[len(MAGIC) : head - 1], memoryview(data)[head:]
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise StateError(f"{path}: damaged or cut short ({len(data)} bytes, wrong checksum)")
    return torch.load(io.BytesIO(payload), map_location=device, weights_only=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        os.replace(source, target)


def _sync_folder(folder: Path) -> None:
    """Have the folder's entries on disk too; not every system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
