"""The API reference: where autodoc and napoleon need a word."""

from typing import Any

from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

VALUES = ("attribute", "data", "property")
ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")


def keep_first_sentence(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Begin the docstring of a value with an empty comment.

    Napoleon takes what stands before a colon in its first line for a type: "Anchors, coarse first: …" would
    become a value of type "Anchors, coarse first".
    """
    if what in VALUES:
        lines[:0] = ["..", ""]


def shorten_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Call numpy's ``ArrayLike`` by its name: autodoc spells out the union of types that it stands for."""
    return signature and signature.replace(ARRAY_LIKE, "~numpy.typing.ArrayLike"), returns


def skip_fields_of_tuples(
    app: Sphinx, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """A named tuple's fields stand in its docstring already; "Alias for field number 0" adds nothing."""
    return True if type(member).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinx.ext.napoleon")
    # Before napoleon's own handler, which has the default priority of 500.
    app.connect("autodoc-process-docstring", keep_first_sentence, priority=400)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-skip-member", skip_fields_of_tuples)
