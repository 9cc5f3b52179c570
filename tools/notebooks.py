"""The notebooks' workshop: run them, generate the exercise copies, and author them as plain Python.

    python tools/notebooks.py run [NOTEBOOK …]     run in place and refresh the committed outputs
    python tools/notebooks.py exercises [--check]  solutions/ → exercises/, by nbgrader's preprocessors
    python tools/notebooks.py from-py SOURCE.py TARGET.ipynb
    python tools/notebooks.py to-py SOURCE.ipynb TARGET.py

Without names, ``run`` takes every chapter and every solution. The .py form is jupytext's percent format.
"""

import argparse
import hashlib
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
SOLUTIONS = NOTEBOOKS / "solutions"
EXERCISES = NOTEBOOKS / "exercises"

# The first code cell of every notebook. A cell tagged "setup" gets this text.
SETUP = """\
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("yolov3_lib") is None:  # on Kaggle and Colab: install what is missing, and nothing else
    found = [*Path("/kaggle/input").rglob("yolov3_lib-*.whl"), *Path().rglob("yolov3_lib-*.whl")]
    if not found:
        raise ImportError("No yolov3_lib here. Kaggle: Add Input → the course. Colab: upload its wheel.")
    beside = found[0].parent.glob("*.whl")
    missing = [str(wheel) for wheel in beside if find_spec(wheel.name.split("-")[0]) is None]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", *missing], check=True)

from yolov3_lib import notebook
device = notebook.setup(seed=0)"""
SETUP_GPU = SETUP.replace("seed=0", "seed=0, needs_gpu=True")

# What an unsolved cell says. nbgrader's own stub raises; this one lets an untouched notebook run to its end.
CODE_STUB = "# YOUR CODE HERE\npass"
TEXT_STUB = "*Your answer here.*"

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SECONDS_A_CELL = 600


class NotebookFailed(Exception):
    """A notebook that doesn't run to its end, or that warns on the way."""


def chapters() -> list[Path]:
    """The chapters' notebooks, in order."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def solutions() -> list[Path]:
    """The exercise masters, in order."""
    return sorted(SOLUTIONS.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def as_text(notebook: NotebookNode) -> str:
    """The file's text: the same notebook always gives the same bytes."""
    return nbformat.writes(notebook) + "\n"


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Drop what changes from run to run or machine to machine, and name each cell after its source.

    The setup cell gets the text that all notebooks share.
    """
    notebook.metadata = NotebookNode(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        for volatile in ("execution", "ExecuteTime", "papermill", "lines_to_next_cell"):
            cell.metadata.pop(volatile, None)
        if "setup" in cell.metadata.get("tags", []):
            cell.source = SETUP_GPU if "needs_gpu=True" in cell.source else SETUP
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs, with neighboring pieces of a stream put together: where they were cut is chance."""
    joined: list[NotebookNode] = []
    for output in outputs:
        if joined and output.output_type == "stream" and output.name == joined[-1].get("name"):
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def run(path: Path) -> None:
    """Run a notebook in its folder and write its outputs into it; a failed one stays as it was.

    Raises:
        NotebookFailed: if a cell raises, or writes to stderr.
    """
    notebook = tidy(read(path))
    client = NotebookClient(
        notebook,
        timeout=SECONDS_A_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": path.parent}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # it warns of its own transport
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise NotebookFailed(f"{path.name}: {error}") from error
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise NotebookFailed(f"{path.name}: a cell writes to stderr:\n{cell.source}\n→ {output.text}")
    path.write_text(as_text(tidy(notebook)), encoding="utf-8")


def student_copy(master: NotebookNode) -> NotebookNode:
    """The exercises of a master: solutions replaced by stubs, no outputs, checks locked."""
    # nbgrader takes two seconds to import, and only this needs it.
    from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, ClearSolutions, LockCells

    notebook = nbformat.from_dict(master)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\A# Solutions\b", "# Exercises", cell.source)
    steps = (
        CheckCellMetadata(),
        LockCells(),
        ClearSolutions(code_stub={"python": CODE_STUB}, text_stub=TEXT_STUB),
        ClearOutput(),
    )
    resources: dict = {}
    for step in steps:
        notebook, resources = step.preprocess(notebook, resources)
    # The ids stay the master's, so that a cell and its solution can be told to belong together.
    return notebook


def write_exercises(check: bool = False) -> list[Path]:
    """Generate the student's copies, or with ``check`` only tell which ones differ from what is committed."""
    stale = []
    expected = {EXERCISES / path.name: as_text(student_copy(read(path))) for path in solutions()}
    for path, text in expected.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
    orphans = [path for path in sorted(EXERCISES.glob("*.ipynb")) if path not in expected]
    if not check:
        for path in stale:
            path.parent.mkdir(exist_ok=True)
            path.write_text(expected[path], encoding="utf-8")
        for path in orphans:
            path.unlink()
    return stale + orphans


def from_py(source: Path, target: Path) -> None:
    """A notebook without outputs from jupytext's percent format.

    nbgrader's metadata has a short form: ``solution="1-2"`` in the cell's header marks a cell to be solved,
    ``check="1-2" points=2`` one that grades. A solution in Markdown is graded by a person: ``points`` too.
    """
    notebook = jupytext.read(source, fmt="py:percent")
    for cell in notebook.cells:
        _expand_nbgrader(cell)
    target.write_text(as_text(tidy(notebook)), encoding="utf-8")


def _expand_nbgrader(cell: NotebookNode) -> None:
    solution, check = (cell.metadata.pop(key, None) for key in ("solution", "check"))
    if not solution and not check:
        return
    by_hand = cell.cell_type == "markdown"
    details = {
        "grade": bool(check) or by_hand,
        "grade_id": f"solution-{solution}" if solution else f"check-{check}",
        "locked": bool(check),
        "schema_version": 3,
        "solution": bool(solution),
        "task": False,
    }
    if details["grade"]:
        details["points"] = cell.metadata.pop("points")
    cell.metadata.nbgrader = NotebookNode(details)


def to_py(source: Path, target: Path) -> None:
    """A notebook's cells in jupytext's percent format; the outputs are left behind."""
    notebook = read(source)
    notebook.metadata = NotebookNode()
    jupytext.write(notebook, target, fmt="py:percent")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="run in place and refresh outputs")
    running.add_argument("notebooks", nargs="*", type=Path)
    generating = commands.add_parser("exercises", help="generate the exercise copies")
    generating.add_argument("--check", action="store_true", help="fail if one is stale, write nothing")
    for name in ("from-py", "to-py"):
        converting = commands.add_parser(name)
        converting.add_argument("source", type=Path)
        converting.add_argument("target", type=Path)
    options = parser.parse_args(arguments)

    if options.command == "run":
        for path in options.notebooks or [*chapters(), *solutions()]:
            print(path, flush=True)
            try:
                run(path.resolve())
            except NotebookFailed as error:
                print(error, file=sys.stderr)
                return 1
    elif options.command == "exercises":
        changed = write_exercises(check=options.check)
        for path in changed:
            print(f"{'stale' if options.check else 'written'}: {path.relative_to(ROOT)}")
        if options.check and changed:
            print("Run `make exercises` and commit the result.", file=sys.stderr)
            return 1
    elif options.command == "from-py":
        from_py(options.source, options.target)
    else:
        to_py(options.source, options.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
