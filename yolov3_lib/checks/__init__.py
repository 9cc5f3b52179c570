"""Checkers of the exercises: ``checks.iou(my_iou)`` tells at once what holds, and where something fails, how.

A checker tries the student's function on cases that Hypothesis draws, and compares it with the library's
own. Where it finds a failure it shows the smallest such case and a hint, never the answer. It needs no
network, and it raises nothing: an exercise that isn't written yet is reported as not attempted. Under
nbgrader, which counts exceptions, a verdict that isn't passed is raised as an ``AssertionError``.

Each chapter's checkers are lists of properties, in the module of the chapter's name, which lists them as
``CHECKERS``, ``ANSWERS``, ``PREDICTIONS`` and ``EXAMPLES``.
"""

import importlib
from typing import TypeVar

from yolov3_lib.checks import answers as _answers
from yolov3_lib.checks.engine import Exercise, Failure, Property, Verdict

_CHAPTERS = (
    "iou", "nms", "convolution", "batch_normalization", "cross_entropy", "leaky_relu", "optimizers",
    "upsampling", "loss", "data", "training", "results", "svd", "lagrange", "line_search",
)  # fmt: skip
_Asked = TypeVar("_Asked")

ANSWERS: dict[str, tuple[_answers.Question, ...]] = {}
PREDICTIONS: dict[str, tuple[_answers.Question, ...]] = {}
EXAMPLES: dict[str, _answers.Hunt] = {}
_checkers = {}
for _name in _CHAPTERS:
    _chapter = importlib.import_module(f"{__name__}.{_name}")
    ANSWERS |= _chapter.ANSWERS
    PREDICTIONS |= _chapter.PREDICTIONS
    EXAMPLES |= _chapter.EXAMPLES
    _checkers |= {checker.__name__: checker for checker in _chapter.CHECKERS}
# A chapter's module and one of its checkers may share a name: the checker is what ``checks.iou`` means.
globals().update(_checkers)

__all__ = [
    "Exercise", "Failure", "Property", "Verdict", "answer", "counterexample", "prediction", *_checkers,
]  # fmt: skip


def answer(exercise: str, *values: object) -> Verdict:
    """Checks answers worked out by hand.

    Args:
        exercise: its number, such as ``"1.1"``.
        values: the answers, in the order in which the exercise asks; ``...`` for one not answered yet.

    Raises:
        KeyError: if no exercise of that number asks for answers.
    """
    return _answers.judge_answers(exercise, _find(ANSWERS, exercise), values)


def prediction(exercise: str, *values: object) -> Verdict:
    """Tells whether a prediction comes true, without giving the right one away.

    Args:
        exercise: its number, such as ``"1.1"``.
        values: what the student expects; ``...`` for nothing yet.

    Raises:
        KeyError: if no exercise of that number asks for a prediction.
    """
    return _answers.judge_prediction(exercise, _find(PREDICTIONS, exercise), values)


def counterexample(exercise: str, *example: object) -> Verdict:
    """Checks an example that should show a claim, or a function, to be wrong.

    Args:
        exercise: its number, such as ``"1.3"``.
        example: what the exercise asks for; ``...`` for nothing yet.

    Raises:
        KeyError: if no exercise of that number asks for an example.
    """
    return _answers.judge_example(exercise, _find(EXAMPLES, exercise), example)


def _find(table: dict[str, _Asked], exercise: str) -> _Asked:
    if exercise not in table:
        raise KeyError(f"no exercise {exercise!r} here: choose from {', '.join(sorted(table))}")
    return table[exercise]
