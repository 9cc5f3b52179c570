"""What a student's function does for its answer: how much work, in which a loop over boxes shows whatever it
calls; and which functions of torch it calls.
"""

import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from types import FrameType

from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from yolov3_lib.checks.demands import Check
from yolov3_lib.checks.student import Case, Student

# What a branch may add that only the larger case takes. A loop adds more than that.
SPARE_CALLS, SPARE_STEPS = 5, 30


class _Counter(TorchFunctionMode):
    """Counts the calls of torch's functions and of tensors' methods in its block."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


class _Names(TorchFunctionMode):
    """Notes the names of torch's functions and tensors' methods that are called in its block."""

    def __init__(self) -> None:
        super().__init__()
        self.called: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        # A tensor's method of the same name only looks at its numbers in another way.
        self.called.add("F.unfold" if func is F.unfold else getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def without(*borrowed: str) -> Check:
    """The function calls none of these functions of torch.

    Args:
        borrowed: their names, ``*`` for any characters: ``"conv*"``.
    """

    def check(student: Student, case: Case) -> str | None:
        with _Names() as names:
            student(*case)
        for name in sorted(names.called):
            if any(fnmatchcase(name, pattern) for pattern in borrowed):
                return f"yours calls torch's own {name}"
        return None

    return check


def calls_of_torch(student: Student, case: Case) -> int:
    """How many operations of torch one call takes."""
    with _Counter() as counter:
        student(*case)
    return counter.calls


def steps_of_python(student: Student, case: Case) -> int:
    """How many lines and instructions of Python one call takes, those of the functions it calls included."""
    steps = 0

    def count(frame: FrameType, event: str, argument: object) -> Callable:
        nonlocal steps
        # A loop in a single line, such as a comprehension, shows in its instructions only.
        frame.f_trace_opcodes = True
        steps += 1
        return count

    previous = sys.gettrace()
    sys.settrace(count)
    try:
        student(*case)
    finally:
        sys.settrace(previous)
    return steps


def no_loop(enlarge: Callable[..., Case]) -> Check:
    """As much work for a large case as for a small one; the first two arguments are lists of boxes."""

    def check(student: Student, case: Case) -> str | None:
        large = enlarge(*case)
        sizes = [f"{len(a)} × {len(b)}" for a, b, *_ in (case, large)]
        measures = (
            ("calls of torch", calls_of_torch, SPARE_CALLS),
            ("steps of Python", steps_of_python, SPARE_STEPS),
        )
        for unit, measure, spare in measures:
            few, many = (measure(student, one) for one in (case, large))
            if many > few + spare:
                return (
                    f"yours took {few} {unit} for {sizes[0]} pairs, and {many} for {sizes[1]}. "
                    "Without a loop the two would be equal"
                )
        return None

    return check
