"""A point to slide along a circle, with the gradients of f and the constraint: chapter 16's example."""

import math
from functools import cache

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from yolov3_lib.plots import COLORS
from yolov3_lib.widgets.base import Widget, build, element, fixed, text
from yolov3_lib.widgets.pictures import in_book_style, rendered

_MIDDLE, _UNIT, _REACH = (
    240,
    145,
    1.62,
)  # drawing units: the origin, and the length of 1; what is drawn of the plane
_LEVELS = (-2.5, -2.3, -2, -1, 0, 2, 4, 7, 10, 14, 19)
_AT_REST = 0.03  # a slope along the circle that a step of the slider can't make smaller
_PLACES = {"lowest, left": 235.7, "lowest, right": 304.3, "bottom": 270, "top": 90}


def lagrange_explorer(angle: float = 20.0, radius: float = 1.0) -> Widget:
    """A point on a circle, whose radius can be changed, over contours of the chapter's second example.

    The function is f = x₁⁴ + 2x₁²x₂ + x₁² + 4x₂² + 6x₂. Drawn are ∇f and ∇g; the panel says how steep f is
    along the circle, and λ where the gradients are parallel.

    Args:
        angle: of the point, in degrees from the x₁ axis, counterclockwise, from 0 to 360.
        radius: of the circle, from 0.5 to 1.3.

    Raises:
        ValueError: an angle or a radius out of range.
    """
    if not 0 <= angle <= 360:
        raise ValueError(f"angle is {angle}: the slider goes from 0 to 360 degrees")
    if not 0.5 <= radius <= 1.3:
        raise ValueError(f"radius is {radius}: the slider goes from 0.5 to 1.3")
    said = readout(angle, radius)
    alt = (
        f"Contours of a function of two variables, and a circle of radius {fixed(radius, 2)}. Two arrows "
        f"start at {said['point']}: the gradients of the function and of the constraint. {said['verdict']}"
    )
    panel = "".join((
        _slider("angle", "point at", angle, 0, 360, 0.1, said),
        _slider("radius", "radius", radius, 0.5, 1.3, 0.05, said),
        *(_row(label, key, said) for label, key in (
            ("point", "point"), ("f", "f"), ("slope along it", "slope"), ("λ", "multiplier"),
        )),
        element("p", text(said["verdict"]), class_="yv-verdict", data_out="verdict"),
        element("p", class_="yv-unseen", role="status"),
    ))  # fmt: skip
    scene = element("div", _drawing(angle, radius, alt), class_="yv-scene")
    buttons = "".join(
        element("button", name, type="button", data_angle=place) for name, place in _PLACES.items()
    )
    bar = element("div", buttons, class_="yv-bar yv-live", role="group", aria_label="Stationary points")
    columns = element("div", scene + element("div", panel, class_="yv-panel"), class_="yv-columns")
    return build(
        "lagrange",
        bar + columns,
        {"unit": _UNIT, "middle": _MIDDLE},
        _picture(angle, radius),
        alt=alt,
        description=f"Lagrange explorer: {said['point']}, f = {said['f']}",
    )


def readout(angle: float, radius: float) -> dict[str, str]:
    """What the panel says, by the name of each place; ``lagrange.js`` says the same."""
    s = state_at(math.radians(angle), radius)
    at_rest = abs(s["slope"]) < _AT_REST
    if not at_rest:
        way = "clockwise" if s["slope"] > 0 else "counterclockwise"
        verdict = f"Not parallel: f falls {way} along the circle."
    elif s["multiplier"] > 0:
        verdict = "Parallel, multiplier positive: f falls only outward, so ≤ holds it here too."
    else:
        verdict = "Parallel, multiplier negative: with ≤, f falls into the disk."
    written = fixed(angle, 1).removesuffix(".0")
    return {
        "angle": f"{written}°",
        "radius": fixed(radius, 2),
        "point": f"({fixed(s['x'])}, {fixed(s['y'])})",
        "f": fixed(s["f"]),
        "slope": fixed(s["slope"]),
        "multiplier": fixed(s["multiplier"], 2) if at_rest else "none here",
        "verdict": verdict,
    }


def state_at(angle: float, radius: float) -> dict[str, float]:
    """The point at an angle (in radians), f there and its slope along the circle, and a multiplier.

    That is the λ that brings ∇f + λ ∇g nearest to zero, with g = x₁² + x₂² − radius².
    """
    x, y = radius * math.cos(angle), radius * math.sin(angle)
    fx, fy = 4 * x**3 + 4 * x * y + 2 * x, 2 * x**2 + 8 * y + 6
    gx, gy = 2 * x, 2 * y
    return {
        "x": x, "y": y, "f": _f(x, y), "fx": fx, "fy": fy, "gx": gx, "gy": gy,
        "slope": (-fx * y + fy * x) / radius,
        "multiplier": -(fx * gx + fy * gy) / (gx**2 + gy**2),
    }  # fmt: skip


def _f(x: float, y: float) -> float:
    return x**4 + 2 * x**2 * y + x**2 + 4 * y**2 + 6 * y


# Markup.


def _slider(
    role: str, label: str, value: float, low: float, high: float, step: float, said: dict[str, str]
) -> str:
    range_ = element("input", type="range", min=low, max=high, step=step, value=value, data_role=role)
    words = element("span", f"{label} ") + element("output", text(said[role]), data_out=role)
    return element("label", words + range_, class_="yv-slider yv-live")


def _row(label: str, key: str, said: dict[str, str]) -> str:
    return element(
        "div", element("span", label) + element("span", text(said[key]), data_out=key), class_="yv-row"
    )


def _x(x: float) -> float:
    return round(_MIDDLE + _UNIT * x, 2)


def _y(y: float) -> float:
    return round(_MIDDLE - _UNIT * y, 2)


def _drawing(angle: float, radius: float, alt: str) -> str:
    s = state_at(math.radians(angle), radius)
    point = {"cx": _x(s["x"]), "cy": _y(s["y"])}
    circle = {"cx": _MIDDLE, "cy": _MIDDLE, "r": round(_UNIT * radius, 2)}
    parts = [element("path", class_="yv-level", d=_contours())]
    parts += [element("circle", class_=f"yv-{name}", **circle) for name in ("region", "constraint")]
    for name in ("g", "f"):
        # The label of ∇g stands beside its arrow, for both arrows may point the same way.
        shaft, head, (x, y) = _arrow(
            s["x"], s["y"], s[f"{name}x"], s[f"{name}y"], aside=0.16 if name == "g" else 0
        )
        parts.append(element("path", class_=f"yv-arrow yv-arrow-{name} yv-shaft-{name}", d=shaft))
        parts.append(element("path", class_=f"yv-arrow yv-arrow-{name} yv-head-{name}", d=head))
        parts.append(element("text", f"∇{name}", class_=f"yv-label yv-label-{name}", x=_x(x), y=_y(y)))
    parts.append(element("circle", class_="yv-dot", r=6, **point))
    parts.append(element("circle", class_="yv-reach", r=34, **point))
    return element(
        "svg", "".join(parts), viewBox=f"0 0 {2 * _MIDDLE} {2 * _MIDDLE}", role="img", aria_label=alt
    )


def _arrow(x: float, y: float, dx: float, dy: float, aside: float) -> tuple[str, str, tuple[float, float]]:
    """The SVG paths of shaft and head, and where the label goes.

    Long gradients are drawn shorter than they are, never turned. The head has a path of its own because a
    dotted one can't be made out.
    """
    size = math.hypot(dx, dy) or 1
    length = 0.16 + 0.34 * size / (size + 3)
    ux, uy = dx / size, dy / size
    ex, ey = x + length * ux, y + length * uy
    wings = [(ex - 0.07 * ux + side * 0.05 * uy, ey - 0.07 * uy - side * 0.05 * ux) for side in (1, -1)]
    (ax, ay), (bx, by) = wings
    shaft = f"M{_x(x)} {_y(y)}L{_x(ex)} {_y(ey)}"
    head = f"M{_x(ax)} {_y(ay)}L{_x(ex)} {_y(ey)}L{_x(bx)} {_y(by)}"
    return shaft, head, (ex + 0.08 * ux + aside * uy, ey + 0.08 * uy - aside * ux)


@cache
def _contours() -> str:
    from contourpy import contour_generator

    ticks = np.linspace(-_REACH, _REACH, 71)
    x, y = np.meshgrid(ticks, ticks)
    generator = contour_generator(x, y, _f(x, y))
    lines = [line for level in _LEVELS for line in generator.lines(level)]
    return "".join(
        "M" + "L".join(f"{_MIDDLE + _UNIT * a:.1f} {_MIDDLE - _UNIT * b:.1f}" for a, b in line)
        for line in lines
    )


# The still picture.


@in_book_style
def _picture(angle: float, radius: float) -> Image.Image:
    s = state_at(math.radians(angle), radius)
    figure = Figure(figsize=(6.6, 3.8), dpi=200, layout="constrained")
    axes, beside = figure.subplots(1, 2, width_ratios=(3, 2))
    ticks = np.linspace(-_REACH, _REACH, 200)
    x, y = np.meshgrid(ticks, ticks)
    axes.contour(x, y, _f(x, y), _LEVELS, colors=COLORS["grid"], linewidths=0.7, linestyles="solid")
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.fill(radius * np.cos(turn), radius * np.sin(turn), color=COLORS["a"], alpha=0.1)
    axes.plot(radius * np.cos(turn), radius * np.sin(turn), color=COLORS["a"])
    for name, color, style in (("f", COLORS["b"], "solid"), ("g", COLORS["a"], "dotted")):
        size = math.hypot(s[f"{name}x"], s[f"{name}y"]) or 1
        length = (0.16 + 0.34 * size / (size + 3)) / size
        end = s["x"] + length * s[f"{name}x"], s["y"] + length * s[f"{name}y"]
        axes.annotate(
            "", end, (s["x"], s["y"]), arrowprops={"arrowstyle": "->", "color": color, "lw": 2, "ls": style}
        )
        axes.text(*end, f"∇{name}", color=color)
    axes.plot(s["x"], s["y"], "o", color=COLORS["text"])
    axes.set(aspect="equal", xlabel="x₁", ylabel="x₂")
    beside.set_axis_off()
    said = readout(angle, radius)
    for row, (label, key) in enumerate(
        (("point", "point"), ("f", "f"), ("slope", "slope"), ("λ", "multiplier"))
    ):
        beside.text(0, 0.8 - 0.1 * row, f"{label}: {said[key]}", size=9)
    return rendered(figure)
