"""The book's Sphinx extension: plain-Markdown notebooks, made richer.

The course's notebooks hold no MyST directive or role, because these show raw on Kaggle and in Lab. What they
do hold reads well everywhere, and this extension turns it into more:

========================================  ===========================================================
in the notebook                           in the book
========================================  ===========================================================
``> **Predict.** …``                      a box, styled by its label (`boxes`)
``> **Chapter card.**`` and a list        the card at the head of a chapter (`boxes`)
``> **On the map.** image → **NMS** → …`` a strip of stages, the bold one marked (`boxes`)
``> **Figure 1.2.** …``                   the caption of the figure above (`boxes`)
``<details><summary>Hint 1</summary>…``   a fold with Markdown and formulas inside (`folds`)
``[Bodla 2017](../book/references.md#k)`` a citation: a link to the entry ``k`` (`links`)
inline code, ``boxes.iou``                a link to the function in the API reference (`links`)
``$$ … \\tag{1.1}$$``                     a numbered equation (`pages`)
========================================  ===========================================================

It warns, and so fails a build under ``-W``, about an image without alt text, a caption without a figure, and
a fold that is not closed.
"""

from typing import Any

from sphinx.application import Sphinx

from . import api, boxes, elements, folds, links, pages


def setup(app: Sphinx) -> dict[str, Any]:
    for module in (elements, folds, boxes, links, pages, api):
        module.setup(app)
    # env_version: raise it when a change here must make Sphinx read every page anew.
    return {"version": "1", "env_version": 4, "parallel_read_safe": True, "parallel_write_safe": True}
