"""Row 8: the most memory that a training step takes: YOLOv3 at 416 × 416, float32, SGD with momentum.

Each candidate runs in a process of its own (`training_step.py`).
"""

import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path

from b06_inference import PEER
from harness import Row

IMAGES = 4
STEP = Path(__file__).parent / "training_step.py"


def row() -> Row:
    names = {"ours": "ours", "ours, channels last": "channels_last"}
    if PEER.exists():
        names["the document's model and loss"] = "document"
    return Row(
        number=8,
        title=f"peak memory of a training step, {IMAGES} images of 416 × 416, float32",
        bar="lower than the document's model and loss",
        ours="ours",
        candidates={label: partial(step, name) for label, name in names.items()},
        check=check,
        unit="MiB",
        scale=1 / 2**20,
        cost=peak,
        notes=["weights, gradients, momentum and activations; what the imports take isn't counted"],
    )


def step(name: str) -> dict:
    command = [sys.executable, str(STEP), name, str(IMAGES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def peak(answer: dict) -> float:
    return answer["peak"]


def check(answers: dict[str, dict]) -> None:
    for name, answer in answers.items():
        assert all(map(math.isfinite, answer["losses"])), f"{name}: losses {answer['losses']}"
    # The layout of memory changes nothing but the order of sums.
    first, other = answers["ours"]["losses"][0], answers["ours, channels last"]["losses"][0]
    assert math.isclose(first, other, rel_tol=1e-4), f"channels last: loss {other}, without {first}"
