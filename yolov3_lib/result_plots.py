"""Drawings of results: precision-recall curves, AP per class, confusion, kinds of failures.

Each function draws into matplotlib axes that it is given, in the palette of `yolov3_lib.plots`. Color never
stands alone: two detectors differ in line style and marker too, and cells carry their numbers.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from yolov3_lib.evaluate import Curve, VocResult
from yolov3_lib.plots import COLORS, text_color

_STYLES = (("a", "-", "o"), ("b", "--", "s"), ("kept", "-.", "^"), ("accent", ":", "D"))


def draw_curve(ax: Axes, curve: Curve, label: str | None = None, style: int = 0, raw: bool = False) -> Axes:
    """A precision-recall curve: the monotone envelope as steps, and with ``raw`` the zig-zag under it.

    Args:
        ax: where to draw; its limits become 0 to 1 and a bit.
        curve: one class's, from ``evaluate_voc``.
        label: for the legend.
        style: which of four line styles, 0 to 3.
        raw: draw precision as it is measured as well, thin and gray.
    """
    color, line, _ = _STYLES[style % len(_STYLES)]
    if raw:
        ax.plot(curve.recall, curve.precision, color=COLORS["suppressed"], linewidth=0.9, label="as measured")
    envelope = curve.envelope
    # The curve starts at recall 0 with the height of its first step; without detections there is none.
    none = np.zeros(min(1, len(envelope)))
    recall, height = np.concatenate((none, curve.recall)), np.concatenate((envelope[:1], envelope))
    ax.step(recall, height, where="pre", color=COLORS[color], linestyle=line, label=label)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="recall", ylabel="precision")
    ax.grid(True)
    return ax


def draw_ap(ax: Axes, results: Mapping[str, VocResult]) -> Axes:
    """AP of each class, sorted by the first result's, one marker a detector; a dotted line at each mean.

    Args:
        ax: where to draw.
        results: up to four results over the same classes, by the name of the detector.

    Raises:
        ValueError: no result, more than four, or different classes.
    """
    if not 1 <= len(results) <= len(_STYLES):
        raise ValueError(f"results: expected 1 to {len(_STYLES)}, got {len(results)}")
    first = next(iter(results.values()))
    if any(result.class_names != first.class_names for result in results.values()):
        raise ValueError("the results are over different classes: compare like with like")
    known = np.flatnonzero(~np.isnan(first.ap_area))
    order = known[np.argsort(first.ap_area[known], kind="stable")]
    rows = np.arange(len(order))
    values = np.stack([result.ap_area[order] for result in results.values()])
    ax.hlines(rows, np.nanmin(values, axis=0), np.nanmax(values, axis=0), color=COLORS["grid"], linewidth=1.5)
    for (name, result), (color, _, marker) in zip(results.items(), _STYLES, strict=False):
        ax.plot(result.ap_area[order], rows, marker, color=COLORS[color], markersize=7, label=name)
        ax.axvline(result.map_area, color=COLORS[color], linestyle=":", linewidth=1.2)
    ax.set(xlim=(0, 1), xlabel="AP (area)")
    ax.set_yticks(rows, [first.class_names[c] for c in order])
    ax.grid(True, axis="x")
    ax.legend(loc="lower right")
    return ax


def draw_confusion(ax: Axes, matrix: np.ndarray, class_names: Sequence[str]) -> Axes:
    """A confusion matrix, each row as shares of its sum, in percent; zeros stay empty.

    Args:
        ax: where to draw.
        matrix: (C + 1, C + 1), from ``confusion_matrix``: rows objects, columns detections, background last.
        class_names: the C names.

    Raises:
        ValueError: a matrix of another shape.
    """
    size = len(class_names) + 1
    if matrix.shape != (size, size):
        raise ValueError(f"matrix: expected shape {(size, size)} for {size - 1} classes, got {matrix.shape}")
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(np.round(100 * shares) > 0):
        share = shares[row, column]
        ink = COLORS["text"] if share < 0.5 else text_color("#08306B")
        ax.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=ink)
    names = [*class_names, "nothing"]
    ax.set_xticks(range(size), names, rotation=90, fontsize=9)
    ax.set_yticks(range(size), names, fontsize=9)
    ax.set(xlabel="detected as", ylabel="object")
    for line in (ax.axhline, ax.axvline):
        line(size - 1.5, color=COLORS["text"], linewidth=1)
    return ax


def draw_bars(ax: Axes, results: Mapping[str, Mapping[str, float]], xlabel: str, digits: int = 0) -> Axes:
    """Horizontal bars, a group for each kind and in it one for each detector, with their values.

    Args:
        ax: where to draw.
        results: values by kind, by the name of the detector; all have the same kinds.
        xlabel: what the values are.
        digits: how many decimals are written at the bars.
    """
    kinds = list(next(iter(results.values())))
    height = 0.8 / len(results)
    widest = max(max(values.values()) for values in results.values())
    for number, ((name, values), (color, _, _)) in enumerate(zip(results.items(), _STYLES, strict=False)):
        places = np.arange(len(kinds)) + (number - (len(results) - 1) / 2) * height
        numbers = [values[kind] for kind in kinds]
        hatch = "//" if number % 2 else None
        ax.barh(
            places,
            numbers,
            height=0.9 * height,
            color=COLORS[color],
            hatch=hatch,
            edgecolor="white",
            label=name,
        )
        for place, value in zip(places, numbers, strict=True):
            ax.text(value + widest / 100, place, f"{value:,.{digits}f}", va="center", fontsize=9)
    ax.set_yticks(range(len(kinds)), kinds)
    ax.invert_yaxis()
    ax.set(xlabel=xlabel, xlim=(0, 1.14 * widest or 1))
    if len(results) > 1:
        ax.legend(loc="lower right")
    return ax
