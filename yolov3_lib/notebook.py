"""What every notebook does first: seeds, the device, the book's figures, and a word where something is off.

`setup` prints nothing when all is well, so that a notebook's committed output is the same on every machine.
"""

import random
import re
from collections.abc import Sequence
from importlib import metadata

import numpy as np
import torch

CHOOSE_T4 = "On Kaggle: Settings → Accelerator → GPU T4 ×2."


def setup(seed: int = 0, needs_gpu: bool = False) -> torch.device:
    """Seed everything, set the book's figure style and choose the device.

    The CPU is the reference: the committed outputs come from it. Where ``needs_gpu`` asks for a GPU, one that
    torch has kernels for is used; without such a one the notebook goes on on the CPU, and says so.

    Args:
        seed: for ``random``, numpy and torch.
        needs_gpu: whether the notebook's work takes long without a GPU.

    Returns:
        The device to compute on.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries that we call still draw from the global generator
    torch.manual_seed(seed)
    for complaint in version_complaints():
        _say(complaint)

    from yolov3_lib import plots

    plots.use_book_style()
    if not needs_gpu:
        return torch.device("cpu")
    problem = gpu_problem()
    if problem:
        _say(f"{problem} This notebook goes on on the CPU: slow, but right.")
    return torch.device("cpu" if problem else "cuda")


def gpu_problem() -> str | None:
    """Why the GPU can't be used, with the mend; None where it can."""
    if not torch.cuda.is_available():
        return f"There is no GPU here. {CHOOSE_T4}"
    capability, compiled_for = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
    if has_kernels(capability, compiled_for):
        return None
    name, version = torch.cuda.get_device_name(), ".".join(map(str, capability))
    return f"This torch has no kernels for the GPU here ({name}, capability {version}). {CHOOSE_T4}"


def has_kernels(capability: tuple[int, int], compiled_for: Sequence[str]) -> bool:
    """Whether code compiled for these targets runs on a GPU of this compute capability.

    Machine code (``sm_75``) runs on GPUs of the same major and at least the same minor number; portable code
    (``compute_70``) on all that are as new; code for one kind (``sm_90a``) on exactly that kind.

    Args:
        capability: (major, minor), as ``torch.cuda.get_device_capability`` gives it.
        compiled_for: targets, as ``torch.cuda.get_arch_list`` gives them.

    Source: CUDA C++ programming guide, "Binary compatibility" and "PTX compatibility".
    """
    for target in compiled_for:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", target)
        if not match:
            continue
        form, version, suffix = match[1], (int(match[2]), int(match[3])), match[4]
        if suffix == "a":
            runs = capability == version
        elif form == "compute":
            runs = capability >= version
        else:
            runs = capability[0] == version[0] and capability[1] >= version[1]
        if runs:
            return True
    return False


def version_complaints() -> list[str]:
    """One sentence for every installed package that is outside the range in which the course was tested."""
    # torch and matplotlib bring packaging along; a fresh `import yolov3_lib` shouldn't wait for it.
    from packaging.requirements import Requirement

    try:
        requirements = metadata.requires("yolov3_lib") or []
    except metadata.PackageNotFoundError:
        return []  # run from a checkout that isn't installed: nothing says what is wanted
    complaints = []
    for line in requirements:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            continue  # its import, where it's needed, says so more clearly
        if not wanted.specifier.contains(found, prereleases=True):
            complaints.append(
                f"{wanted.name} {found} is installed; the course was tested with {wanted.specifier}. "
                f'To change it: pip install "{wanted.name}{wanted.specifier}"'
            )
    return complaints


def _say(text: str) -> None:
    print(f"⚠ {text}")
