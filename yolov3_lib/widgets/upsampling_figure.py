"""A transposed convolution, one output entry after the other, beside nearest neighbor: chapter 8, alive."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from yolov3_lib.foundations import upsampling
from yolov3_lib.plots import COLORS
from yolov3_lib.widgets.base import Widget, build, element, number, reading
from yolov3_lib.widgets.pictures import in_book_style, rendered

STRIDES = (1, 2, 3)
PADDINGS = (0, 1, 2)
_CELL = 30  # a cell's side in units of the drawing
_LINEAR = torch.tensor([1.0, 3, 3, 1])
_ALSO = {"2 × 2, ones": torch.ones(2, 2), "4 × 4, linear": _LINEAR[:, None] * _LINEAR}


@dataclass(frozen=True)
class Walk:
    """One setting of the figure, with all that is drawn of it.

    Attributes:
        image: (i, i), the input.
        kernel: (k, k).
        stride, padding, extra: of the transposed convolution; ``extra`` is the output padding.
        at: (row, column) of the output entry that is computed now.
    """

    image: Tensor
    kernel: Tensor
    stride: int
    padding: int
    extra: int
    at: tuple[int, int]

    @property
    def output(self) -> Tensor:
        """(o, o)."""
        return upsampling.transposed_by_zeros(
            self.image[None, None], self.kernel[None, None], self.stride, self.padding, self.extra
        )[0, 0]

    @property
    def taps(self) -> Tensor:
        """(o, o) counts."""
        return upsampling.tap_counts(len(self.image), len(self.kernel), self.stride, self.padding, self.extra)

    @property
    def around(self) -> int:
        """How many zeros stand before the first entry, p' = k − p − 1."""
        return len(self.kernel) - self.padding - 1

    @property
    def side(self) -> int:
        """Entries along a side of the input with all its zeros."""
        return (len(self.image) - 1) * self.stride + 1 + 2 * self.around + self.extra

    def place(self, u: int) -> int:
        """Where entry u of the input stands among the zeros."""
        return self.around + u * self.stride

    def terms(self) -> list[tuple[float, float]]:
        """Input entry and weight, for each entry under the window, row by row."""
        turned, (row, column), size = self.kernel.flip(0, 1), self.at, len(self.kernel)
        rows, columns = (
            [(u, self.place(u) - first) for u in range(len(self.image)) if 0 <= self.place(u) - first < size]
            for first in (row, column)
        )
        return [(float(self.image[u, v]), float(turned[r, q])) for u, r in rows for v, q in columns]


def upsampling_explorer(
    image: Tensor | Sequence[Sequence[float]],
    kernel: Tensor | Sequence[Sequence[float]],
    stride: int = 2,
    padding: int = 1,
    output_padding: int = 0,
    *,
    alt: str | None = None,
) -> Widget:
    """A transposed convolution step by step: the input with its zeros, the window on it, the output so far.

    The kernel (the one given, or one of two others), stride, padding and output padding can be chosen. Below
    stand the turned kernel, how many taps reach each output, and nearest neighbor.

    Args:
        image: (i, i) numbers, i from 2 to 5.
        kernel: (k, k) numbers, k from 2 to 4.
        stride: 1, 2 or 3.
        padding: 0, 1 or 2, and less than k.
        output_padding: less than ``stride``.
        alt: what the figure shows, instead of a sentence made from its first state.

    Raises:
        ValueError: a shape or a number out of these ranges.
    """
    image, kernel = (torch.as_tensor(value).float() for value in (image, kernel))
    for name, value, most in (("image", image, 5), ("kernel", kernel, 4)):
        if value.ndim != 2 or value.shape[0] != value.shape[1] or not 2 <= len(value) <= most:
            raise ValueError(f"{name} must be square, 2 × 2 to {most} × {most}, not {tuple(value.shape)}")
    if stride not in STRIDES:
        raise ValueError(f"stride must be 1, 2 or 3, not {stride}")
    if padding not in PADDINGS or padding >= len(kernel):
        raise ValueError(f"padding must be 0, 1 or 2 and less than the kernel's {len(kernel)}, not {padding}")
    side = upsampling.output_size(len(image), len(kernel), stride, padding, output_padding)
    walk = Walk(image, kernel, stride, padding, output_padding, (min(1, side - 1),) * 2)

    kernels = {f"{len(kernel)} × {len(kernel)}": kernel, **_ALSO}
    said = readout(walk)
    seen = (
        f"A transposed convolution of a {len(image)} × {len(image)} input with a kernel of "
        f"{len(kernel)} × {len(kernel)}, stride {stride}, padding {padding}. Left, the input with zeros "
        f"between and around its entries; a window stands on it. Then the output, {side} × {side}, filled up "
        f"to where the window is. "
    )
    picture_alt = alt or f"{seen}Last, a map of how many taps reach each output."
    alt = (
        alt or f"{seen}Below, the turned kernel, a map of how many taps reach each output, nearest neighbor."
    )
    body = (
        _choices(walk, kernels)
        + element("p", reading(said, "formula"), class_="yv-formula")
        + element("p", reading(said, "zeros"), class_="yv-hint")
        + element("div", _panels(walk, ("spread", "output")), class_="yv-large")
        + _steps(walk)
        + element("p", reading(said, "sum"), class_="yv-sum")
        + element("div", _panels(walk, ("kernel", "taps", "nearest")), class_="yv-small")
        + element("p", class_="yv-unseen", role="status")
    )
    state = {
        "image": image.tolist(), "kernels": {name: values.tolist() for name, values in kernels.items()},
        "kernel": next(iter(kernels)), "stride": stride, "padding": padding, "extra": output_padding,
        "step": walk.at[0] * side + walk.at[1], "cell": _CELL,
    }  # fmt: skip
    return build(
        "upsampling", body, state, _picture(walk), alt=alt, picture_alt=picture_alt,
        description=f"Upsampling explorer: {len(image)} × {len(image)} → {side} × {side}",
    )  # fmt: skip


def readout(walk: Walk) -> dict[str, str]:
    """What the figure says, by the name of each place; ``upsampling.js`` says the same."""
    i, k, s, p, a = len(walk.image), len(walk.kernel), walk.stride, walk.padding, walk.extra
    side, (row, column) = len(walk.output), walk.at
    terms = " + ".join(f"{_factor(x)} · {_factor(w)}" for x, w in walk.terms())
    value = number(float(walk.output[row, column]))
    return {
        "formula": f"o = (i − 1) s + k − 2 p + a = ({i} − 1) · {s} + {k} − 2 · {p} + {a} = {side}",
        "zeros": (
            f"z = s − 1 = {s - 1} between neighbors, p′ = k − p − 1 = {walk.around} around: "
            f"{walk.side} × {walk.side}"
        ),
        "sum": f"Row {row}, column {column}: {terms or 'nothing but zeros'} = {value}",
        "spread": f"The input with its zeros, {walk.side} × {walk.side}",
        "output": f"The output, {side} × {side}",
        "kernel": "The kernel, turned",
        "taps": f"Taps that reach each output: {', '.join(map(str, walk.taps.unique().tolist()))}",
        "nearest": f"Nearest neighbor, m = {s}: {s * i} × {s * i}",
    }


def _factor(value: float) -> str:
    written = number(value)
    return f"({written})" if value < 0 else written


# Markup.

Cell = tuple[str, str]


def _cells(walk: Walk, name: str) -> list[list[Cell]]:
    """The text and the class of each cell of a panel."""
    if name == "spread":
        return _spread(walk)
    if name == "kernel":
        return [[(number(w), "yv-window-cell") for w in row] for row in walk.kernel.flip(0, 1).tolist()]
    if name == "nearest":
        values = upsampling.nearest(walk.image, walk.stride).tolist()
        return [[(number(x), "yv-input") for x in row] for row in values]
    done = walk.at[0] * len(walk.output) + walk.at[1]
    if name == "taps":
        # Nine taps and more get the same, deepest shade.
        return [[(str(n), f"yv-taps-{min(n, 9)}") for n in row] for row in walk.taps.tolist()]
    filled, side = [], len(walk.output)
    for row, values in enumerate(walk.output.tolist()):
        order = [row * side + column for column in range(side)]
        filled.append(
            [
                (number(y), "yv-now" if n == done else "yv-done") if n <= done else ("", "yv-open")
                for n, y in zip(order, values, strict=True)
            ]
        )
    return filled


def _spread(walk: Walk) -> list[list[Cell]]:
    first, last = walk.place(0), walk.place(len(walk.image) - 1)
    rows = [
        [
            ("0", "yv-zero" if first <= row <= last and first <= column <= last else "yv-pad")
            for column in range(walk.side)
        ]
        for row in range(walk.side)
    ]
    for u, values in enumerate(walk.image.tolist()):
        for v, x in enumerate(values):
            rows[walk.place(u)][walk.place(v)] = (number(x), "yv-input")
    return rows


def _grid(cells: list[list[Cell]], window: tuple[int, int, int] | None = None) -> str:
    parts = []
    for row, line in enumerate(cells):
        for column, (written, class_) in enumerate(line):
            x, y = column * _CELL, row * _CELL
            parts.append(element("rect", class_=class_, x=x, y=y, width=_CELL, height=_CELL))
            if written:
                middle = {"x": x + _CELL // 2, "y": y + _CELL // 2 + 5}
                long = f"{class_} yv-long" if len(written) > 2 else class_
                parts.append(element("text", written, class_=long, **middle))
    if window:
        row, column, size = window
        parts.append(
            element(
                "rect",
                class_="yv-window",
                x=column * _CELL,
                y=row * _CELL,
                width=size * _CELL,
                height=size * _CELL,
            )
        )
    return "".join(parts)


def _panels(walk: Walk, names: Sequence[str]) -> str:
    said, drawn = readout(walk), []
    for name in names:
        cells = _cells(walk, name)
        window = (*walk.at, len(walk.kernel)) if name == "spread" else None
        side = len(cells) * _CELL
        svg = element(
            "svg", _grid(cells, window), viewBox=f"-2 -2 {side + 4} {side + 4}", role="img",
            aria_label=said[name], data_panel=name,
        )  # fmt: skip
        drawn.append(
            element("div", element("p", reading(said, name), class_="yv-hint") + svg, class_="yv-cell")
        )
    return "".join(drawn)


def _choices(walk: Walk, kernels: dict[str, Tensor]) -> str:
    sets = (
        ("Kernel", "kernel", kernels, next(iter(kernels))),
        ("Stride s", "stride", STRIDES, walk.stride),
        ("Padding p", "padding", [p for p in PADDINGS if p < len(walk.kernel)], walk.padding),
        ("Output padding a", "extra", range(walk.stride), walk.extra),
    )
    fields = []
    for label, name, values, chosen in sets:
        options = "".join(
            element("option", str(value), value=value, selected="selected" if value == chosen else None)
            for value in values
        )
        fields.append(element("label", element("span", label) + element("select", options, data_set=name)))
    return element("div", "".join(fields), class_="yv-choices yv-live")


def _steps(walk: Walk) -> str:
    side = len(walk.output)
    step, last = walk.at[0] * side + walk.at[1], side * side
    slider = element(
        "input", type="range", min=1, max=last, step=1, value=step + 1, aria_label="Output entry"
    )
    parts = (
        element("button", "Back", type="button", data_go=-1)
        + slider
        + element("output", f"{step + 1} / {last}")
        + element("button", "Next", type="button", data_go=1)
        + element("button", "All", type="button", data_go=1000)  # more than any output has
    )
    return element("div", parts, class_="yv-walk yv-live")


# The still picture.


@in_book_style
def _picture(walk: Walk) -> Image.Image:
    figure = Figure(figsize=(12.8, 4.6), dpi=100, layout="constrained")
    panels, said = figure.subplots(1, 3, width_ratios=(1.2, 1, 1)), readout(walk)
    for axes, name in zip(panels, ("spread", "output", "taps"), strict=True):
        _draw(axes, _cells(walk, name))
        axes.set_title(said[name], fontsize=11)
    row, column = walk.at
    size = len(walk.kernel)
    panels[0].add_patch(Rectangle((column, row), size, size, fill=False, edgecolor=COLORS["b"], lw=3))
    return rendered(figure)


def _draw(axes: Axes, cells: list[list[Cell]]) -> None:
    shades = {
        "yv-input": (COLORS["a"], 0.25),
        "yv-now": (COLORS["b"], 0.4),
        "yv-done": (COLORS["kept"], 0.15),
    }
    for row, line in enumerate(cells):
        for column, (written, class_) in enumerate(line):
            color, alpha = shades.get(class_, (COLORS["a"], 0.0))
            if class_.startswith("yv-taps-"):
                alpha = 0.07 * int(class_.removeprefix("yv-taps-"))
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=color, alpha=alpha))
            axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=COLORS["grid"], lw=0.6))
            axes.text(column + 0.5, row + 0.5, written, ha="center", va="center", fontsize=9)
    axes.set(xlim=(-0.1, len(cells) + 0.1), ylim=(len(cells) + 0.1, -0.1), aspect="equal")
    axes.set_axis_off()
