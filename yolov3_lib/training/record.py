"""What a run leaves to look at: ``steps.csv``, ``metrics.csv`` and TensorBoard's files."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolov3_lib.models.files import atomic_path

STEPS, METRICS = "steps.csv", "metrics.csv"
STEP_COLUMNS = (
    "step", "epoch", "net_size", "learning_rate", "loss", "box", "objectness", "classes", "gradient_norm",
    "images_per_second", "skipped",
)  # fmt: skip
METRIC_COLUMNS = (
    "step", "epoch", "hours", "learning_rate", "loss", "box", "objectness", "classes", "images_per_second",
    "map_area", "map_11",
)  # fmt: skip


class Record:
    """A run's measurements, a row for each optimizer step and one for each epoch.

    Args:
        run_dir: the run's folder.
        step: where the run stands; rows of later steps, left by an interrupted run, are taken out.
        tensorboard: write TensorBoard's files too, where the package is installed.
    """

    def __init__(self, run_dir: str | os.PathLike, step: int = 0, tensorboard: bool = True) -> None:
        self.folder = Path(run_dir)
        for name, columns in ((STEPS, STEP_COLUMNS), (METRICS, METRIC_COLUMNS)):
            _cut(self.folder / name, columns, step)
        self._writer = _summary_writer(self.folder, step) if tensorboard else None

    def step(self, row: Mapping[str, Any]) -> None:
        """One optimizer step; the keys are `STEP_COLUMNS`."""
        _append(self.folder / STEPS, STEP_COLUMNS, row)
        self._board("train", row, ("loss", "box", "objectness", "classes", "learning_rate", "gradient_norm"))

    def epoch(self, row: Mapping[str, Any]) -> None:
        """One epoch; the keys are `METRIC_COLUMNS`, mAP empty where it wasn't measured."""
        _append(self.folder / METRICS, METRIC_COLUMNS, row)
        self._board("epoch", row, ("loss", "map_area", "map_11", "images_per_second"))

    def close(self) -> None:
        """Have everything on disk."""
        if self._writer:
            self._writer.close()

    def _board(self, tag: str, row: Mapping[str, Any], names: tuple[str, ...]) -> None:
        if self._writer:
            for name in names:
                if row[name] is not None:
                    self._writer.add_scalar(f"{tag}/{name}", row[name], row["step"])


def read_rows(path: str | os.PathLike) -> list[dict[str, float | None]]:
    """The rows of ``steps.csv`` or ``metrics.csv`` as numbers; an empty cell is None."""
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {name: float(value) if value else None for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def _append(path: Path, columns: tuple[str, ...], row: Mapping[str, Any]) -> None:
    with open(path, "a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(_cell(row[name]) for name in columns)


def _cell(value: Any) -> Any:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def _cut(path: Path, columns: tuple[str, ...], step: int) -> None:
    """Leave the head and the whole rows up to ``step``: a kill may have cut the last one short."""
    rows = []
    if path.is_file():
        with open(path, newline="", encoding="utf-8") as file:
            lines = [line for line in file.read().splitlines(keepends=True) if line.endswith("\n")]
        rows = [row for row in csv.reader(lines[1:]) if len(row) == len(columns) and int(row[0]) <= step]
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def _summary_writer(folder: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)
