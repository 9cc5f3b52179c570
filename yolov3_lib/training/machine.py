"""The machine that a run is on: its processors, the precision that they compute in, how many workers."""

import os
import platform

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from yolov3_lib.notebook import gpu_problem

PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}  # accelerate's names


def hardware() -> str:
    """The GPU's name, or the processor's kind and its cores."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}"
    return f"{os.cpu_count()} cores, {platform.machine()}"


def accelerator(precision: str, device: str | None) -> Accelerator:
    """What computes a run: the GPU that torch has kernels for, or the CPU; one process of several, or the
    only one.

    Args:
        precision: ``"auto"`` (bfloat16 where the GPU has it, else float16, float32 on a CPU), ``"float32"``,
            ``"bfloat16"`` or ``"float16"``.
        device: ``"cpu"``, ``"cuda"``, or None for a GPU where there is one.

    Raises:
        ValueError: another device; a GPU that isn't there or has no kernels; float16 on a CPU.
    """
    problem = gpu_problem()
    if device not in (None, "cpu", "cuda"):
        raise ValueError(f'device: expected "cpu" or "cuda", got {device!r}')
    if device == "cuda" and problem:
        raise ValueError(problem)
    cpu = device == "cpu" or bool(problem)
    if precision == "auto":
        ampere = not cpu and torch.cuda.get_device_capability() >= (8, 0)
        precision = "float32" if cpu else "bfloat16" if ampere else "float16"
    if precision == "float16" and cpu:
        raise ValueError("precision: float16 needs a GPU; take float32 or bfloat16 on a CPU")
    # accelerate keeps one precision for a whole process; a notebook may train twice.
    AcceleratorState._reset_state()
    return Accelerator(cpu=cpu, mixed_precision=PRECISIONS[precision])


def worker_count(workers: int | None, processes: int) -> int:
    """How many processes read and augment for each process that trains."""
    if workers is not None:
        return workers
    return max(0, min(8, (os.cpu_count() or 1) // processes - 1))
