"""A kernel that slides over a small picture, one place at a time: chapter 3, alive."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from yolov3_lib.foundations import convolution
from yolov3_lib.plots import COLORS
from yolov3_lib.widgets.base import Widget, build, element, number, reading, text
from yolov3_lib.widgets.pictures import in_book_style, rendered

_CELL = 40  # drawing units
_SIDE = 7  # cells of the picture

PICTURES: dict[str, list[list[int]]] = {
    "numbers": [
        [3, 3, 3, 6, 1, 0, 2],
        [7, 4, 3, 2, 5, 1, 1],
        [7, 2, 8, 5, 4, 3, 0],
        [1, 7, 3, 1, 6, 2, 9],
        [0, 5, 2, 8, 3, 3, 4],
        [4, 1, 6, 0, 7, 5, 2],
        [2, 9, 1, 4, 0, 8, 3],
    ],
    "dot": [[int((row, column) == (3, 3)) for column in range(_SIDE)] for row in range(_SIDE)],
    "step": [[9 if column > 3 else 0 for column in range(_SIDE)] for _ in range(_SIDE)],
    "square": [
        [9 if 2 <= row <= 4 and 2 <= column <= 4 else 0 for column in range(_SIDE)] for row in range(_SIDE)
    ],
    "flat": [[5] * _SIDE for _ in range(_SIDE)],
}
"""Seven rows of seven whole numbers each, by name."""


def _whole(kernel: torch.Tensor) -> tuple[list[int], int]:
    """A kernel's entries as whole numbers, and what they are to be divided by."""
    divisor = 1 if torch.equal(kernel, kernel.round()) else 9
    return [round(entry) for entry in (kernel * divisor).flatten().tolist()], divisor


_KERNELS = {name: _whole(kernel) for name, kernel in convolution.KERNELS.items()} | {
    "1 to 9": (list(range(1, 10)), 1)
}


class Setting(NamedTuple):
    """What the reader can choose."""

    picture: str
    kernel: Sequence[float]
    divisor: float
    stride: int
    padding: int
    dilation: int
    flip: bool
    row: int
    column: int


def convolution_explorer(
    picture: str = "numbers",
    kernel: str = "edges, 4 neighbors",
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    flip: bool = False,
    place: tuple[int, int] = (0, 0),
) -> Widget:
    """A 3 × 3 kernel on a 7 × 7 picture, with the nine products at one place, their sum and the whole output.

    The kernel's entries can be edited; stride, padding, dilation, the flip and the place can be chosen.

    Args:
        picture: a name in `PICTURES`.
        kernel: a name in `yolov3_lib.foundations.convolution.KERNELS`, or "1 to 9".
        stride: 1 to 3.
        padding: 0 to 2.
        dilation: 1 or 2.
        flip: whether the kernel is read backwards, as the convolution of mathematics does.
        place: row and column of the output to start at.

    Raises:
        ValueError: a name that isn't there, a number out of range, or a place outside the output.
    """
    for name, given, allowed in (
        ("picture", picture, tuple(PICTURES)),
        ("kernel", kernel, tuple(_KERNELS)),
        ("stride", stride, (1, 2, 3)),
        ("padding", padding, (0, 1, 2)),
        ("dilation", dilation, (1, 2)),
    ):
        if given not in allowed:
            raise ValueError(f"{name} is {given!r}: choose from {', '.join(map(str, allowed))}")
    chosen = Setting(picture, *_KERNELS[kernel], stride, padding, dilation, flip, *place)
    side = len(output_of(chosen))
    if not all(0 <= at < side for at in place):
        raise ValueError(f"place is {place}: the output has {side} rows and columns, counted from 0")
    said = readout(chosen)
    alt = (
        f"A 7 × 7 picture of whole numbers with a 3 × 3 kernel ({kernel}) laid on it, the nine products, and "
        f"the {side} × {side} output. Shown is {said['where']}, {said['sum']}."
    )
    scenes = "".join(
        element("div", element("p", title, class_="yv-title") + drawn, class_="yv-scene")
        for title, drawn in (("the picture", _picture_svg(chosen)), ("the output", _output_svg(chosen)))
    )
    body = (
        _choices(chosen)
        + element("div", scenes, class_="yv-pair")
        + _walk(chosen, side)
        + element("div", _kernel_fields(chosen) + _sums(said), class_="yv-columns")
        + element("p", class_="yv-unseen", role="status")
    )
    state = chosen._asdict() | {"pictures": PICTURES, "kernels": _KERNELS, "cell": _CELL}
    return build(
        "convolution",
        body,
        state,
        _still(chosen, said),
        alt=alt,
        description=f"Convolution explorer: {picture}, {kernel}; {said['where']}, {said['sum']}",
    )


def output_of(chosen: Setting) -> list[list[float]]:
    """The layer's output, row by row."""
    x, w = _tensors(chosen)
    options = {"stride": chosen.stride, "padding": chosen.padding, "dilation": chosen.dilation}
    return (convolution.conv2d(x, w, **options)[0, 0] / chosen.divisor).tolist()


def readout(chosen: Setting) -> dict[str, str]:
    """What the figure says, by the name of each place; ``convolution.js`` says the same."""
    x, w = _tensors(chosen)
    options = (chosen.stride, chosen.padding, chosen.dilation)
    columns = convolution.im2col(x, 3, *options)[0]
    side = convolution.output_size(_SIDE, 3, *options)
    seen, entries = columns[:, chosen.row * side + chosen.column].tolist(), w.flatten().tolist()
    total = sum(a * b for a, b in zip(seen, entries, strict=True))
    share = f", divided by {number(chosen.divisor)}: {number(total / chosen.divisor)}"
    s, p, d = options
    said = {
        f"p{i}": f"{number(a)} · {number(b)} = {number(a * b)}"
        for i, (a, b) in enumerate(zip(seen, entries, strict=True))
    }
    return said | {
        "where": f"row {chosen.row}, column {chosen.column}",
        "sum": f"sum: {number(total)}" + (share if chosen.divisor != 1 else ""),
        "size": f"⌊(7 + 2·{p} − {d}·(3 − 1) − 1) / {s}⌋ + 1 = {side}",
    }


def _tensors(chosen: Setting) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.tensor(PICTURES[chosen.picture], dtype=torch.float64)[None, None]
    w = torch.tensor(chosen.kernel, dtype=torch.float64).reshape(1, 1, 3, 3)
    return x, convolution.flip(w) if chosen.flip else w


# Markup.


def _select(label: str, role: str, options: Sequence[object], chosen: object) -> str:
    items = "".join(
        element("option", text(o), value=o, selected="selected" if o == chosen else None) for o in options
    )
    return element(
        "label", element("span", label) + element("select", items, data_role=role, aria_label=label)
    )


def _choices(chosen: Setting) -> str:
    buttons = "".join(element("button", text(name), type="button", data_kernel=name) for name in _KERNELS)
    flip = element("input", type="checkbox", data_role="flip", checked="checked" if chosen.flip else None)
    selects = (
        _select("picture", "picture", tuple(PICTURES), chosen.picture)
        + _select("stride", "stride", (1, 2, 3), chosen.stride)
        + _select("padding", "padding", (0, 1, 2), chosen.padding)
        + _select("dilation", "dilation", (1, 2), chosen.dilation)
        + element("label", flip + "flip the kernel", class_="yv-check")
    )
    return element("div", buttons, class_="yv-bar yv-live", role="group", aria_label="Kernels") + element(
        "div", selects, class_="yv-bar yv-choices yv-live"
    )


def _walk(chosen: Setting, side: int) -> str:
    def slider(role: str, value: int) -> str:
        field = element("input", type="range", min=0, max=side - 1, step=1, value=value, data_role=role)
        return element("label", element("span", f"output {role}") + field)

    step = element("button", "next place", type="button", data_step="1")
    return element(
        "div", slider("row", chosen.row) + slider("column", chosen.column) + step, class_="yv-walk yv-live"
    )


def _kernel_fields(chosen: Setting) -> str:
    fields = "".join(
        element(
            "input", type="number", min=-99, max=99, step="any", value=number(entry).replace("−", "-"),
            data_entry=i, aria_label=f"Kernel, row {i // 3}, column {i % 3}",
        )
        for i, entry in enumerate(chosen.kernel)
    )  # fmt: skip
    divisor = element(
        "input", type="number", min=1, max=99, step="any", value=number(chosen.divisor), data_role="divisor"
    )
    return element(
        "div",
        element("p", "the kernel", class_="yv-title")
        + element("div", fields, class_="yv-kernel")
        + element("label", element("span", "divided by") + divisor, class_="yv-divisor"),
        class_="yv-fields yv-live",
    )


def _sums(said: dict[str, str]) -> str:
    products = "".join(reading(said, f"p{i}") for i in range(9))
    return element(
        "div",
        element("p", "pixel · kernel, at " + reading(said, "where"), class_="yv-title")
        + element("div", products, class_="yv-products")
        + element("p", reading(said, "sum"), class_="yv-sum")
        + element("p", "output size: " + reading(said, "size"), class_="yv-size"),
        class_="yv-panel",
    )


def _svg(width: int, height: int, cells: list[str], label: str, role: str) -> str:
    box = f"0 0 {width * _CELL} {height * _CELL}"
    return element("svg", "".join(cells), viewBox=box, role="img", aria_label=label, data_role=role)


def _picture_svg(chosen: Setting) -> str:
    """The picture in its padding; where the kernel lies, its entries stand in the corner of the cells."""
    p, side = chosen.padding, _SIDE + 2 * chosen.padding
    under = _under_kernel(chosen)
    cells = []
    for row in range(side):
        for column in range(side):
            inside = 0 <= row - p < _SIDE and 0 <= column - p < _SIDE
            value = PICTURES[chosen.picture][row - p][column - p] if inside else 0
            entry = under.get((row, column))
            kind = "yv-cell" + ("" if inside else " yv-pad") + ("" if entry is None else " yv-under")
            at = {"x": column * _CELL, "y": row * _CELL}
            strength = f"{0.035 * value:.3f}"
            cells.append(
                element("rect", class_="yv-shade", **at, width=_CELL, height=_CELL, fill_opacity=strength)
            )
            cells.append(element("rect", class_=kind, **_inner(at)))
            middle = {"x": at["x"] + _CELL / 2, "y": at["y"] + _CELL / 2 + (5 if entry is None else 0)}
            cells.append(element("text", str(value), class_="yv-value", **middle))
            if entry is not None:
                corner = {"x": at["x"] + _CELL - 4, "y": at["y"] + _CELL - 5}
                cells.append(element("text", "×" + number(entry), class_="yv-entry", **corner))
    label = f"The picture, {_SIDE} × {_SIDE}, padding {p}, with the kernel at {readout(chosen)['where']}"
    return _svg(side, side, cells, label, "picture-drawing")


def _under_kernel(chosen: Setting) -> dict[tuple[int, int], float]:
    """The cells of the padded picture that the kernel lies on, with its entries."""
    _, w = _tensors(chosen)
    return {
        (
            chosen.row * chosen.stride + i * chosen.dilation,
            chosen.column * chosen.stride + j * chosen.dilation,
        ): w[0, 0, i, j].item()
        for i in range(3)
        for j in range(3)
    }


def _inner(at: dict[str, float]) -> dict[str, float]:
    return {"x": at["x"] + 1.5, "y": at["y"] + 1.5, "width": _CELL - 3, "height": _CELL - 3}


def _output_svg(chosen: Setting) -> str:
    values = output_of(chosen)
    largest = max(abs(value) for row in values for value in row) or 1
    cells = []
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            at = {"x": column * _CELL, "y": row * _CELL}
            sign = "yv-plus" if value >= 0 else "yv-minus"
            opacity = f"{0.35 * abs(value) / largest:.3f}"
            cells.append(element("rect", class_=sign, **at, width=_CELL, height=_CELL, fill_opacity=opacity))
            here = " yv-here" if (row, column) == (chosen.row, chosen.column) else ""
            cells.append(element("rect", class_="yv-cell" + here, **_inner(at), data_at=f"{row} {column}"))
            middle = {"x": at["x"] + _CELL / 2, "y": at["y"] + _CELL / 2 + 5}
            written = number(value, 1)
            small = " yv-long" if len(written) > 4 else ""
            cells.append(element("text", written, class_="yv-value" + small, **middle))
    side = len(values)
    # As wide as the picture, so that both have cells of one size.
    width = _SIDE + 2 * chosen.padding
    return _svg(width, side, cells, f"The output, {side} × {side}", "output-drawing")


# The still picture.


@in_book_style
def _still(chosen: Setting, said: dict[str, str]) -> Image.Image:
    figure = Figure(figsize=(6.4, 3.3), dpi=200, layout="constrained")
    left, right = figure.subplots(1, 2)
    p = chosen.padding
    padded = torch.nn.functional.pad(torch.tensor(PICTURES[chosen.picture]), (p, p, p, p)).tolist()
    _grid(left, padded, set(_under_kernel(chosen)), "the picture")
    _grid(
        right, output_of(chosen), {(chosen.row, chosen.column)}, f"the output; {said['where']}, {said['sum']}"
    )
    return rendered(figure)


def _grid(axes: Axes, values: Sequence[Sequence[float]], marked: set[tuple[int, int]], title: str) -> None:
    side = len(values)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            edge = COLORS["b"] if (row, column) in marked else COLORS["grid"]
            axes.add_patch(
                Rectangle((column + 0.05, row + 0.05), 0.9, 0.9, fill=False, edgecolor=edge, linewidth=1.2)
            )
            axes.text(column + 0.5, row + 0.5, number(value, 1), ha="center", va="center", size=8)
    axes.set(xlim=(0, side), ylim=(side, 0), aspect="equal")
    axes.set_axis_off()
    axes.set_title(title, size=9)
