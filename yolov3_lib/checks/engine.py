"""The engine of the checkers: an exercise is a list of properties, and a verdict says which of them hold.

Hypothesis looks for a case on which a property fails, and shrinks it to the smallest one. It runs
derandomized and keeps no database, so that the same function gets the same verdict every time.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

# Hypothesis keeps notes on disk. Beside a notebook they would be litter.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir(), "hypothesis")))

try:
    from hypothesis import Phase, find, settings
    from hypothesis.errors import Flaky, NoSuchExample
    from hypothesis.strategies import SearchStrategy
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "The exercise checkers need the package hypothesis. Run `pip install hypothesis`; on Kaggle, "
        "first turn on Internet in the notebook's settings.",
        name="hypothesis",
    ) from error

from yolov3_lib.checks.student import Case, Fault, Student, quiet_calls
from yolov3_lib.checks.values import show

SEARCH = settings(derandomize=True, database=None, deadline=None, phases=(Phase.generate,))
PASSED, FAILED, OPEN = "✓", "✗", "○"
WIDEST_LINE = 100
BY_ITSELF = "call your function on this case by itself, and look at what comes back."


@dataclass(frozen=True)
class Property:
    """One thing that a right answer does.

    Attributes:
        name: what it is about, in the student's words, such as "disjoint boxes".
        cases: a strategy that draws the arguments of one call, as a tuple.
        check: given the student's function and a case, says what is wrong, or gives None where nothing is.
        hint: where to look; never what to write.
        tries: how many cases are drawn.
        endless: where to look if the function doesn't come back; empty where nothing particular is known.
    """

    name: str
    cases: SearchStrategy[Case]
    check: Callable[[Student, Case], str | None]
    hint: str
    tries: int = 25
    endless: str = ""


@dataclass(frozen=True)
class Failure:
    """A property that fails, with a case on which it does; that of a verdict's first failure is the smallest.

    Attributes:
        name: the property's name.
        message: what was expected and what came.
        hint: where to look.
        case: the arguments, in words; empty where there are none.
        drawing: an SVG of the case; empty where a drawing doesn't help.
    """

    name: str
    message: str
    hint: str
    case: str = ""
    drawing: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a checker says. In a notebook it shows itself, with a drawing where that helps.

    Attributes:
        title: what was checked.
        total: how many things were asked.
        failures: those that don't hold, in the order in which to mend them.
        attempted: False while the student hasn't written anything yet.
        unit: what is counted, "properties" or "answers".
        note: one more line, where there is something to add.
        success: what to say when it's passed; by default, how many hold.
    """

    title: str
    total: int
    failures: tuple[Failure, ...] = ()
    attempted: bool = True
    unit: str = "properties"
    note: str = ""
    success: str = ""

    @property
    def passed(self) -> bool:
        """True if everything holds. ``bool(verdict)`` is the same."""
        return self.attempted and not self.failures

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        before, after = self._lines()
        return "\n".join([*before, *after])

    def _repr_html_(self) -> str:
        before, after = ("\n".join(escape(line, quote=False) for line in lines) for lines in self._lines())
        drawing = self.failures[0].drawing if self.failures else ""
        if drawing:
            drawing = f'<div style="margin: 0.4em 0 0.4em 2ch">{drawing}</div>'
        text = '<pre style="margin: 0; white-space: pre-wrap">{}</pre>'
        return "".join(["<div>", text.format(before), drawing, text.format(after) if after else "", "</div>"])

    def _lines(self) -> tuple[list[str], list[str]]:
        """The text above the drawing, and the text below it."""
        note = [f"  {self.note}"] if self.note else []
        if not self.attempted:
            return [f"{OPEN} {self.title}: not attempted.", *note], []
        if not self.failures:
            success = self.success or f"all {self.total} {self.unit} hold"
            return [f"{PASSED} {self.title}: {success}.", *note], []
        first = self.failures[0]
        above = [f"{FAILED} {first.name}: {first.message}"]
        if first.case:
            above.append(f"  {first.case}")
        below = [f"  Hint: {first.hint}"]
        if self.total > 1:
            below.append(f"  {self.total - len(self.failures)} of {self.total} {self.unit} hold.")
        return above, below + note


@dataclass(frozen=True)
class Exercise:
    """A function to write, as a list of properties.

    Attributes:
        title: what the function computes.
        arguments: the names that its arguments get in a counterexample.
        properties: what a right answer does; the most basic first, for the first failure is the one shown.
        draw: an SVG of a case, or None where drawings don't help.
    """

    title: str
    arguments: tuple[str, ...]
    properties: tuple[Property, ...]
    draw: Callable[..., str] | None = None

    def check(self, function: Callable) -> Verdict:
        """The verdict on a student's function. Never raises for what the function does."""
        if function is None or function is Ellipsis:
            return report(Verdict(self.title, len(self.properties), attempted=False))
        if not callable(function):
            problem = Failure(
                self.title,
                f"a function is wanted, yours is {show(function)}",
                "give the checker the function itself, by its name alone, without parentheses or arguments.",
            )
            return report(Verdict(self.title, 1, (problem,)))

        student = Student(function)
        problem = student.cannot_take(self.arguments)
        if problem:
            hint = "the checker calls it with these and nothing else, in this order."
            return report(Verdict(self.title, 1, (Failure(self.title, problem, hint),)))
        failures = []
        for prop in self.properties:
            # Only the first failure is shown, so only that one is worth making small.
            failure = self._try(prop, student, shrink=not failures)
            if failure:
                failures.append(failure)
            if student.stuck:
                # Nothing more can be learned from a function that doesn't come back.
                return report(Verdict(self.title, 1, (failure,)))
        if not student.answered:
            note = f"{student.name} gives nothing back yet. (Written it? Then look for a missing return.)"
            return report(Verdict(self.title, len(self.properties), attempted=False, note=note))
        return report(Verdict(self.title, len(self.properties), tuple(failures)))

    def _try(self, prop: Property, student: Student, shrink: bool) -> Failure | None:
        worst: list[tuple[Case, str, str]] = []

        def fails(case: Case) -> bool:
            try:
                message, hint = prop.check(student, case), prop.hint
            except Fault as fault:
                message = fault.message
                # What goes wrong on the simplest cases of all has little to do with what they are about.
                hint = fault.hint or (BY_ITSELF if prop is self.properties[0] else prop.hint)
            if message is not None:
                worst[:] = [(case, message, hint)]
            return message is not None

        label = "smallest case found" if shrink else "a case on which it fails"
        phases = (Phase.generate, Phase.shrink) if shrink else SEARCH.phases
        with quiet_calls():
            try:
                find(prop.cases, fails, settings=settings(SEARCH, max_examples=prop.tries, phases=phases))
            except NoSuchExample:
                return None
            except Flaky:
                label = "a case on which it fails now and then"
        case, message, hint = worst[0]
        if student.stuck:
            case, label = student.stuck, "the case"
            hint = prop.endless or hint
        drawing = self.draw(*case) if self.draw else ""
        return Failure(prop.name, message, hint, self._in_words(case, label), drawing)

    def _in_words(self, case: Case, label: str) -> str:
        parts = [f"{name} = {show(value)}" for name, value in zip(self.arguments, case, strict=True)]
        line = f"{label}: {', '.join(parts)}"
        return line if len(line) <= WIDEST_LINE else "\n    ".join([f"{label}:", *parts])


def report(verdict: Verdict) -> Verdict:
    """The verdict itself; under nbgrader, which counts exceptions, a failed one is raised.

    Raises:
        AssertionError: with the verdict's text, if it isn't passed and nbgrader runs the notebook.
    """
    if os.environ.get("NBGRADER_EXECUTION") and not verdict.passed:
        raise AssertionError(str(verdict))
    return verdict
