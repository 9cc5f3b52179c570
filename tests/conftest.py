"""Paths to the data that tests read; how many threads torch uses, and how Hypothesis searches."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import browser as chromium  # noqa: E402  tools/browser.py

SHARED = ROOT.parent / "shared"
CACHE = ROOT / ".cache"

# Parallel workers that each start a thread per core get in each other's way.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)

# No deadlines: the first call of a torch operator is slow, and machines are.
settings.register_profile("course", deadline=None)
settings.load_profile("course")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: begun last, it would keep one worker busy while the other has nothing to do."""
    items.sort(key=lambda item: item.path.name != "test_voc_map.py")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The development material beside the checkout; tests that need it are skipped where it isn't."""
    if not SHARED.is_dir():
        pytest.skip(f"no development material at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Numbers from the original implementation."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def photos_dir() -> Path:
    """The photographs that come with the course."""
    return ROOT / "data" / "photos"


@pytest.fixture(scope="session")
def tiny_weights_path() -> Path:
    """Darknet's original yolov3-tiny.weights, fetched once. Without a network: skip, but fail in CI."""
    script = ROOT / "tools" / "fetch_weights.py"
    result = subprocess.run([sys.executable, script], capture_output=True, text=True)
    if result.returncode:
        unavailable = pytest.fail if os.environ.get("CI") else pytest.skip
        unavailable(result.stderr.strip())
    return CACHE / "weights" / "yolov3-tiny.weights"


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium. Where there is none: skip, but fail in CI."""
    if chromium.find_chromium() is None and not os.environ.get("CI"):
        pytest.skip(chromium.HOW_TO_INSTALL)
    with chromium.chromium() as running:
        yield running


@pytest.fixture(scope="session")
def voc416(shared_dir: Path) -> Path:
    """The folder that holds VOCdevkit with the 2,508 held-out photographs of VOC2007 val, unpacked once."""
    target, sample = CACHE / "voc416", shared_dir / "voc416"
    if not target.is_dir():
        if not sample.is_dir():
            pytest.skip(f"no VOC sample at {sample}")
        # Unpacked aside and renamed, so that a parallel worker sees all of it or nothing.
        partial = target.with_name(f"voc416.{os.getpid()}")
        subprocess.run([sys.executable, sample / "unpack.py", partial, sample / "part-0.tar"], check=True)
        try:
            partial.rename(target)
        except OSError:  # another worker was first
            shutil.rmtree(partial)
    return target
