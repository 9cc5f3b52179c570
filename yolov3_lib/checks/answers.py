"""Answers by hand, predictions, and counterexamples that the student finds.

What is right is computed with the library when it is asked for, and never printed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from numpy import ndarray
from torch import tensor

from yolov3_lib.checks.demands import as_number
from yolov3_lib.checks.engine import Failure, Verdict, report
from yolov3_lib.checks.student import Fault, is_blank
from yolov3_lib.checks.values import kind, number, show


@dataclass(frozen=True)
class Slip:
    """A wrong answer that shows which step went wrong.

    Attributes:
        value: computes the answer that the slip leads to.
        hint: where to look after that slip.
    """

    value: Callable[[], object]
    hint: str


@dataclass(frozen=True)
class Question:
    """One answer that the student works out: a number, or letters of boxes such as ``"A C"``.

    Attributes:
        name: what is asked, such as "union".
        expected: computes the right answer.
        hint: where to look.
        slips: wrong answers with a hint of their own.
        tolerance: how far off a number may be; answers are rounded by hand.
    """

    name: str
    expected: Callable[[], object]
    hint: str
    slips: tuple[Slip, ...] = ()
    tolerance: float = 0.005

    def judge(self, value: object) -> Failure | None:
        """What is wrong with an answer, or None."""
        expected = self.expected()
        try:
            given = _letters(value) if isinstance(expected, str) else _value(value)
        except Fault as fault:
            return Failure(self.name, fault.message, fault.hint or self.hint)
        if self._same(given, expected):
            return None
        hint = next((slip.hint for slip in self.slips if self._same(given, slip.value())), None)
        if (
            hint is None
            and isinstance(given, float)
            and 0 < expected < 1
            and self._same(given / 100, expected)
        ):
            hint = "give it as a fraction of 1, not in percent."
        return Failure(self.name, f"{_as_given(value)} isn't it", hint or self.hint)

    def _same(self, given: object, expected: object) -> bool:
        if isinstance(expected, str):
            return given == _letters(expected)
        return abs(given - expected) <= self.tolerance


@dataclass(frozen=True)
class Hunt:
    """A claim to refute by an example.

    Attributes:
        claim: what is claimed, and is wrong.
        judge: given the student's example, says why it refutes nothing; None where it does.
        hint: where to look.
    """

    claim: str
    judge: Callable[..., str | None]
    hint: str


def _as_given(value: object) -> str:
    """A number with more digits than elsewhere: rounded, a wrong answer could look like the right one."""
    return number(value, 10) if isinstance(value, int | float) else show(value)


def judge_answers(exercise: str, questions: tuple[Question, ...], values: tuple[object, ...]) -> Verdict:
    """The verdict on the answers to an exercise's questions, in their order."""
    return report(_judge(exercise, questions, values))


def judge_prediction(exercise: str, questions: tuple[Question, ...], values: tuple[object, ...]) -> Verdict:
    """Whether a prediction came true. A wrong one is no failure: it is told, and the next cell shows why."""
    if not values or any(is_blank(value) for value in values):
        note = "Commit to an answer before you run on."
        return Verdict(f"Exercise {exercise}", len(questions), attempted=False, note=note)
    verdict = _judge(exercise, questions, values)
    note = (
        ""
        if verdict.passed
        else "Keep your answer and calculate on; then find the step where your picture differed."
    )
    return replace(verdict, note=note, success="your prediction comes true")


def _judge(exercise: str, questions: tuple[Question, ...], values: tuple[object, ...]) -> Verdict:
    title, total = f"Exercise {exercise}", len(questions)
    if len(values) != total:
        names = ", ".join(question.name for question in questions)
        problem = Failure(
            title, f"{total} answers are wanted, {len(values)} came", f"in this order: {names}."
        )
        return Verdict(title, 1, (problem,))
    if all(is_blank(value) for value in values):
        return Verdict(title, total, attempted=False)
    given, blank = [], []
    for question, value in zip(questions, values, strict=True):
        (blank if is_blank(value) else given).append((question, value))
    failures = tuple(failure for question, value in given if (failure := question.judge(value)))
    note = f"Not answered yet: {', '.join(question.name for question, _ in blank)}." if blank else ""
    if blank and not failures:
        held = f"{len(given)} of {total} answers hold"
        return Verdict(f"{title}, {held}; the rest", total, attempted=False, note=note)
    unanswered = tuple(Failure(question.name, "not answered yet", question.hint) for question, _ in blank)
    return Verdict(title, total, failures + unanswered, unit="answers", note=note)


def judge_example(exercise: str, hunt: Hunt, example: tuple[object, ...]) -> Verdict:
    """The verdict on an example that should refute a claim."""
    title = f"Exercise {exercise}"
    if any(is_blank(value) for value in example):
        return report(Verdict(title, 1, attempted=False))
    hint = hunt.hint
    try:
        problem = hunt.judge(*map(_as_tensor, example))
    except Fault as fault:
        problem, hint = fault.message, fault.hint or hint
    except (TypeError, ValueError, IndexError) as error:
        problem, hint = f"that can't be tried: {error}", "first mend how the example is written."
    failures = (Failure(title, problem, hint),) if problem else ()
    return report(Verdict(title, 1, failures, success=f"your example refutes “{hunt.claim}”"))


def _as_tensor(value: object) -> object:
    """Boxes and scores written as lists, tuples or numpy arrays, as a tensor; anything else as it is."""
    return tensor(value).float() if isinstance(value, list | tuple | ndarray) else value


def _value(value: object) -> float:
    if isinstance(value, str):
        raise Fault("expected a number, yours gave a str", "write the number without quotation marks.")
    return float(value) if isinstance(value, Fraction) else as_number(value, "a number")


def _letters(value: object) -> str:
    """The letters of an answer, sorted: "C, A" and ["A", "C"] are the same set of boxes."""
    if isinstance(value, (list, tuple, set)) and all(isinstance(part, str) for part in value):
        value = "".join(value)
    if not isinstance(value, str):
        raise Fault(f"expected the letters of the boxes, such as 'A C', yours is {kind(value)}")
    return "".join(sorted({letter for letter in value.upper() if letter.isalpha()}))
