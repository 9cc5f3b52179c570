"""Row 9: what ``import yolov3_lib`` costs beside ``import torch``, each in a fresh interpreter."""

import subprocess
import sys
from functools import partial

from harness import Row

HEAVY = ("matplotlib", "cv2", "scipy", "pycocotools", "PIL", "hypothesis")


def row() -> Row:
    return Row(
        number=9,
        title="import yolov3_lib, in a fresh interpreter",
        bar="≤ 1.1× import torch",
        ours="import yolov3_lib",
        candidates={
            "import yolov3_lib": partial(loaded_by, "import yolov3_lib"),
            "import torch": partial(loaded_by, "import torch"),
        },
        check=check,
        notes=["both include starting the interpreter"],
    )


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that are loaded once a fresh interpreter has run the statement."""
    program = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def check(answers: dict[str, set[str]]) -> None:
    ours, torch_alone = answers["import yolov3_lib"], answers["import torch"]
    assert "torch" in torch_alone
    assert {"torch", "yolov3_lib"} <= ours
    loaded = (ours - torch_alone) & set(HEAVY)
    assert not loaded, f"import yolov3_lib loads {', '.join(sorted(loaded))} too"
