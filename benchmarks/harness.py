"""Side-by-side timing: several ways to do identical work, in one run, correctness asserted first.

A row of the benchmark table is a `Row`; every ``benchmarks/bNN_*.py`` defines ``row() -> Row``, or
``rows() -> list[Row]`` where the work is done on several kinds of data. What makes the ratios trustworthy:

- every candidate runs once before any is timed, and `Row.check` asserts that the answers agree;
- rounds are interleaved (A B C, A B C, …), so that a slow minute of the machine hits all alike;
- the minimum counts, because noise only ever adds; median and maximum show how noisy it was;
- torch computes with two threads, whatever the machine has.
"""

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version

import torch

THREADS = 2
MIN_ROUNDS, MAX_ROUNDS = 7, 50
# Seconds that a candidate's rounds take together, unless 7 of them take longer.
BUDGET = 10.0

PACKAGES = ("torch", "numpy", "opencv-python-headless", "pycocotools", "torchvision")


@dataclass(frozen=True)
class Row:
    """One row of the benchmark table: identical work, done by each candidate.

    Attributes:
        number: the row's number in the table.
        title: what is computed, and on how much data.
        bar: what ours must reach, in words.
        ours: which of ``candidates`` is the project's.
        candidates: name → a function of no arguments that does the work and returns its answer.
        check: gets {name: answer} of the first runs; raises AssertionError where they must agree but don't.
        unit: the unit of the printed numbers.
        scale: what seconds are multiplied by to get the unit; for milliseconds an image where the work is 8
            images, ``1000 / 8`` with ``unit="ms/image"``.
        cost: what a run costs, told from its answer; by default the seconds that it took.
        per_second: the printed numbers are ``scale / seconds`` instead, and more is better.
        notes: printed below the table.
    """

    number: int
    title: str
    bar: str
    ours: str
    candidates: dict[str, Callable[[], object]]
    check: Callable[[dict[str, object]], None]
    unit: str = "ms"
    scale: float = 1000.0
    cost: Callable[[object], float] | None = None
    per_second: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.ours not in self.candidates:
            raise ValueError(f"row {self.number}: ours={self.ours!r} is not among {sorted(self.candidates)}")

    def in_unit(self, cost: float) -> float:
        return self.scale / cost if self.per_second else self.scale * cost


@dataclass(frozen=True)
class Timing:
    """What a candidate took, in the row's unit, and its best in multiples of ours."""

    best: float
    median: float
    worst: float
    runs: int
    times_ours: float


def measure(row: Row) -> dict[str, Timing]:
    """Run each candidate once, check the answers, then time them in interleaved rounds.

    A candidate gets 7 to 50 rounds, as many as fit into ten seconds. One that takes more than ten seconds for
    a single run isn't run again: its first run is what counts.
    """
    torch.set_num_threads(THREADS)
    answers, first, rounds = {}, {}, {}
    for name, candidate in row.candidates.items():
        seconds, answers[name] = timed(candidate)
        first[name] = row.cost(answers[name]) if row.cost else seconds
        rounds[name] = rounds_for(seconds)
    row.check(answers)
    del answers

    costs = {name: [] for name in row.candidates}
    for turn in range(max(rounds.values())):
        for name, candidate in row.candidates.items():
            if turn < rounds[name]:
                seconds, answer = timed(candidate)
                costs[name].append(row.cost(answer) if row.cost else seconds)
                del answer

    runs = {name: taken or [first[name]] for name, taken in costs.items()}
    best = {name: min(taken) for name, taken in runs.items()}
    return {
        name: Timing(
            best=row.in_unit(best[name]),
            median=row.in_unit(statistics.median(taken)),
            worst=row.in_unit(max(taken)),
            runs=len(taken),
            times_ours=best[name] / best[row.ours],
        )
        for name, taken in runs.items()
    }


def timed(candidate: Callable[[], object]) -> tuple[float, object]:
    gc.collect()
    start = time.perf_counter()
    answer = candidate()
    return time.perf_counter() - start, answer


def rounds_for(seconds: float) -> int:
    """How many rounds a candidate gets whose first run took so long."""
    return 0 if seconds > BUDGET else min(max(int(BUDGET / seconds), MIN_ROUNDS), MAX_ROUNDS)


def table(row: Row, timings: dict[str, Timing]) -> str:
    """The row as text, ours first."""
    lines = [f"Row {row.number}: {row.title}", f"bar: {row.bar}"]
    width = max(len(name) for name in timings) + 2
    lines.append(f"{row.unit:>{width}} {'best':>10} {'median':>10} {'worst':>10} {'runs':>5}  over ours")
    for name in sorted(timings, key=lambda name: (name != row.ours, timings[name].times_ours)):
        t = timings[name]
        numbers = " ".join(f"{value:>10.4g}" for value in (t.best, t.median, t.worst))
        lines.append(f"{name:>{width}} {numbers} {t.runs:>5}  {t.times_ours:.3g} ×")
    return "\n".join([*lines, *(f"note: {note}" for note in row.notes)])


def as_json(row: Row, timings: dict[str, Timing]) -> dict:
    return {
        "row": row.number,
        "title": row.title,
        "bar": row.bar,
        "ours": row.ours,
        "unit": row.unit,
        "timings": {name: asdict(timing) for name, timing in timings.items()},
        "notes": row.notes,
    }


def environment() -> dict:
    """The machine and the versions, without anything that names the machine or a path on it."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "system": platform.system(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": versions,
    }


def cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
