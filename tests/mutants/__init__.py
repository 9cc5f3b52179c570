"""Wrong answers to the exercises, as students write them: what a checker must not let through.

Each chapter has a module here, with the name of its module in ``yolov3_lib.checks``. It holds

``WRITTEN``
    for each checker the notebook, the name under which a student writes the function, the checker's options;
``MUTANTS``
    for each checker its wrong answers by name.
"""

import importlib
import pkgutil

from mutants.bank import Mutant

__all__ = ["CHAPTERS", "MUTANTS", "WRITTEN", "Mutant"]

MUTANTS: dict[str, dict[str, Mutant]] = {}
WRITTEN: dict[str, tuple[str, str, dict]] = {}
for module in pkgutil.iter_modules(__path__):
    if module.name != "bank":
        chapter = importlib.import_module(f"mutants.{module.name}")
        MUTANTS |= chapter.MUTANTS
        WRITTEN |= chapter.WRITTEN

CHAPTERS = sorted({notebook for notebook, _, _ in WRITTEN.values()})
