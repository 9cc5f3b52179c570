"""Writing a file so that it appears complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WeightsError(ValueError):
    """A weights file that can't be used; the message names the file and what to do."""


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes ``path``'s place when the block ends well.

    An interrupted training run thus leaves the last good checkpoint, never half of a new one.

    Raises:
        FileNotFoundError: the folder doesn't exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"can't write {path}: there is no folder {path.parent}")
    # Beside the target, because os.replace is atomic only within a file system.
    # The suffix stays, because writers choose the format by it.
    temporary = path.with_name(f".tmp.{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
