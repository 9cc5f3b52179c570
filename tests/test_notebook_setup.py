"""What every notebook does first: `notebook.setup`, and the cell that calls it where nothing is installed."""

import os
import random
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from yolov3_lib import notebook

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import notebooks

# what the hosted images' torch is compiled for; a P100 has capability 6.0, a T4 7.5
HOSTED = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


def draws() -> tuple:
    return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002  the global generator


def test_setup_seeds_every_generator():
    notebook.setup(seed=3)
    first = draws()
    notebook.setup(seed=3)
    assert draws() == first
    notebook.setup(seed=4)
    assert not set(draws()) & set(first)


def test_setup_is_silent_and_gives_the_cpu(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("nobody asked for a GPU"))
    assert notebook.setup() == torch.device("cpu")
    assert capsys.readouterr() == ("", "")


def test_setup_sets_the_books_figure_style():
    import matplotlib

    matplotlib.rcdefaults()
    notebook.setup()
    assert matplotlib.rcParams["axes.spines.top"] is False


def pretend_gpu(monkeypatch, capability: tuple[int, int], compiled_for: list[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: compiled_for)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla P100-PCIE-16GB")


def test_a_missing_gpu_is_said_once_with_the_mend(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert notebook.setup(needs_gpu=True) == torch.device("cpu")
    out = capsys.readouterr().out
    assert out.startswith("⚠ There is no GPU here.")
    assert "Settings → Accelerator → GPU T4 ×2" in out
    assert out.count("\n") == 1


def test_a_gpu_without_kernels_is_named_and_left_alone(capsys, monkeypatch):
    pretend_gpu(monkeypatch, (6, 0), HOSTED)
    assert notebook.setup(needs_gpu=True) == torch.device("cpu")
    out = capsys.readouterr().out
    assert "no kernels for the GPU here (Tesla P100-PCIE-16GB, capability 6.0)" in out
    assert "GPU T4 ×2" in out


def test_a_gpu_with_kernels_is_used(capsys, monkeypatch):
    pretend_gpu(monkeypatch, (7, 5), HOSTED)
    assert notebook.setup(needs_gpu=True) == torch.device("cuda")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("capability", "compiled_for", "runs"),
    [
        ((6, 0), HOSTED, False),
        ((7, 5), HOSTED, True),
        ((8, 9), HOSTED, True),  # minor numbers go up within a major one
        ((8, 0), ["sm_86"], False),  # but not down
        ((10, 3), ["sm_100"], True),
        ((12, 1), ["sm_120"], True),
        ((13, 0), HOSTED, False),
        ((13, 0), [*HOSTED, "compute_120"], True),  # portable code runs on what is newer
        ((6, 0), ["compute_70"], False),
        ((9, 0), ["sm_90a"], True),
        ((9, 1), ["sm_90a"], False),
        ((7, 5), [], False),
        ((9, 4), ["gfx942"], False),
    ],
)
def test_kernels_run_where_cuda_says_they_do(capability, compiled_for, runs):
    assert notebook.has_kernels(capability, compiled_for) is runs


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_verdict_on_a_real_gpu_agrees_with_trying_it():
    try:
        works = (torch.ones(2, device="cuda") + 1).sum().item() == 4
    except RuntimeError:
        works = False
    assert (notebook.gpu_problem() is None) is works


def test_the_pinned_versions_are_in_range():
    assert notebook.version_complaints() == []


def test_a_version_out_of_range_is_named_with_the_mend(capsys, monkeypatch):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.13.1+cu117" if name == "torch" else real(name))
    notebook.setup()
    out = capsys.readouterr().out
    assert out.startswith("⚠ torch 1.13.1+cu117 is installed; the course was tested with >=2.")
    assert 'pip install "torch>=' in out
    assert out.count("\n") == 1


# what the images of Kaggle (May 2026) and Colab (August 2026) ship
KAGGLE = {
    "torch": "2.10.0+cu128", "numpy": "2.0.2", "pillow": "11.3.0", "opencv-python-headless": "4.13.0.92",
    "safetensors": "0.7.0", "defusedxml": "0.7.1", "tqdm": "4.67.3", "matplotlib": "3.10.0",
    "scipy": "1.16.3", "pycocotools": "2.0.11", "sympy": "1.14.0",
}  # fmt: skip
COLAB = KAGGLE | {"torch": "2.11.0+cu128", "numpy": "2.1.3", "opencv-python-headless": "5.0.0.93"}


@pytest.mark.parametrize("installed", [KAGGLE, COLAB, KAGGLE | {"numpy": "2.5.0rc1"}])
def test_the_hosted_images_are_in_range(installed, monkeypatch):
    monkeypatch.setattr(metadata, "version", installed.__getitem__)
    assert notebook.version_complaints() == []


def test_a_package_that_is_not_there_is_left_to_its_import(monkeypatch):
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    assert notebook.version_complaints() == []


def test_a_checkout_that_is_not_installed_has_nothing_to_compare_with(monkeypatch):
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    assert notebook.version_complaints() == []


# The cell itself, in an environment that holds pip and nothing else


def make_wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: nowhere\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(path, text)
    return wheel


@pytest.fixture
def run_setup_cell(tmp_path):
    """Runs the setup cell as a hosted notebook would; ``inputs`` stands for /kaggle/input."""
    import pip

    only_pip, installed, inputs = tmp_path / "pip", tmp_path / "installed", tmp_path / "input"
    for folder in (only_pip, installed, inputs, tmp_path / "work"):
        folder.mkdir()
    (only_pip / "pip").symlink_to(Path(pip.__file__).parent)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"

    def run() -> subprocess.CompletedProcess:
        cell = notebooks.SETUP.replace("/kaggle/input", inputs.as_posix())
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(installed), str(only_pip)]),
            "PIP_TARGET": str(installed),
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_CONFIG_FILE": os.devnull,
        }
        code = f"{cell}\nprint(device)"
        return subprocess.run(
            [python, "-c", code], env=environment, cwd=tmp_path / "work", capture_output=True, text=True
        )

    run.inputs, run.installed, run.work = inputs, installed, tmp_path / "work"
    return run


FAKE_LIBRARY = {
    "yolov3_lib/__init__.py": "",
    "yolov3_lib/notebook.py": "def setup(seed):\n    return f'device with seed {seed}'\n",
}


@pytest.mark.parametrize("place", ["course", "owner/course", "datasets/owner/course"])
def test_the_setup_cell_installs_from_an_attached_dataset(run_setup_cell, place):
    folder = run_setup_cell.inputs / place
    folder.mkdir(parents=True)
    make_wheel(folder, "yolov3_lib", FAKE_LIBRARY)
    make_wheel(folder, "hypothesis", {"hypothesis/__init__.py": ""})
    make_wheel(folder, "pip", {"pip/__init__.py": "raise SystemExit('replaced')"})

    done = run_setup_cell()
    assert done.returncode == 0, done.stderr
    assert done.stdout == "device with seed 0\n"
    assert {path.name for path in run_setup_cell.installed.iterdir()} >= {"yolov3_lib", "hypothesis"}
    assert not (run_setup_cell.installed / "pip").exists(), "what is there already must not be replaced"

    # Run again: what is there stays as it is.
    before = (run_setup_cell.installed / "yolov3_lib").stat().st_mtime_ns
    assert run_setup_cell().returncode == 0
    assert (run_setup_cell.installed / "yolov3_lib").stat().st_mtime_ns == before


def test_the_setup_cell_finds_an_uploaded_wheel(run_setup_cell):
    make_wheel(run_setup_cell.work, "yolov3_lib", FAKE_LIBRARY)
    assert run_setup_cell().stdout == "device with seed 0\n"


def test_without_a_wheel_the_setup_cell_says_what_to_attach(run_setup_cell):
    done = run_setup_cell()
    assert done.returncode != 0
    assert "ImportError: No yolov3_lib here. Kaggle: Add Input" in done.stderr
    assert "Colab: upload its wheel" in done.stderr


def test_the_setup_cell_is_short():
    assert len(notebooks.SETUP.splitlines()) <= 15
