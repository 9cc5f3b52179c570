"""The checkers: each passes the master's solution, leaves the stub alone, and rejects every wrong answer.

The wrong answers stand in ``mutants/``.
"""

import importlib
import inspect
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from mutants import CHAPTERS, MUTANTS, WRITTEN
from torch import tensor

from yolov3_lib import boxes as boxes_lib
from yolov3_lib import checks
from yolov3_lib import nms as nms_lib
from yolov3_lib.checks import drawing, values
from yolov3_lib.checks import student as guard

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def check(checker: str, function) -> checks.Verdict:
    return getattr(checks, checker)(function, **WRITTEN[checker][2])


def code_cells(folder: str, chapter: str) -> list:
    notebook = nbformat.read(NOTEBOOKS / folder / f"{chapter}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def namespace(folder: str, chapter: str) -> dict:
    """What a notebook defines: its imports, the functions that it hands out, and the solution cells."""
    names: dict = {}
    _setup, imports, *rest = code_cells(folder, chapter)
    exec(imports.source, names)
    for cell in rest:
        if cell.metadata.get("nbgrader", {}).get("solution", False):
            exec(cell.source, names)
        elif cell.source.startswith("def "):
            exec(cell.source.split("\n\n\n")[0], names)
    return names


@pytest.fixture(scope="module")
def masters() -> dict[str, dict]:
    return {chapter: namespace("solutions", chapter) for chapter in CHAPTERS}


def solution_source(checker: str) -> str:
    chapter, name, _ = WRITTEN[checker]
    (source,) = (c.source for c in code_cells("solutions", chapter) if c.source.startswith(f"def {name}("))
    return source


def wrong_answer(checker: str, name: str, masters: dict[str, dict]):
    """A mutant as a function, in the master's namespace; ``solution`` is the right one."""
    chapter, function, _ = WRITTEN[checker]
    names = dict(masters[chapter])
    names["solution"] = names[function]
    changes = MUTANTS[checker][name].changes
    if isinstance(changes, str):
        source = inspect.cleandoc(changes)
    else:
        source = solution_source(checker)
        for old, new in changes.items():
            assert old in source, f"the solution of {checker} no longer contains {old!r}"
            source = source.replace(old, new)
    exec(source, names)
    return names[function]


@pytest.mark.parametrize("checker", WRITTEN)
def test_the_solution_passes(checker, masters):
    chapter, name, _ = WRITTEN[checker]
    verdict = check(checker, masters[chapter][name])
    assert verdict.passed, verdict
    assert re.fullmatch(r"✓ .+: all \d+ properties hold\.", repr(verdict))


@pytest.mark.parametrize("checker", WRITTEN)
def test_the_stub_is_not_attempted(checker):
    chapter, name, _ = WRITTEN[checker]
    verdict = check(checker, namespace("exercises", chapter)[name])
    assert not verdict.attempted
    assert not verdict.passed
    assert repr(verdict).startswith("○ ")
    assert "not attempted" in repr(verdict)


@pytest.mark.parametrize(("checker", "name"), [(c, name) for c, bank in MUTANTS.items() for name in bank])
def test_a_wrong_answer_is_caught_by_the_property_whose_hint_helps(checker, name, masters):
    verdict = check(checker, wrong_answer(checker, name, masters))
    assert verdict.attempted
    assert not verdict.passed, f"{checker} accepts {name!r}"
    assert verdict.failures[0].name == MUTANTS[checker][name].caught_by, verdict
    assert re.search(r"\n  (smallest case found|the case):\s", repr(verdict))
    assert "\n  Hint: " in repr(verdict)


def test_the_bank_holds_at_least_five_wrong_answers_an_exercise():
    assert set(MUTANTS) == set(WRITTEN)
    assert all(len(bank) >= 5 for bank in MUTANTS.values())


# What a verdict says


def no_clamp(a, b):
    width, height = torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - width * height
    return width * height / union


def test_a_failure_shows_the_smallest_case_the_hint_and_the_count():
    assert repr(checks.iou(no_clamp)) == (
        "✗ disjoint boxes: expected 0, yours gave 1\n"
        "  smallest case found: A = (0, 0, 1, 1), B = (2, 2, 3, 3)\n"
        "  Hint: look at the sign of the overlap's width and height before you multiply.\n"
        "  9 of 12 properties hold."
    )


def test_the_same_function_gets_the_same_verdict():
    assert len({checks.nms(nms_lib.pairwise_nms)._repr_html_() for _ in range(3)}) == 1


def test_html_holds_the_text_and_a_drawing_with_a_name():
    verdict = checks.iou(no_clamp)
    page = ElementTree.fromstring(verdict._repr_html_())
    assert "\n".join(element.text for element in page.iter("pre")) == repr(verdict)
    (drawing,) = page.iter("{http://www.w3.org/2000/svg}svg")
    assert drawing.get("role") == "img"
    assert drawing.get("aria-label") == "The case, drawn: A (0, 0, 1, 1); B (2, 2, 3, 3)"
    assert [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")] == ["A", "B"]


def test_names_in_a_drawing_stand_side_by_side():
    box = tensor([[0.0, 0, 9, 1]]).repeat(5, 1)
    page = ElementTree.fromstring(drawing.draw_scored(box, torch.arange(5) / 10, kept=[4]))
    names = [e for e in page.iter() if e.tag.endswith("text") and e.text != "4: 0.4"]
    ends = [float(name.get("x")) + 7 * len(name.text) for name in names]
    assert len({name.get("y") for name in names}) == 1
    assert all(float(right.get("x")) > end for end, right in zip(ends, names[1:], strict=False))
    assert float(page.get("width")) > ends[-1]


def test_nothing_to_draw_gives_no_drawing():
    assert drawing.draw([]) == ""


def test_html_escapes_what_the_student_wrote():
    def my_iou(a, b):
        raise ValueError("<script>alert('hello & goodbye')</script>")

    html = checks.iou(my_iou)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    ElementTree.fromstring(html)


def test_a_verdict_without_boxes_has_no_drawing():
    def my_nms(boxes, scores, threshold):
        return nms_lib.nms(boxes, scores, threshold) if len(boxes) else boxes[0]

    verdict = checks.nms(my_nms)
    assert verdict.failures[0].name == "no boxes at all"
    assert "svg" not in verdict._repr_html_()


def everything_printed(checker: str) -> list[str]:
    """All titles, names and hints of the checkers of a checker's chapter."""
    texts = []
    for chapter in checks._CHAPTERS:
        module = importlib.import_module(f"yolov3_lib.checks.{chapter}")
        if checker not in {each.__name__ for each in module.CHECKERS}:
            continue
        held = [value for value in vars(module).values() if isinstance(value, dict)]
        values = [*vars(module).values(), *(value for table in held for value in table.values())]
        exercises = [value for value in values if isinstance(value, checks.Exercise)]
        for exercise in exercises:
            texts.append(exercise.title)
            texts += [text for prop in exercise.properties for text in (prop.name, prop.hint)]
        for questions in (*module.ANSWERS.values(), *module.PREDICTIONS.values()):
            for question in questions:
                texts += [question.name, question.hint, *(slip.hint for slip in question.slips)]
        for slips in (getattr(module, "_IOU_SLIPS", ()), getattr(module, "_GIOU_SLIPS", ())):
            texts += [hint for _, hint in slips]
        for hunt in module.EXAMPLES.values():
            texts += [hunt.claim, hunt.hint]
    return texts


@pytest.mark.parametrize("checker", WRITTEN)
def test_no_text_gives_a_line_or_a_function_of_the_solution_away(checker):
    texts = everything_printed(checker)
    assert len(texts) > 20
    lines = [line.split("#")[0].strip() for line in solution_source(checker).splitlines()[2:]]
    called = {name for line in lines for name in re.findall(r"\b(\w{4,})\(", line)}
    called -= {"append", "float", "list", "range", "prod", "enclosing", "min"}  # plain words
    for text in texts:
        assert not [line for line in lines if len(line) > 12 and line in text]
        assert not [name for name in called if re.search(rf"\b{name}\b", text)]


def test_checking_leaves_no_trace(capsys, tmp_path, monkeypatch):
    def chatty(a, b):
        print("here I am")
        return boxes_lib.iou(a, b)

    def draw() -> tuple:
        return torch.rand(1).item(), random.random(), np.random.rand()  # noqa: NPY002  what setup seeds

    def seed() -> None:
        for seed_generator in (torch.manual_seed, random.seed, np.random.seed):
            seed_generator(1)

    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    seed()
    expected = draw()
    seed()
    assert checks.iou(chatty).passed
    assert draw() == expected
    assert torch.get_num_threads() == threads
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


# What students hand in


def python_iou(a, b):
    ax1, ay1, ax2, ay2 = a.tolist()
    bx1, by1, bx2, by2 = b.tolist()
    width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    if width <= 0 or height <= 0:
        return 0
    shared = width * height
    return shared / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared)


@pytest.mark.parametrize(
    "right_answer",
    [
        python_iou,
        lambda a, b: np.float32(python_iou(a, b)),
        lambda a, b: tensor(python_iou(a, b), dtype=torch.float64),
        lambda a, b, epsilon=0.0: boxes_lib.iou(a, b),
        lambda *both: boxes_lib.iou(*both),
    ],
)
def test_other_right_answers_pass(right_answer):
    assert checks.iou(right_answer).passed


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda a, b: "0.5", "expected one number, yours gave a str"),
        (lambda a, b: boxes_lib.iou(a, b)[None].numpy(), "expected one number, yours gave an ndarray"),
        (lambda a, b: boxes_lib.iou(a, b)[None], "yours gave a tensor of shape (1,) and dtype float32"),
        (lambda a, b: (boxes_lib.iou(a, b), 1), "expected one number, yours gave a tuple"),
        (lambda a, b: boxes_lib.iou(a, b) > 0.5, "yours gave a tensor of shape () and dtype bool"),
        (lambda a, b: boxes_lib.iou(a, b) * float("nan"), "yours gave nan"),
        (lambda a, b: 1 / 0, "yours stopped with ZeroDivisionError: division by zero"),
        (lambda a, b: python_iou(a), "missing 1 required positional argument: 'b'"),
        (lambda a: 1.0, "expected a function of (A, B), yours is <lambda>(a)"),
        (0.25, "a function is wanted, yours is 0.25"),
        (tensor(0.25), "a function is wanted, yours is 0.25"),
    ],
)
def test_a_wrong_kind_of_answer_is_told_in_plain_words(answer, message):
    verdict = checks.iou(answer)
    assert not verdict.passed
    assert message in repr(verdict)
    assert "Hint: " in repr(verdict)


@pytest.mark.parametrize(
    ("checker", "answer", "hint"),
    [
        ("iou", lambda a, b: 100 * boxes_lib.iou(a, b), "in percent"),
        ("iou", lambda a, b: round(boxes_lib.iou(a, b).item(), 2), "rounded"),
        ("iou", lambda a, b: int(boxes_lib.iou(a, b)), "a whole number came"),
        ("iou", lambda a, b: boxes_lib.intersection(a, b) / (boxes_lib.area(a) + boxes_lib.area(b)), "twice"),
        ("giou", lambda a, b: 1 - boxes_lib.giou(a, b), "1 − GIoU"),
        ("giou", boxes_lib.iou, "the IoU alone"),
        ("giou", boxes_lib.diou, "that is DIoU"),
    ],
)
def test_a_known_slip_is_named(checker, answer, hint):
    assert hint in repr(check(checker, answer)).split("Hint: ")[1]


def test_counts_in_another_order_and_a_memory_between_calls_are_told(masters):
    right = masters["01_iou"]["my_count"]
    assert "in another order" in repr(checks.count_matches(lambda *case: right(*case)[::-1]))
    taken = set()

    def my_count(detections, truths, threshold):
        taken.update(range(right(detections, truths, threshold)[0]))
        return len(taken), len(detections) - len(taken), len(truths) - len(taken)

    assert "when called on the same image once more" in repr(checks.count_matches(my_count))


def test_an_exception_names_the_students_own_line():
    def my_nms(boxes, scores, threshold):
        first = scores.argsort()[0]
        return [int(boxes[first][7])]

    verdict = checks.nms(my_nms)
    assert "yours stopped with IndexError" in repr(verdict)
    assert "in the line: return [int(boxes[first][7])]" in repr(verdict)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda boxes, scores, t: boxes, "yours gave boxes"),
        (lambda boxes, scores, t: scores > 0, "yours gave a mask"),
        (lambda boxes, scores, t: [len(boxes)], "yours gave the index 1, but there are 1 boxes"),
        (lambda boxes, scores, t: [-1] * len(boxes), "yours gave the index -1"),
        (lambda boxes, scores, t: 0, "as a list or a tensor; yours gave an int"),
        (lambda boxes, scores, t: [float("nan")], "whole numbers; yours gave nan"),
        (lambda boxes, scores, t: scores[:, None], "in one dimension, yours gave a tensor of shape"),
        (lambda boxes, scores, t: ["0"], "an index in each place, yours gave a str"),
        (lambda boxes, scores, t: [0.0] * len(boxes), "as integers; yours gave 0.0"),
        (lambda boxes, scores, t: scores * 0, "as integers; yours gave 0.0"),
        (lambda boxes, scores, t: (boxes[:1], scores[:1]), "the boxes that stay alone, yours gave 2 things"),
    ],
)
def test_a_wrong_kind_of_index_is_told_in_plain_words(answer, message):
    verdict = checks.nms(answer)
    assert not verdict.passed
    assert message in repr(verdict)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda boxes, scores, t: boxes, "expected two things, the indices and their new scores"),
        (
            lambda boxes, scores, t: ([0], 0.5),
            "expected 1 new scores, one for each index; yours gave a float",
        ),
        (lambda boxes, scores, t: ([0], []), "expected 1 new scores, one for each index; yours gave 0"),
    ],
)
def test_a_wrong_kind_of_rescoring_is_told_in_plain_words(answer, message):
    assert message in repr(checks.soft_nms(answer))


def test_indices_may_be_a_list_or_a_tensor_of_any_whole_kind():
    kinds = (
        tuple,
        tensor,
        lambda kept: list(np.array(kept, dtype=int)),
        lambda kept: list(map(tensor, kept)),
    )
    for kind in kinds:
        assert checks.nms(lambda *case, kind=kind: kind(nms_lib.nms(*case).tolist())).passed


def always_at_045(boxes, scores, threshold):
    return nms_lib.nms(boxes, scores, 0.45)


def by_index(boxes, scores, threshold):
    return nms_lib.nms(boxes, scores, threshold).sort().values


def twice_the_best(boxes, scores, threshold):
    kept = nms_lib.nms(boxes, scores, threshold).tolist()
    return kept[:1] + kept if len(kept) > 1 else kept


def one_by_one(boxes, scores, threshold):
    return [0] if boxes_lib.pairwise_iou(boxes[0], boxes[0]) > threshold else []


def overlapping_itself(boxes, scores, threshold):
    kept, candidates = [], scores.argsort(descending=True, stable=True)
    while len(candidates):
        kept.append(int(candidates[0]))
        overlap = boxes_lib.pairwise_iou(boxes[kept[-1:]], boxes[candidates])[0]
        candidates = candidates[overlap <= threshold]
    return kept


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (always_at_045, "does your function use the threshold that it is given?"),
        (by_index, "these are the right boxes; now the best first."),
        (twice_the_best, "is it a place in the whole list, or among those that are left?"),
        (one_by_one, "`pairwise_iou` wants (N, 4) and (M, 4)"),
        (overlapping_itself, "does the best box leave the list by itself"),
        (nms_lib.pairwise_nms, "a box that has been removed is out of the game."),
    ],
)
def test_the_hint_fits_the_kind_of_mistake(answer, hint):
    assert checks.nms(answer).failures[0].hint.startswith(hint)


def test_a_score_that_has_sunk_is_named():
    def my_soft_nms(boxes, scores, threshold):
        kept, new = nms_lib.soft_nms(boxes, scores, "linear", iou_threshold=threshold, score_threshold=0)
        return kept.tolist(), new.tolist()

    assert re.search(
        r"the score of box \d has sunk to 0\.000\d+: is it still in the list\?",
        repr(checks.soft_nms(my_soft_nms)),
    )


def test_all_pairs_may_be_asked_for_in_another_format():
    def centers_and_sizes(a, b):
        return boxes_lib.pairwise_iou(*(boxes_lib.convert(part, "cxcywh", "xyxy") for part in (a, b)))

    assert checks.pairwise_iou(boxes_lib.pairwise_iou).passed
    assert checks.pairwise_iou(centers_and_sizes, source="cxcywh").passed
    assert not checks.pairwise_iou(boxes_lib.pairwise_iou, source="xywh").passed


@pytest.mark.parametrize("blank", [None, ..., NotImplemented, (..., ...), (None, ...)])
def test_what_an_unwritten_function_gives_counts_as_not_attempted(blank):
    for checker in WRITTEN:
        assert not check(checker, lambda *case, blank=blank: blank).attempted


@pytest.mark.parametrize("blank", [None, ...])
def test_no_function_at_all_counts_as_not_attempted(blank):
    assert not checks.iou(blank).attempted


def test_an_unwritten_function_may_raise_not_implemented_error():
    def my_iou(a, b):
        raise NotImplementedError

    assert not checks.iou(my_iou).attempted


def test_a_forgotten_return_on_one_path_is_a_failure():
    def my_iou(a, b):
        if boxes_lib.iou(a, b) > 0:
            return boxes_lib.iou(a, b)

    verdict = checks.iou(my_iou)
    assert verdict.attempted
    assert "yours gave nothing back (None)" in repr(verdict)
    assert "return" in verdict.failures[0].hint


@pytest.mark.skipif(sys.platform == "win32", reason="no timers there")
def test_an_endless_loop_is_stopped_and_told(monkeypatch):
    monkeypatch.setattr(guard, "SECONDS_A_CALL", 0.2)

    def my_nms(boxes, scores, threshold):
        kept = []
        while len(boxes) > 1:
            kept.append(0)
        return nms_lib.nms(boxes, scores, threshold)

    verdict = checks.nms(my_nms)
    assert repr(verdict).startswith("✗ two boxes: yours was still running after 0.2 seconds\n  the case:")
    assert "does every turn of your loop bring it closer to its end?" in repr(verdict)
    assert len(verdict.failures) == 1


def test_a_slow_function_is_stopped_between_calls(monkeypatch):
    monkeypatch.setattr(guard, "SECONDS_A_CHECK", -1.0)
    assert "yours needed more than -1 seconds for all cases together" in repr(checks.iou(boxes_lib.iou))


def test_a_function_that_changes_its_mind_gets_a_verdict():
    calls = []

    def my_iou(a, b):
        calls.append(1)
        return boxes_lib.iou(a, b) + (len(calls) % 7 == 0)

    verdict = checks.iou(my_iou)
    assert not verdict.passed
    assert "a case on which it fails now and then" in repr(verdict)


# Answers, predictions, counterexamples


def test_the_masters_answers_hold(masters):
    iou, nms = masters["01_iou"], masters["02_nms"]
    by_hand = [iou[f"answer_{i}"] for i in range(1, 6)]
    assert checks.answer("1.1", *by_hand).passed
    assert checks.prediction("1.1", iou["my_guess"]).passed
    assert checks.counterexample("1.3", iou["late_iou"], iou["box_a"], iou["box_b"]).passed
    assert checks.iou(iou["mended_iou"]).passed

    assert checks.answer("2.1", nms["iou_of_a_and_b"], nms["greedy"], nms["by_pairs"]).passed
    assert checks.prediction("2.1", nms["my_guess"]).passed
    found = [nms[name] for name in ("some_boxes", "some_scores", "some_threshold")]
    assert checks.counterexample("2.3", nms["leaky_nms"], *found).passed
    assert checks.nms(nms["mended_nms"]).passed
    found = [nms[name] for name in ("my_boxes", "my_scores", "low", "high")]
    assert checks.counterexample("2.5", *found).passed


def test_the_bugs_to_find_are_bugs(masters):
    assert checks.iou(masters["01_iou"]["late_iou"]).failures[0].name == "disjoint boxes"
    assert not checks.nms(masters["02_nms"]["leaky_nms"]).passed


def test_answers_not_given_are_not_attempted():
    assert not checks.answer("1.1", *[...] * 5).attempted
    assert not checks.prediction("1.1", ...).attempted
    assert not checks.prediction("2.1").attempted
    assert not checks.counterexample("1.3", no_clamp, ..., ...).attempted
    assert not checks.counterexample("2.5", ..., ..., ..., ...).attempted


RIGHT = {"1.1": (12, 36, 1 / 3, 0.25, 0.68), "2.1": (0.54, "A C E", "A E")}
SLIPS = [
    ("1.1", 0, 24, "one whole box"),
    ("1.1", 0, 11, "where does the shared part begin"),
    ("1.1", 1, 48, "twice"),
    ("1.1", 1, 72, "everything that at least one of the two covers"),
    ("1.1", 2, 0.5, "one half"),
    ("1.1", 3, 0.5, "how many times the area"),
    ("1.1", 3, 4, "A lies inside the large box"),
    ("1.1", 4, 0.81, "shared part of one box"),
    ("2.1", 0, 0.7, "shared part of one box"),
    ("2.1", 1, "A E", "other rule"),
    ("2.1", 1, "A C D", "come before E in score"),
    ("2.1", 1, "B", "cross out"),
    ("2.1", 2, "A C E", "greedy result"),
]


@pytest.mark.parametrize(("exercise", "place", "value", "hint"), SLIPS)
def test_a_slip_gets_its_own_hint_and_the_answer_stays_hidden(exercise, place, value, hint):
    given = list(RIGHT[exercise])
    right, given[place] = given[place], value
    text = repr(checks.answer(exercise, *given))
    assert f"{values.show(value)} isn't it" in text
    shown = text.split("\n")[1]
    assert shown.startswith("  Hint: ")
    assert hint in shown
    if isinstance(right, str):
        assert right not in shown
        assert right.replace(" ", "") not in shown
    else:
        assert values.number(right, 2) not in re.findall(r"[\d.]+", shown)
    assert f"{len(given) - 1} of {len(given)} answers hold." in text


def test_answers_may_be_written_in_several_ways():
    assert checks.answer("1.1", 12.0, tensor(36), Fraction(1, 3), np.float32(0.25), 81 / 119).passed
    assert checks.answer("2.1", Fraction(7, 13), ["E", "A", "C"], "a, e").passed


def test_an_answer_of_the_wrong_kind_is_told():
    assert "expected a number, yours gave a str" in repr(checks.answer("1.1", "12", 36, 1 / 3, 0.25, 0.68))
    assert "expected the letters of the boxes" in repr(checks.answer("2.1", 0.54, [0, 2, 4], "A E"))
    some = checks.answer("1.1", 12, ..., 1 / 3, 0.25, 0.68)
    assert not some.attempted
    assert repr(some).startswith("○ ")
    assert "Not answered yet: union." in repr(some)
    some = checks.answer("1.1", 12, ..., 33, 0.25, 0.68)
    assert repr(some).startswith("✗ IoU: 33 isn't it\n  Hint: give it as a fraction of 1")
    assert "3 of 5 answers hold." in repr(some)
    assert "5 answers are wanted, 2 came" in repr(checks.answer("1.1", 12, 36))


def test_a_wrong_prediction_says_so_and_keeps_the_right_one_to_itself():
    text = repr(checks.prediction("1.1", 0.5))
    assert "0.5 isn't it" in text
    assert "0.33" not in text
    assert "Keep your answer and calculate on" in text


def late_clamp(a, b):
    width, height = torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])
    intersection = (width * height).clamp(min=0)
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - intersection
    return intersection / union if union > 0 else 0.0


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([0, 0, 2, 2], [1, 1, 3, 3], "on these two boxes the function is right"),
        ([0, 0, 2, 2], [5, 5, 3, 3], "that can't be tried: B: x2 (3"),
        ([0, 0, 2], [5, 5, 3, 3], "A should be one box"),
        ([0, 0, 2, 2], [3, 3, 2, 2], "are its corners, not a corner, a width and a height"),
        ([0, 0, 2, 2], [9, 9, 11, 11], "Move them closer"),
        ([0, 0, 2, 2], 7, "B should be one box"),
    ],
)
def test_an_example_that_refutes_nothing_is_told_why(a, b, message):
    for form in (list, tuple, tensor):
        boxes = (form(box) if isinstance(box, list) else box for box in (a, b))
        assert message in repr(checks.counterexample("1.3", late_clamp, *boxes))


TWO = [[0, 0, 9, 1], [3, 0, 12, 1]]


@pytest.mark.parametrize(
    ("boxes", "scores", "low", "high", "message"),
    [
        (TWO, [0.9, 0.8], 0.4, 0.6, "no box is lost: 1 stay at the lower threshold"),
        (TWO, [0.9, 0.8], 0.6, 0.4, "the lower one first"),
        (TWO, [0.9, 0.9], 0.4, 0.6, "two scores are equal"),
        (TWO, [0.9], 0.4, 0.6, "one number for each box"),
        (TWO[0], [0.9], 0.4, 0.6, "a tensor of rows"),
        ([[5, 5, 3, 3]], [0.9], 0.4, 0.6, "written as corners"),
    ],
)
def test_a_claim_about_thresholds_needs_a_real_counterexample(boxes, scores, low, high, message):
    verdict = checks.counterexample("2.5", tensor(boxes).float(), tensor(scores), low, high)
    assert not verdict.passed
    assert message in repr(verdict)
    assert repr(checks.counterexample("2.5", boxes, scores, low, high)) == repr(verdict)


@pytest.mark.parametrize("size", [0.5, 1.0, 2.0])
def test_a_walk_that_would_never_end_is_no_counterexample(size, masters):
    eager_step = masters["17_line_search"]["eager_step"]
    assert not checks.counterexample("17.3", eager_step, 1.0, size).passed


def test_scored_boxes_may_be_lists():
    def last_only(boxes, scores, threshold):
        return [len(boxes) - 1]

    assert checks.counterexample("2.3", last_only, TWO, (0.9, 0.8), 0.6).passed
    ragged = checks.counterexample("2.3", last_only, [[0, 0, 1], [0]], [0.9, 0.8], 0.6)
    assert "that can't be tried" in repr(ragged)


@pytest.mark.parametrize("ask", [checks.answer, checks.prediction, checks.counterexample])
def test_an_unknown_exercise_is_a_mistake_of_the_notebook(ask):
    with pytest.raises(KeyError, match=r"no exercise '9\.9'"):
        ask("9.9", 1)


# Around it


def test_nbgrader_gets_the_exceptions_that_it_counts(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert checks.iou(boxes_lib.iou).passed
    with pytest.raises(AssertionError, match="disjoint boxes"):
        checks.iou(no_clamp)
    with pytest.raises(AssertionError, match="not attempted"):
        checks.iou(...)
    with pytest.raises(AssertionError, match="not attempted"):
        checks.answer("1.1", *[...] * 5)
    assert not checks.prediction("1.1", 0.5).passed


def test_a_verdict_is_true_when_it_is_passed():
    assert checks.iou(boxes_lib.iou)
    assert not checks.iou(no_clamp)
    assert not checks.iou(...)


def test_without_hypothesis_the_import_says_what_to_do():
    code = "import sys; sys.modules['hypothesis'] = None; import yolov3_lib.checks"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode != 0
    assert "pip install hypothesis" in run.stderr


def test_values_are_shown_with_the_digits_that_matter():
    assert values.numbers_apart(1 / 3, 0.33334) == ("0.33333", "0.33334")
    assert values.numbers_apart(0, 1) == ("0", "1")
    assert values.number(-0.0) == "0"
    assert values.show(tensor([[0.0, 0.5, 1, 2]])) == "[(0, 0.5, 1, 2)]"
    assert values.show(tensor([0.25, 0.5])) == "(0.25, 0.5)"
    assert values.show("x" * 100).endswith("…")
