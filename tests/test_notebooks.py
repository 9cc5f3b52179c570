"""The rules that every committed notebook keeps, and that each one runs: chapters, solutions, exercises."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import NotebookNode

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import notebooks

EXERCISES = sorted(notebooks.EXERCISES.glob("*.ipynb"))
EXECUTED = [*notebooks.chapters(), *notebooks.solutions()]
EVERY = [*EXECUTED, *EXERCISES]

CHAPTER_HEADINGS = [
    "Setup", "The problem", "The mathematics", "From scratch", "See it", "In YOLOv3", "Break it", "Summary",
]  # fmt: skip
LONGEST_CELL = 15
MARKERS = ("### BEGIN SOLUTION", "### END SOLUTION")
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")


def name(path: Path) -> str:
    return str(path.relative_to(notebooks.NOTEBOOKS))


def each(paths: list[Path]):
    return pytest.mark.parametrize("path", paths, ids=name)


def cells(path: Path, kind: str) -> list[NotebookNode]:
    return [cell for cell in notebooks.read(path).cells if cell.cell_type == kind]


def headings(path: Path, level: int) -> list[str]:
    found = []
    for cell in cells(path, "markdown"):
        prose = re.sub(r"^```.*?^```", "", cell.source, flags=re.M | re.S)
        found += re.findall(rf"^{'#' * level} (.+)$", prose, flags=re.M)
    return found


def printed(cell: NotebookNode) -> str:
    """What a cell shows as text."""
    parts = []
    for output in cell.outputs:
        parts += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "\n".join(parts)


# Structure


def test_there_are_chapters_and_each_has_its_exercises():
    assert {path.name for path in notebooks.chapters()} >= {"01_iou.ipynb", "02_nms.ipynb"}
    named = {path.name for path in notebooks.chapters()}
    assert {path.name for path in notebooks.solutions()} == named
    assert {path.name for path in EXERCISES} == named


@each(notebooks.chapters())
def test_a_chapter_has_the_nine_parts_in_order(path):
    assert len(headings(path, 1)) == 1
    assert headings(path, 2) == CHAPTER_HEADINGS
    before_setup = notebooks.read(path).cells
    before_setup = before_setup[: next(i for i, c in enumerate(before_setup) if "## Setup" in c.source)]
    assert any(cell.source.lstrip().startswith("> **Chapter card.**") for cell in before_setup) or any(
        re.search(r"^> \*\*Chapter card\.\*\*", cell.source, flags=re.M) for cell in before_setup
    )


@each(notebooks.chapters())
def test_the_chapter_card_promises_the_minutes_of_the_exercises(path):
    text = path.read_text(encoding="utf-8")
    (promised,) = re.findall(
        rf"\*\*Time\*\* \d+ minutes, and (\d+) for the \[exercises\]\(exercises/{path.name}\)", text
    )
    found = headings(notebooks.SOLUTIONS / path.name, 3)
    assert sum(int(heading.split()[-2]) for heading in found) == int(promised)


@each([*notebooks.solutions(), *EXERCISES])
def test_an_exercise_says_number_difficulty_minutes_and_two_hints(path):
    number = int(path.name[:2])
    found = headings(path, 3)
    assert 4 <= len(found) <= 6
    for i, heading in enumerate(found, start=1):
        assert re.fullmatch(rf"Exercise {number}\.{i} · .+ (★☆☆|★★☆|★★★) · \d+ min", heading), heading
    text = "\n".join(cell.source for cell in cells(path, "markdown"))
    for exercise in re.split(r"^### ", text, flags=re.M)[1:]:
        for hint in ("Hint 1", "Hint 2"):
            assert f"<details><summary>{hint}</summary>" in exercise, exercise.splitlines()[0]


@each(EVERY)
def test_the_setup_cell_is_the_first_and_the_same_everywhere(path):
    code = cells(path, "code")
    assert [i for i, cell in enumerate(code) if "setup" in cell.metadata.get("tags", [])] == [0]
    assert code[0].source in (notebooks.SETUP, notebooks.SETUP_GPU)


@each(EVERY)
def test_a_cell_is_short(path):
    for cell in cells(path, "code"):
        lines = [line.strip() for line in cell.source.splitlines()]
        lines = [line for line in lines if line and line not in MARKERS]
        assert len(lines) <= LONGEST_CELL, cell.source


@each(EVERY)
def test_no_text_needs_myst(path):
    for cell in cells(path, "markdown"):
        prose = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", "", cell.source, flags=re.S)
        assert not re.search(r"^\s*(```|~~~)\{|^:::", prose, flags=re.M), "a directive shows raw on Kaggle"
        assert not re.search(r"\{[a-z][\w:.-]*\}`", prose), "a role shows raw on Kaggle"
        assert not re.search(r"^\([\w-]+\)=\s*$", prose, flags=re.M), "a target shows raw on Kaggle"


@each(EVERY)
def test_every_link_to_a_file_leads_somewhere(path):
    for cell in cells(path, "markdown"):
        prose = re.sub(r"`[^`\n]*`|\$[^$\n]+\$", "", cell.source)
        links = re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", prose) + re.findall(r'(?:href|src)="([^"]+)"', prose)
        for link in links:
            if re.match(r"[a-z]+:", link) or link.startswith("#"):
                continue
            assert not link.startswith("/"), f"{link} is not relative"
            assert (path.parent / link.split("#")[0]).exists(), f"{link} leads nowhere"


@each(EVERY)
def test_every_picture_says_what_it_shows(path):
    for cell in notebooks.read(path).cells:
        if cell.cell_type == "markdown":
            for alt in re.findall(r"!\[([^\]]*)\]\(", cell.source):
                assert len(alt) > 15, cell.source
            for tag in re.findall(r"<img\b[^>]*>", cell.source):
                assert re.search(r'alt="[^"]{15,}"', tag), tag
            continue
        shown = [output.get("data", {}) for output in cell.get("outputs", [])]
        if any(kind in data for data in shown for kind in PICTURES):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 15, f"no mystnb.image.alt in the metadata of:\n{cell.source}"
        for html in (data.get("text/html", "") for data in shown):
            for tag in re.findall(r"<img\b[^>]*>", html):
                assert re.search(r'alt="[^"]+"', tag), tag[:100]
            for tag in re.findall(r'<svg\b[^>]*role="img"[^>]*>', html):
                assert "aria-label" in tag, tag


# Outputs


@each(EXECUTED)
def test_the_cells_were_run_in_order_from_the_first(path):
    code = cells(path, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell.outputs:
            assert output.get("execution_count", cell.execution_count) == cell.execution_count


@each(EXECUTED)
def test_no_output_is_an_error_or_a_warning(path):
    for cell in cells(path, "code"):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source


@each(EXECUTED)
def test_no_output_depends_on_the_machine_or_the_moment(path):
    for cell in cells(path, "code"):
        text = printed(cell)
        assert not re.search(r"\b\d+(\.\d+)? ?(ns|µs|us|ms|s|sec|secs|seconds?|minutes?)\b", text), text
        assert not re.search(r"\d\d:\d\d:\d\d|\b20\d\d-\d\d-\d\d\b", text), text
        assert not re.search(r" at 0x[0-9a-f]{6,}", text), text
        assert "it/s" not in text, text


@each(EVERY)
def test_no_path_of_a_machine_stands_anywhere(path):
    text = re.sub(r'"image/(png|jpeg)": "[^"]*"', "", path.read_text(encoding="utf-8"))
    machine = (
        r"(?<![\w.])/(work|tmp|home|root|usr|opt|var|Users|mnt|kaggle/working)/|[A-Z]:\\\\|site-packages"
    )
    assert not re.search(machine, text)


@each(EXECUTED)
def test_the_file_is_as_the_workshop_writes_it(path):
    """No volatile metadata, so that running a notebook again changes nothing but what is really new."""
    assert path.read_text(encoding="utf-8") == notebooks.as_text(notebooks.tidy(notebooks.read(path)))


# The student's copies


def test_the_exercise_copies_are_fresh():
    stale = [name(path) for path in notebooks.write_exercises(check=True)]
    assert not stale, f"stale: {stale}. Run `python tools/notebooks.py exercises`."


@each(EXERCISES)
def test_an_exercise_copy_holds_no_output_and_no_solution(path):
    master = notebooks.read(notebooks.SOLUTIONS / path.name)
    copy = notebooks.read(path)
    assert [cell.id for cell in copy.cells] == [cell.id for cell in master.cells]
    text = path.read_text(encoding="utf-8")
    assert "SOLUTION" not in text
    assert "Model answer" not in text
    for cell, solved in zip(copy.cells, master.cells, strict=True):
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        if solved.metadata.get("nbgrader", {}).get("solution"):
            stub = notebooks.CODE_STUB if cell.cell_type == "code" else notebooks.TEXT_STUB
            assert stub.split("\n")[0] in cell.source
            assert cell.source != solved.source
        else:
            assert cell.source == re.sub(r"^# Solutions ", "# Exercises ", solved.source)
    number = int(path.name[:2])
    for page, kind in ((master, "Solutions"), (copy, "Exercises")):
        assert page.cells[0].source.startswith(f"# {kind} {number} · ")


@each(notebooks.solutions())
def test_a_master_satisfies_nbgrader(path):
    from nbgrader.nbgraderformat import MetadataValidator

    MetadataValidator().validate_nb(notebooks.read(path))
    for cell in cells(path, "code"):
        details = cell.metadata.get("nbgrader", {})
        assert bool(details.get("solution")) == (MARKERS[0] in cell.source)
        if details.get("grade"):
            assert details["locked"], "what grades must not be changed by the student"
            assert cell.source.startswith("checks.")


@pytest.mark.slow
def test_nbgrader_hands_out_and_grades_the_masters_as_they_are(tmp_path):
    # nbgrader calls other programs of its environment by their bare names.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def nbgrader(*arguments: str) -> None:
        command = [sys.executable, "-m", "nbgrader", *arguments]
        environment = os.environ | {"PATH": path}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    for folder in ("source/iou", "submitted/ada/iou", "submitted/bob/iou"):
        (tmp_path / folder).mkdir(parents=True)
    master = notebooks.SOLUTIONS / "01_iou.ipynb"
    shutil.copy(master, tmp_path / "source" / "iou" / "iou.ipynb")
    (tmp_path / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'course'\nc.Exchange.root = '.'\n"
    )
    nbgrader("generate_assignment", "iou")
    released = tmp_path / "release" / "iou" / "iou.ipynb"
    assert "YOUR CODE HERE" in released.read_text(encoding="utf-8")

    # Ada hands in the solution, Bob what he was given.
    shutil.copy(master, tmp_path / "submitted" / "ada" / "iou" / "iou.ipynb")
    shutil.copy(released, tmp_path / "submitted" / "bob" / "iou" / "iou.ipynb")
    nbgrader("autograde", "iou")
    nbgrader("export", "--to", "grades.csv")
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as book:
        scores = {s: book.find_submission("iou", s).code_score for s in ("ada", "bob")}
        possible = book.find_assignment("iou").max_code_score
    assert scores == {"ada": possible, "bob": 0}


# Running them


def run(path: Path, folder: Path) -> list[NotebookNode]:
    target = folder / path.name
    papermill.execute_notebook(
        str(path),
        str(target),
        cwd=str(path.parent),
        kernel_name="python3",
        progress_bar=False,
        log_output=False,
    )
    executed = [c for c in nbformat.read(target, as_version=4).cells if c.cell_type == "code"]
    assert not [o for c in executed for o in c.outputs if o.get("name") == "stderr"]
    return executed


def verdicts(executed: list[NotebookNode]) -> list[str]:
    return [printed(cell).strip() for cell in executed if cell.source.startswith("checks.")]


# `make test` has nbval run every chapter and every solution, and compare what they print. Papermill, which
# hosted notebooks are often run with, goes through those on data and training, where less can be compared.
@each([path for path in notebooks.chapters() if path.name[:2] in ("11", "12", "13", "14")])
def test_a_chapter_runs(path, tmp_path):
    executed = run(path, tmp_path)
    assert [cell.execution_count for cell in executed] == list(range(1, len(executed) + 1))


@each(notebooks.solutions())
def test_a_solution_passes_every_check(path):
    asked = [cell for cell in cells(path, "code") if cell.source.startswith("checks.")]
    assert not [cell.source for cell in asked if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    said = verdicts(asked)
    assert len(said) >= 6
    assert all(text.startswith("✓") for text in said), said


@each(EXERCISES)
def test_an_untouched_exercise_runs_to_its_end(path, tmp_path):
    said = verdicts(run(path, tmp_path))
    assert len(said) >= 6
    assert all(text.startswith("○") and "not attempted" in text for text in said), said


# The workshop itself


def make_notebook(folder: Path, *sources: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    path = folder / "some.ipynb"
    path.write_text(notebooks.as_text(notebook), encoding="utf-8")
    return path


def test_running_twice_gives_the_same_bytes(tmp_path):
    path = make_notebook(
        tmp_path, "import sys\nfor i in range(3):\n    print(i, flush=True)", "1 + 1", "1 + 1"
    )
    notebooks.run(path)
    first = path.read_bytes()
    notebooks.run(path)
    assert path.read_bytes() == first
    ran = notebooks.read(path)
    assert [cell.execution_count for cell in ran.cells] == [1, 2, 3]
    assert [output.text for output in ran.cells[0].outputs] == ["0\n1\n2\n"]
    assert len({cell.id for cell in ran.cells}) == 3
    assert set(ran.metadata) == {"kernelspec", "language_info"}
    assert all("execution" not in cell.metadata for cell in ran.cells)


@pytest.mark.parametrize(
    "source",
    ["1 / 0", "import warnings\nwarnings.warn('look out')", "import sys\nprint('x', file=sys.stderr)"],
)
def test_a_notebook_that_fails_or_warns_stays_as_it_was(source, tmp_path):
    path = make_notebook(tmp_path, "1 + 1", source)
    before = path.read_bytes()
    with pytest.raises(notebooks.NotebookFailed, match=r"some\.ipynb"):
        notebooks.run(path)
    assert path.read_bytes() == before


def test_a_notebook_runs_in_its_own_folder(tmp_path):
    path = make_notebook(tmp_path, "from pathlib import Path\nPath('here').touch()")
    notebooks.run(path)
    assert (tmp_path / "here").exists()


PERCENT = '''\
# %% [markdown]
# # Title
#
# Some $x^2$.

# %% tags=["setup"]
device = notebook.setup(seed=0, needs_gpu=True)

# %% solution="9-1"
def my_answer():
    """What it does."""
    ### BEGIN SOLUTION
    return 42
    ### END SOLUTION

# %% check="9-1" points=2
my_answer()

# %% [markdown] solution="9-2" points=3
# Because.
'''


def test_a_notebook_is_written_as_plain_python(tmp_path):
    source, target = tmp_path / "some.py", tmp_path / "some.ipynb"
    source.write_text(PERCENT, encoding="utf-8")
    assert notebooks.main(["from-py", str(source), str(target)]) == 0
    made = notebooks.read(target)
    nbformat.validate(made)
    assert [cell.cell_type for cell in made.cells] == ["markdown", "code", "code", "code", "markdown"]
    assert made.cells[1].source == notebooks.SETUP_GPU
    kinds = [(c.metadata.nbgrader.solution, c.metadata.nbgrader.grade) for c in made.cells[2:]]
    assert kinds == [(True, False), (False, True), (True, True)]
    assert [cell.metadata.nbgrader.get("points") for cell in made.cells[2:]] == [None, 2, 3]

    back, again = tmp_path / "back.py", tmp_path / "again.ipynb"
    assert notebooks.main(["to-py", str(target), str(back)]) == 0
    assert notebooks.main(["from-py", str(back), str(again)]) == 0
    assert again.read_bytes() == target.read_bytes()


def test_a_student_copy_keeps_all_but_the_solution(tmp_path):
    source, target = tmp_path / "some.py", tmp_path / "some.ipynb"
    source.write_text(PERCENT, encoding="utf-8")
    notebooks.from_py(source, target)
    master = notebooks.read(target)
    copy = notebooks.student_copy(master)
    assert copy.cells[2].source == 'def my_answer():\n    """What it does."""\n    # YOUR CODE HERE\n    pass'
    assert copy.cells[4].source == notebooks.TEXT_STUB
    assert copy.cells[3].metadata.editable is False
    assert "42" in master.cells[2].source, "the master itself must not change"
    assert json.loads(notebooks.as_text(copy)) == json.loads(
        notebooks.as_text(notebooks.student_copy(master))
    )


def test_a_stale_or_orphaned_copy_is_found_and_mended(tmp_path, monkeypatch, capsys):
    solved, copies = tmp_path / "solutions", tmp_path / "exercises"
    solved.mkdir()
    source = tmp_path / "some.py"
    source.write_text(PERCENT, encoding="utf-8")
    notebooks.from_py(source, solved / "01_some.ipynb")
    for attribute, value in (("ROOT", tmp_path), ("SOLUTIONS", solved), ("EXERCISES", copies)):
        monkeypatch.setattr(notebooks, attribute, value)

    assert notebooks.main(["exercises", "--check"]) == 1
    assert not copies.exists(), "checking writes nothing"
    assert notebooks.main(["exercises"]) == 0
    assert notebooks.main(["exercises", "--check"]) == 0

    (copies / "02_gone.ipynb").write_text("{}")
    fresh = (copies / "01_some.ipynb").read_text(encoding="utf-8")
    (copies / "01_some.ipynb").write_text(fresh.replace("YOUR CODE HERE", "my code"), encoding="utf-8")
    capsys.readouterr()
    assert notebooks.main(["exercises", "--check"]) == 1
    assert capsys.readouterr().out.split() == [
        "stale:",
        "exercises/01_some.ipynb",
        "stale:",
        "exercises/02_gone.ipynb",
    ]
    assert notebooks.main(["exercises"]) == 0
    assert notebooks.main(["exercises", "--check"]) == 0
    assert [path.name for path in copies.iterdir()] == ["01_some.ipynb"]
