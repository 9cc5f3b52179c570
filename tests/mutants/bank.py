"""What a wrong answer is."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """The master's solution with a few words changed, or a function of its own.

    It names the property that has to catch it first, because that property's hint is the help that the
    student gets.

    Attributes:
        caught_by: the property's name.
        changes: what is exchanged in the solution, old text → new; or the source of another function.
    """

    caught_by: str
    changes: dict[str, str] | str
