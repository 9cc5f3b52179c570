"""What a property may demand of a student's function: ready-made checks for `Property`.

Each builder here gives a check. Called with the student's function and a case, a check says what is wrong,
or gives None. A `Fault` on the way passes through; the engine turns it into a failure.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, tensor

from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind, numbers_apart, show

Check = Callable[[Student, Case], str | None]
TOLERANCE = 1e-4
TRACE = "print the shape and dtype after every step, and see where it departs from what you meant."


def as_number(answer: object, what: str = "one number") -> float:
    """A float, int, numpy scalar or tensor without dimensions, as a float. `Fault` for anything else."""
    if isinstance(answer, Tensor):
        number_like = not (answer.ndim or answer.is_complex() or answer.dtype == torch.bool)
    else:
        # An array has __float__ too, whatever its shape.
        is_scalar = getattr(answer, "ndim", 0) == 0
        number_like = hasattr(answer, "__float__") and is_scalar and not isinstance(answer, bool)
    if not number_like:
        raise Fault(f"expected {what}, yours gave {kind(answer)}", "a float or a tensor of shape () will do.")
    return float(answer)


def as_tensor(answer: object, shape: Sequence[int]) -> Tensor:
    """A floating-point tensor of the right shape as float64. Raises `Fault` for anything else."""
    shape = tuple(shape)
    if not isinstance(answer, Tensor):
        raise Fault(f"expected a tensor of shape {shape}, yours gave {kind(answer)}")
    if tuple(answer.shape) != shape:
        raise Fault(f"expected shape {shape}, yours gave {tuple(answer.shape)}")
    if not answer.is_floating_point():
        dtype = str(answer.dtype).removeprefix("torch.")
        raise Fault(f"expected floating-point numbers, yours gave dtype {dtype}")
    return answer.detach().double()


def as_indices(answer: object, count: int) -> list[int]:
    """Indices into ``count`` boxes, from a list or an integer tensor. Raises `Fault` for anything else."""
    wanted = "expected the indices of the boxes that stay"
    if isinstance(answer, Tensor):
        if answer.dtype == torch.bool:
            raise Fault(
                f"{wanted}, yours gave a mask of True and False", "which positions of the mask are True?"
            )
        if answer.ndim == 2 and answer.shape[1] == 4:
            raise Fault(f"{wanted}, yours gave boxes", "say which ones stay, by their place in the input.")
        if answer.ndim != 1:
            raise Fault(f"{wanted} in one dimension, yours gave {kind(answer)}", TRACE)
        answer = answer.tolist()
    if not isinstance(answer, (list, tuple)):
        raise Fault(f"{wanted}, as a list or a tensor; yours gave {kind(answer)}", TRACE)
    if isinstance(answer, tuple) and any(isinstance(part, (Tensor, list)) and len(part) for part in answer):
        raise Fault(f"{wanted} alone, yours gave {len(answer)} things in a tuple", "return only the indices.")
    indices = []
    for item in answer:
        value = as_number(item, "an index in each place")
        if not value.is_integer():
            raise Fault(f"{wanted}, whole numbers; yours gave {value:g}", "are these scores or coordinates?")
        if not hasattr(item, "__index__") or (isinstance(item, Tensor) and item.is_floating_point()):
            raise Fault(
                f"{wanted}, as integers; yours gave {value:.1f}",
                "can you write boxes[0.0]? Where do floats come in?",
            )
        indices.append(int(value))
    outside = [index for index in indices if not 0 <= index < count]
    if outside:
        raise Fault(
            f"yours gave the index {outside[0]}, but there are {count} boxes, counted from 0",
            "which list do your indices count in: the one you were given, or one you made on the way?",
        )
    return indices


def differ(expected: float, got: float, tolerance: float = TOLERANCE) -> str | None:
    """What is wrong with a number, in words."""
    if abs(expected - got) <= tolerance:
        return None
    wanted, given = numbers_apart(expected, got)
    return f"expected {wanted}, yours gave {given}"


def number(reference: Callable[..., object]) -> Check:
    """One number, equal to the reference's."""

    def check(student: Student, case: Case) -> str | None:
        return differ(as_number(reference(*case)), as_number(student(*case)))

    return check


def matrix(reference: Callable[..., Tensor], row: str, column: str) -> Check:
    """A matrix equal to the reference's; ``row`` and ``column`` are the letters that name a wrong entry."""

    def check(student: Student, case: Case) -> str | None:
        expected = reference(*case).double()
        got = as_tensor(student(*case), expected.shape)
        for i, j in (~((expected - got).abs() <= TOLERANCE)).nonzero().tolist():
            return f"{row}{i} with {column}{j}: {differ(expected[i, j].item(), got[i, j].item())}"
        return None

    return check


def indices(reference: Callable[..., Tensor]) -> Check:
    """The reference's indices, in its order."""

    def check(student: Student, case: Case) -> str | None:
        expected, got = reference(*case).tolist(), as_indices(student(*case), len(case[0]))
        problem = _same_indices(expected, got)
        if problem and sorted(got) == sorted(expected) and len(case[1].unique()) == len(case[1]):
            raise Fault(problem, "these are the right boxes; now the best first.")
        if problem and _threshold_unused(student, case):
            raise Fault(problem, "does your function use the threshold that it is given?")
        return problem

    return check


def _threshold_unused(student: Student, case: Case) -> bool:
    """Whether three boxes, one close to the first and one farther off, stay the same from 0.1 to 0.9."""
    boxes = tensor([[0.0, 0, 10, 1], [1, 0, 11, 1], [7, 0, 17, 1]])
    classes = [torch.zeros(3, dtype=torch.long)] * (len(case) - 3)
    try:
        kept = [as_indices(student(boxes, tensor([0.9, 0.8, 0.7]), *classes, low), 3) for low in (0.1, 0.9)]
    except Fault:
        return False
    return kept == [[0, 2], [0, 2]]


def counts(reference: Callable[..., tuple[int, ...]], names: Sequence[str]) -> Check:
    """Whole numbers, each with a name, equal to the reference's."""

    def check(student: Student, case: Case) -> str | None:
        got = student(*case)
        if not isinstance(got, (tuple, list)) or len(got) != len(names):
            wanted = f"{len(names)} numbers ({', '.join(names)})"
            raise Fault(
                f"expected {wanted}, yours gave {kind(got)}", "return them in one tuple, in this order."
            )
        for name, expected, value in zip(names, reference(*case), got, strict=True):
            problem = differ(expected, as_number(value, f"a number for {name}"))
            if problem:
                return f"{name}: {problem}"
        return None

    return check


def rescored(reference: Callable[..., tuple[Tensor, Tensor]]) -> Check:
    """The reference's indices, in its order, and their new scores."""

    def check(student: Student, case: Case) -> str | None:
        kept, scores = (values.tolist() for values in reference(*case))
        answer = student(*case)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise Fault(
                f"expected two things, the indices and their new scores; yours gave {kind(answer)}",
                "return both in one tuple, in this order.",
            )
        indices = as_indices(answer[0], len(case[0]))
        new = answer[1].tolist() if isinstance(answer[1], Tensor) else answer[1]
        problem = _same_indices(kept, indices)
        if problem and indices[: len(kept)] == kept and isinstance(new, list) and len(new) == len(indices):
            faded = as_number(new[len(kept)])
            hint = (
                f"the score of box {indices[len(kept)]} has sunk to {show(faded)}: is it still in the list?"
            )
            raise Fault(problem, hint)
        if problem:
            return problem
        if not isinstance(new, (list, tuple)) or len(new) != len(kept):
            count = f"{len(new)}" if isinstance(new, (list, tuple)) else kind(new)
            return f"expected {len(kept)} new scores, one for each index; yours gave {count}"
        for index, expected, got in zip(kept, scores, new, strict=True):
            problem = differ(expected, as_number(got))
            if problem:
                return f"new score of box {index}: {problem}"
        return None

    return check


def within(low: float, high: float) -> Check:
    """A number from ``low`` to ``high``."""

    def check(student: Student, case: Case) -> str | None:
        got = as_number(student(*case))
        if low - TOLERANCE <= got <= high + TOLERANCE:
            return None
        return f"expected something from {low:g} to {high:g}, yours gave {show(got)}"

    return check


def unmoved(change: Callable[..., Case], how: str) -> Check:
    """The same number for a changed case; ``how`` says what was done to it, such as "A and B swapped"."""

    def check(student: Student, case: Case) -> str | None:
        before, after = as_number(student(*case)), as_number(student(*change(*case)))
        if differ(before, after) is None:
            return None
        first, second = numbers_apart(before, after)
        return f"yours gave {first}, and with {how} {second}"

    return check


def inputs_kept(arguments: Sequence[str]) -> Check:
    """The function leaves the tensors that it was given as they were."""

    def check(student: Student, case: Case) -> str | None:
        student(*case)
        for name, before, after in zip(arguments, case, student.received, strict=True):
            if isinstance(before, Tensor) and not torch.equal(before, after):
                return f"yours changed {name} from {show(before)} to {show(after)}"
        return None

    return check


def _same_indices(expected: list[int], got: list[int]) -> str | None:
    if got == expected:
        return None
    twice = [index for index in got if got.count(index) > 1]
    if twice:
        raise Fault(
            f"expected {expected}, yours gave {got}: {twice[0]} comes twice",
            "is it a place in the whole list, or among those that are left?",
        )
    order = ", but in the wrong order" if sorted(got) == sorted(expected) else ""
    return f"expected {expected}, yours gave {got}{order}"
